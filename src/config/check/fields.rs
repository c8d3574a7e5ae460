//! Header fields and templates of a route: what it may write, and what it may not touch.

use super::site::Site;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::message::Name;
use crate::route::{FieldEdits, LeadsAway, Template};
use crate::syntax::grammar::{is_field_value, is_token};

/// The most changes of one kind.
const EDITS_MAX: usize = 64;

/// Whether the fields are those of a request or of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Of {
    Request,
    Response,
}

/// Reads `key` of a route.
pub(in crate::config) fn edits(
    route: Reader<'_>,
    key: &str,
    of: Of,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<FieldEdits, Reported> {
    let mut edits = FieldEdits::default();
    let Some(table) = route.table(key, &language::FIELDS, findings)? else { return Ok(edits) };
    let before = findings.errors();
    site.fields_of = of;
    settings::read(&language::FIELDS, table, &mut edits, site, findings)?;
    let most = edits.remove.len().max(edits.set.len()).max(edits.add.len());
    if most > EDITS_MAX {
        findings.push(super::conditions::too_many(key, EDITS_MAX, table.place()));
    }
    findings.since(before)?;
    Ok(edits)
}

/// `remove`: names of fields.
pub(in crate::config) fn removed(table: Reader<'_>, site: &Site<'_>, findings: &mut Findings) -> Vec<String> {
    let mut removed = Vec::new();
    for item in table.list("remove") {
        if let Some(name) = item.text()
            && may_touch(name, item.place, site.fields_of, true, findings)
        {
            removed.push(name.to_owned());
        }
    }
    removed
}

/// `set` or `add`: names with their values.
pub(in crate::config) fn written(
    table: Reader<'_>,
    key: &str,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Vec<(String, Template)> {
    let mut fields = Vec::new();
    for entry in table.names(key) {
        let is_good = may_touch(&entry.key, entry.key_place, site.fields_of, false, findings);
        let Some(text) = entry.node.text() else { continue };
        let value = template(text, entry.node.place, site, findings);
        if let (true, Some(value)) = (is_good, value) {
            if ["location", "content-location"].iter().any(|uri| entry.key.eq_ignore_ascii_case(uri)) {
                warn_away(&value, entry.node.place, findings);
            }
            fields.push((entry.key.clone(), value));
        }
    }
    fields
}

/// Reads a template whose text may stand in a header field.
pub(super) fn template(
    text: &str,
    place: Place,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Option<Template> {
    let Some(parts) = &site.parts else {
        findings.given_up(place);
        return None;
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match Template::parse(text, &parts) {
        Ok(template) if template.fixed().all(|text| is_field_value(text.as_bytes())) => Some(template),
        Ok(_) => {
            findings.push(
                Diagnostic::new(
                    Code::ForbiddenField,
                    "the value has a line break or another control character",
                )
                .mark(place, "cannot stand in a header field")
                .help("take it out: it would end the field, and what follows would be another"),
            );
            None
        }
        Err(error) => {
            findings.push(
                Diagnostic::new(Code::BadTemplate, format!("bad template: {}", error.0))
                    .mark(place, "cannot be filled in")
                    .help("write for example `{client}`, or `{{` for a brace"),
            );
            None
        }
    }
}

/// Warns if clients can make the URI reference `value` lead to a host of their choice.
pub(super) fn warn_away(value: &Template, place: Place, findings: &mut Findings) {
    let Some((name, how)) = value.leads_away() else { return };
    let variable = format!("`{{{name}}}`");
    let (message, help) = match how {
        LeadsAway::First => (
            format!("{variable} stands first: a client can have it lead to any host"),
            String::from("begin with `/`, or with a scheme, a host and `/`"),
        ),
        LeadsAway::Authority => (
            format!("{variable} stands directly behind a host, which a client can go on with"),
            format!("write `/` before {variable}"),
        ),
    };
    findings.push(
        Diagnostic::new(Code::OpenRedirect, message).mark(place, "leads where the client says").help(help),
    );
}

/// Whether a route may change the field called `name`.
fn may_touch(name: &str, place: Place, of: Of, is_removal: bool, findings: &mut Findings) -> bool {
    if name.len() > 256 || !is_token(name.as_bytes()) {
        findings.push(
            Diagnostic::new(Code::BadName, format!("{} cannot be the name of a header field", quote(name)))
                .mark(place, "not a token")
                .help("names have letters, digits, `-` and `_`"),
        );
        return false;
    }
    let Some(help) = objection(name, of, is_removal) else { return true };
    findings.push(
        Diagnostic::new(Code::ForbiddenField, format!("no route may touch {}", quote(name)))
            .mark(place, "written by Pollux alone")
            .help(help),
    );
    false
}

/// Why no route may change that field, if none may.
fn objection(name: &str, of: Of, is_removal: bool) -> Option<&'static str> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match Name::of(name.as_bytes()) {
        Name::ContentLength | Name::TransferEncoding => {
            Some("it says where the message ends, and two answers to that would be a way to smuggle requests")
        }
        Name::Host if of == Of::Request => {
            Some("it says whom the request is for, and is passed on as the client said it")
        }
        Name::Connection | Name::HopByHop | Name::Te | Name::Upgrade | Name::Http2Settings => {
            Some("it is about a single connection, and the connections are Pollux's own")
        }
        Name::Lookalike => {
            Some("an application could take it for the same name with `-`, which is Pollux's own")
        }
        Name::Expect | Name::MaxForwards => {
            Some("it is between the client, Pollux and the backend, and Pollux acts on it")
        }
        Name::Forwarding if of == Of::Request => {
            let is_own =
                ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].into_iter().any(is);
            (is_own || is_removal).then_some(
                "what backends are told of the client is said by `forwarding` and `trusted_proxies`",
            )
        }
        Name::Date if of == Of::Response => {
            Some("a response has the date at which it was made (RFC 9110 §6.6.1)")
        }
        Name::Other if is("via") => {
            Some("it is how proxies find out that they send to themselves (RFC 9110 §7.6.3)")
        }
        Name::Host
        | Name::Forwarding
        | Name::Date
        | Name::Login
        | Name::RequestId
        | Name::TraceParent
        | Name::TraceState
        | Name::NeverTrailing
        | Name::Other => None,
    }
}
