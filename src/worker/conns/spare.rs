//! The memory of clients that are over, for the next ones.

use crate::session::{Session, SessionMemory};
use crate::worker::conn::Conn;

/// The memory for so many served clients is kept for the next ones.
const SPARE_MAX: usize = 512;

/// The memory for so many is kept for longer than a moment.
const SPARE_KEPT: usize = 64;

/// The same of the text of their sessions.
const MEMORIES_KEPT: usize = 8;

/// The memory of a client that is served: empty only while it is spare.
pub(in crate::worker) type Served = Box<Option<Conn>>;

/// See the module.
#[derive(Debug)]
pub(in crate::worker) struct SpareClients {
    places: Vec<Served>,
    /// The memory of sessions of streams.
    memories: Vec<SessionMemory>,
}

impl Default for SpareClients {
    fn default() -> SpareClients {
        SpareClients { places: Vec::with_capacity(SPARE_KEPT), memories: Vec::new() }
    }
}

impl SpareClients {
    /// Memory with `conn` in it.
    pub(super) fn place(&mut self, conn: Conn) -> Served {
        let mut place = self.places.pop().unwrap_or_default();
        *place = Some(conn);
        place
    }

    /// Keeps the memory of a client that has left it.
    pub(super) fn keep(&mut self, place: Served) {
        debug_assert!(place.is_none(), "memory is spare once its client is gone");
        if self.places.len() < SPARE_MAX {
            self.places.push(place);
        }
    }

    /// Keeps the memory of a session that is over, if it was that of a stream.
    pub(super) fn keep_session(&mut self, session: Session) {
        if self.memories.len() < SPARE_MAX {
            self.memories.extend(session.into_memory());
        }
    }

    /// Memory for the session of a stream.
    pub(in crate::worker) fn session_memory(&mut self) -> SessionMemory {
        self.memories.pop().unwrap_or_default()
    }

    /// Whether more memory is kept than what is kept for good.
    pub(in crate::worker) fn has_surplus(&self) -> bool {
        self.places.len() > SPARE_KEPT || self.memories.len() > MEMORIES_KEPT
    }

    /// Gives the surplus back.
    pub(in crate::worker) fn tidy(&mut self) {
        self.places.truncate(SPARE_KEPT);
        self.memories.truncate(MEMORIES_KEPT);
    }
}
