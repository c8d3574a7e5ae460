//! The steps of an exchange, each in a few bytes.

use std::fmt;

use crate::balance::{NoBackend, Rule};
use crate::core::outcome::{Cause, Proof};
use crate::core::time::Time;

/// A transition. Backends are named by their places in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client was accepted, and this is the first exchange of its connection.
    Accepted,
    /// The first byte of a further request has come.
    Begun,
    /// The request head was complete.
    HeadComplete,
    /// The policy at that place of the route's list asks an authority.
    Asked {
        /// The place.
        policy: u32,
    },
    /// The authority agrees.
    Allowed,
    /// It does not.
    Denied,
    /// It has said nothing in time.
    Unanswered,
    /// The pool has picked that backend.
    Picked {
        /// The backend.
        backend: u32,
        /// The rule that made it the one.
        rule: Rule,
    },
    /// No backend was free, and so many waited before it.
    Queued {
        /// The others.
        ahead: u32,
    },
    /// No backend can be asked.
    NoBackend(NoBackend),
    /// An idle connection is used again.
    Reused,
    /// A connect has begun.
    Connecting,
    /// The connection stands.
    Connected,
    /// The backend's backlog is full, or there is no descriptor: it is asked again and again.
    Busy(Cause),
    /// The last byte of the request was handed to the kernel.
    Sent,
    /// The head of a response has come, with that status.
    Responded(u16),
    /// The head of a response has come, with a status for which another one is wanted.
    AnotherWanted,
    /// The backend has failed the attempt.
    Failed(Cause),
    /// The request is to be sent again.
    Retry(Proof),
    /// It would have been, but the pool has no budget for it.
    BudgetSpent,
    /// The backend connection was put into the idle set.
    Kept,
    /// The backend connection was closed.
    Closed,
    /// The backend connection was reset.
    Reset,
    /// The exchange is over.
    Ended,
}

/// A transition, and when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedStep {
    /// When.
    pub at: Time,
    /// What.
    pub step: Step,
}

/// A step in words; backends by the names that a function knows.
pub(super) struct RenderedStep<'a> {
    pub(super) step: Step,
    /// The backend that was picked last.
    pub(super) backend: &'a str,
    pub(super) route: &'a str,
    pub(super) pool: &'a str,
    /// The authority that was asked last.
    pub(super) authority: &'a str,
}

impl fmt::Display for RenderedStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RenderedStep { step, backend, route, pool, authority } = self;
        match step {
            Step::Accepted => f.write_str("accepted"),
            Step::Begun => f.write_str("first byte of a further request"),
            Step::HeadComplete => {
                f.write_str("head complete")?;
                if !route.is_empty() {
                    write!(f, ", route {route}")?;
                }
                if !pool.is_empty() {
                    write!(f, ", pool {pool}")?;
                }
                Ok(())
            }
            Step::Asked { .. } => write!(f, "asks {authority}"),
            Step::Allowed => write!(f, "{authority} agrees"),
            Step::Denied => write!(f, "{authority} refuses"),
            Step::Unanswered => write!(f, "{authority} has not replied in time"),
            Step::Picked { rule, .. } => write!(f, "picked {backend} ({})", rule.as_str()),
            Step::Queued { ahead } => write!(f, "every backend is full: waits behind {ahead}"),
            Step::NoBackend(NoBackend::Full) => f.write_str("every backend is full, and so is the queue"),
            Step::NoBackend(NoBackend::Down) => f.write_str("no backend is up"),
            Step::NoBackend(NoBackend::Tried) => f.write_str("every backend was tried"),
            Step::Reused => write!(f, "{backend}: an idle connection is used again"),
            Step::Connecting => write!(f, "{backend}: connecting"),
            Step::Connected => write!(f, "{backend}: connected"),
            Step::Busy(cause) => write!(f, "{backend}: busy, asked again ({cause})"),
            Step::Sent => write!(f, "{backend}: request sent"),
            Step::Responded(0) => write!(f, "{backend}: the connection serves"),
            Step::Responded(status) => write!(f, "{backend}: response head, status {status}"),
            Step::AnotherWanted => write!(f, "{backend}: response head, with a status that is to be retried"),
            Step::Failed(cause) => write!(f, "{backend}: failed, {cause}"),
            Step::Retry(proof) => write!(f, "once more ({proof})"),
            Step::BudgetSpent => f.write_str("not once more: the budget for retries is spent"),
            Step::Kept => write!(f, "{backend}: connection kept"),
            Step::Closed => write!(f, "{backend}: connection closed"),
            Step::Reset => write!(f, "{backend}: connection reset"),
            Step::Ended => f.write_str("ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_small() {
        assert_eq!(size_of::<RecordedStep>(), 16);
    }
}
