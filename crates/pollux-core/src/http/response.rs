//! Response heads of HTTP/1.1: read, judged, and written anew for the client.

use std::mem::MaybeUninit;
use std::time::Duration;

use crate::core::bounds::Limits;
use crate::core::identity::RequestId;
use crate::core::options::Hsts;
use crate::core::outcome::Cause;
use crate::http::date::Date;
use crate::http::framing::{Framing, FramingFields, has_no_body};
use crate::http::lines::{REQUEST_ID, push_field, push_length, push_request_id, push_via};
use crate::message::{
    BodyLength, FieldLine, FieldTable, NOMINATED_MAX, Name, Nominated, Response, Version, join, login,
};
use crate::route::{Back, FieldEdits};
use crate::syntax::grammar::{decimal, is_field_value, list, push_decimal, trim};

/// The facts of a request that decide how its response is read (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// Whether the request was HEAD.
    pub is_head: bool,
    /// The protocols that the request would switch to, as a list; empty if it asked for none.
    pub protocols: &'a [u8],
}

/// The facts of an exchange that decide how the head for its client is written.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext {
    /// The client's version.
    pub version: Version,
    /// Whether the client's connection goes on after this response.
    pub keep_alive: bool,
    /// Whether it is the first response on that connection.
    pub is_first: bool,
    /// The time that it is kept while nothing comes, if the client is told.
    pub idle: Option<Duration>,
    /// The Strict-Transport-Security of the client, if it has come by TLS.
    pub hsts: Option<Hsts>,
}

/// The fields that Pollux adds to a final response, and to a 101.
#[derive(Clone, Copy, Debug, Default)]
pub struct Added<'a> {
    /// Whole lines.
    pub lines: &'a [u8],
    /// The name of the request, if the client is told; then a backend's word for it does not pass.
    pub request_id: Option<RequestId<'a>>,
    /// The way back from the paths and names of the backend to those of the client, if they differ.
    pub back: Option<Back<'a>>,
    /// The name of the backend, if Proxy-Status is to say whose response it is (RFC 9209 §2). It goes behind
    /// what those nearer to the backend have said.
    pub next_hop: Option<&'a str>,
}

impl Added<'_> {
    fn write(&self, out: &mut Vec<u8>, status: u16) {
        out.extend_from_slice(self.lines);
        if let Some(id) = self.request_id {
            push_request_id(out, id);
        }
        if let Some(name) = self.next_hop {
            out.extend_from_slice(b"Proxy-Status: pollux; next-hop=\"");
            // A string of RFC 8941 §3.3.3 has visible ASCII and blanks.
            for byte in name.bytes().filter(|byte| (b' '..=b'~').contains(byte)) {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.extend_from_slice(b"\"; received-status=");
            push_decimal(out, u64::from(status));
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether a route may take out a field: not those that say where the message ends. The configuration has no
/// such route.
fn is_editable(name: &str) -> bool {
    !matches!(Name::of(name.as_bytes()), Name::ContentLength | Name::TransferEncoding | Name::Date)
}

/// So much sooner than its connection is closed a client is to stop using it: a request that crosses the
/// close is lost, and some clients send even a POST a second time then.
const KEEP_ALIVE_MARGIN: Duration = Duration::from_secs(1);

/// The field of RFC 6797 6.1.
pub(crate) const HSTS: &str = "Strict-Transport-Security";

/// Appends what the client has to know of its connection (RFC 9112 §9.3), and of later ones (RFC 6797 6.1).
pub(crate) fn push_connection(out: &mut Vec<u8>, context: ResponseContext) {
    if let Some(Hsts { max_age_s, include_subdomains, preload }) = context.hsts {
        out.extend_from_slice(HSTS.as_bytes());
        out.extend_from_slice(b": max-age=");
        push_decimal(out, max_age_s);
        out.extend_from_slice(if include_subdomains { b"; includeSubDomains" } else { b"" });
        out.extend_from_slice(if preload { b"; preload\r\n" } else { b"\r\n" });
    }
    if !context.keep_alive {
        return push_field(out, b"Connection", b"close");
    }
    // The JDK's HttpURLConnection looks for Keep-Alive only behind it, and remembers what it has found for
    // the connection.
    if context.version == Version::Http10 || context.is_first {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    if let Some(idle) = context.idle {
        out.extend_from_slice(b"Keep-Alive: timeout=");
        push_decimal(out, idle.saturating_sub(KEEP_ALIVE_MARGIN).as_secs());
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads a complete head.
///
/// # Errors
/// The cause for which nothing of it is passed on.
pub fn read<'a, 'h: 'a>(
    head: &'h [u8],
    table: &'a mut FieldTable<'h>,
    asked: RequestFacts<'_>,
    limits: &Limits,
) -> Result<Response<'a>, Cause> {
    let bad = Cause::BackendBadResponse;
    let mut lines = [const { MaybeUninit::uninit() }; Limits::FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config.allow_multiple_spaces_in_response_status_delimiters(false);
    let outcome = config.parse_response_with_uninit_headers(&mut parsed, head, &mut lines[..limits.fields]);
    match outcome {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Cause::BackendHeadTooLong),
        Ok(_) | Err(_) => return Err(bad),
    }
    let version = parsed.version.and_then(Version::of_minor).ok_or(bad)?;
    let status = parsed.code.filter(|code| (100..=599).contains(code)).ok_or(bad)?;
    if status < 200 && version == Version::Http10 {
        return Err(bad);
    }
    table.clear();
    table.extend(parsed.headers.iter().map(|line| FieldLine::new(line.name, line.value)));
    let fields = table.as_slice();
    if status == 101 && !is_asked_for(&join(fields, Name::Upgrade), asked.protocols) {
        return Err(bad);
    }
    judge(status, reason_of(head), version, fields, asked)
}

/// Whether a switch to `protocols` is one that was asked for (RFC 9110 §7.8): it names some, and only those.
fn is_asked_for(protocols: &[u8], asked: &[u8]) -> bool {
    let is_asked = |protocol: &[u8]| list(asked).any(|asked| asked.eq_ignore_ascii_case(protocol));
    list(protocols).next().is_some() && list(protocols).all(is_asked)
}

/// The reason phrase of a status line that has been parsed; its bytes may be obs-text, which httparse would
/// drop.
fn reason_of(head: &[u8]) -> &[u8] {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    line.get("HTTP/1.1 200 ".len()..).unwrap_or_default()
}

fn judge<'a>(
    status: u16,
    reason: &'a [u8],
    version: Version,
    fields: &'a [FieldLine<'a>],
    asked: RequestFacts<'_>,
) -> Result<Response<'a>, Cause> {
    let mut framing = FramingFields::default();
    let mut timeout = None;
    let mut is_login = false;
    let (mut close, mut keep_alive, mut has_date) = (false, false, false);
    let mut count = 0;
    for field in fields {
        if !is_field_value(field.value) {
            return Err(Cause::BackendBadResponse);
        }
        let name = field.kind;
        framing.take(name, field.value);
        has_date |= name == Name::Date;
        is_login |= name == Name::Login && login::binds(field.name.as_bytes(), field.value);
        if name == Name::HopByHop && field.name.eq_ignore_ascii_case("keep-alive") {
            timeout = timeout_of(field.value).or(timeout);
        }
        if name == Name::Connection {
            for option in list(field.value) {
                if option.eq_ignore_ascii_case(b"close") {
                    close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    keep_alive = true;
                } else if !option.eq_ignore_ascii_case(b"upgrade") {
                    count += 1;
                }
            }
        }
    }
    if count > NOMINATED_MAX {
        return Err(Cause::BackendHeadTooLong);
    }
    let nominated = if count > 0 { Nominated::by(fields) } else { Nominated::default() };
    has_date &= !nominated.has(b"date");
    let length = framing.length();
    let framing = framing.response(version, status, asked.is_head).map_err(|_| Cause::BackendBadResponse)?;
    Ok(Response {
        status,
        body: framing.into(),
        keep_alive: !close && (version == Version::Http11 || keep_alive) && framing != Framing::UntilEof,
        timeout,
        is_login,
        version,
        reason,
        length,
        has_date,
        nominated,
        fields,
    })
}

/// The timeout of a Keep-Alive field; a number that is none is not there.
fn timeout_of(value: &[u8]) -> Option<Duration> {
    let mut parameters = list(value).filter_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(parameter.iter().position(|byte| *byte == b'=')?)?;
        trim(name).eq_ignore_ascii_case(b"timeout").then(|| decimal(trim(&seconds[1..]))).flatten()
    });
    parameters.next().map(Duration::from_secs)
}

impl Response<'_> {
    /// The framing of the body in HTTP/1.1.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self.body {
            BodyLength::Empty => Framing::Empty,
            BodyLength::Known(length) => Framing::Length(length),
            BodyLength::Open if self.fields.iter().any(|field| field.kind == Name::TransferEncoding) => {
                Framing::Chunked
            }
            BodyLength::Open => Framing::UntilEof,
        }
    }

    /// Appends the head for the client to `out`. `date` is for a final response that has none (RFC 9110
    /// §6.6.1).
    pub fn write(&self, out: &mut Vec<u8>, context: ResponseContext, date: &Date) {
        self.write_edited(out, context, date, None, &Added::default());
    }

    /// Writes the head with a route's changes to header fields, whose new fields are given ready, and with
    /// the fields that Pollux adds. Both are for final responses, and for a 101, which no other one follows.
    pub fn write_edited(
        &self,
        out: &mut Vec<u8>,
        context: ResponseContext,
        date: &Date,
        edits: Option<(&FieldEdits, &[u8])>,
        added: &Added<'_>,
    ) {
        let edits = edits.filter(|_| !self.is_interim());
        let says_id = added.request_id.is_some() && !self.is_interim();
        out.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(out, u64::from(self.status));
        out.push(b' ');
        out.extend_from_slice(self.reason);
        out.extend_from_slice(b"\r\n");
        for field in self.fields {
            let is_said_anew = says_id && field.name.as_bytes().eq_ignore_ascii_case(REQUEST_ID);
            let is_taken_out = |(edits, _): (&FieldEdits, _)| {
                edits.takes_out(field.name.as_bytes()) && is_editable(field.name)
            };
            if !is_said_anew && !edits.is_some_and(is_taken_out) {
                let back = added.back.filter(|_| !self.is_interim());
                match back.and_then(|back| back.rewrite(field.name, field.value)) {
                    Some(value) => {
                        self.write_field(out, &FieldLine { value: &value, ..*field }, context);
                    }
                    None => self.write_field(out, field, context),
                }
            }
        }
        if let Some((_, written)) = edits {
            out.extend_from_slice(written);
        }
        if !self.is_interim() {
            added.write(out, self.status);
        }
        if !self.has_date && self.status >= 200 {
            push_field(out, b"Date", date.as_bytes());
        }
        push_via(out, self.version);
        if self.passes_upgrade() && self.fields.iter().any(|field| field.kind == Name::Upgrade) {
            push_field(out, b"Connection", b"Upgrade");
        }
        if self.status >= 200 {
            // A backend or a route that says something of it itself knows better.
            let is_said = |field: &FieldLine<'_>| field.name.eq_ignore_ascii_case(HSTS);
            let is_taken_out = edits.is_some_and(|(edits, _)| edits.takes_out(HSTS.as_bytes()));
            let hsts = context.hsts.filter(|_| !is_taken_out && !self.fields.iter().any(is_said));
            push_connection(out, ResponseContext { hsts, ..context });
        }
        out.extend_from_slice(b"\r\n");
    }

    /// RFC 9110 §7.8: a server may offer protocols in any response, but only for its own connection.
    fn passes_upgrade(&self) -> bool {
        matches!(self.status, 101 | 426)
    }

    fn write_field(&self, out: &mut Vec<u8>, field: &FieldLine<'_>, context: ResponseContext) {
        let name = field.name.as_bytes();
        match field.kind {
            Name::Connection | Name::HopByHop | Name::Http2Settings | Name::Lookalike | Name::Te => {}
            // RFC 9110 §8.6 and RFC 9112 §6.1 forbid both in these; elsewhere they are said anew, once.
            Name::ContentLength | Name::TransferEncoding
                if has_no_body(self.status) && self.status != 304 => {}
            Name::ContentLength => push_length(out, self.length.unwrap_or(0)),
            Name::TransferEncoding => {
                if context.version != Version::Http10 {
                    push_field(out, b"Transfer-Encoding", b"chunked");
                }
            }
            Name::Upgrade if self.passes_upgrade() => push_field(out, name, field.value),
            Name::Upgrade => {}
            Name::Date
            | Name::Expect
            | Name::Forwarding
            | Name::Host
            | Name::Login
            | Name::MaxForwards
            | Name::NeverTrailing
            | Name::RequestId
            | Name::TraceParent
            | Name::TraceState
            | Name::Other => {
                if !self.nominated.has(name) {
                    push_field(out, name, field.value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::field_table;

    const PLAIN: RequestFacts<'_> = RequestFacts { is_head: false, protocols: b"" };
    const KEEP: ResponseContext = ResponseContext {
        version: Version::Http11,
        keep_alive: true,
        is_first: false,
        idle: None,
        hsts: None,
    };

    fn rewritten(
        head: &str,
        asked: RequestFacts<'_>,
        context: ResponseContext,
    ) -> Result<(Framing, bool, String), Cause> {
        let mut table = field_table();
        let response = read(head.as_bytes(), &mut table, asked, &Limits::default())?;
        let mut out = Vec::new();
        response.write(&mut out, context, &Date::new(0));
        let out = String::from_utf8(out).unwrap().replace("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "");
        Ok((response.framing(), response.keep_alive, out))
    }

    #[test]
    fn hsts_is_said_once() {
        let said = |max_age_s, include_subdomains, preload, head| {
            let hsts = Some(Hsts { max_age_s, include_subdomains, preload });
            rewritten(head, PLAIN, ResponseContext { hsts, ..KEEP }).unwrap().2
        };
        let plain = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(
            said(31_536_000, true, true, plain),
            "HTTP/1.1 204 No Content\r\nVia: 1.1 pollux\r\n\
             Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n\r\n"
        );
        assert!(said(0, false, false, plain).contains("Security: max-age=0\r\n"));
        let own = "HTTP/1.1 204 No Content\r\nstrict-transport-security: max-age=1\r\n\r\n";
        let told = said(9, false, false, own).to_ascii_lowercase();
        assert!(told.contains("security: max-age=1\r\n") && told.matches("strict-").count() == 1, "{told}");
        assert!(!said(9, false, false, "HTTP/1.1 103 Early Hints\r\n\r\n").contains("Strict"));
    }

    #[test]
    fn what_goes_out() {
        let old = ResponseContext { version: Version::Http10, ..KEEP };
        let close = ResponseContext { keep_alive: false, ..KEEP };
        let head = RequestFacts { is_head: true, protocols: b"" };
        let switch = RequestFacts { is_head: false, protocols: b"y, X" };
        for (input, asked, context, framing, keep_alive, output) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 05\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n",
                PLAIN,
                KEEP,
                Framing::Length(5),
                true,
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a\r\nset-cookie: b\r\nVia: 1.1 pollux\r\n\r\n",
            ),
            (
                "HTTP/1.0 200 \r\nContent-Length: 5\r\n\r\n",
                PLAIN,
                KEEP,
                Framing::Length(5),
                false,
                "HTTP/1.1 200 \r\nContent-Length: 5\r\nVia: 1.0 pollux\r\n\r\n",
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n\r\n",
                PLAIN,
                old,
                Framing::Length(5),
                true,
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.0 pollux\r\nConnection: keep-alive\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n",
                PLAIN,
                close,
                Framing::Chunked,
                false,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: 1.1 pollux\r\nConnection: close\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                PLAIN,
                ResponseContext { version: Version::Http10, keep_alive: false, ..KEEP },
                Framing::Chunked,
                true,
                "HTTP/1.1 200 OK\r\nVia: 1.1 pollux\r\nConnection: close\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                head,
                KEEP,
                Framing::Empty,
                true,
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 pollux\r\n\r\n",
            ),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
                PLAIN,
                KEEP,
                Framing::Empty,
                true,
                "HTTP/1.1 204 No Content\r\nVia: 1.1 pollux\r\n\r\n",
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\n",
                PLAIN,
                KEEP,
                Framing::Empty,
                true,
                "HTTP/1.1 100 Continue\r\nVia: 1.1 pollux\r\n\r\n",
            ),
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
                switch,
                KEEP,
                Framing::Empty,
                true,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nVia: 1.1 pollux\r\nConnection: Upgrade\r\n\r\n",
            ),
            (
                "HTTP/1.1 200\r\n\r\n",
                PLAIN,
                close,
                Framing::UntilEof,
                false,
                "HTTP/1.1 200 \r\nVia: 1.1 pollux\r\nConnection: close\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 \u{e9}t\u{e9}\r\n\r\n",
                PLAIN,
                close,
                Framing::UntilEof,
                false,
                "HTTP/1.1 200 \u{e9}t\u{e9}\r\nVia: 1.1 pollux\r\nConnection: close\r\n\r\n",
            ),
        ] {
            assert_eq!(
                rewritten(input, asked, context),
                Ok((framing, keep_alive, output.into())),
                "{input:?}"
            );
        }
    }

    #[test]
    fn a_client_is_told_how_long_its_connection_is_kept() {
        let told = |context: ResponseContext, millis| {
            let idle = Some(Duration::from_millis(millis));
            let mut out = Vec::new();
            push_connection(&mut out, ResponseContext { idle, ..context });
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(KEEP, 75_000), "Keep-Alive: timeout=74\r\n");
        assert_eq!(told(KEEP, 2_900), "Keep-Alive: timeout=1\r\n");
        assert_eq!(told(KEEP, 300), "Keep-Alive: timeout=0\r\n");
        let first = ResponseContext { is_first: true, ..KEEP };
        let old = ResponseContext { version: Version::Http10, ..KEEP };
        for context in [first, old] {
            assert_eq!(told(context, 75_000), "Connection: keep-alive\r\nKeep-Alive: timeout=74\r\n");
        }
        assert_eq!(told(ResponseContext { keep_alive: false, ..first }, 75_000), "Connection: close\r\n");
    }

    #[test]
    fn a_final_response_has_a_date() {
        for (head, dates) in [
            ("HTTP/1.1 200 OK\r\n\r\n", 1),
            ("HTTP/1.1 200 OK\r\nDATE: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n", 1),
            ("HTTP/1.1 103 Early Hints\r\n\r\n", 0),
        ] {
            let mut table = field_table();
            let response = read(head.as_bytes(), &mut table, PLAIN, &Limits::default()).unwrap();
            let mut out = Vec::new();
            response.write(&mut out, KEEP, &Date::new(0));
            let out = String::from_utf8(out).unwrap().to_ascii_lowercase();
            assert_eq!(out.matches("\r\ndate: ").count(), dates, "{out}");
        }
    }

    #[test]
    fn what_is_refused() {
        for head in [
            "HTTP/1.1 99 Low\r\n\r\n",
            "HTTP/1.1 600 High\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "http/1.1 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 101 Unasked\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.0 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "HTTP/1.1 200 O\0K\r\n\r\n",
        ] {
            assert_eq!(rewritten(head, PLAIN, KEEP), Err(Cause::BackendBadResponse), "{head:?}");
        }
    }
}
