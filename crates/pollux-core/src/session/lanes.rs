//! The two lanes of a session, as the worker sees them: which lane a side fills and drains, and what poll and the
//! byte mover report of a side.

use super::parts::Answered;
use super::{Effect, Env, Phase, Session, Side};
use crate::core::outcome::Cause;
use crate::core::time::Time;
use crate::lane::framer::Framer;
use crate::lane::{Lane, Sink, Source};

impl Session {
    /// The lane that `side` fills.
    pub fn lane_from(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.up,
            Side::Backend => &mut self.down,
        }
    }

    /// The lane that `side` drains.
    pub fn lane_to(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.down,
            Side::Backend => &mut self.up,
        }
    }

    /// Takes note that bytes moved.
    pub fn handle_moved(&mut self, now: Time) {
        self.touched = now;
    }

    /// Takes note that the end of the bytes of `side` was read.
    ///
    /// After a write has failed that may be a reset in disguise: the error was told once, to the writer, and the reader is
    /// told of an end (tcp(7)). Unless the end had been announced before, it does not count as one.
    pub fn handle_end(&mut self, side: Side) {
        let is_disguised = self.lane_to(side).sink == Sink::Lost;
        let lane = self.lane_from(side);
        lane.source =
            if is_disguised && lane.source != Source::Leaving { Source::Lost } else { Source::Ended };
    }

    /// Takes note that reading from `side` failed: the connection is gone, in both directions.
    pub fn handle_lost(&mut self, side: Side) {
        self.lane_from(side).source = Source::Lost;
        self.lane_to(side).sink = Sink::Lost;
    }

    /// Takes note that the backend has proved that it has not processed the request (RFC 9113 §8.7). Its
    /// connection is [lost](Self::handle_lost).
    pub fn handle_refused(&mut self) {
        self.exchange.attempt.is_refused = true;
    }

    /// Takes note that the backend can be asked no such request. Nothing of it was sent, and no backend is to blame.
    pub fn handle_unaskable(&mut self, cause: Cause, env: &Env<'_>, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Relay && self.exchange.response.answered == Answered::Awaited {
            self.exchange.attempt.is_blamed = true;
            self.fail(cause, env, effects);
        }
    }

    /// Takes note that writing to `side` failed. What it has sent may still be read.
    pub fn handle_unwritable(&mut self, side: Side) {
        self.lane_to(side).sink = Sink::Lost;
    }

    /// Takes note of a POLLOUT: `side` takes bytes again.
    pub fn handle_writable(&mut self, side: Side) {
        let lane = self.lane_to(side);
        if lane.sink == Sink::Blocked {
            lane.sink = Sink::Open;
        }
    }

    /// Takes note of a POLLRDHUP: the end is in sight, behind what is still to be read.
    pub fn handle_leaving(&mut self, side: Side) {
        let lane = self.lane_from(side);
        if lane.source == Source::Open {
            lane.source = Source::Leaving;
        }
    }

    /// Records a POLLHUP or POLLERR. It matters only while the session does not read: a read finds out more.
    pub fn handle_hangup(&mut self, side: Side) {
        if !self.wants_read(side) {
            match side {
                Side::Client => self.client_hung = true,
                Side::Backend => self.backend_hung = true,
            }
        }
    }

    /// Whether the lane that `side` fills has storage that can be read into.
    #[must_use]
    pub fn has_buffer(&self, side: Side) -> bool {
        match side {
            Side::Client => self.up.buffer.is_ready(),
            Side::Backend => self.down.buffer.is_ready(),
        }
    }

    /// Whether what has come from `side` is a part of a head, for the rest of which it may wait for long.
    #[must_use]
    pub fn awaits_head(&self, side: Side) -> bool {
        match side {
            Side::Client => matches!(self.phase, Phase::Head { .. } | Phase::Prelude { .. }),
            Side::Backend => matches!(self.down.framer, Framer::Head),
        }
    }

    /// The number of bytes from `side` that may go to the other side without passing through memory; see
    /// [`Lane::spliceable`].
    pub fn spliceable(&self, side: Side, least: u64) -> Option<u64> {
        match (side, self.phase) {
            (Side::Client, Phase::Relay | Phase::Tunnel) => self.up.spliceable(least),
            (Side::Backend, Phase::Relay | Phase::Tunnel) => self.down.spliceable(least),
            (
                _,
                Phase::Prelude { .. }
                | Phase::Head { .. }
                | Phase::Collecting
                | Phase::Policy { .. }
                | Phase::Opening { .. }
                | Phase::Answer { .. }
                | Phase::Delivering { .. }
                | Phase::Ending { .. }
                | Phase::Linger { .. }
                | Phase::Over,
            ) => None,
        }
    }
}
