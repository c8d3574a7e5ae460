//! The names of a configuration, looked up at once and with one bound for all of them.
//!
//! A configuration says only while it is checked which names it needs. So it is checked twice where there are
//! some: the first time writes down what is asked for, and the second time has the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::world::{Machine, World};
use crate::discovery::{self, Answer, Answers, DiscoveryQuestion, Entry, at_once, unanswered};

/// The time that all names of a configuration may take together.
const LOOKUPS_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lookup {
    Addresses { host: String, port: u16 },
    Backends(DiscoveryQuestion),
}

/// The answer to a lookup.
#[derive(Debug)]
enum Found {
    Addresses(io::Result<Vec<SocketAddr>>),
    Backends(Result<Answer, String>),
}

impl Lookup {
    fn look_up(&self) -> Found {
        match self {
            Lookup::Addresses { host, port } => Found::Addresses(Machine.resolve(host, *port)),
            Lookup::Backends(question) => Found::Backends(discovery::ask(question)),
        }
    }

    fn unanswered(&self) -> Found {
        let error = unanswered(LOOKUPS_TIMEOUT);
        match self {
            Lookup::Addresses { .. } => Found::Addresses(Err(error)),
            Lookup::Backends(_) => Found::Backends(Err(error.to_string())),
        }
    }
}

/// Stands in the place of the machine's resolver. Everything else is asked of the machine.
pub trait Names {
    /// As [`World::resolve`].
    ///
    /// # Errors
    /// When the name is not known.
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// As [`World::ask`].
    ///
    /// # Errors
    /// Why there is no answer, in words.
    fn ask(&mut self, question: &DiscoveryQuestion) -> Result<Vec<Entry>, String>;
}

impl<N: Names> World for N {
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Names::resolve(self, host, port)
    }

    fn ask(&mut self, question: &DiscoveryQuestion) -> Result<Vec<Entry>, String> {
        Names::ask(self, question)
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        Machine.variable(name)
    }

    fn read(&mut self, path: &Path, len_max: usize) -> io::Result<Vec<u8>> {
        Machine.read(path, len_max)
    }

    fn mode(&mut self, path: &Path) -> Option<u32> {
        Machine.mode(path)
    }

    fn files(&mut self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        Machine.files(pattern)
    }
}

/// The machine that Pollux runs on, whose names are looked up at once: those that are asked for are first
/// written down, and answered after [`AtOnce::look_up`]. Where a name of a pool has no answer then, the last
/// good one holds: a reload is no reason to lose backends.
#[derive(Debug)]
pub struct AtOnce<'a> {
    known: &'a Answers,
    wanted: BTreeSet<Lookup>,
    found: BTreeMap<Lookup, Found>,
    /// When the bound is over; from the first name on.
    until: Option<Instant>,
}

impl<'a> AtOnce<'a> {
    /// One that has looked nothing up yet; `known` are answers of before.
    #[must_use]
    pub fn new(known: &'a Answers) -> AtOnce<'a> {
        AtOnce { known, wanted: BTreeSet::new(), found: BTreeMap::new(), until: None }
    }

    /// Writes down that `questions` are going to be asked.
    pub fn want(&mut self, questions: impl IntoIterator<Item = DiscoveryQuestion>) {
        let names = questions.into_iter().filter(DiscoveryQuestion::is_name).map(Lookup::Backends);
        self.wanted.extend(names.filter(|lookup| !self.found.contains_key(lookup)));
    }

    /// Looks up what is written down, and waits; false if that was nothing.
    pub fn look_up(&mut self) -> bool {
        let wanted: Vec<Lookup> = std::mem::take(&mut self.wanted).into_iter().collect();
        let until = *self.until.get_or_insert_with(|| Instant::now() + LOOKUPS_TIMEOUT);
        let found = at_once(wanted.clone(), until.saturating_duration_since(Instant::now()), Lookup::look_up);
        let found = wanted.into_iter().zip(found).map(|(lookup, found)| {
            let found = found.unwrap_or_else(|| lookup.unanswered());
            (lookup, found)
        });
        let before = self.found.len();
        self.found.extend(found);
        self.found.len() > before
    }

    /// The answer to `lookup`, if it is known; else the lookup is written down.
    fn find(&mut self, lookup: Lookup) -> Option<&Found> {
        if !self.found.contains_key(&lookup) {
            self.wanted.insert(lookup);
            return None;
        }
        self.found.get(&lookup)
    }
}

/// The machine, without its names: each stands for an address of the loopback, and for no backend. The
/// settings of the process can be read so, whatever the resolver does.
#[derive(Debug, Default)]
pub(super) struct Nameless {
    asked: u16,
}

impl Names for Nameless {
    fn resolve(&mut self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        // Each is another one, so that no two listeners seem to have the same.
        self.asked = self.asked.wrapping_add(1);
        let [high, low] = self.asked.to_be_bytes();
        Ok(vec![([127, 127, high, low], port).into()])
    }

    fn ask(&mut self, _: &DiscoveryQuestion) -> Result<Vec<Entry>, String> {
        Ok(Vec::new())
    }
}

/// The error while names are only written down.
fn not_yet() -> io::Error {
    io::Error::other("the file has changed while it was read")
}

impl Names for AtOnce<'_> {
    fn resolve(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.find(Lookup::Addresses { host: host.to_owned(), port }) {
            Some(Found::Addresses(Ok(addresses))) => Ok(addresses.clone()),
            Some(Found::Addresses(Err(error))) => Err(io::Error::new(error.kind(), error.to_string())),
            Some(Found::Backends(_)) | None => Err(not_yet()),
        }
    }

    fn ask(&mut self, question: &DiscoveryQuestion) -> Result<Vec<Entry>, String> {
        if !question.is_name() {
            return Machine.ask(question);
        }
        let known = self.known.to(question);
        match self.find(Lookup::Backends(question.clone())) {
            Some(Found::Backends(Ok(answer))) => Ok(answer.clone().after(known)),
            Some(Found::Backends(Err(why))) => known.map(<[Entry]>::to_vec).ok_or_else(|| why.clone()),
            Some(Found::Addresses(_)) | None => Err(not_yet().to_string()),
        }
    }
}
