//! An HTTP/2 connection as a machine without I/O, for both roles (RFC 9113).
//!
//! The owner has the socket, the clock, and an exchange for each stream. The machine has what the two peers must agree on: settings,
//! windows, the states of the streams, the table of fields, and who is leaving.
//!
//! # Order of calls
//!
//! 1. [`read`](Connection::read) with the bytes that have come, until it returns `None`. Each [`Incoming`] belongs to an exchange, which the
//!    owner names by [`attach`](Connection::attach) or [`NewRequest::token`]. DATA is to be taken as a whole: there is room for it,
//!    because no more was promised.
//! 2. For each exchange that has moved: [`grant`](Connection::grant) the room that its lane has now, write heads with
//!    [`respond`](Connection::respond), [`open`](Connection::open) and [`trailers`](Connection::trailers), and
//!    [`offer`](Connection::offer) the body bytes that wait.
//! 3. Write [`output`](Connection::output), then each [`Piece`] of [`next_piece`](Connection::next_piece): its nine bytes, and behind them
//!    its bytes of the lane. Nothing else goes out within a piece, and what
//!    the output gains after a piece was taken goes out behind it.
//! 4. At the [`deadline`](Connection::deadline): [`expire`](Connection::expire), until it returns `None`.
//!
//! Read only while [`wants_read`](Connection::wants_read). After an error, write what is in [`output`](Connection::output) and close;
//! [`lose`](Connection::lose) names the exchanges that were on it.

mod events;
mod heads;
mod receive;
mod send;
mod time;

use std::sync::Arc;
use std::time::Duration;

use super::closed::{ClosedStreams, Ending};
use super::credit::{ReceiveCredit, SendCredit};
use super::decoder::{Bounds, Decoder};
use super::frame::{self, ErrorCode, MAX_31, PREFACE};
use super::nuisance::NuisanceBudget;
use super::priority::EarlyPriorities;
use super::queues::{STREAMS_MAX, Slot, Streams};
use super::reader::Reader;
use super::settings::Settings;
use super::stream::Stream;
use crate::core::time::Time;

pub use events::{
    CannotOpen, CannotSend, ConnectionError, Incoming, LostStream, NewRequest, NewResponse, Piece, WhyReset,
};

/// So many replies to the peer's frames may wait for being written before no more is read.
pub const REPLIES_MAX: u16 = 64;
/// A field block may be so many times the list that it stands for: the rest is for wasteful encoders and for lists that get their 431.
const BLOCK_EXCESS: usize = 4;
/// The window of RFC 9113 §6.9.2.
const FIRST_WINDOW: u32 = 65_535;
/// The streams that a backend is assumed to allow before it has said so (§6.5.2 recommends not less).
const STREAMS_ASSUMED: u32 = 100;

/// The side that we are on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer is a client.
    Server,
    /// The peer is a backend.
    Client,
}

/// The settings of each connection of one kind.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Streams that may be open at once: as we announce it to clients, or as we keep to it with backends. At most [`STREAMS_MAX`].
    pub streams: u32,
    /// Bytes that may come on a stream that opens: the room that its lane begins with.
    pub stream_window: u32,
    /// Bytes that may be under way to us on all streams together.
    pub window: u32,
    /// The bounds of a head that is kept.
    pub head: Bounds,
    /// Bytes of the table of fields that the peer may use.
    pub table: u32,
    /// Whether clients may send an extended CONNECT (RFC 8441).
    pub connect: bool,
    /// The peer acknowledges our settings within it.
    pub settings_timeout: Duration,
    /// The peer answers a PING within it.
    pub ping_timeout: Duration,
    /// DATA that waits only for the peer's window moves within it.
    pub stall_timeout: Duration,
    /// A request body that no one reads any more ends within it.
    pub linger_timeout: Duration,
}

impl Default for ConnectionConfig {
    fn default() -> ConnectionConfig {
        ConnectionConfig {
            streams: 100,
            stream_window: FIRST_WINDOW,
            window: 1 << 20,
            head: Bounds { list: 32 * 1024, fields: 100 },
            table: 4096,
            connect: false,
            settings_timeout: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(5),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    config: Arc<ConnectionConfig>,
    reader: Reader,
    decoder: Decoder,
    streams: Streams,
    closed: ClosedStreams,
    /// Allocated by the first PRIORITY_UPDATE that comes before its stream.
    early: Option<Box<EarlyPriorities>>,
    /// The settings of the peer.
    peer: Settings,
    /// The initial window that the streams reckon with.
    window_applied: u32,
    /// Entries of the SETTINGS frame that is being read.
    entries: u16,
    /// The highest stream that was ever opened.
    highest: u32,
    send: SendCredit,
    receive: ReceiveCredit,
    budget: NuisanceBudget,
    /// Bytes to be written; those before `written` have been.
    out: Vec<u8>,
    written: usize,
    /// Replies among them.
    replies: u16,
    /// When the connection began; its settings went out then.
    began: Time,
    /// When DATA of any stream last moved as far as it counts.
    moved: Time,
    /// When a PING went out that is not answered, and the number that it carries.
    ping: Option<Time>,
    pings: u32,
    /// The last stream that our GOAWAY admits.
    admitted: Option<u32>,
    /// The last stream that the peer's GOAWAY admits.
    peer_admits: Option<u32>,
    /// Streams above `peer_admits` are still to be reported.
    has_refused: bool,
    is_server: bool,
    has_settings: bool,
    is_acknowledged: bool,
    /// The SETTINGS frame that is being read lowers the peer's table of fields.
    lowers_table: bool,
    /// The next block says that it uses no table.
    owes_table: bool,
    error: Option<ConnectionError>,
}

const _: () =
    assert!(size_of::<Connection>() <= 576, "what a connection costs stands in docs/internals/http2.md");

impl Connection {
    /// Begins a connection. Its settings are in the output at once: gRPC clients send nothing before they have them.
    #[must_use]
    pub fn new(role: Role, config: Arc<ConnectionConfig>, now: Time) -> Connection {
        let is_server = role == Role::Server;
        let block_max = config.head.list.saturating_mul(BLOCK_EXCESS);
        let mut connection = Connection {
            reader: if is_server { Reader::of_client(block_max) } else { Reader::of_server(block_max) },
            decoder: Decoder::of_connection(config.table as usize),
            streams: Streams::default(),
            closed: ClosedStreams::default(),
            early: None,
            peer: Settings::default(),
            window_applied: FIRST_WINDOW,
            entries: 0,
            highest: 0,
            send: SendCredit::new(FIRST_WINDOW),
            receive: ReceiveCredit::new(FIRST_WINDOW, config.window),
            budget: NuisanceBudget::new(now),
            out: Vec::new(),
            written: 0,
            replies: 0,
            began: now,
            moved: now,
            ping: None,
            pings: 0,
            admitted: None,
            peer_admits: None,
            has_refused: false,
            is_server,
            has_settings: false,
            is_acknowledged: false,
            lowers_table: false,
            owes_table: true,
            error: None,
            config,
        };
        connection.begin();
        connection
    }

    fn begin(&mut self) {
        if !self.is_server {
            self.out.extend_from_slice(PREFACE);
        }
        let settings = Settings {
            table: self.config.table,
            streams: self.is_server.then_some(self.config.streams.min(STREAMS_MAX)),
            window: self.config.stream_window.min(MAX_31),
            list: Some(u32::try_from(self.config.head.list).unwrap_or(u32::MAX)),
            connect: self.config.connect,
            ..Settings::default()
        };
        settings.write(self.is_server, &mut self.out);
        let window = self.config.window.min(MAX_31);
        if let Some(increment) = self.receive.grant(window, 0) {
            frame::write_window(0, increment, &mut self.out);
        }
    }

    /// The settings of the peer: the largest list of fields it takes, and whether it takes an extended
    /// CONNECT.
    #[must_use]
    pub fn peer(&self) -> &Settings {
        &self.peer
    }

    /// Bytes to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// So many bytes of the output were written.
    pub fn consume(&mut self, count: usize) {
        self.written += count.min(self.out.len() - self.written);
        if self.written == self.out.len() {
            self.out.clear();
            (self.written, self.replies) = (0, 0);
        }
    }

    /// Whether bytes of the peer may be read: not while it lets our replies pile up.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.replies < REPLIES_MAX && self.error.is_none()
    }

    /// The number of open streams.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether an end of the peer's bytes is in order here.
    #[must_use]
    pub fn may_end(&self) -> bool {
        self.streams.len() == 0 && self.reader.is_between_frames()
    }

    /// The connection has failed, or one side is leaving and no stream is open: it is to be closed once the output is written.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // Streams of clients may still come behind a GOAWAY that names none as the last.
        let admits_none = self.admitted.is_some_and(|last| last < MAX_31 || !self.is_server);
        let is_leaving = admits_none || self.peer_admits.is_some();
        self.error.is_some() || (is_leaving && self.streams.len() == 0)
    }

    /// Why it has failed.
    #[must_use]
    pub fn error(&self) -> Option<ConnectionError> {
        self.error
    }

    /// Whether new streams may be opened one day: no side is leaving, and there are numbers left.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.error.is_some()
            || self.admitted.is_some()
            || self.peer_admits.is_some()
            || (!self.is_server && self.highest >= MAX_31)
    }

    /// The number of streams that may still be opened now, to a backend.
    #[must_use]
    pub fn free_streams(&self) -> u32 {
        if self.is_server || self.is_leaving() {
            return 0;
        }
        let assumed = if self.has_settings { u32::MAX } else { STREAMS_ASSUMED };
        let most = self.peer.streams.unwrap_or(assumed).min(self.config.streams).min(STREAMS_MAX);
        most.saturating_sub(self.streams.len() as u32)
    }

    /// Names the exchange of a stream.
    pub fn attach(&mut self, stream: u32, token: u64) {
        if let Some(slot) = self.streams.find(stream) {
            self.streams.get_mut(slot).token = token;
        }
    }

    /// The next exchange of a connection that is lost: it has failed, or the peer has closed it. `None` once there is no more.
    pub fn lose(&mut self) -> Option<LostStream> {
        loop {
            let slot = self.streams.highest()?;
            let Stream { number, token, is_processed, .. } = *self.streams.get(slot);
            let is_lingering = self.streams.get(slot).is_lingering();
            self.remove(slot, Ending::ResetByUs);
            if !is_lingering {
                return Some(LostStream { stream: number, token, is_unanswered: !is_processed });
            }
        }
    }

    /// Gives memory back while nothing happens.
    pub fn rest(&mut self) {
        self.reader.rest();
        self.streams.rest();
        self.decoder.rest();
        self.early = self.early.take().filter(|early| !early.is_empty());
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// The memory that is held beside the struct, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.streams.capacity()
            + self.closed.capacity()
            + self.early.as_ref().map_or(0, |early| size_of::<EarlyPriorities>() + early.capacity())
            + self.reader.capacity()
            + self.decoder.table().capacity()
            + self.out.capacity()
    }

    /// The table of the peer's fields.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Bytes of DATA that the peer may send on a stream; zero if it is not open.
    #[must_use]
    pub fn promised(&self, stream: u32) -> u32 {
        self.streams.find(stream).map_or(0, |slot| self.streams.get(slot).receive.promised())
    }

    /// Bytes of DATA that we may send on a stream now; zero if it is not open.
    #[must_use]
    pub fn sendable(&self, stream: u32) -> u32 {
        let on_stream = self.streams.find(stream).map_or(0, |slot| self.streams.get(slot).send.available());
        on_stream.min(self.send.available())
    }

    fn remove(&mut self, slot: Slot, ending: Ending) {
        self.closed.note(self.streams.get(slot).number, ending);
        self.streams.remove(slot);
    }

    /// Resets an open stream. Its token.
    fn reset_slot(&mut self, slot: Slot, code: ErrorCode) -> u64 {
        let Stream { number, token, .. } = *self.streams.get(slot);
        frame::write_reset(number, code, &mut self.out);
        self.remove(slot, Ending::ResetByUs);
        token
    }

    /// Ends the connection, once.
    fn fail(&mut self, error: ConnectionError) -> ConnectionError {
        if self.error.is_none() {
            let last = if self.is_server { self.admitted.unwrap_or(MAX_31).min(self.highest) } else { 0 };
            frame::write_goaway(last, error.code, &mut self.out);
            self.error = Some(error);
        }
        error
    }
}

#[cfg(test)]
mod tests;
