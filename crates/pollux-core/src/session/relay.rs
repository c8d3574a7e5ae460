//! A request on its way to the backend and the response on its way back.

use super::parts::{Answered, Reuse};
use super::{Effect, Env, Phase, Session};
use crate::balance::Habit;
use crate::core::grpc::GrpcStatus;
use crate::core::outcome::{Cause, Stage};
use crate::http::body::{ChunkFault, Chunked, Chunks};
use crate::http::framing::Framing;
use crate::http::grpc;
use crate::http::response::{self, Added};
use crate::http::scan::{HeadLimits, HeadScan, ScanFault};
use crate::lane::framer::Framer;
use crate::lane::{Sink, Source};
use crate::message::{FieldLine, Nominated, Response, field_table};
use crate::route::FieldEdits;
use crate::snapshot::{ProxyStatus, RequestIds};
use crate::syntax::grammar::decimal;

/// Interim responses that are passed on in one exchange.
const INTERIMS_MAX: u8 = 32;

/// The meaning of a response head for the exchange.
struct Verdict {
    status: u16,
    is_interim: bool,
    /// Whether the client gets it, if it is an interim one.
    passes: bool,
    framing: Framing,
    nominated: Nominated,
    is_stream: bool,
    reuse: Reuse,
    is_login: bool,
    keep_alive: bool,
    grpc: Option<GrpcStatus>,
}

impl Session {
    pub(super) fn step_relay(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        if self.down.sink == Sink::Lost || self.client_hung {
            return self.fail(Cause::ClientAborted, env, effects);
        }
        self.note_leaving(env);
        if let Some(cause) = self.advance_request() {
            return self.fail(cause, env, effects);
        }
        if self.exchange.attempt.asked_at.is_none() && self.is_request_sent() {
            self.exchange.attempt.asked_at = Some(env.now);
        }
        match self.exchange.response.answered {
            Answered::Awaited => self.step_response_head(env, effects),
            Answered::Begun { .. } => self.step_response_body(env, effects),
        }
    }

    /// Lets the request's body pass; the cause, if it cannot.
    fn advance_request(&mut self) -> Option<Cause> {
        if self.up.sink == Sink::Lost {
            return None;
        }
        match self.up.advance() {
            Err(ChunkFault::Malformed) => return Some(Cause::BadChunk),
            Err(ChunkFault::TooLong) => return Some(Cause::BodyTooLong),
            Ok(()) => {}
        }
        match self.up.source {
            Source::Ended if self.up.is_cut_short() => Some(Cause::ClientTruncated),
            Source::Lost => Some(Cause::ClientAborted),
            Source::Absent | Source::Open | Source::Leaving | Source::Ended => None,
        }
    }

    fn step_response_head(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let limits = &env.snapshot.limits;
        let bounds = HeadLimits { head: limits.head, first_line: limits.head, empty_lines: 0 };
        let bytes = self.down.buffer.unscanned();
        if !bytes.is_empty() && !self.is_head_sent() {
            // The backend does not have the whole head yet, so these bytes answer another request, or none.
            self.down.buffer.discard();
            return self.backend_lost(Cause::BackendBadResponse, env, effects);
        }
        if self.exchange.attempt.is_reused
            && self.exchange.response.interims == 0
            && !may_be_status_line(bytes)
        {
            return self.drop_surplus(env, effects);
        }
        match self.scan.scan(bytes, &bounds) {
            Ok(Some(range)) => self.take_response_head(range, env, effects),
            Err(ScanFault::FirstLine | ScanFault::Field) => {
                self.fail(Cause::BackendBadResponse, env, effects)
            }
            Err(ScanFault::FirstLineTooLong | ScanFault::TooLong) => {
                self.fail(Cause::BackendHeadTooLong, env, effects)
            }
            Ok(None) => match self.down.source {
                Source::Ended => self.backend_lost(Cause::BackendClosed, env, effects),
                Source::Lost => self.backend_lost(Cause::BackendReset, env, effects),
                Source::Absent | Source::Open | Source::Leaving => false,
            },
        }
    }

    /// Bytes that are no response have come first on a connection that has served before: they are what the backend has sent
    /// behind the response before. That says nothing of this exchange, and is no failure: any client could bring it about.
    fn drop_surplus(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        self.down.buffer.discard();
        self.exchange.attempt.is_blamed = true;
        effects.push(Effect::NoteHabit(Habit::Surplus, true));
        self.backend_lost(Cause::BackendBadResponse, env, effects)
    }

    fn take_response_head(
        &mut self,
        range: (usize, usize),
        env: &Env<'_>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if !env.snapshot.pool(self.pool()).retries.statuses.is_empty()
            && let Some(digits) = self.down.buffer.unscanned().get(range.0 + 9..range.0 + 12)
            && let Some(status) = decimal(digits).and_then(|status| u16::try_from(status).ok())
            && self.asks_for_another(status, env, effects)
        {
            return false;
        }
        let options = self.options(env);
        let edits = options.map(|options| &options.response);
        let cookie = self.cookie_line(env);
        let streams = self.options(env).map_or(&[][..], |options| options.streams.as_slice());
        let (disclosure, backend) =
            (&env.snapshot.listeners[self.listener].disclosure, self.backend_name(env));
        let mut captured = std::mem::take(&mut self.exchange.captured);
        let (exchange, limits) = (&self.exchange, &env.snapshot.limits);
        let added = Added {
            lines: &cookie,
            back: options.and_then(|options| exchange.back(options)),
            request_id: (disclosure.request_id == RequestIds::Both).then(|| exchange.identity.name()),
            next_hop: backend.filter(|_| disclosure.proxy_status == ProxyStatus::All),
        };
        let (hsts, client_idle) = (self.hsts(env), env.snapshot.timeouts.client_idle);
        let is_request_read = self.up.framer.is_done();
        let is_request_sent = is_request_read && self.up.is_flushed();
        // Any client could bring it about that a backend answers an extended CONNECT by 200.
        let mut is_no_fault = false;
        let verdict = self.down.rewrite(range, |head, out| {
            let mut table = field_table();
            let response = response::read(head, &mut table, exchange.asked(), limits)?;
            let is_interim = response.is_interim();
            if !is_interim {
                captured.take_response(&response.fields.iter().map(FieldLine::pair), env.captured_names);
            }
            if (is_interim && exchange.response.interims == INTERIMS_MAX)
                || (response.status == 101 && !(is_request_sent && exchange.is_accepted(response.fields)))
            {
                return Err(Cause::BackendBadResponse);
            }
            if !exchange.may_pass(response.status) {
                is_no_fault = true;
                return Err(Cause::BackendBadResponse);
            }
            // Without chunks an HTTP/1.0 client can tell the end of a body only from the end of the connection.
            let is_delimited = is_self_delimited(response.framing(), exchange.is_old());
            let keep_alive =
                exchange.afterwards.goes_on() && is_delimited && is_request_read && !env.is_draining();
            let own = options.and_then(|options| options.interims);
            let passes =
                !is_interim || exchange.takes_interim(response.status, own.unwrap_or(disclosure.interims));
            if passes {
                let edits = edits.map(|edits| (edits, exchange.request.response_fields.as_slice()));
                response.write_edited(
                    out,
                    exchange.response_context(keep_alive, client_idle, hsts),
                    env.date,
                    edits,
                    &added,
                );
            }
            Ok(Verdict {
                status: response.status,
                is_interim,
                passes,
                framing: response.framing(),
                nominated: withheld(&response, edits),
                is_stream: response.is_stream(streams),
                reuse: if response.keep_alive {
                    Reuse::Allowed { idle: response.timeout }
                } else {
                    Reuse::Refused
                },
                is_login: response.is_login,
                grpc: if exchange.request.is_call { grpc::status_of(response.fields) } else { None },
                keep_alive,
            })
        });
        self.exchange.captured = captured;
        self.scan = HeadScan::default();
        match verdict {
            Err(cause) => {
                self.exchange.attempt.is_blamed |= is_no_fault;
                self.fail(cause, env, effects)
            }
            Ok(verdict) if verdict.is_interim => {
                self.exchange.response.interims += 1;
                if verdict.status == 100 {
                    if verdict.passes {
                        self.exchange.note_continued();
                    }
                    self.note_continue(true, effects);
                }
                self.exchange.attempt.asked_at = self.exchange.attempt.asked_at.map(|_| env.now);
                true
            }
            Ok(verdict) => {
                self.note_continue(false, effects);
                self.begin_response(verdict, env);
                effects.push(Effect::NoteAnswer);
                true
            }
        }
    }

    fn begin_response(&mut self, verdict: Verdict, env: &Env<'_>) {
        let exchange = &mut self.exchange;
        exchange.response.status = verdict.status;
        exchange.response.grpc = verdict.grpc;
        exchange.stage = Stage::Response;
        exchange.afterwards = exchange.afterwards.limited(verdict.keep_alive);
        // A backend that has not switched may have taken the body for something else.
        exchange.response.reuse = match verdict.reuse {
            Reuse::Allowed { .. } if exchange.request.is_upgrade_behind_body() => Reuse::Refused,
            reuse @ (Reuse::Refused | Reuse::Allowed { .. }) => reuse,
        };
        exchange.request.is_login |= verdict.is_login;
        exchange.timing.spans.response = Some(env.now.since(exchange.timing.began));
        let is_delimited = is_self_delimited(verdict.framing, exchange.is_old());
        exchange.response.answered = Answered::Begun { is_delimited, is_stream: verdict.is_stream };
        if verdict.status == 101 {
            self.up.release();
            self.up.framer = Framer::Opaque;
            self.down.framer = Framer::Opaque;
            self.phase = Phase::Tunnel;
            return;
        }
        let chunks = if exchange.is_old() { Chunks::Strip } else { Chunks::Keep };
        self.down.framer = match verdict.framing {
            Framing::Empty => Framer::Done,
            Framing::Length(length) => Framer::of_length(length),
            Framing::Chunked => Framer::Chunked(Chunked::of_response(chunks, verdict.nominated)),
            Framing::UntilEof => Framer::UntilEof,
        };
    }

    fn step_response_body(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        if self.advance_response().is_err() {
            return self.down.is_flushed() && self.fail(Cause::BackendBadResponse, env, effects);
        }
        if !self.down.is_flushed() {
            return false;
        }
        if self.down.framer.is_done() {
            return self.finish(env, effects);
        }
        self.down.is_cut_short() && self.fail(Cause::BackendTruncated, env, effects)
    }

    fn advance_response(&mut self) -> Result<(), ChunkFault> {
        if !self.exchange.request.is_call {
            return self.down.advance();
        }
        let status = self.down.advance_call()?;
        self.exchange.response.grpc = status.or(self.exchange.response.grpc);
        Ok(())
    }

    /// Whether the backend has sent something behind a response that has no body (RFC 9112 §6.3).
    fn has_surplus(&self) -> bool {
        !self.down.buffer.unscanned().is_empty()
            && (self.is_head() || matches!(self.exchange.response.status, 204 | 304))
    }

    /// The response has been passed on to its last byte.
    fn finish(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let is_request_read = self.up.framer.is_done();
        if self.has_surplus() {
            effects.push(Effect::NoteHabit(Habit::Surplus, true));
        }
        let is_backend_clean = is_request_read
            && self.up.is_flushed()
            && self.up.sink != Sink::Lost
            && self.exchange.response.reuse != Reuse::Refused
            && (!self.announces(env) || self.exchange.request.is_login)
            && self.down.source == Source::Open
            && self.down.buffer.unscanned().is_empty();
        self.let_go(if is_backend_clean { Effect::KeepBackend } else { Effect::CloseBackend }, effects);
        self.down.abandon();
        // A body that the backend did not want, and that was read whole, is thrown away; the next request can
        // follow.
        self.conclude(self.exchange.afterwards.goes_on() && is_request_read, env, effects)
    }
}

/// The fields that the trailers of `response` may not have.
fn withheld(response: &Response<'_>, edits: Option<&FieldEdits>) -> Nominated {
    let mut nominated = Nominated::default();
    if response.framing() == Framing::Chunked {
        nominated.clone_from(&response.nominated);
        nominated.add(edits.iter().flat_map(|edits| edits.taken_out()));
    }
    nominated
}

/// Whether `bytes`, as far as they go, can begin a response (RFC 9112 §4).
fn may_be_status_line(bytes: &[u8]) -> bool {
    const BEGINNING: &[u8] = b"HTTP/";
    let length = bytes.len().min(BEGINNING.len());
    bytes[..length] == BEGINNING[..length]
}

/// Whether the client can tell from the bytes themselves where a body of that framing ends.
fn is_self_delimited(framing: Framing, is_old: bool) -> bool {
    match framing {
        Framing::Empty | Framing::Length(_) => true,
        Framing::Chunked => !is_old,
        Framing::UntilEof => false,
    }
}
