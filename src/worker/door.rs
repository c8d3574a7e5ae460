//! A listening socket, and when it is open: a worker that has no room for another client does not ask for one.

use std::rc::Rc;
use std::time::Duration;

use super::edition::Edition;
use super::hands::Standing;
use crate::core::time::Time;
use crate::os::Fd;

/// How long a door stays shut after the descriptors ran out, if this worker frees none: other threads may.
const SHUT_MAX: Duration = Duration::from_millis(100);

/// A listening socket.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) fd: Fd,
    /// The place of the listener in the snapshot.
    pub(super) listener: usize,
    shut: Option<Shut>,
    /// What its clients are held to, if it is to be closed as soon as its queue is empty. They see a drain.
    leaving: Option<(Rc<Edition>, Standing)>,
}

/// Descriptors ran out.
#[derive(Clone, Copy, Debug)]
struct Shut {
    until: Time,
    /// How many sessions had ended then.
    ended: u64,
}

impl Door {
    /// The door of the listener at `listener` of the snapshot.
    pub(super) fn new(fd: Fd, listener: usize) -> Door {
        Door { fd, listener, shut: None, leaving: None }
    }

    /// Lets in who waits before it, and then nobody. Its listener is one of `edition`, whatever comes after that.
    pub(super) fn leave(&mut self, edition: Rc<Edition>, standing: Standing) {
        self.leaving = Some((edition, standing));
    }

    /// Whether it is to be closed.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// What a client that comes in is held to, if not to the latest.
    pub(super) fn left_behind(&self) -> Option<(Rc<Edition>, Standing)> {
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

    /// When a shut door opens by itself.
    pub(super) fn opens_at(&self) -> Option<Time> {
        self.shut.map(|shut| shut.until)
    }
}
