//! `[limits]`.

use std::ops::RangeInclusive;

use toml::Spanned;

use super::leaf;
use crate::config::raw::{self, Leaf};
use crate::config::report::{Diagnostic, Findings};
use crate::config::value::{parse_body, parse_size, show_size};
use crate::snapshot::Limits;

/// The bounds of `head`, in bytes.
const HEAD: RangeInclusive<usize> = 1024..=1024 * 1024;

/// The least `request_line`, in bytes: `GET / HTTP/1.1` with its line ending.
const REQUEST_LINE_MIN: usize = 16;

/// The least `field`, in bytes: room for a Host and what a browser says of itself.
const FIELD_MIN: usize = 256;

/// The greatest `buffer`, in bytes. A session holds up to two.
const BUFFER_MAX: usize = 4 * 1024 * 1024;

/// The most of anything that is counted: about as many descriptors as Linux lets a process have (`fs.nr_open`).
const COUNT_MAX: usize = 1_000_000;

pub(super) fn check(raw: &raw::Limits, findings: &mut Findings) -> Limits {
    let default = Limits::default();
    let head = size("head", &raw.head, HEAD, default.head, findings);
    let line_range = REQUEST_LINE_MIN..=*HEAD.end();
    let request_line = size("request_line", &raw.request_line, line_range, default.request_line, findings);
    let field = size("field", &raw.field, FIELD_MIN..=*HEAD.end(), default.field, findings);
    let buffer = size("buffer", &raw.buffer, *HEAD.start()..=BUFFER_MAX, default.buffer, findings);

    let head = Sized { key: "head", written: &raw.head, bytes: head };
    let request_line = Sized { key: "request_line", written: &raw.request_line, bytes: request_line };
    let buffer = Sized { key: "buffer", written: &raw.buffer, bytes: buffer };
    at_most(&request_line, &head, findings);
    at_most(&head, &buffer, findings);

    let mut count = |key, leaf: &Option<Spanned<Leaf>>, range: RangeInclusive<usize>, default| {
        let range = *range.start() as u64..=*range.end() as u64;
        let read = leaf.as_ref().and_then(|leaf| leaf::integer(key, leaf, range, findings));
        read.and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
    };
    Limits {
        fields: count("fields", &raw.fields, 1..=Limits::FIELDS_MAX, default.fields),
        sessions: count("sessions", &raw.sessions, 1..=COUNT_MAX, default.sessions),
        buffers: count("buffers", &raw.buffers, 1..=COUNT_MAX, default.buffers),
        accept_budget: count("accept_budget", &raw.accept_budget, 1..=COUNT_MAX, default.accept_budget),
        idle_per_backend: count(
            "idle_per_backend",
            &raw.idle_per_backend,
            0..=COUNT_MAX,
            default.idle_per_backend,
        ),
        body: body(&raw.body, default.body, findings),
        head: head.bytes.unwrap_or(default.head),
        request_line: request_line.bytes.unwrap_or(default.request_line),
        field: field.unwrap_or(default.field),
        buffer: buffer.bytes.unwrap_or(default.buffer),
    }
}

/// A size within `range`; `None` when there is a finding.
fn size(
    key: &str,
    leaf: &Option<Spanned<Leaf>>,
    range: RangeInclusive<usize>,
    default: usize,
    findings: &mut Findings,
) -> Option<usize> {
    let Some(leaf) = leaf else { return Some(default) };
    let bytes = bytes(key, leaf, parse_size, findings)?;
    let fits = usize::try_from(bytes).ok().filter(|bytes| range.contains(bytes));
    if fits.is_none() {
        let [min, max] = [range.start(), range.end()].map(|bound| show_size(*bound as u64));
        findings.push(leaf::out_of_range(key, leaf, &show_size(bytes), &min, &max));
    }
    fits
}

fn body(leaf: &Option<Spanned<Leaf>>, default: Option<u64>, findings: &mut Findings) -> Option<u64> {
    leaf.as_ref().and_then(|leaf| bytes("body", leaf, parse_body, findings)).unwrap_or(default)
}

/// The value of a key that takes a number of bytes, or text that `parse` reads.
fn bytes<T: From<u64>>(
    key: &str,
    leaf: &Spanned<Leaf>,
    parse: fn(&str) -> Result<T, crate::config::value::ValueError>,
    findings: &mut Findings,
) -> Option<T> {
    let found = match leaf.get_ref() {
        Leaf::Text(text) => match parse(text) {
            Ok(value) => return Some(value),
            Err(error) => leaf::refused(key, leaf, &error),
        },
        Leaf::Integer(number) => match u64::try_from(*number) {
            Ok(bytes) => return Some(T::from(bytes)),
            Err(_) => Diagnostic::new(format!("`{key}` is negative: {number}"))
                .mark(leaf.span(), "expected a size")
                .help("write a number of bytes, or text with a unit, such as `\"64KiB\"`"),
        },
        Leaf::Other(_) => leaf::wrong_type(key, leaf, "a size")
            .help("write a number of bytes, or text with a unit, such as `\"64KiB\"`"),
    };
    findings.push(found);
    None
}

/// A size together with where it was written, if it was.
struct Sized<'a> {
    key: &'static str,
    written: &'a Option<Spanned<Leaf>>,
    /// `None` when there is a finding about it already.
    bytes: Option<usize>,
}

/// `low` must not exceed `high`.
fn at_most(low: &Sized<'_>, high: &Sized<'_>, findings: &mut Findings) {
    let (Some(low_bytes), Some(high_bytes)) = (low.bytes, high.bytes) else { return };
    if low_bytes <= high_bytes {
        return;
    }
    let [low_shown, high_shown] = [low_bytes, high_bytes].map(|bytes| show_size(bytes as u64));
    let mut found = Diagnostic::new(format!("`{}` is greater than `{}`", low.key, high.key));
    for (place, shown) in [(low, &low_shown), (high, &high_shown)] {
        if let Some(leaf) = place.written {
            found = found.mark(leaf.span(), format!("`{}` is {shown}", place.key));
        }
    }
    let other = match (low.written, high.written) {
        (Some(_), None) => format!("; without a line of its own `{}` is {high_shown}", high.key),
        (None, Some(_)) => format!("; without a line of its own `{}` is {low_shown}", low.key),
        (Some(_), Some(_)) | (None, None) => String::new(),
    };
    let help = format!("raise `{}` to {low_shown} or lower `{}` to {high_shown}{other}", high.key, low.key);
    findings.push(found.help(help));
}
