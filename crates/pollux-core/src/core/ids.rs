//! The places of pools and backends in a configuration, and what a listener speaks.

use std::fmt;

/// An index into `Snapshot::pools`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub usize);

/// A backend by its pool and its place in `Pool::backends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId {
    /// The pool.
    pub pool: PoolId,
    /// The place in the pool.
    pub index: usize,
}

/// The protocol of a listener.
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
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Http => "http",
            Mode::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
