//! `[[listener]]`.

use std::net::SocketAddr;

use super::binds::Binds;
use super::names::{self, Seen};
use super::pools;
use crate::config::code::Code;
use crate::config::language;
use crate::config::quote::quote_list;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::config::shape;
use crate::config::value::bind_address;
use crate::config::world::World;
use crate::snapshot::{Listener, Mode, PoolId};

/// The listeners that could be made out, in the order of the file.
pub(super) fn check(
    root: Reader<'_>,
    pools: &[pools::Found],
    world: &mut dyn World,
    findings: &mut Findings,
) -> Vec<Listener> {
    if root.list("listener").is_empty() && !findings.is_meant(root.place(), "listener") {
        let help = "add one:\n[[listener]]\nbind = \"127.0.0.1:8080\"";
        findings.push(Diagnostic::new(Code::NoListener, "there is no listener").help(help));
    }
    let mut seen = Taken::default();
    let mut listeners = Vec::new();
    for (index, table) in root.tables("listener", &language::LISTENER).enumerate() {
        // Each listener may ask the resolver, so stop when nobody would see the answer.
        if findings.is_full() {
            break;
        }
        listeners.extend(listener(index, table, pools, &mut seen, world, findings));
    }
    listeners
}

/// What the listeners before have taken, and where they say so.
#[derive(Default)]
struct Taken {
    names: Seen<String>,
    binds: Binds,
}

fn listener(
    index: usize,
    table: Reader<'_>,
    pools: &[pools::Found],
    taken: &mut Taken,
    world: &mut dyn World,
    findings: &mut Findings,
) -> Option<Listener> {
    // Each part is checked before the first `?`, so that one mistake does not hide another.
    let name = name(index, table, taken, findings);
    let bind = bind(table, taken, world, findings);
    let mode = match table.text("mode") {
        Some(("tcp", _)) => Mode::Tcp,
        Some(_) | None => Mode::Http,
    };
    let pool = pool(table, pools, findings);
    Some(Listener { name: name?, bind: bind?, mode, pool: pool? })
}

fn name(index: usize, table: Reader<'_>, taken: &mut Taken, findings: &mut Findings) -> Option<String> {
    let (name, place) = match table.text("name") {
        None => (format!("listener-{}", index + 1), table.place()),
        Some((name, place)) => {
            (names::check_plain("listener", name, place, findings).then(|| name.to_owned())?, place)
        }
    };
    if let Some(first) = taken.names.first(name.clone(), place) {
        let label = if table.has("name") { "again here" } else { "named so for its place" };
        findings.push(names::twice("listeners", &name, (place, label), first));
    }
    Some(name)
}

fn bind(
    table: Reader<'_>,
    taken: &mut Taken,
    world: &mut dyn World,
    findings: &mut Findings,
) -> Option<SocketAddr> {
    let Some(entry) = table.entry("bind") else {
        if !findings.is_meant(table.place(), "bind") {
            findings.push(
                Diagnostic::new(Code::MissingKey, "the listener has no address")
                    .mark(table.place(), "`bind` is missing")
                    .help("say where clients connect: `bind = \"127.0.0.1:8080\"`"),
            );
        }
        return None;
    };
    match bind_address(entry.node.text()?, &mut |host, port| world.resolve(host, port)) {
        Ok(address) => {
            taken.binds.take(address, entry.node.place, findings);
            Some(address)
        }
        Err(error) => {
            findings.push(shape::refused("bind", &entry.node, &error));
            None
        }
    }
}

fn pool(table: Reader<'_>, pools: &[pools::Found], findings: &mut Findings) -> Option<PoolId> {
    let names = pools.iter().map(|found| found.pool.name.as_str());
    let Some(entry) = table.entry("pool") else {
        if pools.len() > 1 && !findings.is_meant(table.place(), "pool") {
            findings.push(
                Diagnostic::new(Code::MissingKey, "the listener does not say which pool it serves")
                    .mark(table.place(), "`pool` is missing")
                    .help(format!("write `pool = \"…\"` with one of {}", quote_list(names))),
            );
        }
        return (pools.len() == 1).then_some(PoolId(0));
    };
    pools::find(entry.node.text()?, entry.node.place, pools, findings)
}
