//! Bodies whose every byte follows from a number, so that whoever receives one can check it without having
//! seen it.

use std::sync::OnceLock;

use fastrand::Rng;

/// Prime, so that no power of two shifts the tape onto itself.
const TAPE: usize = 65_521;

/// Bytes on which a lenient parser might trip if it looked into a body.
const BAIT: [&[u8]; 5] = [
    b"\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"GET /bait HTTP/1.1\r\nHost: bait\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"ffffffffffffffff\r\n",
];

/// A stretch of one endless tape of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    start: usize,
    pub(crate) len: usize,
}

impl Payload {
    /// The body that belongs to `key`.
    pub(crate) fn new(key: usize, len: usize) -> Payload {
        Payload { start: key.wrapping_mul(40_503) % TAPE, len }
    }

    /// The bytes from `from` on, at most `count` of them.
    pub(crate) fn bytes(&self, from: usize, count: usize) -> Vec<u8> {
        let count = count.min(self.len - from);
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let stretch = stretch(self.start + from + bytes.len());
            bytes.extend_from_slice(&stretch[..stretch.len().min(count - bytes.len())]);
        }
        bytes
    }

    /// All of it.
    pub(crate) fn whole(&self) -> Vec<u8> {
        self.bytes(0, self.len)
    }

    /// Whether `bytes` are what belongs at `from`.
    pub(crate) fn has(&self, from: usize, mut bytes: &[u8]) -> bool {
        if from + bytes.len() > self.len {
            return false;
        }
        let mut place = self.start + from;
        while !bytes.is_empty() {
            let stretch = stretch(place);
            let (now, rest) = bytes.split_at(bytes.len().min(stretch.len()));
            if now != &stretch[..now.len()] {
                return false;
            }
            place += now.len();
            bytes = rest;
        }
        true
    }
}

/// The tape from `place` to its seam.
fn stretch(place: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    &NOISE.get_or_init(noise)[place % TAPE..]
}

fn noise() -> Vec<u8> {
    let mut rng = Rng::with_seed(1);
    let mut tape = Vec::with_capacity(TAPE);
    while tape.len() < TAPE {
        tape.extend((0..rng.usize(1..200)).map(|_| rng.u8(..)));
        tape.extend_from_slice(BAIT[rng.usize(..BAIT.len())]);
    }
    tape.truncate(TAPE);
    tape
}
