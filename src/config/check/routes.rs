//! `[[listener.route]]`, and the route that a listener's own `pool` or `split` makes.

use super::conditions;
use super::hsts;
use super::names::{self, Seen};
use super::shadows::Shadows;
use super::site::Site;
use crate::config::code::Code;
use crate::config::doc::Entry;
use crate::config::excerpt::Place;
use crate::config::forms::{ActionForm, RouteForm};
use crate::config::language;
use crate::config::quote::{quote, quote_list};
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::route::{Action, Conditions, Options, Route};
use crate::snapshot::PoolId;

/// The most routes of a listener.
const ROUTES_MAX: usize = 20_000;

/// A route, and where it begins.
pub(super) struct Found {
    pub(super) route: Route,
    pub(super) place: Place,
}

/// The routes of a listener that could be made out, in their order, and whether those are all: a route that
/// is left out might be one that keeps clients away from another.
pub(super) fn check(
    listener: Reader<'_>,
    own: ActionForm,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> (Vec<Found>, Result<(), Reported>) {
    let before = findings.errors();
    let (mut routes, mut seen) = (Vec::new(), Seen::default());
    for (index, table) in listener.tables("route", &language::ROUTE).enumerate() {
        if findings.is_full() {
            return (routes, findings.since(0));
        }
        if index == ROUTES_MAX {
            let told = findings.refuse(conditions::too_many("route", ROUTES_MAX, table.place()));
            return (routes, Err(told));
        }
        let name = name(index, table, &mut seen, findings);
        let route = route(name, table, listener, site, findings);
        routes.extend(route.map(|route| Found { route, place: table.place() }));
    }
    if let Ok(Some((action, place))) =
        own_action(listener, own, routes.is_empty() && !listener.has("route"), site, findings)
    {
        let (name, when) = (Route::DEFAULT.to_owned(), Conditions::default());
        if let Some(first) = seen.first(name.clone(), place) {
            findings.push(names::twice(
                "routes of the listener",
                &name,
                (place, "named so as the listener's own"),
                first,
            ));
        }
        routes.push(Found { route: Route { name, when, action, options: None }, place });
    }
    warn_unreachable(&routes, findings);
    (routes, findings.since(before))
}

fn name(index: usize, table: Reader<'_>, seen: &mut Seen<String>, findings: &mut Findings) -> String {
    let (name, place) = match table.text("name") {
        Some((name, place)) if names::is_plain("route", name) => (name.to_owned(), place),
        Some(_) | None => (format!("route-{}", index + 1), table.place()),
    };
    if let Some(first) = seen.first(name.clone(), place) {
        let label = if table.has("name") { "again here" } else { "named so for its place" };
        findings.push(names::twice("routes of the listener", &name, (place, label), first));
    }
    name
}

/// The action of a listener's own `pool` or `split`, which `form` has read. Without either, the only pool is
/// meant if `is_implied`.
fn own_action(
    listener: Reader<'_>,
    form: ActionForm,
    is_implied: bool,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Result<Option<(Action, Place)>, Reported> {
    let action = match (listener.entry("pool"), listener.entry("split")) {
        (Some(pool), Some(split)) => {
            findings.push(
                Diagnostic::new(Code::NotOneAction, "the listener has both a pool and a split")
                    .mark(split.key_place, "this")
                    .mark(pool.key_place, "and this")
                    .help("keep one of them"),
            );
            Err(findings.given_up(listener.place()))
        }
        (Some(entry), None) | (None, Some(entry)) => {
            form.action(&site.pools).map(Some).ok_or_else(|| findings.given_up(entry.node.place))
        }
        (None, None) if is_implied && !findings.is_meant(listener.place(), "pool") => {
            implied_pool(listener, site, findings)
        }
        (None, None) => Ok(None),
    };
    let entry = listener.entry("pool").or(listener.entry("split"));
    if let (Some(sticky), false) = (listener.entry("sticky"), listener.has("split")) {
        findings.push(no_effect(sticky, "there is no `split`"));
    }
    Ok(action?.map(|action| (action, entry.map_or(listener.place(), |entry| entry.key_place))))
}

fn implied_pool(
    listener: Reader<'_>,
    site: &Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Action>, Reported> {
    match site.pools.as_slice() {
        [_] => Ok(Some(Action::Pool(PoolId(0)))),
        [] => Ok(None),
        several => {
            let names = several.iter().map(String::as_str);
            Err(findings.refuse(
                Diagnostic::new(Code::MissingKey, "the listener does not say which pool it serves")
                    .mark(listener.place(), "`pool` is missing")
                    .help(format!("write `pool = \"…\"` with one of {}", quote_list(names))),
            ))
        }
    }
}

pub(super) fn missing(key: &str, message: &str, place: Place, example: &str) -> Diagnostic {
    Diagnostic::new(Code::MissingKey, message)
        .mark(place, format!("`{key}` is missing"))
        .help(format!("write {example}"))
}

pub(super) fn no_effect(entry: &Entry, why: &str) -> Diagnostic {
    Diagnostic::new(Code::NoEffect, format!("{} changes nothing here", quote(&entry.key)))
        .mark(entry.key_place, why)
        .help("remove it")
}

fn route(
    name: String,
    table: Reader<'_>,
    listener: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Route, Reported> {
    let mut form = RouteForm::new();
    site.parts = Some(Vec::new());
    let read = settings::read(&language::ROUTE, table, &mut form, site, findings);
    check_backend_keys(table, findings);
    hsts::check_route(table, listener, findings);
    let is_one = check_one_action(table, findings);
    read?;
    is_one?;
    let RouteForm { when, action, options, .. } = form;
    let action = action.action(&site.pools).ok_or_else(|| findings.given_up(table.place()))?;
    let options = (options != Options::default()).then(|| Box::new(options));
    Ok(Route { name, when, action, options })
}

const ACTIONS: [&str; 4] = ["pool", "split", "redirect", "respond"];

fn check_one_action(table: Reader<'_>, findings: &mut Findings) -> Result<(), Reported> {
    let found: Vec<&Entry> = ACTIONS.iter().filter_map(|key| table.entry(key)).collect();
    if let (Some(sticky), false) = (table.entry("sticky"), table.has("split")) {
        findings.push(no_effect(sticky, "there is no `split`"));
    }
    match found.as_slice() {
        [] => {
            if !ACTIONS.iter().any(|key| findings.is_meant(table.place(), key)) {
                let help =
                    "add one: `pool = \"app\"`, `split = […]`, `redirect = { … }` or `respond = { … }`";
                let found = Diagnostic::new(Code::NotOneAction, "the route does nothing")
                    .mark(table.place(), "no action");
                findings.push(found.help(help));
            }
            Err(findings.given_up(table.place()))
        }
        [_] => Ok(()),
        [first, second, ..] => Err(findings.refuse(
            Diagnostic::new(Code::NotOneAction, "the route has more than one action")
                .mark(second.key_place, "this")
                .mark(first.key_place, "and this")
                .help("keep one of them, or make two routes"),
        )),
    }
}

/// Warns of keys about a backend on a route that answers by itself.
fn check_backend_keys(table: Reader<'_>, findings: &mut Findings) {
    let answers = table.has("redirect") || table.has("respond");
    for entry in table.for_backends().filter(|_| answers) {
        findings.push(no_effect(entry, "no backend is asked by this route"));
    }
}

/// `streams`.
pub(in crate::config) fn streams(
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<Vec<String>, Reported> {
    let before = findings.errors();
    let streams = conditions::values(table, "streams", findings, stream);
    findings.since(before)?;
    Ok(streams)
}

/// A type of responses that are streams.
fn stream(text: &str) -> Result<String, conditions::Refused> {
    let is_token = |part: &str| crate::syntax::grammar::is_token(part.as_bytes());
    if text.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub)) {
        return Ok(text.to_ascii_lowercase());
    }
    let help = "write a type and a subtype, without parameters: `application/json`";
    Err((Code::BadValue, format!("{} is not a type of responses", quote(text)), help.to_owned()))
}

/// Warns of routes that no request reaches, because one before takes all that they would.
fn warn_unreachable(routes: &[Found], findings: &mut Findings) {
    let mut before = Shadows::default();
    for (index, found) in routes.iter().enumerate() {
        if let Some(other) = before.first(&found.route.when, |other| &routes[other].route.when) {
            let message = format!("the route {} is never reached", quote(&found.route.name));
            findings.push(
                Diagnostic::new(Code::UnreachableRoute, message)
                    .mark(found.place, "never reached")
                    .mark(routes[other].place, "this route takes all of its requests")
                    .help("put the narrower route in front of the wider one, or remove it"),
            );
        }
        before.file(&found.route.when, index);
    }
}
