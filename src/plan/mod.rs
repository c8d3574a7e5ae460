//! The effect of a reload: the differences between two configurations, in an operator's terms.
//!
//! Pure: it is given snapshots and the lines of an access log, and gives a list of changes. Listeners are the
//! same if they have the same address, pools and routes if they have the same name, backends if they have the
//! same address in a pool.

mod render;
mod replay;
mod share;

use serde::Serialize;

use crate::config::ProcessSettings;
use crate::config::compare::{self, Difference};
use crate::route::{Action, Route};
use crate::snapshot::{Backend, Listener, Mode, Pool, Snapshot};

pub use replay::{Moved, Replay};

/// The effect of a reload.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Listeners, routes, pools, backends and settings that would change, in that order.
    pub changes: Vec<PlannedChange>,
    /// The effect on logged requests, if some were given.
    pub replay: Option<Replay>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedChange {
    /// The kind of change.
    pub kind: ChangeKind,
    /// The part that changes, such as `listener web` or `backend app/b2`.
    pub what: String,
    /// The difference, in a few words; empty where the kind says it all.
    pub how: String,
}

/// The kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A listener begins to listen.
    Opened,
    /// A listener ends; its connections are drained.
    Closed,
    /// A route, a pool or a backend is new.
    Added,
    /// A route or a pool is gone.
    Removed,
    /// A backend gets no new requests; those in flight end.
    Drained,
    /// A route stands at another place among the others.
    Moved,
    /// It stays, but differs.
    Changed,
}

/// Tells `new` apart from `old`.
#[must_use]
pub fn plan(old: &Snapshot, new: &Snapshot) -> Plan {
    let mut changes = Vec::new();
    listeners(old, new, &mut changes);
    pools(old, new, &mut changes);
    settings(old, new, &mut changes);
    Plan { changes, replay: None }
}

impl Plan {
    /// Adds what differs of the process, which a reload does not change.
    pub fn tell_process(&mut self, old: &ProcessSettings, new: &ProcessSettings) {
        for found in compare::processes(old, new) {
            push(&mut self.changes, ChangeKind::Changed, found.key.to_owned(), "at the next start");
        }
    }
}

fn push(changes: &mut Vec<PlannedChange>, kind: ChangeKind, what: String, how: impl Into<String>) {
    changes.push(PlannedChange { kind, what, how: how.into() });
}

fn listeners(old: &Snapshot, new: &Snapshot, changes: &mut Vec<PlannedChange>) {
    let name = |listener: &Listener| format!("listener {} on {}", listener.name, listener.bind);
    for before in &old.listeners {
        if !new.listeners.iter().any(|after| is_same(before, after)) {
            push(changes, ChangeKind::Closed, name(before), "");
        }
    }
    for after in &new.listeners {
        match old.listeners.iter().find(|before| is_same(before, after)) {
            None => push(
                changes,
                ChangeKind::Opened,
                name(after),
                format!("{} with {} routes", after.mode, after.routes.routes().len()),
            ),
            Some(before) => listener((before, old), (after, new), changes),
        }
    }
}

/// Listeners keep their socket by address; with port 0, which the kernel chooses, by name.
fn is_same(a: &Listener, b: &Listener) -> bool {
    a.bind == b.bind && (!a.bind.is_any_port() || a.name == b.name)
}

fn listener(
    (before, old): (&Listener, &Snapshot),
    (after, new): (&Listener, &Snapshot),
    changes: &mut Vec<PlannedChange>,
) {
    let what = || format!("listener {}", after.name);
    for found in compare::listeners(before, after) {
        let how = match found.key {
            "name" => format!("was called {}", before.name),
            "mode" => format!("speaks {}, spoke {}", after.mode, before.mode),
            key => key.to_owned(),
        };
        push(changes, ChangeKind::Changed, what(), how);
    }
    routes((before.routes.routes(), old), (after.routes.routes(), new), after, changes);
}

fn routes(
    (before, old): (&[Route], &Snapshot),
    (after, new): (&[Route], &Snapshot),
    listener: &Listener,
    changes: &mut Vec<PlannedChange>,
) {
    let what = |route: &Route| format!("route {}/{}", listener.name, route.name);
    let kept = |routes: &[Route], others: &[Route]| -> Vec<String> {
        let names = routes.iter().filter(|route| others.iter().any(|other| other.name == route.name));
        names.map(|route| route.name.clone()).collect()
    };
    for route in before.iter().filter(|route| !after.iter().any(|other| other.name == route.name)) {
        push(changes, ChangeKind::Removed, what(route), "");
    }
    // Of the routes that stay, those whose order differs.
    let (order_before, order_after) = (kept(before, after), kept(after, before));
    let stays: Vec<&String> = common(&order_before, &order_after);
    for (index, route) in after.iter().enumerate() {
        let Some(was) = before.iter().find(|other| other.name == route.name) else {
            let place = match index {
                0 => String::from("first"),
                _ => format!("behind {}", after[index - 1].name),
            };
            push(changes, ChangeKind::Added, what(route), place);
            continue;
        };
        if !stays.contains(&&route.name) {
            let from = before.iter().position(|other| other.name == route.name).unwrap_or(0);
            push(
                changes,
                ChangeKind::Moved,
                what(route),
                format!("from place {} to place {}", from + 1, index + 1),
            );
        }
        for how in differences((was, old), (route, new), listener.mode) {
            push(changes, ChangeKind::Changed, what(route), how);
        }
    }
}

/// The longest list of names that stands in both in the same order. Long lists are compared as wholes.
fn common<'a>(a: &'a [String], b: &[String]) -> Vec<&'a String> {
    const LONG: usize = 2000;
    if a == b {
        return a.iter().collect();
    }
    if a.len() > LONG {
        return a.iter().zip(b).filter(|(a, b)| a == b).map(|(a, _)| a).collect();
    }
    // `best[i][j]` is the length of that list for what follows `a[i]` and `b[j]`.
    let mut best = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            best[i][j] =
                if a[i] == b[j] { best[i + 1][j + 1] + 1 } else { best[i + 1][j].max(best[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            found.push(&a[i]);
            (i, j) = (i + 1, j + 1);
        } else if best[i + 1][j] >= best[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

fn differences(
    (before, old): (&Route, &Snapshot),
    (after, new): (&Route, &Snapshot),
    mode: Mode,
) -> Vec<String> {
    let (mut found, mut options, mut is_other_key) = (Vec::new(), Vec::new(), false);
    for Difference { key, .. } in compare::routes((before, old), (after, new), mode) {
        match key {
            "match" => {
                let keys = names(&compare::conditions(&before.when, &after.when, mode));
                found.push(format!("takes other requests: {keys}"));
            }
            "sticky" => is_other_key = true,
            "pool" | "split" | "redirect" | "respond" => {}
            key => options.push(key),
        }
    }
    let (was, is) = (tell_action(&before.action, old), tell_action(&after.action, new));
    if was != is {
        found.push(format!("{is}, was {was}"));
    }
    if let (Action::Split(was), Action::Split(is)) = (&before.action, &after.action) {
        let share = share::moved((was, old), (is, new));
        if share > 0.0 {
            found.push(format!("{:.1} % of the keys move to another pool", share * 100.0));
        }
        if is_other_key {
            found.push(String::from("another key decides"));
        }
    }
    if let (Action::Respond(was), Action::Respond(is)) = (&before.action, &after.action) {
        for Difference { key, .. } in compare::answers(was, is) {
            match key {
                "headers" => found.push(String::from("answers with other header fields")),
                "body" => found.push(String::from("answers with another body")),
                _ => {}
            }
        }
    }
    if !options.is_empty() {
        found.push(options.join(", "));
    }
    found
}

/// The names of keys that differ.
fn names(found: &[Difference]) -> String {
    found.iter().map(|found| found.key).collect::<Vec<_>>().join(", ")
}

fn tell_action(action: &Action, snapshot: &Snapshot) -> String {
    match action {
        Action::Pool(pool) => format!("pool {}", snapshot.pool(*pool).name),
        Action::Split(split) => {
            let share = |share: &crate::route::SplitShare| {
                format!("{} {}", snapshot.pool(share.pool).name, share.weight)
            };
            format!("split {}", split.shares.iter().map(share).collect::<Vec<_>>().join(", "))
        }
        Action::Redirect(redirect) => format!("redirect {} to {}", redirect.status, redirect.location),
        Action::Respond(respond) => {
            format!("respond {} with {} bytes", respond.status, respond.body.bytes.len())
        }
    }
}

fn pools(old: &Snapshot, new: &Snapshot, changes: &mut Vec<PlannedChange>) {
    for before in old.pools.iter().filter(|before| !new.pools.iter().any(|after| after.name == before.name)) {
        push(changes, ChangeKind::Removed, format!("pool {}", before.name), "");
    }
    for after in &new.pools {
        match old.pools.iter().find(|before| before.name == after.name) {
            None => {
                push(
                    changes,
                    ChangeKind::Added,
                    format!("pool {}", after.name),
                    format!("{} backends", after.backends.len()),
                );
            }
            Some(before) => pool(before, after, changes),
        }
    }
}

fn pool(before: &Pool, after: &Pool, changes: &mut Vec<PlannedChange>) {
    let mut keys: Vec<&str> = compare::pools(before, after).iter().map(|found| found.key).collect();
    if before.sources != after.sources {
        keys.push("the names and files of its backends");
    }
    if !keys.is_empty() {
        push(changes, ChangeKind::Changed, format!("pool {}", after.name), keys.join(", "));
    }
    let what = |backend: &Backend| format!("backend {}/{}", after.name, backend.name);
    for backend in
        before.backends.iter().filter(|it| !after.backends.iter().any(|other| other.address == it.address))
    {
        push(changes, ChangeKind::Drained, what(backend), "");
    }
    for backend in &after.backends {
        match before.backends.iter().find(|it| it.address == backend.address) {
            None => push(changes, ChangeKind::Added, what(backend), format!("weight {}", backend.weight)),
            Some(was) => {
                for found in compare::backends(was, backend) {
                    push(changes, ChangeKind::Changed, what(backend), tell_backend(&found, was));
                }
            }
        }
    }
}

/// The difference of a backend from `was`, in words.
fn tell_backend(found: &Difference, was: &Backend) -> String {
    match (found.key, &found.is, &found.was) {
        ("name", ..) => format!("was called {}", was.name),
        (key @ ("weight" | "tier"), Some(is), Some(was)) => format!("{key} {is}, was {was}"),
        (key, ..) => key.to_owned(),
    }
}

/// Timeouts, limits and what is recorded, key by key.
fn settings(old: &Snapshot, new: &Snapshot, changes: &mut Vec<PlannedChange>) {
    for (table, found) in compare::whole(old, new) {
        for Difference { key, was, is } in found {
            let [is, was] = [is, was].map(|value| value.unwrap_or_else(|| String::from("none")));
            let how = format!("{}, was {}", is.trim_matches('"'), was.trim_matches('"'));
            push(changes, ChangeKind::Changed, format!("{table}.{key}"), how);
        }
    }
}

#[cfg(test)]
mod tests;
