//! `rewrite_back` of a route.

use super::site::Site;
use crate::config::code::Code;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::route::{Domains, RewriteBack};
use crate::syntax::target::is_authority;

/// `rewrite_back`.
pub(in crate::config) fn of_route(
    route: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<RewriteBack, Reported> {
    let has_prefix = route.has("strip_prefix") || route.has("replace_prefix");
    let Some(entry) = route.entry("rewrite_back") else { return Ok(RewriteBack::default()) };
    let mut back = RewriteBack { paths: true, domains: None };
    match route.table_of_either("rewrite_back", &language::REWRITE_BACK) {
        Some(table) => settings::read(&language::REWRITE_BACK, table, &mut back, site, findings)?,
        None => back.paths = route.flag("rewrite_back").unwrap_or(false),
    }
    let answers = route.has("redirect") || route.has("respond");
    if back.paths && back.domains.is_none() && !has_prefix && !answers {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`rewrite_back` changes nothing here")
                .mark(entry.key_place, "the path of the request is not changed")
                .help("remove it, or add `strip_prefix`, `replace_prefix` or a `domain`"),
        );
    }
    // A path that is not changed is not changed back.
    Ok(RewriteBack { paths: back.paths && has_prefix, ..back })
}

/// `domain`.
pub(in crate::config) fn domains(
    back: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Domains>, Reported> {
    let Some(table) = back.table("domain", &language::DOMAIN, findings)? else { return Ok(None) };
    let mut domains = Domains::default();
    let read = settings::read(&language::DOMAIN, table, &mut domains, site, findings);
    let before = findings.errors();
    for key in ["from", "to"].into_iter().filter(|key| !table.has(key)) {
        findings.push(
            Diagnostic::new(Code::MissingKey, "the domain is not rewritten")
                .mark(table.place(), format!("`{key}` is missing"))
                .help("write `{ from = \"app.internal\", to = \"example.com\" }`"),
        );
    }
    findings.since(before)?;
    read.map(|()| Some(domains))
}

/// `from` or `to` of `domain`, in lower case.
pub(in crate::config) fn domain(
    table: Reader<'_>,
    key: &str,
    findings: &mut Findings,
) -> Result<String, Reported> {
    let Some((text, place)) = table.text(key) else { return Err(findings.given_up(table.place())) };
    if !is_authority(text.as_bytes()) || text.contains([':', '[']) {
        return Err(findings.refuse(
            Diagnostic::new(Code::BadHost, format!("{} is no domain", quote(text)))
                .mark(place, "not a name")
                .help("write a name without scheme, port and path, such as `example.com`"),
        ));
    }
    Ok(text.to_ascii_lowercase())
}
