//! Drain: no new client, every request that has begun is answered, and then the end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use pollux::core::outcome::Cause;
use pollux::snapshot::Mode;

use crate::house::{Pollux, response, rest, snapshot};

#[test]
fn what_is_in_flight_is_finished_and_told_that_it_is_the_last() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pollux = Pollux::http(&[&listener.local_addr().unwrap().to_string()]);
    let mut client = pollux.client();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let (mut backend, _) = listener.accept().unwrap();
    pollux.drain();
    // Once the listener is closed, Pollux knows that it is to stop.
    while TcpStream::connect(pollux.address).is_ok() {
        std::thread::yield_now();
    }
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    let answer = rest(&mut client);
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("ok"), "{answer}");
    drop(client);
    pollux.end();
}

#[test]
fn what_does_not_end_is_cut_off_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut snapshot = snapshot(Mode::Http, &[&listener.local_addr().unwrap().to_string()]);
    snapshot.timeouts.drain = Duration::from_millis(50);
    let mut pollux = Pollux::start(snapshot);
    let mut client = pollux.client();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let _backend = listener.accept().unwrap();
    pollux.drain();
    pollux.end();
    assert_eq!(pollux.told().cause, Some(Cause::DrainTimeout));
    let answer = rest(&mut client);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("drain-timeout\n"), "{answer}");
}

/// A worker that is full leaves clients in the kernel's queue; closing the socket would reset them.
#[test]
fn who_waits_before_a_full_worker_is_served_before_it_goes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut snapshot = snapshot(Mode::Http, &[&listener.local_addr().unwrap().to_string()]);
    snapshot.limits.sessions = 1;
    let mut pollux = Pollux::start(snapshot);
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let mut client = pollux.client();
            client.write_all(request).unwrap();
            thread::spawn(move || rest(&mut client))
        })
        .collect();
    let (mut backend, _) = listener.accept().unwrap();
    assert_eq!(pollux.sessions(), [1]);
    pollux.drain();
    for _ in 0..clients.len() {
        let mut head = [0; 512];
        assert!(backend.read(&mut head).unwrap() > 0);
        backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    }
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.ends_with("\r\n\r\nok")), "{answers:?}");
    // The first may have been answered before the worker had heard that it is to stop.
    let told = answers.iter().filter(|answer| answer.contains("Connection: close\r\n")).count();
    assert!(told >= answers.len() - 1, "{answers:?}");
    pollux.end();
}

#[test]
fn an_idle_client_does_not_hold_the_drain() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pollux = Pollux::http(&[&listener.local_addr().unwrap().to_string()]);
    let mut client = pollux.client();
    client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let (mut backend, _) = listener.accept().unwrap();
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    response(&mut client);
    pollux.drain();
    pollux.end();
    assert_eq!(rest(&mut client), "");
}
