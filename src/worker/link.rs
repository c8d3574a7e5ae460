//! A connection to a backend, with what has to be known of it for as long as it is open.

use std::sync::Arc;
use std::time::Duration;

use crate::core::slab::Key;
use crate::core::time::Time;
use crate::os::Os;
use crate::route::hash;
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
    /// When it takes no further exchange, in tenths of a second: `max_age` of its pool.
    retires: u32,
}

/// The share of its `max_age` by which a connection may end earlier, in thousandths.
const EARLIER_MOST: u64 = 100;

/// When the connection of `key`, which began at `began`, is to end.
pub(super) fn retirement(max_age: Duration, key: Key, began: Time) -> Time {
    let random = hash::mix(key.to_bits() ^ began.as_nanos());
    let thousandths = 1000 - random % (EARLIER_MOST + 1);
    let nanos = max_age.as_nanos() * u128::from(thousandths) / 1000;
    began + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A tenth of a second, in nanoseconds.
const TENTH: u64 = 100_000_000;

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
        Link { wire, key, count: Count::Connection(slot), uses: 0, retires: u32::MAX }
    }

    /// Has it end at `max_age`, if that is bounded. It begins at `now`.
    pub(super) fn aged(mut self, max_age: Option<Duration>, now: Time) -> Link {
        if let Some(age) = max_age {
            let at = retirement(age, self.key, now);
            self.retires = u32::try_from(at.as_nanos().div_ceil(TENTH)).unwrap_or(u32::MAX);
        }
        self
    }

    /// When it takes no further exchange, if its age is bounded.
    pub(super) fn retires(&self) -> Option<Time> {
        (self.retires < u32::MAX).then(|| Time::from_nanos(u64::from(self.retires) * TENTH))
    }

    /// A stream of a connection to `backend`.
    pub(super) fn of_stream(wire: Wire, key: Key, backend: Arc<BackendState>) -> Link {
        Link { wire, key, count: Count::Stream(backend), uses: 0, retires: u32::MAX }
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
