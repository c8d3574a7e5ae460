//! Pools: how they choose, repeat, stick, and announce.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::core::net::SocketAddr;

use super::backend::Backend;
use super::health::{Check, Passive};
use super::source::{BackendSource, IpFamily, RESOLVE};
use super::tables::Derived;
use super::tls::OriginationRules;
use crate::core::bounds::Retries;
use crate::core::options::ClientClose;
use crate::prelude::proxy::ProxyVersion;
use crate::route::Template;

/// A balancing policy. Its decisions are described in [`crate::balance`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    #[default]
    RoundRobin,
    /// The fewest requests in flight for the weight.
    LeastConnections,
    /// A draw by weight.
    Random,
    /// The lighter of two that are drawn.
    TwoChoices,
    /// The lowest latency.
    Latency,
    /// By the hash of a key.
    Hash(Hashing),
    /// The first with room.
    First,
}

impl Balance {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Balance::RoundRobin => "round-robin",
            Balance::LeastConnections => "least-connections",
            Balance::Random => "random",
            Balance::TwoChoices => "two-choices",
            Balance::Latency => "latency",
            Balance::Hash(_) => "hash",
            Balance::First => "first",
        }
    }
}

/// The key of [`Balance::Hash`], and its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// The key of a request.
    pub key: Template,
    /// The share of the requests in flight that a backend may have, in thousandths of its own
    /// share, at least 1000; `None` is any number.
    pub max_load: Option<u32>,
}

impl Hashing {
    /// The key where none is given: the client's address.
    pub const KEY: &'static str = "{client}";
}

impl Default for Hashing {
    fn default() -> Self {
        let key = Template::parse(Hashing::KEY, &[]).unwrap_or_default();
        Hashing { key, max_load: None }
    }
}

/// A named set of backends with a balancing policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name; unique.
    pub name: String,
    /// The choice of a backend.
    pub balance: Balance,
    /// The cookie that binds clients to backends, if there is one.
    pub sticky: Option<Sticky>,
    /// When its requests are sent again.
    pub retries: Retries,
    /// The rules by which failures of its requests affect the health of its backends.
    pub health: Passive,
    /// The check of its backends, if they are checked.
    pub check: Option<Check>,
    /// The rules for TLS to its backends, if it speaks TLS.
    pub tls: Option<Arc<OriginationRules>>,
    /// The header of the PROXY protocol by which its backends learn of their clients, if they do. Then each
    /// connection serves one client's exchange alone.
    pub announce: Option<Announce>,
    /// The number of requests that may wait until a backend is free.
    pub max_pending: usize,
    /// The time for which they may wait, if that is shorter than `timeouts.queue`.
    pub queue: Option<Duration>,
    /// The number of exchanges that a connection to a backend serves; `None` is any number.
    pub max_reuse: Option<u32>,
    /// The age at which a connection to a backend takes no further exchange; `None` is never.
    pub max_age: Option<Duration>,
    /// Whether trailer fields of requests are passed on: many servers refuse them.
    pub passes_trailers: bool,
    /// The time for which a request of which nothing was sent may wait until a backend can be reached again;
    /// `None` is not at all.
    pub reach_wait: Option<Duration>,
    /// The treatment of a request whose client has ended its direction.
    pub on_client_close: ClientClose,
    /// The side that says 100 (Continue) to a client that expects it.
    pub expect: ExpectContinue,
    /// The longest request body that comes in chunks and is collected to be sent with its length;
    /// `None` if it is not.
    pub collect: Option<u64>,
    /// The sources of the backends, where these are more than addresses; else empty.
    pub sources: Vec<BackendSource>,
    /// The interval at which names are asked for their addresses; `None` is once.
    pub resolve: Option<Duration>,
    /// The servers of the DNS that are asked; where there are none, what the machine is set up with.
    pub resolver: Vec<SocketAddr>,
    /// The addresses of names that are taken.
    pub family: IpFamily,
    /// The backends. There are none only where none was found by the sources.
    pub backends: Vec<Backend>,
    /// The version of HTTP that its backends are spoken to.
    pub protocol: BackendProtocol,
    /// Tables that follow from all this.
    pub derived: Derived,
}

impl Pool {
    /// The number of requests that may wait where nothing is said.
    pub const MAX_PENDING: usize = 1024;

    /// The time for which a request waits until a backend can be reached again where nothing is said.
    pub const REACH_WAIT: Duration = Duration::from_secs(1);

    /// The longest body that is collected where nothing is said, in bytes.
    pub const COLLECT: u64 = 1024 * 1024;

    /// The longest body that a file may allow.
    pub const COLLECT_MAX: u64 = 64 * 1024 * 1024;

    /// A pool of which nothing more is said.
    #[must_use]
    pub fn new(name: impl Into<String>, backends: Vec<Backend>) -> Pool {
        Pool {
            name: name.into(),
            balance: Balance::default(),
            sticky: None,
            retries: Retries::default(),
            health: Passive::default(),
            check: None,
            tls: None,
            announce: None,
            max_pending: Pool::MAX_PENDING,
            queue: None,
            max_reuse: None,
            max_age: None,
            passes_trailers: false,
            reach_wait: Some(Pool::REACH_WAIT),
            on_client_close: ClientClose::default(),
            expect: ExpectContinue::default(),
            collect: None,
            sources: Vec::new(),
            resolve: Some(RESOLVE),
            resolver: Vec::new(),
            family: IpFamily::Any,
            backends,
            protocol: BackendProtocol::default(),
            derived: Derived::default(),
        }
    }

    /// The version that its backends are spoken to. `auto` is HTTP/1.1 without TLS, and where each connection
    /// announces its client.
    #[must_use]
    pub fn spoken(&self) -> BackendProtocol {
        let is_choice = self.tls.is_some() && self.announce.is_none();
        if self.protocol == BackendProtocol::Auto && !is_choice {
            BackendProtocol::Http1
        } else {
            self.protocol
        }
    }
}

/// The version of HTTP that the backends of a pool are spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, else by prior knowledge (RFC 9113 §3.2, §3.3).
    Http2,
    /// The version that each connection agrees on by ALPN. See [`Pool::spoken`].
    Auto,
}

impl BackendProtocol {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BackendProtocol::Http1 => "h1",
            BackendProtocol::Http2 => "h2",
            BackendProtocol::Auto => "auto",
        }
    }
}

/// The side that says 100 (Continue) to a client that expects it (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpectContinue {
    /// The backend.
    #[default]
    Pass,
    /// Pollux, where the backend does not: after a moment, or at once if it is known for that.
    Answer,
}

impl ExpectContinue {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ExpectContinue::Pass => "pass",
            ExpectContinue::Answer => "answer",
        }
    }
}

/// The contents of a header of the PROXY protocol to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The version.
    pub version: ProxyVersion,
    /// Whether the name is said that the client has asked for; version 2 only, and so for the others.
    pub authority: bool,
    /// Whether the protocol is said that was agreed upon with it.
    pub alpn: bool,
    /// Whether the connection gets a name of its own.
    pub unique_id: bool,
    /// Whether it is said that the client came by TLS.
    pub ssl: bool,
    /// The longest header, in bytes. Fields with which it would be longer are left out.
    pub length_max: usize,
}

/// A cookie that binds a client to a backend (RFC 6265).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Its name.
    pub cookie: String,
    /// The secret that signs its values.
    pub secret: Option<Secret>,
    /// Its Path.
    pub path: String,
    /// Its Domain; `None` is the host alone.
    pub domain: Option<String>,
    /// Its Max-Age; `None` is until the browser closes.
    pub max_age: Option<Duration>,
    /// Secure.
    pub is_secure: bool,
    /// HttpOnly.
    pub is_http_only: bool,
    /// SameSite.
    pub same_site: SameSite,
    /// Whether backends do not see it.
    pub is_hidden: bool,
}

impl Sticky {
    /// A cookie of which nothing is said but its name.
    #[must_use]
    pub fn named(cookie: impl Into<String>) -> Sticky {
        Sticky {
            cookie: cookie.into(),
            secret: None,
            path: String::from("/"),
            domain: None,
            max_age: None,
            is_secure: false,
            is_http_only: true,
            same_site: SameSite::Lax,
            is_hidden: false,
        }
    }
}

/// The requests caused by other sites that carry the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Requests that lead to another page.
    Lax,
    /// None.
    Strict,
    /// All.
    None,
}

impl SameSite {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SameSite::Lax => "lax",
            SameSite::Strict => "strict",
            SameSite::None => "none",
        }
    }
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
