//! Interest in a descriptor, and its readiness as `poll(2)` reports it: two small sets.

use std::ops::BitOr;

/// The events to ask `poll(2)` about one descriptor.
///
/// Even an empty interest reports [`Ready::HANGUP`] and [`Ready::ERROR`]: the kernel does not let a caller
/// mask those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// Only what cannot be masked.
    pub const NONE: Interest = Interest(0);
    /// POLLIN: bytes, the end of the stream, or a connection to accept.
    pub const READ: Interest = Interest(1);
    /// POLLOUT: room in the send buffer, or a connect that has been decided.
    pub const WRITE: Interest = Interest(2);
    /// POLLRDHUP: the other side will send no more. Watched while the session does not read yet.
    pub const LEAVE: Interest = Interest(4);

    /// Whether every member of `other` is in this set.
    #[must_use]
    pub const fn has(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set with `other` added if `condition` holds.
    #[must_use]
    pub const fn with_if(self, other: Interest, condition: bool) -> Interest {
        if condition { Interest(self.0 | other.0) } else { self }
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// The events that `poll(2)` reported of one descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const NONE: Ready = Ready(0);
    /// POLLIN.
    pub const READ: Ready = Ready(1);
    /// POLLOUT.
    pub const WRITE: Ready = Ready(2);
    /// POLLRDHUP.
    pub const LEAVE: Ready = Ready(4);
    /// POLLHUP: both directions are over. Bytes may still wait to be read.
    pub const HANGUP: Ready = Ready(8);
    /// POLLERR: the connection has failed, or a connect has.
    pub const ERROR: Ready = Ready(16);
    /// POLLNVAL: the descriptor is not open, which is a bug of the worker.
    pub const INVALID: Ready = Ready(32);

    /// Whether this set and `other` have a member in common.
    #[must_use]
    pub const fn any(self, other: Ready) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing was reported.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set with `other` added if `condition` holds.
    #[must_use]
    pub const fn with_if(self, other: Ready, condition: bool) -> Ready {
        if condition { Ready(self.0 | other.0) } else { self }
    }
}

impl BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}
