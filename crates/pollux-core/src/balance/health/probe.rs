//! One check over HTTP: what is said to the backend, and what to make of what it says.
//!
//! The response is held to the same strict form as those to clients. Of the body no more is read than it
//! takes to find the wanted text, and never more than its first 64 KiB.

use memchr::memmem;

use super::{BackendFault, Expected, Grpc, Http, ObservationResult, is_among};
use crate::core::outcome::Cause;
use crate::http::body::{Chunked, Chunks};
use crate::http::framing::Framing;
use crate::http::grpc;
use crate::http::lines::push_field;
use crate::http::response::{self, RequestFacts};
use crate::http::scan::{HeadLimits, HeadScan, ScanFault};
use crate::lane::framer::Framer;
use crate::lane::{Lane, Source};
use crate::message::{Nominated, field_table};
use crate::snapshot::Limits;

/// So much of a body is looked at, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// The longest head, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// Interim responses that may come first.
const INTERIMS_MAX: u8 = 8;

/// See the module.
#[derive(Debug)]
pub struct Probe {
    request: Vec<u8>,
    sent: usize,
    scan: HeadScan,
    answer: Lane,
    is_head: bool,
    interims: u8,
    /// The status, once the head was read and only the text is missing.
    status: Option<u16>,
}

impl Probe {
    /// A check that asks for what `http` says; `host` is the Host where that names none.
    #[must_use]
    pub fn new(http: &Http, host: &str) -> Probe {
        let mut request = format!("{} {} HTTP/1.1\r\n", http.method, http.path).into_bytes();
        push_field(&mut request, b"Host", http.host.as_deref().unwrap_or(host).as_bytes());
        push_field(&mut request, b"User-Agent", b"pollux-check");
        push_field(&mut request, b"Connection", b"close");
        request.extend_from_slice(b"\r\n");
        let mut answer = Lane::new(Framer::Head);
        answer.source = Source::Open;
        let scan = HeadScan::default();
        Probe { request, sent: 0, scan, answer, is_head: http.method == "HEAD", interims: 0, status: None }
    }

    /// A check that asks the health service of gRPC about a service; `host` is the `:authority`.
    #[must_use]
    pub fn of_grpc(grpc: &Grpc, host: &str) -> Probe {
        let service = grpc.service.as_bytes();
        let mut message = Vec::new();
        if !service.is_empty() {
            // HealthCheckRequest: field 1 is a string.
            message.push(0x0a);
            push_varint(&mut message, service.len());
            message.extend_from_slice(service);
        }
        let mut request = b"POST /grpc.health.v1.Health/Check HTTP/1.1\r\n".to_vec();
        push_field(&mut request, b"Host", host.as_bytes());
        push_field(&mut request, b"User-Agent", b"pollux-check");
        push_field(&mut request, b"Content-Type", b"application/grpc");
        push_field(&mut request, b"Content-Length", (PREFIX + message.len()).to_string().as_bytes());
        request.extend_from_slice(b"\r\n\0");
        request.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        request.extend_from_slice(&message);
        Probe { request, ..Probe::new(&Http::default(), host) }
    }

    /// Puts `bytes` before the request.
    #[must_use]
    pub fn behind(mut self, bytes: &[u8]) -> Probe {
        self.request.splice(0..0, bytes.iter().copied());
        self
    }

    /// The bytes of the request that have not gone out yet.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.request[self.sent..]
    }

    /// Records that `count` bytes of it have.
    pub fn handle_sent(&mut self, count: usize) {
        self.sent += count;
    }

    /// The room for the next bytes of the response; never empty while there is no verdict.
    pub fn room(&mut self) -> &mut [u8] {
        if !self.answer.buffer.is_attached() {
            self.answer.buffer.attach(vec![0; HEAD_MAX + BODY_MAX].into());
        }
        self.answer.buffer.room()
    }

    /// Records that `count` bytes have come into the room. Returns the verdict as soon as it is certain.
    pub fn handle_filled(&mut self, count: usize, expected: Expected<'_>) -> Option<ObservationResult> {
        self.answer.buffer.fill(count);
        self.judge(expected)
    }

    /// Records that nothing more comes.
    pub fn handle_end(&mut self, expected: Expected<'_>) -> ObservationResult {
        self.answer.source = Source::Ended;
        self.judge(expected).unwrap_or(ObservationResult::Ill(match (self.status, expected) {
            (Some(_), Expected::Http(_)) => BackendFault::NoText,
            (Some(_), Expected::Serving) => BackendFault::NotServing,
            (None, _) => BackendFault::Cause(Cause::BackendClosed),
        }))
    }

    fn judge(&mut self, expected: Expected<'_>) -> Option<ObservationResult> {
        loop {
            if let Some(status) = self.status {
                return self.judge_body(status, expected);
            }
            let limits = HeadLimits { head: HEAD_MAX, first_line: HEAD_MAX, empty_lines: 0 };
            match self.scan.scan(self.answer.buffer.unscanned(), &limits) {
                Ok(None) => return None,
                Ok(Some(range)) => {
                    if let Some(found) = self.judge_head(range, expected) {
                        return Some(found);
                    }
                }
                Err(ScanFault::FirstLine | ScanFault::Field) => return Some(ill(Cause::BackendBadResponse)),
                Err(ScanFault::FirstLineTooLong | ScanFault::TooLong) => {
                    return Some(ill(Cause::BackendHeadTooLong));
                }
            }
        }
    }

    fn judge_head(&mut self, range: (usize, usize), expected: Expected<'_>) -> Option<ObservationResult> {
        let asked = RequestFacts { is_head: self.is_head, protocols: &[] };
        let read = self.answer.rewrite(range, |head, _| {
            let mut table = field_table();
            let response = response::read(head, &mut table, asked, &Limits::default())?;
            let grpc = grpc::status_of(response.fields);
            Ok((response.status, response.framing(), response.is_interim(), grpc))
        });
        self.scan = HeadScan::default();
        let (status, framing, is_interim, grpc) = match read {
            Ok(read) => read,
            Err(cause) => return Some(ill(cause)),
        };
        if is_interim {
            self.interims += 1;
            return (self.interims > INTERIMS_MAX).then_some(ill(Cause::BackendBadResponse));
        }
        let is_good = match expected {
            Expected::Http(http) => is_among(&http.statuses, status),
            Expected::Serving => status == 200,
        };
        if !is_good {
            return Some(ObservationResult::Ill(BackendFault::Status(status)));
        }
        match (expected, grpc) {
            (Expected::Http(http), _) if http.text.is_none() => {
                return Some(ObservationResult::Well(Some(status)));
            }
            // A status in the head is the end of the call.
            (Expected::Serving, Some(grpc)) => {
                return Some(ObservationResult::Ill(BackendFault::Grpc(grpc)));
            }
            (Expected::Http(_) | Expected::Serving, _) => {}
        }
        self.status = Some(status);
        self.answer.framer = match framing {
            Framing::Empty => Framer::Done,
            Framing::Length(length) => Framer::of_length(length),
            Framing::Chunked => Framer::Chunked(Chunked::of_response(Chunks::Strip, Nominated::default())),
            Framing::UntilEof => Framer::UntilEof,
        };
        None
    }

    fn judge_body(&mut self, status: u16, expected: Expected<'_>) -> Option<ObservationResult> {
        if self.answer.advance().is_err() {
            return Some(ill(Cause::BackendBadResponse));
        }
        let body = self.answer.buffer.unsent();
        let looked_at = &body[..body.len().min(BODY_MAX)];
        let (found, fault) = match expected {
            Expected::Http(http) => {
                let wanted = http.text.as_deref().unwrap_or_default();
                (memmem::find(looked_at, wanted.as_bytes()).map(|_| true), BackendFault::NoText)
            }
            Expected::Serving => (says_serving(looked_at), BackendFault::NotServing),
        };
        if let Some(is_well) = found {
            let well = ObservationResult::Well(Some(status));
            return Some(if is_well { well } else { ObservationResult::Ill(fault) });
        }
        let is_over = self.answer.framer.is_done() || body.len() >= BODY_MAX;
        (is_over || !self.answer.buffer.has_room()).then_some(ObservationResult::Ill(fault))
    }
}

fn ill(cause: Cause) -> ObservationResult {
    ObservationResult::Ill(BackendFault::Cause(cause))
}

/// The prefix of a message of gRPC: a flag, and the length in four bytes.
const PREFIX: usize = 5;

/// Whether a HealthCheckResponse says SERVING, once the message has come: 1 in its field 1.
fn says_serving(body: &[u8]) -> Option<bool> {
    let (prefix, rest) = body.split_first_chunk::<PREFIX>()?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    let message = rest.get(..usize::try_from(length).ok()?)?;
    // No status is 0, UNKNOWN, and a compressed message was not asked for.
    Some(prefix[0] == 0 && message == [0x08, 0x01])
}

/// Appends a number as protobuf writes it.
fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::grpc::GrpcStatus;

    fn http(text: Option<&str>) -> Http {
        Http { path: "/up".into(), text: text.map(str::to_owned), ..Http::default() }
    }

    /// The verdict on `bytes`, which come in pieces of so many.
    fn verdict(http: &Http, bytes: &[u8], piece: usize) -> ObservationResult {
        verdict_of(Probe::new(http, "h:1"), Expected::Http(http), bytes, piece)
    }

    fn verdict_of(mut probe: Probe, expected: Expected<'_>, bytes: &[u8], piece: usize) -> ObservationResult {
        for part in bytes.chunks(piece) {
            let mut part = part;
            while !part.is_empty() {
                let room = probe.room();
                let count = room.len().min(part.len());
                room[..count].copy_from_slice(&part[..count]);
                part = &part[count..];
                if let Some(found) = probe.handle_filled(count, expected) {
                    return found;
                }
            }
        }
        probe.handle_end(expected)
    }

    #[test]
    fn it_asks_for_what_it_was_told_to() {
        let mut probe = Probe::new(&http(None), "h:1");
        let told = "GET /up HTTP/1.1\r\nHost: h:1\r\nUser-Agent: pollux-check\r\nConnection: close\r\n\r\n";
        assert_eq!(probe.unsent(), told.as_bytes());
        probe.handle_sent(told.len());
        assert!(probe.unsent().is_empty());
        let named = Http { host: Some("app".into()), ..Http::default() };
        assert!(Probe::new(&named, "h:1").request.starts_with(b"GET / HTTP/1.1\r\nHost: app\r\n"));
    }

    #[test]
    fn the_verdict_is_the_same_however_it_comes() {
        let well = ObservationResult::Well(Some(200));
        let no_text = ObservationResult::Ill(BackendFault::NoText);
        let long = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b'x'; BODY_MAX], b"ready"].concat();
        let cases: &[(Option<&str>, &[u8], ObservationResult)] = &[
            (None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", well),
            (None, b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", well),
            (
                None,
                b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
                ObservationResult::Ill(BackendFault::Status(503)),
            ),
            (None, b"", ill(Cause::BackendClosed)),
            (None, b"HTTP/1.1 200 OK\r\nContent-", ill(Cause::BackendClosed)),
            (None, b"SSH-2.0-none\r\n\r\n", ill(Cause::BackendBadResponse)),
            (Some("ready"), b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nI ready!", well),
            (Some("ready"), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnever", no_text),
            (Some("ready"), b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nnever", no_text),
            // The border of two chunks is none of the text.
            (
                Some("ready"),
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n",
                well,
            ),
            (Some("ready"), b"HTTP/1.1 200 OK\r\n\r\nall ready", well),
            (Some("ready"), &long, no_text),
        ];
        for (text, bytes, expected) in cases {
            for piece in [1, 2, 7, usize::MAX] {
                let found = verdict(&http(*text), bytes, piece);
                assert_eq!(found, *expected, "{:?} in {piece}", String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn a_service_serves_if_it_says_so() {
        let asked = Grpc { service: "a.B".into() };
        let probe = Probe::of_grpc(&asked, "h:1");
        let told = b"POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: h:1\r\nUser-Agent: pollux-check\r\n\
            Content-Type: application/grpc\r\nContent-Length: 10\r\n\r\n\0\0\0\0\x05\x0a\x03a.B";
        assert_eq!(probe.unsent(), told);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n";
        let ill = ObservationResult::Ill;
        for (rest, expected) in [
            ("7\r\n\0\0\0\0\x02\x08\x01\r\n0\r\ngrpc-status: 0\r\n\r\n", ObservationResult::Well(Some(200))),
            ("7\r\n\0\0\0\0\x02\x08\x02\r\n0\r\ngrpc-status: 0\r\n\r\n", ill(BackendFault::NotServing)),
            ("5\r\n\0\0\0\0\0\r\n0\r\ngrpc-status: 0\r\n\r\n", ill(BackendFault::NotServing)),
            ("7\r\n\x01\0\0\0\x02\x08\x01\r\n0\r\n\r\n", ill(BackendFault::NotServing)),
            ("0\r\ngrpc-status: 13\r\n\r\n", ill(BackendFault::NotServing)),
        ] {
            for piece in [1, 7, usize::MAX] {
                let bytes = [head, rest].concat();
                let probe = Probe::of_grpc(&asked, "h:1");
                let found = verdict_of(probe, Expected::Serving, bytes.as_bytes(), piece);
                assert_eq!(found, expected, "{rest:?} in {piece}");
            }
        }
        for (bytes, expected) in [
            (
                "HTTP/1.1 200 OK\r\ngrpc-status: 12\r\ncontent-length: 0\r\n\r\n",
                ill(BackendFault::Grpc(GrpcStatus::Unimplemented)),
            ),
            ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", ill(BackendFault::Status(404))),
        ] {
            let probe = Probe::of_grpc(&Grpc::default(), "h:1");
            assert_eq!(verdict_of(probe, Expected::Serving, bytes.as_bytes(), usize::MAX), expected);
        }
    }
}
