//! `pollux`: serve until told to stop.

use std::process::ExitCode;

use pollux::control::{AccessLog, Asked, Server, Signals};
use pollux::core::outcome::{Journal, NoJournal};

use super::args::{RunArgs, Switch};
use super::{FORCED, Failure, logging, say, settings};

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let (snapshot, threads) = settings::settle(args)?;
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
        .map(|listener| format!("{}, pool {}", listener.mode, snapshot.pool(listener.pool).name))
        .collect();
    let server = Server::start(snapshot, threads, journal).map_err(Failure::failed)?;
    for (address, name) in server.addresses().iter().zip(names) {
        say(&format!("listening on {address} ({name})"));
    }
    match signals.wait() {
        Asked::Stop => tracing::info!("SIGTERM: draining"),
        Asked::Interrupt => tracing::info!("interrupted: draining; once more ends at once"),
    }
    Ok(stop(server, &mut signals))
}

/// Drains, unless a second signal says that there is no time for it.
pub(super) fn stop(server: Server, signals: &mut Signals) -> ExitCode {
    server.drain();
    if signals.wait_unless(|| server.is_finished()).is_some() {
        tracing::warn!("stopped before the drain was over");
        return ExitCode::from(FORCED);
    }
    if server.join() { ExitCode::SUCCESS } else { ExitCode::from(super::FAILED) }
}
