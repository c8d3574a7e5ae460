//! `[pool.NAME.health]` and `[pool.NAME.check]`.

use crate::balance::health::{Check, Errors, Http, Kind, Passive, Start};
use crate::config::code::Code;
use crate::config::doc::Node;
use crate::config::language::{self, ERROR_WORDS};
use crate::config::quote::{quote, quote_list};
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Told};
use crate::config::shape;
use crate::syntax::grammar::is_token;

/// What failures of a pool's requests come to.
pub(super) fn passive(pool: Reader<'_>, findings: &mut Findings) -> Result<Passive, Told> {
    let default = Passive::default();
    let Some(table) = pool.table("health", &language::HEALTH, findings)? else { return Ok(default) };
    let number = |key, default| table.number(key).map_or(default, |(number, _)| number);
    let share = |key| table.thousandths(key).map(|(share, _)| share);
    let time = |key, default| table.time(key).map_or(default, |(time, _)| time);
    let passive = Passive {
        failures: number("failures", default.failures),
        failure_rate: share("failure_rate"),
        window: time("window", default.window),
        window_min: number("window_min", default.window_min),
        errors: errors(table, findings),
        eject: time("eject", default.eject),
        eject_max: time("eject_max", default.eject_max.max(time("eject", default.eject))),
        max_ejected: share("max_ejected").unwrap_or(default.max_ejected),
        panic: if table.text("panic").is_some() { None } else { share("panic").or(default.panic) },
        slow_start: table.time("slow_start").map(|(time, _)| time),
    };
    if let Some((_, place)) = table.time("eject_max").filter(|(longest, _)| *longest < passive.eject) {
        findings.push(
            Diagnostic::new(Code::OutOfRange, "`eject_max` is shorter than `eject`")
                .mark(place, "the longest ejection is shorter than the first")
                .help("write a time that is at least `eject`"),
        );
    }
    Ok(passive)
}

fn errors(table: Reader<'_>, findings: &mut Findings) -> Errors {
    if !table.has("errors") {
        return Errors::default();
    }
    let mut errors = Errors { connect: false, reset: false, timeout: false, statuses: Vec::new() };
    for node in table.list("errors") {
        match node.text() {
            Some("connect") => errors.connect = true,
            Some("reset") => errors.reset = true,
            Some("timeout") => errors.timeout = true,
            Some(_) | None => errors.statuses.extend(statuses(node, "errors", &ERROR_WORDS, findings)),
        }
    }
    errors
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

/// How a pool's backends are checked, if they are.
pub(super) fn check(pool: Reader<'_>, findings: &mut Findings) -> Result<Option<Check>, Told> {
    let Some(table) = pool.table("check", &language::CHECK, findings)? else { return Ok(None) };
    let default = Check::default();
    let number = |key, default| table.number(key).map_or(default, |(number, _)| number);
    let time = |key, default| table.time(key).map_or(default, |(time, _)| time);
    let interval = time("interval", default.interval);
    Ok(Some(Check {
        kind: kind(table, findings),
        port: table.number("port").map(|(port, _)| port),
        interval,
        fast_interval: time("fast_interval", default.fast_interval.min(interval)),
        jitter: table.thousandths("jitter").map_or(default.jitter, |(share, _)| share),
        timeout: time("timeout", default.timeout),
        rise: number("rise", default.rise),
        fall: number("fall", default.fall),
        start: match table.text("start").map(|(word, _)| word) {
            Some("down") => Start::Down,
            Some("check-first") => Start::CheckFirst,
            // Any other word is none of the language, and has been told.
            Some(_) | None => Start::Up,
        },
    }))
}

fn kind(table: Reader<'_>, findings: &mut Findings) -> Kind {
    if table.text("type").is_none_or(|(word, _)| word != "http") {
        for key in ["method", "path", "host", "status", "text"] {
            if let Some(entry) = table.entry(key) {
                findings.push(
                    Diagnostic::new(Code::NoEffect, format!("{} changes nothing here", quote(key)))
                        .mark(entry.key_place, "a check of type `tcp` only connects")
                        .help("remove it, or write `type = \"http\"`"),
                );
            }
        }
        return Kind::Tcp;
    }
    let default = Http::default();
    let method =
        checked(table, "method", |text| is_token(text.as_bytes()), "a method such as `GET`", findings);
    let is_path = |text: &str| {
        text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    };
    let path = checked(table, "path", is_path, "a path such as `/healthz`", findings);
    let is_host = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let host = checked(table, "host", is_host, "a host such as `app.example.com`", findings);
    let wanted = checked(table, "text", |text| !text.is_empty(), "a text that is not empty", findings);
    let mut http = Http {
        method: method.unwrap_or(default.method),
        path: path.unwrap_or(default.path),
        host,
        text: wanted,
        ..default
    };
    if table.has("status") {
        let nodes = table.list("status").iter();
        http.statuses = nodes.filter_map(|node| statuses(node, "status", &[], findings)).collect();
    }
    Kind::Http(http)
}

/// The text at `key`, if it is one that is `expected` there.
fn checked(
    table: Reader<'_>,
    key: &str,
    is_good: impl Fn(&str) -> bool,
    expected: &str,
    findings: &mut Findings,
) -> Option<String> {
    let (text, place) = table.text(key)?;
    if is_good(text) {
        return Some(text.to_owned());
    }
    findings.push(
        Diagnostic::new(Code::BadValue, format!("bad `{key}`: {}", quote(text)))
            .mark(place, format!("expected {expected}"))
            .help(format!("write {expected}")),
    );
    None
}
