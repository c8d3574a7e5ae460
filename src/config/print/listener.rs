//! Listeners and their sockets.

use super::route::print_route;
use super::words::line;
use crate::config::forms::{ListenerForm, own_route};
use crate::config::language::LISTENER;
use crate::config::settings::pairs;
use crate::snapshot::{Listener, Snapshot};

pub(super) fn print_listener(out: &mut String, listener: &Listener, snapshot: &Snapshot) {
    out.push_str("[[listener]]\n");
    for (key, value) in pairs(&LISTENER, &ListenerForm::of(listener, snapshot)) {
        if key.only.is_none_or(|only| only == listener.mode) {
            line(out, key.name, &value);
        }
    }
    out.push('\n');
    let own = usize::from(own_route(listener).is_some());
    let routes = listener.routes.routes();
    for route in &routes[..routes.len() - own] {
        print_route(out, route, listener.mode, snapshot);
    }
}
