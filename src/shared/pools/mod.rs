//! State of the backends over all workers: the requests in flight, the latency, and the health of each.
//!
//! A backend is found by the name of its pool and its address, and is the same from one configuration to the
//! next: what was begun under the old one still counts. Invariant: every [`BackendState::begin`] is followed
//! by one [`BackendState::end`].

mod backend;
mod live;
mod registry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::health::HealthRegistry;
use super::waker::Waker;
use crate::shared::queue::PickQueue;
use crate::snapshot::{BackendId, PoolId, Retries};

pub use backend::{BackendState, Slot};
pub use live::LivePool;
pub use registry::{Figures, Registry};

/// The state of a pool as a whole.
#[derive(Debug, Default)]
struct Whole {
    /// Requests that are being sent again.
    retrying: AtomicU32,
    health_registry: HealthRegistry,
    queue: Arc<PickQueue>,
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

    /// The health of all its backends.
    #[must_use]
    pub fn health_registry(&self) -> &HealthRegistry {
        &self.whole.health_registry
    }

    /// Requests that wait for one of them.
    #[must_use]
    pub fn queue(&self) -> &Arc<PickQueue> {
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
    waker: Arc<Waker>,
}

impl Pools {
    /// The pool behind `id`.
    #[must_use]
    pub fn pool(&self, id: PoolId) -> &PoolState {
        &self.pools[id.0]
    }

    /// Is rung when a backend is ejected.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.waker
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
