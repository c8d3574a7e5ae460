//! The wall clock and the random numbers of a system.
//!
//! rustls asks for both in the middle of a handshake, where no [`Os`](super::Os) can be passed to it. So they
//! are an object of their own, which a TLS configuration holds and which [`Os::ambient`](super::Os::ambient)
//! returns for everything else.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// See the module. Both are shared by all threads of a process.
pub trait Ambient: fmt::Debug + Send + Sync {
    /// The time since 1970 in UTC. It steps where the operator or NTP sets the clock: timeouts go by
    /// [`Os::now`](super::Os::now).
    fn wall_clock(&self) -> Duration;

    /// Fills `room` with bytes that no peer can predict.
    ///
    /// # Errors
    /// When the system has none.
    fn fill_random(&self, room: &mut [u8]) -> Result<(), NoRandom>;
}

/// The system has no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandom;

impl fmt::Display for NoRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system has no random numbers")
    }
}

impl std::error::Error for NoRandom {}

/// So many random bytes.
///
/// # Errors
/// See [`Ambient::fill_random`].
pub fn random<const LEN: usize>(ambient: &dyn Ambient) -> Result<[u8; LEN], NoRandom> {
    let mut bytes = [0; LEN];
    ambient.fill_random(&mut bytes)?;
    Ok(bytes)
}

/// Linux, with one of two generators.
#[derive(Debug)]
enum System {
    /// The kernel's: a system call each time.
    Kernel,
    /// The generator of aws-lc-rs, which the kernel seeds: no system call, but the first number of a process
    /// takes some 120 ms of CPU.
    Library,
}

impl Ambient for System {
    fn wall_clock(&self) -> Duration {
        // A clock before 1970 is as good as one that stands there.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn fill_random(&self, room: &mut [u8]) -> Result<(), NoRandom> {
        match self {
            System::Kernel => getrandom::fill(room).map_err(|_| NoRandom),
            System::Library => aws_lc_rs::rand::fill(room).map_err(|_| NoRandom),
        }
    }
}

/// A system whose wall clock stands still at so many seconds after 1970, and that has no random numbers: for
/// worlds without TLS.
#[derive(Clone, Copy, Debug)]
pub struct Still(pub u64);

impl Ambient for Still {
    fn wall_clock(&self) -> Duration {
        Duration::from_secs(self.0)
    }

    fn fill_random(&self, _room: &mut [u8]) -> Result<(), NoRandom> {
        Err(NoRandom)
    }
}

/// Clock and random numbers of this process, for callers that seldom need random numbers.
#[must_use]
pub fn ambient() -> &'static dyn Ambient {
    &System::Kernel
}

/// Clock and random numbers of this process, for handshakes, which need them often.
#[must_use]
pub fn ambient_of_tls() -> &'static dyn Ambient {
    &System::Library
}

/// The wall clock of this process in whole seconds, as certificates count.
#[must_use]
pub fn unix_time() -> i64 {
    i64::try_from(ambient().wall_clock().as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_system_has_a_calendar_and_numbers_that_differ() {
        for ambient in [ambient(), ambient_of_tls()] {
            let [one, other] = [(); 2].map(|()| random::<32>(ambient).unwrap());
            assert_ne!(one, other);
        }
        // In 2023, before this was written.
        assert!(unix_time() > 1_700_000_000);
    }
}
