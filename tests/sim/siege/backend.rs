//! One connection of a backend under siege.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;

use super::premise::Premise;
use super::trick::Trick;
use crate::actor::{Actor, Step};
use crate::end::EndId;
use crate::faults::chance;
use crate::net::Net;

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The end of a request with a trailer.
const TRAILER: &[u8] = b"X-Sum: 1\r\n\r\n";

/// The next state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// With the next request.
    Next,
    /// Nothing more comes.
    Silence,
    Close,
    Abort,
}

/// See the head of this file.
pub(super) struct Backend {
    host: usize,
    end: EndId,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// The state that follows when all is written, and its time.
    then: Option<(Then, Time)>,
    /// The last answer was that to a good request.
    is_good: bool,
    premise: Rc<Premise>,
    rng: Rng,
}

impl Backend {
    pub(super) fn new(host: usize, end: EndId, premise: Rc<Premise>, rng: Rng) -> Backend {
        let (inbox, outbox) = (Vec::new(), Vec::new());
        Backend { host, end, inbox, outbox, then: None, is_good: false, premise, rng }
    }

    /// Answers the request that has come, once it has; false if it has not.
    fn serve(&mut self, now: Time) -> bool {
        let Some(at) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
        let head = String::from_utf8(self.inbox[..at].to_vec()).expect("a head");
        let (trick, body) = (Trick::of(&head), &self.inbox[at + 4..]);
        let is_whole = if head.to_ascii_lowercase().contains("transfer-encoding") {
            body.ends_with(b"0\r\n\r\n") || body.ends_with(TRAILER)
        } else {
            head.starts_with("GET")
                || head.starts_with("HEAD")
                || head.starts_with("PROPFIND")
                || body.len() >= 2
        };
        if !is_whole {
            return false;
        }
        let has_trailer = body.ends_with(TRAILER);
        self.inbox.clear();
        self.is_good = trick.is_none();
        self.outbox = trick.map_or(GOOD.to_vec(), Trick::answer);
        let later = now + Duration::from_millis(self.rng.u64(..30));
        self.then = Some(match trick {
            None | Some(Trick::Status | Trick::LongHead | Trick::HeadBody) => (Then::Next, now),
            Some(Trick::Trailer) if !has_trailer => {
                self.outbox = GOOD.to_vec();
                (Then::Next, now)
            }
            Some(Trick::LongPoll | Trick::Stall | Trick::Quiet | Trick::HalfBody | Trick::Switch) => {
                (Then::Silence, now)
            }
            Some(Trick::Impatience | Trick::Cut | Trick::Interims) if self.rng.bool() => (Then::Close, later),
            Some(Trick::Method | Trick::Trailer | Trick::Garbage) => (Then::Close, now),
            Some(Trick::Reset | Trick::Impatience | Trick::Cut | Trick::Interims) => (Then::Abort, later),
        });
        true
    }

    fn write(&mut self, net: &mut Net) -> Option<Step> {
        if self.outbox.is_empty() {
            return None;
        }
        match net.write(self.end, &self.outbox) {
            Ok(count) => {
                self.outbox.drain(..count);
                Some(Step::Moved)
            }
            Err(pollux::os::IoFault::Blocked) => None,
            Err(pollux::os::IoFault::Lost) => Some(self.leave(net)),
        }
    }

    fn leave(&self, net: &mut Net) -> Step {
        net.close(self.end);
        Step::Over
    }

    fn go_on(&mut self, net: &mut Net) -> Option<Step> {
        let (then, at) = self.then.filter(|_| self.outbox.is_empty())?;
        if at > net.now {
            return Some(Step::Until(at));
        }
        match then {
            Then::Silence => return None,
            Then::Next => self.then = None,
            Then::Close => return Some(self.leave(net)),
            Then::Abort => {
                net.abort(self.end);
                return Some(Step::Over);
            }
        }
        Some(Step::Moved)
    }
}

impl Actor for Backend {
    fn step(&mut self, net: &mut Net) -> Step {
        if let Some(step) = self.write(net) {
            return step;
        }
        let step = self.go_on(net);
        if let Some(Step::Moved | Step::Over) = step {
            return step.unwrap_or(Step::Still);
        }
        let mut room = [0; 1024];
        let most = if chance(&mut self.rng, 10) { 16 } else { room.len() };
        let read = net.read(self.end, &mut room[..most]);
        // A proxy that goes on or ends in order has read the answer: otherwise the close would be a reset.
        if read.is_ok() && self.is_good && self.outbox.is_empty() {
            self.premise.note_answer(self.host);
        }
        match read {
            Ok(0) | Err(pollux::os::IoFault::Lost) => self.leave(net),
            Ok(count) => {
                self.inbox.extend_from_slice(&room[..count]);
                if self.then.is_none() {
                    self.serve(net.now);
                }
                Step::Moved
            }
            Err(pollux::os::IoFault::Blocked) => step.unwrap_or(Step::Still),
        }
    }

    fn is_awaited(&self) -> bool {
        false
    }
}
