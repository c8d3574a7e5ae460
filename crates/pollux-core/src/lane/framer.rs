//! Decides how far the bytes of a message may pass through a lane.
//!
//! A framer looks at the unscanned bytes of a [`Buffer`] and moves its cursors; it never reads or writes a
//! connection. The kinds are those of RFC 9112 §6.3, and the ones that a tunnel and a refused message need.

use crate::core::buffer::Buffer;
use crate::http::body::{ChunkFault, Chunked};

/// The treatment of the bytes that come next.
#[derive(Debug)]
pub enum Framer {
    /// A message head: nothing passes until it was read whole.
    Head,
    /// Everything passes, until the end of the connection, which passes too.
    Opaque,
    /// The next `left` bytes pass.
    Length {
        /// The number of bytes that are still to come; never zero.
        left: u64,
    },
    /// Chunks pass, cleaned (RFC 9112 §7.1).
    Chunked(Chunked),
    /// Everything passes, and the end of the connection is the end of the message.
    UntilEof,
    /// The message is over: what follows belongs to the next one.
    Done,
    /// Everything is thrown away.
    Discard,
}

impl Framer {
    /// The framer of a body of `length` bytes.
    #[must_use]
    pub fn of_length(length: u64) -> Framer {
        if length == 0 { Framer::Done } else { Framer::Length { left: length } }
    }

    /// Whether bytes that are still to be read belong to this message.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !matches!(self, Framer::Done)
    }

    /// Whether the message has been passed to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Framer::Done)
    }

    /// The number of bytes that may pass without a look at them, if any may.
    #[must_use]
    pub fn blind(&self) -> Option<u64> {
        match self {
            Framer::Length { left } => Some(*left),
            Framer::Opaque | Framer::UntilEof => Some(u64::MAX),
            Framer::Head | Framer::Chunked(_) | Framer::Done | Framer::Discard => None,
        }
    }

    /// Records that `count` of the [`blind`](Self::blind) bytes have passed beside the buffer.
    pub fn pass(&mut self, count: u64) {
        if let Framer::Length { left } = self {
            *self = Framer::of_length(left.saturating_sub(count));
        }
    }

    /// Passes or drops as many of the buffer's unscanned bytes as it can.
    ///
    /// # Errors
    /// A chunk that breaks RFC 9112 §7.1 or a bound. The bytes before it have passed.
    pub fn advance(&mut self, buffer: &mut Buffer) -> Result<(), ChunkFault> {
        self.run(buffer, None)
    }

    /// Like [`advance`](Self::advance), but only data passes: trailer lines that may pass are appended to
    /// `trailers`.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn split(&mut self, buffer: &mut Buffer, trailers: &mut Vec<u8>) -> Result<(), ChunkFault> {
        self.run(buffer, Some(trailers))
    }

    #[inline]
    fn run(&mut self, buffer: &mut Buffer, trailers: Option<&mut Vec<u8>>) -> Result<(), ChunkFault> {
        let waiting = buffer.unscanned().len();
        if waiting == 0 {
            return Ok(());
        }
        match self {
            Framer::Head | Framer::Done => {}
            Framer::Opaque | Framer::UntilEof => buffer.clear(waiting),
            Framer::Discard => buffer.discard(),
            Framer::Length { left } => {
                let count = usize::try_from(*left).map_or(waiting, |left| left.min(waiting));
                buffer.clear(count);
                *self = Framer::of_length(*left - count as u64);
            }
            Framer::Chunked(chunked) => {
                let is_over = match trailers {
                    Some(trailers) => chunked.split(buffer, trailers)?,
                    None => chunked.advance(buffer)?,
                };
                if is_over {
                    *self = Framer::Done;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_passes_exactly_its_bytes() {
        let mut buffer = Buffer::default();
        buffer.attach(vec![0; 32].into());
        buffer.room()[..10].copy_from_slice(b"bodyGET / ");
        buffer.fill(10);
        let mut framer = Framer::of_length(4);
        assert_eq!(framer.advance(&mut buffer), Ok(()));
        assert!(framer.is_done());
        assert_eq!((buffer.unsent(), buffer.unscanned()), (&b"body"[..], &b"GET / "[..]));
    }

    #[test]
    fn a_length_of_zero_is_done_before_it_begins() {
        assert!(Framer::of_length(0).is_done());
    }
}
