//! The checked configuration as one immutable value, shared by every worker as an `Arc<Snapshot>`.
//!
//! Everything in here has been validated: names resolve, weights are in range, every listener's pool exists. What a file or
//! a command line looks like is the business of [`crate::config`] and the command's `cli`.

mod backend;
mod bounds;
mod listener;
mod pool;

pub use backend::{Address, Backend};
pub use bounds::{Limits, Recording, Timeouts};
pub use listener::{
    Announcing, Forwarding, Hsts, Interims, Listener, Mode, NO_ADDRESS, Permissions, ProxyStatus, RequestIds,
    SocketOptions, Telling, Traces,
};
pub use pool::{Announce, Balance, ClientClose, Expect, Hashing, Pool, Retries, SameSite, Secret, Sticky};

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

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}
