//! The beginning and the end of a toy.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use toy_backends::{Behaviour, Toy};

use crate::client::{Client, toy};

#[test]
fn stopping_ends_open_connections_and_frees_the_port() {
    let first = toy("slow-first-byte:1h");
    let address = first.address();
    let (mut idle, mut waiting) = (Client::new(&first), Client::new(&first));
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while first.requests() == 0 || first.accepted() < 2 {
        std::thread::yield_now();
    }
    first.stop();
    assert!(waiting.rest().is_empty() && idle.rest().is_empty());
    // Two listeners cannot share an address, so this also shows that the first one is closed.
    let second = Toy::start(address, "b", Behaviour::Echo).unwrap();
    assert_eq!(Client::new(&second).ask("GET", "/").json()["backend"], "b");
}

#[test]
fn only_the_last_heads_are_kept() {
    let toy = toy("fixed:0");
    let mut client = Client::new(&toy);
    for number in 0..1030 {
        client.ask("GET", &format!("/{number}"));
    }
    let seen = toy.seen();
    assert_eq!((toy.requests(), seen.len()), (1030, 1024));
    assert!(seen[0].starts_with(b"GET /6 ") && seen[1023].starts_with(b"GET /1029 "));
}

#[test]
fn a_unix_socket_serves_and_is_removed() {
    let path = std::env::temp_dir().join(format!("toy-backends-{}.sock", std::process::id()));
    // A listener that is gone leaves its file behind: that one is replaced, a living one is not.
    drop(UnixListener::bind(&path).unwrap());
    let toy = Toy::start_unix(&path, "u", Behaviour::Echo).unwrap();
    assert!(Toy::start_unix(&path, "v", Behaviour::Echo).is_err());
    assert_eq!(toy.listening_on(), format!("unix:{}", path.display()));
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nX-Backend: u\r\n"));
    toy.stop();
    assert!(!path.exists());
}

#[test]
fn a_name_that_would_break_a_field_is_refused() {
    for name in ["", "a b", "a\r\nX: y"] {
        assert!(Toy::start("127.0.0.1:0".parse().unwrap(), name, Behaviour::Echo).is_err());
    }
}
