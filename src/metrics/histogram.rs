//! Durations, counted in buckets: percentiles can be computed over many workers and over any span of time.
//!
//! The bounds are fixed, each twice the one before, from 50 us to 52.4 s. So the bucket of a span follows
//! from its bits, what two histograms have counted can be added and subtracted, and a quantile is known to
//! within a factor of two at worst.

use std::ops::AddAssign;
use std::time::Duration;

use super::cell::Cell;

/// The number of buckets with an upper bound; one more takes the rest.
pub const BOUNDED: usize = 21;

/// The upper bound of the first bucket, in nanoseconds.
const FIRST_NS: u64 = 50_000;

/// The upper bound of the bucket at that place, included in it.
#[must_use]
pub const fn bound(place: usize) -> Duration {
    Duration::from_nanos(FIRST_NS << place)
}

/// The place of the bucket for a span of so many nanoseconds.
const fn place_of(nanos: u64) -> usize {
    let doublings = u64::BITS - (nanos.saturating_sub(1) / FIRST_NS).leading_zeros();
    if doublings as usize > BOUNDED { BOUNDED } else { doublings as usize }
}

/// A histogram that one thread writes and others read.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [Cell; BOUNDED + 1],
    sum_ns: Cell,
}

impl Histogram {
    /// Counts a span.
    pub(super) fn note(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[place_of(nanos)].add(1);
        self.sum_ns.add(nanos);
    }

    /// Adds what was counted to `counts`.
    pub(super) fn add_to(&self, counts: &mut HistogramCounts) {
        for (sum, bucket) in counts.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        counts.sum_ns = counts.sum_ns.wrapping_add(self.sum_ns.get());
    }
}

/// The counts of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramCounts {
    /// By bucket: how many spans were above the bound before it, and not above its own.
    pub buckets: [u64; BOUNDED + 1],
    /// All spans together, in nanoseconds.
    pub sum_ns: u64,
}

impl HistogramCounts {
    /// The number of spans.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The mean; `None` if nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.sum_ns.checked_div(self.count()).map(Duration::from_nanos)
    }

    /// The counts since `earlier`, which was taken before this of the same histograms.
    #[must_use]
    pub fn since(&self, earlier: &HistogramCounts) -> HistogramCounts {
        let mut rest = *self;
        for (bucket, before) in rest.buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.saturating_sub(before);
        }
        rest.sum_ns = rest.sum_ns.wrapping_sub(earlier.sum_ns);
        rest
    }

    /// Between which two spans the quantile `thousandths` lies (500 is the median, 990 the 99th percentile):
    /// of that many thousandths of all spans, rounded up, none is longer than the second, and the longest is
    /// longer than the first. `None` if nothing was counted; the second is `None` beyond the last bound.
    #[must_use]
    pub fn bounds_of(&self, thousandths: u32) -> Option<(Duration, Option<Duration>)> {
        let (place, _) = self.find(thousandths)?;
        let below = place.checked_sub(1).map_or(Duration::ZERO, bound);
        Some((below, (place < BOUNDED).then(|| bound(place))))
    }

    /// The quantile `thousandths`, as far as it is known: between its [bounds](HistogramCounts::bounds_of) it is taken
    /// for granted that the spans are spread evenly, and beyond the last bound it is that bound. `None` if
    /// nothing was counted.
    #[must_use]
    pub fn quantile(&self, thousandths: u32) -> Option<Duration> {
        let (place, rank) = self.find(thousandths)?;
        let (below, above) = self.bounds_of(thousandths)?;
        let Some(above) = above else { return Some(below) };
        let width = u128::from(u64::try_from((above - below).as_nanos()).unwrap_or(u64::MAX));
        let part = width * u128::from(rank) / u128::from(self.buckets[place].max(1));
        Some(below + Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX)))
    }

    /// The bucket of the quantile, and which of the spans in it that is, counted from 1.
    fn find(&self, thousandths: u32) -> Option<(usize, u64)> {
        let count = u128::from(self.count());
        let rank = (count * u128::from(thousandths.min(1000))).div_ceil(1000).max(1);
        let mut rank = u64::try_from(rank).unwrap_or(u64::MAX);
        for (place, bucket) in self.buckets.iter().enumerate() {
            if rank <= *bucket {
                return Some((place, rank));
            }
            rank -= bucket;
        }
        None
    }
}

/// The bounded buckets of a metric that are written. All of its series have the same, so that they can be
/// added up by their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown([bool; BOUNDED]);

/// Every so many buckets are written in any case: the series of another process, which has seen other spans,
/// can be added up with these to within that.
const ANCHORED: usize = 4;

impl Shown {
    /// The buckets in which something was counted, with one on either side for what comes next, and the
    /// anchors.
    pub(super) fn of<'a>(all: impl Iterator<Item = &'a HistogramCounts>) -> Shown {
        let mut shown = [false; BOUNDED];
        let mut is_hit = [false; BOUNDED + 1];
        for counts in all {
            is_hit.iter_mut().zip(counts.buckets).for_each(|(is_hit, bucket)| *is_hit |= bucket > 0);
        }
        for (place, shown) in shown.iter_mut().enumerate() {
            let around = place.saturating_sub(1)..=place + 1;
            *shown = place % ANCHORED == 0 || is_hit[around].contains(&true);
        }
        Shown(shown)
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.0.get(place).is_none_or(|shown| *shown)
    }
}

impl AddAssign<&HistogramCounts> for HistogramCounts {
    fn add_assign(&mut self, other: &HistogramCounts) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, bucket)| *sum += bucket);
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(spans: &[u64]) -> HistogramCounts {
        let (histogram, mut counts) = (Histogram::default(), HistogramCounts::default());
        spans.iter().for_each(|nanos| histogram.note(Duration::from_nanos(*nanos)));
        histogram.add_to(&mut counts);
        counts
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        for place in 0..BOUNDED {
            let nanos = u64::try_from(bound(place).as_nanos()).unwrap();
            assert_eq!((place_of(nanos), place_of(nanos + 1)), (place, place + 1));
        }
        assert_eq!((place_of(0), place_of(1), place_of(u64::MAX)), (0, 0, BOUNDED));
        assert_eq!(bound(BOUNDED - 1), Duration::from_micros(52_428_800));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(
            (HistogramCounts::default().quantile(500), HistogramCounts::default().mean()),
            (None, None)
        );
    }

    #[test]
    fn what_is_beyond_the_last_bound_is_told_as_that() {
        let counts = counted(&[3_600_000_000_000]);
        assert_eq!(counts.bounds_of(500), Some((bound(BOUNDED - 1), None)));
        assert_eq!(counts.quantile(990), Some(bound(BOUNDED - 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

        /// The true quantile, found by sorting, lies between the bounds, and so does the one that is told.
        #[test]
        fn quantiles_bound_the_truth(
            mut spans in prop::collection::vec(prop_oneof![0_u64..1_000_000, 0_u64..100_000_000_000], 1..200),
            thousandths in 0_u32..=1000,
        ) {
            let counts = counted(&spans);
            spans.sort_unstable();
            let rank = (spans.len() * thousandths as usize).div_ceil(1000).max(1);
            let truth = Duration::from_nanos(spans[rank - 1]);
            let (below, above) = counts.bounds_of(thousandths).unwrap();
            let told = counts.quantile(thousandths).unwrap();
            prop_assert!(below < truth || (below, truth) == (Duration::ZERO, Duration::ZERO));
            prop_assert!(above.is_none_or(|above| truth <= above && told <= above));
            prop_assert!(below <= told);
            prop_assert_eq!(counts.count(), spans.len() as u64);
            prop_assert_eq!(counts.sum_ns, spans.iter().sum::<u64>());
        }

        /// The counts of a span of time are the counts at its end without those at its beginning.
        #[test]
        fn differences_are_what_came_meanwhile(
            first in prop::collection::vec(0_u64..10_000_000, 0..50),
            second in prop::collection::vec(0_u64..10_000_000, 0..50),
        ) {
            let mut both = counted(&first);
            both += &counted(&second);
            prop_assert_eq!(both.since(&counted(&first)), counted(&second));
        }
    }
}
