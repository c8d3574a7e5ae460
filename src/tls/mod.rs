//! TLS besides its bytes: certificates and the choice among them, session tickets, the client's certificate,
//! and the causes of failures. The bytes themselves go through [`crate::wire`].

pub mod certificate;
pub mod client_verifier;
mod crypto;
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

pub use crate::snapshot::{
    ClientAuth, ExpiredCrl, Files, MinVersion, OriginationFiles, OriginationRules, Pair, TerminationRules,
    UnknownNames, Verify,
};
pub use crypto::{Crypto, provider};
pub use handles::{Handles, ServedSnapshot};
pub use keyring::Keyring;
pub use origination::{Offer, Origination, Unusable};
pub use termination::{Refused, Stale, Termination};
pub use tickets::{Greeting, Sitting, TicketKeys, process_keys};
