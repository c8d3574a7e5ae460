//! A connection to a backend, with what has to be known of it for as long as it is open.

use std::sync::Arc;

use crate::core::slab::Key;
use crate::os::Os;
use crate::shared::pools::{BackendState, Slot};
use crate::wire::Wire;

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) wire: Wire,
    /// Its key among the connections of the worker, for as long as it is open.
    pub(super) key: Key,
    count: Count,
    /// The number of exchanges that it has served.
    pub(super) uses: u32,
}

/// The part of the backend's bound of connections that a link holds.
#[derive(Debug)]
enum Count {
    /// One connection, until it is dropped.
    Connection(Slot),
    /// None: the connection that carries the stream is counted.
    Stream(Arc<BackendState>),
}

impl Link {
    pub(super) fn new(wire: Wire, key: Key, slot: Slot) -> Link {
        Link { wire, key, count: Count::Connection(slot), uses: 0 }
    }

    /// A stream of a connection to `backend`.
    pub(super) fn of_stream(wire: Wire, key: Key, backend: Arc<BackendState>) -> Link {
        Link { wire, key, count: Count::Stream(backend), uses: 0 }
    }

    /// The backend that it leads to.
    pub(super) fn backend(&self) -> &BackendState {
        match &self.count {
            Count::Connection(slot) => slot.backend(),
            Count::Stream(backend) => backend,
        }
    }

    /// The connection alone; it is one of its backend's no more.
    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }

    /// Ends it, once its slot is free; what was written is still delivered.
    pub(super) fn close<O: Os>(self, os: &mut O) {
        self.wire.close(os);
    }

    /// Ends it at once, once its slot is free.
    pub(super) fn reset<O: Os>(self, os: &mut O) {
        self.wire.reset(os);
    }
}
