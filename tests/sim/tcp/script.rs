//! The script of each side of a raw connection, drawn from the seed.

use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

use crate::actor::Pace;
use crate::faults::{Faults, Weather, chance, log_uniform};
use crate::tls::{Legs, Seal};

/// The way in which a side ends badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Resets the connection.
    Abort,
    /// Closes it for both directions, whatever is yet to come.
    Close,
    /// Does nothing at all for that long.
    Hang(Duration),
}

/// One side's part.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The number of bytes that it writes.
    pub(crate) len: usize,
    /// Writes nothing before something has come in.
    pub(crate) listens_first: bool,
    /// Ends its direction only when the other has ended.
    pub(crate) leaves_last: bool,
    /// After that many bytes, in and out together.
    pub(crate) mischief: Option<(usize, Mischief)>,
    pub(crate) is_client: bool,
    /// Speaks TLS.
    pub(crate) seal: Option<Seal>,
    pub(crate) pace: Pace,
}

/// The part that all connections of a run have in common, so that no two sides wait for each other.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    client_listens_first: Option<bool>,
    client_leaves_last: Option<bool>,
    lens: RangeInclusive<usize>,
    foul: bool,
    clients_seal: Option<Seal>,
    backends_seal: Option<Seal>,
}

impl Script {
    pub(crate) fn draw(faults: &Faults, legs: Legs, rng: &mut Rng) -> Script {
        let mut perhaps = || [None, Some(true), Some(false)][rng.usize(..3)];
        Script {
            client_listens_first: perhaps(),
            client_leaves_last: perhaps(),
            lens: 8..=faults.bulk,
            foul: faults.weather == Weather::Foul,
            clients_seal: legs.of_clients(),
            backends_seal: legs.of_backends(),
        }
    }

    /// The part of a new client, or of a new connection at a backend.
    pub(crate) fn part(&self, is_client: bool, rng: &mut Rng) -> Part {
        let is_heard_first = self.client_listens_first == Some(!is_client);
        let len = if !is_heard_first && chance(rng, 10) { 0 } else { log_uniform(rng, &self.lens) };
        let mischief = (self.foul && chance(rng, 40)).then(|| {
            let deed = match rng.u8(..3) {
                0 => Mischief::Abort,
                1 => Mischief::Close,
                _ => Mischief::Hang(Duration::from_secs(rng.u64(1..300))),
            };
            (log_uniform(rng, &(0..=*self.lens.end())), deed)
        });
        Part {
            len,
            listens_first: self.client_listens_first == Some(is_client),
            leaves_last: self.client_leaves_last == Some(is_client),
            mischief,
            is_client,
            seal: if is_client { self.clients_seal.clone() } else { self.backends_seal.clone() },
            pace: Pace::draw(*self.lens.end(), rng),
        }
    }
}
