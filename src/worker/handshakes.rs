//! Clients whose TLS handshakes are under way. They have no session yet: that begins when bytes can pass.
//!
//! Handshakes are what a stranger can make Pollux work hardest with, so they are bounded twice: only so many are under way at once (then
//! the doors behind which there is TLS stay shut), and only so many go on in one turn, so that those who have come in before are served
//! between them.

use std::net::SocketAddr;
use std::rc::Rc;

use super::array::Nearest;
use super::edition::Edition;
use super::hands::{Readable, Standing, World};
use super::{Token, Worker};
use crate::core::outcome::Cause;
use crate::core::slab::{Key, Slab};
use crate::core::time::Time;
use crate::os::{Fd, Os};
use crate::session::Session;
use crate::tls::failure;
use crate::wire::{Broken, Shaken, TlsWire, Wire};

/// Steps of handshakes in one turn. A step that signs takes a good part of a millisecond.
const STEPS_MAX: usize = 4;

/// A client on its way in.
#[derive(Debug)]
pub(super) struct Handshake {
    wire: Box<TlsWire>,
    client: SocketAddr,
    listener: usize,
    pub(super) edition: Rc<Edition>,
    pub(super) standing: Standing,
    until: Time,
}

impl Handshake {
    /// Moves it to another edition, in which it stands like that.
    pub(super) fn move_to(&mut self, edition: &Rc<Edition>, standing: Standing) {
        self.standing = standing;
        if let Standing::At(listener) = standing {
            (self.listener, self.edition) = (listener, Rc::clone(edition));
        }
    }
}

/// The handshakes of a worker.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    under_way: Slab<Handshake>,
    /// How many may be.
    most: usize,
    /// Steps that may still be made in this turn.
    steps: usize,
}

impl Handshakes {
    pub(super) fn new(most: usize) -> Handshakes {
        Handshakes { under_way: Slab::default(), most, steps: STEPS_MAX }
    }

    /// From now on so many may be under way.
    pub(super) fn adapt(&mut self, most: usize) {
        self.most = most;
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= self.most
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Handshake> {
        self.under_way.iter_mut().map(|(_, handshake)| handshake)
    }
}

impl<O: Os> Worker<O> {
    /// Begins the handshake of a client that has come by a listener with TLS.
    pub(super) fn begin_handshake(
        &mut self,
        fd: Fd,
        client: SocketAddr,
        listener: usize,
        standing: Standing,
        edition: Rc<Edition>,
    ) {
        let rules = edition.snapshot.listeners[listener].tls.as_ref();
        let Some(wire) = rules.and_then(|rules| TlsWire::of_client(fd, rules.server()).ok()) else {
            return self.os.close(fd);
        };
        let until = self.now + edition.snapshot.timeouts.handshake;
        let wire = Box::new(wire);
        let key =
            self.handshakes.under_way.insert(Handshake { wire, client, listener, edition, standing, until });
        if let Some(seat) = &self.seat {
            seat.begin();
        }
        // Most clients have spoken by now.
        self.go_on_with(key);
    }

    /// Puts the handshakes into the poll array.
    pub(super) fn derive_handshakes(&mut self, nearest: &mut Nearest) {
        self.handshakes.steps = STEPS_MAX;
        let count = self.handshakes.len();
        if count == 0 {
            return;
        }
        // Those that had to wait in the last turn are not always the same.
        let from = usize::try_from(self.turn).unwrap_or(0) % count;
        let all = || self.handshakes.under_way.iter();
        for (key, handshake) in all().skip(from).chain(all().take(from)) {
            self.array.push(handshake.wire.fd(), handshake.wire.shakes_for(), Token::Handshake(key));
            nearest.note(handshake.until);
        }
    }

    /// Lets a handshake of which poll has news go on, if it is not too many of them for this turn: then the next poll says it again.
    pub(super) fn go_on_with(&mut self, key: Key) {
        if self.handshakes.steps == 0 {
            return;
        }
        self.handshakes.steps -= 1;
        let Some(handshake) = self.handshakes.under_way.get_mut(key) else { return };
        match handshake.wire.shake(&mut self.os) {
            Shaken::Waits => {}
            Shaken::Done => self.let_in(key),
            Shaken::Failed(why) => {
                let has_heard = handshake.wire.has_heard();
                let cause = match &why {
                    // Somebody has looked whether the port is open.
                    Broken::Gone if !has_heard => Cause::NoRequest,
                    Broken::Gone => Cause::TlsHandshakeFailed,
                    Broken::Refused(error) => failure::of_client(error),
                };
                if let Broken::Refused(error) = &why {
                    tracing::debug!(client = %handshake.client, %error, "a TLS handshake failed");
                }
                self.turn_away(key, cause);
            }
        }
    }

    /// Begins the session of a client whose handshake is over.
    fn let_in(&mut self, key: Key) {
        let Some(handshake) = self.handshakes.under_way.remove(key) else { return };
        let Handshake { wire, client, listener, edition, standing, .. } = handshake;
        let mut session = Session::new(client, listener, &self.world().env(&edition, standing));
        session.secure(wire.secured());
        let key = self.sit_down(session, Wire::Tls(wire), edition, standing);
        self.with(key, |hands, conn| hands.drive(conn, Readable { client: true, backend: false }));
    }

    /// Closes the connection of a client whose handshake has failed, and makes the record of it.
    fn turn_away(&mut self, key: Key, cause: Cause) {
        let Some(handshake) = self.handshakes.under_way.remove(key) else { return };
        let Handshake { wire, client, listener, edition, standing, .. } = handshake;
        if let Some(seat) = &self.seat {
            seat.end();
        }
        self.ended += 1;
        Wire::Tls(wire).close(&mut self.os);
        // Not by `world`: the journal is lent beside.
        let world = World {
            now: self.now,
            date: &self.date,
            ids: &self.ids,
            draining_since: self.draining_since,
            keeps_request: false,
            wanted: &self.wanted,
        };
        let env = world.env(&edition, standing);
        let mut session = Session::new(client, listener, &env);
        session.turn_away(cause);
        let record = session.record(&env);
        self.journal.record(&record);
    }

    /// Ends the handshakes whose time is over, or all of them.
    pub(super) fn end_late_handshakes(&mut self, is_cut_off: bool) {
        let is_late = |handshake: &Handshake| is_cut_off || handshake.until <= self.now;
        let late: Vec<Key> = self
            .handshakes
            .under_way
            .iter()
            .filter(|(_, handshake)| is_late(handshake))
            .map(|(key, _)| key)
            .collect();
        let cause = if is_cut_off { Cause::DrainTimeout } else { Cause::TlsHandshakeTimeout };
        late.into_iter().for_each(|key| self.turn_away(key, cause));
    }

    /// How many clients there are, those whose handshakes are under way included.
    pub(super) fn clients(&self) -> usize {
        self.sessions.len() + self.handshakes.len()
    }
}
