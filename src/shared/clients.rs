//! Counts by client address, over all workers: its connections, and the bytes that Pollux holds for them.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::room::{ClientOrigin, OriginCounts};

/// Locks, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Clients {
    shards: [Mutex<Shard>; SHARDS],
    spread: RandomState,
}

/// The addresses of one lock, and how many bytes are held for each.
type Shard = OriginCounts<Arc<AtomicUsize>>;

/// Counts one connection until it is dropped, and the bytes that are held for it.
#[derive(Debug)]
pub struct Counted {
    clients: Arc<Clients>,
    origin: ClientOrigin,
    /// The bytes of all connections of the address.
    held: Arc<AtomicUsize>,
    /// The number of these that belong to this connection.
    own: usize,
}

impl Clients {
    /// Counts one more connection; `None` if its origin has `most` of them.
    #[must_use]
    pub fn enter(self: &Arc<Clients>, origin: ClientOrigin, most: usize) -> Option<Counted> {
        let held = self.with(origin, |shard| shard.enter(origin, most).map(Arc::clone))?;
        Some(Counted { clients: Arc::clone(self), origin, held, own: 0 })
    }

    fn with<T>(&self, origin: ClientOrigin, act: impl FnOnce(&mut Shard) -> T) -> T {
        let shard = self.spread.hash_one(origin) as usize % SHARDS;
        // A panic with the lock leaves a count that is whole: each change is one.
        act(&mut self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counted {
    /// The number of bytes that are held for all connections of the address, this one's included.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Records that this connection holds so many bytes now.
    pub fn settle(&mut self, bytes: usize) {
        if bytes > self.own {
            self.held.fetch_add(bytes - self.own, Ordering::Relaxed);
        } else if bytes < self.own {
            self.held.fetch_sub(self.own - bytes, Ordering::Relaxed);
        }
        self.own = bytes;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.settle(0);
        self.clients.with(self.origin, |shard| shard.leave(self.origin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_when_it_is_dropped() {
        let (clients, origin) =
            (Arc::new(Clients::default()), ClientOrigin::of([192, 0, 2, 1].into()).unwrap());
        let first = clients.enter(origin, 1);
        assert!(first.is_some() && clients.enter(origin, 1).is_none());
        drop(first);
        assert!(clients.enter(origin, 1).is_some());
    }

    /// Another worker may still hold the count of its bytes at that moment.
    #[test]
    fn an_address_is_forgotten_with_its_last_connection() {
        let (clients, origin) =
            (Arc::new(Clients::default()), ClientOrigin::of([192, 0, 2, 1].into()).unwrap());
        let counted = clients.enter(origin, 1).unwrap();
        let held = Arc::clone(&counted.held);
        drop(counted);
        assert!(clients.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
        drop(held);
    }

    #[test]
    fn the_bytes_of_an_address_are_those_of_its_connections() {
        let (clients, origin) =
            (Arc::new(Clients::default()), ClientOrigin::of([192, 0, 2, 1].into()).unwrap());
        let [mut first, mut second] = [(), ()].map(|()| clients.enter(origin, 2).unwrap());
        first.settle(100);
        second.settle(30);
        assert_eq!((first.held(), second.held()), (130, 130));
        first.settle(40);
        assert_eq!(second.held(), 70);
        drop(second);
        assert_eq!(first.held(), 40);
        drop(first);
        assert!(clients.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
        assert_eq!(clients.enter(origin, 1).unwrap().held(), 0);
    }
}
