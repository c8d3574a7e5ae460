//! From the raw shape to the checked one: every mistake in one run.
//!
//! A check that fails puts a finding down and goes on with a stand-in, usually the default. The result counts only if
//! no error was found, so a stand-in is never run.

mod binds;
mod limits;
mod listeners;
mod names;
mod pools;
mod timeouts;

use super::Loaded;
use super::code::Code;
use super::doc::Table;
use super::language;
use super::quote::quote;
use super::read::Reader;
use super::report::{Diagnostic, Findings};
use super::world::World;
use crate::snapshot::{Listener, PoolId, Snapshot};

/// Checks the whole file.
pub(super) fn file(root: &Table, world: &mut dyn World, findings: &mut Findings) -> Loaded {
    let root = Reader::new(root, &language::FILE);
    let pools = pools::check(root, world, findings);
    if pools.is_empty() && root.names("pool").is_empty() && !findings.is_meant(root.place(), "pool") {
        let help = "add one:\n[pool.app]\nbackends = [\"127.0.0.1:9001\"]";
        findings.push(Diagnostic::new(Code::NoPool, "there is no pool").help(help));
    }
    let listeners = listeners::check(root, &pools, world, findings);
    // What could not be made out may be what the pool is for.
    if listeners.len() == root.list("listener").len() {
        warn_unused(&pools, &listeners, findings);
    }
    let timeouts = timeouts::check(root, findings);
    let limits = limits::check(root, findings);
    Loaded {
        snapshot: Snapshot {
            listeners,
            pools: pools.into_iter().map(|found| found.pool).collect(),
            timeouts,
            limits,
        },
        threads: root.count("threads"),
        warnings: None,
    }
}

/// Warns of pools to which nothing is sent.
fn warn_unused(pools: &[pools::Found], listeners: &[Listener], findings: &mut Findings) {
    for (index, found) in pools.iter().enumerate() {
        if listeners.iter().any(|listener| listener.pool == PoolId(index)) {
            continue;
        }
        let message = format!("nothing is sent to the pool {}", quote(&found.pool.name));
        findings.push(
            Diagnostic::new(Code::UnusedPool, message)
                .mark(found.place, "unused")
                .help("name it in a listener or a route, or remove it"),
        );
    }
}
