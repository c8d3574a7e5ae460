//! `[pool.NAME]`.

use super::balance::balance;
use super::health;
use super::names::{self, NAME_LEN_MAX, Seen};
use super::retries::retries;
use super::sticky::sticky;
use crate::config::code::Code;
use crate::config::doc::{Entry, Node, Value};
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::config::shape;
use crate::config::value::{backend_addresses, named};
use crate::config::world::World;
use crate::snapshot::{Address, Backend, Pool, PoolId};

/// A pool, and where its name stands.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) pool: Pool,
    pub(super) place: Place,
}

/// The pool that is called `written` at `place`.
pub(super) fn find(written: &str, place: Place, pools: &[Found], findings: &mut Findings) -> Option<PoolId> {
    if let Some(index) = pools.iter().position(|found| found.pool.name == written) {
        return Some(PoolId(index));
    }
    let names: Vec<_> = pools.iter().map(|found| found.pool.name.as_str()).collect();
    findings.push(names::unknown(Code::UnknownPool, "pool", written, place, &names));
    None
}

/// The pools in the order of the file; one with a finding is there all the same, so that its listeners find it.
pub(super) fn check(root: Reader<'_>, world: &mut dyn World, findings: &mut Findings) -> Vec<Found> {
    let check = |entry: &Entry| {
        let table = Reader::new(entry.node.table()?, &language::POOL);
        Some(Found { pool: pool(entry, table, world, findings), place: entry.key_place })
    };
    root.names("pool").iter().filter_map(check).collect()
}

fn pool(entry: &Entry, table: Reader<'_>, world: &mut dyn World, findings: &mut Findings) -> Pool {
    let name = entry.key.as_str();
    check_name(name, entry.key_place, findings);
    let balance = balance(table, findings);
    let bounds = Bounds::read(table, Bounds::default());
    let (mut backends, mut addresses, mut named) = (Vec::new(), Seen::default(), Seen::default());
    let found_before = findings.len();
    for item in table.list("backends") {
        // Each entry may ask the resolver, so stop when nobody would see the answer.
        if findings.is_full() {
            break;
        }
        for backend in item_backends(item, bounds, world, findings) {
            if let Some(first) = addresses.first(backend.address.clone(), item.place) {
                findings.push(duplicate(&backend.address, item.place, first));
            } else if let Some(first) = named.first(backend.name.clone(), item.place) {
                findings.push(names::twice(
                    "backends of the pool",
                    &backend.name,
                    (item.place, "again here"),
                    first,
                ));
            }
            backends.push(backend);
        }
    }
    match table.entry("backends") {
        None if !findings.is_meant(table.place(), "backends") => {
            findings.push(empty(name, entry.key_place, "`backends` is missing"));
        }
        Some(list) if list.node.items().is_empty() => {
            findings.push(empty(name, list.node.place, "expected at least one backend"));
        }
        Some(list) if findings.len() == found_before && is_weightless(&backends) => {
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
    Pool {
        balance,
        sticky: sticky(table, findings),
        retries: retries(table, findings),
        health: health::passive(table, findings),
        check: health::check(table, findings),
        max_pending: table.count("max_pending").unwrap_or(Pool::MAX_PENDING),
        max_reuse: table.number("max_reuse").and_then(|(most, _)| u32::try_from(most).ok()),
        queue: table.time("queue").map(|(time, _)| time),
        ..Pool::new(name, backends)
    }
}

fn is_weightless(backends: &[Backend]) -> bool {
    !backends.is_empty() && backends.iter().all(|backend| backend.weight == 0)
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

/// The backends that one item of the list stands for; none when it has a finding.
fn item_backends(
    item: &Node,
    bounds: Bounds,
    world: &mut dyn World,
    findings: &mut Findings,
) -> Vec<Backend> {
    match &item.value {
        Value::Text { text, .. } => {
            read(text, item.place, &Said { bounds, ..Said::default() }, world, findings)
        }
        Value::Table(table) => {
            let table = Reader::new(table, &language::BACKEND);
            let weight = table.number("weight").map_or(Some(1), |(weight, _)| u32::try_from(weight).ok());
            let name = table.text("name");
            if let Some((name, place)) = name
                && !names::check_plain("backend", name, place, findings)
            {
                return Vec::new();
            }
            let Some((text, place)) = table.text("address") else {
                if !table.has("address") && !findings.is_meant(table.place(), "address") {
                    findings.push(
                        Diagnostic::new(Code::MissingKey, "the backend has no address")
                            .mark(item.place, "`address` is missing")
                            .help("write `{ address = \"127.0.0.1:9001\", weight = 1 }`, or the address alone as text"),
                    );
                }
                return Vec::new();
            };
            let name = name.map(|(name, _)| name);
            let said = Said {
                name,
                weight: weight.unwrap_or(1),
                tier: tier(table, findings),
                bounds: Bounds::read(table, bounds),
            };
            read(text, place, &said, world, findings)
        }
        Value::Number(_) | Value::Decimal(_) | Value::Flag(_) | Value::List(_) | Value::Other(_) => {
            Vec::new()
        }
    }
}

/// What is said of a backend besides its address.
struct Said<'a> {
    name: Option<&'a str>,
    weight: u32,
    tier: u8,
    bounds: Bounds,
}

/// How much a backend may have.
#[derive(Clone, Copy, Default)]
struct Bounds {
    max_requests: Option<u32>,
    max_connections: Option<u32>,
}

impl Bounds {
    /// What `table` says, and else what `around` does.
    fn read(table: Reader<'_>, around: Bounds) -> Bounds {
        let number = |key| table.number(key).and_then(|(number, _)| u32::try_from(number).ok());
        Bounds {
            max_requests: number("max_requests").or(around.max_requests),
            max_connections: number("max_connections").or(around.max_connections),
        }
    }
}

impl Default for Said<'_> {
    fn default() -> Self {
        Said { name: None, weight: 1, tier: 1, bounds: Bounds::default() }
    }
}

/// The tier, which `backup` is another word for.
fn tier(table: Reader<'_>, findings: &mut Findings) -> u8 {
    let tier = table.number("tier").and_then(|(tier, _)| u8::try_from(tier).ok());
    if let (Some(_), Some(backup)) = (tier, table.entry("backup")) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`backup` changes nothing here")
                .mark(backup.key_place, "the backend has a `tier`")
                .help("remove one of the two: `backup = true` is `tier = 2`"),
        );
    }
    let backup = table.flag("backup").map(|is_backup| if is_backup { 2 } else { 1 });
    tier.or(backup).unwrap_or(1)
}

fn read(
    text: &str,
    place: Place,
    said: &Said<'_>,
    world: &mut dyn World,
    findings: &mut Findings,
) -> Vec<Backend> {
    match backend_addresses(text, &mut |host, port| world.resolve(host, port)) {
        Ok(addresses) => {
            let mut backends = named(said.name.unwrap_or(text), said.weight, addresses);
            for backend in &mut backends {
                backend.tier = said.tier;
                backend.max_requests = said.bounds.max_requests;
                backend.max_connections = said.bounds.max_connections;
            }
            backends
        }
        Err(error) => {
            let node = Node { place, value: Value::Flag(false) };
            findings.push(shape::refused("address", &node, &error));
            Vec::new()
        }
    }
}

fn duplicate(address: &Address, second: Place, first: Place) -> Diagnostic {
    let message = format!("the backend {} stands twice in the pool", quote(&address.to_string()));
    Diagnostic::new(Code::DuplicateBackend, message)
        .mark(second, "again here")
        .mark(first, "first here")
        .help("remove one of the two; to send it more, write `{ address = \"…\", weight = 2 }`")
}
