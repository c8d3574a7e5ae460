//! Listeners: addresses, protocols, trusted proxies, and what they disclose.

use std::sync::Arc;

use ::core::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::tls::TerminationRules;
use crate::core::endpoint::{Address, SocketOptions};
use crate::core::ids::{Mode, PoolId};
use crate::http::disclosure::{Disclosure, Forwarding};
use crate::route::RouteTable;
use crate::syntax::target::Targets;

/// An address on which clients are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in logs; unique.
    pub name: String,
    /// The address; port 0 lets the kernel choose.
    pub bind: Address,
    /// Options of its sockets.
    pub socket: SocketOptions,
    /// Its protocol.
    pub mode: Mode,
    /// Its rules for TLS, if it speaks TLS.
    pub tls: Option<Arc<TerminationRules>>,
    /// The routes of its requests; in TCP mode one route for all clients.
    pub routes: RouteTable,
    /// The treatment of targets with characters that have to be encoded.
    pub targets: Targets,
    /// Whether clients are announced by a header of the PROXY protocol. Only trusted proxies may.
    pub announcing: Announcing,
    /// Proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// The fields that tell backends of the client.
    pub forwarding: Forwarding,
    /// The facts of a request and its response that it discloses.
    pub disclosure: Disclosure,
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
            routes: RouteTable::to_pool(pool),
            targets: Targets::default(),
            announcing: Announcing::default(),
            trusted_proxies: Vec::new(),
            forwarding: Forwarding::default(),
            disclosure: Disclosure::default(),
        }
    }

    /// Whether `address` is a proxy that is believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// Whether connections begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announcing {
    /// None does.
    #[default]
    Never,
    /// Trusted proxies may send a header.
    Optional,
    /// All must, and come from trusted proxies.
    Required,
}

impl Announcing {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Announcing::Never => "off",
            Announcing::Optional => "optional",
            Announcing::Required => "required",
        }
    }
}
