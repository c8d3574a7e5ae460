//! `tls` of a listener and of a pool: the files are read, and what is wrong with their certificates is told.

use std::path::PathBuf;
use std::sync::Arc;

use super::site::Site;
use super::{exposed, routes};
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::config::value;
use crate::route::Host;
use crate::snapshot::{BackendProtocol, Mode};
use crate::tls::certificate::{self, CertificateFault, DAYS_LEFT_MIN, FILE_LEN_MAX, Facts, Trouble};
use crate::tls::{
    ClientAuth, Files, Origination, OriginationFiles, OriginationRules, Pair, Refused, Termination,
    TerminationRules, Unusable, Verify,
};

/// The most certificates of a listener.
const CERTIFICATES_MAX: usize = 1000;

/// A file with the place where it is named.
struct Named {
    path: PathBuf,
    place: Place,
    bytes: Vec<u8>,
}

/// The file that `key` names: it is there, or the key is not.
fn file(
    table: Reader<'_>,
    key: &'static str,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Named>, Reported> {
    let Some((text, place)) = table.text(key) else { return Ok(None) };
    if text.contains("-----BEGIN") {
        return Err(findings.refuse(
            Diagnostic::new(Code::BadValue, format!("`{key}` is the text of a file, not its path"))
                .mark(place, "expected a path")
                .help("write the text into a file that this user alone may read, and name that file"),
        ));
    }
    let path = site.path(text, place);
    match site.world.read(&path, FILE_LEN_MAX) {
        Ok(bytes) => Ok(Some(Named { path, place, bytes })),
        Err(error) => {
            let shown = table
                .shown(key)
                .map_or_else(|| format!("the file that `{key}` names"), |_| quote(&path.to_string_lossy()));
            let message = format!("cannot read {shown}: {error}");
            Err(findings.refuse(
                Diagnostic::new(Code::Unreadable, message)
                    .mark(place, "expected a file in PEM")
                    .help("the path is relative to the file that names it"),
            ))
        }
    }
}

fn missing(table: Reader<'_>, key: &'static str, help: &'static str, findings: &mut Findings) {
    if !table.has(key) && !findings.is_meant(table.place(), key) {
        findings.push(
            Diagnostic::new(Code::MissingKey, format!("there is no `{key}`"))
                .mark(table.place(), format!("`{key}` is missing"))
                .help(help),
        );
    }
}

/// The rules in `tls` of a listener: all of them, or none if there is no such key.
pub(super) fn of_listener(
    listener: Reader<'_>,
    name: &str,
    mode: Mode,
    routes: &[routes::Found],
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Arc<TerminationRules>>, Reported> {
    let before = findings.errors();
    let Some(table) = listener.table("tls", &language::TLS, findings)? else { return Ok(None) };
    let pairs = certificates(table, site, findings);
    let client_ca = file(table, "client_ca", site, findings);
    let client_crl = client_crl(table, site, findings);
    warn_of_no_crl(table, findings);
    let mut rules = TerminationRules::default();
    let settings = settings::read(&language::TLS, table, &mut rules, site, findings);
    let (client_auth, alpn) = (client_auth(table, findings), alpn(table, mode, findings));
    findings.since(before)?;
    settings?;
    let (pairs, client_ca, client_crl) = (pairs?, client_ca?, client_crl?);
    let rules = TerminationRules {
        certificates: pairs.iter().map(|(cert, key)| pair_of(cert, key)).collect(),
        client_auth,
        client_ca: client_ca.as_ref().map(|file| file.path.clone()),
        client_crl: client_crl.as_ref().map(|file| file.path.clone()),
        alpn,
        ..rules
    };
    let files = Files {
        pairs: pairs.iter().map(|(cert, key)| (cert.bytes.clone(), key.bytes.clone())).collect(),
        client_ca: client_ca.as_ref().map(|file| file.bytes.clone()),
        client_crl: client_crl.as_ref().map(|file| file.bytes.clone()),
    };
    let termination = Termination::new(name, rules, &files).map_err(|refused| {
        let place = |file: &Option<Named>| file.as_ref().map_or(table.place(), |file| file.place);
        let pairs = pairs.iter().map(|(cert, key)| (cert.place, key.place)).collect::<Vec<_>>();
        findings.refuse(unfit(&refused, &pairs, place(&client_ca), place(&client_crl), table.place()))
    })?;
    let facts = termination.facts();
    for ((cert, _), facts) in pairs.iter().zip(&facts) {
        look_at(facts, cert.place, site, findings);
    }
    let places: Vec<Place> = pairs.iter().map(|(cert, _)| cert.place).collect();
    look_at_names(&facts, &places, routes, findings);
    let rules = Arc::clone(termination.rules());
    site.tls.add_termination(Arc::new(termination));
    Ok(Some(rules))
}

/// The finding about files of which no listener can be made.
fn unfit(
    refused: &Refused,
    pairs: &[(Place, Place)],
    client_ca: Place,
    client_crl: Place,
    table: Place,
) -> Diagnostic {
    match refused {
        Refused::Pair(place, fault) => {
            let (cert, key) = pairs.get(*place).copied().unwrap_or((table, table));
            of_pair(fault, cert, key)
        }
        Refused::ClientCa(why) => {
            unusable("the issuers of client certificates cannot be used", why, client_ca)
        }
        Refused::ClientCrl(why) => {
            unusable("the lists of revoked client certificates cannot be used", why, client_crl)
        }
        Refused::Other(why) => Diagnostic::new(Code::BadCertificate, format!("there can be no TLS: {why}"))
            .mark(table, "cannot be used")
            .help("write `certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]`"),
    }
}

fn warn_of_no_crl(table: Reader<'_>, findings: &mut Findings) {
    let Some((_, place)) = table.text("client_crl_expired") else { return };
    if !table.has("client_crl") && !findings.is_meant(table.place(), "client_crl") {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`client_crl_expired` changes nothing here")
                .mark(place, "there is no `client_crl`")
                .help("remove it, or name the file of lists by `client_crl`"),
        );
    }
}

/// The file of `client_crl`, if it is named. It warns of a list that is out of date: with it every client is
/// refused.
fn client_crl(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Named>, Reported> {
    let Some(file) = file(table, "client_crl", site, findings)? else { return Ok(None) };
    missing(
        table,
        "client_ca",
        "name the file with the certificates of those who have revoked them",
        findings,
    );
    let lists = certificate::revocations(&file.bytes).unwrap_or_default();
    if certificate::next_update(&lists).is_some_and(|until| until < site.world.unix_time()) {
        let is_accepted = table.text("client_crl_expired").is_some_and(|(word, _)| word == "accept");
        let label = if is_accepted {
            "who was revoked since comes in"
        } else {
            "no client of its issuer is verified"
        };
        findings.push(
            Diagnostic::new(Code::CertificateDates, "a list of revoked certificates is out of date")
                .mark(file.place, label)
                .help("fetch the issuer's latest list, and reload"),
        );
    }
    Ok(Some(file))
}

fn pair_of(cert: &Named, key: &Named) -> Pair {
    Pair { cert: cert.path.clone(), key: key.path.clone() }
}

fn certificates(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Vec<(Named, Named)>, Reported> {
    let before = findings.errors();
    let help = "write `certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]`";
    missing(table, "certificates", help, findings);
    let items = table.list("certificates");
    if items.is_empty() && table.has("certificates") {
        findings.push(
            Diagnostic::new(Code::MissingKey, "there is no certificate")
                .mark(table.place(), "`certificates` is empty")
                .help(help),
        );
    }
    if let Some(extra) = items.get(CERTIFICATES_MAX) {
        findings.push(super::conditions::too_many("certificates", CERTIFICATES_MAX, extra.place));
    }
    let mut pairs = Vec::new();
    for item in table.tables("certificates", &language::CERTIFICATE).take(CERTIFICATES_MAX) {
        if findings.is_full() {
            break;
        }
        missing(item, "cert", help, findings);
        missing(item, "key", help, findings);
        match (file(item, "cert", site, findings), file(item, "key", site, findings)) {
            (Ok(Some(cert)), Ok(Some(key))) => {
                exposed::warn(&key.path, "this key", key.place, site, findings);
                pairs.push((cert, key));
            }
            (_, _) => _ = findings.given_up(item.place()),
        }
    }
    findings.since(before)?;
    Ok(pairs)
}

fn client_auth(table: Reader<'_>, findings: &mut Findings) -> ClientAuth {
    let has_ca = table.has("client_ca");
    match table.text("client_auth") {
        None => {
            if has_ca {
                ClientAuth::Require
            } else {
                ClientAuth::Off
            }
        }
        Some(("off", place)) => {
            if has_ca {
                findings.push(
                    Diagnostic::new(Code::NoEffect, "`client_ca` changes nothing here")
                        .mark(place, "clients are not asked for certificates")
                        .help("remove one of the two, or write `client_auth = \"request\"`"),
                );
            }
            ClientAuth::Off
        }
        Some((word, _)) => {
            missing(
                table,
                "client_ca",
                "name the file with the certificates of those who issue clients' certificates",
                findings,
            );
            if word == "request" { ClientAuth::Request } else { ClientAuth::Require }
        }
    }
}

fn alpn(table: Reader<'_>, mode: Mode, findings: &mut Findings) -> Vec<String> {
    if !table.has("alpn") {
        return match mode {
            Mode::Http => ["h2", "http/1.1", "http/1.0"].map(String::from).into(),
            Mode::Tcp => Vec::new(),
        };
    }
    let mut names = Vec::new();
    for item in table.list("alpn") {
        let Some(name) = item.text() else {
            findings.given_up(item.place);
            continue;
        };
        let problem = match name {
            _ if name.is_empty() || name.len() > 255 => Some("expected 1 to 255 bytes (RFC 7301 §3.1)"),
            _ => None,
        };
        if let Some(problem) = problem {
            findings.push(
                Diagnostic::new(Code::BadValue, format!("{} cannot be agreed on", quote(name)))
                    .mark(item.place, problem)
                    .help("write for example `alpn = [\"h2\", \"http/1.1\"]`"),
            );
        }
        names.push(name.to_owned());
    }
    names
}

fn unusable(message: &str, why: &Trouble, place: Place) -> Diagnostic {
    Diagnostic::new(Code::BadCertificate, format!("{message}: {why}"))
        .mark(place, "cannot be used")
        .help(why.help)
}

/// The finding about a pair that cannot be used.
fn of_pair(fault: &CertificateFault, cert: Place, key: Place) -> Diagnostic {
    match fault {
        CertificateFault::Certificates(why) => Diagnostic::new(Code::BadCertificate, fault.to_string())
            .mark(cert, "this certificate")
            .help(why.help),
        CertificateFault::Key(why) => {
            Diagnostic::new(Code::BadCertificate, fault.to_string()).mark(key, "this key").help(why.help)
        }
        CertificateFault::Mismatch { belongs_to: Some(_) } => Diagnostic::new(Code::KeyMismatch, fault.to_string())
            .mark(cert, "the first certificate has to be the one of the key")
            .mark(key, "this key")
            .help("put the server's certificate first, and behind it those that it was issued by"),
        CertificateFault::Mismatch { belongs_to: None } => Diagnostic::new(Code::KeyMismatch, fault.to_string())
            .mark(cert, "this certificate")
            .mark(key, "has another key")
            .help("`openssl x509 -in FILE -noout -pubkey` and `openssl pkey -in FILE -pubout` show the same for a pair"),
    }
}

/// Warns of what does not keep a certificate from being used, but its clients from liking it.
fn look_at(facts: &Facts, place: Place, site: &mut Site<'_>, findings: &mut Findings) {
    let now = site.world.unix_time();
    let days = facts.days_left(now);
    let expiry = |message: String, label: &str| {
        Diagnostic::new(Code::CertificateDates, message)
            .mark(place, label)
            .help("have a new one issued; Pollux takes it within a second when the file is replaced")
    };
    if facts.not_after < now {
        findings.push(expiry(format!("the certificate has expired {} days ago", -days), "expired"));
    } else if facts.not_before > now {
        let days = (facts.not_before - now).div_euclid(86_400);
        let message = format!("the certificate is not valid before {} days from now", days + 1);
        findings.push(
            Diagnostic::new(Code::CertificateDates, message)
                .mark(place, "not valid yet")
                .help("look at the clock of this machine, or wait before you use it"),
        );
    } else if days < DAYS_LEFT_MIN {
        findings.push(expiry(format!("the certificate expires in {days} days"), "expires soon"));
    }
    if !facts.is_ordered {
        findings.push(
            Diagnostic::new(Code::ChainOrder, "the certificates of the chain are not in order")
                .mark(place, "each has to be issued by the one behind it")
                .help("put the server's certificate first, then the one that it was issued by, and so on"),
        );
    }
}

/// Warns of hosts of routes that no certificate is for, and of certificates for names that no route serves.
fn look_at_names(facts: &[Facts], places: &[Place], routes: &[routes::Found], findings: &mut Findings) {
    let is_covered = |host: &Host| {
        facts.iter().any(|facts| match host {
            Host::Exact(name) => facts.covers(name.trim_start_matches('[').trim_end_matches(']')),
            Host::Below(name) => facts.names.iter().any(|known| {
                let below = known.strip_prefix("*.").unwrap_or(known);
                known == &format!("*.{name}") || below.ends_with(&format!(".{name}"))
            }),
        })
    };
    for found in routes {
        for host in found.route.when.hosts.iter().filter(|host| !is_covered(host)) {
            findings.push(
                Diagnostic::new(Code::UncoveredName, format!("no certificate is for {}", quote(&host.to_string())))
                    .mark(found.place, "clients that ask for this host get a certificate for another name")
                    .help("add a certificate for the name to `certificates` of the listener, or move the route to another listener"),
            );
        }
    }
    // A route without a host serves all names.
    if routes.is_empty() || routes.iter().any(|found| found.route.when.hosts.is_empty()) {
        return;
    }
    let hosts = || routes.iter().flat_map(|found| &found.route.when.hosts);
    let is_served = |name: &String| match name.strip_prefix("*.") {
        Some(below) => hosts().any(|host| host.to_string().ends_with(&format!(".{below}"))),
        None => hosts().any(|host| host.matches(name.as_bytes())),
    };
    for (facts, place) in facts.iter().zip(places) {
        if !facts.names.iter().any(is_served) {
            let names: Vec<&str> = facts.names.iter().take(3).map(String::as_str).collect();
            let message = format!("no route serves {}", quote(&names.join(", ")));
            findings.push(
                Diagnostic::new(Code::UncoveredName, message)
                    .mark(*place, "all names of this certificate lead to no route")
                    .help("add a route for one of its names, or remove the certificate"),
            );
        }
    }
}

/// The rules in `tls` of a pool, or in `https://` of one of its backends.
pub(super) fn of_pool(
    name: &str,
    protocol: BackendProtocol,
    pool: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Arc<OriginationRules>>, Reported> {
    let before = findings.errors();
    let of_scheme = check_schemes(name, pool, findings);
    let table = pool.table("tls", &language::BACKEND_TLS, findings)?;
    let (rules, files, place) = match (table, of_scheme) {
        (Some(table), _) => {
            let (rules, files) = origination(table, site, findings)?;
            warn_unverified(&rules, table, findings);
            (rules, files, table.place())
        }
        (None, Some(place)) => (OriginationRules::default(), OriginationFiles::default(), place),
        (None, None) => return findings.since(before).map(|()| None),
    };
    findings.since(before)?;
    let named = |key| table.and_then(|table| table.text(key)).map_or(place, |(_, place)| place);
    let rules = OriginationRules { protocol, ..rules };
    let origination = Origination::new(rules, &files).map_err(|refused| {
        findings.refuse(match refused {
            Unusable::Ca(why) => unusable("whom to believe cannot be found out", &why, named("ca")),
            Unusable::Client(fault) => of_pair(&fault, named("cert"), named("key")),
        })
    })?;
    let rules = Arc::clone(origination.rules());
    site.tls.add_origination(Arc::new(origination));
    Ok(Some(rules))
}

/// The addresses of the backends as they are written, and where.
pub(super) fn addresses(pool: Reader<'_>) -> Vec<(String, Place)> {
    let address = |node: &crate::config::doc::Node| {
        let text = node.text().map(str::to_owned).or_else(|| {
            let table = Reader::new(node.table()?, &language::BACKEND);
            table.text("address").map(|(text, _)| text.to_owned())
        });
        text.map(|text| (text, node.place))
    };
    pool.list("backends").iter().filter_map(address).collect()
}

/// Where a backend says `https://`, if one does. Either all do, or `tls` stands for all.
fn check_schemes(name: &str, pool: Reader<'_>, findings: &mut Findings) -> Option<Place> {
    let all: Vec<(bool, Place)> =
        addresses(pool).into_iter().map(|(text, place)| (value::is_https(&text), place)).collect();
    let first = all.iter().find(|(is_https, _)| *is_https)?.1;
    if let Some((_, plain)) = all.iter().find(|(is_https, _)| !*is_https)
        && !pool.has("tls")
    {
        let message = format!("the pool {} has backends with and without TLS", quote(name));
        findings.push(
            Diagnostic::new(Code::Contradiction, message)
                .mark(*plain, "this one is spoken to without TLS")
                .mark(first, "and this one with TLS")
                .help("write `https://` before all of them, or put them into two pools"),
        );
    }
    Some(first)
}

fn origination(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<(OriginationRules, OriginationFiles), Reported> {
    let before = findings.errors();
    let ca = file(table, "ca", site, findings);
    let (cert, key) = (file(table, "cert", site, findings), file(table, "key", site, findings));
    if table.has("cert") || table.has("key") {
        let help = "a certificate is of no use without its key, nor the key without the certificate";
        missing(table, "cert", help, findings);
        missing(table, "key", help, findings);
    }
    let mut rules = OriginationRules::default();
    let settings = settings::read(&language::BACKEND_TLS, table, &mut rules, site, findings);
    findings.since(before)?;
    settings?;
    let (ca, cert, key) = (ca?, cert?, key?);
    if let Some(key) = &key {
        exposed::warn(&key.path, "this key", key.place, site, findings);
    }
    let client = cert.as_ref().zip(key.as_ref());
    let rules = OriginationRules {
        client: client.map(|(cert, key)| pair_of(cert, key)),
        ca: ca.as_ref().map(|file| file.path.clone()),
        ..rules
    };
    let files = OriginationFiles {
        client: client.map(|(cert, key)| (cert.bytes.clone(), key.bytes.clone())),
        ca: ca.map(|file| file.bytes),
    };
    Ok((rules, files))
}

/// `name`: that backends are asked for, and that their certificates have to be for.
pub(in crate::config) fn server_name(table: Reader<'_>, findings: &mut Findings) -> Result<String, Reported> {
    let Some((name, place)) = table.text("name") else { return Err(findings.given_up(table.place())) };
    if rustls::pki_types::ServerName::try_from(name).is_err() {
        return Err(findings.refuse(
            Diagnostic::new(
                Code::BadValue,
                format!("{} is no name that a certificate can have", quote(name)),
            )
            .mark(place, "expected a host name or an address, without a port")
            .help("write for example `name = \"app.internal\"`"),
        ));
    }
    Ok(name.to_owned())
}

fn warn_unverified(rules: &OriginationRules, table: Reader<'_>, findings: &mut Findings) {
    let Some((_, place)) = table.text("verify").filter(|_| rules.verify == Verify::Off) else { return };
    findings.push(
        Diagnostic::new(Code::Unverified, "the certificates of backends are not verified")
            .mark(place, "anybody on the way can take the place of a backend")
            .help("name the issuer by `ca`, and the name that the certificate has by `name`, and remove `verify`"),
    );
    if let Some(ca) = table.entry("ca") {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`ca` changes nothing here")
                .mark(ca.key_place, "nothing is verified")
                .help("remove one of the two"),
        );
    }
}
