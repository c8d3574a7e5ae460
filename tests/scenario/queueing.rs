//! Requests that wait until a backend is free: in their order, over all workers, and not for ever.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use pollux::control::Workers;
use pollux::core::outcome::Cause;
use pollux::snapshot::{Mode, Snapshot};

use crate::house::{Pollux, TIMEOUT, response, snapshot};

fn bounded(listener: &TcpListener, change: impl Fn(&mut Snapshot)) -> Snapshot {
    let address = listener.local_addr().unwrap().to_string();
    let mut snapshot = snapshot(Mode::Http, &[&address]);
    change(&mut snapshot);
    snapshot
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Reads the head of a request, and gives its target.
fn target(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap().split(' ').nth(1).unwrap().to_owned()
}

fn answer(stream: &mut TcpStream) {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
}

fn ask(pollux: &Pollux, number: usize) -> TcpStream {
    let mut client = pollux.client();
    client.write_all(format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
    client
}

#[test]
fn who_comes_first_is_served_first_over_all_workers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = bounded(&listener, |snapshot| snapshot.pools[0].backends[0].max_requests = Some(1));
    let pollux = Pollux::with_crew(one, &Workers::of(3));
    let mut clients = Vec::new();
    for number in 0..9 {
        clients.push(ask(&pollux, number));
        // The next one comes when this one is in the queue, or with the backend.
        while pollux.in_flight() + pollux.waiting() <= number {
            std::thread::yield_now();
        }
    }
    // One request at a time, in the order in which they came. Each worker has a connection of its own.
    let mut backends: Vec<TcpStream> = Vec::new();
    listener.set_nonblocking(true).unwrap();
    for (number, client) in clients.iter_mut().enumerate() {
        let place = loop {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).unwrap();
                backends.push(stream);
            }
            if let Some(place) = backends.iter().position(|stream| stream.peek(&mut [0]).is_ok()) {
                break place;
            }
            std::thread::yield_now();
        };
        backends[place].set_nonblocking(false).unwrap();
        assert_eq!(target(&mut backends[place]), format!("/{number}"));
        assert_eq!(pollux.waiting(), 8 - number);
        answer(&mut backends[place]);
        backends[place].set_nonblocking(true).unwrap();
        assert!(response(client).starts_with("HTTP/1.1 200 "));
        let told = pollux.told();
        assert_eq!(told.queued_behind, number.checked_sub(1));
    }
}

#[test]
fn a_queue_that_is_full_or_too_slow_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let short = bounded(&listener, |snapshot| {
        let pool = &mut snapshot.pools[0];
        pool.backends[0].max_requests = Some(1);
        pool.max_pending = 1;
        pool.queue = Some(Duration::from_millis(50));
    });
    let pollux = Pollux::start(short);
    let mut served = ask(&pollux, 0);
    let mut backend = accept(&listener);
    target(&mut backend);
    let mut waits = ask(&pollux, 1);
    while pollux.waiting() < 1 {
        std::thread::yield_now();
    }
    let refused = response(&mut ask(&pollux, 2));
    let late = response(&mut waits);
    // Whichever of the two was first, each has its cause.
    let causes: HashSet<_> = [pollux.told(), pollux.told()].map(|told| (told.status, told.cause)).into();
    assert!(causes.contains(&(503, Some(Cause::QueueTimeout))), "{causes:?} {late}");
    assert!(refused.starts_with("HTTP/1.1 503 ") && late.ends_with("queue-timeout\n"), "{refused} {late}");
    assert!(
        causes.contains(&(503, Some(Cause::QueueFull))) == refused.ends_with("queue-full\n"),
        "{refused}"
    );
    answer(&mut backend);
    assert!(response(&mut served).starts_with("HTTP/1.1 200 "));
    assert_eq!(pollux.waiting(), 0);
}

#[test]
fn who_gives_up_leaves_the_queue() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = bounded(&listener, |snapshot| snapshot.pools[0].backends[0].max_requests = Some(1));
    let pollux = Pollux::start(one);
    let mut first = ask(&pollux, 0);
    let mut backend = accept(&listener);
    target(&mut backend);
    let waits = ask(&pollux, 1);
    while pollux.waiting() < 1 {
        std::thread::yield_now();
    }
    let mut third = ask(&pollux, 2);
    while pollux.waiting() < 2 {
        std::thread::yield_now();
    }
    socket2::SockRef::from(&waits).set_linger(Some(Duration::ZERO)).unwrap();
    drop(waits);
    while pollux.waiting() > 1 {
        std::thread::yield_now();
    }
    answer(&mut backend);
    assert!(response(&mut first).starts_with("HTTP/1.1 200 "));
    assert_eq!(target(&mut backend), "/2");
    answer(&mut backend);
    assert!(response(&mut third).starts_with("HTTP/1.1 200 "));
}

/// All connections that a backend takes lie idle with one worker: another one gets it all the same.
#[test]
fn an_idle_connection_is_given_up_for_another_worker() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = bounded(&listener, |snapshot| snapshot.pools[0].backends[0].max_connections = Some(1));
    let pollux = Pollux::with_crew(one, &Workers::of(2));
    // So many clients that both workers have some, one after the other.
    answer_all(listener);
    for number in 0..24 {
        let mut client = ask(&pollux, number);
        assert!(response(&mut client).starts_with("HTTP/1.1 200 "));
        assert_eq!(pollux.told().cause, None);
    }
}

/// Answers whatever comes, on any number of connections, until the test ends.
fn answer_all(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                    answer(&mut stream);
                }
            });
        }
    });
}

/// A backend that keeps the first request, and answers whatever else comes, each on a connection of its own.
fn busy_with_the_first(listener: TcpListener) {
    std::thread::spawn(move || {
        let mut first = accept(&listener);
        target(&mut first);
        loop {
            let mut next = accept(&listener);
            target(&mut next);
            answer(&mut next);
        }
    });
}

fn until_one_waits(pollux: &Pollux) {
    while pollux.in_flight() + pollux.waiting() < 2 {
        std::thread::yield_now();
    }
}

#[test]
fn a_reload_that_makes_room_lets_in_who_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rules = |most| {
        bounded(&listener, |snapshot| {
            snapshot.pools[0].backends[0].max_requests = Some(most);
            snapshot.timeouts.queue = Duration::from_secs(2);
        })
    };
    let (one, two) = (rules(1), rules(2));
    busy_with_the_first(listener);
    let mut pollux = Pollux::start(one);
    let _first = ask(&pollux, 0);
    while pollux.in_flight() < 1 {
        std::thread::yield_now();
    }
    let mut second = ask(&pollux, 1);
    until_one_waits(&pollux);
    pollux.reload(two).unwrap();
    assert!(response(&mut second).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_backend_that_is_new_takes_who_comes_even_behind_those_who_do_not_know_it() {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap().to_string());
    let rules = |addresses: &[&str]| {
        let mut snapshot = snapshot(Mode::Http, addresses);
        for backend in &mut snapshot.pools[0].backends {
            backend.max_requests = Some(1);
        }
        snapshot.timeouts.queue = Duration::from_secs(3);
        snapshot
    };
    let (one, both) = (rules(&[&addresses[0]]), rules(&[&addresses[0], &addresses[1]]));
    let [old, new] = listeners;
    busy_with_the_first(old);
    std::thread::spawn(move || {
        loop {
            let mut stream = accept(&new);
            target(&mut stream);
            answer(&mut stream);
        }
    });
    let mut pollux = Pollux::start(one);
    let _first = ask(&pollux, 0);
    while pollux.in_flight() < 1 {
        std::thread::yield_now();
    }
    let _second = ask(&pollux, 1);
    until_one_waits(&pollux);
    pollux.reload(both).unwrap();
    let mut third = ask(&pollux, 2);
    assert!(response(&mut third).starts_with("HTTP/1.1 200"));
    // It is the pool's latest configuration that made room; the second still waits for the backend that it
    // knows.
    assert_eq!(pollux.waiting(), 1);
}
