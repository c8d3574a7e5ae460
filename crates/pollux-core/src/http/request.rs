//! Request heads: read, and judged.
//!
//! Reading is httparse's; what it lets pass is judged here once more against RFC 9112. A head that is refused
//! never reaches a backend.

use std::mem::MaybeUninit;

use crate::core::bounds::Limits;
use crate::core::outcome::Cause;
use crate::http::field::Name;
use crate::http::framing::{Framing, FramingFields, Version};
use crate::http::lines::join;
use crate::http::login;
use crate::http::nominated::{NOMINATED_MAX, Nominated};
use crate::syntax::grammar::{decimal, is_field_value, is_token, list, trim};
use crate::syntax::target::{self, Target, Targets};

/// The methods that Pollux must tell apart; they are case-sensitive (RFC 9110 §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// HEAD: its response has no body.
    Head,
    /// PUT or DELETE: they may be repeated.
    PutOrDelete,
    /// OPTIONS: the only one that may ask for `*`.
    Options,
    /// CONNECT and TRACE, which are refused.
    Refused,
    /// Any other, POST among them.
    Other,
}

impl Method {
    /// Finds the method.
    #[must_use]
    pub fn of(text: &str) -> Method {
        match text {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "PUT" | "DELETE" => Method::PutOrDelete,
            "OPTIONS" => Method::Options,
            "CONNECT" | "TRACE" => Method::Refused,
            _ => Method::Other,
        }
    }

    /// Whether sending the request twice does what sending it once does (RFC 9110 §9.2.2).
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::PutOrDelete | Method::Options => true,
            Method::Refused | Method::Other => false,
        }
    }
}

/// A head that may be passed on.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// The method as the client wrote it.
    pub method_text: &'a str,
    /// The target as the client wrote it.
    pub target_text: &'a str,
    /// The client's version.
    pub version: Version,
    /// How long the body is.
    pub framing: Framing,
    /// Whether the client wants to go on after this exchange (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client offers a login that holds for the connection.
    pub is_login: bool,
    /// Whether the client asks to switch protocols, and the backend may be asked too.
    pub wants_upgrade: bool,
    /// Whether that depends on the body; see [`Request::settle_upgrade`].
    pub awaits_body: bool,
    pub(super) target: Target<'a>,
    /// How many proxies an OPTIONS request may still pass (RFC 9110 §7.6.2).
    pub(super) hops: Option<u64>,
    pub(super) host: Option<&'a [u8]>,
    /// What the client, or a proxy before it, has called the request; `None` also if it was said twice.
    pub request_id: Option<&'a [u8]>,
    /// The trace that it is part of, as it was said; `None` also if it was said twice.
    pub traceparent: Option<&'a [u8]>,
    /// Whether Connection names fields that would otherwise pass.
    pub(super) nominates: bool,
    expects: bool,
    pub(super) fields: &'a [httparse::Header<'a>],
}

/// How many protocols the Upgrade fields of a request may name. Each is held against all that a 101 names.
pub const PROTOCOLS_MAX: usize = 16;

/// Room for the fields of a head, on the stack of the reader.
pub type FieldTable<'a> = [MaybeUninit<httparse::Header<'a>>; Limits::FIELDS_MAX];

/// An empty table.
#[must_use]
pub fn field_table<'a>() -> FieldTable<'a> {
    [const { MaybeUninit::uninit() }; Limits::FIELDS_MAX]
}

/// Reads a complete head, as [`HeadScan`](crate::http::scan::HeadScan) has found it.
///
/// # Errors
/// The cause for which it is refused.
pub fn read<'a>(
    head: &'a [u8],
    table: &'a mut FieldTable<'a>,
    limits: &Limits,
) -> Result<Request<'a>, Cause> {
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(head, &mut table[..limits.fields]).map_err(cause_of)?;
    if status != httparse::Status::Complete(head.len()) {
        return Err(Cause::BadRequestLine);
    }
    let version = parsed.version.and_then(Version::of_minor).ok_or(Cause::BadVersion)?;
    let method_text = parsed.method.ok_or(Cause::BadRequestLine)?;
    let target_text = parsed.path.ok_or(Cause::BadRequestLine)?;
    judge(method_text, target_text, version, parsed.headers, limits)
}

fn cause_of(error: httparse::Error) -> Cause {
    match error {
        httparse::Error::TooManyHeaders => Cause::HeadTooLong,
        httparse::Error::Version => Cause::BadVersion,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Cause::BadField,
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => Cause::BadRequestLine,
    }
}

/// What the fields of a request say, gathered one by one.
#[derive(Default)]
struct Facts<'a> {
    framing: FramingFields,
    host: Option<&'a [u8]>,
    hosts: usize,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: Upgrade,
    protocols: usize,
    nominated: usize,
    expects: bool,
    unknown_expectation: bool,
    is_login: bool,
    hops: Option<u64>,
    bad_hops: bool,
    request_id: Once<'a>,
    traceparent: Once<'a>,
}

/// The value of a field that counts only if it is there once.
#[derive(Clone, Copy, Default)]
enum Once<'a> {
    #[default]
    Never,
    Said(&'a [u8]),
    Again,
}

impl<'a> Once<'a> {
    fn take(&mut self, value: &'a [u8]) {
        *self = match self {
            Once::Never => Once::Said(trim(value)),
            Once::Said(_) | Once::Again => Once::Again,
        };
    }

    fn value(self) -> Option<&'a [u8]> {
        match self {
            Once::Said(value) => Some(value),
            Once::Never | Once::Again => None,
        }
    }
}

/// What the Upgrade fields together ask for.
#[derive(Default, PartialEq)]
enum Upgrade {
    #[default]
    Nothing,
    Protocol,
    /// HTTP/2 over cleartext, to which Pollux would be blind (RFC 9113 §3.1 has deprecated it), or no
    /// protocol at all. One of these is enough, and nothing is passed on.
    Unwanted,
}

impl Upgrade {
    fn take(&mut self, value: &[u8]) {
        for protocol in list(value) {
            let is_http2 =
                [&b"h2c"[..], b"h2", b"http/2", b"http/2.0"].iter().any(|h| protocol.eq_ignore_ascii_case(h));
            if is_http2 || !is_protocol(protocol) {
                *self = Upgrade::Unwanted;
            } else if *self == Upgrade::Nothing {
                *self = Upgrade::Protocol;
            }
        }
    }
}

/// `protocol-name [ "/" protocol-version ]` (RFC 9110 §7.8).
fn is_protocol(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |&byte| byte == b'/');
    parts.all(is_token)
}

impl<'a> Facts<'a> {
    fn take(&mut self, field: &httparse::Header<'a>) {
        let (name, value) = (Name::of(field.name.as_bytes()), field.value);
        match name {
            Name::Host => {
                self.hosts += 1;
                self.host = Some(trim(value));
            }
            Name::Connection => list(value).for_each(|option| self.connection_option(option)),
            Name::Upgrade => {
                self.protocols += list(value).count();
                self.upgrade.take(value);
            }
            Name::Expect => {
                self.unknown_expectation |=
                    self.expects || !trim(value).eq_ignore_ascii_case(b"100-continue");
                self.expects = true;
            }
            Name::ContentLength | Name::TransferEncoding => self.framing.take(name, value),
            Name::Login => self.is_login |= login::binds(field.name.as_bytes(), value),
            Name::RequestId => self.request_id.take(value),
            Name::TraceParent => self.traceparent.take(value),
            Name::TraceState
            | Name::Lookalike
            | Name::Forwarding
            | Name::HopByHop
            | Name::Http2Settings
            | Name::Te
            | Name::Date
            | Name::NeverTrailing
            | Name::Other => {}
            Name::MaxForwards => {
                let hops = decimal(trim(value));
                self.bad_hops |= hops.is_none() || self.hops.is_some();
                self.hops = hops;
            }
        }
    }

    fn connection_option(&mut self, option: &[u8]) {
        if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.connection_upgrade = true;
        } else {
            self.nominated += 1;
        }
    }
}

fn judge<'a>(
    method_text: &'a str,
    target_text: &'a str,
    version: Version,
    fields: &'a [httparse::Header<'a>],
    limits: &Limits,
) -> Result<Request<'a>, Cause> {
    let mut facts = Facts::default();
    for field in fields {
        if !is_field_value(field.value) {
            return Err(Cause::BadField);
        }
        if field.name.len() + field.value.len() > limits.field {
            return Err(Cause::HeadTooLong);
        }
        facts.take(field);
    }
    if facts.nominated > NOMINATED_MAX || facts.protocols > PROTOCOLS_MAX {
        return Err(Cause::HeadTooLong);
    }
    let framing = facts.framing.request(version).map_err(|_| Cause::BadFraming)?;
    let method = Method::of(method_text);
    if method == Method::Refused {
        return Err(Cause::MethodRefused);
    }
    let target = target::parse(target_text, method == Method::Options).ok_or(Cause::BadTarget)?;
    let is_host_due = version == Version::Http11;
    if facts.hosts > 1 || (facts.hosts == 0 && is_host_due) || !facts.host.is_none_or(target::is_authority) {
        return Err(Cause::BadHost);
    }
    let counts_hops = method == Method::Options;
    if counts_hops && facts.bad_hops {
        return Err(Cause::BadField);
    }
    if facts.unknown_expectation && version == Version::Http11 {
        return Err(Cause::UnknownExpectation);
    }
    let is_upgrade =
        version == Version::Http11 && facts.connection_upgrade && facts.upgrade == Upgrade::Protocol;
    // No method that is said to have no body switches by one.
    let may_have_body = !matches!(method, Method::Get | Method::Head) && !facts.expects;
    // llhttp reads no chunks behind the head of an upgrade and takes the message for whole.
    let wants_upgrade = is_upgrade && framing == Framing::Empty;
    Ok(Request {
        method,
        method_text,
        target_text,
        version,
        framing,
        keep_alive: !facts.close && (version == Version::Http11 || facts.keep_alive),
        is_login: facts.is_login,
        wants_upgrade,
        awaits_body: is_upgrade && may_have_body && matches!(framing, Framing::Length(_)),
        target,
        hops: facts.hops.filter(|_| counts_hops),
        host: facts.host,
        request_id: facts.request_id.value(),
        traceparent: facts.traceparent.value(),
        nominates: facts.nominated > 0,
        expects: facts.expects && version == Version::Http11 && framing != Framing::Empty,
        fields,
    })
}

impl Request<'_> {
    /// Whether the receiver must answer the request itself instead of passing it on.
    #[must_use]
    pub fn ends_here(&self) -> bool {
        self.hops == Some(0)
    }

    /// Says what the body begins with, as far as that is known.
    ///
    /// There are servers that read no body behind the head of an upgrade, whatever its length says, and take
    /// what follows for another request (uvicorn with httptools). So one is passed on only if its body begins
    /// with a byte with which no request does, as that of `docker exec` does, which is JSON.
    pub fn settle_upgrade(&mut self, first: Option<u8>) {
        self.wants_upgrade |= self.awaits_body && first.is_some_and(begins_no_request);
    }

    /// Whether the client may send the body only after a 100 (RFC 9110 §10.1.1).
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expects
    }

    /// The protocols that the client would switch to, as one list.
    #[must_use]
    pub fn protocols(&self) -> Vec<u8> {
        join(self.fields, Name::Upgrade)
    }

    /// The fields that Connection names, if any would pass otherwise.
    #[must_use]
    pub fn nominated(&self) -> Nominated {
        if self.nominates { Nominated::by(self.fields) } else { Nominated::default() }
    }

    /// The authority that is asked for: of the target, or Host; `None` if an HTTP/1.0 client names none.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        self.target.authority.map(str::as_bytes).or(self.host)
    }

    /// The path without the query, and the query if there is one.
    #[must_use]
    pub fn path_and_query(&self) -> (&str, Option<&str>) {
        let (path, query) = match self.target.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.path, None),
        };
        (if path.is_empty() { "/" } else { path }, query)
    }

    /// The header fields.
    #[must_use]
    pub fn fields(&self) -> &[httparse::Header<'_>] {
        self.fields
    }
}

/// Whether nothing that begins with `byte` is read as a request: it belongs to no method, and no receiver
/// skips it before one.
fn begins_no_request(byte: u8) -> bool {
    !is_token(&[byte]) && !byte.is_ascii_control() && byte != b' '
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
    use super::*;

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
}
