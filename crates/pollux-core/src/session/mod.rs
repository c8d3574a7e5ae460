//! Everything about one accepted client, as a pure state machine.
//!
//! A session never sees a socket. It is told what has happened (`handle_*`), moves through its phases
//! ([`Session::advance`], see `phases.rs` for the diagram), asks for what it cannot do itself (an [`Effect`]), and when
//! asked says what it waits for ([`Session::interest`]) and until when ([`Session::deadline`]): both are derived from its
//! state, so there is nothing to arm and nothing to forget.

mod collect;
mod delivery;
mod dry_run;
mod exchange;
mod expect;
mod identity;
mod kill;
mod lanes;
mod memory;
mod opening;
mod parts;
mod phases;
mod policy;
mod prelude;
mod relay;
mod resting;
mod room;
mod routing;
mod summary;
#[cfg(test)]
mod tests;
mod waits;

use ::core::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::Habit;
use crate::core::budget::Budget;
use crate::core::captured::{CapturedNames, NOTHING};
use crate::core::grpc::GrpcStatus;
use crate::core::identity::{Ids, RequestId};
use crate::core::outcome::{Cause, Record, Stage};
use crate::core::time::Time;
use crate::core::tls_info::TlsInfo;
use crate::http::date::Date;
use crate::http::scan::HeadScan;
use crate::lane::framer::Framer;
use crate::lane::{Lane, Sink, Source};
use crate::message::Method;
use crate::policy::Question;
use crate::prelude::hello::Hello;
use crate::prelude::proxy::Announced;
use crate::snapshot::{BackendId, Mode, PoolId, Snapshot};

pub use dry_run::{DryRun, DryRunEnd, dry_run, dry_run_connection};
pub use exchange::Exchange;
pub use memory::SessionMemory;
pub use opening::ConnectOutcome;
use parts::Reuse;
use prelude::{Awaits, Introduced};
pub use prelude::{Heard, awaits_header, hear};
pub use resting::Resting;
pub use summary::{Beginning, SessionActivity, Summary};

/// One of the two sides of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The peer that connected to Pollux.
    Client,
    /// The peer that Pollux connected to.
    Backend,
}

/// A deed that a session needs done. Effects are carried out in the order in which they were emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Find a backend connection, and say how it went by [`Session::handle_connect`]. With `again`, begin anew with that
    /// backend, which was busy; with `is_fresh`, do not take an idle connection.
    Open {
        /// The backend that was busy.
        again: Option<usize>,
        /// Whether only a new connection will do.
        is_fresh: bool,
    },
    /// Pass the end of the client's bytes on to the backend.
    FinishBackend,
    /// Pass the end of the bytes on to the client.
    FinishClient,
    /// Find the reply to that question, and say it by [`Session::handle_reply`].
    Ask(Question),
    /// Take note that the backend has answered: the head of its response is here, or in TCP mode the connection stands.
    NoteAnswer,
    /// Take note that the backend has failed the exchange for that cause.
    NoteFailure(Cause),
    /// Take note that the backend has shown that habit, or the opposite of it.
    NoteHabit(Habit, bool),
    /// Keep the backend connection for another exchange: its response is whole.
    KeepBackend,
    /// Close the backend connection, which has served to the end; what was written is still delivered.
    CloseBackend,
    /// Reset the backend connection: what it has got is not the whole.
    ResetBackend,
    /// Find out whether the client's system has taken the last bytes, and say so by [`Session::handle_delivery`].
    AskDelivery,
    /// Make the record of the exchange.
    Record,
    /// Close the client's connection and forget the session.
    CloseClient,
    /// Reset the client's connection, because what it has got is not the whole, and forget the session.
    ResetClient,
}

/// The world as a session sees it at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The clock.
    pub now: Time,
    /// The calendar.
    pub date: &'a Date,
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// Makes the identifiers of requests.
    pub ids: &'a Ids,
    /// Since when Pollux has been about to stop, if it is: no exchange is followed by another.
    pub draining_since: Option<Time>,
    /// Whether a record will want the method and the target.
    pub keeps_request: bool,
    /// The header fields that a record will want.
    pub captured_names: &'a CapturedNames,
    /// The memory for bodies that are collected.
    pub bodies: &'a Budget,
}

impl<'a> Env<'a> {
    /// One without a drain, whose records want nothing of a request.
    #[must_use]
    pub fn new(
        now: Time,
        date: &'a Date,
        snapshot: &'a Snapshot,
        ids: &'a Ids,
        bodies: &'a Budget,
    ) -> Env<'a> {
        Env {
            now,
            date,
            snapshot,
            ids,
            draining_since: None,
            keeps_request: false,
            captured_names: &NOTHING,
            bodies,
        }
    }

    /// Whether Pollux is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining_since.is_some()
    }
}

/// The phase of a session. The diagram stands in `phases.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A prelude to the conversation is awaited, since then.
    Prelude {
        /// When the wait began.
        since: Time,
        /// The prelude that is awaited.
        awaits: Awaits,
    },
    /// A request head is awaited, since then. HTTP only.
    Head {
        /// When the wait began.
        since: Time,
        /// Whether this is the pause between two requests, in which nothing has come yet.
        is_pause: bool,
    },
    /// The body of a request is collected, to be sent with its length.
    Collecting,
    /// The reply to a question about the request is awaited; its head is read, and its body is not.
    Policy {
        /// When it was asked.
        since: Time,
        /// The place of the policy that asked, in the list of the route.
        place: usize,
        /// The number of the question.
        turn: u32,
    },
    /// A backend connection is sought.
    Opening {
        /// When the search began.
        since: Time,
        /// Its progress.
        dial: Dial,
    },
    /// A request and its response are under way.
    Relay,
    /// Bytes pass both ways until both ends have.
    Tunnel,
    /// Pollux's own answer goes out.
    Answer {
        /// Whether the client's connection goes on after it.
        keep_alive: bool,
    },
    /// The last bytes are written to a client that has ended its direction, and may have gone: see `delivery.rs`.
    Delivering {
        /// When they were.
        since: Time,
        /// Whether the client's connection goes on if more requests have come.
        keep_alive: bool,
        /// When its system is asked about next.
        asks_at: Time,
    },
    /// The exchange is over and its record is being made.
    Ending {
        /// Whether the client's connection goes on.
        keep_alive: bool,
    },
    /// Everything has been said; the client has until then to close, so that a RST does not overtake the last bytes.
    Linger {
        /// When it began.
        since: Time,
    },
    /// Nothing is left to do.
    Over,
}

/// The progress of the search for a backend connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dial {
    /// No backend has been asked.
    Wanted {
        /// The busy backend that is to be asked again.
        again: Option<Again>,
    },
    /// An [`Effect::Open`] is under way.
    Asked {
        /// When the first attempt at a busy backend began, if that one is asked again.
        busy_since: Option<Time>,
    },
    /// The connect of this moment is undecided.
    Pending {
        /// When it began.
        since: Time,
        /// Whether the backend has accepted, so that only the TLS handshake is undecided.
        has_reached: bool,
    },
    /// Every backend is full; the worker says when to look again.
    Queued {
        /// Since when.
        since: Time,
    },
    /// Every backend has failed; they are asked once more later.
    Paused {
        /// When.
        until: Time,
    },
    /// The backend (or this machine) had no room; it is asked again later.
    Busy {
        /// When the first attempt at this backend began.
        since: Time,
        /// When the next one is due.
        retry_at: Time,
    },
}

/// A backend that was busy and is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// Its place in the pool.
    pub(crate) backend: usize,
    /// When the first attempt at it began.
    pub(crate) since: Time,
}

/// One accepted client. See the module.
#[derive(Debug)]
pub struct Session {
    /// The client, as far as it is known: who has connected, or who was announced.
    client: SocketAddr,
    /// By whom it was announced, if it was.
    introduced: Option<Arc<Introduced>>,
    /// The name that it has asked for by SNI, in TCP mode.
    server_name: Option<Box<[u8]>>,
    listener: usize,
    mode: Mode,
    phase: Phase,
    /// Client to backend.
    pub(crate) up: Lane,
    /// Backend to client.
    pub(crate) down: Lane,
    exchange: Exchange,
    scan: HeadScan,
    /// When a byte last moved.
    touched: Time,
    /// Sides that poll reported as POLLHUP or POLLERR while the session did not read: poll would report them
    /// again at once.
    client_hung: bool,
    backend_hung: bool,
    /// The number of its next question to an authority.
    turn: u32,
    /// The TLS facts of the client's connection, if it is encrypted.
    tls_info: Option<Arc<TlsInfo>>,
}

impl Session {
    /// A session for the client that was accepted now by the listener at `listener` of the snapshot.
    #[must_use]
    pub fn new(client: SocketAddr, listener: usize, env: &Env<'_>) -> Session {
        Session::of(client, None, listener, env)
    }

    /// A session for a client that the proxy `by` has announced.
    #[must_use]
    pub fn announced(by: SocketAddr, said: Announced, listener: usize, env: &Env<'_>) -> Session {
        Session::of(said.client().unwrap_or(by), Some(Arc::new(Introduced { by, said })), listener, env)
    }

    fn of(
        client: SocketAddr,
        introduced: Option<Arc<Introduced>>,
        listener: usize,
        env: &Env<'_>,
    ) -> Session {
        let rules = &env.snapshot.listeners[listener];
        let phase = Session::first_phase(client, rules, env.now);
        let (mut up, mut down) = (Lane::new(Framer::Head), Lane::new(Framer::Opaque));
        up.source = Source::Open;
        down.sink = Sink::Open;
        let mut exchange = Exchange::default();
        exchange.begin(env.now, 0, 0);
        let mut session = Session {
            client,
            introduced,
            server_name: None,
            listener,
            mode: rules.mode,
            phase,
            up,
            down,
            exchange,
            scan: HeadScan::default(),
            touched: env.now,
            client_hung: false,
            backend_hung: false,
            turn: 0,
            tls_info: None,
        };
        if let Phase::Opening { .. } = phase {
            session.begin_connection(&Hello::default(), None, env);
        }
        session
    }

    /// Takes note that the client's connection is encrypted, before anything else is done with it.
    pub fn set_tls_info(&mut self, tls_info: TlsInfo) {
        self.tls_info = Some(Arc::new(tls_info));
    }

    /// The TLS facts of the client's connection, if it is encrypted.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.tls_info.as_deref()
    }

    /// Takes note that the client did not get as far as to ask for anything, for the record; nothing else is to be done.
    pub fn turn_away(&mut self, cause: Cause) {
        self.exchange.stage = Stage::Handshake;
        self.exchange.cause = Some(cause);
        self.phase = Phase::Over;
    }

    /// Takes note that the backend that is being connected to has accepted, and that a TLS handshake follows.
    pub fn handle_reached(&mut self) {
        if let Phase::Opening { dial: Dial::Pending { has_reached, .. }, .. } = &mut self.phase {
            *has_reached = true;
        }
    }

    /// Its client, as far as it is known: whose connection it is, or who was announced.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// The place of its listener in the snapshot.
    #[must_use]
    pub fn listener(&self) -> usize {
        self.listener
    }

    /// Whether the next request can be held to another snapshot than the last one: no request was read whole that is not
    /// over, with its record made. Ask only when all effects were carried out.
    #[must_use]
    pub fn is_between_exchanges(&self) -> bool {
        match self.phase {
            Phase::Head { .. } | Phase::Ending { keep_alive: true } => true,
            Phase::Prelude { .. }
            | Phase::Ending { keep_alive: false }
            | Phase::Collecting
            | Phase::Policy { .. }
            | Phase::Opening { .. }
            | Phase::Relay
            | Phase::Tunnel
            | Phase::Answer { .. }
            | Phase::Delivering { .. }
            | Phase::Linger { .. }
            | Phase::Over => false,
        }
    }

    /// Takes note that the session will be shown another snapshot, in which its listener is at `listener`. It must be between
    /// two exchanges.
    pub fn move_to(&mut self, listener: usize) {
        debug_assert!(self.is_between_exchanges(), "a session was moved in the middle of an exchange");
        self.listener = listener;
    }

    /// Whether its bytes are requests of HTTP.
    #[must_use]
    pub fn is_http(&self) -> bool {
        self.mode == Mode::Http
    }

    /// The pool whose backends serve the exchange. It is known by the time a backend is asked for.
    #[must_use]
    pub fn pool(&self) -> PoolId {
        self.exchange.request.pool.unwrap_or(PoolId(0))
    }

    /// The backends (by place in the pool) that are not to be picked again for this exchange.
    #[must_use]
    pub fn tried(&self) -> &[usize] {
        &self.exchange.retries.tried
    }

    /// The hash of the key by which a backend is picked, if the pool goes by one and the request has it.
    #[must_use]
    pub fn key(&self) -> Option<u64> {
        self.exchange.request.key
    }

    /// The backend that the client is bound to, by its place in the pool.
    #[must_use]
    pub fn bound(&self) -> Option<usize> {
        self.exchange.request.bound
    }

    /// Whether the client would switch protocols on its connection (Upgrade).
    #[must_use]
    pub fn wants_switch(&self) -> bool {
        !self.exchange.request.protocols().is_empty()
    }

    /// Whether the client would switch to WebSocket, behind a request without a body.
    #[must_use]
    pub fn wants_socket(&self) -> bool {
        let request = &self.exchange.request;
        let mut protocols = request.protocols().split(|byte| *byte == b',');
        !request.is_upgrade_behind_body()
            && protocols.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    }

    /// Whether the backend connection in use is the client's alone, because a login may hold for it.
    #[must_use]
    pub fn is_login(&self) -> bool {
        self.exchange.request.is_login
    }

    /// Takes note that the exchange goes on with a connection that is the client's alone.
    pub fn note_login(&mut self) {
        self.exchange.request.is_login = true;
    }

    /// Whether the exchange may go on with such a connection: as its first attempt, and if nothing is to go before the request
    /// that has been said there already.
    #[must_use]
    pub fn may_resume(&self) -> bool {
        self.mode == Mode::Http && self.exchange.retries.attempts == 0 && !self.exchange.request.is_announced
    }

    /// The time for which the backend has said that it keeps its connection while nothing comes.
    #[must_use]
    pub fn backend_timeout(&self) -> Option<Duration> {
        match self.exchange.response.reuse {
            Reuse::Allowed { idle } => idle,
            Reuse::Refused => None,
        }
    }

    /// Whether the request is HEAD.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.exchange.request.method == Method::Head
    }

    /// Whether it waits until a backend is free.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        matches!(self.phase, Phase::Opening { dial: Dial::Queued { .. }, .. })
    }

    /// Whether the next attempt is one for which the pool must have a budget.
    #[must_use]
    pub fn needs_budget(&self) -> bool {
        self.exchange.retries.next.is_some_and(|next| next.is_counted && next.proof.adds_load())
    }

    /// Since when only an answer is awaited, if it is.
    #[must_use]
    pub fn asked_at(&self) -> Option<Time> {
        self.exchange.attempt.asked_at
    }

    /// Whether a response, or a tunnel, has begun.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.exchange.stage == Stage::Response
    }

    /// Whether the connections are one: from the beginning, or since a 101.
    #[must_use]
    pub fn is_tunnelled(&self) -> bool {
        self.is_answered() && (self.mode == Mode::Tcp || self.exchange.response.status == 101)
    }

    /// The status of the response, if there is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        (self.exchange.response.status > 0).then_some(self.exchange.response.status)
    }

    /// The status by which health judges the response: that of HTTP, or what stands for the status of a call that
    /// has failed by trailers only.
    #[must_use]
    pub fn judged_status(&self) -> Option<u16> {
        self.exchange.response.grpc.and_then(GrpcStatus::as_http).or(self.status())
    }

    /// The backend in use, or tried last.
    #[must_use]
    pub fn backend(&self) -> Option<BackendId> {
        self.exchange.attempt.backend.map(|index| BackendId { pool: self.pool(), index })
    }

    /// The name of the backend in use, or tried last.
    fn backend_name<'a>(&self, env: &Env<'a>) -> Option<&'a str> {
        let pool = env.snapshot.pool(self.exchange.request.pool?);
        Some(pool.backends.get(self.exchange.attempt.backend?)?.name.as_str())
    }

    /// When bytes last moved, or a phase last began that was to see some.
    #[must_use]
    pub fn touched(&self) -> Time {
        self.touched
    }

    /// Gives back what memory can be spared while nothing happens.
    pub fn rest(&mut self) {
        self.up.rest();
        self.down.rest();
        self.exchange.rest();
    }

    /// Whether something has come of the request that is awaited.
    pub(crate) fn has_begun(&self) -> bool {
        self.scan.has_begun(self.up.buffer.unscanned())
    }

    /// Everything that is told of the exchange that has just ended.
    #[must_use]
    pub fn record<'a>(&'a self, env: &Env<'a>) -> Record<'a> {
        let pool = self.exchange.request.pool.map(|pool| env.snapshot.pool(pool));
        let listener = &env.snapshot.listeners[self.listener];
        self.exchange.record(exchange::Surroundings {
            now: env.now,
            client: self.client,
            peer: self.peer(),
            listener: &listener.name,
            mode: self.mode,
            route: self.route(env).map(|route| route.name.as_str()),
            asked: self.consulted(env),
            pool: pool.map_or("", |pool| &pool.name),
            backend: self.backend_name(env),
            bytes: (self.up.passed(), self.down.passed()),
            tls_info: self.tls_info.as_deref(),
            request_id: match &self.exchange.identity {
                identity if identity.is_made() => identity.name(),
                _ => RequestId::Own(env.ids.next()),
            },
        })
    }
}
