//! Backend connections that belong to one client, because a login holds for them (see `message::login`).
//!
//! Between two requests they are watched by the idle set, under keys that only their client knows.

use std::time::Duration;

use super::conn::{Backend, Conn, Reach};
use super::conns::Conns;
use super::driver::Driver;
use super::generation::Lease;
use super::idle::{After, IdleBackend, IdleSet};
use super::link::Link;
use super::parked::EpollSet;
use crate::balance::Rule;
use crate::core::outcome::Cause;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::os::Os;
use crate::recorder::Step;
use crate::session::ConnectOutcome;
use crate::snapshot::BackendId;

/// The number that a client may have at a time: one to a backend of each of so many pools.
const PER_CLIENT_MOST: usize = 4;

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Own {
    /// The home of its backend.
    home: Key,
    /// Its key. It may have been closed since.
    idle: Key,
}

/// The connections of one client, the last used at the end.
#[derive(Debug, Default)]
pub(super) struct Owned {
    links: [Option<Own>; PER_CLIENT_MOST],
}

impl Owned {
    /// Takes one out that leads to one of `homes`; says to which of them by its place.
    fn take(&mut self, homes: impl Iterator<Item = Key>) -> Option<(usize, Own)> {
        for (place, home) in homes.enumerate() {
            let found = self.links.iter_mut().find(|own| own.is_some_and(|own| own.home == home));
            if let Some(own) = found.and_then(Option::take) {
                return Some((place, own));
            }
        }
        None
    }

    /// Takes one in; returns one back if there are enough.
    fn put(&mut self, own: Own) -> Option<Key> {
        let free = self.links.iter().position(Option::is_none);
        let oldest = self.links[free.unwrap_or(0)];
        self.links[free.unwrap_or(0)..].rotate_left(1);
        self.links[PER_CLIENT_MOST - 1] = Some(own);
        oldest.map(|own| own.idle)
    }

    /// The keys of all.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.links.iter().flatten().map(|own| own.idle)
    }
}

/// So many connections that belong to single clients may wait. Beyond that the one that has waited longest
/// is closed.
const OWN_MOST: usize = 1024;

impl IdleSet {
    /// Closes the connections to one backend that belong to single clients.
    pub(super) fn close_own<O: Os>(
        &mut self,
        os: &mut O,
        home: Key,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) {
        let is_there = |key: &Key| conns.idle_backend(*key).is_some_and(|idle| idle.home == home);
        let keys: Vec<Key> = self.own.iter().copied().filter(is_there).collect();
        for idle in keys.into_iter().filter_map(|key| self.let_go(key, conns, parked)) {
            idle.link.close(os);
        }
    }

    /// Keeps a connection that belongs to one client, and gives its key; returns one back too if there were
    /// enough, and if its backend has no home any more the connection itself. That one has no slot any more.
    pub(super) fn keep_own(
        &mut self,
        home: Key,
        link: Link,
        now: Time,
        idle_timeout: Option<Duration>,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) -> (Option<Key>, Option<Link>) {
        if !self.has_home(home) {
            conns.close(link.key, None);
            return (None, Some(link));
        }
        let surplus = if self.own.len() < OWN_MOST { None } else { self.evict_own(None, conns, parked) };
        let key = link.key;
        let mut idle = self.waiting(home, link, now, idle_timeout, After::Body);
        idle.is_own = true;
        self.put(conns, idle);
        (Some(key), surplus)
    }

    /// Takes the connection of `key`, which belongs to one client, if it is there and quiet.
    /// `client` holds it from now on.
    pub(super) fn take_own<O: Os>(
        &mut self,
        os: &mut O,
        (key, client): (Key, Key),
        now: Time,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        let idle = conns.idle_backend(key)?;
        if now < idle.until && os.is_quiet(idle.link.wire.fd()) {
            return self.lend(key, client, conns, parked);
        }
        self.let_go(key, conns, parked)?.link.close(os);
        None
    }

    /// Takes the connection that belongs to one client and has waited longest, of those to `home` if that is
    /// given.
    pub(super) fn evict_own(
        &mut self,
        home: Option<Key>,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        let is_meant = |idle: &IdleBackend| home.is_none_or(|home| idle.home == home);
        let waiting = self.own.iter().filter_map(|key| Some((*key, conns.idle_backend(*key)?)));
        let waiting = waiting.filter(|(_, idle)| is_meant(idle));
        let (key, _) = waiting.min_by_key(|(_, idle)| idle.since)?;
        self.remove(key, conns, parked)
    }
}

impl<O: Os> Driver<'_, O> {
    /// Goes on with a connection that belongs to the client, if there is one to a backend of the pool that
    /// may be asked.
    pub(super) fn resume(&mut self, conn: &mut Conn) -> Option<ConnectOutcome> {
        if conn.owned.is_none() || !conn.session.may_resume() {
            return None;
        }
        let pool = conn.session.pool();
        let count = conn.generation.snapshot.pool(pool).backends.len();
        let homes = (0..count).map(|index| self.generation.home(BackendId { pool, index }));
        let (index, own) = conn.owned.as_mut()?.take(homes)?;
        if self.is_out(conn, index) {
            self.idle.remove(own.idle, self.conns, self.parked)?.close(self.os);
            return None;
        }
        let id = BackendId { pool, index };
        let Some(lease) = Lease::begin(&conn.generation, id, self.env.now) else {
            // Another backend would know nothing of the login.
            conn.owned.as_mut()?.put(own);
            return Some(ConnectOutcome::Busy { backend: index, cause: Cause::QueueTimeout });
        };
        let link = {
            let (now, client) = (self.env.now, self.key);
            self.idle.take_own(self.os, (own.idle, client), now, self.conns, self.parked)?
        };
        let backend = u32::try_from(index).unwrap_or(u32::MAX);
        conn.note_step(self.recorder, self.env.now, Step::Picked { backend, rule: Rule::OwnConnection });
        self.generation.meters.note_reused(id);
        conn.attach(link, Reach::Stands, lease);
        conn.session.note_login();
        Some(ConnectOutcome::Ready { backend: index, is_reused: true })
    }

    /// Keeps a connection for its client alone.
    pub(super) fn keep_own(&mut self, conn: &mut Conn, backend: Backend) {
        let id = backend.id();
        let Backend { link, .. } = backend;
        let idle_timeout = self.idle_timeout(&link, conn.session.backend_timeout());
        let home = self.generation.home(id);
        let now = self.env.now;
        let (kept, surplus) = self.idle.keep_own(home, link, now, idle_timeout, self.conns, self.parked);
        let displaced = kept.and_then(|idle| conn.owned.get_or_insert_default().put(Own { home, idle }));
        let displaced = displaced.and_then(|key| self.idle.remove(key, self.conns, self.parked));
        for link in surplus.into_iter().chain(displaced) {
            link.close(self.os);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_used_last_goes_last() {
        let (mut owned, key) = (Owned::default(), Key::from_bits);
        for number in 0..4 {
            assert_eq!(owned.put(Own { home: key(number), idle: key(10 + number) }), None);
        }
        assert_eq!(owned.put(Own { home: key(9), idle: key(19) }), Some(key(10)));
        assert!(owned.take([key(0), key(7)].into_iter()).is_none());
        let taken = owned.take([key(7), key(2)].into_iter());
        assert_eq!(taken.map(|(place, own)| (place, own.idle)), Some((1, key(12))));
        assert_eq!(owned.put(Own { home: key(2), idle: key(22) }), None);
        assert_eq!(owned.keys().collect::<Vec<_>>(), [key(11), key(13), key(19), key(22)]);
    }
}
