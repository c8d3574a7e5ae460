//! One poll loop: a worker owns its sessions, its listeners, its idle backend connections and its buffers, and shares
//! nothing with the other workers.
//!
//! A turn asks everything that is alive what it waits for and until when, polls, and drives whatever poll has named. The
//! poll array is a view: it is built anew each time, and nothing is ever registered.

mod door;
mod hands;
mod idle;
mod pump;
mod storage;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::RoundRobin;
use crate::core::deadline::Timer;
use crate::core::interest::{Interest, Ready};
use crate::core::outcome::Journal;
use crate::core::slab::{Key, Slab};
use crate::core::time::Time;
use crate::http::date::Date;
use crate::os::{AcceptFault, Fd, Os, Polled, Watch};
use crate::session::{Effect, Env, Session, Side};
use crate::snapshot::Snapshot;
use crate::wire::Wire;

use door::Door;
use hands::{Conn, Fate, Hands, Readable};
use idle::IdleSet;
use storage::Storage;

/// Which of how many workers this is.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// This one, counted from 0.
    pub worker: usize,
    /// All of them, at least 1.
    pub workers: usize,
}

impl Share {
    /// This worker's part of a bound that holds for all together, at least 1.
    #[must_use]
    pub fn of(self, bound: usize) -> usize {
        bound.div_ceil(self.workers).max(1)
    }
}

/// What a worker begins with.
pub struct Setup {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Listening sockets, each with the place of its listener in the snapshot.
    pub listeners: Vec<(Fd, usize)>,
    /// A descriptor that becomes readable when somebody wants the worker's attention.
    pub wake: Option<Fd>,
    /// Which of how many workers this is.
    pub share: Share,
    /// Makes workers begin their rounds at different backends.
    pub seed: u64,
    /// Where records go.
    pub journal: Box<dyn Journal>,
}

/// Whether there will be another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Yes.
    Running,
    /// No: the worker was drained and everything is closed.
    Finished,
}

/// What a worker holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Clients.
    pub sessions: usize,
    /// Idle backend connections.
    pub idle: usize,
    /// Buffers that are lent to lanes.
    pub buffers_out: usize,
    /// Backend connections in use, or being made.
    pub in_flight: usize,
}

/// Whom an entry of the poll array belongs to.
#[derive(Clone, Copy, Debug)]
enum Token {
    Wake,
    Door(usize),
    Idle(Key),
    Client(Key),
    /// With the turn of the connection in its session.
    Backend(Key, u32),
}

/// See the module.
pub struct Worker<O> {
    os: O,
    snapshot: Arc<Snapshot>,
    journal: Box<dyn Journal>,
    doors: Vec<Door>,
    wake: Option<Fd>,
    sessions: Slab<Conn>,
    sessions_max: usize,
    /// How many sessions have ended.
    ended: u64,
    idle: IdleSet,
    storage: Storage,
    robins: Vec<RoundRobin>,
    draining_since: Option<Time>,
    now: Time,
    date: Date,
    /// Sessions that could have gone on in the last turn.
    eager: Vec<Key>,
    // The arrays of a turn, kept for their memory.
    watches: Vec<Watch>,
    tokens: Vec<Token>,
    events: Vec<(Token, Ready)>,
    late: Vec<(Key, Timer)>,
    effects: Vec<Effect>,
}

impl<O: Os> Worker<O> {
    /// A worker that will make its system calls through `os`.
    #[must_use]
    pub fn new(mut os: O, setup: Setup) -> Worker<O> {
        let Setup { snapshot, listeners, wake, share, seed, journal } = setup;
        let limits = &snapshot.limits;
        let mut robins = vec![RoundRobin::default(); snapshot.pools.len()];
        for (robin, pool) in robins.iter_mut().zip(&snapshot.pools) {
            for _ in 0..seed % pool.backends.len() as u64 {
                robin.pick(pool.backends.iter().map(|backend| backend.weight), &[]);
            }
        }
        Worker {
            doors: listeners.into_iter().map(|(fd, listener)| Door::new(fd, listener)).collect(),
            wake,
            sessions: Slab::default(),
            sessions_max: share.of(limits.sessions),
            ended: 0,
            idle: IdleSet::new(&snapshot, limits.idle_per_backend.div_ceil(share.workers)),
            storage: Storage::new(limits.buffer),
            robins,
            draining_since: None,
            now: os.now(),
            date: Date::new(os.unix_time()),
            eager: Vec::new(),
            watches: Vec::new(),
            tokens: Vec::new(),
            events: Vec::new(),
            late: Vec::new(),
            effects: Vec::new(),
            os,
            snapshot,
            journal,
        }
    }

    /// The operating system that the worker uses.
    pub fn os_mut(&mut self) -> &mut O {
        &mut self.os
    }

    /// What the worker holds now.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            sessions: self.sessions.len(),
            idle: self.idle.len(),
            buffers_out: self.storage.out(),
            in_flight: self.sessions.iter().filter(|(_, conn)| conn.backend.is_some()).count(),
        }
    }

    /// Stops accepting, after the clients that the kernel has already let in, and lets the sessions finish. At the end of
    /// `timeouts.drain` those that have not are cut off.
    pub fn drain(&mut self) {
        if self.draining_since.is_some() {
            return;
        }
        self.now = self.os.now();
        for door in 0..self.doors.len() {
            self.accept(door, usize::MAX);
        }
        for door in std::mem::take(&mut self.doors) {
            self.os.close(door.fd);
        }
        self.draining_since = Some(self.now);
    }

    /// One turn of the loop. Waits for as long as nothing happens.
    pub fn turn(&mut self) -> Turn {
        if self.draining_since.is_some() && self.sessions.is_empty() {
            self.close_idle();
            return Turn::Finished;
        }
        let nearest = self.derive();
        let timeout = if self.eager.is_empty() {
            nearest.map(|at| at.since(self.now))
        } else {
            Some(std::time::Duration::ZERO)
        };
        let polled = self.os.poll(&mut self.watches, timeout);
        self.now = self.os.now();
        self.date.set(self.os.unix_time());
        self.copy_events(polled);
        self.handle_events();
        self.drive_eager();
        if nearest.is_some_and(|at| at <= self.now) {
            self.handle_deadlines();
        }
        Turn::Running
    }

    fn env(&self) -> Env<'_> {
        Env {
            now: self.now,
            date: &self.date,
            snapshot: &self.snapshot,
            draining_since: self.draining_since,
            keeps_request: self.journal.wants_request(),
        }
    }

    fn watch(&mut self, fd: Fd, want: Interest, token: Token) {
        self.watches.push(Watch { fd, want, got: Ready::NONE });
        self.tokens.push(token);
    }

    /// Builds the poll array; gives the nearest deadline.
    fn derive(&mut self) -> Option<Time> {
        self.watches.clear();
        self.tokens.clear();
        let mut nearest = Nearest::default();
        if let Some(fd) = self.wake {
            self.watch(fd, Interest::READ, Token::Wake);
        }
        self.derive_idle(&mut nearest);
        self.derive_doors(&mut nearest);
        self.derive_sessions(&mut nearest);
        if let Some(since) = self.draining_since {
            nearest.note(since + self.snapshot.timeouts.drain);
        }
        nearest.at
    }

    fn derive_doors(&mut self, nearest: &mut Nearest) {
        if self.sessions.len() >= self.sessions_max {
            return;
        }
        for index in 0..self.doors.len() {
            let door = &self.doors[index];
            if door.is_open(self.now, self.ended) {
                self.watch(door.fd, Interest::READ, Token::Door(index));
            } else if let Some(at) = door.opens_at() {
                nearest.note(at);
            }
        }
    }

    fn derive_idle(&mut self, nearest: &mut Nearest) {
        let (watches, tokens) = (&mut self.watches, &mut self.tokens);
        let due = self.idle.watch(self.now, self.snapshot.timeouts.backend_idle, |key, wire| {
            watches.push(Watch { fd: wire.fd(), want: Interest::READ, got: Ready::NONE });
            tokens.push(Token::Idle(key));
        });
        if let Some(at) = due {
            nearest.note(at);
        }
    }

    fn derive_sessions(&mut self, nearest: &mut Nearest) {
        let env = Env {
            now: self.now,
            date: &self.date,
            snapshot: &self.snapshot,
            draining_since: self.draining_since,
            keeps_request: false,
        };
        for (key, conn) in self.sessions.iter() {
            if let Some(deadline) = conn.session.deadline(&env) {
                nearest.note(deadline.at);
            }
            if let (Some(wire), Some(want)) = (&conn.client, conn.session.interest(Side::Client, self.now)) {
                self.watches.push(Watch { fd: wire.fd(), want, got: Ready::NONE });
                self.tokens.push(Token::Client(key));
            }
            if let (Some(backend), Some(want)) =
                (&conn.backend, conn.session.interest(Side::Backend, self.now))
            {
                self.watches.push(Watch { fd: backend.wire.fd(), want, got: Ready::NONE });
                self.tokens.push(Token::Backend(key, conn.backend_turn));
            }
        }
    }

    fn copy_events(&mut self, polled: Polled) {
        self.events.clear();
        match polled {
            Polled::Interrupted => {}
            Polled::Ready(count) => {
                self.idle.note_poll();
                if count == 0 {
                    return;
                }
                let named = self.tokens.iter().zip(&self.watches).filter(|(_, watch)| !watch.got.is_empty());
                self.events.extend(named.map(|(token, watch)| (*token, watch.got)));
            }
        }
    }

    /// Idle connections come first in the array, so that one which its backend has just closed is not handed out to a
    /// session whose event comes behind.
    fn handle_events(&mut self) {
        for index in 0..self.events.len() {
            let (token, ready) = self.events[index];
            debug_assert!(!ready.any(Ready::INVALID), "poll was given a closed descriptor for {token:?}");
            match token {
                Token::Wake => self.hush(),
                Token::Door(door) => self.accept(door, self.snapshot.limits.accept_budget),
                Token::Idle(key) => {
                    if let Some(wire) = self.idle.remove(key) {
                        wire.close(&mut self.os);
                    }
                }
                Token::Client(key) => self.handle_ready(key, Side::Client, ready),
                Token::Backend(key, turn) => {
                    let is_the_same = |conn: &mut Conn| conn.backend.is_some() && conn.backend_turn == turn;
                    if self.sessions.get_mut(key).is_some_and(is_the_same) {
                        self.handle_ready(key, Side::Backend, ready);
                    }
                }
            }
        }
    }

    /// Reads what the wake descriptor has to say, which is nothing but that it has.
    fn hush(&mut self) {
        if let Some(fd) = self.wake {
            let _ = self.os.recv(fd, &mut [0; 64]);
        }
    }

    fn handle_ready(&mut self, key: Key, side: Side, ready: Ready) {
        let is_gone = ready.any(Ready::HANGUP | Ready::ERROR | Ready::INVALID);
        let is_readable = is_gone || ready.any(Ready::READ | Ready::LEAVE);
        self.with(key, |hands, conn| {
            if side == Side::Backend && conn.backend.as_ref().is_some_and(|backend| backend.is_pending) {
                hands.decide_connect(conn);
                return hands.drive(conn, Readable::default());
            }
            if is_gone || ready.any(Ready::WRITE) {
                conn.session.handle_writable(side);
            }
            if is_gone {
                conn.session.handle_hangup(side);
            } else if ready.any(Ready::LEAVE) {
                conn.session.handle_leaving(side);
            }
            let readable = match side {
                Side::Client => Readable { client: is_readable, backend: false },
                Side::Backend => Readable { client: false, backend: is_readable },
            };
            hands.drive(conn, readable)
        });
    }

    /// Does something with the session of `key`, if it still lives.
    fn with(&mut self, key: Key, act: impl FnOnce(&mut Hands<'_, O>, &mut Conn) -> Fate) {
        let Some(conn) = self.sessions.get_mut(key) else { return };
        let mut hands = Hands {
            env: Env {
                now: self.now,
                date: &self.date,
                snapshot: &self.snapshot,
                draining_since: self.draining_since,
                keeps_request: self.journal.wants_request(),
            },
            os: &mut self.os,
            storage: &mut self.storage,
            idle: &mut self.idle,
            robins: &mut self.robins,
            journal: &mut *self.journal,
            effects: &mut self.effects,
        };
        match act(&mut hands, conn) {
            Fate::Waits => {}
            Fate::Eager => self.eager.push(key),
            Fate::Over => {
                self.sessions.remove(key);
                self.ended += 1;
            }
        }
    }

    /// Lets in at most `budget` clients.
    fn accept(&mut self, door: usize, budget: usize) {
        for _ in 0..budget {
            if self.sessions.len() >= self.sessions_max {
                return;
            }
            match self.os.accept(self.doors[door].fd) {
                Ok((fd, client)) => self.admit(fd, client, self.doors[door].listener),
                Err(AcceptFault::Gone) => {}
                Err(AcceptFault::Blocked) => return,
                Err(AcceptFault::Exhausted) => match self.idle.evict() {
                    Some(wire) => wire.close(&mut self.os),
                    None => return self.doors[door].shut(self.now, self.ended),
                },
            }
        }
    }

    /// Begins a session. Its client has often spoken already, so the first read comes before the first poll.
    fn admit(&mut self, fd: Fd, client: SocketAddr, listener: usize) {
        let session = Session::new(client, listener, &self.env());
        let key = self.sessions.insert(Conn::new(session, Wire::Plain(fd)));
        self.with(key, |hands, conn| hands.drive(conn, Readable { client: true, backend: false }));
    }

    /// Sessions that had more to do in the last turn than their share go on behind the others.
    fn drive_eager(&mut self) {
        for key in std::mem::take(&mut self.eager) {
            self.with(key, |hands, conn| hands.drive(conn, Readable { client: true, backend: true }));
        }
    }

    fn handle_deadlines(&mut self) {
        self.close_old_idle();
        let is_cut_off =
            self.draining_since.is_some_and(|since| since + self.snapshot.timeouts.drain <= self.now);
        let mut late = std::mem::take(&mut self.late);
        let env = self.env();
        late.extend(self.sessions.iter().filter_map(|(key, conn)| {
            let deadline = conn.session.deadline(&env)?;
            (is_cut_off || deadline.at <= self.now).then_some((key, deadline.timer))
        }));
        for (key, timer) in late.drain(..) {
            self.with(key, |hands, conn| {
                hands.tell(conn, |session, env, effects| match is_cut_off {
                    true => session.force(env, effects),
                    false => session.handle_deadline(timer, env, effects),
                });
                hands.drive(conn, Readable::default())
            });
        }
        self.late = late;
    }

    fn close_old_idle(&mut self) {
        let patience = self.snapshot.timeouts.backend_idle;
        let is_old = |idle: &idle::Idle| idle.deadline(patience) <= self.now;
        let old: Vec<Key> = self.idle.iter().filter(|(_, idle)| is_old(idle)).map(|(key, _)| key).collect();
        for key in old {
            if let Some(wire) = self.idle.remove(key) {
                wire.close(&mut self.os);
            }
        }
    }

    fn close_idle(&mut self) {
        while let Some(wire) = self.idle.evict() {
            wire.close(&mut self.os);
        }
    }
}

/// The earliest of some points in time.
#[derive(Default)]
struct Nearest {
    at: Option<Time>,
}

impl Nearest {
    fn note(&mut self, at: Time) {
        if self.at.is_none_or(|nearest| at < nearest) {
            self.at = Some(at);
        }
    }
}
