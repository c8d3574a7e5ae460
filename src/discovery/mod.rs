//! Backends that are not written down: who has to be asked for them, what was answered, and what comes of it.
//!
//! An item of `backends` is a [`BackendSource`]. Most name an address. A host name, a service of the DNS or a
//! file is a [`DiscoveryQuestion`], whose answer may change while Pollux runs; [`Answers`] has the last good
//! one to each. A pool is filled from its sources and the answers ([`fill`]), when it is loaded and whenever
//! an answer changes.

mod ask;
mod at_once;
mod dns;
mod file;
mod schedule;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::snapshot::{Pool, Snapshot};

pub use crate::snapshot::{BackendSource, DiscoveryQuestion, Entry, IpFamily, Like, RESOLVE};
pub use ask::{Answer, Stamp, ask};
pub use at_once::{at_once, unanswered};
pub use dns::SERVERS_MAX;
pub use file::{ENTRIES_MAX, parse as parse_file};
pub use schedule::Schedule;

/// The interval at which files are looked at.
pub const LOOK: Duration = Duration::from_secs(1);

/// The last good answers, and why there is none where nothing was ever answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    known: BTreeMap<DiscoveryQuestion, Vec<Entry>>,
    failures: BTreeMap<DiscoveryQuestion, String>,
}

impl Answers {
    /// The last good answer to `question`.
    #[must_use]
    pub fn to(&self, question: &DiscoveryQuestion) -> Option<&[Entry]> {
        self.known.get(question).map(Vec::as_slice)
    }

    /// Takes note of an answer.
    pub fn note(&mut self, question: DiscoveryQuestion, entries: Vec<Entry>) {
        self.failures.remove(&question);
        self.known.insert(question, entries);
    }

    /// Why there is no answer to `question`, if that is known.
    #[must_use]
    pub fn failure(&self, question: &DiscoveryQuestion) -> Option<&str> {
        self.failures.get(question).map(String::as_str)
    }

    /// Takes note that there is no answer.
    pub fn note_failure(&mut self, question: DiscoveryQuestion, why: String) {
        self.failures.insert(question, why);
    }
}

/// The backends of `pool`, from its sources and `answers`: in their order, each address once, each name once.
/// A pool without sources stays as it is.
pub fn fill(pool: &mut Pool, answers: &Answers) {
    if pool.sources.is_empty() {
        return;
    }
    let (mut addresses, mut names, mut backends) = (HashSet::new(), HashSet::new(), Vec::new());
    let found = pool.sources.iter().flat_map(|source| match source {
        BackendSource::Given(backend) => vec![backend.clone()],
        BackendSource::Asked { question, like } => {
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

/// The questions of a snapshot, each with how often it is asked: as often as the most eager of its pools
/// wants.
#[must_use]
pub fn questions(snapshot: &Snapshot) -> BTreeMap<DiscoveryQuestion, Duration> {
    let mut questions = BTreeMap::new();
    for pool in &snapshot.pools {
        for source in &pool.sources {
            let BackendSource::Asked { question, .. } = source else { continue };
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
    use crate::snapshot::{Address, AdminState, Backend};

    fn address(port: u16) -> Address {
        Address::Ip(([127, 0, 0, 1], port).into())
    }

    fn host(name: &str) -> DiscoveryQuestion {
        DiscoveryQuestion::Host {
            host: name.to_owned(),
            port: 80,
            servers: Vec::new(),
            family: IpFamily::Any,
        }
    }

    fn asked(question: DiscoveryQuestion) -> BackendSource {
        let like = Like {
            tls_name: None,
            name: None,
            weight: 2,
            tier: 3,
            max_requests: Some(4),
            max_connections: None,
            admin_state: AdminState::Ready,
        };
        BackendSource::Asked { question, like }
    }

    fn names(pool: &Pool) -> Vec<&str> {
        pool.backends.iter().map(|backend| backend.name.as_str()).collect()
    }

    #[test]
    fn a_pool_has_each_address_once_and_each_name_once() {
        let mut pool = Pool::new("app", vec![]);
        let given = Backend::new("app", address(1), 1);
        pool.sources =
            vec![BackendSource::Given(given), asked(host("a")), asked(host("b")), asked(host("c"))];
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
