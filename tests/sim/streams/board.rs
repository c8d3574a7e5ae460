//! The facts that the peers of a run share about their requests.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use fastrand::Rng;

use crate::faults::{Weather, chance};

/// The ways in which the backends of a run treat their streams. A connection that leaves says so by GOAWAY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Kind,
    /// Each request may be refused once, by REFUSED_STREAM.
    Refuses,
    /// One connection leaves.
    LeavesOnce,
    /// Every connection leaves after some requests.
    Leaves,
    /// Streams are reset, and connections cut, wherever they are.
    Cuts,
}

#[derive(Debug, Default)]
struct Facts {
    mood: Mood,
    has_left: bool,
    /// Requests whose heads a backend has taken.
    taken: BTreeSet<usize>,
    refused: BTreeSet<usize>,
    /// Requests were refused of which it is not known which they are.
    has_refused: bool,
}

/// Clones share their facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Rc<RefCell<Facts>>);

impl Board {
    pub(super) fn draw(&self, weather: Weather, rng: &mut Rng) {
        self.0.borrow_mut().mood = match (weather, rng.u8(..4)) {
            (Weather::Foul, _) => Mood::Cuts,
            (Weather::Clean, 0) => Mood::Kind,
            (Weather::Clean, 1) => Mood::Refuses,
            (Weather::Clean, 2) => Mood::LeavesOnce,
            (Weather::Clean, _) => Mood::Leaves,
        };
    }

    /// A backend has the head of that request; whether it refuses it.
    pub(super) fn refuses(&self, number: usize, rng: &mut Rng) -> bool {
        let mut facts = self.0.borrow_mut();
        let refuses = facts.mood == Mood::Refuses && chance(rng, 30) && facts.refused.insert(number);
        if !refuses {
            let is_first = facts.taken.insert(number);
            assert!(is_first, "request {number} is sent again without a proof");
        }
        refuses
    }

    /// A backend has refused a request above its bound.
    pub(super) fn note_refused(&self) {
        self.0.borrow_mut().has_refused = true;
    }

    /// Whether a connection leaves that has taken so many requests.
    pub(super) fn leaves(&self, requests: usize, rng: &mut Rng) -> bool {
        let mut facts = self.0.borrow_mut();
        let may = match facts.mood {
            Mood::Leaves => true,
            Mood::LeavesOnce => !facts.has_left,
            Mood::Kind | Mood::Refuses | Mood::Cuts => false,
        };
        let leaves = may && requests > 0 && chance(rng, 5);
        facts.has_left |= leaves;
        leaves
    }

    pub(super) fn cuts(&self, rng: &mut Rng) -> bool {
        self.0.borrow().mood == Mood::Cuts && chance(rng, 2)
    }

    /// Whether that request may end without its answer, and the reason is not Pollux. One with a body can be
    /// refused once its body has gone.
    pub(super) fn is_excused(&self, number: usize, has_body: bool) -> bool {
        let facts = self.0.borrow();
        // Each connection may refuse it, as long as its bound is not known.
        if facts.has_refused {
            return true;
        }
        match facts.mood {
            Mood::Kind => false,
            Mood::Refuses => has_body && facts.refused.contains(&number),
            Mood::LeavesOnce => has_body && facts.has_left,
            // It may meet more than one that leaves.
            Mood::Leaves => facts.has_left,
            // Connects fail, and bodies are cut.
            Mood::Cuts => true,
        }
    }
}
