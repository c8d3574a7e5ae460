//! `pollux`: serve until told to stop.

use std::process::ExitCode;
use std::time::Duration;

use pollux::control::{AccessLog, Asked, Command, Event, Events, ReloadError, Reply, Server};
use pollux::core::outcome::{Journal, NoJournal};

use pollux::route::{Action, Route};
use pollux::snapshot::{Listener, Snapshot};

use super::args::{RunArgs, Switch};
use super::settings::Settled;
use super::{FAILED, FORCED, Failure, complain, logging, say, settings};

/// How often it is looked whether the drain is over.
const STEP: Duration = Duration::from_millis(5);

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let settled = settings::settle(args, settings::has_colours())?;
    if let Some(warnings) = &settled.warnings {
        complain(warnings);
    }
    let _guard = logging::start(args.log_format);
    let events = Events::default();
    events.take_over_signals(settled.is_from_file).map_err(Failure::failed)?;
    let open = |path: &std::path::PathBuf| {
        let fail = |error| Failure::failed(format!("no control socket at {}: {error}", path.display()));
        events.open_socket(path).map_err(fail)
    };
    let _socket = settled.control.as_ref().map(open).transpose()?;
    let journal = || -> Box<dyn Journal + Send> {
        match args.access_log {
            Switch::On => Box::new(AccessLog),
            Switch::Off => Box::new(NoJournal),
        }
    };
    let Settled { snapshot, crew, .. } = settled;
    let mut server = Server::start(snapshot, &crew, journal).map_err(Failure::failed)?;
    tell_addresses(&server);
    loop {
        match events.next(None) {
            None => {}
            Some(Event::Signal(asked @ Asked::Stop(_))) => {
                tracing::info!("{asked}: draining; a second signal ends at once");
                return Ok(stop(server, &events));
            }
            Some(Event::Signal(Asked::Reload)) => {
                reload(&mut server, args, crew.threads);
            }
            Some(Event::Call(call)) => match call.request.command {
                Command::Reload => {
                    let reply = reload(&mut server, args, crew.threads);
                    call.answer(reply);
                }
            },
        }
    }
}

fn tell_addresses(server: &Server) {
    let snapshot = server.snapshot();
    for (address, listener) in server.addresses().iter().zip(&snapshot.listeners) {
        say(&format!("listening on {address} ({}, {})", listener.mode, whither(listener, snapshot)));
    }
}

/// Reads the configuration again and exchanges it, if there is no fault in it; what came of it goes to the log and to the
/// caller.
fn reload(server: &mut Server, args: &RunArgs, threads: usize) -> Reply {
    let done = read_again(server, args, threads);
    let reply = match done {
        Ok(text) => Reply { exit: 0, text, data: serde_json::Value::Null },
        Err(Failure { code, text }) => Reply { exit: code, text, data: serde_json::Value::Null },
    };
    match reply.exit {
        0 => tracing::info!("{}", reply.text),
        _ => tracing::error!("the configuration stays as it was:\n{}", reply.text),
    }
    reply
}

/// What was done, in words.
fn read_again(server: &mut Server, args: &RunArgs, threads: usize) -> Result<String, Failure> {
    let settled = settings::settle(args, false)?;
    if !settled.is_from_file {
        return Err(Failure::usage("there is nothing to reload: Pollux was started without a file"));
    }
    let mut reloaded = server.reload(settled.snapshot).map_err(Failure::failed)?;
    if settled.crew.threads != threads {
        reloaded.later.push(format!("threads = {} (there are {threads})", settled.crew.threads));
    }
    Ok(settled.warnings.map_or_else(String::new, |warnings| format!("{warnings}\n")) + &reloaded.to_string())
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

/// Drains, unless a second signal says that there is no time for it.
pub(super) fn stop(mut server: Server, events: &Events) -> ExitCode {
    server.drain();
    while !server.is_finished() {
        match events.next(Some(STEP)) {
            None | Some(Event::Signal(Asked::Reload)) => {}
            Some(Event::Signal(asked @ Asked::Stop(_))) => {
                tracing::warn!("{asked}: stopped before the drain was over");
                return ExitCode::from(FORCED);
            }
            Some(Event::Call(call)) => match call.request.command {
                Command::Reload => call.answer(Reply {
                    exit: FAILED,
                    text: ReloadError::Draining.to_string(),
                    data: serde_json::Value::Null,
                }),
            },
        }
    }
    tracing::info!("drained");
    if server.join() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}
