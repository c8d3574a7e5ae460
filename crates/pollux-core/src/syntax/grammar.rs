//! The character classes of RFC 9110 §5.5 and §5.6.2, and what is built from them.

const fn table(members: &[u8], alphanumeric: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = alphanumeric && (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut i = 0;
    while i < members.len() {
        table[members[i] as usize] = true;
        i += 1;
    }
    table
}

static TCHAR: [bool; 256] = table(b"!#$%&'*+-.^_`|~", true);

/// Whether `bytes` is a token: `1*tchar` (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TCHAR[byte as usize])
}

/// Whether `bytes` may stand as a field value: visible characters, blanks, tabs and obs-text (RFC 9110 §5.5).
#[must_use]
pub fn is_field_value(bytes: &[u8]) -> bool {
    // To the end in any case: without a way out in the middle the compiler takes many bytes at once.
    bytes.iter().fold(true, |is_good, &byte| is_good & (byte == b'\t' || (byte >= b' ' && byte != 0x7f)))
}

/// `bytes` without the optional whitespace at its ends (OWS, RFC 9110 §5.6.3).
#[must_use]
pub fn trim(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The members of a comma-separated list, without the blanks around them and without empty ones (RFC 9110
/// §5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// A byte of a field name, so that names are equal that many an application cannot tell apart: in any case,
/// and with `_` for `-` (RFC 3875 §4.1.18 has both become the same variable).
#[must_use]
pub fn alike(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// The greatest length that is passed on: many a reader keeps lengths in a signed number of 64 bits.
pub const LENGTH_MAX: u64 = i64::MAX as u64;

/// A decimal number: digits only, no sign, no blank, no overflow.
#[must_use]
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends `number` in decimal digits.
pub fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            (" 1", None),
            ("1 ", None),
            ("0x10", None),
            ("1,1", None),
            ("1_0", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn digits_come_out_as_they_went_in() {
        for number in [0, 9, 10, 65_535, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }

    #[test]
    fn lists_lose_blanks_and_empty_members() {
        let members: Vec<_> = list(b" a ,, \tb,c ,").collect();
        assert_eq!(members, [b"a", b"b", b"c"]);
    }

    #[test]
    fn tokens_have_no_separators() {
        assert!(is_token(b"X-Good_1") && is_token(b"!#$%&'*+-.^_`|~"));
        for bad in [&b""[..], b"a b", b"a:", b"(a)", b"\"a\"", b"a\x80", b"a\0", b"a/b"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
