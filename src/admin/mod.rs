//! The admin address: what a running Pollux is at, and what can be done to it, over HTTP and for a browser.
//!
//! It stands beside the data plane, not in it. A few threads of the control side read one request from each connection, blocking and
//! within fixed bounds, and answer it; no worker knows of them. What they need they ask of the main thread, as callers at the control
//! socket do. Who may ask is decided in `guard.rs`: on the loopback anybody on this machine, but no web page that a browser
//! here shows; anywhere else whoever has the token.

mod door;
mod guard;
mod page;
mod reply;
mod request;
mod site;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::snapshot::Secret;

pub use door::{AdminDoor, Readiness};
pub(crate) use door::{Ask, open, open_when_free};

/// The shortest token, in bytes.
pub const TOKEN_MIN: usize = 16;

/// Where the admin address is, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The address; port 0 lets the kernel choose.
    pub bind: SocketAddr,
    /// What callers have to know. Only a loopback address can do without.
    pub token: Option<Token>,
}

/// What callers have to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it comes from.
    pub source: TokenSource,
    /// The token itself.
    pub secret: Secret,
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file, without the blanks around its text.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl Admin {
    /// An address on which anybody on this machine may ask.
    #[must_use]
    pub fn at(bind: SocketAddr) -> Admin {
        Admin { bind, token: None }
    }

    /// Whether nobody from elsewhere can ask without a token.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.token.is_some() || self.bind.ip().is_loopback()
    }
}
