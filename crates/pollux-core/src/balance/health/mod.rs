//! The state of a backend, from its checks and the failures of its requests: one state machine for each.
//!
//! ```text
//!                    checked well (`rise`, or the first)
//!     Awaited ------------------------------------------> Up <-------- checked well, `rise` times ------- Down
//!        |                                                | ^                                              ^ ^
//!        |                requests fail: `failures` in a  | |  the ejection is over, and a check passes    | |
//!        |                row, or the rate of a window    v |                                              | |
//!        |                                              Ejected ------- checks fail, `fall` times ---------+ |
//!        |                                                                                                   |
//!        +----------------------------------- checks fail (from Up too) --------------------------------------+
//! ```
//!
//! Failures in a row are counted twice: of requests that no response came to, and of responses that broke
//! off. A response head resets the first count, a complete response the second; so a backend that answers at
//! once and never finishes is found.
//!
//! One failed look at a backend never takes it out, unless it has just come back from an ejection: then it is
//! on probation until it has served one request. A further ejection lasts twice as long as the one before;
//! each span of that length without an ejection undoes one doubling.

mod observation;
mod probe;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{FULL_SHARE, HealthState};
use crate::core::time::Time;

pub use crate::snapshot::{Check, CheckKind, Errors, Expected, Grpc, Http, Passive, Start, is_among};
pub use observation::{BackendFault, By, HISTORY_MAX, History, Observation, ObservationResult};
pub use probe::{BODY_MAX, Probe};

/// So many doublings are counted at most.
const DOUBLINGS_MAX: u32 = 20;

/// The rules of a pool for the health of its backends.
#[derive(Clone, Copy, Debug)]
pub struct HealthRules<'a> {
    /// By the failures of requests.
    pub passive: &'a Passive,
    /// By checks, if there are any.
    pub check: Option<&'a Check>,
}

/// The phase of a backend. The diagram stands at the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthPhase {
    /// It may be asked.
    #[default]
    Up,
    /// No check has decided yet, and until then it is not asked.
    Awaited,
    /// It failed its checks.
    Down,
    /// It has failed requests, and is left alone until then; from then on it is checked.
    Ejected {
        /// When.
        until: Time,
    },
}

impl HealthPhase {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            HealthPhase::Up => "up",
            HealthPhase::Awaited => "unchecked",
            HealthPhase::Down => "down",
            HealthPhase::Ejected { .. } => "ejected",
        }
    }
}

/// A way from one phase to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseChange {
    /// From where.
    pub from: HealthPhase,
    /// To where.
    pub to: HealthPhase,
    /// The observation that brought it about.
    pub by: Observation,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Health {
    phase: HealthPhase,
    /// When it came there; `None` if it has been there from the beginning.
    since: Option<Time>,
    /// Checks in a row that have passed, and that have failed: one of the two is 0.
    passed: u32,
    failed: u32,
    /// Requests to which no response came.
    answers: Row,
    /// Responses that broke off.
    bodies: Row,
    window: Window,
    ejections: Ejections,
    history: History,
}

/// Failures in a row, of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    length: u32,
    /// Whether the backend has come back from an ejection, and not done well at this since.
    is_on_probation: bool,
}

impl Row {
    /// Counts one more; true if it is one too many.
    fn is_exceeded(&mut self, most: u32) -> bool {
        self.length = self.length.saturating_add(1);
        let limit = if self.is_on_probation { 1 } else { most };
        most > 0 && self.length >= limit
    }

    /// Whether the next that goes well is news.
    fn is_open(self) -> bool {
        self.length > 0 || self.is_on_probation
    }
}

/// Requests in the window of the failure rate.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Option<Time>,
    failed: u32,
    /// The number of these that had been answered, and were counted as served.
    broken: u32,
    /// The number that had been served when it began.
    served_before: u32,
}

/// The memory of ejections.
#[derive(Clone, Copy, Debug, Default)]
struct Ejections {
    /// By how many doublings the next one is longer.
    doublings: u32,
    /// When the last one was over, and how long it was.
    last: Option<(Time, Duration)>,
}

impl Health {
    /// Takes the rules of another configuration; `is_new` if there was none before.
    pub fn adopt(&mut self, check: Option<&Check>, is_new: bool) {
        match (check, self.phase) {
            (Some(check), HealthPhase::Up) if is_new && check.start != Start::Up => {
                self.phase = HealthPhase::Awaited;
            }
            // Without a check no event would ever bring it back.
            (None, HealthPhase::Awaited | HealthPhase::Down) => {
                self.phase = HealthPhase::Up;
                (self.passed, self.failed) = (0, 0);
            }
            (
                Some(_),
                HealthPhase::Up | HealthPhase::Awaited | HealthPhase::Down | HealthPhase::Ejected { .. },
            )
            | (None, HealthPhase::Up | HealthPhase::Ejected { .. }) => {}
        }
    }

    /// Records an observation. `served` is how many requests the backend has served, counted from anywhere
    /// (it wraps), and is needed only where there is a failure rate; `may_eject` whether the pool can spare
    /// it.
    pub fn handle_observation(
        &mut self,
        by: Observation,
        rules: HealthRules<'_>,
        served: u32,
        may_eject: bool,
    ) -> Option<PhaseChange> {
        self.history.push(by);
        let from = self.phase;
        let to = match (by.by, by.found) {
            (By::Check, ObservationResult::Well(_) | ObservationResult::Whole) => {
                self.check_passed(rules, by.at)
            }
            (By::Check, ObservationResult::Ill(_)) => self.check_failed(rules, by.at),
            (By::Request, ObservationResult::Well(_)) => {
                self.answers = Row::default();
                from
            }
            (By::Request, ObservationResult::Whole) => {
                self.bodies = Row::default();
                from
            }
            (By::Request, ObservationResult::Ill(fault)) => {
                self.request_failed(fault, rules.passive, (by.at, served), may_eject)
            }
        };
        if to == from {
            return None;
        }
        (self.phase, self.since) = (to, Some(by.at));
        (self.answers.length, self.bodies.length) = (0, 0);
        self.window = Window::default();
        Some(PhaseChange { from, to, by })
    }

    fn check_passed(&mut self, rules: HealthRules<'_>, now: Time) -> HealthPhase {
        self.failed = 0;
        self.passed = self.passed.saturating_add(1);
        let rise = match (rules.check.map(|check| (check.rise, check.start)), self.phase) {
            (Some((_, Start::CheckFirst)), HealthPhase::Awaited) | (None, _) => 1,
            (Some((rise, _)), _) => rise,
        };
        match self.phase {
            HealthPhase::Awaited | HealthPhase::Down if self.passed >= rise => HealthPhase::Up,
            HealthPhase::Ejected { until } if until <= now => {
                (self.answers.is_on_probation, self.bodies.is_on_probation) = (true, true);
                HealthPhase::Up
            }
            HealthPhase::Up | HealthPhase::Awaited | HealthPhase::Down | HealthPhase::Ejected { .. } => {
                self.phase
            }
        }
    }

    fn check_failed(&mut self, rules: HealthRules<'_>, now: Time) -> HealthPhase {
        self.passed = 0;
        self.failed = self.failed.saturating_add(1);
        let has_fallen = rules.check.is_some_and(|check| self.failed >= check.fall);
        match self.phase {
            HealthPhase::Awaited => HealthPhase::Down,
            HealthPhase::Up | HealthPhase::Ejected { .. } if has_fallen => HealthPhase::Down,
            HealthPhase::Ejected { until } if until <= now => self.eject(rules.passive, now),
            HealthPhase::Up | HealthPhase::Down | HealthPhase::Ejected { .. } => self.phase,
        }
    }

    fn request_failed(
        &mut self,
        fault: BackendFault,
        rules: &Passive,
        (now, served): (Time, u32),
        may_eject: bool,
    ) -> HealthPhase {
        // Requests that were under way when it was taken out say nothing new.
        if self.phase != HealthPhase::Up {
            return self.phase;
        }
        let is_broken = matches!(fault, BackendFault::Broken(_));
        let row = if is_broken { &mut self.bodies } else { &mut self.answers };
        let is_row = row.is_exceeded(rules.failures);
        let is_rate = self.window.is_exceeded(rules, now, served, is_broken);
        if may_eject && (is_row || is_rate) { self.eject(rules, now) } else { self.phase }
    }

    fn eject(&mut self, rules: &Passive, now: Time) -> HealthPhase {
        let span = self.ejections.next(rules, now);
        (self.answers, self.bodies) = (Row::default(), Row::default());
        (self.passed, self.failed) = (0, 0);
        HealthPhase::Ejected { until: now + span }
    }

    /// Whether a response that begins is worth being told of.
    #[must_use]
    pub fn is_troubled(&self) -> bool {
        self.answers.is_open()
    }

    /// Whether a response that is whole is worth being told of.
    #[must_use]
    pub fn is_breaking(&self) -> bool {
        self.bodies.is_open()
    }

    /// Its phase.
    #[must_use]
    pub fn phase(&self) -> HealthPhase {
        self.phase
    }

    /// When it came there; `None` if it has been there from the beginning.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        self.since
    }

    /// The last of what was observed.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether its last checks speak against where it is.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        match self.phase {
            HealthPhase::Up => self.failed > 0,
            HealthPhase::Down => self.passed > 0,
            HealthPhase::Awaited => true,
            HealthPhase::Ejected { .. } => false,
        }
    }

    /// When it began to warm up, if it comes from another phase.
    #[must_use]
    pub fn warms_since(&self) -> Option<Time> {
        self.since.filter(|_| self.phase == HealthPhase::Up)
    }

    /// The resulting state.
    #[must_use]
    pub fn standing(&self, rules: &Passive, now: Time) -> HealthState {
        match (self.phase, self.warms_since(), rules.slow_start) {
            (HealthPhase::Up, Some(since), Some(span)) => match ramp(now.since(since), span) {
                FULL_SHARE => HealthState::Up,
                share => HealthState::Warming { share },
            },
            (HealthPhase::Up, None, _) | (HealthPhase::Up, _, None) => HealthState::Up,
            (HealthPhase::Awaited | HealthPhase::Down, ..) => HealthState::Down,
            (HealthPhase::Ejected { .. }, ..) => HealthState::Ejected,
        }
    }
}

/// The share of its weight, in thousandths, that a backend gets which has been warming up for `age`, of
/// `span` in all.
#[must_use]
pub fn ramp(age: Duration, span: Duration) -> u32 {
    if age >= span {
        return FULL_SHARE;
    }
    let share = age.as_nanos() * u128::from(FULL_SHARE) / span.as_nanos().max(1);
    u32::try_from(share).unwrap_or(FULL_SHARE).max(1)
}

/// Whether a pool of which so many backends can be used uses all of them, usable or not.
#[must_use]
pub fn panics(rules: &Passive, usable: usize, all: usize) -> bool {
    rules.panic.is_some_and(|share| (usable as u64) * 1000 < (all as u64) * u64::from(share))
}

/// Whether a pool of which so many backends are ejected may do without one more.
#[must_use]
pub fn may_eject(rules: &Passive, ejected: usize, all: usize) -> bool {
    (ejected as u64 + 1) * 1000 <= (all as u64) * u64::from(rules.max_ejected)
}

impl Window {
    /// Counts a failure, `is_broken` if it was counted as served before; true if there are too many by now.
    fn is_exceeded(&mut self, rules: &Passive, now: Time, served: u32, is_broken: bool) -> bool {
        let Some(rate) = rules.failure_rate else { return false };
        if self.began.is_none_or(|began| now.since(began) >= rules.window) {
            let served_before = served.wrapping_sub(u32::from(is_broken));
            *self = Window { began: Some(now), failed: 0, broken: 0, served_before };
        }
        self.failed = self.failed.saturating_add(1);
        self.broken += u32::from(is_broken);
        // One that broke may have begun before the window.
        let served = served.wrapping_sub(self.served_before).max(self.broken);
        let all = u64::from(self.failed - self.broken) + u64::from(served);
        all >= u64::from(rules.window_min) && u64::from(self.failed) * 1000 >= all * u64::from(rate)
    }
}

impl Ejections {
    /// The time of an ejection that begins now.
    fn next(&mut self, rules: &Passive, now: Time) -> Duration {
        if let Some((over, span)) = self.last {
            let quiet = now.since(over).as_nanos() / span.as_nanos().max(1);
            self.doublings = self.doublings.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX));
        }
        let span = rules.eject.saturating_mul(1 << self.doublings).min(rules.eject_max.max(rules.eject));
        self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
        self.last = Some((now + span, span));
        span
    }
}
