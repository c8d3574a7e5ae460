//! The streams of HTTP/2 connections: their sessions begin, are driven when there is news for them, and end.

use std::rc::Rc;

use super::websocket::Handshake;
use super::{End, Multiplexer, Stream, tell};
use crate::core::interest::Ready;
use crate::core::outcome::Cause;
use crate::core::slab::Key;
use crate::h2::bridge::{Inward, Outward};
use crate::h2::connection::Incoming;
use crate::h2::fields::Fields;
use crate::h2::frame::ErrorCode;
use crate::h2::head::{HeadFault, RequestHead};
use crate::h2::request::{self, WEBSOCKET};
use crate::message::{BodyLength, Method, field_table};
use crate::os::{IoFault, Os};
use crate::session::{Session, SessionMemory, Side};
use crate::wire::Wire;
use crate::worker::Worker;
use crate::worker::array::Nearest;
use crate::worker::carriers::Carriers;
use crate::worker::closing::Closing;
use crate::worker::conn::{Backend, Conn, Reach};
use crate::worker::derive::View;
use crate::worker::driver::Readable;
use crate::worker::link::Link;
use crate::worker::parked::Presence;

/// Bytes that are read from a connection at once.
const READ: usize = 32 * 1024;

/// Reads of one connection in a turn.
const READS_MAX: usize = 4;

/// Rounds in which a connection is written to and its sessions are driven, before others have their turn.
const ROUNDS_MAX: usize = 16;

/// The connections of a worker that carry streams, and what is kept for all of them.
#[derive(Debug, Default)]
pub(in crate::worker) struct Multiplexers {
    /// Those that are not parked, and some that are over.
    hot: Vec<Key>,
    /// Those that lead to backends.
    pub(in crate::worker) carriers: Carriers,
    /// Scratch, empty between calls.
    room: Vec<u8>,
    fields: Fields,
    woken: Vec<Key>,
    touched: Vec<Key>,
    numbers: Vec<u32>,
    cookies: Vec<u8>,
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
    pub(in crate::worker) fn multiplex(&mut self, key: Key, conn: Conn, bytes: &[u8]) {
        let Carriers { touched, spare, .. } = &self.multiplexers.carriers;
        let Some(mux) = Multiplexer::new(conn, key, touched, spare, self.now) else { return };
        let mut mux = Box::new(mux);
        mux.carrier.serve(true);
        self.multiplexers.hot.push(key);
        let mut woken = std::mem::take(&mut self.multiplexers.woken);
        self.take_frames(&mut mux, bytes, &mut woken);
        self.go_on_with_streams(key, mux, woken);
    }

    /// Lets the client of `key` speak HTTP/2, which was agreed on in its handshake.
    pub(in crate::worker) fn multiplex_encrypted(&mut self, key: Key) {
        let Some(client) = self.conns.take(key, self.now) else { return };
        let Some(conn) = self.conns.begin_to_carry(key, client) else { return };
        self.multiplex(key, conn, &[]);
        // Behind the end of the handshake the first requests may have come already.
        self.handle_carrier(key, Ready::READ);
    }

    /// Reads what has come on the connection of `key`, of which poll has news.
    pub(in crate::worker) fn handle_carrier(&mut self, key: Key, ready: Ready) {
        let Some(mut mux) = self.take_multiplexer(key) else { return };
        if mux.connecting_until().is_some() {
            let mut woken = std::mem::take(&mut self.multiplexers.woken);
            if mux.go_on_connecting(&mut self.os, self.now) && !mux.is_lost {
                if mux.is_http1() {
                    self.multiplexers.woken = woken;
                    return self.go_on_by_http1(key, *mux);
                }
                mux.announce_standing(&mut woken);
                // The first frames may have come with the end of the handshake.
                self.read_carrier(&mut mux, &mut woken);
            }
            return self.go_on_with_streams(key, mux, woken);
        }
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

    /// Gives the connection of `key`, whose backend has chosen HTTP/1.1, to one of the sessions that wait on it. The
    /// others dial by themselves.
    fn go_on_by_http1(&mut self, key: Key, mux: Multiplexer) {
        let Some((home, slot, wire, waiting)) = mux.into_http1() else { return };
        let carriers = &mut self.multiplexers.carriers;
        carriers.forget(home, key);
        carriers.note_http1(home, self.now);
        self.conns.end_multiplexer(key, None, false);
        let mut standing = Some((wire, slot));
        for session in waiting {
            self.with(session, |driver, conn| {
                if conn.waits_on(key) {
                    driver.go_on_by_http1(conn, &mut standing);
                }
                driver.drive(conn, Readable::default())
            });
        }
        if let Some((wire, slot)) = standing {
            drop(slot);
            wire.close(&mut self.os);
        }
    }

    fn take_multiplexer(&mut self, key: Key) -> Option<Box<Multiplexer>> {
        let mut mux = self.conns.take_multiplexer(key)?;
        if let Some(until) = mux.presence.parked_until() {
            self.parked.leave(until, key);
            self.multiplexers.hot.push(key);
        }
        mux.presence = Presence::hot(self.now);
        mux.carrier.serve(true);
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
                    mux.note_heard(self.now);
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
        // Poll does not tell of what was decrypted and not read.
        if mux.has_unread() {
            self.multiplexers.carriers.touched.borrow_mut().push(mux.carrier.key());
        }
    }

    fn take_frames(&mut self, mux: &mut Multiplexer, mut input: &[u8], woken: &mut Vec<Key>) {
        let mut fields = std::mem::take(&mut self.multiplexers.fields);
        while let Ok(Some(incoming)) = mux.machine.read(self.now, &mut input, &mut fields) {
            self.take_incoming(mux, &incoming, woken);
        }
        self.multiplexers.fields = fields;
    }

    fn take_incoming(&mut self, mux: &mut Multiplexer, incoming: &Incoming<'_>, woken: &mut Vec<Key>) {
        if let End::Backend(_) = mux.end {
            return mux.take_response(incoming, self.now, woken);
        }
        match *incoming {
            Incoming::Request { stream, ref head, fields, ends_stream, .. } => {
                let mut cookies = std::mem::take(&mut self.multiplexers.cookies);
                self.begin_stream(mux, (stream, ends_stream), Ok((head, fields)), &mut cookies);
                self.multiplexers.cookies = cookies;
            }
            Incoming::TooLarge { stream, ends_stream } => {
                self.begin_stream(mux, (stream, ends_stream), Err(Cause::HeadTooLong), &mut Vec::new());
            }
            Incoming::Malformed { fault, .. } => self.record_refusal(mux, cause_of(fault)),
            Incoming::Data { stream, bytes, .. } => {
                tell(mux, stream, woken, |inward| inward.data(bytes));
            }
            Incoming::End { stream, .. } => tell(mux, stream, woken, |inward| inward.end(None)),
            Incoming::Trailers { stream, fields, .. } => {
                tell(mux, stream, woken, |inward| inward.end(Some(fields)));
            }
            Incoming::Reset { stream, .. } => {
                tell(mux, stream, woken, Inward::reset);
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
        cookies: &mut Vec<u8>,
    ) {
        if self.conns.clients() > self.sessions_max {
            self.make_places();
        }
        if !self.has_place() {
            mux.machine.reset(number, ErrorCode::REFUSED_STREAM);
            return;
        }
        let protocol = head.ok().and_then(|(judged, _)| judged.protocol);
        let handshake = (protocol == Some(WEBSOCKET)).then(|| Handshake::new(self.os.ambient())).transpose();
        let Ok(handshake) = handshake else {
            mux.machine.reset(number, ErrorCode::REFUSED_STREAM);
            return;
        };
        let socket_key = handshake.as_ref().map_or("", |handshake| handshake.key.as_str());
        let mut table = field_table();
        let limits = &mux.generation.snapshot.limits;
        let request = head.and_then(|(judged, fields)| {
            request::read(judged, fields, ends, cookies, &mut table, socket_key, limits)
        });
        let End::Client { origin, listener_state, .. } = &mux.end else { return };
        let length = request.map_or(BodyLength::Open, |request| request.body);
        let is_head = request.is_ok_and(|request| request.method == Method::Head);
        let (inward, outward) = (
            Inward::new(length, ends),
            if protocol.is_some() { Outward::of_connect() } else { Outward::new(is_head) },
        );
        let (wire, handle) =
            self.multiplexers.carriers.spare.borrow_mut().begin(number, &mux.carrier, inward, outward);
        let session = origin.stream(self.conns.spare.session_memory(), self.now);
        let generation = Rc::clone(&mux.generation);
        let key = self.insert_session(session, Wire::Stream(wire), generation, *listener_state);
        if let Some(slot) = &self.load_slot {
            slot.begin();
        }
        let (id, is_deaf, is_connect) = (number, false, protocol.is_some());
        mux.streams.push(Stream { id, number, session: key, handle, is_head, is_deaf, is_connect, held: 0 });
        mux.used = self.now;
        self.with(key, |driver, conn| {
            driver.tell(conn, |session, env, effects| {
                session.handle_request(request.as_ref().map_err(|cause| *cause), env, effects);
                if let Some(Handshake { accept, .. }) = &handshake {
                    session.expect_accept(accept.clone());
                }
            });
            driver.drive(conn, Readable::default())
        });
    }

    /// Makes the record of a request that has no session.
    fn record_refusal(&mut self, mux: &Multiplexer, cause: Cause) {
        let End::Client { origin, listener_state, .. } = &mux.end else { return };
        let mut session: Session = origin.stream(SessionMemory::default(), self.now);
        session.turn_away(cause);
        let world = self.common.world(self.now, false);
        let record = session.record(&world.env(&mux.generation, *listener_state));
        self.journal.record(&record, self.wall);
    }

    /// Drives the sessions that there is news for, serves the connection, and puts it back, or ends it.
    fn go_on_with_streams(&mut self, key: Key, mut mux: Box<Multiplexer>, mut woken: Vec<Key>) {
        let mut numbers = std::mem::take(&mut self.multiplexers.numbers);
        woken.append(&mut mux.owed);
        for _ in 0..ROUNDS_MAX {
            mux.lose_if_over(&mut woken);
            let is_driven = !woken.is_empty();
            // A session that goes on to its next request may need a stream of the same connection.
            self.conns.put_multiplexer(key, mux);
            for session in woken.drain(..) {
                self.drive_stream(session, key);
            }
            let Some(back) = self.conns.take_multiplexer(key) else { return };
            mux = back;
            mux.carrier.take(&mut numbers);
            for number in numbers.drain(..) {
                mux.serve(number, self.now, &mut woken);
            }
            mux.open_waiting(self.now, &mut woken);
            mux.write(&mut self.os, self.now, &mut woken);
            if woken.is_empty() && !mux.carrier.is_touched() && !is_driven {
                break;
            }
        }
        self.multiplexers.numbers = numbers;
        // The last write may have failed.
        mux.lose_if_over(&mut woken);
        mux.carrier.serve(false);
        mux.settle();
        mux.note_room();
        let is_over = mux.is_over(&mut self.os, self.now);
        if !woken.is_empty() {
            // They go on behind the others.
            mux.owed.append(&mut woken);
            self.multiplexers.carriers.touched.borrow_mut().push(key);
        }
        self.multiplexers.woken = woken;
        if is_over && mux.owed.is_empty() {
            self.end_multiplexer(key, *mux);
        } else {
            self.conns.put_multiplexer(key, mux);
        }
    }

    /// Lets the session of a stream of `carrier` go on: something has come for it, or there is room again.
    fn drive_stream(&mut self, session: Key, carrier: Key) {
        self.with(session, |driver, conn| {
            if matches!(&conn.client, Some(Wire::Stream(stream)) if stream.is_of(carrier)) {
                let is_reset = matches!(&conn.client, Some(Wire::Stream(stream)) if stream.is_reset());
                conn.session.handle_writable(Side::Client);
                if is_reset {
                    conn.session.handle_hangup(Side::Client);
                }
                return driver.drive(conn, Readable { client: true, backend: false });
            }
            let Some(Backend { link: Link { wire: Wire::Stream(stream), .. }, reach, .. }) = &conn.backend
            else {
                return driver.drive(conn, Readable::default());
            };
            if *reach != Reach::Stands {
                driver.decide_connect(conn);
                return driver.drive(conn, Readable::default());
            }
            if let Some(cause) = stream.unaskable() {
                driver.tell(conn, |session, env, effects| session.handle_unaskable(cause, env, effects));
                return driver.drive(conn, Readable::default());
            }
            let (is_reset, is_refused) = (stream.is_reset(), stream.is_refused());
            if is_refused {
                conn.session.handle_refused();
            }
            conn.session.handle_writable(Side::Backend);
            if is_reset {
                conn.session.handle_hangup(Side::Backend);
            }
            driver.drive(conn, Readable { client: false, backend: true })
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
        let is_client = matches!(mux.end, End::Client { .. });
        self.conns.end_multiplexer(key, closing, is_client);
        match &mux.end {
            End::Client { .. } => {
                self.ended += 1;
                if let Some(slot) = &self.load_slot {
                    slot.end();
                }
            }
            End::Backend(end) => self.multiplexers.carriers.forget(end.home, key),
        }
    }

    /// Serves the connections whose streams were touched by their sessions since the last call.
    pub(in crate::worker) fn serve_touched(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if self.multiplexers.carriers.touched.borrow().is_empty() {
                return;
            }
            let mut touched = std::mem::take(&mut self.multiplexers.touched);
            touched.append(&mut self.multiplexers.carriers.touched.borrow_mut());
            for key in touched.drain(..) {
                if let Some(mut mux) = self.take_multiplexer(key) {
                    let mut woken = std::mem::take(&mut self.multiplexers.woken);
                    if mux.has_unread() {
                        self.read_carrier(&mut mux, &mut woken);
                    }
                    self.go_on_with_streams(key, mux, woken);
                }
            }
            self.multiplexers.touched = touched;
        }
    }

    /// Puts the connections that carry streams into the poll array, and the quiet ones into the parked set.
    pub(in crate::worker) fn derive_multiplexers(&mut self, nearest: &mut Nearest) {
        if !self.multiplexers.carriers.touched.borrow().is_empty() {
            nearest.note(self.now);
        }
        self.multiplexers.carriers.begun(&mut self.multiplexers.hot);
        let now = self.now;
        let world = self.common.world(now, false);
        let (conns, parked, os, array) = (&mut self.conns, &mut self.parked, &mut self.os, &mut self.array);
        self.multiplexers.hot.retain(|key| {
            let Some(mux) = conns.multiplexer_mut(*key) else { return false };
            if mux.presence.parked_until().is_some() {
                return false;
            }
            let wait = View::Carrier(mux).derive(world, Some);
            if mux.presence.is_quiet(now)
                && let Some(until) = wait.until.filter(|_| wait.watch.is_some())
                && parked.park(os, &wait, *key)
            {
                mux.rest();
                mux.presence = Presence::Parked { until };
                parked.enter(until, *key);
                return false;
            }
            mux.presence.note_poll();
            array.wait(&wait, *key, nearest);
            true
        });
    }

    /// Has the connection of `key`, whose deadline has passed in the parked set, looked at with the others.
    pub(in crate::worker) fn wake_multiplexer(&mut self, key: Key) {
        if let Some(mux) = self.take_multiplexer(key) {
            mux.carrier.serve(false);
            self.conns.put_multiplexer(key, mux);
        }
    }

    /// Wakes all of them: they are to drain, or to be cut off.
    pub(in crate::worker) fn wake_multiplexers(&mut self) {
        let all: Vec<Key> = self.conns.multiplexers().collect();
        for key in all {
            self.wake_multiplexer(key);
        }
    }

    /// Lets the connections to the backend of `home` end once their streams are over: none opens any more.
    pub(in crate::worker) fn part_with_carriers(&mut self, home: Key) {
        self.multiplexers.carriers.forget_choice(home);
        for key in self.multiplexers.carriers.of_home(home).to_vec() {
            if let Some(mut mux) = self.take_multiplexer(key) {
                mux.machine.leave();
                let woken = std::mem::take(&mut self.multiplexers.woken);
                self.go_on_with_streams(key, mux, woken);
            }
        }
    }

    /// Closes those that are left behind the last client: they lead to backends.
    pub(in crate::worker) fn close_carriers(&mut self) {
        let all: Vec<Key> = self.conns.multiplexers().collect();
        for key in all {
            if let Some(mux) = self.take_multiplexer(key) {
                mux.carrier.serve(false);
                if let End::Backend(end) = &mux.end {
                    self.multiplexers.carriers.forget(end.home, key);
                }
                self.conns.end_multiplexer(key, None, false);
                mux.wire.close(&mut self.os);
            }
        }
    }

    /// Does what is due on the connections that carry streams.
    pub(in crate::worker) fn end_late_multiplexers(&mut self, is_cut_off: bool) {
        let hot = std::mem::take(&mut self.multiplexers.hot);
        for key in &hot {
            let now = self.now;
            let draining = self.common.draining_since;
            let Some(mux) = self.conns.multiplexer_mut(*key) else { continue };
            let drains = mux.drains_since(draining).is_some() && mux.drained.is_none();
            if !(is_cut_off || mux.deadline(draining) <= now) {
                continue;
            }
            let Some(mut mux) = self.take_multiplexer(*key) else { continue };
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
