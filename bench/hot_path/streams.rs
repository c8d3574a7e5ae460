//! The frames of a client and of a backend that speak HTTP/2, for the operating system of the hot path.

use pollux::h2::encoder::{FieldBlock, Strings};
use pollux::h2::fields::HeaderField;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The window of the connection opens by 2^30 bytes.
const WINDOW: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x40, 0, 0, 0];

const HEAD: usize = 9;
const HEADERS: u8 = 1;
/// END_STREAM, END_HEADERS.
const WHOLE: u8 = 5;

/// The request of the browser, without a table.
const REQUEST: [(&str, &str); 11] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "www.example.org"),
    (":path", "/articles/2026/11/22/index.html?page=2&sort=date"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://www.example.org/articles/"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ("cookie", "theme=dark"),
];

const RESPONSE: [(&str, &str); 7] = [
    (":status", "200"),
    ("server", "toy"),
    ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("content-type", "text/html; charset=utf-8"),
    ("content-length", "5"),
    ("cache-control", "private, max-age=0"),
    ("etag", "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
];

/// One side of a connection. Its frames are made once, and only the number of their stream changes.
pub(crate) struct Peer {
    /// The frames that come before all others, until they have been sent.
    beginning: Vec<u8>,
    /// The places of the numbers in `frames`.
    numbers: Vec<usize>,
    frames: Vec<u8>,
    /// The number of the next stream.
    number: u32,
    has_preface: bool,
}

impl Peer {
    /// A client that asks for one thing behind another.
    pub(crate) fn client() -> Peer {
        let beginning = [PREFACE, SETTINGS, WINDOW].concat();
        Peer::new(beginning, &[(HEADERS, WHOLE, block(&REQUEST))])
    }

    /// A backend that answers them with `body`.
    pub(crate) fn backend(body: &[u8]) -> Peer {
        let frames = [(HEADERS, WHOLE & !1, block(&RESPONSE)), (0, 1, body.to_vec())];
        Peer::new([SETTINGS, WINDOW].concat(), &frames)
    }

    fn new(beginning: Vec<u8>, all: &[(u8, u8, Vec<u8>)]) -> Peer {
        let (mut numbers, mut frames) = (Vec::new(), Vec::new());
        for (kind, flags, payload) in all {
            let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
            frames.extend_from_slice(&[length[1], length[2], length[3], *kind, *flags]);
            numbers.push(frames.len());
            frames.extend_from_slice(&[0; 4]);
            frames.extend_from_slice(payload);
        }
        Peer { beginning, numbers, frames, number: 1, has_preface: false }
    }

    /// The frames of the next stream, behind those of the beginning; how many bytes they have.
    pub(crate) fn say(&mut self, room: &mut [u8]) -> usize {
        for at in &self.numbers {
            self.frames[*at..*at + 4].copy_from_slice(&self.number.to_be_bytes());
        }
        self.number += 2;
        let before = self.beginning.len();
        room[..before].copy_from_slice(&self.beginning);
        self.beginning.clear();
        room[before..before + self.frames.len()].copy_from_slice(&self.frames);
        before + self.frames.len()
    }

    /// Whether the frames that have come begin a request.
    pub(crate) fn hears_request(&mut self, mut bytes: &[u8]) -> bool {
        if !std::mem::replace(&mut self.has_preface, true) {
            bytes = bytes.strip_prefix(PREFACE).expect("the preface");
        }
        let mut has_request = false;
        while let Some([a, b, c, kind, ..]) = bytes.get(..HEAD) {
            has_request |= *kind == HEADERS;
            bytes = &bytes[HEAD + u32::from_be_bytes([0, *a, *b, *c]) as usize..];
        }
        has_request
    }
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = FieldBlock::default();
    for (name, value) in fields {
        let field = HeaderField { name: name.as_bytes(), value: value.as_bytes(), is_secret: false };
        block.push(field, Strings::Plain);
    }
    block.bytes().to_vec()
}
