//! Times, as people write them.

use std::fmt::Write;
use std::time::Duration;

use super::ValueError;
use super::quote::quote;

const EXPECTED: &str = "expected a time such as \"2s\"";

/// The units, from the longest down, with their milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

/// A time above zero such as `2s`, `500ms` or `1h 30m`: whole numbers with a unit each, added up.
///
/// # Errors
///
/// When the text is not a time, has another unit than `ms`, `s`, `m`, `h` and `d`, or is zero, or when its
/// milliseconds do not fit into 64 bits.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let mut milliseconds = Some(0_u64);
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(not_a_time(text));
    }
    while !rest.is_empty() {
        let (digits, behind) = split_while(rest, |c| c.is_ascii_digit());
        if behind.starts_with('.') && !digits.is_empty() {
            let message = format!("{} has a fraction", quote(text));
            return Err(error(message, "write whole numbers, such as `1s 500ms` or `1500ms`"));
        }
        let (unit, behind) = split_while(behind.trim_start(), char::is_alphabetic);
        if digits.is_empty() || (unit.is_empty() && !behind.is_empty()) {
            return Err(not_a_time(text));
        }
        if unit.is_empty() && digits.bytes().any(|digit| digit != b'0') {
            let message = format!("{} has no unit", quote(text));
            return Err(error(message, &format!("write `{digits}s` or `{digits}ms`")));
        }
        // A bare zero is called zero, whatever its unit would be.
        let (_, factor) = *UNITS
            .iter()
            .find(|(name, _)| *name == unit || unit.is_empty())
            .ok_or_else(|| unknown_unit(digits, unit))?;
        let part = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        milliseconds = milliseconds.zip(part).and_then(|(sum, part)| sum.checked_add(part));
        rest = behind.trim_start();
    }
    match milliseconds {
        Some(0) => Err(error(
            String::from("the time is zero"),
            "write a time above zero; a key that is left out has its default",
        )),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => Err(error(format!("{} is too long", quote(text)), "write a time such as `2s`")),
    }
}

/// A time in the units that [`parse_duration`] takes. Parts below a millisecond are left out.
pub(crate) fn show_duration(time: Duration) -> String {
    let mut rest = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (unit, factor) in UNITS {
        if rest >= factor {
            let space = if out.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(out, "{space}{}{unit}", rest / factor);
            rest %= factor;
        }
    }
    if out.is_empty() { String::from("0s") } else { out }
}

fn split_while(text: &str, is_inside: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is_inside(c)).unwrap_or(text.len()))
}

fn error(message: String, help: &str) -> ValueError {
    ValueError::new(message, EXPECTED, help)
}

fn not_a_time(text: &str) -> ValueError {
    let help = "write numbers with a unit each, such as `2s`, `500ms` or `1h 30m`";
    error(format!("{} is not a time", quote(text)), help)
}

/// The help names the unit that is meant where there is one for it. Units that other programs take are among
/// the mistakes: in systemd and in many libraries `M` is a month.
fn unknown_unit(digits: &str, unit: &str) -> ValueError {
    let number = digits.parse::<u64>().ok();
    let days = |factor: u64| {
        let days = number.and_then(|number| number.checked_mul(factor)).unwrap_or(factor);
        format!("write `{days}d`")
    };
    let instead = match unit {
        "M" => format!("write `{digits}m` for minutes, or days for months"),
        "S" | "sec" | "secs" | "second" | "seconds" => format!("write `{digits}s`"),
        "min" | "mins" | "minute" | "minutes" => format!("write `{digits}m`"),
        "H" | "hr" | "hrs" | "hour" | "hours" => format!("write `{digits}h`"),
        "D" | "day" | "days" => format!("write `{digits}d`"),
        "w" | "W" | "week" | "weeks" => days(7),
        "month" | "months" => days(30),
        "y" | "Y" | "year" | "years" => days(365),
        "MS" | "Ms" | "msec" | "msecs" | "millis" => format!("write `{digits}ms`"),
        "us" | "µs" | "usec" | "ns" | "nsec" => String::from("the shortest time is `1ms`"),
        _ => String::new(),
    };
    let known = "the units are `ms`, `s`, `m`, `h` and `d`";
    let help = if instead.is_empty() { known.to_owned() } else { format!("{instead}; {known}") };
    error(format!("{} is not a unit of time", quote(unit)), &help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_add_up() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            (" 2 s ", 2000),
            ("1d 1h 1m 1s 1ms", 90_061_001),
            ("0h 5s", 5000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("", "`` is not a time"),
            (" ", "` ` is not a time"),
            ("soon", "`soon` is not a time"),
            ("-2s", "`-2s` is not a time"),
            ("2s,", "`2s,` is not a time"),
            ("0", "the time is zero"),
            ("0s", "the time is zero"),
            ("2", "`2` has no unit"),
            ("1 000ms", "`1 000ms` is not a time"),
            ("1.5s", "`1.5s` has a fraction"),
            ("2parsecs", "`parsecs` is not a unit of time"),
            ("99999999999999999999s", "`99999999999999999999s` is too long"),
            ("9999999999999999999s", "`9999999999999999999s` is too long"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().message(), message, "{text}");
        }
    }

    #[test]
    fn units_of_other_programs_are_refused_with_the_right_one() {
        for (text, help) in [
            ("3M", "write `3m` for minutes, or days for months"),
            ("1y", "write `365d`"),
            ("2weeks", "write `14d`"),
            ("30days", "write `30d`"),
            ("2min", "write `2m`"),
            ("10sec", "write `10s`"),
            ("10us", "the shortest time is `1ms`"),
            ("10µs", "the shortest time is `1ms`"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.message().ends_with("is not a unit of time"), "{text}: {error}");
            assert_eq!(error.help(), format!("{help}; the units are `ms`, `s`, `m`, `h` and `d`"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(milliseconds in 1_u64..) {
            let time = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&show_duration(time)), Ok(time));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-zA-Zµ .-]{0,12}") {
            let _ = parse_duration(&text);
        }
    }
}
