//! The checked configuration as one immutable value, shared by every worker as an `Arc<Snapshot>`.
//!
//! Everything in here has been validated: names resolve, weights are in range, every listener's pool exists.
//! The form of a file or a command line is the business of `config` and `cli`.

mod backend;
mod health;
mod listener;
mod places;
mod pool;
mod source;
mod tables;
mod tls;

pub use crate::core::admin_state::AdminState;
pub use crate::core::bounds::{Limits, Recording, Retries, Timeouts};
pub use crate::core::endpoint::{Address, NO_ADDRESS, Permissions, SocketOptions};
pub use crate::core::ids::{BackendId, Mode, PoolId};
pub use crate::core::options::{ClientClose, Hsts, Interims};
pub use crate::http::disclosure::{Disclosure, Forwarding, ProxyStatus, RequestIds, Traces};
pub use backend::Backend;
pub use health::{Check, CheckKind, Errors, Expected, Grpc, Http, Passive, Start, is_among};
pub use listener::{Announcing, Listener};
pub use places::SourcePlaces;
pub use pool::{Announce, BackendProtocol, Balance, ExpectContinue, Hashing, Pool, SameSite, Secret, Sticky};
pub use source::{BackendSource, DNS_PORT, DiscoveryQuestion, Entry, IpFamily, Like, RESOLVE};
pub use tables::{Derived, Maglev, Tokens};
pub use tls::{
    ClientAuth, ExpiredCrl, Files, MinVersion, OriginationFiles, OriginationRules, Pair, TerminationRules,
    UnknownNames, Verify,
};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The addresses for clients; never empty.
    pub listeners: Vec<Listener>,
    /// Named sets of backends; [`PoolId`] is an index into this.
    pub pools: Vec<Pool>,
    /// The time that each phase may take.
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
