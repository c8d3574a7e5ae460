//! Memory that is shared by all sessions of a worker, and bounded as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The part that is left of it, in bytes.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

/// A part of it, which is given back when it is dropped.
#[derive(Debug)]
pub struct BudgetShare {
    budget: Budget,
    taken: usize,
}

impl Budget {
    /// One of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Budget {
        Budget(Arc::new(AtomicUsize::new(bytes)))
    }

    /// A part that has nothing yet.
    #[must_use]
    pub fn share(&self) -> BudgetShare {
        BudgetShare { budget: self.clone(), taken: 0 }
    }
}

impl BudgetShare {
    /// Takes so many bytes more; false if there are not as many left.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        let is_taken = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        self.taken += if is_taken { bytes } else { 0 };
        is_taken
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.take(7) && !other.take(4) && other.take(3) && !one.take(1));
        drop(one);
        assert!(other.take(7) && !other.take(1));
    }
}
