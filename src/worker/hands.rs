//! Carries out what a session asks for: finds it a backend connection, moves its bytes, makes its records.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::departures::Departures;
use super::edition::{Edition, Lease, Permit};
use super::idle::IdleSet;
use super::link::Link;
use super::lot::Lot;
use super::pipes::{Loan, Pipes};
use super::pump::{self, Filled, Stores};
use super::storage::Storage;
use crate::balance::{Duty, Nobody, Picked, safely};
use crate::core::identity::Ids;
use crate::core::interest::Interest;
use crate::core::lane::Source;
use crate::core::noted::Wanted;
use crate::core::outcome::{Cause, Journal};
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::http::date::Date;
use crate::os::{ConnectFault, Connecting, Fd, Os};
use crate::recorder::{Recorder, Step, Trail};
use crate::session::{ConnectOutcome, Effect, Env, Session, Side};
use crate::shared::pools::{Registry, Slot};
use crate::shared::queue::{Desk, Ticket};
use crate::snapshot::{BackendId, Balance, PoolId};
use crate::tls::failure;
use crate::wire::{Broken, Shaken, Wire};

/// Rounds of reading and writing that a session gets in one go, so that a fast pair does not starve the rest.
const ROUNDS_MAX: usize = 16;

/// A session with its connections.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) session: Session,
    /// `None` once the session is over.
    pub(super) client: Option<Wire>,
    pub(super) backend: Option<Backend>,
    /// Counts the backend connections, so that what poll says of one is not taken for news of the next.
    pub(super) backend_turn: u32,
    pub(super) stay: Stay,
    /// How many polls in a row have had nothing to say of it.
    pub(super) unheard: u8,
    /// What its exchange is held to.
    pub(super) edition: Rc<Edition>,
    pub(super) standing: Standing,
    /// That the exchange is one that was begun again, for which its pool has a budget.
    permit: Option<Permit>,
    /// Its place among those who wait for a backend.
    pub(super) ticket: Option<Ticket>,
    /// What lies in pipes, from the client and from the backend.
    pipes: Piped,
    /// What has happened to the exchange, once it has a head.
    pub(super) trail: Option<Box<Trail>>,
}

/// The pipes of the two lanes.
#[derive(Debug, Default)]
struct Piped {
    up: Option<Loan>,
    down: Option<Loan>,
}

/// What has become of the listener that a session came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is at that place of the latest edition.
    At(usize),
    /// It was taken away: no exchange is followed by another.
    Gone {
        /// When.
        since: Time,
    },
}

/// What all sessions of a worker see alike at one moment.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) now: Time,
    pub(super) date: &'a Date,
    pub(super) ids: &'a Ids,
    pub(super) draining_since: Option<Time>,
    pub(super) keeps_request: bool,
    pub(super) wanted: &'a Wanted,
}

impl<'a> World<'a> {
    /// The same, as a session sees it that is held to `edition` and stands like that.
    pub(super) fn env(self, edition: &'a Edition, standing: Standing) -> Env<'a> {
        let World { now, date, ids, draining_since, keeps_request, wanted } = self;
        let draining_since = match standing {
            Standing::At(_) => draining_since,
            Standing::Gone { since } => Some(since),
        };
        Env { now, date, snapshot: &edition.snapshot, ids, draining_since, keeps_request, wanted }
    }
}

/// Where a session waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// Its connections are in every poll array that it wants them in.
    Hot {
        /// When it came, or woke.
        since: Time,
    },
    /// They are in the lot.
    Parked {
        /// Its deadline.
        until: Time,
    },
}

impl Conn {
    pub(super) fn new(
        session: Session,
        client: Wire,
        now: Time,
        edition: Rc<Edition>,
        standing: Standing,
    ) -> Conn {
        let stay = Stay::Hot { since: now };
        Conn {
            session,
            client: Some(client),
            backend: None,
            backend_turn: 0,
            stay,
            unheard: 0,
            edition,
            standing,
            permit: None,
            ticket: None,
            pipes: Piped::default(),
            trail: None,
        }
    }

    /// Takes the latest edition for what follows, if nothing is under way that was routed by another; true if it did.
    pub(super) fn renew(&mut self, latest: &Rc<Edition>) -> bool {
        let Standing::At(listener) = self.standing else { return false };
        if Rc::ptr_eq(&self.edition, latest) || !self.session.is_between_exchanges() {
            return false;
        }
        self.edition = Rc::clone(latest);
        self.session.move_to(listener);
        true
    }

    /// Whether there is a budget for a retry; if so, it is used up until the exchange is over.
    fn has_budget(&mut self) -> bool {
        if self.permit.is_none() {
            self.permit = Permit::ask(&self.edition, self.session.pool());
        }
        self.permit.is_some()
    }

    fn attach(&mut self, link: Link, id: BackendId, reach: Reach, lease: Lease) {
        self.backend_turn = self.backend_turn.wrapping_add(1);
        self.backend = Some(Backend { link, id, reach, lease });
    }
}

/// How far the making of a backend connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The connect is undecided.
    Connecting,
    /// The TLS handshake is under way.
    Shaking,
    /// Bytes can pass.
    Stands,
}

impl Reach {
    /// The same, where a TLS handshake follows the connect.
    pub(super) fn before_tls(self) -> Reach {
        match self {
            Reach::Connecting => Reach::Connecting,
            Reach::Shaking | Reach::Stands => Reach::Shaking,
        }
    }
}

/// A connection to a backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) link: Link,
    pub(super) id: BackendId,
    /// How far its making is.
    pub(super) reach: Reach,
    /// That the backend has a request in flight.
    lease: Lease,
}

impl Backend {
    /// What to ask poll about the connection for what the session wants of it.
    pub(super) fn watch(&self, want: Option<Interest>) -> Option<Interest> {
        match (self.reach, &self.link.wire) {
            (Reach::Shaking, Wire::Tls(tls)) => want.map(|_| tls.shakes_for()),
            (Reach::Connecting, _) => want,
            (Reach::Shaking | Reach::Stands, wire) => wire.watch(want),
        }
    }
}

/// From which sides poll says that something can be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readable {
    pub(super) client: bool,
    pub(super) backend: bool,
}

/// What has become of a session that was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for the next event.
    Waits,
    /// It could go on at once, but others come first.
    Eager,
    /// It is over, and its connections are closed.
    Over,
}

/// What waited for a session that had no buffer to read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Nothing, or there was a buffer.
    No,
    /// Bytes.
    Bytes,
    /// The end.
    End,
}

/// Everything of the worker that a session can make use of.
pub(super) struct Hands<'a, O> {
    pub(super) env: Env<'a>,
    pub(super) os: &'a mut O,
    pub(super) storage: &'a mut Storage,
    pub(super) pipes: &'a mut Pipes,
    /// How many bytes must be left of a message that is spliced.
    pub(super) spliced: u64,
    pub(super) idle: &'a mut IdleSet,
    pub(super) departures: &'a mut Departures,
    pub(super) lot: &'a mut Lot,
    /// The edition that the session is held to.
    pub(super) edition: &'a Edition,
    pub(super) latest: &'a Rc<Edition>,
    /// The session's key, and where it is called when its turn has come.
    pub(super) key: Key,
    pub(super) desk: &'a Arc<Desk>,
    pub(super) registry: &'a Registry,
    pub(super) journal: &'a mut dyn Journal,
    pub(super) recorder: &'a mut Recorder,
    /// Scratch, empty between calls.
    pub(super) effects: &'a mut Vec<Effect>,
}

impl<O: Os> Hands<'_, O> {
    /// Lets a session read, move on and write until nothing is left to be done, or enough for now.
    pub(super) fn drive(&mut self, conn: &mut Conn, mut readable: Readable) -> Fate {
        for _ in 0..ROUNDS_MAX {
            let read = self.read(conn, &mut readable);
            let moved_on = self.advance(conn);
            if conn.client.is_none() {
                self.take_buffers_back(conn);
                return Fate::Over;
            }
            if !(self.write(conn) || read || moved_on) {
                self.take_buffers_back(conn);
                return Fate::Waits;
            }
        }
        Fate::Eager
    }

    /// Reads from each side that can be read.
    pub(super) fn read(&mut self, conn: &mut Conn, readable: &mut Readable) -> bool {
        let Conn { session, client, backend, pipes, .. } = conn;
        let (os, now) = (&mut *self.os, self.env.now);
        let mut stores = stores(self.storage, self.pipes, self.spliced, client.as_ref(), backend.as_ref());
        let mut has_read = false;
        let mut fill = |wire: &mut Wire, pipe, side, readable: &mut bool| {
            if *readable {
                let filled = pump::fill(os, &mut stores, pipe, wire, session, side, now);
                *readable = filled == Filled::Room;
                has_read |= filled != Filled::Nothing;
            }
        };
        if let Some(wire) = client {
            fill(wire, &mut pipes.up, Side::Client, &mut readable.client);
        }
        if let Some(backend) = backend {
            fill(&mut backend.link.wire, &mut pipes.down, Side::Backend, &mut readable.backend);
        }
        has_read
    }

    /// Writes to each side that there is something for.
    fn write(&mut self, conn: &mut Conn) -> bool {
        let Conn { session, client, backend, pipes, .. } = conn;
        let (os, now) = (&mut *self.os, self.env.now);
        let mut has_written = false;
        if let Some(wire) = client {
            has_written |= pump::drain(os, &mut pipes.down, wire, session, Side::Client, now);
        }
        if let Some(backend) = backend {
            has_written |=
                pump::drain(os, &mut pipes.up, &mut backend.link.wire, session, Side::Backend, now);
        }
        has_written
    }

    /// Lets the session's state machine move, and does what it asks for; true if it asked for anything.
    pub(super) fn advance(&mut self, conn: &mut Conn) -> bool {
        let mut effects = std::mem::take(self.effects);
        let mut has_acted = false;
        loop {
            if conn.renew(self.latest) {
                self.edition = self.latest;
                self.env.snapshot = &self.latest.snapshot;
            }
            conn.session.advance(&self.env, &mut effects);
            if effects.is_empty() {
                break;
            }
            has_acted = true;
            self.carry_out_all(conn, &mut effects);
        }
        *self.effects = effects;
        has_acted
    }

    /// Does what a session asked for, and what it asks for because of that, in order; leaves nothing.
    fn carry_out_all(&mut self, conn: &mut Conn, effects: &mut Vec<Effect>) {
        let mut next = 0;
        while let Some(effect) = effects.get(next).copied() {
            next += 1;
            self.carry_out(conn, effect, effects);
        }
        effects.clear();
    }

    fn carry_out(&mut self, conn: &mut Conn, effect: Effect, effects: &mut Vec<Effect>) {
        match effect {
            Effect::Open { again, is_fresh } => {
                self.note_retry(conn);
                let outcome = self.open(conn, again, is_fresh);
                self.note_outcome(conn, outcome);
                conn.session.handle_connect(outcome, &self.env, effects);
            }
            Effect::FinishBackend => {
                if let Some(backend) = &mut conn.backend {
                    backend.link.wire.finish(self.os);
                }
            }
            Effect::FinishClient => {
                if let Some(wire) = &mut conn.client {
                    wire.finish(self.os);
                }
            }
            Effect::AskBudget { status } => {
                let is_granted = conn.has_budget();
                conn.note_after_sent(self.recorder, self.env.now, Step::AnotherWanted);
                if is_granted {
                    self.note_answered(&conn.session, Some(status));
                } else {
                    conn.note_step(self.recorder, self.env.now, Step::BudgetSpent);
                }
                conn.session.handle_budget(is_granted, &self.env, effects);
            }
            Effect::NoteAnswer => {
                let status = conn.session.status().unwrap_or(0);
                conn.note_after_sent(self.recorder, self.env.now, Step::Responded(status));
                if let Some(backend) = &conn.backend {
                    self.note_latency(&conn.session, &backend.lease);
                }
                self.note_served(&conn.session);
            }
            Effect::NoteFailure(cause) => {
                conn.note_after_sent(self.recorder, self.env.now, Step::Failed(cause));
                if let Some(id) = conn.session.backend() {
                    self.edition.meters.note_failure(id, cause);
                }
                self.note_failure(&conn.session, cause);
            }
            Effect::KeepBackend => {
                if let Some(backend) = conn.backend.take() {
                    self.note_whole(backend.id);
                    conn.note_after_sent(self.recorder, self.env.now, Step::Kept);
                    self.keep(backend, conn.session.backend_timeout());
                }
            }
            Effect::CloseBackend => {
                if let Some(backend) = conn.backend.take() {
                    self.note_whole(backend.id);
                    conn.note_after_sent(self.recorder, self.env.now, Step::Closed);
                    self.see_off(backend.link.into_wire());
                }
            }
            Effect::ResetBackend => {
                if let Some(backend) = conn.backend.take() {
                    conn.note_after_sent(self.recorder, self.env.now, Step::Reset);
                    self.note_wait(&conn.session, &backend.lease);
                    backend.link.reset(self.os);
                }
            }
            Effect::Record => {
                conn.permit = None;
                // The next request does not take the place of one that has waited in vain.
                conn.ticket = None;
                self.record(conn);
            }
            Effect::CloseClient => {
                if let Some(wire) = conn.client.take() {
                    self.see_off(wire);
                }
            }
            Effect::ResetClient => {
                if let Some(wire) = conn.client.take() {
                    wire.reset(self.os);
                }
            }
        }
    }

    /// The policy of the pool, where that is what goes by latency: for the others it is not measured.
    fn measures_latency(&self, session: &Session) -> bool {
        self.env.snapshot.pool(session.pool()).balance == Balance::Latency
    }

    /// Takes note of how long the backend has taken to answer.
    fn note_latency(&self, session: &Session, lease: &Lease) {
        if self.measures_latency(session) {
            let since = session.asked_at().unwrap_or(lease.since);
            lease.backend().note_latency(self.env.now.since(since), self.env.now);
        }
    }

    /// Takes note of how long it has not answered, if it has not.
    fn note_wait(&self, session: &Session, lease: &Lease) {
        if self.measures_latency(session) && !session.is_answered() {
            lease.backend().note_wait(self.env.now.since(lease.since), self.env.now);
        }
    }

    /// Picks a backend and takes an idle connection to it, or begins a new one.
    fn open(&mut self, conn: &mut Conn, again: Option<usize>, is_fresh: bool) -> ConnectOutcome {
        if conn.session.needs_budget() && !conn.has_budget() {
            return ConnectOutcome::BudgetSpent;
        }
        if conn.session.is_to_be_announced(&self.env) {
            conn.session.announce(self.local_of(conn), &self.env);
        }
        // Who was busy may have been taken out since.
        let again = again.filter(|index| !self.is_out(conn, *index));
        let chosen = match again {
            Some(index) => Ok(index),
            None => self.choose(conn, is_fresh).map(|Picked { place, rule }| {
                let backend = u32::try_from(place).unwrap_or(u32::MAX);
                conn.note_step(self.recorder, self.env.now, Step::Picked { backend, rule });
                place
            }),
        };
        let index = match chosen {
            Ok(index) => index,
            Err(outcome) => return outcome,
        };
        let outcome = self.connect(conn, index, is_fresh).unwrap_or_else(|| match again {
            Some(backend) => ConnectOutcome::Busy { backend, cause: Cause::QueueTimeout },
            // Another worker was faster.
            None => self.wait(conn),
        });
        if !matches!(outcome, ConnectOutcome::Queued { .. })
            && let Some(ticket) = conn.ticket.take()
        {
            ticket.use_up(self.is_decided(conn));
        }
        outcome
    }

    /// Picks a backend, or says what there is instead.
    fn choose(&mut self, conn: &mut Conn, is_fresh: bool) -> Result<Picked, ConnectOutcome> {
        let (edition, idle) = (&conn.edition, &*self.idle);
        let id = conn.session.pool();
        // Who comes new does not overtake those who wait.
        if conn.ticket.is_none() && edition.pools.pool(id).queue().waiting() > 0 {
            return Err(self.wait(conn));
        }
        let is_idle = |index| !is_fresh && idle.has(edition.home(BackendId { pool: id, index }));
        let releases = conn.ticket.as_ref().map_or(0, Ticket::releases);
        match edition.pick(&conn.session, self.env.now, &is_idle) {
            Ok(picked) => Ok(picked),
            Err(Nobody::Full) => match &conn.ticket {
                Some(ticket) => {
                    ticket.wait_on(releases, self.is_decided(conn));
                    self.recall(conn);
                    Err(ConnectOutcome::Queued { ahead: ticket.ahead() })
                }
                None => Err(self.wait(conn)),
            },
            Err(nobody) => Err(ConnectOutcome::NoneLeft(nobody)),
        }
    }

    /// Lets the session wait until a backend is free.
    fn wait(&mut self, conn: &mut Conn) -> ConnectOutcome {
        let id = conn.session.pool();
        let (state, rules) = (conn.edition.pools.pool(id), conn.edition.snapshot.pool(id));
        if conn.ticket.is_none() {
            conn.ticket = state.queue().enter(self.desk, self.key, rules.max_pending);
        }
        let Some(ticket) = &conn.ticket else { return ConnectOutcome::NoneLeft(Nobody::Full) };
        let ahead = ticket.ahead();
        // What came before it stood in the queue was told to nobody.
        if self.is_decided(conn) {
            state.queue().release();
        }
        self.recall(conn);
        ConnectOutcome::Queued { ahead }
    }

    /// Asks for connections that lie idle with other workers, if it is for want of one that the session waits.
    fn recall(&self, conn: &Conn) {
        let state = conn.edition.pools.pool(conn.session.pool());
        if state.backends().iter().any(|backend| backend.is_connected_out()) {
            self.registry.recall();
        }
    }

    /// Whether those who wait should look: a backend of the session's pool could take one more request (it may be one that only
    /// those know of who came after a reload), or there is none left to wait for.
    fn is_decided(&self, conn: &Conn) -> bool {
        let id = conn.session.pool();
        if self.is_decided_in(&conn.edition, id) {
            return true;
        }
        let name = &conn.edition.snapshot.pool(id).name;
        let latest = self.latest.snapshot.pools.iter().position(|pool| pool.name == *name);
        !Rc::ptr_eq(&conn.edition, self.latest)
            && latest.is_some_and(|id| self.is_decided_in(self.latest, PoolId(id)))
    }

    fn is_decided_in(&self, edition: &Edition, id: PoolId) -> bool {
        let is_idle = |index| self.idle.has(edition.home(BackendId { pool: id, index }));
        edition.is_decided(id, self.env.now, &is_idle)
    }

    /// Takes an idle connection to the backend at `index`, or begins a new one; `None` if it has become full.
    fn connect(&mut self, conn: &mut Conn, index: usize, is_fresh: bool) -> Option<ConnectOutcome> {
        let id = BackendId { pool: conn.session.pool(), index };
        let lease = Lease::begin(&conn.edition, id, self.env.now)?;
        if !is_fresh
            && let Some(link) = self.idle.take(self.os, self.edition.home(id), self.env.now, self.lot)
        {
            self.edition.meters.note_reused(id);
            conn.attach(link, id, Reach::Stands, lease);
            return Some(ConnectOutcome::Ready { backend: index, is_reused: true });
        }
        let rules = &self.env.snapshot.pool(id.pool).backends[index];
        let slot = Slot::open(lease.state())?;
        let mut outcome = self.os.connect(&rules.address);
        if outcome == Err(ConnectFault::Exhausted)
            && let Some(link) = self.idle.evict(self.lot)
        {
            link.close(self.os);
            outcome = self.os.connect(&rules.address);
        }
        Some(match outcome {
            Ok(Connecting::Done(fd)) => {
                self.edition.meters.note_connected(id, Duration::ZERO);
                let (wire, reach) = self.wire_to(conn, id, fd, Reach::Stands);
                conn.attach(Link::new(wire, slot), id, reach, lease);
                match reach {
                    Reach::Stands => ConnectOutcome::Ready { backend: index, is_reused: false },
                    Reach::Connecting | Reach::Shaking => ConnectOutcome::Pending { backend: index },
                }
            }
            Ok(Connecting::Pending(fd)) => {
                let (wire, reach) = self.wire_to(conn, id, fd, Reach::Connecting);
                conn.attach(Link::new(wire, slot), id, reach, lease);
                ConnectOutcome::Pending { backend: index }
            }
            Err(ConnectFault::Busy) => {
                ConnectOutcome::Busy { backend: index, cause: Cause::BackendConnectTimeout }
            }
            Err(ConnectFault::Exhausted) => {
                ConnectOutcome::Busy { backend: index, cause: Cause::OutOfDescriptors }
            }
            Err(ConnectFault::Refused | ConnectFault::TimedOut | ConnectFault::Unreachable) => {
                ConnectOutcome::Failed { backend: index, cause: cause_of(outcome.err()) }
            }
        })
    }

    /// Keeps a connection for another exchange, if it has not served enough of them. Its backend has said how long it waits, or
    /// has not.
    fn keep(&mut self, backend: Backend, timeout: Option<Duration>) {
        let Backend { mut link, id, .. } = backend;
        let now = self.env.now;
        link.uses = link.uses.saturating_add(1);
        let is_used_up = self.env.snapshot.pool(id.pool).max_reuse.is_some_and(|most| link.uses >= most);
        // Bytes that nobody has asked for would be taken for the next response.
        if is_used_up || link.wire.has_more() || link.backend().duty() != Duty::Ready {
            return link.close(self.os);
        }
        let patience = timeout.map(safely).or_else(|| link.backend().patience(now));
        if let Some(surplus) = self.idle.keep(self.edition.home(id), link, now, patience, self.lot) {
            surplus.close(self.os);
        }
    }

    /// Closes a wire, at once if all has been said.
    fn see_off(&mut self, wire: Wire) {
        let left = wire.leave(self.os);
        let until = self.env.now + self.env.snapshot.timeouts.linger;
        self.departures.see_off(self.os, left, until);
    }

    /// The wire to a backend over `fd`, which is as far as `reach` says if nothing but the connection is needed.
    fn wire_to(&mut self, conn: &Conn, id: BackendId, fd: Fd, reach: Reach) -> (Wire, Reach) {
        let pool = self.env.snapshot.pool(id.pool);
        let tls = pool.tls.as_ref().and_then(|tls| tls.wire(fd, &pool.backends[id.index]));
        let Some(tls) = tls else { return (Wire::Plain(fd), reach) };
        // Whoever takes the header off stands before whoever speaks TLS.
        let header = pool.announce.and_then(|_| conn.session.announcement(self.local_of(conn), &self.env));
        (Wire::Tls(Box::new(tls.behind(header.unwrap_or_default()))), reach.before_tls())
    }

    /// The address that the client has connected to, if that is known.
    fn local_of(&mut self, conn: &Conn) -> Option<SocketAddr> {
        conn.client.as_ref().and_then(|wire| self.os.local_address(wire.fd()))
    }

    /// Finds out how far the connection is that is being made for `conn`, now that poll has reported on it.
    pub(super) fn decide_connect(&mut self, conn: &mut Conn) {
        let Some(backend) = &mut conn.backend else { return };
        let outcome = match backend.reach {
            Reach::Connecting => match self.os.so_error(backend.link.wire.fd()) {
                Ok(()) => {
                    let span = self.env.now.since(backend.lease.since);
                    self.edition.meters.note_connected(backend.id, span);
                    match &backend.link.wire {
                        Wire::Plain(_) => {
                            backend.reach = Reach::Stands;
                            Some(ConnectOutcome::Connected)
                        }
                        Wire::Tls(_) => {
                            backend.reach = Reach::Shaking;
                            conn.session.handle_reached();
                            self.shake(conn)
                        }
                    }
                }
                Err(fault) => {
                    Some(ConnectOutcome::Failed { backend: backend.id.index, cause: cause_of(Some(fault)) })
                }
            },
            Reach::Shaking => self.shake(conn),
            Reach::Stands => None,
        };
        if let Some(outcome) = outcome {
            self.note_outcome(conn, outcome);
            self.tell(conn, |session, env, effects| session.handle_connect(outcome, env, effects));
        }
    }

    /// Lets the handshake with the backend go on; what it has come to, once it has.
    fn shake(&mut self, conn: &mut Conn) -> Option<ConnectOutcome> {
        let backend = conn.backend.as_mut()?;
        let Wire::Tls(tls) = &mut backend.link.wire else { return None };
        let failed = |cause| Some(ConnectOutcome::Failed { backend: backend.id.index, cause });
        match tls.shake(self.os) {
            Shaken::Waits => None,
            Shaken::Done => {
                backend.reach = Reach::Stands;
                Some(ConnectOutcome::Connected)
            }
            Shaken::Failed(Broken::Gone) => failed(Cause::BackendTlsFailed),
            Shaken::Failed(Broken::Refused(error)) => {
                tracing::debug!(backend = backend.id.index, %error, "a TLS handshake with a backend failed");
                failed(failure::of_backend(&error))
            }
        }
    }

    /// Hands over what a wire has left over, now that its socket takes bytes again.
    pub(super) fn flush(&mut self, conn: &mut Conn, side: Side) {
        match side {
            Side::Client => conn.client.iter_mut().for_each(|wire| wire.flush(self.os)),
            Side::Backend => conn.backend.iter_mut().for_each(|backend| backend.link.wire.flush(self.os)),
        }
    }

    /// Tells a session something that may make it ask for something.
    pub(super) fn tell(
        &mut self,
        conn: &mut Conn,
        tell: impl FnOnce(&mut Session, &Env<'_>, &mut Vec<Effect>),
    ) {
        let mut effects = std::mem::take(self.effects);
        tell(&mut conn.session, &self.env, &mut effects);
        self.carry_out_all(conn, &mut effects);
        *self.effects = effects;
    }

    /// Reads for a session whose time is over what it could not read before because there was no buffer. It gets one beyond
    /// the bound, and is to give it back at once.
    pub(super) fn feed(&mut self, conn: &mut Conn) -> Want {
        let sides = [Side::Client, Side::Backend];
        sides
            .into_iter()
            .map(|side| self.feed_from(conn, side))
            .find(|want| *want != Want::No)
            .unwrap_or(Want::No)
    }

    fn feed_from(&mut self, conn: &mut Conn, side: Side) -> Want {
        let Conn { session, client, backend, pipes, .. } = conn;
        if !session.wants_read(side) || session.has_buffer(side) || self.storage.can_lend(side) {
            return Want::No;
        }
        let mut stores = stores(self.storage, self.pipes, self.spliced, client.as_ref(), backend.as_ref());
        let (wire, pipe) = match side {
            Side::Client => (client.as_mut(), &mut pipes.up),
            Side::Backend => (backend.as_mut().map(|backend| &mut backend.link.wire), &mut pipes.down),
        };
        let Some(wire) = wire else { return Want::No };
        session.lane_from(side).buffer.attach(stores.buffers.take_beyond());
        if pump::fill(self.os, &mut stores, pipe, wire, session, side, self.env.now) == Filled::Nothing {
            if side == Side::Backend {
                session.note_silence();
            }
            return Want::No;
        }
        match session.lane_from(side).source {
            Source::Open | Source::Leaving => Want::Bytes,
            Source::Absent | Source::Ended | Source::Lost => Want::End,
        }
    }

    /// Takes back the buffers that hold nothing, and those of a session that is over.
    fn take_buffers_back(&mut self, conn: &mut Conn) {
        for side in [Side::Client, Side::Backend] {
            let lane = conn.session.lane_from(side);
            if conn.client.is_none() {
                lane.abandon();
            }
            if let Some(storage) = lane.buffer.detach() {
                self.storage.give(storage);
            }
            let pipe = match side {
                Side::Client => &mut conn.pipes.up,
                Side::Backend => &mut conn.pipes.down,
            };
            if lane.piped() == 0
                && let Some(loan) = pipe.take()
            {
                self.pipes.give(self.os, loan);
            }
        }
    }
}

/// What the pump may use for bytes between the two: pipes only where nothing has to be encrypted or decrypted.
fn stores<'a>(
    buffers: &'a mut Storage,
    pipes: &'a mut Pipes,
    spliced: u64,
    client: Option<&Wire>,
    backend: Option<&Backend>,
) -> Stores<'a> {
    let wires = [client, backend.map(|backend| &backend.link.wire)];
    let is_plain = wires.into_iter().flatten().all(Wire::is_plain);
    Stores { buffers, pipes, least: is_plain.then_some(spliced) }
}

fn cause_of(fault: Option<ConnectFault>) -> Cause {
    match fault {
        Some(ConnectFault::Refused) => Cause::BackendRefused,
        Some(ConnectFault::TimedOut | ConnectFault::Busy) => Cause::BackendConnectTimeout,
        Some(ConnectFault::Exhausted) => Cause::OutOfDescriptors,
        Some(ConnectFault::Unreachable) | None => Cause::BackendUnreachable,
    }
}
