//! Orders of the control thread to a worker, which looks between two turns: one atomic load, and a lock only
//! if something came.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::slab::Key;
use crate::explain::WorkerState;
use crate::recorder::Story;
use crate::snapshot::Snapshot;
use crate::status::{Holder, SessionsAsk};
use crate::tls::Handles;
use crate::worker::WorkerReport;

/// An order to a worker.
#[derive(Debug)]
pub(super) enum Order {
    /// Stop accepting, and end with the last session.
    Drain {
        /// For each listener, whether another process has taken over its sockets.
        handed: Arc<[bool]>,
    },
    /// Give copies of the sockets by which clients come in.
    Doors {
        /// To whom: each with the place of its listener.
        to: Sender<io::Result<Vec<(OwnedFd, usize)>>>,
    },
    /// Run on another configuration from now on.
    Switch {
        snapshot: Arc<Snapshot>,
        /// The TLS objects that its rules need.
        tls: Arc<Handles>,
        /// For each of its listeners.
        inlets: Vec<InletGiven>,
        /// For each listener until now, whether its sockets go back to a service manager.
        given_back: Arc<[bool]>,
        /// Is told when it is done.
        done: Sender<()>,
    },
    /// Say what it holds.
    Report {
        /// To whom.
        to: Sender<WorkerReport>,
    },
    /// Say which sessions it has.
    List {
        /// The sessions that are asked for.
        ask: SessionsAsk,
        /// To whom.
        to: Sender<Vec<Holder>>,
    },
    /// End a session.
    Kill {
        /// The session.
        key: Key,
        /// Is told whether there was one.
        to: Sender<bool>,
    },
    /// Say that it still turns.
    Ping {
        /// To whom.
        to: Sender<()>,
    },
    /// Say what it remembers of exchanges.
    Stories {
        /// To whom.
        to: Sender<Vec<Story>>,
    },
    /// Say what its next decisions depend on.
    Live {
        /// To whom.
        to: Sender<WorkerState>,
    },
}

/// The source of a listener's clients.
#[derive(Debug)]
pub(super) enum InletGiven {
    /// By this socket.
    New(OwnedFd),
    /// By that of the listener that was at that place until now.
    Kept(usize),
}

/// The orders of one worker. The control thread gives few, and waits for each reload to be done before the
/// next.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// The number of orders ever given.
    version: AtomicU64,
    orders: Mutex<VecDeque<Order>>,
    wake: Arc<UnixStream>,
}

impl Mailbox {
    /// A mailbox, and the descriptor that becomes readable when something comes.
    pub(super) fn open() -> io::Result<(Mailbox, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let (version, orders) = (AtomicU64::new(0), Mutex::default());
        Ok((Mailbox { version, orders, wake: Arc::new(ours) }, theirs))
    }

    /// The socket that wakes the worker when something is written to it.
    pub(super) fn wake(&self) -> Arc<UnixStream> {
        Arc::clone(&self.wake)
    }

    /// Gives an order and wakes the worker.
    pub(super) fn post(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.version.fetch_add(1, Ordering::Release);
        // A full pipe has woken the worker already, and a closed one has no worker.
        let _ = (&*self.wake).write(&[1]);
    }

    /// The orders that have come since `seen`, which takes note of them.
    pub(super) fn take(&self, seen: &mut u64) -> VecDeque<Order> {
        let version = self.version.load(Ordering::Acquire);
        if version == *seen {
            return VecDeque::new();
        }
        *seen = version;
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_once() {
        let (mailbox, _wake) = Mailbox::open().unwrap();
        let mut seen = 0;
        assert!(mailbox.take(&mut seen).is_empty());
        mailbox.post(Order::Drain { handed: [].into() });
        mailbox.post(Order::Drain { handed: [].into() });
        assert_eq!(mailbox.take(&mut seen).len(), 2);
        assert!(mailbox.take(&mut seen).is_empty());
    }
}
