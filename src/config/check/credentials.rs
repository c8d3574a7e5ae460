//! `client_cert` of `match`.

use super::conditions::{Refused, nothing};
use super::site::Site;
use crate::config::code::Code;
use crate::config::doc::{Entry, Node};
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::config::settings;
use crate::core::tls_info::ClientCertStatus;
use crate::route::credential::{self, CredentialRule, SubjectPattern, TextPattern};
use crate::snapshot::Mode;
use crate::tls::{ClientAuth, TerminationRules};

/// The rule in `client_cert` of `when`, if it is there.
pub(in crate::config) fn check(
    when: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Option<CredentialRule> {
    let entry = when.entry("client_cert")?;
    let Some(table) = when.table_of_either("client_cert", &language::CLIENT_CERT) else {
        let statuses = statuses(entry.node.items());
        if entry.node.items().is_empty() {
            findings.push(nothing("client_cert", entry.node.place));
        }
        return Some(CredentialRule { statuses, ..CredentialRule::default() });
    };
    let mut rule = CredentialRule::default();
    settings::read(&language::CLIENT_CERT, table, &mut rule, site, findings).ok()?;
    if let Some(state) = table.entry("state")
        && rule.statuses == [ClientCertStatus::None]
        && rule.is_about_identity()
    {
        findings.push(
            Diagnostic::new(Code::Contradiction, "a certificate that is not there is of nobody")
                .mark(state.node.place, "asks for clients without a certificate")
                .help("remove `state`, or everything else"),
        );
    }
    Some(rule)
}

/// `state`.
pub(in crate::config) fn state(table: Reader<'_>, findings: &mut Findings) -> Vec<ClientCertStatus> {
    if let (true, Some(entry)) = (table.list("state").is_empty(), table.entry("state")) {
        findings.push(nothing("state", entry.node.place));
    }
    statuses(table.list("state"))
}

fn statuses(items: &[Node]) -> Vec<ClientCertStatus> {
    let mut statuses = Vec::new();
    // Other words are held back by the shape.
    for status in items.iter().filter_map(|item| item.text()?.parse().ok()) {
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    statuses
}

pub(in crate::config) fn subject(text: &str) -> Result<SubjectPattern, Refused> {
    SubjectPattern::parse(text).ok_or_else(|| {
        let help = "write attributes in the order of the certificate, such as `CN=alice, O=Example`, as `openssl x509 -noout -subject` shows \
                    them; `*` stands for any text in a value, or for any attributes; `\\,` is a comma in a value";
        (Code::BadValue, format!("{} is no subject", quote(text)), help.to_owned())
    })
}

pub(in crate::config) fn common_name(text: &str) -> Result<TextPattern, Refused> {
    TextPattern::parse(text).ok_or_else(|| {
        let help = "write a name such as `alice` or `*.ops`; `\\*` is the character itself";
        (Code::BadValue, format!("{} is no name", quote(text)), help.to_owned())
    })
}

pub(in crate::config) fn fingerprint(text: &str) -> Result<String, Refused> {
    credential::fingerprint(text).ok_or_else(|| {
        let help =
            "write the 64 hexadecimal digits that `openssl x509 -noout -fingerprint -sha256` shows, with colons or without";
        let is_sha1 = text.bytes().filter(u8::is_ascii_hexdigit).count() == 40;
        let what = if is_sha1 { "is a SHA-1, not a SHA-256" } else { "is no SHA-256" };
        (Code::BadValue, format!("{} {what}", quote(text)), help.to_owned())
    })
}

/// Complains about routes that ask for what no client of the listener can have. `tls` is what it has come to,
/// if it could be had.
pub(super) fn check_possible(
    listener: Reader<'_>,
    mode: Mode,
    tls: Option<&TerminationRules>,
    findings: &mut Findings,
) {
    let routes = listener.tables("route", &language::ROUTE);
    let whens: Vec<_> =
        routes.filter_map(|route| route.table("match", &language::MATCH, findings).ok()?).collect();
    for (when, entry) in whens.into_iter().filter_map(|when| Some((when, when.entry("client_cert")?))) {
        let auth = match (tls, listener.has("tls")) {
            (Some(tls), _) => Some(tls.client_auth),
            // The mistake has been reported.
            (None, true) => continue,
            (None, false) => None,
        };
        let found = match (mode, auth) {
            // That is told with the other keys for HTTP.
            (Mode::Tcp, _) => continue,
            (Mode::Http, None) => impossible(entry, "the listener has no `tls`").help(
                "add `tls = { certificates = […], client_ca = \"ca.pem\", client_auth = \"request\" }`, or remove it",
            ),
            (Mode::Http, Some(ClientAuth::Off)) => impossible(entry, "nobody is asked for a certificate")
                .help("add `client_ca = \"ca.pem\", client_auth = \"request\"` to `tls` of the listener, or remove it"),
            (Mode::Http, Some(ClientAuth::Require)) if asks_for_others(when) => Diagnostic::new(
                Code::UnreachableRoute,
                "the route is never reached",
            )
            .mark(entry.node.place, "only clients with a certificate that was verified come in")
            .help("write `client_auth = \"request\"` in `tls` of the listener, or remove the route"),
            (Mode::Http, Some(ClientAuth::Require | ClientAuth::Request)) => continue,
        };
        findings.push(found);
    }
}

fn impossible(entry: &Entry, why: &str) -> Diagnostic {
    Diagnostic::new(Code::NoEffect, "`client_cert` asks for what no client of the listener can have")
        .mark(entry.key_place, why)
}

/// Whether the condition holds for no client with a verified certificate.
fn asks_for_others(when: Reader<'_>) -> bool {
    let Some(entry) = when.entry("client_cert") else { return false };
    let items = match when.table_of_either("client_cert", &language::CLIENT_CERT) {
        Some(table) => table.list("state"),
        None => entry.node.items(),
    };
    let statuses = statuses(items);
    !statuses.is_empty() && !statuses.contains(&ClientCertStatus::Verified)
}
