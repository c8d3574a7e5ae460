//! Invariants of a pool in every turn, for any behaviour of its backends. A backend that is out gets no
//! request while another one is up. A request that waits is not overtaken and not left behind. There are no
//! more retries than the budget allows. Where the conditions of the backends are known, their health states
//! must be true, after the time that it takes to find out.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pollux::balance::health::{Check, CheckKind};
use pollux::core::time::Time;
use pollux::shared::health::HealthCounters;
use pollux::shared::pools::{BackendState, Registry};
use pollux::snapshot::{Pool, PoolId, Retries, Snapshot, Timeouts};
use pollux::worker::Census;

use crate::backend_faults::{BackendFaults, Condition};

/// A request that waits for nothing is answered within so many turns, and within that time.
const TURNS_MAX: u32 = 40;
const LEFT_MAX: Duration = Duration::from_millis(50);

/// The delay of a worker at most: the clock jumps, and bytes that have come in may be withheld.
const SLACK: Duration = Duration::from_millis(100);

/// A backend as the workers see it.
#[derive(Clone, Copy, Debug)]
struct One {
    is_out: bool,
    in_flight: u32,
    connections: u32,
    tallied: HealthCounters,
}

impl One {
    fn of(state: &Arc<BackendState>) -> One {
        let is_out = state.health_state().exclusion().is_some();
        let tallied = state.health_record().counters();
        One { is_out, in_flight: state.in_flight(), connections: state.connections(), tallied }
    }

    /// Whether it may have gone out and come back since it was `before`.
    fn has_wavered(&self, before: &One) -> bool {
        let (was, is) = (before.tallied, self.tallied);
        is.passed > was.passed && (is.failed, is.ejections) != (was.failed, was.ejections)
    }
}

/// A pool at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    panics: bool,
    backends: Vec<One>,
    retrying: u32,
    /// The numbers of those who wait, first come first.
    line: Vec<u64>,
    sessions: usize,
    /// The exchanges that have ended so far because their client or their time went.
    gone: usize,
}

impl Observed {
    pub(crate) fn of(registry: &Registry, snapshot: &Arc<Snapshot>, census: Census, gone: usize) -> Observed {
        let pools = registry.open(snapshot);
        let pool = pools.pool(PoolId(0));
        Observed {
            panics: pool.health_registry().panics(),
            backends: pool.backends().iter().map(One::of).collect(),
            retrying: pool.retrying(),
            line: pool.queue().line(),
            sessions: census.sessions,
            gone,
        }
    }

    /// The number of times that its backends have been ejected.
    pub(crate) fn ejections(&self) -> u64 {
        self.backends.iter().map(|one| one.tallied.ejections).sum()
    }

    fn can_use(&self, one: &One) -> bool {
        self.panics || !one.is_out
    }

    /// Whether nobody can be used, so that there is nothing to wait for.
    fn is_hopeless(&self) -> bool {
        !self.backends.iter().any(|one| self.can_use(one))
    }

    /// Whether somebody who is bound to nobody, and has tried nobody, finds a backend.
    fn has_room(&self, pool: &Pool) -> bool {
        let is_free = |(one, rules): (&One, &pollux::snapshot::Backend)| {
            rules.weight > 0
                && self.can_use(one)
                && rules.max_requests.is_none_or(|most| one.in_flight < most)
                && rules.max_connections.is_none_or(|most| one.connections < most)
        };
        self.backends.iter().zip(&pool.backends).any(is_free)
    }
}

/// The memory from turn to turn.
#[derive(Debug)]
pub(crate) struct Invariants {
    backend_faults: Option<Rc<BackendFaults>>,
    /// Since when, and for how many turns, somebody has waited for nothing.
    left: Option<(Time, u32)>,
    /// When the backends of the pool last changed.
    changed: Time,
    /// The last who waited then: up to it, those who wait know only the backends that there were when they
    /// came.
    outdated: Option<u64>,
    overtaken: Vec<Overtaken>,
}

/// Requests that left the queue before one that stood there longer.
#[derive(Debug)]
struct Overtaken {
    /// It is in order once so many exchanges have ended for reasons of their own,
    gone: usize,
    /// within so many turns.
    turns: u32,
    seen: String,
}

impl Invariants {
    pub(crate) fn new(backend_faults: Option<Rc<BackendFaults>>) -> Invariants {
        Invariants { backend_faults, left: None, changed: Time::ZERO, outdated: None, overtaken: Vec::new() }
    }

    /// Takes note of other backends; `before` is the pool as it was.
    pub(crate) fn handle_change(&mut self, now: Time, before: &Observed) {
        self.changed = now;
        self.left = None;
        self.outdated = before.line.last().copied().or(self.outdated);
    }

    /// Whether all who wait know the same backends, and no others.
    fn is_of_one_mind(&self, line: &[u64]) -> bool {
        line.first().is_none_or(|first| self.outdated.is_none_or(|last| *first > last))
    }

    /// Holds a turn to the rules, by the pool before it and after it. `is_checked` is whether there still are
    /// checks.
    pub(crate) fn check(
        &mut self,
        snapshot: &Snapshot,
        (before, after): (&Observed, &Observed),
        now: Time,
        is_checked: bool,
    ) {
        let pool = &snapshot.pools[0];
        check_out(before, after);
        check_budget(&pool.retries, before, after);
        let Some(backend_faults) = self.backend_faults.clone() else { return };
        // A request that was begun before the change may have been refused, and may come back to wait: it
        // knows the backends of then.
        if self.changed > Time::ZERO
            && now.since(self.changed) <= snapshot.timeouts.connect + pool.reach_wait.unwrap_or_default()
        {
            self.outdated = self.outdated.max(after.line.last().copied());
        }
        assert!(after.line.len() <= pool.max_pending, "more wait than may");
        // A request that has tried a backend waits for another one. Requests that have tried none may pass it.
        let are_of_one_mind = self.is_of_one_mind(&before.line) && self.is_of_one_mind(&after.line);
        if pool.retries.most == 0 && are_of_one_mind {
            self.check_order(before, after);
            check_newcomers(before, after);
            self.check_left(pool, after, now);
        } else {
            self.left = None;
        }
        if is_checked {
            self.check_truth(snapshot, &backend_faults, after, now);
        }
    }

    /// Requests that left the queue stood before those that are still there, except for requests whose client or
    /// whose time has gone: they leave from any place. Their records come once their answers are out.
    fn check_order(&mut self, before: &Observed, after: &Observed) {
        let is_left = |number: &&u64| after.line.contains(number);
        let first = before.line.iter().position(|number| is_left(&number)).unwrap_or(before.line.len());
        let overtaking = before.line[first..].iter().filter(|number| !is_left(number)).count();
        if overtaking > 0 {
            let seen = format!("of {:?} there are left {:?}", before.line, after.line);
            self.overtaken.push(Overtaken { gone: before.gone + overtaking, turns: TURNS_MAX, seen });
        }
        self.overtaken.retain(|overtaken| overtaken.gone > after.gone);
        for overtaken in &mut self.overtaken {
            assert!(overtaken.turns > 0, "a waiting request was overtaken: {}", overtaken.seen);
            overtaken.turns -= 1;
        }
    }

    /// No request waits while a backend has room, or while there is no backend to wait for.
    fn check_left(&mut self, pool: &Pool, after: &Observed, now: Time) {
        if after.line.is_empty() || !(after.has_room(pool) || after.is_hopeless()) {
            self.left = None;
            return;
        }
        let (since, turns) = self.left.get_or_insert((now, 0));
        *turns += 1;
        let is_soon = *turns <= TURNS_MAX && now.since(*since) <= LEFT_MAX;
        assert!(is_soon, "{} wait since {since:?} for nothing: {after:?}", after.line.len());
    }

    /// A backend that is silent for long enough is out, and one that is well for long enough is not.
    fn check_truth(&self, snapshot: &Snapshot, backend_faults: &BackendFaults, after: &Observed, now: Time) {
        let pool = &snapshot.pools[0];
        for (place, one) in after.backends.iter().enumerate() {
            let Some(host) = host_of(&pool.backends[place].name) else { continue };
            let (since, condition) = backend_faults.at(backend_faults.checked(host), now);
            let age = now.since(since.max(self.changed));
            let is_seen = pool.check.as_ref().filter(|check| is_told(check, condition)).map(time_to_fall);
            let is_missed = is_seen.is_some_and(|time| age > time && !one.is_out);
            assert!(!is_missed, "b{host} is {condition:?} since {since:?}, and nobody has noticed");
            let is_forgotten =
                condition == Condition::Well && age > time_to_rise(pool, &snapshot.timeouts) && one.is_out;
            assert!(!is_forgotten, "b{host} is well since {since:?}, and still out after {age:?}: {one:?}");
        }
    }
}

/// The place of a backend among the hosts, by its name.
fn host_of(name: &str) -> Option<usize> {
    name.strip_prefix('b')?.parse().ok()
}

/// Whether a check can tell.
fn is_told(check: &Check, condition: Condition) -> bool {
    match (&check.kind, condition) {
        // A process that is stopped still has a kernel that takes connections.
        (CheckKind::Tcp, Condition::Hung) => false,
        (CheckKind::Tcp | CheckKind::Http(_) | CheckKind::Grpc(_), condition) => condition.is_silent(),
    }
}

/// The longest time from one check to the end of the next.
fn time_of_one(check: &Check) -> Duration {
    check.interval.mul_f64(1.0 + f64::from(check.jitter) / 1000.0) + check.timeout
}

fn time_to_fall(check: &Check) -> Duration {
    time_of_one(check) * (check.fall + 1) + SLACK
}

/// The last request that fails is one that was begun before, an ejection may follow, and a check behind it.
fn time_to_rise(pool: &Pool, timeouts: &Timeouts) -> Duration {
    let ejected = pool.health.eject_max.max(pool.health.eject);
    // Without checks an ejected backend is looked at once, and the look may have begun before it was well.
    let look = Check::default().timeout;
    let checked = pool.check.as_ref().map_or(look, |check| time_of_one(check) * (check.rise + 1));
    timeouts.connect + timeouts.backend_response + timeouts.idle + ejected + checked + SLACK
}

/// A backend that is out before a turn and after it gets no request in that turn, if there is another backend.
fn check_out(before: &Observed, after: &Observed) {
    let is_up = |sight: &Observed| !sight.panics && sight.backends.iter().any(|one| !one.is_out);
    // If a backend has wavered, there may have been no other one for a moment.
    let has_wavered = before.backends.iter().zip(&after.backends).any(|(was, is)| is.has_wavered(was));
    if !is_up(before) || !is_up(after) || has_wavered {
        return;
    }
    for (place, (was, is)) in before.backends.iter().zip(&after.backends).enumerate() {
        let is_spared = !(was.is_out && is.is_out) || is.in_flight <= was.in_flight;
        assert!(
            is_spared,
            "backend {place} got a request although it is known to be out: {before:?} {after:?}"
        );
    }
}

/// Retries that begin are within the budget. All that is in flight belongs to a session, before the turn or
/// after it.
fn check_budget(rules: &Retries, before: &Observed, after: &Observed) {
    let in_flight = before.sessions.max(after.sessions) as u64;
    let most = (in_flight * u64::from(rules.budget) / 1000).max(u64::from(rules.budget_min));
    let is_within = after.retrying <= before.retrying || u64::from(after.retrying) <= most;
    assert!(is_within, "{} retries at once, of {most} at most", after.retrying);
}

/// While somebody waits, and nobody of those who do has left, nobody else gets a backend.
fn check_newcomers(before: &Observed, after: &Observed) {
    let is_waiting = !before.line.is_empty() && before.line.iter().all(|number| after.line.contains(number));
    let has_more = |(was, is): (&One, &One)| is.in_flight > was.in_flight;
    let is_overtaken = is_waiting && before.backends.iter().zip(&after.backends).any(has_more);
    assert!(!is_overtaken, "somebody who came new has overtaken {:?}", before.line);
}
