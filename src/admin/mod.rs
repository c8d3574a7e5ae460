//! The admin address: status, metrics, verbs and a dashboard over HTTP.
//!
//! It stands beside the data plane, not in it. A few threads of the control side read one request from each
//! connection, blocking and within fixed bounds, and answer it; no worker knows of them. They ask the main
//! thread, as callers at the control socket do. `guard.rs` decides which callers are allowed: on the loopback
//! every user of this machine, but no web page in a browser; elsewhere callers with the token.

mod acceptor;
mod callers;
mod guard;
mod page;
mod reply;
mod request;
mod site;

use std::path::PathBuf;

use crate::snapshot::{Address, Permissions, Secret};

pub use acceptor::{AdminDoor, Handed, Readiness};
pub(crate) use acceptor::{Ask, open};
pub use callers::Callers;

/// The shortest token, in bytes.
pub const TOKEN_MIN: usize = 16;

/// Where the admin address is, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The address; port 0 lets the kernel choose.
    pub bind: Address,
    /// The users that may connect to a Unix socket; by default its owner alone.
    pub socket: Permissions,
    /// The secret of callers. Only a loopback address and a Unix socket can do without.
    pub token: Option<Token>,
    /// Whether callers may change something where there is no token.
    pub writable: bool,
}

/// The secret of callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The source of the token.
    pub source: TokenSource,
    /// The token itself.
    pub secret: Secret,
}

/// The source of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file, without the blanks around its text.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl Admin {
    /// A read-only address for every user of this machine.
    #[must_use]
    pub fn at(bind: Address) -> Admin {
        Admin { bind, socket: Permissions::default(), token: None, writable: false }
    }

    /// The owner and the mode of a Unix socket's file.
    fn permissions(&self) -> Permissions {
        let mode = if self.socket == Permissions::default() { Some(0o600) } else { self.socket.mode };
        Permissions { mode, ..self.socket.clone() }
    }

    /// Whether callers may change something: those that know a token, or all where the configuration says so.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable || self.token.is_some()
    }

    /// The file that the token comes from, if it is one.
    #[must_use]
    pub fn token_file(&self) -> Option<&PathBuf> {
        match &self.token.as_ref()?.source {
            TokenSource::File(path) => Some(path),
            TokenSource::Variable(_) => None,
        }
    }

    /// The environment variable that the token comes from, if it is one.
    #[must_use]
    pub fn token_variable(&self) -> Option<&str> {
        match &self.token.as_ref()?.source {
            TokenSource::File(_) => None,
            TokenSource::Variable(name) => Some(name),
        }
    }

    /// Whether callers of other machines need a token.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.token.is_some() || self.bind.ip().is_none_or(|address| address.ip().is_loopback())
    }
}
