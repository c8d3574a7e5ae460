//! What TLS needs beside bytes: certificates and which of them a client gets, session tickets, who a client has shown to be,
//! and what the failures are called. The bytes themselves go through [`crate::wire`].

pub mod certificate;
pub mod examiner;
pub mod failure;
mod fitness;
mod handles;
pub mod identity;
mod keyring;
mod origination;
mod pem;
#[cfg(test)]
mod resumption;
mod termination;
mod tickets;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

pub use crate::snapshot::{
    ClientAuth, ExpiredCrl, Files, MinVersion, OriginationFiles, OriginationRules, Pair, TerminationRules,
    UnknownNames, Verify,
};
pub use handles::{Handles, Served};
pub use keyring::Keyring;
pub use origination::{Origination, Unusable};
pub use termination::{Refused, Stale, Termination};
pub use tickets::{Sitting, TicketKeys, process_keys};

/// The cryptography, from aws-lc-rs.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}
