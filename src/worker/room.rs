//! Sessions that make room: a full worker admits a new client if another one can be closed.

use std::cmp::Reverse;
use std::net::SocketAddr;

use super::Worker;
use super::array::Nearest;
use super::driver::{Fate, Readable};
use super::generation::Generation;
use super::look::Look;
use crate::core::slab::Key;
use crate::os::{Fd, Os};
use crate::room::{ClientOrigin, Crowds, EvictionCandidate, EvictionQueue, Ground, Measure, Tally};
use crate::shared::clients::Counted;
use crate::snapshot::Limits;

/// The sessions that may make room, in order.
#[derive(Debug, Default)]
pub(super) struct Room {
    queue: EvictionQueue<Key>,
    tally: Tally<{ Ground::ALL.len() }>,
    refused: Tally<1>,
    /// In how many turns each measure was taken for want of buffers.
    short: Tally<{ Measure::ALL.len() }>,
    /// The client whose connection was refused last.
    refused_last: Option<SocketAddr>,
}

/// Whether a client may come in, as far as its address goes.
pub(super) enum Entry {
    /// Connections of its address are not counted.
    Free,
    /// They are, and this is one of them.
    Counted(Box<Counted>),
    /// They are, and there are as many as may be.
    Refused,
}

/// Where a client comes from, as far as that is known.
fn origin(client: Look<'_>) -> Option<ClientOrigin> {
    ClientOrigin::of(client.address().ip())
}

/// The size of the crowd to which a client belongs; 0 if to none. Proxies that are trusted stand for many
/// clients.
fn crowd(client: Look<'_>, crowds: &Crowds) -> usize {
    let size = origin(client).map_or(0, |origin| crowds.size(origin));
    let listener = client.generation().snapshot.listeners.get(client.listener());
    let is_trusted =
        || listener.is_some_and(|listener| listener.trusts(client.address().ip().to_canonical()));
    if size > 0 && is_trusted() { 0 } else { size }
}

impl<O: Os> Worker<O> {
    /// Whether there is a place for another client.
    pub(super) fn has_place(&self) -> bool {
        self.conns.clients() < self.sessions_max
    }

    /// Whether a client that waits before an acceptor is worth asking for.
    pub(super) fn may_find_place(&self, nearest: &mut Nearest) -> bool {
        if self.has_place() {
            return true;
        }
        let opens_at = self.room.queue.opens_at(self.now);
        if opens_at > self.now {
            nearest.note(opens_at);
        }
        opens_at <= self.now
    }

    /// Whether one more client may come in, because there is a place or because another session can make room
    /// for it. One that came in without a place leaves first: the bound is exceeded by one at most.
    pub(super) fn expects_place(&mut self) -> bool {
        if self.conns.clients() > self.sessions_max {
            self.make_places();
        }
        self.has_place()
            || (self.conns.clients() == self.sessions_max
                && (self.look_for_room() || self.has_late_handshake()))
    }

    /// Has sessions make room until there are no more clients than may be, if they can.
    pub(super) fn make_places(&mut self) {
        while self.conns.clients() > self.sessions_max && (self.make_room() || self.end_late_handshake()) {}
    }

    /// Has one session make room if descriptors ran out for a connection to a backend, which is asked for
    /// again in a moment.
    pub(super) fn make_descriptors(&mut self) {
        if std::mem::take(&mut self.lacks_descriptors) {
            self.make_room();
        }
    }

    /// Has one session make room; false if there is none that could.
    pub(super) fn make_room(&mut self) -> bool {
        while self.look_for_room() {
            if let Some(candidate) = self.room.queue.next(|_| true)
                && self.have_room_made(candidate)
            {
                return true;
            }
        }
        false
    }

    /// Whether there is a session that can make room. It is the next one of the queue then.
    fn look_for_room(&mut self) -> bool {
        let (queue, conns, now) = (&mut self.room.queue, &self.conns, self.now);
        if queue.wants_look(self.now) {
            let crowds = Crowds::among(conns.iter().filter_map(|(_, client)| origin(client)));
            let all = conns.iter().filter_map(|(key, client)| {
                let claim = client.claim(now)?;
                Some(EvictionCandidate { crowd: Reverse(crowd(client, &crowds)), claim, key })
            });
            queue.look(self.now, conns.sessions(), all);
        }
        let claim = |key| conns.look(key).and_then(|client| client.claim(now));
        queue.peek(|candidate| claim(candidate.key) == Some(candidate.claim)).is_some()
    }

    /// Ends the session of `candidate`, unless what has come of its client in the meantime is what was
    /// missing; true if it has ended.
    fn have_room_made(&mut self, candidate: EvictionCandidate<Key>) -> bool {
        let mut has_made = false;
        self.with(candidate.key, |driver, conn| {
            let mut fate = driver.drive(conn, Readable { client: true, backend: false });
            // An answer may go out before the end.
            for _ in 0..2 {
                let still = conn
                    .session
                    .claim(driver.env.now)
                    .is_some_and(|claim| claim.ground == candidate.claim.ground);
                if fate == Fate::Over || !(still || has_made) {
                    break;
                }
                has_made = true;
                driver.tell(conn, |session, env, effects| session.make_room(env, effects));
                fate = driver.drive(conn, Readable::default());
            }
            fate
        });
        if has_made {
            self.room.tally.note(candidate.claim.ground as usize);
        }
        has_made
    }

    /// Counts a client that comes by `listener`, if connections are counted by address, and says whether it
    /// may stay.
    pub(super) fn count_client(&self, client: SocketAddr, listener: usize, generation: &Generation) -> Entry {
        let snapshot = &generation.snapshot;
        let Some(origin) = ClientOrigin::of(client.ip()) else { return Entry::Free };
        let address = client.ip().to_canonical();
        // A proxy on this host stands for many, unless the operator says how many.
        let Limits { per_client, bytes_per_client, .. } = &snapshot.limits;
        let is_local = per_client.is_none() && bytes_per_client.is_none() && address.is_loopback();
        if is_local || snapshot.listeners[listener].trusts(address) {
            return Entry::Free;
        }
        let most = snapshot.limits.per_client();
        self.registry.clients().enter(origin, most).map_or(Entry::Refused, |it| Entry::Counted(Box::new(it)))
    }

    /// Closes the connection of a client whose address has as many as it may.
    pub(super) fn refuse_client(&mut self, fd: Fd, client: SocketAddr) {
        self.os.close(fd);
        self.room.refused.note(0);
        self.room.refused_last = Some(client);
    }

    /// Tells in the log how many have made room since the last time, if it is time for that; and how many
    /// were refused.
    pub(super) fn tell_of_room(&mut self) {
        if let Some([refused]) = self.room.refused.tell(self.now) {
            tracing::warn!(
                worker = self.share.worker,
                refused,
                last = self.room.refused_last.map(|client| client.ip().to_canonical().to_string()),
                "`limits.per_client` is reached: connections were closed because their addresses have as many as they may"
            );
        }
        self.tell_of_short();
        let Some(counts) = self.room.tally.tell(self.now) else { return };
        let [lingering, resting, left, unfinished, stalled, slow] = counts;
        tracing::warn!(
            worker = self.share.worker,
            lingering,
            resting,
            left,
            unfinished,
            stalled,
            slow,
            "`limits.sessions`, or the bound on descriptors, is reached: clients that were not being served made room for others"
        );
    }

    /// Logs what was done for want of buffers.
    fn tell_of_short(&mut self) {
        for (place, is_short) in self.storage.take_short().into_iter().enumerate() {
            if is_short {
                self.room.short.note(place);
            }
        }
        let Some([ration, bound, client]) = self.room.short.tell(self.now) else { return };
        tracing::warn!(
            worker = self.share.worker,
            ration,
            bound,
            client,
            "buffers are short: in so many turns of the loop slow clients had to do with less (ration), connections were not read from \
             because of `limits.buffers` (bound), or because of `limits.bytes_per_client` (client)"
        );
    }

    /// In how many turns each measure was taken for want of buffers.
    pub(super) fn short(&self) -> [u64; Measure::ALL.len()] {
        self.room.short.counts()
    }

    /// The number of clients that have made room, by ground.
    pub(super) fn made_room(&self) -> [u64; Ground::ALL.len()] {
        self.room.tally.counts()
    }

    /// The number of connections that were refused because their addresses had as many as they may.
    pub(super) fn refused(&self) -> u64 {
        let [refused] = self.room.refused.counts();
        refused
    }

    /// When the log is to be told next.
    pub(super) fn derive_room(&self, nearest: &mut Nearest) {
        [self.room.tally.due(), self.room.refused.due(), self.room.short.due()]
            .into_iter()
            .flatten()
            .for_each(|due| nearest.note(due));
    }
}
