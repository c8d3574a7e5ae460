//! The lifetime of resumed sessions: with a client of rustls, and a calendar of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, SerialNumber, date_time_ymd};
use rustls::pki_types::ServerName;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore, ServerConnection,
};

use super::certificate::tests::made_for;
use super::client_verifier::tests::Authority;
use super::tickets::AGE_MAX;
use super::{
    ClientAuth, Crypto, ExpiredCrl, Files, MinVersion, Sitting, Termination, TerminationRules, certificate,
    provider,
};
use crate::os::{Ambient, NoRandom, ambient};

const HOUR: u64 = 60 * 60;

#[derive(Debug)]
struct Clock(AtomicU64);

impl Ambient for Clock {
    fn wall_clock(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn fill_random(&self, room: &mut [u8]) -> Result<(), NoRandom> {
        ambient().fill_random(room)
    }
}

/// A listener that lets in verified clients only, and a client of it that keeps its tickets.
struct Pair {
    clock: &'static Clock,
    rules: Termination,
    client: Arc<ClientConfig>,
}

impl Pair {
    /// The client's certificate is valid until the beginning of that year; `list` is the one of the revoked.
    fn new(version: MinVersion, until: i32, list: Option<(i32, ExpiredCrl)>) -> Pair {
        let authority = Authority::new("authority");
        let (cert, key) = made_for(&["localhost"]);
        let params = |until| CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = list.map(|(until, _)| params(until).signed_by(&authority.issuer).unwrap().pem().unwrap());
        let files = Files {
            pairs: vec![(cert.clone().into_bytes(), key.into_bytes())],
            client_ca: Some(authority.pem.clone().into_bytes()),
            client_crl: crl.map(String::into_bytes),
        };
        let rules = TerminationRules {
            client_auth: ClientAuth::Require,
            client_crl_expired: list.map_or_else(ExpiredCrl::default, |(_, expired)| expired),
            ..TerminationRules::default()
        };
        let clock: &'static Clock = Box::leak(Box::new(Clock(AtomicU64::new(1_700_000_000))));
        let crypto = Crypto::new(provider(), clock);
        let keys = Box::leak(Box::default());
        let rules = Termination::new_by("web", rules, &files, keys, &crypto).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate::chain(cert.as_bytes()).unwrap().remove(0)).unwrap();
        let versions = match version {
            MinVersion::Tls12 => &[&rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_details(crypto.provider(), crypto.clock());
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        let (own, key) = authority.issue(until);
        let client = Arc::new(builder.with_client_auth_cert(vec![own], key).unwrap());
        Pair { clock, rules, client }
    }

    fn wait(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Connects as a wire does; returns whether the session was resumed.
    fn connect(&self) -> Result<bool, Error> {
        let mut server = ServerConnection::new(Arc::clone(self.rules.server())).unwrap();
        let mut client =
            ClientConnection::new(Arc::clone(&self.client), ServerName::try_from("localhost").unwrap())
                .unwrap();
        let mut sitting = Sitting::default();
        // A flight of each for each turn, and the tickets behind them.
        for _ in 0..8 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                sitting.during(|| server.process_new_packets())?;
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
        assert!(!server.is_handshaking() && !client.is_handshaking());
        let is_resumed = server.handshake_kind() == Some(HandshakeKind::Resumed);
        if is_resumed {
            self.rules.verifier().unwrap().admit(server.peer_certificates().unwrap())?;
        }
        Ok(is_resumed)
    }
}

fn why(error: &Error) -> &CertificateError {
    let Error::InvalidCertificate(why) = error else { panic!("{error}") };
    why
}

#[test]
fn a_session_is_resumed_for_so_long_from_its_first_handshake_and_no_longer() {
    for version in [MinVersion::Tls12, MinVersion::Tls13] {
        let pair = Pair::new(version, 2400, None);
        assert_eq!(pair.connect(), Ok(false), "{version:?}");
        for _ in 0..5 {
            pair.wait(AGE_MAX / 6);
            assert_eq!(pair.connect(), Ok(true), "{version:?}");
        }
        pair.wait(AGE_MAX / 6);
        assert_eq!(pair.connect(), Ok(false), "{version:?}: as old as a session may be");
        assert_eq!(pair.connect(), Ok(true), "{version:?}: the new one");
    }
}

#[test]
fn a_certificate_that_has_expired_since_keeps_no_session() {
    for version in [MinVersion::Tls12, MinVersion::Tls13] {
        // The beginning of 2024.
        let pair = Pair::new(version, 2024, None);
        pair.wait(1_704_067_200 - HOUR - 1_700_000_000);
        assert_eq!(pair.connect(), Ok(false), "{version:?}");
        assert_eq!(pair.connect(), Ok(true), "{version:?}");
        pair.wait(HOUR + 1);
        let error = pair.connect().unwrap_err();
        assert!(matches!(why(&error), CertificateError::ExpiredContext { .. }), "{version:?}: {error}");
    }
}

#[test]
fn a_list_that_is_out_of_date_since_keeps_no_session_unless_it_is_accepted() {
    for version in [MinVersion::Tls12, MinVersion::Tls13] {
        for expired in [ExpiredCrl::Refuse, ExpiredCrl::Accept] {
            let pair = Pair::new(version, 2400, Some((2024, expired)));
            pair.wait(1_704_067_200 - HOUR - 1_700_000_000);
            assert_eq!(pair.connect(), Ok(false), "{version:?}");
            assert_eq!(pair.connect(), Ok(true), "{version:?}");
            pair.wait(HOUR + 1);
            match expired {
                ExpiredCrl::Accept => assert_eq!(pair.connect(), Ok(true), "{version:?}"),
                ExpiredCrl::Refuse => {
                    let error = pair.connect().unwrap_err();
                    let is_it = matches!(why(&error), CertificateError::ExpiredRevocationListContext { .. });
                    assert!(is_it, "{version:?}: {error}");
                }
            }
        }
    }
}
