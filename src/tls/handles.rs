//! TLS configurations made of the rules of a snapshot and of the files that they name.
//!
//! A snapshot holds rules alone. Each rule is shared by an `Arc`, and what was made of it is found by that
//! very `Arc`: a listener or a pool that is cloned keeps what it has.

use std::sync::Arc;

use super::{Origination, Termination};
use crate::snapshot::{Listener, Pool, Snapshot};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Handles {
    terminations: Vec<Arc<Termination>>,
    originations: Vec<Arc<Origination>>,
}

impl Handles {
    /// Adds what was made for a listener.
    pub fn add_termination(&mut self, termination: Arc<Termination>) {
        self.terminations.push(termination);
    }

    /// Adds what was made for a pool.
    pub fn add_origination(&mut self, origination: Arc<Origination>) {
        self.originations.push(origination);
    }

    /// Adds all of `others`.
    pub fn join(&mut self, others: Handles) {
        self.terminations.extend(others.terminations);
        self.originations.extend(others.originations);
    }

    /// The TLS objects of `listener`; `None` if it speaks without, or nothing was made of its rules.
    #[must_use]
    pub fn termination(&self, listener: &Listener) -> Option<&Arc<Termination>> {
        let rules = listener.tls.as_ref()?;
        self.terminations.iter().find(|made| Arc::ptr_eq(made.rules(), rules))
    }

    /// The TLS objects of `pool`; `None` if it speaks without, or nothing was made of its rules.
    #[must_use]
    pub fn origination(&self, pool: &Pool) -> Option<&Arc<Origination>> {
        let rules = pool.tls.as_ref()?;
        self.originations.iter().find(|made| Arc::ptr_eq(made.rules(), rules))
    }

    /// The name of a listener or a pool of `snapshot` with rules of which nothing was made, if there is one.
    #[must_use]
    pub fn missing<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a str> {
        let is_without =
            |listener: &&Listener| listener.tls.is_some() && self.termination(listener).is_none();
        let listener = snapshot.listeners.iter().find(is_without).map(|listener| listener.name.as_str());
        let is_without = |pool: &&Pool| pool.tls.is_some() && self.origination(pool).is_none();
        listener.or_else(|| snapshot.pools.iter().find(is_without).map(|pool| pool.name.as_str()))
    }
}

/// A configuration with what was made of its rules.
#[derive(Clone, Debug)]
pub struct ServedSnapshot {
    /// The configuration.
    pub snapshot: Snapshot,
    /// The TLS objects that its rules need.
    pub tls: Arc<Handles>,
}

/// A configuration that speaks no TLS.
impl From<Snapshot> for ServedSnapshot {
    fn from(snapshot: Snapshot) -> ServedSnapshot {
        ServedSnapshot { snapshot, tls: Arc::default() }
    }
}
