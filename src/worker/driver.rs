//! Carries out what a session asks for: finds it a backend connection, moves its bytes, makes its records.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::carriers::Carriers;
use super::closing::Closing;
use super::conn::{Backend, Conn};
use super::conns::Conns;
use super::generation::{Generation, Lease};
use super::idle::{After, IdleSet};
use super::link::Link;
use super::parked::EpollSet;
use super::pipes::Pipes;
use super::pump::{self, Filled, Stores};
use super::storage::Storage;
use crate::balance::{AdminState, Habit, safely};
use crate::core::outcome::Journal;
use crate::core::slab::Key;
use crate::lane::Source;
use crate::os::Os;
use crate::policy::{PolicyReply, Question};
use crate::recorder::{Recorder, Step};
use crate::session::{Effect, Env, Session, Side};
use crate::shared::authority::{Replied, ReplyTo};
use crate::shared::pools::Registry;
use crate::shared::queue::WakeupQueue;
use crate::snapshot::Balance;
use crate::wire::Wire;

/// Rounds of reading and writing that a session gets in one go, so that a fast pair does not starve the rest.
pub(super) const ROUNDS_MAX: usize = 16;

/// Rounds that all sessions of one pass get together, if there is one for each: a newcomer waits for no more.
const ROUNDS_SHARED: usize = 128;

/// Rounds for each of so many sessions that can go on at once.
pub(super) fn rounds_of(sessions: usize) -> usize {
    (ROUNDS_SHARED / sessions.max(1)).clamp(1, ROUNDS_MAX)
}

/// From which sides poll says that something can be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readable {
    pub(super) client: bool,
    pub(super) backend: bool,
}

/// The state of a session that was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for the next event.
    Waits,
    /// It could go on at once, but others come first.
    Eager,
    /// Its client speaks HTTP/2, and has begun no request.
    Multiplexes,
    /// It is over, and its connections are closed.
    Over,
}

/// The input that waited for a session without a buffer to read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Nothing, or there was a buffer.
    No,
    /// Bytes.
    Bytes,
    /// The end.
    End,
}

/// Everything of the worker that a session can make use of.
pub(super) struct Driver<'a, O> {
    pub(super) env: Env<'a>,
    pub(super) os: &'a mut O,
    pub(super) storage: &'a mut Storage,
    pub(super) pipes: &'a mut Pipes,
    /// Rounds of reading and writing that the session gets now.
    pub(super) rounds: usize,
    /// A message is spliced while at least so many bytes of it are left.
    pub(super) spliced: u64,
    /// The wall clock of this turn, since 1970.
    pub(super) wall: Duration,
    pub(super) idle: &'a mut IdleSet,
    /// The slots of all connections; that of the client is empty.
    pub(super) conns: &'a mut Conns,
    pub(super) parked: &'a mut EpollSet,
    pub(super) carriers: &'a mut Carriers,
    /// The generation that the session is held to.
    pub(super) generation: &'a Generation,
    pub(super) latest: &'a Rc<Generation>,
    /// The session's key, and where it is called when its turn has come.
    pub(super) key: Key,
    pub(super) wakeups: &'a Arc<WakeupQueue>,
    pub(super) registry: &'a Registry,
    pub(super) journal: &'a mut dyn Journal,
    pub(super) recorder: &'a mut Recorder,
    /// Scratch, empty between calls.
    pub(super) effects: &'a mut Vec<Effect>,
    /// The rest of the client's connection, if it is closed and has not said all.
    pub(super) closing: Option<Closing>,
    /// Whether descriptors ran out.
    pub(super) lacks_descriptors: &'a mut bool,
}

impl<O: Os> Driver<'_, O> {
    /// Lets a session read, move on and write until nothing is left to be done, or enough for now.
    pub(super) fn drive(&mut self, conn: &mut Conn, mut readable: Readable) -> Fate {
        for _ in 0..self.rounds {
            let read = self.read(conn, &mut readable);
            if read && conn.session.begins_http2() {
                return Fate::Multiplexes;
            }
            let moved_on = self.advance(conn);
            if conn.client.is_none() {
                self.take_buffers_back(conn);
                return Fate::Over;
            }
            if !(self.write(conn) || read || moved_on) {
                self.take_buffers_back(conn);
                return Fate::Waits;
            }
        }
        Fate::Eager
    }

    /// Reads from each side that can be read.
    pub(super) fn read(&mut self, conn: &mut Conn, readable: &mut Readable) -> bool {
        let Conn { session, client, backend, pipes, .. } = conn;
        let (os, now) = (&mut *self.os, self.env.now);
        let mut stores = stores(self.storage, self.pipes, self.spliced, client.as_ref(), backend.as_ref());
        let mut has_read = false;
        let mut fill = |wire: &mut Wire, pipe, side, readable: &mut bool| {
            if *readable {
                let filled = pump::fill(os, &mut stores, pipe, wire, session, side, now);
                *readable = filled == Filled::Room;
                has_read |= filled != Filled::Nothing;
            }
        };
        if let Some(wire) = client {
            fill(wire, &mut pipes.up, Side::Client, &mut readable.client);
        }
        if let Some(backend) = backend {
            fill(&mut backend.link.wire, &mut pipes.down, Side::Backend, &mut readable.backend);
        }
        has_read
    }

    /// Writes to each side that there is something for.
    fn write(&mut self, conn: &mut Conn) -> bool {
        let Conn { session, client, backend, pipes, .. } = conn;
        let (os, now) = (&mut *self.os, self.env.now);
        let mut has_written = false;
        if let Some(wire) = client {
            has_written |= pump::drain(os, &mut pipes.down, wire, session, Side::Client, now);
        }
        if let Some(backend) = backend {
            has_written |=
                pump::drain(os, &mut pipes.up, &mut backend.link.wire, session, Side::Backend, now);
        }
        has_written
    }

    /// Lets the session's state machine move, and does what it asks for; true if it asked for anything.
    pub(super) fn advance(&mut self, conn: &mut Conn) -> bool {
        let mut effects = std::mem::take(self.effects);
        let mut has_acted = false;
        loop {
            if conn.renew(self.latest) {
                self.generation = self.latest;
                self.env.snapshot = &self.latest.snapshot;
            }
            conn.session.advance(&self.env, &mut effects);
            if effects.is_empty() {
                break;
            }
            has_acted = true;
            self.carry_out_all(conn, &mut effects);
        }
        *self.effects = effects;
        has_acted
    }

    /// Does what a session asked for, and what it asks for because of that, in order; leaves nothing.
    fn carry_out_all(&mut self, conn: &mut Conn, effects: &mut Vec<Effect>) {
        let mut next = 0;
        while let Some(effect) = effects.get(next).copied() {
            next += 1;
            self.carry_out(conn, effect, effects);
        }
        effects.clear();
    }

    fn carry_out(&mut self, conn: &mut Conn, effect: Effect, effects: &mut Vec<Effect>) {
        match effect {
            Effect::Open { again, is_fresh } => {
                self.note_retry(conn);
                let outcome = self.open(conn, again, is_fresh);
                self.note_outcome(conn, outcome);
                conn.session.handle_connect(outcome, &self.env, effects);
            }
            Effect::FinishBackend => {
                if let Some(backend) = &mut conn.backend {
                    backend.link.wire.finish(self.os);
                }
            }
            Effect::FinishClient => {
                if let Some(wire) = &mut conn.client {
                    wire.finish(self.os);
                }
            }
            Effect::Ask(question) => {
                if let Some(reply) = self.reply(conn, question) {
                    self.take_reply(conn, question, reply, effects);
                }
            }
            Effect::NoteAnswer => {
                let status = conn.session.status().unwrap_or(0);
                conn.note_after_sent(self.recorder, self.env.now, Step::Responded(status));
                if let Some(backend) = &conn.backend {
                    self.note_latency(&conn.session, &backend.lease);
                }
                self.note_answered(conn, conn.session.judged_status());
            }
            Effect::NoteFailure(cause) => {
                conn.note_after_sent(self.recorder, self.env.now, Step::Failed(cause));
                if let Some(id) = conn.session.backend() {
                    self.generation.meters.note_failure(id, cause);
                }
                self.note_failure(conn, cause);
            }
            Effect::NoteHabit(habit, is_shown) => {
                if let Some(backend) = &conn.backend {
                    backend.link.backend().note_habit(habit, is_shown, self.env.now);
                }
            }
            Effect::KeepBackend => {
                if let Some(backend) = conn.backend.take() {
                    self.note_whole(backend.id());
                    conn.note_after_sent(self.recorder, self.env.now, Step::Kept);
                    self.keep(conn, backend);
                }
            }
            Effect::CloseBackend => {
                if let Some(backend) = conn.backend.take() {
                    self.note_whole(backend.id());
                    conn.note_after_sent(self.recorder, self.env.now, Step::Closed);
                    let key = backend.link.key;
                    let closing = self.close_in_order(backend.link.into_wire());
                    self.conns.close(key, closing);
                }
            }
            Effect::ResetBackend => {
                if let Some(backend) = conn.backend.take() {
                    conn.note_after_sent(self.recorder, self.env.now, Step::Reset);
                    self.note_wait(&conn.session, &backend.lease);
                    self.conns.close(backend.link.key, None);
                    backend.link.reset(self.os);
                }
            }
            Effect::AskDelivery => {
                if let Some(wire) = &mut conn.client {
                    let delivery = wire.delivery(self.os);
                    conn.session.handle_delivery(delivery, &self.env, effects);
                }
            }
            Effect::Record => {
                conn.permit = None;
                // The next request does not take the place of one that has waited in vain.
                conn.ticket = None;
                self.record(conn);
            }
            Effect::CloseClient => {
                if let Some(wire) = conn.client.take() {
                    self.closing = self.close_in_order(wire);
                }
            }
            Effect::ResetClient => {
                if let Some(wire) = conn.client.take() {
                    wire.reset(self.os);
                }
            }
        }
    }

    /// The reply to a question of a session, if it is there at once.
    fn reply(&mut self, conn: &mut Conn, question: Question) -> Option<PolicyReply> {
        match question {
            Question::RetryBudget { status } => {
                let has_budget = conn.has_budget();
                // An answer in hand is better than none.
                let is_granted =
                    has_budget && conn.generation.has_candidates(conn.session.pool(), self.env.now);
                conn.note_after_sent(self.recorder, self.env.now, Step::AnotherWanted);
                if is_granted {
                    self.note_answered(conn, Some(status));
                } else if !has_budget {
                    conn.note_step(self.recorder, self.env.now, Step::BudgetSpent);
                }
                Some(PolicyReply::of(is_granted))
            }
            Question::Habit(habit) => {
                let backend = conn.backend.as_ref();
                Some(PolicyReply::of(
                    backend.is_some_and(|it| it.link.backend().has_habit(habit, self.env.now)),
                ))
            }
            Question::Authority { number, .. } => {
                let policy = conn.session.asking_policy().and_then(|place| u32::try_from(place).ok());
                if let Some(policy) = policy {
                    conn.note_step(self.recorder, self.env.now, Step::Asked { policy });
                }
                self.registry.ask_authority(number, ReplyTo::new(self.wakeups, self.key, question))
            }
        }
    }

    /// Passes a reply on to a session, which may not wait for it any more.
    pub(super) fn take_reply(
        &mut self,
        conn: &mut Conn,
        question: Question,
        reply: PolicyReply,
        effects: &mut Vec<Effect>,
    ) {
        if conn.session.awaits_reply(question) {
            let step = match reply {
                PolicyReply::Yes => Step::Allowed,
                PolicyReply::No => Step::Denied,
            };
            conn.note_step(self.recorder, self.env.now, step);
        }
        conn.session.handle_reply(question, reply, &self.env, effects);
    }

    /// The policy of the pool, where that is what goes by latency: for the others it is not measured.
    fn measures_latency(&self, session: &Session) -> bool {
        self.env.snapshot.pool(session.pool()).balance == Balance::Latency
    }

    /// Records how long the backend has taken to answer.
    fn note_latency(&self, session: &Session, lease: &Lease) {
        if self.measures_latency(session) {
            let since = session.asked_at().unwrap_or(lease.since);
            lease.backend().note_latency(self.env.now.since(since), self.env.now);
        }
    }

    /// Records how long it has not answered, if it has not.
    fn note_wait(&self, session: &Session, lease: &Lease) {
        if self.measures_latency(session) && !session.is_answered() {
            lease.backend().note_wait(self.env.now.since(lease.since), self.env.now);
        }
    }

    /// Keeps a connection for another exchange, if it has not served enough of them, and if no body is to be
    /// expected behind a response that has none. Its backend has said how long it waits, or has not.
    fn keep(&mut self, conn: &mut Conn, mut backend: Backend) {
        if matches!(backend.link.wire, Wire::Stream(_)) {
            self.conns.close(backend.link.key, None);
            return backend.link.close(self.os);
        }
        let id = backend.id();
        let link = &mut backend.link;
        link.uses = link.uses.saturating_add(1);
        // A login takes several requests, and would begin again and again.
        let is_used_up = !conn.session.is_login()
            && (self.env.snapshot.pool(id.pool).max_reuse.is_some_and(|most| link.uses >= most)
                || link.retires().is_some_and(|retires| retires <= self.env.now));
        // Bytes that no request asked for would be taken for the next response.
        if is_used_up || link.wire.has_more() || link.backend().admin_state() != AdminState::Ready {
            self.conns.close(link.key, None);
            return backend.link.close(self.os);
        }
        let after = after(&conn.session);
        if after != After::Body && link.backend().has_habit(Habit::Surplus, self.env.now) {
            self.conns.close(link.key, None);
            return backend.link.close(self.os);
        }
        if conn.session.is_login() {
            return self.keep_own(conn, backend);
        }
        let Backend { link, .. } = backend;
        let idle_timeout = self.idle_timeout(&link, conn.session.backend_timeout());
        let (kept, home, now) = ((link, after), self.generation.home(id), self.env.now);
        if let Some(surplus) = self.idle.keep(home, kept, now, idle_timeout, self.conns, self.parked) {
            surplus.close(self.os);
        }
    }

    /// The time that a connection may wait, as its backend has said, or else as it has shown.
    pub(super) fn idle_timeout(&self, link: &Link, told: Option<Duration>) -> Option<Duration> {
        told.map(safely).or_else(|| link.backend().idle_estimate(self.env.now))
    }

    /// Closes a wire, at once if all has been said; or else what is left of it.
    fn close_in_order(&mut self, wire: Wire) -> Option<Closing> {
        let left = wire.leave(self.os);
        let until = self.env.now + self.env.snapshot.timeouts.linger;
        self.conns.close_in_order(self.os, left, until)
    }

    /// Hands over what a wire has left over, now that its socket takes bytes again.
    pub(super) fn flush(&mut self, conn: &mut Conn, side: Side) {
        match side {
            Side::Client => conn.client.iter_mut().for_each(|wire| wire.flush(self.os)),
            Side::Backend => conn.backend.iter_mut().for_each(|backend| backend.link.wire.flush(self.os)),
        }
    }

    /// Tells a session something that may make it ask for something.
    pub(super) fn tell(
        &mut self,
        conn: &mut Conn,
        tell: impl FnOnce(&mut Session, &Env<'_>, &mut Vec<Effect>),
    ) {
        let mut effects = std::mem::take(self.effects);
        tell(&mut conn.session, &self.env, &mut effects);
        self.carry_out_all(conn, &mut effects);
        *self.effects = effects;
    }

    /// Tells a session the reply of an authority.
    pub(super) fn tell_reply(&mut self, conn: &mut Conn, replied: Replied) {
        let mut effects = std::mem::take(self.effects);
        self.take_reply(conn, replied.question, replied.reply, &mut effects);
        self.carry_out_all(conn, &mut effects);
        *self.effects = effects;
    }

    /// Reads for a session whose time is over what it could not read before because there was no buffer. It
    /// gets one beyond the bound, and is to give it back at once.
    pub(super) fn feed(&mut self, conn: &mut Conn) -> Want {
        let sides = [Side::Client, Side::Backend];
        sides
            .into_iter()
            .map(|side| self.feed_from(conn, side))
            .find(|want| *want != Want::No)
            .unwrap_or(Want::No)
    }

    fn feed_from(&mut self, conn: &mut Conn, side: Side) -> Want {
        let Conn { session, client, backend, pipes, .. } = conn;
        if !session.wants_read(side) || session.has_buffer(side) || self.storage.can_lend(side) {
            return Want::No;
        }
        let mut stores = stores(self.storage, self.pipes, self.spliced, client.as_ref(), backend.as_ref());
        let (wire, pipe) = match side {
            Side::Client => (client.as_mut(), &mut pipes.up),
            Side::Backend => (backend.as_mut().map(|backend| &mut backend.link.wire), &mut pipes.down),
        };
        let Some(wire) = wire else { return Want::No };
        let buffer = &mut session.lane_from(side).buffer;
        let whole = stores.buffers.take_beyond();
        if buffer.is_attached() {
            let old = buffer.exchange(whole, false);
            stores.buffers.give(old);
        } else {
            buffer.attach(whole);
        }
        if pump::fill(self.os, &mut stores, pipe, wire, session, side, self.env.now) == Filled::Nothing {
            if side == Side::Backend {
                session.note_silence();
            }
            return Want::No;
        }
        match session.lane_from(side).source {
            Source::Open | Source::Leaving => Want::Bytes,
            Source::Absent | Source::Ended | Source::Lost => Want::End,
        }
    }

    /// Takes back what a buffer does not need that holds half a head, or that is behind while many bytes are
    /// lent.
    fn shrink(&mut self, session: &mut Session, side: Side) {
        let awaits_head = session.awaits_head(side);
        if awaits_head || self.storage.ration().is_some() {
            self.storage.shrink(&mut session.lane_from(side).buffer, awaits_head);
        }
    }

    /// Takes back the buffers that hold nothing, and those of a session that is over.
    fn take_buffers_back(&mut self, conn: &mut Conn) {
        for side in [Side::Client, Side::Backend] {
            let lane = conn.session.lane_from(side);
            if conn.client.is_none() {
                lane.abandon();
            }
            if let Some(storage) = lane.buffer.detach() {
                self.storage.give(storage);
            } else if lane.buffer.is_attached() {
                self.shrink(&mut conn.session, side);
            }
            let lane = conn.session.lane_from(side);
            let pipe = match side {
                Side::Client => &mut conn.pipes.up,
                Side::Backend => &mut conn.pipes.down,
            };
            if lane.piped() == 0
                && let Some(loan) = pipe.take()
            {
                self.pipes.give(self.os, loan);
            }
        }
    }
}

/// The kind of response that the exchange of `session` has had.
fn after(session: &Session) -> After {
    match session.status() {
        _ if session.is_head() => After::Head,
        Some(204 | 304) => After::Bodiless,
        Some(_) | None => After::Body,
    }
}

/// The storage that the pump may use between the two: pipes only where nothing has to be encrypted or
/// decrypted.
fn stores<'a>(
    buffers: &'a mut Storage,
    pipes: &'a mut Pipes,
    spliced: u64,
    client: Option<&Wire>,
    backend: Option<&Backend>,
) -> Stores<'a> {
    let wires = [client, backend.map(|backend| &backend.link.wire)];
    let is_plain = wires.into_iter().flatten().all(Wire::is_plain);
    Stores { buffers, pipes, least: is_plain.then_some(spliced) }
}
