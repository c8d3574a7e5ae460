//! The connections of a worker: one slab, one key for each. A client keeps its key from its handshake to its
//! close, and a backend connection from its connect to its close. A client that is served is a [`Conn`], with a
//! session, two lanes and an exchange. One that rests between two requests in the parked set is an
//! [`IdleClient`], in a tenth of the memory.
//!
//! A client that is driven is taken out of its slot for that time, so that its driver can change the slots of
//! others.

use std::rc::Rc;

use super::checks::RunningCheck;
use super::closing::Closing;
use super::conn::{Conn, ListenerState, Piped, Stay, World};
use super::derive::View;
use super::generation::Generation;
use super::handshakes::Handshake;
use super::idle::IdleBackend;
use super::look::Look;
use super::multiplexer::Multiplexer;
use super::own::Owned;
use super::parked::EpollSet;
use crate::core::slab::{Key, Slab};
use crate::core::time::Time;
use crate::session::{Resting, SessionMemory};
use crate::shared::clients::Counted;
use crate::wire::Wire;

/// The memory for so many served clients is kept for the next ones.
const SPARE_MAX: usize = 512;

/// The memory for so many is kept for longer than a moment.
const SPARE_KEPT: usize = 64;

/// The same of the text of their sessions.
const MEMORIES_KEPT: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Conns {
    slab: Slab<Connection>,
    /// Memory for more that are served.
    spare: Vec<Served>,
    /// The memory of sessions of streams that are over.
    memories: Vec<SessionMemory>,
    /// The number of clients that are served or idle.
    sessions: usize,
    /// The number of clients in their handshakes.
    handshaking: usize,
    /// The keys of those that close.
    closing: Vec<Key>,
}

/// The memory of a client that is served: empty only while it is spare.
pub(super) type Served = Box<Option<Conn>>;

/// One connection, by what it is at.
#[derive(Debug)]
enum Connection {
    /// `None` while it is driven.
    Served(Option<Served>),
    Idle(IdleClient),
    Handshaking(Box<Handshake>),
    /// A backend connection. The client of that key holds it for its exchange.
    InUse(Key),
    IdleBackend(IdleBackend),
    /// It carries streams; `None` while it is served.
    Carrying(Option<Box<Multiplexer>>),
    Closing(Closing),
    Check(Box<RunningCheck>),
}

/// The kind of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has a session.
    Client,
    Handshaking,
    /// A backend connection that the client of that key holds.
    InUse(Key),
    IdleBackend,
    /// It carries streams, which have sessions of their own.
    Carrying,
    Closing,
    /// A connection to a backend that looks whether it is well.
    Check,
}

/// A client in the parked set that awaits its next request, of which nothing has come.
#[derive(Debug)]
pub(super) struct IdleClient {
    pub(super) session: Resting,
    pub(super) wire: Wire,
    /// Its deadline in the parked set.
    until: Time,
    pub(super) generation: Rc<Generation>,
    pub(super) listener_state: ListenerState,
    owned: Option<Box<Owned>>,
    counted: Option<Box<Counted>>,
}

impl Default for Conns {
    fn default() -> Conns {
        Conns {
            slab: Slab::default(),
            spare: Vec::with_capacity(SPARE_KEPT),
            memories: Vec::new(),
            sessions: 0,
            handshaking: 0,
            closing: Vec::new(),
        }
    }
}

impl Conns {
    /// Takes in a client that is served.
    pub(super) fn insert(&mut self, conn: Conn) -> Key {
        let place = self.place(conn);
        self.sessions += 1;
        self.slab.insert(Connection::Served(Some(place)))
    }

    /// Takes in a client whose handshake begins.
    pub(super) fn insert_handshake(&mut self, handshake: Handshake) -> Key {
        self.handshaking += 1;
        self.slab.insert(Connection::Handshaking(Box::new(handshake)))
    }

    /// Memory with `conn` in it.
    fn place(&mut self, conn: Conn) -> Served {
        let mut place = self.spare.pop().unwrap_or_default();
        *place = Some(conn);
        place
    }

    /// The kind of the connection of `key`.
    pub(super) fn kind(&self, key: Key) -> Option<Kind> {
        Some(match self.slab.get(key)? {
            Connection::Served(_) | Connection::Idle(_) => Kind::Client,
            Connection::Handshaking(_) => Kind::Handshaking,
            Connection::InUse(client) => Kind::InUse(*client),
            Connection::IdleBackend(_) => Kind::IdleBackend,
            Connection::Carrying(_) => Kind::Carrying,
            Connection::Closing(_) => Kind::Closing,
            Connection::Check(_) => Kind::Check,
        })
    }

    /// The client of `key`, if it is served.
    pub(super) fn served(&self, key: Key) -> Option<&Conn> {
        let Connection::Served(client) = self.slab.get(key)? else { return None };
        client.as_ref()?.as_ref().as_ref()
    }

    /// Like [`Conns::served`], to change the client.
    pub(super) fn served_mut(&mut self, key: Key) -> Option<&mut Conn> {
        let Connection::Served(client) = self.slab.get_mut(key)? else { return None };
        client.as_mut()?.as_mut().as_mut()
    }

    /// Takes the client of `key` out of its slot, to be driven and [put back](Conns::put_back). It is served
    /// from now on. One that was idle is still entered in the parked set.
    pub(super) fn take(&mut self, key: Key, now: Time) -> Option<Served> {
        let slot = self.slab.get_mut(key)?;
        match slot {
            Connection::Served(conn) => conn.take(),
            Connection::Idle(_) => {
                let Connection::Idle(idle) = std::mem::replace(slot, Connection::Served(None)) else {
                    return None;
                };
                Some(self.place(idle.wake(now)))
            }
            Connection::Handshaking(_)
            | Connection::InUse(_)
            | Connection::IdleBackend(_)
            | Connection::Carrying(_)
            | Connection::Closing(_)
            | Connection::Check(_) => None,
        }
    }

    /// Puts a client back that was [taken](Conns::take).
    pub(super) fn put_back(&mut self, key: Key, client: Served) {
        if let Some(Connection::Served(slot)) = self.slab.get_mut(key) {
            *slot = Some(client);
        }
    }

    /// Ends a client that was [taken](Conns::take), unless it is `closing` still; what backend connections were
    /// its alone.
    pub(super) fn end(
        &mut self,
        key: Key,
        mut client: Served,
        closing: Option<Closing>,
    ) -> Option<Box<Owned>> {
        self.sessions -= 1;
        self.close(key, closing);
        debug_assert!(
            client.as_ref().as_ref().is_none_or(|conn| conn.backend.is_none()),
            "its backend leaks"
        );
        let over = client.take();
        self.keep(client);
        let Conn { session, owned, .. } = over?;
        if self.memories.len() < SPARE_MAX {
            self.memories.extend(session.into_memory());
        }
        owned
    }

    /// Memory for the session of a stream.
    pub(super) fn session_memory(&mut self) -> SessionMemory {
        self.memories.pop().unwrap_or_default()
    }

    /// Whether more memory is kept for clients to come than what is kept for good.
    pub(super) fn has_surplus(&self) -> bool {
        self.spare.len() > SPARE_KEPT || self.memories.len() > MEMORIES_KEPT
    }

    /// Gives the surplus back.
    pub(super) fn tidy(&mut self) {
        self.spare.truncate(SPARE_KEPT);
        self.memories.truncate(MEMORIES_KEPT);
    }

    /// Frees the slot of `key`, of which nothing is left, unless it is `closing` still.
    pub(super) fn close(&mut self, key: Key, closing: Option<Closing>) {
        let Some(closing) = closing else { return drop(self.slab.remove(key)) };
        if let Some(slot) = self.slab.get_mut(key) {
            *slot = Connection::Closing(closing);
            self.closing.push(key);
        }
    }

    /// Takes in a backend connection that `client` is to hold.
    pub(super) fn insert_in_use(&mut self, client: Key) -> Key {
        self.slab.insert(Connection::InUse(client))
    }

    /// Takes back a backend connection from the client that has held it.
    pub(super) fn take_back(&mut self, key: Key, idle: IdleBackend) {
        if let Some(slot) = self.slab.get_mut(key) {
            *slot = Connection::IdleBackend(idle);
        }
    }

    /// Lends an idle backend connection to `client`.
    pub(super) fn lend(&mut self, key: Key, client: Key) -> Option<IdleBackend> {
        let slot = self.slab.get_mut(key)?;
        let Connection::IdleBackend(_) = slot else { return None };
        let Connection::IdleBackend(idle) = std::mem::replace(slot, Connection::InUse(client)) else {
            return None;
        };
        Some(idle)
    }

    /// The backend connection of `key`, if it is idle.
    pub(super) fn idle_backend(&self, key: Key) -> Option<&IdleBackend> {
        let Connection::IdleBackend(idle) = self.slab.get(key)? else { return None };
        Some(idle)
    }

    /// Like [`Conns::idle_backend`], to change it.
    pub(super) fn idle_backend_mut(&mut self, key: Key) -> Option<&mut IdleBackend> {
        let Connection::IdleBackend(idle) = self.slab.get_mut(key)? else { return None };
        Some(idle)
    }

    /// Removes the backend connection of `key`, if it is idle.
    pub(super) fn remove_idle_backend(&mut self, key: Key) -> Option<IdleBackend> {
        self.idle_backend(key)?;
        let Connection::IdleBackend(idle) = self.slab.remove(key)? else { return None };
        Some(idle)
    }

    /// The keys of those that close.
    pub(super) fn closing(&self) -> &[Key] {
        &self.closing
    }

    /// The connection of `key`, if it closes.
    pub(super) fn closing_of(&self, key: Key) -> Option<&Closing> {
        let Connection::Closing(closing) = self.slab.get(key)? else { return None };
        Some(closing)
    }

    /// Like [`Conns::closing_of`], to change it.
    pub(super) fn closing_mut(&mut self, key: Key) -> Option<&mut Closing> {
        let Connection::Closing(closing) = self.slab.get_mut(key)? else { return None };
        Some(closing)
    }

    /// Removes the connection of `key`, if it closes.
    pub(super) fn remove_closing(&mut self, key: Key) -> Option<Closing> {
        self.closing_mut(key)?;
        self.closing.retain(|other| *other != key);
        let Connection::Closing(closing) = self.slab.remove(key)? else { return None };
        Some(closing)
    }

    /// Takes in a check that begins.
    pub(super) fn insert_check(&mut self, check: RunningCheck) -> Key {
        self.slab.insert(Connection::Check(Box::new(check)))
    }

    /// The check of `key`.
    pub(super) fn check(&self, key: Key) -> Option<&RunningCheck> {
        let Connection::Check(check) = self.slab.get(key)? else { return None };
        Some(check)
    }

    /// Like [`Conns::check`], to change it.
    pub(super) fn check_mut(&mut self, key: Key) -> Option<&mut RunningCheck> {
        let Connection::Check(check) = self.slab.get_mut(key)? else { return None };
        Some(check)
    }

    /// Removes the check of `key`.
    pub(super) fn remove_check(&mut self, key: Key) -> Option<Box<RunningCheck>> {
        self.check(key)?;
        let Connection::Check(check) = self.slab.remove(key)? else { return None };
        Some(check)
    }

    /// The client of `key`, if it is in its handshake.
    pub(super) fn handshake(&self, key: Key) -> Option<&Handshake> {
        let Connection::Handshaking(handshake) = self.slab.get(key)? else { return None };
        Some(handshake)
    }

    /// Like [`Conns::handshake`], to change it.
    pub(super) fn handshake_mut(&mut self, key: Key) -> Option<&mut Handshake> {
        let Connection::Handshaking(handshake) = self.slab.get_mut(key)? else { return None };
        Some(handshake)
    }

    /// The connection of `key`, if it carries streams.
    pub(super) fn multiplexer_mut(&mut self, key: Key) -> Option<&mut Multiplexer> {
        let Connection::Carrying(mux) = self.slab.get_mut(key)? else { return None };
        mux.as_deref_mut()
    }

    /// The connection of `key`, if it carries streams and is not being served.
    pub(super) fn multiplexer(&self, key: Key) -> Option<&Multiplexer> {
        let Connection::Carrying(mux) = self.slab.get(key)? else { return None };
        mux.as_deref()
    }

    /// Takes in a connection to a backend that is to carry streams, made for its key.
    pub(super) fn insert_carrier(&mut self, make: impl FnOnce(Key) -> Multiplexer) -> Key {
        let key = self.slab.insert(Connection::Carrying(None));
        self.put_multiplexer(key, Box::new(make(key)));
        key
    }

    /// Takes the connection of `key` out of its slot, if it carries streams, to be served and
    /// [put back](Conns::put_multiplexer).
    pub(super) fn take_multiplexer(&mut self, key: Key) -> Option<Box<Multiplexer>> {
        let Connection::Carrying(mux) = self.slab.get_mut(key)? else { return None };
        mux.take()
    }

    /// Puts a connection back that was [taken](Conns::take_multiplexer).
    pub(super) fn put_multiplexer(&mut self, key: Key, mux: Box<Multiplexer>) {
        if let Some(Connection::Carrying(slot)) = self.slab.get_mut(key) {
            *slot = Some(mux);
        }
    }

    /// Lets a client that was [taken](Conns::take) carry streams from now on: its slot waits for its
    /// multiplexer.
    pub(super) fn begin_to_carry(&mut self, key: Key, mut client: Served) -> Option<Conn> {
        if let Some(slot) = self.slab.get_mut(key) {
            *slot = Connection::Carrying(None);
        }
        let conn = client.take();
        self.keep(client);
        conn
    }

    /// Ends a connection that was [taken](Conns::take_multiplexer), unless it is `closing` still.
    /// `is_client` says whether it was a client's.
    pub(super) fn end_multiplexer(&mut self, key: Key, closing: Option<Closing>, is_client: bool) {
        self.sessions -= usize::from(is_client);
        self.close(key, closing);
    }

    /// Every connection that carries streams.
    pub(super) fn multiplexers(&self) -> impl Iterator<Item = Key> {
        let carries = |connection: &Connection| matches!(connection, Connection::Carrying(_));
        self.slab.iter().filter(move |(_, connection)| carries(connection)).map(|(key, _)| key)
    }

    /// Every client that is in its handshake.
    pub(super) fn handshakes(&self) -> impl Iterator<Item = Key> {
        let is_meant = |connection: &Connection| matches!(connection, Connection::Handshaking(_));
        self.slab.iter().filter(move |(_, connection)| is_meant(connection)).map(|(key, _)| key)
    }

    /// Removes the client of `key`, if it is in its handshake.
    pub(super) fn remove_handshake(&mut self, key: Key) -> Option<Box<Handshake>> {
        self.handshake(key)?;
        self.handshaking -= 1;
        let Connection::Handshaking(handshake) = self.slab.remove(key)? else { return None };
        Some(handshake)
    }

    /// Ends the handshake of the client of `key`, which `served` makes one that is served; false if it is in
    /// no handshake.
    pub(super) fn serve(&mut self, key: Key, served: impl FnOnce(Handshake) -> Conn) -> bool {
        let Some(slot) = self.slab.get_mut(key) else { return false };
        let Connection::Handshaking(_) = slot else { return false };
        let Connection::Handshaking(handshake) = std::mem::replace(slot, Connection::Served(None)) else {
            return false;
        };
        (self.handshaking, self.sessions) = (self.handshaking - 1, self.sessions + 1);
        let client = self.place(served(*handshake));
        self.put_back(key, client);
        true
    }

    /// Lets the client of `key`, which has just been parked, be idle, if there is nothing under way.
    pub(super) fn rest(&mut self, key: Key) {
        let Some(slot) = self.slab.get_mut(key) else { return };
        let Connection::Served(Some(client)) = slot else { return };
        let Some(idle) = client.take_if(|conn| conn.is_at_rest()).and_then(Conn::into_idle) else { return };
        if let Connection::Served(Some(place)) = std::mem::replace(slot, Connection::Idle(idle)) {
            self.keep(place);
        }
    }

    fn keep(&mut self, place: Served) {
        debug_assert!(place.is_none(), "memory is spare once its client is gone");
        if self.spare.len() < SPARE_MAX {
            self.spare.push(place);
        }
    }

    /// Every client that is served.
    pub(super) fn all_served(&self) -> impl Iterator<Item = (Key, &Conn)> {
        self.iter().filter_map(|(key, look)| match look {
            Look::Served(conn) => Some((key, conn)),
            Look::Idle(_) => None,
        })
    }

    /// Sets the listener state of every client by `listener_state`, and moves it to `latest` if no exchange is
    /// under way; the keys of those that are served, but parked and between two exchanges.
    pub(super) fn move_to(
        &mut self,
        latest: &Rc<Generation>,
        listener_state: impl Fn(ListenerState) -> ListenerState,
    ) -> Vec<Key> {
        let mut parked = Vec::new();
        for (key, connection) in self.slab.iter_mut() {
            match connection {
                Connection::Served(client) => {
                    if let Some(conn) = client.as_mut().and_then(|client| client.as_mut().as_mut()) {
                        conn.listener_state = listener_state(conn.listener_state);
                        conn.renew(latest);
                        if conn.session.is_between_exchanges() && conn.is_parked() {
                            parked.push(key);
                        }
                    }
                }
                Connection::Idle(idle) => {
                    idle.listener_state = listener_state(idle.listener_state);
                    idle.renew(latest);
                }
                Connection::Handshaking(handshake) => {
                    if let ListenerState::At(_) = handshake.listener_state {
                        handshake.move_to(latest, listener_state(handshake.listener_state));
                    }
                }
                Connection::Carrying(mux) => {
                    if let Some(mux) = mux {
                        mux.renew(latest, &listener_state);
                    }
                }
                Connection::InUse(_)
                | Connection::IdleBackend(_)
                | Connection::Closing(_)
                | Connection::Check(_) => {}
            }
        }
        parked
    }

    /// Derives the deadlines of the idle clients anew, because the configuration or the drain has changed them.
    pub(super) fn derive_idle(&mut self, world: World<'_>, set: &mut EpollSet) {
        for (key, connection) in self.slab.iter_mut() {
            if let Connection::Idle(idle) = connection {
                let Some(until) = View::IdleClient(idle).derive(world, Some).until else { continue };
                set.leave(idle.until, key);
                idle.until = until;
                set.enter(until, key);
            }
        }
    }

    /// A look at the client of `key`.
    pub(super) fn look(&self, key: Key) -> Option<Look<'_>> {
        self.slab.get(key)?.look()
    }

    /// A look at the connection of `key`, unless it is driven.
    pub(super) fn view(&self, key: Key) -> Option<View<'_>> {
        Some(match self.slab.get(key)? {
            Connection::Served(client) => View::Client(client.as_ref()?.as_ref().as_ref()?),
            Connection::Idle(idle) => View::IdleClient(idle),
            Connection::Handshaking(handshake) => View::Handshake(handshake),
            Connection::InUse(client) => {
                let conn = self.served(*client)?;
                View::Backend(conn, conn.backend.as_ref()?)
            }
            Connection::IdleBackend(idle) => View::IdleBackend(idle),
            Connection::Carrying(mux) => View::Carrier(mux.as_deref()?),
            Connection::Closing(closing) => View::Closing(closing),
            Connection::Check(check) => View::Check(check),
        })
    }

    /// A look at every client that is served or idle.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, Look<'_>)> + Clone {
        self.slab.iter().filter_map(|(key, connection)| Some((key, connection.look()?)))
    }

    /// The number of clients that are served or idle.
    pub(super) fn sessions(&self) -> usize {
        self.sessions
    }

    /// The number of clients in their handshakes.
    pub(super) fn handshaking(&self) -> usize {
        self.handshaking
    }

    /// The number of clients, those in their handshakes included.
    pub(super) fn clients(&self) -> usize {
        self.sessions + self.handshaking
    }
}

impl Connection {
    /// A look at it, if it is a client that is served or idle.
    fn look(&self) -> Option<Look<'_>> {
        match self {
            Connection::Served(client) => client.as_ref()?.as_ref().as_ref().map(Look::Served),
            Connection::Idle(idle) => Some(Look::Idle(idle)),
            Connection::Handshaking(_)
            | Connection::InUse(_)
            | Connection::IdleBackend(_)
            | Connection::Carrying(_)
            | Connection::Closing(_)
            | Connection::Check(_) => None,
        }
    }
}

impl Conn {
    /// Whether it is parked with nothing under way, so that it can be an [`IdleClient`].
    fn is_at_rest(&self) -> bool {
        let Conn { session, client, backend, permit, ticket, pipes, trail, .. } = self;
        self.is_parked()
            && client.is_some()
            && (backend.is_none() && permit.is_none() && ticket.is_none() && trail.is_none())
            && matches!(pipes, Piped { up: None, down: None })
            && session.is_at_rest()
    }

    fn into_idle(self) -> Option<IdleClient> {
        let Conn { session, client, stay, generation, listener_state, owned, counted, .. } = self;
        let Stay::Parked { until } = stay else { return None };
        let session = session.into_resting();
        Some(IdleClient { session, wire: client?, until, generation, listener_state, owned, counted })
    }
}

impl IdleClient {
    fn wake(self, now: Time) -> Conn {
        let IdleClient { session, wire, until, generation, listener_state, owned, counted } = self;
        let conn = Conn::new(session.wake(now), wire, now, generation, listener_state);
        Conn { stay: Stay::Parked { until }, owned, counted, ..conn }
    }

    /// See [`Conn::renew`].
    fn renew(&mut self, latest: &Rc<Generation>) {
        if let ListenerState::At(listener) = self.listener_state {
            self.generation = Rc::clone(latest);
            self.session.move_to(listener);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of an idle client beside the socket, the parked set and, with TLS, the state of rustls.
    #[test]
    fn an_idle_client_is_small() {
        assert!(size_of::<Connection>() <= 160, "{} bytes", size_of::<Connection>());
        assert!(size_of::<Conn>() <= 1464, "{} bytes", size_of::<Conn>());
    }
}
