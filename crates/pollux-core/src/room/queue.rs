//! The sessions that make room next, as of one look at all of them.

use std::cmp::Reverse;
use std::time::Duration;

use super::Claim;
use crate::core::time::Time;

/// The fewest sessions that are kept of a look.
const KEPT_MIN: usize = 64;

/// One of so many sessions is kept of a look, if that is more.
const KEPT_SHARE: usize = 64;

/// The time for which a look holds. Sessions that have begun to rest since then go after those that it found.
const FRESH: Duration = Duration::from_millis(250);

/// The time after which another look follows one that found too little.
const AGAIN: Duration = Duration::from_millis(50);

/// A session that may make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvictionCandidate<K> {
    /// The number of connections of its origin, if that is a crowd; else 0. The greatest crowd goes first.
    pub crowd: Reverse<usize>,
    /// Why.
    pub claim: Claim,
    /// The session.
    pub key: K,
}

/// See the module.
#[derive(Debug)]
pub struct EvictionQueue<K> {
    /// The first to go is the last one.
    found: Vec<EvictionCandidate<K>>,
    looked: Option<Time>,
}

impl<K> Default for EvictionQueue<K> {
    fn default() -> EvictionQueue<K> {
        EvictionQueue { found: Vec::new(), looked: None }
    }
}

impl<K: Copy + Ord> EvictionQueue<K> {
    /// When it is worth while to ask for a session that makes room: at once (`now` or before), or after that
    /// time.
    #[must_use]
    pub fn opens_at(&self, now: Time) -> Time {
        match self.looked {
            Some(looked) if self.found.is_empty() || now >= looked + FRESH => looked + AGAIN,
            Some(_) | None => now,
        }
    }

    /// Whether another look at all sessions is due.
    #[must_use]
    pub fn wants_look(&self, now: Time) -> bool {
        let is_stale = |looked: Time| now >= looked + FRESH || self.found.is_empty();
        self.looked.is_none_or(|looked| now >= looked + AGAIN && is_stale(looked))
    }

    /// Takes what a look has found, of `of` sessions: the first to go, of those that may go by now.
    pub fn look(&mut self, now: Time, of: usize, all: impl Iterator<Item = EvictionCandidate<K>>) {
        self.looked = Some(now);
        self.found.clear();
        self.found.extend(all.filter(|candidate| candidate.claim.ripens() <= now));
        let kept = KEPT_MIN.max(of / KEPT_SHARE);
        if kept < self.found.len() {
            self.found.select_nth_unstable(kept);
            self.found.truncate(kept);
        }
        self.found.sort_unstable_by(|one, other| other.cmp(one));
    }

    /// The next one whose claim still `holds`. Those before it are forgotten.
    pub fn peek(
        &mut self,
        mut holds: impl FnMut(&EvictionCandidate<K>) -> bool,
    ) -> Option<EvictionCandidate<K>> {
        while let Some(candidate) = self.found.last().copied() {
            if holds(&candidate) {
                return Some(candidate);
            }
            self.found.pop();
        }
        None
    }

    /// Returns it and removes it from the queue.
    pub fn next(&mut self, holds: impl FnMut(&EvictionCandidate<K>) -> bool) -> Option<EvictionCandidate<K>> {
        let candidate = self.peek(holds);
        self.found.pop();
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Ground;
    use proptest::prelude::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn candidate(ground: Ground, since: u64, key: u32) -> EvictionCandidate<u32> {
        EvictionCandidate { crowd: Reverse(0), claim: Claim::new(ground, at(since)), key }
    }

    fn keys(queue: &mut EvictionQueue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.next(|_| true)).map(|candidate| candidate.key).collect()
    }

    #[test]
    fn the_order_is_the_ground_and_then_the_age() {
        let mut queue = EvictionQueue::default();
        let all = [
            candidate(Ground::Slow, 0, 7),
            candidate(Ground::Unfinished, 0, 1),
            candidate(Ground::Resting, 9000, 2),
            candidate(Ground::Stalled, 0, 6),
            candidate(Ground::Left, 1, 3),
            candidate(Ground::Resting, 500, 4),
            candidate(Ground::Lingering, 9500, 5),
        ];
        queue.look(at(10_000), all.len(), all.into_iter());
        assert_eq!(keys(&mut queue), [5, 4, 2, 3, 1, 6, 7]);
    }

    #[test]
    fn crowds_go_first_and_the_greatest_of_them_before_all() {
        let mut queue = EvictionQueue::default();
        let all = [
            (0, Ground::Resting, 1),
            (9, Ground::Stalled, 2),
            (20, Ground::Unfinished, 3),
            (9, Ground::Left, 4),
        ]
        .map(|(crowd, ground, key)| EvictionCandidate { crowd: Reverse(crowd), ..candidate(ground, 0, key) });
        queue.look(at(10_000), all.len(), all.into_iter());
        assert_eq!(keys(&mut queue), [3, 4, 2, 1]);
    }

    #[test]
    fn grace_is_given_before_anybody_goes() {
        for (ground, grace) in [
            (Ground::Resting, 250),
            (Ground::Unfinished, 250),
            (Ground::Lingering, 250),
            (Ground::Left, 1000),
            (Ground::Stalled, 5000),
            (Ground::Slow, 5000),
        ] {
            let mut queue = EvictionQueue::default();
            queue.look(at(grace - 1), 1, [candidate(ground, 0, 7)].into_iter());
            assert!(keys(&mut queue).is_empty(), "{ground:?}");
            queue.look(at(grace), 1, [candidate(ground, 0, 7)].into_iter());
            assert_eq!(keys(&mut queue), [7], "{ground:?}");
        }
    }

    #[test]
    fn a_look_in_vain_is_not_repeated_at_once_and_one_that_found_holds() {
        let mut queue: EvictionQueue<u32> = EvictionQueue::default();
        assert!(queue.wants_look(at(0)) && queue.opens_at(at(0)) == at(0));
        queue.look(at(0), 0, std::iter::empty());
        assert!(!queue.wants_look(at(49)) && queue.opens_at(at(49)) == at(50) && queue.wants_look(at(50)));
        queue.look(
            at(1000),
            2,
            [candidate(Ground::Resting, 0, 1), candidate(Ground::Resting, 1, 2)].into_iter(),
        );
        assert!(!queue.wants_look(at(1249)) && queue.opens_at(at(1249)) == at(1249));
        assert!(queue.wants_look(at(1250)) && queue.opens_at(at(1250)) <= at(1250));
        assert_eq!(queue.next(|candidate| candidate.key != 1).map(|candidate| candidate.key), Some(2));
        assert_eq!(queue.next(|_| true), None);
    }

    proptest! {
        /// For any sessions: those given are the first of the order, each once, and all of them ripe.
        #[test]
        fn the_first_of_all_are_given(
            claims in prop::collection::vec((0_usize..6, 0_u64..2000), 0..300),
            now in 0_u64..8000,
        ) {
            let all: Vec<_> = claims
                .iter()
                .zip(0_u32..)
                .map(|((ground, since), key)| candidate(Ground::ALL[*ground], *since, key))
                .collect();
            let mut ripe: Vec<_> = all.iter().copied().filter(|one| one.claim.ripens() <= at(now)).collect();
            ripe.sort_unstable();
            let mut queue = EvictionQueue::default();
            queue.look(at(now), all.len(), all.into_iter());
            let given: Vec<_> = std::iter::from_fn(|| queue.next(|_| true)).collect();
            prop_assert_eq!(given.len(), ripe.len().min(KEPT_MIN));
            prop_assert_eq!(&given[..], &ripe[..given.len()]);
        }
    }
}
