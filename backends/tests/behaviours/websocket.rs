//! The WebSocket echo, with tungstenite as the client.

use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::client::{Client, toy};

const FIELDS: &str = "Host: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n";

#[test]
fn messages_come_back_and_control_frames_are_answered() {
    let toy = toy("websocket");
    let mut client = Client::new(&toy);
    // The key and its answer are the example of RFC 6455 §1.3.
    client.send(format!(
        "GET / HTTP/1.1\r\n{FIELDS}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    let response = client.response(false);
    assert_eq!(response.status, 101);
    assert_eq!(response.field("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let mut socket = WebSocket::from_raw_socket(client.into_stream(), Role::Client, None);
    for message in [Message::text("hello"), Message::binary(vec![0; 100_000])] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::Ping("p".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("p".into()));
    socket.close(None).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(None));
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
}

#[test]
fn anything_but_a_proper_upgrade_is_refused() {
    let toy = toy("websocket");
    let mut client = Client::new(&toy);
    let response = client.ask("GET", "/");
    assert_eq!((response.status, response.field("Upgrade")), (426, Some("websocket")));
    client.send(format!("GET / HTTP/1.1\r\n{FIELDS}Sec-WebSocket-Version: 8\r\n\r\n"));
    let response = client.response(false);
    assert_eq!((response.status, response.field("Sec-WebSocket-Version")), (426, Some("13")));
    client
        .send(format!("GET / HTTP/1.1\r\n{FIELDS}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n"));
    assert_eq!(client.response(false).status, 400);
}
