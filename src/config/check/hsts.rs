//! `hsts`, of a listener and of a route.

use std::time::Duration;

use crate::config::code::Code;
use crate::config::doc::Entry;
use crate::config::language;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Told};
use crate::snapshot::Hsts;

/// For how long browsers remember `hsts` if nothing is said: `365d`.
const DEFAULT: Duration = Duration::from_secs(31_536_000);

/// For how long they must at least for the lists that they are made with.
const PRELOAD_LEAST: Duration = Duration::from_secs(31_536_000);

/// What browsers are to remember of a listener; there must be clients who can be told.
pub(super) fn of_listener(listener: Reader<'_>, findings: &mut Findings) -> Result<Option<Hsts>, Told> {
    let Some(entry) = listener.entry("hsts") else { return Ok(None) };
    let Some(table) = listener.table("hsts", &language::HSTS, findings)? else { return Ok(None) };
    check_told(entry, listener, findings);
    Ok(Some(read(table, entry, findings)))
}

/// What they are to remember of a route of `listener`: `Some(None)` if they are told nothing, whatever the listener says.
pub(super) fn of_route(
    route: Reader<'_>,
    listener: Reader<'_>,
    findings: &mut Findings,
) -> Option<Option<Hsts>> {
    let entry = route.entry("hsts")?;
    if let Some(table) = route.table_of_either("hsts", &language::HSTS) {
        check_told(entry, listener, findings);
        return Some(Some(read(table, entry, findings)));
    }
    if route.flag("hsts")? {
        check_told(entry, listener, findings);
        return Some(Some(Hsts { max_age_s: DEFAULT.as_secs(), include_subdomains: false, preload: false }));
    }
    if !listener.has("hsts") && !is_tcp(listener) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`hsts` changes nothing here")
                .mark(entry.key_place, "the listener says nothing of it")
                .help("remove it, or add `hsts` to the listener"),
        );
    }
    Some(None)
}

/// That it is for HTTP is told with the other keys.
fn is_tcp(listener: Reader<'_>) -> bool {
    listener.text("mode").is_some_and(|(word, _)| word == "tcp")
}

fn check_told(entry: &Entry, listener: Reader<'_>, findings: &mut Findings) {
    let is_announced = matches!(listener.text("proxy_protocol"), Some(("optional" | "required", _)));
    if !is_tcp(listener) && !listener.has("tls") && !is_announced {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`hsts` is said only to clients that have come by TLS")
                .mark(entry.key_place, "nobody comes by TLS here")
                .help("move it to the listener with `tls`; here a `redirect` to `https://` is what helps"),
        );
    }
}

fn read(table: Reader<'_>, entry: &Entry, findings: &mut Findings) -> Hsts {
    let hsts = Hsts {
        max_age_s: table.time("max_age").map_or(DEFAULT, |(time, _)| time).as_secs(),
        include_subdomains: table.flag("include_subdomains").unwrap_or(false),
        preload: table.flag("preload").unwrap_or(false),
    };
    if hsts.preload && (!hsts.include_subdomains || hsts.max_age_s < PRELOAD_LEAST.as_secs()) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "no browser's list takes the host like that")
                .mark(
                    entry.key_place,
                    "`preload` needs `include_subdomains = true` and a `max_age` of a year or more",
                )
                .help("add them if every name below speaks TLS, or remove `preload`"),
        );
    }
    hsts
}
