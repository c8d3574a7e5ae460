//! Answers that are wrong, or come at the wrong time.

use crate::exchange::{After, Exchange};
use crate::peer::Trouble;

/// Answers as soon as the head is there, then reads the body and throws it away. The answer is right: RFC
/// 9110 §15.5.14 lets a server refuse early, and this one keeps the connection by reading on.
pub(crate) fn early_response(exchange: &mut Exchange<'_>) -> Result<After, Trouble> {
    let after = exchange.send(413, "text/plain", b"too large\n")?;
    match exchange.read_uninvited(&mut |_| {}) {
        Ok(()) => Ok(after),
        // The answer is out already; a second one would belong to no request.
        Err(Trouble::Bad(_)) => Ok(After::Close),
        Err(Trouble::Io(error)) => Err(Trouble::Io(error)),
    }
}

/// Promises `len` bytes and sends half of them.
pub(crate) fn truncated(exchange: &mut Exchange<'_>, len: u64) -> Result<After, Trouble> {
    exchange.discard_body()?;
    let head =
        exchange.head(200).field("Content-Type", "text/plain").field("Content-Length", len).into_bytes();
    let sent = if exchange.request.is_head() { 0 } else { len / 2 };
    exchange.send_pattern(head, 0, sent, b"")?;
    Ok(After::Close)
}

/// Sends bytes that no HTTP parser may accept.
pub(crate) fn garbage(exchange: &mut Exchange<'_>) -> Result<After, Trouble> {
    exchange.discard_body()?;
    exchange.peer.write(b"\x00\x16\xff this is no HTTP response\r\n\xfe\r\n\r\n")?;
    Ok(After::Close)
}

/// Answers rightly and sends what looks like a second response behind it, in the same write. A proxy that
/// reuses the connection would give it to the next client.
pub(crate) fn extra(exchange: &mut Exchange<'_>) -> Result<After, Trouble> {
    exchange.discard_body()?;
    let body = b"right\n";
    let head = exchange.head(200).field("Content-Type", "text/plain").field("Content-Length", body.len());
    let mut bytes = head.into_bytes();
    if !exchange.request.is_head() {
        bytes.extend_from_slice(body);
    }
    let second = exchange.head(200).field("X-Extra", "yes").field("Content-Length", 6);
    bytes.extend_from_slice(&second.into_bytes());
    bytes.extend_from_slice(b"extra\n");
    exchange.peer.write(&bytes)?;
    Ok(exchange.after())
}
