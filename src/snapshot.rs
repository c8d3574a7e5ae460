//! The checked configuration as one immutable value, shared by every worker as an `Arc<Snapshot>`.
//!
//! Everything in here has been validated: names resolve, weights are in range, every listener's pool exists. What a file or
//! a command line looks like is the business of [`crate::config`] and the command's `cli`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::balance::health::{Check, Passive};
use crate::balance::{Derived, Duty};
use crate::discovery::{RESOLVE, Source};
use crate::preface::proxy::Version;
use crate::route::{Table, Template};
use crate::tls::{Origination, Termination};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where clients connect; never empty.
    pub listeners: Vec<Listener>,
    /// Named sets of backends; [`PoolId`] is an index into this.
    pub pools: Vec<Pool>,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// Bounds on what clients and backends can make Pollux hold.
    pub limits: Limits,
}

impl Snapshot {
    /// The pool behind `id`.
    #[must_use]
    pub fn pool(&self, id: PoolId) -> &Pool {
        &self.pools[id.0]
    }
}

/// An index into [`Snapshot::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub usize);

/// A backend by its pool and its place in [`Pool::backends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId {
    /// The pool.
    pub pool: PoolId,
    /// The place in the pool.
    pub index: usize,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// HTTP/1.1 and HTTP/1.0, message by message.
    Http,
    /// Raw bytes both ways.
    Tcp,
}

impl Mode {
    /// The word of the configuration and of logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Mode::Http => "http",
            Mode::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An address on which clients are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in logs; unique.
    pub name: String,
    /// The address; port 0 lets the kernel choose.
    pub bind: Address,
    /// What else is said of its sockets.
    pub socket: SocketOptions,
    /// What is spoken there.
    pub mode: Mode,
    /// What it needs to speak that through TLS, if it does.
    pub tls: Option<Arc<Termination>>,
    /// What becomes of its requests; in TCP mode one route for all clients.
    pub routes: Table,
    /// Whether clients are announced by a header of the PROXY protocol. Only trusted proxies may.
    pub announcing: Announcing,
    /// Proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// How backends are told of the client.
    pub forwarding: Forwarding,
    /// What is told of a request and of what became of it.
    pub telling: Telling,
}

impl Listener {
    /// A listener that sends all of its clients to `pool`.
    #[must_use]
    pub fn to_pool(name: impl Into<String>, bind: SocketAddr, mode: Mode, pool: PoolId) -> Listener {
        Listener {
            name: name.into(),
            bind: Address::Ip(bind),
            socket: SocketOptions::default(),
            mode,
            tls: None,
            routes: Table::to_pool(pool),
            announcing: Announcing::default(),
            trusted_proxies: Vec::new(),
            forwarding: Forwarding::default(),
            telling: Telling::default(),
        }
    }

    /// Whether `address` is a proxy that is believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// What is said of a listening socket besides its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Whether an IPv6 socket takes no IPv4 clients (IPV6_V6ONLY, ipv6(7)).
    pub v6only: bool,
    /// The network device by which clients must come (SO_BINDTODEVICE, socket(7)).
    pub interface: Option<String>,
    /// Who may connect to a Unix socket.
    pub permissions: Permissions,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions { v6only: true, interface: None, permissions: Permissions::default() }
    }
}

/// The owner and the mode of a Unix socket's file; what is not said is as the system makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The mode, such as 0o660: who may write may connect.
    pub mode: Option<u32>,
    /// The user's name.
    pub user: Option<String>,
    /// The group's name.
    pub group: Option<String>,
}

/// Stands for the address of a client that has come by a Unix socket. No client has it that comes over a network.
pub const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// Whether connections begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announcing {
    /// None does.
    #[default]
    Never,
    /// Those of trusted proxies may.
    Optional,
    /// All must, and come from trusted proxies.
    Required,
}

impl Announcing {
    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Announcing::Never => "off",
            Announcing::Optional => "optional",
            Announcing::Required => "required",
        }
    }
}

/// The fields that tell a backend of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// X-Forwarded-For, -Proto and -Host.
    #[default]
    XForwarded,
    /// Forwarded (RFC 7239).
    Forwarded,
}

/// What a listener tells of a request, beside what is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    /// Who is told what the request is called.
    pub request_id: RequestIds,
    /// What becomes of traces.
    pub traces: Traces,
    /// Which responses have Proxy-Status.
    pub proxy_status: ProxyStatus,
    /// What clients that have come by TLS are told of later connections, if anything.
    pub hsts: Option<Hsts>,
}

/// That a host is to be reached by TLS alone from now on (HTTP Strict Transport Security, RFC 6797).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// For how many seconds; 0 makes clients forget it (6.1.1).
    pub max_age_s: u64,
    /// Whether the same holds for all names below (6.1.2).
    pub include_subdomains: bool,
    /// Whether those who make browsers may put the host on their lists.
    pub preload: bool,
}

/// Who is told by X-Request-ID what a request is called. The access line has it in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestIds {
    /// The backend.
    #[default]
    Backend,
    /// The backend and, in the response, the client.
    Both,
    /// Nobody: the field passes as the client said it.
    Off,
}

impl RequestIds {
    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            RequestIds::Backend => "backend",
            RequestIds::Both => "both",
            RequestIds::Off => "off",
        }
    }
}

/// What becomes of traces (W3C Trace Context).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Traces {
    /// They pass as the client said them.
    #[default]
    Pass,
    /// And where there is none one is begun.
    Start,
}

impl Traces {
    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Traces::Pass => "pass",
            Traces::Start => "start",
        }
    }
}

/// Which responses have Proxy-Status (RFC 9209).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyStatus {
    /// Pollux's own answers, with the cause.
    #[default]
    Own,
    /// All: those of backends say which one it was.
    All,
    /// None.
    Off,
}

impl ProxyStatus {
    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            ProxyStatus::Own => "own",
            ProxyStatus::All => "all",
            ProxyStatus::Off => "off",
        }
    }
}

/// A balancing policy. How each decides is told in [`crate::balance`].
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
    pub const fn word(&self) -> &'static str {
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

/// What [`Balance::Hash`] goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// The key of a request.
    pub key: Template,
    /// How much more than its share of the requests in flight a backend may have, in thousandths of that share, at least
    /// 1000; `None` is any number.
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
    /// How one of the backends is chosen.
    pub balance: Balance,
    /// The cookie that binds clients to backends, if there is one.
    pub sticky: Option<Sticky>,
    /// When its requests are sent again.
    pub retries: Retries,
    /// What failures of its requests come to.
    pub health: Passive,
    /// How its backends are checked, if they are.
    pub check: Option<Check>,
    /// How its backends are spoken to, if that is through TLS.
    pub tls: Option<Arc<Origination>>,
    /// How its backends are told of their clients by a header of the PROXY protocol, if they are. Then each connection serves one
    /// client's exchange alone.
    pub announce: Option<Announce>,
    /// How many requests may wait until a backend is free.
    pub max_pending: usize,
    /// How long they may, if that is shorter than `timeouts.queue`.
    pub queue: Option<Duration>,
    /// How many exchanges a connection to a backend serves; `None` is any number.
    pub max_reuse: Option<u32>,
    /// What the backends are found by, where that is more than their addresses; else empty.
    pub sources: Vec<Source>,
    /// How often names are asked for their addresses; `None` is once.
    pub resolve: Option<Duration>,
    /// The servers of the DNS that are asked; where there are none, what the machine is set up with.
    pub resolver: Vec<SocketAddr>,
    /// The backends. There are none only where none was found by the sources.
    pub backends: Vec<Backend>,
    /// What follows from all this.
    pub derived: Derived,
}

impl Pool {
    /// How many requests may wait where nothing is said.
    pub const MAX_PENDING: usize = 1024;

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
            sources: Vec::new(),
            resolve: Some(RESOLVE),
            resolver: Vec::new(),
            backends,
            derived: Derived::default(),
        }
    }
}

/// What a header of the PROXY protocol says to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The version.
    pub version: Version,
    /// Whether the name is said that the client has asked for; version 2 only, and so for the others.
    pub authority: bool,
    /// Whether the protocol is said that was agreed upon with it.
    pub alpn: bool,
    /// Whether the connection gets a name of its own.
    pub unique_id: bool,
    /// Whether it is said that the client came by TLS.
    pub ssl: bool,
}

/// When a request is sent again. Each time that needs a [proof](crate::core::outcome::Proof) that it does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often, at most [`Retries::MOST`]. That an idle connection had gone stale does not count.
    pub most: u32,
    /// After a connect that failed.
    pub connect: bool,
    /// After a connection that was lost before it had answered.
    pub reset: bool,
    /// After `timeouts.backend_response`.
    pub timeout: bool,
    /// After a response with one of these.
    pub statuses: Vec<u16>,
    /// How many of the requests in flight in the pool may be retries, in thousandths of them.
    pub budget: u32,
    /// So many may be retries in any case.
    pub budget_min: u32,
}

impl Retries {
    /// The most that there can be.
    pub const MOST: u64 = 10;
}

impl Default for Retries {
    fn default() -> Self {
        let statuses = Vec::new();
        Retries { most: 2, connect: true, reset: true, timeout: false, statuses, budget: 200, budget_min: 3 }
    }
}

/// A cookie that binds a client to a backend (RFC 6265).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Its name.
    pub cookie: String,
    /// What its values are signed with.
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

/// Which requests that other sites cause have a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Those that lead to another page.
    Lax,
    /// None.
    Strict,
    /// All.
    None,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// As the configuration wrote it, for logs.
    pub name: String,
    /// Where to connect.
    pub address: Address,
    /// Its share of the traffic, 0 to [`Backend::WEIGHT_MAX`]; in every pool there is a share above 0.
    pub weight: u32,
    /// 1, or more for backups: a tier is used while every backend of the lower ones is down.
    pub tier: u8,
    /// How many requests it may have in flight, over all workers; `None` is any number.
    pub max_requests: Option<u32>,
    /// How many connections there may be to it, over all workers, idle ones included; `None` is any number.
    pub max_connections: Option<u32>,
    /// The name that its certificate has to be for, where its pool speaks TLS and does not say one for all; `None` is its address.
    pub tls_name: Option<String>,
    /// What the operator wants of it.
    pub duty: Duty,
}

impl Backend {
    /// The largest weight.
    pub const WEIGHT_MAX: u32 = 1000;

    /// The highest tier.
    pub const TIER_MAX: u8 = 9;

    /// A backend of which nothing more is said.
    #[must_use]
    pub fn new(name: impl Into<String>, address: Address, weight: u32) -> Backend {
        Backend {
            name: name.into(),
            address,
            weight,
            tier: 1,
            max_requests: None,
            max_connections: None,
            tls_name: None,
            duty: Duty::Ready,
        }
    }
}

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Ip(SocketAddr),
    /// A Unix stream socket (unix(7)). A path that begins with a zero byte is an abstract name.
    Unix(PathBuf),
}

impl Address {
    /// The IP address and the port; `None` for a Unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// Whether the kernel chooses the port.
    #[must_use]
    pub fn is_any_port(&self) -> bool {
        self.ip().is_some_and(|address| address.port() == 0)
    }

    /// The socket of that name: `@` stands for the zero byte of an abstract one.
    #[must_use]
    pub fn unix(name: &str) -> Address {
        Address::Unix(match name.strip_prefix('@') {
            Some(name) => PathBuf::from(format!("\0{name}")),
            None => PathBuf::from(name),
        })
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

impl From<String> for Address {
    fn from(text: String) -> Address {
        let name = text.strip_prefix("unix:").unwrap_or(&text);
        text.parse().map_or_else(|_| Address::unix(name), Address::Ip)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(path) => match path.as_os_str().as_bytes() {
                [0, name @ ..] => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
                _ => write!(f, "unix:{}", path.display()),
            },
        }
    }
}

/// How long each phase may take. `proxy.toml` has a key of the same name for each, under `[timeouts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the start of a connect to its success, for each backend tried.
    pub connect: Duration,
    /// For what comes before the conversation: a PROXY header, a ClientHello by which it is routed.
    pub preface: Duration,
    /// From the first byte of a request head (or from the accept) to its last.
    pub client_head: Duration,
    /// Between two requests on a kept-alive connection.
    pub client_idle: Duration,
    /// From the last byte of the request, or an interim response, to the head of the response.
    pub backend_response: Duration,
    /// Without one byte moving in either direction while a message is under way.
    pub idle: Duration,
    /// The same for TCP mode and for a connection that was upgraded.
    pub tunnel: Duration,
    /// For a free backend connection, all attempts together.
    pub queue: Duration,
    /// For a client to close after Pollux has, while what it still sends is thrown away.
    pub linger: Duration,
    /// How long a kept-alive backend connection may wait to be reused.
    pub backend_idle: Duration,
    /// From SIGTERM to the end.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Timeouts {
            handshake: secs(10),
            connect: secs(2),
            preface: secs(5),
            client_head: secs(10),
            client_idle: secs(60),
            backend_response: secs(60),
            idle: secs(60),
            tunnel: secs(3600),
            queue: secs(10),
            linger: secs(2),
            backend_idle: secs(30),
            drain: secs(30),
        }
    }
}

/// Bounds on what is held for clients and backends. `proxy.toml` has a key of the same name for each, under `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request or response head, its request or status line included.
    pub head: usize,
    /// Bytes of a request line.
    pub request_line: usize,
    /// Bytes of one header field, its name and its value together.
    pub field: usize,
    /// Header fields of a message; at most [`Limits::FIELDS_MAX`].
    pub fields: usize,
    /// Bytes of a request body; `None` is unlimited.
    pub body: Option<u64>,
    /// Bytes of a lane's buffer; at least `head`.
    pub buffer: usize,
    /// Buffers in use at once, over all workers; a worker has 4 at least. At the bound nobody reads until one is free.
    pub buffers: usize,
    /// Client connections held at once, over all workers.
    pub sessions: usize,
    /// Clients whose TLS handshakes are under way at once, over all workers. They count as clients too.
    pub handshakes: usize,
    /// Clients that one listener takes in one turn of the loop.
    pub accept_budget: usize,
    /// Idle connections kept to each backend, over all workers.
    pub idle_per_backend: usize,
    /// Idle connections kept to all backends together, over all workers.
    pub idle: usize,
    /// What is remembered of exchanges.
    pub recorder: Recording,
}

/// What the flight recorder keeps aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// An exchange that took longer is slow.
    pub slow: Duration,
    /// So many exchanges that were slow, or that failed, are remembered over all workers; and as many again of those that failed by
    /// a fault of the client.
    pub keep: usize,
}

impl Default for Recording {
    fn default() -> Recording {
        Recording { slow: Duration::from_secs(1), keep: 128 }
    }
}

impl Limits {
    /// The most header fields that `fields` may allow: their table lies on the stack.
    pub const FIELDS_MAX: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: 32 * 1024,
            request_line: 16 * 1024,
            field: 16 * 1024,
            fields: 100,
            body: None,
            buffer: 64 * 1024,
            buffers: 8192,
            sessions: 10_000,
            handshakes: 1000,
            accept_budget: 64,
            idle_per_backend: 256,
            idle: 4096,
            recorder: Recording::default(),
        }
    }
}
