//! Evens out what the kernel's hash has made uneven: a client that comes to a worker with clearly more of
//! them than another one has is handed over to that one, before anything is read from it. A session never
//! moves.

use std::net::SocketAddr;
use std::time::Duration;

use super::Worker;
use crate::core::time::Time;
use crate::os::{Fd, Os};
use crate::shared::rebalance::{HandedOver, LoadSlot};

/// Over how long, or up to twice as long, sessions that end are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// Numbers of short sessions differ by chance, and seldom by so many times the root of the greater one.
const CHANCE: usize = 6;

/// The number of sessions that have ended lately.
#[derive(Debug, Default)]
pub(super) struct Churn {
    since: Time,
    /// The number that had ended at the beginning of this period.
    ended: u64,
    /// The number that had ended at the beginning of the period before.
    ended_before: u64,
}

impl Churn {
    /// The number that have ended in this period and the one before, if so many have ended in all.
    fn recent(&mut self, now: Time, ended: u64) -> usize {
        if now >= self.since + PERIOD {
            (self.since, self.ended, self.ended_before) = (now, ended, self.ended);
        }
        usize::try_from(ended - self.ended_before).unwrap_or(usize::MAX)
    }
}

/// Whether `mine` sessions are clearly more than the `least` that another worker has, where `ended` have
/// ended lately.
///
/// An eighth more, and one, is as good as the same. Where sessions come and go, numbers differ by chance and
/// even out by themselves: that much more must it be. Otherwise a load of short connections would be handed
/// around for nothing.
fn is_clearly_more(mine: usize, least: usize, ended: usize) -> bool {
    let by_itself = (CHANCE * mine.isqrt()).min(ended / 2);
    mine > least.saturating_add(1 + least / 8 + by_itself)
}

impl<O: Os> Worker<O> {
    /// Makes it one of several workers that even out their clients.
    pub fn set_load_slot(&mut self, slot: LoadSlot) {
        self.load_slot = Some(slot);
    }

    /// Hands an accepted client over to the worker with the fewest, if this one has clearly more; returns it
    /// back if not.
    pub(super) fn hand_over(&mut self, fd: Fd, client: SocketAddr, listener: usize) -> Option<Fd> {
        let Some(slot) = &self.load_slot else { return Some(fd) };
        // Clients in the queue count. Otherwise a worker that was just given some would keep all of its own
        // too.
        let (mine, ended) = (slot.load() + 1, self.churn.recent(self.now, self.ended));
        // The others' numbers are in lines of cache of theirs: they are not looked at in vain.
        if !is_clearly_more(mine, 0, ended) {
            return Some(fd);
        }
        let Some((place, least)) = slot.lightest() else { return Some(fd) };
        if !is_clearly_more(mine, least, ended) {
            return Some(fd);
        }
        let Some(owned) = self.os.give_away(fd) else { return Some(fd) };
        match slot.hand_over(place, HandedOver { fd: owned, client, listener }) {
            Ok(()) => {
                tracing::debug!(worker = place, mine, least, "a client was handed over");
                None
            }
            Err(handed_over) => self.os.take_in(handed_over.fd),
        }
    }

    /// Begins the sessions of the clients that others have handed over, as far as there is room for them. The
    /// others wait in the queue.
    pub(super) fn begin_handed_over(&mut self) {
        while self.expects_place()
            && !self.is_full_of_handshakes()
            && let Some(slot) = self.load_slot.as_ref().filter(|slot| slot.has_clients())
            && let Some(handed_over) = slot.take()
        {
            self.admit_handed_over(handed_over);
            self.make_places();
        }
    }

    /// Takes in all of them: they came by listeners of the configuration that is about to be left.
    pub(super) fn begin_all_handed_over(&mut self) {
        let handed_over = self.load_slot.as_mut().map(LoadSlot::take_all).unwrap_or_default();
        handed_over.into_iter().for_each(|handed_over| self.admit_handed_over(handed_over));
    }

    /// Takes in all of them, and gets no more: they have been accepted, and a worker that goes has no room to
    /// wait for.
    pub(super) fn close_handover_queue(&mut self) {
        let handed_over = self.load_slot.as_mut().map(LoadSlot::close).unwrap_or_default();
        handed_over.into_iter().for_each(|handed_over| self.admit_handed_over(handed_over));
    }

    fn admit_handed_over(&mut self, handed_over: HandedOver) {
        if let Some(fd) = self.os.take_in(handed_over.fd) {
            self.admit(fd, handed_over.client, handed_over.listener);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of `count` long connections that each of the workers has, if all come to the first.
    fn spread(workers: usize, count: usize) -> Vec<usize> {
        let mut sessions = vec![0; workers];
        for _ in 0..count {
            let (lightest, least) =
                (1..workers).map(|place| (place, sessions[place])).min_by_key(|pair| pair.1).unwrap();
            let chosen = if is_clearly_more(sessions[0] + 1, least, 0) { lightest } else { 0 };
            sessions[chosen] += 1;
        }
        sessions
    }

    #[test]
    fn long_connections_are_spread_from_the_first_on() {
        assert_eq!(spread(2, 2), [1, 1]);
        assert_eq!(spread(2, 8), [4, 4]);
        assert_eq!(spread(4, 32), [8, 8, 8, 8]);
        let sessions = spread(4, 10_000);
        assert!(sessions[0] <= sessions[3] + 1 + sessions[3] / 8, "{sessions:?}");
    }

    #[test]
    fn an_eighth_and_one_is_as_good_as_the_same() {
        for (mine, least, is_more) in
            [(1, 0, false), (2, 0, true), (9, 8, false), (10, 8, false), (11, 8, true)]
        {
            assert_eq!(is_clearly_more(mine, least, 0), is_more, "{mine} and {least}");
        }
        assert!(!is_clearly_more(1126, 1000, 0) && is_clearly_more(1127, 1000, 0));
        assert!(!is_clearly_more(usize::MAX / 2, usize::MAX, 0));
    }

    #[test]
    fn what_comes_and_goes_evens_out_by_itself() {
        // 64 clients with a connection for each request: by chance numbers differ by 8, and this is more than
        // five times that.
        assert!((10..=32).all(|least| !is_clearly_more(64 - least, least, 10_000)));
        // But not thousands beside an idle worker.
        assert!(is_clearly_more(4000, 0, 10_000));
        // A probe every second does not keep long connections from being spread.
        assert!(is_clearly_more(5, 1, 2));
    }

    #[test]
    fn what_ended_long_ago_is_forgotten() {
        let (mut churn, begin) = (Churn::default(), Time::ZERO);
        assert_eq!(churn.recent(begin, 5), 5);
        assert_eq!(churn.recent(begin + PERIOD, 8), 8);
        assert_eq!(churn.recent(begin + PERIOD + PERIOD, 9), 1);
        assert_eq!(churn.recent(begin + PERIOD + PERIOD, 12), 4);
    }
}
