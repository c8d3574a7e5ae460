//! `[[listener]]`.

use ipnet::IpNet;

use super::binds::Binds;
use super::conditions;
use super::credentials;
use super::names::{self, Seen};
use super::routes;
use super::site::Site;
use super::{sockets, tls};
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::forms::{ActionForm, ListenerForm};
use crate::config::language;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::route::{Action, RouteTable, Split};
use crate::snapshot::{Address, Announcing, Listener, Mode, NO_ADDRESS, PoolId};

/// Stands for all who come by Unix sockets.
const UNIX: &str = "unix";

/// The most networks of trusted proxies.
const TRUSTED_MAX: usize = 64;

/// A listener, and where it and its routes begin.
pub(super) struct Found {
    pub(super) listener: Listener,
    pub(super) place: Place,
    pub(super) routes: Vec<Place>,
}

/// The listeners in the order of the file: all of them.
pub(super) fn check(
    root: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Vec<Found>, Reported> {
    if root.list("listener").is_empty() && !findings.is_meant(root.place(), "listener") {
        let help = "add one:\n[[listener]]\nbind = \"127.0.0.1:8080\"";
        findings.push(Diagnostic::new(Code::NoListener, "there is no listener").help(help));
    }
    let mut seen = Taken::default();
    let mut listeners = Ok(Vec::new());
    for (index, table) in root.tables("listener", &language::LISTENER).enumerate() {
        // Each listener may ask the resolver, so stop when no further error is shown.
        if findings.is_full() {
            findings.since(0)?;
        }
        match (listener(index, table, &mut seen, site, findings), &mut listeners) {
            (Ok(found), Ok(all)) => all.push(found),
            (Ok(_), Err(_)) => {}
            (Err(told), _) => listeners = Err(told),
        }
    }
    listeners
}

/// Names and addresses that the listeners before have taken, with their places.
#[derive(Default)]
struct Taken {
    names: Seen<String>,
    binds: Binds,
}

fn listener(
    index: usize,
    table: Reader<'_>,
    taken: &mut Taken,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Found, Reported> {
    // Each part is checked before the first `?`, so that one mistake does not hide another.
    let name = name(index, table, taken, findings);
    let listener = Listener::to_pool("", NO_ADDRESS, Mode::Http, PoolId(0));
    let mut form = ListenerForm { listener, action: ActionForm::default() };
    site.parts = Some(Vec::new());
    let settings = settings::read(&language::LISTENER, table, &mut form, site, findings);
    let ListenerForm { listener, action } = form;
    let is_bound = check_bind(table, &listener, taken, findings);
    let mode = listener.mode;
    let (found, are_all) = match mode {
        Mode::Tcp => tcp_routes(table, action, site, findings),
        Mode::Http => {
            check_http_routes(table, findings);
            routes::check(table, action, site, findings)
        }
    };
    let tls = tls::of_listener(table, name.as_deref().unwrap_or_default(), mode, &found, site, findings);
    credentials::check_possible(table, mode, tls.as_ref().ok().and_then(Option::as_deref), findings);
    let announced = check_announcing(table, mode, listener.announcing, findings);
    let places = found.iter().map(|found| found.place).collect();
    let routes = found.into_iter().map(|found| found.route).collect();
    settings?;
    is_bound?;
    are_all?;
    announced?;
    let routes = RouteTable::new(routes, listener.routes.ambiguous());
    let listener = Listener { name: name?, tls: tls?, routes, ..listener };
    Ok(Found { listener, place: table.place(), routes: places })
}

fn name(
    index: usize,
    table: Reader<'_>,
    taken: &mut Taken,
    findings: &mut Findings,
) -> Result<String, Reported> {
    let (name, place) = match table.text("name") {
        None => (format!("listener-{}", index + 1), table.place()),
        Some((name, place)) => {
            if !names::is_plain("listener", name) {
                return Err(findings.given_up(place));
            }
            (name.to_owned(), place)
        }
    };
    if let Some(first) = taken.names.first(name.clone(), place) {
        let label = if table.has("name") { "again here" } else { "named so for its place" };
        findings.push(names::twice("listeners", &name, (place, label), first));
    }
    Ok(name)
}

/// Every listener has an address of its own. One that could not be read has been reported.
fn check_bind(
    table: Reader<'_>,
    listener: &Listener,
    taken: &mut Taken,
    findings: &mut Findings,
) -> Result<(), Reported> {
    let Some(entry) = table.entry("bind") else {
        if !findings.is_meant(table.place(), "bind") {
            findings.push(
                Diagnostic::new(Code::MissingKey, "the listener has no address")
                    .mark(table.place(), "`bind` is missing")
                    .help("say where clients connect: `bind = \"127.0.0.1:8080\"`"),
            );
        }
        return Err(findings.given_up(table.place()));
    };
    let bind = &listener.bind;
    if *bind != Address::Ip(NO_ADDRESS) {
        sockets::check_effect(table, bind, findings);
        taken.binds.take(bind, sockets::is_dual(bind, &listener.socket), entry.node.place, findings);
    }
    Ok(())
}

/// The routes of a listener that passes bytes.
fn tcp_routes(
    table: Reader<'_>,
    own: ActionForm,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> (Vec<routes::Found>, Result<(), Reported>) {
    let only_http = |table: Reader<'_>, help: &str, findings: &mut Findings| {
        for entry in table.only_in(Mode::Http) {
            findings.push(
                Diagnostic::new(Code::HttpOnly, format!("`{}` does not go with `mode = \"tcp\"`", entry.key))
                    .mark(entry.key_place, "only for HTTP")
                    .help(help),
            );
        }
    };
    let help = "remove it, or the `mode`; a TCP listener has a `pool`, a `split` or routes by `sni`";
    only_http(table, help, findings);
    for route in table.tables("route", &language::ROUTE) {
        let help = "remove it, or the `mode`; such a route has a `pool` or a `split`";
        only_http(route, help, findings);
        if let Ok(Some(when)) = route.table("match", &language::MATCH, findings) {
            let help = "of a connection no more is seen than `sni`, `alpn` and `client`";
            only_http(when, help, findings);
        }
    }
    let found = routes::check(table, own, site, findings);
    for routes::Found { route, place } in &found.0 {
        if let Action::Split(Split { sticky: Some(sticky), .. }) = &route.action
            && sticky.to_string() != "{client}"
        {
            findings.push(
                Diagnostic::new(Code::HttpOnly, "in TCP mode nothing is known but the client")
                    .mark(*place, "`sticky` cannot be filled in")
                    .help("write `sticky = \"{client}\"`, or nothing"),
            );
        }
    }
    found
}

/// Complains about conditions for what is not seen in HTTP mode.
fn check_http_routes(table: Reader<'_>, findings: &mut Findings) {
    for route in table.tables("route", &language::ROUTE) {
        let Ok(Some(when)) = route.table("match", &language::MATCH, findings) else { continue };
        for entry in when.only_in(Mode::Tcp) {
            findings.push(
            Diagnostic::new(Code::NoEffect, format!("`{}` is for `mode = \"tcp\"`", entry.key))
                .mark(entry.key_place, "not looked at in HTTP")
                .help(
                    "write `host`, which a request names itself, or `mode = \"tcp\"` to pass TLS on as it is",
                ),
        );
        }
    }
}

/// A listener that expects PROXY headers must trust some address: headers of others are refused.
fn check_announcing(
    table: Reader<'_>,
    mode: Mode,
    announcing: Announcing,
    findings: &mut Findings,
) -> Result<(), Reported> {
    let before = findings.errors();
    let trusted = table.entry("trusted_proxies");
    if let Some((word, place)) = table.text("proxy_protocol").filter(|_| announcing != Announcing::Never)
        && table.list("trusted_proxies").is_empty()
        && !findings.is_meant(table.place(), "trusted_proxies")
    {
        findings.push(
            Diagnostic::new(Code::MissingKey, "nobody is trusted to announce clients")
                .mark(place, format!("`{word}`, and `trusted_proxies` is missing"))
                .help("name the networks of the proxies before Pollux: `trusted_proxies = [\"10.0.0.0/8\"]`"),
        );
    }
    if let Some(entry) = trusted.filter(|_| mode == Mode::Tcp && announcing == Announcing::Never) {
        findings.push(
            Diagnostic::new(
                Code::HttpOnly,
                "`trusted_proxies` does nothing on a TCP listener without `proxy_protocol`",
            )
            .mark(entry.key_place, "nobody says for whom it asks")
            .help("remove it, or add `proxy_protocol = \"required\"`"),
        );
    }
    findings.since(before)
}

/// `trusted_proxies`.
pub(in crate::config) fn trusted_proxies(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Vec<IpNet>, Reported> {
    let before = findings.errors();
    let items = table.list("trusted_proxies");
    if let Some(extra) = items.get(TRUSTED_MAX) {
        findings.push(conditions::too_many("trusted_proxies", TRUSTED_MAX, extra.place));
    }
    let mut networks = Vec::new();
    for item in items.iter().take(TRUSTED_MAX) {
        if item.text() == Some(UNIX) {
            networks.push(IpNet::from(NO_ADDRESS.ip()));
            continue;
        }
        match item.text().map(conditions::network) {
            Some(Ok(network)) => networks.push(network),
            Some(Err((code, message, help))) => {
                let message = format!("bad `trusted_proxies`: {message}");
                findings.push(Diagnostic::new(code, message).mark(item.place, "no network").help(help));
            }
            None => _ = findings.given_up(item.place),
        }
    }
    findings.since(before)?;
    Ok(networks)
}
