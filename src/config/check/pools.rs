//! `[pool.NAME]`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::balance::balance;
use super::health;
use super::names::{self, NAME_LEN_MAX, Seen};
use super::resolver::resolver;
use super::retries::retries;
use super::site::Site;
use super::sticky::sticky;
use super::tls;
use crate::balance::Duty;
use crate::config::code::Code;
use crate::config::doc::{Entry, Node, Value};
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Told};
use crate::config::shape;
use crate::config::value::{self, ValueError, backend_addresses, host_and_port, named};
use crate::discovery::{self, Family, Like, Question, RESOLVE, Source};
use crate::preface::proxy::{PASSES_EVERYWHERE, Version};
use crate::snapshot::{Address, Announce, Backend, Balance, ClientClose, Expect, Pool, PoolId};

/// A pool, and where its name stands.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) pool: Result<Pool, Told>,
    pub(super) place: Place,
}

/// The pool that is called `written` at `place`.
pub(super) fn find(written: &str, place: Place, pools: &[Found], findings: &mut Findings) -> Option<PoolId> {
    if let Some(index) = pools.iter().position(|found| found.name == written) {
        return Some(PoolId(index));
    }
    let names: Vec<_> = pools.iter().map(|found| found.name.as_str()).collect();
    findings.push(names::unknown(Code::UnknownPool, "pool", written, place, &names));
    None
}

/// The pools in the order of the file; one with a finding is there all the same, so that its listeners find it.
pub(super) fn check(root: Reader<'_>, site: &mut Site<'_>, findings: &mut Findings) -> Vec<Found> {
    let servers = resolver(root, findings).unwrap_or_default();
    let check = |entry: &Entry| {
        let pool = match entry.node.table() {
            Some(table) => pool(entry, Reader::new(table, &language::POOL), &servers, site, findings),
            None => Err(findings.given_up(entry.node.place)),
        };
        Found { name: entry.key.clone(), pool, place: entry.key_place }
    };
    root.names("pool").iter().map(check).collect()
}

fn pool(
    entry: &Entry,
    table: Reader<'_>,
    servers: &[SocketAddr],
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Pool, Told> {
    let (name, before) = (entry.key.as_str(), findings.errors());
    check_name(name, entry.key_place, findings);
    let balance = balance(table, findings);
    let servers = resolver(table, findings).unwrap_or_else(|| servers.to_vec());
    let around = Around {
        bounds: Bounds::read(table, Bounds::default()),
        resolve: resolve(table),
        servers: &servers,
        family: family(table),
    };
    let sources = sources(table, around, site, findings);
    let found_before = findings.errors();
    match table.entry("backends") {
        None if !findings.is_meant(table.place(), "backends") => {
            findings.push(empty(name, entry.key_place, "`backends` is missing"));
        }
        Some(list) if list.node.items().is_empty() => {
            findings.push(empty(name, list.node.place, "expected at least one backend"));
        }
        Some(list) if findings.errors() == found_before && is_weightless(&sources) => {
            findings.push(
                Diagnostic::new(
                    Code::ZeroWeight,
                    format!("the weights of the pool {} add up to 0", quote(name)),
                )
                .mark(list.node.place, "all of these have weight 0")
                .help("give at least one backend a weight of 1 or more"),
            );
        }
        None | Some(_) => {}
    }
    warn_of_never_full(&balance, &sources, table, findings);
    let sticky = sticky(table, site, findings);
    let health = health::passive(table, site, findings);
    let check = health::check(table, site, findings);
    let tls = tls::of_pool(name, table, site, findings);
    let mut pool = Pool {
        balance,
        sticky: sticky?,
        retries: retries(table, findings),
        health: health?,
        check: check?,
        tls: tls?,
        announce: announce(table, findings),
        max_pending: table.count("max_pending").unwrap_or(Pool::MAX_PENDING),
        max_reuse: table.number("max_reuse").map(|(most, _)| most),
        expect: match table.text("expect") {
            Some(("answer", _)) => Expect::Answer,
            Some(_) | None => Expect::Pass,
        },
        collect: collect(table, findings),
        queue: table.time("queue").map(|(time, _)| time),
        passes_trailers: matches!(table.text("request_trailers"), Some(("pass", _))),
        reach_wait: reach_wait(table),
        on_client_close: on_client_close(table).unwrap_or_default(),
        resolve: around.resolve,
        resolver: servers,
        family: family(table),
        sources,
        ..Pool::new(name, Vec::new())
    };
    discovery::fill(&mut pool, &site.answers);
    if pool.sources.iter().all(|source| matches!(source, Source::Given(_))) {
        pool.sources.clear();
    }
    findings.since(before)?;
    Ok(pool)
}

/// How long a request waits until a backend can be reached again.
fn reach_wait(table: Reader<'_>) -> Option<Duration> {
    match (table.time("reach_wait"), table.flag("reach_wait")) {
        (Some((span, _)), _) => Some(span),
        (None, Some(false)) => None,
        (None, Some(true) | None) => Some(Pool::REACH_WAIT),
    }
}

/// What becomes of an exchange whose client has ended its direction, of a pool or a route.
pub(super) fn on_client_close(table: Reader<'_>) -> Option<ClientClose> {
    table.text("on_client_close").and_then(|(word, _)| ClientClose::find(word))
}

/// How long a body may be that is collected, if any is.
fn collect(table: Reader<'_>, findings: &mut Findings) -> Option<u64> {
    let most = table.size("request_buffer").map_or(Pool::COLLECT, |(most, _)| most);
    let is_on = matches!(table.text("request_body"), Some(("buffer", _)));
    if let Some(entry) = table.entry("request_buffer").filter(|_| !is_on) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`request_buffer` changes nothing here")
                .mark(entry.key_place, "no body is collected")
                .help("write `request_body = \"buffer\"`, or remove it"),
        );
    }
    is_on.then_some(most)
}

/// How backends are told of their clients.
fn announce(table: Reader<'_>, findings: &mut Findings) -> Option<Announce> {
    let version = match table.text("proxy_protocol") {
        Some(("v1", _)) => Some(Version::V1),
        Some(("v2", _)) => Some(Version::V2),
        Some(_) | None => None,
    };
    for key in ["proxy_protocol_fields", "proxy_protocol_max"] {
        if let Some(entry) = table.entry(key).filter(|_| version != Some(Version::V2)) {
            findings.push(
                Diagnostic::new(Code::NoEffect, format!("`{key}` changes nothing here"))
                    .mark(entry.key_place, "only version 2 has fields")
                    .help("write `proxy_protocol = \"v2\"`, or remove the key"),
            );
        }
    }
    let says = |word| table.list("proxy_protocol_fields").iter().any(|item| item.text() == Some(word));
    Some(Announce {
        version: version?,
        authority: says("authority"),
        alpn: says("alpn"),
        unique_id: says("unique-id"),
        ssl: says("ssl"),
        length_max: table.size("proxy_protocol_max").map_or(PASSES_EVERYWHERE, |(size, _)| size),
    })
}

/// `first` fills one after the other, if there is something to be filled.
fn warn_of_never_full(balance: &Balance, sources: &[Source], table: Reader<'_>, findings: &mut Findings) {
    let is_unbounded = |source: &Source| match source {
        Source::Given(backend) => backend.max_requests.or(backend.max_connections).is_none(),
        Source::Asked { like, .. } => like.max_requests.or(like.max_connections).is_none(),
    };
    let [rest @ .., _] = sources else { return };
    let Some((_, place)) = table.text("balance") else { return };
    if *balance == Balance::First && rest.iter().any(is_unbounded) {
        findings.push(
            Diagnostic::new(Code::NeverFull, "a backend before the last one is never full")
                .mark(place, "goes on to the next one when one is full")
                .help("write `max_requests` or `max_connections`, or another `balance`"),
        );
    }
}

/// How often names are asked for.
fn resolve(table: Reader<'_>) -> Option<Duration> {
    match (table.time("resolve"), table.flag("resolve")) {
        (Some((interval, _)), _) => Some(interval),
        (None, Some(false)) => None,
        (None, Some(true) | None) => Some(RESOLVE),
    }
}

/// What the items of `backends` stand for. What comes by a question may be the same as something else at any moment; that is
/// for [`discovery::fill`].
fn sources(
    table: Reader<'_>,
    around: Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Vec<Source> {
    let (mut sources, mut places, mut named) = (Vec::new(), Seen::default(), Seen::default());
    for item in table.list("backends") {
        // Each entry may ask the resolver, so stop when nobody would see the answer.
        if findings.is_full() {
            break;
        }
        for source in item_sources(item, around, site, findings) {
            let (place, name) = match &source {
                Source::Given(backend) => (backend.address.to_string(), Some(&backend.name)),
                Source::Asked { question, .. } => (question.to_string(), None),
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

/// Whether nothing could ever be picked. The answers to questions may bring weights of their own, unless they are addresses alone.
fn is_weightless(sources: &[Source]) -> bool {
    let is_zero = |source: &Source| match source {
        Source::Given(backend) => backend.weight == 0,
        Source::Asked { question: Question::Host { .. } | Question::Service { .. }, like } => {
            like.weight == 0
        }
        Source::Asked { question: Question::File(_), .. } => false,
    };
    !sources.is_empty() && sources.iter().all(is_zero)
}

/// A pool's name can stand for the host in a request, so it has to be a valid Host value.
fn check_name(name: &str, place: Place, findings: &mut Findings) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(allowed) {
        findings.push(
            Diagnostic::new(Code::BadName, format!("{} cannot be the name of a pool", quote(name)))
                .mark(place, format!("expected 1 to {NAME_LEN_MAX} letters, digits, `_` and `-`"))
                .help("the name can stand as a Host, so it has no other characters"),
        );
    }
}

fn empty(pool: &str, place: Place, label: &str) -> Diagnostic {
    Diagnostic::new(Code::EmptyPool, format!("the pool {} has no backend", quote(pool)))
        .mark(place, label)
        .help("list where the backends listen: `backends = [\"127.0.0.1:9001\"]`")
}

/// What one item of the list stands for; nothing when it has a finding.
fn item_sources(
    item: &Node,
    around: Around<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Vec<Source> {
    match &item.value {
        Value::Text { text, .. } => {
            let said = Said { name: None, weight: 1, tier: 1, tls_name: None, duty: Duty::Ready, around };
            read(text, item.place, &said, site, findings)
        }
        Value::Table(table) => {
            let table = Reader::new(table, &language::BACKEND);
            let weight = table.number("weight").map_or(1, |(weight, _)| weight);
            let name = table.text("name");
            if let Some((name, place)) = name
                && !names::check_plain("backend", name, place, findings)
            {
                return Vec::new();
            }
            let Some((text, place)) = table.text("address") else {
                if !table.has("address") && !findings.is_meant(table.place(), "address") {
                    findings.push(
                        Diagnostic::new(Code::MissingKey, "the backend has no address")
                            .mark(item.place, "`address` is missing")
                            .help("write `{ address = \"127.0.0.1:9001\", weight = 1 }`, or the address alone as text"),
                    );
                }
                return Vec::new();
            };
            let name = name.map(|(name, _)| name);
            let said = Said {
                name,
                weight,
                tier: tier(table, findings),
                tls_name: table.text("tls_name").map(|(name, _)| name),
                duty: table.text("state").and_then(|(word, _)| Duty::find(word)).unwrap_or_default(),
                around: Around { bounds: Bounds::read(table, around.bounds), ..around },
            };
            read(text, place, &said, site, findings)
        }
        Value::Number(_) | Value::Decimal(_) | Value::Flag(_) | Value::List(_) | Value::Other(_) => {
            Vec::new()
        }
    }
}

/// What is said of a backend besides its address.
struct Said<'a> {
    name: Option<&'a str>,
    weight: u32,
    tier: u8,
    tls_name: Option<&'a str>,
    duty: Duty,
    around: Around<'a>,
}

/// What a pool says of all of its backends.
#[derive(Clone, Copy)]
struct Around<'a> {
    bounds: Bounds,
    /// How often names are asked for.
    resolve: Option<Duration>,
    /// Who is asked; the system if it is empty.
    servers: &'a [SocketAddr],
    family: Family,
}

/// Which addresses of names the pool takes.
fn family(table: Reader<'_>) -> Family {
    let word = table.text("resolve_family").map_or("", |(word, _)| word);
    Family::ALL.into_iter().find(|family| family.word() == word).unwrap_or_default()
}

impl Around<'_> {
    /// The addresses of a host, asked for once.
    fn look_up(self, host: &str, port: u16, site: &mut Site<'_>) -> io::Result<Vec<SocketAddr>> {
        if self.servers.is_empty() {
            let mut found = site.world.resolve(host, port)?;
            found.retain(|address| self.family.has(address.ip()));
            return Ok(found);
        }
        let (servers, family) = (self.servers.to_vec(), self.family);
        let question = Question::Host { host: host.to_owned(), port, servers, family };
        let entries = site.world.ask(&question).map_err(io::Error::other)?;
        let address = |entry: discovery::Entry| match entry.address {
            Address::Ip(address) => Some(address),
            Address::Unix(_) => None,
        };
        Ok(entries.into_iter().filter_map(address).collect())
    }
}

/// How much a backend may have.
#[derive(Clone, Copy, Default)]
struct Bounds {
    max_requests: Option<u32>,
    max_connections: Option<u32>,
}

impl Bounds {
    /// What `table` says, and else what `around` does.
    fn read(table: Reader<'_>, around: Bounds) -> Bounds {
        let number = |key| table.number(key).map(|(number, _)| number);
        Bounds {
            max_requests: number("max_requests").or(around.max_requests),
            max_connections: number("max_connections").or(around.max_connections),
        }
    }
}

/// The tier, which `backup` is another word for.
fn tier(table: Reader<'_>, findings: &mut Findings) -> u8 {
    let tier = table.number("tier").map(|(tier, _)| tier);
    if let (Some(_), Some(backup)) = (tier, table.entry("backup")) {
        findings.push(
            Diagnostic::new(Code::NoEffect, "`backup` changes nothing here")
                .mark(backup.key_place, "the backend has a `tier`")
                .help("remove one of the two: `backup = true` is `tier = 2`"),
        );
    }
    let backup = table.flag("backup").map(|is_backup| if is_backup { 2 } else { 1 });
    tier.or(backup).unwrap_or(1)
}

fn read(
    text: &str,
    place: Place,
    said: &Said<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Vec<Source> {
    let Bounds { max_requests, max_connections } = said.around.bounds;
    let around = said.around;
    let written = text;
    let text = match value::without_scheme(text) {
        Ok(text) => text,
        Err(error) => return refuse(&error, place, findings),
    };
    let found = match question(&text, place, around, site) {
        Ok(Some(question)) => {
            ask(&question, place, around, site, findings);
            let (name, weight, tier) = (said.name.map(str::to_owned), said.weight, said.tier);
            let tls_name = said.tls_name.map(str::to_owned);
            let duty = said.duty;
            let like = Like { name, weight, tier, max_requests, max_connections, tls_name, duty };
            return vec![Source::Asked { question, like }];
        }
        Ok(None) => backend_addresses(&text, &mut |host, port| around.look_up(host, port, site)),
        Err(error) => Err(error),
    };
    match found {
        Ok(addresses) => {
            let backends = named(said.name.unwrap_or(written), said.weight, addresses);
            let host = host_and_port(&text).ok().flatten().map(|(host, _)| host.to_owned());
            let tls_name = said.tls_name.map(str::to_owned).or(host);
            let bounded = |backend| Backend {
                tier: said.tier,
                max_requests,
                max_connections,
                tls_name: tls_name.clone(),
                duty: said.duty,
                ..backend
            };
            backends.into_iter().map(|backend| Source::Given(bounded(backend))).collect()
        }
        Err(error) => refuse(&error, place, findings),
    }
}

/// An address that is none.
fn refuse(error: &ValueError, place: Place, findings: &mut Findings) -> Vec<Source> {
    let node = Node { place, value: Value::Flag(false) };
    findings.push(shape::refused("address", &node, error));
    Vec::new()
}

/// The question that `text` asks, if it does not say an address itself. A name that is asked for once is resolved like one.
fn question(
    text: &str,
    place: Place,
    around: Around<'_>,
    site: &Site<'_>,
) -> Result<Option<Question>, ValueError> {
    Ok(match value::question(text)? {
        Some(Question::File(path)) => Some(Question::File(site.path(&path, place))),
        Some(Question::Host { .. }) if around.resolve.is_none() => None,
        Some(question @ (Question::Host { .. } | Question::Service { .. })) => {
            Some(question.at(around.servers, around.family))
        }
        None => None,
    })
}

/// Asks, unless that was done for another item. A name may become known later, but a file that cannot be read is a mistake.
fn ask(question: &Question, place: Place, around: Around<'_>, site: &mut Site<'_>, findings: &mut Findings) {
    if site.answers.to(question).is_some() || site.answers.failure(question).is_some() {
        return;
    }
    let why = match site.world.ask(question) {
        Ok(entries) => return site.answers.note(question.clone(), entries),
        Err(why) => why,
    };
    let shown = quote(&question.to_string());
    findings.push(match question {
        Question::File(_) => Diagnostic::new(Code::Unreadable, format!("cannot take backends from {shown}: {why}"))
            .mark(place, "expected a JSON list of backends")
            .help("write the list first, if only `[]`: `[\"127.0.0.1:9001\", { \"address\": \"127.0.0.1:9002\", \"weight\": 3 }]`"),
        Question::Host { .. } | Question::Service { .. } if around.resolve.is_none() => {
            Diagnostic::new(Code::BadValue, format!("bad `address`: cannot resolve {shown}: {why}"))
                .mark(place, "expected a known service")
                .help("check the name, or leave `resolve` out: then it is asked for again")
        }
        Question::Host { .. } | Question::Service { .. } => {
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
