//! Authorities: what decides about requests and is no worker.
//!
//! A worker asks while it drives a session. A reply that is not there at once comes later, from any thread, by the
//! [`ReplyTo`] of the question; it wakes the worker. The session looks whether it still waits for it. Each question
//! ends at its deadline, so an authority may forget one at any time.

use std::fmt::Debug;
use std::sync::Arc;

use crate::core::slab::Key;
use crate::policy::{PolicyReply, Question};
use crate::shared::queue::WakeupQueue;

/// See the module.
pub trait Authority: Debug + Send + Sync {
    /// The reply of the authority with that number, if it is known at once. Otherwise it goes to `reply_to`.
    fn ask(&self, number: u32, reply_to: ReplyTo) -> Option<PolicyReply>;
}

/// The address to which the reply to one question goes. There is at most one, so that no more replies lie at
/// a worker than it has asked questions.
#[derive(Debug)]
pub struct ReplyTo {
    wakeups: Arc<WakeupQueue>,
    session: Key,
    question: Question,
}

impl ReplyTo {
    /// For a question of `session`, whose worker is woken by `wakeups`.
    #[must_use]
    pub fn new(wakeups: &Arc<WakeupQueue>, session: Key, question: Question) -> ReplyTo {
        ReplyTo { wakeups: Arc::clone(wakeups), session, question }
    }

    /// Replies.
    pub fn reply(self, reply: PolicyReply) {
        self.wakeups.push_reply(Replied { session: self.session, question: self.question, reply });
    }
}

/// A reply on its way to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replied {
    /// The session.
    pub session: Key,
    /// The question.
    pub question: Question,
    /// The reply.
    pub reply: PolicyReply,
}
