//! The health state of a backend, derived from its checks and failures: whether it gets requests, and with
//! which share of its weight.

use super::{Exclusion, FULL_SHARE};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthState {
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

impl HealthState {
    /// The thousandths of its weight that it gets.
    #[must_use]
    pub fn share(self) -> u32 {
        match self {
            HealthState::Warming { share } => share.min(FULL_SHARE),
            HealthState::Up | HealthState::Down | HealthState::Ejected => FULL_SHARE,
        }
    }

    /// Why it may not be asked.
    #[must_use]
    pub fn exclusion(self) -> Option<Exclusion> {
        match self {
            HealthState::Up | HealthState::Warming { .. } => None,
            HealthState::Down => Some(Exclusion::Down),
            HealthState::Ejected => Some(Exclusion::Ejected),
        }
    }

    /// As one number, so that it can be an atomic one. [`HealthState::Up`] is 0.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        match self {
            HealthState::Up => 0,
            HealthState::Down => 1,
            HealthState::Ejected => 2,
            HealthState::Warming { share } => 3 + share.min(FULL_SHARE),
        }
    }

    /// The standing that [`HealthState::to_bits`] gave as `bits`.
    #[must_use]
    pub fn from_bits(bits: u32) -> HealthState {
        match bits {
            0 => HealthState::Up,
            1 => HealthState::Down,
            2 => HealthState::Ejected,
            share => HealthState::Warming { share: share - 3 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_it_all() {
        for standing in
            [HealthState::Up, HealthState::Down, HealthState::Ejected, HealthState::Warming { share: 7 }]
        {
            assert_eq!(HealthState::from_bits(standing.to_bits()), standing);
        }
        assert_eq!(HealthState::Warming { share: 5000 }.share(), FULL_SHARE);
    }
}
