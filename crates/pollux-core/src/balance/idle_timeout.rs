//! An estimate of the idle timeout of a backend. An idle connection is reused only while it is younger than
//! that.
//!
//! A request on a connection that the backend is just closing is lost on the way. A backend that says how
//! long it waits (`Keep-Alive: timeout=`) is believed. From the others it is learnt: two connections in a row
//! that were closed after the same time have shown its timeout, whereas a restart closes connections of any
//! age. A learnt value is forgotten after [`MEMORY`], unless it is seen again.

use std::time::Duration;

use crate::core::time::Time;

/// The time for which a learnt value holds.
const MEMORY: Duration = Duration::from_secs(600);

/// Closes sooner than this are accidents.
const LEAST: Duration = Duration::from_millis(100);

/// The estimate of a backend's idle timeout, in 64 bits, so that it can be one atomic number: in which second
/// something was seen last, after how many hundredths of a second a connection was closed last, and whether
/// that was seen twice. Zero is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleTimeoutEstimate(pub u64);

impl IdleTimeoutEstimate {
    fn hundredths(self) -> u64 {
        self.0 & 0x7fff_ffff
    }

    fn is_sure(self) -> bool {
        self.0 & 0x8000_0000 != 0
    }

    fn is_stale(self, now: Time) -> bool {
        seconds(now).wrapping_sub((self.0 >> 32) as u32) as u64 > MEMORY.as_secs()
    }

    /// After another connection was closed by the backend, which had lain idle for `age`.
    #[must_use]
    pub fn with_close(self, age: Duration, now: Time) -> IdleTimeoutEstimate {
        if age < LEAST {
            return self;
        }
        let age = u64::try_from(age.as_millis() / 10).unwrap_or(u64::MAX).min(0x7fff_ffff);
        let known = self.hundredths();
        // A timeout is kept to within a second or a tenth of it: many servers look only now and then.
        let is_alike = known > 0 && !self.is_stale(now) && known.abs_diff(age) <= (known / 10).clamp(20, 100);
        let least = if is_alike { known.min(age) } else { age };
        IdleTimeoutEstimate(u64::from(seconds(now)) << 32 | u64::from(is_alike) << 31 | least)
    }

    /// The time for which a connection may lie idle by past observations.
    #[must_use]
    pub fn learnt(self, now: Time) -> Option<Duration> {
        let is_known = self.is_sure() && !self.is_stale(now);
        is_known.then(|| safely(Duration::from_millis(10 * self.hundredths())))
    }
}

/// The time for which a connection is used again that its backend keeps for `timeout`: not in the last tenth,
/// and half a second before the end, unless that were more than half of the time.
#[must_use]
pub fn safely(timeout: Duration) -> Duration {
    let margin = (timeout / 10).max(Duration::from_millis(500)).min(timeout / 2);
    timeout - margin
}

fn seconds(time: Time) -> u32 {
    (time.as_nanos() / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_timeout_is_seen_twice() {
        let once = IdleTimeoutEstimate::default().with_close(millis(5020), at(10));
        assert_eq!(once.learnt(at(10)), None);
        let twice = once.with_close(millis(5000), at(11));
        assert_eq!(twice.learnt(at(11)), Some(millis(4500)));
        // A value that is not seen again is forgotten; then it takes two again.
        assert_eq!(twice.learnt(at(611)), Some(millis(4500)));
        assert_eq!(twice.learnt(at(612)), None);
        assert_eq!(twice.with_close(millis(5000), at(700)).learnt(at(700)), None);
    }

    #[test]
    fn a_restart_teaches_nothing() {
        let mut estimate = IdleTimeoutEstimate::default();
        for age in [12_000, 300, 7_000, 20, 31] {
            estimate = estimate.with_close(millis(age), at(1));
            assert_eq!(estimate.learnt(at(1)), None, "{age}");
        }
        assert_eq!(IdleTimeoutEstimate::default().with_close(Duration::MAX, at(1)).learnt(at(1)), None);
    }

    #[test]
    fn the_margin_is_within_bounds() {
        for (timeout, safe) in [(60_000, 54_000), (5_000, 4_500), (1_000, 500), (100, 50), (0, 0)] {
            assert_eq!(safely(millis(timeout)), millis(safe));
        }
    }
}
