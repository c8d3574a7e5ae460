//! Kept-alive backend connections that wait to be used again.
//!
//! Each is watched: one that its backend closes, or on which it says anything unasked, leaves soon, not when
//! a request finds out. And what a backend sends behind a response would be taken for the response to the
//! next request: so a connection is handed out only if it was found quiet in the same turn. The one used last
//! is used first, so that the others grow old and go: first into the [parked set](super::parked), then
//! altogether.
//!
//! A busy worker polls thousands of times a second, and what a poll costs is the number of its descriptors.
//! So of those that are not in the parked set only the few are polled that are likely to be handed out;
//! another one is asked when its turn comes.
//!
//! Connections that belong to one client, by a login, are watched here too. They stand in no stack of a
//! backend, so nothing but their client's key leads to them.
//!
//! The connections themselves lie in the slab of [`Conns`], and keep their keys while they are in use.

use std::time::Duration;

use super::conn::World;
use super::conns::Conns;
use super::derive::{View, Wait};
use super::link::Link;
use super::parked::{EpollSet, QUIET};
use crate::balance::Habit;
use crate::core::interest::Interest;
use crate::core::slab::{Key, Slab};
use crate::core::time::Time;
use crate::os::Os;
use crate::snapshot::{Limits, Timeouts};

/// A connection is not used for so long after a response to HEAD: a body that the backend sends behind it all
/// the same comes within that time.
const REST: Duration = Duration::from_millis(50);

/// The interest in a waiting connection: bytes behind a response are told from an end.
pub(super) const WATCHED: Interest = Interest::READ.with_if(Interest::LEAVE, true);

/// The last exchange of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// A response with a body.
    Body,
    /// A response without one by its status: 204 or 304.
    Bodiless,
    /// A response to HEAD.
    Head,
}

/// A waiting connection.
#[derive(Debug)]
pub(super) struct IdleBackend {
    pub(super) link: Link,
    pub(super) home: Key,
    pub(super) since: Time,
    /// The time for which its backend lets it wait, as far as that is known.
    idle_timeout: Duration,
    /// When it has waited long enough.
    pub(super) until: Time,
    /// The number of the last poll that it was part of by itself, or, once it is parked, of the first one
    /// with the parked set.
    polled: u64,
    /// The last poll for which it was found among those that are not parked: it may be there twice, if it was
    /// used in between.
    listed: u64,
    /// Its place in the list of those that wait, which [`IdleSet`] sets.
    place: u32,
    is_parked: bool,
    /// Whether it belongs to one client.
    pub(super) is_own: bool,
    after: After,
}

impl IdleBackend {
    /// Whether it is not to be used yet.
    fn rests(&self, now: Time) -> bool {
        self.after == After::Head && now < self.since + REST
    }
}

/// The number of connections that may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) per_backend: usize,
    pub(super) in_all: usize,
}

impl Most {
    /// A worker's part of what the limits allow.
    pub(super) fn of(limits: &Limits, workers: usize) -> Most {
        Most { per_backend: limits.idle_per_backend.div_ceil(workers), in_all: limits.idle.div_ceil(workers) }
    }
}

/// The number of connections that are polled at least of those that are not in the parked set.
const POLLED_MIN: usize = 8;

/// The waiting connections of one worker.
#[derive(Debug)]
pub(super) struct IdleSet {
    /// Those that any client may use, in no order.
    shared: Vec<Key>,
    /// Those that belong to single clients, in no order.
    pub(super) own: Vec<Key>,
    /// By backend: the keys, oldest first.
    homes: Slab<Vec<Key>>,
    /// Connections that are not parked, and some that were taken.
    recent: Vec<Key>,
    /// The number that may wait for each backend, and in all.
    most: Most,
    /// The time for which they may wait.
    idle_timeout: Duration,
    /// The number of polls so far.
    polls: u64,
    /// The number that have been taken since the last poll.
    taken: usize,
    /// The number to be polled of those that are not in the parked set: about twice as many as a turn
    /// takes.
    polled_most: usize,
    /// Whether the last poll has told everything of those in the parked set.
    is_lot_read: bool,
}

impl IdleSet {
    /// A set that keeps at most `most` connections.
    pub(super) fn new(timeouts: &Timeouts, most: Most) -> IdleSet {
        IdleSet {
            shared: Vec::new(),
            own: Vec::new(),
            homes: Slab::default(),
            recent: Vec::new(),
            most,
            idle_timeout: timeouts.backend_idle,
            polls: 0,
            taken: 0,
            polled_most: POLLED_MIN,
            is_lot_read: true,
        }
    }

    /// Makes room for the connections of one backend.
    pub(super) fn open_home(&mut self) -> Key {
        self.homes.insert(Vec::new())
    }

    /// Gives up the room of one backend, and closes the connections there. None will be kept for it any more.
    pub(super) fn close_home<O: Os>(
        &mut self,
        os: &mut O,
        home: Key,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) {
        for key in self.homes.remove(home).unwrap_or_default() {
            if let Some(idle) = self.let_go(key, conns, parked) {
                idle.link.close(os);
            }
        }
        self.close_own(os, home, conns, parked);
    }

    /// Closes the connections of one backend. Others may be kept for it.
    pub(super) fn clear_home<O: Os>(
        &mut self,
        os: &mut O,
        home: Key,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) {
        let keys = self.homes.get_mut(home).map_or_else(Vec::new, std::mem::take);
        for idle in keys.into_iter().filter_map(|key| self.let_go(key, conns, parked)) {
            idle.link.close(os);
        }
        self.close_own(os, home, conns, parked);
    }

    /// From now on `most` connections are kept, for as long as `timeouts` say; what is too much is closed.
    pub(super) fn adapt<O: Os>(
        &mut self,
        os: &mut O,
        timeouts: &Timeouts,
        most: Most,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) {
        let homes: Vec<Key> = self.homes.iter().map(|(home, _)| home).collect();
        for home in homes {
            let surplus = self.homes.get_mut(home).map_or_else(Vec::new, |stack| {
                let count = stack.len().saturating_sub(most.per_backend);
                stack.drain(..count).collect()
            });
            for idle in surplus.into_iter().filter_map(|key| self.let_go(key, conns, parked)) {
                idle.link.close(os);
            }
        }
        while self.shared.len() > most.in_all
            && let Some(surplus) = self.evict(conns, parked)
        {
            surplus.close(os);
        }
        (self.most, self.idle_timeout) = (most, timeouts.backend_idle);
        for key in self.shared.iter().chain(&self.own).copied() {
            let Some(idle) = conns.idle_backend_mut(key) else { continue };
            let until = idle.since + timeouts.backend_idle.min(idle.idle_timeout);
            let until = idle.link.retires().map_or(until, |retires| until.min(retires));
            if idle.is_parked {
                parked.leave(idle.until, key);
                parked.enter(until, key);
            }
            idle.until = until;
        }
    }

    /// Parks the connections that have not been used for a while, and names those of the others that are to
    /// be part of the next poll: all of them if there is no parked set, for they would never be polled.
    /// Returns the first deadline of the others.
    pub(super) fn watch<O: Os>(
        &mut self,
        os: &mut O,
        conns: &mut Conns,
        parked: &mut EpollSet,
        world: World<'_>,
        mut watch: impl FnMut(Key, &Wait),
    ) -> Option<Time> {
        let (next_poll, now) = (self.polls + 1, world.now);
        let mut nearest: Option<Time> = None;
        self.recent.retain(|key| {
            let Some(idle) = conns.idle_backend_mut(*key).filter(|idle| !idle.is_parked) else {
                return false;
            };
            if std::mem::replace(&mut idle.listed, next_poll) == next_poll {
                return false;
            }
            if now >= idle.since + QUIET
                && parked.park(os, &View::IdleBackend(idle).derive(world, Some), *key)
            {
                (idle.polled, idle.is_parked) = (next_poll, true);
                parked.enter(idle.until, *key);
            }
            if !idle.is_parked && nearest.is_none_or(|nearest| idle.until < nearest) {
                nearest = Some(idle.until);
            }
            !idle.is_parked
        });
        let left_out =
            if parked.fd().is_some() { self.recent.len().saturating_sub(self.polled_most) } else { 0 };
        for key in &self.recent[left_out..] {
            if let Some(idle) = conns.idle_backend_mut(*key) {
                idle.polled = next_poll;
                watch(*key, &View::IdleBackend(idle).derive(world, Some));
            }
        }
        nearest
    }

    /// Records that poll has looked at the watched ones and at the parked set, and has no news of those that
    /// are not removed before the next [`IdleSet::take`].
    pub(super) fn note_poll(&mut self) {
        self.polls += 1;
        self.is_lot_read = true;
        self.polled_most = POLLED_MIN.max(2 * self.taken).max(self.polled_most - self.polled_most / 8);
        self.taken = 0;
    }

    /// Records that the parked set had news, and whether that was all of them.
    pub(super) fn note_lot(&mut self, is_all: bool) {
        self.is_lot_read = is_all;
    }

    /// Keeps a connection that has served `after`, for as long as `idle_timeout` says if that is known;
    /// returns one back if there are enough, or if its backend has no home any more. That one has no slot any
    /// more.
    pub(super) fn keep(
        &mut self,
        home: Key,
        (link, after): (Link, After),
        now: Time,
        idle_timeout: Option<Duration>,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        let has_room = |stack: &mut Vec<Key>| stack.len() < self.most.per_backend;
        if self.most.in_all == 0 || !self.homes.get_mut(home).is_some_and(has_room) {
            conns.close(link.key, None);
            return Some(link);
        }
        // This backend has just answered; when the others are needed is unknown.
        let surplus = if self.shared.len() < self.most.in_all { None } else { self.evict(conns, parked) };
        if let Some(stack) = self.homes.get_mut(home) {
            stack.push(link.key);
        }
        self.put(conns, self.waiting(home, link, now, idle_timeout, after));
        surplus
    }

    /// A connection that begins to wait at `now`.
    pub(super) fn waiting(
        &self,
        home: Key,
        link: Link,
        now: Time,
        idle_timeout: Option<Duration>,
        after: After,
    ) -> IdleBackend {
        let idle_timeout = idle_timeout.unwrap_or(Duration::MAX);
        let until = now + self.idle_timeout.min(idle_timeout);
        let until = link.retires().map_or(until, |retires| until.min(retires));
        let polled = u64::MAX;
        IdleBackend {
            link,
            home,
            since: now,
            idle_timeout,
            until,
            polled,
            listed: 0,
            place: 0,
            is_parked: false,
            is_own: false,
            after,
        }
    }

    /// Puts a connection that begins to wait into its slot, and among the others.
    pub(super) fn put(&mut self, conns: &mut Conns, mut idle: IdleBackend) {
        let key = idle.link.key;
        let list = if idle.is_own { &mut self.own } else { &mut self.shared };
        idle.place = u32::try_from(list.len()).unwrap_or(u32::MAX);
        list.push(key);
        self.recent.push(key);
        conns.take_back(key, idle);
    }

    /// Takes a quiet connection from `home` for `client`, which holds it from now on: of those that were polled
    /// the one that was used last, or else the one that was used last, if it turns out to be quiet. Closes
    /// those that are not.
    pub(super) fn take<O: Os>(
        &mut self,
        os: &mut O,
        (home, client): (Key, Key),
        now: Time,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        self.taken += 1;
        let stack = self.homes.get_mut(home)?;
        let is_fresh = |idle: &IdleBackend| {
            !idle.is_parked && idle.polled == self.polls && now < idle.until && !idle.rests(now)
        };
        let is_polled = |key: &Key| conns.idle_backend(*key).is_some_and(is_fresh);
        let likely = stack.len().saturating_sub(2 * self.polled_most);
        if let Some(place) = stack[likely..].iter().rposition(is_polled) {
            let key = stack.remove(likely + place);
            return self.lend(key, client, conns, parked);
        }
        while let Some(stack) = self.homes.get_mut(home)
            && let Some(place) = stack.iter().rposition(|key| is_rested(conns, *key, now))
        {
            let key = stack.remove(place);
            let idle = conns.idle_backend(key)?;
            let is_told_of = idle.is_parked && idle.polled <= self.polls && self.is_lot_read;
            let is_quiet = is_told_of || os.is_quiet(idle.link.wire.fd());
            if is_quiet && now < idle.until {
                return self.lend(key, client, conns, parked);
            }
            if !is_quiet {
                idle.link.backend().note_close(now.since(idle.since), now);
            }
            self.let_go(key, conns, parked)?.link.close(os);
        }
        None
    }

    /// Whether a connection waits at `home` that may be used.
    pub(super) fn has(&self, conns: &Conns, home: Key, now: Time) -> bool {
        self.homes.get(home).is_some_and(|stack| stack.iter().rev().any(|key| is_rested(conns, *key, now)))
    }

    /// Takes the connection that waits longest at `home`, to be closed.
    pub(super) fn recall(&mut self, home: Key, conns: &mut Conns, parked: &mut EpollSet) -> Option<Link> {
        match self.homes.get(home)?.first() {
            Some(key) => self.remove(*key, conns, parked),
            None => self.evict_own(Some(home), conns, parked),
        }
    }

    /// Takes the connection of `key`, of which there is news, unless it is in use. Its backend has closed it, or
    /// has said something that belongs to no request, if `is_surplus`. News from before it began to wait is
    /// none: it is about what its exchange has read.
    pub(super) fn remove_dead(
        &mut self,
        key: Key,
        is_surplus: bool,
        now: Time,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        let idle = conns.idle_backend(key).filter(|idle| idle.polled <= self.polls)?;
        let backend = idle.link.backend();
        match is_surplus {
            true if idle.after != After::Body => backend.note_habit(Habit::Surplus, true, now),
            true => {}
            false => backend.note_close(now.since(idle.since), now),
        }
        self.remove(key, conns, parked)
    }

    /// Takes the connection of `key`, unless it is in use. It has no slot any more.
    pub(super) fn remove(&mut self, key: Key, conns: &mut Conns, parked: &mut EpollSet) -> Option<Link> {
        let idle = self.let_go(key, conns, parked)?;
        if let Some(stack) = self.homes.get_mut(idle.home) {
            stack.retain(|other| *other != key);
        }
        Some(idle.link)
    }

    pub(super) fn let_go(
        &mut self,
        key: Key,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) -> Option<IdleBackend> {
        let idle = conns.remove_idle_backend(key)?;
        self.forget(key, &idle, conns, parked);
        Some(idle)
    }

    /// Lends the connection of `key` to `client`.
    pub(super) fn lend(
        &mut self,
        key: Key,
        client: Key,
        conns: &mut Conns,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        let idle = conns.lend(key, client)?;
        self.forget(key, &idle, conns, parked);
        Some(idle.link)
    }

    /// Takes a connection that waits no more from among the others.
    fn forget(&mut self, key: Key, idle: &IdleBackend, conns: &mut Conns, parked: &mut EpollSet) {
        if idle.is_parked {
            parked.leave(idle.until, key);
        }
        let (list, place) = (if idle.is_own { &mut self.own } else { &mut self.shared }, idle.place as usize);
        debug_assert_eq!(list.get(place), Some(&key), "each knows its place");
        list.swap_remove(place);
        if let Some(moved) = list.get(place).and_then(|moved| conns.idle_backend_mut(*moved)) {
            moved.place = idle.place;
        }
    }

    /// Takes any connection, to free its descriptor; one that belongs to a client only if there is no other.
    pub(super) fn evict(&mut self, conns: &mut Conns, parked: &mut EpollSet) -> Option<Link> {
        match self.shared.first() {
            Some(key) => self.remove(*key, conns, parked),
            None => self.evict_own(None, conns, parked),
        }
    }

    /// Takes a connection that is not parked and has waited long enough.
    pub(super) fn pop_late(&mut self, now: Time, conns: &mut Conns, parked: &mut EpollSet) -> Option<Link> {
        let is_late =
            |key: &Key| conns.idle_backend(*key).is_some_and(|idle| !idle.is_parked && idle.until <= now);
        let key = self.recent.iter().copied().find(is_late)?;
        self.remove(key, conns, parked)
    }

    /// Whether connections are kept at `home`.
    pub(super) fn has_home(&self, home: Key) -> bool {
        self.homes.get(home).is_some()
    }

    /// The number of connections that wait for the backend of `home`.
    pub(super) fn len_of(&self, home: Key) -> usize {
        self.homes.get(home).map_or(0, Vec::len)
    }

    /// The number of connections that wait, those that belong to single clients included.
    pub(super) fn len(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    /// The number of them that belong to single clients.
    pub(super) fn own(&self) -> usize {
        self.own.len()
    }
}

/// Whether the connection of `key` waits and does not rest.
fn is_rested(conns: &Conns, key: Key, now: Time) -> bool {
    conns.idle_backend(key).is_some_and(|idle| !idle.rests(now))
}
