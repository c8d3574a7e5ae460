//! HTTP over real sockets: reuse, staleness, and clients that go away.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use pollux::core::outcome::Cause;
use socket2::SockRef;

use crate::house::{Pollux, TIMEOUT, response, rest};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Reads a request that has no body.
fn request(backend: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        backend.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// The next connection; a test for which none comes fails.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    let backend = loop {
        match listener.accept() {
            Ok((backend, _)) => break backend,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(begun.elapsed() < TIMEOUT, "nobody connects");
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    };
    backend.set_nonblocking(false).unwrap();
    backend.set_read_timeout(Some(TIMEOUT)).unwrap();
    backend
}

#[test]
fn two_clients_share_a_backend_connection() {
    let (listener, address) = listener();
    let pollux = Pollux::http(&[&address]);
    let mut first = pollux.client();
    first.write_all(GET).unwrap();
    let mut backend = accept(&listener);
    request(&mut backend);
    backend.write_all(OK).unwrap();
    response(&mut first);
    assert!(!pollux.told().reused);
    let mut second = pollux.client();
    second.write_all(GET).unwrap();
    request(&mut backend);
    backend.write_all(OK).unwrap();
    response(&mut second);
    assert!(pollux.told().reused);
}

#[test]
fn a_get_on_a_stale_connection_is_sent_again_and_a_post_is_not() {
    for (head, is_retried) in
        [("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true), ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", false)]
    {
        let (listener, address) = listener();
        let pollux = Pollux::http(&[&address]);
        let mut client = pollux.client();
        client.write_all(GET).unwrap();
        let mut backend = accept(&listener);
        request(&mut backend);
        backend.write_all(OK).unwrap();
        response(&mut client);
        client.write_all(head.as_bytes()).unwrap();
        // It has read the request; who knows what it has done with it.
        request(&mut backend);
        drop(backend);
        if is_retried {
            let mut backend = accept(&listener);
            request(&mut backend);
            backend.write_all(OK).unwrap();
            assert!(response(&mut client).ends_with("ok"));
        } else {
            let answer = response(&mut client);
            assert!(answer.starts_with("HTTP/1.1 502 ") && answer.ends_with("backend-closed\n"), "{answer}");
        }
    }
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let (listener, address) = listener();
    let pollux = Pollux::http(&[&address]);
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut backend = accept(&listener);
    request(&mut backend);
    backend.write_all(OK).unwrap();
    assert!(rest(&mut client).ends_with("ok"));
}

#[test]
fn a_client_that_resets_frees_the_backend() {
    let (listener, address) = listener();
    let pollux = Pollux::http(&[&address]);
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let mut backend = accept(&listener);
    request(&mut backend);
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    // A reset, or an end: in any case it does not wait for an answer that nobody wants.
    assert!(matches!(backend.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(pollux.told().cause, Some(Cause::ClientAborted));
}

#[test]
fn an_error_answer_survives_what_the_client_still_sends() {
    let (_listener, address) = listener();
    let pollux = Pollux::http(&[&address]);
    let mut client = pollux.client();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n").unwrap();
    // Without a lingering close these bytes would be answered by a RST, which overtakes the answer.
    for _ in 0..64 {
        if client.write_all(&[b'x'; 4096]).is_err() {
            break;
        }
    }
    let answer = response(&mut client);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("bad-framing\n"), "{answer}");
}

/// Some clients send an empty line behind a body. With the response kept back for the FIN, a close with that
/// line unread would drop it.
#[test]
fn a_last_response_survives_what_comes_behind_the_last_request() {
    let (listener, address) = listener();
    let pollux = Pollux::http(&[&address]);
    let mut client = pollux.client();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut backend = accept(&listener);
    assert!(backend.read(&mut [0; 4096]).unwrap() > 0);
    client.write_all(b"\r\n").unwrap();
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole").unwrap();
    let mut answer = [0; 4096];
    let count = client.read(&mut answer).unwrap();
    assert!(answer[..count].ends_with(b"whole"), "{:?}", String::from_utf8_lossy(&answer[..count]));
}

#[test]
fn opens_and_closes_leave_no_descriptor_behind() {
    let toy =
        toy_backends::Toy::start(([127, 0, 0, 1], 0).into(), "a", toy_backends::Behaviour::Echo).unwrap();
    let pollux = Pollux::http(&[&toy.address().to_string()]);
    for round in 0..300 {
        match round % 3 {
            0 => assert!(pollux.get().starts_with("HTTP/1.1 200 ")),
            1 => drop(pollux.client()),
            _ => assert!(pollux.ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 ")),
        }
    }
    // One connection to the backend was enough for all of them, and only it is left.
    assert_eq!(toy.accepted(), 1);
}
