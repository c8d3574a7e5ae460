//! An open connection as bytes. Sessions and lanes never see a descriptor; only a wire does.

use crate::os::{Fd, IoFault, Os};

/// A connection that bytes go through.
#[derive(Debug)]
pub enum Wire {
    /// The bytes on the socket are the bytes of the session.
    Plain(Fd),
}

impl Wire {
    /// The descriptor to give to poll.
    #[must_use]
    pub fn fd(&self) -> Fd {
        match self {
            Wire::Plain(fd) => *fd,
        }
    }

    /// Reads into `room`; `Ok(0)` is the end.
    ///
    /// # Errors
    /// See [`IoFault`].
    pub fn read<O: Os>(&mut self, os: &mut O, room: &mut [u8]) -> Result<usize, IoFault> {
        match self {
            Wire::Plain(fd) => os.recv(*fd, room),
        }
    }

    /// Writes `head` and then `body`, and says how many bytes of the two were taken.
    ///
    /// # Errors
    /// See [`IoFault`].
    pub fn write<O: Os>(&mut self, os: &mut O, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        match self {
            Wire::Plain(fd) => os.send(*fd, head, body),
        }
    }

    /// The same for bytes that the end follows at once, if all of them are taken; see [`Os::send_last`].
    ///
    /// # Errors
    /// See [`IoFault`].
    pub fn write_last<O: Os>(&mut self, os: &mut O, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        match self {
            Wire::Plain(fd) => os.send_last(*fd, head, body),
        }
    }

    /// Tells the other side that nothing more will come.
    pub fn finish<O: Os>(&mut self, os: &mut O) {
        match self {
            Wire::Plain(fd) => os.shutdown_write(*fd),
        }
    }

    /// Closes in order.
    pub fn close<O: Os>(self, os: &mut O) {
        match self {
            Wire::Plain(fd) => os.close(fd),
        }
    }

    /// Closes so that the other side cannot take what it has for the whole.
    pub fn reset<O: Os>(self, os: &mut O) {
        match self {
            Wire::Plain(fd) => os.reset(fd),
        }
    }
}
