//! A session of which nothing is awaited but the next request: the few bytes that it takes until that comes.
//!
//! A [`Session`] has two lanes and an exchange. One that awaits a request of which nothing has come needs none
//! of them, so it can be exchanged for a [`Resting`] and made anew from that.

use ::core::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use super::exchange::Surroundings;
use super::memory::SessionMemory;
use super::prelude::Introduced;
use super::waits::{head_deadline, or_leave};
use super::{Env, Exchange, Phase, Session, SessionActivity, Side, Summary};
use crate::core::deadline::Deadline;
use crate::core::identity::RequestId;
use crate::core::interest::Interest;
use crate::core::outcome::Record;
use crate::core::time::Time;
use crate::core::tls_info::TlsInfo;
use crate::h2::frame::PREFACE;
use crate::http::scan::HeadScan;
use crate::lane::framer::Framer;
use crate::lane::{Lane, Sink, Source};
use crate::room::{Claim, Ground};
use crate::snapshot::Mode;

/// See the module. It holds no buffer, no exchange and no backend connection.
#[derive(Debug)]
pub struct Resting {
    client: SocketAddr,
    introduced: Option<Arc<Introduced>>,
    listener: usize,
    /// When the wait for the request began.
    since: Time,
    touched: Time,
    /// Bytes that the lanes have passed up and down.
    passed: (u64, u64),
    tls_info: Option<Arc<TlsInfo>>,
    /// The number of the next question to an authority: a reply to an earlier one may still come.
    turn: u32,
    /// Whether another request came before.
    is_pause: bool,
}

/// The preface of an HTTP/2 client begins with something that looks like a head of HTTP/1.1, so long.
const PREFACE_HEAD: usize = "PRI * HTTP/2.0\r\n\r\n".len();

/// The exchange that has not begun.
static NOTHING: LazyLock<Exchange> = LazyLock::new(Exchange::default);

impl Session {
    /// Whether it can be exchanged for a [`Resting`]: it awaits a request of which nothing has come, and
    /// nothing is known of its client but that.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        matches!(self.phase, Phase::Head { .. })
            && !(self.client_hung || self.backend_hung)
            && (self.up.source, self.up.sink) == (Source::Open, Sink::Absent)
            && (self.down.source, self.down.sink) == (Source::Absent, Sink::Open)
            && self.up.is_empty()
            && self.down.is_empty()
    }

    /// The client's connection, to make a session of for each stream that it carries. Input that has come on
    /// it is not kept.
    #[must_use]
    pub fn into_carrier(self) -> Resting {
        let Session { client, introduced, listener, touched, tls_info, .. } = self;
        let (since, passed, turn, is_pause) = (touched, (0, 0), 0, false);
        Resting { client, introduced, listener, since, touched, passed, tls_info, turn, is_pause }
    }

    /// Whether the first bytes of the client begin an HTTP/2 connection (RFC 9113 §3.4). It is known once as
    /// much has come as an HTTP/1.1 head would be.
    #[must_use]
    pub fn begins_http2(&self) -> bool {
        let bytes = self.up.buffer.unscanned();
        let known = bytes.len().min(PREFACE.len());
        matches!(self.phase, Phase::Head { is_pause: false, .. })
            && (self.up.passed(), self.down.passed()) == (0, 0)
            && known >= PREFACE_HEAD
            && bytes[..known] == PREFACE[..known]
    }

    /// The same session in fewer bytes. It must be [at rest](Self::is_at_rest).
    #[must_use]
    pub fn into_resting(self) -> Resting {
        debug_assert!(self.is_at_rest(), "a session rests that has something under way");
        debug_assert_eq!(self.interest(Side::Client, self.touched), Some(Resting::INTEREST));
        let (since, is_pause) = if let Phase::Head { since, is_pause } = self.phase {
            (since, is_pause)
        } else {
            (self.touched, false)
        };
        let passed = (self.up.passed(), self.down.passed());
        let Session { client, introduced, listener, touched, turn, tls_info, .. } = self;
        Resting { client, introduced, listener, since, touched, passed, tls_info, turn, is_pause }
    }
}

impl Resting {
    /// The interest in its client.
    pub const INTEREST: Interest = Interest::READ;

    /// The session that it was made of, with an exchange that begins now.
    #[must_use]
    pub fn wake(self, now: Time) -> Session {
        self.wake_in(SessionMemory::default(), now)
    }

    fn wake_in(self, mut memory: SessionMemory, now: Time) -> Session {
        let Resting { client, introduced, listener, since, touched, passed, tls_info, turn, is_pause } = self;
        let (mut up, mut down) = (Lane::new(Framer::Head), Lane::new(Framer::Opaque));
        (up.source, down.sink) = (Source::Open, Sink::Open);
        up.go_on_from(passed.0);
        down.go_on_from(passed.1);
        memory.take_lanes(&mut up, &mut down);
        let mut exchange = memory.into_exchange();
        exchange.begin(now, passed.0, passed.1);
        Session {
            client,
            introduced,
            server_name: None,
            listener,
            mode: Mode::Http,
            phase: Phase::Head { since, is_pause },
            up,
            down,
            exchange,
            scan: HeadScan::default(),
            touched,
            client_hung: false,
            backend_hung: false,
            turn,
            tls_info,
        }
    }

    /// A session for a stream of the connection, whose exchange begins now, in the memory of another one.
    #[must_use]
    pub fn stream(&self, memory: SessionMemory, now: Time) -> Session {
        let Resting { client, listener, ref introduced, ref tls_info, .. } = *self;
        let (introduced, tls_info) = (introduced.clone(), tls_info.clone());
        let (passed, turn, is_pause) = ((0, 0), 0, false);
        let (since, touched) = (now, now);
        let stream =
            Resting { client, introduced, listener, since, touched, passed, tls_info, turn, is_pause };
        stream.wake_in(memory, now)
    }

    /// See [`Session::client`].
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// See [`Session::listener`].
    #[must_use]
    pub fn listener(&self) -> usize {
        self.listener
    }

    /// See [`Session::move_to`].
    pub fn move_to(&mut self, listener: usize) {
        self.listener = listener;
    }

    /// See [`Session::claim`].
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim::new(Ground::Resting, self.since)
    }

    /// See [`Session::deadline`].
    #[must_use]
    pub fn deadline(&self, env: &Env<'_>) -> Deadline {
        let deadline = head_deadline(&env.snapshot.timeouts, self.since, self.is_pause);
        or_leave(deadline, self.client, self.since, env)
    }

    /// See [`Session::summary`].
    #[must_use]
    pub fn summary(&self, env: &Env<'_>) -> Summary {
        Summary {
            kind: if self.is_pause { SessionActivity::Idle } else { SessionActivity::Head },
            since: self.since,
            ends: Some(self.deadline(env).at),
            left: None,
        }
    }

    /// See [`Session::record`]. There is no exchange: the bytes are those of the connection.
    #[must_use]
    pub fn record<'a>(&'a self, env: &Env<'a>) -> Record<'a> {
        NOTHING.record(Surroundings {
            now: env.now,
            client: self.client,
            peer: self.introduced.as_ref().map_or(self.client, |introduced| introduced.by),
            listener: &env.snapshot.listeners[self.listener].name,
            mode: Mode::Http,
            route: None,
            asked: None,
            pool: "",
            backend: None,
            bytes: self.passed,
            tls_info: self.tls_info.as_deref(),
            request_id: RequestId::Own(env.ids.next()),
        })
    }
}
