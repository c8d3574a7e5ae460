//! Request heads of HTTP/1.1: read, and judged.
//!
//! Reading is httparse's; what it lets pass is judged here once more against RFC 9112. A head that is refused
//! never reaches a backend.

use std::mem::MaybeUninit;

use crate::core::bounds::Limits;
use crate::core::outcome::Cause;
use crate::http::framing::FramingFields;
use crate::message::{Facts, FieldLine, FieldTable, Head, RequestLine, Version, field_table};
use crate::syntax::grammar::is_token;
use crate::syntax::target::Targets;

/// Reads a complete head, as [`HeadScan`](crate::http::scan::HeadScan) has found it. Its fields are put into
/// `table`.
///
/// # Errors
/// The cause for which it is refused.
pub fn read<'a, 'h: 'a>(
    head: &'h [u8],
    table: &'a mut FieldTable<'h>,
    limits: &Limits,
) -> Result<Head<'a>, Cause> {
    let mut lines = [const { MaybeUninit::uninit() }; Limits::FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(head, &mut lines[..limits.fields]).map_err(cause_of)?;
    if status != httparse::Status::Complete(head.len()) {
        return Err(Cause::BadRequestLine);
    }
    let version = parsed.version.and_then(Version::of_minor).ok_or(Cause::BadVersion)?;
    let method = parsed.method.ok_or(Cause::BadRequestLine)?;
    let target = parsed.path.ok_or(Cause::BadRequestLine)?;
    let mut facts = Facts::default();
    let mut framing = FramingFields::default();
    table.clear();
    for line in parsed.headers.iter() {
        let field = FieldLine::new(line.name, line.value);
        facts.take(&field, limits)?;
        framing.take(field.kind, field.value);
        table.push(field);
    }
    facts.check_bounds()?;
    let framing = framing.request(version).map_err(|_| Cause::BadFraming)?;
    facts.head(RequestLine { version, method, target }, framing.into(), table)
}

fn cause_of(error: httparse::Error) -> Cause {
    match error {
        httparse::Error::TooManyHeaders => Cause::HeadTooLong,
        httparse::Error::Version => Cause::BadVersion,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Cause::BadField,
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => Cause::BadRequestLine,
    }
}

/// Whether what becomes of a complete head depends on the body behind it. Looks no further than at a few
/// bytes if it cannot.
#[must_use]
pub fn awaits_body(head: &[u8], targets: Targets, limits: &Limits) -> bool {
    let is_bodiless = [&b"GET "[..], b"HEAD "].iter().any(|method| head.starts_with(method));
    if is_bodiless || !head.windows(8).any(|field| field.eq_ignore_ascii_case(b"upgrade:")) {
        return false;
    }
    let Ok(settled) = targets.settle(head, limits.request_line) else { return false };
    read(&settled, &mut field_table(), limits).is_ok_and(|request| request.awaits_body)
}

/// The method and the target of a head that was refused, for its record and its answer; `None` if they are
/// not plain enough to be repeated.
#[must_use]
pub fn first_line(head: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(head.split(|&byte| byte == b'\r').next()?).ok()?;
    let mut parts = line.split(' ');
    let (method, target) = (parts.next()?, parts.next()?);
    let is_plain = is_token(method.as_bytes()) && target.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then_some((method, target))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::{BodyLength, Method, Name};

    fn refusal(head: &str) -> Option<Cause> {
        read(head.as_bytes(), &mut field_table(), &Limits::default()).err()
    }

    #[test]
    fn what_is_refused() {
        for (head, cause) in [
            ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", Cause::BadRequestLine),
            (" GET / HTTP/1.1\r\nHost: h\r\n\r\n", Cause::BadRequestLine),
            ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", Cause::BadRequestLine),
            ("GET /\r\nHost: h\r\n\r\n", Cause::BadRequestLine),
            ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", Cause::BadRequestLine),
            ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", Cause::BadVersion),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", Cause::BadVersion),
            ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", Cause::BadVersion),
            ("GET / http/1.1\r\nHost: h\r\n\r\n", Cause::BadVersion),
            ("PRI * HTTP/2.0\r\n\r\n", Cause::BadVersion),
            ("GET /#f HTTP/1.1\r\nHost: h\r\n\r\n", Cause::BadTarget),
            ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", Cause::BadTarget),
            ("GET / HTTP/1.1\r\n\r\n", Cause::BadHost),
            ("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", Cause::BadHost),
            ("GET / HTTP/1.1\r\nHost: \r\n\r\n", Cause::BadHost),
            ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Cause::BadHost),
            ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", Cause::BadField),
            ("GET / HTTP/1.1\r\nHost: h\r\nA\0: b\r\n\r\n", Cause::BadField),
            ("GET / HTTP/1.1\r\nHost: h\r\nA: b\0\r\n\r\n", Cause::BadField),
            ("GET / HTTP/1.1\r\nHost: h\r\nA: b\x7f\r\n\r\n", Cause::BadField),
            ("GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n", Cause::BadField),
            ("GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n", Cause::BadField),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Cause::BadFraming,
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                Cause::BadFraming,
            ),
            ("GET / HTTP/1.1\r\nHost: h\r\nExpect: more\r\n\r\n", Cause::UnknownExpectation),
            ("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: -1\r\n\r\n", Cause::BadField),
            ("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n", Cause::BadField),
            ("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", Cause::MethodRefused),
            ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", Cause::MethodRefused),
        ] {
            assert_eq!(refusal(head), Some(cause), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100));
        assert_eq!(refusal(&many), Some(Cause::HeadTooLong));
    }

    #[test]
    fn a_head_says_what_the_fields_say_together() {
        let text = "POST http://a.example:81/x?y=1 HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\n\
                    Connection: close, x-one\r\nContent-Length: 3\r\nX-Request-ID: 7\r\n\r\n";
        let mut table = field_table();
        let head = read(text.as_bytes(), &mut table, &Limits::default()).unwrap();
        assert_eq!((head.version, head.method, head.method_text), (Version::Http11, Method::Other, "POST"));
        assert_eq!(head.authority(), Some(&b"a.example:81"[..]));
        assert_eq!(head.path_and_query(), ("/x", Some("y=1")));
        assert_eq!((head.body, head.keep_alive), (BodyLength::Known(3), false));
        assert!(head.expects_continue && head.nominates && !head.wants_upgrade && !head.is_login);
        assert_eq!(head.request_id, Some(&b"7"[..]));
        let fields: Vec<_> = head.fields.iter().map(|field| field.kind).collect();
        let expected = [Name::Host, Name::Expect, Name::Connection, Name::ContentLength, Name::RequestId];
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_table_is_used_again() {
        let heads = ["GET /a HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n", "GET /b HTTP/1.1\r\nHost: b\r\n\r\n"];
        let mut table = field_table();
        for (text, count) in heads.into_iter().zip([2, 1]) {
            let head = read(text.as_bytes(), &mut table, &Limits::default()).unwrap();
            assert_eq!(head.fields.len(), count, "{text}");
        }
    }

    proptest! {
        /// A head lies in the bytes that it was read from: no name, value or target is a copy.
        #[test]
        fn a_head_is_borrowed(fields in prop::collection::vec(("[a-z]{1,8}", "[!-~]{1,8}"), 0..8)) {
            let mut text = String::from("GET /x?y HTTP/1.1\r\nHost: h\r\n");
            let lines = fields.iter().map(|(name, value)| format!("x-{name}: {value}\r\n"));
            text.extend(lines);
            text.push_str("\r\n");
            let mut table = field_table();
            let head = read(text.as_bytes(), &mut table, &Limits::default()).unwrap();
            let room = text.as_bytes().as_ptr_range();
            let is_within = |part: &[u8]| room.contains(&part.as_ptr());
            prop_assert!(is_within(head.method_text.as_bytes()) && is_within(head.target.path.as_bytes()));
            let pairs: Vec<_> = head.fields.iter().map(FieldLine::pair).collect();
            prop_assert_eq!(pairs.len(), fields.len() + 1);
            for ((name, value), (came, text)) in pairs[1..].iter().zip(&fields) {
                prop_assert!(is_within(name.as_bytes()) && is_within(value));
                prop_assert_eq!(name.strip_prefix("x-"), Some(came.as_str()));
                prop_assert_eq!(*value, text.as_bytes());
            }
        }
    }
}
