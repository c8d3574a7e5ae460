//! [`FramingFields`] against a model of RFC 9112 §6.3 without any of its tolerated exceptions.
//!
//! The input is a list of field lines. Its first byte chooses the version, the status and the method that
//! were asked for.

use pollux::http::framing::{Framing, FramingFields};
use pollux::message::{Name, Version};

use crate::wire::trimmed;

/// Statuses with and without a body of their own.
const STATUSES: [u16; 8] = [100, 101, 200, 204, 205, 304, 404, 599];

/// See the module.
pub fn check(data: &[u8]) {
    let Some((&choice, lines)) = data.split_first() else { return };
    let version = if choice & 1 == 0 { Version::Http11 } else { Version::Http10 };
    let is_to_head = choice & 2 != 0;
    let status = STATUSES[usize::from(choice >> 2) % STATUSES.len()];

    let (mut fields, mut lengths, mut codings) = (FramingFields::default(), Vec::new(), Vec::new());
    for line in lines.split(|&byte| byte == b'\n') {
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        fields.take(Name::of(name), value);
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings.push(value);
        }
    }
    let said = model(&lengths, &codings, version);
    let request = said.map(|framing| framing.unwrap_or(Framing::Empty));
    assert_eq!(fields.request(version).ok(), request, "the framing of a request");
    let response = said.map(|framing| match framing {
        _ if is_to_head || status < 200 || status == 204 || status == 304 => Framing::Empty,
        None => Framing::UntilEof,
        Some(framing) => framing,
    });
    assert_eq!(fields.response(version, status, is_to_head).ok(), response, "the framing of a response");
}

/// The framing of the fields: refused (`None`), nothing (`Some(None)`), or a framing.
fn model(lengths: &[&[u8]], codings: &[&[u8]], version: Version) -> Option<Option<Framing>> {
    match (lengths, codings) {
        ([], []) => Some(None),
        ([length], []) => {
            let digits = trimmed(length);
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            // Signed, for the greatest length is 2^63 - 1; the sign itself is no digit.
            let number: i64 = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
            let number = number as u64;
            Some(Some(if number == 0 { Framing::Empty } else { Framing::Length(number) }))
        }
        ([], [coding]) => {
            let is_chunked = trimmed(coding).eq_ignore_ascii_case(b"chunked") && version == Version::Http11;
            is_chunked.then_some(Some(Framing::Chunked))
        }
        _ => None,
    }
}
