//! The identifier of a request: a number of its own, or that of a trusted proxy; and the trace that it is
//! part of.

use std::cell::Cell;
use std::fmt;

use siphasher::sip128::SipHasher24;

/// Makes the numbers of requests: a counter behind a keyed hash (SipHash-2-4 with 128 bits). Without the key
/// no number can be guessed from others, and with a random key for each worker no two workers or starts make
/// the same.
pub struct Ids {
    hasher: SipHasher24,
    next: Cell<u64>,
}

impl Ids {
    /// Numbers by `key`, which is secret.
    #[must_use]
    pub fn new(key: u128) -> Ids {
        Ids { hasher: SipHasher24::new_with_key(&key.to_be_bytes()), next: Cell::new(0) }
    }

    /// A number that it has not given before; never 0.
    #[must_use]
    pub fn next(&self) -> u128 {
        loop {
            let count = self.next.get();
            self.next.set(count.wrapping_add(1));
            let number = self.hasher.hash(&count.to_be_bytes()).as_u128();
            if number != 0 {
                return number;
            }
        }
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is a secret.
        write!(f, "Ids({})", self.next.get())
    }
}

/// The number of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestId<'a> {
    /// By Pollux: 32 hexadecimal digits.
    Own(u128),
    /// By a trusted proxy: a text for which [`is_request_id`] holds.
    Kept(&'a str),
}

impl RequestId<'_> {
    /// Appends it to `out`.
    pub fn push(&self, out: &mut Vec<u8>) {
        match self {
            RequestId::Own(number) => push_hex(out, &number.to_be_bytes()),
            RequestId::Kept(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

impl fmt::Display for RequestId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestId::Own(number) => write!(f, "{number:032x}"),
            RequestId::Kept(text) => f.write_str(text),
        }
    }
}

/// The longest name of a request that is kept, in bytes.
pub const REQUEST_ID_MAX: usize = 128;

/// `value` as what a request may be called: letters, digits and a few marks that need no quoting anywhere.
#[must_use]
pub fn is_request_id(value: &[u8]) -> Option<&str> {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@~".contains(byte);
    let fits = (1..=REQUEST_ID_MAX).contains(&value.len()) && value.iter().all(is_good);
    if fits { std::str::from_utf8(value).ok() } else { None }
}

/// The number of a trace (W3C Trace Context), as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The trace with that number, which is not 0.
    #[must_use]
    pub fn of(number: u128) -> TraceId {
        let mut digits = [0; 32];
        write_hex(&mut digits, &number.to_be_bytes());
        TraceId(digits)
    }

    /// The trace that a `traceparent` field names: `version "-" trace-id "-" parent-id "-" flags` (Trace
    /// Context §3.2). A version that is not known may have more behind that.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<TraceId> {
        let is_hex =
            |part: &[u8]| part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
        let (head, more) = value.split_at_checked(55)?;
        let parts = [&head[..2], &head[3..35], &head[36..52], &head[53..]];
        let [version, trace, parent, _] = parts;
        let is_divided = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        let ends_well =
            if version == b"00" { more.is_empty() } else { more.first().is_none_or(|byte| *byte == b'-') };
        let is_some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
        let is_good = is_divided
            && ends_well
            && parts.iter().all(|part| is_hex(part))
            && version != b"ff"
            && is_some(trace)
            && is_some(parent);
        if is_good { trace.try_into().ok().map(TraceId) } else { None }
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Appends `bytes` as hexadecimal digits.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    write_hex(&mut out[start..], bytes);
}

fn write_hex(room: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in room.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_differ_between_requests_and_between_keys() {
        let mut seen = HashSet::new();
        for key in [0, 1, u128::MAX] {
            let ids = Ids::new(key);
            for _ in 0..10_000 {
                assert!(seen.insert(ids.next()));
            }
        }
        assert_eq!(Ids::new(7).next(), Ids::new(7).next());
        let Ok(text) = format!("{:?}", Ids::new(0x00ab_cdef)).parse::<String>();
        assert_eq!(text, "Ids(0)");
    }

    #[test]
    fn texts_are_the_same_by_either_way() {
        for id in [RequestId::Own(0xff), RequestId::Own(u128::MAX), RequestId::Kept("a-1")] {
            let mut out = Vec::new();
            id.push(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), id.to_string());
        }
        assert_eq!(TraceId::of(255).as_str(), RequestId::Own(255).to_string());
    }

    #[test]
    fn only_harmless_names_are_kept() {
        assert_eq!(is_request_id(b"01J-a.b:c+/=@~"), Some("01J-a.b:c+/=@~"));
        for bad in [&b""[..], b"a b", b"a\"", b"a,b", b"\xff", b"a\n", &[b'a'; 129]] {
            assert_eq!(is_request_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn traceparent_is_read_as_the_recommendation_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for text in [good.to_owned(), good.replacen("00", "cc", 1), good.replacen("00", "cc", 1) + "-more"] {
            assert_eq!(TraceId::read(text.as_bytes()).expect(&text).as_str(), trace);
        }
        for bad in [
            String::new(),
            good.replacen("00", "ff", 1),
            good.to_uppercase(),
            format!("{good}-"),
            format!("{good}1"),
            good.replacen("00", "cc", 1) + "more",
            good.replace(trace, &"0".repeat(32)),
            good.replace("b7ad6b7169203331", &"0".repeat(16)),
            good.replace('-', "_"),
            good[..54].to_owned(),
        ] {
            assert_eq!(TraceId::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
