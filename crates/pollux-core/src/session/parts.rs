//! The parts of an [`Exchange`](super::Exchange), by how long what they hold is true: a request, the attempt that is
//! under way, all attempts so far, the response, and the times. Each is replaced as a whole when that is over.

use ::core::net::IpAddr;
use ::core::num::NonZeroU32;
use std::time::Duration;

use super::collect::Collected;
use crate::core::grpc::GrpcStatus;
use crate::core::ids::PoolId;
use crate::core::outcome::{Proof, Proofs, Queued, Spans};
use crate::core::time::Time;
use crate::message::{Method, Version};
use crate::route::Retry;

/// The request of an exchange, and its destination.
#[derive(Debug, Default)]
pub(crate) struct Requested {
    pub(crate) method: Method,
    pub(crate) version: Option<Version>,
    /// The client, behind the proxies that are trusted; `None` as long as no head was read.
    pub(crate) client: Option<IpAddr>,
    /// The route that was taken, by its place in the listener.
    pub(crate) route: Option<usize>,
    /// The pool that is asked.
    pub(crate) pool: Option<PoolId>,
    /// The hash of the key by which a backend is picked.
    pub(crate) key: Option<u64>,
    /// The backend that the client is bound to, by its place in the pool.
    pub(crate) bound: Option<usize>,
    /// When the request may be sent again.
    pub(crate) retry: Retry,
    /// Lines that the route adds to the response.
    pub(crate) response_fields: Vec<u8>,
    /// The authority that the request was for, if what comes back is put into the paths and names of the client; and
    /// whether its path was changed.
    pub(crate) back: Option<(Box<[u8]>, bool)>,
    pub(crate) upgrade: Option<Box<Upgrade>>,
    /// Whether it is a call of gRPC.
    pub(crate) is_call: bool,
    /// The milliseconds that the caller gives the call, if it has said that.
    pub(crate) call_ms: Option<NonZeroU32>,
    /// Whether the backend connection is the client's alone from now on, because a login may hold for it.
    pub(crate) is_login: bool,
    /// Whether the client may wait for a 100 before it sends the body.
    pub(crate) expects: bool,
    /// The body that is collected, or was.
    pub(crate) collected: Option<Box<Collected>>,
    /// Whether the head for the backend asks for its connection to be kept.
    pub(crate) asks_to_keep: bool,
    /// Whether what is sent to the backend begins with a header of the PROXY protocol.
    pub(crate) is_announced: bool,
    /// Method, target and authority, one after the other.
    pub(super) text: Vec<u8>,
    pub(super) method_length: usize,
    pub(super) target_length: usize,
}

/// The protocols that the client would switch to.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// The protocols, as a list.
    pub(crate) protocols: Vec<u8>,
    /// Whether a body comes before that.
    pub(crate) is_behind_body: bool,
    /// The Sec-WebSocket-Accept of a backend that switches, if Pollux has made the key.
    pub(crate) accept: Option<Box<str>>,
}

impl Requested {
    /// The protocols that the client would switch to, as a list.
    pub(crate) fn protocols(&self) -> &[u8] {
        self.upgrade.as_ref().map_or(&[], |upgrade| &upgrade.protocols)
    }

    /// Whether the client would switch protocols behind a body.
    pub(crate) fn is_upgrade_behind_body(&self) -> bool {
        self.upgrade.as_ref().is_some_and(|upgrade| upgrade.is_behind_body)
    }

    /// Nothing, with the memory of the last one.
    pub(crate) fn renewed(&mut self) -> Requested {
        let (mut text, mut fields) =
            (std::mem::take(&mut self.text), std::mem::take(&mut self.response_fields));
        text.clear();
        fields.clear();
        Requested { text, response_fields: fields, ..Requested::default() }
    }
}

/// The attempt that is under way, or was the last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attempt {
    /// The backend in use, or tried last, by its place in the pool.
    pub(crate) backend: Option<usize>,
    pub(crate) is_reused: bool,
    /// Whether the backend has proved that it has not processed the request.
    pub(crate) is_refused: bool,
    /// Whether it was said that the backend has failed.
    pub(crate) is_blamed: bool,
    /// When the last byte of the request went out, or the last interim response came in.
    pub(crate) asked_at: Option<Time>,
    pub(crate) unread: Unread,
    /// Bytes that the lane had passed up when it began.
    pub(crate) up_before: u64,
}

impl Attempt {
    /// One at `backend` that begins when the lane has passed so many bytes up.
    pub(crate) fn new(backend: usize, up_before: u64) -> Attempt {
        Attempt { backend: Some(backend), up_before, ..Attempt::default() }
    }
}

/// All attempts so far, and the one to come.
#[derive(Debug, Default)]
pub(crate) struct Retrying {
    pub(crate) attempts: u32,
    /// Backends that are not to be picked again.
    pub(crate) tried: Vec<usize>,
    /// Whether an idle connection was found stale, so that only a new one will do.
    pub(crate) only_fresh: bool,
    /// Why there were others than the first.
    pub(crate) retried: Proofs,
    /// The number of them that count against the bound of the pool.
    pub(crate) counted: u32,
    /// Why there will be another one, until it is made.
    pub(crate) next: Option<Next>,
    /// The number of waits until a backend could be reached.
    pub(crate) reach_waits: u32,
    pub(crate) budget: Budgeted,
    /// The wait until a backend was free, if there was one.
    pub(crate) queued: Option<Queued>,
}

impl Retrying {
    /// None, with the memory of the last ones.
    pub(crate) fn renewed(&mut self) -> Retrying {
        let mut tried = std::mem::take(&mut self.tried);
        tried.clear();
        Retrying { tried, ..Retrying::default() }
    }

    /// An attempt begins, and is counted with the reason for it.
    pub(crate) fn begin_attempt(&mut self) {
        self.attempts += 1;
        if let Some(next) = self.next.take() {
            self.retried.push(next.proof);
        }
    }

    /// The attempt that has begun was none.
    pub(crate) fn take_back_attempt(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// The next attempt is made for `proof`, and counts against what the pool allows.
    pub(crate) fn count(&mut self, proof: Proof) {
        self.counted += 1;
        self.next = Some(Next { proof, is_counted: true });
    }

    /// Whether the next attempt may go to a backend that was tried before: it counts, and no backend may have died of
    /// the request.
    pub(crate) fn may_go_round(&self) -> bool {
        self.next.is_some_and(|next| next.is_counted && next.proof != Proof::Idempotent)
    }

    /// The time that it has waited until a backend was free.
    pub(crate) fn waited(&self) -> Duration {
        self.queued.map_or(Duration::ZERO, |queued| queued.wait)
    }
}

/// An attempt that is about to be made, behind the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Why it may be made.
    pub(crate) proof: Proof,
    /// Whether it counts against what the pool allows.
    pub(crate) is_counted: bool,
}

/// Whether the pool has had a budget for retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Budgeted {
    /// Whenever it was asked.
    #[default]
    Enough,
    /// Not for the last one, which was not made.
    Spent,
    /// The budget is spent, so a status that would be retried is passed on.
    KeepsStatus,
}

/// The response as far as it has come, or an answer of Pollux's own.
#[derive(Debug, Default)]
pub(crate) struct Responded {
    pub(crate) status: u16,
    /// The status of a call of gRPC, once it is known.
    pub(crate) grpc: Option<GrpcStatus>,
    pub(crate) answered: Answered,
    pub(crate) interims: u8,
    pub(crate) continued: Continued,
    pub(crate) reuse: Reuse,
}

/// The progress of the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answered {
    /// No final head has come; so many interim ones have.
    #[default]
    Awaited,
    /// The final head was passed on, or is about to be.
    Begun {
        /// Whether the client can tell from the bytes where the body ends.
        is_delimited: bool,
        /// Whether it is a stream, which may be silent for long.
        is_stream: bool,
    },
}

/// Whether the client has got a 100 (Continue).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Continued {
    /// No.
    #[default]
    No,
    /// One that stands in for none of the backend's.
    Said,
    /// Pollux's, in the place of the backend's.
    StoodIn {
        /// Whether the backend has said it since.
        is_said: bool,
    },
}

/// Whether the backend lets its connection be used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// No, or it has not said.
    #[default]
    Refused,
    /// It keeps it while nothing comes.
    Allowed {
        /// For how long, if it has said that.
        idle: Option<Duration>,
    },
}

/// The future of the client's connection behind the exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// It ends.
    #[default]
    Ends,
    /// It ends, because the client has said that it asks for nothing more.
    IsLast,
    /// It goes on.
    GoesOn,
}

impl Afterwards {
    /// Whether the connection goes on.
    pub(crate) fn goes_on(self) -> bool {
        self == Afterwards::GoesOn
    }

    /// Ends the connection unless `keep_alive`.
    pub(crate) fn limited(self, keep_alive: bool) -> Afterwards {
        match self {
            Afterwards::GoesOn if !keep_alive => Afterwards::Ends,
            Afterwards::Ends | Afterwards::IsLast | Afterwards::GoesOn => self,
        }
    }
}

/// Whether Pollux has had no buffer for what the backend may have sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It has had one whenever it was needed.
    #[default]
    Never,
    /// Then it had none, for the last time.
    At(Time),
    /// It had none before then, and the backend was given its time once more.
    Forgiven(Time),
}

/// When what happened, and what the lanes had passed by then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    pub(crate) began: Time,
    pub(crate) spans: Spans,
    /// When the client was found to have ended its direction.
    pub(crate) left_at: Option<Time>,
    /// Bytes that the lanes had passed up and down when the exchange began.
    pub(super) up_before: u64,
    pub(super) down_before: u64,
}
