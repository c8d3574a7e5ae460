//! The choice of the sessions that make room when a bound is reached. This room decides; the worker acts.
//!
//! A session that holds a place and is not being served has a [`Ground`] on which it makes room. A worker at
//! a bound looks at all of its sessions at once and keeps the first ones of the order ([`EvictionQueue`]), so
//! that one look serves many newcomers.

mod crowds;
mod measure;
mod origin;
mod origin_counts;
mod pace;
mod queue;
mod tally;

pub use crowds::Crowds;
pub use measure::Measure;
pub use origin::ClientOrigin;
pub use origin_counts::OriginCounts;
pub use pace::is_slow;
pub use queue::{EvictionCandidate, EvictionQueue};
pub use tally::Tally;

use std::time::Duration;

use crate::core::time::Time;

/// Why a session makes room. Those with the first ground go first, and of one ground those that have had it
/// longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ground {
    /// Everything is said, and the client has not closed yet.
    Lingering,
    /// No byte of a request has come.
    Resting,
    /// The client has sent its FIN and waits for a response: most such clients are gone.
    Left,
    /// The head of a request is unfinished.
    Unfinished,
    /// The client takes nothing of its response, or sends nothing of the rest of its request.
    Stalled,
    /// The client takes its response, or sends the rest of its request, so slowly that [`is_slow`] holds.
    Slow,
}

impl Ground {
    /// Every ground, in the order in which sessions make room.
    pub const ALL: [Ground; 6] =
        [Ground::Lingering, Ground::Resting, Ground::Left, Ground::Unfinished, Ground::Stalled, Ground::Slow];

    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Ground::Lingering => "lingering",
            Ground::Resting => "resting",
            Ground::Left => "left",
            Ground::Unfinished => "unfinished",
            Ground::Stalled => "stalled",
            Ground::Slow => "slow",
        }
    }

    /// For how long a session must have had the ground. A client on the other side of the world needs some of
    /// it for its first bytes; one that half-closes in order to say that its request is whole gets its
    /// response in most cases.
    #[must_use]
    pub const fn grace(self) -> Duration {
        match self {
            Ground::Lingering | Ground::Resting | Ground::Unfinished => Duration::from_millis(250),
            Ground::Left => Duration::from_secs(1),
            Ground::Stalled | Ground::Slow => pace::GRACE,
        }
    }
}

/// On which ground a session makes room, and since when it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The ground.
    pub ground: Ground,
    /// Since when.
    pub since: Time,
}

impl Claim {
    /// A claim that began then.
    #[must_use]
    pub const fn new(ground: Ground, since: Time) -> Claim {
        Claim { ground, since }
    }

    /// When the session may be asked to make room.
    #[must_use]
    pub fn ripens(self) -> Time {
        self.since + self.ground.grace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grounds_are_listed_in_their_order() {
        assert!(Ground::ALL.is_sorted());
        assert!(Ground::ALL.iter().enumerate().all(|(place, ground)| *ground as usize == place));
        let mut words = Ground::ALL.map(Ground::as_str);
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
