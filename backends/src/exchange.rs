//! One request and the means to answer it. The answers themselves are in `answers`.

use std::io;

use crate::body;
use crate::pattern;
use crate::peer::{Peer, Trouble};
use crate::request::Request;
use crate::response::{self, Response};
use crate::shared::Shared;

/// The bytes of a generated body that one write takes.
const BLOCK_LEN: u64 = 64 * 1024;

/// The end of a connection behind an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum After {
    /// It awaits the next request.
    Next,
    /// It ends, after all that was sent.
    Close,
    /// It is reset.
    Reset,
    /// It speaks another protocol from now on.
    Upgrade,
}

/// One request whose head has been read.
pub(crate) struct Exchange<'a> {
    pub(crate) peer: &'a mut Peer,
    pub(crate) toy: &'a Shared,
    pub(crate) request: &'a Request,
}

impl Exchange<'_> {
    /// Reads the whole body, and invites it first if the client waits for that.
    pub(crate) fn read_body(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Trouble> {
        if self.request.expects_continue() {
            self.peer.write(&response::interim(100, ""))?;
        }
        self.read_uninvited(sink)
    }

    /// Reads the whole body without a 100 (Continue).
    pub(crate) fn read_uninvited(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Trouble> {
        body::read(self.peer, self.request.framing, sink)
    }

    /// Reads the whole body and throws it away.
    pub(crate) fn discard_body(&mut self) -> Result<(), Trouble> {
        self.read_body(&mut |_| {})
    }

    /// Begins an answer after which the connection stays open if the client wants it so.
    pub(crate) fn head(&self, status: u16) -> Response {
        let head = Response::new(status, &self.toy.name);
        match (self.request.is_persistent(), self.request.minor) {
            (false, _) => head.field("Connection", "close"),
            (true, 0) => head.field("Connection", "keep-alive"),
            (true, _) => head,
        }
    }

    /// Begins an answer after which the connection is closed.
    pub(crate) fn last_head(&self, status: u16) -> Response {
        Response::new(status, &self.toy.name).field("Connection", "close")
    }

    /// The end of a connection whose answer began with [`Exchange::head`].
    pub(crate) fn after(&self) -> After {
        if self.request.is_persistent() { After::Next } else { After::Close }
    }

    /// Sends a whole answer with one write, its body left out where none belongs.
    pub(crate) fn send(&mut self, status: u16, media_type: &str, body: &[u8]) -> io::Result<After> {
        self.send_with(self.head(status).field("Content-Type", media_type), status, body)
    }

    /// As [`Exchange::send`], for a head that has been begun already.
    pub(crate) fn send_with(&mut self, head: Response, status: u16, body: &[u8]) -> io::Result<After> {
        let body = if status == 205 { &[][..] } else { body };
        let mut bytes = length_field(head, status, body.len() as u64).into_bytes();
        if self.sends_body(status) {
            bytes.extend_from_slice(body);
        }
        self.peer.write(&bytes)?;
        Ok(self.after())
    }

    /// Whether an answer of this status to this request has a body (RFC 9112 §6.3).
    pub(crate) fn sends_body(&self, status: u16) -> bool {
        !self.request.is_head() && !matches!(status, 204 | 205 | 304)
    }

    /// Sends `before`, then `len` bytes of the pattern from position `from`, then `after`: with one write if
    /// it is little, else in blocks.
    pub(crate) fn send_pattern(
        &mut self,
        before: Vec<u8>,
        from: u64,
        len: u64,
        after: &[u8],
    ) -> io::Result<()> {
        let mut block = before;
        let mut done = 0;
        while done < len {
            let some = (len - done).min(BLOCK_LEN);
            pattern::extend(&mut block, from.wrapping_add(done), some as usize);
            done += some;
            if done < len {
                self.peer.write(&block)?;
                block.clear();
            }
        }
        block.extend_from_slice(after);
        self.peer.write(&block)
    }
}

/// Content-Length, except where it must not be (204, RFC 9110 §8.6) or would be a guess (304).
pub(crate) fn length_field(head: Response, status: u16, len: u64) -> Response {
    if matches!(status, 204 | 304) { head } else { head.field("Content-Length", len) }
}
