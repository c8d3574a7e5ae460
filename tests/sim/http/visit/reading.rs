//! The client's reading of its input, and the end of its connection.

use pollux::core::time::Time;

use super::{Reading, Visiting};
use crate::actor::{Pulled, Step};
use crate::http::board::Ending;
use crate::http::head::Head;
use crate::http::reply::{Origin, Reply, examine};
use crate::net::Net;

/// Reading.
impl Visiting {
    pub(super) fn listen(&mut self, net: &mut Net) -> Option<Step> {
        let before = self.port.inbox.len();
        match self.port.pull(net, &mut self.rng) {
            Pulled::Nothing => return None,
            Pulled::End | Pulled::Reset if self.visit.introduction.refused.is_some() => {
                return Some(self.refused(net));
            }
            Pulled::Bytes => {}
            // An end that TLS tells of is one.
            Pulled::End if self.lost && !self.port.is_sealed() => return Some(self.reset(net)),
            Pulled::End => return Some(self.end(net)),
            Pulled::Reset => return Some(self.reset(net)),
        }
        self.moved += self.port.inbox.len() - before;
        while self.understand(net.now) {}
        // A client that was answered before it has sent the body can only leave.
        let stuck = self.held.is_some() && self.current == self.posted;
        Some(if stuck { self.leave(None, net) } else { Step::Moved })
    }

    /// Makes what it can of what has come in. False if it takes more to go on.
    fn understand(&mut self, now: Time) -> bool {
        match &mut self.reading {
            Reading::Head => self.understand_head(),
            Reading::Body(reply) => {
                reply.body.take(&mut self.port.inbox);
                if !reply.body.is_done() {
                    return false;
                }
                let (origin, closes) = (reply.origin, reply.closes);
                self.answered(origin, closes, now);
                true
            }
            Reading::Echo(payload, got) => {
                assert!(payload.has(*got, &self.port.inbox), "an echo is not what was sent");
                *got += self.port.inbox.len();
                self.port.inbox.clear();
                false
            }
            Reading::End => {
                assert!(self.port.inbox.is_empty(), "bytes behind the last response");
                false
            }
        }
    }

    fn understand_head(&mut self) -> bool {
        if self.port.inbox.is_empty() {
            return false;
        }
        assert!(self.current < self.posted, "a response that nobody asked for");
        let Some(head) = Head::take(&mut self.port.inbox) else { return false };
        let number = self.visit.asks[self.current];
        let board = self.board.borrow();
        match examine(&head, number, &board) {
            Reply::Interim(100) => {
                if let Some((body, _)) = self.held.take() {
                    self.port.post(&body);
                }
            }
            Reply::Interim(_) => {}
            Reply::Tunnel => {
                let payload = board.asks[number].upgrade.expect("examined");
                self.port.post(&payload.whole());
                self.reading = Reading::Echo(payload, 0);
            }
            Reply::Final(reply) => self.reading = Reading::Body(reply),
        }
        true
    }

    /// The current exchange has a complete response.
    fn answered(&mut self, origin: Origin, closes: bool, now: Time) {
        let number = self.visit.asks[self.current];
        let mut board = self.board.borrow_mut();
        let last = board.asks[number].last;
        let ending = match origin {
            Origin::Backend(_) => {
                assert_eq!(self.visit.introduction.refused, None, "an answer to somebody who is refused");
                Ending::Exact
            }
            Origin::Pollux(cause) => {
                assert!(self.manners.permit(cause), "{cause} for no reason");
                Ending::Own(cause)
            }
        };
        board.end(number, ending);
        let fine = last || self.manners.may_close();
        assert!(!closes || fine, "Pollux closes for no reason");
        self.current += 1;
        self.reading = if closes { Reading::End } else { Reading::Head };
        if !closes && self.current == self.visit.asks.len() {
            self.leaves_at = Some(now + self.visit.stays);
        }
    }
}

/// Endings.
impl Visiting {
    fn end(&mut self, net: &mut Net) -> Step {
        let ending = match &self.reading {
            Reading::Body(reply) if reply.body.ends_here() => {
                let origin = reply.origin;
                if let Origin::Backend(answer) = origin {
                    let endless = self.board.borrow().answers[answer].endless;
                    assert!(!endless, "a response that was never ended came to an end");
                }
                self.answered(origin, true, net.now);
                None
            }
            Reading::Echo(payload, got) if *got == payload.len => Some(Ending::Exact),
            Reading::Body(_) | Reading::Echo(..) => Some(self.truncated()),
            Reading::Head if !self.port.inbox.is_empty() => Some(self.truncated()),
            Reading::Head => self.unanswered(),
            Reading::End => None,
        };
        for number in self.visit.asks.iter().skip(self.current + usize::from(ending.is_some())) {
            let ask = &self.board.borrow().asks[*number];
            assert!(ask.seen == 0, "{} was passed on and not answered", ask.target);
        }
        self.leave(ending, net)
    }

    /// The connection has ended because of what was said, or was not, before the first request. No other
    /// answer may be given.
    fn refused(&mut self, net: &mut Net) -> Step {
        assert!(self.current == 0 && self.port.inbox.is_empty(), "an answer to somebody who is refused");
        for number in &self.visit.asks {
            let ask = &self.board.borrow().asks[*number];
            assert!(ask.seen == 0, "{} was passed on for somebody who is refused", ask.target);
        }
        self.leave(None, net)
    }

    fn reset(&mut self, net: &mut Net) -> Step {
        assert!(self.manners.foul || self.has_left(), "a reset for no reason");
        let ending = match &self.reading {
            Reading::Body(_) | Reading::Echo(..) => Some(self.truncated()),
            Reading::Head if !self.port.inbox.is_empty() => Some(self.truncated()),
            Reading::Head => self.unanswered(),
            Reading::End => None,
        };
        self.leave(ending, net)
    }

    /// Whether it has ended its direction behind its requests.
    fn has_left(&self) -> bool {
        self.finished && self.visit.half_closes
    }

    fn truncated(&self) -> Ending {
        let number = self.visit.asks[self.current];
        let ask = &self.board.borrow().asks[number];
        assert!(
            self.manners.foul,
            "the response to {} {} was truncated for no reason",
            ask.method, ask.target
        );
        Ending::Visible
    }

    /// The connection is gone before anything of the current response has come, if there is one to come.
    fn unanswered(&self) -> Option<Ending> {
        let number = self.visit.asks.get(self.current)?;
        let ask = &self.board.borrow().asks[*number];
        let turned_away = self.manners.draining && ask.seen == 0;
        let is_owed = ask.written && ask.honest;
        // The drain deadline does not wait for crooks.
        // The part that a RST has torn off a response may be its first record, of which nothing can be read.
        let is_torn = self.port.is_sealed() && ask.wronged;
        // It is let out of a queue, and its exchange is given up where the pool says so, or to make room.
        let may_give_up = self.manners.foul || self.manners.crowded;
        let is_given_up = self.has_left() && (ask.seen == 0 || may_give_up);
        let fine = turned_away
            || is_given_up
            || (self.manners.foul && (self.manners.draining || !is_owed || is_torn));
        assert!(fine, "{} {} got no answer", ask.method, ask.target);
        Some(Ending::Unanswered)
    }

    /// Closes. The current exchange, if there is one, ended like that; nothing came of those behind it.
    pub(super) fn leave(&mut self, current: Option<Ending>, net: &mut Net) -> Step {
        // Not everybody who speaks TLS says goodbye to somebody who owes nothing.
        if self.port.is_sealed() && self.rng.bool() {
            self.port.bid_farewell(net, &mut self.rng);
        } else {
            self.port.close(net);
        }
        let endings = current.into_iter().chain(std::iter::repeat(Ending::Unanswered));
        for (number, ending) in self.visit.asks[self.current..].iter().zip(endings) {
            self.board.borrow_mut().end(*number, ending);
        }
        Step::Over
    }
}
