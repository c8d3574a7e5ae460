//! The cryptography, the clock and the random numbers that TLS goes by.
//!
//! rustls takes all but one of its random numbers from [`Ambient`]. The exception is the private half of a
//! key exchange, which aws-lc-rs draws itself: its interface has no way to pass one in. A world that has to
//! be repeated brings key exchanges of its own.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::os::{Ambient, ambient_of_tls};

/// [`Ambient`], as rustls asks for it.
#[derive(Debug)]
struct Asked(&'static dyn Ambient);

impl TimeProvider for Asked {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.wall_clock()))
    }
}

/// The random numbers of this process, as rustls asks for them.
#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, room: &mut [u8]) -> Result<(), GetRandomFailed> {
        ambient_of_tls().fill_random(room).map_err(|_| GetRandomFailed)
    }
}

/// The parts of a TLS configuration beside its rules and files.
#[derive(Clone, Debug)]
pub struct Crypto {
    provider: Arc<CryptoProvider>,
    ambient: &'static dyn Ambient,
}

impl Crypto {
    /// The cryptography of this process.
    #[must_use]
    pub fn of_system() -> Crypto {
        Crypto { provider: provider(), ambient: ambient_of_tls() }
    }

    /// Another one. The random numbers of `provider` have to come from `ambient` too.
    #[must_use]
    pub fn new(provider: Arc<CryptoProvider>, ambient: &'static dyn Ambient) -> Crypto {
        Crypto { provider, ambient }
    }

    /// Algorithms and random numbers, for rustls.
    #[must_use]
    pub fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.provider)
    }

    /// The wall clock, for rustls.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn TimeProvider> {
        Arc::new(Asked(self.ambient))
    }

    /// The wall clock and the random numbers.
    #[must_use]
    pub fn ambient(&self) -> &'static dyn Ambient {
        self.ambient
    }
}

/// The algorithms of aws-lc-rs with the random numbers of this process.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let usual = rustls::crypto::aws_lc_rs::default_provider();
        Arc::new(CryptoProvider { secure_random: &Random, ..usual })
    });
    Arc::clone(&PROVIDER)
}
