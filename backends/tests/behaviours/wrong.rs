//! The behaviours that are wrong, and the requests that are.

use toy_backends::pattern;

use crate::client::{Client, toy};

#[test]
fn early_response_comes_before_the_body_and_the_connection_stays_usable() {
    let toy = toy("early-response");
    let mut client = Client::new(&toy);
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.response(false).status, 413);
        client.send("hello");
    }
}

#[test]
fn close_reads_the_head_and_ends() {
    let toy = toy("close");
    let mut client = Client::new(&toy);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    assert!(client.rest().is_empty());
    assert_eq!(toy.requests(), 1);
}

#[test]
fn reset_reads_the_head_and_resets() {
    let toy = toy("reset");
    let mut client = Client::new(&toy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_reset();
    assert_eq!(toy.requests(), 1);
}

#[test]
fn truncated_sends_half_of_what_it_promises() {
    let toy = toy("truncated:100");
    let mut client = Client::new(&toy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response(true).field("Content-Length"), Some("100"));
    assert_eq!(client.rest(), pattern(50));
}

#[test]
fn garbage_is_no_response() {
    let toy = toy("garbage");
    let mut client = Client::new(&toy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let bytes = client.rest();
    assert!(!bytes.is_empty() && !bytes.starts_with(b"HTTP"));
}

#[test]
fn extra_sends_two_responses_to_one_request() {
    let toy = toy("extra");
    let mut client = Client::new(&toy);
    assert_eq!(client.ask("GET", "/").body, b"right\n");
    let second = client.response(false);
    assert_eq!((second.field("X-Extra"), &second.body[..]), (Some("yes"), &b"extra\n"[..]));
    assert_eq!(client.ask("GET", "/").body, b"right\n");
}

#[test]
fn bad_requests_get_400_and_the_end() {
    let toy = toy("echo");
    let long_field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(65_536));
    let many_fields = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(200));
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET /\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX",
        "\x16\x03\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        &format!("{chunked}zz\r\n"),
        &format!("{chunked}3\r\nabcd\r\n"),
        &format!("{chunked}3\nabc\r\n"),
        &long_field,
        &many_fields,
    ] {
        let mut client = Client::new(&toy);
        client.send(bad);
        let response = client.response(false);
        assert_eq!((response.status, response.field("Connection")), (400, Some("close")), "{bad}");
        assert!(client.rest().is_empty());
    }
}

#[test]
fn a_request_that_never_ends_gets_no_answer() {
    let toy = toy("echo");
    for cut in ["GET / HTT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel"] {
        let mut client = Client::new(&toy);
        client.send(cut);
        client.half_close();
        assert!(client.rest().is_empty());
    }
}
