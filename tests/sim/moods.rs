//! Backends that die, hang, vanish, flap and slow down: how each of them is minded at any time of a run.

use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;

/// When the last of the moods is over: after it everybody is well.
const SPAN_MS: u64 = 4000;

/// How a backend is minded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It does its part.
    Well,
    /// The process is gone: connections are reset, connects are refused.
    Dead,
    /// The process is stopped: the kernel takes connections and bytes, and nobody answers.
    Hung,
    /// The machine is gone: nothing comes back, not even to a SYN.
    Hole,
    /// It takes so much longer to answer.
    Slow(Duration),
}

impl Mood {
    /// Whether nobody gets an answer.
    pub(crate) fn is_silent(self) -> bool {
        match self {
            Mood::Dead | Mood::Hung | Mood::Hole => true,
            Mood::Well | Mood::Slow(_) => false,
        }
    }
}

/// The moods of all backends of a run.
#[derive(Clone, Debug)]
pub(crate) struct Moods {
    /// By host.
    phases: Vec<Vec<(Time, Mood)>>,
    /// How many hosts behind a backend there is another one, which answers its checks; 0 if it does so
    /// itself.
    apart: usize,
}

impl Moods {
    /// Three or four backends. In half of the runs one of them is well all the time; in some, all are of the
    /// same mind, as if it were the network.
    pub(crate) fn draw(rng: &mut Rng) -> Moods {
        let hosts = rng.usize(3..=4);
        let spared = rng.usize(..hosts * 2);
        if rng.u8(..5) == 0 {
            return Moods { phases: vec![draw_one(rng); hosts], apart: 0 };
        }
        let one = |host| if host == spared { well() } else { draw_one(rng) };
        Moods { phases: (0..hosts).map(one).collect(), apart: 0 }
    }

    /// The same of those who answer the checks, while the backends themselves are well.
    pub(crate) fn apart(&self) -> Moods {
        let hosts = self.phases.len();
        let mut phases = vec![well(); hosts];
        phases.extend_from_slice(&self.phases);
        Moods { phases, apart: hosts }
    }

    /// How many backends there are.
    pub(crate) fn hosts(&self) -> usize {
        self.phases.len() - self.apart
    }

    /// Whether others answer the checks.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart > 0
    }

    /// Who answers the checks of the backend at `host`.
    pub(crate) fn checked(&self, host: usize) -> usize {
        host + self.apart
    }

    /// How `host` is minded at `now`, and since when. Hosts beyond those that were drawn are well.
    pub(crate) fn at(&self, host: usize, now: Time) -> (Time, Mood) {
        let phases = self.phases.get(host).map_or(&[][..], Vec::as_slice);
        phases.iter().rev().find(|(since, _)| *since <= now).copied().unwrap_or((Time::ZERO, Mood::Well))
    }

    /// When `host` changes its mind next.
    pub(crate) fn next(&self, host: usize, now: Time) -> Option<Time> {
        self.phases.get(host)?.iter().map(|(since, _)| *since).find(|since| *since > now)
    }
}

fn well() -> Vec<(Time, Mood)> {
    vec![(Time::ZERO, Mood::Well)]
}

/// A few long phases, or many short ones of one kind: then the backend flaps.
fn draw_one(rng: &mut Rng) -> Vec<(Time, Mood)> {
    let flaps = rng.u8(..3) == 0;
    let longest = if flaps { 150 } else { 2500 };
    let (mut phases, mut at) = (well(), 0);
    let kind = mood(rng);
    while at < SPAN_MS {
        at += rng.u64(1..=longest);
        let is_well = phases.len().is_multiple_of(2);
        let next = match (is_well, flaps) {
            (true, _) => Mood::Well,
            (false, true) => kind,
            (false, false) => mood(rng),
        };
        phases.push((Time::ZERO + Duration::from_millis(at), next));
    }
    if phases.len().is_multiple_of(2) {
        phases.push((Time::ZERO + Duration::from_millis(at + rng.u64(1..=longest)), Mood::Well));
    }
    phases
}

fn mood(rng: &mut Rng) -> Mood {
    match rng.u8(..4) {
        0 => Mood::Dead,
        1 => Mood::Hung,
        2 => Mood::Hole,
        _ => Mood::Slow(Duration::from_millis(rng.u64(20..800))),
    }
}
