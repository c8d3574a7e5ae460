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

use crate::core::interest::{Interest, Ready};
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::os::{Fd, Os};

/// How long a session or connection is quiet before it is parked.
pub(super) const QUIET: Duration = Duration::from_millis(20);

/// After how many polls in a row without an event a session or connection is parked. Entering and leaving the
/// parked set cost about as much as so many polls, so whatever happens next, at most twice the least is paid.
pub(super) const UNHEARD_MAX: u8 = 8;

/// A connection in the parked set. The deadline of a session is entered once, by its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpollTag {
    /// A client, with a session or in its handshake.
    Conn(Key),
    /// The backend of a session. It may be another one by now.
    Backend(Key),
    /// An idle backend connection.
    Idle(Key),
}

impl EpollTag {
    /// The slot lies in the lower half of a key, and is far below 2^30: there are not as many descriptors.
    fn to_bits(self) -> u64 {
        let (key, kind) = match self {
            EpollTag::Conn(key) => (key, 0),
            EpollTag::Backend(key) => (key, 1),
            EpollTag::Idle(key) => (key, 2),
        };
        key.to_bits() | kind << 30
    }

    /// The tag of these bits.
    pub(super) fn from_bits(bits: u64) -> EpollTag {
        let key = Key::from_bits(bits & !(3 << 30));
        match bits >> 30 & 3 {
            0 => EpollTag::Conn(key),
            1 => EpollTag::Backend(key),
            _ => EpollTag::Idle(key),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct EpollSet {
    /// `None` without a parked set: nothing is parked.
    fd: Option<Fd>,
    /// Each with the number of its tag: half as long as the tag, and there is one for each idle client.
    deadlines: BTreeSet<(Time, u64)>,
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

    /// Parks one connection; false if it cannot be.
    pub(super) fn park<O: Os>(&self, os: &mut O, fd: Fd, want: Interest, tag: EpollTag) -> bool {
        self.fd.is_some() && os.park(fd, want, tag.to_bits())
    }

    /// Records that `parked` is parked until `deadline`, if nothing happens before.
    pub(super) fn enter(&mut self, deadline: Time, parked: EpollTag) {
        self.deadlines.insert((deadline, parked.to_bits()));
    }

    /// Records that `parked`, which was parked until `deadline`, is not any more.
    pub(super) fn leave(&mut self, deadline: Time, parked: EpollTag) {
        self.deadlines.remove(&(deadline, parked.to_bits()));
    }

    /// The first deadline of all that are parked.
    pub(super) fn nearest(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out the first one whose deadline has passed.
    pub(super) fn pop_late(&mut self, now: Time) -> Option<EpollTag> {
        let (deadline, tag) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.pop_first();
        Some(EpollTag::from_bits(tag))
    }

    /// Returns the news that the kernel has now, each with the bits of its tag, and whether that was all of them.
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
    fn a_tag_survives_as_a_number() {
        for bits in [0, 7, 1 << 32, u64::from(u32::MAX) << 32 | 0x3fff_ffff] {
            let key = Key::from_bits(bits);
            for tag in [EpollTag::Conn(key), EpollTag::Backend(key), EpollTag::Idle(key)] {
                assert_eq!(EpollTag::from_bits(tag.to_bits()), tag);
            }
        }
    }

    #[test]
    fn the_late_leave_in_order() {
        let (mut parked, key) = (EpollSet::default(), Key::from_bits);
        parked.enter(Time::from_nanos(2), EpollTag::Conn(key(1)));
        parked.enter(Time::from_nanos(1), EpollTag::Idle(key(1)));
        parked.enter(Time::from_nanos(3), EpollTag::Conn(key(2)));
        parked.leave(Time::from_nanos(1), EpollTag::Idle(key(1)));
        assert_eq!(parked.nearest(), Some(Time::from_nanos(2)));
        assert_eq!(parked.pop_late(Time::from_nanos(1)), None);
        assert_eq!(parked.pop_late(Time::from_nanos(3)), Some(EpollTag::Conn(key(1))));
        assert_eq!(parked.pop_late(Time::from_nanos(3)), Some(EpollTag::Conn(key(2))));
    }
}
