//! A snapshot as one worker runs on it: with the state that belongs to its pools and backends.
//!
//! After a reload there are several. New exchanges take the latest; an exchange that is under way keeps the one that routed
//! it, so no place in a snapshot ever has to be translated. What outlives an edition is found through keys with generations:
//! the home of a backend that is in both is the same, and one that has gone misses harmlessly.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::idle::IdleSet;
use crate::balance::RoundRobin;
use crate::core::slab::Key;
use crate::snapshot::{Address, BackendId, Pool, PoolId, Snapshot};

/// See the module.
#[derive(Debug)]
pub(super) struct Edition {
    pub(super) snapshot: Arc<Snapshot>,
    /// By pool, then by backend: where its idle connections wait.
    homes: Vec<Vec<Key>>,
    /// By pool. The borrow never leaves [`Edition::pick`].
    robins: RefCell<Vec<RoundRobin>>,
}

impl Edition {
    /// The first edition of a worker, which begins its rounds `seed` backends further on.
    pub(super) fn first(snapshot: Arc<Snapshot>, idle: &mut IdleSet, seed: u64) -> Edition {
        let homes =
            snapshot.pools.iter().map(|pool| pool.backends.iter().map(|_| idle.open_home()).collect());
        let mut robins = vec![RoundRobin::default(); snapshot.pools.len()];
        for (robin, pool) in robins.iter_mut().zip(&snapshot.pools) {
            for _ in 0..seed % pool.backends.len() as u64 {
                robin.pick(pool.backends.iter().map(|backend| backend.weight), &[]);
            }
        }
        Edition { homes: homes.collect(), robins: RefCell::new(robins), snapshot }
    }

    /// The edition that follows this one. A backend with the same address in the pool of the same name keeps its home and its
    /// place in the round; the homes that are left over are given too.
    pub(super) fn next(&self, snapshot: Arc<Snapshot>, idle: &mut IdleSet) -> (Edition, Vec<Key>) {
        let mut left_over: Vec<Key> = self.homes.iter().flatten().copied().collect();
        let (mut homes, mut robins) = (Vec::new(), Vec::new());
        for pool in &snapshot.pools {
            let before = self.snapshot.pools.iter().position(|old| old.name == pool.name);
            let kept: Vec<_> = match before {
                Some(place) => same_backends(&self.snapshot.pools[place], pool),
                None => vec![None; pool.backends.len()],
            };
            let home = |place: &Option<usize>| match (before, place) {
                (Some(pool), Some(place)) => self.homes[pool][*place],
                _ => idle.open_home(),
            };
            homes.push(kept.iter().map(home).collect::<Vec<_>>());
            let weights = pool.backends.iter().map(|backend| backend.weight);
            robins.push(before.map_or_else(RoundRobin::default, |place| {
                self.robins.borrow()[place].carried_over(&kept, weights)
            }));
        }
        let kept: HashSet<Key> = homes.iter().flatten().copied().collect();
        left_over.retain(|home| !kept.contains(home));
        (Edition { snapshot, homes, robins: RefCell::new(robins) }, left_over)
    }

    /// Where idle connections to a backend wait.
    pub(super) fn home(&self, backend: BackendId) -> Key {
        self.homes[backend.pool.0][backend.index]
    }

    /// The backend of `pool` whose turn it is, of those whose place is not in `tried`.
    pub(super) fn pick(&self, pool: PoolId, tried: &[usize]) -> Option<usize> {
        let weights = self.snapshot.pool(pool).backends.iter().map(|backend| backend.weight);
        self.robins.borrow_mut()[pool.0].pick(weights, tried)
    }
}

/// For each backend of `new` the place of the one in `old` that has the same address; each is found once.
fn same_backends(old: &Pool, new: &Pool) -> Vec<Option<usize>> {
    let mut places: HashMap<&Address, VecDeque<usize>> = HashMap::new();
    for (place, backend) in old.backends.iter().enumerate() {
        places.entry(&backend.address).or_default().push_back(place);
    }
    let place_of = |address| places.get_mut(address).and_then(VecDeque::pop_front);
    new.backends.iter().map(|backend| &backend.address).map(place_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Backend, Limits, Timeouts};

    fn snapshot(pools: &[(&str, &[u16])]) -> Arc<Snapshot> {
        let backend =
            |port: &u16| Backend::new(port.to_string(), Address::Ip(([127, 0, 0, 1], *port).into()), 1);
        let pool = |(name, ports): &(&str, &[u16])| Pool::new(*name, ports.iter().map(backend).collect());
        let pools = pools.iter().map(pool).collect();
        Arc::new(Snapshot {
            listeners: vec![],
            pools,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        })
    }

    #[test]
    fn a_backend_keeps_its_home_by_pool_and_address() {
        let old = snapshot(&[("a", &[1, 2, 2]), ("b", &[1])]);
        let mut idle = IdleSet::new(&old.timeouts, 1);
        let first = Edition::first(old, &mut idle, 0);
        let (second, gone) = first.next(snapshot(&[("b", &[1]), ("a", &[3, 2, 1]), ("c", &[1])]), &mut idle);
        assert_eq!(second.homes[0], first.homes[1]);
        assert_eq!(second.homes[1][1..], [first.homes[0][1], first.homes[0][0]]);
        assert_eq!(gone, [first.homes[0][2]]);
        let known: Vec<_> = first.homes.iter().flatten().collect();
        assert!(!known.contains(&&second.homes[1][0]) && !known.contains(&&second.homes[2][0]));
    }

    #[test]
    fn the_round_goes_on_where_it_was() {
        let old = snapshot(&[("a", &[1, 2, 3])]);
        let mut idle = IdleSet::new(&old.timeouts, 1);
        let first = Edition::first(old, &mut idle, 0);
        assert_eq!([first.pick(PoolId(0), &[]), first.pick(PoolId(0), &[])], [Some(0), Some(1)]);
        let (second, _) = first.next(snapshot(&[("a", &[3, 1, 2])]), &mut idle);
        assert_eq!(second.pick(PoolId(0), &[]), Some(0));
    }
}
