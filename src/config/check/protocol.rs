//! The version of HTTP that the backends of a pool are spoken to.

use super::tls;
use crate::balance::health::CheckKind;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::config::value;
use crate::snapshot::{BackendProtocol, Pool};

/// Holds `protocol` against the addresses, of which `h2c://` says the same, and against the PROXY header.
pub(super) fn check(pool: &mut Pool, table: Reader<'_>, findings: &mut Findings) {
    take_schemes(pool, table, findings);
    refuse_announcing_streams(pool, table, findings);
}

fn take_schemes(pool: &mut Pool, table: Reader<'_>, findings: &mut Findings) {
    let all: Vec<(bool, Place)> =
        tls::addresses(table).into_iter().map(|(text, place)| (value::is_h2c(&text), place)).collect();
    let Some((_, first)) = all.iter().find(|(is_h2c, _)| *is_h2c) else { return };
    let mut contradict = |place: Place, mark: &str, help: &str| {
        let message =
            format!("it is not clear how the backends of the pool {} are spoken to", quote(&pool.name));
        findings.push(
            Diagnostic::new(Code::Contradiction, message)
                .mark(place, mark)
                .mark(*first, "and this one is HTTP/2 without TLS")
                .help(help),
        );
    };
    if let Some((_, other)) = all.iter().find(|(is_h2c, _)| !*is_h2c) {
        contradict(
            *other,
            "this one does not say",
            "write `h2c://` before all of them, or put them into two pools",
        );
    }
    if let Some(entry) = table.entry("tls") {
        contradict(
            entry.key_place,
            "this is TLS",
            "remove `tls`, or write `protocol = \"h2\"` and no `h2c://`",
        );
    }
    match table.text("protocol") {
        Some(("h1", place)) => contradict(place, "this is HTTP/1.1", "remove one of the two"),
        Some(("auto", place)) => contradict(place, "this is agreed on by TLS", "remove one of the two"),
        Some(_) | None => {}
    }
    pool.protocol = BackendProtocol::Http2;
}

/// The version that TLS to the backends is made for: a connection that announces its client serves that one alone.
pub(super) fn of_tls(pool: &Pool) -> BackendProtocol {
    let is_announced = pool.protocol == BackendProtocol::Auto && pool.announce.is_some();
    if is_announced { BackendProtocol::Http1 } else { pool.protocol }
}

/// Warns where `auto` is written and leaves no choice.
pub(super) fn warn_of_no_choice(pool: &Pool, table: Reader<'_>, findings: &mut Findings) {
    let Some((_, place)) = table.text("protocol").filter(|_| pool.protocol == BackendProtocol::Auto) else {
        return;
    };
    let (mark, help) = if pool.tls.is_none() {
        (
            "TLS agrees on the version, and this pool has none: its backends are spoken to by HTTP/1.1",
            "remove it, or write `protocol = \"h2\"` for HTTP/2 without TLS",
        )
    } else if pool.announce.is_some() {
        ("a connection with a PROXY header serves one client, by HTTP/1.1", "remove it, or write `h1`")
    } else {
        return;
    };
    findings.push(
        Diagnostic::new(Code::NoChoice, "there is no choice of a version").mark(place, mark).help(help),
    );
}

/// A check of type `grpc` needs a pool that speaks HTTP/2.
pub(super) fn refuse_calls_by_http1(pool: &Pool, table: Reader<'_>, findings: &mut Findings) {
    let calls = pool.check.as_ref().is_some_and(|check| matches!(check.kind, CheckKind::Grpc(_)));
    let Some(entry) = table.entry("check").filter(|_| calls && pool.spoken() == BackendProtocol::Http1)
    else {
        return;
    };
    findings.push(
        Diagnostic::new(Code::Contradiction, "a check of type `grpc` goes by HTTP/2")
            .mark(entry.key_place, format!("the pool {} speaks HTTP/1.1", quote(&pool.name)))
            .help("write `protocol = \"h2\"`"),
    );
}

/// A PROXY header speaks for one client, and a connection that carries streams serves many.
fn refuse_announcing_streams(pool: &Pool, table: Reader<'_>, findings: &mut Findings) {
    if pool.protocol == BackendProtocol::Http2
        && pool.announce.is_some()
        && let Some((_, place)) = table.text("proxy_protocol")
    {
        findings.push(
            Diagnostic::new(
                Code::Contradiction,
                "a PROXY header cannot speak for all clients of a connection",
            )
            .mark(place, "HTTP/2 connections carry requests of many clients")
            .help("remove it: X-Forwarded-For and Forwarded name the client of each request"),
        );
    }
}
