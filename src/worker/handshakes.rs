//! Clients whose TLS handshakes are under way. They have no session yet: that begins when bytes can pass.
//!
//! Handshakes are the most expensive work that a stranger can cause, so they are bounded twice: in how many
//! are under way at once, and in how many steps are made in one turn, so that connected clients are served
//! between them. At the first bound listeners with TLS stay shut until a handshake ends; handshakes that have
//! taken long make room, the oldest first. Otherwise a few silent clients would keep all others out. A silent
//! client waits in the parked set, like a quiet session, and costs a turn nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Worker;
use super::array::Nearest;
use super::conn::{Conn, ListenerState};
use super::conns::Conns;
use super::derive::View;
use super::driver::Readable;
use super::events::Arrival;
use super::generation::Generation;
use super::parked::Presence;
use crate::core::interest::Interest;
use crate::core::outcome::Cause;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::h2::ALPN;
use crate::os::{Fd, IoFault, Os};
use crate::prelude::proxy::Announced;
use crate::session::{Env, Heard, Session, awaits_header, hear};
use crate::shared::clients::Counted;
use crate::snapshot::{Announcing, Mode};
use crate::tls::failure;
use crate::wire::{Broken, Shaken, TlsWire, Wire};

/// Steps of handshakes in one turn. A step that signs takes a good part of a millisecond.
const STEPS_MAX: usize = 4;

/// A handshake may take so long at the bound, where others wait. One over the whole world and back takes
/// less.
const CROWDED: Duration = Duration::from_secs(1);

/// Bytes that are read at once while a header of the PROXY protocol is awaited.
const PREFACE_READ: usize = 2048;

/// A client on its way in.
#[derive(Debug)]
pub(super) struct Handshake {
    step: Step,
    /// The header of the proxy before Pollux, if one has come.
    said: Option<Announced>,
    client: SocketAddr,
    listener: usize,
    counted: Option<Box<Counted>>,
    pub(super) generation: Rc<Generation>,
    pub(super) listener_state: ListenerState,
    since: Time,
    pub(super) until: Time,
    presence: Presence,
}

/// The step that a client on its way in has reached.
#[derive(Debug)]
enum Step {
    /// A header of the PROXY protocol is awaited, which comes in plain bytes before the handshake. These have
    /// come.
    Header { fd: Fd, bytes: Vec<u8> },
    /// The handshake is under way.
    Handshaking(Box<TlsWire>),
    /// The connection is about to be closed.
    Refused(Fd),
}

/// The result of one handshake step.
enum Stepped {
    Waits,
    Done,
    TurnedAway(Cause),
}

impl Step {
    fn fd(&self) -> Fd {
        match self {
            Step::Header { fd, .. } | Step::Refused(fd) => *fd,
            Step::Handshaking(wire) => wire.fd(),
        }
    }

    fn wants(&self) -> Interest {
        match self {
            Step::Header { .. } | Step::Refused(_) => Interest::READ,
            Step::Handshaking(wire) => wire.handshake_interest(),
        }
    }

    fn into_wire(self) -> Wire {
        match self {
            Step::Header { fd, .. } | Step::Refused(fd) => Wire::Plain(fd),
            Step::Handshaking(wire) => Wire::Tls(wire),
        }
    }
}

impl Handshake {
    /// Its descriptor, and what to ask poll about it.
    pub(super) fn waits_for(&self) -> (Fd, Interest) {
        (self.step.fd(), self.step.wants())
    }

    /// Reads on in the header that is awaited, and goes on to the handshake behind it.
    fn read_header<O: Os>(&mut self, os: &mut O, now: Time) -> Stepped {
        let rules = &self.generation.snapshot.listeners[self.listener];
        let Step::Header { fd, bytes } = &mut self.step else { return Stepped::Waits };
        let fd = *fd;
        let (length, said) = loop {
            match hear(rules, self.client, bytes) {
                Heard::More => {}
                Heard::Header(length, said) => break (length, Some(said)),
                Heard::Absent => break (0, None),
                Heard::Refused(cause) => return Stepped::TurnedAway(cause),
            }
            let mut room = [0; PREFACE_READ];
            match os.recv(fd, &mut room) {
                Ok(0) | Err(IoFault::Lost) if bytes.is_empty() => {
                    return Stepped::TurnedAway(Cause::NoRequest);
                }
                Ok(0) => return Stepped::TurnedAway(Cause::ProxyHeaderMalformed),
                Ok(count) => bytes.extend_from_slice(&room[..count]),
                Err(IoFault::Blocked) => return Stepped::Waits,
                Err(IoFault::Lost) => return Stepped::TurnedAway(Cause::ClientAborted),
            }
        };
        let early = bytes.split_off(length);
        self.said = said;
        self.until = now + self.generation.snapshot.timeouts.handshake;
        let Some(mut wire) = wire_of(&self.generation, self.listener, fd, &early) else {
            self.step = Step::Refused(fd);
            return Stepped::TurnedAway(Cause::TlsHandshakeFailed);
        };
        let stepped = shake(&mut wire, self.client, os);
        self.step = Step::Handshaking(wire);
        stepped
    }

    /// The cause for which it ends when its time is over.
    fn lateness(&self) -> Cause {
        let is_required =
            self.generation.snapshot.listeners[self.listener].announcing == Announcing::Required;
        match &self.step {
            Step::Header { bytes, .. } if is_required || !bytes.is_empty() => Cause::ProxyHeaderTimeout,
            Step::Header { .. } | Step::Handshaking(_) | Step::Refused(_) => Cause::TlsHandshakeTimeout,
        }
    }

    /// Moves it to another generation, in which it stands like that.
    pub(super) fn move_to(&mut self, generation: &Rc<Generation>, listener_state: ListenerState) {
        self.listener_state = listener_state;
        if let ListenerState::At(listener) = listener_state {
            (self.listener, self.generation) = (listener, Rc::clone(generation));
        }
    }
}

/// The order of the handshakes of a worker. They themselves lie in the slab of [`Conns`].
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// Handshakes that are not parked, and some that are over.
    hot: Vec<Key>,
    /// All in the order in which they began, and some that are over.
    begun: VecDeque<Key>,
    /// The most that may be under way.
    most: usize,
    /// Steps that may still be made in this turn.
    steps: usize,
}

impl Handshakes {
    pub(super) fn new(most: usize) -> Handshakes {
        Handshakes { most, steps: STEPS_MAX, ..Handshakes::default() }
    }

    /// From now on so many may be under way.
    pub(super) fn adapt(&mut self, most: usize) {
        self.most = most;
    }

    /// The one that has begun first.
    fn oldest<'a>(&mut self, conns: &'a Conns) -> Option<(Key, &'a Handshake)> {
        while self.begun.front().is_some_and(|key| conns.handshake(*key).is_none()) {
            self.begun.pop_front();
        }
        let key = *self.begun.front()?;
        conns.handshake(key).map(|handshake| (key, handshake))
    }

    fn insert(&mut self, conns: &mut Conns, handshake: Handshake) -> Key {
        let key = conns.insert_handshake(handshake);
        self.hot.push(key);
        self.begun.push_back(key);
        // One that is stuck at the front keeps those that are over behind it: they are not to pile up.
        if self.begun.len() > 2 * conns.handshaking() + STEPS_MAX {
            self.begun.retain(|key| conns.handshake(*key).is_some());
        }
        key
    }
}

impl<O: Os> Worker<O> {
    /// Begins the handshake of a client that has come by a listener with TLS.
    pub(super) fn begin_handshake(
        &mut self,
        arrival: Arrival,
        counted: Option<Box<Counted>>,
        listener_state: ListenerState,
        generation: Rc<Generation>,
    ) {
        let Arrival { fd, client, listener } = arrival;
        let rules = &generation.snapshot.listeners[listener];
        let timeouts = &generation.snapshot.timeouts;
        let (step, wait) = if awaits_header(rules, client) {
            // A client that needs no PROXY header has the whole time.
            let is_required = rules.announcing == Announcing::Required;
            let wait = if is_required { timeouts.prelude } else { timeouts.handshake };
            (Step::Header { fd, bytes: Vec::new() }, wait)
        } else {
            match wire_of(&generation, listener, fd, &[]) {
                Some(wire) => (Step::Handshaking(wire), timeouts.handshake),
                None => return self.os.close(fd),
            }
        };
        let (until, said) = (self.now + wait, None);
        let (since, presence) = (self.now, Presence::hot(self.now));
        let handshake = Handshake {
            step,
            said,
            client,
            listener,
            counted,
            generation,
            listener_state,
            since,
            until,
            presence,
        };
        let key = self.handshakes.insert(&mut self.conns, handshake);
        if let Some(slot) = &self.load_slot {
            slot.begin();
        }
        // Most clients have spoken by now.
        self.go_on_with(key);
    }

    /// Puts the handshakes into the poll array, and those of which nothing was heard for a while into the
    /// parked set.
    pub(super) fn derive_handshakes(&mut self, nearest: &mut Nearest) {
        let now = self.now;
        self.handshakes.steps = STEPS_MAX;
        if self.is_full_of_handshakes()
            && let Some((_, oldest)) = self.handshakes.oldest(&self.conns)
        {
            nearest.note(oldest.since + CROWDED);
        }
        let world = self.common.world(now, false);
        let (hot, conns) = (&mut self.handshakes.hot, &mut self.conns);
        // The start rotates, so that not the same handshakes wait in every turn.
        if let 2.. = hot.len() {
            hot.rotate_left(1);
        }
        let (parked, os, array) = (&mut self.parked, &mut self.os, &mut self.array);
        hot.retain(|key| {
            let Some(handshake) = conns.handshake_mut(*key) else { return false };
            let wait = View::Handshake(handshake).derive(world, Some);
            if handshake.presence.is_quiet(now) && parked.park(os, &wait, *key) {
                handshake.presence = Presence::Parked { until: handshake.until };
                parked.enter(handshake.until, *key);
                return false;
            }
            handshake.presence.note_poll();
            array.wait(&wait, *key, nearest);
            true
        });
    }

    /// Takes a handshake out of the parked set, if it still waits there.
    pub(super) fn wake_handshake(&mut self, key: Key) {
        let Some(handshake) = self.conns.handshake_mut(key) else { return };
        if let Some(until) = handshake.presence.parked_until() {
            self.parked.leave(until, key);
            handshake.presence = Presence::hot(self.now);
            self.handshakes.hot.push(key);
        }
    }

    /// Lets a handshake of which poll has news go on, if it is not too many of them for this turn: then the
    /// next poll says it again.
    pub(super) fn go_on_with(&mut self, key: Key) {
        if self.handshakes.steps == 0 {
            return;
        }
        self.handshakes.steps -= 1;
        let Some(handshake) = self.conns.handshake_mut(key) else { return };
        handshake.presence = Presence::hot(self.now);
        let stepped = match &mut handshake.step {
            Step::Header { .. } => handshake.read_header(&mut self.os, self.now),
            Step::Handshaking(wire) => shake(wire, handshake.client, &mut self.os),
            Step::Refused(_) => Stepped::Waits,
        };
        match stepped {
            Stepped::Waits => {}
            Stepped::Done => self.let_in(key),
            Stepped::TurnedAway(cause) => self.turn_away(key, cause),
        }
    }

    /// Begins the session of a client whose handshake is over.
    fn let_in(&mut self, key: Key) {
        // Without TLS there is no session.
        let is_encrypted = |handshake: &Handshake| matches!(handshake.step, Step::Handshaking(_));
        if !self.conns.handshake(key).is_some_and(is_encrypted) {
            if let Some(handshake) = self.conns.remove_handshake(key) {
                self.os.close(handshake.step.fd());
            }
            return;
        }
        let (now, world) = (self.now, self.common.world(self.now, self.journal.wants_request()));
        let mut is_http2 = false;
        let serve = |handshake: Handshake| {
            let Handshake { step, said, client, listener, counted, generation, listener_state, .. } =
                handshake;
            let mut wire = step.into_wire();
            let env = world.env(&generation, listener_state);
            let mut session = session_of(client, said, listener, &env);
            if let Wire::Tls(wire) = &mut wire {
                let tls_info = wire.tls_info();
                let is_http = generation.snapshot.listeners[listener].mode == Mode::Http;
                is_http2 = is_http && tls_info.protocol == ALPN;
                session.handle_tls_info(tls_info, &env);
            }
            Conn { counted, ..Conn::new(session, wire, now, generation, listener_state) }
        };
        if !self.conns.serve(key, serve) {
            return;
        }
        if is_http2 {
            self.multiplex_encrypted(key);
            return;
        }
        self.hot.push(key);
        self.with(key, |driver, conn| driver.drive(conn, Readable { client: true, backend: false }));
    }

    /// Closes the connection of a client whose handshake has failed, and makes the record of it.
    fn turn_away(&mut self, key: Key, cause: Cause) {
        let Some(handshake) = self.conns.remove_handshake(key) else { return };
        let Handshake { step, said, client, listener, generation, listener_state, .. } = *handshake;
        if let Some(slot) = &self.load_slot {
            slot.end();
        }
        self.ended += 1;
        step.into_wire().close(&mut self.os);
        let world = self.common.world(self.now, false);
        let env = world.env(&generation, listener_state);
        let mut session = session_of(client, said, listener, &env);
        session.turn_away(cause);
        let record = session.record(&env);
        self.journal.record(&record, self.wall);
    }

    /// Ends the handshakes whose time is over, those that have to make room, or all of them. A handshake whose
    /// deadline has passed in the parked set has left it by now.
    pub(super) fn end_late_handshakes(&mut self, is_cut_off: bool) {
        if is_cut_off {
            let all: Vec<Key> = self.conns.handshakes().collect();
            for key in all {
                self.wake_handshake(key);
                self.turn_away(key, Cause::DrainTimeout);
            }
            return;
        }
        let hot = self.handshakes.hot.iter();
        let late = hot.filter_map(|key| Some((*key, self.conns.handshake(*key)?)));
        let late = late.filter(|(_, handshake)| handshake.until <= self.now);
        let late: Vec<_> = late.map(|(key, handshake)| (key, handshake.lateness())).collect();
        late.into_iter().for_each(|(key, cause)| self.turn_away(key, cause));
        while self.is_full_of_handshakes() && self.end_late_handshake() {}
    }

    /// Whether the oldest handshake has taken long enough to make room for others.
    pub(super) fn has_late_handshake(&mut self) -> bool {
        self.handshakes.oldest(&self.conns).is_some_and(|(_, oldest)| oldest.since + CROWDED <= self.now)
    }

    /// Ends the oldest handshake if it has taken long enough; false if it has not.
    pub(super) fn end_late_handshake(&mut self) -> bool {
        let Some((key, oldest)) = self.handshakes.oldest(&self.conns) else { return false };
        let (is_late, cause) = (oldest.since + CROWDED <= self.now, oldest.lateness());
        if is_late {
            self.wake_handshake(key);
            self.turn_away(key, cause);
        }
        is_late
    }

    /// Whether clients by that acceptor have to wait until the handshake of another one ends.
    pub(super) fn is_shut_for_tls(&self, acceptor: usize) -> bool {
        if !self.is_full_of_handshakes() {
            return false;
        }
        let acceptor = &self.acceptors[acceptor];
        let generation =
            acceptor.left_behind().map_or_else(|| Rc::clone(&self.generation), |(generation, _)| generation);
        generation.snapshot.listeners[acceptor.listener].tls.is_some()
    }

    /// Whether no more handshakes may be under way.
    pub(super) fn is_full_of_handshakes(&self) -> bool {
        self.conns.handshaking() >= self.handshakes.most
    }
}

/// The wire of a client of the listener at `listener` that has said `early` already; `None` if there can be
/// none.
fn wire_of(generation: &Generation, listener: usize, fd: Fd, early: &[u8]) -> Option<Box<TlsWire>> {
    let wire = TlsWire::of_client(fd, generation.termination(listener)?).ok()?;
    Some(Box::new(wire.with_early(early)))
}

/// Lets the handshake of `client` go on.
fn shake<O: Os>(wire: &mut TlsWire, client: SocketAddr, os: &mut O) -> Stepped {
    Stepped::TurnedAway(match wire.shake(os) {
        Shaken::Waits => return Stepped::Waits,
        Shaken::Done => return Stepped::Done,
        // The peer only tested whether the port is open.
        Shaken::Failed(Broken::Gone) if !wire.has_heard() => Cause::NoRequest,
        Shaken::Failed(Broken::Gone) => Cause::TlsHandshakeFailed,
        Shaken::Failed(Broken::Refused(error)) => {
            tracing::debug!(%client, %error, "a TLS handshake failed");
            failure::of_client(&error)
        }
    })
}

fn session_of(client: SocketAddr, said: Option<Announced>, listener: usize, env: &Env<'_>) -> Session {
    match said {
        Some(said) => Session::announced(client, said, listener, env),
        None => Session::new(client, listener, env),
    }
}
