//! The actors of a run and the order in which they act, which the seed decides.

use fastrand::Rng;
use pollux::core::time::Time;

use crate::actor::{Actor, Step};
use crate::end::EndId;
use crate::net::Net;

/// Makes the actor that serves a connection which has come in at a host.
pub(crate) type Hire = Box<dyn FnMut(usize, EndId) -> Box<dyn Actor>>;

/// What came of an attempt to have somebody act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stir {
    Moved,
    /// No actor can move before that time, if there is one.
    Still(Option<Time>),
}

/// See the head of this file.
pub(crate) struct Cast {
    actors: Vec<Box<dyn Actor>>,
    hire: Hire,
    rng: Rng,
}

impl Cast {
    pub(crate) fn new(clients: Vec<Box<dyn Actor>>, hire: Hire, rng: Rng) -> Cast {
        Cast { actors: clients, hire, rng }
    }

    /// Whether somebody whom the run waits for is still there.
    pub(crate) fn is_awaited(&self) -> bool {
        self.actors.iter().any(|actor| actor.is_awaited())
    }

    /// Lets one actor make one step, whoever can.
    pub(crate) fn play(&mut self, net: &mut Net) -> Stir {
        while let Some((host, end)) = net.next_arrival() {
            self.actors.push((self.hire)(host, end));
        }
        let mut wake = None;
        let count = self.actors.len();
        let first = if count > 0 { self.rng.usize(..count) } else { 0 };
        for place in (0..count).map(|turn| (first + turn) % count) {
            match self.actors[place].step(net) {
                Step::Moved => return Stir::Moved,
                Step::Over => {
                    self.actors.swap_remove(place);
                    return Stir::Moved;
                }
                Step::Until(time) => wake = Some(wake.map_or(time, |earlier: Time| earlier.min(time))),
                Step::Still => {}
            }
        }
        Stir::Still(wake)
    }
}
