//! The clients of a worker. One that is served is a [`Conn`], with a session, two lanes and an exchange. One that
//! rests between two requests in the parked set is an [`IdleClient`], in a tenth of the memory.

use std::net::SocketAddr;
use std::rc::Rc;

use super::conn::{Conn, ListenerState, Piped, Stay, World};
use super::generation::Generation;
use super::own::Owned;
use super::parked::{EpollSet, EpollTag};
use crate::core::outcome::Record;
use crate::core::slab::{Key, Slab};
use crate::core::time::Time;
use crate::room::Claim;
use crate::session::{Resting, Summary};
use crate::shared::clients::Counted;
use crate::wire::Wire;

/// The memory for so many served clients is kept for the next ones.
const SPARE_MAX: usize = 64;

/// The clients of a worker, served or idle, under keys that stay the same when one becomes the other.
#[derive(Debug)]
pub(super) struct Conns {
    slab: Slab<Client>,
    /// Memory for more that are served.
    spare: Vec<Served>,
}

/// The memory of a client that is served: empty only while it is spare.
type Served = Box<Option<Conn>>;

#[derive(Debug)]
enum Client {
    Served(Served),
    Idle(IdleClient),
}

/// A client in the parked set that awaits its next request, of which nothing has come.
#[derive(Debug)]
pub(super) struct IdleClient {
    session: Resting,
    wire: Wire,
    /// Its deadline in the parked set.
    until: Time,
    generation: Rc<Generation>,
    listener_state: ListenerState,
    owned: Option<Box<Owned>>,
    counted: Option<Box<Counted>>,
}

/// A look at one client.
#[derive(Clone, Copy)]
pub(super) enum Look<'a> {
    Served(&'a Conn),
    Idle(&'a IdleClient),
}

impl Default for Conns {
    fn default() -> Conns {
        Conns { slab: Slab::default(), spare: Vec::with_capacity(SPARE_MAX) }
    }
}

impl Conns {
    /// Takes in a client that is served.
    pub(super) fn insert(&mut self, conn: Conn) -> Key {
        let mut place = self.spare.pop().unwrap_or_default();
        *place = Some(conn);
        self.slab.insert(Client::Served(place))
    }

    /// The client of `key`, if it is served.
    pub(super) fn served(&self, key: Key) -> Option<&Conn> {
        match self.slab.get(key)? {
            Client::Served(conn) => conn.as_ref().as_ref(),
            Client::Idle(_) => None,
        }
    }

    /// Like [`Conns::served`], to change the client.
    pub(super) fn served_mut(&mut self, key: Key) -> Option<&mut Conn> {
        match self.slab.get_mut(key)? {
            Client::Served(conn) => conn.as_mut().as_mut(),
            Client::Idle(_) => None,
        }
    }

    /// The client of `key`, which is served from now on. One that was idle is still entered in the parked set.
    pub(super) fn wake(&mut self, key: Key, now: Time) -> Option<&mut Conn> {
        let client = self.slab.get_mut(key)?;
        if let Client::Idle(_) = client {
            let place = self.spare.pop().unwrap_or_default();
            if let Client::Idle(idle) = std::mem::replace(client, Client::Served(place))
                && let Client::Served(place) = client
            {
                **place = Some(idle.wake(now));
            }
        }
        self.served_mut(key)
    }

    /// Lets the client of `key`, which has just been parked, be idle, if there is nothing under way.
    pub(super) fn rest(&mut self, key: Key) {
        let Some(client) = self.slab.get_mut(key) else { return };
        let Client::Served(conn) = client else { return };
        let Some(idle) = conn.take_if(|conn| conn.is_at_rest()).and_then(Conn::into_idle) else { return };
        if let Client::Served(place) = std::mem::replace(client, Client::Idle(idle)) {
            self.keep(place);
        }
    }

    /// Forgets the client of `key`; what backend connections were its alone.
    pub(super) fn remove(&mut self, key: Key) -> Option<Box<Owned>> {
        match self.slab.remove(key)? {
            Client::Served(mut place) => {
                let owned = place.take().and_then(|conn| conn.owned);
                self.keep(place);
                owned
            }
            Client::Idle(idle) => idle.owned,
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

    /// Sets the listener state of every client by `listener_state`, and moves it to `latest` if it is between
    /// two exchanges; the keys of those that are served, but parked and between two exchanges.
    pub(super) fn move_to(
        &mut self,
        latest: &Rc<Generation>,
        listener_state: impl Fn(ListenerState) -> ListenerState,
    ) -> Vec<Key> {
        let mut parked = Vec::new();
        for (key, client) in self.slab.iter_mut() {
            match client {
                Client::Served(conn) => {
                    if let Some(conn) = conn.as_mut() {
                        conn.listener_state = listener_state(conn.listener_state);
                        conn.renew(latest);
                        if conn.session.is_between_exchanges() && conn.is_parked() {
                            parked.push(key);
                        }
                    }
                }
                Client::Idle(idle) => {
                    idle.listener_state = listener_state(idle.listener_state);
                    idle.renew(latest);
                }
            }
        }
        parked
    }

    /// Derives the deadlines of the idle clients anew, because the configuration or the drain has changed them.
    pub(super) fn derive_idle(&mut self, world: World<'_>, set: &mut EpollSet) {
        for (key, client) in self.slab.iter_mut() {
            if let Client::Idle(idle) = client {
                set.leave(idle.until, EpollTag::Client(key));
                idle.until = idle.session.deadline(&world.env(&idle.generation, idle.listener_state)).at;
                set.enter(idle.until, EpollTag::Client(key));
            }
        }
    }

    /// A look at the client of `key`.
    pub(super) fn look(&self, key: Key) -> Option<Look<'_>> {
        Look::at(self.slab.get(key)?)
    }

    /// A look at every client.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, Look<'_>)> + Clone {
        self.slab.iter().filter_map(|(key, client)| Some((key, Look::at(client)?)))
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
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

impl<'a> Look<'a> {
    fn at(client: &'a Client) -> Option<Look<'a>> {
        match client {
            Client::Served(conn) => conn.as_ref().as_ref().map(Look::Served),
            Client::Idle(idle) => Some(Look::Idle(idle)),
        }
    }

    /// Whether it waits in the parked set.
    pub(super) fn is_parked(self) -> bool {
        match self {
            Look::Served(conn) => conn.is_parked(),
            Look::Idle(_) => true,
        }
    }

    /// Its address.
    pub(super) fn address(self) -> SocketAddr {
        match self {
            Look::Served(conn) => conn.session.client(),
            Look::Idle(idle) => idle.session.client(),
        }
    }

    /// The place of its listener in the snapshot of its generation.
    pub(super) fn listener(self) -> usize {
        match self {
            Look::Served(conn) => conn.session.listener(),
            Look::Idle(idle) => idle.session.listener(),
        }
    }

    /// What it is held to.
    pub(super) fn generation(self) -> &'a Generation {
        match self {
            Look::Served(conn) => &conn.generation,
            Look::Idle(idle) => &idle.generation,
        }
    }

    /// On which ground it makes room.
    pub(super) fn claim(self, now: Time) -> Option<Claim> {
        match self {
            Look::Served(conn) => conn.session.claim(now),
            Look::Idle(idle) => Some(idle.session.claim()),
        }
    }

    /// What can be seen of it; `None` if it is over.
    pub(super) fn summary(self, world: World<'_>) -> Option<Summary> {
        match self {
            Look::Served(conn) => conn.session.summary(&world.env(&conn.generation, conn.listener_state)),
            Look::Idle(idle) => Some(idle.session.summary(&world.env(&idle.generation, idle.listener_state))),
        }
    }

    /// What a record of it would say now.
    pub(super) fn record(self, world: World<'a>) -> Record<'a> {
        match self {
            Look::Served(conn) => conn.session.record(&world.env(&conn.generation, conn.listener_state)),
            Look::Idle(idle) => idle.session.record(&world.env(&idle.generation, idle.listener_state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle client takes beside the socket, the parked set and, with TLS, the state of rustls.
    #[test]
    fn an_idle_client_is_small() {
        assert!(size_of::<Client>() <= 160, "{} bytes", size_of::<Client>());
    }
}
