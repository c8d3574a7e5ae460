//! The end: a drain, what holds it, and who wants to know.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use pollux::control::{Asked, Call, Command, Event, Events, ReloadError, Reply, Server};
use pollux::status::Status;

use super::{FAILED, FORCED};

/// How often it is looked whether the drain is over.
const STEP: Duration = Duration::from_millis(5);

/// How often the log says what holds the drain.
const TOLD: Duration = Duration::from_secs(1);

/// Drains, unless a second signal says that there is no time for it. `status` says what a server is at.
pub(super) fn stop(mut server: Server, events: &Events, status: impl Fn(&Server) -> Status) -> ExitCode {
    server.drain();
    let mut told = Instant::now();
    while !server.is_finished() {
        match events.next(Some(STEP)) {
            None | Some(Event::Signal(Asked::Reload)) => {}
            Some(Event::Signal(asked @ Asked::Stop(_))) => {
                tracing::warn!("{asked}: stopped before the drain was over");
                return ExitCode::from(FORCED);
            }
            Some(Event::Call(call)) => answer(call, || status(&server)),
        }
        if told.elapsed() >= TOLD {
            told = Instant::now();
            tracing::info!("{}", status(&server).drain_line());
        }
    }
    tracing::info!("drained");
    if server.join() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn answer(call: Call, status: impl FnOnce() -> Status) {
    let reply = match call.request.command {
        Command::Reload => Reply::text(FAILED, ReloadError::Draining.to_string()),
        Command::Status => tell(&status()),
        Command::Explain(_) => Reply::text(FAILED, "Pollux is draining: it takes no more requests"),
    };
    call.answer(reply);
}

/// A status for whoever has asked for it.
pub(super) fn tell(status: &Status) -> Reply {
    Reply { data: serde_json::to_value(status).unwrap_or_default(), ..Reply::text(0, status.to_string()) }
}
