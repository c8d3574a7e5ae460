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

use std::time::Duration;

use super::link::Link;
use super::parked::{EpollSet, EpollTag, QUIET};
use crate::balance::Habit;
use crate::core::interest::Interest;
use crate::core::slab::{Key, Slab};
use crate::core::time::Time;
use crate::os::Os;
use crate::snapshot::{Limits, Timeouts};
use crate::wire::Wire;

/// How long a connection is not used after a response to HEAD: a body that the backend sends behind it all
/// the same comes within that time.
const REST: Duration = Duration::from_millis(50);

/// What is asked of a waiting connection: bytes behind a response are told from an end.
pub(super) const WATCHED: Interest = Interest::READ.with_if(Interest::LEAVE, true);

/// What a connection has served last.
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
struct Idle {
    link: Link,
    home: Key,
    since: Time,
    /// How long its backend lets it wait, as far as that is known.
    idle_timeout: Duration,
    /// When it has waited long enough.
    until: Time,
    /// The number of the last poll that it was part of by itself, or, once it is parked, of the first one
    /// with the parked set.
    polled: u64,
    is_parked: bool,
    /// Whether it belongs to one client.
    is_own: bool,
    after: After,
}

impl Idle {
    /// Whether it is not to be used yet.
    fn rests(&self, now: Time) -> bool {
        self.after == After::Head && now < self.since + REST
    }
}

/// How many connections that belong to single clients may wait. Beyond that the one that has waited longest
/// is closed.
pub(super) const OWN_MOST: usize = 1024;

/// How many connections may wait.
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

/// How many connections are polled at least of those that are not in the parked set.
const POLLED_MIN: usize = 8;

/// The waiting connections of one worker.
#[derive(Debug)]
pub(super) struct IdleSet {
    entries: Slab<Idle>,
    /// How many of them belong to single clients.
    own: usize,
    /// By backend: the keys, oldest first.
    homes: Slab<Vec<Key>>,
    /// Connections that are not parked, and some that were taken.
    recent: Vec<Key>,
    /// How many may wait for each backend, and how many in all.
    most: Most,
    /// How long they may wait.
    idle_timeout: Duration,
    /// How many polls there have been.
    polls: u64,
    /// How many have been taken since the last poll.
    taken: usize,
    /// How many are to be polled of those that are not in the parked set: about twice as many as a turn
    /// takes.
    polled_most: usize,
    /// Whether the last poll has told everything of those in the parked set.
    is_lot_read: bool,
}

impl IdleSet {
    /// A set that keeps at most `most` connections.
    pub(super) fn new(timeouts: &Timeouts, most: Most) -> IdleSet {
        IdleSet {
            entries: Slab::default(),
            own: 0,
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
    pub(super) fn close_home<O: Os>(&mut self, os: &mut O, home: Key, parked: &mut EpollSet) {
        for key in self.homes.remove(home).unwrap_or_default() {
            if let Some(idle) = self.let_go(key, parked) {
                idle.link.close(os);
            }
        }
        self.close_own(os, home, parked);
    }

    /// Closes the connections of one backend. Others may be kept for it.
    pub(super) fn clear_home<O: Os>(&mut self, os: &mut O, home: Key, parked: &mut EpollSet) {
        let keys = self.homes.get_mut(home).map_or_else(Vec::new, std::mem::take);
        for idle in keys.into_iter().filter_map(|key| self.let_go(key, parked)) {
            idle.link.close(os);
        }
        self.close_own(os, home, parked);
    }

    /// Closes the connections to one backend that belong to single clients.
    fn close_own<O: Os>(&mut self, os: &mut O, home: Key, parked: &mut EpollSet) {
        if self.own == 0 {
            return;
        }
        let is_there = |(_, idle): &(Key, &Idle)| idle.is_own && idle.home == home;
        let keys: Vec<Key> = self.entries.iter().filter(is_there).map(|(key, _)| key).collect();
        for idle in keys.into_iter().filter_map(|key| self.let_go(key, parked)) {
            idle.link.close(os);
        }
    }

    /// From now on `most` connections are kept, for as long as `timeouts` say; what is too much is closed.
    pub(super) fn adapt<O: Os>(
        &mut self,
        os: &mut O,
        timeouts: &Timeouts,
        most: Most,
        parked: &mut EpollSet,
    ) {
        let homes: Vec<Key> = self.homes.iter().map(|(home, _)| home).collect();
        for home in homes {
            let surplus = self.homes.get_mut(home).map_or_else(Vec::new, |stack| {
                let count = stack.len().saturating_sub(most.per_backend);
                stack.drain(..count).collect()
            });
            for idle in surplus.into_iter().filter_map(|key| self.let_go(key, parked)) {
                idle.link.close(os);
            }
        }
        while self.shared() > most.in_all
            && let Some(surplus) = self.evict(parked)
        {
            surplus.close(os);
        }
        (self.most, self.idle_timeout) = (most, timeouts.backend_idle);
        for (key, idle) in self.entries.iter_mut() {
            let until = idle.since + timeouts.backend_idle.min(idle.idle_timeout);
            if idle.is_parked {
                parked.leave(idle.until, EpollTag::Idle(key));
                parked.enter(until, EpollTag::Idle(key));
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
        parked: &mut EpollSet,
        now: Time,
        mut watch: impl FnMut(Key, &Wire),
    ) -> Option<Time> {
        let (entries, next_poll) = (&mut self.entries, self.polls + 1);
        let mut nearest: Option<Time> = None;
        self.recent.retain(|key| {
            let Some(idle) = entries.get_mut(*key).filter(|idle| !idle.is_parked) else { return false };
            if now >= idle.since + QUIET
                && parked.park(os, idle.link.wire.fd(), WATCHED, EpollTag::Idle(*key))
            {
                (idle.polled, idle.is_parked) = (next_poll, true);
                parked.enter(idle.until, EpollTag::Idle(*key));
            }
            if !idle.is_parked && nearest.is_none_or(|nearest| idle.until < nearest) {
                nearest = Some(idle.until);
            }
            !idle.is_parked
        });
        let left_out =
            if parked.fd().is_some() { self.recent.len().saturating_sub(self.polled_most) } else { 0 };
        for key in &self.recent[left_out..] {
            if let Some(idle) = entries.get_mut(*key) {
                idle.polled = next_poll;
                watch(*key, &idle.link.wire);
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
    /// returns one back if there are enough, or if its backend has no home any more.
    pub(super) fn keep(
        &mut self,
        home: Key,
        (link, after): (Link, After),
        now: Time,
        idle_timeout: Option<Duration>,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        let has_room = |stack: &mut Vec<Key>| stack.len() < self.most.per_backend;
        if self.most.in_all == 0 || !self.homes.get_mut(home).is_some_and(has_room) {
            return Some(link);
        }
        // This backend has just answered; when the others are needed is unknown.
        let surplus = if self.shared() < self.most.in_all { None } else { self.evict(parked) };
        let Some(stack) = self.homes.get_mut(home) else { return Some(link) };
        let idle_timeout = idle_timeout.unwrap_or(Duration::MAX);
        let until = now + self.idle_timeout.min(idle_timeout);
        let polled = u64::MAX;
        let idle = Idle {
            link,
            home,
            since: now,
            idle_timeout,
            until,
            polled,
            is_parked: false,
            is_own: false,
            after,
        };
        let key = self.entries.insert(idle);
        stack.push(key);
        self.recent.push(key);
        surplus
    }

    /// Keeps a connection that belongs to one client, and gives its key; returns one back too if there were
    /// enough, and if its backend has no home any more the connection itself.
    pub(super) fn keep_own(
        &mut self,
        home: Key,
        link: Link,
        now: Time,
        idle_timeout: Option<Duration>,
        parked: &mut EpollSet,
    ) -> (Option<Key>, Option<Link>) {
        if self.homes.get(home).is_none() {
            return (None, Some(link));
        }
        let surplus = if self.own < OWN_MOST { None } else { self.evict_own(None, parked) };
        let idle_timeout = idle_timeout.unwrap_or(Duration::MAX);
        let until = now + self.idle_timeout.min(idle_timeout);
        let polled = u64::MAX;
        let after = After::Body;
        let idle = Idle {
            link,
            home,
            since: now,
            idle_timeout,
            until,
            polled,
            is_parked: false,
            is_own: true,
            after,
        };
        let key = self.entries.insert(idle);
        self.own += 1;
        self.recent.push(key);
        (Some(key), surplus)
    }

    /// Takes the connection of `key`, which belongs to one client, if it is there and quiet.
    pub(super) fn take_own<O: Os>(
        &mut self,
        os: &mut O,
        key: Key,
        now: Time,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        let idle = self.let_go(key, parked)?;
        if now < idle.until && os.is_quiet(idle.link.wire.fd()) {
            return Some(idle.link);
        }
        idle.link.close(os);
        None
    }

    /// Takes the connection that belongs to one client and has waited longest, of those to `home` if that is
    /// given.
    fn evict_own(&mut self, home: Option<Key>, parked: &mut EpollSet) -> Option<Link> {
        if self.own == 0 {
            return None;
        }
        let is_meant = |idle: &Idle| idle.is_own && home.is_none_or(|home| idle.home == home);
        let waiting = self.entries.iter().filter(|(_, idle)| is_meant(idle));
        let (key, _) = waiting.min_by_key(|(_, idle)| idle.since)?;
        self.remove(key, parked)
    }

    /// Takes a quiet connection from `home`: of those that were polled the one that was used last, or else
    /// the one that was used last, if it turns out to be quiet; closes those that are not.
    pub(super) fn take<O: Os>(
        &mut self,
        os: &mut O,
        home: Key,
        now: Time,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        self.taken += 1;
        let stack = self.homes.get_mut(home)?;
        let is_fresh = |idle: &Idle| {
            !idle.is_parked && idle.polled == self.polls && now < idle.until && !idle.rests(now)
        };
        let is_polled = |key: &Key| self.entries.get(*key).is_some_and(is_fresh);
        let likely = stack.len().saturating_sub(2 * self.polled_most);
        if let Some(place) = stack[likely..].iter().rposition(is_polled) {
            let key = stack.remove(likely + place);
            return self.let_go(key, parked).map(|idle| idle.link);
        }
        while let Some(stack) = self.homes.get_mut(home)
            && let Some(place) = stack.iter().rposition(|key| is_rested(&self.entries, *key, now))
        {
            let key = stack.remove(place);
            let idle = self.let_go(key, parked)?;
            let is_told_of = idle.is_parked && idle.polled <= self.polls && self.is_lot_read;
            let is_quiet = is_told_of || os.is_quiet(idle.link.wire.fd());
            if is_quiet && now < idle.until {
                return Some(idle.link);
            }
            if !is_quiet {
                idle.link.backend().note_close(now.since(idle.since), now);
            }
            idle.link.close(os);
        }
        None
    }

    /// Whether a connection waits at `home` that may be used.
    pub(super) fn has(&self, home: Key, now: Time) -> bool {
        self.homes
            .get(home)
            .is_some_and(|stack| stack.iter().rev().any(|key| is_rested(&self.entries, *key, now)))
    }

    /// Takes the connection that waits longest at `home`, to be closed.
    pub(super) fn recall(&mut self, home: Key, parked: &mut EpollSet) -> Option<Link> {
        match self.homes.get(home)?.first() {
            Some(key) => self.remove(*key, parked),
            None => self.evict_own(Some(home), parked),
        }
    }

    /// Takes the connection of `key`, of which there is news, unless it was taken already. Its backend has
    /// closed it, or has said something that belongs to no request, if `is_surplus`.
    pub(super) fn remove_dead(
        &mut self,
        key: Key,
        is_surplus: bool,
        now: Time,
        parked: &mut EpollSet,
    ) -> Option<Link> {
        if let Some(idle) = self.entries.get(key) {
            let backend = idle.link.backend();
            match is_surplus {
                true if idle.after != After::Body => backend.note_habit(Habit::Surplus, true, now),
                true => {}
                false => backend.note_close(now.since(idle.since), now),
            }
        }
        self.remove(key, parked)
    }

    /// Takes the connection of `key`, unless it was taken already.
    pub(super) fn remove(&mut self, key: Key, parked: &mut EpollSet) -> Option<Link> {
        let idle = self.let_go(key, parked)?;
        if let Some(stack) = self.homes.get_mut(idle.home) {
            stack.retain(|other| *other != key);
        }
        Some(idle.link)
    }

    fn let_go(&mut self, key: Key, parked: &mut EpollSet) -> Option<Idle> {
        let idle = self.entries.remove(key)?;
        self.own -= usize::from(idle.is_own);
        if idle.is_parked {
            parked.leave(idle.until, EpollTag::Idle(key));
        }
        Some(idle)
    }

    /// Takes any connection, to free its descriptor; one that belongs to a client only if there is no other.
    pub(super) fn evict(&mut self, parked: &mut EpollSet) -> Option<Link> {
        let shared = self.entries.iter().find(|(_, idle)| !idle.is_own).map(|(key, _)| key);
        match shared {
            Some(key) => self.remove(key, parked),
            None => self.evict_own(None, parked),
        }
    }

    /// Takes a connection that is not parked and has waited long enough.
    pub(super) fn pop_late(&mut self, now: Time, parked: &mut EpollSet) -> Option<Link> {
        let is_late =
            |key: &Key| self.entries.get(*key).is_some_and(|idle| !idle.is_parked && idle.until <= now);
        let key = self.recent.iter().copied().find(is_late)?;
        self.remove(key, parked)
    }

    /// How many connections wait for the backend of `home`.
    pub(super) fn len_of(&self, home: Key) -> usize {
        self.homes.get(home).map_or(0, Vec::len)
    }

    /// How many connections wait, those that belong to single clients included.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many of them belong to single clients.
    pub(super) fn own(&self) -> usize {
        self.own
    }

    /// How many of them do not belong to a client.
    fn shared(&self) -> usize {
        self.entries.len() - self.own
    }
}

/// Whether the connection of `key` waits and does not rest.
fn is_rested(entries: &Slab<Idle>, key: Key, now: Time) -> bool {
    entries.get(key).is_some_and(|idle| !idle.rests(now))
}
