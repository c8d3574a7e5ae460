//! The phases of a session, and every way from one to the next.
//!
//! ```text
//!                 accepted (HTTP)                         accepted (TCP)
//!                       |        (or in Prelude, until        |
//!                       |         that has come, and then)    |
//!     +--------------> Head -- head complete -> (Policy) --> Opening <---- retry, on proof ----+
//!     |                 |  \                                 |  |  |                           |
//!     |   closed, late  |   bad head, late      no backend   |  |  +- connected (TCP) ---+     |
//!     |                 |     \              +---------------+  |                        |     |
//!     |                 |      v             v                  +- connected (HTTP)      |     |
//!     +--- kept alive - | --- Answer <---------- failed before       |                   v     |
//!     |                 |      |              the response began     v      101        Tunnel  |
//!     |                 |      |           +---------------------- Relay ------------->  |     |
//!     +---------------- | ---- | --------- | -- response over,      | |                 |     |
//!                       |      |           |     kept alive         | +---------------- | ----+
//!                       |      v           v                        |                   |
//!                       |    Linger <------------ response over ----+ failed after      |
//!                       |      |                                    | the response began|
//!                       v      v                                    v                   v
//!                      Over <--- client closed, late -------------- Over <--------------+ both ends passed
//! ```
//!
//! Between Head and Opening stands Policy while the reply of an authority is awaited: what ends it is a reply,
//! its deadline, or what ends Opening. Behind it stands Collecting where a body is to be sent with its length:
//! what ends it is what ends Head. Between the last byte of an exchange and what follows stands Ending, for as
//! long as its record is made. Before it stands Delivering, if the client has ended its direction.

use super::parts::{Afterwards, Answered};
use super::routing::{Arrival, Routed};
use super::{Dial, Effect, Env, Phase, Session, Side};
use crate::core::grpc::GrpcStatus;
use crate::core::outcome::{Cause, Stage};
use crate::core::time::Time;
use crate::http::answer::{self, AnswerDetails, Content};
use crate::http::body::{Chunked, Chunks};
use crate::http::request;
use crate::http::scan::{HeadLimits, HeadScan, ScanFault};
use crate::lane::framer::Framer;
use crate::lane::{Sink, Source};
use crate::message::{BodyLength, Head, Method, Nominated, Version, field_table};
use crate::snapshot::{Limits, Mode};

/// Empty lines that may come before a request line.
const EMPTY_LINES_MAX: usize = 4;

/// The bounds of a request head.
pub(super) fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits { head: limits.head, first_line: limits.request_line, empty_lines: EMPTY_LINES_MAX }
}

/// The cause of bytes that cannot be a request head.
pub(super) fn cause_of_scan(fault: ScanFault) -> Cause {
    match fault {
        ScanFault::FirstLine => Cause::BadRequestLine,
        ScanFault::Field => Cause::BadField,
        ScanFault::FirstLineTooLong => Cause::TargetTooLong,
        ScanFault::TooLong => Cause::HeadTooLong,
    }
}

impl Session {
    /// Moves from phase to phase as far as what has happened allows, and appends what is to be done to `effects`.
    pub fn advance(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        while self.step(env, effects) {}
    }

    /// Makes one step; false if something has to happen first.
    fn step(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        match self.phase {
            Phase::Prelude { since, awaits } => self.step_prelude(since, awaits, env, effects),
            Phase::Head { since, is_pause } => self.step_head(since, is_pause, env, effects),
            Phase::Collecting => self.step_collecting(env, effects),
            Phase::Policy { .. } => self.step_policy(env, effects),
            Phase::Opening { since, dial } => self.step_opening(since, dial, env, effects),
            Phase::Relay => self.step_relay(env, effects),
            Phase::Tunnel => self.step_tunnel(effects),
            Phase::Answer { keep_alive } => self.step_answer(keep_alive, env, effects),
            Phase::Delivering { keep_alive, .. } => self.step_delivering(keep_alive, effects),
            Phase::Ending { keep_alive } => self.next_exchange(keep_alive, env, effects),
            Phase::Linger { .. } => self.step_linger(effects),
            Phase::Over => false,
        }
    }

    fn step_head(&mut self, since: Time, is_pause: bool, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let bytes = self.up.buffer.unscanned();
        match self.scan.scan(bytes, &head_limits(&env.snapshot.limits)) {
            Ok(Some(range)) if !self.hangs_on_body(range, env) => self.take_head(range, env, effects),
            Err(fault) => self.fail(cause_of_scan(fault), env, effects),
            Ok(Some(_) | None) => match (self.up.source, !self.scan.has_begun(bytes)) {
                (Source::Ended | Source::Lost, true) => {
                    self.note_no_request(effects);
                    self.end(Effect::CloseClient, effects)
                }
                (Source::Ended, false) => self.fail(Cause::ClientTruncated, env, effects),
                (Source::Lost, false) => self.fail(Cause::ClientAborted, env, effects),
                (Source::Absent | Source::Open | Source::Leaving, is_empty) => {
                    if is_pause && !is_empty {
                        self.exchange.timing.began = env.now;
                        self.phase = Phase::Head { since: env.now, is_pause: false };
                    } else if self.client_hung && !is_empty {
                        return self.fail(Cause::ClientAborted, env, effects);
                    } else if self.client_hung {
                        self.note_no_request(effects);
                        return self.end(Effect::CloseClient, effects);
                    } else {
                        self.phase = Phase::Head { since, is_pause };
                    }
                    false
                }
            },
        }
    }

    /// Whether what becomes of the head at `range` of the unscanned bytes is decided by the body, of which nothing has come yet.
    fn hangs_on_body(&self, (start, end): (usize, usize), env: &Env<'_>) -> bool {
        let (bytes, listener) = (self.up.buffer.unscanned(), &env.snapshot.listeners[self.listener]);
        bytes.len() == end
            && matches!(self.up.source, Source::Open | Source::Leaving)
            && !self.client_hung
            && self.up.buffer.has_room()
            && request::awaits_body(&bytes[start..end], listener.targets, &env.snapshot.limits)
    }

    /// Has it recorded that the client never asked for anything, if it did not. One that goes between two requests owes no
    /// explanation.
    pub(super) fn note_no_request(&mut self, effects: &mut Vec<Effect>) {
        if let Phase::Head { since, is_pause: false } = self.phase
            && !self.has_begun()
        {
            // The session may have forgotten the time of its accept while it rested.
            self.exchange.timing.began = since;
            self.exchange.cause = Some(Cause::NoRequest);
            effects.push(Effect::Record);
        }
    }

    /// Reads the head that lies at `range` of the unscanned bytes.
    fn take_head(&mut self, range: (usize, usize), env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let limits = &env.snapshot.limits;
        if let Phase::Head { is_pause: true, .. } = self.phase {
            self.exchange.timing.began = env.now;
        }
        let listener = &env.snapshot.listeners[self.listener];
        let (tls_info, is_secure) = (self.tls_info.as_deref(), self.is_secure());
        let arrival = Arrival { listener, peer: self.client, tls_info, is_secure, turn: self.turn, env };
        let (exchange, down) = (&mut self.exchange, &mut self.down);
        let behind = self.up.buffer.unscanned().get(range.1).copied();
        let verdict = self.up.rewrite(range, |head, out| {
            let settled = listener.targets.settle(head, limits.request_line)?;
            let mut table = field_table();
            let mut request = request::read(&settled, &mut table, limits)
                .inspect_err(|_| exchange.take_refused(head, env.keeps_request))?;
            request.settle_upgrade(behind);
            arrival.take(&request, exchange, out, down.front_mut())
        });
        match verdict {
            Err(cause) => self.fail(cause, env, effects),
            Ok(routed) => self.take_routed(routed, env, effects),
        }
    }

    /// Takes the request of a stream, whose head another codec has read, or the cause for which it refuses that head. The session
    /// must be [that of a stream](super::Resting::stream), and have nothing else behind it.
    pub fn handle_request(
        &mut self,
        head: Result<&Head<'_>, Cause>,
        env: &Env<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let is_secure = self.is_secure();
        let (exchange, up, down) = (&mut self.exchange, &mut self.up, &mut self.down);
        let arrival = Arrival {
            listener: &env.snapshot.listeners[self.listener],
            peer: self.client,
            tls_info: self.tls_info.as_deref(),
            is_secure,
            turn: self.turn,
            env,
        };
        let verdict = head.and_then(|head| arrival.take(head, exchange, up.front_mut(), down.front_mut()));
        match verdict {
            Err(cause) => self.fail(cause, env, effects),
            Ok(routed) => self.take_routed(routed, env, effects),
        };
    }

    /// A backend that switches to WebSocket proves it by `accept`: the key of the request is Pollux's own.
    pub fn expect_accept(&mut self, accept: Box<str>) {
        if let Some(upgrade) = &mut self.exchange.request.upgrade {
            upgrade.accept = Some(accept);
        }
    }

    fn take_routed(&mut self, routed: Routed, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        match routed {
            Routed::Options { is_read } => self.answer_options(is_read, env),
            Routed::Unroutable { cause, length } => {
                self.exchange.stage = Stage::Routing;
                self.up.framer = if length == BodyLength::Empty { Framer::Done } else { Framer::Discard };
                return self.fail(cause, env, effects);
            }
            Routed::Answered { keep_alive, asked } => {
                self.exchange.stage = Stage::Routing;
                self.exchange.timing.spans.head = Some(env.now.since(self.exchange.timing.began));
                self.up.framer = if keep_alive { Framer::Done } else { Framer::Discard };
                self.touched = env.now;
                match asked {
                    Some(asked) => self.ask(asked, env, effects),
                    None => self.phase = Phase::Answer { keep_alive },
                }
            }
            Routed::Forwarded { length, trailers, body, asked } => {
                self.exchange.timing.spans.head = Some(env.now.since(self.exchange.timing.began));
                if asked.is_none()
                    && let Some(most) = self.collects(length, env)
                {
                    self.begin_collecting(most, body, env);
                    return true;
                }
                self.up.framer = match length {
                    BodyLength::Empty => Framer::Done,
                    BodyLength::Known(length) => Framer::of_length(length),
                    BodyLength::Open => Framer::Chunked(match trailers {
                        Some(nominated) => Chunked::new(Chunks::Keep, body, nominated),
                        None => Chunked::new(Chunks::Keep, body, Nominated::default()).without_trailers(),
                    }),
                };
                self.up.hold();
                match asked {
                    Some(asked) => self.ask(asked, env, effects),
                    None => {
                        self.phase = Phase::Opening { since: env.now, dial: Dial::Wanted { again: None } };
                    }
                }
            }
        }
        true
    }

    fn step_tunnel(&mut self, effects: &mut Vec<Effect>) -> bool {
        // Opaque bytes cannot be malformed.
        let _ = self.up.advance();
        let _ = self.down.advance();
        self.note_hangups();
        if self.up.is_end_due() {
            self.up.sink = Sink::Finished;
            effects.push(Effect::FinishBackend);
        }
        if self.down.is_end_due() {
            self.down.sink = Sink::Finished;
            effects.push(Effect::FinishClient);
        }
        if !(self.up.is_over() && self.down.is_over()) {
            return false;
        }
        let client_lost = self.up.source == Source::Lost || self.down.sink == Sink::Lost;
        let backend_lost = self.down.source == Source::Lost || self.up.sink == Sink::Lost;
        self.exchange.cause = match (client_lost, backend_lost) {
            (true, _) => Some(Cause::ClientAborted),
            (false, true) => Some(Cause::BackendReset),
            (false, false) => None,
        };
        let is_whole = self.exchange.cause.is_none();
        self.let_go(if is_whole { Effect::CloseBackend } else { Effect::ResetBackend }, effects);
        effects.push(Effect::Record);
        self.end(if is_whole { Effect::CloseClient } else { Effect::ResetClient }, effects)
    }

    /// A connection that poll calls dead, and that the session will not read any more, takes no more bytes
    /// either.
    fn note_hangups(&mut self) {
        let is_unread = |source, other_sink| source == Source::Ended || other_sink == Sink::Lost;
        if self.client_hung && is_unread(self.up.source, self.up.sink) && self.down.sink != Sink::Finished {
            self.down.sink = Sink::Lost;
        }
        if self.backend_hung && is_unread(self.down.source, self.down.sink) && self.up.sink != Sink::Finished
        {
            self.up.sink = Sink::Lost;
        }
    }

    fn step_answer(&mut self, keep_alive: bool, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let _ = self.up.advance();
        if self.down.sink == Sink::Lost || self.client_hung {
            self.exchange.cause.get_or_insert(Cause::ClientAborted);
            effects.push(Effect::Record);
            return self.end(Effect::ResetClient, effects);
        }
        if !self.down.is_flushed() {
            return false;
        }
        self.conclude(keep_alive, env, effects)
    }

    /// Has the record of the exchange made before what it tells of is forgotten.
    pub(super) fn record_and(&mut self, keep_alive: bool, effects: &mut Vec<Effect>) -> bool {
        effects.push(Effect::Record);
        self.phase = Phase::Ending { keep_alive };
        false
    }

    fn step_linger(&mut self, effects: &mut Vec<Effect>) -> bool {
        let _ = self.up.advance();
        if matches!(self.up.source, Source::Ended | Source::Lost) || self.client_hung {
            return self.end(Effect::CloseClient, effects);
        }
        false
    }

    /// After the last byte of an exchange, and its record: on to the next one, or to the end.
    fn next_exchange(&mut self, keep_alive: bool, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        self.up.abandon_unsent();
        if keep_alive && self.exchange.request.version == Some(Version::Http2) {
            // A stream has one exchange, and both directions have said all.
            return self.end(Effect::CloseClient, effects);
        }
        if !keep_alive && self.has_said_all() {
            // Its last bytes may have been kept back for the FIN. A close alone would drop them if something has come after all.
            effects.push(Effect::FinishClient);
            return self.end(Effect::CloseClient, effects);
        }
        if keep_alive {
            self.exchange.begin(env.now, self.up.passed(), self.down.passed());
            self.scan = HeadScan::default();
            self.up.framer = Framer::Head;
            self.phase = Phase::Head { since: env.now, is_pause: true };
        } else {
            self.linger(env.now, effects);
        }
        true
    }

    /// Whether the end follows what is to be sent to `side`, as soon as all of that has gone out.
    #[must_use]
    pub fn is_end_next(&self, side: Side) -> bool {
        let lane = match side {
            Side::Client => &self.down,
            Side::Backend => &self.up,
        };
        if lane.piped() > 0 {
            return false;
        }
        match (self.phase, side) {
            (Phase::Answer { keep_alive }, Side::Client) => !keep_alive,
            (Phase::Relay, Side::Client) => {
                let goes_on = self.exchange.afterwards.goes_on() && self.up.framer.is_done();
                matches!(self.exchange.response.answered, Answered::Begun { .. })
                    && lane.framer.is_done()
                    && !goes_on
            }
            (Phase::Tunnel, Side::Client | Side::Backend) => {
                lane.source == Source::Ended && lane.buffer.unscanned().is_empty()
            }
            (Phase::Answer { .. } | Phase::Relay, Side::Backend)
            | (
                Phase::Prelude { .. }
                | Phase::Head { .. }
                | Phase::Collecting
                | Phase::Policy { .. }
                | Phase::Opening { .. }
                | Phase::Delivering { .. }
                | Phase::Ending { .. }
                | Phase::Linger { .. }
                | Phase::Over,
                _,
            ) => false,
        }
    }

    /// Whether the client has announced that its request is the last one (RFC 9112 §9.6), and nothing but it has come:
    /// then no byte is on its way that would turn a close into a RST. In TLS there may be, because that has its own: the client's
    /// close_notify, or another key.
    fn has_said_all(&self) -> bool {
        self.exchange.afterwards == Afterwards::IsLast
            && self.tls_info.is_none()
            && self.up.framer.is_done()
            && self.up.buffer.unscanned().is_empty()
    }

    /// Ends the client's side in order, and gives it time to do the same.
    pub(super) fn linger(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.up.framer = Framer::Discard;
        self.down.sink = Sink::Finished;
        effects.push(Effect::FinishClient);
        self.phase = Phase::Linger { since: now };
    }

    /// Ends the exchange for `cause`: with Pollux's own answer if none has begun and the client is there to read it.
    pub(super) fn fail(&mut self, cause: Cause, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        self.exchange.cause = Some(cause);
        self.blame(cause, env, effects);
        self.note_queued(env);
        self.note_asked(env);
        self.let_go(Effect::ResetBackend, effects);
        let is_client_there = self.down.sink != Sink::Lost && !self.client_hung;
        match (cause.status(), self.exchange.response.answered) {
            (Some(status), Answered::Awaited) if self.mode == Mode::Http && is_client_there => {
                self.answer(status, cause, env);
                true
            }
            (_, Answered::Awaited)
                if cause == Cause::ClientAborted
                    && self.mode == Mode::Http
                    && self.has_left()
                    && is_client_there
                    && self.down.is_flushed() =>
            {
                // It may still read: a RST could take earlier responses along that are on their way to it.
                self.record_and(false, effects)
            }
            (_, Answered::Begun { is_delimited: true, .. })
                if is_client_there && self.down.is_flushed() && self.phase == Phase::Relay =>
            {
                // The FIN shows that bytes are missing. A RST, which a close may cause, could take those with it that are not.
                self.down.abandon();
                self.record_and(false, effects)
            }
            _ => {
                effects.push(Effect::Record);
                self.end(Effect::ResetClient, effects)
            }
        }
    }

    /// Answers an OPTIONS request that is not to be passed on. A body that may follow is not worth reading.
    fn answer_options(&mut self, is_read: bool, env: &Env<'_>) {
        let keep_alive = self.exchange.afterwards.goes_on() && is_read && !env.is_draining();
        self.exchange.response.status = 204;
        self.up.framer = if keep_alive { Framer::Done } else { Framer::Discard };
        let context =
            self.exchange.response_context(keep_alive, env.snapshot.timeouts.client_idle, self.hsts(env));
        answer::write_options(self.down.front_mut(), context, env.date);
        self.touched = env.now;
        self.phase = Phase::Answer { keep_alive };
    }

    fn answer(&mut self, status: u16, cause: Cause, env: &Env<'_>) {
        // Bytes behind a request that was refused or not read to its end are never read as the next one.
        let is_read = self.exchange.stage != Stage::Head && self.up.framer.is_done();
        let keep_alive = self.exchange.afterwards.goes_on() && is_read && !env.is_draining();
        self.exchange.afterwards = self.exchange.afterwards.limited(keep_alive);
        let grpc = self.exchange.request.is_call.then(|| GrpcStatus::of_cause(cause, status));
        self.exchange.response.grpc = grpc;
        self.exchange.response.status = if grpc.is_some() { 200 } else { status };
        // An interim response may be half sent: its other half goes first.
        self.down.buffer.discard();
        self.down.framer = Framer::Opaque;
        if keep_alive {
            self.up.abandon_unsent();
        } else {
            self.up.abandon();
            self.up.framer = Framer::Discard;
        }
        let content = if cause == Cause::OutOfBuffers && self.exchange.stage == Stage::Head {
            Content::Absent
        } else if self.exchange.request.method == Method::Head {
            Content::LengthOnly
        } else {
            Content::Sent
        };
        let context =
            self.exchange.response_context(keep_alive, env.snapshot.timeouts.client_idle, self.hsts(env));
        let disclosure = env.snapshot.listeners[self.listener].disclosure;
        let told = AnswerDetails { disclosure, request_id: self.exchange.identity.make(env.ids) };
        let out = self.down.front_mut();
        match grpc {
            Some(grpc) => {
                answer::write_of_call(out, grpc, cause.as_str(), Some(cause), context, &told, env.date);
            }
            None => answer::write(out, status, cause, context, content, &told, env.date),
        }
        self.touched = env.now;
        self.phase = Phase::Answer { keep_alive };
    }

    /// Parts with the backend connection, if there is one (or one is being made), in the way that `effect` says.
    pub(super) fn let_go(&mut self, effect: Effect, effects: &mut Vec<Effect>) {
        let is_pending = matches!(self.phase, Phase::Opening { dial: Dial::Pending { .. }, .. });
        if is_pending || self.down.source != Source::Absent {
            effects.push(effect);
        }
        self.up.sink = Sink::Absent;
        self.down.source = Source::Absent;
        self.backend_hung = false;
    }

    /// Ends the session.
    pub(super) fn end(&mut self, effect: Effect, effects: &mut Vec<Effect>) -> bool {
        self.let_go(Effect::ResetBackend, effects);
        self.phase = Phase::Over;
        effects.push(effect);
        false
    }

    /// Ends the session, because Pollux will not wait any longer. A client that still waits for its response is told so, if
    /// it takes the answer at once; a second call ends the session whatever it is at.
    pub fn force(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Head { .. } if self.has_begun() => {
                self.exchange.cause = Some(Cause::DrainTimeout);
                effects.push(Effect::Record);
                self.end(Effect::CloseClient, effects);
            }
            Phase::Delivering { .. } => self.stop_asking(effects),
            Phase::Prelude { .. } | Phase::Head { .. } | Phase::Ending { .. } | Phase::Linger { .. } => {
                self.note_no_request(effects);
                self.end(Effect::CloseClient, effects);
            }
            Phase::Collecting | Phase::Policy { .. } | Phase::Opening { .. } | Phase::Relay => {
                self.fail(Cause::DrainTimeout, env, effects);
            }
            Phase::Tunnel | Phase::Answer { .. } => {
                self.exchange.cause = Some(Cause::DrainTimeout);
                effects.push(Effect::Record);
                self.end(Effect::ResetClient, effects);
            }
            Phase::Over => {}
        }
    }

    /// Whether a byte from `side` would be welcome now.
    #[must_use]
    pub fn wants_read(&self, side: Side) -> bool {
        match (side, self.phase) {
            (_, Phase::Policy { .. } | Phase::Opening { .. } | Phase::Over) => false,
            (Side::Client, _) => self.up.wants_read(),
            (Side::Backend, _) => self.down.wants_read(),
        }
    }
}
