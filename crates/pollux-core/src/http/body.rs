//! Chunked bodies (RFC 9112 §7.1): read strictly, passed on in one canonical form.
//!
//! Every chunk keeps its size and its place, so data is not held up or copied; but its size line is written
//! anew, without extensions, leading zeros or anything else that two parsers could read in two ways. Towards
//! an HTTP/1.0 client only the data passes. Trailer fields pass unless they concern framing, routing or the
//! connection (RFC 9110 §6.5.1).

use memchr::memchr;

use crate::core::buffer::Buffer;
use crate::core::grpc::GrpcStatus;
use crate::http::grpc::GRPC_STATUS;
use crate::message::{Name, Nominated};
use crate::syntax::grammar::{LENGTH_MAX, is_field_value, is_token, trim};

/// The longest size line, its extensions and CRLF included.
pub const SIZE_LINE_MAX: usize = 256;
/// The longest trailer section, all its lines together.
pub const TRAILERS_MAX: usize = 8 * 1024;

/// Why a chunked body cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkFault {
    /// A size line, the end of the data or a trailer field breaks the grammar or its bound.
    Malformed,
    /// There is more data than the budget allows.
    TooLong,
}

/// Whether the client of the body understands chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// It does: canonical chunks go out.
    Keep,
    /// It speaks HTTP/1.0: the bare data goes out.
    Strip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A size line comes next.
    Size,
    /// So much data comes next.
    Data(u64),
    /// The CRLF behind the data comes next.
    DataEnd,
    /// Trailer lines come next.
    Trailers {
        /// So many bytes of them have passed by.
        so_far: usize,
        /// Up to here there is no end in the line that is being looked at.
        looked: usize,
    },
}

/// A chunked body under way.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    chunks: Chunks,
    /// The amount of data that may still come.
    budget: u64,
    /// Trailer fields that the head speaks against; they do not pass.
    nominated: Nominated,
    /// No trailer field passes.
    drops_trailers: bool,
    /// Whether blanks may stand behind a size.
    takes_blanks: bool,
    /// The status of a call of gRPC, from the trailers.
    grpc: Option<GrpcStatus>,
}

impl Chunked {
    /// A body of which at most `budget` bytes of data may come; `None` is unlimited. `nominated` are the
    /// fields that the head's Connection names, and that a route takes out of it: they do not pass in
    /// trailers either.
    #[must_use]
    pub fn new(chunks: Chunks, budget: Option<u64>, nominated: Nominated) -> Chunked {
        Chunked {
            state: State::Size,
            chunks,
            budget: budget.unwrap_or(u64::MAX),
            nominated,
            drops_trailers: false,
            takes_blanks: false,
            grpc: None,
        }
    }

    /// Drops trailer fields. They are held to the grammar all the same.
    #[must_use]
    pub fn without_trailers(self) -> Chunked {
        Chunked { drops_trailers: true, ..self }
    }

    /// A decoder for a response: old servers pad their sizes with blanks to a fixed width. The blanks are not
    /// passed on.
    #[must_use]
    pub fn of_response(chunks: Chunks, nominated: Nominated) -> Chunked {
        Chunked { takes_blanks: true, ..Chunked::new(chunks, None, nominated) }
    }

    /// From here on the bare data passes.
    pub fn strip(&mut self) {
        self.chunks = Chunks::Strip;
    }

    /// Passes what is complete of the buffer's unscanned bytes; true once the body has ended.
    ///
    /// # Errors
    /// See [`ChunkFault`]. What was passed before the fault stays passed.
    pub fn advance(&mut self, buffer: &mut Buffer) -> Result<bool, ChunkFault> {
        self.run(buffer, None)
    }

    /// Like [`advance`](Self::advance), but the trailer lines that may pass are appended to `trailers`: at
    /// most [`TRAILERS_MAX`] bytes in a body.
    ///
    /// # Errors
    /// See [`ChunkFault`].
    pub fn split(&mut self, buffer: &mut Buffer, trailers: &mut Vec<u8>) -> Result<bool, ChunkFault> {
        self.run(buffer, Some(trailers))
    }

    fn run(&mut self, buffer: &mut Buffer, mut aside: Option<&mut Vec<u8>>) -> Result<bool, ChunkFault> {
        loop {
            let bytes = buffer.unscanned();
            match self.state {
                State::Size => {
                    let Some((size, length)) = size_line(bytes, self.takes_blanks)? else { return Ok(false) };
                    self.budget = self.budget.checked_sub(size).ok_or(ChunkFault::TooLong)?;
                    self.pass_size(buffer, size, length);
                    self.state =
                        if size == 0 { State::Trailers { so_far: 0, looked: 0 } } else { State::Data(size) };
                }
                State::Data(left) => {
                    let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    if count == 0 {
                        return Ok(false);
                    }
                    buffer.clear(count);
                    let left = left - count as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::DataEnd => {
                    if !b"\r\n".starts_with(&bytes[..bytes.len().min(2)]) {
                        return Err(ChunkFault::Malformed);
                    }
                    if bytes.len() < 2 {
                        return Ok(false);
                    }
                    self.pass(buffer, 2);
                    self.state = State::Size;
                }
                State::Trailers { so_far, looked } => {
                    // A line that is longer than the buffer would never be complete.
                    let limit = (TRAILERS_MAX - so_far).min(buffer.capacity());
                    let Some(line) = line(bytes, looked, limit)? else {
                        self.state = State::Trailers { so_far, looked: bytes.len() };
                        return Ok(false);
                    };
                    let (length, is_last) = (line.len() + 2, line.is_empty());
                    let passes = is_last || self.passes(line)?;
                    match &mut aside {
                        Some(trailers) if passes && !is_last => {
                            trailers.extend_from_slice(&bytes[..length]);
                            buffer.skip(length);
                        }
                        None if passes => self.pass(buffer, length),
                        Some(_) | None => buffer.skip(length),
                    }
                    if is_last {
                        return Ok(true);
                    }
                    self.state = State::Trailers { so_far: so_far + length, looked: 0 };
                }
            }
        }
    }

    /// The status of a call of gRPC, once its trailers were seen.
    #[must_use]
    pub fn grpc_status(&self) -> Option<GrpcStatus> {
        self.grpc
    }

    /// Whether a trailer field may pass.
    fn passes(&mut self, line: &[u8]) -> Result<bool, ChunkFault> {
        let colon = memchr(b':', line).ok_or(ChunkFault::Malformed)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) || !is_field_value(value) {
            return Err(ChunkFault::Malformed);
        }
        if name.eq_ignore_ascii_case(GRPC_STATUS) {
            self.grpc = Some(GrpcStatus::read(trim(value)));
        }
        Ok(!self.drops_trailers && Name::may_trail(name) && !self.nominated.has(name))
    }

    /// Passes framing as it is, or drops it.
    fn pass(&self, buffer: &mut Buffer, count: usize) {
        match self.chunks {
            Chunks::Keep => buffer.clear(count),
            Chunks::Strip => buffer.skip(count),
        }
    }

    /// Passes the canonical form of a size line that is `length` bytes long.
    fn pass_size(&self, buffer: &mut Buffer, size: u64, length: usize) {
        match self.chunks {
            Chunks::Keep => {
                let mut text = [0; 18];
                let start = hexadecimal(&mut text, size);
                buffer.replace(length, &text[start..]);
            }
            Chunks::Strip => buffer.skip(length),
        }
    }
}

/// Writes `size` and CRLF at the end of `text` and returns where that begins.
fn hexadecimal(text: &mut [u8; 18], mut size: u64) -> usize {
    text[16..].copy_from_slice(b"\r\n");
    let mut start = 16;
    loop {
        start -= 1;
        text[start] = b"0123456789abcdef"[(size & 15) as usize];
        size >>= 4;
        if size == 0 {
            return start;
        }
    }
}

/// The line that `bytes` begin with, without its CRLF, once it is complete and if it is at most `limit` long
/// with it. It does not end in the first `looked` bytes.
fn line(bytes: &[u8], looked: usize, limit: usize) -> Result<Option<&[u8]>, ChunkFault> {
    let window = &bytes[..bytes.len().min(limit)];
    let found = memchr(b'\n', window.get(looked..).unwrap_or_default());
    let Some(end) = found.map(|at| looked + at) else {
        return if bytes.len() >= limit { Err(ChunkFault::Malformed) } else { Ok(None) };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(ChunkFault::Malformed)?;
    if line.contains(&b'\r') { Err(ChunkFault::Malformed) } else { Ok(Some(line)) }
}

/// `chunk-size [ chunk-ext ] CRLF`: the size and the length of the line, once it is complete.
fn size_line(bytes: &[u8], takes_blanks: bool) -> Result<Option<(u64, usize)>, ChunkFault> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > 16 || (digits == 0 && !bytes.is_empty()) {
        return Err(ChunkFault::Malformed);
    }
    if !matches!(bytes.get(digits), None | Some(b'\r' | b';' | b' ' | b'\t')) {
        return Err(ChunkFault::Malformed);
    }
    let Some(line) = line(bytes, 0, SIZE_LINE_MAX)? else { return Ok(None) };
    let behind = &line[digits..];
    if !(takes_blanks && trim(behind).is_empty()) {
        extensions(behind)?;
    }
    let size = line[..digits].iter().fold(0_u64, |size, &byte| {
        let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
        (size << 4) | digit
    });
    if size > LENGTH_MAX { Err(ChunkFault::Malformed) } else { Ok(Some((size, line.len() + 2))) }
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`, RFC 9112 §7.1.1. They are dropped, but a
/// line that has something else behind its size is no size line. No known sender uses a semicolon inside a
/// quoted value, so it is refused too.
fn extensions(bytes: &[u8]) -> Result<(), ChunkFault> {
    let mut parts = bytes.split(|&byte| byte == b';');
    let before = parts.next().unwrap_or_default();
    let has_extensions = bytes.contains(&b';');
    if !trim(before).is_empty() || (!has_extensions && !before.is_empty()) {
        return Err(ChunkFault::Malformed);
    }
    for part in parts {
        let mut halves = part.splitn(2, |&byte| byte == b'=');
        let name = trim(halves.next().unwrap_or_default());
        let value = halves.next().map(trim);
        if !is_token(name) || !value.is_none_or(|value| is_token(value) || is_quoted(value)) {
            return Err(ChunkFault::Malformed);
        }
    }
    Ok(())
}

/// A quoted string (RFC 9110 §5.6.4).
fn is_quoted(value: &[u8]) -> bool {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return false;
    };
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return false,
            b'\\' if bytes.next().is_none() => return false,
            _ => {}
        }
    }
    is_field_value(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `bytes` in pieces and gives what came out, whether it ended, and what was left.
    fn run(bytes: &[u8], chunks: Chunks, sizes: &[usize]) -> Result<(Vec<u8>, bool, usize), ChunkFault> {
        let mut buffer = Buffer::default();
        buffer.attach(vec![0; 1024].into());
        let mut nominated = Nominated::default();
        nominated.add([&b"X-Hop"[..], b"close"].into_iter());
        let mut chunked = Chunked::new(chunks, Some(1000), nominated);
        let (mut out, mut given, mut done) = (Vec::new(), 0, false);
        let mut sizes = sizes.iter().cycle();
        while given < bytes.len() && !done {
            let room = buffer.room();
            let count = (*sizes.next().unwrap()).min(bytes.len() - given).min(room.len());
            room[..count].copy_from_slice(&bytes[given..given + count]);
            buffer.fill(count);
            given += count;
            done = chunked.advance(&mut buffer)?;
            out.extend_from_slice(buffer.unsent());
            buffer.send(buffer.unsent().len());
        }
        Ok((out, done, buffer.unscanned().len() + bytes.len() - given))
    }

    const CASES: &[(&str, Option<&str>)] = &[
        ("0\r\n\r\n", Some("0\r\n\r\n")),
        ("5\r\nhello\r\n0\r\n\r\n", Some("5\r\nhello\r\n0\r\n\r\n")),
        ("0005\r\nhello\r\n00\r\n\r\n", Some("5\r\nhello\r\n0\r\n\r\n")),
        ("A\r\n0123456789\r\n0\r\n\r\n", Some("a\r\n0123456789\r\n0\r\n\r\n")),
        ("5;a=b;c=\"d e\" ; f\r\nhello\r\n0;x\r\n\r\n", Some("5\r\nhello\r\n0\r\n\r\n")),
        ("5 ;a\r\nhello\r\n0\r\n\r\n", Some("5\r\nhello\r\n0\r\n\r\n")),
        ("0\r\nX-Sum: 1\r\n\r\n", Some("0\r\nX-Sum: 1\r\n\r\n")),
        ("0\r\nContent-Length: 1\r\nX: y\r\nHost: h\r\n\r\n", Some("0\r\nX: y\r\n\r\n")),
        ("0\r\nx-hop: 1\r\nX: y\r\n\r\n", Some("0\r\nX: y\r\n\r\n")),
        ("0\r\nx_hop: 1\r\nX: y\r\n\r\n", Some("0\r\nX: y\r\n\r\n")),
        ("0\r\nContent_Type: 1\r\nX_Forwarded-For: 1\r\nX: y\r\n\r\n", Some("0\r\nX: y\r\n\r\n")),
        ("0\r\nSet_Cookie: 1\r\nproxy_authorization: 1\r\nX_Y: z\r\n\r\n", Some("0\r\nX_Y: z\r\n\r\n")),
        ("0\r\ntrace_parent: 1\r\nX-Request_Id: 1\r\n\r\n", Some("0\r\ntrace_parent: 1\r\n\r\n")),
        ("5\r\nhello\r\n0\r\n", None),
        ("5\nhello\r\n0\r\n\r\n", None),
        ("5\r\nhello\n0\r\n\r\n", None),
        ("5\r\nhelloX\r\n0\r\n\r\n", None),
        ("5\r\nhello0\r\n\r\n", None),
        ("\r\n", None),
        (";\r\n\r\n", None),
        ("0x5\r\nhello\r\n0\r\n\r\n", None),
        ("+5\r\nhello\r\n0\r\n\r\n", None),
        ("-1\r\n\r\n", None),
        (" 5\r\nhello\r\n0\r\n\r\n", None),
        ("5 \r\nhello\r\n0\r\n\r\n", None),
        ("5,\r\nhello\r\n0\r\n\r\n", None),
        ("5\r;a\r\nhello\r\n0\r\n\r\n", None),
        ("5;\r\nhello\r\n0\r\n\r\n", None),
        ("5;a=\r\nhello\r\n0\r\n\r\n", None),
        ("5;a\nb\r\nhello\r\n0\r\n\r\n", None),
        ("5;a=\"\0\"\r\nhello\r\n0\r\n\r\n", None),
        ("10000000000000000\r\n", None),
        ("00000000000000005\r\nhello\r\n0\r\n\r\n", None),
        ("fffffffffffffffff\r\n", None),
        ("8000000000000000\r\n", None),
        ("0\r\nno colon\r\n\r\n", None),
        ("0\r\n folded: x\r\n\r\n", None),
        ("0\r\nX : y\r\n\r\n", None),
        ("0\r\nX: y\n\r\n", None),
        ("0\r\nX: \0\r\n\r\n", None),
        ("0\r\nX: y\r\n\n", None),
    ];

    #[test]
    fn chunks_come_out_canonical_or_not_at_all_however_they_are_cut() {
        for (input, output) in CASES {
            for size in 1..=input.len() {
                let verdict = run(input.as_bytes(), Chunks::Keep, &[size]);
                match (output, verdict) {
                    (Some(output), Ok((out, true, 0))) => {
                        assert_eq!(String::from_utf8(out).unwrap(), *output);
                    }
                    (None, Ok((_, false, _)) | Err(ChunkFault::Malformed)) => {}
                    (_, verdict) => panic!("{input:?} in pieces of {size}: {verdict:?}"),
                }
            }
        }
    }

    #[test]
    fn a_backend_may_pad_its_sizes_with_blanks() {
        for (input, output) in [
            ("5     \r\nhello\r\n0   \r\n\r\n", Some("5\r\nhello\r\n0\r\n\r\n")),
            ("5 \t\r\nhello\r\n0\r\n\r\n", Some("5\r\nhello\r\n0\r\n\r\n")),
            ("5 ;a=b\r\nhello\r\n0\r\n\r\n", Some("5\r\nhello\r\n0\r\n\r\n")),
            (" 5\r\nhello\r\n0\r\n\r\n", None),
            ("5 x\r\nhello\r\n0\r\n\r\n", None),
            ("5 5\r\nhello\r\n0\r\n\r\n", None),
            ("5\x0b\r\nhello\r\n0\r\n\r\n", None),
            ("5 \r \r\nhello\r\n0\r\n\r\n", None),
        ] {
            let mut buffer = Buffer::default();
            buffer.attach(vec![0; 1024].into());
            buffer.room()[..input.len()].copy_from_slice(input.as_bytes());
            buffer.fill(input.len());
            let verdict = Chunked::of_response(Chunks::Keep, Nominated::default()).advance(&mut buffer);
            match output {
                Some(output) => assert_eq!((verdict, buffer.unsent()), (Ok(true), output.as_bytes())),
                None => assert_eq!(verdict, Err(ChunkFault::Malformed), "{input:?}"),
            }
        }
        let long = format!("5{}\r\n", " ".repeat(SIZE_LINE_MAX));
        let mut buffer = Buffer::default();
        buffer.attach(vec![0; 1024].into());
        buffer.room()[..long.len()].copy_from_slice(long.as_bytes());
        buffer.fill(long.len());
        let verdict = Chunked::of_response(Chunks::Keep, Nominated::default()).advance(&mut buffer);
        assert_eq!(verdict, Err(ChunkFault::Malformed));
    }

    #[test]
    fn the_status_of_a_call_is_seen_however_it_is_cut() {
        let text = b"0\r\nX-Other: 3\r\nGrpc-Status: 14 \r\n\r\n";
        for cut in 0..text.len() {
            let mut buffer = Buffer::default();
            buffer.attach(vec![0; 1024].into());
            let mut chunked = Chunked::of_response(Chunks::Keep, Nominated::default());
            for piece in [&text[..cut], &text[cut..]] {
                buffer.room()[..piece.len()].copy_from_slice(piece);
                buffer.fill(piece.len());
                chunked.advance(&mut buffer).unwrap();
            }
            assert_eq!(chunked.grpc_status(), Some(GrpcStatus::Unavailable), "{cut}");
        }
        assert_eq!(Chunked::of_response(Chunks::Keep, Nominated::default()).grpc_status(), None);
    }

    #[test]
    fn what_follows_the_body_is_left_alone() {
        let verdict = run(b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", Chunks::Keep, &[1000]);
        assert_eq!(verdict, Ok((b"1\r\nx\r\n0\r\n\r\n".to_vec(), true, 16)));
    }

    #[test]
    fn endless_syntax_is_cut_short() {
        let extension = format!("5;{}", "a".repeat(SIZE_LINE_MAX));
        assert_eq!(run(extension.as_bytes(), Chunks::Keep, &[64]), Err(ChunkFault::Malformed));
        let trailers = format!("0\r\n{}", "X-Trailer: value\r\n".repeat(TRAILERS_MAX / 18 + 1));
        assert_eq!(run(trailers.as_bytes(), Chunks::Keep, &[100]), Err(ChunkFault::Malformed));
        assert_eq!(run(b"3e9\r\n", Chunks::Keep, &[100]), Err(ChunkFault::TooLong));
    }

    proptest! {
        /// Any chunking, cut into any reads, gives the data again: with its chunks to one client, without
        /// them to another.
        #[test]
        fn data_is_conserved(chunks in prop::collection::vec("[a-z]{1,40}", 0..12), sizes in prop::collection::vec(1_usize..60, 1..9)) {
            let mut input: String = chunks.iter().map(|chunk| format!("{:04X};ext=\"1\"\r\n{chunk}\r\n", chunk.len())).collect();
            input.push_str("0\r\nX-Trailer: 1\r\n\r\n");
            let mut canonical: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
            canonical.push_str("0\r\nX-Trailer: 1\r\n\r\n");
            prop_assert_eq!(run(input.as_bytes(), Chunks::Keep, &sizes), Ok((canonical.into_bytes(), true, 0)));
            prop_assert_eq!(run(input.as_bytes(), Chunks::Strip, &sizes), Ok((chunks.concat().into_bytes(), true, 0)));
        }
    }
}
