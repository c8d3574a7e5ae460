//! Lengths of time as people write them: `500ms`, `2s`. Whole numbers only, one unit only.

use std::time::Duration;

/// The units from the largest to the smallest, each with its length in microseconds.
const UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Reads a length of time, or says what is expected instead.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("`{text}` is no length of time; write a whole number and a unit, such as 500ms or 2s");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(expected)?;
    number.checked_mul(*micros).map(Duration::from_micros).ok_or_else(expected)
}

/// Writes a length of time in the largest unit that it is a whole number of, so that [`parse`] reads it back.
pub(crate) fn show(span: Duration) -> String {
    let total = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let fits = UNITS.iter().find(|(_, micros)| total != 0 && total.is_multiple_of(*micros));
    match fits {
        Some((unit, micros)) => format!("{}{unit}", total / micros),
        None => "0ms".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["500ms", "2s", "3m", "1h", "7us", "1500ms", "0ms"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "5", "ms", "1.5s", "-1s", "2 s", "2d", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
