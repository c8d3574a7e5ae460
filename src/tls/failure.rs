//! What a handshake that failed, or a connection that broke, is called.

use rustls::{CertificateError, Error};

use crate::core::outcome::Cause;

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
