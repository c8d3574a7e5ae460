//! What is asked of a running Pollux, over its control socket.

use std::path::Path;
use std::process::ExitCode;

use pollux::control::{Command, Reply, Request, ask};

use super::args::CallArgs;
use super::{Failure, complain, say};

/// `pollux reload`.
pub(super) fn reload(args: &CallArgs) -> Result<ExitCode, Failure> {
    let reply = call(&args.control, Command::Reload)?;
    match reply.exit {
        0 => say(&reply.text),
        _ => complain(&reply.text),
    }
    Ok(ExitCode::from(reply.exit))
}

fn call(path: &Path, command: Command) -> Result<Reply, Failure> {
    ask(path, Request { command })
        .map_err(|error| Failure::failed(format!("no answer from a Pollux at {}: {error}", path.display())))
}
