//! A listening socket, and when it is open: a worker that has no room for another client does not ask for
//! one.

use std::rc::Rc;
use std::time::Duration;

use super::conn::ListenerState;
use super::generation::Generation;
use crate::core::time::Time;
use crate::os::Fd;

/// An acceptor stays shut for so long after the descriptors ran out, if this worker frees none: other threads
/// may.
const SHUT_MAX: Duration = Duration::from_millis(100);

/// A listening socket.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) fd: Fd,
    /// The place of the listener in the snapshot.
    pub(super) listener: usize,
    shut: Option<Shut>,
    /// The generation of its clients, if it is to be closed as soon as its queue is empty. They see a drain.
    leaving: Option<(Rc<Generation>, ListenerState)>,
    pub(super) queue: Queue,
    pub(super) listen_socket: ListenSocket,
}

/// The number of clients that are likely to wait before an acceptor: asking for one more costs a system
/// call.
#[derive(Debug)]
pub(super) struct Queue {
    likely: usize,
    /// The last turn that took in as many as were likely.
    full: u64,
}

impl Queue {
    fn new() -> Queue {
        Queue { likely: 1, full: 0 }
    }

    /// The number of clients to take in in that turn. Twice as many as before if those of the last turn were
    /// not all.
    pub(super) fn likely(&mut self, turn: u64) -> usize {
        if self.full + 1 == turn {
            self.likely = self.likely.saturating_mul(2);
        }
        self.likely
    }

    /// Records that it was empty after so many.
    pub(super) fn note_empty(&mut self, count: usize) {
        self.likely = count.max(1);
    }

    /// Records that in that turn as many were taken in as were likely.
    pub(super) fn note_full(&mut self, turn: u64) {
        self.full = turn;
    }
}

/// Whether clients have mostly spoken by the time they are let in. If so, the first read comes before the
/// first poll; if not, it would find nothing.
#[derive(Debug)]
pub(super) struct ListenSocket {
    /// A bit for each of the last reads, the latest lowest: whether it found something.
    heard: u8,
    /// The number of clients that have been passed over since the last one that was listened to.
    passed_over: u8,
}

/// Of so many clients who are expected to say nothing one is listened to all the same.
const PASSED_OVER_MAX: u8 = 15;

impl ListenSocket {
    fn new() -> ListenSocket {
        ListenSocket { heard: u8::MAX, passed_over: 0 }
    }

    /// Whether to listen to the next client at once.
    pub(super) fn listens(&mut self) -> bool {
        let listens = self.heard.count_ones() >= 4 || self.passed_over >= PASSED_OVER_MAX;
        self.passed_over = if listens { 0 } else { self.passed_over + 1 };
        listens
    }

    /// Records whether a client who was listened to had said something.
    pub(super) fn note(&mut self, has_spoken: bool) {
        self.heard = self.heard << 1 | u8::from(has_spoken);
    }
}

/// Descriptors ran out.
#[derive(Clone, Copy, Debug)]
struct Shut {
    until: Time,
    /// The number of sessions that had ended then.
    ended: u64,
}

impl Acceptor {
    /// The acceptor of the listener at `listener` of the snapshot.
    pub(super) fn new(fd: Fd, listener: usize) -> Acceptor {
        let (queue, listen_socket) = (Queue::new(), ListenSocket::new());
        Acceptor { fd, listener, shut: None, leaving: None, queue, listen_socket }
    }

    /// Admits the clients in its queue, and then no more. Its listener stays one of `generation`.
    pub(super) fn leave(&mut self, generation: Rc<Generation>, listener_state: ListenerState) {
        self.leaving = Some((generation, listener_state));
    }

    /// Whether it is to be closed.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// The generation of a client that comes in, if it is not the latest.
    pub(super) fn left_behind(&self) -> Option<(Rc<Generation>, ListenerState)> {
        self.leaving.clone()
    }

    /// Shuts it until a session ends or a moment passes.
    pub(super) fn shut(&mut self, now: Time, ended: u64) {
        self.shut = Some(Shut { until: now + SHUT_MAX, ended });
    }

    /// Whether clients may come in, as of now and after so many sessions have ended.
    pub(super) fn is_open(&self, now: Time, ended: u64) -> bool {
        self.shut.is_none_or(|shut| now >= shut.until || ended != shut.ended)
    }

    /// When a shut acceptor opens by itself.
    pub(super) fn opens_at(&self) -> Option<Time> {
        self.shut.map(|shut| shut.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_known_by_its_last_length() {
        let mut queue = Queue::new();
        assert_eq!(queue.likely(7), 1);
        queue.note_full(7);
        assert_eq!(queue.likely(8), 2);
        queue.note_full(8);
        assert_eq!(queue.likely(9), 4);
        queue.note_empty(3);
        assert_eq!(queue.likely(10), 3);
        queue.note_full(10);
        // A client that comes turns later has not waited since then.
        assert_eq!(queue.likely(20), 3);
        queue.note_empty(0);
        assert_eq!(queue.likely(21), 1);
    }

    #[test]
    fn silent_clients_are_seldom_listened_to_and_talkers_are_found_again() {
        let mut listen_socket = ListenSocket::new();
        let mut listened = |has_spoken: bool, of: usize| {
            let listens =
                |_: &usize| listen_socket.listens().then(|| listen_socket.note(has_spoken)).is_some();
            (0..of).filter(listens).count()
        };
        assert_eq!(listened(false, 5 + 16 * 10), 5 + 10);
        assert_eq!(listened(true, 16 * 4 + 100), 4 + 100);
    }
}
