//! Lines as they read, and that nothing in a request can make them anything else.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::core::captured::Captured;
use crate::core::identity::RequestId;
use crate::core::outcome::{Cause, Consulted, Outcome, Proof, Proofs, Queued, Spans, Stage};
use crate::core::subject::Subject;
use crate::core::tls_info::{CertError, CertificateInfo, Credential, TlsInfo};
use crate::snapshot::Mode;

/// A good exchange.
fn record(notes: &Captured) -> Record<'_> {
    let ms = |ms| Some(Duration::from_millis(ms));
    Record {
        client: ([192, 0, 2, 7], 4711).into(),
        proxy: None,
        listener: "web",
        mode: Mode::Http,
        method: b"GET",
        target: b"/a?token=secret",
        authority: b"h.example",
        protocol: "HTTP/1.1",
        request_id: RequestId::Own(255),
        trace_id: "",
        status: 200,
        grpc_status: None,
        route: Some("default"),
        pool: "app",
        backend: Some("b1"),
        attempts: 1,
        retried: Proofs::default(),
        budget_spent: false,
        queued: None,
        asked: None,
        reused: true,
        bytes_up: 120,
        bytes_down: 2326,
        spans: Spans { head: ms(1), opened: ms(3), response: ms(10), whole: Duration::from_micros(12_500) },
        outcome: Outcome { cause: None, stage: Stage::Response },
        tls_info: None,
        captured: notes,
    }
}

fn pen(format: LineFormat, headers: &[&str]) -> Pen {
    let request = headers.iter().map(|name| String::from(*name)).collect();
    Pen::new(
        &AccessLogRules {
            headers: CapturedNames { request, ..CapturedNames::default() },
            ..AccessLogRules::default()
        },
        format,
    )
}

fn notes(pen: &Pen, fields: &[(&str, &[u8])]) -> Captured {
    let mut notes = Captured::default();
    notes.take_request(&fields.iter().copied(), &pen.captured_names);
    notes
}

/// 10 October 2000, 13:55:36.000007 UTC.
fn line(pen: &Pen, record: &Record<'_>) -> String {
    let (mut out, at) = (Vec::new(), Duration::new(971_186_136, 7_000));
    pen.write(record, at, &mut Date::new(0), &mut out);
    String::from_utf8(out).expect("lines are UTF-8")
}

#[test]
fn text_reads_like_the_log() {
    let pen = pen(LineFormat::Text, &["user-agent"]);
    let notes = notes(&pen, &[("User-Agent", b"curl/8 x")]);
    assert_eq!(
        line(&pen, &record(&notes)),
        "2000-10-10T13:55:36.000007Z  INFO access: client=192.0.2.7:4711 listener=\"web\" mode=http \
         request_id=000000000000000000000000000000ff method=GET path=/a?token=secret host=h.example protocol=\"HTTP/1.1\" status=200 \
         route=\"default\" pool=\"app\" backend=\"b1\" attempts=1 reused=true bytes_up=120 bytes_down=2326 head_ms=1 opened_ms=3 \
         response_ms=10 whole_ms=12.5 connect_ms=2 answer_ms=7 cause=\"-\" request.user-agent=\"curl/8 x\"\n"
    );
}

#[test]
fn json_has_every_value_in_its_type() {
    let pen = pen(LineFormat::Json, &["user-agent", "accept"]);
    let notes = notes(&pen, &[("User-Agent", b"a\"b"), ("Accept", b"\xff")]);
    let mut retried = Proofs::default();
    retried.push(Proof::Unsent);
    retried.push(Proof::StaleReuse);
    let record = Record {
        proxy: Some(([10, 0, 0, 1], 80).into()),
        client: ([192, 0, 2, 7], 0).into(),
        request_id: RequestId::Kept("edge-7"),
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        retried,
        budget_spent: true,
        queued: Some(Queued { ahead: 3, wait: Duration::from_millis(1) }),
        asked: Some(Consulted { authority: "sso", wait: Duration::from_micros(500) }),
        outcome: Outcome { cause: Some(Cause::BackendRefused), stage: Stage::Opening },
        ..record(&notes)
    };
    let read: serde_json::Value = serde_json::from_str(&line(&pen, &record)).unwrap();
    let expected = serde_json::json!({
        "timestamp": "2000-10-10T13:55:36.000007Z", "target": "access", "client": "192.0.2.7", "proxy": "10.0.0.1:80",
        "listener": "web", "mode": "http", "request_id": "edge-7", "trace_id": "0af7651916cd43dd8448eb211c80319c", "method": "GET",
        "path": "/a?token=secret", "host": "h.example", "protocol": "HTTP/1.1", "status": 200, "route": "default", "pool": "app",
        "backend": "b1", "attempts": 1, "retried": "unsent,stale-reuse", "budget": "spent", "reused": true, "asked": "sso", "asked_ms": 0.5, "queued_ms": 1,
        "queued_behind": 3, "bytes_up": 120, "bytes_down": 2326, "head_ms": 1, "opened_ms": 3, "response_ms": 10,
        "whole_ms": 12.5, "connect_ms": 0.5, "answer_ms": 7, "cause": "backend-refused", "who": "backend", "stage": "opening",
        "request_headers": { "user-agent": "a\"b", "accept": "\u{fffd}" },
    });
    assert_eq!(read, expected);
}

#[test]
fn what_is_known_of_a_tls_client_is_told() {
    let identity = CertificateInfo {
        subject: Subject::parse(r"CN=mallory\, O=Example").unwrap(),
        issuer: String::from("CN=nobody"),
        serial: String::from("0a"),
        fingerprint: "ab".repeat(32),
    };
    let tls_info = |client| TlsInfo {
        version: "TLSv1.3",
        cipher: String::from("TLS13_AES_128_GCM_SHA256"),
        name: String::from("h.example"),
        covered: None,
        protocol: String::from("http/1.1"),
        is_resumed: true,
        client,
    };
    let failed = tls_info(Credential::Failed(identity.clone(), CertError::Expired));
    let (json, nothing) = (pen(LineFormat::Json, &[]), Captured::default());
    let told = |tls_info| {
        let line = line(&json, &Record { tls_info, ..record(&nothing) });
        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        let is_about_it = |key: &str| key.starts_with("tls_") || key.starts_with("client_cert");
        serde_json::Value::from_iter(read.into_iter().filter(|(key, _)| is_about_it(key)))
    };
    let expected = serde_json::json!({
        "tls_version": "TLSv1.3", "tls_cipher": "TLS13_AES_128_GCM_SHA256", "tls_name": "h.example", "tls_resumed": true,
        "client_cert": "failed", "client_cert_error": "expired", "client_cert_subject": r"CN=mallory\, O=Example",
        "client_cert_issuer": "CN=nobody", "client_cert_serial": "0a", "client_cert_fingerprint": "ab".repeat(32),
    });
    assert_eq!(told(Some(&failed)), expected);
    let (verified, none) = (tls_info(Credential::Verified(identity)), tls_info(Credential::None));
    assert_eq!(told(Some(&verified))["client_cert"], "yes");
    assert_eq!(told(Some(&verified)).get("client_cert_error"), None);
    assert_eq!(told(Some(&none)).as_object().unwrap().len(), 4);
    assert_eq!(told(None), serde_json::json!({}));
    let layout =
        Layout::parse("{tls_version} {client_cert} \"{client_cert_subject}\" {client_cert_error}").unwrap();
    let pen = Pen::new(&AccessLogRules::default(), LineFormat::Layout(layout));
    let of = |tls_info| line(&pen, &Record { tls_info, ..record(&nothing) });
    assert_eq!(of(Some(&failed)), "TLSv1.3 failed \"CN=mallory\\\\, O=Example\" expired\n");
    assert_eq!(of(None), "- - \"-\" -\n");
}

#[test]
fn combined_is_that_of_apache() {
    let pen = pen(LineFormat::Combined, &[]);
    let notes = notes(&pen, &[("Referer", b"http://x/\"?q"), ("User-Agent", b"Mozilla/4.08 [en]")]);
    let request = "192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] \"GET /a?token=secret HTTP/1.1\" 200 2326";
    assert_eq!(line(&pen, &record(&notes)), format!("{request} \"http://x/\\\"?q\" \"Mozilla/4.08 [en]\"\n"));
    let common = Pen::new(&AccessLogRules::default(), LineFormat::Common);
    assert_eq!(line(&common, &record(&notes)), format!("{request}\n"));
    let nothing = Captured::default();
    let gone = Record {
        method: b"",
        target: b"",
        protocol: "",
        status: 0,
        outcome: Outcome { cause: Some(Cause::ClientAborted), stage: Stage::Head },
        ..record(&nothing)
    };
    assert!(line(&pen, &gone).ends_with("] \"-\" 499 2326 \"-\" \"-\"\n"), "{}", line(&pen, &gone));
}

#[test]
fn a_template_has_what_it_names() {
    let text = "{time} {apache_time} {client} \"{method} {path}\" {status} {whole_ms}/{queued_ms} {cause} {{\"{header.X-A}\"}} {trace_id}";
    let pen = Pen::new(&AccessLogRules::default(), LineFormat::Layout(Layout::parse(text).unwrap()));
    let notes = notes(&pen, &[("x-a", b"1\" 2")]);
    assert_eq!(
        line(&pen, &record(&notes)),
        "2000-10-10T13:55:36.000007Z 10/Oct/2000:13:55:36 +0000 192.0.2.7:4711 \"GET /a?token=secret\" 200 12.5/- - {\"1\\\" 2\"} -\n"
    );
}

#[test]
fn what_is_to_be_hidden_is_in_no_form() {
    for format in [LineFormat::Text, LineFormat::Json, LineFormat::Common, LineFormat::Combined] {
        let redaction = Redaction { query: true, headers: vec![String::from("user-agent")] };
        let request = ["user-agent", "referer"].map(String::from).into();
        let rules = AccessLogRules {
            redaction,
            headers: CapturedNames { request, ..CapturedNames::default() },
            ..AccessLogRules::default()
        };
        let pen = Pen::new(&rules, format.clone());
        let notes = notes(&pen, &[("User-Agent", b"secret"), ("Referer", b"http://x/y?secret")]);
        let line = line(&pen, &record(&notes));
        assert!(!line.contains("secret") && line.contains("/a"), "{line}");
        if format != LineFormat::Common {
            assert!(line.contains("[hidden]") && line.contains("http://x/y"), "{line}");
        }
    }
}

#[test]
fn a_field_that_is_a_uri_loses_its_query_in_either_message() {
    for (name, value) in [
        ("location", "https://x/y?secret"),
        ("location", "https://x/y#access_token=secret"),
        ("content-location", "/y?secret"),
        ("refresh", "5; url=/y?secret"),
        ("link", "</y?secret>; rel=next"),
        ("referer", "http://x/y?secret"),
        ("x-original-url", "/y?secret"),
    ] {
        let redaction = Redaction { query: true, headers: Vec::new() };
        let headers = CapturedNames { request: vec![name.to_owned()], response: vec![name.to_owned()] };
        let pen = Pen::new(
            &AccessLogRules { redaction, headers: headers.clone(), ..AccessLogRules::default() },
            LineFormat::Json,
        );
        let mut notes = Captured::default();
        let fields = [(name, value.as_bytes())];
        notes.take_request(&fields.into_iter(), &headers);
        notes.take_response(&fields.into_iter(), &headers);
        let line = line(&pen, &record(&notes));
        assert!(!line.contains("secret") && line.matches("/y").count() == 2, "{line}");
    }
}

/// Which of five exchanges have a line: a good one, a slow one, 404, 502, and a client that left.
fn chosen(choice: &Choice) -> String {
    let notes = Captured::default();
    let good = record(&notes);
    let with =
        |status, cause| Record { status, outcome: Outcome { cause, stage: Stage::Routing }, ..good.clone() };
    let slow = Record { spans: Spans { whole: Duration::from_secs(2), ..good.spans }, ..good.clone() };
    let all = [
        ("good", good.clone()),
        ("slow", slow),
        ("missing", with(404, None)),
        ("refused", with(502, Some(Cause::BackendRefused))),
        ("left", with(0, Some(Cause::ClientAborted))),
    ];
    let taken: Vec<&str> =
        all.iter().filter(|(_, record)| choice.takes(record)).map(|(name, _)| *name).collect();
    taken.join(" ")
}

#[test]
fn the_choice_is_as_it_is_documented() {
    let statuses = |texts: &[&str]| texts.iter().map(|text| Statuses::parse(text).expect(text)).collect();
    let default = Choice::default;
    assert_eq!(chosen(&default()), "good slow missing refused left");
    assert_eq!(chosen(&Choice { statuses: statuses(&["5xx", "499"]), ..default() }), "refused left");
    assert_eq!(chosen(&Choice { statuses: statuses(&["404"]), ..default() }), "missing");
    let slow = Choice { slower_than: Some(Duration::from_secs(1)), ..default() };
    assert_eq!(chosen(&slow), "slow");
    assert_eq!(chosen(&Choice { statuses: statuses(&["4xx"]), ..slow.clone() }), "slow missing left");
    assert_eq!(chosen(&Choice { sample: Some(0), ..default() }), "refused left");
    assert_eq!(chosen(&Choice { sample: Some(0), ..slow }), "slow refused left");
    let except = vec![Cause::ClientAborted];
    assert_eq!(chosen(&Choice { except, ..default() }), "good slow missing refused");
    for bad in ["", "6xx", "0xx", "5x", "99", "600", "+99", "5xxx", "xx"] {
        assert_eq!(Statuses::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_sample_is_about_as_large_as_it_should_be() {
    let (notes, ids) = (Captured::default(), crate::core::identity::Ids::new(1));
    let choice = Choice { sample: Some(100), ..Choice::default() };
    let taken = (0..20_000)
        .filter(|_| choice.takes(&Record { request_id: RequestId::Own(ids.next()), ..record(&notes) }))
        .count();
    assert!((1700..2300).contains(&taken), "{taken}");
}

#[test]
fn destinations_are_told_apart() {
    let parse = |text: &str| Destination::parse(text, |path| PathBuf::from(path)).map(|to| to.to_string());
    for text in [
        "stdout",
        "off",
        "a/b.log",
        "syslog:udp://127.0.0.1:514",
        "syslog:udp://[::1]:5",
        "syslog:unix:/dev/log",
    ] {
        assert_eq!(parse(text).as_deref(), Ok(text));
    }
    assert_eq!(parse("stderr").as_deref(), Ok("on"));
    for bad in [
        "",
        "a/",
        "a\0",
        "syslog:",
        "syslog:udp://localhost:514",
        "syslog:udp://1.2.3.4",
        "syslog:unix:",
        "syslog:tcp://1.2.3.4:5",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(
            prop::sample::select(b"\"\\ \n\r\t{}?='\x00\x1b\x7f\xc3\xa9\xff,:-[]".to_vec()),
            0..40
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// For any request, a line is one line, JSON is read back as the same text, and quotes keep their text in
    /// them.
    #[test]
    fn no_request_breaks_its_line(
        method in bytes(), target in bytes(), authority in bytes(), agent in bytes(), referer in bytes(), hides in any::<bool>(),
    ) {
        let redaction = Redaction { query: hides, headers: Vec::new() };
        let rules = AccessLogRules { redaction, ..AccessLogRules::default() };
        let layout = Layout::parse("\"{method}\" \"{path}\" \"{host}\" \"{header.user-agent}\" \"{header.referer}\"").unwrap();
        for format in [LineFormat::Text, LineFormat::Json, LineFormat::Common, LineFormat::Combined, LineFormat::Layout(layout)] {
            let headers = ["user-agent", "referer"].map(String::from).into();
            let rules = AccessLogRules { headers: CapturedNames { request: headers, ..CapturedNames::default() }, ..rules.clone() };
            let pen = Pen::new(&rules, format.clone());
            let notes = notes(&pen, &[("User-Agent", &agent), ("Referer", &referer)]);
            let line = line(&pen, &Record { method: &method, target: &target, authority: &authority, ..record(&notes) });
            prop_assert!(line.ends_with('\n') && !line[..line.len() - 1].chars().any(char::is_control), "{line:?}");
            if format == LineFormat::Json {
                let read: serde_json::Value = serde_json::from_str(&line).unwrap();
                prop_assert_eq!(&read["request_headers"]["user-agent"], &*String::from_utf8_lossy(&agent));
                prop_assert_eq!(&read["status"], 200);
                continue;
            }
            let quotes = quotes(&line);
            match format {
                LineFormat::Combined => prop_assert_eq!(quotes, 6),
                LineFormat::Common => prop_assert_eq!(quotes, 2),
                LineFormat::Layout(_) => prop_assert_eq!(quotes, 10),
                LineFormat::Text | LineFormat::Json => prop_assert_eq!(quotes % 2, 0),
            }
        }
    }
}

/// The number of double quotes that are not behind a backslash.
fn quotes(line: &str) -> usize {
    let (mut is_escaped, mut count) = (false, 0);
    for byte in line.bytes() {
        count += usize::from(byte == b'"' && !is_escaped);
        is_escaped = byte == b'\\' && !is_escaped;
    }
    count
}
