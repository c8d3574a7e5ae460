//! The view of a request that routes match: borrowed from its head, nothing copied.

use ::core::net::IpAddr;

use super::host;
use crate::core::tls_info::{Credential, TlsInfo};
use crate::message::{FieldLine, Head};
use crate::syntax::grammar::trim;

/// A request as routes see it. In TCP mode there is the client, and of a TLS client what its ClientHello
/// says.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The client, behind the proxies that are trusted.
    pub client: IpAddr,
    /// The method, as the client wrote it.
    pub method: &'a str,
    /// The authority: of the target, or Host.
    pub authority: &'a [u8],
    /// The path as the client wrote it, without the query; `/` where it is empty.
    pub path: &'a str,
    /// The text behind the first `?`.
    pub query: Option<&'a str>,
    /// The TLS state of the client's connection, if it is encrypted.
    pub tls_info: Option<&'a TlsInfo>,
    /// The protocols that a TLS client offers, in TCP mode: each behind its length (RFC 7301 §3.1).
    pub alpn: &'a [u8],
    /// The header fields.
    pub fields: &'a [FieldLine<'a>],
}

impl<'a> RequestView<'a> {
    /// A view of a connection, of which nothing is known but its client.
    #[must_use]
    pub fn connection(client: IpAddr) -> RequestView<'a> {
        RequestView {
            client,
            method: "",
            authority: b"",
            path: "",
            query: None,
            tls_info: None,
            alpn: &[],
            fields: &[],
        }
    }

    /// A view of the request with that head. The client is behind the proxies that are trusted.
    #[must_use]
    pub fn of(head: &Head<'a>, client: IpAddr) -> RequestView<'a> {
        let (path, query) = head.path_and_query();
        RequestView {
            method: head.method_text,
            authority: head.authority().unwrap_or_default(),
            path,
            query,
            fields: head.fields,
            ..RequestView::connection(client)
        }
    }

    /// The host without its port, as the client wrote it.
    #[must_use]
    pub fn host(&self) -> &'a [u8] {
        host::without_port(self.authority)
    }

    /// The credential that the client has shown: nothing, where it has come without TLS.
    #[must_use]
    pub fn credential(&self) -> &'a Credential {
        self.tls_info.map_or(&Credential::None, |tls_info| &tls_info.client)
    }

    /// The values of the fields called `name`, in any case.
    pub(crate) fn field(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |field: &&FieldLine<'_>| field.name.eq_ignore_ascii_case(name);
        self.fields.iter().filter(is_it).map(|field| trim(field.value))
    }

    /// The values of the cookies called `name`.
    pub(crate) fn cookie(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let pairs = self.field("cookie").flat_map(|value| value.split(|&byte| byte == b';'));
        pairs.filter_map(move |pair| trim(pair).strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }

    /// The values of the query parameters called `name`, as the client wrote them; a parameter without `=` is
    /// empty.
    pub(crate) fn parameter(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.query.into_iter().flat_map(|query| query.split('&')).filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (!pair.is_empty() && decoded(key).eq(name.bytes())).then_some(value)
        })
    }
}

/// The bytes of a part of a query, decoded as forms are: `%41` is `A`, `+` is a blank. Only for comparing.
pub(crate) fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut bytes = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, rest) = bytes.split_first()?;
        bytes = rest;
        match first {
            b'+' => Some(b' '),
            b'%' => match rest.first_chunk::<2>().and_then(|digits| std::str::from_utf8(digits).ok()) {
                Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    bytes = &rest[2..];
                    u8::from_str_radix(digits, 16).ok()
                }
                Some(_) | None => Some(first),
            },
            other => Some(other),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_request_are_found() {
        let fields = [FieldLine::new("Cookie", b"a=1; b=2 ;c"), FieldLine::new("cookie", b"a=3;ab=4")];
        let view = RequestView {
            query: Some("x=1&%79=2&x=%33&z&&x+y=4"),
            fields: &fields,
            ..RequestView::connection([10, 0, 0, 1].into())
        };
        assert_eq!(view.cookie("a").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!(view.cookie("c").count(), 0);
        assert_eq!(view.parameter("x").collect::<Vec<_>>(), ["1", "%33"]);
        assert_eq!(view.parameter("y").collect::<Vec<_>>(), ["2"]);
        assert_eq!(view.parameter("z").collect::<Vec<_>>(), [""]);
        assert_eq!(view.parameter("x y").collect::<Vec<_>>(), ["4"]);
        assert_eq!(view.parameter("").count(), 0);
        assert_eq!(decoded("a%4").collect::<Vec<_>>(), b"a%4");
    }
}
