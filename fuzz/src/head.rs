//! Request heads: [`HeadScan`] finds them, `http::request` reads and rewrites them.
//!
//! For any bytes: no panic; the same verdict however they are cut. A head that is accepted goes out as one
//! head that a second, strict reader takes for the same request; that Pollux itself accepts and leaves as it
//! is; and in which nothing stands that was neither the client's nor Pollux's to say.

use pollux::http::request;
use pollux::message::{BodyLength, field_table};
use pollux::http::scan::{HeadLimits, HeadScan, ScanFault};
use pollux::snapshot::Limits;

use crate::cuts::Cuts;
use crate::wire::{self, Length};

/// Small, so that short inputs reach them.
const BOUNDS: HeadLimits = HeadLimits { head: 1024, first_line: 256, empty_lines: 4 };

/// The output is longer than the input, by the fields that Pollux adds.
const LONGER: HeadLimits = HeadLimits { head: 4096, first_line: 512, empty_lines: 0 };

/// Fields that Pollux writes itself, or drops.
const OWN: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    // The fields that it announces stay here unless a pool passes trailers, which this writer has no pool to
    // say.
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

fn limits(fields: usize) -> Limits {
    Limits { fields, body: Some(1 << 40), ..Limits::default() }
}

type Scanned = Result<Option<(usize, usize)>, ScanFault>;

/// Scans `data` in pieces whose sizes `piece` gives.
pub(crate) fn scan_in_pieces(data: &[u8], bounds: &HeadLimits, mut piece: impl FnMut() -> usize) -> Scanned {
    let (mut scan, mut end) = (HeadScan::default(), 0);
    loop {
        end = (end + piece()).min(data.len());
        match scan.scan(&data[..end], bounds) {
            Ok(None) if end < data.len() => {}
            verdict => return verdict,
        }
    }
}

/// Scans `data` whole and cut, and checks that it makes no difference. That a head is too long may be noticed
/// before a line of it that is wrong too: both refuse it.
pub(crate) fn scan_any_way(data: &[u8], bounds: &HeadLimits) -> Scanned {
    let whole = HeadScan::default().scan(data, bounds);
    let mut cuts = Cuts::of(data, 0);
    for cut in [scan_in_pieces(data, bounds, || 1), scan_in_pieces(data, bounds, || cuts.piece())] {
        assert!(cut == whole || (cut.is_err() && whole.is_err()), "whole {whole:?}, but cut {cut:?}");
    }
    whole
}

/// See the module.
pub fn check(data: &[u8]) {
    let Ok(Some((start, end))) = scan_any_way(data, &BOUNDS) else { return };
    let came = &data[start..end];
    let mut table = field_table();
    let Ok(request) = request::read(came, &mut table, &limits(16)) else { return };

    if request.ends_here() {
        return;
    }

    let mut went = Vec::new();
    request.write(&mut went, [192, 0, 2, 1].into(), "app");
    let sent = wire::head(&went).expect("a broken head goes out").expect("half a head goes out");
    assert_eq!(sent.length, went.len(), "something goes out behind the head");
    check_line(&sent, request.method_text, request.target_text);
    check_framing(&sent, request.body);
    let received = wire::head(came).expect("a broken head was accepted").expect("half a head was accepted");
    check_fields(&received, &sent);

    assert_eq!(HeadScan::default().scan(&went, &LONGER), Ok(Some((0, went.len()))), "not one head");
    let mut table = field_table();
    let again = request::read(&went, &mut table, &limits(64)).expect("Pollux refuses what it wrote");
    assert_eq!((again.method, again.body), (request.method, request.body));
    assert_eq!(again.wants_upgrade, request.wants_upgrade, "the upgrade is lost or found");
    assert!(again.keep_alive, "the backend is asked to close");
    let mut went_again = Vec::new();
    again.write(&mut went_again, [192, 0, 2, 1].into(), "app");
    assert_eq!(unhopped(&went), unhopped(&went_again), "a second pass changes the head");
}

fn check_line(sent: &wire::Head<'_>, method: &str, target: &str) {
    let parts: Vec<_> = sent.first.split(|&byte| byte == b' ').collect();
    let [sent_method, sent_target, b"HTTP/1.1"] = parts[..] else { panic!("a bad request line goes out") };
    assert_eq!(sent_method, method.as_bytes());
    let is_same = target.as_bytes().ends_with(sent_target)
        || (target.contains("://") && (sent_target == b"*" || sent_target[0] == b'/'));
    assert!(is_same, "{target:?} became {sent_target:?}");
    assert!(sent_target[0] == b'/' || (sent_target == b"*" && method == "OPTIONS"), "an odd target goes out");
}

fn check_framing(sent: &wire::Head<'_>, body: BodyLength) {
    let length = sent.length().expect("ambiguous framing goes out");
    match body {
        BodyLength::Empty => assert!(matches!(length, Length::Unsaid | Length::Bytes(0))),
        BodyLength::Known(count) => assert_eq!(length, Length::Bytes(count)),
        BodyLength::Open => assert_eq!(length, Length::Chunks),
    }
    let host = sent.one("host").expect("not exactly one Host goes out");
    assert!(!host.is_empty(), "an empty Host goes out");
    assert!(sent.all("http2-settings").is_empty() && sent.all("te").is_empty());
    for protocol in sent.all("upgrade") {
        let text = String::from_utf8_lossy(protocol).to_ascii_lowercase();
        let is_http2 = |one: &str| matches!(one.trim(), "h2" | "h2c" | "http/2" | "http/2.0");
        assert!(!text.split(',').any(is_http2), "an upgrade to HTTP/2 goes out: {text:?}");
    }
    if !sent.all("upgrade").is_empty() {
        let has_body = !matches!(length, Length::Unsaid | Length::Bytes(0));
        assert!(!has_body, "a body goes out behind an upgrade: llhttp would read it as a request");
    }
    for option in sent.all("connection") {
        assert_eq!(option, b"Upgrade", "Connection says more than Upgrade");
    }
}

/// Every field that goes out and is not Pollux's own came in, in that order, and was not nominated by
/// Connection.
fn check_fields(received: &wire::Head<'_>, sent: &wire::Head<'_>) {
    let is_own = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        OWN.contains(&&*name) || name.starts_with("x-forwarded-") || is_lookalike(&name)
    };
    let nominated: Vec<Vec<u8>> = received
        .all("connection")
        .into_iter()
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(|option| wire::trimmed(option).to_ascii_lowercase())
        .collect();
    let passes =
        |field: &&(&[u8], &[u8])| !is_own(field.0) && !nominated.contains(&field.0.to_ascii_lowercase());
    let expected: Vec<_> = received.fields.iter().filter(passes).collect();
    let passed: Vec<_> = sent.fields.iter().filter(|field| !is_own(field.0)).collect();
    assert_eq!(passed, expected, "other fields go out than came in");
}

/// Whether an application that takes `_` for `-` would take the field for one of Pollux's own.
fn is_lookalike(name: &str) -> bool {
    let meant = name.replace('_', "-");
    let weighty = ["content-length", "transfer-encoding", "keep-alive", "proxy-connection"];
    meant != name && (weighty.contains(&&*meant) || meant.starts_with("x-forwarded-"))
}

/// The lines of a head but for those that every pass adds, counts down or writes anew.
fn unhopped(head: &[u8]) -> Vec<&[u8]> {
    let is_hop = |line: &&[u8]| {
        let names: [&[u8]; 3] = [b"Via: ", b"X-Forwarded-", b"Max-Forwards: "];
        names.iter().any(|name| line.starts_with(name))
    };
    head.split(|&byte| byte == b'\n').filter(|line| !is_hop(line)).collect()
}
