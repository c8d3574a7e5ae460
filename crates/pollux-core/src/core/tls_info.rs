//! Facts about an encrypted connection: the agreed parameters, and the client's certificate.

use ::core::net::{Ipv4Addr, Ipv6Addr};
use ::core::str::FromStr;
use std::sync::Arc;

use super::subject::Subject;
use super::word::UnknownWord;

/// An encrypted connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, by its name in the registry of TLS.
    pub cipher: String,
    /// The name that the client asked for (SNI), in lower case; empty if it asked for none.
    pub name: String,
    /// The names of the certificate that the client was shown, as [`covers`] has them. `None` if they are not
    /// known.
    pub covered: Option<Arc<[String]>>,
    /// The protocol that was agreed on (ALPN); empty if none was.
    pub protocol: String,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
    /// The client's certificate.
    pub client: Credential,
}

impl TlsInfo {
    /// Whether a request for `host`, in lower case and without its port, has come by a connection that is for
    /// another host (RFC 9113 §9.1.1): the client has asked for another name, and the certificate that it was
    /// shown is not for this one. Another connection may get the right certificate.
    ///
    /// A client that has asked for no name, or for this very one, would be shown the same certificate again.
    #[must_use]
    pub fn is_misdirected(&self, host: &str) -> bool {
        let Some(names) = &self.covered else { return false };
        let asked = self.name.trim_end_matches('.');
        !asked.is_empty() && asked != host && !covers(names, host)
    }
}

/// Whether a certificate for `names`, in lower case, is for `host`: by its name, by its address, or by a
/// wildcard for the first label (RFC 9525 §6.3). An IPv6 address may stand in brackets.
#[must_use]
pub fn covers(names: &[String], host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let is_address = bare.parse::<Ipv4Addr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok();
    names.iter().any(|name| name == bare || (!is_address && matches_wildcard(name, bare)))
}

fn matches_wildcard(name: &str, host: &str) -> bool {
    let below = name.strip_prefix("*.").zip(host.split_once('.'));
    below.is_some_and(|(of, (first, rest))| !first.is_empty() && of == rest)
}

/// The credential of a client. Any client that has shown a certificate has its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// No certificate.
    #[default]
    None,
    /// A certificate that was verified.
    Verified(CertificateInfo),
    /// A certificate that could not be verified: its text is untrusted.
    Failed(CertificateInfo, CertError),
}

/// The status of a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertStatus {
    /// There is none.
    None,
    /// It was verified.
    Verified,
    /// It could not be verified.
    Failed,
}

impl ClientCertStatus {
    /// All of them.
    pub const ALL: [ClientCertStatus; 3] =
        [ClientCertStatus::None, ClientCertStatus::Verified, ClientCertStatus::Failed];

    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ClientCertStatus::None => "none",
            ClientCertStatus::Verified => "verified",
            ClientCertStatus::Failed => "failed",
        }
    }
}

impl FromStr for ClientCertStatus {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<ClientCertStatus, UnknownWord> {
        ClientCertStatus::ALL.into_iter().find(|status| status.as_str() == word).ok_or(UnknownWord)
    }
}

impl Credential {
    /// Its status.
    #[must_use]
    pub const fn status(&self) -> ClientCertStatus {
        match self {
            Credential::None => ClientCertStatus::None,
            Credential::Verified(_) => ClientCertStatus::Verified,
            Credential::Failed(..) => ClientCertStatus::Failed,
        }
    }

    /// The owner, if the certificate was verified.
    #[must_use]
    pub const fn verified(&self) -> Option<&CertificateInfo> {
        match self {
            Credential::Verified(identity) => Some(identity),
            Credential::None | Credential::Failed(..) => None,
        }
    }

    /// The identity in a certificate, verified or not.
    #[must_use]
    pub const fn shown(&self) -> Option<&CertificateInfo> {
        match self {
            Credential::Verified(identity) | Credential::Failed(identity, _) => Some(identity),
            Credential::None => None,
        }
    }

    /// Why it could not be verified, if it could not.
    #[must_use]
    pub const fn cert_error(&self) -> Option<CertError> {
        match self {
            Credential::Failed(_, why) => Some(*why),
            Credential::None | Credential::Verified(_) => None,
        }
    }

    /// The word for applications and logs: `yes`, `failed` or `no`.
    #[must_use]
    pub const fn answer(&self) -> &'static str {
        match self {
            Credential::Verified(_) => "yes",
            Credential::Failed(..) => "failed",
            Credential::None => "no",
        }
    }
}

/// The identity in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Its subject, such as `CN=alice, O=Example`.
    pub subject: Subject,
    /// Its issuer, in the same form.
    pub issuer: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// The SHA-256 of the whole certificate, in hexadecimal digits.
    pub fingerprint: String,
}

/// Why a certificate could not be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertError {
    /// Its time, or that of an issuer, is over.
    Expired,
    /// Its time has not begun.
    NotYetValid,
    /// Its issuer is not trusted.
    UnknownIssuer,
    /// Its signature is not that of its issuer.
    BadSignature,
    /// It is not for clients.
    WrongPurpose,
    /// It was revoked.
    Revoked,
    /// No list that is up to date says whether it was revoked.
    RevocationUnknown,
    /// It, or one that was sent with it, cannot be read.
    Malformed,
    /// Something else is wrong with it.
    Other,
}

impl CertError {
    /// All of them.
    pub const ALL: [CertError; 9] = [
        CertError::Expired,
        CertError::NotYetValid,
        CertError::UnknownIssuer,
        CertError::BadSignature,
        CertError::WrongPurpose,
        CertError::Revoked,
        CertError::RevocationUnknown,
        CertError::Malformed,
        CertError::Other,
    ];

    /// The word for applications and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CertError::Expired => "expired",
            CertError::NotYetValid => "not-yet-valid",
            CertError::UnknownIssuer => "unknown-issuer",
            CertError::BadSignature => "bad-signature",
            CertError::WrongPurpose => "wrong-purpose",
            CertError::Revoked => "revoked",
            CertError::RevocationUnknown => "revocation-unknown",
            CertError::Malformed => "malformed",
            CertError::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_its_names_and_what_its_wildcards_match() {
        let names = ["example.com", "*.example.com", "127.0.0.1", "::1", "*.0.0.2"].map(str::to_owned);
        for (host, is_covered) in [
            ("example.com", true),
            ("www.example.com", true),
            ("a.b.example.com", false),
            (".example.com", false),
            ("example.org", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("[::1]", true),
            ("[::2]", false),
            ("", false),
        ] {
            assert_eq!(covers(&names, host), is_covered, "{host}");
        }
    }

    #[test]
    fn a_request_is_misdirected_if_another_connection_could_get_the_right_certificate() {
        let covered: Arc<[String]> = Arc::new(["a.test", "*.b.test"].map(str::to_owned));
        for (asked, host, is_misdirected) in [
            ("a.test", "a.test", false),
            ("a.test", "x.b.test", false),
            ("a.test", "c.test", true),
            ("a.test", "127.0.0.1", true),
            // The client was shown a certificate for other names, and has gone on.
            ("c.test", "c.test", false),
            ("c.test.", "c.test", false),
            ("c.test", "d.test", true),
            ("", "c.test", false),
        ] {
            let info = |covered| TlsInfo { name: asked.to_owned(), covered, ..TlsInfo::default() };
            assert_eq!(
                info(Some(Arc::clone(&covered))).is_misdirected(host),
                is_misdirected,
                "{asked} {host}"
            );
            assert!(!info(None).is_misdirected(host));
        }
    }
}
