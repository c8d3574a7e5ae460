//! The poll array of a turn: a view of the interests of all sessions and connections that are not parked.
//! Quiet ones are parked here.

use std::time::Duration;

use super::conn::{Conn, Stay, World};
use super::conns::Conns;
use super::derive::{View, Wait};
use super::parked::{EpollSet, QUIET, UNHEARD_MAX};
use super::storage::{ClientShare, Storage};
use super::{Token, Worker};
use crate::core::interest::{Interest, Ready};
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::os::{Fd, Os, Watch};
use crate::session::{Session, Side};
use crate::wire::Wire;

/// A session looks again after so long, if its client's address has as many bytes as it may.
const AGAIN: Duration = Duration::from_millis(50);

/// The array, with the owner of each entry.
#[derive(Debug, Default)]
pub(super) struct Array {
    pub(super) watches: Vec<Watch>,
    pub(super) tokens: Vec<Token>,
}

impl Array {
    fn clear(&mut self) {
        self.watches.clear();
        self.tokens.clear();
    }

    /// Puts the connection of `key` in, which waits for that.
    #[inline]
    pub(super) fn wait(&mut self, wait: &Wait, key: Key, nearest: &mut Nearest) {
        self.push_watched(wait, key);
        if let Some(at) = wait.until {
            nearest.note(at);
        }
    }

    /// Like [`Array::wait`], without the deadline.
    #[inline]
    fn push_watched(&mut self, wait: &Wait, key: Key) {
        if let Some((fd, want)) = wait.watch {
            self.push(fd, want, Token::Conn(key));
        }
    }

    pub(super) fn push(&mut self, fd: Fd, want: Interest, token: Token) {
        self.watches.push(Watch { fd, want, got: Ready::NONE });
        self.tokens.push(token);
    }
}

/// The earliest of some points in time.
#[derive(Default)]
pub(super) struct Nearest {
    at: Option<Time>,
}

impl Nearest {
    pub(super) fn note(&mut self, at: Time) {
        if self.at.is_none_or(|nearest| at < nearest) {
            self.at = Some(at);
        }
    }
}

impl<O: Os> Worker<O> {
    /// Builds the poll array; returns the nearest deadline.
    ///
    /// Idle backend connections and the parked set come before the sessions: one that its backend has just
    /// closed is not to be handed out to a session whose event comes behind.
    pub(super) fn derive(&mut self) -> Option<Time> {
        self.array.clear();
        let mut nearest = Nearest::default();
        if let Some(fd) = self.wake {
            self.array.push(fd, Interest::READ, Token::Wake);
        }
        self.derive_idle(&mut nearest);
        let world = self.common.world(self.now, false);
        if let Some(fd) = self.parked.fd() {
            self.array.push(fd, Interest::READ, Token::EpollSet);
        }
        derive_all(&mut self.array, &self.conns, self.checks.running(), world, &mut nearest);
        if let Some(at) = self.checks.nearest() {
            nearest.note(at);
        }
        self.derive_acceptors(&mut nearest);
        self.derive_sessions(&mut nearest);
        self.derive_handshakes(&mut nearest);
        self.derive_multiplexers(&mut nearest);
        let world = self.common.world(self.now, false);
        derive_all(&mut self.array, &self.conns, self.conns.closing(), world, &mut nearest);
        self.derive_room(&mut nearest);
        if let Some(at) = self.parked.nearest() {
            nearest.note(at);
        }
        if self.has_surplus() {
            nearest.note(self.storage.tidies_at());
        }
        if let Some(since) = self.common.draining_since {
            nearest.note(since + self.generation.snapshot.timeouts.drain);
        }
        nearest.at
    }

    fn derive_idle(&mut self, nearest: &mut Nearest) {
        let array = &mut self.array;
        let world = self.common.world(self.now, false);
        let watch = |key, wait: &Wait| array.push_watched(wait, key);
        let (conns, parked) = (&mut self.conns, &mut self.parked);
        if let Some(at) = self.idle.watch(&mut self.os, conns, parked, world, watch) {
            nearest.note(at);
        }
    }

    fn derive_acceptors(&mut self, nearest: &mut Nearest) {
        if !self.may_find_place(nearest) {
            return;
        }
        for (index, acceptor) in self.acceptors.iter().enumerate() {
            if acceptor.is_leaving() {
                // It is looked at in each turn: no new client comes, and its queue may be empty.
                if let Some(at) = acceptor.opens_at().filter(|at| *at > self.now) {
                    nearest.note(at);
                }
            } else if self.is_shut_for_tls(index) {
                // The end of a handshake is awaited, and each has one.
            } else if acceptor.is_open(self.now, self.ended) {
                self.array.push(acceptor.fd, Interest::READ, Token::Acceptor(index));
            } else if let Some(at) = acceptor.opens_at() {
                nearest.note(at);
            }
        }
    }

    fn derive_sessions(&mut self, nearest: &mut Nearest) {
        let now = self.now;
        let world = self.common.world(self.now, false);
        if self.storage.has_refused() && !self.hot.is_empty() {
            // Events come in the order of the array: another session shall be the first to find a free
            // buffer.
            self.hot.rotate_left(1);
        }
        let (conns, storage, eager) = (&mut self.conns, &mut self.storage, &mut self.eager);
        let client_bytes = self.client_bytes;
        let (parked, os, array) = (&mut self.parked, &mut self.os, &mut self.array);
        self.hot.retain(|key| {
            let Some(conn) = conns.served_mut(*key) else { return false };
            storage.open(conn.client_share(client_bytes));
            let more = conn.more();
            if more.into_iter().flatten().any(|side| conn.session.has_buffer(side) || storage.can_lend(side))
            {
                eager.push(*key);
            } else if more != [None, None] {
                // It waits for a buffer, and must not be parked: poll would not tell of what it has.
            } else if conn.is_quiet(now) {
                if park(os, parked, *key, conn, world) {
                    shrink(&mut conn.session, storage);
                    conn.settle();
                    conns.rest(*key);
                    return false;
                }
                conn.unheard = 0;
            }
            let watched = watch(array, storage, *key, conn, world, nearest);
            conn.unheard = if watched == Watched::All { conn.unheard.saturating_add(1) } else { 0 };
            if watched == Watched::AddressWaits {
                // Another worker may be the one that has its bytes back.
                nearest.note(now + AGAIN);
            }
            true
        });
        storage.open(ClientShare::OPEN);
    }
}

/// Puts connections into the array that are in it for as long as they live.
fn derive_all(array: &mut Array, conns: &Conns, keys: &[Key], world: World<'_>, nearest: &mut Nearest) {
    for key in keys {
        if let Some(view) = conns.view(*key) {
            array.wait(&view.derive(world, Some), *key, nearest);
        }
    }
}

/// The news that a session can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    /// All that it wants to know.
    All,
    /// There is no buffer to read into.
    BufferWaits,
    /// It waits for storage because its client's address has as many bytes as it may.
    AddressWaits,
}

/// Puts the connections of a session into the array, and says what it is told of.
fn watch(
    array: &mut Array,
    storage: &mut Storage,
    key: Key,
    conn: &mut Conn,
    world: World<'_>,
    nearest: &mut Nearest,
) -> Watched {
    let mut watched = Watched::All;
    let session = &conn.session;
    let mut affordable = |side, want| {
        let affordable = affordable(want, session, side, storage);
        if affordable != Some(want) {
            let is_address = storage.note_lack(side) || watched == Watched::AddressWaits;
            watched = if is_address { Watched::AddressWaits } else { Watched::BufferWaits };
        }
        affordable
    };
    let wait = View::Client(conn).derive(world, |want| affordable(Side::Client, want));
    array.wait(&wait, key, nearest);
    if let Some(backend) = &conn.backend {
        let wait = View::Backend(conn, backend).derive(world, |want| affordable(Side::Backend, want));
        array.wait(&wait, backend.link.key, nearest);
    }
    if watched != Watched::All && conn.backend.is_some() && !can_hear(&conn.session, storage) {
        conn.session.note_unread(world.now);
    }
    watched
}

/// Takes back what the buffers of a session do not need that will be quiet for a while.
fn shrink(session: &mut Session, storage: &mut Storage) {
    for side in [Side::Client, Side::Backend] {
        storage.shrink(&mut session.lane_from(side).buffer, true);
    }
}

/// Whether there is a buffer for what the backend sends.
fn can_hear(session: &Session, storage: &Storage) -> bool {
    session.has_buffer(Side::Backend) || storage.can_lend(Side::Backend)
}

/// The part of `want` that there are means for: without a buffer no session reads, and one that only reads
/// is left out of the array.
fn affordable(want: Interest, session: &Session, side: Side, storage: &Storage) -> Option<Interest> {
    if !want.has(Interest::READ) || session.has_buffer(side) || storage.can_lend(side) {
        return Some(want);
    }
    want.has(Interest::WRITE).then_some(Interest::WRITE)
}

/// Parks both connections of a session; false if that cannot be done. What was parked all the same does no
/// harm: its news comes once, and finds the session awake.
fn park<O: Os>(os: &mut O, parked: &mut EpollSet, key: Key, conn: &mut Conn, world: World<'_>) -> bool {
    if parked.fd().is_none() {
        return false;
    }
    let wait = View::Client(conn).derive(world, Some);
    let Some(until) = wait.until else { return false };
    if !parked.park(os, &wait, key) {
        return false;
    }
    if let Some(backend) = &conn.backend
        && !parked.park(os, &View::Backend(conn, backend).derive(world, Some), backend.link.key)
    {
        return false;
    }
    conn.session.rest();
    conn.stay = Stay::Parked { until };
    parked.enter(until, key);
    true
}

impl Conn {
    /// The sides that the session wants to read from, and that have something of which poll knows nothing.
    fn more(&self) -> [Option<Side>; 2] {
        let is_more = |wire: &Wire, side| wire.has_more() && self.session.wants_read(side);
        let client = self.client.as_ref().is_some_and(|wire| is_more(wire, Side::Client));
        let backend = self.backend.as_ref();
        let backend = backend.is_some_and(|backend| is_more(&backend.link.wire, Side::Backend));
        [client.then_some(Side::Client), backend.then_some(Side::Backend)]
    }

    /// Whether nothing has happened for so long, or for so many polls, that the session can be parked.
    fn is_quiet(&self, now: Time) -> bool {
        match self.stay {
            Stay::Hot { since } => {
                self.unheard >= UNHEARD_MAX || (now >= since + QUIET && now >= self.session.touched() + QUIET)
            }
            Stay::Parked { .. } => false,
        }
    }
}
