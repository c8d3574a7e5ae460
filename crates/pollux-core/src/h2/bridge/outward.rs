//! The words of an exchange as heads, data and trailers for a stream: its answer for that of a client, its
//! request for that of a backend.

use crate::core::buffer::Buffer;
use crate::h2::encoder::{FieldBlock, Strings};
use crate::h2::fields::HeaderField;
use crate::h2::request::WEBSOCKET;
use crate::http::body::{Chunked, Chunks};
use crate::http::framing::has_no_body;
use crate::http::grpc;
use crate::http::scan::{HeadLimits, HeadScan};
use crate::lane::framer::Framer;
use crate::message::{Name, Nominated};
use crate::syntax::grammar::{decimal, trim};

/// So much text is taken at once, as long as its head fits.
const TEXT: usize = 16 * 1024;

/// The same of a message that is short.
const SHORT: usize = 2 * 1024;

/// The longest head of an exchange: what limits let a backend send, and what routes add to it.
const HEAD_MAX: usize = 1024 * 1024;

/// The text is no message. It is Pollux's own, so this is a fault of Pollux: the stream is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenText;

/// The next message of the stream. Its order is that of the calls.
#[derive(Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A head, in [`Outward::block`].
    Head {
        /// Its status; below 200 it is interim.
        status: u16,
        /// Content-Length, in bytes, where it says how long the body is.
        length: Option<u64>,
        /// There is no body.
        ends: bool,
    },
    /// The head of a request, in [`Outward::block`].
    Request {
        /// Content-Length, in bytes, where it says how long the body is.
        length: Option<u64>,
        /// There is no body.
        ends: bool,
        /// The method is HEAD.
        is_head: bool,
        /// It is an extended CONNECT (RFC 8441), for the key of [`Outward::socket_key`].
        is_connect: bool,
    },
    /// Bytes of the body wait in [`Outward::body`]; `ends` if the direction ends behind them.
    Data {
        /// No trailers follow.
        ends: bool,
    },
    /// Trailers, in [`Outward::block`], once the body has been sent.
    Trailers,
}

/// The part of the text that comes next.
#[derive(Debug)]
enum State {
    /// A head comes next.
    Head(HeadScan),
    Body(Framer),
    /// The head of an extended CONNECT stands in the block, and is to be said.
    Connect,
    /// The body has been taken, and its trailers wait to be sent, if there are any.
    Trailers,
    /// All was said.
    Over,
}

/// The kind of message that the text is.
#[derive(Clone, Copy, Debug)]
enum Message {
    /// The answer to a HEAD, or to another request.
    Response { is_head: bool },
    /// A request by that scheme.
    Request { scheme: &'static [u8] },
}

/// See the module.
#[derive(Debug)]
pub struct Outward {
    buffer: Buffer,
    state: State,
    message: Message,
    /// The stream may become a tunnel (RFC 8441).
    is_connect: bool,
    has_switched: bool,
    /// Lines of trailers.
    trailers: Vec<u8>,
    block: FieldBlock,
    /// A name in small letters.
    name: Vec<u8>,
    /// The exchange has ended its direction.
    is_finished: bool,
}

impl Outward {
    /// The response to a request, which is HEAD or not.
    #[must_use]
    pub fn new(is_head: bool) -> Outward {
        Outward::of(Message::Response { is_head })
    }

    /// A request to a backend, over TLS or not: `:scheme` says how the backend is spoken to, as some servers hold
    /// it against their connection (RFC 9113 §8.3.1).
    #[must_use]
    pub fn of_request(is_encrypted: bool) -> Outward {
        Outward::of(Message::Request { scheme: if is_encrypted { b"https" } else { b"http" } })
    }

    fn of(message: Message) -> Outward {
        Outward {
            buffer: Buffer::default(),
            state: State::Head(HeadScan::default()),
            message,
            is_connect: false,
            has_switched: false,
            trailers: Vec::new(),
            block: FieldBlock::default(),
            name: Vec::new(),
            is_finished: false,
        }
    }

    /// The response to an extended CONNECT (RFC 8441 §5): 200 stands for a 101, and bytes of a tunnel follow. No
    /// other response may look like that one.
    #[must_use]
    pub fn of_connect() -> Outward {
        Outward { is_connect: true, ..Outward::new(false) }
    }

    /// Takes over the memory of one that is over.
    pub fn take_memory(&mut self, other: &mut Outward) {
        (self.buffer, self.trailers) =
            (std::mem::take(&mut other.buffer), std::mem::take(&mut other.trailers));
        (self.block, self.name) = (std::mem::take(&mut other.block), std::mem::take(&mut other.name));
        self.buffer.empty();
        self.trailers.clear();
    }

    /// Whether the stream is a tunnel now.
    #[must_use]
    pub fn has_switched(&self) -> bool {
        self.has_switched
    }

    /// Takes text of the exchange, and says how much.
    pub fn write(&mut self, head: &[u8], body: &[u8]) -> usize {
        let mut taken = 0;
        if !self.buffer.is_attached() && head.len() + body.len() <= SHORT {
            self.buffer.attach(vec![0; SHORT].into());
        }
        for piece in [head, body] {
            let count = self.take(piece);
            taken += count;
            if count < piece.len() {
                break;
            }
        }
        taken
    }

    fn take(&mut self, piece: &[u8]) -> usize {
        let mut taken = 0;
        while taken < piece.len() && self.has_room() {
            let room = self.buffer.room();
            let count = room.len().min(piece.len() - taken);
            room[..count].copy_from_slice(&piece[taken..taken + count]);
            self.buffer.fill(count);
            taken += count;
        }
        taken
    }

    /// Whether text can be taken. A head that does not fit gets more room.
    fn has_room(&mut self) -> bool {
        if !self.buffer.is_attached() {
            self.buffer.attach(vec![0; TEXT].into());
        }
        if !self.buffer.has_room() {
            let lent = self.buffer.lent();
            let is_long_head = matches!(self.state, State::Head(_)) && self.buffer.unsent().is_empty();
            if lent < TEXT || (is_long_head && lent < HEAD_MAX) {
                let more = (2 * lent).max(TEXT);
                drop(self.buffer.exchange(vec![0; more].into(), false));
            }
        }
        self.buffer.has_room()
    }

    /// Takes note that nothing more comes.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// The next message to be sent, if there is one. Data is named for as long as it waits.
    ///
    /// # Errors
    /// The text is no message, or it ends too early.
    pub fn next_outgoing(&mut self) -> Result<Option<Outgoing>, BrokenText> {
        match &mut self.state {
            State::Head(scan) => {
                let limits = HeadLimits { head: HEAD_MAX, first_line: HEAD_MAX, empty_lines: 0 };
                match scan.scan(self.buffer.unscanned(), &limits).map_err(|_| BrokenText)? {
                    Some(range) => match self.message {
                        Message::Response { is_head } => self.response(range, is_head).map(Some),
                        Message::Request { scheme } => self.request(range, scheme).map(Some),
                    },
                    None if self.is_finished => Err(BrokenText),
                    None => Ok(None),
                }
            }
            State::Body(framer) => {
                framer.split(&mut self.buffer, &mut self.trailers).map_err(|_| BrokenText)?;
                let is_over = framer.is_done() || (self.is_finished && matches!(framer, Framer::UntilEof));
                let has_trailers = !self.trailers.is_empty();
                match (self.buffer.unsent().is_empty(), is_over) {
                    (true, false) if self.is_finished => Err(BrokenText),
                    (true, false) => Ok(None),
                    (true, true) if has_trailers => {
                        self.state = State::Trailers;
                        self.next_outgoing()
                    }
                    (_, is_over) => Ok(Some(Outgoing::Data { ends: is_over && !has_trailers })),
                }
            }
            State::Connect => {
                self.state = State::Body(Framer::UntilEof);
                Ok(Some(CONNECT))
            }
            State::Trailers => {
                self.block.clear();
                let lines = std::mem::take(&mut self.trailers);
                for (name, value) in lines.split(|byte| *byte == b'\n').filter_map(field) {
                    push(&mut self.block, &mut self.name, name, value);
                }
                self.state = State::Over;
                Ok(Some(Outgoing::Trailers))
            }
            State::Over => Ok(None),
        }
    }

    /// Reads the head of a response that an exchange has written: one line for each field, `name: value`.
    fn response(&mut self, (start, end): (usize, usize), is_head: bool) -> Result<Outgoing, BrokenText> {
        self.block.clear();
        let mut lines = self.buffer.unscanned()[start..end].split(|byte| *byte == b'\n');
        let digits = lines.next().and_then(|line| line.get(STATUS)).ok_or(BrokenText)?;
        let status = decimal(digits).and_then(|status| u16::try_from(status).ok()).ok_or(BrokenText)?;
        let (status, digits) = match status {
            101 if self.is_connect => {
                self.has_switched = true;
                (200, &b"200"[..])
            }
            200..300 if self.is_connect => (501, &b"501"[..]),
            status => (status, digits),
        };
        push_lower(&mut self.block, b":status", digits);
        let has_switched = self.has_switched;
        let passes = |_: &mut FieldBlock, name: &[u8], _: &[u8], kind| {
            !(has_switched && (kind == Name::ContentLength || name.eq_ignore_ascii_case(SOCKET_ACCEPT)))
        };
        let Framing { length, is_chunked } = push_fields(&mut self.block, &mut self.name, lines, passes)?;
        self.buffer.skip(end);
        if status < 200 {
            self.state = State::Head(HeadScan::default());
            return Ok(Outgoing::Head { status, length: None, ends: false });
        }
        if self.has_switched {
            self.state = State::Body(Framer::UntilEof);
            return Ok(Outgoing::Head { status, length: None, ends: false });
        }
        let framer = match (is_head || has_no_body(status), is_chunked, length) {
            (true, ..) => Framer::Done,
            (false, true, _) => Framer::Chunked(Chunked::of_response(Chunks::Strip, Nominated::default())),
            (false, false, Some(length)) => Framer::of_length(length),
            (false, false, None) => Framer::UntilEof,
        };
        let ends = self.begin_body(framer);
        Ok(Outgoing::Head { status, length: length.filter(|_| !ends), ends })
    }

    /// Reads the head of a request that an exchange has written.
    fn request(
        &mut self,
        (start, end): (usize, usize),
        scheme: &'static [u8],
    ) -> Result<Outgoing, BrokenText> {
        self.block.clear();
        let head = &self.buffer.unscanned()[start..end];
        let mut lines = head.split(|byte| *byte == b'\n');
        let mut words = lines.next().into_iter().flat_map(|line| line.split(|byte| *byte == b' '));
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(BrokenText) };
        let is_head = method == b"HEAD";
        let key = if method == b"GET" { socket_key(lines.clone()) } else { None };
        push_lower(&mut self.block, b":method", if key.is_some() { b"CONNECT" } else { method });
        if key.is_some() {
            push_lower(&mut self.block, b":protocol", WEBSOCKET.as_bytes());
        }
        push_lower(&mut self.block, b":scheme", scheme);
        let host = lines.clone().filter_map(field).find(|(name, _)| Name::of(name) == Name::Host);
        if let Some((_, host)) = host {
            push_lower(&mut self.block, b":authority", host);
        }
        push_lower(&mut self.block, b":path", target);
        let passes = |block: &mut FieldBlock, name: &[u8], value: &[u8], kind| {
            // TE speaks of one connection, and was taken out; gRPC servers ask each hop for it.
            if name.eq_ignore_ascii_case(b"content-type") && grpc::is_type(value) {
                push_lower(block, b"te", b"trailers");
            }
            kind != Name::Host && !(key.is_some() && name.eq_ignore_ascii_case(SOCKET_KEY))
        };
        let Framing { length, is_chunked } = push_fields(&mut self.block, &mut self.name, lines, passes)?;
        if let Some(key) = key {
            self.name.clear();
            self.name.extend_from_slice(key);
            self.buffer.skip(end);
            self.state = State::Body(Framer::UntilEof);
            return Ok(CONNECT);
        }
        self.buffer.skip(end);
        let framer = match (is_chunked, length) {
            (true, _) => Framer::Chunked(Chunked::new(Chunks::Strip, None, Nominated::default())),
            (false, Some(length)) => Framer::of_length(length),
            (false, None) => Framer::Done,
        };
        let ends = self.begin_body(framer);
        Ok(Outgoing::Request { length: length.filter(|_| !ends), ends, is_head, is_connect: false })
    }

    /// Has the extended CONNECT that was said last said again: it cannot go out yet.
    pub fn put_back_connect(&mut self) {
        self.state = State::Connect;
    }

    /// The Sec-WebSocket-Key of the request that was said as an extended CONNECT, which has no place for it.
    #[must_use]
    pub fn socket_key(&self) -> &[u8] {
        &self.name
    }

    /// Lets the body follow; whether there is none.
    fn begin_body(&mut self, framer: Framer) -> bool {
        let ends = framer.is_done();
        self.state = if ends { State::Over } else { State::Body(framer) };
        ends
    }

    /// Whether the next message is a head.
    #[must_use]
    pub fn awaits_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// The fields of the head or of the trailers that were said last.
    #[must_use]
    pub fn block(&self) -> &FieldBlock {
        &self.block
    }

    /// The bytes of the body that wait.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.buffer.unsent()
    }

    /// So many bytes of the body were sent, and their frame has ended the stream or not.
    pub fn send(&mut self, count: usize, ends: bool) {
        self.buffer.send(count);
        if ends {
            self.state = State::Over;
        }
    }

    /// The memory that is held beside the struct, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.lent() + self.trailers.capacity() + self.name.capacity() + self.block.capacity()
    }

    /// Whether all of the message was sent.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

/// The framing of a body in the text.
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
}

/// Appends the fields of a head that pass, without those of the connection. `passes` may put others before one.
fn push_fields<'a>(
    block: &mut FieldBlock,
    scratch: &mut Vec<u8>,
    lines: impl Iterator<Item = &'a [u8]>,
    passes: impl Fn(&mut FieldBlock, &[u8], &[u8], Name) -> bool,
) -> Result<Framing, BrokenText> {
    let mut framing = Framing { length: None, is_chunked: false };
    for (name, value) in lines.filter_map(field) {
        let kind = Name::of(name);
        if !passes(block, name, value, kind) {
            continue;
        }
        framing.is_chunked |= kind == Name::TransferEncoding;
        if kind == Name::ContentLength {
            framing.length = Some(decimal(value).ok_or(BrokenText)?);
        }
        if !is_of_connection(kind) {
            push(block, scratch, name, value);
        }
    }
    Ok(framing)
}

/// Appends a field whose name is in small letters.
fn push_lower(block: &mut FieldBlock, name: &[u8], value: &[u8]) {
    block.push(HeaderField { name, value, is_secret: false }, Strings::Plain);
}

/// Whether a field speaks of an HTTP/1.1 connection, and has no place on a stream (RFC 9113 §8.2.2).
fn is_of_connection(kind: Name) -> bool {
    matches!(
        kind,
        Name::Connection | Name::HopByHop | Name::TransferEncoding | Name::Upgrade | Name::Http2Settings
    )
}

/// The field that HTTP/2 does not have in a WebSocket handshake (RFC 8441 §5).
const SOCKET_ACCEPT: &[u8] = b"sec-websocket-accept";

/// The same of the request.
const SOCKET_KEY: &[u8] = b"sec-websocket-key";

/// A request that becomes a tunnel.
const CONNECT: Outgoing = Outgoing::Request { length: None, ends: false, is_head: false, is_connect: true };

/// The Sec-WebSocket-Key of a GET with these lines, if it would switch to WebSocket and has no body.
fn socket_key<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let (mut is_socket, mut has_body, mut key) = (false, false, None);
    for (name, value) in lines.filter_map(field) {
        let kind = Name::of(name);
        has_body |= matches!(kind, Name::ContentLength | Name::TransferEncoding);
        if kind == Name::Upgrade {
            let mut protocols = value.split(|byte| *byte == b',');
            is_socket |= protocols.any(|protocol| trim(protocol).eq_ignore_ascii_case(WEBSOCKET.as_bytes()));
        } else if name.eq_ignore_ascii_case(SOCKET_KEY) {
            key = Some(value);
        }
    }
    key.filter(|_| is_socket && !has_body)
}

/// The place of the status in a status line.
const STATUS: std::ops::Range<usize> = "HTTP/1.1 ".len().."HTTP/1.1 200".len();

/// The name and the value of a line, without its LF; `None` for the empty line.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_suffix(b"\r")?;
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], trim(&line[colon + 1..])))
}

/// Appends a field, with its name in small letters (RFC 9113 §8.2).
fn push(block: &mut FieldBlock, scratch: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    scratch.clear();
    scratch.extend(name.iter().map(u8::to_ascii_lowercase));
    push_lower(block, scratch, value);
}
