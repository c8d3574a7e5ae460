//! `match` of a route.

use ipnet::IpNet;

use super::site::Site;
use crate::config::code::Code;
use crate::config::doc::{Entry, Node};
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::config::shape;
use crate::config::value::parse_network;
use crate::route::path::Path;
use crate::route::{Conditions, Host, Pattern, Want};
use crate::syntax::grammar::is_token;

/// The most values of one condition.
const VALUES_MAX: usize = 32;

/// The most expressions of a configuration: each may take some memory.
pub(super) const PATTERNS_MAX: usize = 500;

/// `match` of a route. Templates may name the parts of the path that it names.
pub(in crate::config) fn check(
    route: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Conditions, Reported> {
    site.parts = None;
    let mut when = Conditions::default();
    if let Some(table) = route.table("match", &language::MATCH, findings)? {
        settings::read(&language::MATCH, table, &mut when, site, findings)?;
    }
    site.parts = Some(parts(&when));
    Ok(when)
}

/// The parts of the path that templates may name: those that every path of the route has, and those of the
/// expression.
fn parts(when: &Conditions) -> Vec<String> {
    let mut parts: Vec<String> =
        when.paths.first().map_or_else(Vec::new, |path| path.names().map(str::to_owned).collect());
    parts.retain(|name| when.paths.iter().all(|path| path.names().any(|other| other == name)));
    parts.extend(when.path_regex.iter().flat_map(|regex| regex.names()).map(str::to_owned));
    parts
}

/// The expression at `key`.
pub(in crate::config) fn regex(
    table: Reader<'_>,
    key: &str,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Option<Pattern> {
    let (text, place) = table.text(key)?;
    compile(text, place, site, findings).or_else(|| none(place, findings))
}

/// For a condition that is there and was not read: an error, if there is none yet.
fn none<T>(place: Place, findings: &mut Findings) -> Option<T> {
    findings.given_up(place);
    None
}

pub(in crate::config) type Refused = (Code, String, String);

/// The values of `key`, each read by `read`.
pub(in crate::config) fn values<T: PartialEq>(
    table: Reader<'_>,
    key: &str,
    findings: &mut Findings,
    read: impl Fn(&str) -> Result<T, Refused>,
) -> Vec<T> {
    let items = table.list(key);
    if let Some(extra) = items.get(VALUES_MAX) {
        findings.push(too_many(key, VALUES_MAX, extra.place));
    }
    if let (true, Some(entry)) = (items.is_empty(), table.entry(key)) {
        findings.push(nothing(key, entry.node.place));
    }
    let mut values = Vec::new();
    for item in items.iter().take(VALUES_MAX) {
        let Some(text) = item.text() else {
            findings.given_up(item.place);
            continue;
        };
        match read(text) {
            // A value that stands twice asks for nothing more.
            Ok(value) if values.contains(&value) => {}
            Ok(value) => values.push(value),
            Err((code, message, help)) => {
                let message = format!("bad `{key}`: {message}");
                findings.push(Diagnostic::new(code, message).mark(item.place, "cannot match").help(help));
            }
        }
    }
    values
}

/// A condition that names no value: no request could match, and one that is left out would let all match.
pub(super) fn nothing(key: &str, place: Place) -> Diagnostic {
    Diagnostic::new(Code::BadValue, format!("bad `{key}`: the condition names no value"))
        .mark(place, "expected at least one")
        .help("name a value, or remove the condition")
}

pub(super) fn too_many(what: &str, most: usize, place: Place) -> Diagnostic {
    Diagnostic::new(Code::TooMany, format!("more than {most} values of `{what}`"))
        .mark(place, "this is one more")
        .help("use a wildcard or an expression, or divide them among several routes")
}

pub(in crate::config) fn host(text: &str) -> Result<Host, Refused> {
    let help = "write a name or an address without a port, such as `api.example.com` or `*.example.com`";
    Host::parse(text)
        .ok_or_else(|| (Code::BadHost, format!("{} is not a host", quote(text)), help.to_owned()))
}

pub(in crate::config) fn path(text: &str) -> Result<Path, Refused> {
    let help = "write a path such as `/users`, `/api/*` or `/users/{id}`";
    Path::parse(text)
        .map_err(|message| (Code::BadPath, format!("{}: {message}", quote(text)), help.to_owned()))
}

/// The name of a protocol (RFC 7301 §3.1).
pub(in crate::config) fn protocol(text: &str) -> Result<String, Refused> {
    if text.is_empty() || text.len() > usize::from(u8::MAX) {
        let message = format!("{} is not the name of a protocol", quote(text));
        return Err((Code::BadValue, message, String::from("write a name such as `h2` or `http/1.1`")));
    }
    Ok(text.to_owned())
}

pub(in crate::config) fn method(text: &str) -> Result<String, Refused> {
    let fail = |message: String, help: &str| Err((Code::BadValue, message, help.to_owned()));
    if !is_token(text.as_bytes()) {
        return fail(format!("{} is not a method", quote(text)), "write a method such as `GET`");
    }
    if matches!(text, "CONNECT" | "TRACE") {
        return fail(format!("{text} requests are refused before any route"), "remove it");
    }
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let upper = text.to_ascii_uppercase();
        return fail(
            format!("{} is not how methods are written", quote(text)),
            &format!("write `{upper}`: methods are case-sensitive"),
        );
    }
    Ok(text.to_owned())
}

/// A network, or a single address.
pub(in crate::config) fn network(text: &str) -> Result<IpNet, Refused> {
    parse_network(text).map_err(|error| (Code::BadValue, error.message().to_owned(), error.help().to_owned()))
}

fn compile(text: &str, place: Place, site: &mut Site<'_>, findings: &mut Findings) -> Option<Pattern> {
    site.patterns += 1;
    if site.patterns > PATTERNS_MAX {
        if site.patterns == PATTERNS_MAX + 1 {
            findings.push(too_many("regex", PATTERNS_MAX, place));
        }
        return None;
    }
    match Pattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let inside = error.span.map_or(place, |span| site.inside(place, text, span.start, span.end));
            findings.push(
                Diagnostic::new(Code::BadRegex, format!("bad expression: {}", error.message))
                    .mark(inside, "here")
                    .help("the syntax is that of the regex crate, without look-around and back-references"),
            );
            None
        }
    }
}

/// The values of `key`, a table of names.
pub(in crate::config) fn wants(
    table: Reader<'_>,
    key: &str,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Vec<(String, Want)> {
    let names = table.names(key);
    if let Some(extra) = names.get(VALUES_MAX) {
        findings.push(too_many(key, VALUES_MAX, extra.key_place));
    }
    let mut wants: Vec<(String, Want)> = Vec::new();
    for entry in names.iter().take(VALUES_MAX) {
        if key != "query" && !is_token(entry.key.as_bytes()) {
            let message = format!("{} cannot be the name of a {key}", quote(&entry.key));
            let help = "names have letters, digits, `-` and `_`";
            findings.push(
                Diagnostic::new(Code::BadName, message).mark(entry.key_place, "no such name").help(help),
            );
            continue;
        }
        match want(entry, site, findings) {
            Some(want) => wants.push((entry.key.clone(), want)),
            None => _ = findings.given_up(entry.node.place),
        }
    }
    wants
}

fn want(entry: &Entry, site: &mut Site<'_>, findings: &mut Findings) -> Option<Want> {
    let node = &entry.node;
    if let Some(table) = node.table() {
        let (table, mut pattern) = (Reader::new(table, &language::REGEX), None);
        if table.text("regex").is_none() {
            findings.push(nothing(&entry.key, node.place));
            return None;
        }
        settings::read(&language::REGEX, table, &mut pattern, site, findings).ok()?;
        return pattern.map(Want::Like);
    }
    if let Some(flag) = shape::truth(&node.value) {
        return Some(if flag { Want::Present } else { Want::Absent });
    }
    let items = node.items();
    if let Some(extra) = items.get(VALUES_MAX) {
        findings.push(too_many(&entry.key, VALUES_MAX, extra.place));
    }
    let values: Vec<String> =
        items.iter().take(VALUES_MAX).filter_map(Node::text).map(str::to_owned).collect();
    if values.is_empty() {
        findings.push(nothing(&entry.key, node.place));
        return None;
    }
    Some(Want::Is(values))
}
