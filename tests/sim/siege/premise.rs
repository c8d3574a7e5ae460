//! Whether each backend has answered a good request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// The hosts of the backends that have.
#[derive(Debug, Default)]
pub(crate) struct Premise {
    backends: Cell<usize>,
    answered: RefCell<BTreeSet<usize>>,
}

impl Premise {
    /// The pool has so many backends.
    pub(crate) fn backends(&self, count: usize) {
        self.backends.set(count);
    }

    /// The proxy has read a good answer of the backend at `host`.
    pub(super) fn note_answer(&self, host: usize) {
        self.answered.borrow_mut().insert(host);
    }

    pub(super) fn holds(&self) -> bool {
        self.answered.borrow().len() == self.backends.get()
    }
}
