//! The activity of a session as operators see it. It is derived from the phase, never stored.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Env, Exchange, Phase, Session};
use crate::core::outcome::{ExchangePlaces, Proof};
use crate::core::time::Time;
use crate::core::word::UnknownWord;
use crate::lane::framer::Framer;
use crate::snapshot::Mode;

/// The activity of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionActivity {
    /// It awaits what comes before the conversation, such as a PROXY header.
    Prelude,
    /// It awaits a request head: the first one, or one that has begun.
    Head,
    /// It is kept alive between two requests.
    Idle,
    /// It seeks a backend connection, or waits for the reply of an authority before.
    Opening,
    /// A request and its response are under way.
    Exchange,
    /// Bytes pass both ways after an upgrade.
    Tunnel,
    /// Bytes pass both ways in TCP mode.
    Tcp,
    /// Everything is said, and the client has not closed yet.
    Linger,
}

impl SessionActivity {
    /// Every kind, in the order of a session's life.
    pub const ALL: [SessionActivity; 8] = [
        SessionActivity::Prelude,
        SessionActivity::Head,
        SessionActivity::Idle,
        SessionActivity::Opening,
        SessionActivity::Exchange,
        SessionActivity::Tunnel,
        SessionActivity::Tcp,
        SessionActivity::Linger,
    ];

    /// The stable word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SessionActivity::Prelude => "prelude",
            SessionActivity::Head => "head",
            SessionActivity::Idle => "idle",
            SessionActivity::Opening => "opening",
            SessionActivity::Exchange => "exchange",
            SessionActivity::Tunnel => "tunnel",
            SessionActivity::Tcp => "tcp",
            SessionActivity::Linger => "linger",
        }
    }

    /// Whether the end of a drain would cut it off; other sessions end by themselves before.
    #[must_use]
    pub const fn is_busy(self) -> bool {
        match self {
            SessionActivity::Opening
            | SessionActivity::Exchange
            | SessionActivity::Tunnel
            | SessionActivity::Tcp => true,
            SessionActivity::Prelude
            | SessionActivity::Head
            | SessionActivity::Idle
            | SessionActivity::Linger => false,
        }
    }
}

impl FromStr for SessionActivity {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<SessionActivity, UnknownWord> {
        SessionActivity::ALL.into_iter().find(|activity| activity.as_str() == word).ok_or(UnknownWord)
    }
}

/// The visible state of a session at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its activity.
    pub kind: SessionActivity,
    /// Since when.
    pub since: Time,
    /// When it ends by itself if nothing comes; `None` if it is [busy](SessionActivity::is_busy), for its deadlines move with its bytes.
    pub ends: Option<Time>,
    /// The number of bytes of the response that are still to come from the backend, if that is known.
    pub left: Option<u64>,
}

/// The beginning of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// When.
    pub at: Time,
    /// Whether it is the first one of its connection.
    pub is_first: bool,
    /// The time until the head was complete, if it is.
    pub head: Option<Duration>,
}

impl Session {
    /// The beginning of the exchange.
    #[must_use]
    pub fn beginning(&self) -> Beginning {
        let timing = &self.exchange.timing;
        Beginning { at: timing.began, is_first: self.exchange.is_first(), head: timing.spans.head }
    }

    /// Why the request is about to be sent again, if it is.
    #[must_use]
    pub fn pending_proof(&self) -> Option<Proof> {
        self.exchange.retries.next.map(|next| next.proof)
    }

    /// Where the exchange is, or was.
    #[must_use]
    pub fn places(&self) -> ExchangePlaces {
        let Exchange { request, attempt, .. } = &self.exchange;
        ExchangePlaces {
            listener: self.listener,
            route: request.route,
            pool: request.pool,
            backend: attempt.backend,
        }
    }

    /// The visible state of the session now; `None` if it is over.
    #[must_use]
    pub fn summary(&self, env: &Env<'_>) -> Option<Summary> {
        let began = self.exchange.timing.began;
        let (kind, since) = match self.phase {
            Phase::Prelude { since, .. } => (SessionActivity::Prelude, since),
            Phase::Head { since, is_pause: true } => (SessionActivity::Idle, since),
            Phase::Head { since, is_pause: false } => (SessionActivity::Head, since),
            Phase::Policy { .. } | Phase::Opening { .. } => (SessionActivity::Opening, began),
            Phase::Collecting | Phase::Relay | Phase::Answer { .. } | Phase::Ending { .. } => {
                (SessionActivity::Exchange, began)
            }
            Phase::Tunnel if self.mode == Mode::Tcp => (SessionActivity::Tcp, began),
            Phase::Tunnel => (SessionActivity::Tunnel, began),
            Phase::Delivering { since, .. } | Phase::Linger { since } => (SessionActivity::Linger, since),
            Phase::Over => return None,
        };
        let ends = self.deadline(env).filter(|_| !kind.is_busy()).map(|deadline| deadline.at);
        let left = match self.down.framer {
            Framer::Length { left } if self.phase == Phase::Relay => Some(left),
            Framer::Length { .. }
            | Framer::Head
            | Framer::Opaque
            | Framer::Chunked(_)
            | Framer::UntilEof
            | Framer::Done
            | Framer::Discard => None,
        };
        Some(Summary { kind, since, ends, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique() {
        let mut words = SessionActivity::ALL.map(SessionActivity::as_str);
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
