//! Integers with a prefix (RFC 7541 §5.1).

/// Behind the prefix come at most so many bytes: enough for 2^28.
const MORE_MAX: usize = 4;

/// An integer in the low `prefix` bits of the first byte and what follows, and how many bytes it has. `None` if it is cut short, or
/// above what four further bytes can say.
#[must_use]
pub fn read(bytes: &[u8], prefix: u32) -> Option<(usize, usize)> {
    let most = (1_usize << prefix) - 1;
    let first = usize::from(*bytes.first()?) & most;
    if first < most {
        return Some((first, 1));
    }
    let mut value = most;
    for (place, byte) in bytes[1..].iter().take(MORE_MAX).enumerate() {
        value += usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, place + 2));
        }
    }
    None
}

/// Appends `value` behind the bits of `first` above the prefix.
pub fn write(first: u8, prefix: u32, value: usize, out: &mut Vec<u8>) {
    let most = (1_usize << prefix) - 1;
    if value < most {
        out.push(first | value as u8);
        return;
    }
    out.push(first | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
