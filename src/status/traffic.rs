//! Counts since the start; a reader subtracts two of them. For the dashboard and `pollux top`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::core::outcome::Cause;
use crate::metrics::{BOUNDED, BackendTotals, CLASSES, Totals, TurnPhase, bound};

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// The upper bounds of the buckets of [`Passed::whole`] but the last, in microseconds.
    pub bounds_us: Vec<u64>,
    /// By name.
    pub listeners: BTreeMap<String, Way>,
    /// By name; "" is no pool.
    pub pools: BTreeMap<String, PoolTraffic>,
}

/// The traffic of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Clients.
    pub clients: u64,
    /// Bytes to backends.
    pub bytes_up: u64,
    /// Bytes to clients.
    pub bytes_down: u64,
}

/// The traffic of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolTraffic {
    /// Exchanges that did not end well, by the word of the cause.
    pub causes: BTreeMap<&'static str, u64>,
    /// Of each backend by its name; "" is none.
    pub backends: BTreeMap<String, Passed>,
}

/// Exchanges that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// By the class of the status: none, 1xx to 5xx.
    pub classes: [u64; CLASSES],
    /// The whole durations, by bucket.
    pub whole: Vec<u64>,
    /// Attempts that the backend has failed, by the word of the cause.
    pub failures: BTreeMap<&'static str, u64>,
}

impl Traffic {
    /// The part of the totals for this.
    #[must_use]
    pub fn of(totals: &Totals) -> Traffic {
        let bounds = (0..BOUNDED).map(|place| u64::try_from(bound(place).as_micros()).unwrap_or(u64::MAX));
        let mut traffic = Traffic { bounds_us: bounds.collect(), ..Traffic::default() };
        for (name, totals) in &totals.listeners {
            let way =
                Way { clients: totals.clients, bytes_up: totals.bytes_up, bytes_down: totals.bytes_down };
            traffic.listeners.insert(name.clone(), way);
        }
        for (name, totals) in &totals.pools {
            traffic.pools.entry(name.clone()).or_default().causes = by_word(&totals.causes);
        }
        for ((pool, backend), totals) in &totals.backends {
            let pool = traffic.pools.entry(pool.clone()).or_default();
            pool.backends.insert(backend.clone(), Passed::of(totals));
        }
        traffic
    }
}

impl Passed {
    fn of(totals: &BackendTotals) -> Passed {
        let whole = totals.phase(TurnPhase::Whole).buckets.to_vec();
        Passed { classes: totals.classes, whole, failures: by_word(&totals.failures) }
    }
}

/// The causes that have happened.
fn by_word(counts: &[u64]) -> BTreeMap<&'static str, u64> {
    let counts = Cause::ALL.iter().zip(counts);
    counts.filter(|(_, count)| **count > 0).map(|(cause, count)| (cause.as_str(), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_by_name() {
        let mut totals = Totals::default();
        let mut backend = BackendTotals::default();
        backend.classes[2] = 7;
        backend.phases[TurnPhase::Whole as usize].buckets[3] = 7;
        let refused = Cause::ALL.iter().position(|cause| *cause == Cause::BackendRefused).unwrap();
        backend.failures[refused] = 2;
        totals.backends.insert(("app".into(), "b1".into()), backend);
        let traffic = Traffic::of(&totals);
        let passed = &traffic.pools["app"].backends["b1"];
        assert_eq!((passed.classes[2], passed.whole[3], passed.failures["backend-refused"]), (7, 7, 2));
        assert_eq!((traffic.bounds_us.len() + 1, traffic.bounds_us[0]), (passed.whole.len(), 50));
    }
}
