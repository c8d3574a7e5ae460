//! Commands that change a running Pollux: `pollux backend`, `pollux session`, `pollux log-level`.

use std::process::ExitCode;

use pollux::balance::AdminState;
use pollux::control::{Command, WantedState};
use pollux::status::{Order, SessionsAsk};

use super::Failure;
use super::args::{BackendArgs, BackendVerb, LogLevelArgs, SessionArgs, SessionVerb};
use super::call::{call, in_form, tell};

/// `pollux backend`.
pub(super) fn backend(args: &BackendArgs) -> Result<ExitCode, Failure> {
    let (named, wanted) = match &args.verb {
        BackendVerb::Drain(named) => (named, WantedState::State(AdminState::Drain)),
        BackendVerb::Ready(named) => (named, WantedState::State(AdminState::Ready)),
        BackendVerb::Down(named) => (named, WantedState::State(AdminState::Down)),
        BackendVerb::Weight { named, weight } => (named, WantedState::Weight(*weight)),
    };
    let command = Command::Operate { backend: named.backend.clone(), wanted };
    Ok(tell(&call(named.call.socket(), command)?))
}

/// `pollux session`.
pub(super) fn session(args: &SessionArgs) -> Result<ExitCode, Failure> {
    match &args.verb {
        SessionVerb::List { state, biggest, count, call: at, json } => {
            let order = if *biggest { Order::Biggest } else { Order::Oldest };
            let ask = SessionsAsk { kind: *state, order, count: *count };
            Ok(tell(&in_form(call(at.socket(), Command::Sessions(ask))?, *json)))
        }
        SessionVerb::Kill { session, call: at } => {
            Ok(tell(&call(at.socket(), Command::Kill(session.clone()))?))
        }
    }
}

/// `pollux log-level`.
pub(super) fn log_level(args: &LogLevelArgs) -> Result<ExitCode, Failure> {
    Ok(tell(&call(args.call.socket(), Command::LogLevel(args.level.clone()))?))
}
