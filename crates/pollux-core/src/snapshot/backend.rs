//! Backends: where they are, and what is said of each.

use crate::core::admin_state::AdminState;
use crate::core::endpoint::Address;

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// As the configuration wrote it, for logs.
    pub name: String,
    /// The address.
    pub address: Address,
    /// Its share of the traffic, 0 to [`Backend::WEIGHT_MAX`]; in every pool there is a share above 0.
    pub weight: u32,
    /// 1, or more for backups: a tier is used while every backend of the lower ones is down.
    pub tier: u8,
    /// The number of requests that it may have in flight, over all workers; `None` is any number.
    pub max_requests: Option<u32>,
    /// The number of connections to it at most, over all workers, idle ones included; `None` is any number.
    pub max_connections: Option<u32>,
    /// The name that its certificate has to be for, where its pool speaks TLS and does not say one for all;
    /// `None` is its address.
    pub tls_name: Option<String>,
    /// The state that the operator wants.
    pub admin_state: AdminState,
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
            admin_state: AdminState::Ready,
        }
    }
}
