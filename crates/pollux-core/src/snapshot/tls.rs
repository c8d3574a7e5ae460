//! The TLS rules of listeners and pools, and the files that they name.

use std::path::{Path, PathBuf};

use super::pool::BackendProtocol;

/// A certificate and its key, by their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// PEM: the certificate, and behind it those that it was issued by.
    pub cert: PathBuf,
    /// PEM: the key of the first.
    pub key: PathBuf,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked, and all come in: those without one, and those with one that cannot be verified.
    Request,
    /// A client without a verified one is refused.
    Require,
}

impl ClientAuth {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ClientAuth::Off => "off",
            ClientAuth::Request => "request",
            ClientAuth::Require => "require",
        }
    }
}

/// The treatment of a list of revoked certificates whose `nextUpdate` has passed (RFC 5280 §5.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiredCrl {
    /// No certificate of its issuer is verified: the list cannot say who was revoked since.
    #[default]
    Refuse,
    /// It holds on: those that stand in it are refused, and the others are verified.
    Accept,
}

impl ExpiredCrl {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ExpiredCrl::Refuse => "refuse",
            ExpiredCrl::Accept => "accept",
        }
    }
}

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl MinVersion {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            MinVersion::Tls12 => "1.2",
            MinVersion::Tls13 => "1.3",
        }
    }
}

/// The treatment of a client that asks for a name that no certificate is for, or for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownNames {
    /// It gets the first certificate.
    #[default]
    Default,
    /// Its handshake is refused.
    Refuse,
}

impl UnknownNames {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            UnknownNames::Default => "default",
            UnknownNames::Refuse => "refuse",
        }
    }
}

/// The TLS settings of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TerminationRules {
    /// Its certificates; the first is the default.
    pub certificates: Vec<Pair>,
    /// PEM: who may have issued the certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// PEM: which of those were revoked (RFC 5280 §5). If it is there, one for each issuer is needed.
    pub client_crl: Option<PathBuf>,
    /// The treatment of such a list that is out of date.
    pub client_crl_expired: ExpiredCrl,
    /// Whether clients have to show one.
    pub client_auth: ClientAuth,
    /// The oldest version.
    pub min_version: MinVersion,
    /// The protocols that may be agreed on (ALPN), the best first; none to agree on none.
    pub alpn: Vec<String>,
    /// The treatment of clients that ask for other names.
    pub unknown_names: UnknownNames,
}

/// The bytes of files: of each pair, of `client_ca` and of `client_crl`.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// For each pair, the certificates and the key.
    pub pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The issuers of client certificates.
    pub client_ca: Option<Vec<u8>>,
    /// The lists of certificates that these have revoked.
    pub client_crl: Option<Vec<u8>>,
}

impl TerminationRules {
    /// Reads what is named, by `read`.
    ///
    /// # Errors
    /// What `read` says of the first file that it cannot read.
    pub fn read<E>(&self, mut read: impl FnMut(&Path) -> Result<Vec<u8>, E>) -> Result<Files, E> {
        let mut pairs = Vec::new();
        for pair in &self.certificates {
            pairs.push((read(&pair.cert)?, read(&pair.key)?));
        }
        let client_ca = self.client_ca.as_deref().map(&mut read).transpose()?;
        let client_crl = self.client_crl.as_deref().map(&mut read).transpose()?;
        Ok(Files { pairs, client_ca, client_crl })
    }

    /// Every file that it names.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.certificates.iter().flat_map(|pair| [pair.cert.as_path(), pair.key.as_path()]);
        pairs.chain(self.client_ca.as_deref()).chain(self.client_crl.as_deref())
    }
}

/// Whether the certificates of backends are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// They have to be for the name, of a known issuer, and valid now.
    #[default]
    Full,
    /// Any server at the address is trusted.
    Off,
}

impl Verify {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Verify::Full => "full",
            Verify::Off => "off",
        }
    }
}

/// The TLS settings of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginationRules {
    /// PEM: who may have issued the certificates of backends; `None` is whom the system believes.
    pub ca: Option<PathBuf>,
    /// The name that is asked for (SNI) and verified; `None` is the one that the backend is written with.
    pub name: Option<String>,
    /// The certificate that Pollux shows, if backends ask.
    pub client: Option<Pair>,
    /// Whether certificates are verified.
    pub verify: Verify,
    /// The oldest version.
    pub min_version: MinVersion,
    /// The version of HTTP that is agreed on by ALPN.
    pub protocol: BackendProtocol,
}

/// The bytes of the files of [`OriginationRules`].
#[derive(Clone, Debug, Default)]
pub struct OriginationFiles {
    /// The issuers.
    pub ca: Option<Vec<u8>>,
    /// The certificates and the key that Pollux shows.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl OriginationRules {
    /// Every file that it names.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let client = self.client.iter().flat_map(|pair| [pair.cert.as_path(), pair.key.as_path()]);
        self.ca.as_deref().into_iter().chain(client)
    }

    /// Reads what is named, by `read`.
    ///
    /// # Errors
    /// What `read` says of the first file that it cannot read.
    pub fn read<E>(&self, mut read: impl FnMut(&Path) -> Result<Vec<u8>, E>) -> Result<OriginationFiles, E> {
        let ca = match &self.ca {
            Some(path) => Some(read(path)?),
            None => None,
        };
        let client = match &self.client {
            Some(pair) => Some((read(&pair.cert)?, read(&pair.key)?)),
            None => None,
        };
        Ok(OriginationFiles { ca, client })
    }
}
