//! Answers that are right, and at once.

use serde_json::json;

use crate::exchange::{After, Exchange, length_field};
use crate::pattern::Fnv1a;
use crate::peer::Trouble;
use crate::response;

/// The bytes of a body that `echo` holds and sends back; of a longer one it tells the length only.
const ECHO_MAX: usize = 64 * 1024;

/// The part of a body that was held, and the length of the whole.
#[derive(Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    len: u64,
}

impl Held {
    /// Takes a piece of the body, and keeps what there is room for.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        let room = ECHO_MAX - self.bytes.len();
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        self.len += piece.len() as u64;
    }

    /// The body as text, if it is text and was held whole.
    fn text(&self) -> Option<&str> {
        if self.len == self.bytes.len() as u64 { std::str::from_utf8(&self.bytes).ok() } else { None }
    }
}

/// Answers with JSON that tells what was received.
pub(crate) fn echo(exchange: &mut Exchange<'_>) -> Result<After, Trouble> {
    let mut held = Held::default();
    exchange.read_body(&mut |piece| held.take(piece))?;
    send_echo(exchange, &held)
}

/// Sends the answer of `echo` for a body that has been read.
pub(crate) fn send_echo(exchange: &mut Exchange<'_>, held: &Held) -> Result<After, Trouble> {
    let request = exchange.request;
    let fields: Vec<_> =
        request.fields.iter().map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect();
    let told = json!({
        "backend": exchange.toy.name,
        "method": request.method,
        "target": request.target,
        "version": format!("HTTP/1.{}", request.minor),
        "headers": fields,
        "body_bytes": held.len,
        "body": held.text(),
    });
    let status = request.wanted_status().unwrap_or(200);
    Ok(exchange.send(status, "application/json", format!("{told}\n").as_bytes())?)
}

/// Answers with a body of `len` bytes.
pub(crate) fn fixed(exchange: &mut Exchange<'_>, len: u64) -> Result<After, Trouble> {
    exchange.discard_body()?;
    let status = exchange.request.wanted_status().unwrap_or(200);
    let len = if status == 205 { 0 } else { len };
    let head =
        length_field(exchange.head(status).field("Content-Type", "text/plain"), status, len).into_bytes();
    let sent = if exchange.sends_body(status) { len } else { 0 };
    exchange.send_pattern(head, 0, sent, b"")?;
    Ok(exchange.after())
}

/// Reads a body of any size and answers with its length and checksum.
pub(crate) fn upload(exchange: &mut Exchange<'_>) -> Result<After, Trouble> {
    let mut hash = Fnv1a::new();
    let mut len = 0;
    exchange.read_body(&mut |piece| {
        hash.update(piece);
        len += piece.len() as u64;
    })?;
    let told = json!({ "backend": exchange.toy.name, "bytes": len, "fnv1a": hash.hex() });
    Ok(exchange.send(200, "application/json", format!("{told}\n").as_bytes())?)
}

/// Sends interim responses before it reads the body, then answers like `echo`. An HTTP/1.0 client gets none
/// (RFC 9110 §15.2).
pub(crate) fn interim(exchange: &mut Exchange<'_>, count: u32) -> Result<After, Trouble> {
    let one = if exchange.request.expects_continue() {
        response::interim(100, "")
    } else {
        response::interim(103, "Link: </style.css>; rel=preload; as=style\r\n")
    };
    let count = if exchange.request.minor == 0 { 0 } else { count };
    for _ in 0..count {
        exchange.peer.write(&one)?;
    }
    let mut held = Held::default();
    exchange.read_uninvited(&mut |piece| held.take(piece))?;
    send_echo(exchange, &held)
}

/// Answers with chunks and a trailer. An HTTP/1.0 client gets the same bytes delimited by the close, because
/// it does not know chunks (RFC 9112 §6.1).
pub(crate) fn chunked(exchange: &mut Exchange<'_>, count: u64, size: u64) -> Result<After, Trouble> {
    exchange.discard_body()?;
    if exchange.request.minor == 0 {
        return send_until_close(exchange, count.saturating_mul(size));
    }
    let head = exchange.head(200).field("Content-Type", "text/plain").field("Transfer-Encoding", "chunked");
    exchange.peer.write(&head.field("Trailer", "X-Checksum").into_bytes())?;
    if exchange.request.is_head() {
        return Ok(exchange.after());
    }
    let mut hash = Fnv1a::new();
    for number in 0..count {
        let before = format!("{size:x}\r\n").into_bytes();
        exchange.send_pattern(before, number.wrapping_mul(size), size, b"\r\n")?;
        hash.update_pattern(number.wrapping_mul(size), size);
    }
    exchange.peer.write(format!("0\r\nX-Checksum: {}\r\n\r\n", hash.hex()).as_bytes())?;
    Ok(exchange.after())
}

/// Answers with a body that only the close ends (RFC 9112 §6.3).
pub(crate) fn close_delimited(exchange: &mut Exchange<'_>, len: u64) -> Result<After, Trouble> {
    exchange.discard_body()?;
    send_until_close(exchange, len)
}

fn send_until_close(exchange: &mut Exchange<'_>, len: u64) -> Result<After, Trouble> {
    let head = exchange.last_head(200).field("Content-Type", "text/plain").into_bytes();
    let sent = if exchange.request.is_head() { 0 } else { len };
    exchange.send_pattern(head, 0, sent, b"")?;
    Ok(After::Close)
}
