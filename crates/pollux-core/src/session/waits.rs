//! The events that a session waits for, and the deadline: derived from its state at every turn.

use ::core::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::parts::{Answered, Unread};
use super::{Again, Dial, Effect, Env, Phase, Session, Side};
use crate::core::deadline::{Deadline, Timer};
use crate::core::interest::Interest;
use crate::core::outcome::Cause;
use crate::core::time::Time;
use crate::lane::{Lane, Sink, Source};
use crate::route::hash;
use crate::snapshot::{ClientClose, Mode, Timeouts};

/// A side from which nothing is wanted may be left out of the poll array for so long. Most responses come
/// sooner, and a shorter array is a faster one; a client that leaves is noticed so much later.
const UNWATCHED: Duration = Duration::from_millis(10);

/// A client that has sent nothing may still begin a request for so long after a stop began: one may be on its
/// way.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// Idle clients are closed over this time, or a quarter of the drain if that is less: so they do not all
/// reconnect in the same moment.
const DRAIN_SPREAD_MAX: Duration = Duration::from_secs(2);
const DRAIN_SPREAD_SHARE: u32 = 4;

impl Session {
    /// The events to ask poll about `side` as of `now`; `None` to leave it out.
    #[must_use]
    pub fn interest(&self, side: Side, now: Time) -> Option<Interest> {
        let reads = self.wants_read(side);
        let (source, to, is_hung) = match side {
            Side::Client => (self.up.source, &self.down, self.client_hung),
            Side::Backend => (self.down.source, &self.up, self.backend_hung),
        };
        match self.phase {
            Phase::Over => return None,
            Phase::Opening { dial: Dial::Pending { .. }, .. } if side == Side::Backend => {
                return Some(Interest::WRITE);
            }
            // Poll reports a hangup for as long as both directions have ended.
            Phase::Delivering { .. } if source == Source::Ended => return None,
            Phase::Prelude { .. }
            | Phase::Head { .. }
            | Phase::Collecting
            | Phase::Policy { .. }
            | Phase::Opening { .. }
            | Phase::Relay
            | Phase::Tunnel
            | Phase::Answer { .. }
            | Phase::Delivering { .. }
            | Phase::Ending { .. }
            | Phase::Linger { .. } => {}
        }
        if source == Source::Absent || source == Source::Lost {
            return None;
        }
        let want = Interest::NONE.with_if(Interest::READ, reads).with_if(Interest::WRITE, to.wants_write());
        if want == Interest::NONE && (is_hung || now < self.watched_from()) {
            return None;
        }
        Some(want.with_if(Interest::LEAVE, !reads && source == Source::Open))
    }

    /// From when on a side is watched although nothing is wanted from it.
    fn watched_from(&self) -> Time {
        self.touched + UNWATCHED
    }

    /// When to look at the session although nothing has happened.
    #[must_use]
    pub fn deadline(&self, env: &Env<'_>) -> Option<Deadline> {
        let mut deadline = self.phase_deadline(env)?;
        if let Some(at) = self.given_up_at(env) {
            deadline = deadline.or_earlier(Deadline::new(at, Timer::ClientLeft));
        }
        let has_unwanted_side =
            matches!(self.phase, Phase::Policy { .. } | Phase::Opening { .. } | Phase::Relay | Phase::Tunnel);
        if has_unwanted_side && env.now < self.watched_from() {
            return Some(deadline.or_earlier(Deadline::new(self.watched_from(), Timer::Watch)));
        }
        Some(deadline)
    }

    /// Records when the client ended its direction, as soon as that is known and a request of its is under
    /// way. A TCP client may send bytes for any time.
    pub(super) fn note_leaving(&mut self, env: &Env<'_>) {
        let has_ended = matches!(self.up.source, Source::Leaving | Source::Ended);
        if has_ended && self.mode == Mode::Http && self.exchange.timing.left_at.is_none() {
            self.exchange.timing.left_at = Some(env.now);
        }
    }

    /// When the exchange is given up because its client has ended its direction.
    fn given_up_at(&self, env: &Env<'_>) -> Option<Time> {
        let left_at = self.exchange.timing.left_at?;
        let own = self.options(env).and_then(|options| options.on_client_close);
        let rule = own.unwrap_or(env.snapshot.pool(self.pool()).on_client_close);
        let is_under_way = matches!(self.phase, Phase::Opening { .. } | Phase::Relay);
        (rule == ClientClose::Abort && is_under_way).then(|| left_at.max(self.touched) + ClientClose::GRACE)
    }

    pub(super) fn phase_deadline(&self, env: &Env<'_>) -> Option<Deadline> {
        let timeouts = self.timeouts(env);
        let touched = |span: Duration, timer| Some(Deadline::new(self.touched + span, timer));
        match self.phase {
            Phase::Prelude { since, .. } => {
                let deadline = Deadline::new(since + timeouts.prelude, Timer::Prelude);
                Some(self.or_leave(deadline, since, env))
            }
            Phase::Head { since, is_pause } => {
                Some(self.or_leave(head_deadline(timeouts, since, is_pause), since, env))
            }
            Phase::Collecting => touched(timeouts.idle, Timer::Idle),
            Phase::Policy { since, place, .. } => {
                let wait = self.inquiry(place, env).map_or(Duration::ZERO, |inquiry| inquiry.wait);
                Some(Deadline::new(since + wait, Timer::Policy))
            }
            Phase::Opening { since, dial } => {
                let queue = Deadline::new(since + timeouts.queue, Timer::Queue);
                let attempt =
                    |since| queue.or_earlier(Deadline::new(since + timeouts.connect, Timer::Connect));
                match dial {
                    Dial::Wanted { .. } | Dial::Asked { .. } => Some(queue),
                    Dial::Queued { since } => {
                        // A session that was called in vain has waited before: its time goes on.
                        let queue_timeout = env.snapshot.pool(self.pool()).queue.unwrap_or(Duration::MAX);
                        let queue_timeout = queue_timeout.saturating_sub(self.exchange.retries.waited());
                        Some(queue.or_earlier(Deadline::new(since + queue_timeout, Timer::Queue)))
                    }
                    Dial::Paused { until } => Some(queue.or_earlier(Deadline::new(until, Timer::Retry))),
                    Dial::Pending { since, .. } => Some(attempt(since)),
                    Dial::Busy { since, retry_at } => {
                        Some(attempt(since).or_earlier(Deadline::new(retry_at, Timer::Retry)))
                    }
                }
            }
            Phase::Relay => match (self.exchange.response.answered, self.exchange.attempt.asked_at) {
                (Answered::Awaited, Some(asked_at)) => {
                    let due = asked_at + timeouts.backend_response;
                    let due = self.exchange.call_due().map_or(due, |call_due| due.min(call_due));
                    Some(Deadline::new(due, Timer::BackendResponse))
                }
                // A client that takes nothing of it has no more time than others.
                (Answered::Begun { is_stream: true, .. }, _) if self.down.is_flushed() => {
                    touched(timeouts.stream, Timer::Idle)
                }
                (Answered::Awaited, None) if self.awaits_continue(env) => {
                    let idle = Deadline::new(self.touched + timeouts.idle, Timer::Idle);
                    Some(idle.or_earlier(Deadline::new(self.continue_due(), Timer::Continue)))
                }
                (Answered::Awaited, None) | (Answered::Begun { .. }, _) => {
                    touched(timeouts.idle, Timer::Idle)
                }
            },
            // The rest of a connection that was reset is passed on soon or not at all.
            Phase::Tunnel if self.is_half_lost() => touched(timeouts.linger, Timer::Tunnel),
            Phase::Tunnel => touched(timeouts.tunnel, Timer::Tunnel),
            Phase::Answer { .. } => touched(timeouts.idle, Timer::Idle),
            Phase::Linger { since } => Some(Deadline::new(since + timeouts.linger, Timer::Linger)),
            Phase::Delivering { asks_at, .. } => Some(Deadline::new(asks_at, Timer::Delivery)),
            Phase::Ending { .. } | Phase::Over => None,
        }
    }

    /// `deadline`, or when a client that has said nothing since then is to leave in a drain, if that is earlier.
    fn or_leave(&self, deadline: Deadline, since: Time, env: &Env<'_>) -> Deadline {
        if self.has_begun() { deadline } else { or_leave(deadline, self.client, since, env) }
    }

    pub(super) fn is_request_sent(&self) -> bool {
        self.up.framer.is_done() && self.up.is_flushed()
    }

    /// Whether the backend has got all that has come of the request, and that is not the whole: then the client is waited for, be it
    /// that the backend is too.
    pub(super) fn awaits_body(&self) -> bool {
        !self.up.framer.is_done() && self.up.is_flushed()
    }

    /// Whether one side of a tunnel is gone, so that only what it has left behind is still to be passed on. A side that
    /// poll calls dead counts too if its bytes are not read because the other side takes none.
    fn is_half_lost(&self) -> bool {
        let is_gone = |lane: &Lane, is_hung: bool| {
            lane.source == Source::Lost || (is_hung && lane.source != Source::Ended)
        };
        is_gone(&self.up, self.client_hung) || is_gone(&self.down, self.backend_hung)
    }

    /// Takes note that the deadline of `timer` has passed.
    pub fn handle_deadline(&mut self, timer: Timer, env: &Env<'_>, effects: &mut Vec<Effect>) {
        match timer {
            // The poll array that is derived next has what it takes.
            Timer::Watch => {}
            Timer::Prelude => {
                if let Phase::Prelude { awaits, .. } = self.phase {
                    self.prelude_late(awaits, env, effects);
                }
            }
            Timer::ClientHead if !self.has_begun() => {
                self.note_no_request(effects);
                self.end(Effect::CloseClient, effects);
            }
            Timer::ClientHead => {
                self.fail(Cause::ClientHeadTimeout, env, effects);
            }
            // A request may be on its way: a FIN tells the client that it will not be served, a RST would only be an error.
            Timer::ClientIdle => {
                self.note_no_request(effects);
                self.linger(env.now, effects);
            }
            Timer::Linger => {
                self.end(Effect::CloseClient, effects);
            }
            Timer::Delivery => self.delivery_due(env, effects),
            Timer::Connect => {
                let is_busy = matches!(self.phase, Phase::Opening { dial: Dial::Busy { .. }, .. });
                let is_reached = matches!(
                    self.phase,
                    Phase::Opening { dial: Dial::Pending { has_reached: true, .. }, .. }
                );
                let late = if is_reached { Cause::BackendTlsTimeout } else { Cause::BackendConnectTimeout };
                let cause = self.exchange.cause.filter(|_| is_busy).unwrap_or(late);
                self.connect_failed(cause, env, effects);
            }
            Timer::Policy => self.policy_late(env, effects),
            Timer::Queue => {
                self.fail(Cause::QueueTimeout, env, effects);
            }
            Timer::Retry => {
                if let Phase::Opening { since, dial } = self.phase {
                    let again = match dial {
                        Dial::Busy { since, .. } => {
                            self.exchange.attempt.backend.map(|backend| Again { backend, since })
                        }
                        Dial::Queued { .. }
                        | Dial::Paused { .. }
                        | Dial::Wanted { .. }
                        | Dial::Asked { .. }
                        | Dial::Pending { .. } => None,
                    };
                    self.phase = Phase::Opening { since, dial: Dial::Wanted { again } };
                }
            }
            Timer::Continue => self.stand_in(env),
            Timer::BackendResponse | Timer::Idle if self.forgives() => {}
            Timer::BackendResponse => self.response_late(env, effects),
            Timer::Idle => {
                let cause = self.stalled();
                self.fail(cause, env, effects);
            }
            Timer::ClientLeft => {
                self.fail(Cause::ClientAborted, env, effects);
            }
            Timer::Tunnel => {
                let cause = match (self.is_half_lost(), self.down.source == Source::Lost || self.backend_hung)
                {
                    (true, true) => Cause::BackendReset,
                    (true, false) => Cause::ClientAborted,
                    (false, _) => Cause::TunnelIdle,
                };
                self.fail(cause, env, effects);
            }
        }
        self.advance(env, effects);
    }

    /// Takes note that there is no buffer now for what the backend may have sent.
    pub fn note_unread(&mut self, now: Time) {
        if self.phase != Phase::Relay {
            return;
        }
        match self.exchange.attempt.unread {
            // It has said something since; what it is silent about now is another thing.
            Unread::Forgiven(before) if self.touched <= before => {}
            Unread::Never | Unread::At(_) | Unread::Forgiven(_) => {
                self.exchange.attempt.unread = Unread::At(now);
            }
        }
    }

    /// Takes note that a look whether the backend has sent anything found that it has not.
    pub fn note_silence(&mut self) {
        if self.phase == Phase::Relay {
            self.exchange.attempt.unread = Unread::Never;
        }
    }

    /// Gives the backend its time once more if what it sent may not have been read, because there was no buffer: a buffer that
    /// has come back a moment ago says nothing yet of what there is to be read.
    fn forgives(&mut self) -> bool {
        let Unread::At(at) = self.exchange.attempt.unread else { return false };
        let since = if self.phase != Phase::Relay {
            return false;
        } else if self.exchange.response.answered == Answered::Awaited {
            let Some(since) = &mut self.exchange.attempt.asked_at else { return false };
            since
        } else {
            &mut self.touched
        };
        if at <= *since {
            return false;
        }
        *since = at;
        self.exchange.attempt.unread = Unread::Forgiven(at);
        true
    }

    /// Records that the deadline of `timer` passed while bytes waited that have just come in and for which
    /// Pollux had no buffer. Pollux is to blame, and a client with a request is told.
    pub fn handle_starved(&mut self, timer: Timer, env: &Env<'_>, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Prelude { .. } | Phase::Head { .. }) && !self.has_begun() {
            return self.handle_deadline(timer, env, effects);
        }
        self.fail(Cause::OutOfBuffers, env, effects);
        self.advance(env, effects);
    }

    /// The cause that names the side which holds things up.
    fn stalled(&self) -> Cause {
        match self.phase {
            Phase::Answer { .. } => Cause::ClientStalled,
            Phase::Collecting => Cause::ClientBodyTimeout,
            Phase::Relay if !self.down.is_flushed() => Cause::ClientStalled,
            Phase::Relay if self.awaits_body() && self.up.sink != Sink::Lost => Cause::ClientBodyTimeout,
            Phase::Relay
            | Phase::Prelude { .. }
            | Phase::Head { .. }
            | Phase::Policy { .. }
            | Phase::Opening { .. }
            | Phase::Tunnel
            | Phase::Delivering { .. }
            | Phase::Ending { .. }
            | Phase::Linger { .. }
            | Phase::Over => Cause::BackendStalled,
        }
    }
}

/// Until when a request head is awaited since then: between two requests, or of one that is due.
pub(super) fn head_deadline(timeouts: &Timeouts, since: Time, is_pause: bool) -> Deadline {
    if is_pause {
        Deadline::new(since + timeouts.client_idle, Timer::ClientIdle)
    } else {
        Deadline::new(since + timeouts.client_head, Timer::ClientHead)
    }
}

/// `deadline`, or when a `client` that has said nothing since then is to leave in a drain, if that is earlier.
pub(super) fn or_leave(deadline: Deadline, client: SocketAddr, since: Time, env: &Env<'_>) -> Deadline {
    let Some(start) = env.draining_since else { return deadline };
    let from = if since > start { since } else { start + turn_to_leave(client, env) };
    deadline.or_earlier(Deadline::new(from + DRAIN_GRACE, Timer::ClientIdle))
}

/// This client is closed so much later than the first of the idle ones in a drain. The delay follows from its
/// address, so it is the same whenever it is asked, and even over many clients.
fn turn_to_leave(client: SocketAddr, env: &Env<'_>) -> Duration {
    let window = (env.snapshot.timeouts.drain / DRAIN_SPREAD_SHARE).min(DRAIN_SPREAD_MAX);
    let window = window.saturating_sub(DRAIN_GRACE);
    let ip = match client.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
    };
    let key = hash::mix(hash::mix(ip) ^ u64::from(client.port()));
    window.mul_f64((key >> 11) as f64 / (1_u64 << 53) as f64)
}
