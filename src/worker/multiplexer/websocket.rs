//! The half of a WebSocket handshake that HTTP/2 does not have (RFC 8441 §5): a key, and the proof that the backend
//! has read it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::os::{Ambient, NoRandom, random};
use crate::syntax::base64::base64;

/// RFC 6455 §1.3. SHA-1 is part of the protocol, and protects nothing.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key of Pollux, and what a backend makes of it.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) key: String,
    pub(super) accept: Box<str>,
}

impl Handshake {
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn new(ambient: &dyn Ambient) -> Result<Handshake, NoRandom> {
        let key = base64(&random::<16>(ambient)?);
        let accept = accept_of(key.as_bytes());
        Ok(Handshake { key, accept })
    }
}

/// The proof that a request with `key` was read.
pub(super) fn accept_of(key: &[u8]) -> Box<str> {
    let text = [key, GUID.as_bytes()].concat();
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc() {
        assert_eq!(&*accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
