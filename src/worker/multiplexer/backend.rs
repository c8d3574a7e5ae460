//! Connections to backends: how they are made, how requests get their streams, and what the backend says of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::websocket::accept_of;
use super::{End, Multiplexer, Stream, speak_body, tell};
use crate::core::interest::Interest;
use crate::core::outcome::Cause;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::h2::ALPN;
use crate::h2::bridge::{Inward, Outgoing, Outward};
use crate::h2::connection::{CannotOpen, Connection, Incoming, NewRequest, Role, WhyReset};
use crate::h2::frame::ErrorCode;
use crate::message::BodyLength;
use crate::os::Os;
use crate::shared::pools::Slot;
use crate::snapshot::{BackendId, BackendProtocol};
use crate::tls::failure;
use crate::wire::{Broken, Carrier, Hold, Shaken, SpareStreams, Standing, StreamWire, Touched, Wire};
use crate::worker::carriers::Dialled;
use crate::worker::conn::Reach;
use crate::worker::dial;
use crate::worker::link::retirement;

/// A backend that has said nothing for so long, with requests under way, is asked whether it is there; for half
/// of `timeouts.backend_response`, if that is shorter.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// The facts of a connection that leads to a backend.
#[derive(Debug)]
pub(super) struct BackendEnd {
    /// The backend, in the generation of the connection.
    id: BackendId,
    pub(super) home: Key,
    /// Counts one connection of the backend, until it is dropped.
    slot: Slot,
    reach: Reach,
    began: Time,
    /// When it takes no further stream: `max_age` of its pool.
    retires: Option<Time>,
    /// When something last came.
    heard: Time,
    /// Why it could not be made.
    failure: Option<Cause>,
    /// The backend had the choice, and has chosen HTTP/1.1.
    is_http1: bool,
    /// Its settings have come.
    has_settings: bool,
    /// The identity of the last stream. It is the number of exchanges so far, too.
    last: u32,
    /// Streams that have no number yet.
    unopened: u32,
    /// Whether it had room for one more when that was last looked at.
    had_room: bool,
}

impl Multiplexer {
    /// A connection that is being made over `wire`, of `key`.
    pub(in crate::worker) fn to_backend(
        dialled: Dialled,
        wire: Wire,
        key: Key,
        (touched, spare): (&Touched, &Rc<RefCell<SpareStreams>>),
        now: Time,
    ) -> Multiplexer {
        let Dialled { generation, id, home, slot, reach } = dialled;
        let carrier = Rc::new(Carrier::new(wire.fd(), key, Rc::clone(touched)));
        let (failure, began, heard) = (None, now, now);
        let retires = generation.snapshot.pool(id.pool).max_age.map(|age| retirement(age, key, now));
        let end = BackendEnd {
            id,
            home,
            slot,
            reach,
            began,
            retires,
            heard,
            failure,
            is_http1: false,
            has_settings: false,
            last: 0,
            unopened: 0,
            had_room: true,
        };
        let machine = Connection::new(Role::Client, Arc::clone(&generation.http2_backend), now);
        let is_blocked = reach != Reach::Stands;
        Multiplexer {
            is_blocked,
            ..Multiplexer::of(wire, machine, End::Backend(end), (carrier, Rc::clone(spare)), generation, now)
        }
    }

    /// Whether it takes one more stream.
    pub(in crate::worker) fn has_room(&self) -> bool {
        let End::Backend(end) = &self.end else { return false };
        let most = self.generation.snapshot.pool(end.id.pool).max_reuse.unwrap_or(u32::MAX);
        let is_leaving = self.is_lost || self.has_ended || end.failure.is_some() || end.last >= most;
        !is_leaving && self.machine.free_streams() > end.unopened
    }

    /// Whether the backend is known to take an extended CONNECT.
    pub(in crate::worker) fn takes_connect(&self) -> bool {
        self.machine.peer().connect
    }

    /// Calls the request that waits longest for a backend, if there is room now and there was none before. The
    /// end of an exchange called one already, but its stream may be over only later.
    pub(super) fn note_room(&mut self) {
        let has_room = self.has_room();
        let End::Backend(end) = &mut self.end else { return };
        if has_room && !end.had_room {
            self.generation.pools.pool(end.id.pool).queue().release();
        }
        end.had_room = has_room;
    }

    /// A stream for the exchange of `session`, and how far the connection is.
    pub(in crate::worker) fn join(&mut self, session: Key, now: Time) -> (StreamWire, Reach) {
        let is_encrypted = !self.wire.is_plain();
        let (inward, outward) = (Inward::new(BodyLength::Empty, false), Outward::of_request(is_encrypted));
        let End::Backend(end) = &mut self.end else { unreachable!("only backends are joined") };
        end.last += 1;
        end.unopened += 1;
        let (wire, handle) = self.spare.borrow_mut().begin(end.last, &self.carrier, inward, outward);
        if end.reach != Reach::Stands {
            handle.stand(Standing::Awaited);
        }
        let (id, reach) = (end.last, end.reach);
        self.streams.push(Stream {
            id,
            number: 0,
            session,
            handle,
            is_head: false,
            is_deaf: false,
            is_connect: false,
            held: 0,
        });
        self.used = now;
        self.note_room();
        (wire, reach)
    }

    /// The events to ask poll about while the connection is being made.
    pub(super) fn connecting_interest(&self) -> Option<Interest> {
        let End::Backend(end) = &self.end else { return None };
        match (end.reach, &self.wire) {
            (Reach::Stands, _) => None,
            (Reach::Handshaking, Wire::Tls(tls)) => Some(tls.handshake_interest()),
            (Reach::Connecting | Reach::Handshaking, _) => Some(Interest::WRITE),
        }
    }

    /// When it has to stand, while it does not.
    pub(super) fn connecting_until(&self) -> Option<Time> {
        let End::Backend(end) = &self.end else { return None };
        (end.reach != Reach::Stands).then(|| end.began + self.generation.snapshot.timeouts.connect)
    }

    /// Takes note that something has come.
    pub(super) fn note_heard(&mut self, now: Time) {
        if let End::Backend(end) = &mut self.end {
            end.heard = now;
        }
    }

    /// When a backend that is silent is to be asked whether it is there. A connection that is dead without a word
    /// would take requests until TCP gives it up.
    pub(super) fn ping_due(&self) -> Option<Time> {
        let End::Backend(end) = &self.end else { return None };
        let quiet = QUIET_MAX.min(self.generation.snapshot.timeouts.backend_response / 2);
        let is_meant = !self.streams.is_empty() && !self.machine.awaits_pong();
        is_meant.then(|| end.heard + quiet)
    }

    /// When it takes no further stream, while it takes some.
    pub(super) fn retires(&self) -> Option<Time> {
        let End::Backend(end) = &self.end else { return None };
        end.retires.filter(|_| !self.machine.is_leaving())
    }

    /// Why it could not be made.
    pub(super) fn failure(&self) -> Option<Cause> {
        let End::Backend(end) = &self.end else { return None };
        end.failure
    }

    /// Gives it up if it has not come to stand in time.
    pub(super) fn give_up_connecting(&mut self, now: Time) {
        if self.connecting_until().is_some_and(|until| until <= now) {
            self.fail_to_connect(Cause::BackendConnectTimeout);
        }
    }

    fn fail_to_connect(&mut self, cause: Cause) {
        if let End::Backend(end) = &mut self.end {
            end.failure = Some(cause);
        }
        self.is_lost = true;
    }

    /// Finds out how far the connection is that is being made, now that poll has reported on it; true once it
    /// is decided.
    pub(super) fn go_on_connecting<O: Os>(&mut self, os: &mut O, now: Time) -> bool {
        let End::Backend(end) = &mut self.end else { return true };
        if end.reach == Reach::Connecting {
            if let Err(fault) = os.so_error(self.wire.fd()) {
                self.fail_to_connect(dial::cause_of(Some(fault)));
                return true;
            }
            self.generation.meters.note_connected(end.id, now.since(end.began));
            end.slot.backend().note_connect(true);
            end.reach = if self.wire.is_plain() { Reach::Stands } else { Reach::Handshaking };
        }
        if end.reach == Reach::Handshaking
            && let Wire::Tls(tls) = &mut self.wire
        {
            match tls.shake(os) {
                Shaken::Waits => return false,
                Shaken::Done if tls.tls_info().protocol == ALPN => end.reach = Reach::Stands,
                Shaken::Done
                    if self.generation.snapshot.pool(end.id.pool).spoken() == BackendProtocol::Auto =>
                {
                    end.is_http1 = true;
                }
                Shaken::Done => {
                    tracing::debug!("a backend does not agree on HTTP/2");
                    self.fail_to_connect(Cause::BackendTlsFailed);
                    return true;
                }
                Shaken::Failed(Broken::Gone) => {
                    self.fail_to_connect(Cause::BackendTlsFailed);
                    return true;
                }
                Shaken::Failed(Broken::Refused(error)) => {
                    tracing::debug!(%error, "a TLS handshake with a backend failed");
                    self.fail_to_connect(failure::of_backend(&error));
                    return true;
                }
            }
        }
        self.is_blocked = false;
        true
    }

    /// Whether it has come to stand as a connection of HTTP/1.1.
    pub(super) fn is_http1(&self) -> bool {
        matches!(&self.end, End::Backend(end) if end.is_http1)
    }

    /// Takes apart a connection that [speaks HTTP/1.1](Self::is_http1): the home and the slot of its backend, its
    /// wire, and the sessions that wait on it.
    pub(super) fn into_http1(self) -> Option<(Key, Slot, Wire, Vec<Key>)> {
        let End::Backend(BackendEnd { home, slot, .. }) = self.end else { return None };
        let waiting = self.streams.into_iter().filter(|stream| stream.handle.look() == Hold::Held);
        let sessions = waiting.map(|stream| {
            stream.handle.stand(Standing::Http1);
            stream.session
        });
        Some((home, slot, self.wire, sessions.collect()))
    }

    /// Tells the exchanges that wait on it that it stands.
    pub(super) fn announce_standing(&self, woken: &mut Vec<Key>) {
        for stream in &self.streams {
            stream.handle.stand(Standing::Stands);
            woken.push(stream.session);
        }
    }

    /// Takes what an exchange has done with its stream, and offers what it has to say.
    pub(super) fn serve_request(&mut self, place: usize, now: Time, woken: &mut Vec<Key>) {
        let Stream { id, number, ref handle, is_deaf, .. } = self.streams[place];
        let handle = handle.clone();
        if handle.look() != Hold::Held {
            // Nothing happens to a stream that is over in both directions.
            self.machine.reset(number, ErrorCode::CANCEL);
            drop(handle);
            self.drop_request(place, now);
            return;
        }
        if is_deaf || !self.open_request(place, now, woken) {
            return;
        }
        let Some(place) = self.find(id) else { return };
        let number = self.streams[place].number;
        if handle.outward(|outward| speak_body(&mut self.machine, number, outward, now)).is_err() {
            self.machine.reset(number, ErrorCode::CANCEL);
            self.fail_stream(place, now, woken);
            return;
        }
        let room = handle.inward(|inward| inward.room(super::AHEAD));
        self.machine.grant(number, u32::try_from(room).unwrap_or(u32::MAX), super::AHEAD as u32);
    }

    /// Sends the head of a request, which opens its stream; whether it is open.
    fn open_request(&mut self, place: usize, now: Time, woken: &mut Vec<Key>) -> bool {
        let Stream { id, number, ref handle, .. } = self.streams[place];
        let End::Backend(end) = &mut self.end else { return false };
        if number > 0 {
            return true;
        }
        let handle = handle.clone();
        // A backend that has closed reads nothing any more, and poll is not asked about it again.
        if self.machine.is_leaving() || self.has_ended {
            handle.refuse();
            woken.push(self.streams[place].session);
            self.drop_request(place, now);
            return false;
        }
        // It keeps its place until the backend allows one more.
        if end.reach != Reach::Stands || self.machine.free_streams() == 0 {
            return false;
        }
        let (machine, has_settings) = (&mut self.machine, end.has_settings);
        let opened = handle.outward(|outward| match outward.next_outgoing() {
            Ok(Some(Outgoing::Request { is_connect: true, .. })) if !has_settings => {
                outward.put_back_connect();
                Ok(None)
            }
            Ok(Some(Outgoing::Request { is_connect: true, .. })) if !machine.peer().connect => {
                Err(Some(Cause::BackendNoWebsocket))
            }
            Ok(Some(Outgoing::Request { length, ends, is_head, is_connect })) => {
                let block = outward.block();
                let request = NewRequest {
                    block,
                    length,
                    ends_stream: ends,
                    is_head,
                    is_connect,
                    token: u64::from(id),
                };
                match machine.open(now, request) {
                    Ok(number) => Ok(Some((number, is_head, is_connect))),
                    Err(CannotOpen::TooLarge) => Err(Some(Cause::HeadTooLongForBackend)),
                    Err(CannotOpen::Full | CannotOpen::Leaving) => Err(None),
                }
            }
            Ok(None) => Ok(None),
            Ok(Some(_)) | Err(_) => Err(None),
        });
        match opened {
            Ok(Some((number, is_head, is_connect))) => {
                end.unopened -= 1;
                let stream = &mut self.streams[place];
                (stream.number, stream.is_head, stream.is_connect) = (number, is_head, is_connect);
                true
            }
            Ok(None) => false,
            Err(why) => {
                if let Some(cause) = why {
                    handle.turn_down(cause);
                }
                self.fail_stream(place, now, woken);
                false
            }
        }
    }

    /// Lets the requests go out that have waited for room.
    pub(super) fn open_waiting(&mut self, now: Time, woken: &mut Vec<Key>) {
        let End::Backend(end) = &self.end else { return };
        if end.unopened == 0 || (self.machine.free_streams() == 0 && !self.machine.is_leaving()) {
            return;
        }
        let mut last = 0;
        while let Some(id) = self.next_unopened(last) {
            self.serve(id, now, woken);
            last = id;
        }
    }

    /// The first stream behind `last` that has no number yet.
    fn next_unopened(&self, last: u32) -> Option<u32> {
        let start = self.streams.partition_point(|stream| stream.id <= last);
        self.streams[start..].iter().find(|stream| stream.number == 0).map(|stream| stream.id)
    }

    fn fail_stream(&mut self, place: usize, now: Time, woken: &mut Vec<Key>) {
        self.streams[place].handle.inward(Inward::reset);
        woken.push(self.streams[place].session);
        self.drop_request(place, now);
    }

    fn drop_request(&mut self, place: usize, now: Time) {
        if let End::Backend(end) = &mut self.end
            && self.streams[place].number == 0
        {
            end.unopened -= 1;
        }
        self.drop_stream(place, now);
    }

    /// Takes what a backend says.
    pub(super) fn take_response(&mut self, incoming: &Incoming<'_>, now: Time, woken: &mut Vec<Key>) {
        match *incoming {
            Incoming::Response { token, ref head, fields, ends_stream, .. } => {
                let id = token as u32;
                if let Some(place) = self.find(id)
                    && self.streams[place].is_connect
                    && (200..300).contains(&head.status)
                {
                    let accept =
                        self.streams[place].handle.outward(|outward| accept_of(outward.socket_key()));
                    return tell(self, id, woken, |inward| inward.switch(fields, &accept, ends_stream));
                }
                let is_head = self.find(id).is_some_and(|place| self.streams[place].is_head);
                tell(self, id, woken, |inward| inward.head(head, fields, ends_stream, is_head));
            }
            Incoming::Data { token, bytes, .. } => {
                tell(self, token as u32, woken, |inward| inward.data(bytes));
            }
            Incoming::End { token, .. } => tell(self, token as u32, woken, |inward| inward.end(None)),
            Incoming::Trailers { token, fields, .. } => {
                tell(self, token as u32, woken, |inward| inward.end(Some(fields)));
            }
            Incoming::Reset { token, why, .. } => {
                let Some(place) = self.find(token as u32) else { return };
                match why {
                    WhyReset::PeerAfterEnd => self.streams[place].is_deaf = true,
                    WhyReset::Unprocessed => {
                        self.streams[place].handle.refuse();
                        woken.push(self.streams[place].session);
                        self.drop_request(place, now);
                    }
                    WhyReset::Peer
                    | WhyReset::Malformed(_)
                    | WhyReset::TooLarge
                    | WhyReset::Length
                    | WhyReset::Order
                    | WhyReset::FrameSize
                    | WhyReset::Window
                    | WhyReset::Surplus
                    | WhyReset::Stalled => self.fail_stream(place, now, woken),
                }
            }
            Incoming::Settings => {
                if let End::Backend(end) = &mut self.end {
                    end.has_settings = true;
                }
                self.open_waiting(now, woken);
            }
            Incoming::GoAway { .. } => self.open_waiting(now, woken),
            Incoming::Pong { .. }
            | Incoming::Request { .. }
            | Incoming::TooLarge { .. }
            | Incoming::Malformed { .. }
            | Incoming::Refused { .. } => {}
        }
    }
}
