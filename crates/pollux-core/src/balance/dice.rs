//! Random numbers out of one that is given.

use crate::route::hash;

/// A stream of numbers that follows from its beginning (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `bound`, each as likely as the others (to one in 2^64 / `bound`); 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((u128::from(hash::mix(self.0)) * u128::from(bound)) >> 64) as u64
    }
}
