//! Routes that ask for client certificates: what is said of them, and what becomes of requests, as `[[test]]`
//! and `pollux explain` have it.

use std::sync::LazyLock;

use pollux::balance::RoundRobin;
use pollux::config::{self, Code, ConfigReport, Loaded};
use pollux::explain::{Ask, Shown, explain};

use super::tls::{Shelf, good};

const POOLS: &str =
    "[pool.app]\nbackends = [\"127.0.0.1:9001\"]\n[pool.other]\nbackends = [\"127.0.0.1:9002\"]\n";

const PRINT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn parse(text: &str) -> Result<Loaded, ConfigReport> {
    // Every configuration is about the same one.
    static PAIR: LazyLock<(String, String)> = LazyLock::new(good);
    let files = vec![("cert.pem", PAIR.0.clone()), ("key.pem", PAIR.1.clone())];
    config::parse_in(text, "proxy.toml", &mut Shelf(files))
}

/// A listener with TLS, `more` in its `tls`.
fn listener(more: &str) -> String {
    format!(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8443\"\ntls = {{ certificates = [{{ cert = \"cert.pem\", key = \"key.pem\" }}]{more} }}\n"
    )
}

const REQUEST: &str = ", client_ca = \"cert.pem\", client_auth = \"request\"";

fn route(name: &str, client_cert: &str, pool: &str) -> String {
    format!("[[listener.route]]\nname = \"{name}\"\nmatch.client_cert = {client_cert}\npool = \"{pool}\"\n")
}

#[test]
fn what_no_client_can_have_is_told() {
    let plain = "[[listener]]\nbind = \"127.0.0.1:8080\"\n";
    let tcp = "[[listener]]\nbind = \"127.0.0.1:8080\"\nmode = \"tcp\"\n";
    let (open, request) = (listener(""), listener(REQUEST));
    let require = listener(", client_ca = \"cert.pem\"");
    let sha1 = format!("{{ fingerprint = \"{}\" }}", &PRINT[..40]);
    for (listener, client_cert, codes) in [
        (plain, "\"verified\"", &[Code::NoEffect][..]),
        (tcp, "\"verified\"", &[Code::HttpOnly]),
        (&open, "{ common_name = \"a\" }", &[Code::NoEffect]),
        (&require, "\"failed\"", &[Code::UnreachableRoute]),
        (&require, "{ state = [\"none\", \"failed\"] }", &[Code::UnreachableRoute]),
        (&require, "[\"verified\", \"failed\"]", &[]),
        (&require, "{ common_name = \"a\" }", &[]),
        (&request, "[\"none\", \"failed\"]", &[]),
        (&request, "{ state = \"none\", common_name = \"a\" }", &[Code::Contradiction]),
        (&request, "\"expired\"", &[Code::UnknownWord]),
        (&request, "{ subject = \"alice\" }", &[Code::BadValue]),
        (&request, "{ common_name = \"\" }", &[Code::BadValue]),
        (&request, &sha1, &[Code::BadValue]),
        (&request, "true", &[Code::WrongType]),
    ] {
        let text = format!("{listener}{}{POOLS}", route("a", client_cert, "app"));
        let report = match parse(&text) {
            Ok(loaded) => loaded.warnings,
            Err(report) => Some(report),
        };
        let found: Vec<Code> = report.iter().flat_map(ConfigReport::codes).collect();
        let found: Vec<Code> = found.into_iter().filter(|code| *code != Code::UnusedPool).collect();
        assert_eq!(found, codes, "{text}{}", report.map_or_else(String::new, |report| report.to_string()));
    }
    let text = format!(
        "{request}{}{}{POOLS}",
        route("a", "{}", "app"),
        route("b", "{ common_name = \"a\" }", "other")
    );
    assert!(parse(&text).unwrap().warnings.unwrap().codes().any(|code| code == Code::UnreachableRoute));
}

fn routes() -> String {
    let pinned =
        format!("{{ state = [\"verified\", \"failed\"], fingerprint = \"{}\" }}", PRINT.to_uppercase());
    [
        listener(REQUEST),
        String::from("pool = \"other\"\n"),
        route("pinned", &pinned, "app"),
        String::from(
            "[[listener.route]]\nname = \"failed\"\nmatch.client_cert = \"failed\"\nrespond = { status = 403, headers = { X-Why = \"{client_cert_error}\", X-Subject = \"{client_cert_subject}\" } }\n",
        ),
        route("ops", "{ common_name = \"*.ops\" }", "app"),
        String::from(
            "[[listener.route]]\nname = \"example\"\nmatch.client_cert = { subject = \"CN=*, O=Example\" }\npool = \"app\"\nrequest_headers = { set = { X-Cert = \"{client_cert}\", X-Subject = \"{client_cert_subject}\" } }\n",
        ),
        String::from("[[listener]]\nname = \"open\"\nbind = \"127.0.0.1:8080\"\npool = \"other\"\n"),
        String::from("[[listener]]\nname = \"passed\"\nbind = \"127.0.0.1:9443\"\nmode = \"tcp\"\n[[listener.route]]\nname = \"h2\"\nmatch = { sni = \"*.example.com\", alpn = \"h2\" }\npool = \"app\"\n[[listener.route]]\nname = \"named\"\nmatch.sni = \"www.example.com\"\npool = \"other\"\n"),
        POOLS.to_owned(),
    ]
    .concat()
}

/// A test of a configuration, and what it fails with, or part of it; nothing if it passes.
type Case = (&'static str, &'static str);

const TESTS: &[Case] = &[
    ("request = \"/\"\nexpect = { route = \"default\" }", ""),
    ("request = \"/\"\nclient_cert = \"none\"\nexpect = { route = \"default\" }", ""),
    ("request = \"/\"\nclient_cert = { subject = \"CN=a.ops\" }\nexpect = { route = \"ops\" }", ""),
    (
        "request = \"/\"\nclient_cert = { subject = \"CN=alice,O=Example\" }\nexpect = { route = \"example\", header = { X-Cert = \"yes\", X-Subject = \"CN=alice, O=Example\" } }",
        "",
    ),
    ("request = \"/\"\nclient_cert = { subject = \"CN=alice\" }\nexpect = { route = \"default\" }", ""),
    (
        "request = \"/\"\nclient_cert = { subject = \"CN=a.ops\", state = \"expired\" }\nexpect = { route = \"failed\", status = 403, header = { X-Why = \"expired\", X-Subject = \"\" } }",
        "",
    ),
    (
        "request = \"/\"\nclient_cert = { state = \"unknown-issuer\", fingerprint = \"01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF\" }\nexpect = { route = \"pinned\" }",
        "",
    ),
    (
        "request = \"/\"\nclient_cert = { subject = \"CN=b.ops\" }\nexpect = { route = \"example\" }",
        "expected the route example, got ops",
    ),
    ("sni = \"www.example.com\"\nalpn = [\"h2\"]\nexpect = { route = \"h2\", pool = \"app\" }", ""),
    (
        "sni = \"www.example.com\"\nalpn = [\"http/1.1\"]\nexpect = { route = \"named\", backend = \"127.0.0.1:9002\" }",
        "",
    ),
    ("sni = \"WWW.example.com\"\nexpect = { route = \"named\" }", ""),
    ("sni = \"other.example\"\nexpect = { cause = \"no-route\" }", ""),
    (
        "sni = \"other.example\"\nlistener = \"passed\"\nexpect = { pool = \"app\" }",
        "expected the pool app, got none",
    ),
];

#[test]
fn tests_of_a_configuration_know_of_certificates_and_of_connections() {
    let text = TESTS.iter().map(|(test, _)| format!("[[test]]\n{test}\n")).collect::<String>();
    let loaded = parse(&format!("{}{text}", routes())).unwrap_or_else(|report| panic!("{report}"));
    for (trial, (test, failure)) in loaded.tests.iter().zip(TESTS) {
        let outcome = trial.run(&loaded.snapshot, &loaded.places);
        assert_eq!(outcome.failures.join("; "), *failure, "{test}");
    }
    assert_eq!(loaded.tests.len(), TESTS.len());
    let printed = config::print(&loaded.snapshot, &loaded.process);
    let again = parse(&printed).unwrap_or_else(|report| panic!("{report}\n{printed}"));
    assert_eq!(again.snapshot, loaded.snapshot, "{printed}");
}

#[test]
fn tests_that_cannot_be_run_say_why() {
    for (test, why) in [
        (
            "request = \"/\"\nclient_cert = \"bad\"",
            "no certificate is `bad`: it is one of none, verified, failed, expired",
        ),
        ("request = \"/\"\nclient_cert = { subject = \"alice\" }", "`alice` is no subject"),
        ("request = \"/\"\nclient_cert = { fingerprint = \"ab\" }", "`ab` is no SHA-256"),
        (
            "request = \"/\"\nlistener = \"open\"\nclient_cert = \"verified\"",
            "the listener `open` asks nobody for a certificate",
        ),
        (
            "request = \"/\"\nclient_cert = { state = \"none\", subject = \"CN=a\" }",
            "a certificate that is not there is of nobody",
        ),
        ("request = \"/\"\nlistener = \"open\"\nsni = \"a\"", "the listener `open` has no TLS"),
        ("request = \"/\"\nalpn = [\"h2\"]", "leave the protocols out"),
        (
            "request = \"/\"\nlistener = \"passed\"",
            "the listener `passed` passes bytes: ask without a request",
        ),
        ("sni = \"a\"\nlistener = \"web\"", "the listener `web` speaks HTTP"),
        ("sni = \"a\"\nalpn = [\"\"]", "is no protocol"),
        ("sni = \"a\"\nheaders = { A = \"b\" }", "there are header fields and no request"),
        ("sni = \"a\"\nclient_cert = \"failed\"", "see no certificate"),
        ("listener = \"passed\"", "the test has no request"),
    ] {
        let report = parse(&format!("{}[[test]]\n{test}\nexpect = {{}}\n", routes())).expect_err(test);
        assert!(report.to_string().contains(why), "{test}\n{report}");
    }
}

#[test]
fn it_is_explained_why_a_certificate_matches_or_not() {
    let loaded = parse(&routes()).unwrap_or_else(|report| panic!("{report}"));
    let told = |ask: &Ask| {
        let question = ask.understand(&loaded.snapshot).unwrap();
        explain(&loaded.snapshot, &loaded.places, &question, |_| RoundRobin::default()).to_string()
    };
    let shown =
        Shown { subject: Some("CN=bob, O=Other".into()), fingerprint: Some("00".repeat(32)), state: None };
    let https = Ask { request: "https://www.example.com/".into(), ..Ask::default() };
    let text = told(&Ask { client_cert: shown, ..https.clone() });
    for line in [
        &format!("pinned: the fingerprint of the client's certificate is {}, not {PRINT}", "00".repeat(32)),
        "failed: the client's certificate was verified, and one that could not be verified is asked for",
        "ops: the common name of the client's certificate is bob, not *.ops",
        "example: the client's certificate is that of CN=bob, O=Other, not of CN=*, O=Example",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let expired = Shown { state: Some("expired".into()), ..Shown::default() };
    let text = told(&Ask { client_cert: expired, ..https.clone() });
    assert!(text.contains("answered by the route itself: 403") && text.contains("X-Why: expired"), "{text}");
    let text = told(&https);
    let nobody = "ops: the client has shown no certificate, and one that was verified is asked for";
    assert!(text.contains(nobody), "{text}");

    let text =
        told(&Ask { sni: Some("www.example.com".into()), alpn: vec!["http/1.1".into()], ..Ask::default() });
    let expected = "\
listener passed, client 127.0.0.1

routes
  missed  proxy.toml:31  h2: the client offers http/1.1, not h2
  taken   proxy.toml:35  named

pool other
  127.0.0.1:9002  weight 1  picked
  round-robin, turn: of those that are left, the one whose turn comes first in a round that begins now
";
    assert_eq!(text, expected);
    let text = told(&Ask { sni: Some("a".into()), ..Ask::default() });
    assert!(text.ends_with("\nended: no-route\n"), "{text}");
}
