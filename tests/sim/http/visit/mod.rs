//! One connection of a client, from the first request to the end: its state, what it writes and how it
//! misbehaves.

mod reading;

use std::cell::RefCell;
use std::rc::Rc;

use fastrand::Rng;
use pollux::core::outcome::Cause;
use pollux::core::time::Time;

use super::board::{Board, Ending};
use super::reply::Final;
use super::request::render;
use super::script::{Mischief, Visit};
use crate::actor::{Port, Pushed, Step};
use crate::net::{Closing, Net};
use crate::payload::Payload;

/// The faults that a client may have to tolerate. Without any of them every request is answered exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manners {
    /// The errors to which an honest proxy among crooks can come.
    pub(crate) foul: bool,
    /// A request that has not reached a backend may find the listening socket closed.
    pub(crate) draining: bool,
    /// Pollux may be out of descriptors, and say so.
    pub(crate) scarce: bool,
    /// Clients that have left make room for others, also those that only half-close.
    pub(crate) crowded: bool,
}

impl Manners {
    /// Whether Pollux may close a connection behind a response that was not asked to be the last.
    fn may_close(self) -> bool {
        self.foul || self.draining || self.scarce
    }

    /// Whether Pollux may answer by itself because of `cause`.
    fn permit(self, cause: Cause) -> bool {
        // A drain does not wait long for a client that seems to have nothing to say, be it that nobody could
        // listen.
        let is_rushed = self.draining && cause == Cause::OutOfBuffers;
        self.foul
            || is_rushed
            || (self.scarce && matches!(cause, Cause::OutOfDescriptors | Cause::QueueTimeout))
    }
}

/// The part that is being read.
#[derive(Debug)]
enum Reading {
    Head,
    Body(Final),
    /// The echo of what is sent through a tunnel, and how much of it has come.
    Echo(Payload, usize),
    /// Nothing but the end of the connection, which has been announced.
    End,
}

/// See the head of this file.
pub(crate) struct Visiting {
    port: Port,
    visit: Visit,
    manners: Manners,
    board: Rc<RefCell<Board>>,
    reading: Reading,
    /// The place in the visit of the request whose response is read, or is to be read next.
    current: usize,
    /// The number of requests that have been posted.
    posted: usize,
    /// A body that waits for a `100 Continue`, and until when.
    held: Option<(Vec<u8>, Time)>,
    /// The client's FIN has been sent.
    finished: bool,
    /// Nothing more is said, whatever was to be.
    truncated: bool,
    /// A write has failed: what looks like an end of the stream is none.
    lost: bool,
    /// Bytes in and out.
    moved: usize,
    /// When the client closes the connection on which it wants nothing any more.
    leaves_at: Option<Time>,
    rng: Rng,
}

impl Visiting {
    pub(crate) fn new(
        port: Port,
        visit: Visit,
        manners: Manners,
        board: &Rc<RefCell<Board>>,
        rng: Rng,
    ) -> Visiting {
        Visiting {
            port,
            visit,
            manners,
            board: Rc::clone(board),
            reading: Reading::Head,
            current: 0,
            posted: 0,
            held: None,
            finished: false,
            truncated: false,
            lost: false,
            moved: 0,
            leaves_at: None,
            rng,
        }
    }

    pub(crate) fn step(&mut self, net: &mut Net) -> Step {
        if let Some(until) = self.port.napping(net.now) {
            return Step::Until(until);
        }
        // Behind TLS it may be in the middle of the handshake, or of a record.
        let moved = if self.port.is_sealed() { self.port.carried() } else { self.moved };
        if let Some((_, mischief)) = self.visit.mischief.take_if(|(after, _)| *after <= moved) {
            return self.misbehave(mischief, net);
        }
        if self.leaves_at.is_some_and(|at| at <= net.now) {
            let stray = self.port.unread(net);
            assert!(stray.is_empty() || self.manners.foul, "bytes that nobody asked for: {stray:?}");
            return self.leave(None, net);
        }
        let step = if self.rng.bool() {
            self.speak(net).or_else(|| self.listen(net))
        } else {
            self.listen(net).or_else(|| self.speak(net))
        };
        if step == Some(Step::Moved) {
            self.port.breathe(net.now, &mut self.rng);
        }
        let alarm = self.leaves_at.or(self.held.as_ref().map(|(_, until)| *until)).filter(|at| *at > net.now);
        step.unwrap_or_else(|| alarm.map_or(Step::Still, Step::Until))
    }

    fn misbehave(&mut self, mischief: Mischief, net: &mut Net) -> Step {
        match mischief {
            Mischief::Hang(span) => {
                self.port.nap(net.now, span);
                return Step::Moved;
            }
            Mischief::Truncate if self.truncate(net) => return Step::Moved,
            Mischief::Truncate | Mischief::Abort => {
                if self.port.is_sealed() && self.rng.bool() {
                    self.port.tear(net, &mut self.rng);
                }
                self.port.abort(net);
            }
            Mischief::Close if self.port.is_sealed() && self.rng.bool() => {
                self.port.bid_farewell(net, &mut self.rng);
            }
            Mischief::Close => {
                let is_last_asked = self.posted == self.current + 1;
                if self.port.close(net) == Closing::Fin && is_last_asked && !self.port.is_sealed() {
                    let number = self.visit.asks[self.current];
                    self.board.borrow_mut().asks[number].closed = Some(self.port.end());
                }
            }
        }
        for number in &self.visit.asks[self.current..] {
            self.board.borrow_mut().end(*number, Ending::Left);
        }
        Step::Over
    }

    /// Ends the client's direction at once. Not within a HEAD, of which Pollux may know so little that its
    /// answer has a body.
    fn truncate(&mut self, net: &mut Net) -> bool {
        if let Some(number) = self.posted.checked_sub(1).map(|last| self.visit.asks[last]) {
            let ask = &mut self.board.borrow_mut().asks[number];
            if ask.method == "HEAD" {
                return false;
            }
            ask.truncated = self.port.unsaid() > 0 || self.held.is_some();
        }
        self.held = None;
        self.port.cut();
        self.truncated = true;
        if !self.finished && self.port.is_sealed() && self.rng.bool() {
            self.port.cut_off(net);
            self.finished = true;
        }
        if !self.finished {
            self.finished = self.port.finish(net);
        }
        true
    }
}

/// Writing.
impl Visiting {
    fn speak(&mut self, net: &mut Net) -> Option<Step> {
        if self.lost || (self.truncated && self.finished) {
            return None;
        }
        let before = self.port.unwritten();
        match self.port.push(net, &mut self.rng) {
            Pushed::Bytes => self.moved += before.saturating_sub(self.port.unwritten()),
            Pushed::Lost => self.lost = true,
            Pushed::Nothing if before > 0 => return None,
            Pushed::Nothing if self.truncated => self.finished = self.port.finish(net),
            Pushed::Nothing => return self.go_on(net),
        }
        Some(Step::Moved)
    }

    /// Everything posted is written: what is to be written next?
    fn go_on(&mut self, net: &mut Net) -> Option<Step> {
        if let Some((body, _)) = self.held.take_if(|(_, until)| *until <= net.now) {
            self.port.post(&body);
            return Some(Step::Moved);
        }
        if self.held.is_some() {
            return None;
        }
        for number in &self.visit.asks[..self.posted] {
            self.board.borrow_mut().asks[*number].written = true;
        }
        let is_turn = match self.reading {
            Reading::Head => self.visit.pipelines || self.posted == self.current,
            Reading::Body(_) => self.visit.pipelines,
            Reading::Echo(..) | Reading::End => false,
        };
        if is_turn && self.posted < self.visit.asks.len() {
            self.post(net.now);
            return Some(Step::Moved);
        }
        let all_asked = self.posted == self.visit.asks.len();
        let finishes = matches!(self.reading, Reading::Echo(..)) || (all_asked && self.visit.half_closes);
        if finishes && !self.finished {
            self.finished = self.port.finish(net);
            return Some(Step::Moved);
        }
        None
    }

    /// Posts the next request, or its head if the body is to wait.
    fn post(&mut self, now: Time) {
        let number = self.visit.asks[self.posted];
        self.posted += 1;
        let board = self.board.borrow();
        let ask = &board.asks[number];
        let (head, body) = render(number, ask, &mut self.rng);
        self.port.post(&head);
        if ask.expects {
            self.held = Some((body, now + self.visit.patience));
        } else {
            self.port.post(&body);
        }
    }
}
