//! `access_log`: a destination, or a table.

use super::site::Site;
use crate::access::{AccessLogRules, Destination, Layout, LineFormat, Redaction, Statuses, variables};
use crate::config::code::Code;
use crate::config::doc::Node;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::config::suggest::closest;
use crate::core::outcome::Cause;
use crate::syntax::grammar::is_token;

/// The most header fields of a message that a line can have.
const HEADERS_MAX: usize = 32;

/// `access_log`: where the lines go, or a table that says more.
pub(in crate::config) fn access_log(
    root: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<AccessLogRules, Reported> {
    let mut rules = AccessLogRules::default();
    if let Some((text, place)) = root.text("access_log") {
        rules.to = Some(destination(text, place, site, findings)?);
    } else if let Some(table) = root.table_of_either("access_log", &language::ACCESS_LOG) {
        settings::read(&language::ACCESS_LOG, table, &mut rules, site, findings)?;
    } else {
        return Err(findings.given_up(root.place()));
    }
    Ok(rules)
}

/// `to`.
pub(in crate::config) fn to(
    table: Reader<'_>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Result<Destination, Reported> {
    let Some((text, place)) = table.text("to") else { return Err(findings.given_up(table.place())) };
    destination(text, place, site, findings)
}

fn destination(
    text: &str,
    place: Place,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Result<Destination, Reported> {
    Destination::parse(text, |path| site.path(path, place)).map_err(|why| {
        findings.refuse(
            Diagnostic::new(Code::BadValue, format!("the access log goes nowhere: {why}"))
                .mark(place, "expected `on`, `stdout`, `off`, a path or a syslog")
                .help("write for example `access_log = \"/var/log/pollux/access.log\"`, or `\"syslog:unix:/dev/log\"`"),
        )
    })
}

/// `format`.
pub(in crate::config) fn format(table: Reader<'_>, findings: &mut Findings) -> Result<LineFormat, Reported> {
    let Some((text, place)) = table.text("format") else { return Err(findings.given_up(table.place())) };
    parse_format(text, place, findings).ok_or_else(|| findings.given_up(place))
}

fn parse_format(text: &str, place: Place, findings: &mut Findings) -> Option<LineFormat> {
    let known = [LineFormat::Text, LineFormat::Json, LineFormat::Common, LineFormat::Combined];
    let words = known.each_ref().map(LineFormat::text);
    if let Some(format) = known.iter().find(|format| format.text() == text) {
        return Some(format.clone());
    }
    if !text.contains('{') {
        let near = closest(text, words.into_iter())
            .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        findings.push(
            Diagnostic::new(Code::UnknownWord, format!("unknown format {}", quote(text)))
                .mark(place, "no such format, and no template either")
                .help(format!("{near}the choice is `text`, `json`, `common`, `combined`, or a template such as `{{client}} {{status}}`")),
        );
        return None;
    }
    let parsed = Layout::parse(text).map_err(|why| {
        let all: Vec<String> = variables().map(|name| format!("{{{name}}}")).collect();
        findings.push(
            Diagnostic::new(Code::BadTemplate, format!("bad template: {why}"))
                .mark(place, "cannot be filled in")
                .help(format!("there are {}", all.join(", "))),
        );
    });
    parsed.ok().map(LineFormat::Layout)
}

/// The items of a list, each as `read` understands it.
fn texts<T>(
    table: Reader<'_>,
    key: &str,
    findings: &mut Findings,
    read: impl Fn(&str, &Node, &mut Findings) -> Option<T>,
) -> Result<Vec<T>, Reported> {
    let before = findings.errors();
    let items = table.list(key).iter();
    let items = items.filter_map(|node| read(node.text()?, node, findings)).collect();
    findings.since(before)?;
    Ok(items)
}

/// `status`.
pub(in crate::config) fn statuses(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Vec<Statuses>, Reported> {
    texts(table, "status", findings, range)
}

/// `except`.
pub(in crate::config) fn except(table: Reader<'_>, findings: &mut Findings) -> Result<Vec<Cause>, Reported> {
    texts(table, "except", findings, cause)
}

fn range(text: &str, node: &Node, findings: &mut Findings) -> Option<Statuses> {
    let statuses = Statuses::parse(text);
    if statuses.is_none() {
        findings.push(
            Diagnostic::new(Code::BadValue, format!("{} is no status", quote(text)))
                .mark(node.place, "expected such as `5xx` or `404`")
                .help("499 stands for clients that left before they were answered, 0 for exchanges without a status"),
        );
    }
    statuses
}

fn cause(text: &str, node: &Node, findings: &mut Findings) -> Option<Cause> {
    let cause = text.parse().ok();
    if cause.is_none() {
        let near = closest(text, Cause::ALL.iter().map(|cause| cause.as_str()));
        let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        findings.push(
            Diagnostic::new(Code::UnknownWord, format!("unknown cause {}", quote(text)))
                .mark(node.place, "no such cause")
                .help(format!("{near}`pollux why` lists all causes")),
        );
    }
    cause
}

/// `redact`.
pub(in crate::config) fn redaction(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Redaction, Reported> {
    let before = findings.errors();
    let mut redaction = Redaction::default();
    for node in table.list("redact") {
        let Some(text) = node.text() else { continue };
        match text.strip_prefix("header:") {
            None if text == "query" => redaction.query = true,
            Some(name) if is_token(name.as_bytes()) => redaction.headers.push(name.to_ascii_lowercase()),
            Some(_) | None => findings.push(
                Diagnostic::new(Code::UnknownWord, format!("{} is nothing that can be hidden", quote(text)))
                    .mark(node.place, "expected `query` or `header:NAME`")
                    .help("write for example `redact = [\"query\", \"header:authorization\"]`"),
            ),
        }
    }
    findings.since(before)?;
    Ok(redaction)
}

/// `request_headers` and `response_headers`.
pub(in crate::config) fn headers(
    table: Reader<'_>,
    key: &str,
    findings: &mut Findings,
) -> Result<Vec<String>, Reported> {
    let before = findings.errors();
    let mut names: Vec<String> = Vec::new();
    for node in table.list(key) {
        let Some(text) = node.text() else { continue };
        let name = text.to_ascii_lowercase();
        if !is_token(name.as_bytes()) {
            findings.push(
                Diagnostic::new(Code::BadValue, format!("{} is no name of a header field", quote(text)))
                    .mark(node.place, "expected a name such as `User-Agent`"),
            );
        } else if names.len() == HEADERS_MAX {
            findings.push(
                Diagnostic::new(Code::BadValue, format!("`{key}` has more than {HEADERS_MAX} names"))
                    .mark(node.place, "one too many"),
            );
            break;
        } else if !names.contains(&name) {
            names.push(name);
        }
    }
    findings.since(before)?;
    Ok(names)
}
