//! The second half of a turn: drives the sessions that poll, the parked set or the clock named.

use std::net::SocketAddr;
use std::rc::Rc;

use super::conn::{Conn, ListenerState, Reach, Stay, World};
use super::conns::Kind;
use super::driver::{Driver, Fate, Readable, Want, rounds_of};
use super::generation::Generation;
use super::parked::UNHEARD_MAX;
use super::room::Entry;
use super::storage::ClientShare;
use super::{Token, Worker};
use crate::core::deadline::Timer;
use crate::core::interest::Ready;
use crate::core::slab::Key;
use crate::os::{AcceptFault, Fd, Os, Polled};
use crate::recorder::Step;
use crate::session::{Session, Side};
use crate::shared::clients::Counted;
use crate::snapshot::{BackendId, PoolId};
use crate::wire::Wire;

/// A worker looks for calls so often in a turn: one that was not used may come back to it.
const CALLS_MAX: usize = 16;

/// A client that was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) fd: Fd,
    pub(super) client: SocketAddr,
    pub(super) listener: usize,
}

/// Whether clients wait before an acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// No.
    Empty,
    /// There was no room, or no time, to find out.
    Perhaps,
}

impl<O: Os> Worker<O> {
    pub(super) fn world(&self) -> World<'_> {
        self.common.world(self.now, self.journal.wants_request())
    }

    pub(super) fn copy_events(&mut self, polled: Polled) {
        self.events.clear();
        match polled {
            Polled::Interrupted => {}
            Polled::Ready(count) => {
                self.idle.note_poll();
                if count == 0 {
                    return;
                }
                let entries = self.array.tokens.iter().zip(&self.array.watches);
                let named = entries.filter(|(_, watch)| !watch.got.is_empty());
                self.events.extend(named.map(|(token, watch)| (*token, watch.got)));
            }
        }
    }

    pub(super) fn handle_events(&mut self) {
        self.rounds = rounds_of(self.events.len());
        for index in 0..self.events.len() {
            let (token, ready) = self.events[index];
            debug_assert!(!ready.any(Ready::INVALID), "poll was given a closed descriptor for {token:?}");
            match token {
                Token::Wake => self.remove_descriptors(),
                Token::EpollSet => self.handle_lot(),
                Token::Acceptor(acceptor) => self.handle_acceptor(acceptor),
                Token::Conn(key) => match self.conns.kind(key) {
                    Some(Kind::Client) => self.handle_ready(key, Side::Client, ready),
                    Some(Kind::InUse(client)) => self.handle_ready(client, Side::Backend, ready),
                    Some(Kind::IdleBackend) => self.close_dead(key, ready),
                    Some(Kind::Handshaking) => self.go_on_with(key),
                    Some(Kind::Carrying) => self.handle_carrier(key, ready),
                    Some(Kind::Closing) => self.let_speak(key),
                    Some(Kind::Check) => self.handle_check(key, ready),
                    None => {}
                },
            }
        }
    }

    /// Reads what the wake descriptor has to say, which is nothing but that it has.
    fn remove_descriptors(&mut self) {
        if let Some(fd) = self.wake {
            let _ = self.os.recv(fd, &mut [0; 64]);
        }
    }

    /// Wakes whomever the parked set has news of; first of all, idle connections that are of no use any more
    /// leave.
    fn handle_lot(&mut self) {
        let (news, is_all) = self.parked.read(&mut self.os);
        self.idle.note_lot(is_all);
        for (bits, ready) in &news {
            let key = Key::from_bits(*bits);
            if self.conns.kind(key) == Some(Kind::IdleBackend) {
                self.close_dead(key, *ready);
            }
        }
        for (bits, ready) in &news {
            let key = Key::from_bits(*bits);
            match self.conns.kind(key) {
                Some(Kind::Client) => self.handle_ready(key, Side::Client, *ready),
                Some(Kind::InUse(client)) => self.handle_news(client, ready.any(Ready::READ)),
                Some(Kind::Handshaking) => {
                    self.wake_handshake(key);
                    self.go_on_with(key);
                }
                Some(Kind::Carrying) => self.handle_carrier(key, *ready),
                // Those that close are in the poll array, and so are checks.
                Some(Kind::IdleBackend | Kind::Closing | Kind::Check) | None => {}
            }
        }
        self.parked.put_back(news);
    }

    /// The parked set has news of the backend connection of that client. It may have been idle when it was
    /// parked: then its client is awake for some time already, and the poll array tells of it. A read that
    /// finds nothing does no harm, and everything else is left to the next poll.
    fn handle_news(&mut self, key: Key, is_readable: bool) {
        let is_awake = |conn: &Conn| matches!(conn.stay, Stay::Hot { since } if since < self.now);
        if self.conns.served(key).is_some_and(is_awake) {
            return;
        }
        self.with(key, |driver, conn| match is_readable {
            true => driver.drive(conn, Readable { client: false, backend: true }),
            false => Fate::Waits,
        });
    }

    fn handle_ready(&mut self, key: Key, side: Side, ready: Ready) {
        let is_gone = ready.any(Ready::HANGUP | Ready::ERROR | Ready::INVALID);
        let is_readable = is_gone || ready.any(Ready::READ | Ready::LEAVE);
        self.with(key, |driver, conn| {
            if side == Side::Backend
                && conn.backend.as_ref().is_some_and(|backend| backend.reach != Reach::Stands)
            {
                driver.decide_connect(conn);
                return driver.drive(conn, Readable::default());
            }
            if is_gone || ready.any(Ready::WRITE) {
                driver.flush(conn, side);
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
            driver.drive(conn, readable)
        });
    }

    /// Does something with the session of `key`, if it still lives. It is awake from now on.
    pub(super) fn with(&mut self, key: Key, act: impl FnOnce(&mut Driver<'_, O>, &mut Conn) -> Fate) {
        let Some(mut client) = self.conns.take(key, self.now) else { return };
        let Some(conn) = client.as_mut() else { return };
        conn.unheard = 0;
        if let Stay::Parked { until } = conn.stay {
            self.parked.leave(until, key);
            conn.stay = Stay::Hot { since: self.now };
            self.hot.push(key);
        }
        self.storage.open(conn.client_share(self.client_bytes));
        let world = self.common.world(self.now, self.journal.wants_request());
        let generation = Rc::clone(&conn.generation);
        let mut driver = Driver {
            env: world.env(&generation, conn.listener_state),
            os: &mut self.os,
            storage: &mut self.storage,
            pipes: &mut self.pipes,
            rounds: self.rounds,
            spliced: self.spliced,
            wall: self.wall,
            idle: &mut self.idle,
            conns: &mut self.conns,
            closing: None,
            parked: &mut self.parked,
            carriers: &mut self.multiplexers.carriers,
            generation: &generation,
            latest: &self.generation,
            key,
            wakeups: &self.wakeups,
            registry: &self.registry,
            journal: &mut *self.journal,
            recorder: &mut self.recorder,
            effects: &mut self.effects,
            lacks_descriptors: &mut self.lacks_descriptors,
        };
        let fate = act(&mut driver, conn);
        let closing = driver.closing.take();
        conn.settle();
        self.storage.open(ClientShare::OPEN);
        if conn.ticket.is_some() && !conn.session.is_queued() {
            conn.ticket = None;
        }
        match fate {
            Fate::Waits => self.conns.put_back(key, client),
            Fate::Eager => {
                self.conns.put_back(key, client);
                self.eager.push(key);
            }
            Fate::Multiplexes => {
                let Some(mut conn) = self.conns.begin_to_carry(key, client) else { return };
                let lane = conn.session.lane_from(Side::Client);
                let bytes = lane.buffer.unscanned().to_vec();
                lane.abandon();
                if let Some(storage) = lane.buffer.detach() {
                    self.storage.give(storage);
                }
                self.multiplex(key, conn, &bytes);
            }
            Fate::Over => {
                let owned = self.conns.end(key, client, closing);
                for key in owned.iter().flat_map(|owned| owned.keys()) {
                    self.close_idle_one(key);
                }
                self.ended += 1;
                if let Some(slot) = &self.load_slot {
                    slot.end();
                }
            }
        }
    }

    /// Passes on replies of authorities, and lets those look for a backend whose turn it is.
    pub(super) fn take_calls(&mut self) {
        if self.wakeups.take_recall() {
            self.part_with_idle();
        }
        for _ in 0..CALLS_MAX {
            let (calls, replies) = (self.wakeups.take(), self.wakeups.take_replies());
            if calls.is_empty() && replies.is_empty() {
                return;
            }
            for replied in replies {
                self.with(replied.session, |driver, conn| {
                    driver.tell_reply(conn, replied);
                    driver.drive(conn, Readable::default())
                });
            }
            for key in calls {
                self.with(key, |driver, conn| {
                    driver.tell(conn, |session, env, _| session.handle_call(env));
                    driver.drive(conn, Readable::default())
                });
            }
        }
    }

    /// Closes an idle connection to each backend that is at its bound, if a request waits for one.
    fn part_with_idle(&mut self) {
        let generation = Rc::clone(&self.generation);
        for id in 0..generation.snapshot.pools.len() {
            let state = generation.pools.pool(PoolId(id));
            for (index, backend) in state.backends().iter().enumerate() {
                let is_wanted = state.queue().waiting() > 0 && backend.is_connected_out();
                let home = generation.home(BackendId { pool: PoolId(id), index });
                if is_wanted && let Some(link) = self.idle.recall(home, &mut self.conns, &mut self.parked) {
                    link.close(&mut self.os);
                }
            }
        }
    }

    /// Derives the deadlines of all parked clients anew. Those that are served are woken for that.
    pub(super) fn derive_parked(&mut self) {
        self.conns.derive_idle(self.common.world(self.now, false), &mut self.parked);
        let served = self.conns.all_served().filter(|(_, conn)| conn.is_parked()).map(|(key, _)| key);
        for key in served.collect::<Vec<_>>() {
            self.with(key, |_, _| Fate::Waits);
        }
    }

    /// Wakes all parked clients: they are to be cut off.
    fn wake_up_all(&mut self) {
        let parked = self.conns.iter().filter(|(_, client)| client.is_parked()).map(|(key, _)| key);
        for key in parked.collect::<Vec<_>>() {
            self.with(key, |_, _| Fate::Waits);
        }
    }

    /// Admits as many clients as are likely to wait. If there are more, the next poll says so.
    fn handle_acceptor(&mut self, acceptor: usize) {
        let budget = self.generation.snapshot.limits.accept_budget;
        let likely = self.acceptors[acceptor].queue.likely(self.turn).min(budget);
        self.accept(acceptor, likely);
    }

    /// Admits at most `budget` clients; says whether more may wait.
    pub(super) fn accept(&mut self, acceptor: usize, budget: usize) -> Waiting {
        for count in 0..budget {
            if !self.expects_place() || self.is_shut_for_tls(acceptor) {
                return Waiting::Perhaps;
            }
            match self.os.accept(self.acceptors[acceptor].fd) {
                Ok((fd, client)) => {
                    self.welcome(acceptor, fd, client);
                    self.make_places();
                }
                Err(AcceptFault::Gone) => {}
                Err(AcceptFault::Blocked) => {
                    self.acceptors[acceptor].queue.note_empty(count);
                    return Waiting::Empty;
                }
                Err(AcceptFault::Exhausted) => {
                    if let Some(link) = self.idle.evict(&mut self.conns, &mut self.parked) {
                        link.close(&mut self.os);
                    } else if !self.make_room() {
                        self.acceptors[acceptor].shut(self.now, self.ended);
                        return Waiting::Perhaps;
                    }
                }
            }
        }
        self.acceptors[acceptor].queue.note_full(self.turn);
        Waiting::Perhaps
    }

    /// Takes in a client that has come by `acceptor`, or hands it over.
    fn welcome(&mut self, acceptor: usize, fd: Fd, client: SocketAddr) {
        let listener = self.acceptors[acceptor].listener;
        let left_behind = self.acceptors[acceptor].left_behind();
        let fd = if left_behind.is_some() { Some(fd) } else { self.hand_over(fd, client, listener) };
        let Some(fd) = fd else { return };
        let (generation, listener_state) =
            left_behind.unwrap_or_else(|| (Rc::clone(&self.generation), ListenerState::At(listener)));
        let listens = self.acceptors[acceptor].listen_socket.listens();
        let arrival = Arrival { fd, client, listener };
        let has_spoken = self.begin(arrival, listener_state, generation, listens);
        if let Some(has_spoken) = has_spoken.filter(|_| listens) {
            self.acceptors[acceptor].listen_socket.note(has_spoken);
        }
    }

    /// Begins a session for a client of a listener of the latest generation.
    pub(super) fn admit(&mut self, fd: Fd, client: SocketAddr, listener: usize) {
        let arrival = Arrival { fd, client, listener };
        self.begin(arrival, ListenerState::At(listener), Rc::clone(&self.generation), true);
    }

    /// Begins a session, unless too many connections come from its client's address. If it `listens` the
    /// first read comes before the first poll; whether that found something is returned. Of a client who is
    /// expected to say nothing yet the parked set will tell.
    fn begin(
        &mut self,
        arrival: Arrival,
        listener_state: ListenerState,
        generation: Rc<Generation>,
        listens: bool,
    ) -> Option<bool> {
        let Arrival { fd, client, listener } = arrival;
        let counted = match self.count_client(client, listener, &generation) {
            Entry::Free => None,
            Entry::Counted(counted) => Some(counted),
            Entry::Refused => {
                self.refuse_client(fd, client);
                return None;
            }
        };
        generation.meters.note_client(listener);
        if generation.snapshot.listeners[listener].tls.is_some() {
            self.begin_handshake(arrival, counted, listener_state, generation);
            return Some(false);
        }
        let session = Session::new(client, listener, &self.world().env(&generation, listener_state));
        let key = self.insert_session(session, Wire::Plain(fd), generation, listener_state);
        self.note_counted(key, counted);
        if let Some(slot) = &self.load_slot {
            slot.begin();
        }
        let mut has_spoken = false;
        self.with(key, |driver, conn| {
            let mut readable = Readable { client: listens, backend: false };
            has_spoken = driver.read(conn, &mut readable);
            if has_spoken && conn.session.begins_http2() {
                return Fate::Multiplexes;
            }
            let fate = driver.drive(conn, readable);
            if !listens && conn.backend.is_none() {
                conn.unheard = UNHEARD_MAX;
            }
            fate
        });
        Some(has_spoken)
    }

    /// Has the session of `key` count for its address until it is over.
    pub(super) fn note_counted(&mut self, key: Key, counted: Option<Box<Counted>>) {
        if let Some(conn) = self.conns.served_mut(key) {
            conn.counted = counted;
        }
    }

    /// Takes a session in among the others.
    pub(super) fn insert_session(
        &mut self,
        session: Session,
        wire: Wire,
        generation: Rc<Generation>,
        listener_state: ListenerState,
    ) -> Key {
        let key = self.conns.insert(Conn::new(session, wire, self.now, generation, listener_state));
        self.hot.push(key);
        key
    }

    /// Sessions that had more to do in the last turn than their share go on behind the others.
    pub(super) fn drive_eager(&mut self) {
        let count = self.eager.len();
        self.rounds = rounds_of(count);
        for index in 0..count {
            let key = self.eager[index];
            self.with(key, |driver, conn| driver.drive(conn, Readable { client: true, backend: true }));
        }
        // Behind them are those that have still more to do.
        self.eager.drain(..count);
    }

    pub(super) fn handle_deadlines(&mut self) {
        let is_cut_off = self
            .common
            .draining_since
            .is_some_and(|since| since + self.generation.snapshot.timeouts.drain <= self.now);
        self.wake_up_late();
        self.end_late_handshakes(is_cut_off);
        self.end_late_closing(is_cut_off);
        if is_cut_off {
            self.wake_multiplexers();
        }
        self.end_late_multiplexers(is_cut_off);
        if is_cut_off {
            self.close_acceptors();
            self.wake_up_all();
        }
        let mut late = std::mem::take(&mut self.late);
        let world = self.world();
        late.extend(self.hot.iter().filter_map(|key| {
            let conn = self.conns.served(*key)?;
            let deadline = conn.deadline(world)?;
            (is_cut_off || deadline.at <= self.now).then_some((*key, deadline.timer))
        }));
        for (key, timer) in late.drain(..) {
            self.with(key, |driver, conn| {
                let want = if !is_cut_off && timer.awaits_bytes() { driver.feed(conn) } else { Want::No };
                if timer == Timer::Policy && !is_cut_off {
                    conn.note_step(driver.recorder, driver.env.now, Step::Unanswered);
                }
                driver.tell(conn, |session, env, effects| match want {
                    _ if is_cut_off => session.force(env, effects),
                    Want::No => session.handle_deadline(timer, env, effects),
                    Want::Bytes => session.handle_starved(timer, env, effects),
                    // Driving finds out the consequences.
                    Want::End => {}
                });
                driver.drive(conn, Readable::default())
            });
        }
        self.late = late;
    }

    /// Closes the idle connections that have waited long enough, and wakes the sessions whose deadlines have
    /// passed.
    fn wake_up_late(&mut self) {
        while let Some(link) = self.idle.pop_late(self.now, &mut self.conns, &mut self.parked) {
            link.close(&mut self.os);
        }
        while let Some(parked) = self.parked.pop_late(self.now) {
            match self.conns.kind(parked) {
                Some(Kind::Client) => self.with(parked, |_, _| Fate::Waits),
                Some(Kind::Handshaking) => self.wake_handshake(parked),
                Some(Kind::Carrying) => self.wake_multiplexer(parked),
                Some(Kind::IdleBackend) => self.close_idle_one(parked),
                Some(Kind::InUse(_) | Kind::Closing | Kind::Check) | None => {}
            }
        }
    }

    fn close_dead(&mut self, key: Key, ready: Ready) {
        let is_surplus = !ready.any(Ready::LEAVE | Ready::HANGUP | Ready::ERROR);
        let (conns, parked) = (&mut self.conns, &mut self.parked);
        if let Some(link) = self.idle.remove_dead(key, is_surplus, self.now, conns, parked) {
            link.close(&mut self.os);
        }
    }

    fn close_idle_one(&mut self, key: Key) {
        if let Some(link) = self.idle.remove(key, &mut self.conns, &mut self.parked) {
            link.close(&mut self.os);
        }
    }

    pub(super) fn close_idle(&mut self) {
        while let Some(link) = self.idle.evict(&mut self.conns, &mut self.parked) {
            link.close(&mut self.os);
        }
    }
}
