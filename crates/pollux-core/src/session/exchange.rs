//! One HTTP request with its response (or one TCP session): what has to be remembered of it until its end.

use ::core::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;
use std::time::Duration;

use super::collect::Collected;
use super::identity::Identity;
use crate::core::identity::RequestId;
use crate::core::noted::Notes;
use crate::core::outcome::{Cause, Outcome, Proof, Proofs, Queued, Record, Spans, Stage};
use crate::core::secured::Secured;
use crate::core::time::Time;
use crate::http::framing::{Framing, Version};
use crate::http::request::{Method, Request, first_line};
use crate::http::response::{Asked, Manner};
use crate::route::{Back, Options, Retry};
use crate::snapshot::{Hsts, Interims, Mode, PoolId};

/// The longest method and the longest target that a record keeps, in bytes.
const TEXT_MAX: usize = 2048;

/// How far the response is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answered {
    /// No final head has come; so many interim ones have.
    #[default]
    Awaited,
    /// The final head was passed on, or is about to be.
    Begun {
        /// Whether the client can tell from the bytes where the body ends.
        is_delimited: bool,
    },
}

/// Whether Pollux has had no buffer for what the backend may have sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It has had one whenever it was needed.
    #[default]
    Never,
    /// Then it had none, for the last time.
    At(Time),
    /// It had none before then, and the backend was given its time once more.
    Forgiven(Time),
}

/// What is known of an exchange.
#[derive(Debug, Default)]
pub struct Exchange {
    pub(crate) began: Time,
    pub(crate) stage: Stage,
    pub(crate) method: Method,
    pub(crate) version: Option<Version>,
    /// The client, behind the proxies that are trusted; `None` as long as no head was read.
    pub(crate) client: Option<IpAddr>,
    /// The route that was taken, by its place in the listener.
    pub(crate) route: Option<usize>,
    /// The pool that is asked.
    pub(crate) pool: Option<PoolId>,
    /// The hash of the key by which a backend is picked.
    pub(crate) key: Option<u64>,
    /// The backend that the client is bound to, by its place in the pool.
    pub(crate) bound: Option<usize>,
    /// When the request may be sent again.
    pub(crate) retry: Retry,
    /// Lines that the route adds to the response.
    pub(crate) response_fields: Vec<u8>,
    /// The authority that the request was for, if what comes back is put into the paths and names of the client; and whether its path
    /// was changed.
    pub(crate) back: Option<(Box<[u8]>, bool)>,
    /// Whether the client's connection goes on afterwards.
    pub(crate) keep_alive: bool,
    /// Whether the client has said that it will not ask for anything more.
    pub(crate) is_last: bool,
    /// The protocols that the client would switch to, as a list.
    pub(crate) protocols: Vec<u8>,
    /// Whether the client would switch protocols behind a body.
    pub(crate) is_upgrade_with_body: bool,
    /// Whether the backend connection is the client's alone from now on, because a login may hold for it.
    pub(crate) is_login: bool,
    /// Whether the backend lets its connection be used again.
    pub(crate) backend_keep_alive: bool,
    /// How long it has said that it keeps it while nothing comes.
    pub(crate) backend_timeout: Option<Duration>,
    pub(crate) answered: Answered,
    /// Whether the response is a stream, which may be silent for long.
    pub(crate) is_stream: bool,
    pub(crate) interims: u8,
    /// The body that is collected, or was.
    pub(crate) collected: Option<Box<Collected>>,
    /// Whether the head for the backend asks for its connection to be kept.
    pub(crate) asks_to_keep: bool,
    /// Whether the client may wait for a 100 before it sends the body.
    pub(crate) expects: bool,
    /// Whether it has got one.
    pub(crate) has_continued: bool,
    /// Whether that was Pollux's, in the place of the backend's.
    pub(crate) stands_in: bool,
    /// Whether the backend has said 100.
    pub(crate) backend_continued: bool,
    pub(crate) status: u16,
    pub(crate) cause: Option<Cause>,
    /// The backend in use, or tried last, by its place in the pool.
    pub(crate) backend: Option<usize>,
    pub(crate) is_reused: bool,
    /// Whether it was said of the present attempt that the backend has failed.
    pub(crate) is_blamed: bool,
    /// Backends that are not to be picked again.
    pub(crate) tried: Vec<usize>,
    /// Whether an idle connection was found stale, so that only a new one will do.
    pub(crate) only_fresh: bool,
    /// Since when the backend in question has been busy, if it is.
    pub(crate) busy_since: Option<Time>,
    pub(crate) attempts: u32,
    /// Whether what is sent to the backend begins with a header of the PROXY protocol.
    pub(crate) is_announced: bool,
    pub(crate) retried: Proofs,
    /// How many of them count against what the pool allows.
    pub(crate) retries: u32,
    /// How often it has waited until a backend could be reached.
    pub(crate) reach_waits: u32,
    /// Whether the next attempt is one of these.
    pub(crate) is_counted: bool,
    pub(crate) budget_spent: bool,
    /// How long it has waited until a backend was free, and how many did so before it when it began.
    pub(crate) queued: Duration,
    pub(crate) queue_ahead: Option<usize>,
    /// Whether a status that is to be retried is passed on all the same, because it cannot be.
    pub(crate) keeps_status: bool,
    /// Why another attempt may be made, until it is.
    pub(crate) pending_proof: Option<Proof>,
    /// When the last byte of the request went out, or the last interim response came in.
    pub(crate) asked_at: Option<Time>,
    /// When the client was found to have ended its direction.
    pub(crate) left_at: Option<Time>,
    /// Of the present attempt.
    pub(crate) unread: Unread,
    /// Bytes that the lanes had passed when the exchange began, and up when the attempt did.
    up_before: u64,
    down_before: u64,
    pub(crate) up_at_attempt: u64,
    pub(crate) spans: Spans,
    pub(crate) identity: Identity,
    /// Header fields for the record.
    pub(crate) notes: Notes,
    /// Method, target and authority, one after the other.
    text: Vec<u8>,
    method_length: usize,
    target_length: usize,
}

/// The exchange of a session, which a session that rests between two exchanges does without: it is a third of its memory.
#[derive(Debug)]
pub(crate) struct Kept(Option<Box<Exchange>>);

/// What is told of an exchange that is not there.
static NOTHING: LazyLock<Exchange> = LazyLock::new(Exchange::default);

impl Kept {
    pub(crate) fn new(exchange: Exchange) -> Kept {
        Kept(Some(Box::new(exchange)))
    }

    /// Gives its memory back. What it knew is forgotten; [`Exchange::begin`] is to be next.
    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.0.is_none()
    }
}

impl Deref for Kept {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        self.0.as_deref().unwrap_or_else(|| &NOTHING)
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut Exchange {
        self.0.get_or_insert_default()
    }
}

/// What a record takes from outside of the exchange.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Time,
    pub(crate) client: SocketAddr,
    /// Who has connected.
    pub(crate) peer: SocketAddr,
    pub(crate) listener: &'a str,
    pub(crate) mode: Mode,
    pub(crate) route: Option<&'a str>,
    pub(crate) pool: &'a str,
    pub(crate) backend: Option<&'a str>,
    /// What the lanes have passed up and down.
    pub(crate) bytes: (u64, u64),
    pub(crate) request_id: RequestId<'a>,
    /// What is known of the client's connection, if it is encrypted.
    pub(crate) secured: Option<&'a Secured>,
}

impl Exchange {
    /// Forgets the last exchange, but not the memory it took.
    pub(crate) fn begin(&mut self, now: Time, up_before: u64, down_before: u64) {
        let (mut tried, mut text) = (std::mem::take(&mut self.tried), std::mem::take(&mut self.text));
        let mut response_fields = std::mem::take(&mut self.response_fields);
        let identity = std::mem::take(&mut self.identity).renewed();
        let mut notes = std::mem::take(&mut self.notes);
        notes.clear();
        tried.clear();
        text.clear();
        response_fields.clear();
        *self = Exchange {
            began: now,
            up_before,
            down_before,
            tried,
            text,
            response_fields,
            identity,
            notes,
            ..Exchange::default()
        };
    }

    /// Gives back what memory can be spared while nothing happens.
    pub(crate) fn rest(&mut self) {
        self.tried.shrink_to_fit();
        self.text.shrink_to_fit();
        self.protocols.shrink_to_fit();
    }

    /// Takes what matters of a request head.
    pub(crate) fn take(&mut self, request: &Request<'_>, keeps_text: bool) {
        self.method = request.method;
        self.version = Some(request.version);
        self.keep_alive = request.keep_alive;
        self.is_last = !request.keep_alive;
        self.is_login = request.is_login;
        self.expects = request.expects_continue();
        if request.wants_upgrade {
            self.protocols = request.protocols();
            self.is_upgrade_with_body = request.framing != Framing::Empty;
        }
        if keeps_text {
            self.take_text(request.method_text, request.target_text, request.authority().unwrap_or_default());
        }
    }

    /// Takes what a record and an answer have to know of a request head that was refused.
    pub(crate) fn take_refused(&mut self, head: &[u8], keeps_text: bool) {
        if let Some((method, target)) = first_line(head) {
            self.method = Method::of(method);
            if keeps_text {
                self.take_text(method, target, b"");
            }
        }
    }

    /// Takes the name that a raw connection has asked for.
    pub(crate) fn take_name(&mut self, name: &[u8]) {
        self.take_text("", "", name);
    }

    fn take_text(&mut self, method: &str, target: &str, authority: &[u8]) {
        let cut = |text: &[u8]| text.len().min(TEXT_MAX);
        (self.method_length, self.target_length) = (cut(method.as_bytes()), cut(target.as_bytes()));
        self.text.extend_from_slice(&method.as_bytes()[..self.method_length]);
        self.text.extend_from_slice(&target.as_bytes()[..self.target_length]);
        self.text.extend_from_slice(&authority[..cut(authority)]);
    }

    /// What a reader of the response has to know.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { is_head: self.method == Method::Head, protocols: &self.protocols }
    }

    /// How the client is to be answered, whose connection is kept for `idle` while nothing comes.
    pub(crate) fn manner(&self, keep_alive: bool, idle: Duration, hsts: Option<Hsts>) -> Manner {
        let version = self.version.unwrap_or(Version::Http11);
        Manner { version, keep_alive, is_first: self.is_first(), idle: Some(idle), hsts }
    }

    /// Whether the client gets an interim response with `status`, where it is to get those that `interims` says. HTTP/1.0 has none
    /// (RFC 9110 §15.2), and there are clients that take a second 100 for the final response.
    pub(crate) fn takes_interim(&self, status: u16, interims: Interims) -> bool {
        !self.is_old()
            && match status {
                100 => !self.has_continued,
                _ => interims == Interims::All,
            }
    }

    /// What the response is put back by.
    pub(crate) fn back<'a>(&'a self, options: &'a Options) -> Option<Back<'a>> {
        let (authority, is_changed) = self.back.as_ref()?;
        Some(Back {
            prefix: options.prefix.as_ref().filter(|_| *is_changed && options.back.paths),
            domains: options.back.domains.as_ref(),
            authority,
        })
    }

    /// Whether the client speaks HTTP/1.0.
    pub(crate) fn is_old(&self) -> bool {
        self.version == Some(Version::Http10)
    }

    /// The client's address: that of the connection, unless it is a trusted proxy's.
    fn client_of(&self, peer: SocketAddr) -> SocketAddr {
        match self.client {
            Some(client) if client != peer.ip().to_canonical() => SocketAddr::new(client, 0),
            Some(_) | None => peer,
        }
    }

    /// Whether it is the first one of its connection.
    pub(crate) fn is_first(&self) -> bool {
        (self.up_before, self.down_before) == (0, 0)
    }

    /// The bytes of this exchange, where the lanes have passed so many up and down.
    pub(crate) fn bytes(&self, up: u64, down: u64) -> (u64, u64) {
        (up - self.up_before, down - self.down_before)
    }

    pub(crate) fn record<'a>(&'a self, around: Surroundings<'a>) -> Record<'a> {
        let (method, rest) = self.text.split_at(self.method_length);
        let (bytes_up, bytes_down) = self.bytes(around.bytes.0, around.bytes.1);
        let (target, authority) = rest.split_at(self.target_length);
        Record {
            client: self.client_of(around.client),
            proxy: (self.client_of(around.client) != around.peer).then_some(around.peer),
            listener: around.listener,
            mode: around.mode,
            method,
            target,
            authority,
            protocol: self.version.map_or("", Version::word),
            request_id: around.request_id,
            trace_id: self.identity.trace_id(),
            status: self.status,
            route: around.route,
            pool: around.pool,
            backend: around.backend,
            attempts: self.attempts,
            retried: self.retried,
            budget_spent: self.budget_spent,
            queued: self.queue_ahead.map(|ahead| Queued { ahead, wait: self.queued }),
            reused: self.is_reused,
            bytes_up,
            bytes_down,
            spans: Spans { whole: around.now.since(self.began), ..self.spans },
            outcome: Outcome { cause: self.cause, stage: self.stage },
            secured: around.secured,
            notes: &self.notes,
        }
    }
}
