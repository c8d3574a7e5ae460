//! Plays cases: each whole, in every split into two pieces of either side's bytes, and byte by byte.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pollux::core::outcome::{Journal, Record};
use pollux::snapshot::{
    Address, Backend, Disclosure, Listener, Mode, Pool, PoolId, RequestIds, Retries, Snapshot, Timeouts,
};
use pollux::worker::{Census, Poller, Setup, Splicing, Turn, Worker, WorkerIndex};

use crate::case::{self, Case, Ends, Order};
use crate::memory::{Cut, LISTENER, Memory};
use crate::verdict::fault;

/// Turns that no case needs.
const TURNS_MAX: usize = 100_000;

/// Cuts of one side that are played; of a longer script evenly spread ones are.
const CUTS_MAX: usize = 1500;

/// The record of one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) cause: Option<&'static str>,
    pub(crate) retried: Option<String>,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) to_client: Vec<u8>,
    pub(crate) client_ends: Ends,
    pub(crate) to_backend: Vec<u8>,
    pub(crate) connections: usize,
    /// Backend connections that are still open.
    pub(crate) backends_open: usize,
    pub(crate) census: Census,
    pub(crate) told: Vec<Told>,
    pub(crate) complaint: Option<String>,
}

/// One way to play a case.
#[derive(Clone, Copy, Debug)]
struct Way {
    order: Order,
    client: Cut,
    backend: Cut,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let order = match self.order {
            Order::ClientFirst => "the client before the backend",
            Order::BackendFirst => "the backend before the client",
        };
        for (side, cut) in [("client", self.client), ("backend", self.backend)] {
            match cut {
                Cut::Whole => write!(f, "{side} whole, ")?,
                Cut::At(at) => write!(f, "{side} cut at byte {at}, ")?,
                Cut::Everywhere => write!(f, "{side} byte by byte, ")?,
            }
        }
        f.write_str(order)
    }
}

struct Captured(Rc<RefCell<Vec<Told>>>);

impl Journal for Captured {
    fn record(&mut self, record: &Record<'_>, _at: Duration) {
        self.0.borrow_mut().push(Told {
            status: record.status,
            cause: record.outcome.cause.map(|cause| cause.as_str()),
            retried: record.retried.last().map(|proof| proof.to_string()),
        });
    }
}

/// The configuration of a case: a listener with one pool, or with the routes that the case has.
fn snapshot(case: &Case) -> Arc<Snapshot> {
    let address = |number| (Ipv4Addr::new(198, 51, 100, 1), number).into();
    let limits = case.limits.clone();
    // Numbers that no two requests share are the subject of one table, and would be in the way of the others.
    let disclosure = Disclosure { request_id: RequestIds::Off, ..Disclosure::default() };
    if let Some(routes) = &case.routes {
        let is_silent = routes.contains("request_id = ") || routes.contains("mode = \"tcp\"");
        let silence = if is_silent { "" } else { "request_id = \"off\"\n" };
        // As where there are no routes, but for the cases that are about what holds if nothing is said.
        let is_said = routes.contains("# trailers of requests");
        let trailers = if is_said { "" } else { "request_trailers = \"pass\"\n" };
        let text = format!(
            "[pool.app]\nbackends = [\"198.51.100.1:8080\"]\n{trailers}[pool.other]\nbackends = [\"198.51.100.1:8081\"]\n\
             [[listener]]\nbind = \"198.51.100.1:80\"\nname = \"web\"\n{silence}{routes}"
        );
        let loaded =
            pollux::config::parse(&text, "routes").unwrap_or_else(|report| panic!("{}: {report}", case.name));
        return Arc::new(Snapshot { limits, ..loaded.snapshot });
    }
    let backend = Backend::new("a", Address::Ip(address(8080)), 1);
    // There is no other backend, and no time passes until this one is asked once more.
    let retries = Retries { most: 0, ..Retries::default() };
    let (reach_wait, passes_trailers) = (None, true);
    let listener = Listener { disclosure, ..Listener::to_pool("web", address(80), Mode::Http, PoolId(0)) };
    Arc::new(Snapshot {
        listeners: vec![listener],
        pools: vec![Pool { retries, reach_wait, passes_trailers, ..Pool::new("app", vec![backend]) }],
        timeouts: Timeouts::default(),
        limits,
    })
}

/// Plays the table in `file`.
pub(crate) fn table(file: &str) {
    cases(file, &case::load(file));
}

/// Plays `cases`, which stand in `file`; panics with all that fail.
pub(crate) fn cases(file: &str, cases: &[Case]) {
    let failures: Vec<String> = cases.iter().filter_map(|case| failure(file, case)).collect();
    assert!(failures.is_empty(), "{} of {} cases\n\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Plays `case` in all ways up to the first that fails.
fn failure(file: &str, case: &Case) -> Option<String> {
    let snapshot = snapshot(case);
    let mut first: Option<Seen> = None;
    for way in ways(case) {
        let seen = play(case, way, &snapshot);
        let told = |seen: &Seen| seen.told.clone();
        let differs = first.as_ref().is_some_and(|first| told(first) != told(&seen));
        let fault = fault(&case.expected, &seen).or_else(|| {
            let other = first.as_ref().map(told).filter(|_| differs)?;
            Some(format!("  records differ from those of another way\n    {other:?}\n    {:?}\n", seen.told))
        });
        if let Some(fault) = fault {
            return Some(format!("{file}: {} ({})\n  {way}\n{fault}", case.name, case.rfc));
        }
        first.get_or_insert(seen);
    }
    None
}

/// All ways to play `case`, the simplest first.
fn ways(case: &Case) -> impl Iterator<Item = Way> {
    let client_length = case.client.iter().map(Vec::len).sum();
    case.orders.iter().flat_map(move |&order| {
        let plain = [(Cut::Whole, Cut::Whole), (Cut::Everywhere, Cut::Everywhere)];
        let client = cuts(client_length).map(|at| (Cut::At(at), Cut::Whole));
        let backend = cuts(case.backend_length).map(|at| (Cut::Whole, Cut::At(at)));
        let all = plain.into_iter().chain(client).chain(backend);
        all.map(move |(client, backend)| Way { order, client, backend })
    })
}

fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (1..length).step_by(1 + length / CUTS_MAX)
}

fn play(case: &Case, way: Way, snapshot: &Arc<Snapshot>) -> Seen {
    let told = Rc::new(RefCell::new(Vec::new()));
    let memory = Memory::new(case, way.order, (way.client, way.backend));
    let setup = Setup {
        snapshot: Arc::clone(snapshot),
        tls: Arc::default(),
        listeners: vec![(LISTENER, 0)],
        wake: None,
        share: WorkerIndex { worker: 0, workers: 1 },
        poller: Poller::Poll,
        splicing: Splicing::NEVER,
        seed: 0,
        identity: 0,
        journal: Box::new(Captured(Rc::clone(&told))),
        registry: Arc::default(),
    };
    let mut worker = Worker::new(memory, setup);
    let mut turns = 0;
    while !worker.os_mut().is_quiet && turns < TURNS_MAX {
        worker.turn();
        turns += 1;
    }
    let census = worker.census();
    let memory = worker.os_mut();
    let mut seen = Seen {
        to_client: memory.client.received.clone(),
        client_ends: memory.client.ends,
        to_backend: memory.to_backends.clone(),
        connections: memory.connections.len(),
        backends_open: memory.connections.iter().filter(|one| !one.is_closed).count(),
        census,
        told: told.borrow().clone(),
        complaint: None,
    };
    wind_up(&mut worker, &mut turns);
    let census = worker.census();
    let memory = worker.os_mut();
    seen.complaint = memory.complaint.take();
    let is_shut = memory.client.is_closed && memory.connections.iter().all(|one| one.is_closed);
    if turns >= TURNS_MAX {
        seen.complaint.get_or_insert("the worker spins".to_owned());
    } else if !is_shut || census != Census::default() {
        seen.complaint.get_or_insert(format!("something is left at the end: {census:?}"));
    }
    seen
}

/// The client leaves and the worker is drained: nothing may be left.
fn wind_up(worker: &mut Worker<Memory>, turns: &mut usize) {
    worker.os_mut().wind_up();
    worker.drain();
    while *turns < TURNS_MAX && worker.turn() == Turn::Running {
        *turns += 1;
    }
}
