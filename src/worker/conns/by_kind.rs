//! Access to the connections that have no session: each by its key, if it is of the kind that is meant.

use super::{Connection, Conns, Served};
use crate::core::slab::Key;
use crate::worker::checks::RunningCheck;
use crate::worker::closing::Closing;
use crate::worker::conn::Conn;
use crate::worker::handshakes::Handshake;
use crate::worker::idle::IdleBackend;
use crate::worker::multiplexer::Multiplexer;

/// Connections to backends that carry no streams.
impl Conns {
    /// Takes in a backend connection that `client` is to hold.
    pub(in crate::worker) fn insert_in_use(&mut self, client: Key) -> Key {
        self.slab.insert(Connection::InUse(client))
    }

    /// Takes back a backend connection from the client that has held it.
    pub(in crate::worker) fn take_back(&mut self, key: Key, idle: IdleBackend) {
        if let Some(slot) = self.slab.get_mut(key) {
            *slot = Connection::IdleBackend(idle);
        }
    }

    /// Lends an idle backend connection to `client`.
    pub(in crate::worker) fn lend(&mut self, key: Key, client: Key) -> Option<IdleBackend> {
        let slot = self.slab.get_mut(key)?;
        let Connection::IdleBackend(_) = slot else { return None };
        let Connection::IdleBackend(idle) = std::mem::replace(slot, Connection::InUse(client)) else {
            return None;
        };
        Some(idle)
    }

    /// The backend connection of `key`, if it is idle.
    pub(in crate::worker) fn idle_backend(&self, key: Key) -> Option<&IdleBackend> {
        let Connection::IdleBackend(idle) = self.slab.get(key)? else { return None };
        Some(idle)
    }

    /// Like [`Conns::idle_backend`], to change it.
    pub(in crate::worker) fn idle_backend_mut(&mut self, key: Key) -> Option<&mut IdleBackend> {
        let Connection::IdleBackend(idle) = self.slab.get_mut(key)? else { return None };
        Some(idle)
    }

    /// Removes the backend connection of `key`, if it is idle.
    pub(in crate::worker) fn remove_idle_backend(&mut self, key: Key) -> Option<IdleBackend> {
        self.idle_backend(key)?;
        let Connection::IdleBackend(idle) = self.slab.remove(key)? else { return None };
        Some(idle)
    }
}

/// Connections that close.
impl Conns {
    /// The keys of those that close.
    pub(in crate::worker) fn closing(&self) -> &[Key] {
        &self.closing
    }

    /// The connection of `key`, if it closes.
    pub(in crate::worker) fn closing_of(&self, key: Key) -> Option<&Closing> {
        let Connection::Closing(closing) = self.slab.get(key)? else { return None };
        Some(closing)
    }

    /// Like [`Conns::closing_of`], to change it.
    pub(in crate::worker) fn closing_mut(&mut self, key: Key) -> Option<&mut Closing> {
        let Connection::Closing(closing) = self.slab.get_mut(key)? else { return None };
        Some(closing)
    }

    /// Removes the connection of `key`, if it closes.
    pub(in crate::worker) fn remove_closing(&mut self, key: Key) -> Option<Closing> {
        self.closing_mut(key)?;
        self.closing.retain(|other| *other != key);
        let Connection::Closing(closing) = self.slab.remove(key)? else { return None };
        Some(closing)
    }
}

/// Checks.
impl Conns {
    /// Takes in a check that begins.
    pub(in crate::worker) fn insert_check(&mut self, check: RunningCheck) -> Key {
        self.slab.insert(Connection::Check(Box::new(check)))
    }

    /// The check of `key`.
    pub(in crate::worker) fn check(&self, key: Key) -> Option<&RunningCheck> {
        let Connection::Check(check) = self.slab.get(key)? else { return None };
        Some(check)
    }

    /// Like [`Conns::check`], to change it.
    pub(in crate::worker) fn check_mut(&mut self, key: Key) -> Option<&mut RunningCheck> {
        let Connection::Check(check) = self.slab.get_mut(key)? else { return None };
        Some(check)
    }

    /// Removes the check of `key`.
    pub(in crate::worker) fn remove_check(&mut self, key: Key) -> Option<Box<RunningCheck>> {
        self.check(key)?;
        let Connection::Check(check) = self.slab.remove(key)? else { return None };
        Some(check)
    }
}

/// Clients in their handshakes.
impl Conns {
    /// The client of `key`, if it is in its handshake.
    pub(in crate::worker) fn handshake(&self, key: Key) -> Option<&Handshake> {
        let Connection::Handshaking(handshake) = self.slab.get(key)? else { return None };
        Some(handshake)
    }

    /// Like [`Conns::handshake`], to change it.
    pub(in crate::worker) fn handshake_mut(&mut self, key: Key) -> Option<&mut Handshake> {
        let Connection::Handshaking(handshake) = self.slab.get_mut(key)? else { return None };
        Some(handshake)
    }

    /// Every client that is in its handshake.
    pub(in crate::worker) fn handshakes(&self) -> impl Iterator<Item = Key> {
        let is_meant = |connection: &Connection| matches!(connection, Connection::Handshaking(_));
        self.slab.iter().filter(move |(_, connection)| is_meant(connection)).map(|(key, _)| key)
    }

    /// Removes the client of `key`, if it is in its handshake.
    pub(in crate::worker) fn remove_handshake(&mut self, key: Key) -> Option<Box<Handshake>> {
        self.handshake(key)?;
        self.handshaking -= 1;
        let Connection::Handshaking(handshake) = self.slab.remove(key)? else { return None };
        Some(handshake)
    }
}

/// Connections that carry streams.
impl Conns {
    /// The connection of `key`, if it carries streams.
    pub(in crate::worker) fn multiplexer_mut(&mut self, key: Key) -> Option<&mut Multiplexer> {
        let Connection::Carrying(mux) = self.slab.get_mut(key)? else { return None };
        mux.as_deref_mut()
    }

    /// The connection of `key`, if it carries streams and is not being served.
    pub(in crate::worker) fn multiplexer(&self, key: Key) -> Option<&Multiplexer> {
        let Connection::Carrying(mux) = self.slab.get(key)? else { return None };
        mux.as_deref()
    }

    /// Takes in a connection to a backend that is to carry streams, made for its key.
    pub(in crate::worker) fn insert_carrier(&mut self, make: impl FnOnce(Key) -> Multiplexer) -> Key {
        let key = self.slab.insert(Connection::Carrying(None));
        self.put_multiplexer(key, Box::new(make(key)));
        key
    }

    /// Takes the connection of `key` out of its slot, if it carries streams, to be served and
    /// [put back](Conns::put_multiplexer).
    pub(in crate::worker) fn take_multiplexer(&mut self, key: Key) -> Option<Box<Multiplexer>> {
        let Connection::Carrying(mux) = self.slab.get_mut(key)? else { return None };
        mux.take()
    }

    /// Puts a connection back that was [taken](Conns::take_multiplexer).
    pub(in crate::worker) fn put_multiplexer(&mut self, key: Key, mux: Box<Multiplexer>) {
        if let Some(Connection::Carrying(slot)) = self.slab.get_mut(key) {
            *slot = Some(mux);
        }
    }

    /// Lets a client that was [taken](Conns::take) carry streams from now on: its slot waits for its
    /// multiplexer.
    pub(in crate::worker) fn begin_to_carry(&mut self, key: Key, mut client: Served) -> Option<Conn> {
        if let Some(slot) = self.slab.get_mut(key) {
            *slot = Connection::Carrying(None);
        }
        let conn = client.take();
        self.spare.keep(client);
        conn
    }

    /// Ends a connection that was [taken](Conns::take_multiplexer), unless it is `closing` still.
    /// `is_client` says whether it was a client's.
    pub(in crate::worker) fn end_multiplexer(&mut self, key: Key, closing: Option<Closing>, is_client: bool) {
        self.sessions -= usize::from(is_client);
        self.close(key, closing);
    }

    /// Every connection that carries streams.
    pub(in crate::worker) fn multiplexers(&self) -> impl Iterator<Item = Key> {
        let carries = |connection: &Connection| matches!(connection, Connection::Carrying(_));
        self.slab.iter().filter(move |(_, connection)| carries(connection)).map(|(key, _)| key)
    }
}
