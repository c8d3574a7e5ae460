//! What is asked of a running Pollux, over its control socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pollux::config;
use pollux::control::{Command, Reply, Request, ask};

use super::args::{CallArgs, StatusArgs};
use super::{Failure, complain, say, settings};

/// `pollux reload`.
pub(super) fn reload(args: &CallArgs) -> Result<ExitCode, Failure> {
    Ok(tell(&call(args, Command::Reload)?))
}

/// `pollux status`.
pub(super) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let mut reply = call(&args.call, Command::Status)?;
    if args.json && reply.exit == 0 {
        reply.text = reply.data.to_string();
    }
    Ok(tell(&reply))
}

fn tell(reply: &Reply) -> ExitCode {
    match reply.exit {
        0 => say(reply.text.trim_end()),
        _ => complain(&reply.text),
    }
    ExitCode::from(reply.exit)
}

fn call(args: &CallArgs, command: Command) -> Result<Reply, Failure> {
    let path = socket(args)?;
    ask(&path, Request { command })
        .map_err(|error| Failure::failed(format!("no answer from a Pollux at {}: {error}", path.display())))
}

/// Where the socket is: as it was said, or as the configuration says. Of one with mistakes it is not known what it means, so
/// these are told.
fn socket(args: &CallArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.control {
        return Ok(path.clone());
    }
    let file = args.config.as_deref().unwrap_or(Path::new(settings::DEFAULT_FILE));
    if args.config.is_none() && !file.exists() {
        return Err(Failure::usage(
            "which Pollux is meant? name its control socket with --control PATH, or its configuration with -c FILE",
        ));
    }
    let loaded = config::load(file).map_err(|report| {
        let why = settings::show(&report);
        Failure::usage(format!("{why}\n  = help: name the control socket itself: --control PATH"))
    })?;
    loaded.process.control.ok_or_else(|| {
        Failure::usage(format!(
            "{} names no control socket; add `control = \"PATH\"`, or name the socket with --control PATH",
            file.display()
        ))
    })
}
