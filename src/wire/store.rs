//! Bytes of a connection that wait, in storage that is used by one connection after another.

use std::cell::Cell;
use std::mem;

/// The largest storage that is kept for the next connection, in bytes.
const SPARE_MAX: usize = 128 * 1024;

/// Storage that few bytes may keep from others, in bytes.
const SLACK: usize = 8 * 1024;

thread_local! {
    /// Storage that no connection of this thread needs now. The allocator would give the pages of storage that is freed back
    /// to the kernel, and ask for them again with the next record.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes that wait. Without bytes it has no storage, once it was [given back](Store::give_back).
///
/// All storage is initialized: memory that was cleared once is not cleared for every record.
#[derive(Default)]
pub(super) struct Store {
    storage: Vec<u8>,
    from: usize,
    to: usize,
}

impl Store {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.storage[self.from..self.to]
    }

    /// The mutable form.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.from..self.to]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    pub(super) fn len(&self) -> usize {
        self.to - self.from
    }

    /// Room for `size` bytes behind those that are here.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        if self.storage.len() < self.to + size {
            self.storage.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.len());
        }
        let least = self.to + size;
        if self.storage.len() < least {
            self.grow(least);
        }
        &mut self.storage[self.to..self.to + size]
    }

    /// Exchanges the storage for the spare one if that is larger, and grows it to `least` bytes if it has to.
    fn grow(&mut self, least: usize) {
        let mut spare = SPARE.take();
        if spare.len() > self.storage.len() {
            spare[..self.to].copy_from_slice(&self.storage[..self.to]);
            mem::swap(&mut self.storage, &mut spare);
        }
        SPARE.set(spare);
        if self.storage.len() < least {
            self.storage.resize(least, 0);
        }
    }

    /// Records that `count` bytes were put into [`room`](Self::room).
    pub(super) fn fill(&mut self, count: usize) {
        self.to += count;
        debug_assert!(self.to <= self.storage.len(), "more was put than there was room");
    }

    /// Adds `bytes`.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.room(bytes.len()).copy_from_slice(bytes);
            self.fill(bytes.len());
        }
    }

    /// Puts `bytes` before those that are here.
    pub(super) fn push_ahead(&mut self, bytes: &[u8]) {
        let rest = self.bytes().to_vec();
        self.drop_front(rest.len());
        self.push(bytes);
        self.push(&rest);
    }

    /// Forgets the first `count` bytes.
    pub(super) fn drop_front(&mut self, count: usize) {
        self.from += count;
        debug_assert!(self.from <= self.to, "more was dropped than there was");
        if self.is_empty() {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Gives the storage to the next connection that needs some, if nothing is in it, or much less than there could be: what is
    /// left moves to storage of its size.
    pub(super) fn give_back(&mut self) {
        if !self.is_empty() && self.storage.len() <= 2 * self.len() + SLACK {
            return;
        }
        let rest = self.bytes().to_vec();
        (self.from, self.to) = (0, rest.len());
        let given = mem::replace(&mut self.storage, rest);
        let spare = SPARE.take();
        let is_better = given.len() > spare.len() && given.len() <= SPARE_MAX;
        SPARE.set(if is_better { given } else { spare });
    }

    /// Bytes that its storage takes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.storage.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_put_ahead_comes_first() {
        let mut store = Store::default();
        store.push(b"hello");
        store.push_ahead(b"head ");
        assert_eq!(store.bytes(), b"head hello");
        store.drop_front(10);
        store.give_back();
        assert_eq!(store.held(), 0);
    }

    proptest! {
        /// Two stores that give storage to each other: each hands out its own bytes, once and in order.
        #[test]
        fn bytes_stay_with_their_store(steps in prop::collection::vec((0_usize..2, 0_u8..4, 1_usize..20_000), 1..60)) {
            let mut stores = [Store::default(), Store::default()];
            let mut expected = [Vec::new(), Vec::new()];
            for (turn, (which, kind, size)) in steps.into_iter().enumerate() {
                let (store, bytes) = (&mut stores[which], &mut expected[which]);
                match kind {
                    0 | 1 => {
                        let put = vec![turn as u8 ^ (which as u8) << 7; size];
                        store.room(size + usize::from(kind) * 4096)[..size].copy_from_slice(&put);
                        store.fill(size);
                        bytes.extend_from_slice(&put);
                    }
                    2 => {
                        let count = size.min(store.len());
                        store.drop_front(count);
                        drop(bytes.drain(..count));
                    }
                    _ => store.give_back(),
                }
                prop_assert_eq!(store.bytes(), &bytes[..]);
                prop_assert_eq!(store.is_empty(), bytes.is_empty());
            }
        }
    }
}
