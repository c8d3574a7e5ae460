//! `[[test]]`.

use std::net::IpAddr;

use super::names::{self, Seen};
use super::site::Site;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::core::outcome::Cause;
use crate::explain::{Ask, QuestionError, Shown, TestExpectation, Trial};
use crate::snapshot::{Listener, Snapshot};

/// The tests of a configuration, with their places. `snapshot` is `None` if it has errors: then nothing is
/// said of names.
pub(super) fn check(
    root: Reader<'_>,
    site: &mut Site<'_>,
    snapshot: Option<&Snapshot>,
    findings: &mut Findings,
) -> Vec<(Trial, Place)> {
    let (mut trials, mut seen) = (Vec::new(), Seen::default());
    for (index, table) in root.tables("test", &language::TEST).enumerate() {
        if findings.is_full() {
            break;
        }
        let mut trial = Trial::default();
        let _reported = settings::read(&language::TEST, table, &mut trial, site, findings);
        let place = match table.text("name") {
            Some((_, place)) if !trial.name.is_empty() => place,
            Some(_) | None => {
                trial.name = format!("test-{}", index + 1);
                table.place()
            }
        };
        if let Some(first) = seen.first(trial.name.clone(), place) {
            findings.push(names::twice("tests", &trial.name, (place, "again here"), first));
        }
        if !check_request(table, findings) {
            continue;
        }
        if !table.has("expect") && !findings.is_meant(table.place(), "expect") {
            findings.push(
                Diagnostic::new(Code::MissingKey, "the test expects nothing")
                    .mark(table.place(), "`expect` is missing")
                    .help("write `expect = { pool = \"app\" }`"),
            );
        }
        if let Some(snapshot) = snapshot {
            check_ask(table, &trial.ask, snapshot, findings);
            check_expected(table, &trial.expect, snapshot, findings);
        }
        trials.push((trial, table.place()));
    }
    trials
}

/// Whether the test says what is asked: a request, or a connection by `sni` or `alpn`.
fn check_request(table: Reader<'_>, findings: &mut Findings) -> bool {
    if ["request", "sni", "alpn"].iter().any(|key| table.has(key)) {
        return table.text("request").is_some() || !table.has("request");
    }
    if !findings.is_meant(table.place(), "request") {
        findings.push(
            Diagnostic::new(Code::MissingKey, "the test has no request")
                .mark(table.place(), "`request` is missing")
                .help(
                    "write `request = \"GET https://example.com/\"`, or `sni` or `alpn` for a connection whose bytes are passed",
                ),
        );
    }
    false
}

/// `from`: the address of the client.
pub(in crate::config) fn from(table: Reader<'_>, findings: &mut Findings) -> Result<IpAddr, Reported> {
    let Some((text, place)) = table.text("from") else { return Err(findings.given_up(table.place())) };
    text.parse().map_err(|_| {
        findings.refuse(
            Diagnostic::new(Code::BadValue, format!("bad `from`: {} is not an address", quote(text)))
                .mark(place, "expected an IP address")
                .help("write an address such as `10.1.2.3`"),
        )
    })
}

/// `client_cert`: a word stands for the state of a certificate.
pub(in crate::config) fn client_cert(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Shown, Reported> {
    let mut shown = Shown::default();
    match table.table_of_either("client_cert", &language::TEST_CERT) {
        Some(described) => settings::read(&language::TEST_CERT, described, &mut shown, site, findings)?,
        None => shown.state = table.text("client_cert").map(|(word, _)| word.to_owned()),
    }
    Ok(shown)
}

/// `expect`.
pub(in crate::config) fn expect(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<TestExpectation, Reported> {
    let mut expected = TestExpectation::default();
    if let Some(table) = table.table("expect", &language::EXPECT, findings)? {
        settings::read(&language::EXPECT, table, &mut expected, site, findings)?;
    }
    Ok(expected)
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
