//! The causes of failed handshakes and broken connections.

use rustls::{CertificateError, Error};

use crate::core::outcome::Cause;
use crate::core::tls_info::CertError;

/// The end of the record of a fatal alert `access_denied`, as it is in plain: its length, its level, and 49
/// (RFC 8446 §6.2).
pub const ACCESS_DENIED: [u8; 4] = [0, 2, 2, 49];

/// The alert `unrecognized_name` (RFC 6066 §3).
pub const UNRECOGNIZED_NAME: u8 = 112;

/// Whether it is that no certificate is for the name that the client asks for.
#[must_use]
pub fn is_unknown_name(error: &Error) -> bool {
    // The resolver of certificates has found none, which happens only where unknown names are refused.
    matches!(error, Error::General(_))
}

/// Why a client could not be let in.
#[allow(clippy::wildcard_enum_match_arm, reason = "the enums of rustls are open: more may come")]
#[must_use]
pub fn of_client(error: &Error) -> Cause {
    match error {
        Error::NoCertificatesPresented => Cause::TlsCertificateRequired,
        Error::InvalidCertificate(_) => Cause::TlsCertificateRefused,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Cause::TlsIncompatible,
        Error::AlertReceived(_) => Cause::TlsRefusedByClient,
        _ if is_unknown_name(error) => Cause::TlsUnknownName,
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
pub fn cert_error(error: &Error) -> CertError {
    let Error::InvalidCertificate(why) = error else { return CertError::Other };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertError::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => CertError::NotYetValid,
        CertificateError::UnknownIssuer => CertError::UnknownIssuer,
        CertificateError::BadSignature => CertError::BadSignature,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            CertError::WrongPurpose
        }
        CertificateError::Revoked => CertError::Revoked,
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => CertError::RevocationUnknown,
        CertificateError::BadEncoding => CertError::Malformed,
        _ => CertError::Other,
    }
}
