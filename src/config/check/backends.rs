//! `backends` of a pool: what its items stand for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::names::{self, Seen};
use super::site::Site;
use crate::config::code::Code;
use crate::config::doc::{Node, Value};
use crate::config::excerpt::Place;
use crate::config::forms::BackendForm;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::config::shape;
use crate::config::value::{self, ValueError, backend_addresses, host_and_port, named};
use crate::snapshot::{
    Address, AdminState, Backend, BackendSource, DiscoveryQuestion, Entry, IpFamily, Like,
};

/// The sources that the items of `backends` stand for. A question may bring an address of another item at any
/// moment; that is for [`discovery::fill`].
pub(super) fn sources(
    table: Reader<'_>,
    around: Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Vec<BackendSource> {
    let (mut sources, mut places, mut named) = (Vec::new(), Seen::default(), Seen::default());
    for item in table.list("backends") {
        // Each entry may ask the resolver, so stop when no further error is shown.
        if findings.is_full() {
            break;
        }
        for source in item_sources(item, around, site, findings) {
            let (place, name) = match &source {
                BackendSource::Given(backend) => (backend.address.to_string(), Some(&backend.name)),
                BackendSource::Asked { question, .. } => (question.to_string(), None),
            };
            if let Some(first) = places.first(place.clone(), item.place) {
                findings.push(duplicate(&place, item.place, first));
            } else if let Some(name) = name
                && let Some(first) = named.first(name.clone(), item.place)
            {
                let again = (item.place, "again here");
                findings.push(names::twice("backends of the pool", name, again, first));
            }
            sources.push(source);
        }
    }
    sources
}

/// Whether nothing could ever be picked. The answers to questions may bring weights of their own, unless they
/// are addresses alone.
pub(super) fn is_weightless(sources: &[BackendSource]) -> bool {
    let is_zero = |source: &BackendSource| match source {
        BackendSource::Given(backend) => backend.weight == 0,
        BackendSource::Asked {
            question: DiscoveryQuestion::Host { .. } | DiscoveryQuestion::Service { .. },
            like,
        } => like.weight == 0,
        BackendSource::Asked { question: DiscoveryQuestion::File(_), .. } => false,
    };
    !sources.is_empty() && sources.iter().all(is_zero)
}

/// The sources that one item of the list stands for; none when it has a finding.
fn item_sources(
    item: &Node,
    around: Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Vec<BackendSource> {
    match &item.value {
        Value::Text { text, .. } => read(text, item.place, &around.like(), around, site, findings),
        Value::Table(table) => {
            let table = Reader::new(table, &language::BACKEND);
            let mut form = BackendForm { address: String::new(), like: around.like() };
            let settings = settings::read(&language::BACKEND, table, &mut form, site, findings);
            let Some((_, place)) = table.text("address") else {
                if !table.has("address") && !findings.is_meant(table.place(), "address") {
                    findings.push(
                        Diagnostic::new(Code::MissingKey, "the backend has no address")
                            .mark(item.place, "`address` is missing")
                            .help("write `{ address = \"127.0.0.1:9001\", weight = 1 }`, or the address alone as text"),
                    );
                }
                return Vec::new();
            };
            match settings {
                Ok(()) => read(&form.address, place, &form.like, around, site, findings),
                Err(_) => Vec::new(),
            }
        }
        Value::Number(_) | Value::Decimal(_) | Value::Flag(_) | Value::List(_) | Value::Other(_) => {
            Vec::new()
        }
    }
}

/// The settings of a pool that hold for all of its backends.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// The requests that each may have at once.
    pub(super) max_requests: Option<u32>,
    pub(super) max_connections: Option<u32>,
    /// The interval at which names are asked for.
    pub(super) resolve: Option<Duration>,
    /// The servers that are asked; none stands for the system.
    pub(super) servers: &'a [SocketAddr],
    pub(super) family: IpFamily,
}

impl Around<'_> {
    /// A backend of which nothing more is said.
    fn like(&self) -> Like {
        let Around { max_requests, max_connections, .. } = *self;
        let (name, tls_name, admin_state) = (None, None, AdminState::Ready);
        Like { name, weight: 1, tier: 1, max_requests, max_connections, tls_name, admin_state }
    }

    /// The addresses of a host, asked for once.
    fn look_up(self, host: &str, port: u16, site: &mut Site<'_>) -> io::Result<Vec<SocketAddr>> {
        if self.servers.is_empty() {
            let mut found = site.world.resolve(host, port)?;
            found.retain(|address| self.family.has(address.ip()));
            return Ok(found);
        }
        let (servers, family) = (self.servers.to_vec(), self.family);
        let question = DiscoveryQuestion::Host { host: host.to_owned(), port, servers, family };
        let entries = site.world.ask(&question).map_err(io::Error::other)?;
        let address = |entry: Entry| match entry.address {
            Address::Ip(address) => Some(address),
            Address::Unix(_) => None,
        };
        Ok(entries.into_iter().filter_map(address).collect())
    }
}

/// `backup`, which is another word for tier 2.
pub(in crate::config) fn backup(
    tier: &mut u8,
    table: Reader<'_>,
    findings: &mut Findings,
) -> Result<(), Reported> {
    let Some(entry) = table.entry("backup") else { return Ok(()) };
    let is_backup = table.flag("backup");
    if table.has("tier") {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`backup` changes nothing here")
                .mark(entry.key_place, "the backend has a `tier`")
                .help("remove one of the two: `backup = true` is `tier = 2`"),
        );
    } else if let Some(is_backup) = is_backup {
        *tier = if is_backup { 2 } else { 1 };
    }
    Ok(())
}

fn read(
    text: &str,
    place: Place,
    like: &Like,
    around: Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Vec<BackendSource> {
    let written = text;
    let text = match value::without_scheme(text) {
        Ok(text) => text,
        Err(error) => return refuse(&error, place, findings),
    };
    let found = match question(&text, place, around, site) {
        Ok(Some(question)) => {
            ask(&question, place, around, site, findings);
            return vec![BackendSource::Asked { question, like: like.clone() }];
        }
        Ok(None) => backend_addresses(&text, &mut |host, port| around.look_up(host, port, site)),
        Err(error) => Err(error),
    };
    match found {
        Ok(addresses) => {
            let backends = named(like.name.as_deref().unwrap_or(written), like.weight, addresses);
            let host = host_and_port(&text).ok().flatten().map(|(host, _)| host.to_owned());
            let tls_name = like.tls_name.clone().or(host);
            let bounded = |backend| Backend {
                tier: like.tier,
                max_requests: like.max_requests,
                max_connections: like.max_connections,
                tls_name: tls_name.clone(),
                admin_state: like.admin_state,
                ..backend
            };
            backends.into_iter().map(|backend| BackendSource::Given(bounded(backend))).collect()
        }
        Err(error) => refuse(&error, place, findings),
    }
}

/// An address that is none.
fn refuse(error: &ValueError, place: Place, findings: &mut Findings) -> Vec<BackendSource> {
    let node = Node { place, value: Value::Flag(false) };
    findings.push(shape::refused("address", &node, error));
    Vec::new()
}

/// The question that `text` asks, if it does not say an address itself. A name that is asked for once is
/// resolved like one.
fn question(
    text: &str,
    place: Place,
    around: Around<'_>,
    site: &Site<'_>,
) -> Result<Option<DiscoveryQuestion>, ValueError> {
    Ok(match value::question(text)? {
        Some(DiscoveryQuestion::File(path)) => Some(DiscoveryQuestion::File(site.path(&path, place))),
        Some(DiscoveryQuestion::Host { .. }) if around.resolve.is_none() => None,
        Some(question @ (DiscoveryQuestion::Host { .. } | DiscoveryQuestion::Service { .. })) => {
            Some(question.at(around.servers, around.family))
        }
        None => None,
    })
}

/// Asks, unless that was done for another item. A name may become known later, but a file that cannot be read
/// is a mistake.
fn ask(
    question: &DiscoveryQuestion,
    place: Place,
    around: Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) {
    if site.answers.to(question).is_some() || site.answers.failure(question).is_some() {
        return;
    }
    let why = match site.world.ask(question) {
        Ok(entries) => return site.answers.note(question.clone(), entries),
        Err(why) => why,
    };
    let shown = quote(&question.to_string());
    findings.push(match question {
        DiscoveryQuestion::File(_) => Diagnostic::new(Code::Unreadable, format!("cannot take backends from {shown}: {why}"))
            .mark(place, "expected a JSON list of backends")
            .help("write the list first, if only `[]`: `[\"127.0.0.1:9001\", { \"address\": \"127.0.0.1:9002\", \"weight\": 3 }]`"),
        DiscoveryQuestion::Host { .. } | DiscoveryQuestion::Service { .. } if around.resolve.is_none() => {
            Diagnostic::new(Code::BadValue, format!("bad `address`: cannot resolve {shown}: {why}"))
                .mark(place, "expected a known service")
                .help("check the name, or leave `resolve` out: then it is asked for again")
        }
        DiscoveryQuestion::Host { .. } | DiscoveryQuestion::Service { .. } => {
            Diagnostic::new(Code::Unresolved, format!("cannot resolve {shown}: {why}"))
                .mark(place, "no backend as long as this is not known")
                .help("check the name; Pollux starts without it, and asks again")
        }
    });
    site.answers.note_failure(question.clone(), why);
}

fn duplicate(address: &str, second: Place, first: Place) -> Diagnostic {
    let message = format!("the backend {} stands twice in the pool", quote(address));
    Diagnostic::new(Code::DuplicateBackend, message)
        .mark(second, "again here")
        .mark(first, "first here")
        .help("remove one of the two; to send it more, write `{ address = \"…\", weight = 2 }`")
}
