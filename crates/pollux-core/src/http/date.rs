//! The Date field (RFC 9110 §6.6.1), written once for each second.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// An IMF-fixdate is always so long.
const LENGTH: usize = 29;

/// A point in time as an IMF-fixdate (RFC 9110 §5.6.7), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Debug)]
pub struct Date {
    second: u64,
    text: [u8; LENGTH],
}

impl Date {
    /// The date that lies `second` seconds after 1970 (UTC). What lies behind the year 9999 has no such form,
    /// and is cut.
    #[must_use]
    pub fn new(second: u64) -> Date {
        const LAST: u64 = 253_402_300_799;
        let point = UNIX_EPOCH + Duration::from_secs(second.min(LAST));
        let mut text = [b' '; LENGTH];
        // It fits.
        let _ = write!(&mut text[..], "{}", httpdate::HttpDate::from(point));
        Date { second, text }
    }

    /// Makes it the date of `second`, which costs nothing if it is that already.
    pub fn set(&mut self, second: u64) {
        if second != self.second {
            *self = Date::new(second);
        }
    }

    /// The date as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_imf_fixdates() {
        let mut date = Date::new(784_111_777);
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        date.set(784_111_778);
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(Date::new(u64::MAX).as_bytes(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
