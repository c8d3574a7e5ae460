//! Wires of sessions that are over, and whose last words the other side has not had room for: without
//! close_notify it would take the end for a cut. They wait for that room, for `timeouts.linger` at most.

use super::array::Nearest;
use super::{Token, Worker};
use crate::core::interest::Interest;
use crate::core::slab::{Key, Slab};
use crate::core::time::Time;
use crate::os::Os;
use crate::wire::{Left, TlsWire};

/// So many wait at most; who comes more is closed at once.
const WAITING_MAX: usize = 1024;

/// A wire that is about to be closed.
#[derive(Debug)]
struct Departure {
    wire: Box<TlsWire>,
    until: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Departures {
    waiting: Slab<Departure>,
}

impl Departures {
    /// Sees a wire off that was closed, unless there was nothing left to be said.
    pub(super) fn see_off<O: Os>(&mut self, os: &mut O, left: Left, until: Time) {
        match left {
            Left::Closed => {}
            Left::Speaking(wire) if self.waiting.len() < WAITING_MAX => {
                self.waiting.insert(Departure { wire, until });
            }
            Left::Speaking(wire) => os.close(wire.fd()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl<O: Os> Worker<O> {
    /// Puts them into the poll array.
    pub(super) fn derive_departures(&mut self, nearest: &mut Nearest) {
        for (key, departure) in self.departures.waiting.iter() {
            self.array.push(departure.wire.fd(), Interest::WRITE, Token::Departure(key));
            nearest.note(departure.until);
        }
    }

    /// Lets one say what there is room for.
    pub(super) fn let_speak(&mut self, key: Key) {
        let Some(departure) = self.departures.waiting.get_mut(key) else { return };
        if departure.wire.has_spoken(&mut self.os)
            && let Some(departure) = self.departures.waiting.remove(key)
        {
            self.os.close(departure.wire.fd());
        }
    }

    /// Closes those that have waited long enough, or all.
    pub(super) fn end_late_departures(&mut self, is_cut_off: bool) {
        let is_late = |departure: &Departure| is_cut_off || departure.until <= self.now;
        let waiting = self.departures.waiting.iter();
        let late: Vec<Key> = waiting.filter(|(_, it)| is_late(it)).map(|(key, _)| key).collect();
        for departure in late.into_iter().filter_map(|key| self.departures.waiting.remove(key)) {
            self.os.close(departure.wire.fd());
        }
    }
}
