//! The health of backends as all workers share it.
//!
//! The machine of a backend lies behind a lock that only failures, checks, and the first success after a failure take. A
//! request that goes well where nothing is wrong reads one atomic number and writes nothing (one more is counted where the
//! pool has a failure rate). Invariant: whoever holds the lock of a pool may take that of a backend, and never the other way.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pools::{BackendState, PoolState};
use crate::balance::health::{self, By, Change, Found, Health, Observation, Phase, Rules};
use crate::balance::{Duty, Standing};
use crate::core::time::Time;
use crate::snapshot::{Backend, Pool};

/// What of a backend's health all workers see.
#[derive(Debug, Default)]
pub struct Chart {
    machine: Mutex<Health>,
    /// [`Health::is_troubled`].
    is_troubled: AtomicBool,
    /// [`Health::is_breaking`].
    is_breaking: AtomicBool,
    /// Whether a configuration has been taken.
    is_adopted: AtomicBool,
    /// Requests that were served, where somebody wants to know; wraps.
    served: AtomicU32,
    /// When it began to warm up, in nanoseconds.
    warms_since: AtomicU64,
    tally: Tally,
}

/// What has happened to a backend since it is known.
#[derive(Debug, Default)]
struct Tally {
    ejections: AtomicU64,
    passed: AtomicU64,
    failed: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// How often it was ejected.
    pub ejections: u64,
    /// Checks that it has passed.
    pub passed: u64,
    /// Checks that it has failed.
    pub failed: u64,
}

impl Tally {
    /// Takes note of an observation, and of what has become of the backend by it.
    fn note(&self, by: By, found: &Found, change: Option<&Change>) {
        match (by, found) {
            (By::Request, _) => {}
            (By::Check, Found::Well(_) | Found::Whole) => _ = self.passed.fetch_add(1, Ordering::Relaxed),
            (By::Check, Found::Ill(_)) => _ = self.failed.fetch_add(1, Ordering::Relaxed),
        }
        if change.is_some_and(|change| matches!(change.to, Phase::Ejected { .. })) {
            self.ejections.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Chart {
    /// What has happened since it is known.
    #[must_use]
    pub fn tallied(&self) -> Tallied {
        let Tally { ejections, passed, failed } = &self.tally;
        let [ejections, passed, failed] =
            [ejections, passed, failed].map(|count| count.load(Ordering::Relaxed));
        Tallied { ejections, passed, failed }
    }

    /// The machine. Whoever panicked with the lock has left it whole: its fields are set one by one, and each makes sense.
    pub fn machine(&self) -> MutexGuard<'_, Health> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it began to warm up.
    #[must_use]
    pub fn warms_since(&self) -> Time {
        Time::from_nanos(self.warms_since.load(Ordering::Relaxed))
    }
}

/// What a pool as a whole comes to.
#[derive(Debug, Default)]
pub struct Ward {
    /// Makes what is observed of the backends of a pool one thing after the other.
    order: Mutex<()>,
    /// Whether all backends are used, because too few are well.
    panics: AtomicBool,
}

impl Ward {
    /// Whether all backends are used, because too few are well.
    #[must_use]
    pub fn panics(&self) -> bool {
        self.panics.load(Ordering::Relaxed)
    }
}

/// What an observation has come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct News {
    /// That the backend has moved.
    pub change: Option<Change>,
    /// That the pool has begun to use all of its backends, or has ceased to.
    pub panics: Option<bool>,
}

impl PoolState {
    /// Takes the rules of `pool`, to which this belongs.
    pub(super) fn adopt(&self, pool: &Pool) {
        let order = self.ward().order.lock();
        for (backend, rules) in self.backends().iter().zip(&pool.backends) {
            let chart = backend.chart();
            let is_new = !chart.is_adopted.swap(true, Ordering::Relaxed);
            backend.assign(rules.duty);
            let mut machine = chart.machine();
            let before = machine.phase();
            machine.adopt(pool.check.as_ref(), is_new);
            if machine.phase() != before {
                backend.publish(&machine, pool);
            }
        }
        self.settle(pool);
        drop(order);
    }

    /// Takes note of what was observed of the backend at `place`.
    pub fn observe(&self, pool: &Pool, place: usize, observation: Observation) -> News {
        let order = self.ward().order.lock();
        let rules = Rules { passive: &pool.health, check: pool.check.as_ref() };
        let backend = &self.backends()[place];
        let standing = |state: &&std::sync::Arc<BackendState>| state.standing() == Standing::Ejected;
        let ejected = self.backends().iter().filter(standing).count();
        let may_eject = health::may_eject(&pool.health, ejected, self.backends().len());
        let chart = backend.chart();
        let mut machine = chart.machine();
        let served = chart.served.load(Ordering::Relaxed);
        let change = machine.handle_observation(observation, rules, served, may_eject);
        chart.tally.note(observation.by, &observation.found, change.as_ref());
        backend.publish(&machine, pool);
        drop(machine);
        let panics = change.and_then(|_| self.settle(pool));
        drop(order);
        News { change, panics }
    }

    /// Takes note that a response of the backend at `place` has come to its end at `now`; `None` where that is nothing new.
    pub fn note_whole(&self, pool: &Pool, place: usize, now: Time) -> Option<News> {
        if !self.backends()[place].chart().is_breaking.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.observe(pool, place, Observation { at: now, by: By::Request, found: Found::Whole }))
    }

    /// Takes note of a request that the backend at `place` has answered at `now`; `None` where that is nothing new.
    pub fn note_served(&self, pool: &Pool, place: usize, status: Option<u16>, now: Time) -> Option<News> {
        let chart = self.backends()[place].chart();
        if pool.health.failure_rate.is_some() {
            chart.served.fetch_add(1, Ordering::Relaxed);
        }
        if !chart.is_troubled.load(Ordering::Relaxed) {
            return None;
        }
        let found = Found::Well(status);
        Some(self.observe(pool, place, Observation { at: now, by: By::Request, found }))
    }

    /// Finds out whether too few backends are well; gives it if that is new. As long as the first checks have not decided
    /// about somebody, it is not yet known that too few are.
    fn settle(&self, pool: &Pool) -> Option<bool> {
        let mut usable = 0;
        let mut is_awaited = false;
        for (backend, rules) in self.backends().iter().zip(&pool.backends) {
            match backend.chart().machine().phase() {
                Phase::Up => usable += usize::from(is_counted(rules)),
                Phase::Awaited => is_awaited = true,
                Phase::Down | Phase::Ejected { .. } => {}
            }
        }
        let all = pool.backends.iter().filter(|backend| is_counted(backend)).count();
        let panics = !is_awaited && health::panics(&pool.health, usable, all);
        (self.ward().panics.swap(panics, Ordering::Relaxed) != panics).then_some(panics)
    }
}

/// Whether a backend is one of those of which enough have to be well: whom the operator has taken out is missed by nobody.
fn is_counted(backend: &Backend) -> bool {
    backend.weight > 0 && backend.duty == Duty::Ready
}

impl BackendState {
    /// Shows the workers what has become of the machine.
    fn publish(&self, machine: &Health, pool: &Pool) {
        let chart = self.chart();
        for (shown, is_so) in
            [(&chart.is_troubled, machine.is_troubled()), (&chart.is_breaking, machine.is_breaking())]
        {
            if shown.load(Ordering::Relaxed) != is_so {
                shown.store(is_so, Ordering::Relaxed);
            }
        }
        let standing = match (machine.phase(), machine.warms_since()) {
            // How far it is each pick works out by itself.
            (Phase::Up, Some(since)) if pool.health.slow_start.is_some() => {
                chart.warms_since.store(since.as_nanos(), Ordering::Relaxed);
                Standing::Warming { share: 1 }
            }
            (Phase::Up, _) => Standing::Up,
            (Phase::Awaited | Phase::Down, _) => Standing::Down,
            (Phase::Ejected { .. }, _) => Standing::Ejected,
        };
        if self.standing() != standing {
            self.stand(standing);
        }
    }
}

/// What picks see of a backend at `now`: its share while it warms up follows from the time.
#[must_use]
pub fn standing_at(backend: &BackendState, pool: &Pool, now: Time) -> Standing {
    match (backend.standing(), pool.health.slow_start) {
        (Standing::Warming { .. }, Some(span)) => {
            let age = now.since(backend.chart().warms_since());
            Standing::Warming { share: health::ramp(age, span) }
        }
        (Standing::Warming { .. }, None) => Standing::Up,
        (standing @ (Standing::Up | Standing::Down | Standing::Ejected), _) => standing,
    }
}
