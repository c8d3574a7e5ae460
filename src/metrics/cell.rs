//! A number that one thread counts up and any other reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module. A load and a store instead of one atomic addition: there is one writer, so no count is
/// lost, and no thread waits for a line of cache.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    /// Adds `count`. Only ever called by the one thread that writes.
    pub(super) fn add(&self, count: u64) {
        self.set(self.get().wrapping_add(count));
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}
