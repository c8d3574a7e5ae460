//! Kept-alive backend connections that wait to be used again.
//!
//! Each is watched: one that its backend closes, or on which it says anything unasked, leaves at once, not when a request
//! finds out. For the same reason a connection is handed out only after a poll has found it quiet: what a backend sends
//! behind a response would be taken for the response to the next request. Of those, the one used last is used first, so
//! that the others grow old and go.
//!
//! A busy worker polls thousands of times a second, and what a poll costs is the number of its descriptors. So connections
//! that have not been used for a while are left out of most polls; they are not handed out by the turns that follow one.

use std::time::Duration;

use crate::core::slab::{Key, Slab};
use crate::core::time::Time;
use crate::snapshot::{BackendId, Snapshot};
use crate::wire::Wire;

/// A waiting connection.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) wire: Wire,
    backend: BackendId,
    since: Time,
    /// The number of the last poll that it was part of; zero if there was none.
    polled: u64,
}

/// How long a connection is part of every poll, and how often the others are.
const ROUND: Duration = Duration::from_millis(20);

/// The waiting connections of one worker.
#[derive(Debug)]
pub(super) struct IdleSet {
    entries: Slab<Idle>,
    /// By pool, then by backend: the keys, oldest first.
    stacks: Vec<Vec<Vec<Key>>>,
    /// How many may wait for each backend.
    most: usize,
    /// How many polls there have been.
    polls: u64,
    /// When all connections were last part of one.
    all_polled: Time,
}

impl IdleSet {
    /// A set that keeps at most `most` connections to each backend of the snapshot.
    pub(super) fn new(snapshot: &Snapshot, most: usize) -> IdleSet {
        let stacks = snapshot.pools.iter().map(|pool| vec![Vec::new(); pool.backends.len()]).collect();
        IdleSet { entries: Slab::default(), stacks, most, polls: 0, all_polled: Time::ZERO }
    }

    fn stack(&mut self, backend: BackendId) -> &mut Vec<Key> {
        &mut self.stacks[backend.pool.0][backend.index]
    }

    /// Names the connections that are to be part of the next poll; gives the time of the first deadline, counted from the
    /// last use by `patience`, or of the next poll that is to have all of them.
    pub(super) fn watch(
        &mut self,
        now: Time,
        patience: Duration,
        mut watch: impl FnMut(Key, &Wire),
    ) -> Option<Time> {
        let all = now >= self.all_polled + ROUND;
        let (mut nearest, mut is_any_left_out) = (None, false);
        for (key, idle) in self.entries.iter_mut() {
            let deadline = idle.since + patience;
            nearest = Some(nearest.map_or(deadline, |nearest: Time| nearest.min(deadline)));
            if all || now < idle.since + ROUND {
                idle.polled = self.polls + 1;
                watch(key, &idle.wire);
            } else {
                is_any_left_out = true;
            }
        }
        if all {
            self.all_polled = now;
        }
        let round = is_any_left_out.then(|| self.all_polled + ROUND);
        nearest.into_iter().chain(round).min()
    }

    /// Takes note that poll has looked at the watched ones; those that were not quiet are to be removed first.
    pub(super) fn note_poll(&mut self) {
        self.polls += 1;
    }

    /// Keeps a connection; gives it back if there are enough.
    pub(super) fn keep(&mut self, backend: BackendId, wire: Wire, now: Time) -> Option<Wire> {
        if self.stack(backend).len() >= self.most {
            return Some(wire);
        }
        let key = self.entries.insert(Idle { wire, backend, since: now, polled: 0 });
        self.stack(backend).push(key);
        None
    }

    /// Takes the connection to `backend` that was used last and that has been quiet since.
    pub(super) fn take(&mut self, backend: BackendId) -> Option<Wire> {
        let stack = &mut self.stacks[backend.pool.0][backend.index];
        let is_quiet = |key: &Key| self.entries.get(*key).is_some_and(|idle| idle.polled == self.polls);
        let place = stack.iter().rposition(is_quiet)?;
        let key = stack.remove(place);
        self.entries.remove(key).map(|idle| idle.wire)
    }

    /// Takes the connection of `key`, unless somebody else has.
    pub(super) fn remove(&mut self, key: Key) -> Option<Wire> {
        let idle = self.entries.remove(key)?;
        self.stack(idle.backend).retain(|other| *other != key);
        Some(idle.wire)
    }

    /// Takes any connection, to free its descriptor.
    pub(super) fn evict(&mut self) -> Option<Wire> {
        let key = self.entries.iter().next()?.0;
        self.remove(key)
    }

    /// Every connection with its key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Idle)> {
        self.entries.iter()
    }

    /// How many connections wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Idle {
    /// When it has waited long enough.
    pub(super) fn deadline(&self, backend_idle: Duration) -> Time {
        self.since + backend_idle
    }
}
