//! One poll loop: a worker owns its sessions, its listeners, its idle backend connections and its buffers,
//! and shares nothing with the other workers. Only a client that has just come may be handed over to one with
//! fewer (`rebalance.rs`).
//!
//! A turn derives the interest and deadline of every awake session (`array.rs`), polls, and drives the
//! sessions that poll has named (`events.rs`). The poll array is a view: it is built anew each time. Quiet
//! sessions wait in the parked set (`parked.rs`), and cost a turn nothing.

mod acceptor;
mod array;
mod carriers;
mod checks;
mod closing;
mod conn;
mod conns;
mod derive;
mod dial;
mod driver;
mod events;
mod flight;
mod generation;
mod handshakes;
mod health;
mod idle;
mod kill;
mod link;
mod look;
mod multiplexer;
mod own;
mod parked;
mod pipes;
mod pump;
mod rebalance;
mod report;
mod room;
mod storage;
mod switch;

use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::core::budget::Budget;
use crate::core::deadline::Timer;
use crate::core::identity::Ids;
use crate::core::interest::Ready;
use crate::core::outcome::Journal;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::http::date::Date;
use crate::metrics::WorkerMeters;
use crate::os::{Fd, Os};
use crate::recorder::Recorder;
use crate::route::hash;
use crate::session::Effect;
use crate::shared::pools::Registry;
use crate::shared::queue::WakeupQueue;
use crate::shared::rebalance::LoadSlot;
use crate::snapshot::Snapshot;
use crate::tls::Handles;
use acceptor::Acceptor;
use array::Array;
use checks::Checks;
use conn::{Common, ListenerState};
use conns::Conns;
use driver::ROUNDS_MAX;
use generation::Generation;
use handshakes::Handshakes;
use idle::{IdleSet, Most};
use multiplexer::Multiplexers;
use parked::EpollSet;
use pipes::Pipes;
use rebalance::Churn;
use room::Room;
use storage::Storage;

pub use pipes::Splicing;
pub use report::WorkerReport;
pub use switch::{GenerationChange, Inlet};

/// The number of this worker, and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct WorkerIndex {
    /// This one, counted from 0.
    pub worker: usize,
    /// All of them, at least 1.
    pub workers: usize,
}

impl WorkerIndex {
    /// This worker's part of a bound that holds for all together, at least 1.
    #[must_use]
    pub fn of(self, bound: usize) -> usize {
        bound.div_ceil(self.workers).max(1)
    }
}

/// The system calls by which a worker waits for its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poller {
    /// `poll(2)` over all of them.
    Poll,
    /// `poll(2)` over the busy ones, and an `epoll(7)` instance, one entry of the poll array, for those that
    /// are quiet. Where the system has no epoll, the same as [`Poller::Poll`].
    #[default]
    PollAndEpoll,
}

/// The parts that a worker is made of.
pub struct Setup {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// The keys and certificates of its rules for TLS.
    pub tls: Arc<Handles>,
    /// Listening sockets, each with the place of its listener in the snapshot.
    pub listeners: Vec<(Fd, usize)>,
    /// A descriptor that becomes readable when another thread wants the worker's attention.
    pub wake: Option<Fd>,
    /// The number of this worker, and how many there are.
    pub share: WorkerIndex,
    /// The system calls by which it waits for its connections.
    pub poller: Poller,
    /// When bodies go around the memory of the process.
    pub splicing: Splicing,
    /// Makes workers begin their rounds at different backends, and draw differently.
    pub seed: u64,
    /// The seed of request numbers: random, and another one for each worker and each start.
    pub identity: u128,
    /// The receiver of records.
    pub journal: Box<dyn Journal>,
    /// The state of the backends, which all workers share.
    pub registry: Arc<Registry>,
}

/// Whether there will be another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Yes.
    Running,
    /// No: the worker was drained and everything is closed.
    Finished,
}

/// The holdings of a worker at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Clients.
    pub sessions: usize,
    /// Idle backend connections.
    pub idle: usize,
    /// The number of them that belong to single clients.
    pub own: usize,
    /// Buffers that are lent to lanes.
    pub buffers_out: usize,
    /// Pipes that are lent to lanes.
    pub pipes_out: usize,
    /// Backend connections in use, or being made.
    pub in_flight: usize,
    /// Sessions that wait until a backend is free.
    pub queued: usize,
}

/// The owner of an entry of the poll array.
#[derive(Clone, Copy, Debug)]
enum Token {
    Wake,
    EpollSet,
    Acceptor(usize),
    Conn(Key),
}

/// The memory of a worker for request bodies that are collected, in bytes; what comes beyond is answered with
/// 503 `out-of-buffers`.
const BODIES_MAX: usize = 256 * 1024 * 1024;

/// See the module.
pub struct Worker<O> {
    os: O,
    /// The latest one. A session whose exchange was routed by another keeps that until it is over.
    generation: Rc<Generation>,
    registry: Arc<Registry>,
    /// The queue that tells whose turn it is to pick a backend.
    wakeups: Arc<WakeupQueue>,
    /// The gauges that show its holdings.
    meters: WorkerMeters,
    /// The exchanges that it remembers.
    recorder: Recorder,
    share: WorkerIndex,
    journal: Box<dyn Journal>,
    acceptors: Vec<Acceptor>,
    wake: Option<Fd>,
    conns: Conns,
    handshakes: Handshakes,
    multiplexers: Multiplexers,
    /// The sessions that are not parked, and some that are over.
    hot: Vec<Key>,
    parked: EpollSet,
    sessions_max: usize,
    /// The bytes that the address of a client may have, over all workers.
    client_bytes: usize,
    room: Room,
    /// Whether descriptors ran out for a connection to a backend.
    lacks_descriptors: bool,
    /// The number of turns so far.
    turn: u64,
    /// The number of sessions that have ended.
    ended: u64,
    /// Its place among the workers, if there are several.
    load_slot: Option<LoadSlot>,
    churn: Churn,
    idle: IdleSet,
    checks: Checks,
    storage: Storage,
    pipes: Pipes,
    /// Rounds that each session gets in this part of the turn.
    rounds: usize,
    /// A message is spliced while at least so many bytes of it are left.
    spliced: u64,
    now: Time,
    /// The wall clock of this turn, since 1970.
    wall: Duration,
    common: Common,
    /// Sessions that could have gone on in the last turn.
    eager: Vec<Key>,
    // The arrays of a turn, kept for their memory.
    array: Array,
    events: Vec<(Token, Ready)>,
    late: Vec<(Key, Timer)>,
    effects: Vec<Effect>,
}

impl<O: Os> Worker<O> {
    /// A worker that will make its system calls through `os`.
    #[must_use]
    pub fn new(mut os: O, setup: Setup) -> Worker<O> {
        let Setup {
            snapshot,
            tls,
            listeners,
            wake,
            share,
            poller,
            splicing,
            seed,
            identity,
            journal,
            registry,
        } = setup;
        let limits = &snapshot.limits;
        let most = Most::of(limits, share.workers);
        let (pools, wakeups) = (registry.open(&snapshot), registry.wakeup_queue());
        let counter = registry.metrics().worker_meters(share.worker);
        let meters = registry.metrics().open(&counter, &snapshot);
        let keep = limits.recorder.keep.div_ceil(share.workers);
        let mut recorder = Recorder::new(share.worker, &limits.recorder, keep);
        recorder.hide_queries(journal.hides_query());
        // Two processes do not draw the same, because their identities differ.
        let random = hash::mix(seed ^ identity as u64);
        let mut idle = IdleSet::new(&snapshot.timeouts, most);
        let storage = Storage::new(limits.buffer, share.of(limits.buffers));
        Worker {
            acceptors: listeners.into_iter().map(|(fd, listener)| Acceptor::new(fd, listener)).collect(),
            wake,
            conns: Conns::default(),
            handshakes: Handshakes::new(share.of(limits.handshakes)),
            multiplexers: Multiplexers::default(),
            hot: Vec::new(),
            parked: match poller {
                Poller::Poll => EpollSet::default(),
                Poller::PollAndEpoll => EpollSet::open(&mut os),
            },
            sessions_max: share.of(limits.sessions),
            client_bytes: storage.of_client(limits.bytes_per_client()),
            room: Room::default(),
            lacks_descriptors: false,
            turn: 0,
            ended: 0,
            load_slot: None,
            churn: Churn::default(),
            storage,
            generation: Rc::new(Generation::first((snapshot, &tls), pools, meters, &mut idle, seed, random)),
            idle,
            checks: Checks::default(),
            share,
            pipes: Pipes::new(splicing.pipes),
            rounds: ROUNDS_MAX,
            spliced: splicing.least,
            now: os.now(),
            wall: os.ambient().wall_clock(),
            common: Common {
                date: Date::new(os.ambient().wall_clock().as_secs()),
                ids: Ids::new(identity),
                draining_since: None,
                captured_names: journal.captured_names(),
                bodies: Budget::new(BODIES_MAX),
            },
            eager: Vec::new(),
            array: Array::default(),
            events: Vec::new(),
            late: Vec::new(),
            effects: Vec::new(),
            os,
            journal,
            registry,
            wakeups,
            meters: counter,
            recorder,
        }
    }

    /// Makes it one of several workers, which wake each other through `wake` when a backend is free.
    pub fn be_called_by(&mut self, wake: Arc<UnixStream>) {
        self.wakeups.wake_by(wake);
    }

    /// The operating system that the worker uses.
    pub fn os_mut(&mut self) -> &mut O {
        &mut self.os
    }

    /// The holdings of the worker now.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            sessions: self.conns.clients(),
            idle: self.idle.len(),
            own: self.idle.own(),
            buffers_out: self.storage.out(),
            pipes_out: self.pipes.out(),
            queued: self.conns.all_served().filter(|(_, conn)| conn.ticket.is_some()).count(),
            in_flight: self.conns.all_served().filter(|(_, conn)| conn.backend.is_some()).count(),
        }
    }

    /// Stops accepting, after the clients that the kernel has already let in, and lets the sessions finish.
    /// At the end of `timeouts.drain` those that have not are cut off.
    pub fn drain(&mut self) {
        if self.common.draining_since.is_some() {
            return;
        }
        self.now = self.os.now();
        self.close_handover_queue();
        self.common.draining_since = Some(self.now);
        self.begin_to_close_acceptors(|listener| Some(ListenerState::At(listener)));
        self.derive_parked();
        self.wake_multiplexers();
    }

    /// Whether memory is kept for what may come that is given back if it does not.
    fn has_surplus(&self) -> bool {
        self.storage.has_surplus()
            || self.conns.spare.has_surplus()
            || self.multiplexers.carriers.has_surplus()
    }

    /// Gives memory back to the system that was not needed for a while.
    fn tidy(&mut self) {
        if self.storage.tidy(self.now) {
            self.conns.spare.tidy();
            self.multiplexers.carriers.tidy();
        }
    }

    /// One turn of the loop. Waits for as long as nothing happens.
    pub fn turn(&mut self) -> Turn {
        self.admit_from_leaving_acceptors();
        self.run_checks();
        if self.common.draining_since.is_some()
            && self.conns.clients() == 0
            && self.conns.closing().is_empty()
            && self.acceptors.is_empty()
        {
            self.close_idle();
            self.close_carriers();
            self.pipes.close_free(&mut self.os);
            return Turn::Finished;
        }
        self.begin_handed_over();
        self.take_calls();
        self.serve_touched();
        let nearest = self.derive();
        let timeout = if self.wakeups.sleep() && self.eager.is_empty() {
            nearest.map(|at| at.since(self.now))
        } else {
            Some(Duration::ZERO)
        };
        self.turn += 1;
        self.show_holdings();
        let polled = self.os.poll(&mut self.array.watches, timeout);
        self.wakeups.wake();
        self.now = self.os.now();
        self.wall = self.os.ambient().wall_clock();
        self.common.date.set(self.wall.as_secs());
        self.copy_events(polled);
        self.handle_events();
        self.drive_eager();
        self.tidy();
        if nearest.is_some_and(|at| at <= self.now) {
            self.handle_deadlines();
        }
        self.make_descriptors();
        self.tell_of_room();
        // Sessions that ended in this turn may have made room for a waiting client.
        self.take_calls();
        Turn::Running
    }
}
