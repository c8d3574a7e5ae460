//! How many connections each client address has, over all workers. Nothing is counted where `limits.per_client` is not set.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::room::{Census, Origin};

/// Locks, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Clients {
    shards: [Mutex<Census>; SHARDS],
    spread: RandomState,
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
pub struct Counted {
    clients: Arc<Clients>,
    origin: Origin,
}

impl Clients {
    /// Counts one more connection; `None` if its origin has `most` of them.
    #[must_use]
    pub fn enter(self: &Arc<Clients>, origin: Origin, most: usize) -> Option<Counted> {
        let may_enter = self.with(origin, |census| census.enter(origin, most));
        may_enter.then(|| Counted { clients: Arc::clone(self), origin })
    }

    fn with<T>(&self, origin: Origin, act: impl FnOnce(&mut Census) -> T) -> T {
        let shard = self.spread.hash_one(origin) as usize % SHARDS;
        // A panic with the lock leaves a count that is whole: each change is one.
        act(&mut self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.clients.with(self.origin, |census| census.leave(self.origin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_when_it_is_dropped() {
        let (clients, origin) = (Arc::new(Clients::default()), Origin::of([192, 0, 2, 1].into()).unwrap());
        let first = clients.enter(origin, 1);
        assert!(first.is_some() && clients.enter(origin, 1).is_none());
        drop(first);
        assert!(clients.enter(origin, 1).is_some());
    }
}
