//! The schedule of the sources: pure; the time is an argument.

use std::time::Duration;

use crate::route::hash;

/// The time after which a question is asked again after a first failure; it doubles with each more, up to its
/// interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// An answer that lives for less than this is asked for again after this: records may have a time to live of
/// 0.
const TTL_MIN: Duration = Duration::from_secs(5);

/// When a question is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    interval: Duration,
    due: Duration,
    failures: u32,
    /// The seed of the jitter.
    seed: u64,
}

impl Schedule {
    /// One that was asked at `now`, with success or without. Times count from any moment.
    #[must_use]
    pub fn new(interval: Duration, seed: u64, now: Duration, is_good: bool) -> Schedule {
        let mut schedule = Schedule { interval, due: now, failures: 0, seed };
        schedule.note(now, is_good);
        schedule
    }

    /// When it is asked next.
    #[must_use]
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Records that it was asked at `now`.
    pub fn note(&mut self, now: Duration, is_good: bool) {
        self.failures = if is_good { 0 } else { self.failures + 1 };
        let pause = match self.failures {
            0 => self.interval,
            // Longer than a day is never meant.
            failures => FIRST_RETRY.saturating_mul(1 << (failures - 1).min(16)).min(self.interval),
        };
        self.seed = hash::mix(self.seed.wrapping_add(1));
        // 90 to 110 %, so that many who were started together do not ask together for ever.
        let percent = 90 + u32::try_from(self.seed % 21).unwrap_or(10);
        self.due = now + pause.saturating_mul(percent) / 100;
    }

    /// Has it asked at `now`, if it would be later otherwise.
    pub fn hasten(&mut self, now: Duration) {
        self.due = self.due.min(now);
    }

    /// Records that what was answered at `now` lives for `ttl`: it is asked again then, if it would be later
    /// otherwise.
    pub fn note_ttl(&mut self, now: Duration, ttl: Duration) {
        self.due = self.due.min(now + ttl.max(TTL_MIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn is_about(schedule: Schedule, now: Duration, pause: Duration) -> bool {
        (now + pause * 9 / 10..=now + pause * 11 / 10).contains(&schedule.due())
    }

    #[test]
    fn it_goes_by_the_interval_and_a_little_beside_it() {
        let schedules: Vec<_> = (0..50).map(|seed| Schedule::new(30 * SEC, seed, SEC, true)).collect();
        assert!(schedules.iter().all(|schedule| is_about(*schedule, SEC, 30 * SEC)));
        assert!(schedules.iter().any(|schedule| schedule.due() != schedules[0].due()));
    }

    #[test]
    fn a_short_life_brings_the_next_question_forward_and_never_puts_it_off() {
        let mut schedule = Schedule::new(30 * SEC, 1, SEC, true);
        schedule.note_ttl(SEC, 3600 * SEC);
        assert!(is_about(schedule, SEC, 30 * SEC));
        schedule.note_ttl(SEC, 10 * SEC);
        assert_eq!(schedule.due(), 11 * SEC);
        schedule.note_ttl(SEC, Duration::ZERO);
        assert_eq!(schedule.due(), SEC + TTL_MIN);
        let mut hastened = Schedule::new(30 * SEC, 1, SEC, true);
        hastened.hasten(2 * SEC);
        assert_eq!(hastened.due(), 2 * SEC);
        hastened.hasten(3 * SEC);
        assert_eq!(hastened.due(), 2 * SEC);
        let mut eager = Schedule::new(SEC, 1, SEC, true);
        eager.note_ttl(SEC, Duration::ZERO);
        assert!(is_about(eager, SEC, SEC));
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses_up_to_the_interval() {
        let mut schedule = Schedule::new(5 * SEC, 1, SEC, false);
        for pause in [1, 2, 4, 5, 5] {
            assert!(is_about(schedule, SEC, SEC * pause), "{pause}: {schedule:?}");
            schedule.note(SEC, false);
        }
        for _ in 0..100 {
            schedule.note(SEC, false);
        }
        assert!(is_about(schedule, SEC, 5 * SEC));
        schedule.note(SEC, true);
        schedule.note(SEC, false);
        assert!(is_about(schedule, SEC, SEC));
    }
}
