//! The state that the threads of one toy share: its name, its counts, its open connections, and the request
//! to stop.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::behaviour::Behaviour;
use crate::h2::Health;
use crate::peer::Conn;

/// The number of connections that a toy holds at once. Beyond that it does not accept, and clients wait in
/// the backlog.
const OPEN_MAX: usize = 16 * 1024;

/// The number of request heads that are remembered; older ones are forgotten.
const SEEN_MAX: usize = 1024;

/// One of these per toy, held by the acceptor and by every connection.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) behaviour: Behaviour,
    accepted: AtomicU64,
    seen: Mutex<Seen>,
    refused: AtomicU32,
    pub(crate) health: Health,
    state: Mutex<State>,
    /// Told once, when the toy begins to stop.
    stopping: Condvar,
    /// Told each time a connection ends.
    ended: Condvar,
}

#[derive(Default)]
struct Seen {
    count: u64,
    heads: VecDeque<Vec<u8>>,
}

#[derive(Default)]
struct State {
    stopping: bool,
    next_id: u64,
    open: HashMap<u64, Conn>,
}

impl Shared {
    pub(crate) fn new(name: &str, behaviour: Behaviour) -> Shared {
        Shared {
            name: name.to_owned(),
            behaviour,
            accepted: AtomicU64::new(0),
            seen: Mutex::default(),
            refused: AtomicU32::new(0),
            health: Health::default(),
            state: Mutex::default(),
            stopping: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    /// Enters an accepted connection into the table, so that [`Shared::stop`] can end it. `None` means that
    /// the toy is stopping and the connection must be dropped.
    pub(crate) fn enter(&self, conn: &Conn) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.stopping {
            return None;
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let id = state.next_id;
        state.next_id += 1;
        state.open.insert(id, conn.clone());
        Some(id)
    }

    /// Takes a connection out of the table. Its own thread has let go of it by then, so this closes it.
    pub(crate) fn leave(&self, id: u64) {
        lock(&self.state).open.remove(&id);
        self.ended.notify_all();
    }

    /// Waits until there is room for another connection; false means that the toy is stopping.
    pub(crate) fn has_room(&self) -> bool {
        let full = |state: &mut State| !state.stopping && state.open.len() >= OPEN_MAX;
        let state = self.ended.wait_while(lock(&self.state), full).unwrap_or_else(PoisonError::into_inner);
        !state.stopping
    }

    /// Waits for `span`. Fails at once when the toy stops.
    pub(crate) fn pause(&self, span: Duration) -> io::Result<()> {
        let (state, _) = self
            .stopping
            .wait_timeout_while(lock(&self.state), span, |state| !state.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopping { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Lets nothing more in, and shuts every open connection down, which wakes the thread that blocks on it.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        for conn in state.open.values() {
            conn.shut_down();
        }
        drop(state);
        self.stopping.notify_all();
        self.health.wake();
        self.ended.notify_all();
    }

    /// Waits until every connection is closed.
    pub(crate) fn wait_till_empty(&self) {
        let busy = |state: &mut State| !state.open.is_empty();
        drop(self.ended.wait_while(lock(&self.state), busy).unwrap_or_else(PoisonError::into_inner));
    }

    /// Remembers a complete request head.
    pub(crate) fn note(&self, head: &[u8]) {
        let mut seen = lock(&self.seen);
        seen.count += 1;
        if seen.heads.len() == SEEN_MAX {
            seen.heads.pop_front();
        }
        seen.heads.push_back(head.to_vec());
    }

    /// Whether this is one of the first `most` requests that are refused.
    pub(crate) fn refuses(&self, most: u32) -> bool {
        let refuse = |refused: u32| (refused < most).then_some(refused + 1);
        self.refused.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_ok()
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> u64 {
        lock(&self.seen).count
    }

    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        lock(&self.seen).heads.iter().cloned().collect()
    }
}

/// Locks even after a panic elsewhere: the tables are whole between any two statements that touch them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
