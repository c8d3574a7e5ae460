//! A latency that rises at once and falls slowly: a moving average that takes every peak as it comes.
//!
//! It also falls while nothing is measured, by half in [`HALF_LIFE`]: a backend that was slow once is
//! avoided, and for that very reason nothing is learnt about it. One day it looks cheap enough to be asked
//! again. Until that request is answered it counts with what it has shown last: one request finds out, and
//! the others do not run after it.

use std::time::Duration;

use crate::core::time::Time;

/// In so much time a latency that is not confirmed falls by half.
const HALF_LIFE: Duration = Duration::from_secs(5);

/// Within so much time at least an answer is awaited.
const LEAST_ANSWER_MS: u64 = 100;

/// A step of the latency, in nanoseconds: 2^32 of them are 274 s.
const STEP: u64 = 64;

/// A latency and when it was measured, in 64 bits, so that it can be one atomic number. Zero is nothing
/// measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak(pub u64);

impl Peak {
    fn steps(self) -> u64 {
        self.0 >> 32
    }

    /// Milliseconds since it was measured.
    fn age_ms(self, now: Time) -> u32 {
        stamp(now).wrapping_sub(self.0 as u32)
    }

    /// The latency as of `now`, in nanoseconds; `None` if nothing was ever measured.
    #[must_use]
    pub fn nanos(self, now: Time) -> Option<u64> {
        (self.0 != 0).then(|| fallen(self.steps(), self.age_ms(now)) * STEP)
    }

    /// The value of a backend that has something in flight and was `asked` last at that [stamp](stamp):
    /// what it has shown, unless it could have answered since, and what is in flight goes on for long.
    #[must_use]
    pub fn nanos_asked(self, asked: u32, now: Time) -> Option<u64> {
        let shown = self.steps() * STEP;
        let answer_ms = (2 * shown / 1_000_000).max(LEAST_ANSWER_MS);
        let is_awaited = u64::from(stamp(now).wrapping_sub(asked)) < answer_ms;
        if self.0 != 0 && is_awaited { Some(shown) } else { self.nanos(now) }
    }

    /// With a measurement that ends now.
    #[must_use]
    pub fn with(self, sample: Duration, now: Time) -> Peak {
        let nanos = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        // Never zero, which would be nothing measured.
        let sample = (nanos / STEP).clamp(1, u64::from(u32::MAX));
        let present = self.steps();
        let next =
            if sample >= present { sample } else { sample + fallen(present - sample, self.age_ms(now)) };
        Peak(next << 32 | u64::from(stamp(now)))
    }

    /// With an attempt that was given up after `waited`: that long it takes at least.
    #[must_use]
    pub fn at_least(self, waited: Duration, now: Time) -> Peak {
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        if self.nanos(now).is_some_and(|present| present >= nanos) { self } else { self.with(waited, now) }
    }
}

/// Milliseconds, which go once around in 49 days.
#[must_use]
pub fn stamp(time: Time) -> u32 {
    (time.as_nanos() / 1_000_000) as u32
}

/// The part of `steps` that is left after so many milliseconds: half after each half-life, and in between
/// along a line.
fn fallen(steps: u64, age_ms: u32) -> u64 {
    let half_life = HALF_LIFE.as_millis() as u64;
    let (halvings, rest) = (u64::from(age_ms) / half_life, u64::from(age_ms) % half_life);
    let whole = steps.checked_shr(halvings as u32).unwrap_or(0);
    whole - whole * rest / (2 * half_life)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * SECOND)
    }

    #[test]
    fn it_rises_at_once_and_falls_by_half() {
        assert_eq!(Peak::default().nanos(at(7)), None);
        let peak = Peak::default().with(Duration::from_millis(64), at(1));
        assert_eq!(peak.nanos(at(1)), Some(64_000_000));
        assert_eq!(peak.nanos(at(6)), Some(32_000_000));
        assert_eq!(peak.nanos(at(11)), Some(16_000_000));
        assert_eq!(peak.nanos(at(3_000_000)), Some(0));
        let risen = peak.with(Duration::from_millis(128), at(2));
        assert_eq!(risen.nanos(at(2)), Some(128_000_000));
        // A fast one after a slow one at the same moment changes nothing; half a life later, half of the
        // difference is gone.
        assert_eq!(risen.with(Duration::ZERO, at(2)).nanos(at(2)), Some(128_000_000));
        let fallen = risen.with(Duration::from_millis(64), at(7)).nanos(at(7)).unwrap();
        assert_eq!(fallen, 96_000_000);
        assert_eq!(risen.at_least(Duration::from_millis(1), at(2)), risen);
        assert_eq!(risen.at_least(Duration::from_secs(1), at(2)).nanos(at(2)), Some(SECOND / STEP * STEP));
    }

    #[test]
    fn one_request_finds_out_whether_it_is_still_slow() {
        let slow = Peak::default().with(Duration::from_millis(64), at(1));
        let later = at(101);
        assert!(slow.nanos(later).is_some_and(|nanos| nanos < 1_000_000));
        assert_eq!(slow.nanos_asked(stamp(later), later), Some(64_000_000));
        // It has not answered within twice that time: what is in flight is something else.
        let much_later = Time::from_nanos(101 * SECOND + 128_000_000);
        assert_eq!(slow.nanos_asked(stamp(later), much_later), slow.nanos(much_later));
        assert_eq!(Peak::default().nanos_asked(stamp(later), later), None);
    }

    #[test]
    fn no_time_is_too_long() {
        let peak = Peak::default().with(Duration::MAX, Time::from_nanos(u64::MAX));
        assert_eq!(peak.nanos(Time::from_nanos(u64::MAX)), Some(u64::from(u32::MAX) * STEP));
        assert!(Peak::default().with(Duration::ZERO, Time::ZERO).nanos(Time::ZERO).is_some());
    }
}
