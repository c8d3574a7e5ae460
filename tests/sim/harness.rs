//! The harness of a run: a configuration, a kernel and a worker, all drawn from the seed, and the oracles
//! that hold for every protocol.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use pollux::balance::health::{Check, Passive};
use pollux::core::outcome::Cause;
use pollux::os::random;
use pollux::shared::pools::{Figures, Registry};
use pollux::snapshot::{
    Address, Announcing, Backend, BackendProtocol, Balance, ClientClose, Hashing, Limits, Listener, Mode,
    Pool, PoolId, Retries, Snapshot, Timeouts,
};
use pollux::tls::Handles;
use pollux::worker::{Census, GenerationChange, Poller, Setup, Turn, Worker, WorkerIndex};

use crate::actor::Actor;
use crate::actors::{Actors, Spawn};
use crate::ambient::{self, Simulated};
use crate::announced::{self, ProxyHeaders};
use crate::end::EndId;
use crate::faults::{Faults, Weather, log_uniform};
use crate::faulty_pools;
use crate::invariants::{Invariants, Observed};
use crate::kernel::{Kernel, SimOs};
use crate::ledger::{Entry, Ledger};
use crate::net::Net;
use crate::refill::Refills;
use crate::reload::Reloads;
use crate::siege;
use crate::slot_holders;
use crate::slow_handshake;
use crate::tls::{self, Legs};
use crate::trace::{Event, Trace};

/// The one listener of a run.
pub(crate) const LISTENER: usize = 0;

/// The port where checks are answered, if not by the backends themselves.
const CHECKED: u16 = 9000;

/// So many retries may there be at once in a run.
const RETRYING_MAX: u32 = 2;

/// Turns that a worker may take to finish once its last client has gone.
const LAST_TURNS: usize = 20_000;

/// The clients of a run, and what makes its backends.
pub(crate) struct Peers {
    pub(crate) clients: Vec<Box<dyn Actor>>,
    pub(crate) spawn: Spawn,
}

/// One run.
pub(crate) struct Scene {
    pub(crate) rng: Rng,
    pub(crate) faults: Faults,
    /// After how many turns the worker is told to drain, if not only at the end.
    pub(crate) drain_after: Option<usize>,
    /// The reloads, if there are to be any.
    pub(crate) reloads: Option<Reloads>,
    /// The answers of discovery, if there are to be any.
    pub(crate) refills: Option<Refills>,
    /// Whether the pools have no policy and rules but those that there always were.
    pub(crate) is_plain: bool,
    /// The sides that speak TLS.
    pub(crate) legs: Legs,
    /// The TLS objects that the rules of the run need.
    tls: Arc<Handles>,
    /// The version of HTTP that the backends speak.
    pub(crate) protocol: BackendProtocol,
    /// The peers that announce clients by the PROXY protocol.
    pub(crate) proxy_headers: ProxyHeaders,
    /// Why clients are to be refused, for each that is.
    pub(crate) refused: Vec<Cause>,
    whole_trace: bool,
    kernel: Option<Rc<RefCell<Kernel>>>,
    ledger: Ledger,
    registry: Arc<Registry>,
    ejections: u64,
}

/// The address of client `number`.
pub(crate) fn address_of(number: usize) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 40_000))
}

/// The number of the client at `address`.
pub(crate) fn number_of(address: SocketAddr) -> usize {
    let IpAddr::V4(ip) = address.ip() else { unreachable!("all of them are of IPv4") };
    let [_, _, high, low] = ip.octets();
    usize::from(u16::from_be_bytes([high, low]))
}

impl Scene {
    pub(crate) fn new(seed: u64, weather: Weather, whole_trace: bool) -> Scene {
        ambient::begin(seed);
        let mut rng = Rng::with_seed(seed);
        let faults = Faults::draw(weather, &mut rng);
        let ledger = Ledger::default();
        Scene {
            rng,
            faults,
            drain_after: None,
            reloads: None,
            refills: None,
            is_plain: false,
            legs: Legs::default(),
            tls: Arc::default(),
            protocol: BackendProtocol::default(),
            proxy_headers: ProxyHeaders::default(),
            refused: Vec::new(),
            whole_trace,
            kernel: None,
            ledger,
            registry: Arc::default(),
            ejections: 0,
        }
    }

    /// The events of the run so far, and what the worker recorded.
    pub(crate) fn report(&self) -> String {
        let trace =
            self.kernel.as_ref().map_or(String::new(), |kernel| kernel.borrow().net.trace.to_string());
        format!("{trace}{}", self.ledger)
    }

    /// The digest of every byte on the wire, if the whole trace was asked for and the run has begun.
    pub(crate) fn digest(&self) -> Option<u64> {
        self.kernel.as_ref()?.borrow().net.trace.digest()
    }

    /// Runs the worker until the last client has left and it has finished, and returns what it recorded.
    pub(crate) fn perform(&mut self, mode: Mode, peers: Peers) -> Vec<Entry> {
        // The pools are drawn aside, so that the rest of the run is the same for any pools.
        let mut aside = self.rng.clone();
        let mut snapshot = snapshot(mode, &self.faults, &mut self.rng);
        if self.faults.backend_faults.is_some() {
            let pool = &mut snapshot.pools[0];
            pool.balance = policy(&mut aside);
            faulty_pools::rules(pool, &mut aside);
            faulty_pools::timeouts(&mut snapshot.timeouts, &mut aside);
        } else if let Some(premise) = &self.faults.siege {
            siege::rules(&mut snapshot.pools[0], &mut snapshot.timeouts, &mut aside);
            premise.backends(snapshot.pools[0].backends.len());
        } else if self.faults.slot_holders {
            slot_holders::timeouts(&mut snapshot.timeouts);
        } else if !self.is_plain {
            let pool = &mut snapshot.pools[0];
            pool.balance = policy(&mut aside);
            // Few requests at once, and all the time that is needed to wait for that.
            if aside.bool() {
                let most = aside.u32(1..=3);
                let is_by_connections = aside.bool();
                for backend in &mut pool.backends {
                    let bound = if is_by_connections {
                        &mut backend.max_connections
                    } else {
                        &mut backend.max_requests
                    };
                    *bound = Some(most);
                }
                snapshot.timeouts.queue = Duration::from_secs(100_000);
            }
            let pool = &mut snapshot.pools[0];
            pool.retries = retries(&mut aside, self.faults.weather == Weather::Foul);
            pool.health = health(&mut aside);
            // Raw streams are told apart by who comes first.
            pool.check = check(&mut aside).filter(|_| mode == Mode::Http);
        }
        let found = self.refills.as_mut().map(|refills| refills.prepare(&mut snapshot.pools[0]));
        let apart = self.faults.backend_faults.as_ref().filter(|backend_faults| backend_faults.is_apart());
        let checked = apart.map_or(Vec::new(), |_| check_apart(&mut snapshot.pools[0]));
        snapshot.pools[0].protocol = self.protocol;
        snapshot.pools[0].announce = self.proxy_headers.pool;
        snapshot.listeners[0].announcing = self.proxy_headers.listener;
        if self.proxy_headers.listener != Announcing::Never {
            snapshot.listeners[0].trusted_proxies = announced::trusted();
        }
        if self.proxy_headers.listener != Announcing::Never || self.proxy_headers.pool.is_some() {
            // A client that sends its header, or a long head, in pieces of a byte or two has the time for that.
            let patience = Duration::from_secs(10_000);
            (snapshot.timeouts.prelude, snapshot.timeouts.client_head) = (patience, patience);
        }
        self.tls = tls::put(&mut snapshot, self.legs);
        if (self.legs.clients || self.legs.backends) && self.faults.weather == Weather::Clean {
            // A handshake of thousands of bytes takes its time where pieces are of one, and so does a head.
            let patience = Duration::from_secs(10_000);
            let timeouts = &mut snapshot.timeouts;
            (timeouts.handshake, timeouts.connect, timeouts.queue) = (patience, patience, 2 * patience);
            (timeouts.client_head, timeouts.drain) = (patience, patience);
            if self.faults.slow_handshakes > 0 {
                timeouts.handshake = slow_handshake::TIME;
            }
        }
        if let Some(handshakes) = self.faults.handshakes {
            snapshot.limits.handshakes = handshakes;
        }
        if self.faults.idlers > 0 {
            let never = Duration::from_secs(1_000_000);
            let timeouts = &mut snapshot.timeouts;
            (timeouts.client_head, timeouts.client_idle) = (never, never);
        }
        let snapshot = Arc::new(snapshot);
        let late = self.reloads.as_mut().map_or(&[][..], |reloads| reloads.prepare(&snapshot));
        let backends = snapshot.pools[0].backends.iter().chain(late);
        let known = || backends.map(|backend| backend.address.clone()).collect();
        let mut hosts: Vec<Address> = found.unwrap_or_else(known);
        hosts.extend(checked);
        let net = Net::new(&self.faults, hosts, self.rng.fork(), Trace::new(self.whole_trace));
        let actors = Actors::new(peers.clients, peers.spawn, self.rng.fork());
        let kernel = Kernel::new(net, actors, self.faults.clone(), self.rng.fork());
        let kernel = Rc::new(RefCell::new(kernel));
        self.kernel = Some(Rc::clone(&kernel));

        let listener = kernel.borrow_mut().listen();
        let mut worker = Worker::new(
            SimOs(Rc::clone(&kernel)),
            Setup {
                snapshot: Arc::clone(&snapshot),
                tls: Arc::clone(&self.tls),
                listeners: vec![(listener, 0)],
                wake: None,
                share: WorkerIndex { worker: 0, workers: 1 },
                poller: if self.faults.epoll { Poller::PollAndEpoll } else { Poller::Poll },
                splicing: self.faults.splicing,
                seed: self.rng.u64(..),
                identity: random(&Simulated).map_or(0, u128::from_ne_bytes),
                journal: Box::new(self.ledger.clone()),
                registry: Arc::clone(&self.registry),
            },
        );
        self.drive(&mut worker, &kernel, snapshot);
        assert_eq!(worker.census(), Census::default(), "something is left in the worker");
        self.check_pools(Census::default());
        assert!(self.registry.figures().iter().all(|pool| pool.retrying == 0), "a retry that never ends");
        assert_eq!(kernel.borrow().leaked(), [], "descriptors that nobody has closed");
        self.ledger.entries()
    }

    /// Whether the worker has written to the client at `end` behind its FIN, of which it had been told, and got a RST for it.
    pub(crate) fn has_answered_in_vain(&self, end: EndId) -> bool {
        let kernel = self.kernel.as_ref().expect("asked after the run").borrow();
        kernel.net.in_vain.contains(&end.peer())
    }

    /// The number of ejections of backends.
    pub(crate) fn ejections(&self) -> u64 {
        self.ejections
    }

    /// The supposed work of the pools is the work of the worker, and no more than its bounds.
    fn check_pools(&self, census: Census) {
        let figures = self.registry.figures();
        let in_flight: usize = figures.iter().map(|pool| pool.in_flight).sum();
        assert_eq!(in_flight, census.in_flight, "what is in flight was not counted right");
        let is_free = self.is_plain || self.faults.backend_faults.is_some();
        let is_within = |pool: &Figures| is_free || pool.retrying <= RETRYING_MAX;
        let waiting: usize = figures.iter().map(|pool| pool.waiting).sum();
        assert_eq!(waiting, census.queued, "who waits was not counted right");
        assert!(figures.iter().all(is_within), "more retries than the budget allows: {figures:?}");
    }

    /// Gives the worker another configuration.
    fn switch(
        &self,
        worker: &mut Worker<SimOs>,
        kernel: &Rc<RefCell<Kernel>>,
        invariants: &mut Invariants,
        snapshot: &mut Arc<Snapshot>,
        change: GenerationChange,
    ) {
        let change = GenerationChange { tls: Arc::clone(&self.tls), ..change };
        let before = Observed::of(&self.registry, snapshot, worker.census(), self.ledger.gone());
        kernel.borrow_mut().net.log(Event::Reload);
        *snapshot = Arc::clone(&change.snapshot);
        worker.switch(change);
        invariants.handle_change(kernel.borrow().net.now, &before);
    }

    fn drive(
        &mut self,
        worker: &mut Worker<SimOs>,
        kernel: &Rc<RefCell<Kernel>>,
        mut snapshot: Arc<Snapshot>,
    ) {
        let mut turns = 0;
        let mut invariants = Invariants::new(self.faults.backend_faults.clone());
        while kernel.borrow().actors.is_awaited() {
            if self.drain_after == Some(turns) {
                drain(worker, kernel);
            }
            if let Some(reloads) = self.reloads.as_mut().filter(|_| !kernel.borrow().draining)
                && reloads.is_due()
            {
                let change = reloads.change(&snapshot, || kernel.borrow_mut().listen());
                self.switch(worker, kernel, &mut invariants, &mut snapshot, change);
            }
            if let Some(refills) = self.refills.as_mut().filter(|_| !kernel.borrow().draining)
                && refills.is_due()
            {
                let change = refills.change(&snapshot);
                self.switch(worker, kernel, &mut invariants, &mut snapshot, change);
            }
            turns += 1;
            let before = Observed::of(&self.registry, &snapshot, worker.census(), self.ledger.gone());
            let turn = worker.turn();
            self.check_pools(worker.census());
            let after = Observed::of(&self.registry, &snapshot, worker.census(), self.ledger.gone());
            let (now, is_checked) = (kernel.borrow().net.now, !kernel.borrow().draining);
            invariants.check(&snapshot, (&before, &after), now, is_checked);
            self.ejections = after.ejections();
            if turn == Turn::Finished {
                assert!(kernel.borrow().draining, "the worker finished though nobody told it to");
                kernel.borrow_mut().play_on();
            }
        }
        if !kernel.borrow().draining {
            drain(worker, kernel);
        }
        let finishes = (0..LAST_TURNS).any(|_| worker.turn() == Turn::Finished);
        assert!(finishes, "the worker does not finish although nobody is left");
    }
}

/// Has another port of each backend answer its checks; gives where.
fn check_apart(pool: &mut Pool) -> Vec<Address> {
    if let Some(check) = &mut pool.check {
        check.port = Some(CHECKED);
    }
    let port = |backend: &Backend| match &backend.address {
        Address::Ip(address) => Address::Ip(SocketAddr::new(address.ip(), CHECKED)),
        Address::Unix(path) => Address::Unix(path.clone()),
    };
    pool.backends.iter().map(port).collect()
}

fn drain(worker: &mut Worker<SimOs>, kernel: &Rc<RefCell<Kernel>>) {
    {
        let mut kernel = kernel.borrow_mut();
        kernel.draining = true;
        kernel.drain_ends = Some((kernel.net.now, Timeouts::default().drain));
        kernel.net.log(Event::Drain);
    }
    worker.drain();
}

fn snapshot(mode: Mode, faults: &Faults, rng: &mut Rng) -> Snapshot {
    let drawn = rng.u16(1..=3);
    let faulty_pools = faults
        .backend_faults
        .as_ref()
        .map(|backend_faults| u16::try_from(backend_faults.hosts()).expect("they are few"));
    let backends: Vec<_> = (0..faulty_pools.unwrap_or(drawn))
        .map(|number| {
            // A machine that is gone has no Unix sockets.
            let address = if rng.u8(..4) == 0 && faulty_pools.is_none() {
                Address::Unix(PathBuf::from(format!("/run/b{number}")))
            } else {
                let machine = u8::try_from(number).expect("they are few");
                Address::Ip(SocketAddr::from(([10, 1, 1, machine], 8000 + number)))
            };
            Backend::new(format!("b{number}"), address, rng.u32(1..=3))
        })
        .collect();
    let buffer = log_uniform(rng, &(4096..=65536));
    // So few that there is a surplus at times; how many follows from the seed, as the size of the buffers
    // does.
    let idle_per_backend = buffer % 3;
    let buffers = faults.buffers.unwrap_or(Limits::default().buffers);
    let sessions = faults.sessions.unwrap_or(Limits::default().sessions);
    let limits = Limits {
        head: 4096,
        request_line: 1024,
        buffer,
        buffers,
        sessions,
        idle_per_backend,
        ..Limits::default()
    };
    let mut timeouts = Timeouts { tunnel: Duration::from_secs(120), ..Timeouts::default() };
    if faults.weather == Weather::Clean {
        // A client that goes on writing for longer than the linger is reset, however good its reasons are.
        timeouts.linger = Duration::from_secs(30);
    }
    // Clients that half-close have their answers, and trailers their readers.
    let on_client_close =
        if faults.weather == Weather::Clean { ClientClose::Finish } else { ClientClose::Abort };
    let pool = Pool { on_client_close, passes_trailers: true, ..Pool::new("pool", backends) };
    let bind = SocketAddr::from(([127, 0, 0, 1], 80));
    let listener = Listener::to_pool("main", bind, mode, PoolId(0));
    Snapshot { listeners: vec![listener], pools: vec![pool], timeouts, limits }
}

/// Any of the policies.
fn policy(rng: &mut Rng) -> Balance {
    match rng.u8(..8) {
        0 => Balance::LeastConnections,
        1 => Balance::Random,
        2 => Balance::TwoChoices,
        3 => Balance::Latency,
        4 => Balance::Hash(Hashing { max_load: rng.bool().then_some(1250), ..Hashing::default() }),
        5 => Balance::First,
        _ => Balance::RoundRobin,
    }
}

/// Retries of any kind, but not too many at once.
fn retries(rng: &mut Rng, is_foul: bool) -> Retries {
    Retries {
        most: rng.u32(0..4),
        timeout: rng.bool(),
        // A backend that answers with one of these is cut off. That never happens to a backend which does its
        // part.
        statuses: if is_foul && rng.bool() { vec![404, 500, 503] } else { Vec::new() },
        budget: 0,
        budget_min: rng.u32(..=RETRYING_MAX),
        ..Retries::default()
    }
}

/// Ejections as they are by default, or after a single failure, or none.
fn health(rng: &mut Rng) -> Passive {
    let failures = [5, 5, 2, 1, 0][rng.usize(..5)];
    let eject = Duration::from_millis(rng.u64(1..2000));
    let slow_start = rng.bool().then_some(Duration::from_secs(1));
    Passive { failures, eject, slow_start, ..Passive::default() }
}

/// Checks that come often, if there are any. Before the first everybody is asked: nobody is to be refused for
/// no reason.
fn check(rng: &mut Rng) -> Option<Check> {
    let interval = Duration::from_millis(rng.u64(20..500));
    let check = Check { interval, fast_interval: interval / 2, ..Check::default() };
    (rng.u8(..4) == 0).then_some(check)
}
