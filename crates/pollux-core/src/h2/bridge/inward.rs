//! The input of a stream as the text of HTTP/1.1: the request body of a client, or the response of a backend.

use crate::h2::fields::Fields;
use crate::h2::head::ResponseHead;
use crate::http::answer::reason;
use crate::http::framing::has_no_body;
use crate::message::{BodyLength, Name};
use crate::syntax::grammar::push_decimal;

/// The size line of a chunk takes at most so many bytes: eight digits and CRLF, and CRLF behind the data.
const CHUNK_EXCESS: usize = 12;

/// The beginning of a switch to WebSocket in HTTP/1.1 (RFC 6455 §4.2.2).
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ";

/// Why a read gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Nothing is there yet.
    Blocked,
    /// The stream was reset: the request will never be whole.
    Lost,
}

/// The framing of the body in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is none, or its length stands in the head.
    Plain,
    Chunked,
    /// It is no message: bytes pass until the client ends its direction.
    Tunnel,
}

/// The state of the client's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// The whole request has come.
    Ended,
    Reset,
    /// The exchange is over, and no request follows.
    Over,
}

/// See the module. The text that waits is bounded by what [`Inward::room`] promises.
#[derive(Debug)]
pub struct Inward {
    text: Vec<u8>,
    taken: usize,
    framing: Framing,
    input: Input,
    is_response: bool,
}

impl Inward {
    /// A body of that length; `ends` if the head has ended the stream.
    #[must_use]
    pub fn new(length: BodyLength, ends: bool) -> Inward {
        let framing = match length {
            BodyLength::Empty | BodyLength::Known(_) => Framing::Plain,
            BodyLength::Open => Framing::Chunked,
        };
        let input = if ends { Input::Ended } else { Input::Open };
        Inward { text: Vec::new(), taken: 0, framing, input, is_response: false }
    }

    /// Takes over the memory of one that is over.
    pub fn take_memory(&mut self, other: &mut Inward) {
        self.text = std::mem::take(&mut other.text);
        self.text.clear();
    }

    /// Takes the head of a backend's response, which [`head::response`](crate::h2::head::response) has judged: no
    /// byte of it can end a line. `ends` if the stream ends with it; `is_head` if the request was HEAD.
    ///
    /// The text has the framing of HTTP/1.1: the length that the backend has told, or chunks.
    pub fn head(&mut self, head: &ResponseHead, fields: &Fields, ends: bool, is_head: bool) {
        if self.input != Input::Open {
            return;
        }
        self.is_response = true;
        self.compact();
        self.text.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(&mut self.text, u64::from(head.status));
        self.text.push(b' ');
        // It may be empty (RFC 9112 §4), but parsers such as that of h2load take no such line.
        self.text.extend_from_slice(reason(head.status).as_bytes());
        self.text.extend_from_slice(b"\r\n");
        for field in fields.iter().filter(|field| !field.name.starts_with(b":")) {
            for part in [field.name, b": ", field.value, b"\r\n"] {
                self.text.extend_from_slice(part);
            }
        }
        if head.status >= 200 && !is_head && !has_no_body(head.status) {
            self.framing = match (head.length, ends) {
                (Some(_), _) => Framing::Plain,
                (None, true) => {
                    self.text.extend_from_slice(b"content-length: 0\r\n");
                    Framing::Plain
                }
                (None, false) => {
                    self.text.extend_from_slice(b"transfer-encoding: chunked\r\n");
                    Framing::Chunked
                }
            };
        }
        self.text.extend_from_slice(b"\r\n");
        if ends {
            self.input = Input::Ended;
        }
    }

    /// Takes the head by which a backend has opened a tunnel for an extended CONNECT (RFC 8441 §5): the exchange reads
    /// the 101 with `accept` that it stands for, and then the bytes of the tunnel.
    pub fn switch(&mut self, fields: &Fields, accept: &str, ends: bool) {
        if self.input != Input::Open {
            return;
        }
        self.is_response = true;
        self.compact();
        for part in [SWITCHED, accept, "\r\n"] {
            self.text.extend_from_slice(part.as_bytes());
        }
        let is_told = |name: &[u8]| {
            !(name.starts_with(b":") || name == b"content-length" || name == b"sec-websocket-accept")
        };
        for field in fields.iter().filter(|field| is_told(field.name)) {
            for part in [field.name, b": ", field.value, b"\r\n"] {
                self.text.extend_from_slice(part);
            }
        }
        self.text.extend_from_slice(b"\r\n");
        self.framing = Framing::Tunnel;
        if ends {
            self.input = Input::Ended;
        }
    }

    /// The exchange has switched protocols: what waits and what comes are bytes of a tunnel, and the end of the
    /// client's direction is one that the exchange reads. Whether it has come already.
    pub fn open_tunnel(&mut self) -> bool {
        let is_new = self.framing != Framing::Tunnel;
        self.framing = Framing::Tunnel;
        is_new && self.input == Input::Ended
    }

    /// Takes bytes of the body.
    pub fn data(&mut self, bytes: &[u8]) {
        if self.input != Input::Open || bytes.is_empty() {
            return;
        }
        self.compact();
        if self.framing == Framing::Chunked {
            push_size_line(&mut self.text, bytes.len());
        }
        self.text.extend_from_slice(bytes);
        if self.framing == Framing::Chunked {
            self.text.extend_from_slice(b"\r\n");
        }
    }

    /// Takes note that the body has ended, with these trailers. They pass only behind a body without a length:
    /// HTTP/1.1 has no place for others (RFC 9112 §7.1.2).
    pub fn end(&mut self, trailers: Option<&Fields>) {
        if self.input != Input::Open {
            return;
        }
        self.input = Input::Ended;
        if self.framing == Framing::Chunked {
            self.text.extend_from_slice(b"0\r\n");
            let trailers = trailers.into_iter().flat_map(Fields::iter);
            // RFC 9110 §6.5.1
            for field in trailers.filter(|field| Name::may_trail(field.name)) {
                for part in [field.name, b": ", field.value, b"\r\n"] {
                    self.text.extend_from_slice(part);
                }
            }
            self.text.extend_from_slice(b"\r\n");
        }
    }

    /// Takes note that the stream is over before the message was whole, or that its answer is not wanted. A
    /// request that waits is dropped: one that the client has given up is not carried out. What has come of a
    /// response is still read, and then the loss.
    pub fn reset(&mut self) {
        self.input = Input::Reset;
        if !self.is_response {
            self.text = Vec::new();
            self.taken = 0;
        }
    }

    /// Takes note that the stream is over in order: its exchange is to end.
    pub fn close(&mut self) {
        if self.input != Input::Reset {
            self.input = Input::Over;
        }
    }

    /// Whether the stream was reset.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.input == Input::Reset
    }

    /// Whether a [`read`](Self::read) would say something.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let has_end = match self.input {
            Input::Open => false,
            Input::Ended => self.framing == Framing::Tunnel,
            Input::Reset | Input::Over => true,
        };
        has_end || self.taken < self.text.len()
    }

    /// Moves text into `room`, and says how much; 0 once the stream is [over](Self::close). There is no end
    /// behind the request: the exchange knows from the text where it ends, and an HTTP/2 client that has ended
    /// its direction awaits the answer. Behind a tunnel there is one.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn read(&mut self, room: &mut [u8]) -> Result<usize, Unread> {
        let waiting = &self.text[self.taken..];
        if waiting.is_empty() {
            return match self.input {
                Input::Ended if self.framing == Framing::Tunnel => Ok(0),
                Input::Open | Input::Ended => Err(Unread::Blocked),
                Input::Reset => Err(Unread::Lost),
                Input::Over => Ok(0),
            };
        }
        let count = waiting.len().min(room.len());
        room[..count].copy_from_slice(&waiting[..count]);
        self.taken += count;
        if self.taken == self.text.len() {
            self.text.clear();
            self.taken = 0;
        }
        Ok(count)
    }

    /// The number of body bytes that may still come, if `capacity` bytes of text may wait.
    #[must_use]
    pub fn room(&self, capacity: usize) -> usize {
        match self.input {
            Input::Open => capacity.saturating_sub(self.text.len() - self.taken + CHUNK_EXCESS),
            Input::Ended | Input::Reset | Input::Over => 0,
        }
    }

    /// The memory that is held beside the struct, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Whether the whole request has come.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.input == Input::Ended
    }

    fn compact(&mut self) {
        if self.taken > 0 {
            self.text.drain(..self.taken);
            self.taken = 0;
        }
    }
}

/// Appends a size line of RFC 9112 §7.1.
fn push_size_line(text: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (size >> (4 * place)) & 0xf;
        text.push(b"0123456789abcdef"[digit]);
    }
    text.extend_from_slice(b"\r\n");
}
