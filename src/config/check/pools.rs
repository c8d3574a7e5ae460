//! `[pool.NAME]`.

use std::net::SocketAddr;
use std::time::Duration;

use super::backends::{Around, is_weightless, sources};
use super::names::{self, NAME_LEN_MAX};
use super::protocol;
use super::resolver::resolver;
use super::site::Site;
use super::tls;
use crate::config::code::Code;
use crate::config::doc::Entry;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::discovery;
use crate::snapshot::{BackendSource, Balance, Pool};

/// A pool, and where its name stands.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) pool: Result<Pool, Reported>,
    pub(super) place: Place,
}

/// The name at `pool`, which a pool of the file has.
pub(in crate::config) fn named(
    table: Reader<'_>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Result<String, Reported> {
    let Some((written, place)) = table.text("pool") else { return Err(findings.given_up(table.place())) };
    if site.pools.iter().any(|name| name == written) {
        return Ok(written.to_owned());
    }
    let names: Vec<_> = site.pools.iter().map(String::as_str).collect();
    Err(findings.refuse(names::unknown(Code::UnknownPool, "pool", written, place, &names)))
}

/// The pools in the order of the file; one with a finding is there all the same, so that its listeners find
/// it.
pub(super) fn check(root: Reader<'_>, site: &mut Site<'_>, findings: &mut Findings) -> Vec<Found> {
    let servers = resolver(root, findings).unwrap_or_default();
    let check = |entry: &Entry| {
        let pool = match entry.node.table() {
            Some(table) => pool(entry, Reader::new(table, &language::POOL), &servers, site, findings),
            None => Err(findings.given_up(entry.node.place)),
        };
        Found { name: entry.key.clone(), pool, place: entry.key_place }
    };
    root.names("pool").iter().map(check).collect()
}

fn pool(
    entry: &Entry,
    table: Reader<'_>,
    servers: &[SocketAddr],
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Pool, Reported> {
    let (name, before) = (entry.key.as_str(), findings.errors());
    check_name(name, entry.key_place, findings);
    let number = |key| table.number(key).map(|(number, _)| number);
    let mut pool = Pool { resolver: servers.to_vec(), ..Pool::new(name, Vec::new()) };
    let settings = settings::read(&language::POOL, table, &mut pool, site, findings);
    let servers = pool.resolver.clone();
    let around = Around {
        max_requests: number("max_requests"),
        max_connections: number("max_connections"),
        resolve: pool.resolve,
        servers: &servers,
        family: pool.family,
    };
    let sources = sources(table, around, site, findings);
    let found_before = findings.errors();
    match table.entry("backends") {
        None if !findings.is_meant(table.place(), "backends") => {
            findings.push(empty(name, entry.key_place, "`backends` is missing"));
        }
        Some(list) if list.node.items().is_empty() => {
            findings.push(empty(name, list.node.place, "expected at least one backend"));
        }
        Some(list) if findings.errors() == found_before && is_weightless(&sources) => {
            findings.push(
                Diagnostic::new(
                    Code::ZeroWeight,
                    format!("the weights of the pool {} add up to 0", quote(name)),
                )
                .mark(list.node.place, "all of these have weight 0")
                .help("give at least one backend a weight of 1 or more"),
            );
        }
        None | Some(_) => {}
    }
    warn_of_never_full(&pool.balance, &sources, table, findings);
    protocol::check(&mut pool, table, findings);
    let tls = tls::of_pool(name, protocol::of_tls(&pool), table, site, findings);
    settings?;
    pool.tls = tls?;
    protocol::warn_of_no_choice(&pool, table, findings);
    protocol::refuse_calls_by_http1(&pool, table, findings);
    pool.sources = sources;
    discovery::fill(&mut pool, &site.answers);
    if pool.sources.iter().all(|source| matches!(source, BackendSource::Given(_))) {
        pool.sources.clear();
    }
    findings.since(before)?;
    Ok(pool)
}

/// A time, or `false` for none; `true` is `default`.
pub(in crate::config) fn time_or_off(
    table: Reader<'_>,
    key: &str,
    default: Duration,
    findings: &mut Findings,
) -> Result<Option<Duration>, Reported> {
    match (table.time(key), table.flag(key)) {
        (Some((time, _)), _) => Ok(Some(time)),
        (None, Some(is_on)) => Ok(is_on.then_some(default)),
        (None, None) => Err(findings.given_up(table.place())),
    }
}

/// `request_trailers`: whether they pass.
pub(in crate::config) fn passes_trailers(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<bool, Reported> {
    match table.text("request_trailers") {
        Some(("drop", _)) => Ok(false),
        Some(("pass", _)) => Ok(true),
        Some((_, place)) => Err(findings.given_up(place)),
        None => Err(findings.given_up(table.place())),
    }
}

/// `first` fills one after the other, if there is something to be filled.
fn warn_of_never_full(
    balance: &Balance,
    sources: &[BackendSource],
    table: Reader<'_>,
    findings: &mut Findings,
) {
    let is_unbounded = |source: &BackendSource| match source {
        BackendSource::Given(backend) => backend.max_requests.or(backend.max_connections).is_none(),
        BackendSource::Asked { like, .. } => like.max_requests.or(like.max_connections).is_none(),
    };
    let [rest @ .., _] = sources else { return };
    let Some((_, place)) = table.text("balance") else { return };
    if *balance == Balance::First && rest.iter().any(is_unbounded) {
        findings.push(
            Diagnostic::new(Code::NeverFull, "a backend before the last one is never full")
                .mark(place, "goes on to the next one when one is full")
                .help("write `max_requests` or `max_connections`, or another `balance`"),
        );
    }
}

/// A pool's name can stand for the host in a request, so it has to be a valid Host value.
fn check_name(name: &str, place: Place, findings: &mut Findings) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(allowed) {
        findings.push(
            Diagnostic::new(Code::BadName, format!("{} cannot be the name of a pool", quote(name)))
                .mark(place, format!("expected 1 to {NAME_LEN_MAX} letters, digits, `_` and `-`"))
                .help("the name can stand as a Host, so it has no other characters"),
        );
    }
}

fn empty(pool: &str, place: Place, label: &str) -> Diagnostic {
    Diagnostic::new(Code::EmptyPool, format!("the pool {} has no backend", quote(pool)))
        .mark(place, label)
        .help("list where the backends listen: `backends = [\"127.0.0.1:9001\"]`")
}
