//! The wall clock and the random numbers of a run, and TLS that takes all of its numbers from there.
//!
//! A TLS configuration holds its [`Ambient`] for ever, and runs come one after the other on a thread. So what
//! it shows is the state of the run that the thread is in. Each side of a connection draws from the same
//! stream, in the order of the run.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use fastrand::Rng;
use pollux::core::time::Time;
use pollux::os::{Ambient, NoRandom};
use pollux::tls::{Crypto, provider};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved};

/// When every run begins: in November 2023.
const BEGINNING: Duration = Duration::from_secs(1_700_000_000);

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(BEGINNING) };
    static RNG: RefCell<Rng> = const { RefCell::new(Rng::with_seed(0)) };
}

/// Begins a run on this thread.
pub(crate) fn begin(seed: u64) {
    NOW.set(BEGINNING);
    RNG.set(Rng::with_seed(seed));
}

/// The virtual clock of the run has come to `now`.
pub(crate) fn advance(now: Time) {
    NOW.set(BEGINNING + now.since(Time::ZERO));
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Simulated;

impl Ambient for Simulated {
    fn wall_clock(&self) -> Duration {
        NOW.get()
    }

    fn fill_random(&self, room: &mut [u8]) -> Result<(), NoRandom> {
        RNG.with_borrow_mut(|rng| rng.fill(room));
        Ok(())
    }
}

impl SecureRandom for Simulated {
    fn fill(&self, room: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.fill_random(room).map_err(|_| GetRandomFailed)
    }
}

/// X25519 with private keys from the seed, where aws-lc-rs would draw its own.
#[derive(Debug)]
struct SeededX25519;

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        SecureRandom::fill(&Simulated, &mut secret)?;
        let key = PrivateKey::from_private_key(&X25519, &secret).expect("any 32 bytes are a key");
        let public = key.compute_public_key().expect("a public key");
        Ok(Box::new(Begun { key, public: public.as_ref().to_vec() }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// A key exchange of which the other side's half is missing.
struct Begun {
    key: PrivateKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Begun {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        let refused = Error::from(PeerMisbehaved::InvalidKeyShare);
        agreement::agree(&self.key, peer, refused, |secret| Ok(SharedSecret::from(secret)))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// The cryptography of a run. Nothing in it draws numbers of its own: keys sign by Ed25519, which needs none.
pub(crate) fn crypto() -> Crypto {
    let usual = CryptoProvider::clone(&provider());
    let kx_groups = vec![&SeededX25519 as &dyn SupportedKxGroup];
    let provider = CryptoProvider { kx_groups, secure_random: &Simulated, ..usual };
    Crypto::new(Arc::new(provider), &Simulated)
}
