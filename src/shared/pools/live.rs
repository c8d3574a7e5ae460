//! A pool as picks see it: what was configured, and what has become of it.

use super::PoolState;
use crate::balance::{AdminState, BackendView, Exclusion, FULL_SHARE, PoolView};
use crate::core::time::Time;
use crate::shared::health::health_state_at;
use crate::snapshot::Pool;

/// A pool as picks see it.
#[derive(Clone, Copy)]
pub struct LivePool<'a> {
    /// The configuration of the pool.
    pub pool: &'a Pool,
    /// Its state.
    pub state: &'a PoolState,
    /// The clock.
    pub now: Time,
    /// Whether a connection to the backend at a place waits to be used.
    pub is_idle: &'a dyn Fn(usize) -> bool,
}

impl LivePool<'_> {
    /// The admin state and the share of a backend that is not plainly up, and why it is excluded, if it is.
    /// Apart, because it is seldom looked at.
    #[cold]
    fn troubled(&self, place: usize) -> (AdminState, u32, Option<Exclusion>) {
        let state = &self.state.backends[place];
        let health_state = health_state_at(state, self.pool, self.now);
        (
            state.admin_state(),
            health_state.share(),
            health_state.exclusion().filter(|_| !self.state.health_registry().panics()),
        )
    }

    /// Whether a backend has as much as it may.
    fn is_full(&self, place: usize) -> bool {
        let state = &self.state.backends[place];
        state.is_busy() || (state.is_connected_out() && !(self.is_idle)(place))
    }
}

impl PoolView for LivePool<'_> {
    fn backend(&self, place: usize) -> BackendView {
        let (backend, state) = (&self.pool.backends[place], &self.state.backends[place]);
        let (admin_state, share, exclusion) =
            if state.is_plain() { (AdminState::Ready, FULL_SHARE, None) } else { self.troubled(place) };
        let exclusion = exclusion.or_else(|| self.is_full(place).then_some(Exclusion::Full));
        BackendView { weight: backend.weight, share, tier: backend.tier, admin_state, exclusion }
    }

    fn in_flight(&self, place: usize) -> u32 {
        self.state.backends[place].in_flight()
    }

    fn latency(&self, place: usize) -> Option<u64> {
        self.state.backends[place].latency(self.now)
    }
}
