//! A snapshot as one worker runs on it: with the state that belongs to its pools and backends.
//!
//! After a reload there are several. New exchanges take the latest; an exchange that is under way keeps the
//! one that routed it, so no place in a snapshot ever has to be translated. What outlives a generation is
//! found through keys with generations: the home of a backend that is in both is the same, and one that has
//! gone misses harmlessly.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::conns::Conns;
use super::idle::IdleSet;
use crate::balance::{
    self, BackendView, Exclusion, FULL_SHARE, NoBackend, PickRequest, Picked, PoolView, RoundRobin,
};
use crate::core::bounds::Limits;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::explain::BackendReading;
use crate::h2::connection::ConnectionConfig;
use crate::h2::decoder::Bounds;
use crate::h2::queues::STREAMS_MAX;
use crate::metrics::Meters;
use crate::route::hash;
use crate::session::Session;
use crate::shared::pools::{BackendState, LivePool, Pools};
use crate::snapshot::{Address, BackendId, Pool, PoolId, Snapshot};
use crate::tls::{Handles, Origination, Termination};

/// See the module.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) snapshot: Arc<Snapshot>,
    /// By listener: what it speaks TLS with.
    terminations: Vec<Option<Arc<Termination>>>,
    /// By pool: what it speaks TLS with.
    originations: Vec<Option<Arc<Origination>>>,
    /// By pool, then by backend: where its idle connections wait.
    homes: Vec<Vec<Key>>,
    /// The state of the backends, which all workers share.
    pub(super) pools: Arc<Pools>,
    /// By pool. The borrow never leaves [`Generation::pick`].
    robins: RefCell<Vec<RoundRobin>>,
    /// A random number, and how many were taken.
    random: Cell<u64>,
    /// The counters of this worker.
    pub(super) meters: Meters,
    /// The rules of each HTTP/2 connection of a client.
    pub(super) http2: Arc<ConnectionConfig>,
    /// Those of each HTTP/2 connection to a backend.
    pub(super) http2_backend: Arc<ConnectionConfig>,
}

/// The rules of each HTTP/2 connection of a client: no head may be larger than one of HTTP/1.1.
fn http2_of(snapshot: &Snapshot) -> ConnectionConfig {
    let Limits { head, fields, .. } = snapshot.limits;
    let timeouts = &snapshot.timeouts;
    ConnectionConfig {
        head: Bounds { list: head, fields },
        connect: true,
        settings_timeout: timeouts.client_head,
        stall_timeout: timeouts.idle,
        linger_timeout: timeouts.linger,
        ..ConnectionConfig::default()
    }
}

/// The rules of each HTTP/2 connection to a backend: as many streams as it allows.
fn http2_backend_of(snapshot: &Snapshot) -> ConnectionConfig {
    let settings_timeout = snapshot.timeouts.backend_response;
    let ping_timeout = ConnectionConfig::default().ping_timeout.min(settings_timeout);
    ConnectionConfig { settings_timeout, ping_timeout, streams: STREAMS_MAX, ..http2_of(snapshot) }
}

/// A request that a backend has in flight, for as long as this lives.
#[derive(Debug)]
pub(super) struct Lease {
    generation: Rc<Generation>,
    pub(super) id: BackendId,
    /// When it began.
    pub(super) since: Time,
}

impl Lease {
    /// `None` if the backend has as many as it may.
    pub(super) fn begin(generation: &Rc<Generation>, id: BackendId, since: Time) -> Option<Lease> {
        generation.pools.backend(id).begin(since).then(|| Lease {
            generation: Rc::clone(generation),
            id,
            since,
        })
    }

    pub(super) fn backend(&self) -> &BackendState {
        self.generation.pools.backend(self.id)
    }

    pub(super) fn state(&self) -> &Arc<BackendState> {
        &self.generation.pools.pool(self.id.pool).backends()[self.id.index]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend().end();
    }
}

/// A retry permit. It counts one retry against the pool's budget until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    generation: Rc<Generation>,
    pool: PoolId,
}

impl Permit {
    pub(super) fn ask(generation: &Rc<Generation>, pool: PoolId) -> Option<Permit> {
        let rules = &generation.snapshot.pool(pool).retries;
        generation
            .pools
            .pool(pool)
            .begin_retry(rules)
            .then(|| Permit { generation: Rc::clone(generation), pool })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.generation.pools.pool(self.pool).end_retry();
    }
}

impl Generation {
    /// The first generation of a worker, which begins its rounds `seed` backends further on, and its draws
    /// with `random`.
    pub(super) fn first(
        (snapshot, tls): (Arc<Snapshot>, &Handles),
        pools: Arc<Pools>,
        meters: Meters,
        idle: &mut IdleSet,
        seed: u64,
        random: u64,
    ) -> Generation {
        let homes =
            snapshot.pools.iter().map(|pool| pool.backends.iter().map(|_| idle.open_home()).collect());
        let mut robins = vec![RoundRobin::default(); snapshot.pools.len()];
        for (robin, pool) in robins.iter_mut().zip(&snapshot.pools) {
            for _ in 0..seed % pool.backends.len().max(1) as u64 {
                robin.pick(weights(pool));
            }
        }
        let random = Cell::new(random);
        let (terminations, originations) = resolve(&snapshot, tls);
        let (homes, robins) = (homes.collect(), RefCell::new(robins));
        let http2 = Arc::new(http2_of(&snapshot));
        let http2_backend = Arc::new(http2_backend_of(&snapshot));
        Generation {
            terminations,
            originations,
            homes,
            robins,
            snapshot,
            pools,
            random,
            meters,
            http2,
            http2_backend,
        }
    }

    /// The generation that follows this one. A backend with the same address in the pool of the same name
    /// keeps its home and its place in the round; the homes that are left over are given too.
    pub(super) fn next(
        &self,
        (snapshot, tls): (Arc<Snapshot>, &Handles),
        pools: Arc<Pools>,
        meters: Meters,
        idle: &mut IdleSet,
    ) -> (Generation, Vec<Key>) {
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
            robins.push(before.map_or_else(RoundRobin::default, |place| {
                self.robins.borrow()[place].carried_over(&kept, weights(pool))
            }));
        }
        let kept: HashSet<Key> = homes.iter().flatten().copied().collect();
        left_over.retain(|home| !kept.contains(home));
        let random = self.random.clone();
        let (terminations, originations) = resolve(&snapshot, tls);
        let robins = RefCell::new(robins);
        let http2 = Arc::new(http2_of(&snapshot));
        let http2_backend = Arc::new(http2_backend_of(&snapshot));
        let generation = Generation {
            terminations,
            originations,
            snapshot,
            homes,
            pools,
            robins,
            random,
            meters,
            http2,
            http2_backend,
        };
        (generation, left_over)
    }

    /// The TLS of the listener at `listener`, if it has any.
    pub(super) fn termination(&self, listener: usize) -> Option<&Termination> {
        self.terminations[listener].as_deref()
    }

    /// The TLS of a pool, if it has any.
    pub(super) fn origination(&self, pool: PoolId) -> Option<&Origination> {
        self.originations[pool.0].as_deref()
    }

    /// The list in which idle connections to a backend wait.
    pub(super) fn home(&self, backend: BackendId) -> Key {
        self.homes[backend.pool.0][backend.index]
    }

    /// By pool, then by backend: how many idle connections wait.
    pub(super) fn idle(&self, idle: &IdleSet) -> Vec<Vec<usize>> {
        let count = |homes: &Vec<Key>| homes.iter().map(|home| idle.len_of(*home)).collect();
        self.homes.iter().map(count).collect()
    }

    /// By pool: where its round is.
    pub(super) fn robins(&self) -> Vec<RoundRobin> {
        self.robins.borrow().clone()
    }

    /// By pool, then by backend: what picks see of it at `now`.
    pub(super) fn readings(&self, idle: &IdleSet, conns: &Conns, now: Time) -> Vec<Vec<BackendReading>> {
        let of_pool = |(number, pool): (usize, &Pool)| {
            let id = PoolId(number);
            let is_idle = |index| idle.has(conns, self.home(BackendId { pool: id, index }), now);
            let view = LivePool { pool, state: self.pools.pool(id), now, is_idle: &is_idle };
            let reading = |place| {
                let BackendView { share, exclusion, .. } = view.backend(place);
                let (in_flight, latency) = (view.in_flight(place), view.latency(place));
                BackendReading { share, exclusion, in_flight, latency }
            };
            (0..pool.backends.len()).map(reading).collect()
        };
        self.snapshot.pools.iter().enumerate().map(of_pool).collect()
    }

    /// The number that the next draw begins with.
    pub(super) fn random(&self) -> u64 {
        hash::mix(self.random.get())
    }

    /// The backend for the exchange of `session`, and why that one. `is_idle` says whether a connection to
    /// the one at a place waits to be used.
    pub(super) fn pick(
        &self,
        session: &Session,
        now: Time,
        is_idle: &dyn Fn(usize) -> bool,
    ) -> Result<Picked, NoBackend> {
        let random = self.random();
        self.random.set(self.random.get().wrapping_add(1));
        let asked =
            PickRequest { tried: session.tried(), key: session.key(), bound: session.bound(), random };
        self.pick_in(session.pool(), &asked, now, is_idle)
    }

    /// Whether a request that is bound to no backend of the pool need not wait: a backend can take one more
    /// request, or none ever will.
    pub(super) fn is_decided(&self, id: PoolId, now: Time, is_idle: &dyn Fn(usize) -> bool) -> bool {
        let pool = self.snapshot.pool(id);
        let view = LivePool { pool, state: self.pools.pool(id), now, is_idle };
        let mut is_hopeless = true;
        for why in balance::exclusions(pool, &view, &PickRequest::default()) {
            match why {
                None => return true,
                Some(Exclusion::Full) => is_hopeless = false,
                Some(
                    Exclusion::Tried
                    | Exclusion::OperatorDown
                    | Exclusion::OperatorDrain
                    | Exclusion::Down
                    | Exclusion::Ejected
                    | Exclusion::WeightZero
                    | Exclusion::HigherTier,
                ) => {}
            }
        }
        is_hopeless
    }

    /// Whether a backend of the pool can be asked, now or once it has room.
    pub(super) fn has_candidates(&self, id: PoolId, now: Time) -> bool {
        let pool = self.snapshot.pool(id);
        let view = LivePool { pool, state: self.pools.pool(id), now, is_idle: &|_| false };
        balance::exclusions(pool, &view, &PickRequest::default())
            .any(|why| matches!(why, None | Some(Exclusion::Full)))
    }

    fn pick_in(
        &self,
        id: PoolId,
        asked: &PickRequest<'_>,
        now: Time,
        is_idle: &dyn Fn(usize) -> bool,
    ) -> Result<Picked, NoBackend> {
        let pool = self.snapshot.pool(id);
        let view = LivePool { pool, state: self.pools.pool(id), now, is_idle };
        let round = &mut self.robins.borrow_mut()[id.0];
        balance::pick(pool, &view, asked, round)
    }
}

/// The TLS of each listener, and of each pool.
type Resolved = (Vec<Option<Arc<Termination>>>, Vec<Option<Arc<Origination>>>);

/// The TLS of the listeners and the pools of `snapshot`.
///
/// # Panics
/// When nothing was made of a rule: its connections must not go on without TLS. What starts and switches
/// workers makes sure.
fn resolve(snapshot: &Snapshot, tls: &Handles) -> Resolved {
    let missing = tls.missing(snapshot);
    assert!(missing.is_none(), "nothing was made of the rules for TLS of {}", missing.unwrap_or_default());
    (
        snapshot.listeners.iter().map(|listener| tls.termination(listener).cloned()).collect(),
        snapshot.pools.iter().map(|pool| tls.origination(pool).cloned()).collect(),
    )
}

/// The weights of a round, as long as nothing is known of the backends.
fn weights(pool: &Pool) -> impl ExactSizeIterator<Item = u64> {
    pool.backends.iter().map(|backend| u64::from(backend.weight) * u64::from(FULL_SHARE))
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
    use crate::metrics::Hub;
    use crate::shared::pools::Registry;
    use crate::snapshot::{Backend, Limits, Timeouts};
    use crate::worker::idle::Most;

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

    fn meters(snapshot: &Snapshot) -> Meters {
        let hub = Hub::default();
        hub.open(&hub.worker_meters(0), snapshot)
    }

    fn first(snapshot: &Arc<Snapshot>, idle: &mut IdleSet) -> Generation {
        let served = (Arc::clone(snapshot), &Handles::default());
        Generation::first(served, Registry::default().open(snapshot), meters(snapshot), idle, 0, 0)
    }

    fn next(generation: &Generation, snapshot: &Arc<Snapshot>, idle: &mut IdleSet) -> (Generation, Vec<Key>) {
        let served = (Arc::clone(snapshot), &Handles::default());
        generation.next(served, Registry::default().open(snapshot), meters(snapshot), idle)
    }

    #[test]
    fn a_backend_keeps_its_home_by_pool_and_address() {
        let old = snapshot(&[("a", &[1, 2, 2]), ("b", &[1])]);
        let mut idle = IdleSet::new(&old.timeouts, Most { per_backend: 1, in_all: 9 });
        let first = first(&old, &mut idle);
        let (second, gone) =
            next(&first, &snapshot(&[("b", &[1]), ("a", &[3, 2, 1]), ("c", &[1])]), &mut idle);
        assert_eq!(second.homes[0], first.homes[1]);
        assert_eq!(second.homes[1][1..], [first.homes[0][1], first.homes[0][0]]);
        assert_eq!(gone, [first.homes[0][2]]);
        let known: Vec<_> = first.homes.iter().flatten().collect();
        assert!(!known.contains(&&second.homes[1][0]) && !known.contains(&&second.homes[2][0]));
    }

    #[test]
    fn the_round_goes_on_where_it_was() {
        let old = snapshot(&[("a", &[1, 2, 3])]);
        let mut idle = IdleSet::new(&old.timeouts, Most { per_backend: 1, in_all: 9 });
        let first = first(&old, &mut idle);
        let pick = |generation: &Generation| {
            let picked = generation.pick_in(PoolId(0), &PickRequest::default(), Time::ZERO, &|_| false);
            picked.map(|picked| picked.place)
        };
        assert_eq!([pick(&first), pick(&first)], [Ok(0), Ok(1)]);
        let (second, _) = next(&first, &snapshot(&[("a", &[3, 1, 2])]), &mut idle);
        assert_eq!(pick(&second), Ok(0));
    }
}
