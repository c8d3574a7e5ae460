//! Backend connections that belong to one client, because a login holds for them (see `message::login`).
//!
//! Between two requests they are watched by the idle set, under keys that only their client knows.

use super::conn::{Backend, Conn, Reach};
use super::driver::Driver;
use super::generation::Lease;
use crate::balance::Rule;
use crate::core::outcome::Cause;
use crate::core::slab::Key;
use crate::os::Os;
use crate::recorder::Step;
use crate::session::ConnectOutcome;
use crate::snapshot::BackendId;

/// How many a client may have at a time: one to a backend of each of so many pools.
const PER_CLIENT_MOST: usize = 4;

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Own {
    /// The home of its backend.
    home: Key,
    /// Its key in the idle set. It may have been closed since.
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
            self.idle.remove(own.idle, self.parked)?.close(self.os);
            return None;
        }
        let id = BackendId { pool, index };
        let Some(lease) = Lease::begin(&conn.generation, id, self.env.now) else {
            // Another backend would know nothing of the login.
            conn.owned.as_mut()?.put(own);
            return Some(ConnectOutcome::Busy { backend: index, cause: Cause::QueueTimeout });
        };
        let link = self.idle.take_own(self.os, own.idle, self.env.now, self.parked)?;
        let backend = u32::try_from(index).unwrap_or(u32::MAX);
        conn.note_step(self.recorder, self.env.now, Step::Picked { backend, rule: Rule::OwnConnection });
        self.generation.meters.note_reused(id);
        conn.attach(link, id, Reach::Stands, lease);
        conn.session.note_login();
        Some(ConnectOutcome::Ready { backend: index, is_reused: true })
    }

    /// Keeps a connection for its client alone.
    pub(super) fn keep_own(&mut self, conn: &mut Conn, backend: Backend) {
        let Backend { link, id, .. } = backend;
        let idle_timeout = self.idle_timeout(&link, conn.session.backend_timeout());
        let home = self.generation.home(id);
        let (kept, surplus) = self.idle.keep_own(home, link, self.env.now, idle_timeout, self.parked);
        let displaced = kept.and_then(|idle| conn.owned.get_or_insert_default().put(Own { home, idle }));
        let displaced = displaced.and_then(|key| self.idle.remove(key, self.parked));
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
