//! Backends and their addresses.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::balance::Duty;

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

    /// Whether it is a Unix socket with a file, not an abstract one.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self, Address::Unix(path) if path.as_os_str().as_encoded_bytes().first() != Some(&0))
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
