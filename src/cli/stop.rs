//! The end: a drain, what holds it, and who wants to know.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pollux::control::{Asked, Call, Command, Event, Events, ReloadError, Reply, Server};
use pollux::metrics::Format;
use pollux::status::Status;

use super::heart::Heart;
use super::logging::Logs;
use super::{FAILED, FORCED, recorder};

/// How often it is looked whether the drain is over.
const STEP: Duration = Duration::from_millis(5);

/// How often the log says what holds the drain.
const TOLD: Duration = Duration::from_secs(1);

/// Waits for the end of the drain that has begun, unless a second signal says that there is no time for it. `status` says what
/// a server is at.
pub(super) fn stop(
    server: Server,
    events: &Events,
    logs: &Logs,
    mut heart: Heart,
    status: impl Fn(&Server) -> Status,
) -> ExitCode {
    let mut told = Instant::now();
    while !server.is_finished() {
        match events.next(Some(STEP)) {
            // Nobody new comes, so it does not matter where to.
            None
            | Some(
                Event::Signal(Asked::Reload | Asked::Upgrade)
                | Event::Upgraded(Err(_))
                | Event::Discovered(_),
            ) => {}
            Some(Event::Signal(Asked::Reopen)) => logs.reopen(),
            Some(Event::Upgraded(Ok(successor))) => stop_too(successor.pid),
            Some(Event::Signal(asked @ Asked::Stop(_))) => {
                tracing::warn!("{asked}: stopped before the drain was over");
                return ExitCode::from(FORCED);
            }
            Some(Event::Call(call)) => answer(call, &server, || status(&server)),
        }
        heart.beat(&server);
        if told.elapsed() >= TOLD {
            told = Instant::now();
            let line = status(&server).drain_line();
            heart.manager().status(&line);
            tracing::info!("{line}");
        }
    }
    tracing::info!("drained");
    if server.join() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn answer(call: Call, server: &Server, status: impl FnOnce() -> Status) {
    let reply = match &call.request.command {
        Command::Reload => Reply::text(FAILED, ReloadError::Draining.to_string()),
        Command::Upgrade => Reply::text(FAILED, "Pollux is draining: there is nothing left to hand over"),
        Command::Status => tell(&status()),
        Command::Backend(name) => tell_backend(&status(), name),
        Command::Recorder { id, all } => recorder::answer(server, id.as_deref(), *all),
        Command::Metrics => Reply::text(0, server.metrics(Format::Text)),
        Command::Explain(_) => Reply::text(FAILED, "Pollux is draining: it takes no more requests"),
    };
    call.answer(reply);
}

/// A new process has taken over in the moment in which this one was told to stop: it is meant too.
fn stop_too(pid: u32) {
    tracing::info!(pid, "the new process is told to stop too");
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// A status for whoever has asked for it.
pub(super) fn tell(status: &Status) -> Reply {
    Reply { data: serde_json::to_value(status).unwrap_or_default(), ..Reply::text(0, status.to_string()) }
}

/// All that is known of the backend that is called `name`.
pub(super) fn tell_backend(status: &Status, name: &str) -> Reply {
    match status.backend(name) {
        Ok((pool, backend)) => {
            let data = serde_json::to_value(backend).unwrap_or_default();
            Reply { exit: 0, text: backend.tell(pool), data }
        }
        Err(why) => Reply::text(super::USAGE, why),
    }
}
