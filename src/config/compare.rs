//! The keys that differ between two configurations, for `plan`.

use super::ProcessSettings;
use super::language::{BACKEND, FILE, LIMITS, LISTENER, POOL, RECORDER, ROUTE, TIMEOUTS};
use super::settings::differing;
use crate::route::Route;
use crate::snapshot::{Backend, Like, Listener, Pool, Snapshot};

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

/// The keys of a listener, but for its name, address, mode and routes.
pub(crate) fn listeners(before: &Listener, after: &Listener) -> Vec<Difference> {
    differing(&LISTENER, before, after)
}

/// The keys of a route, but for its name, conditions and action.
pub(crate) fn routes(before: &Route, after: &Route) -> Vec<Difference> {
    let options = |route: &Route| route.options.as_deref().cloned().unwrap_or_default();
    differing(&ROUTE, &options(before), &options(after))
}

/// The keys of a pool, but for its backends.
pub(crate) fn pools(before: &Pool, after: &Pool) -> Vec<Difference> {
    differing(&POOL, before, after)
}

/// The keys of a backend, but for its address.
pub(crate) fn backends(before: &Backend, after: &Backend) -> Vec<Difference> {
    differing(&BACKEND, &like(before), &like(after))
}

/// What is said of a backend besides its address.
pub(super) fn like(backend: &Backend) -> Like {
    let Backend { name, address: _, weight, tier, max_requests, max_connections, admin_state, tls_name } =
        backend.clone();
    Like { name: Some(name), weight, tier, max_requests, max_connections, tls_name, admin_state }
}
