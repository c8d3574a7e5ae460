//! Verifies the certificates of clients, and records the result for each.
//!
//! With `Entry::Everybody` a handshake takes any certificate, if the client shows that it has the key of it.
//! Whether the certificate is valid is decided after the handshake, by the usual rules: also where a session
//! was resumed, and then as of now. With `Entry::Verified` the handshake itself refuses what is not verified;
//! of a session that was resumed it is found out as well.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::tickets::Sitting;
use super::{certificate, failure, identity};
use crate::core::tls_info::{CertificateInfo, Credential};
use crate::os::Ambient;

/// The longest certificate of those that cannot be verified of which more is kept than its fingerprint, in
/// bytes. Any client can make long ones.
const UNVERIFIED_LEN_MAX: usize = 8 * 1024;

/// The clients that a handshake accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// All, and what theirs are worth is said.
    Everybody,
    /// Clients whose certificates are verified.
    Verified,
}

/// See the module.
#[derive(Debug)]
pub struct ClientVerifier {
    entry: Entry,
    usual: Arc<dyn ClientCertVerifier>,
    ambient: &'static dyn Ambient,
}

impl ClientVerifier {
    pub(super) fn new(
        entry: Entry,
        usual: Arc<dyn ClientCertVerifier>,
        ambient: &'static dyn Ambient,
    ) -> ClientVerifier {
        ClientVerifier { entry, usual, ambient }
    }

    /// The worth of the certificates that a client has shown in a handshake that is over; the first is its
    /// own.
    #[must_use]
    pub fn examine(&self, shown: &[CertificateDer<'_>]) -> Credential {
        let Some(own) = shown.first() else { return Credential::None };
        if self.entry == Entry::Verified {
            // By the handshake, or by `admit`.
            return credential_of(own);
        }
        match self.verify(shown) {
            Ok(()) => credential_of(own),
            Err(error) => {
                let known = if own.len() <= UNVERIFIED_LEN_MAX { identity::of(own) } else { None };
                let bare = || CertificateInfo {
                    fingerprint: identity::fingerprint(own),
                    ..CertificateInfo::default()
                };
                Credential::Failed(known.unwrap_or_else(bare), failure::cert_error(&error))
            }
        }
    }

    /// Whether a client comes in who has resumed a session in which it showed these.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, shown: &[CertificateDer<'_>]) -> Result<(), Error> {
        match self.entry {
            Entry::Everybody => Ok(()),
            Entry::Verified => self.verify(shown),
        }
    }

    /// Verifies them by the usual rules, as of now.
    fn verify(&self, shown: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (own, between) = shown.split_first().ok_or(Error::NoCertificatesPresented)?;
        let now = UnixTime::since_unix_epoch(self.ambient.wall_clock());
        self.usual.verify_client_cert(own, between, now).map(|_| ())
    }
}

/// The credential of a client with `certificate`, which was verified. One that cannot be read for its names
/// has none that could be taken for another's.
pub(crate) fn credential_of(certificate: &CertificateDer<'_>) -> Credential {
    let bare =
        || CertificateInfo { fingerprint: identity::fingerprint(certificate), ..CertificateInfo::default() };
    Credential::Verified(identity::of(certificate).unwrap_or_else(bare))
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.entry == Entry::Verified
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.usual.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.entry {
            // `examine` says what it is worth. That the client has its key is still to be shown.
            Entry::Everybody => Ok(ClientCertVerified::assertion()),
            Entry::Verified => {
                let verified = self.usual.verify_client_cert(own, between, now)?;
                let until = certificate::valid_until(std::iter::once(own).chain(between));
                Sitting::note_verified(now.as_secs(), until);
                Ok(verified)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::*;
    use crate::core::tls_info::CertError;
    use crate::os::ambient;
    use crate::tls::certificate::tests::made_for;
    use crate::tls::{ClientAuth, Files, MinVersion, Termination, TerminationRules, certificate, provider};

    /// An authority that issues certificates.
    pub(in crate::tls) struct Authority {
        pub(in crate::tls) issuer: Issuer<'static, KeyPair>,
        pub(in crate::tls) pem: String,
    }

    impl Authority {
        pub(in crate::tls) fn new(name: &str) -> Authority {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let pem = params.self_signed(&key).unwrap().pem();
            Authority { issuer: Issuer::new(params, key), pem }
        }

        /// A certificate for `alice` that is valid in the years up to that one, and its key.
        pub(in crate::tls) fn issue(&self, until: i32) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "alice");
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(until, 1, 1));
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            (certificate.der().clone(), key.into())
        }
    }

    /// The credential of a client with that pair at a listener with `client_auth = "request"`, or why it is
    /// refused.
    fn met(
        authority: &Authority,
        version: MinVersion,
        pair: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Result<Credential, Error> {
        let (cert, key) = made_for(&["localhost"]);
        let files = Files {
            pairs: vec![(cert.clone().into_bytes(), key.into_bytes())],
            client_ca: Some(authority.pem.clone().into_bytes()),
            client_crl: None,
        };
        let rules = TerminationRules { client_auth: ClientAuth::Request, ..TerminationRules::default() };
        let rules = Termination::new("web", rules, &files).unwrap();
        let mut server = ServerConnection::new(Arc::clone(rules.server())).unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(certificate::chain(cert.as_bytes()).unwrap().remove(0)).unwrap();
        let versions = match version {
            MinVersion::Tls12 => &[&rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        let client = match pair {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let key = provider().key_provider.load_private_key(key).unwrap();
                // The pair need not fit.
                let pair = SingleCertAndKey::from(CertifiedKey::new(vec![cert], key));
                builder.with_client_cert_resolver(Arc::new(pair))
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        while server.is_handshaking() || client.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets()?;
            }
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets()?;
            }
        }
        let shown = server.peer_certificates().unwrap_or_default();
        Ok(rules.verifier().unwrap().examine(shown))
    }

    #[test]
    fn all_come_in_who_have_the_key_and_it_is_said_what_they_have_shown() {
        let (authority, other) = (Authority::new("authority"), Authority::new("other"));
        for version in [MinVersion::Tls12, MinVersion::Tls13] {
            let met = |pair| met(&authority, version, pair);
            assert_eq!(met(None), Ok(Credential::None));
            let shown = met(Some(authority.issue(2400))).unwrap();
            assert_eq!(shown.verified().map(|identity| identity.subject.text()), Some("CN=alice"));
            for (pair, why) in
                [(authority.issue(2002), CertError::Expired), (other.issue(2400), CertError::UnknownIssuer)]
            {
                let shown = met(Some(pair)).unwrap();
                assert_eq!((shown.verified(), shown.cert_error()), (None, Some(why)));
                assert_eq!(shown.shown().unwrap().subject.text(), "CN=alice");
            }
            // A client with another key has only found the certificate.
            for cert in [authority.issue(2400).0, other.issue(2400).0] {
                let error = met(Some((cert, authority.issue(2400).1))).unwrap_err();
                assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
            }
        }
    }

    #[test]
    fn of_a_long_certificate_that_is_not_verified_little_is_kept() {
        let (authority, other) = (Authority::new("authority"), Authority::new("other"));
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a".repeat(UNVERIFIED_LEN_MAX));
        let long = params.signed_by(&KeyPair::generate().unwrap(), &other.issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate::chain(authority.pem.as_bytes()).unwrap().remove(0)).unwrap();
        let usual = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
        let verifier = ClientVerifier::new(Entry::Everybody, usual.build().unwrap(), ambient());
        let shown = verifier.examine(&[long.der().clone()]);
        assert_eq!(shown.cert_error(), Some(CertError::UnknownIssuer));
        let identity = shown.shown().unwrap();
        assert_eq!((identity.subject.text(), identity.fingerprint.len()), ("", 64));
    }
}
