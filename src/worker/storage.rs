//! The pool that lends lanes their buffers: a session that holds no bytes holds no memory for them.
//!
//! There is a bound, and at the bound nobody reads. The last quarter is lent to backends only: otherwise requests that wait
//! for their responses could hold every buffer, and no response would ever be read.

use std::time::Duration;

use crate::core::time::Time;
use crate::session::Side;

/// The fewest buffers a worker can do with: one for a backend, and a few to be used at the same time.
pub(super) const BUFFERS_MIN: usize = 4;

/// So many free buffers are kept in any case: a worker that has a moment's rest does not begin anew.
const KEPT_MIN: usize = 4;

/// How long any other free buffer is kept that nobody has needed.
const KEPT: Duration = Duration::from_secs(1);

/// Buffers of one size, lent and returned, last returned first.
#[derive(Debug)]
pub(super) struct Storage {
    size: usize,
    most: usize,
    free: Vec<Box<[u8]>>,
    out: usize,
    /// The fewest free ones since the last look: so many were not needed.
    spare: usize,
    looked: Time,
    has_refused: bool,
}

impl Storage {
    /// A pool of at most `most` buffers of `size` bytes; it makes them as they are needed.
    #[must_use]
    pub(super) fn new(size: usize, most: usize) -> Storage {
        let most = most.max(BUFFERS_MIN);
        Storage { size, most, free: Vec::new(), out: 0, spare: 0, looked: Time::ZERO, has_refused: false }
    }

    /// From now on at most `most` are lent; more may be out until they come back.
    pub(super) fn adapt(&mut self, most: usize) {
        self.most = most.max(BUFFERS_MIN);
    }

    /// Whether there is a buffer for what comes from `side`.
    #[must_use]
    pub(super) fn can_lend(&self, side: Side) -> bool {
        match side {
            Side::Client => self.out < self.most - self.most / 4,
            Side::Backend => self.out < self.most,
        }
    }

    /// Lends a buffer for what comes from `side`, unless too many are lent.
    pub(super) fn take(&mut self, side: Side) -> Option<Box<[u8]>> {
        if !self.can_lend(side) {
            self.has_refused = true;
            return None;
        }
        Some(self.take_beyond())
    }

    /// Lends a buffer whatever the bound says, to be given back before anybody else is driven.
    pub(super) fn take_beyond(&mut self) -> Box<[u8]> {
        self.out += 1;
        let buffer = self.free.pop().unwrap_or_else(|| vec![0; self.size].into_boxed_slice());
        self.spare = self.spare.min(self.free.len());
        buffer
    }

    /// Whether somebody has gone without since the last time this was asked.
    pub(super) fn has_refused(&mut self) -> bool {
        std::mem::take(&mut self.has_refused)
    }

    /// Takes a buffer back.
    pub(super) fn give(&mut self, buffer: Box<[u8]>) {
        self.out -= 1;
        self.free.push(buffer);
    }

    /// How many buffers are lent.
    #[must_use]
    pub(super) fn out(&self) -> usize {
        self.out
    }

    /// When to look again for buffers that nobody needs; `None` if there are none.
    #[must_use]
    pub(super) fn tidies_at(&self) -> Option<Time> {
        (self.free.len() > KEPT_MIN).then(|| self.looked + KEPT)
    }

    /// Gives those back to the system that have not been needed since the last look, if it is time.
    pub(super) fn tidy(&mut self, now: Time) {
        if now < self.looked + KEPT {
            return;
        }
        // The ones used last lie at the end.
        let unneeded = self.spare.min(self.free.len().saturating_sub(KEPT_MIN));
        self.free.drain(..unneeded);
        (self.spare, self.looked) = (self.free.len(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_is_for_backends() {
        let mut storage = Storage::new(1, 8);
        let lent: Vec<_> = std::iter::from_fn(|| storage.take(Side::Client)).collect();
        assert_eq!(lent.len(), 6);
        let more: Vec<_> = std::iter::from_fn(|| storage.take(Side::Backend)).collect();
        assert_eq!((more.len(), storage.out()), (2, 8));
        lent.into_iter().chain(more).for_each(|buffer| storage.give(buffer));
        assert!(storage.out() == 0 && storage.can_lend(Side::Client));
    }

    #[test]
    fn what_a_peak_needed_is_given_back_and_the_rest_stays() {
        let (mut storage, mut now) = (Storage::new(1, 100), Time::ZERO);
        let lent: Vec<_> = (0..50).map_while(|_| storage.take(Side::Backend)).collect();
        lent.into_iter().for_each(|buffer| storage.give(buffer));
        for _ in 0..3 {
            let in_use: Vec<_> = (0..6).map_while(|_| storage.take(Side::Backend)).collect();
            in_use.into_iter().for_each(|buffer| storage.give(buffer));
            now = now + KEPT;
            assert_eq!(storage.tidies_at().map(|at| at <= now), Some(true));
            storage.tidy(now);
        }
        assert_eq!(storage.free.len(), 6);
        storage.tidy(now + KEPT);
        storage.tidy(now + KEPT + KEPT);
        assert_eq!((storage.free.len(), storage.tidies_at()), (KEPT_MIN, None));
    }
}
