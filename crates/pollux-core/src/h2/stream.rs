//! One stream of a connection (RFC 9113 §5.1): where each direction stands, what each may still send, and what its head promised.
//!
//! ```text
//!              Head ──────> Body ──────> Ended
//!    (a head is awaited)      │            ^
//!                             └─> Dropped ─┘   what comes is counted and thrown away
//! ```
//!
//! Each direction goes its way for itself: «open» is both before Ended, «half-closed» one, «closed» both. An idle stream is a number above
//! the highest one, and has no memory.

use super::credit::{ReceiveCredit, SendCredit};
use super::priority::Priority;
use super::queues::Link;
use crate::core::time::Time;

/// The state of one direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Its head is awaited: that of a response, final.
    Head,
    /// DATA and trailers may follow.
    Body,
    /// The bytes that come have no owner.
    Dropped,
    /// It has ended.
    Ended,
}

/// Bytes of DATA that a head still promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promised(u64);

impl Promised {
    pub(super) const ANY: Promised = Promised(u64::MAX);

    pub(super) fn of(length: Option<u64>) -> Promised {
        length.map_or(Promised::ANY, Promised)
    }

    /// Counts bytes; false if they are too many.
    pub(super) fn take(&mut self, count: u64) -> bool {
        if *self == Promised::ANY {
            return true;
        }
        let left = self.0.checked_sub(count);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether `count` more bytes may come.
    pub(super) fn admits(self, count: u64) -> bool {
        self == Promised::ANY || count <= self.0
    }

    /// Whether the body may end behind `count` more bytes.
    pub(super) fn ends_behind(self, count: u64) -> bool {
        self == Promised::ANY || count == self.0
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) number: u32,
    /// Its place in a queue of the connection.
    pub(super) link: Link,
    /// The owner's number for it.
    pub(super) token: u64,
    /// DATA that the peer may send.
    pub(super) receive: ReceiveCredit,
    /// DATA that we may send.
    pub(super) send: SendCredit,
    pub(super) length_in: Promised,
    pub(super) length_out: Promised,
    /// When DATA last moved as far as it counts, or when the stream began to linger.
    pub(super) moved: Time,
    /// Bytes that have gone out since.
    pub(super) progress: u32,
    /// Bytes of DATA that wait for being sent; of a stream that lingers, bytes that may still be dropped.
    pub(super) waiting: u32,
    pub(super) priority: Priority,
    /// Frames that may go out before another stream has its turn.
    pub(super) turn: u8,
    pub(super) input: Direction,
    pub(super) output: Direction,
    /// The direction ends behind what waits.
    pub(super) ends_behind: bool,
    /// The request is a HEAD.
    pub(super) is_head: bool,
    /// The request is a CONNECT: its DATA is a tunnel, whatever Content-Length says.
    pub(super) is_tunnel: bool,
    /// A response has begun, be it interim: the request was processed.
    pub(super) is_processed: bool,
    /// The window was announced by settings that are not acknowledged yet.
    pub(super) is_early: bool,
}

/// The first settings of a stream.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) number: u32,
    pub(super) receive: ReceiveCredit,
    pub(super) send: SendCredit,
    pub(super) input: Direction,
    pub(super) output: Direction,
}

impl Stream {
    pub(super) fn new(opening: Opening, now: Time) -> Stream {
        let Opening { number, receive, send, input, output } = opening;
        Stream {
            number,
            link: Link::default(),
            token: 0,
            receive,
            send,
            length_in: Promised::ANY,
            length_out: Promised::ANY,
            moved: now,
            progress: 0,
            waiting: 0,
            priority: Priority::default(),
            turn: 0,
            input,
            output,
            ends_behind: false,
            is_head: false,
            is_tunnel: false,
            is_processed: false,
            is_early: false,
        }
    }

    /// Both directions have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.input == Direction::Ended && self.output == Direction::Ended
    }

    /// The owner has left, and what still comes is dropped.
    pub(super) fn is_lingering(&self) -> bool {
        self.input == Direction::Dropped && self.output == Direction::Ended
    }
}

const _: () = assert!(size_of::<Stream>() <= 96, "what a stream costs stands in docs/internals/http2.md");
