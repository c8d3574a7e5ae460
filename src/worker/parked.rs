//! The parked set: where quiet sessions and connections wait, so that the poll array holds only busy ones.
//!
//! It is an epoll(7) instance that is itself one entry of the poll array. Parking goes by time and by what
//! poll had to say, not by state: a connection that is used all the time never enters, so that bursts pay for
//! no epoll_ctl(2), and one that rests costs a turn nothing. A parked connection is reported once. The report
//! names only the connection; the next poll, which has it in its array, says what has happened.
//!
//! Deadlines of the parked are kept here in order. They cannot change while nothing happens, and when
//! something does (news, a deadline, the drain) the parked one leaves first, and derives its deadline anew.

use std::collections::BTreeSet;
use std::time::Duration;

use super::derive::Wait;
use crate::core::interest::Ready;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::os::{Fd, Os};

/// The time for which a session or connection is quiet before it is parked.
pub(super) const QUIET: Duration = Duration::from_millis(20);

/// After how many polls in a row without an event a session or connection is parked. Entering and leaving the
/// parked set cost about as much as so many polls, so whatever happens next, at most twice the least is paid.
pub(super) const UNHEARD_MAX: u8 = 8;

/// Whether a connection without a session is in every poll array, or in the parked set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// In every poll array.
    Hot {
        /// When something last happened.
        touched: Time,
        /// Polls in a row that named no event of it.
        unheard: u8,
    },
    /// In the parked set.
    Parked {
        /// Its deadline.
        until: Time,
    },
}

impl Presence {
    /// That of a connection of which there is news.
    pub(super) fn hot(now: Time) -> Presence {
        Presence::Hot { touched: now, unheard: 0 }
    }

    /// Whether nothing has happened for so long, or for so many polls, that it can be parked.
    pub(super) fn is_quiet(self, now: Time) -> bool {
        match self {
            Presence::Hot { touched, unheard } => unheard >= UNHEARD_MAX || now >= touched + QUIET,
            Presence::Parked { .. } => false,
        }
    }

    /// Records that another poll is about to be asked about it.
    pub(super) fn note_poll(&mut self) {
        if let Presence::Hot { unheard, .. } = self {
            *unheard = unheard.saturating_add(1);
        }
    }

    /// Its deadline in the parked set, if it is there.
    pub(super) fn parked_until(self) -> Option<Time> {
        match self {
            Presence::Hot { .. } => None,
            Presence::Parked { until } => Some(until),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct EpollSet {
    /// `None` without a parked set: nothing is parked.
    fd: Option<Fd>,
    /// Each with its connection. A session has one, under the key of its client.
    deadlines: BTreeSet<(Time, Key)>,
    /// Kept for its memory.
    news: Vec<(u64, Ready)>,
}

impl EpollSet {
    /// A parked set in which something can be parked if `os` has such a thing.
    pub(super) fn open<O: Os>(os: &mut O) -> EpollSet {
        EpollSet { fd: os.open_lot(), ..EpollSet::default() }
    }

    /// Its entry in the poll array, if it has one.
    pub(super) fn fd(&self) -> Option<Fd> {
        self.fd
    }

    /// Parks the connection of `key`, which waits for that; false if it cannot be.
    pub(super) fn park<O: Os>(&self, os: &mut O, wait: &Wait, key: Key) -> bool {
        self.fd.is_some() && wait.watch.is_none_or(|(fd, want)| os.park(fd, want, key.to_bits()))
    }

    /// Records that `parked` is parked until `deadline`, if nothing happens before.
    pub(super) fn enter(&mut self, deadline: Time, parked: Key) {
        self.deadlines.insert((deadline, parked));
    }

    /// Records that `parked`, which was parked until `deadline`, is not any more.
    pub(super) fn leave(&mut self, deadline: Time, parked: Key) {
        self.deadlines.remove(&(deadline, parked));
    }

    /// The first deadline of all that are parked.
    pub(super) fn nearest(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out the first one whose deadline has passed.
    pub(super) fn pop_late(&mut self, now: Time) -> Option<Key> {
        let (deadline, key) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.pop_first();
        Some(key)
    }

    /// Returns the news that the kernel has now, each with the bits of its key, and whether that was all of them.
    /// Their memory goes back by [`EpollSet::put_back`].
    pub(super) fn read<O: Os>(&mut self, os: &mut O) -> (Vec<(u64, Ready)>, bool) {
        let mut news = std::mem::take(&mut self.news);
        news.clear();
        let is_all = os.read_lot(&mut news);
        (news, is_all)
    }

    /// Keeps the memory of what [`EpollSet::read`] gave.
    pub(super) fn put_back(&mut self, news: Vec<(u64, Ready)>) {
        self.news = news;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_late_leave_in_order() {
        let (mut parked, key) = (EpollSet::default(), Key::from_bits);
        parked.enter(Time::from_nanos(2), key(1));
        parked.enter(Time::from_nanos(1), key(1));
        parked.enter(Time::from_nanos(3), key(2));
        parked.leave(Time::from_nanos(1), key(1));
        assert_eq!(parked.nearest(), Some(Time::from_nanos(2)));
        assert_eq!(parked.pop_late(Time::from_nanos(1)), None);
        assert_eq!(parked.pop_late(Time::from_nanos(3)), Some(key(1)));
        assert_eq!(parked.pop_late(Time::from_nanos(3)), Some(key(2)));
    }
}
