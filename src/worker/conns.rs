//! The connections of a worker: one slab, one key for each. A client keeps its key from its handshake to its
//! close, and a backend connection from its connect to its close. A client that is served is a [`Conn`], with a
//! session, two lanes and an exchange. One that rests between two requests in the parked set is an
//! [`IdleClient`], in a tenth of the memory.
//!
//! A client that is driven is taken out of its slot for that time, so that its driver can change the slots of
//! others.

mod by_kind;
mod spare;

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
use crate::session::Resting;
use crate::shared::clients::Counted;
use crate::wire::Wire;

pub(super) use spare::Served;
use spare::SpareClients;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Conns {
    slab: Slab<Connection>,
    /// Memory for more that are served.
    pub(super) spare: SpareClients,
    /// The number of clients that are served or idle.
    sessions: usize,
    /// The number of clients in their handshakes.
    handshaking: usize,
    /// The keys of those that close.
    closing: Vec<Key>,
}

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

impl Conns {
    /// Takes in a client that is served.
    pub(super) fn insert(&mut self, conn: Conn) -> Key {
        let place = self.spare.place(conn);
        self.sessions += 1;
        self.slab.insert(Connection::Served(Some(place)))
    }

    /// Takes in a client whose handshake begins.
    pub(super) fn insert_handshake(&mut self, handshake: Handshake) -> Key {
        self.handshaking += 1;
        self.slab.insert(Connection::Handshaking(Box::new(handshake)))
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
                Some(self.spare.place(idle.wake(now)))
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
        self.spare.keep(client);
        let Conn { session, owned, .. } = over?;
        self.spare.keep_session(session);
        owned
    }

    /// Frees the slot of `key`, of which nothing is left, unless it is `closing` still.
    pub(super) fn close(&mut self, key: Key, closing: Option<Closing>) {
        let Some(closing) = closing else { return drop(self.slab.remove(key)) };
        if let Some(slot) = self.slab.get_mut(key) {
            *slot = Connection::Closing(closing);
            self.closing.push(key);
        }
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
        let client = self.spare.place(served(*handshake));
        self.put_back(key, client);
        true
    }

    /// Lets the client of `key`, which has just been parked, be idle, if there is nothing under way.
    pub(super) fn rest(&mut self, key: Key) {
        let Some(slot) = self.slab.get_mut(key) else { return };
        let Connection::Served(Some(client)) = slot else { return };
        let Some(idle) = client.take_if(|conn| conn.is_at_rest()).and_then(Conn::into_idle) else { return };
        if let Connection::Served(Some(place)) = std::mem::replace(slot, Connection::Idle(idle)) {
            self.spare.keep(place);
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
