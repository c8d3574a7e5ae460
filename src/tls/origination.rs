//! TLS to backends: the configuration of rustls that follows from a pool's rules.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::Crypto;
use super::certificate::{self, CertificateFault, Trouble};
use super::termination::{roots, versions};
use crate::h2::ALPN;
use crate::snapshot::{Address, Backend, BackendProtocol, OriginationFiles, OriginationRules, Verify};

/// The advice where the machine lacks the trusted certificates.
const UPDATE: &str =
    "name the issuers by `ca`, or install those that the system believes: mostly a package `ca-certificates`";

/// HTTP/1.1 in ALPN (RFC 7301 §6).
const HTTP1: &str = "http/1.1";

/// The number of sessions that are remembered to be resumed, over all backends of a pool.
const REMEMBERED: usize = 1024;

/// Why there can be no [`Origination`], in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// `ca` cannot be used, or the system has no certificates to believe.
    Ca(Trouble),
    /// `cert` and `key` cannot be used.
    Client(CertificateFault),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Ca(trouble) => write!(f, "the issuers cannot be used: {trouble}"),
            Unusable::Client(fault) => fault.fmt(f),
        }
    }
}

/// See the module.
pub struct Origination {
    rules: Arc<OriginationRules>,
    crypto: Crypto,
    /// Replaced when the files that the rules name are renewed.
    clients: RwLock<Clients>,
}

/// The protocols that a connection offers by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Those of the pool.
    OfPool,
    /// HTTP/1.1 alone, where the pool leaves the choice to its backends; else those of the pool.
    Http1,
}

/// For rustls, by what is offered.
struct Clients {
    of_pool: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl Origination {
    /// Makes the TLS objects of `rules` and the files that they name.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn new(rules: OriginationRules, files: &OriginationFiles) -> Result<Origination, Unusable> {
        Origination::new_by(rules, files, &Crypto::of_system())
    }

    /// [`Origination::new`] with another cryptography.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn new_by(
        rules: OriginationRules,
        files: &OriginationFiles,
        crypto: &Crypto,
    ) -> Result<Origination, Unusable> {
        let clients = RwLock::new(Origination::clients_of(&rules, files, crypto)?);
        Ok(Origination { rules: Arc::new(rules), crypto: crypto.clone(), clients })
    }

    /// Takes the certificates of `files` for the connections that are made from now on.
    ///
    /// # Errors
    /// See [`Unusable`]; all stay as they were then.
    pub fn replace(&self, files: &OriginationFiles) -> Result<(), Unusable> {
        let clients = Origination::clients_of(&self.rules, files, &self.crypto)?;
        *self.clients.write().unwrap_or_else(PoisonError::into_inner) = clients;
        Ok(())
    }

    fn clients_of(
        rules: &OriginationRules,
        files: &OriginationFiles,
        crypto: &Crypto,
    ) -> Result<Clients, Unusable> {
        let mut client = Origination::client_of(rules, files, crypto)?;
        let http1 = (rules.protocol == BackendProtocol::Auto).then(|| {
            let mut http1 = client.clone();
            http1.alpn_protocols = vec![HTTP1.into()];
            // A session is resumed with what it was made for.
            http1.resumption = Resumption::in_memory_sessions(REMEMBERED);
            Arc::new(http1)
        });
        client.alpn_protocols = match rules.protocol {
            BackendProtocol::Http1 => vec![HTTP1.into()],
            BackendProtocol::Http2 => vec![ALPN.into()],
            BackendProtocol::Auto => vec![ALPN.into(), HTTP1.into()],
        };
        let of_pool = Arc::new(client);
        Ok(Clients { http1: http1.unwrap_or_else(|| Arc::clone(&of_pool)), of_pool })
    }

    fn client_of(
        rules: &OriginationRules,
        files: &OriginationFiles,
        crypto: &Crypto,
    ) -> Result<ClientConfig, Unusable> {
        let provider = crypto.provider();
        let builder = ClientConfig::builder_with_details(Arc::clone(&provider), crypto.clock())
            .with_protocol_versions(versions(rules.min_version))
            .map_err(|error| Unusable::Ca(Trouble::new(error.to_string(), UPDATE)))?;
        // A file that is named and was not read must not leave the choice to the system, or Pollux without a
        // certificate.
        if rules.ca.is_some() && files.ca.is_none() {
            return Err(Unusable::Ca(Trouble::new("the file was not read", UPDATE)));
        }
        if rules.client.is_some() && files.client.is_none() {
            return Err(Unusable::Client(CertificateFault::Key(Trouble::new(
                "the file was not read",
                UPDATE,
            ))));
        }
        let trust = match rules.verify {
            Verify::Off => Trust::Anybody,
            Verify::Full => {
                let (roots, pinned) = match &files.ca {
                    Some(ca) => {
                        (roots(ca).map_err(Unusable::Ca)?, certificate::chain(ca).map_err(Unusable::Ca)?)
                    }
                    None => (system_roots()?, Vec::new()),
                };
                let usual =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                        .build()
                        .map_err(|error| Unusable::Ca(Trouble::new(error.to_string(), UPDATE)))?;
                Trust::Known { usual, pinned }
            }
        };
        let verifier = Arc::new(Verifier { trust, provider });
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut client = match &files.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let loaded = certificate::load(chain, key).map_err(Unusable::Client)?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(loaded.key)))
            }
        };
        client.resumption = Resumption::in_memory_sessions(REMEMBERED);
        Ok(client)
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Arc<OriginationRules> {
        &self.rules
    }

    /// For rustls.
    #[must_use]
    pub fn client(&self, offer: Offer) -> Arc<ClientConfig> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(match offer {
            Offer::OfPool => &clients.of_pool,
            Offer::Http1 => &clients.http1,
        })
    }

    /// The name that the certificate of `backend` has to be for.
    #[must_use]
    pub fn name_of(&self, backend: &Backend) -> Option<ServerName<'static>> {
        match (self.rules.name.as_ref().or(backend.tls_name.as_ref()), &backend.address) {
            (Some(name), _) => ServerName::try_from(name.clone()).ok(),
            (None, Address::Ip(address)) => Some(ServerName::IpAddress(address.ip().into())),
            (None, Address::Unix(_)) => ServerName::try_from("localhost").ok(),
        }
    }
}

/// The authorities that the system trusts.
fn system_roots() -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Unusable::Ca(Trouble::new("the system has no certificates that are believed", UPDATE)));
    }
    Ok(roots)
}

impl fmt::Debug for Origination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origination").field(&self.rules).finish()
    }
}

/// Verifies the certificates of backends. A backend has to have the key of the one that it shows, whatever
/// else is asked.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

/// The certificates that are accepted.
#[derive(Debug)]
enum Trust {
    /// Certificates that the usual rules accept, and the very certificates that `ca` names. Most self-signed
    /// certificates claim to be an issuer, and the usual rules refuse an issuer as a server.
    Known { usual: Arc<WebPkiServerVerifier>, pinned: Vec<CertificateDer<'static>> },
    /// Any certificate, where the configuration asks for that.
    Anybody,
}

/// Whether `shown`, which is pinned, is for `name` and valid now.
fn check_pinned(
    shown: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let facts = certificate::facts(std::slice::from_ref(shown)).ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > facts.not_after {
        return Err(CertificateError::Expired.into());
    }
    if now < facts.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if !facts.covers(&name.to_str().to_ascii_lowercase()) {
        return Err(CertificateError::NotValidForName.into());
    }
    Ok(ServerCertVerified::assertion())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
            Trust::Known { pinned, .. } if pinned.iter().any(|pinned| pinned.as_ref() == shown.as_ref()) => {
                check_pinned(shown, name, now)
            }
            Trust::Known { usual, .. } => usual.verify_server_cert(shown, between, name, ocsp, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
