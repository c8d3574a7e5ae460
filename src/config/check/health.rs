//! `[pool.NAME.health]` and `[pool.NAME.check]`.

use super::site::Site;
use crate::balance::health::{Check, CheckKind, Errors, Grpc, Http, Passive};
use crate::config::code::Code;
use crate::config::doc::Node;
use crate::config::language::{self, ERROR_WORDS};
use crate::config::print::words;
use crate::config::quote::{quote, quote_list};
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::config::shape;
use crate::syntax::grammar::is_token;

/// The longest name of a service of gRPC, in bytes.
const SERVICE_LEN_MAX: usize = 1024;

/// The rules by which failures of a pool's requests affect the health of its backends.
pub(in crate::config) fn passive(
    pool: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Passive, Reported> {
    let mut passive = Passive::default();
    let Some(table) = pool.table("health", &language::HEALTH, findings)? else { return Ok(passive) };
    let read = settings::read(&language::HEALTH, table, &mut passive, site, findings);
    if let Some((_, place)) = table.time("eject_max").filter(|(longest, _)| *longest < passive.eject) {
        findings.push(
            Diagnostic::new(Code::OutOfRange, "`eject_max` is shorter than `eject`")
                .mark(place, "the longest ejection is shorter than the first")
                .help("write a time that is at least `eject`"),
        );
    }
    if !table.has("eject_max") {
        passive.eject_max = passive.eject_max.max(passive.eject);
    }
    read.map(|()| passive)
}

/// `panic`: a share in thousandths, or `off`.
pub(in crate::config) fn panic(table: Reader<'_>, findings: &mut Findings) -> Result<Option<u32>, Reported> {
    match (table.thousandths("panic"), table.text("panic")) {
        (Some((share, _)), _) => Ok(Some(share)),
        (None, Some(("off", _))) => Ok(None),
        (None, Some((_, place))) => Err(findings.given_up(place)),
        (None, None) => Err(findings.given_up(table.place())),
    }
}

/// `errors`.
pub(in crate::config) fn errors(table: Reader<'_>, findings: &mut Findings) -> Result<Errors, Reported> {
    let before = findings.errors();
    let mut errors = Errors { connect: false, reset: false, timeout: false, statuses: Vec::new() };
    for node in table.list("errors") {
        match node.text() {
            Some("connect") => errors.connect = true,
            Some("reset") => errors.reset = true,
            Some("timeout") => errors.timeout = true,
            Some(_) | None => errors.statuses.extend(statuses(node, "errors", &ERROR_WORDS, findings)),
        }
    }
    findings.since(before)?;
    Ok(errors)
}

/// `errors`, as a file would say them.
pub(in crate::config) fn show_errors(errors: &Errors) -> String {
    let Errors { connect, reset, timeout, statuses } = errors;
    let words = [("connect", connect), ("reset", reset), ("timeout", timeout)];
    let words = words.into_iter().filter(|(_, is_on)| **is_on).map(|(word, _)| words::text(word));
    words::list(words.chain(statuses.iter().map(words::range)))
}

/// The range of statuses that `node` is; `words` are what it could have been besides.
fn statuses(node: &Node, key: &str, words: &[&'static str], findings: &mut Findings) -> Option<(u16, u16)> {
    if let Some(status) = shape::number(&node.value) {
        return u16::try_from(status).ok().map(|status| (status, status));
    }
    let text = node.text()?;
    let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Some((first, last)),
        _ => {
            let words = if words.is_empty() {
                String::new()
            } else {
                format!(", or one of {}", quote_list(words.iter().copied()))
            };
            findings.push(
                Diagnostic::new(
                    Code::BadValue,
                    format!("bad `{key}`: {} is no range of statuses", quote(text)),
                )
                .mark(node.place, "expected two statuses from 100 to 599")
                .help(format!("write a status such as 503, a range such as \"500-599\"{words}")),
            );
            None
        }
    }
}

/// The check of a pool's backends, if they are checked.
pub(in crate::config) fn check(
    pool: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Check>, Reported> {
    let Some(table) = pool.table("check", &language::CHECK, findings)? else { return Ok(None) };
    let mut check = Check::default();
    settings::read(&language::CHECK, table, &mut check, site, findings)?;
    if !table.has("fast_interval") {
        check.fast_interval = check.fast_interval.min(check.interval);
    }
    Ok(Some(check))
}

/// `type`: a connect, or a request of which nothing is said yet.
pub(in crate::config) fn kind(table: Reader<'_>, findings: &mut Findings) -> Result<CheckKind, Reported> {
    match table.text("type") {
        Some(("tcp", _)) => Ok(CheckKind::Tcp),
        Some(("http", _)) => Ok(CheckKind::Http(Http::default())),
        Some(("grpc", _)) => Ok(CheckKind::Grpc(Grpc::default())),
        Some((_, place)) => Err(findings.given_up(place)),
        None => Err(findings.given_up(table.place())),
    }
}

/// Warns of a key of requests on a check of another type.
pub(in crate::config) fn warn_of_no_request(table: Reader<'_>, key: &str, findings: &mut Findings) {
    let mark = match table.text("type") {
        Some(("grpc", _)) => "a check of type `grpc` makes a call",
        Some(_) | None => "a check of type `tcp` only connects",
    };
    warn_of_type(table, (key, mark, "remove it, or write `type = \"http\"`"), findings);
}

/// Warns of a key of calls on a check of another type.
pub(in crate::config) fn warn_of_no_call(table: Reader<'_>, key: &str, findings: &mut Findings) {
    let told =
        (key, "only a check of type `grpc` asks about a service", "remove it, or write `type = \"grpc\"`");
    warn_of_type(table, told, findings);
}

fn warn_of_type(table: Reader<'_>, (key, mark, help): (&str, &str, &str), findings: &mut Findings) {
    let Some(entry) = table.entry(key) else { return };
    findings.push(
        Diagnostic::new(Code::NoEffect, format!("{} changes nothing here", quote(key)))
            .mark(entry.key_place, mark)
            .help(help),
    );
}

/// `service`.
pub(in crate::config) fn service(table: Reader<'_>, findings: &mut Findings) -> Result<String, Reported> {
    let is_service = |text: &str| text.len() <= SERVICE_LEN_MAX && !text.is_empty();
    checked(table, "service", is_service, "the name of a service such as `shop.Cart`", findings)
}

pub(in crate::config) fn method(table: Reader<'_>, findings: &mut Findings) -> Result<String, Reported> {
    checked(table, "method", |text| is_token(text.as_bytes()), "a method such as `GET`", findings)
}

pub(in crate::config) fn path(table: Reader<'_>, findings: &mut Findings) -> Result<String, Reported> {
    let is_path = |text: &str| {
        text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    };
    checked(table, "path", is_path, "a path such as `/healthz`", findings)
}

pub(in crate::config) fn host(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Option<String>, Reported> {
    let is_host = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    checked(table, "host", is_host, "a host such as `app.example.com`", findings).map(Some)
}

pub(in crate::config) fn text(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Option<String>, Reported> {
    checked(table, "text", |text| !text.is_empty(), "a text that is not empty", findings).map(Some)
}

/// `status`: the ranges that are good.
pub(in crate::config) fn good(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Vec<(u16, u16)>, Reported> {
    let before = findings.errors();
    let nodes = table.list("status").iter();
    let found = nodes.filter_map(|node| statuses(node, "status", &[], findings)).collect();
    findings.since(before)?;
    Ok(found)
}

/// The text at `key`, if it is one that is `expected` there.
fn checked(
    table: Reader<'_>,
    key: &str,
    is_good: impl Fn(&str) -> bool,
    expected: &str,
    findings: &mut Findings,
) -> Result<String, Reported> {
    let Some((text, place)) = table.text(key) else { return Err(findings.given_up(table.place())) };
    if is_good(text) {
        return Ok(text.to_owned());
    }
    Err(findings.refuse(
        Diagnostic::new(Code::BadValue, format!("bad `{key}`: {}", quote(text)))
            .mark(place, format!("expected {expected}"))
            .help(format!("write {expected}")),
    ))
}
