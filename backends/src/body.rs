//! Reads request bodies, of any size, without holding them.

use crate::peer::{Peer, Trouble};
use crate::request::Framing;

/// The longest line with a chunk size, extensions included.
const CHUNK_LINE_MAX: usize = 4 * 1024;

/// The longest trailer section.
const TRAILERS_MAX: usize = 64 * 1024;

/// Reads a body to its end and hands its bytes to `sink`, in pieces as they come.
pub(crate) fn read(peer: &mut Peer, framing: Framing, sink: &mut dyn FnMut(&[u8])) -> Result<(), Trouble> {
    match framing {
        Framing::Length(len) => peer.pass(len, sink),
        Framing::Chunked => read_chunks(peer, sink),
    }
}

/// RFC 9112 §7.1: chunks, the last chunk, the trailer section.
fn read_chunks(peer: &mut Peer, sink: &mut dyn FnMut(&[u8])) -> Result<(), Trouble> {
    loop {
        let line = peer.read_line(CHUNK_LINE_MAX)?;
        let size = parse_size(&line).ok_or(Trouble::Bad("a chunk size is malformed"))?;
        if size == 0 {
            return skip_trailers(peer);
        }
        peer.pass(size, sink)?;
        if !peer.read_line(2)?.is_empty() {
            return Err(Trouble::Bad("a chunk is longer than its size"));
        }
    }
}

fn skip_trailers(peer: &mut Peer) -> Result<(), Trouble> {
    let mut left = TRAILERS_MAX;
    loop {
        let line = peer.read_line(left)?;
        if line.is_empty() {
            return Ok(());
        }
        left = left.saturating_sub(line.len() + 2);
    }
}

/// Hexadecimal digits, at most sixteen, with perhaps an extension behind a semicolon.
fn parse_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let fits = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    if fits { u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal_and_nothing_else() {
        assert_eq!(parse_size(b"1aF"), Some(0x1af));
        assert_eq!(parse_size(b"5;name=value"), Some(5));
        assert_eq!(parse_size(b"ffffffffffffffff"), Some(u64::MAX));
        for bad in [&b""[..], b"+5", b"0x5", b" 5", b"5 5", b";a", b"00000000000000001"] {
            assert_eq!(parse_size(bad), None);
        }
    }
}
