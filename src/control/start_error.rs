//! Why Pollux cannot start.

use std::fmt;
use std::io;

use crate::snapshot::Address;

/// Why Pollux did not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener's address could not be bound.
    Bind {
        /// The listener's name.
        listener: String,
        /// Its address.
        address: Address,
        /// Why.
        error: io::Error,
        /// The address of a socket that a service manager has passed and no listener takes.
        passed: Option<Address>,
    },
    /// The file of a Unix socket, which is kept, cannot have its owner or its mode.
    Permissions {
        /// The listener's name.
        listener: String,
        /// Its address.
        address: Address,
        /// Why.
        error: io::Error,
    },
    /// Two listeners have the same address.
    Taken {
        /// The second listener's name.
        listener: String,
        /// The first one's.
        other: String,
        /// The address of both.
        address: Address,
    },
    /// Nothing was made of the rules for TLS of a listener or a pool: this is a mistake in Pollux.
    Tls {
        /// The name of the listener or the pool.
        name: String,
    },
    /// A thread or a pipe could not be made.
    System(io::Error),
    /// A step between binding and serving failed.
    Bound(String),
    /// The descriptor limit leaves no room for a single session.
    Descriptors {
        /// The limit.
        limit: usize,
    },
}

/// The way out of what bind(2) complains about most.
const BIND_HELP: [(io::ErrorKind, &str); 3] = [
    (io::ErrorKind::AddrInUse, "; something listens there already: stop it, or choose another port"),
    (
        io::ErrorKind::PermissionDenied,
        "; ports below 1024 need privileges: choose a higher one, or keep them with `--keep-capability net_bind_service`",
    ),
    (
        io::ErrorKind::AddrNotAvailable,
        "; this machine has no such address: write `freebind = true` if it gets it later",
    ),
];

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Taken { listener, other, address } => {
                write!(
                    f,
                    "the listeners `{other}` and `{listener}` both bind {address}; give one of them another port"
                )
            }
            StartError::Bind { listener, address, error, passed: Some(passed) } => {
                write!(
                    f,
                    "listener `{listener}` cannot bind {address}: {error}; the service manager has passed a socket on {passed}, which no listener takes: write `bind = \"{passed}\"`, or `ListenStream={}` in its socket unit",
                    stream(address)
                )
            }
            StartError::Bind { listener, address, error, passed: None } => {
                let help =
                    BIND_HELP.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, help)| help);
                write!(f, "listener `{listener}` cannot bind {address}: {error}{help}")
            }
            StartError::Permissions { listener, address, error } => {
                write!(
                    f,
                    "the socket {address} of listener `{listener}` cannot get its owner and its mode: {error}"
                )
            }
            StartError::Tls { name } => {
                write!(f, "nothing was made of the rules for TLS of `{name}`, which is a mistake in Pollux")
            }
            StartError::Bound(why) => f.write_str(why),
            StartError::System(error) => write!(f, "cannot start the workers: {error}"),
            StartError::Descriptors { limit } => {
                write!(f, "a limit of {limit} open files leaves no room for clients; raise it (ulimit -n)")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// An address as systemd.socket(5) writes it.
fn stream(address: &Address) -> String {
    let text = address.to_string();
    text.strip_prefix("unix:").map_or(text.clone(), str::to_owned)
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::System(error)
    }
}
