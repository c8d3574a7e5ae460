//! Backends that are not written down: who has to be asked for them, what was answered, and what comes of it.
//!
//! An item of `backends` is a [`Source`]. Most name an address. A host name, a service of the DNS or a file is a [`Question`], whose
//! answer may change while Pollux runs; [`Answers`] has the last good one to each. A pool is filled from its sources and the
//! answers ([`fill`]), when it is loaded and whenever an answer changes.

mod ask;
mod at_once;
mod dns;
mod file;
mod schedule;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::balance::Duty;
use crate::snapshot::{Address, Backend, Pool, Snapshot};

pub use ask::{Answer, Stamp, ask};
pub use at_once::{at_once, unanswered};
pub use dns::{PORT as DNS_PORT, SERVERS_MAX};
pub use file::{ENTRIES_MAX, parse as parse_file};
pub use schedule::Schedule;

/// How often names are asked for where nothing is said.
pub const RESOLVE: Duration = Duration::from_secs(30);

/// How often files are looked at.
pub const LOOK: Duration = Duration::from_secs(1);

/// The addresses of a name that are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// All of them.
    #[default]
    Any,
    /// Those of IPv4; no other ones are asked for.
    V4,
    /// Those of IPv6; no other ones are asked for.
    V6,
}

impl Family {
    /// Every one, in the order in which they are told.
    pub const ALL: [Family; 3] = [Family::Any, Family::V4, Family::V6];

    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Family::Any => "any",
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    /// Whether it has `address`.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

/// What is asked to find backends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The addresses of a host.
    Host {
        /// Its name.
        host: String,
        /// The port of each.
        port: u16,
        /// The servers of the DNS that are asked; the system's resolver if there are none.
        servers: Vec<SocketAddr>,
        /// Which of its addresses are taken.
        family: Family,
    },
    /// The targets of a service (SRV records, RFC 2782).
    Service {
        /// Its name, such as `_http._tcp.app.example`.
        name: String,
        /// The servers of the DNS that are asked; those of `/etc/resolv.conf` if there are none.
        servers: Vec<SocketAddr>,
        /// Which addresses of its targets are taken.
        family: Family,
    },
    /// What a file lists.
    File(PathBuf),
}

impl Question {
    /// The host name that is asked for, if it is one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Question::Host { host, .. } => Some(host),
            Question::Service { .. } | Question::File(_) => None,
        }
    }

    /// Whether the answer comes from the DNS, and not from this machine.
    #[must_use]
    pub fn is_name(&self) -> bool {
        match self {
            Question::Host { .. } | Question::Service { .. } => true,
            Question::File(_) => false,
        }
    }

    /// Whether the answer says how long it lives. The system's resolver keeps that to itself.
    #[must_use]
    pub fn has_ttl(&self) -> bool {
        match self {
            Question::Host { servers, .. } => !servers.is_empty(),
            Question::Service { .. } => true,
            Question::File(_) => false,
        }
    }

    /// The same, asked of these servers of the DNS and for addresses of that family, if it is for the DNS.
    #[must_use]
    pub fn at(self, servers: &[SocketAddr], family: Family) -> Question {
        let servers = servers.to_vec();
        match self {
            Question::Host { host, port, .. } => Question::Host { host, port, servers, family },
            Question::Service { name, .. } => Question::Service { name, servers, family },
            Question::File(path) => Question::File(path),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Host { host, port, .. } => write!(f, "{host}:{port}"),
            Question::Service { name, .. } => write!(f, "srv:{name}"),
            Question::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A backend of an answer. What it leaves open is as the source says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Where it listens.
    pub address: Address,
    /// Its name.
    pub name: Option<String>,
    /// Its weight.
    pub weight: Option<u32>,
    /// Its tier.
    pub tier: Option<u8>,
    /// How many requests it may have in flight.
    pub max_requests: Option<u32>,
    /// How many connections there may be to it.
    pub max_connections: Option<u32>,
}

impl Entry {
    /// An entry that says nothing but an address.
    #[must_use]
    pub fn at(address: Address) -> Entry {
        Entry { address, name: None, weight: None, tier: None, max_requests: None, max_connections: None }
    }
}

/// An item of a pool's `backends`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A backend whose address is known.
    Given(Backend),
    /// Those of an answer.
    Asked {
        /// What is asked.
        question: Question,
        /// What holds for each, as far as the answer does not say otherwise.
        like: Like,
    },
}

/// What a source says of its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like {
    /// What their names begin with; the question if nothing is said.
    pub name: Option<String>,
    /// Their weight.
    pub weight: u32,
    /// Their tier.
    pub tier: u8,
    /// How many requests each may have in flight.
    pub max_requests: Option<u32>,
    /// How many connections there may be to each.
    pub max_connections: Option<u32>,
    /// The name that the certificate of each has to be for, where they have one; that of the question if nothing is said.
    pub tls_name: Option<String>,
    /// What the operator wants of them.
    pub duty: Duty,
}

impl Like {
    fn backend(&self, question: &Question, entry: &Entry) -> Backend {
        Backend {
            name: self.name_of(question, entry),
            address: entry.address.clone(),
            weight: self.weight_of(question, entry),
            tier: self.tier_of(question, entry),
            max_requests: entry.max_requests.or(self.max_requests),
            max_connections: entry.max_connections.or(self.max_connections),
            duty: self.duty,
            tls_name: self.tls_name.clone().or_else(|| question.host().map(str::to_owned)),
        }
    }

    /// A source without weight takes nothing, whatever the weights of its records are.
    fn weight_of(&self, question: &Question, entry: &Entry) -> u32 {
        match question {
            Question::Service { .. } if self.weight == 0 => 0,
            Question::Service { .. } | Question::Host { .. } | Question::File(_) => {
                entry.weight.unwrap_or(self.weight)
            }
        }
    }

    /// The tiers of a service begin with that of the source.
    fn tier_of(&self, question: &Question, entry: &Entry) -> u8 {
        match question {
            Question::Service { .. } => (self.tier + entry.tier.unwrap_or(1) - 1).min(Backend::TIER_MAX),
            Question::Host { .. } | Question::File(_) => entry.tier.unwrap_or(self.tier),
        }
    }

    /// The name never depends on how many others there are: hashes and cookies go by it.
    fn name_of(&self, question: &Question, entry: &Entry) -> String {
        match (&entry.name, &self.name, question) {
            (Some(name), _, _) => name.clone(),
            (None, Some(name), _) => format!("{name} ({})", entry.address),
            (None, None, Question::Host { .. } | Question::Service { .. }) => {
                format!("{question} ({})", entry.address)
            }
            (None, None, Question::File(_)) => entry.address.to_string(),
        }
    }
}

/// The last good answers, and why there is none where nothing was ever answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    known: BTreeMap<Question, Vec<Entry>>,
    failures: BTreeMap<Question, String>,
}

impl Answers {
    /// The last good answer to `question`.
    #[must_use]
    pub fn to(&self, question: &Question) -> Option<&[Entry]> {
        self.known.get(question).map(Vec::as_slice)
    }

    /// Takes note of an answer.
    pub fn note(&mut self, question: Question, entries: Vec<Entry>) {
        self.failures.remove(&question);
        self.known.insert(question, entries);
    }

    /// Why there is no answer to `question`, if that is known.
    #[must_use]
    pub fn failure(&self, question: &Question) -> Option<&str> {
        self.failures.get(question).map(String::as_str)
    }

    /// Takes note that there is no answer.
    pub fn note_failure(&mut self, question: Question, why: String) {
        self.failures.insert(question, why);
    }
}

/// The backends of `pool`, from its sources and `answers`: in their order, each address once, each name once. A pool without
/// sources stays as it is.
pub fn fill(pool: &mut Pool, answers: &Answers) {
    if pool.sources.is_empty() {
        return;
    }
    let (mut addresses, mut names, mut backends) = (HashSet::new(), HashSet::new(), Vec::new());
    let found = pool.sources.iter().flat_map(|source| match source {
        Source::Given(backend) => vec![backend.clone()],
        Source::Asked { question, like } => {
            let entries = answers.to(question).unwrap_or_default();
            entries.iter().map(|entry| like.backend(question, entry)).collect()
        }
    });
    for mut backend in found {
        if !addresses.insert(backend.address.clone()) {
            continue;
        }
        if !names.insert(backend.name.clone()) {
            backend.name = format!("{} ({})", backend.name, backend.address);
            names.insert(backend.name.clone());
        }
        backends.push(backend);
    }
    pool.backends = backends;
}

/// The questions of a snapshot, each with how often it is asked: as often as the most eager of its pools wants.
#[must_use]
pub fn questions(snapshot: &Snapshot) -> BTreeMap<Question, Duration> {
    let mut questions = BTreeMap::new();
    for pool in &snapshot.pools {
        for source in &pool.sources {
            let Source::Asked { question, .. } = source else { continue };
            let interval = if question.is_name() { pool.resolve } else { Some(LOOK) };
            if let Some(interval) = interval {
                let shortest: &mut Duration = questions.entry(question.clone()).or_insert(interval);
                *shortest = interval.min(*shortest);
            }
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address::Ip(([127, 0, 0, 1], port).into())
    }

    fn host(name: &str) -> Question {
        Question::Host { host: name.to_owned(), port: 80, servers: Vec::new(), family: Family::Any }
    }

    fn asked(question: Question) -> Source {
        let like = Like {
            tls_name: None,
            name: None,
            weight: 2,
            tier: 3,
            max_requests: Some(4),
            max_connections: None,
            duty: Duty::Ready,
        };
        Source::Asked { question, like }
    }

    fn names(pool: &Pool) -> Vec<&str> {
        pool.backends.iter().map(|backend| backend.name.as_str()).collect()
    }

    #[test]
    fn a_pool_has_each_address_once_and_each_name_once() {
        let mut pool = Pool::new("app", vec![]);
        let given = Backend::new("app", address(1), 1);
        pool.sources = vec![Source::Given(given), asked(host("a")), asked(host("b")), asked(host("c"))];
        let mut answers = Answers::default();
        answers.note(host("a"), vec![Entry::at(address(1)), Entry::at(address(2))]);
        let named = Entry { name: Some("app".into()), weight: Some(7), ..Entry::at(address(3)) };
        answers.note(host("b"), vec![Entry::at(address(2)), named]);
        fill(&mut pool, &answers);
        assert_eq!(names(&pool), ["app", "a:80 (127.0.0.1:2)", "app (127.0.0.1:3)"]);
        let said: Vec<_> = pool.backends.iter().map(|it| (it.weight, it.tier, it.max_requests)).collect();
        assert_eq!(said, [(1, 1, None), (2, 3, Some(4)), (7, 3, Some(4))]);
        answers.note(host("a"), vec![]);
        fill(&mut pool, &answers);
        assert_eq!(names(&pool), ["app", "b:80 (127.0.0.1:2)", "app (127.0.0.1:3)"]);
    }

    #[test]
    fn a_pool_without_sources_stays_as_it_is() {
        let mut pool = Pool::new("app", vec![Backend::new("a", address(1), 1)]);
        fill(&mut pool, &Answers::default());
        assert_eq!(names(&pool), ["a"]);
    }
}
