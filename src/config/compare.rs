//! The keys that differ between two configurations, for `plan`.

use super::ProcessSettings;
use super::forms::{ActionForm, BackendForm, ListenerForm, RouteForm};
use super::language::{BACKEND, FILE, LIMITS, LISTENER, MATCH, POOL, RECORDER, RESPOND, ROUTE, TIMEOUTS};
use super::settings::differing;
use crate::route::{Conditions, Respond, Route};
use crate::snapshot::{Backend, Listener, Mode, Pool, Snapshot};

pub(crate) use super::settings::Difference;

/// The keys of the tables that hold for the whole, each list with the name of its table.
pub(crate) fn whole(before: &Snapshot, after: &Snapshot) -> [(&'static str, Vec<Difference>); 3] {
    let limits = (&before.limits, &after.limits);
    [
        ("timeouts", differing(&TIMEOUTS, &before.timeouts, &after.timeouts)),
        ("limits", differing(&LIMITS, limits.0, limits.1)),
        ("recorder", differing(&RECORDER, &limits.0.recorder, &limits.1.recorder)),
    ]
}

/// The keys that concern the process.
pub(crate) fn processes(before: &ProcessSettings, after: &ProcessSettings) -> Vec<Difference> {
    differing(&FILE, before, after)
}

/// The keys of a listener, but for its routes, of which its own `pool` or `split` is one.
pub(crate) fn listeners(before: &Listener, after: &Listener) -> Vec<Difference> {
    let form =
        |listener: &Listener| ListenerForm { listener: listener.clone(), action: ActionForm::default() };
    differing(&LISTENER, &form(before), &form(after))
}

/// The keys of a route.
pub(crate) fn routes(
    (before, old): (&Route, &Snapshot),
    (after, new): (&Route, &Snapshot),
    mode: Mode,
) -> Vec<Difference> {
    differing(&ROUTE, &RouteForm::of(before, mode, old), &RouteForm::of(after, mode, new))
}

/// The conditions of a route, in the mode of its listener.
pub(crate) fn conditions(before: &Conditions, after: &Conditions, mode: Mode) -> Vec<Difference> {
    let is_of_mode = |found: &Difference| {
        let key = MATCH.keys.iter().find(|setting| setting.key.name == found.key);
        key.is_some_and(|setting| setting.key.only.is_none_or(|only| only == mode))
    };
    differing(&MATCH, before, after).into_iter().filter(is_of_mode).collect()
}

/// The keys of a fixed answer.
pub(crate) fn answers(before: &Respond, after: &Respond) -> Vec<Difference> {
    differing(&RESPOND, before, after)
}

/// The keys of a pool, but for its backends.
pub(crate) fn pools(before: &Pool, after: &Pool) -> Vec<Difference> {
    differing(&POOL, before, after)
}

/// The keys of a backend.
pub(crate) fn backends(before: &Backend, after: &Backend) -> Vec<Difference> {
    differing(&BACKEND, &BackendForm::of(before), &BackendForm::of(after))
}
