//! Changes of an operator to a running Pollux: backends, sessions.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::changes::ChangeError;
use super::mailbox::Order;
use super::reload::ReloadError;
use super::server::Server;
use crate::operator::WantedState;
use crate::snapshot::Snapshot;
use crate::status::{Changed, Holder, SessionId, SessionsAsk};
use crate::tls::ServedSnapshot;

/// Why something was not done.
#[derive(Debug)]
pub enum OperateError {
    /// It cannot be meant.
    Change(ChangeError),
    /// It could not be done.
    Reload(ReloadError),
}

impl fmt::Display for OperateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperateError::Change(error) => error.fmt(f),
            OperateError::Reload(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OperateError {}

impl Server {
    /// Changes the state or the weight of the backend that is called `name`, as `pool/backend`, for `by`. When it returns every
    /// worker holds what begins to that. Gives what is told of it.
    ///
    /// # Errors
    /// See [`OperateError`]; everything stays as it was after one.
    pub fn operate(&mut self, name: &str, wanted: WantedState, by: &str) -> Result<String, OperateError> {
        let before = self.changes.clone();
        let done = self.changes.note(&self.filed, name, wanted, by).map_err(OperateError::Change);
        let done = done.and_then(|told| self.take_changes().map(|()| told).map_err(OperateError::Reload));
        match &done {
            Ok(told) => tracing::warn!(by, "the operator has changed a backend: {told}"),
            Err(_) => self.changes = before,
        }
        done
    }

    /// Lays the changes over what the configuration says, and has the workers run on that.
    fn take_changes(&mut self) -> Result<(), ReloadError> {
        let pools = self.with_changes(self.filed.clone());
        if pools == self.snapshot().pools {
            return Ok(());
        }
        let snapshot = Snapshot { pools, ..Snapshot::clone(self.snapshot()) };
        let tls = Arc::clone(&self.tls);
        self.exchange(ServedSnapshot { snapshot, tls }).map(drop)
    }

    /// The changes of an operator that still hold.
    #[must_use]
    pub fn changes(&self) -> Vec<Changed> {
        self.changes.tell()
    }

    /// The sessions that are asked for: asks every worker that still runs, and waits for the answers.
    #[must_use]
    pub fn list_sessions(&self, ask: SessionsAsk) -> Vec<Holder> {
        let mut found: Vec<_> = self.ask(|to| Order::List { ask, to }).into_iter().flatten().collect();
        ask.arrange(&mut found);
        found
    }

    /// Ends a session; false if there is none of that name.
    #[must_use]
    pub fn kill(&self, id: SessionId) -> bool {
        let (to, answer) = channel();
        self.mailbox(id.worker).is_some_and(|mailbox| {
            mailbox.post(Order::Kill { key: id.key, to });
            // A worker that has ended has no sessions.
            answer.recv().unwrap_or(false)
        })
    }
}
