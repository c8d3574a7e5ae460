//! The health of backends as all workers share it.
//!
//! The machine of a backend lies behind a lock that only failures, checks, and the first success after a
//! failure take. A request that goes well where nothing is wrong reads one atomic number and writes nothing
//! (one more is counted where the pool has a failure rate). Invariant: a thread that holds the lock of a pool
//! may take that of a backend, never the other way round.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pools::{BackendState, PoolState};
use crate::balance::health::{
    self, BackendFault, By, Health, HealthPhase, HealthRules, Observation, ObservationResult, PhaseChange,
};
use crate::balance::{AdminState, HealthState};
use crate::core::time::Time;
use crate::snapshot::{Backend, Pool};

/// The part of a backend's health that all workers see. of a backend's health all workers see.
#[derive(Debug, Default)]
pub struct HealthRecord {
    machine: Mutex<Health>,
    /// [`Health::is_troubled`].
    is_troubled: AtomicBool,
    /// [`Health::is_breaking`].
    is_breaking: AtomicBool,
    /// Whether a configuration has been taken.
    is_adopted: AtomicBool,
    /// Requests that were served, counted only where health needs it; wraps.
    served: AtomicU32,
    /// When it began to warm up, in nanoseconds.
    warms_since: AtomicU64,
    /// When a response last began that counts as none of the failures, and when one was last whole, in
    /// nanoseconds; 0 is never.
    answered_at: AtomicU64,
    whole_at: AtomicU64,
    /// When a failure last counted, in nanoseconds; 0 is never.
    blamed_at: AtomicU64,
    counters: AtomicCounters,
}

/// For so long after an answer a backend has credit: a failure that its client may have chosen does not
/// count.
pub const CREDIT: Duration = Duration::from_secs(1);

/// Events of a backend since it is known.
#[derive(Debug, Default)]
struct AtomicCounters {
    ejections: AtomicU64,
    passed: AtomicU64,
    failed: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthCounters {
    /// The number of ejections.
    pub ejections: u64,
    /// Checks that it has passed.
    pub passed: u64,
    /// Checks that it has failed.
    pub failed: u64,
}

impl AtomicCounters {
    /// Records an observation, and of what has become of the backend by it.
    fn note(&self, by: By, found: &ObservationResult, change: Option<&PhaseChange>) {
        match (by, found) {
            (By::Request, _) => {}
            (By::Check, ObservationResult::Well(_) | ObservationResult::Whole) => {
                _ = self.passed.fetch_add(1, Ordering::Relaxed);
            }
            (By::Check, ObservationResult::Ill(_)) => _ = self.failed.fetch_add(1, Ordering::Relaxed),
        }
        if change.is_some_and(|change| matches!(change.to, HealthPhase::Ejected { .. })) {
            self.ejections.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl HealthRecord {
    /// Events since it is known.
    #[must_use]
    pub fn counters(&self) -> HealthCounters {
        let AtomicCounters { ejections, passed, failed } = &self.counters;
        let [ejections, passed, failed] =
            [ejections, passed, failed].map(|count| count.load(Ordering::Relaxed));
        HealthCounters { ejections, passed, failed }
    }

    /// The machine. A thread that panics with the lock leaves it consistent: fields are set one by one, and
    /// each intermediate state is valid.
    pub fn machine(&self) -> MutexGuard<'_, Health> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a response began at `now`, or that one is whole.
    fn note_sign(sign: &AtomicU64, now: Time) {
        let now = now.as_nanos();
        if sign.load(Ordering::Relaxed) < now {
            sign.store(now, Ordering::Relaxed);
        }
    }

    /// Whether the failure of an attempt that began at `since` says nothing of the backend. A client can
    /// choose a request that nothing comes of, but not that all others are answered meanwhile: so such a
    /// failure counts only where the backend has answered no request since the attempt began, nor for
    /// [`CREDIT`] before now.
    fn has_credit(&self, fault: BackendFault, since: Time, now: Time) -> bool {
        if !fault.may_be_chosen() {
            return false;
        }
        let [answered_at, whole_at] =
            [&self.answered_at, &self.whole_at].map(|sign| sign.load(Ordering::Relaxed));
        let sign = match fault {
            BackendFault::Broken(_) => whole_at,
            BackendFault::Status(_) => answered_at,
            BackendFault::Cause(_)
            | BackendFault::NoText
            | BackendFault::Grpc(_)
            | BackendFault::NotServing => whole_at.max(answered_at),
        };
        let quiet_since = since.as_nanos().min(now.as_nanos().saturating_sub(CREDIT.as_nanos() as u64));
        sign > quiet_since
    }

    /// When it began to warm up.
    #[must_use]
    pub fn warms_since(&self) -> Time {
        Time::from_nanos(self.warms_since.load(Ordering::Relaxed))
    }
}

/// The health of a pool as a whole.
#[derive(Debug, Default)]
pub struct HealthRegistry {
    /// Makes what is observed of the backends of a pool one thing after the other.
    order: Mutex<()>,
    /// Whether all backends are used, because too few are well.
    panics: AtomicBool,
}

impl HealthRegistry {
    /// Whether all backends are used, because too few are well.
    #[must_use]
    pub fn panics(&self) -> bool {
        self.panics.load(Ordering::Relaxed)
    }
}

/// The effect of an observation.
#[derive(Clone, Copy, Debug, Default)]
pub struct News {
    /// The backend has moved.
    pub change: Option<PhaseChange>,
    /// The pool has begun to use all of its backends, or has ceased to.
    pub panics: Option<bool>,
}

impl PoolState {
    /// Takes the rules of `pool`, to which this belongs.
    pub(super) fn adopt(&self, pool: &Pool) {
        let order = self.health_registry().order.lock();
        for (backend, rules) in self.backends().iter().zip(&pool.backends) {
            let record = backend.health_record();
            let is_new = !record.is_adopted.swap(true, Ordering::Relaxed);
            backend.set_admin_state(rules.admin_state);
            let mut machine = record.machine();
            let before = machine.phase();
            machine.adopt(pool.check.as_ref(), is_new);
            if machine.phase() != before {
                backend.publish(&machine, pool);
            }
        }
        self.settle(pool);
        drop(order);
    }

    /// Records what was observed of the backend at `place`.
    pub fn observe(&self, pool: &Pool, place: usize, observation: Observation) -> News {
        let order = self.health_registry().order.lock();
        let rules = HealthRules { passive: &pool.health, check: pool.check.as_ref() };
        let backend = &self.backends()[place];
        let health_state =
            |state: &&std::sync::Arc<BackendState>| state.health_state() == HealthState::Ejected;
        let ejected = self.backends().iter().filter(health_state).count();
        let may_eject = health::may_eject(&pool.health, ejected, self.backends().len());
        let record = backend.health_record();
        let mut machine = record.machine();
        let served = record.served.load(Ordering::Relaxed);
        let change = machine.handle_observation(observation, rules, served, may_eject);
        record.counters.note(observation.by, &observation.found, change.as_ref());
        if change.is_some_and(|change| change.to == HealthPhase::Up) {
            // It has answered no request for as long as it was out: the first one may be a hostile client's.
            HealthRecord::note_sign(&record.answered_at, observation.at);
            HealthRecord::note_sign(&record.whole_at, observation.at);
        }
        backend.publish(&machine, pool);
        drop(machine);
        let panics = change.and_then(|_| self.settle(pool));
        drop(order);
        News { change, panics }
    }

    /// Records that a request to the backend at `place` has failed at `now`, of an attempt that began at
    /// `since`. `None` if that does not count: the client may have chosen it, or another failure of the same
    /// turn has counted.
    pub fn note_failure(
        &self,
        pool: &Pool,
        place: usize,
        fault: BackendFault,
        (since, now): (Time, Time),
    ) -> Option<News> {
        let record = self.backends()[place].health_record();
        if record.has_credit(fault, since, now) {
            return None;
        }
        // Failures that fall due together have one reason.
        let turn = now.as_nanos().max(1);
        if record.blamed_at.swap(turn, Ordering::Relaxed) == turn {
            return None;
        }
        Some(self.observe(
            pool,
            place,
            Observation { at: now, by: By::Request, found: ObservationResult::Ill(fault) },
        ))
    }

    /// Records that a response of the backend at `place` has come to its end at `now`; `None` where that is
    /// nothing new.
    pub fn note_whole(&self, pool: &Pool, place: usize, now: Time) -> Option<News> {
        let record = self.backends()[place].health_record();
        HealthRecord::note_sign(&record.whole_at, now);
        if !record.is_breaking.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.observe(
            pool,
            place,
            Observation { at: now, by: By::Request, found: ObservationResult::Whole },
        ))
    }

    /// Records a request that the backend at `place` has answered at `now`; `None` where that is nothing new.
    pub fn note_served(&self, pool: &Pool, place: usize, status: Option<u16>, now: Time) -> Option<News> {
        let record = self.backends()[place].health_record();
        if pool.health.failure_rate.is_some() {
            record.served.fetch_add(1, Ordering::Relaxed);
        }
        HealthRecord::note_sign(&record.answered_at, now);
        if !record.is_troubled.load(Ordering::Relaxed) {
            return None;
        }
        let found = ObservationResult::Well(status);
        Some(self.observe(pool, place, Observation { at: now, by: By::Request, found }))
    }

    /// Finds out whether too few backends are well; returns it if that is new. While the first checks of a
    /// backend have not decided, it is not yet known that too few are well.
    fn settle(&self, pool: &Pool) -> Option<bool> {
        let mut usable = 0;
        let mut is_awaited = false;
        for (backend, rules) in self.backends().iter().zip(&pool.backends) {
            match backend.health_record().machine().phase() {
                HealthPhase::Up => usable += usize::from(is_counted(rules)),
                HealthPhase::Awaited => is_awaited = true,
                HealthPhase::Down | HealthPhase::Ejected { .. } => {}
            }
        }
        let all = pool.backends.iter().filter(|backend| is_counted(backend)).count();
        let panics = !is_awaited && health::panics(&pool.health, usable, all);
        (self.health_registry().panics.swap(panics, Ordering::Relaxed) != panics).then_some(panics)
    }
}

/// Whether a backend is one of those of which enough have to be well: a backend that the operator has taken
/// out does not count.
fn is_counted(backend: &Backend) -> bool {
    backend.weight > 0 && backend.admin_state == AdminState::Ready
}

impl BackendState {
    /// Shows the workers what has become of the machine.
    fn publish(&self, machine: &Health, pool: &Pool) {
        let record = self.health_record();
        for (shown, is_so) in
            [(&record.is_troubled, machine.is_troubled()), (&record.is_breaking, machine.is_breaking())]
        {
            if shown.load(Ordering::Relaxed) != is_so {
                shown.store(is_so, Ordering::Relaxed);
            }
        }
        let health_state = match (machine.phase(), machine.warms_since()) {
            // Each pick works out by itself how far the slow start is.
            (HealthPhase::Up, Some(since)) if pool.health.slow_start.is_some() => {
                record.warms_since.store(since.as_nanos(), Ordering::Relaxed);
                HealthState::Warming { share: 1 }
            }
            (HealthPhase::Up, _) => HealthState::Up,
            (HealthPhase::Awaited | HealthPhase::Down, _) => HealthState::Down,
            (HealthPhase::Ejected { .. }, _) => HealthState::Ejected,
        };
        if self.health_state() != health_state {
            self.set_health_state(health_state);
        }
    }
}

/// The state that picks see of a backend at `now`: its share while it warms up follows from the time.
#[must_use]
pub fn health_state_at(backend: &BackendState, pool: &Pool, now: Time) -> HealthState {
    match (backend.health_state(), pool.health.slow_start) {
        (HealthState::Warming { .. }, Some(span)) => {
            let age = now.since(backend.health_record().warms_since());
            HealthState::Warming { share: health::ramp(age, span) }
        }
        (HealthState::Warming { .. }, None) => HealthState::Up,
        (health_state @ (HealthState::Up | HealthState::Down | HealthState::Ejected), _) => health_state,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::outcome::Cause;
    use crate::shared::pools::Registry;
    use crate::snapshot::{Address, Limits, PoolId, Snapshot, Timeouts};

    const CHOSEN: BackendFault = BackendFault::Cause(Cause::BackendResponseTimeout);

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    /// A pool of two whose first backend is observed; an ejection takes two failures.
    fn with_pool(try_on: impl Fn(&Pool, &PoolState)) {
        let backend =
            |port: u16| Backend::new(port.to_string(), Address::Ip(([127, 0, 0, 1], port).into()), 1);
        let mut pool = Pool::new("a", vec![backend(1), backend(2)]);
        pool.health.failures = 2;
        let (timeouts, limits) = (Timeouts::default(), Limits::default());
        let snapshot = Arc::new(Snapshot { listeners: vec![], pools: vec![pool], timeouts, limits });
        let pools = Registry::default().open(&snapshot);
        try_on(&snapshot.pools[0], pools.pool(PoolId(0)));
    }

    fn is_ejected(state: &PoolState) -> bool {
        state.backends()[0].health_state() == HealthState::Ejected
    }

    #[test]
    fn what_the_client_may_have_chosen_does_not_count_beside_answers() {
        for fault in [
            CHOSEN,
            BackendFault::Cause(Cause::BackendClosed),
            BackendFault::Cause(Cause::BackendBadResponse),
            BackendFault::Cause(Cause::BackendConnectTimeout),
            BackendFault::Status(500),
            BackendFault::Broken(Cause::BackendTruncated),
        ] {
            with_pool(|pool, state| {
                for turn in 0..50 {
                    let now = at(1000 + turn * 20);
                    if turn % 5 == 0 {
                        state.note_served(pool, 0, Some(200), now);
                        state.note_whole(pool, 0, now);
                    }
                    assert!(state.note_failure(pool, 0, fault, (now, now)).is_none(), "{fault:?}");
                }
                // If no request runs for a second, it does.
                for turn in 0..2 {
                    let now = at(3000 + turn);
                    assert!(state.note_failure(pool, 0, fault, (now, now)).is_some(), "{fault:?}");
                }
                assert!(is_ejected(state), "{fault:?}");
            });
        }
    }

    #[test]
    fn a_timeout_counts_only_if_nobody_was_answered_since_it_began() {
        with_pool(|pool, state| {
            state.note_served(pool, 0, Some(200), at(10_000));
            for turn in 0..9 {
                assert!(state.note_failure(pool, 0, CHOSEN, (at(9_000), at(60_000 + turn))).is_none());
            }
            assert!(state.note_failure(pool, 0, CHOSEN, (at(11_000), at(61_000))).is_some());
        });
    }

    /// Of a backend that has just come back no client can make another ejection before others were answered.
    #[test]
    fn a_backend_that_comes_back_has_credit() {
        with_pool(|pool, state| {
            let refused = BackendFault::Cause(Cause::BackendRefused);
            (0..2).for_each(|turn| _ = state.note_failure(pool, 0, refused, (at(turn), at(turn + 1))));
            assert!(is_ejected(state));
            let well = Observation { at: at(20_000), by: By::Check, found: ObservationResult::Well(None) };
            state.observe(pool, 0, well);
            assert!(!is_ejected(state));
            for turn in 0..9 {
                let now = at(20_001 + turn);
                assert!(state.note_failure(pool, 0, CHOSEN, (now, now)).is_none());
            }
            // It is on probation: the first failure that counts is enough.
            assert!(state.note_failure(pool, 0, CHOSEN, (at(21_500), at(21_500))).is_some());
            assert!(is_ejected(state));
        });
    }

    #[test]
    fn failures_of_one_turn_count_once() {
        let refused = BackendFault::Cause(Cause::BackendRefused);
        with_pool(|pool, state| {
            for _ in 0..9 {
                state.note_failure(pool, 0, refused, (at(1), at(2)));
            }
            assert!(!is_ejected(state));
            state.note_served(pool, 1, Some(200), at(3));
            state.note_failure(pool, 0, refused, (at(1), at(3)));
            assert!(is_ejected(state));
        });
    }

    /// A response that begins says nothing of those that break off, and a bad status is no sign that all is
    /// well.
    #[test]
    fn a_sign_is_one_only_for_its_kind() {
        with_pool(|pool, state| {
            let broken = BackendFault::Broken(Cause::BackendTruncated);
            state.note_served(pool, 0, Some(200), at(1000));
            assert!(state.note_failure(pool, 0, broken, (at(1000), at(1000))).is_some());
            state.note_whole(pool, 0, at(1001));
            assert!(state.note_failure(pool, 0, broken, (at(1001), at(1001))).is_none());
            state.note_whole(pool, 0, at(5000));
            assert!(state.note_failure(pool, 0, BackendFault::Status(500), (at(5000), at(5000))).is_some());
        });
    }

    #[test]
    fn what_no_client_chooses_always_counts() {
        with_pool(|pool, state| {
            for turn in 0..2 {
                state.note_whole(pool, 0, at(1000 + turn));
                state.note_failure(
                    pool,
                    0,
                    BackendFault::Cause(Cause::BackendRefused),
                    (at(1000), at(1000 + turn)),
                );
            }
            assert!(is_ejected(state));
        });
    }
}
