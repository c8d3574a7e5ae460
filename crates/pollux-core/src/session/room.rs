//! On which ground a session makes room for others, and how.

use super::parts::{Answered, Continued};
use super::{Effect, Env, Phase, Session};
use crate::core::outcome::Cause;
use crate::core::time::Time;
use crate::lane::Source;
use crate::room::{Claim, Ground, is_slow};

impl Session {
    /// On which ground it makes room where a bound is reached; `None` if it is being served.
    #[must_use]
    pub fn claim(&self, now: Time) -> Option<Claim> {
        match self.phase {
            Phase::Delivering { since, .. } | Phase::Linger { since } => {
                Some(Claim::new(Ground::Lingering, since))
            }
            Phase::Head { since, .. } | Phase::Prelude { since, .. } => {
                let ground = if self.has_begun() { Ground::Unfinished } else { Ground::Resting };
                Some(Claim::new(ground, since))
            }
            Phase::Collecting => {
                let slow = Some(self.pace(now)).filter(|claim| claim.ground == Ground::Slow);
                Some(slow.unwrap_or(Claim::new(Ground::Unfinished, self.touched)))
            }
            Phase::Policy { .. } | Phase::Opening { .. } => {
                self.has_left().then_some(Claim::new(Ground::Left, self.touched))
            }
            Phase::Relay if self.exchange.response.answered == Answered::Awaited && self.has_left() => {
                Some(Claim::new(Ground::Left, self.touched))
            }
            Phase::Relay => (self.owes_body() || self.down.wants_write()).then(|| self.pace(now)),
            // When an answer began is not known. It is short: a client that takes any of it mostly takes all.
            Phase::Answer { .. } => {
                self.down.wants_write().then_some(Claim::new(Ground::Stalled, self.touched))
            }
            // A tunnel may rest for as long as it likes; a client that does not take what waits for it is in the way.
            Phase::Tunnel => self.down.wants_write().then_some(Claim::new(Ground::Stalled, self.touched)),
            Phase::Ending { .. } | Phase::Over => None,
        }
    }

    /// The claim on a client that is waited for: it has stalled, or is slow, or has time left before it has
    /// stalled.
    fn pace(&self, now: Time) -> Claim {
        let stalled = Claim::new(Ground::Stalled, self.touched);
        if now >= stalled.ripens() {
            return stalled;
        }
        let (exchange, up, down) = (&self.exchange, self.up.passed(), self.down.passed());
        let (since, bytes) = if self.phase == Phase::Collecting {
            (exchange.timing.spans.head, self.collected() as u64)
        } else if self.owes_body() {
            (exchange.timing.spans.head, exchange.bytes(up, down).0)
        } else {
            (exchange.timing.spans.response.or(exchange.timing.spans.head), exchange.bytes(up, down).1)
        };
        let since = exchange.timing.began + since.unwrap_or_default();
        if is_slow(bytes, now.since(since)) { Claim::new(Ground::Slow, since) } else { stalled }
    }

    /// Whether the client has sent its FIN, so that it waits at most for its response.
    pub(super) fn has_left(&self) -> bool {
        matches!(self.up.source, Source::Leaving | Source::Ended)
    }

    /// Whether nothing but the client's next bytes of a body is awaited.
    fn owes_body(&self) -> bool {
        self.phase == Phase::Relay
            && self.exchange.response.answered == Answered::Awaited
            && self.up.wants_read()
            && self.up.is_flushed()
            // One that may wait for a 100 waits for the backend.
            && (!self.exchange.request.expects || self.exchange.response.continued != Continued::No)
    }

    /// The number of bytes of memory that are lent to it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.up.buffer.lent() + self.down.buffer.lent() + self.collected()
    }

    /// Ends the session so that others have its place. A client that has begun a request is told so, if it takes the answer at once;
    /// a second call ends the session whatever it is at.
    pub fn make_room(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Prelude { .. } | Phase::Head { .. } if !self.has_begun() => {
                self.note_no_request(effects);
                self.end(Effect::CloseClient, effects);
            }
            Phase::Head { .. } | Phase::Collecting => {
                self.fail(Cause::MadeRoom, env, effects);
            }
            Phase::Policy { .. } | Phase::Opening { .. } | Phase::Relay => {
                let is_left = self.exchange.response.answered == Answered::Awaited && self.has_left();
                let cause = if is_left { Cause::ClientAborted } else { Cause::MadeRoom };
                self.fail(cause, env, effects);
            }
            Phase::Prelude { .. } | Phase::Tunnel | Phase::Answer { .. } => {
                self.exchange.cause = Some(Cause::MadeRoom);
                effects.push(Effect::Record);
                self.end(Effect::ResetClient, effects);
            }
            Phase::Delivering { .. } => self.stop_asking(effects),
            Phase::Ending { .. } | Phase::Linger { .. } => {
                self.end(Effect::CloseClient, effects);
            }
            Phase::Over => {}
        }
    }
}
