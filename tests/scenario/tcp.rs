//! TCP mode: ends and resets are carried from one side to the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use pollux::core::outcome::Cause;
use socket2::SockRef;

use crate::house::{Pollux, TIMEOUT};

/// A client and a backend with Pollux between them.
fn pair() -> (Pollux, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pollux = Pollux::tcp(&[&listener.local_addr().unwrap().to_string()]);
    let client = pollux.client();
    let (backend, _) = listener.accept().unwrap();
    backend.set_read_timeout(Some(TIMEOUT)).unwrap();
    (pollux, client, backend)
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

fn expect_end(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn whoever_speaks_first_and_whoever_ends_first() {
    for client_ends_first in [true, false] {
        let (pollux, mut client, mut backend) = pair();
        backend.write_all(b"hello").unwrap();
        expect(&mut client, b"hello");
        let (first, second) =
            if client_ends_first { (&mut client, &mut backend) } else { (&mut backend, &mut client) };
        first.write_all(b"over").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        expect(second, b"over");
        expect_end(second);
        // The other direction is still open.
        second.write_all(b"and out").unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        expect(first, b"and out");
        expect_end(first);
        assert_eq!(pollux.told().cause, None);
    }
}

#[test]
fn a_reset_is_carried() {
    for client_resets in [true, false] {
        let (pollux, mut client, mut backend) = pair();
        // Before the first byte has come through, a reset might still be taken for a refusal.
        backend.write_all(b"hello").unwrap();
        expect(&mut client, b"hello");
        let (resetting, mut other) = if client_resets { (client, backend) } else { (backend, client) };
        reset(resetting);
        assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let cause = if client_resets { Cause::ClientAborted } else { Cause::BackendReset };
        assert_eq!(pollux.told().cause, Some(cause));
    }
}

#[test]
fn a_reader_that_stops_stops_the_writer() {
    let (_pollux, mut client, mut backend) = pair();
    backend.set_nonblocking(true).unwrap();
    client.set_nonblocking(true).unwrap();
    let block = vec![7; 1 << 16];
    let (mut sent, mut got) = (0, 0);
    let mut room = vec![0; 1 << 16];
    // The writer must meet its limit although the reader takes nothing: buffers are bounded.
    let mut blocked = 0;
    while blocked < 1000 {
        match backend.write(&block) {
            Ok(count) => (sent, blocked) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                blocked += 1;
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 64 << 20, "64 MiB have gone nowhere");
    }
    backend.set_nonblocking(false).unwrap();
    client.set_nonblocking(false).unwrap();
    drop(backend);
    loop {
        match client.read(&mut room).unwrap() {
            0 => break,
            count => {
                assert!(room[..count].iter().all(|byte| *byte == 7));
                got += count;
            }
        }
    }
    assert_eq!(got, sent);
}

#[test]
fn a_backend_that_refuses_is_a_reset_for_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let pollux = Pollux::tcp(&[&address]);
    let mut client = pollux.client();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(pollux.told().cause, Some(Cause::BackendRefused));
}
