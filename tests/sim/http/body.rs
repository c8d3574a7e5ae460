//! Bodies: how one is put on a wire, and a strict reader that checks it byte by byte as it comes in. As
//! independent of Pollux as the reader of heads.

use fastrand::Rng;

use super::head::Head;
use crate::faults::{chance, log_uniform};
use crate::payload::Payload;

/// The field that a chunked body may carry behind its last chunk.
pub(crate) const TRAILER: &str = "x-trail";

/// The longest line of a chunked body.
const LINE_MAX: usize = 200;

/// The sign of a body's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilEnd,
}

impl Framing {
    /// The framing of `head`; `silence` is the framing of a head without a sign.
    pub(crate) fn of(head: &Head, silence: Framing) -> Framing {
        let length = head.number("content-length");
        match head.value("transfer-encoding") {
            Some(coding) => {
                assert!(coding.eq_ignore_ascii_case("chunked"), "transfer-encoding: {coding}");
                assert!(length.is_none(), "a message with two lengths");
                Framing::Chunked
            }
            None => length.map_or(silence, Framing::Length),
        }
    }
}

/// The state of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Counted(usize),
    Size,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    UntilEnd,
    Done,
}

/// A body that is coming in.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    state: State,
    /// The payload that it must be, if it is known.
    payload: Option<Payload>,
    /// The trailer that it may have.
    trailer: String,
    got: usize,
}

impl Body {
    pub(crate) fn new(framing: Framing, payload: Option<Payload>, trailer: String) -> Body {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(len) => State::Counted(len),
            Framing::Chunked => State::Size,
            Framing::UntilEnd => State::UntilEnd,
        };
        if let (Framing::Length(len), Some(payload)) = (framing, payload) {
            assert_eq!(len, payload.len, "the content-length of a body");
        }
        Body { state, payload, trailer, got: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes off `bytes` what belongs to the body.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>) {
        while !bytes.is_empty() {
            self.state = match self.state {
                State::Done => break,
                State::Counted(left) => match left - self.check(bytes, left) {
                    0 => State::Done,
                    left => State::Counted(left),
                },
                State::Chunk(left) => match left - self.check(bytes, left) {
                    0 => State::ChunkEnd,
                    left => State::Chunk(left),
                },
                State::UntilEnd => {
                    self.check(bytes, usize::MAX);
                    State::UntilEnd
                }
                State::Size | State::ChunkEnd | State::Trailer => match take_line(bytes) {
                    Some(line) => self.line(&line),
                    None => break,
                },
            };
        }
        if let (State::Done, Some(payload)) = (self.state, self.payload) {
            assert_eq!(self.got, payload.len, "a body of the wrong length");
        }
    }

    /// Whether the end of the connection, which has come, is where the body ends.
    pub(crate) fn ends_here(&self) -> bool {
        if self.state != State::UntilEnd {
            return self.is_done();
        }
        if let Some(payload) = self.payload {
            assert_eq!(self.got, payload.len, "a truncated body was made to look complete");
        }
        true
    }

    fn check(&mut self, bytes: &mut Vec<u8>, most: usize) -> usize {
        let count = bytes.len().min(most);
        let good = self.payload.is_none_or(|payload| payload.has(self.got, &bytes[..count]));
        assert!(good, "bytes {} to {} of a body are not what was sent", self.got, self.got + count);
        bytes.drain(..count);
        self.got += count;
        count
    }

    fn line(&mut self, line: &str) -> State {
        match self.state {
            State::ChunkEnd => {
                assert_eq!(line, "", "what follows a chunk");
                State::Size
            }
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer => {
                let (name, value) = line.split_once(':').expect("a trailer field");
                assert!(
                    name.eq_ignore_ascii_case(TRAILER) && value.trim() == self.trailer,
                    "trailer: {line:?}"
                );
                State::Trailer
            }
            State::Size => {
                let hex = !line.is_empty() && line.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(hex, "the size of a chunk: {line:?}");
                match usize::from_str_radix(line, 16).expect("a size that fits") {
                    0 => State::Trailer,
                    size => State::Chunk(size),
                }
            }
            State::Counted(_) | State::Chunk(_) | State::UntilEnd | State::Done => {
                unreachable!("no line is read there")
            }
        }
    }
}

fn take_line(bytes: &mut Vec<u8>) -> Option<String> {
    let Some(len) = bytes.windows(2).position(|two| two == b"\r\n") else {
        assert!(bytes.len() < LINE_MAX, "a line without an end");
        return None;
    };
    let line = bytes.drain(..len + 2).take(len).collect();
    Some(String::from_utf8(line).expect("a line of ASCII"))
}

/// Puts `payload` on a wire in chunks, with all the freedom that RFC 9112 §7.1 gives.
pub(crate) fn chunks(payload: Payload, trailer: Option<&str>, rng: &mut Rng) -> Vec<u8> {
    let (mut wire, mut done) = (Vec::new(), 0);
    let size_max = 1 + payload.len / 40;
    while done < payload.len {
        let size = log_uniform(rng, &(size_max..=size_max * 40)).min(payload.len - done);
        let size_line = if rng.bool() { format!("{size:x}") } else { format!("{size:04X}") };
        wire.extend_from_slice(size_line.as_bytes());
        wire.extend_from_slice(extension(rng).as_bytes());
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&payload.bytes(done, size));
        wire.extend_from_slice(b"\r\n");
        done += size;
    }
    wire.extend_from_slice(if rng.bool() { b"0" } else { b"000" });
    wire.extend_from_slice(format!("{}\r\n", extension(rng)).as_bytes());
    if let Some(trailer) = trailer {
        wire.extend_from_slice(format!("{TRAILER}: {trailer}\r\n").as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

fn extension(rng: &mut Rng) -> &'static str {
    if chance(rng, 85) {
        ""
    } else {
        [";a", ";a=b", "; a = \"b, c\"", ";first=1;second=\"\\\"\""][rng.usize(..4)]
    }
}
