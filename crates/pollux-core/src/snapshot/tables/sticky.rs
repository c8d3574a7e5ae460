//! Clients that are bound to a backend by a cookie.
//!
//! The value of the cookie follows from the names of the pool and the backend, and from the secret if there
//! is one. Nothing is remembered: it is the same after a restart, after a reload, and in every Pollux that
//! has the same names and secret. It reveals nothing about the backend to a client that does not know its
//! name. With a secret no client can make a value for a backend of its choice.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::route::hash;
use crate::snapshot::Pool;

/// The digits of a value.
const DIGITS: usize = 32;

/// The values of the cookies of a pool's backends.
#[derive(Debug, Default)]
pub struct Tokens {
    by_place: Box<[u128]>,
    /// Each with its place, in order.
    sorted: Box<[(u128, usize)]>,
}

impl Tokens {
    /// The tokens of the backends of `pool`.
    pub(crate) fn new(pool: &Pool) -> Tokens {
        let secret = pool.sticky.as_ref().and_then(|sticky| sticky.secret.as_ref());
        let secret = secret.map(|secret| secret.0.as_bytes());
        let by_place: Box<[u128]> =
            pool.backends.iter().map(|backend| token(secret, &pool.name, &backend.name)).collect();
        let mut sorted: Box<[_]> =
            by_place.iter().enumerate().map(|(place, token)| (*token, place)).collect();
        sorted.sort_unstable();
        Tokens { by_place, sorted }
    }

    /// The place of the backend that a cookie with this value is for.
    #[must_use]
    pub fn find(&self, value: &[u8]) -> Option<usize> {
        let is_lower_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if value.len() != DIGITS || !value.iter().all(is_lower_hex) {
            return None;
        }
        let token = u128::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()?;
        let at = self.sorted.binary_search_by_key(&token, |(token, _)| *token).ok()?;
        Some(self.sorted[at].1)
    }

    /// The value for the backend at `place`: 32 hexadecimal digits.
    #[must_use]
    pub fn value(&self, place: usize) -> [u8; DIGITS] {
        let token = self.by_place.get(place).copied().unwrap_or(0);
        let digit = |at: usize| {
            let digit = (token >> (4 * (DIGITS - 1 - at))) as u8 & 15;
            if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
        };
        std::array::from_fn(digit)
    }
}

fn token(secret: Option<&[u8]>, pool: &str, backend: &str) -> u128 {
    // No name has a zero byte, so two pairs of names are never the same text.
    let text = format!("{pool}\0{backend}");
    // HMAC takes a key of any length.
    if let Some(Ok(mut mac)) = secret.map(<Hmac<Sha256> as KeyInit>::new_from_slice) {
        mac.update(text.as_bytes());
        let code = mac.finalize().into_bytes();
        return code.iter().take(16).fold(0, |token, byte| token << 8 | u128::from(*byte));
    }
    let (high, low) = (hash::stable(text.as_bytes()), hash::stable(format!("{text}\0").as_bytes()));
    u128::from(high) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Address, Backend, Secret, Sticky};

    fn pool(names: &[&str], secret: Option<&str>) -> Pool {
        let backend = |name: &&str| Backend::new(*name, Address::Ip(([127, 0, 0, 1], 1).into()), 1);
        let secret = secret.map(|secret| Secret(secret.to_owned()));
        let sticky = Some(Sticky { secret, ..Sticky::named("srv") });
        Pool { sticky, ..Pool::new("app", names.iter().map(backend).collect()) }
    }

    #[test]
    fn a_value_leads_to_its_backend_wherever_that_stands() {
        let (one, other) =
            (Tokens::new(&pool(&["a", "b"], None)), Tokens::new(&pool(&["c", "b", "a"], None)));
        assert_eq!(other.find(&one.value(0)), Some(2));
        assert_eq!(other.find(&one.value(1)), Some(1));
        assert_eq!(one.find(&other.value(0)), None);
        for bad in
            [&b""[..], b"0", &[b'g'; 32], &[b'+'; 32], &one.value(0)[1..], &one.value(0).to_ascii_uppercase()]
        {
            assert_eq!(one.find(bad), None);
        }
    }

    /// A restart, another machine, a later version: the values are the same. That of the secret is RFC 2104's
    /// HMAC.
    #[test]
    fn the_values_never_change() {
        let text = |tokens: &Tokens| String::from_utf8(tokens.value(0).to_vec()).unwrap();
        assert_eq!(text(&Tokens::new(&pool(&["a"], None))), "4761bf2b4f684325b391b6186608e93d");
        assert_eq!(text(&Tokens::new(&pool(&["a"], Some("s3cret")))), "7352b4a114edb847fbf3571c787b4254");
    }

    #[test]
    fn nobody_without_the_secret_makes_a_value() {
        let [open, ours, theirs] =
            [None, Some("ours"), Some("theirs")].map(|secret| Tokens::new(&pool(&["a", "b"], secret)));
        for other in [&open, &theirs] {
            assert_eq!(ours.find(&other.value(0)), None);
        }
        assert_eq!(ours.find(&ours.value(1)), Some(1));
    }
}
