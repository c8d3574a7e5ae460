//! A filter changes the data of a body on its way through a lane: decode, then filter, then encode.
//!
//! The framer takes the transfer coding off, a [`Filter`] changes the data, and an [`Encoding`] frames what
//! comes out. The output may be longer or shorter than the input, so a message that is filtered never has a
//! Content-Length. A lane without a filter does none of this: its bytes stay where they were read.
//!
//! Back-pressure holds because the output is bounded. Once [`WAITING_MAX`] bytes wait for the sink, the
//! filter takes no more input, the lane's buffer fills, and the source is not read.

use crate::core::buffer::Buffer;

/// The most bytes of a filter's output that wait for the sink, but for the framing of the last chunk and the
/// trailers.
pub const WAITING_MAX: usize = 16 * 1024;

/// A filter that may write this many bytes takes at least one byte of its input.
pub const ROOM_LEAST: usize = 64;

/// A size line of a chunk of at most [`WAITING_MAX`] bytes: four digits and CRLF.
const SIZE_LINE: usize = 6;

/// Changes the data of one message.
pub trait Filter: std::fmt::Debug + Send {
    /// Appends at most `room` bytes to `out`, and returns how many bytes of `input` it took. It takes at
    /// least one if `room` is [`ROOM_LEAST`] or more; it may keep what it took, within a bound of its own.
    fn push(&mut self, input: &[u8], room: usize, out: &mut Vec<u8>) -> usize;

    /// Appends at most `room` bytes of what it has kept back, because no input is at hand and the receiver
    /// waits for what has come so far. True once nothing is left that can be given early.
    fn flush(&mut self, room: usize, out: &mut Vec<u8>) -> bool {
        let _ = (room, out);
        true
    }

    /// Appends at most `room` bytes of what is left behind the last input. True once nothing is left.
    fn finish(&mut self, room: usize, out: &mut Vec<u8>) -> bool;
}

/// The framing of a filter's output (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As chunks, with the trailers of the message behind the last one.
    Chunked,
    /// Bare: the end of the connection is the end of the message. Trailers have no place in it.
    UntilEof,
}

/// The progress of a message under a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Input may come.
    Data,
    /// All input was taken; the filter may have output left.
    Finishing,
    /// Everything was given, the end included.
    Over,
}

/// A filter at work on one message.
#[derive(Debug)]
pub struct Filtering {
    filter: Box<dyn Filter>,
    encoding: Encoding,
    stage: Stage,
    trailers: Vec<u8>,
}

impl Filtering {
    /// Begins with the next message.
    #[must_use]
    pub fn new(filter: Box<dyn Filter>, encoding: Encoding) -> Filtering {
        Filtering { filter, encoding, stage: Stage::Data, trailers: Vec::new() }
    }

    /// Where trailer lines are collected, each with its CRLF.
    pub fn trailers(&mut self) -> &mut Vec<u8> {
        &mut self.trailers
    }

    /// Moves the cleared bytes of `buffer` through the filter to the end of `front`, of which `sent` bytes
    /// have gone out. `is_whole` says that no data will come behind those of the buffer. True once all of the
    /// message is in `front`.
    pub fn run(&mut self, buffer: &mut Buffer, front: &mut Vec<u8>, sent: usize, is_whole: bool) -> bool {
        let mut has_pushed = false;
        while self.stage == Stage::Data {
            let room = room(front.len() - sent);
            if room < ROOM_LEAST {
                return false;
            }
            if !buffer.unsent().is_empty() {
                let filter = &mut self.filter;
                let taken = self.encoding.frame(front, |out| filter.push(buffer.unsent(), room, out));
                debug_assert!(taken > 0, "a filter with room takes something");
                buffer.consume(taken);
                has_pushed = true;
            } else if is_whole {
                self.stage = Stage::Finishing;
            } else {
                let filter = &mut self.filter;
                let is_flushed = !has_pushed || self.encoding.frame(front, |out| filter.flush(room, out));
                if is_flushed {
                    return false;
                }
            }
        }
        while self.stage == Stage::Finishing {
            let room = room(front.len() - sent);
            if room < ROOM_LEAST {
                return false;
            }
            let filter = &mut self.filter;
            if self.encoding.frame(front, |out| filter.finish(room, out)) {
                self.encoding.end(front, &self.trailers);
                self.stage = Stage::Over;
            }
        }
        true
    }
}

/// The number of bytes that a filter may write while `waiting` bytes wait for the sink.
fn room(waiting: usize) -> usize {
    WAITING_MAX.saturating_sub(waiting + SIZE_LINE + 2)
}

impl Encoding {
    /// Frames what `write` appends to `front`. Nothing is no chunk: an empty one would end the message.
    fn frame<T>(self, front: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        match self {
            Encoding::UntilEof => write(front),
            Encoding::Chunked => {
                let start = front.len();
                front.resize(start + SIZE_LINE, 0);
                let verdict = write(front);
                let size = front.len() - start - SIZE_LINE;
                if size == 0 {
                    front.truncate(start);
                    return verdict;
                }
                let line = format_size(size);
                let line = &line[line.iter().take_while(|byte| **byte == b'0').count()..];
                let gap = SIZE_LINE - line.len();
                front[start..start + line.len()].copy_from_slice(line);
                front.copy_within(start + SIZE_LINE.., start + line.len());
                front.truncate(front.len() - gap);
                front.extend_from_slice(b"\r\n");
                verdict
            }
        }
    }

    /// Ends the message.
    fn end(self, front: &mut Vec<u8>, trailers: &[u8]) {
        match self {
            Encoding::UntilEof => {}
            Encoding::Chunked => {
                front.extend_from_slice(b"0\r\n");
                front.extend_from_slice(trailers);
                front.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// `size` as four hexadecimal digits and CRLF.
fn format_size(size: usize) -> [u8; SIZE_LINE] {
    debug_assert!(size <= WAITING_MAX, "a filter keeps to its room");
    let digit = |shift: u32| b"0123456789abcdef"[(size >> shift) & 15];
    [digit(12), digit(8), digit(4), digit(0), b'\r', b'\n']
}

#[cfg(test)]
mod tests;
