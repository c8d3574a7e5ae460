//! A WebSocket echo. The handshake is done here (RFC 6455 §4.2), the frames are tungstenite's.

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use crate::exchange::{After, Exchange};
use crate::peer::{Peer, Trouble};
use crate::request::{Framing, Request};
use crate::response::Response;

/// The longest message.
const MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// Answers 101 to a proper upgrade request, 400 to a broken key, and 426 to everything else.
pub(crate) fn handshake(exchange: &mut Exchange<'_>) -> Result<After, Trouble> {
    if !wants_websocket(exchange.request) {
        exchange.discard_body()?;
        let head = exchange.head(426).field("Upgrade", "websocket").field("Connection", "Upgrade");
        let head = head.field("Sec-WebSocket-Version", 13).field("Content-Type", "text/plain");
        return Ok(exchange.send_with(head, 426, b"this is a WebSocket backend\n")?);
    }
    let key = the_key(exchange.request).ok_or(Trouble::Bad("Sec-WebSocket-Key is not 16 bytes in base64"))?;
    let head = Response::new(101, &exchange.toy.name)
        .field("Upgrade", "websocket")
        .field("Connection", "Upgrade")
        .field("Sec-WebSocket-Accept", derive_accept_key(key));
    exchange.peer.write(&head.into_bytes())?;
    Ok(After::Upgrade)
}

/// Echoes messages until either side closes.
pub(crate) fn echo(peer: Peer) {
    let (conn, rest) = peer.into_parts();
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX));
    let mut socket = WebSocket::from_partially_read(conn, rest, Role::Server, Some(config));
    while let Ok(message) = socket.read() {
        let done = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message),
            // Reading these has queued the answer, if they need one; it must go out.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => socket.flush(),
        };
        if done.is_err() {
            return;
        }
    }
}

/// The demands of RFC 6455 §4.2.1 on the request, except the key.
fn wants_websocket(request: &Request) -> bool {
    request.method == "GET"
        && request.minor == 1
        && request.framing == Framing::Length(0)
        && request.has_token("upgrade", "websocket")
        && request.has_token("connection", "upgrade")
        && request.values("sec-websocket-version").eq([b"13"])
}

/// The one key of the request, if it has the form of 16 bytes in base64: 22 digits and two signs of padding.
fn the_key(request: &Request) -> Option<&[u8]> {
    let mut keys = request.values("sec-websocket-key");
    let key = keys.next().filter(|_| keys.next().is_none())?;
    let digits = key.strip_suffix(b"==")?;
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'+' || *byte == b'/';
    (digits.len() == 22 && digits.iter().all(is_digit)).then_some(key)
}
