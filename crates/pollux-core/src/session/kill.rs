//! The end of a session that the operator wants to be rid of.

use super::{Effect, Env, Phase, Session};
use crate::core::outcome::Cause;

impl Session {
    /// Ends the session now, whatever it is at. The client gets no answer: its connection ends visibly
    /// short, or by a reset. What was under way ends with the cause `operator-killed`; a client that has
    /// asked for nothing yet leaves no record.
    pub fn kill(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Prelude { .. } => {
                self.end(Effect::ResetClient, effects);
            }
            Phase::Head { .. } if !self.has_begun() => {
                self.end(Effect::ResetClient, effects);
            }
            Phase::Head { .. }
            | Phase::Collecting
            | Phase::Policy { .. }
            | Phase::Opening { .. }
            | Phase::Relay
            | Phase::Tunnel
            | Phase::Answer { .. } => {
                self.fail(Cause::OperatorKilled, env, effects);
            }
            Phase::Delivering { .. } => {
                self.exchange.cause = Some(Cause::OperatorKilled);
                effects.push(Effect::Record);
                self.end(Effect::ResetClient, effects);
            }
            Phase::Ending { .. } | Phase::Linger { .. } => {
                self.end(Effect::ResetClient, effects);
            }
            Phase::Over => {}
        }
    }
}
