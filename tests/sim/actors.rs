//! The actors of a run and the order in which they act, which the seed decides.

use fastrand::Rng;
use pollux::core::time::Time;

use crate::actor::{Actor, Step};
use crate::end::EndId;
use crate::net::Net;

/// Makes the actor that serves a new connection at a host.
pub(crate) type Spawn = Box<dyn FnMut(usize, EndId) -> Box<dyn Actor>>;

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Moved,
    /// No actor can move before that time, if there is one.
    Still(Option<Time>),
}

/// See the head of this file.
pub(crate) struct Actors {
    actors: Vec<Box<dyn Actor>>,
    spawn: Spawn,
    rng: Rng,
}

impl Actors {
    pub(crate) fn new(clients: Vec<Box<dyn Actor>>, spawn: Spawn, rng: Rng) -> Actors {
        Actors { actors: clients, spawn, rng }
    }

    /// Whether an actor that the run waits for is still there.
    pub(crate) fn is_awaited(&self) -> bool {
        self.actors.iter().any(|actor| actor.is_awaited())
    }

    /// Lets one actor make one step, if any can.
    pub(crate) fn step(&mut self, net: &mut Net) -> Progress {
        while let Some((host, end)) = net.next_arrival() {
            self.actors.push((self.spawn)(host, end));
        }
        let mut wake = None;
        let count = self.actors.len();
        let first = if count > 0 { self.rng.usize(..count) } else { 0 };
        for place in (0..count).map(|turn| (first + turn) % count) {
            match self.actors[place].step(net) {
                Step::Moved => return Progress::Moved,
                Step::Over => {
                    self.actors.swap_remove(place);
                    return Progress::Moved;
                }
                Step::Until(time) => wake = Some(wake.map_or(time, |earlier: Time| earlier.min(time))),
                Step::Still => {}
            }
        }
        Progress::Still(wake)
    }
}
