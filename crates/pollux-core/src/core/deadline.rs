//! Deadlines: times at which a session is driven although no event came.
//!
//! A deadline is derived from the state of a session at every turn, never set or cancelled: see
//! `Session::deadline`.

use crate::core::time::Time;

/// The timer that has run out when a deadline passes. Each has its timeout in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A side from which nothing is wanted is to be watched all the same.
    Watch,
    /// The bytes before the conversation are late.
    Prelude,
    /// The request head is late.
    ClientHead,
    /// The reply to a question about the request is late.
    Policy,
    /// The client asks for nothing more.
    ClientIdle,
    /// The backend connection is late.
    Connect,
    /// All attempts together are late.
    Queue,
    /// A backend that was busy may be tried again.
    Retry,
    /// The backend has not said 100 to a request that expects it.
    Continue,
    /// The response head is late.
    BackendResponse,
    /// Nothing moves.
    Idle,
    /// The client has ended its direction, and nothing moves.
    ClientLeft,
    /// Whether the last bytes have reached a client that has ended its direction is to be asked again.
    Delivery,
    /// Nothing moves in a tunnel.
    Tunnel,
    /// The client does not close.
    Linger,
}

impl Timer {
    /// Whether it runs while bytes are awaited from either side.
    #[must_use]
    pub const fn awaits_bytes(self) -> bool {
        match self {
            Timer::Prelude
            | Timer::ClientHead
            | Timer::ClientIdle
            | Timer::BackendResponse
            | Timer::Idle
            | Timer::Tunnel => true,
            Timer::Watch
            | Timer::ClientLeft
            | Timer::Delivery
            | Timer::Policy
            | Timer::Connect
            | Timer::Queue
            | Timer::Retry
            | Timer::Continue
            | Timer::Linger => false,
        }
    }
}

/// A point in time, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Time,
    /// The timer that has run out then.
    pub timer: Timer,
}

impl Deadline {
    /// The deadline of `timer` at `at`.
    #[must_use]
    pub const fn new(at: Time, timer: Timer) -> Deadline {
        Deadline { at, timer }
    }

    /// The earlier of the two; this one if they fall together.
    #[must_use]
    pub fn or_earlier(self, other: Deadline) -> Deadline {
        if other.at < self.at { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_one_counts() {
        let early = Deadline::new(Time::from_nanos(1), Timer::Connect);
        let late = Deadline::new(Time::from_nanos(2), Timer::Queue);
        assert_eq!(early.or_earlier(late), early);
        assert_eq!(late.or_earlier(early), early);
    }
}
