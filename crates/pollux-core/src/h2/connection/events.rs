//! The events between a connection and its owner.

use std::time::Duration;

#[cfg(doc)]
use super::Connection;
use crate::h2::encoder::FieldBlock;
use crate::h2::fields::Fields;
use crate::h2::frame::{self, ErrorCode};
use crate::h2::head::{HeadFault, RequestHead, ResponseHead};
use crate::h2::nuisance::Nuisance;
use crate::h2::priority::Priority;

/// An error that ends a connection. GOAWAY with the code is in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// The code that the peer gets.
    pub code: ErrorCode,
    /// The nuisance that exceeded the budget.
    pub nuisance: Option<Nuisance>,
}

impl From<ErrorCode> for ConnectionError {
    fn from(code: ErrorCode) -> ConnectionError {
        ConnectionError { code, nuisance: None }
    }
}

impl From<Nuisance> for ConnectionError {
    fn from(nuisance: Nuisance) -> ConnectionError {
        ConnectionError { code: ErrorCode::ENHANCE_YOUR_CALM, nuisance: Some(nuisance) }
    }
}

/// Why a stream is over before both directions have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyReset {
    /// The peer says so.
    Peer,
    /// The peer resets it after its own end: it wants no more of our body.
    PeerAfterEnd,
    /// The peer proves that it has not processed the request: any request may be sent again (RFC 9113 §8.7).
    Unprocessed,
    /// The peer's head or trailers are malformed.
    Malformed(HeadFault),
    /// The peer's head or trailers are above the bounds.
    TooLarge,
    /// Content-Length and DATA differ (§8.1.1).
    Length,
    /// A frame in a state that does not allow it.
    Order,
    /// A frame of a size that it must not have.
    FrameSize,
    /// The peer breaks the rules of the window.
    Window,
    /// A body came where there is none, behind a response that was reported whole.
    Surplus,
    /// DATA waited too long for the peer's window.
    Stalled,
}

/// An event from the peer.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A stream has opened.
    Request {
        /// Its number.
        stream: u32,
        /// Its head.
        head: RequestHead<'a>,
        /// Its fields.
        fields: &'a Fields,
        /// As the client asks; [`Connection::set_priority`] changes it.
        priority: Priority,
        /// There is no body.
        ends_stream: bool,
    },
    /// A stream has opened with a head above the bounds: it is to be answered, with 431.
    TooLarge {
        /// Its number.
        stream: u32,
        /// There is no body.
        ends_stream: bool,
    },
    /// A client's request was malformed. Its stream is reset and has no exchange.
    Malformed {
        /// Its number.
        stream: u32,
        /// Why.
        fault: HeadFault,
    },
    /// A client's request was above the bound of streams. Its stream is reset and has no exchange.
    Refused {
        /// Its number.
        stream: u32,
    },
    /// A response, final or interim.
    Response {
        /// Its number.
        stream: u32,
        /// The owner's number for it.
        token: u64,
        /// Its head.
        head: ResponseHead,
        /// Its fields.
        fields: &'a Fields,
        /// There is no body, or it would have no meaning.
        ends_stream: bool,
    },
    /// A piece of a body, never empty.
    Data {
        /// Its number.
        stream: u32,
        /// The owner's number for it.
        token: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The body has ended, without trailers.
    End {
        /// Its number.
        stream: u32,
        /// The owner's number for it.
        token: u64,
    },
    /// The body has ended with these.
    Trailers {
        /// Its number.
        stream: u32,
        /// The owner's number for it.
        token: u64,
        /// The trailers.
        fields: &'a Fields,
    },
    /// The stream is over.
    Reset {
        /// Its number.
        stream: u32,
        /// The owner's number for it.
        token: u64,
        /// The code of the peer, or what the peer is told.
        code: ErrorCode,
        /// Why.
        why: WhyReset,
    },
    /// The peer takes no new streams.
    GoAway {
        /// Streams above it were not processed; a Reset follows for each.
        last: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The peer's settings have changed: more streams may be opened, or fewer.
    Settings,
    /// The peer has answered our PING.
    Pong {
        /// After so long.
        after: Duration,
    },
}

/// An exchange that a lost connection has taken with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostStream {
    /// Its number.
    pub stream: u32,
    /// The owner's number for it.
    pub token: u64,
    /// No byte of a response has come.
    pub is_unanswered: bool,
}

/// A request that opens a stream.
#[derive(Clone, Copy, Debug)]
pub struct NewRequest<'a> {
    /// Its fields.
    pub block: &'a FieldBlock,
    /// Content-Length, in bytes.
    pub length: Option<u64>,
    /// There is no body.
    pub ends_stream: bool,
    /// The method is HEAD.
    pub is_head: bool,
    /// The method is CONNECT.
    pub is_connect: bool,
    /// The owner's number for it.
    pub token: u64,
}

/// The head of a response of ours.
#[derive(Clone, Copy, Debug)]
pub struct NewResponse<'a> {
    /// Its status; below 200 it is interim.
    pub status: u16,
    /// Its fields.
    pub block: &'a FieldBlock,
    /// Content-Length, in bytes.
    pub length: Option<u64>,
    /// There is no body.
    pub ends_stream: bool,
}

/// Why no stream can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotOpen {
    /// As many as the peer, or we, allow are open.
    Full,
    /// The connection takes no new ones any more.
    Leaving,
    /// The list of fields is larger than the peer takes (RFC 9113 §10.5.1). No stream opens, and
    /// the connection goes on.
    TooLarge,
}

/// Why something cannot be sent on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotSend {
    /// There is no such stream any more.
    Gone,
    /// It is not the time for it.
    Order,
    /// It would not be as long as its head says. The stream is reset, so that the message does not look complete.
    Length,
    /// The list of fields is larger than the peer takes (RFC 9113 §10.5.1). Nothing is written, and the stream waits as before: for a smaller
    /// head, for an end without trailers, or for a reset.
    TooLarge,
}

/// DATA to be written now: the head of its frame, and as many bytes of the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Of this stream.
    pub stream: u32,
    /// The owner's number for it.
    pub token: u64,
    /// So many bytes, from those that were offered.
    pub length: u32,
    /// The direction ends with them.
    pub ends_stream: bool,
    /// The head of the frame.
    pub head: [u8; frame::HEAD],
}
