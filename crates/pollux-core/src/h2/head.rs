//! Decoded fields to heads: what RFC 9113 §8.2 and §8.3 ask for, and no more than an HTTP/1.1 peer behind can take.
//!
//! A field was a line of text in HTTP/1.1, so a byte that ends a line could smuggle another one. Here each name, value and pseudo-field is
//! held to its grammar before anything reads it. So a writer of HTTP/1.1 needs no luck.

use std::str::from_utf8;

use super::fields::{Fields, HeaderField};
use crate::syntax::grammar::{LENGTH_MAX, decimal, is_field_value, is_token};
use crate::syntax::target::{self, is_authority};

/// Why a message is malformed (RFC 9113 §8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// A name is no token in lower case (§8.2.1).
    Name,
    /// A value has a byte that no value may have, or blanks around it (§8.2.1).
    Value,
    /// A field of the connection, which HTTP/2 does not have, or a TE that asks for more than trailers (§8.2.2).
    ConnectionField,
    /// A pseudo-field that is not known, or not of this kind of message (§8.3).
    UnknownPseudo,
    /// A pseudo-field twice (§8.3).
    RepeatedPseudo,
    /// A pseudo-field behind a field (§8.3).
    LatePseudo,
    /// A pseudo-field is missing, or one that the method forbids is there (§8.3.1, §8.5, RFC 8441 §4).
    Pseudos,
    /// `:method` is no token.
    Method,
    /// `:scheme` is neither http nor https.
    Scheme,
    /// `:path` is no path with or without a query, nor `*` of an OPTIONS.
    Path,
    /// `:authority` or Host is no host with or without a port, or they differ (§8.3.1).
    Authority,
    /// `:status` is not three digits from 100 to 599, or 101 (§8.6).
    Status,
    /// Content-Length is no number, or there are two (RFC 9110 §8.6).
    Length,
}

impl HeadFault {
    /// The fault in words, for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HeadFault::Name => "a field name is no token in lower case",
            HeadFault::Value => "a field value has a byte that it must not have",
            HeadFault::ConnectionField => "a field that belongs to an HTTP/1.1 connection",
            HeadFault::UnknownPseudo => "an unknown pseudo-field",
            HeadFault::RepeatedPseudo => "a pseudo-field twice",
            HeadFault::LatePseudo => "a pseudo-field behind a field",
            HeadFault::Pseudos => "a pseudo-field is missing or out of place",
            HeadFault::Method => ":method is no token",
            HeadFault::Scheme => ":scheme is neither http nor https",
            HeadFault::Path => ":path is no path",
            HeadFault::Authority => ":authority and Host are no host, or differ",
            HeadFault::Status => ":status is no status",
            HeadFault::Length => "Content-Length is no number, or there are two",
        }
    }
}

/// The head of a request that may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// A token.
    pub method: &'a str,
    /// Whether `:scheme` says https.
    pub is_https: bool,
    /// From `:authority`, or from Host without one.
    pub authority: &'a str,
    /// A path with or without a query, or `*`. Empty for a CONNECT.
    pub path: &'a str,
    /// The protocol that an extended CONNECT asks for (RFC 8441).
    pub protocol: Option<&'a str>,
    /// Content-Length, in bytes.
    pub length: Option<u64>,
}

/// The head of a response that may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599, and never 101.
    pub status: u16,
    /// Content-Length, in bytes.
    pub length: Option<u64>,
}

/// The pseudo-fields of a message.
#[derive(Default)]
struct Pseudos<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
}

/// The facts in the fields that matter to the head.
#[derive(Default)]
struct Facts<'a> {
    pseudos: Pseudos<'a>,
    host: Option<&'a [u8]>,
    length: Option<u64>,
}

impl<'a> Facts<'a> {
    fn of(fields: &'a Fields) -> Result<Facts<'a>, HeadFault> {
        let mut facts = Facts::default();
        let mut is_behind = false;
        for HeaderField { name, value, .. } in fields.iter() {
            if !is_field_value(value) || has_blank_end(value) {
                return Err(HeadFault::Value);
            }
            if let Some(pseudo) = name.strip_prefix(b":") {
                if is_behind {
                    return Err(HeadFault::LatePseudo);
                }
                facts.pseudo(pseudo, value)?;
            } else {
                is_behind = true;
                facts.field(name, value)?;
            }
        }
        Ok(facts)
    }

    fn pseudo(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), HeadFault> {
        let place = match name {
            b"method" => &mut self.pseudos.method,
            b"scheme" => &mut self.pseudos.scheme,
            b"authority" => &mut self.pseudos.authority,
            b"path" => &mut self.pseudos.path,
            b"protocol" => &mut self.pseudos.protocol,
            b"status" => &mut self.pseudos.status,
            _ => return Err(HeadFault::UnknownPseudo),
        };
        if place.replace(value).is_some() { Err(HeadFault::RepeatedPseudo) } else { Ok(()) }
    }

    fn field(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), HeadFault> {
        if !is_token(name) || name.iter().any(u8::is_ascii_uppercase) {
            return Err(HeadFault::Name);
        }
        match name {
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding" | b"upgrade" => {
                Err(HeadFault::ConnectionField)
            }
            b"te" if value != b"trailers" => Err(HeadFault::ConnectionField),
            b"host" if self.host.replace(value).is_some() => Err(HeadFault::Authority),
            b"content-length" => {
                let length = decimal(value).filter(|length| *length <= LENGTH_MAX);
                let length = length.ok_or(HeadFault::Length)?;
                if self.length.replace(length).is_some() { Err(HeadFault::Length) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// `:authority`, or Host in its place; both have to say the same.
    fn authority(&self) -> Result<&'a str, HeadFault> {
        let authority = match (self.pseudos.authority, self.host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => None,
            (Some(authority), _) => Some(authority),
            (None, host) => host,
        };
        let authority = authority.filter(|authority| is_authority(authority));
        authority.and_then(|authority| from_utf8(authority).ok()).ok_or(HeadFault::Authority)
    }
}

fn has_blank_end(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.first()) || is_blank(value.last())
}

/// Reads the head of a request.
///
/// # Errors
/// What makes it malformed: the stream ends with `PROTOCOL_ERROR`, or with an answer of status 400.
pub fn request(fields: &Fields) -> Result<RequestHead<'_>, HeadFault> {
    let facts = Facts::of(fields)?;
    let pseudos = &facts.pseudos;
    if pseudos.status.is_some() {
        return Err(HeadFault::UnknownPseudo);
    }
    let method = pseudos.method.ok_or(HeadFault::Pseudos)?;
    let method = from_utf8(method).ok().filter(|text| is_token(text.as_bytes())).ok_or(HeadFault::Method)?;
    let length = facts.length;
    let protocol = match pseudos.protocol {
        None => None,
        Some(text) => {
            Some(from_utf8(text).ok().filter(|text| is_token(text.as_bytes())).ok_or(HeadFault::Pseudos)?)
        }
    };
    match (method == "CONNECT", protocol, pseudos.scheme, pseudos.path) {
        (true, None, None, None) => {
            let authority = facts.authority()?;
            Ok(RequestHead { method, is_https: false, authority, path: "", protocol, length })
        }
        (true, Some(_), Some(scheme), Some(path)) | (false, None, Some(scheme), Some(path)) => {
            let is_https = match scheme {
                b"https" => true,
                b"http" => false,
                _ => return Err(HeadFault::Scheme),
            };
            let path = path_of(path, method).ok_or(HeadFault::Path)?;
            Ok(RequestHead { method, is_https, authority: facts.authority()?, path, protocol, length })
        }
        _ => Err(HeadFault::Pseudos),
    }
}

/// A path with or without a query, or `*` of an OPTIONS. An absolute URI in `:path` is none.
fn path_of<'a>(path: &'a [u8], method: &str) -> Option<&'a str> {
    let text = from_utf8(path).ok().filter(|text| text.starts_with(['/', '*']))?;
    target::parse(text, method == "OPTIONS").map(|target| target.path)
}

/// Reads the head of a response.
///
/// # Errors
/// What makes it malformed: the stream ends with `PROTOCOL_ERROR`.
pub fn response(fields: &Fields) -> Result<ResponseHead, HeadFault> {
    let facts = Facts::of(fields)?;
    let Pseudos { method, scheme, authority, path, protocol, status } = facts.pseudos;
    if [method, scheme, authority, path, protocol].iter().any(Option::is_some) {
        return Err(HeadFault::UnknownPseudo);
    }
    let digits = status.ok_or(HeadFault::Pseudos)?;
    let status =
        decimal(digits).filter(|status| digits.len() == 3 && (100..600).contains(status) && *status != 101);
    let status = status.and_then(|status| u16::try_from(status).ok()).ok_or(HeadFault::Status)?;
    Ok(ResponseHead { status, length: facts.length })
}

/// Holds trailers to the grammar; they have no pseudo-fields (RFC 9113 §8.1).
///
/// # Errors
/// What makes the message malformed.
pub fn trailers(fields: &Fields) -> Result<(), HeadFault> {
    if fields.iter().any(|field| field.name.starts_with(b":")) {
        return Err(HeadFault::UnknownPseudo);
    }
    Facts::of(fields).map(|_| ())
}

/// Appends all cookie fields as one (RFC 9113 §8.2.3); whether there is one.
pub fn join_cookies(fields: &Fields, out: &mut Vec<u8>) -> bool {
    let mut has_one = false;
    for crumb in fields.iter().filter(|field| field.name == b"cookie") {
        if std::mem::replace(&mut has_one, true) {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(crumb.value);
    }
    has_one
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name=value` each; the first `=` behind the first byte parts them.
    fn fields(text: &[&str]) -> Fields {
        let mut fields = Fields::default();
        for line in text {
            let cut = 1 + line[1..].find('=').unwrap();
            let start = fields.arena().len();
            fields.arena().extend_from_slice(&line.as_bytes()[..cut]);
            fields.arena().extend_from_slice(&line.as_bytes()[cut + 1..]);
            fields.keep(start, cut, false);
        }
        fields
    }

    const GET: [&str; 4] = [":method=GET", ":scheme=https", ":path=/a?b", ":authority=h.example"];

    fn with(more: &[&str]) -> Fields {
        fields(&[&GET[..], more].concat())
    }

    fn without(pseudo: &str, more: &[&str]) -> Fields {
        let kept = GET.iter().filter(|line| !line.starts_with(pseudo)).copied();
        fields(&kept.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    #[test]
    fn a_request_is_read_in_any_order_of_its_pseudo_fields() {
        let head = RequestHead {
            method: "GET",
            is_https: true,
            authority: "h.example",
            path: "/a?b",
            protocol: None,
            length: None,
        };
        let mut order = GET;
        for _ in 0..4 {
            order.rotate_left(1);
            assert_eq!(request(&fields(&order)), Ok(head));
        }
        assert_eq!(
            request(&with(&["host=H.example", "te=trailers", "content-length=0"])).unwrap().length,
            Some(0)
        );
        assert_eq!(request(&without(":authority", &["host=h.example"])), Ok(head));
        let socket = ["CONNECT", "websocket"];
        let lines = [":method=CONNECT", ":protocol=websocket", ":scheme=http", ":path=/", ":authority=h:80"];
        let list = fields(&lines);
        let read = request(&list).unwrap();
        assert_eq!([read.method, read.protocol.unwrap()], socket);
        assert_eq!(request(&fields(&[":method=CONNECT", ":authority=h:80"])).unwrap().path, "");
        assert_eq!(
            request(&fields(&[":method=OPTIONS", ":scheme=http", ":path=*", ":authority=h"])).unwrap().path,
            "*"
        );
    }

    #[test]
    fn what_could_become_another_message_is_refused() {
        use HeadFault as F;
        for (list, fault) in [
            (with(&["a=b\r\nx: y"]), F::Value),
            (with(&["a=b\0"]), F::Value),
            (with(&["a= b"]), F::Value),
            (with(&["a=b\t"]), F::Value),
            (with(&["A=b"]), F::Name),
            (with(&["a b=c"]), F::Name),
            (with(&["a:b=c"]), F::Name),
            (with(&["a\r\nx=c"]), F::Name),
            (with(&["connection=close"]), F::ConnectionField),
            (with(&["transfer-encoding=chunked"]), F::ConnectionField),
            (with(&["keep-alive=5"]), F::ConnectionField),
            (with(&["proxy-connection=close"]), F::ConnectionField),
            (with(&["upgrade=h2c"]), F::ConnectionField),
            (with(&["te=gzip"]), F::ConnectionField),
            (with(&["content-length=+1"]), F::Length),
            (with(&["content-length=1, 1"]), F::Length),
            (with(&["content-length=1", "content-length=1"]), F::Length),
            (with(&["content-length=99999999999999999999"]), F::Length),
            (with(&["host=other"]), F::Authority),
            (with(&["host=h.example", "host=h.example"]), F::Authority),
            (with(&[":method=GET"]), F::RepeatedPseudo),
            (with(&[":other=x"]), F::UnknownPseudo),
            (with(&[":status=200"]), F::UnknownPseudo),
            (with(&["a=b", ":protocol=x"]), F::LatePseudo),
            (with(&[":protocol=websocket"]), F::Pseudos),
            (without(":method", &[]), F::Pseudos),
            (without(":scheme", &[]), F::Pseudos),
            (without(":path", &[]), F::Pseudos),
            (without(":authority", &[]), F::Authority),
            (without(":method", &[":method=GE T"]), F::Method),
            (without(":method", &[":method=GET / HTTP/1.1\r\nx:"]), F::Value),
            (without(":scheme", &[":scheme=ftp"]), F::Scheme),
            (without(":path", &[":path="]), F::Path),
            (without(":path", &[":path=*"]), F::Path),
            (without(":path", &[":path=a"]), F::Path),
            (without(":path", &[":path=/ HTTP/1.1"]), F::Path),
            (without(":path", &[":path=http://other/"]), F::Path),
            (without(":path", &[":path=/#x"]), F::Path),
            (without(":path", &[":path=/\u{e9}"]), F::Path),
            (without(":authority", &[":authority=u@h"]), F::Authority),
            (without(":authority", &[":authority=h/evil"]), F::Authority),
            (without(":authority", &[":authority="]), F::Authority),
            (fields(&[":method=CONNECT", ":path=/", ":authority=h"]), F::Pseudos),
            (fields(&[":method=CONNECT", ":protocol=x", ":authority=h"]), F::Pseudos),
        ] {
            assert_eq!(request(&list), Err(fault), "{:?}", list.iter().last());
        }
    }

    #[test]
    fn responses_and_trailers() {
        use HeadFault as F;
        let read = |list: &[&str]| response(&fields(list)).map(|head| (head.status, head.length));
        assert_eq!(read(&[":status=200", "content-length=5"]), Ok((200, Some(5))));
        assert_eq!(read(&[":status=103"]), Ok((103, None)));
        for (list, fault) in [
            (&["content-length=5"][..], F::Pseudos),
            (&[":status=101"], F::Status),
            (&[":status=99"], F::Status),
            (&[":status=0200"], F::Status),
            (&[":status=600"], F::Status),
            (&[":status=2x0"], F::Status),
            (&[":status=200", ":status=200"], F::RepeatedPseudo),
            (&[":status=200", ":path=/"], F::UnknownPseudo),
            (&["a=b", ":status=200"], F::LatePseudo),
            (&[":status=200", "transfer-encoding=chunked"], F::ConnectionField),
        ] {
            assert_eq!(read(list), Err(fault), "{list:?}");
        }
        assert_eq!(trailers(&fields(&["grpc-status=0", "x=y"])), Ok(()));
        assert_eq!(trailers(&fields(&[":status=200"])), Err(F::UnknownPseudo));
        assert_eq!(trailers(&fields(&["a=b\n"])), Err(F::Value));
    }

    #[test]
    fn crumbs_become_one_cookie() {
        let mut out = Vec::new();
        assert!(join_cookies(&with(&["cookie=a=1", "x=y", "cookie=b=2; c=3"]), &mut out));
        assert_eq!(out, b"a=1; b=2; c=3");
        assert!(!join_cookies(&with(&[]), &mut Vec::new()));
    }
}
