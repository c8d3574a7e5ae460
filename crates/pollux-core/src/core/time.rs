//! A point on the clock of an `Os`, and the arithmetic that timers need.
//!
//! The pure rooms never read a clock: they are handed a [`Time`]. It counts nanoseconds from an epoch that
//! the `Os` chooses (the start of the process, or zero in the simulator), so it is good for differences only.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds since the epoch of the clock; monotonic. 2^64 ns are 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The epoch itself.
    pub const ZERO: Time = Time(0);

    /// The point that lies `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates at the end of time rather than wrap, so that a timeout of `u64::MAX` seconds means "never".
    fn add(self, span: Duration) -> Time {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;

    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

/// A span in words that are good enough: `3.2s`, `42s`, `4m 2s`, `3h 7m`, `12d 3h`.
#[must_use]
pub fn show_span(span_ms: u64) -> String {
    let s = span_ms / 1000;
    match s {
        0..10 => format!("{s}.{}s", span_ms % 1000 / 100),
        10..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s % 3600 / 60),
        86_400.. => format!("{}d {}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_saturates_and_a_difference_is_never_negative() {
        let late = Time::from_nanos(u64::MAX) + Duration::from_secs(1);
        assert_eq!(late.as_nanos(), u64::MAX);
        assert_eq!(Time::ZERO.since(late), Duration::ZERO);
        assert_eq!(late - Time::from_nanos(u64::MAX - 5), Duration::from_nanos(5));
    }
}
