//! Clients that go while they wait, and backends that come while somebody waits.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use pollux::core::outcome::Cause;
use pollux::snapshot::{ClientClose, Mode, Retries, Snapshot};
use toy_backends::{Behaviour, Toy};

use crate::connecting::refusing;
use crate::house::{Pollux, TIMEOUT, rest, snapshot};

const POST: &[u8] = b"POST /order HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";

/// A pool of one backend that takes one request at a time.
fn narrow(backend: &TcpListener, rule: ClientClose) -> Snapshot {
    let mut snapshot = snapshot(Mode::Http, &[&backend.local_addr().unwrap().to_string()]);
    snapshot.pools[0].backends[0].max_requests = Some(1);
    snapshot.pools[0].on_client_close = rule;
    snapshot
}

fn wait_for(what: impl Fn() -> bool) {
    let until = Instant::now() + TIMEOUT;
    while !what() {
        assert!(Instant::now() < until, "it does not happen");
        thread::yield_now();
    }
}

fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// The request of a client that leaves the queue, by a close or by a half-close, is never sent, whatever the
/// pool says.
#[test]
fn who_leaves_the_queue_is_let_out_and_its_request_is_not_sent() {
    for rule in [ClientClose::Abort, ClientClose::Finish] {
        for is_half in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let pollux = Pollux::start(narrow(&listener, rule));
            let mut first = pollux.client();
            first.write_all(b"GET /first HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
            let mut backend = listener.accept().unwrap().0;
            assert!(head(&mut backend).starts_with("GET /first "));
            let mut second = pollux.client();
            second.write_all(POST).unwrap();
            wait_for(|| pollux.waiting() == 1);
            if is_half {
                second.shutdown(Shutdown::Write).unwrap();
            } else {
                drop(second);
            }
            let told = pollux.told();
            assert_eq!((told.cause, told.status, told.attempts), (Some(Cause::ClientAborted), 0, 0));
            assert_eq!(pollux.waiting(), 0);
            // The backend hears the next request next, and not that one.
            backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            assert!(rest(&mut first).ends_with("ok"));
            let mut third = pollux.client();
            third.write_all(b"GET /third HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
            assert!(head(&mut backend).starts_with("GET /third "));
            backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            assert!(rest(&mut third).ends_with("ok"));
        }
    }
}

/// A backend that works on something for a client that has gone is told so: its connection is reset.
#[test]
fn who_leaves_while_a_backend_works_ends_the_exchange() {
    let silent = Toy::start(([127, 0, 0, 1], 0).into(), "silent", Behaviour::Silent).unwrap();
    let pollux = Pollux::http(&[&silent.address().to_string()]);
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = pollux.client();
            client.write_all(POST).unwrap();
            client
        })
        .collect();
    wait_for(|| pollux.in_flight() == 20);
    drop(clients);
    for _ in 0..20 {
        assert_eq!(pollux.told().cause, Some(Cause::ClientAborted));
    }
    assert_eq!(pollux.in_flight(), 0);
}

/// Under `finish` a client that half-closes is answered, however long that takes.
#[test]
fn who_half_closes_is_answered_under_finish() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pollux = Pollux::start(narrow(&listener, ClientClose::Finish));
    let mut client = pollux.client();
    client.write_all(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut backend = listener.accept().unwrap().0;
    head(&mut backend);
    // Longer than a client has that half-closes under `abort`.
    thread::sleep(ClientClose::GRACE + Duration::from_millis(200));
    backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    assert!(rest(&mut client).ends_with("ok"));
    assert_eq!(pollux.told().cause, None);
}

/// Returns when the worker has noticed whatever clients have done before the call: a client from which nothing is wanted
/// is watched from 10 ms on, and each request takes a poll that watches all of them.
fn let_notice(pollux: &Pollux) {
    thread::sleep(Duration::from_millis(20));
    for _ in 0..3 {
        assert!(pollux.ask("GET / HTTP/3.0\r\n\r\n").starts_with("HTTP/1.1 505 "));
        assert_eq!(pollux.told().cause, Some(Cause::BadVersion));
    }
}

/// A client that has gone has got nothing, whatever the kernel takes. One that has only ended its direction is
/// answered.
#[test]
fn the_record_says_whether_somebody_was_there_for_the_answer() {
    for rule in [ClientClose::Abort, ClientClose::Finish] {
        for connection in ["keep-alive", "close"] {
            for is_half in [false, true] {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let pollux = Pollux::start(narrow(&listener, rule));
                let mut client = pollux.client();
                write!(client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n").unwrap();
                let mut backend = listener.accept().unwrap().0;
                head(&mut backend);
                let mut client = Some(client);
                if is_half {
                    client.as_ref().unwrap().shutdown(Shutdown::Write).unwrap();
                } else {
                    client = None;
                }
                let_notice(&pollux);
                // Less than a second later.
                backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                let told = pollux.told();
                let cause = if is_half { None } else { Some(Cause::ClientAborted) };
                assert_eq!((told.cause, told.status), (cause, 200), "{rule:?} {connection}");
                if let Some(client) = &mut client {
                    assert!(rest(client).ends_with("ok"));
                }
            }
        }
    }
}

/// The only backend restarts: whoever asks meanwhile waits for it, whatever `retries` says.
#[test]
fn a_backend_that_restarts_is_waited_for() {
    for (mode, retries) in [(Mode::Http, 0), (Mode::Http, 2), (Mode::Tcp, 0)] {
        let (held, address) = refusing();
        let mut snapshot = snapshot(mode, &[&address]);
        snapshot.pools[0].retries = Retries { most: retries, ..Retries::default() };
        snapshot.pools[0].reach_wait = Some(TIMEOUT);
        snapshot.timeouts.queue = TIMEOUT;
        let pollux = Pollux::start(snapshot);
        let mut client = pollux.client();
        client.write_all(POST).unwrap();
        // The page has a sample for each cause, whether it was seen or not.
        let is_seen = |line: &str| line.contains("cause=\"backend-refused\"") && !line.ends_with(" 0");
        wait_for(|| pollux.metrics().lines().any(is_seen));
        held.listen(16).unwrap();
        let mut backend = TcpListener::from(held).accept().unwrap().0;
        assert!(head(&mut backend).starts_with("POST /order "));
        backend.read_exact(&mut [0]).unwrap();
        backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
        drop(backend);
        client.shutdown(Shutdown::Write).unwrap();
        assert!(rest(&mut client).ends_with("ok"));
        let told = pollux.told();
        assert!(told.attempts > 1 && told.cause.is_none(), "{told:?}");
    }
}

/// The wait has a bound, and none where it is switched off.
#[test]
fn a_backend_that_does_not_come_is_not_waited_for_longer() {
    for (wait, attempts) in [(None, 1), (Some(Duration::from_millis(350)), 3)] {
        let (_held, address) = refusing();
        let mut snapshot = snapshot(Mode::Http, &[&address]);
        snapshot.pools[0].retries.most = 0;
        snapshot.pools[0].reach_wait = wait;
        let pollux = Pollux::start(snapshot);
        assert!(pollux.get().starts_with("HTTP/1.1 502 "));
        let told = pollux.told();
        assert_eq!(told.cause, Some(Cause::BackendRefused));
        assert!(told.attempts <= attempts && told.attempts >= attempts.min(2), "{told:?}");
    }
}
