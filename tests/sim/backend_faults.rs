//! Backends that die, hang, vanish, flap and slow down: the condition of each at any time of a run.

use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;

/// When the last fault is over: after it every backend is well.
const SPAN_MS: u64 = 4000;

/// The condition of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It answers.
    Well,
    /// The process is gone: connections are reset, connects are refused.
    Dead,
    /// The process is stopped: the kernel takes connections and bytes, and no answer comes.
    Hung,
    /// The machine is gone: nothing comes back, not even to a SYN.
    Hole,
    /// It takes so much longer to answer.
    Slow(Duration),
}

impl Condition {
    /// Whether no request gets an answer.
    pub(crate) fn is_silent(self) -> bool {
        match self {
            Condition::Dead | Condition::Hung | Condition::Hole => true,
            Condition::Well | Condition::Slow(_) => false,
        }
    }
}

/// The conditions of all backends of a run.
#[derive(Clone, Debug)]
pub(crate) struct BackendFaults {
    /// By host.
    phases: Vec<Vec<(Time, Condition)>>,
    /// The distance in hosts from a backend to the one that answers its checks; 0 if it does so
    /// itself.
    apart: usize,
}

impl BackendFaults {
    /// Three or four backends. In half of the runs one of them is well all the time; in some, all are of the
    /// same mind, as if it were the network.
    pub(crate) fn draw(rng: &mut Rng) -> BackendFaults {
        let hosts = rng.usize(3..=4);
        let spared = rng.usize(..hosts * 2);
        if rng.u8(..5) == 0 {
            return BackendFaults { phases: vec![draw_one(rng); hosts], apart: 0 };
        }
        let one = |host| if host == spared { well() } else { draw_one(rng) };
        BackendFaults { phases: (0..hosts).map(one).collect(), apart: 0 }
    }

    /// The same of those who answer the checks, while the backends themselves are well.
    pub(crate) fn apart(&self) -> BackendFaults {
        let hosts = self.phases.len();
        let mut phases = vec![well(); hosts];
        phases.extend_from_slice(&self.phases);
        BackendFaults { phases, apart: hosts }
    }

    /// The number of backends.
    pub(crate) fn hosts(&self) -> usize {
        self.phases.len() - self.apart
    }

    /// Whether others answer the checks.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart > 0
    }

    /// The host that answers the checks of the backend at `host`.
    pub(crate) fn checked(&self, host: usize) -> usize {
        host + self.apart
    }

    /// The mood of `host` at `now`, and its beginning. Hosts beyond those that were drawn are well.
    pub(crate) fn at(&self, host: usize, now: Time) -> (Time, Condition) {
        let phases = self.phases.get(host).map_or(&[][..], Vec::as_slice);
        phases.iter().rev().find(|(since, _)| *since <= now).copied().unwrap_or((Time::ZERO, Condition::Well))
    }

    /// When `host` changes its mind next.
    pub(crate) fn next(&self, host: usize, now: Time) -> Option<Time> {
        self.phases.get(host)?.iter().map(|(since, _)| *since).find(|since| *since > now)
    }
}

fn well() -> Vec<(Time, Condition)> {
    vec![(Time::ZERO, Condition::Well)]
}

/// A few long phases, or many short ones of one kind: then the backend flaps.
fn draw_one(rng: &mut Rng) -> Vec<(Time, Condition)> {
    let flaps = rng.u8(..3) == 0;
    let longest = if flaps { 150 } else { 2500 };
    let (mut phases, mut at) = (well(), 0);
    let kind = condition(rng);
    while at < SPAN_MS {
        at += rng.u64(1..=longest);
        let is_well = phases.len().is_multiple_of(2);
        let next = match (is_well, flaps) {
            (true, _) => Condition::Well,
            (false, true) => kind,
            (false, false) => condition(rng),
        };
        phases.push((Time::ZERO + Duration::from_millis(at), next));
    }
    if phases.len().is_multiple_of(2) {
        phases.push((Time::ZERO + Duration::from_millis(at + rng.u64(1..=longest)), Condition::Well));
    }
    phases
}

fn condition(rng: &mut Rng) -> Condition {
    match rng.u8(..4) {
        0 => Condition::Dead,
        1 => Condition::Hung,
        2 => Condition::Hole,
        _ => Condition::Slow(Duration::from_millis(rng.u64(20..800))),
    }
}
