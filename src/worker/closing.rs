//! TLS connections that are over, and whose last words the other side has not had room for. Without
//! close_notify it would take the end for a cut. They wait for that room, for `timeouts.linger` at most.

use super::Worker;
use super::conns::Conns;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::os::Os;
use crate::wire::{Left, TlsWire};

/// So many wait at most; one more is closed at once.
const CLOSING_MAX: usize = 1024;

/// A connection that is about to be closed.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) wire: Box<TlsWire>,
    pub(super) until: Time,
}

impl Conns {
    /// The rest of a wire that was closed, if it waits to be closed in order.
    pub(super) fn close_in_order<O: Os>(&self, os: &mut O, left: Left, until: Time) -> Option<Closing> {
        match left {
            Left::Closed => None,
            Left::Speaking(wire) if self.closing().len() < CLOSING_MAX => Some(Closing { wire, until }),
            Left::Speaking(wire) => {
                os.close(wire.fd());
                None
            }
        }
    }
}

impl<O: Os> Worker<O> {
    /// Lets one say what there is room for.
    pub(super) fn let_speak(&mut self, key: Key) {
        let Some(closing) = self.conns.closing_mut(key) else { return };
        if closing.wire.has_spoken(&mut self.os)
            && let Some(closing) = self.conns.remove_closing(key)
        {
            self.os.close(closing.wire.fd());
        }
    }

    /// Closes those that have waited long enough, or all.
    pub(super) fn end_late_closing(&mut self, is_cut_off: bool) {
        let is_late =
            |key: &Key| is_cut_off || self.conns.closing_of(*key).is_some_and(|it| it.until <= self.now);
        let late: Vec<Key> = self.conns.closing().iter().copied().filter(is_late).collect();
        for closing in late.into_iter().filter_map(|key| self.conns.remove_closing(key)) {
            self.os.close(closing.wire.fd());
        }
    }
}
