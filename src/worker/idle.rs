//! Kept-alive backend connections that wait to be used again.
//!
//! Each is watched: one that its backend closes, or on which it says anything unasked, leaves at once, not when a request
//! finds out. The one used last is used first, so that the others grow old and go.

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
}

/// The waiting connections of one worker.
#[derive(Debug)]
pub(super) struct IdleSet {
    entries: Slab<Idle>,
    /// By pool, then by backend: the keys, oldest first.
    stacks: Vec<Vec<Vec<Key>>>,
    /// How many may wait for each backend.
    most: usize,
}

impl IdleSet {
    /// A set that keeps at most `most` connections to each backend of the snapshot.
    pub(super) fn new(snapshot: &Snapshot, most: usize) -> IdleSet {
        let stacks = snapshot.pools.iter().map(|pool| vec![Vec::new(); pool.backends.len()]).collect();
        IdleSet { entries: Slab::default(), stacks, most }
    }

    fn stack(&mut self, backend: BackendId) -> &mut Vec<Key> {
        &mut self.stacks[backend.pool.0][backend.index]
    }

    /// Keeps a connection; gives it back if there are enough.
    pub(super) fn keep(&mut self, backend: BackendId, wire: Wire, now: Time) -> Option<Wire> {
        if self.stack(backend).len() >= self.most {
            return Some(wire);
        }
        let key = self.entries.insert(Idle { wire, backend, since: now });
        self.stack(backend).push(key);
        None
    }

    /// Takes the connection to `backend` that was used last.
    pub(super) fn take(&mut self, backend: BackendId) -> Option<Wire> {
        let key = self.stack(backend).pop()?;
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
