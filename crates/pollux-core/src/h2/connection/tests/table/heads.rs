//! RFC 9113 §8.2, §8.3; RFC 8441 §4: bytes of names and values, pseudo-fields, statuses.

use super::Expect::Stream;
use super::{Case, GET, event, hold, literals, raw};
use crate::h2::connection::Role::{Client, Server};

const PROTOCOL: u32 = 1;

type Field<'a> = (&'a [u8], &'a [u8]);

fn request(name: String, rule: &'static str, fields: &[Field<'_>], is_good: bool) -> Case {
    let expect = if is_good { event("Q1.") } else { Stream(1, PROTOCOL) };
    Case { rule, name, role: Server, before: "S", input: raw(1, 5, 1, &literals(fields)), expect }
}

/// The bytes of a token without capitals: §8.2.1 takes the names of RFC 9110 §5.1, in lower case.
fn is_name_byte(byte: u8) -> bool {
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz".contains(&byte)
}

/// RFC 9110 §5.5: visible characters, obs-text, and blanks within. §8.2.1 forbids NUL, LF, CR, and blanks at the ends.
fn is_value_byte(byte: u8, is_within: bool) -> bool {
    matches!(byte, 0x21..=0x7e | 0x80..) || (is_within && matches!(byte, b' ' | b'\t'))
}

/// Each byte in a name, and in a value at its ends and within.
pub(super) fn bytes_of_names_and_values() -> Vec<Case> {
    let mut cases = Vec::new();
    for byte in 0..=u8::MAX {
        let with = |name: &[u8], value: &[u8]| {
            [&GET[..], &[(name, value)]]
                .concat()
                .iter()
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect::<Vec<_>>()
        };
        for (place, name, value, is_good) in [
            ("in a name", vec![b'a', byte, b'b'], b"v".to_vec(), is_name_byte(byte)),
            ("within a value", b"n".to_vec(), vec![b'a', byte, b'b'], is_value_byte(byte, true)),
            ("before a value", b"n".to_vec(), vec![byte, b'b'], is_value_byte(byte, false)),
            ("behind a value", b"n".to_vec(), vec![b'a', byte], is_value_byte(byte, false)),
        ] {
            let fields = with(&name, &value);
            let fields: Vec<Field<'_>> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            cases.push(request(format!("{byte:#04x} {place}"), "§8.2.1", &fields, is_good));
        }
    }
    cases
}

/// Each set of the five pseudo-fields with each kind of method; each order; each of them twice, empty, and behind a field.
pub(super) fn pseudo_fields() -> Vec<Case> {
    const REST: [Field<'_>; 4] =
        [(b":scheme", b"https"), (b":path", b"/"), (b":authority", b"h:1"), (b":protocol", b"websocket")];
    let mut cases = Vec::new();
    for method in [None, Some("GET"), Some("OPTIONS"), Some("CONNECT"), Some("get")] {
        for set in 0..16_usize {
            let mut fields: Vec<Field<'_>> =
                method.iter().map(|it| (&b":method"[..], it.as_bytes())).collect();
            fields.extend((0..4).filter(|place| set & 1 << place != 0).map(|place| REST[place]));
            // :scheme, :path and :authority for all but CONNECT, which has :authority alone; :protocol is not offered here (RFC 8441 §3).
            let is_good = match method {
                None => false,
                Some("CONNECT") => set == 0b0100,
                Some(_) => set == 0b0111,
            };
            cases.push(request(format!("{method:?} with set {set:#06b}"), "§8.3.1, §8.5", &fields, is_good));
        }
    }
    for turn in 0..4 {
        for swap in 0..4 {
            let mut fields = GET;
            fields.rotate_left(turn);
            fields.swap(0, swap);
            if swap > 0 || turn == 0 {
                cases.push(request(format!("turned by {turn}, 0 for {swap}"), "§8.3", &fields, true));
            }
            let mut late = fields.to_vec();
            late.insert(swap, (b"x", b"y"));
            cases.push(request(format!("turned by {turn}, a field at {swap}"), "§8.3", &late, false));
        }
        let (name, value) = GET[turn];
        let twice = [&GET[..], &[(name, value)]].concat();
        cases.push(request(format!("{} twice", String::from_utf8_lossy(name)), "§8.3", &twice, false));
        let mut empty = GET;
        empty[turn].1 = b"";
        cases.push(request(format!("{} empty", String::from_utf8_lossy(name)), "§8.3.1", &empty, false));
    }
    for (name, value, is_good) in [
        (&b"connection"[..], &b"close"[..], false),
        (b"connection", b"x", false),
        (b"proxy-connection", b"keep-alive", false),
        (b"keep-alive", b"timeout=5", false),
        (b"transfer-encoding", b"chunked", false),
        (b"transfer-encoding", b"identity", false),
        (b"upgrade", b"websocket", false),
        (b"te", b"trailers", true),
        (b"te", b"gzip", false),
        (b"te", b"trailers, gzip", false),
        (b"te", b"", false),
        (b"host", b"h", true),
        (b"host", b"H", true),
        (b"host", b"other", false),
        (b"host", b"h:80", false),
        (b"content-length", b"0", true),
        (b"content-length", b"1", false),
        (b"content-length", b"-1", false),
        (b"content-length", b"0x0", false),
        (b"content-length", b"0, 0", false),
        (b"content-length", b"", false),
        (b":status", b"200", false),
        (b":x", b"y", false),
        (b":", b"y", false),
        (b"", b"y", false),
        (b"x", b"", true),
        (b"cookie", b"a=1", true),
        (b"priority", b"u=9", true),
        (b"http2-settings", b"AAMAAABk", true),
    ] {
        let fields = [&GET[..], &[(name, value)]].concat();
        let name = format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        cases.push(request(name, "§8.2.2, §8.3.1", &fields, is_good));
    }
    cases
}

/// The statuses that a backend may answer (§8.3.2, §8.6): three digits, and no 101.
pub(super) fn statuses() -> Vec<Case> {
    let mut cases = Vec::new();
    let numbers = (95..110)
        .chain([199, 200, 201, 204, 205, 206, 299, 300, 304, 399, 400, 404, 431, 499, 500, 503, 599]);
    let bad =
        ["", "2", "20", "0200", "2000", "2 0", "+20", "-20", "0x2", "2.0", "٢٠٠", "000", "099", "600", "999"];
    let texts = numbers.map(|number| number.to_string()).chain(bad.map(str::to_owned));
    for text in texts {
        for ends in [false, true] {
            let number =
                text.parse::<u32>().ok().filter(|number| text.len() == 3 && (100..600).contains(number));
            let number = number
                .filter(|number| *number != 101 && text.starts_with(|first: char| first.is_ascii_digit()));
            let expect = match number {
                None => Stream(1, PROTOCOL),
                // An interim answer does not end its stream (§8.1).
                Some(..200) if ends => Stream(1, PROTOCOL),
                Some(number @ (204 | 304)) => event(&format!("A1:{number}.")),
                Some(number) => event(&format!("A1:{number}{}", if ends { "." } else { "" })),
            };
            let input = raw(1, 4 + u8::from(ends), 1, &literals(&[(b":status", text.as_bytes())]));
            let (rule, name) = ("§8.3.2", format!("status {text:?}, ends: {ends}"));
            cases.push(Case { rule, name, role: Client, before: "S <O", input, expect });
        }
    }
    cases
}

#[test]
fn names_and_values() {
    hold(&bytes_of_names_and_values());
}

#[test]
fn pseudo_fields_and_statuses() {
    hold(&pseudo_fields());
    hold(&statuses());
}
