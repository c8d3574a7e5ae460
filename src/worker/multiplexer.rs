//! Clients that speak HTTP/2: one connection that carries many streams, and a session for each of them.
//!
//! A session has its stream as a [`Wire::Stream`], and knows nothing of the connection that carries it. What it
//! reads is what the bridge of [`h2::bridge`](crate::h2::bridge) makes of the frames that have come. What it
//! writes waits in that bridge, until the connection is served: in the turn in which it was read from, and
//! otherwise before the next poll. So the frames of many streams go out in one write, in the order of their
//! priorities.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::array::Nearest;
use super::closing::Closing;
use super::conn::{Conn, ListenerState};
use super::derive::View;
use super::driver::Readable;
use super::generation::Generation;
use super::parked::{QUIET, UNHEARD_MAX};
use super::{Token, Worker};
use crate::core::interest::{Interest, Ready};
use crate::core::outcome::Cause;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::h2::bridge::{Downward, Outgoing, Upward};
use crate::h2::connection::{CannotSend, Connection, Incoming, NewResponse, Role};
use crate::h2::fields::Fields;
use crate::h2::frame::ErrorCode;
use crate::h2::head::{HeadFault, RequestHead};
use crate::h2::request;
use crate::message::{BodyLength, Method, field_table};
use crate::os::{Fd, IoFault, Os};
use crate::session::{Resting, Session, Side};
use crate::shared::clients::Counted;
use crate::wire::{Carrier, Hold, StreamHandle, Touched, Wire, stream};

/// Bytes that are read from a connection at once.
const READ: usize = 32 * 1024;

/// Reads of one connection in a turn.
const READS_MAX: usize = 4;

/// Bytes that are written to a connection at once.
const WRITTEN: usize = 64 * 1024;

/// Rounds in which a connection is written to and its sessions are driven, before others have their turn.
const ROUNDS_MAX: usize = 16;

/// Text of a request that may wait for its session, in bytes: the body that a client may send ahead.
const AHEAD: usize = 64 * 1024;

/// Bytes of a request body that are read and dropped once the answer has been sent.
const DROPPED_MAX: u32 = 64 * 1024;

/// Streams may still come for so long behind the first GOAWAY of a drain: RFC 9113 §6.8 asks for a round trip.
const LAST_CALL: Duration = Duration::from_millis(250);

/// A connection without a deadline of its own looks after itself so often.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug)]
pub(super) struct Multiplexer {
    wire: Wire,
    machine: Connection,
    /// The client of the connection; each stream gets a session made of it.
    origin: Resting,
    /// Ordered by their numbers.
    streams: Vec<Stream>,
    carrier: Rc<Carrier>,
    /// Bytes of frames; those before `written` were written.
    pending: Vec<u8>,
    written: usize,
    /// The last write was short, and poll has not said since that there is room.
    is_blocked: bool,
    /// The peer has ended its direction.
    has_ended: bool,
    /// The connection has failed.
    is_lost: bool,
    generation: Rc<Generation>,
    listener_state: ListenerState,
    /// Its count for the client's address, if addresses are counted.
    counted: Option<Box<Counted>>,
    /// When a stream last began or ended.
    used: Time,
    /// When its drain began, if it has.
    drained: Option<Time>,
    /// When all was said and our direction ended. The client has a while from then on to take the last words:
    /// a close with unread input would be a reset, which overtakes them.
    lingers_since: Option<Time>,
    stay: Stay,
}

/// The place in which a connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// In every poll array.
    Hot {
        /// When something last happened.
        touched: Time,
        /// Polls in a row that named no event of it.
        unheard: u8,
    },
    /// In the parked set.
    Parked {
        /// Its deadline.
        until: Time,
    },
}

#[derive(Debug)]
struct Stream {
    number: u32,
    session: Key,
    handle: StreamHandle,
}

/// The connections of a worker that carry streams, and what is kept for all of them.
#[derive(Debug, Default)]
pub(super) struct Multiplexers {
    /// Those that are not parked, and some that are over.
    hot: Vec<Key>,
    /// Those whose streams were touched by their sessions.
    touched: Touched,
    /// Scratch, empty between calls.
    room: Vec<u8>,
    fields: Fields,
    woken: Vec<Key>,
    numbers: Vec<u32>,
}

impl Multiplexer {
    /// Makes a carrier of a served client; `None` if that client has no connection any more.
    pub(super) fn new(conn: Conn, key: Key, touched: &Touched, now: Time) -> Option<Multiplexer> {
        let Conn { session, client, generation, listener_state, counted, .. } = conn;
        let wire = client?;
        let config = Arc::clone(&generation.http2);
        let carrier = Rc::new(Carrier::new(wire.fd(), key, Rc::clone(touched)));
        Some(Multiplexer {
            machine: Connection::new(Role::Server, config, now),
            wire,
            origin: session.into_carrier(),
            streams: Vec::new(),
            carrier,
            pending: Vec::new(),
            written: 0,
            is_blocked: false,
            has_ended: false,
            is_lost: false,
            generation,
            listener_state,
            counted,
            used: now,
            drained: None,
            lingers_since: None,
            stay: Stay::Hot { touched: now, unheard: 0 },
        })
    }

    fn find(&self, number: u32) -> Option<usize> {
        self.streams.binary_search_by_key(&number, |stream| stream.number).ok()
    }

    /// Whether bytes wait to be written.
    fn has_output(&self) -> bool {
        self.written < self.pending.len() || !self.machine.output().is_empty()
    }

    /// Its descriptor, and what to ask poll about it; `None` if nothing waits on it.
    pub(super) fn watch(&self) -> Option<(Fd, Interest)> {
        let want = self.wire.watch(Some(self.interest())).filter(|want| *want != Interest::NONE);
        want.map(|want| (self.wire.fd(), want))
    }

    fn interest(&self) -> Interest {
        let reads = (self.machine.wants_read() || self.lingers_since.is_some()) && !self.has_ended;
        let want = if reads { Interest::READ } else { Interest::NONE };
        want.with_if(Interest::WRITE, self.has_output() || self.is_blocked)
    }

    /// When something is due if nothing comes before; `draining_since` is when the worker's drain began.
    pub(super) fn deadline(&self, draining_since: Option<Time>) -> Time {
        let drain = self.drains_since(draining_since).filter(|_| self.drained.is_none());
        let timeouts = &self.generation.snapshot.timeouts;
        let idle = self.streams.is_empty().then(|| self.used + timeouts.client_idle);
        let last_call = self.drained.map(|at| at + LAST_CALL).filter(|_| !self.has_left());
        let closing =
            self.machine.is_finished().then(|| self.lingers_since.unwrap_or(self.used) + timeouts.linger);
        let all = [self.machine.deadline(), drain, idle, last_call, closing];
        all.into_iter().flatten().min().unwrap_or(self.used + LOOK_AGAIN)
    }

    fn has_left(&self) -> bool {
        self.machine.is_finished()
    }

    /// Takes what an exchange has done with its stream, and offers what it has to say.
    fn serve(&mut self, number: u32, now: Time, woken: &mut Vec<Key>) {
        let Some(place) = self.find(number) else { return };
        let Stream { session, ref handle, .. } = self.streams[place];
        let hold = handle.look();
        if hold == Hold::Reset {
            self.machine.reset(number, ErrorCode::INTERNAL_ERROR);
            self.drop_stream(place, now);
            return;
        }
        let (machine, handle) = (&mut self.machine, handle.clone());
        if handle.up(|up| speak(machine, number, up, now)).is_err() {
            // A part of the answer has gone out, and must not look like the whole.
            self.machine.reset(number, ErrorCode::INTERNAL_ERROR);
            handle.down(Downward::reset);
            woken.push(session);
            self.drop_stream(place, now);
            return;
        }
        if handle.up(|up| up.is_over()) {
            if !handle.down(|down| down.is_whole()) {
                self.machine.linger(now, number, DROPPED_MAX);
            }
            handle.down(Downward::close);
            woken.push(session);
            self.drop_stream(place, now);
            return;
        }
        let room = handle.down(|down| down.room(AHEAD));
        self.machine.grant(number, u32::try_from(room).unwrap_or(u32::MAX), AHEAD as u32);
    }

    fn drop_stream(&mut self, place: usize, now: Time) {
        self.streams.remove(place);
        self.used = now;
    }

    /// Writes what there is, until the peer takes no more.
    fn write<O: Os>(&mut self, os: &mut O, now: Time, woken: &mut Vec<Key>) {
        while !self.is_blocked && !self.is_lost {
            self.gather(now, woken);
            if self.written == self.pending.len() {
                break;
            }
            match self.wire.write(os, &self.pending[self.written..], &[]) {
                Ok(count) => {
                    self.written += count;
                    self.is_blocked = self.written < self.pending.len();
                }
                Err(IoFault::Blocked) => self.is_blocked = true,
                Err(IoFault::Lost) => self.is_lost = true,
            }
            if self.written == self.pending.len() {
                self.pending.clear();
                self.written = 0;
            }
        }
    }

    /// Collects frames for one write.
    fn gather(&mut self, now: Time, woken: &mut Vec<Key>) {
        loop {
            let count = self.machine.output().len();
            self.pending.extend_from_slice(self.machine.output());
            self.machine.consume(count);
            let Some(room) = WRITTEN.checked_sub(self.pending.len() - self.written) else { return };
            let Some(piece) = self.machine.next_piece(now, room as u32) else { return };
            let Some(place) = self.find(piece.stream) else {
                // Half a frame must not go out.
                self.is_lost = true;
                return;
            };
            self.pending.extend_from_slice(&piece.head);
            let Stream { session, ref handle, .. } = self.streams[place];
            let length = piece.length as usize;
            handle.up(|up| {
                self.pending.extend_from_slice(&up.body()[..length]);
                up.send(length, piece.ends_stream);
            });
            if handle.take_blocked() {
                woken.push(session);
            }
            self.serve(piece.stream, now, woken);
        }
    }

    /// Gives memory back while nothing happens.
    fn rest(&mut self) {
        self.machine.rest();
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }

    /// Counts the bytes that the connection holds now for its client's address.
    fn settle(&mut self) {
        if let Some(counted) = &mut self.counted {
            counted.settle(self.machine.capacity() + self.pending.capacity());
        }
    }

    /// Tells all exchanges that their client has gone.
    fn lose(&mut self, woken: &mut Vec<Key>) {
        while self.machine.lose().is_some() {}
        for stream in self.streams.drain(..) {
            stream.handle.down(Downward::reset);
            woken.push(stream.session);
        }
    }

    /// Whether all has been said and done, so that the connection can be closed. Our direction ends before.
    fn is_over<O: Os>(&mut self, os: &mut O, now: Time) -> bool {
        if self.is_lost {
            return true;
        }
        if !self.streams.is_empty() || self.has_output() {
            return false;
        }
        if self.machine.is_finished() && self.lingers_since.is_none() {
            self.wire.finish(os);
            self.lingers_since = Some(now);
        }
        let linger = self.generation.snapshot.timeouts.linger;
        self.has_ended || self.lingers_since.is_some_and(|since| since + linger <= now)
    }

    /// Moves it to the latest generation; `listener_state` says how listeners stand there.
    pub(super) fn renew(
        &mut self,
        latest: &Rc<Generation>,
        listener_state: impl Fn(ListenerState) -> ListenerState,
    ) {
        let listener_state = listener_state(self.listener_state);
        self.listener_state = listener_state;
        if let ListenerState::At(listener) = listener_state {
            self.generation = Rc::clone(latest);
            self.origin.move_to(listener);
        }
    }

    /// Since when it is to end, if it is.
    fn drains_since(&self, worker: Option<Time>) -> Option<Time> {
        match self.listener_state {
            ListenerState::Gone { since } => Some(since),
            ListenerState::At(_) => worker,
        }
    }
}

/// Says what an exchange has to say on its stream.
fn speak(machine: &mut Connection, number: u32, up: &mut Upward, now: Time) -> Result<(), ()> {
    while let Some(outgoing) = up.next_outgoing().map_err(drop)? {
        match outgoing {
            Outgoing::Head { status, length, ends } => {
                let head = NewResponse { status, block: up.block(), length, ends_stream: ends };
                machine.respond(now, number, head).map_err(drop)?;
            }
            Outgoing::Data { ends } => {
                let waiting = u32::try_from(up.body().len()).unwrap_or(u32::MAX);
                machine.offer(now, number, waiting, ends).map_err(drop)?;
                return Ok(());
            }
            Outgoing::Trailers => match machine.trailers(now, number, up.block()) {
                // The client has said that it takes no such list; the body is whole without it.
                Err(CannotSend::TooLarge) => machine.offer(now, number, 0, true).map_err(drop)?,
                said => said.map_err(drop)?,
            },
        }
    }
    Ok(())
}

/// The cause for which a request that cannot be one is refused.
fn cause_of(fault: HeadFault) -> Cause {
    match fault {
        HeadFault::Method | HeadFault::Pseudos | HeadFault::UnknownPseudo | HeadFault::RepeatedPseudo => {
            Cause::BadRequestLine
        }
        HeadFault::Path | HeadFault::Scheme => Cause::BadTarget,
        HeadFault::Authority => Cause::BadHost,
        HeadFault::Length => Cause::BadFraming,
        HeadFault::Name
        | HeadFault::Value
        | HeadFault::ConnectionField
        | HeadFault::LatePseudo
        | HeadFault::Status => Cause::BadField,
    }
}

impl<O: Os> Worker<O> {
    /// Lets the client of `key`, which has a session and no request under way, speak HTTP/2 from now on; what
    /// it has said so far are `bytes`.
    pub(super) fn multiplex(&mut self, key: Key, conn: Conn, bytes: &[u8]) {
        let Some(mux) = Multiplexer::new(conn, key, &self.multiplexers.touched, self.now) else { return };
        let mut mux = Box::new(mux);
        self.multiplexers.hot.push(key);
        let mut woken = std::mem::take(&mut self.multiplexers.woken);
        self.take_frames(&mut mux, bytes, &mut woken);
        self.go_on_with_streams(key, mux, woken);
    }

    /// Lets the client of `key` speak HTTP/2, which was agreed on in its handshake.
    pub(super) fn multiplex_encrypted(&mut self, key: Key) {
        let Some(client) = self.conns.take(key, self.now) else { return };
        let Some(conn) = self.conns.begin_to_carry(key, client) else { return };
        self.multiplex(key, conn, &[]);
        // Behind the end of the handshake the first requests may have come already.
        self.handle_carrier(key, Ready::READ);
    }

    /// Reads what has come on the connection of `key`, of which poll has news.
    pub(super) fn handle_carrier(&mut self, key: Key, ready: Ready) {
        let Some(mut mux) = self.take_multiplexer(key) else { return };
        if ready.any(Ready::WRITE | Ready::HANGUP | Ready::ERROR) {
            mux.wire.flush(&mut self.os);
            mux.is_blocked = false;
        }
        let mut woken = std::mem::take(&mut self.multiplexers.woken);
        if ready.any(Ready::READ | Ready::LEAVE | Ready::HANGUP | Ready::ERROR) {
            self.read_carrier(&mut mux, &mut woken);
        }
        self.go_on_with_streams(key, mux, woken);
    }

    fn take_multiplexer(&mut self, key: Key) -> Option<Box<Multiplexer>> {
        let mut mux = self.conns.take_multiplexer(key)?;
        if let Stay::Parked { until } = mux.stay {
            self.parked.leave(until, key);
            self.multiplexers.hot.push(key);
        }
        mux.stay = Stay::Hot { touched: self.now, unheard: 0 };
        Some(mux)
    }

    fn read_carrier(&mut self, mux: &mut Multiplexer, woken: &mut Vec<Key>) {
        let mut room = std::mem::take(&mut self.multiplexers.room);
        room.resize(READ, 0);
        for _ in 0..READS_MAX {
            let lingers = mux.lingers_since.is_some();
            if !(mux.machine.wants_read() || lingers) || mux.has_ended || mux.is_lost {
                break;
            }
            match mux.wire.read(&mut self.os, &mut room) {
                Ok(0) => {
                    mux.has_ended = true;
                    mux.is_lost = !(lingers || mux.machine.may_end());
                }
                Ok(_) if lingers => {}
                Ok(count) => {
                    self.take_frames(mux, &room[..count], woken);
                    if count < room.len() && !mux.wire.has_more() {
                        break;
                    }
                }
                Err(IoFault::Blocked) => break,
                Err(IoFault::Lost) => mux.is_lost = true,
            }
        }
        self.multiplexers.room = room;
    }

    fn take_frames(&mut self, mux: &mut Multiplexer, mut input: &[u8], woken: &mut Vec<Key>) {
        let mut fields = std::mem::take(&mut self.multiplexers.fields);
        while let Ok(Some(incoming)) = mux.machine.read(self.now, &mut input, &mut fields) {
            self.take_incoming(mux, &incoming, woken);
        }
        self.multiplexers.fields = fields;
    }

    fn take_incoming(&mut self, mux: &mut Multiplexer, incoming: &Incoming<'_>, woken: &mut Vec<Key>) {
        match *incoming {
            Incoming::Request { stream, ref head, fields, ends_stream, .. } => {
                self.begin_stream(mux, (stream, ends_stream), Ok((head, fields)));
            }
            Incoming::TooLarge { stream, ends_stream } => {
                self.begin_stream(mux, (stream, ends_stream), Err(Cause::HeadTooLong));
            }
            Incoming::Malformed { fault, .. } => self.record_refusal(mux, cause_of(fault)),
            Incoming::Data { stream, bytes, .. } => {
                tell(mux, stream, woken, |down| down.data(bytes));
            }
            Incoming::End { stream, .. } => tell(mux, stream, woken, |down| down.end(None)),
            Incoming::Trailers { stream, fields, .. } => {
                tell(mux, stream, woken, |down| down.end(Some(fields)));
            }
            Incoming::Reset { stream, .. } => {
                tell(mux, stream, woken, Downward::reset);
                if let Some(place) = mux.find(stream) {
                    mux.drop_stream(place, self.now);
                }
            }
            Incoming::Refused { .. }
            | Incoming::Response { .. }
            | Incoming::GoAway { .. }
            | Incoming::Settings
            | Incoming::Pong { .. } => {}
        }
    }

    /// Begins the session of a stream, unless there is no place for it, and shows it its head, or the cause for
    /// which that is refused.
    fn begin_stream(
        &mut self,
        mux: &mut Multiplexer,
        (number, ends): (u32, bool),
        head: Result<(&RequestHead<'_>, &Fields), Cause>,
    ) {
        if self.conns.clients() > self.sessions_max {
            self.make_places();
        }
        if !self.has_place() {
            mux.machine.reset(number, ErrorCode::REFUSED_STREAM);
            return;
        }
        let mut cookies = Vec::new();
        let mut table = field_table();
        let limits = &mux.generation.snapshot.limits;
        let request = head.and_then(|(judged, fields)| {
            request::read(judged, fields, ends, &mut cookies, &mut table, limits)
        });
        let length = request.map_or(BodyLength::Open, |request| request.body);
        let is_head = request.is_ok_and(|request| request.method == Method::Head);
        let (down, up) = (Downward::new(length, ends), Upward::new(is_head));
        let (wire, handle) = stream(number, &mux.carrier, down, up);
        let session = mux.origin.stream(self.now);
        let generation = Rc::clone(&mux.generation);
        let key = self.insert_session(session, Wire::Stream(wire), generation, mux.listener_state);
        if let Some(slot) = &self.load_slot {
            slot.begin();
        }
        mux.streams.push(Stream { number, session: key, handle });
        mux.used = self.now;
        self.with(key, |driver, conn| {
            driver.tell(conn, |session, env, effects| {
                session.handle_request(request.as_ref().map_err(|cause| *cause), env, effects);
            });
            driver.drive(conn, Readable::default())
        });
    }

    /// Makes the record of a request that has no session.
    fn record_refusal(&mut self, mux: &Multiplexer, cause: Cause) {
        let mut session: Session = mux.origin.stream(self.now);
        session.turn_away(cause);
        let world = self.common.world(self.now, false);
        let record = session.record(&world.env(&mux.generation, mux.listener_state));
        self.journal.record(&record, self.wall);
    }

    /// Drives the sessions that there is news for, serves the connection, and puts it back, or ends it.
    fn go_on_with_streams(&mut self, key: Key, mut mux: Box<Multiplexer>, mut woken: Vec<Key>) {
        let mut numbers = std::mem::take(&mut self.multiplexers.numbers);
        for _ in 0..ROUNDS_MAX {
            if mux.is_lost || mux.machine.error().is_some() {
                mux.lose(&mut woken);
            }
            let is_driven = !woken.is_empty();
            for session in woken.drain(..) {
                self.drive_stream(session);
            }
            mux.carrier.take(&mut numbers);
            for number in numbers.drain(..) {
                mux.serve(number, self.now, &mut woken);
            }
            mux.write(&mut self.os, self.now, &mut woken);
            if woken.is_empty() && !mux.carrier.is_touched() && !is_driven {
                break;
            }
        }
        self.multiplexers.numbers = numbers;
        if !woken.is_empty() || mux.carrier.is_touched() {
            mux.carrier.call();
        }
        for session in woken.drain(..) {
            self.eager.push(session);
        }
        self.multiplexers.woken = woken;
        mux.settle();
        if mux.is_over(&mut self.os, self.now) {
            self.end_multiplexer(key, *mux);
        } else {
            self.conns.put_multiplexer(key, mux);
        }
    }

    /// Lets the session of a stream go on: something has come for it, or there is room again.
    fn drive_stream(&mut self, session: Key) {
        self.with(session, |driver, conn| {
            conn.session.handle_writable(Side::Client);
            if matches!(&conn.client, Some(Wire::Stream(stream)) if stream.is_reset()) {
                conn.session.handle_hangup(Side::Client);
            }
            driver.drive(conn, Readable { client: true, backend: false })
        });
    }

    fn end_multiplexer(&mut self, key: Key, mux: Multiplexer) {
        let closing: Option<Closing> = if mux.is_lost {
            mux.wire.reset(&mut self.os);
            None
        } else {
            let left = mux.wire.leave(&mut self.os);
            let until = self.now + mux.generation.snapshot.timeouts.linger;
            self.conns.close_in_order(&mut self.os, left, until)
        };
        self.conns.end_multiplexer(key, closing);
        self.ended += 1;
        if let Some(slot) = &self.load_slot {
            slot.end();
        }
    }

    /// Serves the connections whose streams were touched by their sessions since the last call.
    pub(super) fn serve_touched(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let touched: Vec<Key> = std::mem::take(&mut *self.multiplexers.touched.borrow_mut());
            if touched.is_empty() {
                return;
            }
            for key in touched {
                if let Some(mux) = self.take_multiplexer(key) {
                    let woken = std::mem::take(&mut self.multiplexers.woken);
                    self.go_on_with_streams(key, mux, woken);
                }
            }
        }
    }

    /// Puts the connections that carry streams into the poll array, and the quiet ones into the parked set.
    pub(super) fn derive_multiplexers(&mut self, nearest: &mut Nearest) {
        if !self.multiplexers.touched.borrow().is_empty() {
            nearest.note(self.now);
        }
        let now = self.now;
        let world = self.common.world(now, false);
        let (conns, parked, os, array) = (&mut self.conns, &mut self.parked, &mut self.os, &mut self.array);
        self.multiplexers.hot.retain(|key| {
            let Some(mux) = conns.multiplexer_mut(*key) else { return false };
            let Stay::Hot { touched, unheard } = mux.stay else { return false };
            let wait = View::Carrier(mux).derive(world, Some);
            let until = wait.until.unwrap_or(now);
            let is_quiet = unheard >= UNHEARD_MAX || now >= touched + QUIET;
            if let Some((fd, want)) = wait.watch {
                if is_quiet && parked.park(os, &wait, *key) {
                    mux.rest();
                    mux.stay = Stay::Parked { until };
                    parked.enter(until, *key);
                    return false;
                }
                array.push(fd, want, Token::Conn(*key));
            }
            mux.stay = Stay::Hot { touched, unheard: unheard.saturating_add(1) };
            nearest.note(until);
            true
        });
    }

    /// Has the connection of `key`, whose deadline has passed in the parked set, looked at with the others.
    pub(super) fn wake_multiplexer(&mut self, key: Key) {
        if let Some(mux) = self.take_multiplexer(key) {
            self.conns.put_multiplexer(key, mux);
        }
    }

    /// Wakes all of them: they are to drain, or to be cut off.
    pub(super) fn wake_multiplexers(&mut self) {
        let all: Vec<Key> = self.conns.multiplexers().collect();
        for key in all {
            self.wake_multiplexer(key);
        }
    }

    /// Does what is due on the connections that carry streams.
    pub(super) fn end_late_multiplexers(&mut self, is_cut_off: bool) {
        let hot = std::mem::take(&mut self.multiplexers.hot);
        for key in &hot {
            let now = self.now;
            let draining = self.common.draining_since;
            let Some(mux) = self.conns.multiplexer_mut(*key) else { continue };
            let drains = mux.drains_since(draining).is_some() && mux.drained.is_none();
            if !(is_cut_off || mux.deadline(draining) <= now) {
                continue;
            }
            let Some(mut mux) = self.conns.take_multiplexer(*key) else { continue };
            let mut woken = std::mem::take(&mut self.multiplexers.woken);
            if is_cut_off {
                mux.is_lost = true;
            } else {
                mux.expire(drains, now, &mut woken);
            }
            self.go_on_with_streams(*key, mux, woken);
        }
        // Those that were added meanwhile stay behind.
        let added = std::mem::replace(&mut self.multiplexers.hot, hot);
        self.multiplexers.hot.extend(added);
    }
}

impl Multiplexer {
    /// Does what is due at `now`.
    fn expire(&mut self, drains: bool, now: Time, woken: &mut Vec<Key>) {
        while let Ok(Some(incoming)) = self.machine.expire(now) {
            if let Incoming::Reset { stream, .. } = incoming {
                tell(self, stream, woken, Downward::reset);
                if let Some(place) = self.find(stream) {
                    self.drop_stream(place, now);
                }
            }
        }
        if drains {
            self.machine.drain();
            self.drained = Some(now);
        }
        let timeouts = &self.generation.snapshot.timeouts;
        let is_idle = self.streams.is_empty() && self.used + timeouts.client_idle <= now;
        if is_idle || self.drained.is_some_and(|at| at + LAST_CALL <= now) {
            self.machine.leave();
        }
        // The peer takes nothing, not even the last words.
        if self.machine.is_finished() && self.is_blocked && self.used + timeouts.linger <= now {
            self.is_lost = true;
        }
    }
}

/// Tells an exchange what its client says.
fn tell(mux: &Multiplexer, stream: u32, woken: &mut Vec<Key>, say: impl FnOnce(&mut Downward)) {
    let Some(place) = mux.find(stream) else { return };
    let stream = &mux.streams[place];
    stream.handle.down(say);
    if woken.last() != Some(&stream.session) {
        woken.push(stream.session);
    }
}
