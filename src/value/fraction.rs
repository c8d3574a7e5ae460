//! Numbers with decimals, held as whole thousandths so that they compare and print exactly.

use super::ValueError;
use super::quote::quote;

/// The thousandths of a number such as `2`, `1.25` or `0.2`.
///
/// # Errors
///
/// When it is not written so, has more than three decimals, or does not fit 64 bits.
pub(crate) fn parse_thousandths(text: &str) -> Result<u64, ValueError> {
    let fail =
        |message: String, help: &str| Err(ValueError::new(message, "expected a number such as 1.25", help));
    let text = text.trim();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) {
        return fail(format!("{} is not a number", quote(text)), "write digits, such as `1.25`");
    }
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > 3 {
        return fail(format!("{} is more exact than it can be", quote(text)), "write at most three decimals");
    }
    let decimals: u64 = format!("{decimals:0<3}").parse().unwrap_or(0);
    match whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(1000)?.checked_add(decimals)) {
        Some(thousandths) => Ok(thousandths),
        None => fail(format!("{} is too large", quote(text)), "write a smaller number"),
    }
}

/// So many thousandths as a number, without decimals that say nothing.
pub(crate) fn show_thousandths(thousandths: u64) -> String {
    let (whole, decimals) = (thousandths / 1000, format!("{:03}", thousandths % 1000));
    match decimals.trim_end_matches('0') {
        "" => whole.to_string(),
        decimals => format!("{whole}.{decimals}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_shown() {
        for (text, thousandths) in [("0", 0), ("2", 2000), ("1.25", 1250), ("0.2", 200), ("0.007", 7)] {
            assert_eq!(parse_thousandths(text), Ok(thousandths), "{text}");
            assert_eq!(show_thousandths(thousandths), text);
        }
        assert_eq!(parse_thousandths("1.2500000"), Ok(1250));
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "1.2345", "1_0", "nan", "99999999999999999999"] {
            assert!(parse_thousandths(bad).is_err(), "{bad}");
        }
    }
}
