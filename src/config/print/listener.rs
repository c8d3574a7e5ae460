//! Listeners and their sockets.

use ipnet::IpNet;

use super::route::{print_action, print_route};
use super::words::{line, list, text};
use crate::config::language::{HSTS, SOCKET, TLS};
use crate::config::settings::print_inline;
use crate::route::{AmbiguousPaths, Route};
use crate::snapshot::{
    Announcing, Forwarding, Listener, Mode, NO_ADDRESS, Permissions, Snapshot, SocketOptions, Telling,
};

pub(super) fn print_listener(out: &mut String, listener: &Listener, snapshot: &Snapshot) {
    out.push_str("[[listener]]\n");
    line(out, "name", &text(&listener.name));
    line(out, "bind", &text(&listener.bind.to_string()));
    print_socket(out, listener);
    line(out, "mode", &text(&listener.mode.to_string()));
    if let Some(tls) = &listener.tls {
        line(out, "tls", &print_inline(&TLS, tls));
    }
    let mut routes = listener.routes.routes();
    if let Some((last, others)) = routes.split_last()
        && is_own(last)
    {
        print_action(out, &last.action, snapshot);
        routes = others;
    }
    line(out, "proxy_protocol", &text(listener.announcing.word()));
    if listener.mode == Mode::Http || listener.announcing != Announcing::Never {
        let shown = |net: &IpNet| {
            if net.addr() == NO_ADDRESS.ip() && net.prefix_len() == 128 {
                text("unix")
            } else {
                text(&net.to_string())
            }
        };
        let networks = listener.trusted_proxies.iter().map(shown);
        line(out, "trusted_proxies", &list(networks));
    }
    match listener.mode {
        Mode::Tcp => {}
        Mode::Http => {
            let forwarding = match listener.forwarding {
                Forwarding::XForwarded => "x-forwarded",
                Forwarding::Forwarded => "forwarded",
            };
            line(out, "forwarding", &text(forwarding));
            let Telling { request_id, traces, proxy_status, hsts, interims } = listener.telling;
            line(out, "request_id", &text(request_id.word()));
            line(out, "traces", &text(traces.word()));
            line(out, "proxy_status", &text(proxy_status.word()));
            line(out, "interim_responses", &text(interims.word()));
            if let Some(hsts) = hsts {
                line(out, "hsts", &print_inline(&HSTS, &hsts));
            }
            let ambiguous = match listener.routes.ambiguous() {
                AmbiguousPaths::Refuse => "refuse",
                AmbiguousPaths::Pass => "pass",
            };
            line(out, "ambiguous_paths", &text(ambiguous));
            line(out, "targets", &text(listener.targets.word()));
        }
    }
    out.push('\n');
    for route in routes {
        print_route(out, route, listener.mode, snapshot);
    }
}

fn print_socket(out: &mut String, listener: &Listener) {
    let SocketOptions { v6only, interface, freebind, permissions } = &listener.socket;
    if listener.bind.ip().is_some_and(|address| address.is_ipv6()) {
        line(out, "v6only", &v6only.to_string());
    }
    if let Some(interface) = interface {
        line(out, "interface", &text(interface));
    }
    if *freebind {
        line(out, "freebind", "true");
    }
    print_permissions(out, permissions);
}

pub(super) fn print_permissions(out: &mut String, permissions: &Permissions) {
    if *permissions != Permissions::default() {
        line(out, "socket", &print_inline(&SOCKET, permissions));
    }
}

/// Whether a route is what a listener's own `pool` or `split` makes.
fn is_own(route: &Route) -> bool {
    route.name == Route::DEFAULT
        && route.when.is_empty()
        && route.options.is_none()
        && route.action.pools().next().is_some()
}
