//! Request heads: read, judged, and written anew for the backend.
//!
//! Reading is httparse's; what it lets pass is judged here once more against RFC 9112. A head that is refused never
//! reaches a backend. The head that goes out is built from scratch: its framing, routing and connection fields are
//! Pollux's own words, whatever else the client said follows in its order and its spelling.

use std::mem::MaybeUninit;

use ::core::net::IpAddr;

use crate::core::identity::{RequestId, TraceId, push_hex};
use crate::core::outcome::Cause;
use crate::http::field::Name;
use crate::http::forwarded::Said;
use crate::http::framing::{Framing, FramingFields, Version};
use crate::http::grammar::{decimal, is_field_value, is_token, list, push_decimal, trim};
use crate::http::target::{self, Target};
use crate::route::{Context, FieldEdits, Template};
use crate::snapshot::{Forwarding, Limits};

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
    /// The same as the client wrote it.
    pub method_text: &'a str,
    /// The target as the client wrote it.
    pub target_text: &'a str,
    /// The client's version.
    pub version: Version,
    /// How long the body is.
    pub framing: Framing,
    /// Whether the client wants to go on after this exchange (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client asks to switch protocols, and the backend may be asked too.
    pub wants_upgrade: bool,
    target: Target<'a>,
    /// How many proxies an OPTIONS request may still pass (RFC 9110 §7.6.2).
    hops: Option<u64>,
    host: Option<&'a [u8]>,
    /// What the client, or a proxy before it, has called the request; `None` also if it was said twice.
    pub request_id: Option<&'a [u8]>,
    /// The trace that it is part of, as it was said; `None` also if it was said twice.
    pub traceparent: Option<&'a [u8]>,
    /// Whether Connection names fields that would otherwise pass.
    nominates: bool,
    fields: &'a [httparse::Header<'a>],
}

/// Room for the fields of a head, on the stack of whoever reads it.
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
    nominates: bool,
    expects: bool,
    unknown_expectation: bool,
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
    /// HTTP/2 over cleartext, to which Pollux would be blind (RFC 9113 §3.1 has deprecated it), or no protocol at all. One
    /// of these is enough, and nothing is passed on.
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
    fn take(&mut self, name: Name, value: &'a [u8]) {
        match name {
            Name::Host => {
                self.hosts += 1;
                self.host = Some(trim(value));
            }
            Name::Connection => list(value).for_each(|option| self.connection_option(option)),
            Name::Upgrade => self.upgrade.take(value),
            Name::Expect => {
                self.unknown_expectation |=
                    self.expects || !trim(value).eq_ignore_ascii_case(b"100-continue");
                self.expects = true;
            }
            Name::ContentLength | Name::TransferEncoding => self.framing.take(name, value),
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
            self.nominates = true;
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
        facts.take(Name::of(field.name.as_bytes()), field.value);
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
    // There are readers that take what follows the head of an upgrade for another message, whatever its length says.
    let is_upgrade = version == Version::Http11 && facts.connection_upgrade && framing == Framing::Empty;
    Ok(Request {
        method,
        method_text,
        target_text,
        version,
        framing,
        keep_alive: !facts.close && (version == Version::Http11 || facts.keep_alive),
        wants_upgrade: is_upgrade && facts.upgrade == Upgrade::Protocol,
        target,
        hops: facts.hops.filter(|_| counts_hops),
        host: facts.host,
        request_id: facts.request_id.value(),
        traceparent: facts.traceparent.value(),
        nominates: facts.nominates,
        fields,
    })
}

impl Request<'_> {
    /// Whether the request is not to be passed on, but answered by whoever has received it.
    #[must_use]
    pub fn ends_here(&self) -> bool {
        self.hops == Some(0)
    }

    /// The protocols that the client would switch to, as one list.
    #[must_use]
    pub fn protocols(&self) -> Vec<u8> {
        join(self.fields, Name::Upgrade)
    }

    /// The fields that Connection names, if any would pass otherwise.
    #[must_use]
    pub fn nominated(&self) -> Vec<u8> {
        if self.nominates { join(self.fields, Name::Connection) } else { Vec::new() }
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

    /// Holds the body to a bound, as far as its length is known.
    ///
    /// # Errors
    /// If it is longer.
    pub fn check_body(&self, most: Option<u64>) -> Result<(), Cause> {
        match (self.framing, most) {
            (Framing::Length(length), Some(most)) if length > most => Err(Cause::BodyTooLong),
            (Framing::Empty | Framing::Length(_) | Framing::Chunked | Framing::UntilEof, _) => Ok(()),
        }
    }

    /// Appends the head for the backend to `out`. `fallback_host` stands in for a Host that an HTTP/1.0 client did not send.
    pub fn write(&self, out: &mut Vec<u8>, client: IpAddr, fallback_host: &str) {
        self.write_onward(out, &Onward::plain(client, fallback_host));
    }

    /// The same, with what the listener and the route want done to it.
    pub fn write_onward(&self, out: &mut Vec<u8>, onward: &Onward<'_>) {
        self.write_line(out, onward);
        let host = self.authority();
        push_field(out, b"Host", host.unwrap_or(onward.fallback_host.as_bytes()));
        let said =
            Said { peer: onward.peer, is_trusted: onward.is_trusted, forwarding: onward.forwarding, host };
        for field in self.fields {
            self.write_field(out, field, onward, &said);
        }
        if let Some((edits, context)) = &onward.edits {
            push_edits(out, edits, context);
        }
        if self.wants_upgrade {
            push_field(out, b"Connection", b"Upgrade");
        }
        said.write(out, self.fields);
        onward.write_identity(out);
        push_via(out, self.version);
        out.extend_from_slice(b"\r\n");
    }

    fn write_line(&self, out: &mut Vec<u8>, onward: &Onward<'_>) {
        let Some((to, rest)) = onward.path else {
            let slash = if self.target.path.starts_with(['/', '*']) { "" } else { "/" };
            for part in [self.method_text, " ", slash, self.target.path, " HTTP/1.1\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
            return;
        };
        let (mark, query) = self.path_and_query().1.map_or(("", ""), |query| ("?", query));
        for part in [self.method_text, " ", to, rest, mark, query, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    fn write_field(
        &self,
        out: &mut Vec<u8>,
        field: &httparse::Header<'_>,
        onward: &Onward<'_>,
        said: &Said<'_>,
    ) {
        let name = field.name.as_bytes();
        match Name::of(name) {
            // Said anew, or only for this connection, or meant to be taken for something else.
            Name::Lookalike
            | Name::Host
            | Name::Connection
            | Name::HopByHop
            | Name::Http2Settings
            | Name::Te => {}
            Name::Forwarding => {
                if said.passes(name) && !onward.takes_out(name) {
                    push_field(out, name, field.value);
                }
            }
            Name::ContentLength => {
                let length = match self.framing {
                    Framing::Length(length) => length,
                    Framing::Empty | Framing::Chunked | Framing::UntilEof => 0,
                };
                push_length(out, length);
            }
            Name::TransferEncoding => push_field(out, b"Transfer-Encoding", b"chunked"),
            Name::Upgrade if self.wants_upgrade => push_field(out, name, field.value),
            Name::Upgrade => {}
            // RFC 9110 §10.1.1: from an HTTP/1.0 client the expectation is ignored.
            Name::Expect if self.version == Version::Http10 => {}
            Name::Expect => push_field(out, b"Expect", b"100-continue"),
            Name::MaxForwards if self.hops.is_some() => {
                out.extend_from_slice(b"Max-Forwards: ");
                push_decimal(out, self.hops.map_or(0, |hops| hops.saturating_sub(1)));
                out.extend_from_slice(b"\r\n");
            }
            // Said anew.
            Name::RequestId if onward.request_id.is_some() => {}
            Name::TraceParent | Name::TraceState if onward.traceparent.is_some() => {}
            Name::RequestId
            | Name::TraceParent
            | Name::TraceState
            | Name::MaxForwards
            | Name::Date
            | Name::NeverTrailing
            | Name::Other => {
                let is_dropped =
                    onward.takes_out(name) || (self.nominates && is_nominated(self.fields, name));
                match onward.hidden_cookie {
                    _ if is_dropped => {}
                    Some(hidden) if name.eq_ignore_ascii_case(b"cookie") => {
                        push_cookies_but(out, name, field.value, hidden.as_bytes());
                    }
                    Some(_) | None => push_field(out, name, field.value),
                }
            }
        }
    }
}

/// What is done to a request on its way to the backend.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// Who connected.
    pub peer: IpAddr,
    /// Whether it is a proxy that is believed.
    pub is_trusted: bool,
    /// How the backend is told of the client.
    pub forwarding: Forwarding,
    /// What stands in for a Host that an HTTP/1.0 client did not send.
    pub fallback_host: &'a str,
    /// The new path, in two pieces, if it is changed.
    pub path: Option<(&'a str, &'a str)>,
    /// A cookie that is not passed on.
    pub hidden_cookie: Option<&'a str>,
    /// What it is called, if the backend is told.
    pub request_id: Option<RequestId<'a>>,
    /// The trace that begins here, if one does.
    pub traceparent: Option<Traceparent>,
    /// Changes to header fields, and what their values are filled in with.
    pub edits: Option<(&'a FieldEdits, Context<'a>)>,
}

impl<'a> Onward<'a> {
    /// Nothing but what is always done.
    #[must_use]
    pub fn plain(peer: IpAddr, fallback_host: &'a str) -> Onward<'a> {
        let forwarding = Forwarding::default();
        Onward {
            peer,
            is_trusted: false,
            forwarding,
            fallback_host,
            path: None,
            hidden_cookie: None,
            request_id: None,
            traceparent: None,
            edits: None,
        }
    }

    /// Appends what it is called and its trace, unless the route says something else there.
    fn write_identity(&self, out: &mut Vec<u8>) {
        if let Some(id) = self.request_id.filter(|_| !self.takes_out(REQUEST_ID)) {
            push_request_id(out, id);
        }
        if let Some(begun) = self.traceparent.filter(|_| !self.takes_out(b"traceparent")) {
            out.extend_from_slice(b"traceparent: 00-");
            out.extend_from_slice(begun.trace.as_str().as_bytes());
            out.push(b'-');
            push_hex(out, &begun.parent.to_be_bytes());
            // Sampled: who has traces begun wants to see them.
            out.extend_from_slice(b"-01\r\n");
        }
    }

    fn takes_out(&self, name: &[u8]) -> bool {
        self.edits.is_some_and(|(edits, _)| edits.takes_out(name))
    }
}

/// The field that says what a request is called.
pub(crate) const REQUEST_ID: &[u8] = b"X-Request-ID";

/// Appends it.
pub(crate) fn push_request_id(out: &mut Vec<u8>, id: RequestId<'_>) {
    out.extend_from_slice(REQUEST_ID);
    out.extend_from_slice(b": ");
    id.push(out);
    out.extend_from_slice(b"\r\n");
}

/// A trace that begins here (W3C Trace Context §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// Its number.
    pub trace: TraceId,
    /// What stands for the request as the parent of what the backend does; never 0.
    pub parent: u64,
}

/// Appends a Cookie field without the cookie that is called `hidden`, and nothing if there is no other.
fn push_cookies_but(out: &mut Vec<u8>, name: &[u8], value: &[u8], hidden: &[u8]) {
    let is_hidden =
        |pair: &[u8]| trim(pair).strip_prefix(hidden).is_some_and(|rest| rest.first() == Some(&b'='));
    let mut kept = value.split(|byte| *byte == b';').filter(|pair| !is_hidden(pair)).peekable();
    if kept.peek().is_none() {
        return;
    }
    let start = out.len();
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let pairs = out.len();
    for pair in kept.map(trim).filter(|pair| !pair.is_empty()) {
        if out.len() > pairs {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(pair);
    }
    if out.len() == pairs {
        return out.truncate(start);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that a route writes.
pub(crate) fn push_edits(out: &mut Vec<u8>, edits: &FieldEdits, context: &Context<'_>) {
    for (name, value) in edits.written() {
        push_template(out, name, value, context);
    }
}

/// Appends a field line whose value is a template.
pub(crate) fn push_template(out: &mut Vec<u8>, name: &str, value: &Template, context: &Context<'_>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value.render(context, out);
    out.extend_from_slice(b"\r\n");
}

/// The values of all fields of a name, as one list (RFC 9110 §5.3).
pub(crate) fn join(fields: &[httparse::Header<'_>], name: Name) -> Vec<u8> {
    let values =
        fields.iter().filter(|field| Name::of(field.name.as_bytes()) == name).map(|field| field.value);
    values.collect::<Vec<_>>().join(&b","[..])
}

/// The method and the target of a head that was refused, for its record and its answer; `None` if they are not plain
/// enough to be repeated.
#[must_use]
pub fn first_line(head: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(head.split(|&byte| byte == b'\r').next()?).ok()?;
    let mut parts = line.split(' ');
    let (method, target) = (parts.next()?, parts.next()?);
    let is_plain = is_token(method.as_bytes()) && target.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then_some((method, target))
}

/// Whether a Connection field names `name`.
pub(crate) fn is_nominated(fields: &[httparse::Header<'_>], name: &[u8]) -> bool {
    fields
        .iter()
        .filter(|field| Name::of(field.name.as_bytes()) == Name::Connection)
        .any(|field| list(field.value).any(|option| option.eq_ignore_ascii_case(name)))
}

/// Appends a field line.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends Content-Length.
pub(crate) fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends Via; a line of its own behind those that are there is the same as a further member of their list.
pub(crate) fn push_via(out: &mut Vec<u8>, version: Version) {
    push_field(out, b"Via", if version == Version::Http10 { b"1.0 pollux" } else { b"1.1 pollux" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(head: &str) -> Result<String, Cause> {
        let mut table = field_table();
        let request = read(head.as_bytes(), &mut table, &Limits::default())?;
        let mut out = Vec::new();
        request.write(&mut out, [192, 0, 2, 1].into(), "app");
        Ok(String::from_utf8(out).unwrap())
    }

    const TAIL: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\nVia: 1.1 pollux\r\n\r\n";

    #[test]
    fn what_goes_out() {
        for (input, output) in [
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n"),
            (
                "OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 07\r\n\r\n",
                "OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 6\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nMax-Forwards: x\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nMax-Forwards: x\r\n",
            ),
            (
                "PUT /x HTTP/1.1\r\nAccept: */*\r\nhost:h\r\ncontent-length: 003\r\nB: 2\r\nb: 1\r\n\r\n",
                "PUT /x HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nContent-Length: 3\r\nB: 2\r\nb: 1\r\n",
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, x-secret, HOST\r\nX-Secret: 1\r\nX-Other: 2\r\nKeep-Alive: 5\r\n\
                 Proxy-Connection: close\r\nTE: trailers\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Other: 2\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-FORWARDED-HOST: evil\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\n",
            ),
            ("GET http://h HTTP/1.1\r\nHost: other\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n"),
            ("GET http://h?q HTTP/1.1\r\nHost: other\r\n\r\n", "GET /?q HTTP/1.1\r\nHost: h\r\n"),
            ("OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\n",
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n",
            ),
            ("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n"),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 a\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 a\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nX-Utf: \u{e9}\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\nX-Utf: \u{e9}\r\n",
            ),
        ] {
            assert_eq!(rewritten(input), Ok(format!("{output}{TAIL}")), "{input:?}");
        }
    }

    #[test]
    fn an_http_1_0_client_may_lack_a_host() {
        assert_eq!(
            rewritten("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
            Ok("GET / HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nVia: 1.0 pollux\r\n\r\n".into())
        );
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
            assert_eq!(rewritten(head), Err(cause), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100));
        assert_eq!(rewritten(&many), Err(Cause::HeadTooLong));
    }
}
