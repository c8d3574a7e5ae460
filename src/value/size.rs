//! Sizes, as people write them.

use super::ValueError;
use super::quote::quote;

const EXPECTED: &str = "expected a size such as \"64KiB\"";

/// The units, in bytes. Upper and lower case are the same; a bare `K` is not among them, for it means two
/// things.
const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("kb", 1000),
    ("kib", 1 << 10),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
];

/// A number of bytes such as `4096`, `64KiB`, `10MB` or `1GiB`.
///
/// # Errors
///
/// When the text is not a whole number with one of these units, or does not fit 64 bits.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let fail = |message: String, help: &str| Err(ValueError::new(message, EXPECTED, help));
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    if number.is_empty() || unit.starts_with(['.', ',']) {
        return fail(
            format!("{} is not a size", quote(text)),
            "write a whole number of bytes, or one with a unit, such as `64KiB`",
        );
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)) else {
        return fail(
            format!("{} is not a unit of size", quote(unit)),
            "the units are `KiB`, `MiB`, `GiB` (1024 each) and `kB`, `MB`, `GB` (1000 each)",
        );
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)) {
        Some(bytes) => Ok(bytes),
        None => fail(format!("{} does not fit 64 bits", quote(text)), "write a smaller size"),
    }
}

/// A bound on a body: `none` for no bound, otherwise a size as in [`parse_size`].
///
/// # Errors
///
/// As [`parse_size`].
pub fn parse_body(text: &str) -> Result<Option<u64>, ValueError> {
    if text == "none" { Ok(None) } else { parse_size(text).map(Some) }
}

/// `bytes` in the largest binary unit that leaves no rest.
pub(crate) fn show_size(bytes: u64) -> String {
    let unit = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match unit.into_iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_multiply() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("32KiB", 32768),
            ("32 kib", 32768),
            ("10MB", 10_000_000),
            ("1MiB", 1 << 20),
            ("1GiB", 1 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_body("none"), Ok(None));
        assert_eq!(parse_body("1kB"), Ok(Some(1000)));
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("", "`` is not a size"),
            ("-1", "`-1` is not a size"),
            ("1.5MiB", "`1.5MiB` is not a size"),
            ("big", "`big` is not a size"),
            ("32K", "`K` is not a unit of size"),
            ("18446744073709551616", "`18446744073709551616` does not fit 64 bits"),
            ("99999999999GiB", "`99999999999GiB` does not fit 64 bits"),
        ] {
            assert_eq!(parse_size(text).unwrap_err().message(), message, "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_in_its_largest_whole_unit() {
        assert_eq!([0, 1000, 1024, 65536, 1 << 20].map(show_size), ["0", "1000", "1KiB", "64KiB", "1MiB"]);
    }
}
