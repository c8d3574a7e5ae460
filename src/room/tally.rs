//! How many sessions have made room, and when that is told in the log: at once, and then once in a while.

use std::time::Duration;

use super::Ground;
use crate::core::time::Time;

/// How long the log is silent after a line.
const SILENCE: Duration = Duration::from_secs(10);

/// By ground.
pub(super) type Counts = [u64; Ground::ALL.len()];

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    counts: Counts,
    told: Counts,
    told_at: Option<Time>,
}

impl Tally {
    /// Counts one.
    pub fn note(&mut self, ground: Ground) {
        self.counts[ground as usize] += 1;
    }

    /// How many there were since the beginning.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When the next line is due; `None` if there is nothing to tell.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        (self.counts != self.told).then(|| self.told_at.map_or(Time::ZERO, |at| at + SILENCE))
    }

    /// What is to be told, if a line is due: how many there were since the last one.
    pub fn tell(&mut self, now: Time) -> Option<Counts> {
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

    #[test]
    fn a_line_at_once_and_then_one_in_ten_seconds() {
        let (mut tally, second) = (Tally::default(), Duration::from_secs(1));
        assert_eq!((tally.due(), tally.tell(Time::ZERO)), (None, None));
        tally.note(Ground::Resting);
        let now = Time::ZERO + second;
        assert_eq!(tally.tell(now), Some([0, 1, 0, 0, 0]));
        tally.note(Ground::Unfinished);
        tally.note(Ground::Resting);
        assert_eq!((tally.due(), tally.tell(now + 9 * second)), (Some(now + SILENCE), None));
        assert_eq!(tally.tell(now + 10 * second), Some([0, 1, 0, 1, 0]));
        assert_eq!((tally.due(), tally.counts()), (None, [0, 2, 0, 1, 0]));
    }
}
