//! Which pool serves a client: a pure function of the snapshot and what is known of the request.

use crate::snapshot::{PoolId, Snapshot};

/// The pool for what comes in at the listener at `listener` of the snapshot. Every listener has one pool.
#[must_use]
pub fn decide(snapshot: &Snapshot, listener: usize) -> PoolId {
    snapshot.listeners[listener].pool
}
