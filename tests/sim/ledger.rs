//! The records of every exchange: a journal that keeps them for the oracles.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use pollux::core::outcome::{Cause, Journal, Proofs, Record};

/// The part of a record that oracles look at.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) target: String,
    pub(crate) status: u16,
    pub(crate) cause: Option<Cause>,
    pub(crate) retried: Proofs,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = self.cause.map_or("fine", |cause| cause.as_str());
        let Entry { target, status, bytes_up, bytes_down, .. } = self;
        write!(f, "record of {target:?}: {status}, {cause}, {bytes_up} up, {bytes_down} down")?;
        self.retried.last().map_or(Ok(()), |_| write!(f, ", retried ({})", self.retried))
    }
}

/// A journal; clones share their entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Rc<RefCell<Vec<Entry>>>);

impl Ledger {
    /// The number of exchanges that have ended because their client went, or because they had waited for as long
    /// as they may. One that waits again, behind a connect in vain, goes on with the time that it has left.
    pub(crate) fn gone(&self) -> usize {
        let is_gone =
            |entry: &&Entry| matches!(entry.cause, Some(Cause::ClientAborted | Cause::QueueTimeout));
        self.0.borrow().iter().filter(is_gone).count()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.borrow().clone()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.borrow().iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl Journal for Ledger {
    fn record(&mut self, record: &Record<'_>, _at: Duration) {
        self.0.borrow_mut().push(Entry {
            target: String::from_utf8_lossy(record.target).into_owned(),
            status: record.status,
            cause: record.outcome.cause,
            retried: record.retried,
            bytes_up: record.bytes_up,
            bytes_down: record.bytes_down,
        });
    }
}
