//! `[[listener]]`.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::binds::Binds;
use super::conditions;
use super::names::{self, Seen};
use super::routes::{self, Around};
use super::site::Site;
use super::tls;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings};
use crate::config::shape;
use crate::config::value::bind_address;
use crate::config::world::World;
use crate::route::{Action, AmbiguousPaths, Conditions, Route, Split, Table};
use crate::snapshot::{Forwarding, Listener, Mode, ProxyStatus, RequestIds, Telling, Traces};

/// The most networks of trusted proxies.
const TRUSTED_MAX: usize = 64;

/// A listener, and where it and its routes begin.
pub(super) struct Found {
    pub(super) listener: Listener,
    pub(super) place: Place,
    pub(super) routes: Vec<Place>,
}

/// The listeners that could be made out, in the order of the file.
pub(super) fn check(
    root: Reader<'_>,
    mut around: Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Vec<Found> {
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
        listeners.extend(listener(index, table, &mut around, &mut seen, site, findings));
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
    around: &mut Around<'_>,
    taken: &mut Taken,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Option<Found> {
    // Each part is checked before the first `?`, so that one mistake does not hide another.
    let name = name(index, table, taken, findings);
    let bind = bind(table, taken, site.world, findings);
    let (mode, found) = match table.text("mode") {
        Some(("tcp", _)) => (Mode::Tcp, tcp_routes(table, around, findings)),
        Some(_) | None => (Mode::Http, routes::check(table, around, site, findings)),
    };
    let tls = tls::of_listener(table, name.as_deref().unwrap_or_default(), mode, &found, site, findings);
    let ambiguous = match table.text("ambiguous_paths") {
        Some(("pass", _)) => AmbiguousPaths::Pass,
        Some(_) | None => AmbiguousPaths::Refuse,
    };
    let trusted_proxies = trusted_proxies(table, findings);
    let forwarding = match table.text("forwarding") {
        Some(("forwarded", _)) => Forwarding::Forwarded,
        Some(_) | None => Forwarding::XForwarded,
    };
    let telling = telling(table);
    let places = found.iter().map(|found| found.place).collect();
    let routes = Table::new(found.into_iter().map(|found| found.route).collect(), ambiguous);
    let listener =
        Listener { name: name?, bind: bind?, mode, tls, routes, trusted_proxies, forwarding, telling };
    Some(Found { listener, place: table.place(), routes: places })
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

/// Keys that only mean something where messages are read.
const OF_HTTP: [&str; 7] =
    ["route", "trusted_proxies", "forwarding", "request_id", "traces", "proxy_status", "ambiguous_paths"];

/// The one route of a listener that passes bytes.
fn tcp_routes(table: Reader<'_>, around: &Around<'_>, findings: &mut Findings) -> Vec<routes::Found> {
    for entry in OF_HTTP.iter().filter_map(|key| table.entry(key)) {
        findings.push(
            Diagnostic::new(Code::HttpOnly, format!("`{}` does not go with `mode = \"tcp\"`", entry.key))
                .mark(entry.key_place, "only for HTTP")
                .help("remove it, or the `mode`; a TCP listener has a `pool` or a `split`"),
        );
    }
    let Some((action, place)) = routes::own_action(table, !table.has("route"), around, findings) else {
        return Vec::new();
    };
    if let Action::Split(Split { sticky: Some(sticky), .. }) = &action
        && sticky.to_string() != "{client}"
    {
        let place = table.text("sticky").map_or(place, |(_, place)| place);
        findings.push(
            Diagnostic::new(Code::HttpOnly, "in TCP mode nothing is known but the client")
                .mark(place, "cannot be filled in")
                .help("write `sticky = \"{client}\"`, or nothing"),
        );
    }
    let (name, when) = (Route::DEFAULT.to_owned(), Conditions::default());
    vec![routes::Found { route: Route { name, when, action, options: None }, place }]
}

/// What is told beside what is asked for; other words are held back by the shape.
fn telling(table: Reader<'_>) -> Telling {
    let word = |key| table.text(key).map(|(word, _)| word);
    let request_ids = [RequestIds::Backend, RequestIds::Both, RequestIds::Off];
    let statuses = [ProxyStatus::Own, ProxyStatus::All, ProxyStatus::Off];
    Telling {
        request_id: word("request_id")
            .and_then(|word| request_ids.into_iter().find(|it| it.word() == word))
            .unwrap_or_default(),
        traces: if word("traces") == Some(Traces::Start.word()) { Traces::Start } else { Traces::Pass },
        proxy_status: word("proxy_status")
            .and_then(|word| statuses.into_iter().find(|it| it.word() == word))
            .unwrap_or_default(),
    }
}

fn trusted_proxies(table: Reader<'_>, findings: &mut Findings) -> Vec<IpNet> {
    let items = table.list("trusted_proxies");
    if let Some(extra) = items.get(TRUSTED_MAX) {
        findings.push(conditions::too_many("trusted_proxies", TRUSTED_MAX, extra.place));
    }
    let mut networks = Vec::new();
    for item in items.iter().take(TRUSTED_MAX) {
        match item.text().map(conditions::network) {
            Some(Ok(network)) => networks.push(network),
            Some(Err((code, message, help))) => {
                let message = format!("bad `trusted_proxies`: {message}");
                findings.push(Diagnostic::new(code, message).mark(item.place, "no network").help(help));
            }
            None => {}
        }
    }
    networks
}
