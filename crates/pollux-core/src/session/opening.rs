//! The search for a backend connection, and what may be done when one is lost.

use std::time::Duration;

use super::parts::{Answered, Attempt, Budgeted, Next};
use super::{Dial, Effect, Env, Phase, Session};
use crate::balance::{Habit, NoBackend};
use crate::core::outcome::{Cause, Proof, Queued, Stage, Who};
use crate::core::time::Time;
use crate::http::scan::HeadScan;
use crate::lane::framer::Framer;
use crate::lane::{Sink, Source};
use crate::policy::Question;
use crate::prelude::proxy::PASSES_EVERYWHERE;
use crate::route::Retry;
use crate::snapshot::{Mode, Retries};

/// The time to wait before a busy backend is asked again: poll(2) cannot tell when its backlog has room.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The time to wait before backends that have all failed are asked once more.
const AGAIN_PAUSE: Duration = Duration::from_millis(100);

/// By so many doublings the pause grows while no backend can be reached.
const PAUSE_DOUBLINGS: u32 = 2;

/// The result of an [`Effect::Open`], or of a connect that was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectOutcome {
    /// There is no backend that can be asked.
    NoneLeft(NoBackend),
    /// Every backend is full, and it waits behind so many others; see [`Session::handle_call`].
    Queued {
        /// The others.
        ahead: usize,
    },
    /// It would be a retry, and the pool has no budget for one.
    BudgetSpent,
    /// A connection to that backend stands: a new one, or an idle one that is used again.
    Ready {
        /// The place in the pool.
        backend: usize,
        /// Whether it was idle.
        is_reused: bool,
    },
    /// A connect to that backend has begun.
    Pending {
        /// The place in the pool.
        backend: usize,
    },
    /// The pending connect succeeded.
    Connected,
    /// That backend's backlog is full, or this machine has no descriptor left: try again.
    Busy {
        /// The place in the pool.
        backend: usize,
        /// The cause if it stays so.
        cause: Cause,
    },
    /// The connect to that backend failed for that cause.
    Failed {
        /// The place in the pool.
        backend: usize,
        /// Why.
        cause: Cause,
    },
}

impl Session {
    /// Takes note of how a connect turned out.
    pub fn handle_connect(&mut self, outcome: ConnectOutcome, env: &Env<'_>, effects: &mut Vec<Effect>) {
        let Phase::Opening { since, dial } = self.phase else { return };
        // The connection that was awaited serves others, and there is none of its own: the attempt has yet to begin.
        if matches!(
            (dial, outcome),
            (Dial::Pending { .. }, ConnectOutcome::Queued { .. } | ConnectOutcome::Busy { .. })
        ) {
            self.exchange.retries.take_back_attempt();
        }
        match outcome {
            // Every backend was tried. The ones that have just failed are tried again after a pause. One that may
            // have died of the request does not get it again.
            ConnectOutcome::NoneLeft(NoBackend::Tried) if self.exchange.retries.may_go_round() => {
                self.exchange.retries.tried.clear();
                let dial = Dial::Paused { until: env.now + AGAIN_PAUSE };
                self.phase = Phase::Opening { since, dial };
            }
            ConnectOutcome::NoneLeft(NoBackend::Tried | NoBackend::Down)
                if self.exchange.retries.attempts > 0 && self.may_wait_to_reach(since, env) =>
            {
                self.wait_to_reach(since, env);
            }
            ConnectOutcome::Queued { ahead } => {
                self.exchange.retries.queued.get_or_insert(Queued { ahead, wait: Duration::ZERO });
                self.phase = Phase::Opening { since, dial: Dial::Queued { since: env.now } };
            }
            ConnectOutcome::BudgetSpent => {
                self.exchange.retries.budget = Budgeted::Spent;
                self.fail(self.exchange.cause.unwrap_or(Cause::BackendUnreachable), env, effects);
            }
            ConnectOutcome::NoneLeft(nobody) => {
                let cause = match nobody {
                    NoBackend::Down => Cause::NoBackend,
                    NoBackend::Full => Cause::QueueFull,
                    NoBackend::Tried => Cause::BackendUnreachable,
                };
                // Why the last one failed says more than that there is no other; that there is no room is another matter.
                let earlier = self.exchange.cause.filter(|_| nobody != NoBackend::Full);
                self.fail(earlier.unwrap_or(cause), env, effects);
            }
            ConnectOutcome::Ready { backend, is_reused } => {
                self.attempt(backend);
                self.exchange.attempt.is_reused = is_reused;
                self.connected(env, effects);
            }
            ConnectOutcome::Pending { backend } => {
                self.attempt(backend);
                let dial = Dial::Pending { since: env.now, has_reached: false };
                self.phase = Phase::Opening { since, dial };
            }
            ConnectOutcome::Connected => self.connected(env, effects),
            ConnectOutcome::Busy { backend, cause } => {
                self.exchange.attempt.is_blamed &= self.exchange.attempt.backend == Some(backend);
                self.exchange.attempt.backend = Some(backend);
                self.exchange.cause = Some(cause);
                let first = match dial {
                    Dial::Asked { busy_since } => busy_since.unwrap_or(env.now),
                    Dial::Busy { since, .. } => since,
                    Dial::Wanted { .. }
                    | Dial::Queued { .. }
                    | Dial::Paused { .. }
                    | Dial::Pending { .. } => env.now,
                };
                let dial = Dial::Busy { since: first, retry_at: env.now + BUSY_PAUSE };
                self.phase = Phase::Opening { since, dial };
            }
            ConnectOutcome::Failed { backend, cause } => {
                if !matches!(dial, Dial::Pending { .. }) {
                    self.attempt(backend);
                }
                self.connect_failed(cause, env, effects);
            }
        }
    }

    /// Takes note that its turn has come to look for a backend again.
    pub fn handle_call(&mut self, env: &Env<'_>) {
        if let Phase::Opening { since, dial: Dial::Queued { .. } } = self.phase {
            self.note_queued(env);
            self.phase = Phase::Opening { since, dial: Dial::Wanted { again: None } };
        }
    }

    /// Adds to the time that the exchange has waited until a backend was free.
    pub(super) fn note_queued(&mut self, env: &Env<'_>) {
        if let Phase::Opening { dial: Dial::Queued { since }, .. } = self.phase
            && let Some(queued) = &mut self.exchange.retries.queued
        {
            queued.wait += env.now.since(since);
        }
    }

    fn attempt(&mut self, backend: usize) {
        self.exchange.attempt = Attempt::new(backend, self.up.passed());
        self.exchange.retries.begin_attempt();
    }

    fn connected(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        self.exchange.cause = None;
        self.exchange.timing.spans.opened = Some(env.now.since(self.exchange.timing.began));
        self.exchange.stage = Stage::Awaiting;
        self.up.sink = Sink::Open;
        self.down.source = Source::Open;
        self.touched = env.now;
        self.phase = match self.mode {
            Mode::Http => {
                self.scan = HeadScan::default();
                self.down.framer = Framer::Head;
                if !self.exchange.attempt.is_reused {
                    self.ask_to_keep(env);
                }
                if self.awaits_continue(env) {
                    effects.push(Effect::Ask(Question::Habit(Habit::NoContinue)));
                }
                Phase::Relay
            }
            Mode::Tcp => {
                self.exchange.stage = Stage::Response;
                effects.push(Effect::NoteAnswer);
                Phase::Tunnel
            }
        };
    }

    /// Asks the backend, with the first request of a connection, to keep it: HTTP/1.0 servers do so only then, and Apache and
    /// Tomcat tell only then for how long.
    fn ask_to_keep(&mut self, env: &Env<'_>) {
        let (limits, rules) = (&env.snapshot.limits, env.snapshot.pool(self.pool()));
        let is_kept = limits.idle > 0 && limits.idle_per_backend > 0 && rules.max_reuse != Some(1);
        // The held bytes have not been moved behind the head.
        let is_head_alone = self.exchange.request.collected.is_none()
            && (self.exchange.retries.attempts == 1 || self.up.is_held());
        let is_upgrade = !self.exchange.request.protocols().is_empty();
        if is_kept
            && is_head_alone
            && !is_upgrade
            && !self.exchange.request.asks_to_keep
            && rules.announce.is_none()
        {
            self.exchange.request.asks_to_keep = true;
            self.up.add_line(b"Connection: keep-alive\r\n");
        }
    }

    /// A backend that could not be connected to is not tried again: on to the next one.
    pub(super) fn connect_failed(&mut self, cause: Cause, env: &Env<'_>, effects: &mut Vec<Effect>) {
        let Phase::Opening { since, .. } = self.phase else { return };
        self.blame(cause, env, effects);
        let may_retry =
            self.exchange.request.retry != Retry::Off && self.may_retry(env, |rules| rules.connect);
        let may_wait = self.may_wait_to_reach(since, env);
        if !may_retry && !may_wait {
            self.fail(cause, env, effects);
            return;
        }
        self.let_go(Effect::ResetBackend, effects);
        self.exchange.cause = Some(cause);
        if !may_retry {
            self.wait_to_reach(since, env);
            return;
        }
        self.count_retry(Proof::Unsent);
        self.phase = Phase::Opening { since, dial: Dial::Wanted { again: None } };
    }

    /// Whether the request may wait until a backend can be reached: nothing of it was sent, or only to a connection that had gone
    /// stale, and the time of the pool, which runs since `since`, is not over by the next attempt.
    fn may_wait_to_reach(&self, since: Time, env: &Env<'_>) -> bool {
        let harmless = |proof: Proof| matches!(proof, Proof::Unsent | Proof::StaleReuse);
        let mut proofs = self.exchange.retries.retried.iter().chain(self.pending_proof());
        let is_unsent = self.exchange.stage == Stage::Opening && proofs.all(harmless);
        let wait = env.snapshot.pool(self.pool()).reach_wait;
        is_unsent && wait.is_some_and(|wait| env.now + self.pause() < since + wait)
    }

    /// The time for which the request waits before its next attempt to reach a backend.
    fn pause(&self) -> Duration {
        AGAIN_PAUSE * (1 << self.exchange.retries.reach_waits.min(PAUSE_DOUBLINGS))
    }

    /// Gives every backend another chance a moment later.
    fn wait_to_reach(&mut self, since: Time, env: &Env<'_>) {
        self.exchange.retries.tried.clear();
        let dial = Dial::Paused { until: env.now + self.pause() };
        self.exchange.retries.reach_waits += 1;
        self.phase = Phase::Opening { since, dial };
    }

    pub(super) fn step_opening(
        &mut self,
        since: Time,
        dial: Dial,
        env: &Env<'_>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if self.exchange.request.pool.is_none() {
            // Only a raw connection comes here without a route.
            self.exchange.stage = Stage::Routing;
            let cause = self.exchange.cause.take().unwrap_or(Cause::NoRoute);
            return self.fail(cause, env, effects);
        }
        self.exchange.stage = Stage::Opening;
        self.note_leaving(env);
        // It may be there to read, but a request that is sent for a client that has gone can do harm, and one
        // that is not sent does none.
        let waits = matches!(dial, Dial::Queued { .. } | Dial::Paused { .. });
        let has_left = waits && self.exchange.timing.left_at.is_some();
        if self.client_hung || self.up.source == Source::Lost || has_left {
            return self.fail(Cause::ClientAborted, env, effects);
        }
        if let Dial::Wanted { again } = dial {
            let busy_since = again.map(|again| again.since);
            self.phase = Phase::Opening { since, dial: Dial::Asked { busy_since } };
            let is_fresh = self.exchange.retries.only_fresh || self.mode == Mode::Tcp || self.announces(env);
            effects.push(Effect::Open { again: again.map(|again| again.backend), is_fresh });
        }
        false
    }

    /// The backend connection is gone before a response head had come: try again if that is provably safe.
    pub(super) fn backend_lost(&mut self, cause: Cause, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        self.blame(cause, env, effects);
        let Some(proof) = self.proof() else { return self.fail(cause, env, effects) };
        // A backend that restarts in order refuses what has just come, once; others take it.
        if proof == Proof::Refused && !self.exchange.retries.retried.contains(Proof::Refused) {
            self.exchange.retries.next = Some(Next { proof, is_counted: false });
            self.begin_again(Some(cause), env, effects);
            return true;
        }
        // A stale idle connection says nothing about its backend; a new one that broke does. So the retry
        // after a stale one does not count, and happens once.
        if self.exchange.attempt.is_reused && proof != Proof::Refused {
            self.exchange.retries.only_fresh = true;
            self.exchange.retries.next = Some(Next { proof, is_counted: false });
        } else if self.may_retry(env, |rules| rules.reset) {
            self.count_retry(proof);
        } else {
            return self.fail(cause, env, effects);
        }
        self.begin_again(Some(cause), env, effects);
        true
    }

    /// Has it noted, once for each attempt, that the backend has failed. That an idle connection had gone stale says nothing
    /// about it.
    pub(super) fn blame(&mut self, cause: Cause, env: &Env<'_>, effects: &mut Vec<Effect>) {
        let is_stale = (self.exchange.attempt.is_reused || self.exchange.attempt.is_refused)
            && matches!(cause, Cause::BackendReset | Cause::BackendClosed);
        // Of two who may both be waited for none is blamed.
        let is_shared = matches!(
            cause,
            Cause::BackendReset | Cause::BackendClosed | Cause::BackendTruncated | Cause::BackendStalled
        ) && self.awaits_body();
        let is_quiet = cause == Cause::BackendStalled && self.is_stream();
        let is_its_own =
            cause.who() == Who::Backend && cause != Cause::NoBackend && !(is_stale || is_shared || is_quiet);
        let may_be_blamed =
            is_its_own && !self.exchange.attempt.is_blamed && self.exchange.attempt.backend.is_some();
        if may_be_blamed && !self.is_over_a_name(cause, env) {
            self.exchange.attempt.is_blamed = true;
            effects.push(Effect::NoteFailure(cause));
        }
    }

    /// Whether a response is under way that has no length: it may be silent for as long as its source has nothing to say.
    fn is_stream(&self) -> bool {
        matches!(self.exchange.response.answered, Answered::Begun { .. })
            && matches!(self.down.framer, Framer::Chunked(_) | Framer::UntilEof)
    }

    /// Whether the backend may have closed because the PROXY header was too long for it, by a name that the client chose.
    fn is_over_a_name(&self, cause: Cause, env: &Env<'_>) -> bool {
        let is_gone = matches!(cause, Cause::BackendReset | Cause::BackendClosed | Cause::BackendTlsFailed);
        let is_named = || env.snapshot.pool(self.pool()).announce.is_some_and(|announce| announce.authority);
        let is_long = |header: Vec<u8>| header.len() > PASSES_EVERYWHERE;
        is_gone
            && self.exchange.response.answered == Answered::Awaited
            && is_named()
            && self.announcement(None, None, env).is_some_and(is_long)
    }

    /// Parts with the backend, and looks for another one to say the same to.
    fn begin_again(&mut self, cause: Option<Cause>, env: &Env<'_>, effects: &mut Vec<Effect>) {
        self.let_go(Effect::ResetBackend, effects);
        self.exchange.cause = cause;
        self.up.rewind();
        self.phase = Phase::Opening { since: env.now, dial: Dial::Wanted { again: None } };
    }

    /// Whether the pool allows one more retry, of those after what `is_meant` looks at.
    fn may_retry(&self, env: &Env<'_>, is_meant: impl Fn(&Retries) -> bool) -> bool {
        let rules = &env.snapshot.pool(self.pool()).retries;
        is_meant(rules) && self.exchange.retries.counted < rules.most
    }

    /// The next attempt is a retry that counts, and not to the backend in use.
    fn count_retry(&mut self, proof: Proof) {
        let exchange = &mut self.exchange;
        exchange.retries.count(proof);
        exchange.retries.tried.extend(exchange.attempt.backend);
    }

    /// The response has not come in time.
    pub(super) fn response_late(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        let cause = Cause::BackendResponseTimeout;
        let is_due = self
            .exchange
            .attempt
            .asked_at
            .is_none_or(|at| env.now >= at + self.timeouts(env).backend_response);
        // The time that a caller gives is no measure of a backend.
        self.exchange.attempt.is_blamed |= !is_due;
        self.blame(cause, env, effects);
        let is_silent = self.down.buffer.unscanned().is_empty();
        if is_silent && self.is_repeatable() && self.may_retry(env, |rules| rules.timeout) {
            self.count_retry(Proof::Timeout);
            self.begin_again(Some(cause), env, effects);
        } else {
            self.fail(cause, env, effects);
        }
    }

    /// Whether a response with `status` that has just come in would better be another one. Then it waits for an answer to
    /// [`Question::RetryBudget`].
    pub(super) fn asks_for_another(&mut self, status: u16, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        let is_wanted = self.exchange.retries.budget != Budgeted::KeepsStatus
            && self.is_repeatable()
            && self.may_retry(env, |rules| rules.statuses.contains(&status));
        if is_wanted {
            effects.push(Effect::Ask(Question::RetryBudget { status }));
        }
        is_wanted
    }

    /// Takes note of whether there is a budget for the retry that was asked for.
    pub(super) fn take_budget(&mut self, is_granted: bool, env: &Env<'_>, effects: &mut Vec<Effect>) {
        // It is read again from its beginning, or not at all.
        self.scan = HeadScan::default();
        if is_granted {
            self.count_retry(Proof::Status);
            self.down.buffer.discard();
            self.begin_again(None, env, effects);
        } else {
            self.exchange.retries.budget = Budgeted::KeepsStatus;
        }
    }

    /// Whether the request may be said twice, and can be.
    fn is_repeatable(&self) -> bool {
        self.exchange.request.retry == Retry::Safe
            && self.exchange.response.interims == 0
            && self.exchange.request.method.is_idempotent()
            && self.up.is_held()
    }

    /// Why the request may be sent again, if it may.
    fn proof(&self) -> Option<Proof> {
        if self.exchange.request.retry == Retry::Off {
            return None;
        }
        let is_silent = self.exchange.response.interims == 0 && self.down.buffer.unscanned().is_empty();
        if self.up.passed() == self.exchange.attempt.up_before && is_silent {
            return Some(Proof::Unsent);
        }
        if self.exchange.attempt.is_refused && is_silent && self.up.is_held() {
            return Some(Proof::Refused);
        }
        if self.exchange.request.retry == Retry::Unsent {
            return None;
        }
        let is_repeatable = is_silent && self.is_repeatable();
        if is_repeatable && self.exchange.attempt.is_reused {
            return Some(Proof::StaleReuse);
        }
        // Once: a request that kills the backend which reads it must not go from one to the next.
        (is_repeatable && !self.exchange.retries.retried.contains(Proof::Idempotent))
            .then_some(Proof::Idempotent)
    }
}
