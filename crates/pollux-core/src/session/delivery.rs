//! Whether an answer has reached a client that had ended its direction before the answer was written.
//!
//! A FIN does not say whether its client still reads. What says so is the client's system, behind the last byte: it
//! acknowledges the bytes, or answers them with a RST. The record waits for that, for `timeouts.linger` at most. A
//! client that is there acknowledges within a round trip, and loses nothing: the FIN follows the last byte at once.
//! poll(2) cannot tell, because it reports a hangup as soon as both directions have ended, so that the system is asked
//! at growing intervals.

use std::time::Duration;

use super::{Effect, Env, Phase, Session};
use crate::core::delivery::Delivery;
use crate::core::outcome::Cause;
use crate::core::time::Time;
use crate::http::scan::HeadScan;
use crate::lane::framer::Framer;
use crate::lane::{Sink, Source};

/// The first interval between two questions. Each is as long as the whole time before it.
const ASKS_AFTER: Duration = Duration::from_millis(1);

impl Session {
    /// Ends an exchange whose last byte is written: with its record, once it is known whether a client that has ended its direction
    /// has got it.
    pub(super) fn conclude(&mut self, keep_alive: bool, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let has_more = keep_alive && !self.up.buffer.unscanned().is_empty();
        if !self.has_left() || has_more || self.exchange.cause.is_some() {
            return self.record_and(keep_alive, effects);
        }
        self.up.abandon_unsent();
        self.scan = HeadScan::default();
        self.up.framer = if keep_alive { Framer::Head } else { Framer::Discard };
        let asks_at = env.now + self.timeouts(env).linger;
        self.phase = Phase::Delivering { since: env.now, keep_alive, asks_at };
        true
    }

    pub(super) fn step_delivering(&mut self, keep_alive: bool, effects: &mut Vec<Effect>) -> bool {
        if keep_alive {
            if !self.up.buffer.unscanned().is_empty() {
                return self.record_and(true, effects);
            }
            if self.up.source == Source::Leaving && !self.client_hung {
                // The next read is another request, or the end.
                return false;
            }
        } else {
            let _ = self.up.advance();
        }
        match self.down.sink {
            Sink::Absent | Sink::Finished => {}
            Sink::Open | Sink::Blocked => {
                self.down.sink = Sink::Finished;
                effects.extend([Effect::FinishClient, Effect::AskDelivery]);
            }
            Sink::Lost => self.lose_answer(effects),
        }
        false
    }

    /// Takes note of what is known of the last bytes.
    pub fn handle_delivery(&mut self, delivery: Delivery, env: &Env<'_>, effects: &mut Vec<Effect>) {
        let Phase::Delivering { since, keep_alive, .. } = self.phase else { return };
        match delivery {
            Delivery::Pending => {
                let next = env.now + env.now.since(since).max(ASKS_AFTER);
                let asks_at = next.min(since + self.timeouts(env).linger);
                self.phase = Phase::Delivering { since, keep_alive, asks_at };
            }
            Delivery::Acknowledged => self.end_asking(since, effects),
            Delivery::Lost => self.lose_answer(effects),
        }
    }

    /// Asks again, unless it has been long enough.
    pub(super) fn delivery_due(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        let Phase::Delivering { since, keep_alive, .. } = self.phase else { return };
        let is_finished = self.down.sink == Sink::Finished;
        if env.now < since + self.timeouts(env).linger {
            effects.push(Effect::AskDelivery);
        } else if is_finished {
            self.end_asking(since, effects);
        } else {
            self.record_and(keep_alive, effects);
        }
    }

    /// Has the record made by what is known, and waits for the client's end.
    fn end_asking(&mut self, since: Time, effects: &mut Vec<Effect>) {
        effects.push(Effect::Record);
        self.phase = Phase::Linger { since };
    }

    /// The client has gone without the answer.
    fn lose_answer(&mut self, effects: &mut Vec<Effect>) {
        self.exchange.cause = Some(Cause::ClientAborted);
        effects.push(Effect::Record);
        self.end(Effect::ResetClient, effects);
    }

    /// Has the record made by what is known, and ends the session.
    pub(super) fn stop_asking(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Record);
        self.end(Effect::CloseClient, effects);
    }
}
