//! What the checks and the failures of a backend come to: may it be asked, and how often.

use super::{Exclusion, FULL_SHARE};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    #[default]
    Up,
    /// It has just come up, and gets so many thousandths of its weight, 1 to [`FULL_SHARE`].
    Warming {
        /// The share.
        share: u32,
    },
    /// It failed its checks.
    Down,
    /// It has failed real requests, and is left alone for a while.
    Ejected,
}

impl Standing {
    /// The thousandths of its weight that it gets.
    #[must_use]
    pub fn share(self) -> u32 {
        match self {
            Standing::Warming { share } => share.min(FULL_SHARE),
            Standing::Up | Standing::Down | Standing::Ejected => FULL_SHARE,
        }
    }

    /// Why it may not be asked.
    #[must_use]
    pub fn exclusion(self) -> Option<Exclusion> {
        match self {
            Standing::Up | Standing::Warming { .. } => None,
            Standing::Down => Some(Exclusion::Down),
            Standing::Ejected => Some(Exclusion::Ejected),
        }
    }

    /// As one number, so that it can be an atomic one. [`Standing::Up`] is 0.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        match self {
            Standing::Up => 0,
            Standing::Down => 1,
            Standing::Ejected => 2,
            Standing::Warming { share } => 3 + share.min(FULL_SHARE),
        }
    }

    /// The standing that [`Standing::to_bits`] gave as `bits`.
    #[must_use]
    pub fn from_bits(bits: u32) -> Standing {
        match bits {
            0 => Standing::Up,
            1 => Standing::Down,
            2 => Standing::Ejected,
            share => Standing::Warming { share: share - 3 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_it_all() {
        for standing in [Standing::Up, Standing::Down, Standing::Ejected, Standing::Warming { share: 7 }] {
            assert_eq!(Standing::from_bits(standing.to_bits()), standing);
        }
        assert_eq!(Standing::Warming { share: 5000 }.share(), FULL_SHARE);
    }
}
