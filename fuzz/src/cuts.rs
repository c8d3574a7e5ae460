//! The cuts of an input into reads. They are drawn from the input itself, so that a seed is nothing but
//! a message.

/// A stream of small numbers that depends on nothing but the bytes it was made of.
pub struct Cuts(u64);

impl Cuts {
    /// The cuts of `data`, the `way`th way to cut it.
    #[must_use]
    pub fn of(data: &[u8], way: u64) -> Cuts {
        let seed = data.iter().fold(0xcbf2_9ce4_8422_2325 ^ way, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        // A state of zero would stay zero for ever.
        Cuts(seed | 1)
    }

    /// The size of the next piece, at least 1: mostly a few bytes, sometimes many.
    pub fn piece(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let widest = if self.0 & 7 == 0 { 512 } else { 8 };
        1 + (self.0 >> 8) as usize % widest
    }
}
