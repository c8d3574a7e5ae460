//! Response heads: found, read and rewritten for a client of either version, after any kind of request.
//!
//! No panic; the same verdict however the bytes are cut. A head that is accepted goes out as one from which a
//! second reader takes the same status and the same length, and in which nothing stands that was not the
//! backend's or Pollux's to say.

use pollux::http::date::Date;
use pollux::http::framing::Framing;
use pollux::message::{Response, Version, field_table};
use pollux::http::response::{self, RequestFacts, ResponseContext};
use pollux::http::scan::{HeadLimits, HeadScan};
use pollux::snapshot::Limits;

use crate::head::scan_any_way;
use crate::wire::{self, Length};

const BOUNDS: HeadLimits = HeadLimits { head: 1024, first_line: 1024, empty_lines: 0 };

/// See the module.
pub fn check(data: &[u8]) {
    let Ok(Some((start, end))) = scan_any_way(data, &BOUNDS) else { return };
    assert_eq!(start, 0, "bytes before the status line were skipped");
    let limits = Limits { fields: 16, ..Limits::default() };
    for choice in 0..16_u8 {
        let asked = RequestFacts {
            is_head: choice & 1 != 0,
            protocols: if choice & 2 != 0 { b"websocket, x" } else { b"" },
        };
        let version = if choice & 4 != 0 { Version::Http10 } else { Version::Http11 };
        let mut table = field_table();
        let Ok(response) = response::read(&data[..end], &mut table, asked, &limits) else { continue };
        check_meaning(&response, asked);
        // An HTTP/1.0 client gets no interim responses.
        if version == Version::Http11 || response.status >= 200 {
            check_written(
                &data[..end],
                &response,
                asked,
                ResponseContext {
                    version,
                    keep_alive: choice & 8 != 0,
                    is_first: false,
                    idle: None,
                    hsts: None,
                },
            );
        }
    }
}

fn check_meaning(response: &Response<'_>, asked: RequestFacts<'_>) {
    assert!((100..=599).contains(&response.status));
    assert!(
        response.status != 101 || !asked.protocols.is_empty(),
        "a switch of protocols that nobody asked for"
    );
    if asked.is_head || matches!(response.status, 100..=199 | 204 | 304) {
        assert_eq!(response.framing(), Framing::Empty);
    }
    assert!(!response.keep_alive || response.framing() != Framing::UntilEof);
}

fn check_written(came: &[u8], response: &Response<'_>, asked: RequestFacts<'_>, context: ResponseContext) {
    let mut went = Vec::new();
    response.write(&mut went, context, &Date::new(0));
    let sent = wire::head(&went).expect("a broken head goes out").expect("half a head goes out");
    assert_eq!(sent.length, went.len(), "something goes out behind the head");
    assert_eq!(sent.first[..13], *format!("HTTP/1.1 {} ", response.status).as_bytes());
    check_framing(&sent, response, asked, context);
    check_fields(came, &sent);

    let limits = Limits { fields: 64, ..Limits::default() };
    let mut table = field_table();
    assert_eq!(
        HeadScan::default().scan(&went, &HeadLimits { head: 4096, ..BOUNDS }),
        Ok(Some((0, went.len())))
    );
    let again = response::read(&went, &mut table, asked, &limits).expect("Pollux refuses what it wrote");
    assert_eq!(again.status, response.status);
    if context.version == Version::Http11 {
        assert_eq!(again.framing(), response.framing());
    }
    if response.status >= 200 && again.framing() != Framing::UntilEof {
        assert_eq!(again.keep_alive, context.keep_alive, "the client is told otherwise");
    }
}

fn check_framing(
    sent: &wire::Head<'_>,
    response: &Response<'_>,
    asked: RequestFacts<'_>,
    context: ResponseContext,
) {
    let length = sent.length().expect("ambiguous framing goes out");
    if context.version == Version::Http10 {
        assert_ne!(length, Length::Chunks, "an HTTP/1.0 client is sent chunks");
    }
    match response.framing() {
        Framing::Empty if asked.is_head || response.status == 304 => {}
        Framing::Empty => assert!(matches!(length, Length::Unsaid | Length::Bytes(0))),
        Framing::Length(count) => assert_eq!(length, Length::Bytes(count)),
        Framing::Chunked if context.version == Version::Http10 => assert_eq!(length, Length::Unsaid),
        Framing::Chunked => assert_eq!(length, Length::Chunks),
        Framing::UntilEof => assert_eq!(length, Length::Unsaid),
    }
    if matches!(response.status, 100..=199 | 204) {
        assert_eq!(length, Length::Unsaid, "RFC 9112 §6.1 and RFC 9110 §8.6 forbid both");
    }
    let options = sent.all("connection");
    let is_switch = matches!(response.status, 101 | 426) && !sent.all("upgrade").is_empty();
    let said = options.iter().filter(|option| !is_switch || **option != b"Upgrade");
    assert!(options.len() <= 2 && said.count() <= 1, "Connection says two things: {options:?}");
    assert!(sent.all("keep-alive").is_empty() && sent.all("proxy-connection").is_empty());
    assert!(sent.all("upgrade").is_empty() || matches!(response.status, 101 | 426));
}

/// Every field that goes out came in, but for those that Pollux says itself.
fn check_fields(came: &[u8], sent: &wire::Head<'_>) {
    let received = wire::head(came).expect("a broken head was accepted").expect("half a head was accepted");
    let own = ["connection", "via", "content-length", "transfer-encoding", "date"];
    let is_own = |name: &[u8]| own.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()));
    let mut rest = received.fields.iter();
    for field in sent.fields.iter().filter(|field| !is_own(field.0)) {
        assert!(
            rest.any(|other| other == field),
            "a field goes out that did not come in, or not there: {field:?}"
        );
    }
    let status = &sent.first[9..];
    assert!(status < &b"200"[..] || !sent.all("date").is_empty(), "a final response goes out without a date");
    let cookies = |head: &wire::Head<'_>| head.all("set-cookie").len();
    assert!(
        cookies(sent) == cookies(&received) || !received.all("connection").is_empty(),
        "a cookie is lost"
    );
}
