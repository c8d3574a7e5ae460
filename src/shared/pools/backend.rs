//! One backend as all workers know it: what it has in flight, how fast it answers, whether it may be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::balance::{AdminState, Habit, Habits, HealthState, IdleTimeoutEstimate, Peak, stamp};
use crate::core::time::Time;
use crate::shared::health::HealthRecord;
use crate::shared::queue::PickQueue;
use crate::snapshot::Backend;

/// The bits of a state that hold the health state.
const HEALTH_MASK: u32 = (1 << HEALTH_BITS) - 1;

const HEALTH_BITS: u32 = 16;

/// One backend. The fields that change with every request stand in lines of cache of its own (two, because
/// processors fetch them in pairs), apart from what every pick reads.
#[derive(Debug, Default)]
pub struct BackendState {
    load: Load,
    bounds: Bounds,
    /// Requests that wait for a backend of its pool.
    pub(super) queue: Arc<PickQueue>,
    /// [`HealthState::to_bits`], and above [`STANDING`] [`AdminState::to_bits`]: 0 is a backend that may
    /// simply be asked.
    state: AtomicU32,
    /// The connects that have failed since the last one that went well.
    unreached: AtomicU32,
    health_record: HealthRecord,
}

/// The bounds of a backend in the latest configuration: requests that wait under an older one are held
/// to it too. [`ANY`] is any number.
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
    /// The bits of a [`IdleTimeoutEstimate`].
    idle_estimate: AtomicU64,
    /// The bits of [`Habits`].
    habits: AtomicU64,
}

impl BackendState {
    /// One of which nothing is known yet, for which `queue` waits.
    pub(super) fn of(queue: Arc<PickQueue>) -> BackendState {
        BackendState { queue, ..BackendState::default() }
    }

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
    pub(super) fn hold_to(&self, backend: &Backend) {
        self.bounds.requests.store(backend.max_requests.unwrap_or(ANY), Ordering::SeqCst);
        self.bounds.connections.store(backend.max_connections.unwrap_or(ANY), Ordering::SeqCst);
    }

    /// Whether it has as many requests in flight as it may.
    pub(super) fn is_busy(&self) -> bool {
        is_reached(&self.bounds.requests, &self.load.in_flight)
    }

    /// Whether it has as many connections as it may.
    #[must_use]
    pub fn is_connected_out(&self) -> bool {
        is_reached(&self.bounds.connections, &self.load.connections)
    }

    /// Uncounts it, and calls a request that waits for it.
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

    /// The latency as of `now`, in nanoseconds; `None` if none was measured. It falls with time, but not
    /// while a request waits for an answer.
    #[must_use]
    pub fn latency(&self, now: Time) -> Option<u64> {
        let peak = Peak(self.load.latency.load(Ordering::Relaxed));
        if self.in_flight() == 0 {
            return peak.nanos(now);
        }
        peak.nanos_asked(self.load.asked.load(Ordering::Relaxed), now)
    }

    /// Records that it answered after so long. Of two measurements at the same moment one may be lost.
    pub fn note_latency(&self, latency: Duration, now: Time) {
        let present = Peak(self.load.latency.load(Ordering::Relaxed));
        self.load.latency.store(present.with(latency, now).0, Ordering::Relaxed);
    }

    /// Records that it was waited for so long in vain.
    pub fn note_wait(&self, waited: Duration, now: Time) {
        let present = Peak(self.load.latency.load(Ordering::Relaxed));
        self.load.latency.store(present.at_least(waited, now).0, Ordering::Relaxed);
    }

    /// Records a connect: whether it went well. One that did writes nothing where nothing was wrong.
    pub fn note_connect(&self, has_reached: bool) {
        if !has_reached {
            self.unreached.fetch_add(1, Ordering::Relaxed);
        } else if self.unreached.load(Ordering::Relaxed) != 0 {
            self.unreached.store(0, Ordering::Relaxed);
        }
    }

    /// The connects that have failed since the last one that went well.
    #[must_use]
    pub fn unreached(&self) -> u32 {
        self.unreached.load(Ordering::Relaxed)
    }

    /// Its health.
    #[must_use]
    pub fn health_record(&self) -> &HealthRecord {
        &self.health_record
    }

    /// Records that it has closed a connection that had lain idle for `age`.
    pub fn note_close(&self, age: Duration, now: Time) {
        let present = IdleTimeoutEstimate(self.load.idle_estimate.load(Ordering::Relaxed));
        self.load.idle_estimate.store(present.with_close(age, now).0, Ordering::Relaxed);
    }

    /// The time for which a connection to it may be idle and still be used again, by its past behaviour.
    #[must_use]
    pub fn idle_estimate(&self, now: Time) -> Option<Duration> {
        IdleTimeoutEstimate(self.load.idle_estimate.load(Ordering::Relaxed)).learnt(now)
    }

    /// Records something that it has done; of two changes at the same moment one may be lost.
    pub fn note_habit(&self, habit: Habit, is_shown: bool, now: Time) {
        let present = Habits(self.load.habits.load(Ordering::Relaxed));
        let next = if is_shown { present.with(habit, now) } else { present.without(habit) };
        self.load.habits.store(next.0, Ordering::Relaxed);
    }

    /// Whether it is known to do that.
    #[must_use]
    pub fn has_habit(&self, habit: Habit, now: Time) -> bool {
        Habits(self.load.habits.load(Ordering::Relaxed)).has(habit, now)
    }

    /// Whether it may be asked.
    #[must_use]
    pub fn health_state(&self) -> HealthState {
        HealthState::from_bits(self.state.load(Ordering::Relaxed) & HEALTH_MASK)
    }

    /// Says whether it may be asked from now on; holds for all workers.
    pub fn set_health_state(&self, health_state: HealthState) {
        self.change_state(|stance| stance & !HEALTH_MASK | health_state.to_bits());
    }

    /// The state that the operator wants.
    #[must_use]
    pub fn admin_state(&self) -> AdminState {
        AdminState::from_bits(self.state.load(Ordering::Relaxed) >> HEALTH_BITS)
    }

    /// Says what the operator wants of it from now on; holds for all workers, and for what is under way too.
    pub fn set_admin_state(&self, admin_state: AdminState) {
        if self.admin_state() != admin_state {
            self.change_state(|stance| stance & HEALTH_MASK | admin_state.to_bits() << HEALTH_BITS);
        }
    }

    fn change_state(&self, change: impl Fn(u32) -> u32) {
        // The closure always gives a number, so this cannot fail.
        let _ = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |stance| Some(change(stance)));
        self.queue.release();
    }

    /// Whether nothing speaks against asking it.
    pub(super) fn is_plain(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0
    }
}

/// Whether there are as many as there may be. The fields that change with every request are read only where
/// there is a bound.
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
