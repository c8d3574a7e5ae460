//! Listeners and their sockets.

use super::route::{print_action, print_route};
use super::words::{line, text};
use crate::config::language::LISTENER;
use crate::config::settings::pairs;
use crate::route::Route;
use crate::snapshot::{Listener, Snapshot};

pub(super) fn print_listener(out: &mut String, listener: &Listener, snapshot: &Snapshot) {
    out.push_str("[[listener]]\n");
    line(out, "name", &text(&listener.name));
    line(out, "bind", &text(&listener.bind.to_string()));
    line(out, "mode", &text(&listener.mode.to_string()));
    let mut routes = listener.routes.routes();
    if let Some((last, others)) = routes.split_last()
        && is_own(last)
    {
        print_action(out, &last.action, snapshot);
        routes = others;
    }
    for (key, value) in pairs(&LISTENER, listener) {
        if key.only.is_none_or(|only| only == listener.mode) {
            line(out, key.name, &value);
        }
    }
    out.push('\n');
    for route in routes {
        print_route(out, route, listener.mode, snapshot);
    }
}

/// Whether a route is what a listener's own `pool` or `split` makes.
fn is_own(route: &Route) -> bool {
    route.name == Route::DEFAULT
        && route.when.is_empty()
        && route.options.is_none()
        && route.action.pools().next().is_some()
}
