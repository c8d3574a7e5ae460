//! On which ground a session makes room for others, and how.

use super::exchange::Answered;
use super::{Effect, Env, Phase, Session};
use crate::core::lane::Source;
use crate::core::outcome::Cause;
use crate::room::{Claim, Ground};

impl Session {
    /// On which ground it makes room where a bound is reached; `None` if it is being served.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        match self.phase {
            Phase::Linger { since } => Some(Claim::new(Ground::Lingering, since)),
            Phase::Head { since, .. } | Phase::Preface { since, .. } => {
                let ground = if self.has_begun() { Ground::Unfinished } else { Ground::Resting };
                Some(Claim::new(ground, since))
            }
            Phase::Collecting => Some(Claim::new(Ground::Unfinished, self.touched)),
            Phase::Opening { .. } => self.has_left().then_some(Claim::new(Ground::Left, self.touched)),
            Phase::Relay if self.exchange.answered == Answered::Awaited && self.has_left() => {
                Some(Claim::new(Ground::Left, self.touched))
            }
            Phase::Relay | Phase::Answer { .. } => (self.owes_body() || self.down.wants_write())
                .then_some(Claim::new(Ground::Stalled, self.touched)),
            Phase::Tunnel | Phase::Ending { .. } | Phase::Over => None,
        }
    }

    /// Whether the client has sent its FIN, so that it waits at most for its response.
    fn has_left(&self) -> bool {
        matches!(self.up.source, Source::Leaving | Source::Ended)
    }

    /// Whether nothing but the client's next bytes of a body is awaited.
    fn owes_body(&self) -> bool {
        self.phase == Phase::Relay
            && self.exchange.answered == Answered::Awaited
            && self.up.wants_read()
            && self.up.is_flushed()
    }

    /// Ends the session so that others have its place. A client that has begun a request is told so, if it takes the answer at once;
    /// a second call ends the session whatever it is at.
    pub fn make_room(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Preface { .. } | Phase::Head { .. } if !self.has_begun() => {
                self.note_no_request(effects);
                self.end(Effect::CloseClient, effects);
            }
            Phase::Head { .. } | Phase::Collecting => {
                self.fail(Cause::MadeRoom, env, effects);
            }
            Phase::Opening { .. } | Phase::Relay => {
                let is_left = self.exchange.answered == Answered::Awaited && self.has_left();
                let cause = if is_left { Cause::ClientAborted } else { Cause::MadeRoom };
                self.fail(cause, env, effects);
            }
            Phase::Preface { .. } | Phase::Tunnel | Phase::Answer { .. } => {
                self.exchange.cause = Some(Cause::MadeRoom);
                effects.push(Effect::Record);
                self.end(Effect::ResetClient, effects);
            }
            Phase::Ending { .. } | Phase::Linger { .. } => {
                self.end(Effect::CloseClient, effects);
            }
            Phase::Over => {}
        }
    }
}
