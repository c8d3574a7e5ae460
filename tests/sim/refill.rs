//! Discovery in the middle of a run: a pool's backends come from the answer to a question, and another answer
//! comes at random turns. Backends are added and go under traffic; the listener, its socket and everything
//! else stay.

use std::path::PathBuf;
use std::sync::Arc;

use fastrand::Rng;
use pollux::balance::AdminState;
use pollux::discovery::{self, Answers, BackendSource, DiscoveryQuestion, Entry, Like};
use pollux::snapshot::{Address, Backend, Pool, Snapshot};
use pollux::worker::{GenerationChange, Inlet};

/// The most turns between two answers.
const TURNS_MAX: usize = 400;

/// When other answers come in a run, and what they say.
#[derive(Debug)]
pub(crate) struct Refills {
    rng: Rng,
    /// In how many turns the next one comes.
    countdown: usize,
    /// All that may be in an answer, once [`Refills::prepare`] was called.
    hosts: Vec<Backend>,
    answers: Answers,
}

impl Refills {
    pub(crate) fn new(mut rng: Rng) -> Refills {
        let countdown = rng.usize(..TURNS_MAX);
        Refills { rng, countdown, hosts: Vec::new(), answers: Answers::default() }
    }

    /// Has the backends of `pool` come from an answer, and gives where the network has to have hosts.
    pub(crate) fn prepare(&mut self, pool: &mut Pool) -> Vec<Address> {
        self.hosts.clone_from(&pool.backends);
        let first = &self.hosts[0];
        let like = Like {
            name: None,
            weight: 1,
            tier: 1,
            max_requests: first.max_requests,
            max_connections: first.max_connections,
            admin_state: AdminState::Ready,
            tls_name: None,
        };
        pool.sources = vec![BackendSource::Asked { question: question(), like }];
        if self.rng.bool() {
            // Behind the others, so that an answer may name it too.
            pool.sources.push(BackendSource::Given(first.clone()));
        }
        self.fill(pool);
        self.hosts.iter().map(|host| host.address.clone()).collect()
    }

    /// Whether another answer comes in this turn.
    pub(crate) fn is_due(&mut self) -> bool {
        if self.countdown == 0 {
            self.countdown = self.rng.usize(..TURNS_MAX);
            return true;
        }
        self.countdown -= 1;
        false
    }

    /// The generation that `old` becomes by it.
    pub(crate) fn change(&mut self, old: &Snapshot) -> GenerationChange {
        let mut snapshot = old.clone();
        self.fill(&mut snapshot.pools[0]);
        GenerationChange { snapshot: Arc::new(snapshot), tls: Arc::default(), inlets: vec![Inlet::Kept(0)] }
    }

    /// Any of the hosts, or nobody at all, in any order.
    fn fill(&mut self, pool: &mut Pool) {
        let mut hosts = self.hosts.clone();
        self.rng.shuffle(&mut hosts);
        hosts.truncate(self.rng.usize(..=hosts.len()));
        let entry = |host: Backend| Entry {
            name: Some(host.name),
            weight: Some(host.weight),
            ..Entry::at(host.address)
        };
        self.answers.note(question(), hosts.into_iter().map(entry).collect());
        discovery::fill(pool, &self.answers);
    }
}

fn question() -> DiscoveryQuestion {
    DiscoveryQuestion::File(PathBuf::from("backends.json"))
}
