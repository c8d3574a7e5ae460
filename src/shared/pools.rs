//! What all workers know of the backends: the requests that each has in flight, how fast it answers, and whether it may be
//! asked at all.
//!
//! A backend is found by the name of its pool and its address, and is the same from one configuration to the next: what was
//! begun under the old one still counts. Invariant: every [`BackendState::begin`] is followed by one [`BackendState::end`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::bell::Bell;
use super::health::{Chart, Ward, standing_at};
use crate::balance::{Duty, Exclusion, FULL_SHARE, Patience, Peak, Seen, Standing, View, stamp};
use crate::core::time::Time;
use crate::metrics::Hub;
use crate::shared::queue::{Desk, Queue};
use crate::snapshot::{Address, Backend, BackendId, Pool, PoolId, Retries, Snapshot};

/// The bits of a stance that are the standing, and how many there are.
const STANDING: u32 = (1 << STANDING_BITS) - 1;
const STANDING_BITS: u32 = 16;

/// One backend. What changes with every request stands in lines of cache of its own (two, because processors fetch them in
/// pairs), apart from what every pick reads.
#[derive(Debug, Default)]
pub struct BackendState {
    load: Load,
    bounds: Bounds,
    /// Those who wait for a backend of its pool.
    queue: Arc<Queue>,
    /// [`Standing::to_bits`], and above [`STANDING`] [`Duty::to_bits`]: 0 is a backend that may simply be asked.
    stance: AtomicU32,
    chart: Chart,
}

/// What a backend may have, as the latest configuration says: whoever waits under an older one is held to it too, and let in by
/// it. [`ANY`] is any number.
#[derive(Debug)]
struct Bounds {
    requests: AtomicU32,
    connections: AtomicU32,
}

/// More than there can be.
const ANY: u32 = u32::MAX;

impl Default for Bounds {
    fn default() -> Self {
        Bounds { requests: AtomicU32::new(ANY), connections: AtomicU32::new(ANY) }
    }
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Load {
    in_flight: AtomicU32,
    connections: AtomicU32,
    /// The [`stamp`] of the last request.
    asked: AtomicU32,
    /// The bits of a [`Peak`].
    latency: AtomicU64,
    /// The bits of a [`Patience`].
    patience: AtomicU64,
}

impl BackendState {
    /// Counts a request that begins now; false if there are as many as there may be.
    #[must_use]
    pub fn begin(&self, now: Time) -> bool {
        let has_begun = add_one(&self.load.in_flight, &self.bounds.requests);
        if has_begun {
            self.load.asked.store(stamp(now), Ordering::Relaxed);
        }
        has_begun
    }

    /// Holds it to the bounds of `backend`.
    fn hold_to(&self, backend: &Backend) {
        self.bounds.requests.store(backend.max_requests.unwrap_or(ANY), Ordering::SeqCst);
        self.bounds.connections.store(backend.max_connections.unwrap_or(ANY), Ordering::SeqCst);
    }

    /// Whether it has as many requests in flight as it may.
    fn is_busy(&self) -> bool {
        is_reached(&self.bounds.requests, &self.load.in_flight)
    }

    /// Whether it has as many connections as it may.
    #[must_use]
    pub fn is_connected_out(&self) -> bool {
        is_reached(&self.bounds.connections, &self.load.connections)
    }

    /// Counts it out again, and calls somebody who waits for that.
    pub fn end(&self) {
        self.load.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.queue.release();
    }

    /// The connections, with those that are idle or being made.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.load.connections.load(Ordering::SeqCst)
    }

    /// The requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.load.in_flight.load(Ordering::SeqCst)
    }

    /// The latency as of `now`, in nanoseconds; `None` if none was measured. It falls with time, but not while somebody waits for
    /// an answer.
    #[must_use]
    pub fn latency(&self, now: Time) -> Option<u64> {
        let peak = Peak(self.load.latency.load(Ordering::Relaxed));
        if self.in_flight() == 0 {
            return peak.nanos(now);
        }
        peak.nanos_asked(self.load.asked.load(Ordering::Relaxed), now)
    }

    /// Takes note that it answered after so long. Of two measurements at the same moment one may be lost.
    pub fn note_latency(&self, latency: Duration, now: Time) {
        let present = Peak(self.load.latency.load(Ordering::Relaxed));
        self.load.latency.store(present.with(latency, now).0, Ordering::Relaxed);
    }

    /// Takes note that it was waited for so long in vain.
    pub fn note_wait(&self, waited: Duration, now: Time) {
        let present = Peak(self.load.latency.load(Ordering::Relaxed));
        self.load.latency.store(present.at_least(waited, now).0, Ordering::Relaxed);
    }

    /// How it is.
    #[must_use]
    pub fn chart(&self) -> &Chart {
        &self.chart
    }

    /// Takes note that it has closed a connection that had lain idle for `age`.
    pub fn note_close(&self, age: Duration, now: Time) {
        let present = Patience(self.load.patience.load(Ordering::Relaxed));
        self.load.patience.store(present.with_close(age, now).0, Ordering::Relaxed);
    }

    /// How long a connection to it may lie idle and still be used again, by what it has shown.
    #[must_use]
    pub fn patience(&self, now: Time) -> Option<Duration> {
        Patience(self.load.patience.load(Ordering::Relaxed)).learnt(now)
    }

    /// Whether it may be asked.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::from_bits(self.stance.load(Ordering::Relaxed) & STANDING)
    }

    /// Says whether it may be asked from now on; holds for all workers.
    pub fn stand(&self, standing: Standing) {
        self.change_stance(|stance| stance & !STANDING | standing.to_bits());
    }

    /// What the operator wants of it.
    #[must_use]
    pub fn duty(&self) -> Duty {
        Duty::from_bits(self.stance.load(Ordering::Relaxed) >> STANDING_BITS)
    }

    /// Says what the operator wants of it from now on; holds for all workers, and for what is under way too.
    pub fn assign(&self, duty: Duty) {
        if self.duty() != duty {
            self.change_stance(|stance| stance & STANDING | duty.to_bits() << STANDING_BITS);
        }
    }

    fn change_stance(&self, change: impl Fn(u32) -> u32) {
        // The closure always gives a number, so this cannot fail.
        let _ = self.stance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |stance| Some(change(stance)));
        self.queue.release();
    }

    /// Whether nothing speaks against asking it.
    fn is_plain(&self) -> bool {
        self.stance.load(Ordering::Relaxed) == 0
    }
}

/// Whether there are as many as there may be. What changes with every request is looked at only where there is a bound.
fn is_reached(most: &AtomicU32, count: &AtomicU32) -> bool {
    let most = most.load(Ordering::SeqCst);
    most != ANY && count.load(Ordering::SeqCst) >= most
}

/// Adds one, unless there are `most`.
fn add_one(count: &AtomicU32, most: &AtomicU32) -> bool {
    let most = most.load(Ordering::SeqCst);
    if most == ANY {
        count.fetch_add(1, Ordering::SeqCst);
        return true;
    }
    let more = |count| (count < most).then_some(count + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
}

/// A connection to a backend, for as long as this lives.
#[derive(Debug)]
pub struct Slot(Arc<BackendState>);

impl Slot {
    /// Counts a connection; `None` if there are as many as there may be.
    #[must_use]
    pub fn open(state: &Arc<BackendState>) -> Option<Slot> {
        add_one(&state.load.connections, &state.bounds.connections).then(|| Slot(Arc::clone(state)))
    }
}

impl Slot {
    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &BackendState {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.load.connections.fetch_sub(1, Ordering::SeqCst);
        self.0.queue.release();
    }
}

/// What is known of a pool as a whole.
#[derive(Debug, Default)]
struct Whole {
    /// Requests that are being sent again.
    retrying: AtomicU32,
    ward: Ward,
    queue: Arc<Queue>,
}

/// A pool of one snapshot: the states of its backends, by their places.
#[derive(Debug)]
pub struct PoolState {
    backends: Box<[Arc<BackendState>]>,
    whole: Arc<Whole>,
}

impl PoolState {
    /// The backends, by their places.
    #[must_use]
    pub fn backends(&self) -> &[Arc<BackendState>] {
        &self.backends
    }

    /// How they are together.
    #[must_use]
    pub fn ward(&self) -> &Ward {
        &self.whole.ward
    }

    /// Those who wait for one of them.
    #[must_use]
    pub fn queue(&self) -> &Arc<Queue> {
        &self.whole.queue
    }

    /// The requests in flight to all of them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.backends.iter().map(|backend| backend.in_flight() as usize).sum()
    }

    /// The requests that are being sent again.
    #[must_use]
    pub fn retrying(&self) -> u32 {
        self.whole.retrying.load(Ordering::Relaxed)
    }

    /// Counts a request that is sent again, if `rules` allow one more now. Every success is followed by one
    /// [`PoolState::end_retry`].
    #[must_use]
    pub fn begin_retry(&self, rules: &Retries) -> bool {
        let share = self.in_flight() as u64 * u64::from(rules.budget) / 1000;
        let most = u32::try_from(share).unwrap_or(u32::MAX).max(rules.budget_min);
        let more = |retrying| (retrying < most).then_some(retrying + 1);
        self.whole.retrying.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Counts it out again.
    pub fn end_retry(&self) {
        self.whole.retrying.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All pools of one snapshot.
#[derive(Debug)]
pub struct Pools {
    pools: Box<[PoolState]>,
    bell: Arc<Bell>,
}

impl Pools {
    /// The pool behind `id`.
    #[must_use]
    pub fn pool(&self, id: PoolId) -> &PoolState {
        &self.pools[id.0]
    }

    /// Is rung when a backend is ejected.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// The backend behind `id`, which outlives this.
    #[must_use]
    pub fn shared(&self, id: BackendId) -> Arc<BackendState> {
        Arc::clone(&self.pools[id.pool.0].backends[id.index])
    }

    /// The backend behind `id`.
    #[must_use]
    pub fn backend(&self, id: BackendId) -> &BackendState {
        &self.pools[id.pool.0].backends[id.index]
    }
}

/// Finds the states that belong to a snapshot. One for the whole process.
#[derive(Debug, Default)]
pub struct Registry {
    known: Mutex<Known>,
    bell: Arc<Bell>,
    /// Those of the workers.
    desks: Mutex<Vec<Weak<Desk>>>,
    metrics: Hub,
}

#[derive(Debug, Default)]
struct Known {
    /// The snapshot that was asked for last.
    latest: Option<(Arc<Snapshot>, Arc<Pools>)>,
    /// By the name of the pool and the address.
    backends: BTreeMap<(String, Address), Weak<BackendState>>,
    /// By name.
    pools: BTreeMap<String, Weak<Whole>>,
}

impl Registry {
    /// A desk for a worker.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        let desk = Arc::new(Desk::default());
        self.desks.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&desk));
        desk
    }

    /// Asks all workers to part with idle connections for which somebody waits.
    pub fn recall(&self) {
        let desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.iter().filter_map(Weak::upgrade).for_each(|desk| desk.recall());
    }

    /// The states of the pools of `snapshot`: for the same snapshot always the same. Whatever else picks in it will ask for is
    /// made as well, so it is best called before a worker is told of the snapshot.
    pub fn open(&self, snapshot: &Arc<Snapshot>) -> Arc<Pools> {
        // Whoever panicked with the lock has left a map in which something may be missing, which is made anew.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((latest, pools)) = &known.latest
            && Arc::ptr_eq(latest, snapshot)
        {
            return Arc::clone(pools);
        }
        let pools = snapshot.pools.iter().map(|pool| known.pool(pool)).collect();
        let pools = Arc::new(Pools { pools, bell: Arc::clone(&self.bell) });
        known.backends.retain(|_, state| state.strong_count() > 0);
        known.pools.retain(|_, whole| whole.strong_count() > 0);
        snapshot.pools.iter().for_each(|pool| pool.derived.prepare(pool));
        for (pool, state) in snapshot.pools.iter().zip(&pools.pools) {
            state.adopt(pool);
            pool.backends.iter().zip(&state.backends).for_each(|(rules, backend)| backend.hold_to(rules));
            // There may be more room than there was.
            state.queue().release();
        }
        known.latest = Some((Arc::clone(snapshot), Arc::clone(&pools)));
        pools
    }
}

impl Registry {
    /// Is rung when a backend is ejected.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Hub {
        &self.metrics
    }
}

/// What a pool is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Its name.
    pub pool: String,
    /// The requests in flight.
    pub in_flight: usize,
    /// Those of them that are being sent again.
    pub retrying: u32,
    /// The connections, with those that are idle or being made.
    pub connections: usize,
    /// The requests that wait until a backend is free.
    pub waiting: usize,
    /// The requests in flight of the backend that has most.
    pub busiest: u32,
}

impl Registry {
    /// What every pool that anybody still knows of is doing, by name.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut figures: Vec<Figures> = Vec::new();
        for (name, whole) in &known.pools {
            if let Some(whole) = whole.upgrade() {
                let retrying = whole.retrying.load(Ordering::Relaxed);
                let waiting = whole.queue.waiting();
                figures.push(Figures { pool: name.clone(), retrying, waiting, ..Figures::default() });
            }
        }
        for ((name, _), state) in &known.backends {
            let pool = figures.iter_mut().find(|figures| figures.pool == *name);
            if let (Some(pool), Some(state)) = (pool, state.upgrade()) {
                pool.in_flight += state.in_flight() as usize;
                pool.connections += state.connections() as usize;
                pool.busiest = pool.busiest.max(state.in_flight());
            }
        }
        figures.sort_by(|a, b| a.pool.cmp(&b.pool));
        figures
    }
}

impl Known {
    fn pool(&mut self, pool: &Pool) -> PoolState {
        let slot = self.pools.entry(pool.name.clone()).or_default();
        let whole = slot.upgrade().unwrap_or_default();
        *slot = Arc::downgrade(&whole);
        let state = |backend: &Backend| {
            let key = (pool.name.clone(), backend.address.clone());
            let slot = self.backends.entry(key).or_default();
            // Of a pool that was gone for a while, something may still be left.
            let kept = slot.upgrade().filter(|state| Arc::ptr_eq(&state.queue, &whole.queue));
            kept.unwrap_or_else(|| {
                let queue = Arc::clone(&whole.queue);
                let state = Arc::new(BackendState { queue, ..BackendState::default() });
                *slot = Arc::downgrade(&state);
                state
            })
        };
        let backends = pool.backends.iter().map(state).collect();
        PoolState { backends, whole }
    }
}

/// A pool as picks see it.
#[derive(Clone, Copy)]
pub struct Live<'a> {
    /// What was configured.
    pub pool: &'a Pool,
    /// What has become of it.
    pub state: &'a PoolState,
    /// The clock.
    pub now: Time,
    /// Whether a connection to the backend at a place waits to be used.
    pub is_idle: &'a dyn Fn(usize) -> bool,
}

impl Live<'_> {
    /// The duty and the share of a backend that is not plainly up, and why it is excluded, if it is. Apart, because it is seldom
    /// looked at.
    #[cold]
    fn troubled(&self, place: usize) -> (Duty, u32, Option<Exclusion>) {
        let state = &self.state.backends[place];
        let standing = standing_at(state, self.pool, self.now);
        (state.duty(), standing.share(), standing.exclusion().filter(|_| !self.state.ward().panics()))
    }

    /// Whether a backend has as much as it may.
    fn is_full(&self, place: usize) -> bool {
        let state = &self.state.backends[place];
        state.is_busy() || (state.is_connected_out() && !(self.is_idle)(place))
    }
}

impl View for Live<'_> {
    fn backend(&self, place: usize) -> Seen {
        let (backend, state) = (&self.pool.backends[place], &self.state.backends[place]);
        let (duty, share, exclusion) =
            if state.is_plain() { (Duty::Ready, FULL_SHARE, None) } else { self.troubled(place) };
        let exclusion = exclusion.or_else(|| self.is_full(place).then_some(Exclusion::Full));
        Seen { weight: backend.weight, share, tier: backend.tier, duty, exclusion }
    }

    fn in_flight(&self, place: usize) -> u32 {
        self.state.backends[place].in_flight()
    }

    fn latency(&self, place: usize) -> Option<u64> {
        self.state.backends[place].latency(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{self, Asked, RoundRobin};
    use crate::snapshot::{Balance, Limits, Timeouts};

    fn snapshot(pools: &[(&str, &[u16])]) -> Arc<Snapshot> {
        let backend =
            |port: &u16| Backend::new(port.to_string(), Address::Ip(([127, 0, 0, 1], *port).into()), 1);
        let pools =
            pools.iter().map(|(name, ports)| Pool::new(*name, ports.iter().map(backend).collect())).collect();
        Arc::new(Snapshot {
            listeners: vec![],
            pools,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        })
    }

    #[test]
    fn duty_and_standing_change_apart() {
        let state = BackendState::default();
        assert!(state.is_plain());
        state.stand(Standing::Warming { share: FULL_SHARE });
        state.assign(Duty::Down);
        assert_eq!((state.standing(), state.duty()), (Standing::Warming { share: FULL_SHARE }, Duty::Down));
        state.stand(Standing::Up);
        assert_eq!((state.standing(), state.duty()), (Standing::Up, Duty::Down));
        state.assign(Duty::Ready);
        assert!(state.is_plain());
    }

    /// What was begun under an old configuration is held to what the operator wants now.
    #[test]
    fn a_duty_holds_for_every_snapshot() {
        let registry = Registry::default();
        let before = snapshot(&[("a", &[1, 2])]);
        let pools = registry.open(&before);
        let mut after = Snapshot::clone(&before);
        after.pools[0].backends[1].duty = Duty::Down;
        registry.open(&Arc::new(after));
        let (pool, state) = (&before.pools[0], pools.pool(PoolId(0)));
        let view = Live { pool, state, now: Time::ZERO, is_idle: &|_| false };
        assert_eq!([0, 1].map(|place| view.backend(place).duty), [Duty::Ready, Duty::Down]);
    }

    #[test]
    fn a_backend_outlives_its_snapshot() {
        let registry = Registry::default();
        let first = snapshot(&[("a", &[1, 2]), ("b", &[1])]);
        let before = registry.open(&first);
        assert!(Arc::ptr_eq(&before, &registry.open(&first)));
        assert!(before.pools[0].backends[1].begin(Time::ZERO));
        before.pools[0].backends[1].stand(Standing::Down);

        let after = registry.open(&snapshot(&[("b", &[1]), ("a", &[2, 3])]));
        let kept = &after.pools[1].backends[0];
        assert_eq!((kept.in_flight(), kept.standing()), (1, Standing::Down));
        assert!(!Arc::ptr_eq(&after.pools[0].backends[0], &before.pools[0].backends[0]));
        assert_eq!(after.pool(PoolId(1)).in_flight(), 1);

        // Who has gone and comes back is the same one as long as something of it is left.
        let empty = snapshot(&[]);
        registry.open(&empty);
        drop(after);
        assert_eq!(registry.open(&snapshot(&[("a", &[2])])).pools[0].in_flight(), 1);
        drop(before);
        registry.open(&empty);
        assert_eq!(registry.open(&snapshot(&[("a", &[2])])).pools[0].in_flight(), 0);
        assert_eq!(registry.known.lock().unwrap().backends.len(), 1);
    }

    /// After a pause nothing that was measured counts for much. What comes first finds out who is still slow, and only that.
    #[test]
    fn a_pause_makes_nobody_run_to_the_slow_one() {
        let mut snapshot = snapshot(&[("a", &[1, 2, 3])]);
        Arc::get_mut(&mut snapshot).unwrap().pools[0].balance = Balance::Latency;
        let pools = Registry::default().open(&snapshot);
        let (pool, state) = (&snapshot.pools[0], &pools.pools[0]);
        let millis = |count: u64| Time::ZERO + Duration::from_millis(count);
        for (backend, took) in state.backends.iter().zip([4, 4, 40]) {
            backend.note_latency(Duration::from_millis(took), millis(1000));
        }
        let mut asked_slow = 0;
        for now in (121_000..121_040).map(millis) {
            let live = Live { pool, state, now, is_idle: &|_| false };
            let asked = Asked { random: now.as_nanos(), ..Asked::default() };
            let picked = balance::pick(pool, &live, &asked, &mut RoundRobin::default()).unwrap();
            assert!(state.backends[picked.place].begin(now));
            if picked.place == 2 {
                asked_slow += 1;
            } else {
                state.backends[picked.place].note_latency(Duration::from_millis(4), now);
                state.backends[picked.place].end();
            }
        }
        assert_eq!(asked_slow, 1);
    }
}
