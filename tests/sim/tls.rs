//! TLS for the actors: a connection of rustls between what an actor says and what the network carries.
//!
//! All bytes follow from the seed: `ambient.rs` has the random numbers and the key exchanges of a run.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::Ed25519KeyPair;
use fastrand::Rng;
use pollux::snapshot::Snapshot;
use pollux::tls::{
    Files, Handles, Origination, OriginationFiles, OriginationRules, Termination, TerminationRules,
    TicketKeys,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, RootCertStore, ServerConfig, ServerConnection,
};

use crate::ambient::crypto;
use crate::faults::chance;

/// Which sides of a run speak TLS.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Legs {
    pub(crate) clients: bool,
    pub(crate) backends: bool,
}

impl Legs {
    /// At least one.
    pub(crate) fn draw(rng: &mut Rng) -> Legs {
        let clients = rng.bool();
        Legs { clients, backends: !clients || rng.bool() }
    }

    /// The TLS of the clients of a run.
    pub(crate) fn of_clients(self) -> Option<Seal> {
        self.clients.then(Seal::of_clients)
    }

    /// The TLS of its backends.
    pub(crate) fn of_backends(self) -> Option<Seal> {
        self.backends.then(Seal::of_backends)
    }
}

/// A certificate and its key, as PEM.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    // The same in each run of the tests: it is worth nothing.
    let seed = std::array::from_fn::<u8, 32, _>(|place| place as u8);
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed");
    let key = key.to_pkcs8v1().expect("a key");
    let key = KeyPair::try_from(key.as_ref()).expect("a key");
    let backends = (0..=u8::MAX).map(|number| format!("10.1.1.{number}"));
    let names: Vec<_> = std::iter::once(String::from("localhost"))
        .chain([String::from("10.1.0.1")])
        .chain(backends)
        .collect();
    let certificate = CertificateParams::new(names).expect("names").self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
});

/// The TLS of the worker's listener.
fn termination() -> Arc<Termination> {
    let pair = (PAIR.0.clone().into_bytes(), PAIR.1.clone().into_bytes());
    let files = Files { pairs: vec![pair], client_ca: None, client_crl: None };
    // Keys of another run would make a client's ticket one of this.
    let keys = Box::leak(Box::<TicketKeys>::default());
    let made = Termination::new_by("main", TerminationRules::default(), &files, keys, &crypto());
    Arc::new(made.expect("a good pair"))
}

/// The TLS of the worker to backends.
fn origination() -> Arc<Origination> {
    let files = OriginationFiles { ca: Some(PAIR.0.clone().into_bytes()), client: None };
    Arc::new(Origination::new_by(OriginationRules::default(), &files, &crypto()).expect("a good issuer"))
}

/// Has the first listener and the first pool of `snapshot` speak TLS, as far as `legs` says so.
pub(crate) fn put(snapshot: &mut Snapshot, legs: Legs) -> Arc<Handles> {
    let mut made = Handles::default();
    if legs.clients {
        let termination = termination();
        snapshot.listeners[0].tls = Some(Arc::clone(termination.rules()));
        made.add_termination(termination);
    }
    if legs.backends {
        let origination = origination();
        snapshot.pools[0].tls = Some(Arc::clone(origination.rules()));
        made.add_origination(origination);
    }
    Arc::new(made)
}

/// The TLS of the actors of one side. It remembers sessions to resume, so that no two runs share one.
#[derive(Clone, Debug)]
pub(crate) enum Seal {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

impl Seal {
    fn of_clients() -> Seal {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(PAIR.0.as_bytes()).expect("PEM")).expect("a certificate");
        let crypto = crypto();
        let builder = ClientConfig::builder_with_details(crypto.provider(), crypto.clock());
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        Seal::Client(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }

    fn of_backends() -> Seal {
        let chain = vec![CertificateDer::from_pem_slice(PAIR.0.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(PAIR.1.as_bytes()).expect("PEM");
        let crypto = crypto();
        let builder = ServerConfig::builder_with_details(crypto.provider(), crypto.clock());
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let config = builder.with_no_client_auth().with_single_cert(chain, key).expect("a good pair");
        Seal::Server(Arc::new(config))
    }

    /// For one connection.
    pub(crate) fn open(&self) -> Sealed {
        let tls = match self {
            Seal::Client(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                ClientConnection::new(Arc::clone(config), name).expect("a client").into()
            }
            Seal::Server(config) => ServerConnection::new(Arc::clone(config)).expect("a server").into(),
        };
        Sealed { tls, outbox: Vec::new(), owed: 0, said_goodbye: false, has_given_up: false, ended: false }
    }
}

/// One side of an encrypted connection.
#[derive(Debug)]
pub(crate) struct Sealed {
    tls: Connection,
    /// The bytes that the network has yet to take.
    outbox: Vec<u8>,
    /// The place in that up to which the actor's bytes go.
    owed: usize,
    said_goodbye: bool,
    /// It was said in the middle of the handshake, which the worker may find wrong.
    has_given_up: bool,
    /// close_notify has come.
    pub(crate) ended: bool,
}

/// The result of ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Bytes,
    /// close_notify has come.
    End,
    /// The worker refuses to go on.
    Refused,
}

impl Sealed {
    /// Whether the handshake is not over.
    pub(crate) fn is_shaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether there is something to be written that no actor has asked for, or all that he has asked for is
    /// not written.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_shaking() || self.tls.wants_write() || !self.outbox.is_empty()
    }

    /// Whether something that the actor has said is not written.
    pub(crate) fn owes_plain(&self) -> bool {
        self.owed > 0
    }

    /// The network has taken so much of the outbox.
    pub(crate) fn handle_taken(&mut self, count: usize) {
        self.outbox.drain(..count);
        self.owed = self.owed.saturating_sub(count);
    }

    /// The ciphertext that is to be written. At times the keys are changed, which the other side has to
    /// answer.
    pub(crate) fn outbox(&mut self, plain: &[u8], rng: &mut Rng) -> (usize, &[u8]) {
        let mut taken = 0;
        if !self.is_busy() && !plain.is_empty() {
            taken = self.tls.writer().write(plain).expect("a buffer of rustls");
            self.seal();
            self.owed = self.outbox.len();
            if chance(rng, 5) {
                self.tls.refresh_traffic_keys().expect("TLS 1.3");
            }
        }
        self.seal();
        (taken, &self.outbox)
    }

    fn seal(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.outbox).expect("a Vec");
        }
    }

    /// Decrypts `bytes` behind what is in `inbox`.
    pub(crate) fn open(&mut self, mut bytes: &[u8], inbox: &mut Vec<u8>) -> Opened {
        loop {
            if !bytes.is_empty() {
                self.tls.read_tls(&mut bytes).expect("room in rustls");
            }
            match self.tls.process_new_packets() {
                Err(Error::AlertReceived(_)) if self.has_given_up => return Opened::Refused,
                result => drop(result.expect("what the worker says is TLS")),
            }
            let mut room = [0; 4096];
            loop {
                match self.tls.reader().read(&mut room) {
                    Ok(0) => {
                        self.ended = true;
                        return Opened::End;
                    }
                    Ok(count) => inbox.extend_from_slice(&room[..count]),
                    Err(_) => break,
                }
            }
            if bytes.is_empty() {
                return Opened::Bytes;
            }
        }
    }

    /// Says close_notify; true once it is written.
    pub(crate) fn say_goodbye(&mut self) -> bool {
        if !self.said_goodbye {
            self.said_goodbye = true;
            self.has_given_up = self.is_shaking();
            self.tls.send_close_notify();
            return false;
        }
        !self.is_busy()
    }
}
