//! A backend that speaks HTTP/1.1.

use fastrand::Rng;
use pollux::os::IoFault;

use super::{bytes, wish_of};
use crate::actor::{Actor, Step, take_in};
use crate::end::EndId;
use crate::net::Net;

/// One connection of a backend.
pub(super) struct Plain {
    end: EndId,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    rng: Rng,
}

impl Plain {
    pub(super) fn new(end: EndId, rng: Rng) -> Plain {
        Plain { end, inbox: Vec::new(), outbox: Vec::new(), rng }
    }

    /// Answers the request in the inbox, once it is whole; false if it is not.
    fn serve(&mut self) -> bool {
        let Some(at) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
        let head = String::from_utf8(self.inbox[..at].to_vec()).expect("a head");
        let (number, up, down) = wish_of(head.split(' ').nth(1).expect("a target"));
        let Some((body, count)) = body_of(&head.to_ascii_lowercase(), &self.inbox[at + 4..]) else {
            return false;
        };
        assert!(
            body.len() == up && body.iter().copied().eq(bytes(number, 0, up)),
            "a request body is not whole"
        );
        self.inbox.drain(..at + 4 + count);
        let answer: Vec<u8> = bytes(number, 0, down).collect();
        if self.rng.bool() {
            self.outbox
                .extend_from_slice(format!("HTTP/1.1 200 OK\r\nContent-Length: {down}\r\n\r\n").as_bytes());
            self.outbox.extend_from_slice(&answer);
            return true;
        }
        self.outbox.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let size = self.rng.usize(1..=9000);
        for chunk in answer.chunks(size) {
            self.outbox.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            self.outbox.extend_from_slice(chunk);
            self.outbox.extend_from_slice(b"\r\n");
        }
        let trailer = if self.rng.bool() { "X-Sum: 1\r\n" } else { "" };
        self.outbox.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
        true
    }
}

/// The body behind a head, and the bytes that it takes; `None` while it is not whole.
fn body_of(head: &str, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    if let Some((_, rest)) = head.split_once("content-length: ") {
        let length: usize = rest.split("\r\n").next()?.parse().expect("a length");
        return (bytes.len() >= length).then(|| (bytes[..length].to_vec(), length));
    }
    if !head.contains("transfer-encoding: chunked") {
        return Some((Vec::new(), 0));
    }
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = at + bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        at = line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        bytes.get(at + size..at + size + 2)?;
        at += size + 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}

impl Actor for Plain {
    fn step(&mut self, net: &mut Net) -> Step {
        if !self.outbox.is_empty() {
            let most = self.outbox.len().min(20_000);
            match net.write(self.end, &self.outbox[..self.rng.usize(1..=most)]) {
                Ok(count) => {
                    self.outbox.drain(..count);
                    return Step::Moved;
                }
                Err(IoFault::Blocked) => {}
                Err(IoFault::Lost) => {
                    net.close(self.end);
                    return Step::Over;
                }
            }
        } else if self.serve() {
            return Step::Moved;
        }
        take_in(net, self.end, &mut self.inbox)
    }

    fn is_awaited(&self) -> bool {
        false
    }
}
