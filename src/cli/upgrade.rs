//! The upgrade of a running Pollux, as the process sees it that is replaced.

use std::io;

use pollux::admin::{Admin, AdminDoor};
use pollux::control::{Call, Events, Origin, Reply, Server, Successor, UpgradeError};

use super::FAILED;

const FIRST_PROCESS: &str = "\
this is process 1, and its container ends with it: a new process would be ended while the old one drains
  = help: start a new container, or start Pollux under an init that stays, such as `docker run --init`";

/// The phase of an upgrade.
enum State {
    /// Nothing.
    Idle,
    /// A new process was started; a caller may wait for the result.
    Waiting(Option<Call>),
}

/// See the module.
pub(super) struct Upgrade {
    origin: io::Result<Origin>,
    state: State,
}

impl Upgrade {
    /// Of a process that was started from `origin`.
    pub(super) fn new(origin: io::Result<Origin>) -> Upgrade {
        Upgrade { origin, state: State::Idle }
    }

    /// Whether a new process is awaited.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Starts a new process. `call` is answered when it has taken over, or cannot.
    pub(super) fn begin(
        &mut self,
        server: &Server,
        admin: Option<(&Admin, &AdminDoor)>,
        events: &Events,
        call: Option<Call>,
    ) {
        match self.start(server, admin, events) {
            Ok(()) => self.state = State::Waiting(call),
            Err(why) => refuse(call, &why),
        }
    }

    fn start(
        &self,
        server: &Server,
        admin: Option<(&Admin, &AdminDoor)>,
        events: &Events,
    ) -> Result<(), String> {
        if self.is_under_way() {
            return Err(String::from("an upgrade is under way already"));
        }
        if std::process::id() == 1 {
            return Err(String::from(FIRST_PROCESS));
        }
        let origin = self
            .origin
            .as_ref()
            .map_err(|error| format!("it is not known where the executable is: {error}"))?;
        let fail = |error| format!("cannot hand the sockets over: {error}");
        let mut sockets = server.hand_out().map_err(fail)?;
        if let Some((admin, admin_door)) = admin {
            sockets.add_admin(admin.bind.clone(), admin_door.hand_out().map_err(fail)?);
        }
        events.upgrade(origin, sockets).map_err(|error| error.to_string())
    }

    /// Records how it went; returns the process that has taken over.
    pub(super) fn end(&mut self, outcome: Result<Successor, UpgradeError>) -> Option<Successor> {
        let State::Waiting(call) = std::mem::replace(&mut self.state, State::Idle) else { return None };
        match outcome {
            Ok(successor) => {
                let text = tell(&successor);
                tracing::info!("{text}");
                if let Some(call) = call {
                    call.answer(Reply::text(0, text));
                }
                Some(successor)
            }
            Err(error) => {
                refuse(call, &error.to_string());
                None
            }
        }
    }
}

/// The result, with both versions.
fn tell(Successor { pid, executable, version, .. }: &Successor) -> String {
    let version = version.as_ref().map_or_else(
        || String::from("of a version that it does not say"),
        |version| format!("version {version}"),
    );
    format!(
        "process {pid} ({version}, {}) has taken over; process {} (version {}) drains",
        executable.display(),
        std::process::id(),
        env!("CARGO_PKG_VERSION"),
    )
}

fn refuse(call: Option<Call>, why: &str) {
    let text = format!("no upgrade, this process goes on: {why}");
    tracing::error!("{text}");
    if let Some(call) = call {
        call.answer(Reply::text(FAILED, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_both_versions() {
        let mut successor =
            Successor { pid: 7, left: Vec::new(), executable: "/opt/cur/pollux".into(), version: None };
        let own = format!("process {} (version {}) drains", std::process::id(), env!("CARGO_PKG_VERSION"));
        successor.version = Some(String::from("9.8.7"));
        let told = tell(&successor);
        assert!(told.starts_with("process 7 (version 9.8.7, /opt/cur/pollux) has taken over; "), "{told}");
        assert!(told.ends_with(&own), "{told}");
        successor.version = None;
        assert!(
            tell(&successor).starts_with("process 7 (of a version that it does not say, /opt/cur/pollux)")
        );
    }
}
