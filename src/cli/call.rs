//! Commands that ask a running Pollux over its control socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pollux::config;
use pollux::control::{self, Command, OperatorRequest, Reply};
use pollux::explain::Ask;
use pollux::metrics::MetricsFormat;

use super::args::{CallArgs, ExplainArgs, RecorderAction, RecorderArgs, StatusArgs};
use super::{Failure, complain, say, settings};

/// `pollux reload`.
pub(super) fn reload(args: &CallArgs) -> Result<ExitCode, Failure> {
    Ok(tell(&call(args.socket(), Command::Reload)?))
}

/// `pollux upgrade`.
pub(super) fn upgrade(args: &CallArgs) -> Result<ExitCode, Failure> {
    Ok(tell(&call(args.socket(), Command::Upgrade)?))
}

/// `pollux metrics`.
pub(super) fn metrics(args: &CallArgs) -> Result<ExitCode, Failure> {
    Ok(tell(&call(args.socket(), Command::Metrics(MetricsFormat::Text))?))
}

/// `pollux recorder`.
pub(super) fn recorder(args: &RecorderArgs) -> Result<ExitCode, Failure> {
    let (socket, id, all, json) = match &args.action {
        Some(RecorderAction::Show(show)) => (show.call.socket(), Some(show.id.clone()), true, show.json),
        None => (args.call.socket(), None, args.all, args.json),
    };
    Ok(tell(&in_form(call(socket, Command::Recorder { id, all })?, json)))
}

/// `pollux status`.
pub(super) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let command = args.backend.clone().map_or(Command::Status, Command::Backend);
    Ok(tell(&in_form(call(args.call.socket(), command)?, args.json)))
}

/// `pollux explain --live`.
pub(super) fn explain(args: &ExplainArgs, ask: Ask) -> Result<ExitCode, Failure> {
    let socket = Socket { control: args.control.as_deref(), config: args.config.as_deref() };
    Ok(tell(&in_form(call(socket, Command::Explain(Box::new(ask)))?, args.json)))
}

/// The way in which a caller finds the socket.
#[derive(Clone, Copy)]
pub(super) struct Socket<'a> {
    control: Option<&'a Path>,
    config: Option<&'a Path>,
}

impl CallArgs {
    pub(super) fn socket(&self) -> Socket<'_> {
        Socket { control: self.control.as_deref(), config: self.config.as_deref() }
    }
}

/// The answer in words, or in JSON if there is any.
pub(super) fn in_form(reply: Reply, json: bool) -> Reply {
    if json && reply.exit == 0 { Reply { text: reply.data.to_string(), ..reply } } else { reply }
}

pub(super) fn tell(reply: &Reply) -> ExitCode {
    match reply.exit {
        0 => say(reply.text.trim_end()),
        _ => complain(&reply.text),
    }
    ExitCode::from(reply.exit)
}

pub(super) fn call(socket: Socket<'_>, command: Command) -> Result<Reply, Failure> {
    let path = socket.path()?;
    control::ask(&path, &OperatorRequest { command })
        .map_err(|error| Failure::failed(format!("no answer from a Pollux at {}: {error}", path.display())))
}

impl Socket<'_> {
    /// The path of the socket: from the flag, or from the configuration. If that has mistakes, its meaning is
    /// not known what it means, so these are told.
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = self.control {
            return Ok(path.to_owned());
        }
        let file = self.config.unwrap_or(Path::new(settings::DEFAULT_FILE));
        if self.config.is_none() && !file.exists() {
            return Err(Failure::usage(
                "which Pollux is meant? name its control socket with --control PATH, or its configuration with -c FILE",
            ));
        }
        let process = config::load_process(file).map_err(|report| {
            let why = settings::show(&report);
            Failure::usage(format!("{why}\n  = help: name the control socket itself: --control PATH"))
        })?;
        process.control.ok_or_else(|| {
            Failure::usage(format!(
                "{} names no control socket; add `control = \"PATH\"`, or name the socket with --control PATH",
                file.display()
            ))
        })
    }
}
