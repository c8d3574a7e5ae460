//! A client that holds a place and is not served: it says nothing, or half a head, or a byte of it now and
//! then. Where there are no places left it has to make room, and comes again.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::os::IoFault;

use crate::actor::{Actor, Step};
use crate::end::EndId;
use crate::harness::LISTENER;
use crate::net::{Dialled, Net};

/// The bytes of a request that it sends, which never is one.
const HEAD: &[u8] = b"GET /idle HTTP/1.1\r\nHost: idle\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The longest that a client waits in the queue while there are idlers: each client before it in the queue
/// has a quarter of a second before it makes room.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(5);

/// The answer that it may get.
const ANSWER: &[u8] = b"HTTP/1.1 408 ";

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Idler {
    from: SocketAddr,
    comes_at: Time,
    /// The number of times that it comes again.
    visits: usize,
    /// The bytes that it sends at once, and the time before it sends more; it never sends all.
    said_at_once: usize,
    drips: Option<Duration>,
    said: usize,
    says_at: Time,
    heard: Vec<u8>,
    end: Option<EndId>,
}

impl Idler {
    pub(crate) fn new(from: SocketAddr, rng: &mut Rng) -> Idler {
        Idler {
            from,
            comes_at: Time::ZERO + Duration::from_millis(rng.u64(..50)),
            visits: rng.usize(1..=4),
            said_at_once: if rng.bool() { rng.usize(..HEAD.len()) } else { 0 },
            drips: rng.bool().then(|| Duration::from_millis(rng.u64(20..400))),
            said: 0,
            says_at: Time::ZERO,
            heard: Vec::new(),
            end: None,
        }
    }

    fn dial(&mut self, net: &mut Net) -> Step {
        if self.visits == 0 {
            return Step::Over;
        }
        if net.now < self.comes_at {
            return Step::Until(self.comes_at);
        }
        match net.dial(LISTENER, self.from) {
            Dialled::Connected(end) => {
                self.visits -= 1;
                (self.end, self.said, self.says_at) = (Some(end), 0, net.now);
                self.heard.clear();
                Step::Moved
            }
            Dialled::Full => Step::Until(net.now + Duration::from_millis(10)),
            Dialled::Refused => Step::Over,
        }
    }

    fn sent_away(&mut self, end: EndId, net: &mut Net) -> Step {
        assert!(self.said > 0 || self.heard.is_empty(), "an answer to somebody who has said nothing");
        // The answer goes out only as far as there is room for it at once.
        let length = self.heard.len().min(ANSWER.len());
        assert!(self.heard[..length] == ANSWER[..length], "another answer than 408");
        net.close(end);
        self.end = None;
        self.comes_at = net.now + Duration::from_millis(5);
        Step::Moved
    }

    /// Says some more; true if it has.
    fn say(&mut self, end: EndId, net: &mut Net) -> bool {
        let until = match self.drips {
            _ if self.said < self.said_at_once => self.said_at_once,
            Some(_) if self.said_at_once > 0 => HEAD.len().min(self.said + 1),
            Some(_) | None => self.said,
        };
        let Ok(count) = net.write(end, &HEAD[self.said..until]) else { return false };
        self.said += count;
        self.says_at = net.now + self.drips.unwrap_or(Duration::from_secs(3600));
        count > 0
    }
}

impl Actor for Idler {
    fn step(&mut self, net: &mut Net) -> Step {
        let Some(end) = self.end else { return self.dial(net) };
        let mut room = [0; 512];
        match net.read(end, &mut room) {
            Ok(0) | Err(IoFault::Lost) => return self.sent_away(end, net),
            Ok(count) => {
                self.heard.extend_from_slice(&room[..count]);
                return Step::Moved;
            }
            Err(IoFault::Blocked) => {}
        }
        let is_more = self.said < self.said_at_once || (self.said_at_once > 0 && self.said < HEAD.len());
        if !is_more {
            return Step::Still;
        }
        if net.now < self.says_at {
            return Step::Until(self.says_at);
        }
        if self.say(end, net) { Step::Moved } else { Step::Still }
    }

    /// The run does not wait for it: it ends once all others have been served.
    fn is_awaited(&self) -> bool {
        false
    }
}
