//! The upgrade of a running Pollux, as the process sees it that is replaced.

use std::io;

use pollux::admin::{Admin, AdminDoor};
use pollux::control::{Call, Events, Origin, Reply, Server, Successor, UpgradeError};

use super::FAILED;

/// What is under way.
enum State {
    /// Nothing.
    Idle,
    /// A new process was started; perhaps somebody waits to hear of it.
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
        let origin = self
            .origin
            .as_ref()
            .map_err(|error| format!("it is not known where the executable is: {error}"))?;
        let fail = |error| format!("cannot hand the sockets over: {error}");
        let mut sockets = server.hand_out().map_err(fail)?;
        if let Some((admin, door)) = admin {
            sockets.add_admin(admin.bind.clone(), door.hand_out().map_err(fail)?);
        }
        events.upgrade(origin, sockets).map_err(|error| error.to_string())
    }

    /// Takes note of how it went; gives the process that has taken over.
    pub(super) fn end(&mut self, outcome: Result<Successor, UpgradeError>) -> Option<Successor> {
        let State::Waiting(call) = std::mem::replace(&mut self.state, State::Idle) else { return None };
        match outcome {
            Ok(successor) => {
                let text = format!(
                    "process {} has taken over; process {} drains",
                    successor.pid,
                    std::process::id()
                );
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

fn refuse(call: Option<Call>, why: &str) {
    let text = format!("no upgrade, this process goes on: {why}");
    tracing::error!("{text}");
    if let Some(call) = call {
        call.answer(Reply::text(FAILED, text));
    }
}
