//! A client: it makes its visits one after the other, checks every response, and notes how each exchange
//! ended.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;

use super::board::Board;
use super::script::Visit;
use super::visit::{Manners, Visiting};
use crate::actor::{Actor, Port, Step};
use crate::harness::LISTENER;
use crate::net::{Dialled, Net};
use crate::tls::Seal;

/// See the head of this file.
pub(crate) struct Client {
    board: Rc<RefCell<Board>>,
    manners: Manners,
    visits: VecDeque<Visit>,
    /// Speaks TLS.
    seal: Option<Seal>,
    /// The longest rest between two of them, if it rests, and the end of the present one.
    rests: Option<Duration>,
    rests_until: Time,
    now: Option<Visiting>,
    rng: Rng,
}

impl Client {
    pub(crate) fn new(
        visits: Vec<Visit>,
        rests: Option<Duration>,
        manners: Manners,
        seal: Option<Seal>,
        board: &Rc<RefCell<Board>>,
        rng: Rng,
    ) -> Client {
        let (board, visits) = (Rc::clone(board), visits.into());
        Client { board, manners, visits, seal, rests, rests_until: Time::ZERO, now: None, rng }
    }

    fn dial(&mut self, net: &mut Net) -> Step {
        if self.rests_until > net.now {
            return Step::Until(self.rests_until);
        }
        let Some(visit) = self.visits.front() else { return Step::Over };
        match net.dial(LISTENER, visit.from) {
            Dialled::Connected(end) => {
                let visit = self.visits.pop_front().expect("it has just been looked at");
                let port = Port::new(end, visit.pace.clone()).sealed(self.seal.as_ref());
                let port = port.behind(visit.introduction.bytes.clone());
                self.now = Some(Visiting::new(port, visit, self.manners, &self.board, self.rng.fork()));
                Step::Moved
            }
            Dialled::Full => Step::Until(net.now + Duration::from_millis(1)),
            Dialled::Refused => Step::Over,
        }
    }
}

impl Actor for Client {
    fn step(&mut self, net: &mut Net) -> Step {
        let Some(visiting) = &mut self.now else { return self.dial(net) };
        let step = visiting.step(net);
        if step == Step::Over {
            self.now = None;
            if let Some(most) = self.rests {
                self.rests_until = net.now + most.mul_f64(self.rng.f64());
            }
            return Step::Moved;
        }
        step
    }

    fn is_awaited(&self) -> bool {
        true
    }
}
