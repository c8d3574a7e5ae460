//! A session with its connections, and what it sees of the worker.

use std::rc::Rc;
use std::sync::Arc;

use super::generation::{Generation, Lease, Permit};
use super::link::Link;
use super::own::Owned;
use super::pipes::Loan;
use super::storage::ClientShare;
use crate::core::budget::Budget;
use crate::core::captured::CapturedNames;
use crate::core::deadline::Deadline;
use crate::core::identity::Ids;
use crate::core::interest::Interest;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::http::date::Date;
use crate::recorder::Trail;
use crate::session::{Env, Session};
use crate::shared::clients::Counted;
use crate::shared::queue::Ticket;
use crate::snapshot::BackendId;
use crate::wire::Wire;

/// A session with its connections.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) session: Session,
    /// `None` once the session is over.
    pub(super) client: Option<Wire>,
    pub(super) backend: Option<Backend>,
    pub(super) stay: Stay,
    /// The number of polls in a row that have had no event of it.
    pub(super) unheard: u8,
    /// The generation of its exchange.
    pub(super) generation: Rc<Generation>,
    pub(super) listener_state: ListenerState,
    /// The retry permit of an exchange that was begun again.
    pub(super) permit: Option<Permit>,
    /// Its place in the queue for a backend.
    pub(super) ticket: Option<Ticket>,
    /// The bytes in pipes, from the client and from the backend.
    pub(super) pipes: Piped,
    /// Backend connections that are the client's alone.
    pub(super) owned: Option<Box<Owned>>,
    /// Its count for the client's address, if addresses are counted.
    pub(super) counted: Option<Box<Counted>>,
    /// The steps of the exchange, once it has a head.
    pub(super) trail: Option<Box<Trail>>,
}

/// The pipes of the two lanes.
#[derive(Debug, Default)]
pub(super) struct Piped {
    pub(super) up: Option<Loan>,
    pub(super) down: Option<Loan>,
}

/// The state of the listener by which a session came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerState {
    /// It is at that place of the latest generation.
    At(usize),
    /// It was taken away: no exchange is followed by another.
    Gone {
        /// When.
        since: Time,
    },
}

/// The view that all sessions of a worker share, apart from the clock.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) date: Date,
    pub(super) ids: Ids,
    pub(super) draining_since: Option<Time>,
    /// The header fields that the journal wants.
    pub(super) captured_names: Arc<CapturedNames>,
    /// The memory for request bodies that are collected.
    pub(super) bodies: Budget,
}

impl Common {
    /// The view at `now`; `keeps_request` says whether a record will want the method and the target.
    pub(super) fn world(&self, now: Time, keeps_request: bool) -> World<'_> {
        let Common { date, ids, draining_since, captured_names: wanted, bodies } = self;
        World {
            now,
            date,
            ids,
            draining_since: *draining_since,
            keeps_request,
            captured_names: wanted,
            bodies,
        }
    }
}

/// The view that all sessions of a worker share at one moment.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) now: Time,
    pub(super) date: &'a Date,
    pub(super) ids: &'a Ids,
    pub(super) draining_since: Option<Time>,
    pub(super) keeps_request: bool,
    pub(super) captured_names: &'a CapturedNames,
    pub(super) bodies: &'a Budget,
}

impl<'a> World<'a> {
    /// The environment of a session with that generation and listener state.
    pub(super) fn env(self, generation: &'a Generation, listener_state: ListenerState) -> Env<'a> {
        let World { now, date, ids, draining_since, keeps_request, captured_names: wanted, bodies } = self;
        let draining_since = match listener_state {
            ListenerState::At(_) => draining_since,
            ListenerState::Gone { since } => Some(since),
        };
        let env = Env::new(now, date, &generation.snapshot, ids, bodies);
        Env { draining_since, keeps_request, captured_names: wanted, ..env }
    }
}

/// The place where a session waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// Its connections are in every poll array that it wants them in.
    Hot {
        /// When it came, or woke.
        since: Time,
    },
    /// They are in the parked set.
    Parked {
        /// Its deadline.
        until: Time,
    },
}

impl Conn {
    pub(super) fn new(
        session: Session,
        client: Wire,
        now: Time,
        generation: Rc<Generation>,
        listener_state: ListenerState,
    ) -> Conn {
        let stay = Stay::Hot { since: now };
        Conn {
            session,
            client: Some(client),
            backend: None,
            stay,
            unheard: 0,
            generation,
            listener_state,
            permit: None,
            ticket: None,
            pipes: Piped::default(),
            owned: None,
            counted: None,
            trail: None,
        }
    }

    /// Takes the latest generation for what follows, if nothing is under way that was routed by another; true if
    /// it did.
    pub(super) fn renew(&mut self, latest: &Rc<Generation>) -> bool {
        let ListenerState::At(listener) = self.listener_state else { return false };
        if Rc::ptr_eq(&self.generation, latest) || !self.session.is_between_exchanges() {
            return false;
        }
        self.generation = Rc::clone(latest);
        self.session.move_to(listener);
        true
    }

    /// When to look at it although nothing has happened.
    pub(super) fn deadline(&self, world: World<'_>) -> Option<Deadline> {
        self.session.deadline(&world.env(&self.generation, self.listener_state))
    }

    /// Whether its connections are in the parked set.
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.stay, Stay::Parked { .. })
    }

    /// The share that the client's address may be lent, if it may have `most` bytes.
    pub(super) fn client_share(&self, most: usize) -> ClientShare {
        self.counted.as_ref().map_or(ClientShare::OPEN, |counted| ClientShare { held: counted.held(), most })
    }

    /// Counts what is held for the session now for its client's address.
    pub(super) fn settle(&mut self) {
        if let Some(counted) = &mut self.counted {
            counted.settle(self.session.held());
        }
    }

    /// Whether there is a budget for a retry; if so, it is used up until the exchange is over.
    pub(super) fn has_budget(&mut self) -> bool {
        if self.permit.is_none() {
            self.permit = Permit::ask(&self.generation, self.session.pool());
        }
        self.permit.is_some()
    }

    /// Whether it waits for a stream of the connection of `carrier`, which is being made.
    pub(super) fn waits_on(&self, carrier: Key) -> bool {
        let Some(Backend { link, reach, .. }) = &self.backend else { return false };
        *reach != Reach::Stands && matches!(&link.wire, Wire::Stream(stream) if stream.is_of(carrier))
    }

    pub(super) fn attach(&mut self, link: Link, reach: Reach, lease: Lease) {
        self.backend = Some(Backend { link, reach, lease });
    }
}

/// The progress of a backend connection that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The connect is undecided.
    Connecting,
    /// The TLS handshake is under way.
    Handshaking,
    /// Bytes can pass.
    Stands,
}

impl Reach {
    /// Marks that a TLS handshake follows the connect.
    pub(super) fn before_tls(self) -> Reach {
        match self {
            Reach::Connecting => Reach::Connecting,
            Reach::Handshaking | Reach::Stands => Reach::Handshaking,
        }
    }
}

/// A connection to a backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) link: Link,
    /// The progress of its making.
    pub(super) reach: Reach,
    /// Counts one request in flight at the backend, until it is dropped.
    pub(super) lease: Lease,
}

impl Backend {
    /// The backend that it leads to, in the generation of its session.
    pub(super) fn id(&self) -> BackendId {
        self.lease.id
    }

    /// The events to ask poll about the connection for the session's interest in it.
    pub(super) fn watch(&self, want: Option<Interest>) -> Option<Interest> {
        match (self.reach, &self.link.wire) {
            (Reach::Handshaking, Wire::Tls(tls)) => want.map(|_| tls.handshake_interest()),
            // The connection that carries it is watched.
            (_, Wire::Stream(_)) => None,
            (Reach::Connecting, _) => want,
            (Reach::Handshaking | Reach::Stands, wire) => wire.watch(want),
        }
    }
}
