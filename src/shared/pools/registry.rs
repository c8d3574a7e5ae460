//! Finds the shared state of a backend or a pool by its name, from one configuration to the next.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::backend::BackendState;
use super::{PoolState, Pools, Whole};
use crate::metrics::Hub;
use crate::policy::PolicyReply;
use crate::shared::authority::{Authority, ReplyTo};
use crate::shared::clients::Clients;
use crate::shared::queue::WakeupQueue;
use crate::shared::waker::Waker;
use crate::snapshot::{Address, Backend, Pool, Snapshot};

/// The state of a pool in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Its name.
    pub pool: String,
    /// The requests in flight.
    pub in_flight: usize,
    /// The number of these that are sent again.
    pub retrying: u32,
    /// The connections, with those that are idle or being made.
    pub connections: usize,
    /// The requests that wait until a backend is free.
    pub waiting: usize,
    /// The requests in flight of the backend that has most.
    pub busiest: u32,
}

/// Finds the states that belong to a snapshot. One for the whole process.
#[derive(Debug, Default)]
pub struct Registry {
    pub(super) known: Mutex<Known>,
    waker: Arc<Waker>,
    /// The wakeup queues of the workers.
    wakeup_queues: Mutex<Vec<Weak<WakeupQueue>>>,
    metrics: Hub,
    clients: Arc<Clients>,
    authority: OnceLock<Arc<dyn Authority>>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The snapshot that was asked for last.
    latest: Option<(Arc<Snapshot>, Arc<Pools>)>,
    /// By the name of the pool and the address.
    pub(super) backends: BTreeMap<(String, Address), Weak<BackendState>>,
    /// By name.
    pools: BTreeMap<String, Weak<Whole>>,
}

impl Registry {
    /// The connections of each client address.
    #[must_use]
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// From now on `authority` is asked where a policy wants one. The first one stays.
    pub fn rely_on(&self, authority: Arc<dyn Authority>) {
        let _ = self.authority.set(authority);
    }

    /// Asks the authority with that number. Where there is none, no reply comes.
    pub fn ask_authority(&self, number: u32, reply_to: ReplyTo) -> Option<PolicyReply> {
        self.authority.get()?.ask(number, reply_to)
    }

    /// The wakeup queue of one more worker.
    #[must_use]
    pub fn wakeup_queue(&self) -> Arc<WakeupQueue> {
        let wakeups = Arc::new(WakeupQueue::default());
        self.wakeup_queues.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&wakeups));
        wakeups
    }

    /// Asks all workers to close idle connections to backends for which a request waits.
    pub fn recall(&self) {
        let wakeup_queues = self.wakeup_queues.lock().unwrap_or_else(PoisonError::into_inner);
        wakeup_queues.iter().filter_map(Weak::upgrade).for_each(|wakeups| wakeups.recall());
    }

    /// The states of the pools of `snapshot`: for the same snapshot always the same. Any other pick in
    /// it will ask for is made as well, so it is best called before a worker is told of the snapshot.
    pub fn open(&self, snapshot: &Arc<Snapshot>) -> Arc<Pools> {
        // A thread that panicked with the lock may have left an incomplete map; missing entries are made
        // anew.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((latest, pools)) = &known.latest
            && Arc::ptr_eq(latest, snapshot)
        {
            return Arc::clone(pools);
        }
        let pools = snapshot.pools.iter().map(|pool| known.pool(pool)).collect();
        let pools = Arc::new(Pools { pools, waker: Arc::clone(&self.waker) });
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

    /// Is rung when a backend is ejected.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// The backends that could not be connected to the last time, each with the connects that have failed
    /// since one went well.
    #[must_use]
    pub fn unreached(&self) -> BTreeMap<Address, u64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unreached = BTreeMap::new();
        for ((_, address), state) in &known.backends {
            let count = state.upgrade().map_or(0, |state| state.unreached());
            if count > 0 {
                *unreached.entry(address.clone()).or_default() += u64::from(count);
            }
        }
        unreached
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Hub {
        &self.metrics
    }

    /// The state of every pool that is still referenced, by name.
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
                let state = Arc::new(BackendState::of(Arc::clone(&whole.queue)));
                *slot = Arc::downgrade(&state);
                state
            })
        };
        let backends = pool.backends.iter().map(state).collect();
        PoolState { backends, whole }
    }
}
