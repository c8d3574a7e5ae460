//! Pollux's own answers: short, and with the cause in the body and in Proxy-Status (RFC 9209).

use super::disclosure::{Disclosure, ProxyStatus, RequestIds};
use crate::core::grpc::GrpcStatus;
use crate::core::identity::RequestId;
use crate::core::outcome::Cause;
use crate::http::date::Date;
use crate::http::framing::has_no_body;
use crate::http::lines::{push_edits, push_field, push_length, push_request_id, push_template};
use crate::http::response::{HSTS, ResponseContext, push_connection};
use crate::route::{Context, RouteAnswer};
use crate::syntax::grammar::push_decimal;

/// The reason phrase of a status (RFC 9110 §15); empty for one that has none.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// The error type that RFC 9209 §2.3 has for a cause.
#[must_use]
pub const fn error_type(cause: Cause) -> &'static str {
    match cause {
        Cause::ProxyHeaderRefused
        | Cause::ProxyHeaderMissing
        | Cause::ProxyHeaderMalformed
        | Cause::ProxyHeaderTimeout
        | Cause::ClientHelloMissing
        | Cause::ClientHelloMalformed
        | Cause::ClientHelloTooLong
        | Cause::ClientHelloTimeout
        | Cause::BadRequestLine
        | Cause::BadField
        | Cause::BadFraming
        | Cause::BadHost
        | Cause::BadTarget
        | Cause::BadChunk
        | Cause::NoRequest
        | Cause::ClientTruncated
        | Cause::ClientHeadTimeout
        | Cause::MadeRoom
        | Cause::ClientBodyTimeout
        | Cause::BodyTooLong
        | Cause::TargetTooLong
        | Cause::HeadTooLong
        | Cause::HeadTooLongForBackend
        | Cause::UnknownExpectation
        | Cause::MethodRefused
        | Cause::BadVersion
        | Cause::AmbiguousPath
        | Cause::Misdirected
        | Cause::TlsHandshakeTimeout
        | Cause::TlsHandshakeFailed
        | Cause::TlsIncompatible
        | Cause::TlsUnknownName
        | Cause::TlsRefusedByClient
        | Cause::TlsCertificateRequired
        | Cause::TlsCertificateRefused
        | Cause::ClientAborted
        | Cause::ClientStalled => "http_request_error",
        Cause::NoRoute => "destination_not_found",
        Cause::BackendRefused => "connection_refused",
        Cause::NoBackend => "destination_unavailable",
        Cause::BackendUnreachable => "destination_ip_unroutable",
        Cause::BackendConnectTimeout => "connection_timeout",
        Cause::BackendTlsExpired
        | Cause::BackendTlsWrongName
        | Cause::BackendTlsUnknownIssuer
        | Cause::BackendTlsBadCertificate => "tls_certificate_error",
        Cause::BackendTlsRefused => "tls_alert_received",
        Cause::BackendTlsFailed => "tls_protocol_error",
        Cause::BackendTlsTimeout => "connection_timeout",
        Cause::BackendReset | Cause::BackendClosed => "connection_terminated",
        Cause::BackendBadResponse => "http_protocol_error",
        Cause::BackendNoWebsocket => "http_upgrade_failed",
        Cause::BackendHeadTooLong => "http_response_header_section_size",
        Cause::BackendResponseTimeout => "http_response_timeout",
        Cause::BackendTruncated => "http_response_incomplete",
        Cause::BackendStalled | Cause::TunnelIdle => "connection_read_timeout",
        Cause::QueueTimeout | Cause::QueueFull | Cause::OutOfDescriptors => "connection_limit_reached",
        Cause::OutOfBuffers => "proxy_internal_error",
        Cause::DrainTimeout | Cause::OperatorKilled => "proxy_internal_response",
    }
}

/// The treatment of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It is sent.
    Sent,
    /// Only its length is sent: the request was a HEAD (RFC 9110 §9.3.2).
    LengthOnly,
    /// There is none: nothing is known of the request, and this is right for a HEAD and for all others.
    Absent,
}

/// The details of an answer beside its status and body.
#[derive(Clone, Copy, Debug)]
pub struct AnswerDetails<'a> {
    /// The facts that the listener discloses.
    pub disclosure: Disclosure,
    /// The number of the request.
    pub request_id: RequestId<'a>,
}

impl AnswerDetails<'_> {
    fn push_request_id(&self, out: &mut Vec<u8>) {
        if self.disclosure.request_id == RequestIds::Both {
            push_request_id(out, self.request_id);
        }
    }
}

/// Appends the answer that `cause` calls for with `status` to `out`.
pub fn write(
    out: &mut Vec<u8>,
    status: u16,
    cause: Cause,
    context: ResponseContext,
    content: Content,
    told: &AnswerDetails<'_>,
    date: &Date,
) {
    let (reason, word) = (reason(status), cause.as_str());
    let mut body = [0; 128];
    let body = match content {
        Content::Sent | Content::LengthOnly => write_body(&mut body, status, reason, word),
        Content::Absent => b"",
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(status));
    out.push(b' ');
    push_line(out, reason);
    push_field(out, b"Date", date.as_bytes());
    push_field(out, b"Content-Type", b"text/plain; charset=utf-8");
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, body.len() as u64);
    push_line(out, "");
    if told.disclosure.proxy_status != ProxyStatus::Off {
        for part in ["Proxy-Status: pollux; error=", error_type(cause), "; details=\"", word, "\"\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    told.push_request_id(out);
    push_connection(out, context);
    push_line(out, "");
    if content == Content::Sent {
        out.extend_from_slice(body);
    }
}

/// Appends the answer to a call of gRPC that fails, by trailers only: a head that ends its stream. `word` says
/// why, by bytes that need no percent-encoding; `cause` is there unless a route answers by itself.
pub fn write_of_call(
    out: &mut Vec<u8>,
    grpc: GrpcStatus,
    word: &str,
    cause: Option<Cause>,
    context: ResponseContext,
    told: &AnswerDetails<'_>,
    date: &Date,
) {
    push_line(out, "HTTP/1.1 200 OK");
    push_field(out, b"Date", date.as_bytes());
    push_field(out, b"Content-Type", b"application/grpc");
    push_line(out, "Content-Length: 0");
    out.extend_from_slice(b"grpc-status: ");
    push_decimal(out, u64::from(grpc.number()));
    push_line(out, "");
    push_field(out, b"grpc-message", word.as_bytes());
    if let Some(cause) = cause
        && told.disclosure.proxy_status != ProxyStatus::Off
    {
        let details = ["Proxy-Status: pollux; error=", error_type(cause), "; details=\"", word, "\"\r\n"];
        details.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
    told.push_request_id(out);
    push_connection(out, context);
    push_line(out, "");
}

/// Appends the answer that a route gives by itself, with the changes that it makes to header fields.
///
/// `is_head` leaves the body out, as a response to HEAD must (RFC 9110 §9.3.2).
pub fn write_of_route(
    out: &mut Vec<u8>,
    answer: &RouteAnswer<'_>,
    context: &Context<'_>,
    response: ResponseContext,
    is_head: bool,
    disclosure: &Disclosure,
    date: &Date,
) {
    let edits = context.route.options.as_ref().map(|options| &options.response);
    let passes = |name: &str| !edits.is_some_and(|edits| edits.takes_out(name.as_bytes()));
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(answer.status()));
    out.push(b' ');
    push_line(out, reason(answer.status()));
    push_field(out, b"Date", date.as_bytes());
    let body: &[u8] = match answer {
        RouteAnswer::Redirect(redirect) => {
            if passes("location") {
                out.extend_from_slice(b"Location: ");
                redirect.location.render_uri(context, out);
                push_line(out, "");
            }
            b""
        }
        RouteAnswer::Respond(respond) => {
            let has_type = respond.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            if !has_type && !respond.body.bytes.is_empty() && passes("content-type") {
                push_field(out, b"Content-Type", b"text/plain; charset=utf-8");
            }
            for (name, value) in respond.headers.iter().filter(|(name, _)| passes(name)) {
                push_template(out, name, value, context);
            }
            &respond.body.bytes
        }
    };
    if let Some(edits) = edits {
        push_edits(out, edits, context);
    }
    if disclosure.proxy_status == ProxyStatus::All {
        push_line(out, "Proxy-Status: pollux");
    }
    if passes("x-request-id") {
        AnswerDetails { disclosure: *disclosure, request_id: context.request_id }.push_request_id(out);
    }
    let has_body = !has_no_body(answer.status());
    if has_body {
        push_length(out, body.len() as u64);
    }
    push_connection(out, ResponseContext { hsts: response.hsts.filter(|_| passes(HSTS)), ..response });
    push_line(out, "");
    if has_body && !is_head {
        out.extend_from_slice(body);
    }
}

/// Appends the answer to an OPTIONS request that is not to be passed on (RFC 9110 §7.6.2, §9.3.7).
pub fn write_options(out: &mut Vec<u8>, context: ResponseContext, date: &Date) {
    push_line(out, "HTTP/1.1 204 No Content");
    push_field(out, b"Date", date.as_bytes());
    push_line(out, "Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
    push_connection(out, context);
    push_line(out, "");
}

fn push_line(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `502 Bad Gateway: backend-refused` and a line feed.
fn write_body<'a>(room: &'a mut [u8; 128], status: u16, reason: &str, word: &str) -> &'a [u8] {
    let mut cursor = std::io::Cursor::new(&mut room[..]);
    // The longest reason and word fit; a shorter body would be the worst that could happen.
    let _ = std::io::Write::write_fmt(&mut cursor, format_args!("{status} {reason}: {word}\n"));
    let length = usize::try_from(cursor.position()).unwrap_or(0);
    &room[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Version;

    fn answer(cause: Cause, keep_alive: bool, content: Content) -> String {
        answer_telling(Disclosure::default(), cause, keep_alive, content)
    }

    fn answer_telling(disclosure: Disclosure, cause: Cause, keep_alive: bool, content: Content) -> String {
        let mut out = Vec::new();
        let context =
            ResponseContext { version: Version::Http11, keep_alive, is_first: false, idle: None, hsts: None };
        let told = AnswerDetails { disclosure, request_id: RequestId::Own(255) };
        write(&mut out, cause.status().unwrap(), cause, context, content, &told, &Date::new(0));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_cause_stands_in_body_and_header() {
        let head = "HTTP/1.1 502 Bad Gateway\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 33\r\n\
                    Proxy-Status: pollux; error=connection_refused; details=\"backend-refused\"\r\n";
        let body = "502 Bad Gateway: backend-refused\n";
        assert_eq!(answer(Cause::BackendRefused, true, Content::Sent), format!("{head}\r\n{body}"));
        assert_eq!(
            answer(Cause::BackendRefused, false, Content::LengthOnly),
            format!("{head}Connection: close\r\n\r\n")
        );
    }

    #[test]
    fn what_else_is_told_is_a_choice() {
        let silent = Disclosure { proxy_status: ProxyStatus::Off, ..Disclosure::default() };
        let silent = answer_telling(silent, Cause::BackendRefused, true, Content::Sent);
        assert!(
            !silent.contains("Proxy-Status") && silent.contains("Content-Length: 33\r\n\r\n502"),
            "{silent}"
        );
        let both = Disclosure { request_id: RequestIds::Both, ..Disclosure::default() };
        let both = answer_telling(both, Cause::BackendRefused, true, Content::Sent);
        assert!(both.contains("\r\nX-Request-ID: 000000000000000000000000000000ff\r\n\r\n502"), "{both}");
    }

    #[test]
    fn every_answer_is_whole() {
        for cause in Cause::ALL.iter().filter(|cause| cause.status().is_some()) {
            let answer = answer(*cause, false, Content::Sent);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.contains(&format!("Content-Length: {}\r\n", body.len())) && body.ends_with('\n'),
                "{answer}"
            );
            assert!(!head.lines().next().unwrap().ends_with(' '), "{answer}");
            assert!(self::answer(*cause, false, Content::Absent).contains("Content-Length: 0\r\n"));
        }
    }
}
