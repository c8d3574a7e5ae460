//! The connections to backends that carry streams, by the backend that they lead to.
//!
//! A request takes a stream of the first one that has room; so few connections serve many requests, and the later
//! ones run empty and close. A new one is begun when none has room. Requests that come while it is being made wait
//! on it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::conn::Reach;
use super::conns::Conns;
use super::generation::Generation;
use super::multiplexer::Multiplexer;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::shared::pools::Slot;
use crate::snapshot::BackendId;
use crate::wire::{SpareStreams, Touched, Wire};

/// A backend that has agreed on HTTP/1.1 where it had the choice is asked for nothing else for so long. Then, or
/// once it refuses, a connection offers both versions again, and the requests of a burst wait on that one.
const AGREED: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Carriers {
    /// By the home of a backend: its connections, oldest first.
    homes: BTreeMap<Key, Vec<Key>>,
    /// By the home of a backend that has chosen HTTP/1.1: until when that holds. Homes are those of the configuration.
    agreed: BTreeMap<Key, Time>,
    /// Those that have begun since they were last [taken](Carriers::begun).
    begun: Vec<Key>,
    /// The connections whose streams were touched by their sessions, of clients and of backends.
    pub(super) touched: Touched,
    /// The memory of their streams that are over.
    pub(super) spare: Rc<RefCell<SpareStreams>>,
}

/// The kind of connection that a request goes to its backend by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One that serves one exchange at a time, by HTTP/1.1 or opaquely.
    Alone,
    /// A stream of one that others use.
    Stream,
    /// A stream if the backend is known to take an extended CONNECT (RFC 8441), else [`Way::Alone`].
    Switch,
}

/// A connection to a backend that is being made.
#[derive(Debug)]
pub(super) struct Dialled {
    /// The generation of the request for which it is made.
    pub(super) generation: Rc<Generation>,
    /// The backend in that generation.
    pub(super) id: BackendId,
    pub(super) home: Key,
    /// Counts one connection of the backend.
    pub(super) slot: Slot,
    pub(super) reach: Reach,
}

impl Carriers {
    /// Takes in a connection that has begun.
    pub(super) fn insert(&mut self, dialled: Dialled, wire: Wire, conns: &mut Conns, now: Time) -> Key {
        let home = dialled.home;
        let (touched, spare) = (&self.touched, &self.spare);
        let key =
            conns.insert_carrier(|key| Multiplexer::to_backend(dialled, wire, key, (touched, spare), now));
        self.homes.entry(home).or_default().push(key);
        self.begun.push(key);
        key
    }

    /// A connection to the backend of `home` that takes one more stream for a request that goes this `way`.
    pub(super) fn with_room(&self, home: Key, way: Way, conns: &Conns) -> Option<Key> {
        let has_room = |mux: &Multiplexer| match way {
            Way::Alone => false,
            Way::Stream => mux.has_room(),
            Way::Switch => mux.has_room() && mux.takes_connect(),
        };
        let is_meant = |key: &Key| conns.multiplexer(*key).is_some_and(has_room);
        self.homes.get(&home)?.iter().copied().find(is_meant)
    }

    /// Whether there is [one](Carriers::with_room).
    pub(super) fn has_room(&self, home: Key, way: Way, conns: &Conns) -> bool {
        self.with_room(home, way, conns).is_some()
    }

    /// Whether the backend of `home` is known to choose HTTP/1.1.
    pub(super) fn is_http1(&self, home: Key, now: Time) -> bool {
        self.agreed.get(&home).is_some_and(|until| now < *until)
    }

    /// Records that the backend of `home` has chosen HTTP/1.1.
    pub(super) fn note_http1(&mut self, home: Key, now: Time) {
        self.agreed.insert(home, now + AGREED);
    }

    /// Forgets what the backend of `home` has chosen.
    pub(super) fn forget_choice(&mut self, home: Key) {
        self.agreed.remove(&home);
    }

    /// Whether memory is kept for streams to come.
    pub(super) fn has_surplus(&self) -> bool {
        !self.spare.borrow().is_empty()
    }

    /// Gives back the memory that streams have not needed since the last call.
    pub(super) fn tidy(&self) {
        self.spare.borrow_mut().tidy();
    }

    /// Those that have begun since the last call are moved to `hot`.
    pub(super) fn begun(&mut self, hot: &mut Vec<Key>) {
        hot.append(&mut self.begun);
    }

    /// Forgets a connection that is over.
    pub(super) fn forget(&mut self, home: Key, key: Key) {
        if let Some(keys) = self.homes.get_mut(&home) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.homes.remove(&home);
            }
        }
    }

    /// The connections to the backend of `home`.
    pub(super) fn of_home(&self, home: Key) -> &[Key] {
        self.homes.get(&home).map_or(&[], Vec::as_slice)
    }
}
