//! Who a client has shown to be, by its certificate.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::core::secured::Identity;

/// What `certificate`, which was verified, says of its owner; `None` if it cannot be read.
#[must_use]
pub fn of(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut fingerprint = String::with_capacity(64);
    for byte in Sha256::digest(certificate.as_ref()) {
        // Writing to a String cannot fail.
        let _ = write!(fingerprint, "{byte:02x}");
    }
    let mut serial = String::new();
    for byte in parsed.raw_serial() {
        let _ = write!(serial, "{byte:02x}");
    }
    Some(Identity {
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        serial,
        fingerprint,
    })
}
