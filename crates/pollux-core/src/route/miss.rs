//! Why a route does not match a request: one route, looked at by itself. `explain` tells it, and the table's
//! index is held to it by a test.

use std::fmt;

use ipnet::IpNet;

use super::credential::{CredentialRule, Lack, SubjectPattern, TextPattern};
use super::host;
use super::path;
use super::rule::{Conditions, Want};
use super::view::{RequestView, decoded};
use crate::core::tls_info::{ClientCertStatus, Credential};
use crate::prelude::hello::protocols;

/// The first condition of a route that a request does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The host is none of those.
    Host,
    /// The path is none of those.
    Path,
    /// The expression is not found in the path.
    PathRegex,
    /// The method is none of those.
    Method,
    /// The header field of that name is not as asked for.
    Header(String),
    /// The query parameter of that name is not as asked for.
    Query(String),
    /// The cookie of that name is not as asked for.
    Cookie(String),
    /// The client is in none of those networks.
    Client,
    /// The client offers none of those protocols.
    Alpn,
    /// The client's certificate is not as asked for.
    ClientCert(Lack),
}

impl Miss {
    /// The demand and the value that missed it, in a sentence without a full stop.
    #[must_use]
    pub fn tell(&self, when: &Conditions, view: &RequestView<'_>) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let list = |items: Vec<String>| items.join(" or ");
        let shown = |items: &[IpNet]| list(items.iter().map(ToString::to_string).collect());
        match self {
            Miss::Host => format!(
                "the host {} is not {}",
                text(view.host()),
                list(when.hosts.iter().map(ToString::to_string).collect())
            ),
            Miss::Path => {
                format!(
                    "the path {} is not {}",
                    view.path,
                    list(when.paths.iter().map(ToString::to_string).collect())
                )
            }
            Miss::PathRegex => {
                let regex = when.path_regex.as_ref().map_or("", |regex| regex.text());
                format!("the path {} is not like {regex}", view.path)
            }
            Miss::Method => format!("the method {} is not {}", view.method, list(when.methods.clone())),
            Miss::Header(name) => tell_value("header field", name, &when.headers, view.field(name).map(text)),
            Miss::Query(name) => {
                tell_value("query parameter", name, &when.query, view.parameter(name).map(str::to_owned))
            }
            Miss::Cookie(name) => tell_value("cookie", name, &when.cookies, view.cookie(name).map(text)),
            Miss::Alpn => {
                let offered: Vec<String> = protocols(view.alpn).map(text).collect();
                format!("the client offers {}, not {}", shown_or_nothing(&offered), when.alpn.join(" or "))
            }
            Miss::Client => format!("the client {} is not in {}", view.client, shown(&when.clients)),
            Miss::ClientCert(lack) => when
                .client_cert
                .as_ref()
                .map_or_else(String::new, |rule| tell_lack(*lack, rule, view.credential())),
        }
    }
}

fn tell_lack(lack: Lack, rule: &CredentialRule, credential: &Credential) -> String {
    let Some(identity) = credential.shown() else {
        let statuses: Vec<&str> = rule.statuses.iter().map(|status| asked_for(*status)).collect();
        return format!("the client has shown no certificate, and {} is asked for", statuses.join(" or "));
    };
    let or = |texts: Vec<&str>| texts.join(" or ");
    match lack {
        Lack::ClientCertStatus => {
            let found = match credential.cert_error() {
                Some(why) => format!("could not be verified ({})", why.as_str()),
                None => String::from("was verified"),
            };
            let statuses: Vec<&str> = rule.statuses.iter().map(|status| asked_for(*status)).collect();
            format!("the client's certificate {found}, and {} is asked for", statuses.join(" or "))
        }
        Lack::Subject => {
            let wanted = or(rule.subjects.iter().map(SubjectPattern::text).collect());
            format!("the client's certificate is that of {}, not of {wanted}", identity.subject)
        }
        Lack::CommonName => {
            let names: Vec<&str> = identity.subject.common_names().collect();
            let names = if names.is_empty() { String::from("nothing") } else { names.join(" and ") };
            let wanted = or(rule.common_names.iter().map(TextPattern::text).collect());
            format!("the common name of the client's certificate is {names}, not {wanted}")
        }
        Lack::Fingerprint => {
            let wanted = or(rule.fingerprints.iter().map(String::as_str).collect());
            format!("the fingerprint of the client's certificate is {}, not {wanted}", identity.fingerprint)
        }
    }
}

fn asked_for(status: ClientCertStatus) -> &'static str {
    match status {
        ClientCertStatus::None => "none",
        ClientCertStatus::Verified => "one that was verified",
        ClientCertStatus::Failed => "one that could not be verified",
    }
}

fn shown_or_nothing(items: &[String]) -> String {
    if items.is_empty() { String::from("no protocol") } else { items.join(" and ") }
}

fn tell_value(
    what: &str,
    name: &str,
    wants: &[(String, Want)],
    found: impl Iterator<Item = String>,
) -> String {
    let found: Vec<String> = found.collect();
    let there =
        if found.is_empty() { String::from("is not there") } else { format!("is {}", found.join(", ")) };
    let want = wants.iter().find(|(wanted, _)| wanted == name).map(|(_, want)| want);
    let asked = want.map_or(String::new(), |want| want.to_string());
    format!("the {what} {name} {there}, and {asked} is asked for")
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Want::Is(values) => f.write_str(&values.join(" or ")),
            Want::Like(pattern) => write!(f, "something like {}", pattern.text()),
            Want::Present => f.write_str("any value"),
            Want::Absent => f.write_str("none"),
        }
    }
}

/// Why a request does not meet `when`; `None` if it does.
#[must_use]
pub fn miss(when: &Conditions, view: &RequestView<'_>) -> Option<Miss> {
    let mut room = [0; host::LEN_MAX];
    let key = host::key(view.authority, &mut room);
    if !when.hosts.is_empty() && !key.is_some_and(|key| when.hosts.iter().any(|host| host.matches(key))) {
        return Some(Miss::Host);
    }
    let normal = path::normal(view.path);
    if !when.paths.is_empty() && !when.paths.iter().any(|path| path.matches(&normal)) {
        return Some(Miss::Path);
    }
    miss_of_rest(when, view, &normal)
}

/// The first condition that fails, for a request whose host and path are known to match.
pub(super) fn miss_of_rest(when: &Conditions, view: &RequestView<'_>, normal: &str) -> Option<Miss> {
    if when.path_regex.as_ref().is_some_and(|regex| !regex.is_match(normal.as_bytes())) {
        return Some(Miss::PathRegex);
    }
    if !when.methods.is_empty() && !when.methods.iter().any(|method| method == view.method) {
        return Some(Miss::Method);
    }
    if let Some((name, _)) = when.headers.iter().find(|(name, want)| !is_met(want, view.field(name))) {
        return Some(Miss::Header(name.clone()));
    }
    if let Some((name, _)) = when.query.iter().find(|(name, want)| !is_met_by_query(want, view, name)) {
        return Some(Miss::Query(name.clone()));
    }
    if let Some((name, _)) = when.cookies.iter().find(|(name, want)| !is_met(want, view.cookie(name))) {
        return Some(Miss::Cookie(name.clone()));
    }
    if !when.clients.is_empty() && !when.clients.iter().any(|network| network.contains(&view.client)) {
        return Some(Miss::Client);
    }
    let offers = |wanted: &String| protocols(view.alpn).any(|offered| offered == wanted.as_bytes());
    if !when.alpn.is_empty() && !when.alpn.iter().any(offers) {
        return Some(Miss::Alpn);
    }
    let lack = when.client_cert.as_ref().and_then(|rule| rule.lack(view.credential()));
    lack.map(Miss::ClientCert)
}

fn is_met<'a>(want: &Want, mut found: impl Iterator<Item = &'a [u8]>) -> bool {
    match want {
        Want::Is(values) => found.any(|found| values.iter().any(|value| value.as_bytes() == found)),
        Want::Like(pattern) => found.any(|found| pattern.is_match(found)),
        Want::Present => found.next().is_some(),
        Want::Absent => found.next().is_none(),
    }
}

/// Query parameters are compared decoded: `?admin=%31` is `?admin=1`.
fn is_met_by_query(want: &Want, view: &RequestView<'_>, name: &str) -> bool {
    let mut found = view.parameter(name);
    match want {
        Want::Is(values) => found.any(|found| values.iter().any(|value| decoded(found).eq(value.bytes()))),
        Want::Like(pattern) => found.any(|found| pattern.is_match(&decoded(found).collect::<Vec<u8>>())),
        Want::Present => found.next().is_some(),
        Want::Absent => found.next().is_none(),
    }
}

/// Whether every request that meets `narrow` meets `wide` too, as far as can be seen from the conditions
/// alone.
#[must_use]
pub fn shadows(wide: &Conditions, narrow: &Conditions) -> bool {
    let holds_hosts = wide.hosts.is_empty()
        || (!narrow.hosts.is_empty()
            && narrow.hosts.iter().all(|host| wide.hosts.iter().any(|other| has(other, host))));
    let holds_paths = wide.paths.is_empty()
        || (!narrow.paths.is_empty()
            && narrow.paths.iter().all(|path| wide.paths.iter().any(|other| other.contains(path))));
    let holds_methods = wide.methods.is_empty()
        || (!narrow.methods.is_empty() && narrow.methods.iter().all(|method| wide.methods.contains(method)));
    let holds_clients = wide.clients.is_empty()
        || (!narrow.clients.is_empty()
            && narrow.clients.iter().all(|network| wide.clients.iter().any(|other| other.contains(network))));
    let holds_alpn = wide.alpn.is_empty()
        || (!narrow.alpn.is_empty() && narrow.alpn.iter().all(|name| wide.alpn.contains(name)));
    let holds_cert = match (&wide.client_cert, &narrow.client_cert) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => wide.contains(narrow),
    };
    let holds_regex = wide.path_regex.is_none() || wide.path_regex == narrow.path_regex;
    let holds_values =
        [(&wide.headers, &narrow.headers), (&wide.query, &narrow.query), (&wide.cookies, &narrow.cookies)]
            .iter()
            .all(|(wide, narrow)| {
                wide.iter().all(|(name, want)| narrow.iter().any(|it| it.0 == *name && implies(&it.1, want)))
            });
    holds_hosts
        && holds_paths
        && holds_methods
        && holds_clients
        && holds_alpn
        && holds_cert
        && holds_regex
        && holds_values
}

fn has(wide: &host::Host, narrow: &host::Host) -> bool {
    use host::Host::{Below, Exact};
    match (wide, narrow) {
        (_, Exact(name)) => wide.matches(name.as_bytes()),
        (Below(wide), Below(narrow)) => wide == narrow || narrow.ends_with(&format!(".{wide}")),
        (Exact(_), Below(_)) => false,
    }
}

/// Whether a value that is as `narrow` asks is as `wide` asks.
fn implies(narrow: &Want, wide: &Want) -> bool {
    match (narrow, wide) {
        (Want::Is(narrow), Want::Is(wide)) => narrow.iter().all(|value| wide.contains(value)),
        (Want::Is(_) | Want::Like(_) | Want::Present, Want::Present) => true,
        (narrow, wide) => narrow == wide,
    }
}
