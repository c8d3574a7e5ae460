//! What a handshake that failed, or a connection that broke, is called.

use rustls::{CertificateError, Error};

use crate::core::outcome::Cause;
use crate::core::secured::Distrust;

/// Why a client could not be let in.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enums of rustls are open: more may come")]
#[must_use]
pub fn of_client(error: &Error) -> Cause {
    match error {
        Error::NoCertificatesPresented => Cause::TlsCertificateRequired,
        Error::InvalidCertificate(_) => Cause::TlsCertificateRefused,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Cause::TlsIncompatible,
        Error::AlertReceived(_) => Cause::TlsRefusedByClient,
        // The resolver of certificates has found none, which happens only where unknown names are refused.
        Error::General(_) => Cause::TlsUnknownName,
        _ => Cause::TlsHandshakeFailed,
    }
}

/// Why a backend could not be spoken to.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enums of rustls are open: more may come")]
#[must_use]
pub fn of_backend(error: &Error) -> Cause {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::AlertReceived(_) => Cause::BackendTlsRefused,
        _ => Cause::BackendTlsFailed,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the enums of rustls are open: more may come")]
fn of_certificate(why: &CertificateError) -> Cause {
    match why {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Cause::BackendTlsExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Cause::BackendTlsWrongName
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Cause::BackendTlsUnknownIssuer,
        _ => Cause::BackendTlsBadCertificate,
    }
}

/// Why the certificate of a client was not verified.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enums of rustls are open: more may come")]
#[must_use]
pub fn distrust(error: &Error) -> Distrust {
    let Error::InvalidCertificate(why) = error else { return Distrust::Other };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Distrust::NotYetValid,
        CertificateError::UnknownIssuer => Distrust::UnknownIssuer,
        CertificateError::BadSignature => Distrust::BadSignature,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Distrust::WrongPurpose
        }
        CertificateError::Revoked => Distrust::Revoked,
        CertificateError::BadEncoding => Distrust::Malformed,
        _ => Distrust::Other,
    }
}
