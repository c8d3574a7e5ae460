//! Answers that are right, and take their time.

use std::time::Duration;

use serde_json::json;

use super::right;
use crate::exchange::{After, Exchange};
use crate::pattern;
use crate::peer::Trouble;

/// Waits, then answers like `echo`.
pub(crate) fn first_byte(exchange: &mut Exchange<'_>, wait: Duration) -> Result<After, Trouble> {
    let mut held = right::Held::default();
    exchange.read_body(&mut |piece| held.take(piece))?;
    exchange.toy.pause(wait)?;
    right::send_echo(exchange, &held)
}

/// Sends the head at once and the body one byte at a time.
pub(crate) fn drip(exchange: &mut Exchange<'_>, len: u64, every: Duration) -> Result<After, Trouble> {
    exchange.discard_body()?;
    let head = exchange.head(200).field("Content-Type", "text/plain").field("Content-Length", len);
    exchange.peer.write(&head.into_bytes())?;
    if exchange.request.is_head() {
        return Ok(exchange.after());
    }
    let mut byte = Vec::with_capacity(1);
    for at in 0..len {
        exchange.toy.pause(every)?;
        byte.clear();
        pattern::extend(&mut byte, at, 1);
        exchange.peer.write(&byte)?;
    }
    Ok(exchange.after())
}

/// Sends Server-Sent Events, each in a chunk of its own. An HTTP/1.0 client gets them delimited by the close.
pub(crate) fn events(exchange: &mut Exchange<'_>, count: u64, every: Duration) -> Result<After, Trouble> {
    exchange.discard_body()?;
    let chunks = exchange.request.minor == 1;
    let head = if chunks {
        exchange.head(200).field("Transfer-Encoding", "chunked")
    } else {
        exchange.last_head(200)
    };
    let head = head.field("Content-Type", "text/event-stream").field("Cache-Control", "no-store");
    exchange.peer.write(&head.into_bytes())?;
    let after = if chunks { exchange.after() } else { After::Close };
    if exchange.request.is_head() {
        return Ok(after);
    }
    for number in 0..count {
        exchange.toy.pause(every)?;
        let told = json!({ "backend": exchange.toy.name, "event": number });
        let event = format!("id: {number}\ndata: {told}\n\n");
        let framed = if chunks { format!("{:x}\r\n{event}\r\n", event.len()) } else { event };
        exchange.peer.write(framed.as_bytes())?;
    }
    if chunks {
        exchange.peer.write(b"0\r\n\r\n")?;
    }
    Ok(after)
}
