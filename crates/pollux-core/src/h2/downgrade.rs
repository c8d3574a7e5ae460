//! The part of a request by HTTP/2 that goes to an HTTP/1.1 backend, as text.
//!
//! [`head::request`](super::head::request) has judged it: no byte of a method, path, authority, name or value can end its line. So one head
//! becomes one head. The fields of its framing are not here: the sender of the body knows it, and writes them.

use super::fields::{Fields, HeaderField};
use super::head::{RequestHead, join_cookies};
use crate::message::Name;

/// The fields that pass as they are. Host follows from the authority, Content-Length from the framing, and cookies are joined; TE belongs
/// to the connection.
pub fn passing(fields: &Fields) -> impl Iterator<Item = HeaderField<'_>> {
    fields.iter().filter(|field| {
        let is_rewritten =
            matches!(field.name, b"host" | b"content-length" | b"cookie" | b"te" | b"http2-settings");
        !field.name.starts_with(b":") && !is_rewritten
    })
}

/// The trailers that may pass to an HTTP/1.1 backend (RFC 9110 §6.5.1).
pub fn passing_trailers(fields: &Fields) -> impl Iterator<Item = HeaderField<'_>> {
    fields.iter().filter(|field| Name::may_trail(field.name))
}

/// Appends the request line and the field lines, without the empty line that ends a head. An extended CONNECT has no such form: it
/// becomes an Upgrade, which its sender writes.
pub fn write(head: &RequestHead<'_>, fields: &Fields, out: &mut Vec<u8>) {
    let target = if head.path.is_empty() { head.authority } else { head.path };
    for part in [head.method, " ", target, " HTTP/1.1\r\nhost: ", head.authority, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for HeaderField { name, value, .. } in passing(fields) {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    let start = out.len();
    out.extend_from_slice(b"cookie: ");
    if join_cookies(fields, out) {
        out.extend_from_slice(b"\r\n");
    } else {
        out.truncate(start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::h2::head;

    fn fields(list: &[(Vec<u8>, Vec<u8>)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in list {
            let start = fields.arena().len();
            fields.arena().extend_from_slice(name);
            fields.arena().extend_from_slice(value);
            fields.keep(start, name.len(), false);
        }
        fields
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    fn text(list: &[(&str, &str)]) -> String {
        let fields = fields(&pairs(list));
        let mut out = Vec::new();
        write(&head::request(&fields).expect("a head"), &fields, &mut out);
        String::from_utf8(out).expect("text")
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "h.example")];

    #[test]
    fn what_passes_and_what_is_rewritten() {
        let with = |more: &[(&str, &str)]| text(&[&GET[..], more].concat());
        let begin = "GET /a?b HTTP/1.1\r\nhost: h.example\r\n";
        for (more, behind) in [
            (&[][..], ""),
            (&[("accept", "*/*"), ("accept", "x")], "accept: */*\r\naccept: x\r\n"),
            (&[("host", "H.example")], ""),
            (&[("te", "trailers")], ""),
            (&[("content-length", "0")], ""),
            (&[("http2-settings", "AAMAAABk")], ""),
            (&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")], "x: y\r\ncookie: a=1; b=2\r\n"),
            (&[("x", "")], "x: \r\n"),
            (&[("x", "a: b, c")], "x: a: b, c\r\n"),
        ] {
            assert_eq!(with(more), format!("{begin}{behind}"));
        }
        let tunnel = [(":method", "CONNECT"), (":authority", "h:443")];
        assert_eq!(text(&tunnel), "CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\n");
        let all = [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), ("host", "h")];
        assert_eq!(text(&all), "OPTIONS * HTTP/1.1\r\nhost: h\r\n");
    }

    #[test]
    fn trailers_that_could_be_taken_for_something_else_do_not_pass() {
        let list = pairs(&[
            ("grpc-status", "0"),
            ("content-length", "5"),
            ("host", "x"),
            ("authorization", "x"),
            ("x-forwarded-for", "x"),
            ("x-sum", "1"),
        ]);
        let fields = fields(&list);
        let names: Vec<_> = passing_trailers(&fields).map(|field| field.name).collect();
        assert_eq!(names, [&b"grpc-status"[..], b"x-sum"]);
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "[ -~]{0,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..8),
            prop::sample::select(vec![
                "/",
                "/a",
                "*",
                "h",
                "h:80",
                "a\r\nb: c",
                "GET",
                "http",
                "trailers",
                "5",
                "x y",
                "\n",
                "\0",
                "/ HTTP/1.1",
            ])
            .prop_map(|known| known.as_bytes().to_vec()),
        ]
    }

    fn names() -> impl Strategy<Value = Vec<u8>> {
        let known = vec![
            ":method",
            ":scheme",
            ":path",
            ":authority",
            ":protocol",
            "host",
            "te",
            "cookie",
            "content-length",
            "transfer-encoding",
            "connection",
            "x",
            "a-b",
        ];
        prop_oneof![prop::sample::select(known).prop_map(|known| known.as_bytes().to_vec()), bytes()]
    }

    proptest! {
        /// Every list of fields that passes the judge is one head of HTTP/1.1, with just the fields that
        /// pass, as another parser reads it.
        #[test]
        fn one_head_becomes_one_head(
            pseudo in (bytes(), bytes(), bytes(), bytes()),
            is_plain in any::<[bool; 4]>(),
            more in prop::collection::vec((names(), bytes()), 0..6),
        ) {
            let (method, scheme, path, authority) = pseudo;
            let mut list = pairs(&GET);
            for (at, value) in [method, scheme, path, authority].into_iter().enumerate() {
                if !is_plain[at] {
                    list[at].1 = value;
                }
            }
            list.extend(more);
            let fields = fields(&list);
            if let Ok(request) = head::request(&fields) {
                let mut out = Vec::new();
                write(&request, &fields, &mut out);
                out.extend_from_slice(b"\r\n");
                let mut table = [httparse::EMPTY_HEADER; 32];
                let mut parsed = httparse::Request::new(&mut table);
                prop_assert_eq!(parsed.parse(&out), Ok(httparse::Status::Complete(out.len())));
                prop_assert_eq!(parsed.method, Some(request.method));
                let expected: Vec<_> = passing(&fields).map(|field| (field.name, field.value)).collect();
                let cookies = usize::from(fields.iter().any(|field| field.name == b"cookie"));
                prop_assert_eq!(parsed.headers.len(), 1 + expected.len() + cookies);
                prop_assert_eq!(parsed.headers[0].value, request.authority.as_bytes());
                for (header, (name, value)) in parsed.headers[1..].iter().zip(expected) {
                    prop_assert_eq!((header.name.as_bytes(), header.value), (name, value));
                }
            }
        }
    }
}
