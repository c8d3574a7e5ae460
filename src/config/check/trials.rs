//! `[[test]]`.

use std::net::IpAddr;

use super::names::{self, Seen};
use crate::config::code::Code;
use crate::config::doc::Node;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::core::outcome::Cause;
use crate::explain::{Ask, QuestionError, Shown, TestExpectation, Trial};
use crate::snapshot::{Listener, Snapshot};

/// The tests of a configuration, with their places. `snapshot` is `None` if it has errors: then nothing is
/// said of names.
pub(super) fn check(
    root: Reader<'_>,
    snapshot: Option<&Snapshot>,
    findings: &mut Findings,
) -> Vec<(Trial, Place)> {
    let (mut trials, mut seen) = (Vec::new(), Seen::default());
    for (index, table) in root.tables("test", &language::TEST).enumerate() {
        if findings.is_full() {
            break;
        }
        let (name, place) = match table.text("name") {
            Some((name, place)) if names::check_plain("test", name, place, findings) => {
                (name.to_owned(), place)
            }
            Some(_) | None => (format!("test-{}", index + 1), table.place()),
        };
        if let Some(first) = seen.first(name.clone(), place) {
            findings.push(names::twice("tests", &name, (place, "again here"), first));
        }
        let Some(ask) = ask(table, findings) else { continue };
        let expect = expect(table, findings);
        if let Some(snapshot) = snapshot {
            check_ask(table, &ask, snapshot, findings);
            check_expected(table, &expect, snapshot, findings);
        }
        trials.push((Trial { name, place: String::new(), ask, expect }, table.place()));
    }
    trials
}

fn ask(table: Reader<'_>, findings: &mut Findings) -> Option<Ask> {
    let request = match table.text("request") {
        Some((request, _)) => request,
        None if table.has("request") => return None,
        // It is about a connection.
        None if table.has("sni") || table.has("alpn") => "",
        None => {
            if !findings.is_meant(table.place(), "request") {
                findings.push(
                    Diagnostic::new(Code::MissingKey, "the test has no request")
                        .mark(table.place(), "`request` is missing")
                        .help(
                            "write `request = \"GET https://example.com/\"`, or `sni` or `alpn` for a connection whose bytes are passed",
                        ),
                );
            }
            return None;
        }
    };
    let from = table.text("from").and_then(|(text, place)| {
        let address = text.parse::<IpAddr>().ok();
        if address.is_none() {
            findings.push(
                Diagnostic::new(Code::BadValue, format!("bad `from`: {} is not an address", quote(text)))
                    .mark(place, "expected an IP address")
                    .help("write an address such as `10.1.2.3`"),
            );
        }
        address
    });
    let texts = |key: &str| table.list(key).iter().filter_map(Node::text).map(str::to_owned).collect();
    Some(Ask {
        request: request.to_owned(),
        headers: pairs(table, "headers"),
        from,
        listener: table.text("listener").map(|(name, _)| name.to_owned()),
        down: texts("down"),
        full: texts("full"),
        sni: table.text("sni").map(|(name, _)| name.to_owned()),
        alpn: texts("alpn"),
        client_cert: shown(table),
    })
}

/// What is said of the client's certificate.
fn shown(table: Reader<'_>) -> Shown {
    let Some(described) = table.table_of_either("client_cert", &language::TEST_CERT) else {
        let state = table.text("client_cert").map(|(word, _)| word.to_owned());
        return Shown { state, ..Shown::default() };
    };
    let text = |key: &str| described.text(key).map(|(text, _)| text.to_owned());
    Shown { state: text("state"), subject: text("subject"), fingerprint: text("fingerprint") }
}

fn pairs(table: Reader<'_>, key: &str) -> Vec<(String, String)> {
    let pair = |entry: &crate::config::doc::Entry| Some((entry.key.clone(), entry.node.text()?.to_owned()));
    table.names(key).iter().filter_map(pair).collect()
}

fn expect(table: Reader<'_>, findings: &mut Findings) -> TestExpectation {
    let Ok(Some(expect)) = table.table("expect", &language::EXPECT, findings) else {
        if !table.has("expect") && !findings.is_meant(table.place(), "expect") {
            findings.push(
                Diagnostic::new(Code::MissingKey, "the test expects nothing")
                    .mark(table.place(), "`expect` is missing")
                    .help("write `expect = { pool = \"app\" }`"),
            );
        }
        return TestExpectation::default();
    };
    let text = |key: &str| expect.text(key).map(|(text, _)| text.to_owned());
    TestExpectation {
        route: text("route"),
        pool: text("pool"),
        backend: text("backend"),
        status: expect.number("status").map(|(status, _)| status),
        cause: text("cause"),
        location: text("location"),
        header: pairs(expect, "header"),
    }
}

/// Names in the request have to be known.
fn check_ask(table: Reader<'_>, ask: &Ask, snapshot: &Snapshot, findings: &mut Findings) {
    let Err(error) = ask.understand(snapshot) else { return };
    let (code, keys) = match error {
        QuestionError::Request(_) => (Code::BadValue, ["request", "headers"]),
        QuestionError::Listener(_) => (Code::UnknownName, ["listener", "request"]),
        QuestionError::Backend(_) => (Code::UnknownName, ["down", "full"]),
        QuestionError::ClientCert(_) => (Code::BadValue, ["client_cert", "listener"]),
        QuestionError::Tls(_) => (Code::BadValue, ["alpn", "sni"]),
    };
    let place = keys.iter().find_map(|key| table.entry(key)).map_or(table.place(), |entry| entry.node.place);
    findings.push(
        Diagnostic::new(code, format!("the test cannot be run: {error}"))
            .mark(place, "here")
            .help("requests are `GET https://host/path` or `GET /path`, backends `pool/backend`"),
    );
}

/// So have those of what is expected.
fn check_expected(table: Reader<'_>, expect: &TestExpectation, snapshot: &Snapshot, findings: &mut Findings) {
    let routes = snapshot.listeners.iter().flat_map(|listener: &Listener| listener.routes.routes());
    let backends = snapshot.pools.iter().flat_map(|pool| &pool.backends);
    let known: [(&str, &Option<String>, Vec<&str>); 4] = [
        ("route", &expect.route, routes.map(|route| route.name.as_str()).collect()),
        ("pool", &expect.pool, snapshot.pools.iter().map(|pool| pool.name.as_str()).collect()),
        ("backend", &expect.backend, backends.map(|backend| backend.name.as_str()).collect()),
        ("cause", &expect.cause, Cause::ALL.iter().map(|cause| cause.as_str()).collect()),
    ];
    let Ok(Some(reader)) = table.table("expect", &language::EXPECT, findings) else { return };
    for (key, written, names) in known {
        if let Some(written) = written
            && !names.contains(&written.as_str())
        {
            let place = reader.entry(key).map_or(reader.place(), |entry| entry.node.place);
            findings.push(names::unknown(Code::UnknownName, key, written, place, &names));
        }
    }
}
