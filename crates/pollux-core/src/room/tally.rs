//! Counts of what was done at a bound, and the times at which the log says so: at once, and then once in a
//! while.

use std::time::Duration;

use crate::core::time::Time;

/// The time for which the log is silent after a line.
const SILENCE: Duration = Duration::from_secs(10);

/// See the module. There are `N` things.
#[derive(Clone, Copy, Debug)]
pub struct Tally<const N: usize> {
    counts: [u64; N],
    told: [u64; N],
    told_at: Option<Time>,
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Tally<N> {
        Tally { counts: [0; N], told: [0; N], told_at: None }
    }
}

impl<const N: usize> Tally<N> {
    /// Counts one of the thing at `place`.
    pub fn note(&mut self, place: usize) {
        self.counts[place] += 1;
    }

    /// The numbers since the beginning.
    #[must_use]
    pub fn counts(&self) -> [u64; N] {
        self.counts
    }

    /// When the next line is due; `None` if there is nothing to tell.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        (self.counts != self.told).then(|| self.told_at.map_or(Time::ZERO, |at| at + SILENCE))
    }

    /// The numbers since the last line, if a line is due.
    pub fn tell(&mut self, now: Time) -> Option<[u64; N]> {
        self.due().filter(|due| *due <= now)?;
        let mut since = self.counts;
        since.iter_mut().zip(&self.told).for_each(|(count, told)| *count -= told);
        (self.told, self.told_at) = (self.counts, Some(now));
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Ground;

    #[test]
    fn a_line_at_once_and_then_one_in_ten_seconds() {
        let (mut tally, second) = (Tally::<{ Ground::ALL.len() }>::default(), Duration::from_secs(1));
        assert_eq!((tally.due(), tally.tell(Time::ZERO)), (None, None));
        tally.note(Ground::Resting as usize);
        let now = Time::ZERO + second;
        assert_eq!(tally.tell(now), Some([0, 1, 0, 0, 0, 0]));
        tally.note(Ground::Unfinished as usize);
        tally.note(Ground::Resting as usize);
        assert_eq!((tally.due(), tally.tell(now + 9 * second)), (Some(now + SILENCE), None));
        assert_eq!(tally.tell(now + 10 * second), Some([0, 1, 0, 1, 0, 0]));
        assert_eq!((tally.due(), tally.counts()), (None, [0, 2, 0, 1, 0, 0]));
    }
}
