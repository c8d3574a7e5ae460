//! `[[listener]]`.

use ipnet::IpNet;

use super::binds::Binds;
use super::conditions;
use super::credentials;
use super::names::{self, Seen};
use super::routes::{self, Around};
use super::site::Site;
use super::{hsts, sockets, tls};
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Told};
use crate::config::shape;
use crate::config::value::bind_address;
use crate::config::world::World;
use crate::route::{Action, AmbiguousPaths, Split, Table};
use crate::snapshot::{
    Address, Announcing, Forwarding, Hsts, Interims, Listener, Mode, NO_ADDRESS, ProxyStatus, RequestIds,
    Telling, Traces,
};
use crate::syntax::target::Targets;

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
    mut around: Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Vec<Found>, Told> {
    if root.list("listener").is_empty() && !findings.is_meant(root.place(), "listener") {
        let help = "add one:\n[[listener]]\nbind = \"127.0.0.1:8080\"";
        findings.push(Diagnostic::new(Code::NoListener, "there is no listener").help(help));
    }
    let mut seen = Taken::default();
    let mut listeners = Ok(Vec::new());
    for (index, table) in root.tables("listener", &language::LISTENER).enumerate() {
        // Each listener may ask the resolver, so stop when nobody would see the answer.
        if findings.is_full() {
            findings.since(0)?;
        }
        match (listener(index, table, &mut around, &mut seen, site, findings), &mut listeners) {
            (Ok(found), Ok(all)) => all.push(found),
            (Ok(_), Err(_)) => {}
            (Err(told), _) => listeners = Err(told),
        }
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
) -> Result<Found, Told> {
    // Each part is checked before the first `?`, so that one mistake does not hide another.
    let name = name(index, table, taken, findings);
    let found = bind(table, site.world, findings);
    let socket = sockets::options(table, found.as_ref().ok().map(|(bind, _)| bind), site, findings);
    let bind = found.map(|(bind, place)| {
        let is_dual = socket.as_ref().is_ok_and(|socket| sockets::is_dual(&bind, socket));
        taken.binds.take(&bind, is_dual, place, findings);
        bind
    });
    let (mode, (found, are_all)) = match table.text("mode") {
        Some(("tcp", _)) => (Mode::Tcp, tcp_routes(table, around, site, findings)),
        Some(_) | None => {
            check_http_routes(table, findings);
            (Mode::Http, routes::check(table, around, site, findings))
        }
    };
    let tls = tls::of_listener(table, name.as_deref().unwrap_or_default(), mode, &found, site, findings);
    credentials::check_possible(table, mode, tls.as_ref().ok().and_then(Option::as_deref), findings);
    let ambiguous = match table.text("ambiguous_paths") {
        Some(("pass", _)) => AmbiguousPaths::Pass,
        Some(_) | None => AmbiguousPaths::Refuse,
    };
    let trusted_proxies = trusted_proxies(table, findings);
    let announcing = announcing(table, mode, findings);
    let forwarding = match table.text("forwarding") {
        Some(("forwarded", _)) => Forwarding::Forwarded,
        Some(_) | None => Forwarding::XForwarded,
    };
    let hsts = hsts::of_listener(table, site, findings);
    let places = found.iter().map(|found| found.place).collect();
    let routes = Table::new(found.into_iter().map(|found| found.route).collect(), ambiguous);
    are_all?;
    let listener = Listener {
        name: name?,
        bind: bind?,
        socket: socket?,
        mode,
        tls: tls?,
        routes,
        targets: match table.text("targets") {
            Some(("lenient", _)) => Targets::Lenient,
            Some(_) | None => Targets::Strict,
        },
        announcing: announcing?,
        trusted_proxies: trusted_proxies?,
        forwarding,
        telling: telling(table, hsts?),
    };
    Ok(Found { listener, place: table.place(), routes: places })
}

fn name(index: usize, table: Reader<'_>, taken: &mut Taken, findings: &mut Findings) -> Result<String, Told> {
    let (name, place) = match table.text("name") {
        None => (format!("listener-{}", index + 1), table.place()),
        Some((name, place)) => {
            if !names::check_plain("listener", name, place, findings) {
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

fn bind(table: Reader<'_>, world: &mut dyn World, findings: &mut Findings) -> Result<(Address, Place), Told> {
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
    let Some(text) = entry.node.text() else { return Err(findings.given_up(entry.node.place)) };
    match bind_address(text, &mut |host, port| world.resolve(host, port)) {
        Ok(address) => Ok((address, entry.node.place)),
        Err(error) => Err(findings.refuse(shape::refused("bind", &entry.node, &error))),
    }
}

/// Keys that only mean something where messages are read.
const OF_HTTP: [&str; 8] = [
    "forwarding",
    "request_id",
    "traces",
    "proxy_status",
    "interim_responses",
    "hsts",
    "ambiguous_paths",
    "targets",
];

/// The same of a route, and of what it asks for.
const OF_HTTP_ROUTE: [&str; 14] = [
    "redirect",
    "respond",
    "strip_prefix",
    "replace_prefix",
    "destination",
    "request_headers",
    "response_headers",
    "interim_responses",
    "hsts",
    "timeouts",
    "limits",
    "retry",
    "streams",
    "on_client_close",
];
const OF_HTTP_MATCH: [&str; 8] =
    ["host", "path", "path_regex", "method", "header", "query", "cookie", "client_cert"];

/// Keys that only mean something where bytes are passed.
const OF_TCP_MATCH: [&str; 2] = ["sni", "alpn"];

/// The routes of a listener that passes bytes.
fn tcp_routes(
    table: Reader<'_>,
    around: &mut Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> (Vec<routes::Found>, Result<(), Told>) {
    let only_http = |table: Reader<'_>, keys: &[&str], help: &str, findings: &mut Findings| {
        for entry in keys.iter().filter_map(|key| table.entry(key)) {
            findings.push(
                Diagnostic::new(Code::HttpOnly, format!("`{}` does not go with `mode = \"tcp\"`", entry.key))
                    .mark(entry.key_place, "only for HTTP")
                    .help(help),
            );
        }
    };
    let help = "remove it, or the `mode`; a TCP listener has a `pool`, a `split` or routes by `sni`";
    only_http(table, &OF_HTTP, help, findings);
    for route in table.tables("route", &language::ROUTE) {
        only_http(
            route,
            &OF_HTTP_ROUTE,
            "remove it, or the `mode`; such a route has a `pool` or a `split`",
            findings,
        );
        if let Ok(Some(when)) = route.table("match", &language::MATCH, findings) {
            only_http(
                when,
                &OF_HTTP_MATCH,
                "of a connection no more is seen than `sni`, `alpn` and `client`",
                findings,
            );
        }
    }
    let found = routes::check(table, around, site, findings);
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
        for entry in OF_TCP_MATCH.into_iter().filter_map(|key| when.entry(key)) {
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

/// Whether clients are announced. Nobody is believed who is not trusted, so there must be somebody to trust.
fn announcing(table: Reader<'_>, mode: Mode, findings: &mut Findings) -> Result<Announcing, Told> {
    let before = findings.errors();
    let announcing = match table.text("proxy_protocol") {
        Some(("optional", _)) => Announcing::Optional,
        Some(("required", _)) => Announcing::Required,
        Some(_) | None => Announcing::Never,
    };
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
    findings.since(before)?;
    Ok(announcing)
}

/// What is told beside what is asked for; other words are held back by the shape.
fn telling(table: Reader<'_>, hsts: Option<Hsts>) -> Telling {
    let word = |key| table.text(key).map(|(word, _)| word);
    let request_ids = [RequestIds::Backend, RequestIds::Both, RequestIds::Off];
    let statuses = [ProxyStatus::Own, ProxyStatus::All, ProxyStatus::Off];
    Telling {
        hsts,
        interims: word("interim_responses").and_then(Interims::find).unwrap_or_default(),
        request_id: word("request_id")
            .and_then(|word| request_ids.into_iter().find(|it| it.word() == word))
            .unwrap_or_default(),
        traces: if word("traces") == Some(Traces::Start.word()) { Traces::Start } else { Traces::Pass },
        proxy_status: word("proxy_status")
            .and_then(|word| statuses.into_iter().find(|it| it.word() == word))
            .unwrap_or_default(),
    }
}

fn trusted_proxies(table: Reader<'_>, findings: &mut Findings) -> Result<Vec<IpNet>, Told> {
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
