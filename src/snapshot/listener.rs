//! Listeners: where they listen, what they speak, whom they believe, what they tell.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::PoolId;
use super::backend::Address;
use crate::http::target::Targets;
use crate::route::Table;
use crate::tls::Termination;

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
    /// What becomes of targets with characters that have to be encoded.
    pub targets: Targets,
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
            targets: Targets::default(),
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
    /// Whether an address is bound that this machine does not have yet (IP_FREEBIND, ip(7)).
    pub freebind: bool,
    /// Who may connect to a Unix socket.
    pub permissions: Permissions,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions { v6only: true, interface: None, freebind: false, permissions: Permissions::default() }
    }
}

/// The owner and the mode of a Unix socket's file; what is not said is as the system makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The mode, such as 0o660: who may write may connect.
    pub mode: Option<u32>,
    /// The user's name, or number.
    pub user: Option<String>,
    /// The group's name, or number.
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
    /// Which interim responses HTTP/1.1 clients get.
    pub interims: Interims,
}

/// Which interim responses (RFC 9110 §15.2) an HTTP/1.1 client gets. Many clients take any but 100 for the final response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interims {
    /// 100 alone, once.
    #[default]
    Continue,
    /// All; of 100 the first.
    All,
}

impl Interims {
    /// The word of the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Interims::Continue => "continue",
            Interims::All => "all",
        }
    }

    /// The kind with that word.
    #[must_use]
    pub fn find(word: &str) -> Option<Interims> {
        [Interims::Continue, Interims::All].into_iter().find(|it| it.word() == word)
    }
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
