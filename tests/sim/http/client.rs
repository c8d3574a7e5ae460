//! A client: it makes its visits one after the other, checks every response, and notes how each exchange ended.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;

use super::board::Board;
use super::script::Visit;
use super::visit::{Manners, Visiting};
use crate::actor::{Actor, Step};
use crate::net::{Dialled, Net};
use crate::stage::DOOR;

/// See the head of this file.
pub(crate) struct Client {
    board: Rc<RefCell<Board>>,
    manners: Manners,
    visits: VecDeque<Visit>,
    now: Option<Visiting>,
    rng: Rng,
}

impl Client {
    pub(crate) fn new(visits: Vec<Visit>, manners: Manners, board: &Rc<RefCell<Board>>, rng: Rng) -> Client {
        Client { board: Rc::clone(board), manners, visits: visits.into(), now: None, rng }
    }

    fn dial(&mut self, net: &mut Net) -> Step {
        let Some(visit) = self.visits.front() else { return Step::Over };
        match net.dial(DOOR, visit.from) {
            Dialled::Connected(end) => {
                let visit = self.visits.pop_front().expect("it has just been looked at");
                self.now = Some(Visiting::new(end, visit, self.manners, &self.board, self.rng.fork()));
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
            return Step::Moved;
        }
        step
    }

    fn is_awaited(&self) -> bool {
        true
    }
}
