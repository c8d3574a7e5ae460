//! As much of a status as is shown.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct StatusPage {
    pub(super) version: String,
    pub(super) pid: u32,
    pub(super) uptime_ms: u64,
    pub(super) configuration: Configuration,
    pub(super) pools: Vec<Pool>,
    pub(super) crowd: Crowd,
    pub(super) traffic: Traffic,
    pub(super) drain: Option<Drain>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Configuration {
    pub(super) file: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Drain {
    pub(super) left_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) panics: bool,
    pub(super) backends: Vec<Backend>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) standing: String,
    pub(super) state: String,
    pub(super) weight: u32,
    pub(super) in_flight: u32,
    pub(super) history: Vec<Seen>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Seen {
    pub(super) is_well: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Crowd {
    pub(super) groups: Vec<Group>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Group {
    pub(super) count: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Traffic {
    pub(super) bounds_us: Vec<u64>,
    pub(super) pools: BTreeMap<String, Served>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Served {
    pub(super) causes: BTreeMap<String, u64>,
    pub(super) backends: BTreeMap<String, Passed>,
}

/// The traffic of a backend, or of all together, since the beginning or within a span.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Passed {
    /// None, 1xx to 5xx.
    pub(super) classes: Vec<u64>,
    pub(super) whole: Vec<u64>,
    pub(super) failures: BTreeMap<String, u64>,
}

impl Passed {
    pub(super) fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Requests that ended without a status, or with a 5xx.
    pub(super) fn failed(&self) -> u64 {
        [0, 5].iter().filter_map(|class| self.classes.get(*class)).sum()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(super) fn add(&mut self, other: &Passed) {
        add(&mut self.classes, &other.classes);
        add(&mut self.whole, &other.whole);
        for (cause, count) in &other.failures {
            *self.failures.entry(cause.clone()).or_default() += count;
        }
    }

    /// The traffic since `earlier`.
    pub(super) fn since(&self, earlier: &Passed) -> Passed {
        let less = |now: &[u64], before: &[u64]| {
            let before = before.iter().copied().chain(std::iter::repeat(0));
            now.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect()
        };
        let failures = self.failures.iter().map(|(cause, count)| {
            (cause.clone(), count.saturating_sub(earlier.failures.get(cause).copied().unwrap_or(0)))
        });
        Passed {
            classes: less(&self.classes, &earlier.classes),
            whole: less(&self.whole, &earlier.whole),
            failures: failures.collect(),
        }
    }

    /// The quantile, in microseconds, as if the buckets were filled evenly; `None` if nothing has passed.
    pub(super) fn quantile(&self, thousandths: u64, bounds_us: &[u64]) -> Option<u64> {
        let count: u64 = self.whole.iter().sum();
        let mut rank = (count * thousandths).div_ceil(1000).max(1);
        for (place, filled) in self.whole.iter().enumerate() {
            if rank <= *filled {
                let below = place.checked_sub(1).and_then(|place| bounds_us.get(place)).copied().unwrap_or(0);
                let Some(above) = bounds_us.get(place) else { return Some(below) };
                return Some(below + above.saturating_sub(below) * rank / (*filled).max(1));
            }
            rank -= filled;
        }
        None
    }
}

fn add(sums: &mut Vec<u64>, counts: &[u64]) {
    sums.resize(sums.len().max(counts.len()), 0);
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_is_told_by_differences() {
        let bounds = [50, 100, 200];
        let before = Passed { classes: vec![0, 0, 5], whole: vec![5, 0, 0, 0], ..Passed::default() };
        let now = Passed { classes: vec![1, 0, 14], whole: vec![5, 8, 1, 1], ..Passed::default() };
        let span = now.since(&before);
        assert_eq!((span.count(), span.failed()), (10, 1));
        assert_eq!(span.quantile(500, &bounds), Some(50 + 50 * 5 / 8));
        assert_eq!(span.quantile(900, &bounds), Some(200));
        assert_eq!(span.quantile(1000, &bounds), Some(200));
        assert_eq!(Passed::default().quantile(500, &bounds), None);
        let mut sum = Passed::default();
        [&before, &span].into_iter().for_each(|part| sum.add(part));
        assert_eq!((sum.classes, sum.whole), (now.classes, now.whole));
    }
}
