//! The end: a drain, and reports on what holds it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pollux::admin::{AdminDoor, Callers};
use pollux::control::{Call, Command, ControlEvent, Events, ReloadError, Reply, Server, SignalAction};

use super::answer::Around;
use super::watchdog::Watchdog;
use super::{FAILED, FORCED};

/// The interval at which it is checked whether the drain is over.
const STEP: Duration = Duration::from_millis(5);

/// The interval at which the log says what holds the drain.
const TOLD: Duration = Duration::from_secs(1);

/// The time that callers at the admin address may take, when all else is over, until they are answered.
const GRACE: Duration = Duration::from_secs(1);

/// Waits for the end of the drain that has begun, unless a second signal says that there is no time for it.
/// `around` is what the server does not know. The admin address is open to the end of the drain, unless
/// another process has it already; who has called until then is answered.
pub(super) fn stop(
    server: Server,
    events: &Events,
    around: &Around<'_>,
    mut watchdog: Watchdog,
    (mut admin_door, mut callers): (Option<AdminDoor>, Callers),
) -> ExitCode {
    let (mut told, mut drained) = (Instant::now(), None);
    loop {
        if server.is_finished() {
            let drained = drained.get_or_insert_with(Instant::now);
            callers = admin_door.take().map_or(callers, |admin_door| admin_door.callers());
            if callers.is_empty() || drained.elapsed() >= GRACE {
                break;
            }
        }
        match events.next(Some(STEP)) {
            // No new clients come, so the address does not matter.
            None
            | Some(
                ControlEvent::Signal(SignalAction::Reload | SignalAction::Upgrade)
                | ControlEvent::Upgraded(Err(_))
                | ControlEvent::Discovered(_)
                | ControlEvent::Done,
            ) => {}
            Some(ControlEvent::Signal(SignalAction::Reopen)) => around.logs.reopen(),
            Some(ControlEvent::Upgraded(Ok(successor))) => stop_too(successor.pid),
            Some(ControlEvent::Signal(asked @ SignalAction::Stop(_))) => {
                return force(asked);
            }
            Some(ControlEvent::Call(call)) => answer(call, &server, around),
        }
        watchdog.beat(&server);
        if told.elapsed() >= TOLD {
            told = Instant::now();
            let line = around.status(&server).drain_line();
            watchdog.manager().status(&line);
            tracing::info!("{line}");
        }
    }
    tracing::info!("drained");
    if server.join() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

pub(super) fn answer(call: Call, server: &Server, around: &Around<'_>) {
    let reply = around.answer(server, &call.request.command, &call.by);
    let reply = reply.unwrap_or_else(|| match &call.request.command {
        Command::Reload | Command::Operate { .. } => Reply::text(FAILED, ReloadError::Draining.to_string()),
        Command::Upgrade => Reply::text(FAILED, "Pollux is draining: there is nothing left to hand over"),
        Command::Explain(_)
        | Command::Status
        | Command::Backend(_)
        | Command::Sessions(_)
        | Command::Kill(_)
        | Command::LogLevel(_)
        | Command::Recorder { .. }
        | Command::Metrics(_)
        | Command::Config => Reply::text(FAILED, "Pollux is draining: it takes no more requests"),
    });
    call.answer(reply);
}

/// The end for which there is no time.
pub(super) fn force(asked: SignalAction) -> ExitCode {
    tracing::warn!("{asked}: stopped before the drain was over");
    ExitCode::from(FORCED)
}

/// A new process has taken over in the moment in which this one was told to stop: it is meant too.
pub(super) fn stop_too(pid: u32) {
    tracing::info!(pid, "the new process is told to stop too");
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}
