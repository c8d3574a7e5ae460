//! The keys of `split`, `redirect`, `respond`, `strip_prefix` and `replace_prefix`.

use super::conditions;
use super::fields::{self, Of};
use super::routes::{missing, no_effect};
use super::site::Site;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::forms::ShareForm;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::http::framing::has_no_body;
use crate::route::path::Path;
use crate::route::{Body, PrefixEdit, Redirect, Respond, Template};

/// `split` of a listener or of a route.
pub(in crate::config) fn split(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Vec<ShareForm>, Reported> {
    let Some(entry) = table.entry("split") else { return Err(findings.given_up(table.place())) };
    let (before, mut shares) = (findings.errors(), Vec::new());
    for table in table.tables("split", &language::SHARE) {
        let mut share = ShareForm { pool: String::new(), weight: 1 };
        let read = settings::read(&language::SHARE, table, &mut share, site, findings);
        if !table.has("pool") {
            let example = "`{ pool = \"app\", weight = 1 }`";
            findings.push(missing("pool", "the share has no pool", table.place(), example));
        }
        shares.extend(read.map(|()| share));
    }
    if shares.iter().all(|share| share.weight == 0) && findings.errors() == before {
        findings.push(
            Diagnostic::new(Code::ZeroWeight, "the weights of the split add up to 0")
                .mark(entry.node.place, "nothing would be picked")
                .help("give at least one share a weight of 1 or more"),
        );
    }
    findings.since(before)?;
    Ok(shares)
}

/// `sticky` of a split.
pub(in crate::config) fn sticky(
    table: Reader<'_>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Result<Template, Reported> {
    let Some((text, place)) = table.text("sticky") else { return Err(findings.given_up(table.place())) };
    fields::template(text, place, site, findings).ok_or_else(|| findings.given_up(place))
}

/// `redirect` of a route.
pub(in crate::config) fn redirect(
    route: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Redirect>, Reported> {
    let Some(table) = route.table("redirect", &language::REDIRECT, findings)? else { return Ok(None) };
    let mut redirect = Redirect { status: 302, location: Template::default() };
    let read = settings::read(&language::REDIRECT, table, &mut redirect, site, findings);
    if !table.has("location") {
        let example = "`location = \"https://{host}{uri}\"`";
        findings.push(missing("location", "the redirect leads nowhere", table.place(), example));
        return Err(findings.given_up(table.place()));
    }
    read.map(|()| Some(redirect))
}

/// `status` of a redirect.
pub(in crate::config) fn redirect_status(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<u16, Reported> {
    let Some((status, place)) = table.number("status") else { return Err(findings.given_up(table.place())) };
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        findings.push(
            Diagnostic::new(Code::OutOfRange, format!("{status} does not point elsewhere"))
                .mark(place, "expected 301, 302, 303, 307 or 308")
                .help("308 and 307 keep the method and the body, for good and for now; 301 and 302 may turn a POST into a GET"),
        );
    }
    Ok(status)
}

/// `location` of a redirect.
pub(in crate::config) fn location(
    table: Reader<'_>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Result<Template, Reported> {
    let Some((text, place)) = table.text("location") else {
        return Err(findings.given_up(table.place()));
    };
    let location = fields::template(text, place, site, findings).ok_or_else(|| findings.given_up(place))?;
    fields::warn_away(&location, place, findings);
    Ok(location)
}

/// `respond` of a route.
pub(in crate::config) fn respond(
    route: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Respond>, Reported> {
    let Some(table) = route.table("respond", &language::RESPOND, findings)? else { return Ok(None) };
    site.fields_of = Of::Response;
    let mut respond = Respond { status: 200, headers: Vec::new(), body: Body::default() };
    settings::read(&language::RESPOND, table, &mut respond, site, findings)?;
    if let Some(entry) = table.entry("body").or(table.entry("body_file"))
        && has_no_body(respond.status)
        && !respond.body.bytes.is_empty()
    {
        findings.push(no_effect(entry, &format!("a response with status {} has no body", respond.status)));
    }
    Ok(Some(respond))
}

/// `body` of a fixed answer.
pub(in crate::config) fn body(table: Reader<'_>, findings: &mut Findings) -> Result<Body, Reported> {
    let Some((text, place)) = table.text("body") else { return Err(findings.given_up(table.place())) };
    if text.len() > Body::LEN_MAX {
        findings.push(conditions::too_many("bytes in body", Body::LEN_MAX, place));
    }
    Ok(Body { bytes: text.as_bytes().into(), file: None })
}

/// `body_file` of a fixed answer, which holds in place of `body`.
pub(in crate::config) fn body_file(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Body, Reported> {
    let Some((name, place)) = table.text("body_file") else {
        return Err(findings.given_up(table.place()));
    };
    if let Some(entry) = table.entry("body") {
        findings.push(no_effect(entry, "the body is read from `body_file`"));
    }
    let path = site.path(name, place);
    match site.world.read(&path, Body::LEN_MAX) {
        Ok(bytes) => {
            let file = Some(std::path::absolute(&path).unwrap_or(path));
            Ok(Body { bytes: bytes.into(), file })
        }
        Err(error) => {
            let message = format!("cannot read {}: {error}", quote(&path.display().to_string()));
            Err(findings.refuse(
                Diagnostic::new(Code::Unreadable, message)
                    .mark(place, "named here")
                    .help("name an existing file that this user may read, relative to the configuration"),
            ))
        }
    }
}

/// `strip_prefix`.
pub(in crate::config) fn strip_prefix(
    route: Reader<'_>,
    findings: &mut Findings,
) -> Result<Option<PrefixEdit>, Reported> {
    Ok(Some(PrefixEdit { from: prefix(route, "strip_prefix", findings)?, to: String::new() }))
}

/// `replace_prefix`.
pub(in crate::config) fn replace_prefix(
    route: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<PrefixEdit>, Reported> {
    if let (Some(strip), Some(replace)) = (route.entry("strip_prefix"), route.entry("replace_prefix")) {
        return Err(findings.refuse(
            Diagnostic::new(Code::NotOneAction, "the prefix is both taken off and replaced")
                .mark(replace.key_place, "this")
                .mark(strip.key_place, "and this")
                .help("keep one of them"),
        ));
    }
    let Some(table) = route.table("replace_prefix", &language::PREFIX, findings)? else { return Ok(None) };
    let mut edit = PrefixEdit::default();
    let read = settings::read(&language::PREFIX, table, &mut edit, site, findings);
    let missed = ["from", "to"].into_iter().filter(|key| !table.has(key));
    let before = findings.errors();
    for key in missed {
        let example = "`{ from = \"/api\", to = \"/v2\" }`";
        findings.push(missing(key, "the prefix is not replaced", table.place(), example));
    }
    findings.since(before)?;
    read.map(|()| Some(edit))
}

/// `to` of `replace_prefix`: segments without a slash behind them.
pub(in crate::config) fn prefix_to(table: Reader<'_>, findings: &mut Findings) -> Result<String, Reported> {
    prefix(table, "to", findings)?;
    Ok(table.text("to").map_or("", |(text, _)| text).trim_end_matches('/').to_owned())
}

/// A prefix such as `/api`, as a rule for it and everything below.
pub(in crate::config) fn prefix(
    table: Reader<'_>,
    key: &str,
    findings: &mut Findings,
) -> Result<Path, Reported> {
    let Some((text, place)) = table.text(key) else { return Err(findings.given_up(table.place())) };
    let read = if text.contains('*') {
        Err(String::from("it has a `*`"))
    } else {
        Path::parse(&format!("{}/*", text.trim_end_matches('/')))
    };
    match read {
        Ok(path) if path.names().next().is_none() => Ok(path),
        Ok(_) => Err(findings.refuse(bad_prefix(text, "it has a `{name}`", place))),
        Err(message) => Err(findings.refuse(bad_prefix(text, &message, place))),
    }
}

fn bad_prefix(text: &str, message: &str, place: Place) -> Diagnostic {
    Diagnostic::new(Code::BadPath, format!("{} is not a prefix: {message}", quote(text)))
        .mark(place, "expected whole segments")
        .help("write segments such as `/api` or `/api/v1`")
}
