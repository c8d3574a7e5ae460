//! Request heads as they go on to a backend.
//!
//! They are built from scratch: framing, routing and connection fields are Pollux's own words; whatever else
//! the client said follows in its order and its spelling.

use ::core::net::IpAddr;

use super::disclosure::Forwarding;
use crate::core::identity::{RequestId, TraceId, push_hex};
use crate::http::dav::{self, Dav};
use crate::http::forwarded::ForwardedInfo;
use crate::http::lines::{REQUEST_ID, push_edits, push_field, push_length, push_request_id, push_via};
use crate::message::{BodyLength, FieldLine, Head, Name, Nominated, Version};
use crate::route::{Context, FieldEdits};
use crate::syntax::grammar::{push_decimal, trim};

/// The changes of a request on its way to the backend.
#[derive(Clone, Copy, Debug)]
pub struct ForwardContext<'a> {
    /// The address that connected.
    pub peer: IpAddr,
    /// Whether it is a proxy that is believed.
    pub is_trusted: bool,
    /// Whether the client has come by TLS.
    pub is_secure: bool,
    /// The fields that tell the backend of the client.
    pub forwarding: Forwarding,
    /// The Host in place of one that an HTTP/1.0 client did not send.
    pub fallback_host: &'a str,
    /// The new path, in two pieces, if it is changed.
    pub path: Option<(&'a str, &'a str)>,
    /// A cookie that is not passed on.
    pub hidden_cookie: Option<&'a str>,
    /// Whether trailer fields are passed on.
    pub passes_trailers: bool,
    /// Its number, if the backend is told.
    pub request_id: Option<RequestId<'a>>,
    /// The trace that begins here, if one does.
    pub traceparent: Option<Traceparent>,
    /// Whether the body is collected, so that its length stands in the head in the end.
    pub is_collected: bool,
    /// The rewriting of the URIs that WebDAV has in fields, if they are rewritten.
    pub dav: Option<Dav<'a>>,
    /// Changes to header fields, and what their values are filled in with.
    pub edits: Option<(&'a FieldEdits, Context<'a>)>,
}

impl<'a> ForwardContext<'a> {
    /// Nothing but what is always done.
    #[must_use]
    pub fn plain(peer: IpAddr, fallback_host: &'a str) -> ForwardContext<'a> {
        let forwarding = Forwarding::default();
        ForwardContext {
            peer,
            is_trusted: false,
            is_secure: false,
            forwarding,
            fallback_host,
            path: None,
            hidden_cookie: None,
            passes_trailers: false,
            request_id: None,
            traceparent: None,
            is_collected: false,
            dav: None,
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

/// A trace that begins here (W3C Trace Context §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// Its number.
    pub trace: TraceId,
    /// The number that stands for the request as the parent of the backend's work; never 0.
    pub parent: u64,
}

impl Head<'_> {
    /// Appends the head for the backend to `out`. `fallback_host` stands in for a Host that an HTTP/1.0
    /// client did not send.
    pub fn write(&self, out: &mut Vec<u8>, client: IpAddr, fallback_host: &str) {
        self.write_forwarded(out, &ForwardContext::plain(client, fallback_host));
    }

    /// Writes the head with the changes that the listener and the route ask for.
    pub fn write_forwarded(&self, out: &mut Vec<u8>, forward: &ForwardContext<'_>) {
        self.write_line(out, forward);
        let host = self.authority();
        push_field(out, b"Host", host.unwrap_or(forward.fallback_host.as_bytes()));
        let ForwardContext { peer, is_trusted, is_secure, forwarding, .. } = *forward;
        let says_port = !forward.takes_out(b"X-Forwarded-Port");
        let said = ForwardedInfo { peer, is_trusted, is_secure, forwarding, says_port, host };
        let nominated = self.nominated();
        for field in self.fields {
            self.write_field(out, field, forward, &said, &nominated);
        }
        if self.version == Version::Http2 && self.body == BodyLength::Open && !forward.is_collected {
            // The end of its stream ends the body. HTTP/1.1 needs chunks for that.
            push_field(out, b"Transfer-Encoding", b"chunked");
        }
        if let Some((edits, context)) = &forward.edits {
            push_edits(out, edits, context);
        }
        if self.wants_upgrade {
            push_field(out, b"Connection", b"Upgrade");
        }
        said.write(out, self.fields);
        forward.write_identity(out);
        push_via(out, self.version);
        out.extend_from_slice(b"\r\n");
    }

    fn write_dav(&self, out: &mut Vec<u8>, field: &FieldLine<'_>, forward: &ForwardContext<'_>) {
        let (name, Some(dav)) = (field.name.as_bytes(), &forward.dav) else { return };
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        dav::push_value(out, name, field.value, self.authority().unwrap_or_default(), dav);
        out.extend_from_slice(b"\r\n");
    }

    fn write_line(&self, out: &mut Vec<u8>, forward: &ForwardContext<'_>) {
        let Some((to, rest)) = forward.path else {
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
        field: &FieldLine<'_>,
        forward: &ForwardContext<'_>,
        said: &ForwardedInfo<'_>,
        nominated: &Nominated,
    ) {
        let name = field.name.as_bytes();
        match field.kind {
            // Said anew, or only for this connection, or meant to be taken for something else.
            Name::Lookalike
            | Name::Host
            | Name::Connection
            | Name::HopByHop
            | Name::Http2Settings
            | Name::Te => {}
            Name::Forwarding => {
                if said.passes(name) && !forward.takes_out(name) {
                    push_field(out, name, field.value);
                }
            }
            Name::ContentLength => {
                let length = match self.body {
                    BodyLength::Known(length) => length,
                    BodyLength::Empty | BodyLength::Open => 0,
                };
                push_length(out, length);
            }
            Name::TransferEncoding | Name::Expect if forward.is_collected => {}
            Name::NeverTrailing if forward.is_collected && name.eq_ignore_ascii_case(b"trailer") => {}
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
            // It announces what does not come.
            Name::NeverTrailing if !forward.passes_trailers && name.eq_ignore_ascii_case(b"trailer") => {}
            // Said anew.
            Name::RequestId if forward.request_id.is_some() => {}
            Name::TraceParent | Name::TraceState if forward.traceparent.is_some() => {}
            Name::RequestId
            | Name::TraceParent
            | Name::TraceState
            | Name::MaxForwards
            | Name::Date
            | Name::Login
            | Name::NeverTrailing
            | Name::Other => {
                let is_dropped = forward.takes_out(name) || nominated.has(name);
                match forward.hidden_cookie {
                    _ if is_dropped => {}
                    _ if forward.dav.is_some() && dav::is_about(name) => {
                        self.write_dav(out, field, forward);
                    }
                    Some(hidden) if name.eq_ignore_ascii_case(b"cookie") => {
                        push_cookies_but(out, name, field.value, hidden.as_bytes());
                    }
                    Some(_) | None => push_field(out, name, field.value),
                }
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::bounds::Limits;
    use crate::core::outcome::Cause;
    use crate::http::request::read;
    use crate::message::field_table;

    fn rewritten(head: &str) -> Result<String, Cause> {
        let mut table = field_table();
        let request = read(head.as_bytes(), &mut table, &Limits::default())?;
        let mut out = Vec::new();
        request.write(&mut out, [192, 0, 2, 1].into(), "app");
        Ok(String::from_utf8(out).unwrap())
    }

    const TAIL: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\nX-Forwarded-Port: 80\r\nVia: 1.1 pollux\r\n\r\n";

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

    /// docs/http.md says how many fields are added.
    #[test]
    fn as_many_fields_are_added_as_the_documentation_says() {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n";
        let mut table = field_table();
        let request = read(head, &mut table, &Limits::default()).unwrap();
        let id = crate::core::identity::Ids::new(0).next();
        let plain = ForwardContext::plain([192, 0, 2, 1].into(), "app");
        let usual = ForwardContext { request_id: Some(RequestId::Own(id)), ..plain };
        for (forward, added) in [
            (usual, 6),
            (ForwardContext { request_id: None, ..usual }, 5),
            (ForwardContext { forwarding: Forwarding::Forwarded, ..usual }, 3),
        ] {
            let mut out = Vec::new();
            request.write_forwarded(&mut out, &forward);
            let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(lines(&out) - lines(head), added, "{}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn an_http_1_0_client_may_lack_a_host() {
        assert_eq!(
            rewritten("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
            Ok("GET / HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nVia: 1.0 pollux\r\n\r\n".into())
        );
    }
}
