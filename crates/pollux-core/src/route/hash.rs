//! A hash that is the same in every process and every release: a sticky key must find its pool again after a
//! restart, and on the next machine.

/// The hash of `bytes`: FNV-1a, and a finalizer (that of SplitMix64) because the upper bits of FNV change too
/// little.
#[must_use]
pub fn stable(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    mix(bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)))
}

/// Spreads the bits of `hash` over all of it.
#[must_use]
pub fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_never_change() {
        assert_eq!(stable(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(stable(b"10.1.2.3"), stable(b"10.1.2.3"));
        assert_ne!(stable(b"a"), stable(b"b"));
    }
}
