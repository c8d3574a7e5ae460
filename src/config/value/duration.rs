//! Times, as people write them.

use std::time::Duration;

use super::ValueError;
use crate::config::quote::quote;

const EXPECTED: &str = "expected a time such as \"2s\"";

/// A time above zero such as `2s`, `500ms` or `1h 30m`: whole numbers with a unit each, added up.
///
/// # Errors
///
/// When the text is not a time, the time is zero, or it is beyond the range of a [`Duration`].
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    use humantime::DurationError;

    let fail = |message: String, help: String| Err(ValueError::new(message, EXPECTED, help));
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => fail(
            String::from("the time is zero"),
            String::from(
                "write a time above zero; to wait practically for ever, a long one such as `365days`",
            ),
        ),
        Ok(time) => Ok(time),
        Err(DurationError::UnknownUnit { unit, value, .. }) if unit.is_empty() => {
            fail(format!("{} has no unit", quote(text)), format!("write `{value}s` or `{value}ms`"))
        }
        Err(DurationError::UnknownUnit { unit, .. }) => fail(
            format!("{} is not a unit of time", quote(&unit)),
            String::from("the units are `ms`, `s`, `m`, `h`, `days` and `weeks`"),
        ),
        Err(DurationError::NumberOverflow) => fail(
            format!("{} is too long or too exact", quote(text)),
            String::from("write a time such as `2s`"),
        ),
        Err(DurationError::InvalidCharacter(_) | DurationError::NumberExpected(_) | DurationError::Empty) => {
            fail(
                format!("{} is not a time", quote(text)),
                String::from("write numbers with a unit each, such as `2s`, `500ms` or `1h 30m`"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("", "`` is not a time"),
            ("soon", "`soon` is not a time"),
            ("-2s", "`-2s` is not a time"),
            ("0", "the time is zero"),
            ("0s", "the time is zero"),
            ("2", "`2` has no unit"),
            ("2parsecs", "`parsecs` is not a unit of time"),
            ("99999999999999999999s", "`99999999999999999999s` is too long or too exact"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().message(), message, "{text}");
        }
    }
}
