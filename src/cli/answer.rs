//! Answers to what is asked of a Pollux that runs or drains, as far as they change nothing of its
//! configuration.

use std::path::Path;

use pollux::config::{self, ProcessSettings, Written};
use pollux::control::{Command, DiscoveryStatus, OperateError, Reply, Server, WantedState};
use pollux::status::{Configuration, SessionId, Status, tell_sessions};

use super::logging::Logs;
use super::{FAILED, USAGE, recorder};

/// The part of the process that the server does not know.
pub(super) struct Around<'a> {
    /// The configuration, if it came from a file.
    pub(super) file: Option<&'a Path>,
    /// The settings with which the process was started.
    pub(super) process: &'a ProcessSettings,
    /// The texts of the file with environment variables.
    pub(super) written: &'a Written,
    pub(super) logs: &'a Logs,
    /// The sources of backends that may change.
    pub(super) discovery_status: &'a DiscoveryStatus,
}

impl Around<'_> {
    /// The answer to `command` of `by`; `None` if it is not one of those that change nothing.
    pub(super) fn answer(&self, server: &Server, command: &Command, by: &str) -> Option<Reply> {
        Some(match command {
            Command::Status => tell(&self.status(server)),
            Command::Backend(name) => tell_backend(&self.status(server), name),
            Command::Sessions(ask) => {
                let sessions = server.list_sessions(*ask);
                let data = serde_json::to_value(&sessions).unwrap_or_default();
                Reply { data, ..Reply::text(0, tell_sessions(&sessions)) }
            }
            Command::Kill(name) => kill(server, name, by),
            Command::LogLevel(wanted) => self.log_level(wanted.as_deref(), by),
            Command::Recorder { id, all } => recorder::answer(server, id.as_deref(), *all),
            Command::Metrics(format) => Reply::text(0, server.metrics(*format)),
            Command::Config => Reply::text(0, self.configured(server)),
            Command::Reload | Command::Upgrade | Command::Explain(_) | Command::Operate { .. } => {
                return None;
            }
        })
    }

    /// The configuration in force. Secrets of the file are left out: a caller need not be allowed to read the
    /// file.
    fn configured(&self, server: &Server) -> String {
        config::print_as_written(server.snapshot(), self.process, self.written, true)
    }

    /// The status of the server, with the part that it does not know itself.
    pub(super) fn status(&self, server: &Server) -> Status {
        let log = self.logs.level();
        Status {
            configuration: self.configuration(server),
            sources: self.discovery_status.tell(),
            log: Some(log),
            ..server.status()
        }
    }

    pub(super) fn configuration(&self, server: &Server) -> Configuration {
        let whole = |file: &Path| std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let file = self.file.map(|file| whole(file).display().to_string());
        Configuration { file, ..server.configuration() }
    }

    fn log_level(&self, wanted: Option<&str>, by: &str) -> Reply {
        let done = wanted.map_or(Ok(()), |wanted| self.logs.set_level(wanted, by));
        match done {
            Ok(()) => {
                let level = self.logs.level();
                let data = serde_json::to_value(&level).unwrap_or_default();
                Reply { data, ..Reply::text(0, level.to_string()) }
            }
            Err(why) => Reply::text(USAGE, why),
        }
    }
}

/// Changes a backend.
pub(super) fn operate(server: &mut Server, backend: &str, wanted: WantedState, by: &str) -> Reply {
    match server.operate(backend, wanted, by) {
        Ok(told) => Reply::text(0, told),
        Err(error @ OperateError::Change(_)) => Reply::text(USAGE, error.to_string()),
        Err(error @ OperateError::Reload(_)) => Reply::text(FAILED, error.to_string()),
    }
}

fn kill(server: &Server, name: &str, by: &str) -> Reply {
    let Some(id) = SessionId::parse(name) else {
        return Reply::text(
            USAGE,
            format!("{} is not the name of a session, such as 0.12.3", name.escape_debug()),
        );
    };
    if server.kill(id) {
        tracing::warn!(by, session = name, "the operator has ended a session");
        return Reply::text(0, format!("session {name} has ended"));
    }
    Reply::text(FAILED, format!("there is no session {name}: it may have ended by itself"))
}

/// A status as a reply.
fn tell(status: &Status) -> Reply {
    Reply { data: serde_json::to_value(status).unwrap_or_default(), ..Reply::text(0, status.to_string()) }
}

/// All that is known of the backend that is called `name`.
fn tell_backend(status: &Status, name: &str) -> Reply {
    match status.backend(name) {
        Ok((pool, backend)) => {
            let data = serde_json::to_value(backend).unwrap_or_default();
            Reply { exit: 0, text: backend.tell(pool), data }
        }
        Err(why) => Reply::text(USAGE, why),
    }
}
