//! `pollux`: serve until told to stop.

use std::process::ExitCode;

use pollux::control::{AccessLog, Asked, Server, Signals};
use pollux::core::outcome::{Journal, NoJournal};

use pollux::route::{Action, Route};
use pollux::snapshot::{Listener, Snapshot};

use super::args::{RunArgs, Switch};
use super::{FORCED, Failure, logging, say, settings};

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let (snapshot, crew) = settings::settle(args)?;
    let _guard = logging::start(args.log_format);
    let mut signals = Signals::take_over().map_err(Failure::failed)?;
    let journal = || -> Box<dyn Journal + Send> {
        match args.access_log {
            Switch::On => Box::new(AccessLog),
            Switch::Off => Box::new(NoJournal),
        }
    };
    let names: Vec<_> = snapshot
        .listeners
        .iter()
        .map(|listener| format!("{}, {}", listener.mode, whither(listener, &snapshot)))
        .collect();
    let server = Server::start(snapshot, &crew, journal).map_err(Failure::failed)?;
    for (address, name) in server.addresses().iter().zip(names) {
        say(&format!("listening on {address} ({name})"));
    }
    match signals.wait() {
        Asked::Stop => tracing::info!("SIGTERM: draining; SIGINT ends at once"),
        Asked::Interrupt => tracing::info!("interrupted: draining; once more ends at once"),
    }
    Ok(stop(server, &mut signals))
}

/// Where a listener sends its clients, in a few words.
fn whither(listener: &Listener, snapshot: &Snapshot) -> String {
    match listener.routes.routes() {
        [Route { action: Action::Pool(pool), when, .. }] if when.is_empty() => {
            format!("pool {}", snapshot.pool(*pool).name)
        }
        [_] => String::from("1 route"),
        routes => format!("{} routes", routes.len()),
    }
}

/// Drains, unless an interrupt says that there is no time for it.
pub(super) fn stop(server: Server, signals: &mut Signals) -> ExitCode {
    server.drain();
    if !signals.is_left_in_peace(|| server.is_finished()) {
        tracing::warn!("stopped before the drain was over");
        return ExitCode::from(FORCED);
    }
    tracing::info!("drained");
    if server.join() { ExitCode::SUCCESS } else { ExitCode::from(super::FAILED) }
}
