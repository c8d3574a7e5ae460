//! An open connection as bytes. Sessions and lanes never see a descriptor; only a wire does.

mod records;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use crate::core::delivery::Delivery;
use crate::core::interest::Interest;
use crate::os::{Fd, IoFault, Os};

pub use stream::{Carrier, Hold, SpareStreams, Standing, StreamHandle, StreamWire, Touched};
pub use tls::{Broken, Shaken, TlsWire};

/// A connection that bytes go through.
#[derive(Debug)]
pub enum Wire {
    /// The bytes on the socket are the bytes of the session.
    Plain(Fd),
    /// They go through TLS.
    Tls(Box<TlsWire>),
    /// They are those of a stream that an HTTP/2 connection carries.
    Stream(StreamWire),
}

/// The result of closing a wire.
#[derive(Debug)]
pub enum Left {
    /// It is closed.
    Closed,
    /// The other side has no room for its last words: [`TlsWire::has_spoken`], and then its descriptor is to
    /// be closed.
    Speaking(Box<TlsWire>),
}

impl Wire {
    /// The descriptor to give to poll.
    #[must_use]
    pub fn fd(&self) -> Fd {
        match self {
            Wire::Plain(fd) => *fd,
            Wire::Tls(tls) => tls.fd(),
            Wire::Stream(stream) => stream.fd(),
        }
    }

    /// The events to ask poll about the descriptor for the session's interest in the wire, if it has any:
    /// reading may take a write, and the other way round.
    #[must_use]
    pub fn watch(&self, want: Option<Interest>) -> Option<Interest> {
        match self {
            Wire::Plain(_) => want,
            Wire::Tls(tls) => tls.watch(want),
            // Its carrier is watched.
            Wire::Stream(_) => None,
        }
    }

    /// Whether a read would say something of which poll does not know: bytes that have been read from the
    /// socket already, or the end.
    #[must_use]
    pub fn has_more(&self) -> bool {
        match self {
            Wire::Plain(_) => false,
            Wire::Tls(tls) => tls.has_more(),
            Wire::Stream(stream) => stream.has_more(),
        }
    }

    /// Whether the bytes on the socket are those of the session.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        match self {
            Wire::Plain(_) => true,
            Wire::Tls(_) | Wire::Stream(_) => false,
        }
    }

    /// Records that the socket takes bytes again.
    pub fn flush<O: Os>(&mut self, os: &mut O) {
        match self {
            Wire::Plain(_) | Wire::Stream(_) => {}
            Wire::Tls(tls) => tls.flush(os),
        }
    }

    /// Reads into `room`; `Ok(0)` is the end.
    ///
    /// # Errors
    /// See [`IoFault`].
    pub fn read<O: Os>(&mut self, os: &mut O, room: &mut [u8]) -> Result<usize, IoFault> {
        match self {
            Wire::Plain(fd) => os.recv(*fd, room),
            Wire::Tls(tls) => tls.read(os, room),
            Wire::Stream(stream) => stream.read(room),
        }
    }

    /// Writes `head` and then `body`, and says how many bytes of the two were taken.
    ///
    /// # Errors
    /// See [`IoFault`].
    pub fn write<O: Os>(&mut self, os: &mut O, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        match self {
            Wire::Plain(fd) => os.send(*fd, head, body),
            Wire::Tls(tls) => tls.write(os, head, body, false),
            Wire::Stream(stream) => stream.write(head, body),
        }
    }

    /// Writes bytes that the end follows at once, if all of them are taken; see [`Os::send_last`].
    ///
    /// # Errors
    /// See [`IoFault`].
    pub fn write_last<O: Os>(&mut self, os: &mut O, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        match self {
            Wire::Plain(fd) => os.send_last(*fd, head, body),
            Wire::Tls(tls) => tls.write(os, head, body, true),
            Wire::Stream(stream) => stream.write(head, body),
        }
    }

    /// Tells the other side that nothing more will come.
    pub fn finish<O: Os>(&mut self, os: &mut O) {
        match self {
            Wire::Plain(fd) => os.shutdown_write(*fd),
            Wire::Tls(tls) => tls.finish(os),
            Wire::Stream(stream) => stream.finish(),
        }
    }

    /// The delivery of the last bytes that were written before [`Wire::finish`].
    pub fn delivery<O: Os>(&mut self, os: &mut O) -> Delivery {
        match self {
            Wire::Plain(fd) => os.delivery(*fd, 1),
            Wire::Tls(tls) => tls.delivery(os),
            Wire::Stream(_) => Delivery::Acknowledged,
        }
    }

    /// Closes in order.
    pub fn close<O: Os>(self, os: &mut O) {
        match self {
            Wire::Plain(fd) => os.close(fd),
            Wire::Tls(tls) => tls.close(os),
            Wire::Stream(stream) => stream.let_go(Hold::Closed),
        }
    }

    /// Closes in order, once all has been said: until then it is given back.
    #[must_use]
    pub fn leave<O: Os>(self, os: &mut O) -> Left {
        match self {
            Wire::Plain(fd) => {
                os.close(fd);
                Left::Closed
            }
            Wire::Tls(tls) => tls.leave(os),
            Wire::Stream(stream) => {
                stream.let_go(Hold::Closed);
                Left::Closed
            }
        }
    }

    /// Closes so that the other side cannot take what it has for the whole.
    pub fn reset<O: Os>(self, os: &mut O) {
        match self {
            Wire::Plain(fd) => os.reset(fd),
            Wire::Tls(tls) => os.reset(tls.fd()),
            Wire::Stream(stream) => stream.let_go(Hold::Reset),
        }
    }
}
