//! `rewrite_back` of a route.

use crate::config::code::Code;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::route::{Domains, RewriteBack};
use crate::syntax::target::is_authority;

/// `rewrite_back`.
pub(in crate::config) fn of_route(
    route: Reader<'_>,
    findings: &mut Findings,
) -> Result<RewriteBack, Reported> {
    let has_prefix = route.has("strip_prefix") || route.has("replace_prefix");
    let Some(entry) = route.entry("rewrite_back") else { return Ok(RewriteBack::default()) };
    let back = match route.table_of_either("rewrite_back", &language::REWRITE_BACK) {
        Some(table) => RewriteBack {
            paths: table.flag("paths").unwrap_or(true),
            domains: match table.table("domain", &language::DOMAIN, findings)? {
                Some(domain) => Some(domains(domain, findings)?),
                None => None,
            },
        },
        None => RewriteBack { paths: route.flag("rewrite_back").unwrap_or(false), domains: None },
    };
    let answers = route.has("redirect") || route.has("respond");
    if back.paths && back.domains.is_none() && !has_prefix && !answers {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`rewrite_back` changes nothing here")
                .mark(entry.key_place, "the path of the request is not changed")
                .help("remove it, or add `strip_prefix`, `replace_prefix` or a `domain`"),
        );
    }
    // Where no path is changed none is changed back.
    Ok(RewriteBack { paths: back.paths && has_prefix, ..back })
}

fn domains(table: Reader<'_>, findings: &mut Findings) -> Result<Domains, Reported> {
    let [inner, outer] = ["from", "to"].map(|key| {
        let Some((text, place)) = table.text(key) else {
            if !table.has(key) {
                findings.push(
                    Diagnostic::new(Code::MissingKey, "the domain is not rewritten")
                        .mark(table.place(), format!("`{key}` is missing"))
                        .help("write `{ from = \"app.internal\", to = \"example.com\" }`"),
                );
            }
            return None;
        };
        if !is_authority(text.as_bytes()) || text.contains([':', '[']) {
            findings.push(
                Diagnostic::new(Code::BadHost, format!("{} is no domain", quote(text)))
                    .mark(place, "not a name")
                    .help("write a name without scheme, port and path, such as `example.com`"),
            );
            return None;
        }
        Some(text.to_ascii_lowercase())
    });
    match (inner, outer) {
        (Some(inner), Some(outer)) => Ok(Domains { inner, outer }),
        _ => Err(findings.given_up(table.place())),
    }
}
