//! A connection that speaks HTTP/2, to a client or to a backend: it carries streams, and each of them has a session.
//!
//! A session has its stream as a [`Wire::Stream`], and knows nothing of the connection that carries it. It reads
//! what the [bridge](crate::h2::bridge) makes of the frames that have come. What it says waits in that bridge until
//! the connection is served: in the turn in which it was read from, and otherwise before the next poll. So the
//! frames of many streams go out in one write, in the order of their priorities.

mod backend;
mod streams;
mod websocket;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::conn::{Conn, ListenerState};
use super::generation::Generation;
use super::parked::Presence;
use crate::core::interest::Interest;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::h2::bridge::{Inward, Outgoing, Outward};
use crate::h2::connection::{CannotSend, Connection, Incoming, NewResponse, Role};
use crate::h2::frame::ErrorCode;
use crate::os::{Fd, IoFault, Os};
use crate::session::Resting;
use crate::shared::clients::Counted;
use crate::wire::{Carrier, Hold, SpareStreams, Standing, StreamHandle, Touched, Wire};

use backend::BackendEnd;
pub(super) use streams::Multiplexers;

/// Bytes that are written to a connection at once.
const WRITTEN: usize = 64 * 1024;

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
    end: End,
    /// Ordered by their identities.
    streams: Vec<Stream>,
    /// The bytes that all of them hold.
    held: usize,
    carrier: Rc<Carrier>,
    spare: Rc<RefCell<SpareStreams>>,
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
    /// When a stream last began or ended.
    used: Time,
    /// When its drain began, if it has.
    drained: Option<Time>,
    /// When all was said and our direction ended. The client has a while from then on to take the last words:
    /// a close with unread input would be a reset, which overtakes them.
    lingers_since: Option<Time>,
    presence: Presence,
    /// Sessions that there is news for, and that had no turn.
    owed: Vec<Key>,
}

/// The peer.
#[derive(Debug)]
enum End {
    /// A client; each stream gets a session made of it.
    Client {
        origin: Resting,
        listener_state: ListenerState,
        /// Its count for the client's address, if addresses are counted.
        counted: Option<Box<Counted>>,
    },
    /// A backend.
    Backend(BackendEnd),
}

#[derive(Debug)]
struct Stream {
    /// The name of the stream between its session and the connection. It is its number at a client's; at a backend's
    /// the number is known once the request has gone out.
    id: u32,
    number: u32,
    session: Key,
    handle: StreamHandle,
    /// It is an extended CONNECT (RFC 8441).
    is_connect: bool,
    /// The bytes of it in [`Multiplexer::held`].
    held: usize,
    /// The request is a HEAD.
    is_head: bool,
    /// The peer has taken the stream back behind a whole response: nothing can be sent on it any more.
    is_deaf: bool,
}

impl Multiplexer {
    /// Makes a carrier of a served client; `None` if that client has no connection any more.
    pub(super) fn new(
        conn: Conn,
        key: Key,
        touched: &Touched,
        spare: &Rc<RefCell<SpareStreams>>,
        now: Time,
    ) -> Option<Multiplexer> {
        let Conn { session, client, generation, listener_state, counted, .. } = conn;
        let wire = client?;
        let machine = Connection::new(Role::Server, Arc::clone(&generation.http2), now);
        let end = End::Client { origin: session.into_carrier(), listener_state, counted };
        let carrier = Rc::new(Carrier::new(wire.fd(), key, Rc::clone(touched)));
        Some(Multiplexer::of(wire, machine, end, (carrier, Rc::clone(spare)), generation, now))
    }

    /// One without streams, of which nothing was read or written.
    fn of(
        wire: Wire,
        machine: Connection,
        end: End,
        (carrier, spare): (Rc<Carrier>, Rc<RefCell<SpareStreams>>),
        generation: Rc<Generation>,
        now: Time,
    ) -> Multiplexer {
        Multiplexer {
            wire,
            machine,
            end,
            streams: Vec::new(),
            held: 0,
            carrier,
            spare,
            pending: Vec::new(),
            written: 0,
            is_blocked: false,
            has_ended: false,
            is_lost: false,
            generation,
            used: now,
            drained: None,
            lingers_since: None,
            presence: Presence::hot(now),
            owed: Vec::new(),
        }
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.streams.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    /// The identity of a stream that the machine calls by `number` and by the `token` that it was given.
    fn id_of(&self, number: u32, token: u64) -> u32 {
        match self.end {
            End::Client { .. } => number,
            End::Backend(_) => token as u32,
        }
    }

    /// Whether bytes wait to be written.
    fn has_output(&self) -> bool {
        self.written < self.pending.len() || !self.machine.output().is_empty()
    }

    /// Its descriptor, and what to ask poll about it; `None` if nothing waits on it.
    pub(super) fn watch(&self) -> Option<(Fd, Interest)> {
        if let Some(want) = self.connecting_interest() {
            return Some((self.wire.fd(), want));
        }
        let want = self.wire.watch(Some(self.interest())).filter(|want| *want != Interest::NONE);
        want.map(|want| (self.wire.fd(), want))
    }

    fn wants_read(&self) -> bool {
        (self.machine.wants_read() || self.lingers_since.is_some()) && !self.has_ended
    }

    /// Whether bytes wait to be read of which poll does not know.
    fn has_unread(&self) -> bool {
        self.wire.has_more() && self.wants_read() && !self.is_lost
    }

    fn interest(&self) -> Interest {
        let reads = self.wants_read();
        let want = if reads { Interest::READ } else { Interest::NONE };
        want.with_if(Interest::WRITE, self.has_output() || self.is_blocked)
    }

    /// When something is due if nothing comes before; `draining_since` is when the worker's drain began.
    pub(super) fn deadline(&self, draining_since: Option<Time>) -> Time {
        let drain = self.drains_since(draining_since).filter(|_| self.drained.is_none());
        let timeouts = &self.generation.snapshot.timeouts;
        if let Some(until) = self.connecting_until() {
            return until;
        }
        let idle = self.streams.is_empty().then(|| self.used + self.idle_timeout());
        let last_call = self.drained.map(|at| at + LAST_CALL).filter(|_| !self.machine.is_finished());
        let closing =
            self.machine.is_finished().then(|| self.lingers_since.unwrap_or(self.used) + timeouts.linger);
        let all = [self.machine.deadline(), drain, idle, last_call, closing, self.ping_due(), self.retires()];
        all.into_iter().flatten().min().unwrap_or(self.used + LOOK_AGAIN)
    }

    /// The time for which it may carry no stream.
    fn idle_timeout(&self) -> Duration {
        let timeouts = &self.generation.snapshot.timeouts;
        match self.end {
            End::Client { .. } => timeouts.client_idle,
            End::Backend(_) => timeouts.backend_idle,
        }
    }

    /// Takes what an exchange has done with its stream, and offers what it has to say.
    fn serve(&mut self, id: u32, now: Time, woken: &mut Vec<Key>) {
        let Some(place) = self.find(id) else { return };
        if let End::Backend(_) = self.end {
            return self.serve_request(place, now, woken);
        }
        let Stream { number, session, ref handle, is_connect, .. } = self.streams[place];
        let hold = handle.look();
        if hold == Hold::Reset {
            // RFC 8441 §5.1 has CANCEL for the reset of a tunnel.
            let code = if is_connect { ErrorCode::CANCEL } else { ErrorCode::INTERNAL_ERROR };
            self.machine.reset(number, code);
            self.drop_stream(place, now);
            return;
        }
        let (machine, handle) = (&mut self.machine, handle.clone());
        if handle.outward(|outward| speak(machine, number, outward, now)).is_err() {
            // A part of the answer has gone out, and must not look like the whole.
            self.machine.reset(number, ErrorCode::INTERNAL_ERROR);
            handle.inward(Inward::reset);
            woken.push(session);
            drop(handle);
            self.drop_stream(place, now);
            return;
        }
        let is_tunnel = is_connect && handle.outward(|outward| outward.has_switched());
        if is_tunnel && handle.inward(Inward::open_tunnel) {
            woken.push(session);
        }
        // The backend may end its direction of a tunnel before the client ends the other one.
        if handle.outward(|outward| outward.is_over()) && !(is_tunnel && hold == Hold::Held) {
            if !handle.inward(|inward| inward.is_whole()) {
                self.machine.linger(now, number, DROPPED_MAX);
            }
            handle.inward(Inward::close);
            if hold == Hold::Held {
                woken.push(session);
            }
            drop(handle);
            self.drop_stream(place, now);
            return;
        }
        let room = handle.inward(|inward| inward.room(AHEAD));
        self.count_stream(place);
        self.machine.grant(number, u32::try_from(room).unwrap_or(u32::MAX), AHEAD as u32);
    }

    /// Counts what the stream at `place` holds now.
    fn count_stream(&mut self, place: usize) {
        let stream = &mut self.streams[place];
        let held = stream.handle.held();
        self.held = self.held - stream.held + held;
        stream.held = held;
    }

    fn drop_stream(&mut self, place: usize, now: Time) {
        let Stream { held, handle, .. } = self.streams.remove(place);
        self.held -= held;
        self.spare.borrow_mut().keep(handle);
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
            let id = self.id_of(piece.stream, piece.token);
            let Some(place) = self.find(id) else {
                // Half a frame must not go out.
                self.is_lost = true;
                return;
            };
            self.pending.extend_from_slice(&piece.head);
            let Stream { session, ref handle, .. } = self.streams[place];
            let length = piece.length as usize;
            handle.outward(|outward| {
                self.pending.extend_from_slice(&outward.body()[..length]);
                outward.send(length, piece.ends_stream);
            });
            if handle.take_blocked() {
                woken.push(session);
            }
            self.serve(id, now, woken);
        }
    }

    /// Gives memory back while nothing happens.
    fn rest(&mut self) {
        self.machine.rest();
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        self.streams.shrink_to_fit();
        self.owed.shrink_to_fit();
        self.carrier.rest();
    }

    /// Counts the bytes that the connection holds now for its client's address.
    fn settle(&mut self) {
        if let End::Client { counted: Some(counted), .. } = &mut self.end {
            counted.settle(self.machine.capacity() + self.pending.capacity() + self.held);
        }
    }

    /// Tells all exchanges that their client, or their backend, has gone, if it has.
    fn lose_if_over(&mut self, woken: &mut Vec<Key>) {
        if !(self.is_lost || self.machine.error().is_some()) {
            return;
        }
        while self.machine.lose().is_some() {}
        self.held = 0;
        let failure = self.failure();
        for stream in self.streams.drain(..) {
            if let Some(cause) = failure {
                stream.handle.stand(Standing::Failed(cause));
            }
            match stream.number {
                // Nothing of it has gone out.
                0 => stream.handle.refuse(),
                _ => stream.handle.inward(Inward::reset),
            }
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

    /// Does what is due at `now`.
    fn expire(&mut self, drains: bool, now: Time, woken: &mut Vec<Key>) {
        while let Ok(Some(incoming)) = self.machine.expire(now) {
            if let Incoming::Reset { stream, token, .. } = incoming {
                let id = self.id_of(stream, token);
                tell(self, id, woken, Inward::reset);
                if let Some(place) = self.find(id) {
                    self.drop_stream(place, now);
                }
            }
        }
        if drains {
            self.machine.drain();
            self.drained = Some(now);
        }
        self.give_up_connecting(now);
        if self.ping_due().is_some_and(|due| due <= now) {
            self.machine.ping(now);
        }
        let timeouts = &self.generation.snapshot.timeouts;
        let is_idle = self.streams.is_empty() && self.used + self.idle_timeout() <= now;
        let is_old = self.retires().is_some_and(|retires| retires <= now);
        if is_idle || is_old || self.drained.is_some_and(|at| at + LAST_CALL <= now) {
            self.machine.leave();
        }
        // The peer takes nothing, not even the last words.
        if self.machine.is_finished() && self.is_blocked && self.used + timeouts.linger <= now {
            self.is_lost = true;
        }
    }

    /// Moves it to the latest generation; `listener_state` says how listeners stand there.
    pub(super) fn renew(
        &mut self,
        latest: &Rc<Generation>,
        listener_state: impl Fn(ListenerState) -> ListenerState,
    ) {
        let End::Client { origin, listener_state: state, .. } = &mut self.end else { return };
        *state = listener_state(*state);
        if let ListenerState::At(listener) = *state {
            self.generation = Rc::clone(latest);
            origin.move_to(listener);
        }
    }

    /// Since when it is to end, if it is.
    fn drains_since(&self, worker: Option<Time>) -> Option<Time> {
        match &self.end {
            End::Client { listener_state: ListenerState::Gone { since }, .. } => Some(*since),
            End::Client { listener_state: ListenerState::At(_), .. } => worker,
            // Its streams end with their exchanges.
            End::Backend(_) => None,
        }
    }
}

/// Says what an exchange has to say on the stream of a client.
fn speak(machine: &mut Connection, number: u32, outward: &mut Outward, now: Time) -> Result<(), ()> {
    while outward.awaits_head() {
        match outward.next_outgoing().map_err(drop)? {
            Some(Outgoing::Head { status, length, ends }) => {
                let head = NewResponse { status, block: outward.block(), length, ends_stream: ends };
                machine.respond(now, number, head).map_err(drop)?;
            }
            None => return Ok(()),
            Some(Outgoing::Request { .. } | Outgoing::Data { .. } | Outgoing::Trailers) => return Err(()),
        }
    }
    speak_body(machine, number, outward, now)
}

/// Says what an exchange has to say behind its head.
fn speak_body(machine: &mut Connection, number: u32, outward: &mut Outward, now: Time) -> Result<(), ()> {
    while let Some(outgoing) = outward.next_outgoing().map_err(drop)? {
        match outgoing {
            Outgoing::Data { ends } => {
                let waiting = u32::try_from(outward.body().len()).unwrap_or(u32::MAX);
                machine.offer(now, number, waiting, ends).map_err(drop)?;
                return Ok(());
            }
            Outgoing::Trailers => match machine.trailers(now, number, outward.block()) {
                // The peer has said that it takes no such list; the body is whole without it.
                Err(CannotSend::TooLarge) => machine.offer(now, number, 0, true).map_err(drop)?,
                said => said.map_err(drop)?,
            },
            Outgoing::Head { .. } | Outgoing::Request { .. } => return Err(()),
        }
    }
    Ok(())
}

/// Tells the exchange of the stream `id` what the peer says.
fn tell(mux: &mut Multiplexer, id: u32, woken: &mut Vec<Key>, say: impl FnOnce(&mut Inward)) {
    let Some(place) = mux.find(id) else { return };
    mux.streams[place].handle.inward(say);
    mux.count_stream(place);
    let stream = &mux.streams[place];
    if woken.last() != Some(&stream.session) {
        woken.push(stream.session);
    }
}
