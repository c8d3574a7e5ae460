//! Whether a client that is waited for gives or takes its bytes too slowly.

use std::time::Duration;

/// Bytes a second, on average since its part of the exchange began. Kestrel holds bodies and readers to as
/// many.
const RATE_MIN: u128 = 240;

/// The time for which it is not looked at. TCP needs some round trips for its first bytes on a bad line.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Whether `bytes` in that time are too few, where the client has to make room.
#[must_use]
pub fn is_slow(bytes: u64, time: Duration) -> bool {
    time >= GRACE && u128::from(bytes) * 1000 < RATE_MIN * time.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_few_bytes_in_five_seconds_or_more_are_slow() {
        for (bytes, millis, expected) in [
            (0, 4999, false),
            (0, 5000, true),
            (1199, 5000, true),
            (1200, 5000, false),
            (1200, 5010, true),
            // A few bytes every few seconds.
            (40, 40_000, true),
            (1_000_000, 3_600_000, false),
            (u64::MAX, u64::MAX, false),
        ] {
            assert_eq!(is_slow(bytes, Duration::from_millis(millis)), expected, "{bytes} in {millis} ms");
        }
    }

    proptest! {
        /// More bytes never make a client slow, and more time never makes a slow one good.
        #[test]
        fn it_is_monotonic(bytes in 0_u64..10_000_000, millis in 0_u64..100_000, more in 0_u64..100_000) {
            let slow = |bytes, millis| is_slow(bytes, Duration::from_millis(millis));
            prop_assert!(slow(bytes, millis) || !slow(bytes + more, millis));
            prop_assert!(!slow(bytes, millis) || slow(bytes, millis + more));
        }
    }
}
