//! The behaviours below HTTP.

use toy_backends::pattern;

use crate::client::{Client, toy};

#[test]
fn tcp_echo_answers_byte_for_byte_and_half_closes() {
    let toy = toy("tcp-echo");
    let mut client = Client::new(&toy);
    client.send(b"\x00\xff");
    assert_eq!(client.exactly(2), b"\x00\xff");
    client.send(pattern(5000));
    client.half_close();
    assert_eq!(client.rest(), pattern(5000));
}

#[test]
fn speaks_first_does_not_wait_for_the_client() {
    let toy = toy("speaks-first:220 ready: go");
    let mut client = Client::new(&toy);
    assert_eq!(client.line(), "220 ready: go\r\n");
    client.send("ehlo");
    assert_eq!(client.exactly(4), b"ehlo");
}

#[test]
fn tcp_close_ends_and_tcp_reset_resets() {
    assert!(Client::new(&toy("tcp-close")).rest().is_empty());
    let reset = toy("tcp-reset");
    Client::new(&reset).expect_reset();
    assert_eq!((reset.accepted(), reset.requests()), (1, 0));
}

#[test]
fn tcp_sink_counts() {
    let toy = toy("tcp-sink");
    let mut client = Client::new(&toy);
    client.send(pattern(200_000));
    client.half_close();
    assert_eq!(client.rest(), b"200000");
}

#[test]
fn silent_sends_nothing_and_ends_with_the_client() {
    let toy = toy("silent");
    let mut client = Client::new(&toy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.half_close();
    assert!(client.rest().is_empty());
    assert_eq!(toy.requests(), 1);
}
