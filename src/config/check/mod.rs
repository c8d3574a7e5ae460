//! From the raw shape to the checked one: every mistake in one run.
//!
//! A check that fails puts an error down and goes on, so that all mistakes are told in one run. The part that
//! it was to read is then a [`Reported`], which nothing but an error makes, and with one of those there is no
//! snapshot: a setting that is there and cannot be read whole never stands for its absence. A warning changes
//! nothing in what is read.

pub(super) mod access;
pub(super) mod actions;
pub(super) mod admin;
pub(super) mod announce;
pub(super) mod back;
pub(super) mod backends;
pub(super) mod balance;
pub(super) mod binds;
pub(super) mod collect;
pub(super) mod conditions;
pub(super) mod credentials;
mod exposed;
pub(super) mod fields;
pub(super) mod health;
pub(super) mod hsts;
mod limits;
pub(super) mod listeners;
pub(super) mod names;
pub(super) mod pools;
pub(super) mod process;
mod protocol;
pub(super) mod resolver;
pub(super) mod retries;
pub(super) mod routes;
mod shadows;
mod site;
pub(super) mod sockets;
pub(super) mod sticky;
pub(super) mod timeouts;
pub(super) mod tls;
pub(super) mod trials;

use super::ProcessSettings;
use super::code::Code;
use std::collections::HashSet;

use super::doc::Table;
use super::excerpt::Place;
use super::language;
use super::quote::quote;
use super::read::Reader;
use super::report::{Diagnostic, Findings, Reported, Text};
use super::world::World;
use crate::discovery::Answers;
use crate::explain::Trial;
use crate::snapshot::{Limits, Listener, Pool, PoolId, Snapshot, Timeouts};
use crate::tls::Handles;
pub(super) use site::Site;

/// A checked configuration, with the places in its files.
pub(super) struct Checked {
    pub(super) checked: Result<(Snapshot, ProcessSettings), Reported>,
    /// The answers for the pools.
    pub(super) answers: Answers,
    /// The TLS objects that were made of its rules.
    pub(super) tls: Handles,
    /// For each listener its place, and those of its routes.
    pub(super) places: Vec<(Place, Vec<Place>)>,
    /// The tests, and where they stand.
    pub(super) trials: Vec<(Trial, Place)>,
}

/// Checks the whole file.
pub(super) fn file(table: &Table, texts: &[Text], world: &mut dyn World, findings: &mut Findings) -> Checked {
    let (root, mut site) = (Reader::new(table, &language::FILE), Site::new(world, texts));
    let timeouts = timeouts::check(root, &mut site, findings);
    let limits = limits::check(root, &mut site, findings);
    let pools = pools::check(root, &mut site, findings);
    site.timeouts = timeouts.clone().unwrap_or_default();
    site.pools = pools.iter().map(|found| found.name.clone()).collect();
    let listeners = listeners::check(root, &mut site, findings);
    // A part with an error may be the one that uses the pool.
    if let Ok(listeners) = &listeners
        && !findings.has_errors()
    {
        warn_unused(&pools, listeners, findings);
    }
    check_any_pool(root, findings);
    let mut places = Vec::new();
    let listeners = listeners.map(|found| {
        places = found.iter().map(|found| (found.place, found.routes.clone())).collect();
        found.into_iter().map(|found| found.listener).collect()
    });
    let pools = pools.into_iter().map(|found| found.pool).collect::<Result<Vec<_>, Reported>>();
    let snapshot = snapshot(listeners, pools, timeouts, limits);
    let known = snapshot.as_ref().ok().filter(|_| !findings.has_errors());
    let trials = trials::check(root, &mut site, known, findings);
    let process = process::check(root, &mut site, findings);
    let misread = table.misread().map(|place| findings.given_up(place));
    let checked = match (snapshot, process, misread) {
        (Ok(snapshot), Ok(process), None) => Ok((snapshot, process)),
        (Err(told), ..) | (_, Err(told), _) | (.., Some(told)) => Err(told),
    };
    Checked { checked, answers: site.answers, tls: site.tls, places, trials }
}

fn snapshot(
    listeners: Result<Vec<Listener>, Reported>,
    pools: Result<Vec<Pool>, Reported>,
    timeouts: Result<Timeouts, Reported>,
    limits: Result<Limits, Reported>,
) -> Result<Snapshot, Reported> {
    Ok(Snapshot { listeners: listeners?, pools: pools?, timeouts: timeouts?, limits: limits? })
}

/// Something has to answer: a backend, or routes that answer by themselves.
fn check_any_pool(root: Reader<'_>, findings: &mut Findings) {
    let has_routes = |listener: Reader<'_>| listener.has("route");
    let all_have_routes =
        !root.list("listener").is_empty() && root.tables("listener", &language::LISTENER).all(has_routes);
    if root.names("pool").is_empty() && !all_have_routes && !findings.is_meant(root.place(), "pool") {
        let help = "add one:\n[pool.app]\nbackends = [\"127.0.0.1:9001\"]";
        findings.push(Diagnostic::new(Code::NoPool, "there is no pool").help(help));
    }
}

/// Warns of pools to which nothing is sent.
fn warn_unused(pools: &[pools::Found], listeners: &[listeners::Found], findings: &mut Findings) {
    let routes = listeners.iter().flat_map(|found| found.listener.routes.routes());
    let used: HashSet<PoolId> = routes.flat_map(|route| route.action.pools()).collect();
    for (index, found) in pools.iter().enumerate() {
        if used.contains(&PoolId(index)) {
            continue;
        }
        let message = format!("nothing is sent to the pool {}", quote(&found.name));
        findings.push(
            Diagnostic::new(Code::UnusedPool, message)
                .mark(found.place, "unused")
                .help("name it in a listener or a route, or remove it"),
        );
    }
}
