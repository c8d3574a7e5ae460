//! TLS with clients: the configuration of rustls that follows from a listener's rules.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::{ServerConfig, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, SupportedProtocolVersion, version};
use sha2::{Digest, Sha256};

use super::Crypto;
use super::certificate::{self, Certificate, CertificateFault, Facts, Trouble};
use super::client_verifier::{ClientVerifier, Entry};
use super::keyring::Keyring;
use super::tickets::{TicketKeys, Tickets, process_keys};
use crate::snapshot::{ClientAuth, ExpiredCrl, Files, MinVersion, TerminationRules};

/// Verifies client certificates; `None` if the listener asks for none.
fn verifier(
    rules: &TerminationRules,
    files: &Files,
    crypto: &Crypto,
) -> Result<Option<Arc<ClientVerifier>>, Refused> {
    let entry = match rules.client_auth {
        ClientAuth::Off => return Ok(None),
        ClientAuth::Request => Entry::Everybody,
        ClientAuth::Require => Entry::Verified,
    };
    // A file that is named and was not read, or none at all, must not leave the gate open.
    let none = || Trouble::new("there is no file to verify clients by", "name one");
    let issuers = files.client_ca.as_ref().ok_or_else(|| Refused::ClientCa(none()))?;
    if rules.client_crl.is_some() && files.client_crl.is_none() {
        return Err(Refused::ClientCrl(none()));
    }
    let roots = Arc::new(roots(issuers).map_err(Refused::ClientCa)?);
    let mut usual = WebPkiClientVerifier::builder_with_provider(roots, crypto.provider());
    if let Some(revoked) = &files.client_crl {
        let revoked = certificate::revocations(revoked).map_err(Refused::ClientCrl)?;
        usual = usual.with_crls(revoked);
        usual = match rules.client_crl_expired {
            ExpiredCrl::Refuse => usual.enforce_revocation_expiration(),
            ExpiredCrl::Accept => usual,
        };
    }
    let usual = usual.build().map_err(|error| {
        let is_of_list = matches!(error, VerifierBuilderError::InvalidCrl(_));
        let refused = if is_of_list { Refused::ClientCrl } else { Refused::ClientCa };
        refused(Trouble::new(
            error.to_string(),
            "`openssl x509 -in FILE -text` and `openssl crl -in FILE -text` show what the files hold",
        ))
    })?;
    Ok(Some(Arc::new(ClientVerifier::new(entry, usual, crypto.ambient()))))
}

/// Until when the lists say what holds, in seconds since 1970, if that matters for tickets: where every
/// client is let in, the lists are looked at after each handshake.
fn lists_until(rules: &TerminationRules, files: &Files) -> u64 {
    let matters = rules.client_auth == ClientAuth::Require && rules.client_crl_expired == ExpiredCrl::Refuse;
    let lists = files.client_crl.as_deref().filter(|_| matters).map(certificate::revocations);
    let until = lists.and_then(Result::ok).and_then(|lists| certificate::next_update(&lists));
    until.map_or(u64::MAX, |until| u64::try_from(until).unwrap_or(0))
}

/// The context of tickets: a listener that asks other things of its clients must not take them.
fn context(rules: &TerminationRules, name: &str, files: &Files) -> Vec<u8> {
    let ca = files.client_ca.as_deref().unwrap_or_default();
    // By its digest: it may be long, and a ticket costs as much to open. With a new list no client keeps a
    // session that the list would end.
    let revoked = files.client_crl.as_deref().map(Sha256::digest).unwrap_or_default();
    let words = [rules.client_auth.as_str(), rules.client_crl_expired.as_str()].join("\0");
    [name.as_bytes(), b"\0", words.as_bytes(), b"\0", &revoked, ca].concat()
}

/// The certificates of a PEM text as those that are believed.
///
/// # Errors
/// In words, what is wrong.
pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, Trouble> {
    let mut roots = RootCertStore::empty();
    for (place, certificate) in certificate::chain(pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let says =
                format!("certificate {} of the file cannot be one that is believed: {error}", place + 1);
            Trouble::new(says, "`openssl x509 -in FILE -text` shows what a file holds")
        })?;
    }
    Ok(roots)
}

/// The versions that are spoken where `oldest` is the oldest.
pub(super) fn versions(oldest: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match oldest {
        MinVersion::Tls12 => &BOTH,
        MinVersion::Tls13 => &BOTH[..1],
    }
}

/// Why there can be no [`Termination`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The pair at that place cannot be used.
    Pair(usize, CertificateFault),
    /// `client_ca` cannot be used.
    ClientCa(Trouble),
    /// `client_crl` cannot be used.
    ClientCrl(Trouble),
    /// Something else, in words.
    Other(String),
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Pair(place, fault) => write!(f, "certificate {}: {fault}", place + 1),
            Refused::ClientCa(why) => write!(f, "client_ca: {why}"),
            Refused::ClientCrl(why) => write!(f, "client_crl: {why}"),
            Refused::Other(why) => f.write_str(why),
        }
    }
}

/// The failure of the last look at a listener's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// Why, in words.
    pub why: String,
}

/// See the module.
pub struct Termination {
    rules: Arc<TerminationRules>,
    stale: Mutex<Option<Stale>>,
    keyring: Arc<Keyring>,
    server: Arc<ServerConfig>,
    /// Looks at the certificates of clients, if they are asked for them.
    verifier: Option<Arc<ClientVerifier>>,
}

impl Termination {
    /// Makes the TLS objects of `rules` and the files that they name, for the listener called `name`.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn new(name: &str, rules: TerminationRules, files: &Files) -> Result<Termination, Refused> {
        Termination::new_by(name, rules, files, process_keys(), &Crypto::of_system())
    }

    /// [`Termination::new`] with other keys for tickets, and another cryptography.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn new_by(
        name: &str,
        rules: TerminationRules,
        files: &Files,
        keys: &'static TicketKeys,
        crypto: &Crypto,
    ) -> Result<Termination, Refused> {
        let keyring = Arc::new(Keyring::new(load(files)?, rules.unknown_names));
        let builder = ServerConfig::builder_with_details(crypto.provider(), crypto.clock())
            .with_protocol_versions(versions(rules.min_version))
            .map_err(|error| Refused::Other(error.to_string()))?;
        let verifier = verifier(&rules, files, crypto)?;
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as _),
        };
        let mut server = builder.with_cert_resolver(Arc::clone(&keyring) as _);
        server.alpn_protocols = rules.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        // Tickets do for both versions; a cache would be a lock and memory for nothing.
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        let (until, context) = (lists_until(&rules, files), context(&rules, name, files));
        server.ticketer = Arc::new(Tickets::new(keys, crypto.ambient(), until, &context));
        Ok(Termination {
            rules: Arc::new(rules),
            stale: Mutex::default(),
            keyring,
            server: Arc::new(server),
            verifier,
        })
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Arc<TerminationRules> {
        &self.rules
    }

    /// Verifies client certificates; `None` where the listener asks for none.
    #[must_use]
    pub fn verifier(&self) -> Option<&Arc<ClientVerifier>> {
        self.verifier.as_ref()
    }

    /// Since when its files cannot be taken; `None` if they could be the last time.
    #[must_use]
    pub fn stale(&self) -> Option<Stale> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records whether its files could be taken.
    pub fn note_stale(&self, stale: Option<Stale>) {
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner) = stale;
    }

    /// For rustls.
    #[must_use]
    pub fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }

    /// The facts of its certificates, in the order of the rules.
    #[must_use]
    pub fn facts(&self) -> Vec<Facts> {
        self.keyring.facts()
    }

    /// Takes the certificates of `files` for the handshakes that begin from now on.
    ///
    /// # Errors
    /// When one of them cannot be used: then all stay as they were.
    pub fn replace(&self, files: &Files) -> Result<(), Refused> {
        self.keyring.replace(load(files)?);
        Ok(())
    }
}

fn load(files: &Files) -> Result<Vec<Certificate>, Refused> {
    let pairs = files.pairs.iter().enumerate();
    pairs
        .map(|(place, (certificates, key))| {
            certificate::load(certificates, key).map_err(|fault| Refused::Pair(place, fault))
        })
        .collect()
}

impl fmt::Debug for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Termination").field(&self.rules).finish()
    }
}
