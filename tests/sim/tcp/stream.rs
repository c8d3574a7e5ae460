//! The actor at either end of a raw connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;

use super::board::{Board, Ending};
use super::script::{Mischief, Part};
use crate::actor::{Actor, Port, Pulled, Pushed, Step};
use crate::end::EndId;
use crate::harness::{LISTENER, address_of};
use crate::net::{Closing, Dialled, Net};

/// The number of bytes of a stream that are its number.
const NUMBER: usize = 8;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Stream {
    /// `None` before a client has connected.
    port: Option<Port>,
    me: usize,
    part: Part,
    board: Rc<RefCell<Board>>,
    rng: Rng,
    finished: bool,
    ended: bool,
    /// The time for which it waits before it comes.
    rest: Duration,
}

impl Stream {
    /// A client that has yet to connect if `end` is `None`, else the backend's end of a connection.
    pub(crate) fn new(end: Option<EndId>, part: Part, board: &Rc<RefCell<Board>>, rng: Rng) -> Stream {
        let me = board.borrow_mut().enter(part.is_client, part.len, part.mischief.is_some());
        let board = Rc::clone(board);
        let mut stream =
            Stream { port: None, me, part, board, rng, finished: false, ended: false, rest: Duration::ZERO };
        if let Some(end) = end {
            stream.open(end);
        }
        stream
    }

    /// A stream that comes only after `rest`.
    pub(crate) fn rests(self, rest: Duration) -> Stream {
        Stream { rest, ..self }
    }

    fn open(&mut self, end: EndId) {
        let mut bytes = self.board.borrow_mut().stream(self.me).payload.whole();
        if let Some(number) = bytes.get_mut(..NUMBER) {
            number.copy_from_slice(&(self.me as u64).to_be_bytes());
        }
        let mut port = Port::new(end, self.part.pace.clone()).sealed(self.part.seal.as_ref());
        port.post(&bytes);
        self.port = Some(port);
    }

    fn dial(&mut self, net: &mut Net) -> Step {
        if net.now < Time::ZERO + self.rest {
            return Step::Until(Time::ZERO + self.rest);
        }
        match net.dial(LISTENER, address_of(self.me)) {
            Dialled::Connected(end) => {
                self.open(end);
                Step::Moved
            }
            Dialled::Full => Step::Until(net.now + Duration::from_millis(1)),
            Dialled::Refused => Step::Over,
        }
    }

    fn received(&self) -> usize {
        self.board.borrow_mut().stream(self.me).received
    }

    /// Writes a piece, or the FIN behind the last. `None` if it is not the time for either.
    fn speak(&mut self, port: &mut Port, net: &mut Net) -> Option<Step> {
        let listens = self.part.listens_first && !self.ended && self.received() == 0;
        if self.finished || (listens && !port.is_shaking()) {
            return None;
        }
        match port.push(net, &mut self.rng) {
            Pushed::Bytes => {}
            Pushed::Lost => return Some(self.leave(port, net, Ending::Reset)),
            Pushed::Nothing if port.unwritten() > 0 || (self.part.leaves_last && !self.ended) => return None,
            Pushed::Nothing => {
                self.finished = port.finish(net);
                // With TLS the end is said before the FIN.
                self.board.borrow_mut().stream(self.me).finished = true;
            }
        }
        let mut board = self.board.borrow_mut();
        let told = board.stream(self.me);
        told.written = self.part.len.saturating_sub(port.unwritten());
        told.finished |= self.finished;
        Some(Step::Moved)
    }

    /// Reads and checks a piece, or the end. `None` if nothing has come.
    fn listen(&mut self, port: &mut Port, net: &mut Net) -> Option<Step> {
        if self.ended {
            return None;
        }
        match port.pull(net, &mut self.rng) {
            Pulled::Nothing => return None,
            Pulled::Bytes => self.check(port),
            Pulled::End => {
                assert!(port.inbox.is_empty(), "a stream ended within its number");
                self.board.borrow().expect_whole(self.me);
                self.board.borrow_mut().stream(self.me).ending = Some(Ending::Whole);
                self.ended = true;
            }
            Pulled::Reset => return Some(self.leave(port, net, Ending::Reset)),
        }
        Some(Step::Moved)
    }

    fn check(&mut self, port: &mut Port) {
        let mut board = self.board.borrow_mut();
        let other = match board.stream(self.me).heard {
            Some(other) => other,
            None => {
                let Some(number) = port.inbox.first_chunk::<NUMBER>() else { return };
                let other = usize::try_from(u64::from_be_bytes(*number)).expect("a number is small");
                port.inbox.drain(..NUMBER);
                board.identify(self.me, other);
                board.stream(self.me).received = NUMBER;
                other
            }
        };
        let before = board.stream(self.me).received;
        assert!(
            board.stream(other).payload.has(before, &port.inbox),
            "stream {other} is not what was written"
        );
        board.stream(self.me).received += port.inbox.len();
        port.inbox.clear();
    }

    fn misbehave(&mut self, port: &mut Port, net: &mut Net, mischief: Mischief) -> Step {
        match mischief {
            Mischief::Hang(span) => {
                port.nap(net.now, span);
                return Step::Moved;
            }
            Mischief::Abort | Mischief::Close if port.is_sealed() => self.break_off(port, net),
            // A FIN within the number would leave the other side without a clue.
            Mischief::Close if (1..NUMBER).contains(&self.board.borrow_mut().stream(self.me).written) => {
                port.abort(net);
            }
            Mischief::Abort => port.abort(net),
            Mischief::Close => {
                if port.close(net) == Closing::Fin {
                    let mut board = self.board.borrow_mut();
                    let told = board.stream(self.me);
                    told.payload.len = told.written;
                    told.finished = true;
                }
            }
        }
        self.board.borrow_mut().stream(self.me).ending = Some(Ending::Own);
        Step::Over
    }

    /// Ends a TLS connection at once. Only who has said close_notify has put an end to what it has said.
    fn break_off(&mut self, port: &mut Port, net: &mut Net) {
        let said = port.said();
        match self.rng.u8(..4) {
            0 => port.abort(net),
            1 => {
                port.tear(net, &mut self.rng);
                port.close(net);
            }
            // An end within the number would leave the other side without a clue.
            2 if !(1..NUMBER).contains(&said) => {
                if port.bid_farewell(net, &mut self.rng) {
                    let mut board = self.board.borrow_mut();
                    let told = board.stream(self.me);
                    told.payload.len = said;
                    told.finished = true;
                }
            }
            _ => {
                port.close(net);
            }
        }
    }

    fn leave(&mut self, port: &Port, net: &mut Net, ending: Ending) -> Step {
        port.close(net);
        self.board.borrow_mut().stream(self.me).ending = Some(ending);
        Step::Over
    }

    fn act(&mut self, port: &mut Port, net: &mut Net) -> Step {
        if let Some(until) = port.napping(net.now) {
            return Step::Until(until);
        }
        // Behind TLS it may be in the middle of the handshake, or of a record.
        let moved = if port.is_sealed() {
            port.carried()
        } else {
            self.part.len.saturating_sub(port.unwritten()) + self.received()
        };
        if let Some((_, mischief)) = self.part.mischief.take_if(|(after, _)| *after <= moved) {
            return self.misbehave(port, net, mischief);
        }
        let step = if self.rng.bool() {
            self.speak(port, net).or_else(|| self.listen(port, net))
        } else {
            self.listen(port, net).or_else(|| self.speak(port, net))
        };
        match step {
            Some(Step::Moved) => {
                port.breathe(net.now, &mut self.rng);
                Step::Moved
            }
            Some(step) => step,
            None if self.ended && self.finished => self.leave(port, net, Ending::Whole),
            None => Step::Still,
        }
    }
}

impl Actor for Stream {
    fn step(&mut self, net: &mut Net) -> Step {
        let Some(mut port) = self.port.take() else { return self.dial(net) };
        let step = self.act(&mut port, net);
        self.port = Some(port);
        step
    }

    fn is_awaited(&self) -> bool {
        self.part.is_client
    }
}
