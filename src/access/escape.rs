//! Escaping of values, so that no part of a value can be taken for syntax.

use std::io::Write;
use std::time::Duration;

/// Appends `bytes` as a JSON string with its quotes (RFC 8259 §7). A byte that is not UTF-8 becomes U+FFFD.
pub(super) fn push_json(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        let mut plain = 0;
        let text = chunk.valid();
        for (at, c) in text.char_indices().filter(|(_, c)| needs_escape(*c)) {
            out.extend_from_slice(&text.as_bytes()[plain..at]);
            plain = at + c.len_utf8();
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                // All of them are in the first plane.
                c => drop(write!(out, "\\u{:04x}", u32::from(c))),
            }
        }
        out.extend_from_slice(&text.as_bytes()[plain..]);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

/// The characters that JSON must escape, and those that some readers take for the end of a line or of a page.
fn needs_escape(c: char) -> bool {
    matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}') || c.is_control()
}

/// Appends `bytes` as they can stand between double quotes in a line of text: quotes and backslashes with a
/// backslash before them, all that is not visible ASCII or a blank as `\xHH`.
pub(super) fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => out.push(*byte),
            byte => drop(write!(out, "\\x{byte:02x}")),
        }
    }
}

/// Appends `bytes` bare if they are one word of plain characters, else between quotes.
pub(super) fn push_word(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_plain = |byte: &u8| (b'!'..=b'~').contains(byte) && !matches!(byte, b'"' | b'\\');
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        out.extend_from_slice(bytes);
    } else {
        out.push(b'"');
        push_quoted(out, bytes);
        out.push(b'"');
    }
}

/// Appends milliseconds, to the microsecond, without zeros at the end.
pub(super) fn push_milliseconds(out: &mut Vec<u8>, span: Duration) {
    let micros = (span.as_nanos() + 500) / 1000;
    crate::syntax::grammar::push_decimal(out, u64::try_from(micros / 1000).unwrap_or(u64::MAX));
    let mut rest = micros % 1000;
    let mut unit = 100;
    if rest > 0 {
        out.push(b'.');
    }
    while rest > 0 {
        out.push(b'0' + (rest / unit) as u8);
        rest %= unit;
        unit = (unit / 10).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn milliseconds_have_no_zeros_behind() {
        for (nanos, text) in [
            (0, "0"),
            (499, "0"),
            (500, "0.001"),
            (70_000, "0.07"),
            (999_999, "1"),
            (1_000_000, "1"),
            (12_345_678, "12.346"),
            (3_600_000_000_000, "3600000"),
            (1_010_000, "1.01"),
        ] {
            assert_eq!(written(|out| push_milliseconds(out, Duration::from_nanos(nanos))), text);
        }
    }

    #[test]
    fn words_are_bare_only_if_they_are_plain() {
        for (bytes, text) in [
            (&b"/a?b=c"[..], "/a?b=c"),
            (b"", "\"\""),
            (b"a b", "\"a b\""),
            (b"a\"b\\", "\"a\\\"b\\\\\""),
            (b"a\n\xff", "\"a\\x0a\\xff\""),
        ] {
            assert_eq!(written(|out| push_word(out, bytes)), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn json_is_read_back_by_another(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let text = written(|out| push_json(out, &bytes));
            let read: String = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes).into_owned());
            let breaks = |c: char| c.is_control() || c == '\u{2028}';
            prop_assert!(!text.chars().any(breaks));
        }

        #[test]
        fn any_text_is_read_back(text in "\\PC*|[\\x00-\\x1f\"\\\\\u{2028}é\u{10ffff}]*") {
            let read: String = serde_json::from_str(&written(|out| push_json(out, text.as_bytes()))).unwrap();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn nothing_leaves_its_quotes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let text = written(|out| push_quoted(out, &bytes));
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            // Every quote has an odd number of backslashes before it.
            let mut is_escaped = false;
            for byte in text.bytes() {
                prop_assert!(byte != b'"' || is_escaped);
                is_escaped = byte == b'\\' && !is_escaped;
            }
            prop_assert!(!is_escaped);
        }
    }
}
