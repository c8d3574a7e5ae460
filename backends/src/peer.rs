//! A connection as bytes: what has been read and not yet used, and the three ways to end it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

use crate::h2::StreamConn;

/// The number of bytes that one read asks for.
const READ_LEN: usize = 16 * 1024;

/// The longest request head.
const HEAD_MAX: usize = 64 * 1024;

/// The time, and the bytes, for which [`Peer::close`] waits for the other side to finish.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection failed or ended: there is nobody to answer.
    Io(io::Error),
    /// The request is wrong in the way that the text says: answer 400.
    Bad(&'static str),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

/// An open connection, TCP or Unix, that the thread using it and the thread that may stop it hold together;
/// or a stream of one, which looks like an HTTP/1.1 connection with one request. It is closed when both have
/// let go.
#[derive(Clone)]
pub(crate) enum Conn {
    Socket(Arc<Socket>),
    Stream(Arc<StreamConn>),
}

impl Conn {
    pub(crate) fn new(socket: Socket) -> Conn {
        Conn::Socket(Arc::new(socket))
    }

    /// Ends both directions; a thread that blocks on this connection wakes up.
    pub(crate) fn shut_down(&self) {
        match self {
            Conn::Socket(socket) => drop(socket.shutdown(Shutdown::Both)),
            Conn::Stream(stream) => stream.reset(),
        }
    }

    /// Says that no more bytes will be sent.
    pub(crate) fn finish_writing(&self) {
        match self {
            Conn::Socket(socket) => drop(socket.shutdown(Shutdown::Write)),
            Conn::Stream(stream) => stream.finish(),
        }
    }

    fn limit_reads(&self, span: Duration) {
        match self {
            Conn::Socket(socket) => drop(socket.set_read_timeout(Some(span))),
            Conn::Stream(stream) => stream.limit_reads(span),
        }
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = match self {
            Conn::Socket(socket) => socket,
            Conn::Stream(stream) => return stream.read(buffer),
        };
        loop {
            match (&**socket).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Conn::Socket(socket) => (&**socket).write(bytes),
            Conn::Stream(stream) => stream.write(bytes).map(|()| bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection with its read buffer.
pub(crate) struct Peer {
    conn: Conn,
    buffer: Vec<u8>,
    /// The place in the buffer of the first byte that has not been used yet.
    start: usize,
}

impl Peer {
    pub(crate) fn new(conn: Conn) -> Peer {
        Peer { conn, buffer: Vec::new(), start: 0 }
    }

    /// The connection itself.
    pub(crate) fn conn(&self) -> Conn {
        self.conn.clone()
    }

    /// Whether `bytes` come next. They are not used up.
    pub(crate) fn begins_with(&mut self, bytes: &[u8]) -> io::Result<bool> {
        while self.buffered().len() < bytes.len() {
            if !bytes.starts_with(self.buffered()) || self.fill()? == 0 {
                return Ok(false);
            }
        }
        Ok(self.buffered().starts_with(bytes))
    }

    /// Reads a request head up to and with its empty line. `None` means that the client left before it began
    /// one.
    pub(crate) fn read_head(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        let mut scanned = 0;
        loop {
            // RFC 9112 §2.2: a server should ignore an empty line before the request line.
            while self.buffered().starts_with(b"\r\n") {
                self.consume(2);
                scanned = 0;
            }
            match head_end(self.buffered(), scanned) {
                Some(end) if end <= HEAD_MAX => return Ok(Some(self.take(end))),
                Some(_) => return Err(Trouble::Bad("the request head is too long")),
                None => scanned = self.buffered().len(),
            }
            if scanned >= HEAD_MAX {
                return Err(Trouble::Bad("the request head is too long"));
            }
            if self.fill()? == 0 {
                return if scanned == 0 { Ok(None) } else { Err(end_of_input()) };
            }
        }
    }

    /// Reads one line that ends in CRLF, at most `max` bytes with it, and gives it without the CRLF.
    pub(crate) fn read_line(&mut self, max: usize) -> Result<Vec<u8>, Trouble> {
        let mut scanned = 0;
        loop {
            let newline = self.buffered().iter().skip(scanned).position(|byte| *byte == b'\n');
            if let Some(at) = newline.map(|found| scanned + found).filter(|at| *at < max) {
                let mut line = self.take(at + 1);
                line.pop();
                // RFC 9112 §7.1 knows only CRLF; a bare LF is where two parsers begin to disagree.
                return if line.pop() == Some(b'\r') {
                    Ok(line)
                } else {
                    Err(Trouble::Bad("a line ends without CR"))
                };
            }
            scanned = self.buffered().len();
            if scanned >= max {
                return Err(Trouble::Bad("a line is too long"));
            }
            if self.fill()? == 0 {
                return Err(end_of_input());
            }
        }
    }

    /// Hands exactly `left` bytes to `sink`, in pieces as they come.
    pub(crate) fn pass(&mut self, mut left: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), Trouble> {
        while left > 0 {
            if self.buffered().is_empty() && self.fill()? == 0 {
                return Err(end_of_input());
            }
            let piece = self.buffered();
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            sink(&piece[..len]);
            self.consume(len);
            left -= len as u64;
        }
        Ok(())
    }

    /// The bytes that can be read next and were not used yet; empty means the end.
    pub(crate) fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffered().is_empty() {
            self.fill()?;
        }
        Ok(self.take(self.buffered().len()))
    }

    /// Writes all of it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.conn.write_all(bytes)
    }

    /// Says that no more bytes will be sent; reading goes on.
    pub(crate) fn finish_writing(&self) {
        self.conn.finish_writing();
    }

    /// Ends the connection so that the other side surely gets what was sent, and then the end (FIN). A plain
    /// close with bytes still unread would reset the connection and could destroy the answer (RFC 9112 §9.6),
    /// so this half-closes and reads on for a moment.
    pub(crate) fn close(mut self) {
        self.finish_writing();
        self.conn.limit_reads(LINGER);
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match self.read_some() {
                Ok(bytes) if !bytes.is_empty() => left = left.saturating_sub(bytes.len()),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Ends the connection with a reset (RST). A Unix socket knows no such thing and is merely closed.
    pub(crate) fn reset(self) {
        match &self.conn {
            Conn::Socket(socket) => drop(socket.set_linger(Some(Duration::ZERO))),
            Conn::Stream(stream) => stream.reset(),
        }
    }

    /// The connection, and the bytes that were read from it but not used.
    pub(crate) fn into_parts(mut self) -> (Conn, Vec<u8>) {
        let rest = self.take(self.buffered().len());
        (self.conn, rest)
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let taken = self.buffered()[..len].to_vec();
        self.consume(len);
        taken
    }

    /// Reads once more; 0 means the end.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let len = self.buffer.len();
        self.buffer.resize(len + READ_LEN, 0);
        let read = self.conn.read(&mut self.buffer[len..]);
        self.buffer.truncate(len + read.as_ref().map_or(0, |read| *read));
        read
    }
}

/// The end of the head: behind the first empty line. `scanned` bytes are known to hold no end.
fn head_end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let ends = |at: &usize| bytes[..*at].ends_with(b"\n") || bytes[..*at].ends_with(b"\n\r");
    (scanned..bytes.len()).filter(|at| bytes[*at] == b'\n').find(ends).map(|at| at + 1)
}

fn end_of_input() -> Trouble {
    Trouble::Io(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_ends_behind_the_first_empty_line_however_it_is_cut() {
        for (bytes, end) in [
            (&b"A\r\nB\r\n\r\nrest"[..], Some(8)),
            (b"A\nB\n\nrest", Some(5)),
            (b"A\r\nB\r\n\r", None),
            (b"A\r\n", None),
            (b"", None),
        ] {
            for scanned in 0..end.unwrap_or(bytes.len() + 1) {
                assert_eq!(head_end(bytes, scanned), end);
            }
        }
    }
}
