//! `hsts`, of a listener and of a route.

use std::time::Duration;

use super::site::Site;
use crate::config::code::Code;
use crate::config::doc::Entry;
use crate::config::language;
use crate::config::print::words;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::snapshot::Hsts;

/// The policy that browsers remember if nothing is said: `365d`.
const DEFAULT: Hsts = Hsts { max_age_s: 31_536_000, include_subdomains: false, preload: false };

/// For how long they must at least for the lists that they are made with.
const PRELOAD_LEAST: Duration = Duration::from_secs(31_536_000);

/// The policy that browsers are to remember of a listener; there must be clients that can get it.
pub(in crate::config) fn of_listener(
    listener: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Hsts>, Reported> {
    let Some(entry) = listener.entry("hsts") else { return Ok(None) };
    let Some(table) = listener.table("hsts", &language::HSTS, findings)? else { return Ok(None) };
    check_told(entry, listener, findings);
    read(table, entry, site, findings).map(Some)
}

/// The policy that they are to remember of a route: `Some(None)` if they get none, whatever the listener
/// says.
pub(in crate::config) fn of_route(
    route: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Option<Hsts>>, Reported> {
    let Some(entry) = route.entry("hsts") else { return Ok(None) };
    if let Some(table) = route.table_of_either("hsts", &language::HSTS) {
        return read(table, entry, site, findings).map(|hsts| Some(Some(hsts)));
    }
    // The shape check has reported a value that is neither a table nor a flag.
    Ok(route.flag("hsts").map(|is_on| is_on.then_some(DEFAULT)))
}

/// Whether `hsts` of a route changes anything in `listener`.
pub(super) fn check_route(route: Reader<'_>, listener: Reader<'_>, findings: &mut Findings) {
    let Some(entry) = route.entry("hsts") else { return };
    let is_off =
        route.table_of_either("hsts", &language::HSTS).is_none() && !route.flag("hsts").unwrap_or(true);
    if !is_off {
        check_told(entry, listener, findings);
    } else if !listener.has("hsts") && !is_tcp(listener) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`hsts` changes nothing here")
                .mark(entry.key_place, "the listener says nothing of it")
                .help("remove it, or add `hsts` to the listener"),
        );
    }
}

/// A listener in TCP mode is reported with the other keys for HTTP.
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

fn read(
    table: Reader<'_>,
    entry: &Entry,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Hsts, Reported> {
    let mut hsts = DEFAULT;
    let read = settings::read(&language::HSTS, table, &mut hsts, site, findings);
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
    read.map(|()| hsts)
}

/// `max_age` in whole seconds.
pub(in crate::config) fn max_age(table: Reader<'_>, findings: &mut Findings) -> Result<u64, Reported> {
    let time = table.time("max_age").map(|(time, _)| time.as_secs());
    time.ok_or_else(|| findings.given_up(table.place()))
}

/// `max_age`, as a file would say it. A time of a file is above zero: one below a second stands for none.
pub(in crate::config) fn show_max_age(seconds: u64) -> String {
    words::time(Duration::from_secs(seconds).max(Duration::from_millis(1)))
}
