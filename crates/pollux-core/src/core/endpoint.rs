//! Addresses of sockets, and how listening sockets are set up.

use std::fmt;
use std::path::PathBuf;

use ::core::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// An address to listen on or to connect to.
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
            Address::Unix(path) => match path.as_os_str().as_encoded_bytes() {
                [0, name @ ..] => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
                _ => write!(f, "unix:{}", path.display()),
            },
        }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

/// The options of a listening socket besides its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Whether an IPv6 socket takes no IPv4 clients (IPV6_V6ONLY, ipv6(7)).
    pub v6only: bool,
    /// The network device by which clients must come (SO_BINDTODEVICE, socket(7)).
    pub interface: Option<String>,
    /// Whether an address is bound that this machine does not have yet (IP_FREEBIND, ip(7)).
    pub freebind: bool,
    /// Mode, owner and group of a Unix socket.
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
    /// The user's number, once it was looked up.
    pub uid: Option<u32>,
    /// The group's number, once it was looked up.
    pub gid: Option<u32>,
}

/// Stands for the address of a client that has come by a Unix socket. No client has it that comes over a
/// network.
pub const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
