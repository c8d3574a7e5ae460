//! The sources of a pool's backends: addresses, or questions that Pollux asks while it runs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ::core::net::{IpAddr, SocketAddr};

use crate::core::admin_state::AdminState;
use crate::core::endpoint::Address;

use super::Backend;

/// The interval at which names are asked for where nothing is said.
pub const RESOLVE: Duration = Duration::from_secs(30);

/// The port of servers of the DNS (RFC 1035 §4.2).
pub const DNS_PORT: u16 = 53;

/// The addresses of a name that are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// All of them.
    #[default]
    Any,
    /// IPv4 only; the DNS is asked for no others.
    V4,
    /// IPv6 only; the DNS is asked for no others.
    V6,
}

impl IpFamily {
    /// Every one, in the order in which they are told.
    pub const ALL: [IpFamily; 3] = [IpFamily::Any, IpFamily::V4, IpFamily::V6];

    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            IpFamily::Any => "any",
            IpFamily::V4 => "ipv4",
            IpFamily::V6 => "ipv6",
        }
    }

    /// Whether it has `address`.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            IpFamily::Any => true,
            IpFamily::V4 => address.is_ipv4(),
            IpFamily::V6 => address.is_ipv6(),
        }
    }
}

/// A question that finds backends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiscoveryQuestion {
    /// The addresses of a host.
    Host {
        /// Its name.
        host: String,
        /// The port of each.
        port: u16,
        /// The servers of the DNS that are asked; the system's resolver if there are none.
        servers: Vec<SocketAddr>,
        /// The addresses that are taken.
        family: IpFamily,
    },
    /// The targets of a service (SRV records, RFC 2782).
    Service {
        /// Its name, such as `_http._tcp.app.example`.
        name: String,
        /// The servers of the DNS that are asked; those of `/etc/resolv.conf` if there are none.
        servers: Vec<SocketAddr>,
        /// The addresses of its targets that are taken.
        family: IpFamily,
    },
    /// The backends in a file.
    File(PathBuf),
}

impl DiscoveryQuestion {
    /// The host name that is asked for, if it is one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            DiscoveryQuestion::Host { host, .. } => Some(host),
            DiscoveryQuestion::Service { .. } | DiscoveryQuestion::File(_) => None,
        }
    }

    /// Whether the answer comes from the DNS, and not from this machine.
    #[must_use]
    pub fn is_name(&self) -> bool {
        match self {
            DiscoveryQuestion::Host { .. } | DiscoveryQuestion::Service { .. } => true,
            DiscoveryQuestion::File(_) => false,
        }
    }

    /// Whether the answer says how long it lives. The system's resolver keeps that to itself.
    #[must_use]
    pub fn has_ttl(&self) -> bool {
        match self {
            DiscoveryQuestion::Host { servers, .. } => !servers.is_empty(),
            DiscoveryQuestion::Service { .. } => true,
            DiscoveryQuestion::File(_) => false,
        }
    }

    /// Sets the servers and the address family of a question for the DNS.
    #[must_use]
    pub fn at(self, servers: &[SocketAddr], family: IpFamily) -> DiscoveryQuestion {
        let servers = servers.to_vec();
        match self {
            DiscoveryQuestion::Host { host, port, .. } => {
                DiscoveryQuestion::Host { host, port, servers, family }
            }
            DiscoveryQuestion::Service { name, .. } => DiscoveryQuestion::Service { name, servers, family },
            DiscoveryQuestion::File(path) => DiscoveryQuestion::File(path),
        }
    }
}

impl fmt::Display for DiscoveryQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiscoveryQuestion::Host { host, port, .. } => write!(f, "{host}:{port}"),
            DiscoveryQuestion::Service { name, .. } => write!(f, "srv:{name}"),
            DiscoveryQuestion::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A backend of an answer. The source fills in the fields that it leaves open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its address.
    pub address: Address,
    /// Its name.
    pub name: Option<String>,
    /// Its weight.
    pub weight: Option<u32>,
    /// Its tier.
    pub tier: Option<u8>,
    /// The number of requests that it may have in flight.
    pub max_requests: Option<u32>,
    /// The number of connections to it at most.
    pub max_connections: Option<u32>,
}

impl Entry {
    /// An entry that says nothing but an address.
    #[must_use]
    pub fn at(address: Address) -> Entry {
        Entry { address, name: None, weight: None, tier: None, max_requests: None, max_connections: None }
    }
}

/// An item of a pool's `backends`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendSource {
    /// A backend whose address is known.
    Given(Backend),
    /// The backends of an answer.
    Asked {
        /// The question.
        question: DiscoveryQuestion,
        /// The settings of each, as far as the answer does not say otherwise.
        like: Like,
    },
}

/// The settings of a source for its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like {
    /// The beginning of their names; the question if nothing is said.
    pub name: Option<String>,
    /// Their weight.
    pub weight: u32,
    /// Their tier.
    pub tier: u8,
    /// The number of requests that each may have in flight.
    pub max_requests: Option<u32>,
    /// The number of connections to each at most.
    pub max_connections: Option<u32>,
    /// The name that the certificate of each has to be for, where they have one; that of the question if
    /// nothing is said.
    pub tls_name: Option<String>,
    /// The state that the operator wants.
    pub admin_state: AdminState,
}

impl Like {
    /// The backend of `entry`, which `question` was answered with.
    #[must_use]
    pub fn backend(&self, question: &DiscoveryQuestion, entry: &Entry) -> Backend {
        Backend {
            name: self.name_of(question, entry),
            address: entry.address.clone(),
            weight: self.weight_of(question, entry),
            tier: self.tier_of(question, entry),
            max_requests: entry.max_requests.or(self.max_requests),
            max_connections: entry.max_connections.or(self.max_connections),
            admin_state: self.admin_state,
            tls_name: self.tls_name.clone().or_else(|| question.host().map(str::to_owned)),
        }
    }

    /// A source without weight takes nothing, whatever the weights of its records are.
    fn weight_of(&self, question: &DiscoveryQuestion, entry: &Entry) -> u32 {
        match question {
            DiscoveryQuestion::Service { .. } if self.weight == 0 => 0,
            DiscoveryQuestion::Service { .. }
            | DiscoveryQuestion::Host { .. }
            | DiscoveryQuestion::File(_) => entry.weight.unwrap_or(self.weight),
        }
    }

    /// The tiers of a service begin with that of the source.
    fn tier_of(&self, question: &DiscoveryQuestion, entry: &Entry) -> u8 {
        match question {
            DiscoveryQuestion::Service { .. } => {
                (self.tier + entry.tier.unwrap_or(1) - 1).min(Backend::TIER_MAX)
            }
            DiscoveryQuestion::Host { .. } | DiscoveryQuestion::File(_) => entry.tier.unwrap_or(self.tier),
        }
    }

    /// The name never depends on how many others there are: hashes and cookies go by it.
    fn name_of(&self, question: &DiscoveryQuestion, entry: &Entry) -> String {
        match (&entry.name, &self.name, question) {
            (Some(name), _, _) => name.clone(),
            (None, Some(name), _) => format!("{name} ({})", entry.address),
            (None, None, DiscoveryQuestion::Host { .. } | DiscoveryQuestion::Service { .. }) => {
                format!("{question} ({})", entry.address)
            }
            (None, None, DiscoveryQuestion::File(_)) => entry.address.to_string(),
        }
    }
}
