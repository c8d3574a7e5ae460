//! The time, and the number of times, for which a connection to a backend is used again.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pollux::snapshot::{Mode, Snapshot};

use crate::house::{Pollux, response, snapshot};

/// A backend that says how long it keeps its connections, and counts them.
fn backend(keep_alive: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
    let accepted = Arc::clone(&count);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            accepted.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                let answer = format!("HTTP/1.1 200 OK\r\n{keep_alive}Content-Length: 0\r\n\r\n");
                while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0)
                    && stream.write_all(answer.as_bytes()).is_ok()
                {}
            });
        }
    });
    (address, count)
}

/// The number of connections that six requests of one client take.
fn connections(keep_alive: &'static str, change: impl Fn(&mut Snapshot)) -> usize {
    let (address, count) = backend(keep_alive);
    let mut snapshot = snapshot(Mode::Http, &[&address]);
    change(&mut snapshot);
    let pollux = Pollux::start(snapshot);
    let mut client = pollux.client();
    for _ in 0..6 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert!(response(&mut client).starts_with("HTTP/1.1 200 "));
        assert_eq!(pollux.told().cause, None);
    }
    count.load(Ordering::SeqCst)
}

#[test]
fn a_backend_that_says_how_long_it_waits_is_believed() {
    assert_eq!(connections("", |_| {}), 1);
    assert_eq!(connections("Keep-Alive: timeout=3600, max=5\r\n", |_| {}), 1);
    assert_eq!(connections("Keep-Alive: timeout=soon\r\n", |_| {}), 1);
    // It may close in the very moment.
    assert_eq!(connections("Keep-Alive: max=5, TIMEOUT = 0\r\n", |_| {}), 6);
}

#[test]
fn a_connection_serves_so_many_requests_and_so_many_are_kept() {
    assert_eq!(connections("", |snapshot| snapshot.pools[0].max_reuse = Some(2)), 3);
    assert_eq!(connections("", |snapshot| snapshot.pools[0].max_reuse = Some(1)), 6);
    assert_eq!(connections("", |snapshot| snapshot.limits.idle = 0), 6);
    assert_eq!(connections("", |snapshot| snapshot.limits.idle = 1), 1);
}
