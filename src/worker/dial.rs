//! The way of a session to a backend connection: choice, wait, an idle connection or a new one.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::carriers::{Dialled, Way};
use super::conn::{Backend, Conn, Reach};
use super::driver::Driver;
use super::generation::{Generation, Lease};
use super::link::Link;
use crate::balance::{NoBackend, Picked};
use crate::core::outcome::Cause;
use crate::os::{ConnectFault, Connecting, Fd, Os};
use crate::recorder::Step;
use crate::session::ConnectOutcome;
use crate::shared::pools::Slot;
use crate::shared::queue::Ticket;
use crate::snapshot::{BackendId, BackendProtocol, PoolId};
use crate::tls::{Offer, failure};
use crate::wire::{Broken, Shaken, Standing, TlsWire, Wire};

impl<O: Os> Driver<'_, O> {
    /// Picks a backend and takes an idle connection to it, or begins a new one.
    pub(super) fn open(&mut self, conn: &mut Conn, again: Option<usize>, is_fresh: bool) -> ConnectOutcome {
        if conn.session.needs_budget() && !conn.has_budget() {
            return ConnectOutcome::BudgetSpent;
        }
        if let Some(outcome) = self.resume(conn) {
            return outcome;
        }
        // A busy backend may have been taken out since.
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
        let (generation, idle, conns) = (&conn.generation, &*self.idle, &*self.conns);
        let id = conn.session.pool();
        // A new request does not overtake waiting ones.
        if conn.ticket.is_none() && generation.pools.pool(id).queue().waiting() > 0 {
            return Err(self.wait(conn));
        }
        let way = self.way(conn);
        let is_idle = |index| {
            let home = generation.home(BackendId { pool: id, index });
            let has_room = || self.carriers.has_room(home, way, conns);
            !is_fresh && (idle.has(conns, home, self.env.now) || has_room())
        };
        let releases = conn.ticket.as_ref().map_or(0, Ticket::releases);
        match generation.pick(&conn.session, self.env.now, &is_idle) {
            Ok(picked) => Ok(picked),
            // Connections that carry streams may never make room for one of its own.
            Err(NoBackend::Full) if way != Way::Stream && self.is_carried(conn) => {
                Err(ConnectOutcome::NoneLeft(NoBackend::Full))
            }
            Err(NoBackend::Full) => match &conn.ticket {
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
        let (state, rules) = (conn.generation.pools.pool(id), conn.generation.snapshot.pool(id));
        if conn.ticket.is_none() {
            conn.ticket = state.queue().enter(self.wakeups, self.key, rules.max_pending);
        }
        let Some(ticket) = &conn.ticket else { return ConnectOutcome::NoneLeft(NoBackend::Full) };
        let ahead = ticket.ahead();
        // Releases from before it stood in the queue called no request.
        if self.is_decided(conn) {
            state.queue().release();
        }
        self.recall(conn);
        ConnectOutcome::Queued { ahead }
    }

    /// Asks for connections that lie idle with other workers, if it is for want of one that the session
    /// waits.
    fn recall(&self, conn: &Conn) {
        let state = conn.generation.pools.pool(conn.session.pool());
        if state.backends().iter().any(|backend| backend.is_connected_out()) {
            self.registry.recall();
        }
    }

    /// Whether those who wait should look: a backend of the session's pool could take one more request (it
    /// may be one that only those know of who came after a reload), or there is none left to wait for.
    fn is_decided(&self, conn: &Conn) -> bool {
        let id = conn.session.pool();
        let way = self.way(conn);
        if self.is_decided_in(&conn.generation, id, way) {
            return true;
        }
        let name = &conn.generation.snapshot.pool(id).name;
        let latest = self.latest.snapshot.pools.iter().position(|pool| pool.name == *name);
        !Rc::ptr_eq(&conn.generation, self.latest)
            && latest.is_some_and(|id| self.is_decided_in(self.latest, PoolId(id), way))
    }

    /// The way of the request of `conn` to its backend. Where the version is the backend's choice, a login that holds
    /// for a connection needs HTTP/1.1, and so does a switch of protocols, but for WebSocket.
    fn way(&self, conn: &Conn) -> Way {
        let spoken = self.env.snapshot.pool(conn.session.pool()).spoken();
        match spoken {
            BackendProtocol::Http2 if conn.session.is_http() => Way::Stream,
            BackendProtocol::Auto if conn.session.is_http() && !conn.session.is_login() => {
                match (conn.session.wants_switch(), conn.session.wants_socket()) {
                    (false, _) => Way::Stream,
                    (true, true) => Way::Switch,
                    (true, false) => Way::Alone,
                }
            }
            BackendProtocol::Http1 | BackendProtocol::Http2 | BackendProtocol::Auto => Way::Alone,
        }
    }

    /// Whether connections to a backend of the session's pool carry streams.
    fn is_carried(&self, conn: &Conn) -> bool {
        let pool = conn.session.pool();
        let home = |index| conn.generation.home(BackendId { pool, index });
        let count = conn.generation.snapshot.pool(pool).backends.len();
        (0..count).any(|index| !self.carriers.of_home(home(index)).is_empty())
    }

    fn is_decided_in(&self, generation: &Generation, id: PoolId, way: Way) -> bool {
        let home = |index| generation.home(BackendId { pool: id, index });
        let is_idle = |index| {
            self.idle.has(self.conns, home(index), self.env.now)
                || self.carriers.has_room(home(index), way, self.conns)
        };
        generation.is_decided(id, self.env.now, &is_idle)
    }

    /// Takes an idle connection to the backend at `index`, or begins a new one; `None` if it has become full.
    fn connect(&mut self, conn: &mut Conn, index: usize, is_fresh: bool) -> Option<ConnectOutcome> {
        let id = BackendId { pool: conn.session.pool(), index };
        let lease = Lease::begin(&conn.generation, id, self.env.now)?;
        let (now, home) = (self.env.now, self.generation.home(id));
        let way = self.way(conn);
        let is_http2 = self.env.snapshot.pool(id.pool).spoken() == BackendProtocol::Http2;
        let has_stream = || !is_fresh && self.carriers.has_room(home, way, self.conns);
        if way == Way::Stream && is_http2 || has_stream() {
            return self.connect_stream(conn, lease, (way, is_fresh));
        }
        let wanted = (home, self.key);
        if !is_fresh && let Some(link) = self.idle.take(self.os, wanted, now, self.conns, self.parked) {
            self.generation.meters.note_reused(id);
            conn.attach(link, Reach::Stands, lease);
            return Some(ConnectOutcome::Ready { backend: index, is_reused: true });
        }
        if way == Way::Stream && !self.carriers.is_http1(home, now) {
            return self.connect_stream(conn, lease, (way, is_fresh));
        }
        self.connect_alone(conn, lease)
    }

    /// Begins a connection that serves one exchange at a time; `None` if the backend may have no more.
    fn connect_alone(&mut self, conn: &mut Conn, lease: Lease) -> Option<ConnectOutcome> {
        let (id, index) = (lease.id, lease.id.index);
        let slot = Slot::open(lease.state())?;
        Some(match self.begin_connect(id) {
            Ok(Connecting::Done(fd)) => {
                self.note_done(id);
                let (wire, reach) = self.wire_to(conn, id, (fd, Reach::Stands), Offer::Http1);
                let link = self.link(wire, slot, id);
                conn.attach(link, reach, lease);
                match reach {
                    Reach::Stands => ConnectOutcome::Ready { backend: index, is_reused: false },
                    Reach::Connecting | Reach::Handshaking => ConnectOutcome::Pending { backend: index },
                }
            }
            Ok(Connecting::Pending(fd)) => {
                let (wire, reach) = self.wire_to(conn, id, (fd, Reach::Connecting), Offer::Http1);
                let link = self.link(wire, slot, id);
                conn.attach(link, reach, lease);
                ConnectOutcome::Pending { backend: index }
            }
            Err(fault) => self.connect_fault(index, fault),
        })
    }

    /// A connection to a backend that begins, in a slot of its own.
    fn link(&mut self, wire: Wire, slot: Slot, id: BackendId) -> Link {
        let max_age = self.env.snapshot.pool(id.pool).max_age;
        Link::new(wire, self.conns.insert_in_use(self.key), slot).aged(max_age, self.env.now)
    }

    /// Begins a connect to a backend; one idle connection makes room for it if there are no descriptors left.
    fn begin_connect(&mut self, id: BackendId) -> Result<Connecting, ConnectFault> {
        let address = &self.env.snapshot.pool(id.pool).backends[id.index].address;
        let outcome = self.os.connect(address);
        if outcome == Err(ConnectFault::Exhausted)
            && let Some(link) = self.idle.evict(self.conns, self.parked)
        {
            link.close(self.os);
            return self.os.connect(address);
        }
        outcome
    }

    /// Counts a connect that was done at once.
    fn note_done(&self, id: BackendId) {
        self.generation.meters.note_connected(id, Duration::ZERO);
        self.generation.pools.backend(id).note_connect(true);
    }

    fn connect_fault(&mut self, index: usize, fault: ConnectFault) -> ConnectOutcome {
        match fault {
            ConnectFault::Busy => {
                ConnectOutcome::Busy { backend: index, cause: Cause::BackendConnectTimeout }
            }
            ConnectFault::Exhausted => {
                *self.lacks_descriptors = true;
                ConnectOutcome::Busy { backend: index, cause: Cause::OutOfDescriptors }
            }
            ConnectFault::Refused | ConnectFault::TimedOut | ConnectFault::Unreachable => {
                ConnectOutcome::Failed { backend: index, cause: cause_of(Some(fault)) }
            }
        }
    }

    /// Opens a stream to a backend: on a connection that has room for one more, or on a new one. The burst that
    /// comes while that is being made joins it.
    fn connect_stream(
        &mut self,
        conn: &mut Conn,
        lease: Lease,
        (way, is_fresh): (Way, bool),
    ) -> Option<ConnectOutcome> {
        let (id, now) = (lease.id, self.env.now);
        let (index, home) = (id.index, self.generation.home(id));
        let standing = if is_fresh { None } else { self.carriers.with_room(home, way, self.conns) };
        let key = match standing {
            Some(key) => key,
            None => {
                let slot = Slot::open(lease.state())?;
                let (fd, reach) = match self.begin_connect(id) {
                    Ok(Connecting::Done(fd)) => {
                        self.note_done(id);
                        (fd, Reach::Stands)
                    }
                    Ok(Connecting::Pending(fd)) => (fd, Reach::Connecting),
                    Err(fault) => return Some(self.connect_fault(index, fault)),
                };
                let (wire, reach) = self.wire_to(conn, id, (fd, reach), Offer::OfPool);
                let dialled = Dialled { generation: Rc::clone(&conn.generation), id, home, slot, reach };
                self.carriers.insert(dialled, wire, self.conns, now)
            }
        };
        let (wire, reach) = self.conns.multiplexer_mut(key)?.join(self.key, now);
        let link_key = self.conns.insert_in_use(self.key);
        conn.attach(Link::of_stream(Wire::Stream(wire), link_key, Arc::clone(lease.state())), reach, lease);
        Some(match reach {
            Reach::Stands => {
                if standing.is_some() {
                    self.generation.meters.note_reused(id);
                }
                ConnectOutcome::Ready { backend: index, is_reused: standing.is_some() }
            }
            Reach::Connecting | Reach::Handshaking => ConnectOutcome::Pending { backend: index },
        })
    }

    /// The wire to a backend over `fd`, which is as far as `reach` says if nothing but the connection is
    /// needed. Its first bytes are the PROXY header, if the pool has one.
    fn wire_to(
        &mut self,
        conn: &mut Conn,
        id: BackendId,
        (fd, reach): (Fd, Reach),
        offer: Offer,
    ) -> (Wire, Reach) {
        let pool = self.env.snapshot.pool(id.pool);
        let tls = self
            .generation
            .origination(id.pool)
            .and_then(|tls| TlsWire::to_backend(fd, tls, &pool.backends[id.index], offer));
        let Some(tls) = tls else {
            if conn.session.is_to_be_announced(&self.env) {
                let own = self.own_of(conn, id, fd);
                conn.session.announce(self.local_of(conn), own, &self.env);
            }
            return (Wire::Plain(fd), reach);
        };
        // The receiver takes the header off before it speaks TLS.
        let header = pool.announce.and_then(|_| {
            let own = self.own_of(conn, id, fd);
            conn.session.announcement(self.local_of(conn), own, &self.env)
        });
        (Wire::Tls(Box::new(tls.behind(header.as_deref().unwrap_or_default()))), reach.before_tls())
    }

    /// Both ends of the connection to a backend over `fd`, where the client has no address that could be
    /// told.
    fn own_of(&mut self, conn: &Conn, id: BackendId, fd: Fd) -> Option<(SocketAddr, SocketAddr)> {
        let to = self.env.snapshot.pool(id.pool).backends[id.index].address.ip()?;
        conn.session.has_no_address().then(|| Some((self.os.local_address(fd)?, to)))?
    }

    /// The address that the client has connected to, if that is known.
    pub(super) fn local_of(&mut self, conn: &Conn) -> Option<SocketAddr> {
        conn.client.as_ref().and_then(|wire| self.os.local_address(wire.fd()))
    }

    /// Finds out how far the connection is that is being made for `conn`, now that poll has reported on it.
    pub(super) fn decide_connect(&mut self, conn: &mut Conn) {
        let Some(backend) = &mut conn.backend else { return };
        let outcome = match backend.reach {
            Reach::Connecting | Reach::Handshaking if backend.is_to_dial() => self.dial_alone(conn),
            Reach::Stands => None,
            Reach::Connecting | Reach::Handshaking if matches!(backend.link.wire, Wire::Stream(_)) => {
                backend.look_at_carrier()
            }
            Reach::Connecting => match self.os.so_error(backend.link.wire.fd()) {
                Ok(()) => {
                    let span = self.env.now.since(backend.lease.since);
                    self.generation.meters.note_connected(backend.id(), span);
                    self.generation.pools.backend(backend.id()).note_connect(true);
                    match &backend.link.wire {
                        Wire::Plain(_) | Wire::Stream(_) => {
                            backend.reach = Reach::Stands;
                            Some(ConnectOutcome::Connected)
                        }
                        Wire::Tls(_) => {
                            backend.reach = Reach::Handshaking;
                            conn.session.handle_reached();
                            self.shake(conn)
                        }
                    }
                }
                Err(fault) => {
                    let index = backend.id().index;
                    Some(ConnectOutcome::Failed { backend: index, cause: cause_of(Some(fault)) })
                }
            },
            Reach::Handshaking => self.shake(conn),
        };
        self.tell_outcome(conn, outcome);
    }

    /// Tells the session of `conn` what its pending connect has come to, if it has.
    fn tell_outcome(&mut self, conn: &mut Conn, outcome: Option<ConnectOutcome>) {
        if let Some(outcome) = outcome {
            self.note_outcome(conn, outcome);
            self.tell(conn, |session, env, effects| session.handle_connect(outcome, env, effects));
        }
    }

    /// Lets `conn` go on, which has waited on a connection whose backend has chosen HTTP/1.1: with that one, if
    /// it still `stands` for somebody, else with one of its own.
    pub(super) fn go_on_by_http1(&mut self, conn: &mut Conn, standing: &mut Option<(Wire, Slot)>) {
        let outcome = match (&mut conn.backend, standing.take()) {
            (Some(backend), Some((wire, slot))) => {
                let (key, pool) = (backend.link.key, self.env.snapshot.pool(backend.id().pool));
                let link = Link::new(wire, key, slot).aged(pool.max_age, self.env.now);
                std::mem::replace(&mut backend.link, link).close(self.os);
                backend.reach = Reach::Stands;
                Some(ConnectOutcome::Connected)
            }
            (_, left) => {
                *standing = left;
                self.dial_alone(conn)
            }
        };
        self.tell_outcome(conn, outcome);
    }

    /// Begins a connection for `conn` alone, whose backend has chosen HTTP/1.1 on the one that it waited on.
    /// `None` while that is pending.
    fn dial_alone(&mut self, conn: &mut Conn) -> Option<ConnectOutcome> {
        let Backend { link, lease, .. } = conn.backend.take()?;
        self.conns.close(link.key, None);
        link.close(self.os);
        match self.connect_alone(conn, lease) {
            Some(ConnectOutcome::Pending { .. }) => None,
            Some(outcome) => Some(outcome),
            None => Some(self.wait(conn)),
        }
    }

    /// Lets the handshake with the backend go on; what it has come to, once it has.
    fn shake(&mut self, conn: &mut Conn) -> Option<ConnectOutcome> {
        let backend = conn.backend.as_mut()?;
        let index = backend.id().index;
        let home = self.generation.home(backend.id());
        let Wire::Tls(tls) = &mut backend.link.wire else { return None };
        let failed = |cause| Some(ConnectOutcome::Failed { backend: index, cause });
        let shaken = tls.shake(self.os);
        if matches!(shaken, Shaken::Failed(_)) {
            // It may take HTTP/2 alone now.
            self.carriers.forget_choice(home);
        }
        match shaken {
            Shaken::Waits => None,
            Shaken::Done => {
                backend.reach = Reach::Stands;
                Some(ConnectOutcome::Connected)
            }
            Shaken::Failed(Broken::Gone) => failed(Cause::BackendTlsFailed),
            Shaken::Failed(Broken::Refused(error)) => {
                tracing::debug!(backend = index, %error, "a TLS handshake with a backend failed");
                failed(failure::of_backend(&error))
            }
        }
    }
}

impl Backend {
    /// Whether the connection that it waited on speaks HTTP/1.1.
    fn is_to_dial(&self) -> bool {
        matches!(&self.link.wire, Wire::Stream(stream) if stream.standing() == Standing::Http1)
    }

    /// The outcome of the connect of the connection that carries the stream, if it is known.
    fn look_at_carrier(&mut self) -> Option<ConnectOutcome> {
        let Wire::Stream(stream) = &self.link.wire else { return None };
        match stream.standing() {
            Standing::Awaited | Standing::Http1 => None,
            Standing::Stands => {
                self.reach = Reach::Stands;
                Some(ConnectOutcome::Connected)
            }
            Standing::Failed(cause) => Some(ConnectOutcome::Failed { backend: self.id().index, cause }),
        }
    }
}

pub(super) fn cause_of(fault: Option<ConnectFault>) -> Cause {
    match fault {
        Some(ConnectFault::Refused) => Cause::BackendRefused,
        Some(ConnectFault::TimedOut | ConnectFault::Busy) => Cause::BackendConnectTimeout,
        Some(ConnectFault::Exhausted) => Cause::OutOfDescriptors,
        Some(ConnectFault::Unreachable) | None => Cause::BackendUnreachable,
    }
}
