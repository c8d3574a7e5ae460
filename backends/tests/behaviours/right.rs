//! The behaviours that answer rightly, at once or slowly.

use serde_json::json;
use toy_backends::{fnv1a, pattern};

use crate::client::{Client, toy};

#[test]
fn echo_tells_what_it_received_and_keeps_the_connection() {
    let toy = toy("echo");
    let mut client = Client::new(&toy);
    let request = "POST /x?y=1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello";
    client.send(request);
    let response = client.response(false);
    assert_eq!((response.status, response.field("X-Backend")), (200, Some("a")));
    let expected = json!({
        "backend": "a", "method": "POST", "target": "/x?y=1", "version": "HTTP/1.1",
        "headers": [["Host", "a"], ["X-One", "1"], ["Content-Length", "5"]],
        "body_bytes": 5, "body": "hello",
    });
    assert_eq!(response.json(), expected);
    assert_eq!(client.ask("GET", "/").json()["body"], "");
    assert_eq!((toy.accepted(), toy.requests()), (1, 2));
    assert_eq!(toy.seen()[0], &request.as_bytes()[..request.len() - 5]);
}

#[test]
fn echo_counts_a_body_that_it_does_not_hold() {
    let toy = toy("echo");
    let mut client = Client::new(&toy);
    for (len, held) in [(65_536, true), (65_537, false)] {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"));
        client.send(pattern(len));
        let told = client.response(false).json();
        assert_eq!((told["body_bytes"].as_u64(), told["body"].is_string()), (Some(len as u64), held));
    }
}

#[test]
fn persistence_follows_the_request() {
    let toy = toy("echo");
    let mut client = Client::new(&toy);
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.response(false).field("Connection"), Some("keep-alive"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response(false).field("Connection"), Some("close"));
    assert!(client.rest().is_empty());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let toy = toy("echo");
    let mut client = Client::new(&toy);
    client.send(
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.response(false).json()["target"], "/1");
    assert_eq!(client.response(false).json()["target"], "/2");
}

#[test]
fn a_target_may_choose_the_status() {
    for behaviour in ["echo", "fixed:10"] {
        let toy = toy(behaviour);
        let mut client = Client::new(&toy);
        assert_eq!(client.ask("GET", "/status/404").head.lines().next(), Some("HTTP/1.1 404 Not Found"));
        assert_eq!(client.ask("GET", "/status/204").field("Content-Length"), None);
        assert_eq!(client.ask("GET", "/status/205").field("Content-Length"), Some("0"));
        assert_eq!(client.ask("GET", "/status/304").status, 304);
        assert_eq!(client.ask("GET", "/status/100").status, 200);
    }
}

#[test]
fn fixed_sends_the_pattern_and_head_sends_none_of_it() {
    for len in [0, 100, 300_000] {
        let toy = toy(&format!("fixed:{len}"));
        let mut client = Client::new(&toy);
        assert_eq!(client.ask("HEAD", "/").field("Content-Length"), Some(&*len.to_string()));
        assert_eq!(client.ask("GET", "/").body, pattern(len));
    }
}

#[test]
fn chunked_streams_and_checks_itself() {
    let toy = toy("chunked:3x1000");
    let mut client = Client::new(&toy);
    assert_eq!(client.ask("HEAD", "/").field("Transfer-Encoding"), Some("chunked"));
    let response = client.ask("GET", "/");
    assert_eq!(response.body, pattern(3000));
    assert_eq!(response.trailers, format!("X-Checksum: {}\r\n\r\n", fnv1a(&response.body)));
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response(false);
    assert_eq!((response.field("Transfer-Encoding"), response.field("Connection")), (None, Some("close")));
    assert_eq!(response.body, pattern(3000));
}

#[test]
fn close_delimited_ends_with_the_connection() {
    let toy = toy("close-delimited:1000");
    let response = Client::new(&toy).ask("GET", "/");
    assert_eq!((response.field("Content-Length"), response.field("Connection")), (None, Some("close")));
    assert_eq!(response.body, pattern(1000));
}

#[test]
fn slow_answers_are_the_same_answers() {
    let echo = toy("slow-first-byte:5ms");
    assert_eq!(Client::new(&echo).ask("GET", "/x").json()["target"], "/x");
    let drip = toy("slow-drip:10/1ms");
    let mut client = Client::new(&drip);
    assert_eq!(client.ask("HEAD", "/").field("Content-Length"), Some("10"));
    assert_eq!(client.ask("GET", "/").body, pattern(10));
    assert_eq!(client.ask("GET", "/").body, pattern(10));
}

#[test]
fn events_arrive_each_in_its_chunk() {
    let toy = toy("sse:2/1ms");
    let mut client = Client::new(&toy);
    let response = client.ask("GET", "/");
    assert_eq!(response.field("Content-Type"), Some("text/event-stream"));
    let events =
        "id: 0\ndata: {\"backend\":\"a\",\"event\":0}\n\nid: 1\ndata: {\"backend\":\"a\",\"event\":1}\n\n";
    assert_eq!(String::from_utf8(response.body).unwrap(), events);
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(String::from_utf8(client.response(false).body).unwrap(), events);
}

#[test]
fn upload_measures_a_body_of_either_framing() {
    let toy = toy("upload");
    let body = pattern(500_000);
    let expected = json!({ "backend": "a", "bytes": 500_000, "fnv1a": fnv1a(&body) });
    let mut client = Client::new(&toy);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
    client.send(&body);
    assert_eq!(client.response(false).json(), expected);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(7_777) {
        client.send(format!("{:X};ext=1\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    client.send("0\r\nX-Trailer: 1\r\n\r\n");
    assert_eq!(client.response(false).json(), expected);
}

#[test]
fn a_client_that_waits_is_told_to_continue() {
    for behaviour in ["echo", "fixed:3", "upload", "chunked:1x3"] {
        let toy = toy(behaviour);
        let mut client = Client::new(&toy);
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        assert_eq!(client.response(false).head, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("abc");
        assert_eq!(client.response(false).status, 200);
    }
}

#[test]
fn interim_responses_come_before_the_answer() {
    let toy = toy("interim:2");
    let mut client = Client::new(&toy);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        let early = client.response(false);
        assert_eq!((early.status, early.field("Link").is_some()), (103, true));
    }
    assert_eq!(client.response(false).status, 200);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!((client.response(false).status, client.response(false).status), (100, 100));
    client.send("abc");
    assert_eq!(client.response(false).json()["body"], "abc");
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response(false).status, 200);
}
