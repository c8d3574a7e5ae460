//! The bytes that bodies are made of, and the checksum that tells whether they arrived.

/// The period of the pattern. It is prime, so a lost or doubled block of any power of two shows as a shift.
const PERIOD: u64 = 89;

/// The first `len` bytes of the pattern that every generated body consists of: printable ASCII, `!` to `y`,
/// over and over.
///
/// ```
/// assert_eq!(toy_backends::pattern(4), b"!\"#$");
/// ```
pub fn pattern(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    extend(&mut bytes, 0, len);
    bytes
}

/// Appends `len` bytes of the pattern, beginning at position `from` of it.
pub(crate) fn extend(bytes: &mut Vec<u8>, from: u64, len: usize) {
    let mut phase = (from % PERIOD) as u8;
    bytes.reserve(len);
    for _ in 0..len {
        bytes.push(b'!' + phase);
        phase = if u64::from(phase) + 1 == PERIOD { 0 } else { phase + 1 };
    }
}

/// The 64-bit FNV-1a hash of bytes that arrive in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv1a(u64);

impl Fnv1a {
    pub(crate) fn new() -> Fnv1a {
        Fnv1a(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Takes `len` bytes of the pattern, beginning at position `from` of it.
    pub(crate) fn update_pattern(&mut self, from: u64, len: u64) {
        for at in 0..len {
            self.update(&[b'!' + (from.wrapping_add(at) % PERIOD) as u8]);
        }
    }

    /// The hash as sixteen hexadecimal digits.
    pub(crate) fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The 64-bit FNV-1a hash of `bytes` as sixteen hexadecimal digits, as `upload` and `chunked` report it.
pub fn fnv1a(bytes: &[u8]) -> String {
    let mut hash = Fnv1a::new();
    hash.update(bytes);
    hash.hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_agrees_with_the_published_vectors() {
        assert_eq!(fnv1a(b""), "cbf29ce484222325");
        assert_eq!(fnv1a(b"a"), "af63dc4c8601ec8c");
        assert_eq!(fnv1a(b"foobar"), "85944171f73967e8");
    }

    #[test]
    fn the_pattern_does_not_depend_on_how_it_is_cut() {
        let whole = pattern(1000);
        let mut pieces = Vec::new();
        for from in (0..1000).step_by(50) {
            extend(&mut pieces, from, 50);
        }
        assert_eq!(whole, pieces);
        assert!(whole.iter().all(u8::is_ascii_graphic));
    }
}
