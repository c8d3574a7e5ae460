//! A client may wait for a 100 (Continue) before it sends the body (RFC 9110 §10.1.1). The backend says it, or
//! Pollux in its place where the pool wants that.

use std::time::Duration;

use super::parts::Continued;
use super::{Effect, Env, Session};
use crate::balance::Habit;
use crate::core::time::Time;
use crate::snapshot::ExpectContinue;

/// The time that a backend has for its 100. Clients that go on without one wait for a second (curl) or more.
const CONTINUE_PAUSE: Duration = Duration::from_millis(500);

/// The interim response of Pollux.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Session {
    /// Whether Pollux is to say 100 if the backend does not.
    pub(super) fn awaits_continue(&self, env: &Env<'_>) -> bool {
        self.exchange.request.expects
            && self.exchange.response.continued == Continued::No
            && !self.up.framer.is_done()
            && env.snapshot.pool(self.pool()).expect == ExpectContinue::Answer
    }

    /// Until when the backend has time for its 100.
    pub(super) fn continue_due(&self) -> Time {
        let opened = self.exchange.timing.spans.opened.unwrap_or_default();
        self.exchange.timing.began + opened + CONTINUE_PAUSE
    }

    /// Takes note that the backend is known for `habit`.
    pub(super) fn take_habit(&mut self, habit: Habit, env: &Env<'_>) {
        match habit {
            Habit::NoContinue => self.stand_in(env),
            Habit::Surplus => {}
        }
    }

    /// Says 100 in the place of the backend.
    pub(super) fn stand_in(&mut self, env: &Env<'_>) {
        if self.awaits_continue(env) {
            self.say_continue();
            self.exchange.response.continued = Continued::StoodIn { is_said: false };
        }
    }

    /// Says 100 to the client.
    pub(super) fn say_continue(&mut self) {
        self.exchange.note_continued();
        self.down.front_mut().extend_from_slice(CONTINUE);
    }

    /// Takes note that the backend has said 100, or its last word instead.
    pub(super) fn note_continue(&mut self, is_said: bool, effects: &mut Vec<Effect>) {
        let Continued::StoodIn { is_said: was_said } = &mut self.exchange.response.continued else { return };
        *was_said |= is_said;
        if is_said {
            effects.push(Effect::NoteHabit(Habit::NoContinue, false));
        } else if !*was_said && self.up.framer.is_done() {
            // With the whole body before it, it has had no reason to refuse without a 100.
            effects.push(Effect::NoteHabit(Habit::NoContinue, true));
        }
    }
}
