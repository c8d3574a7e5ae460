//! The same of HTTP/2: a client whose streams come one behind another on one connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use allocation_counter::AllocationInfo;
use pollux::snapshot::{BackendProtocol, Mode, Snapshot};
use pollux::worker::{Poller, Worker};

use super::{
    Exchange, Speaks, TIMEOUT, backend, connect, count_turns, expect_none, head, settle, snapshot, worker_of,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The window of the connection opens by 2^30 bytes.
const WINDOW: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x40, 0, 0, 0];

/// GET, http, `/` and the literal authority `example.org`, and a cookie without an entry.
const REQUEST: &[u8] = b"\x82\x86\x84\x01\x0bexample.org\x0f\x11\x03a=b";
/// 200, and a literal Content-Type.
const RESPONSE: &[u8] = b"\x88\x0f\x10\x0atext/plain";
const BODY: &[u8] = b"hello";

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The next frame: its type, its flags, its stream.
fn next(connection: &mut TcpStream, payload: &mut Vec<u8>) -> Option<(u8, u8, u32)> {
    let mut head = [0; 9];
    connection.read_exact(&mut head).ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    payload.resize(u32::from_be_bytes([0, a, b, c]) as usize, 0);
    connection.read_exact(payload).ok()?;
    Some((kind, flags, u32::from_be_bytes(stream)))
}

/// Answers every request on one connection.
fn serve(mut connection: TcpStream) {
    connection.set_nodelay(true).unwrap();
    let mut preface = [0; PREFACE.len()];
    connection.read_exact(&mut preface).unwrap();
    assert_eq!(preface, PREFACE);
    connection.write_all(SETTINGS).unwrap();
    let mut payload = Vec::new();
    while let Some((kind, flags, stream)) = next(&mut connection, &mut payload) {
        match (kind, flags) {
            (1, flags) => {
                assert_eq!(flags & 5, 5, "a whole request in one frame");
                let answer = [frame(1, 4, stream, RESPONSE), frame(0, 1, stream, BODY)].concat();
                connection.write_all(&answer).unwrap();
            }
            (4, 0) => connection.write_all(&frame(4, 1, 0, b"")).unwrap(),
            _ => {}
        }
    }
}

/// Starts a backend that speaks HTTP/2 and lives for as long as the process.
fn backend_of_streams() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            thread::spawn(move || serve(connection.unwrap()));
        }
    });
    address
}

/// A client with the number of its next stream.
struct Client {
    connection: TcpStream,
    number: u32,
}

impl Client {
    fn come(to: SocketAddr) -> Client {
        let mut connection = connect(to);
        connection.write_all(&[PREFACE, SETTINGS, WINDOW].concat()).unwrap();
        Client { connection, number: 1 }
    }

    /// Makes `count` rounds of exchanges, each with `streams` at once. Each begins when the worker has settled.
    fn ask(&mut self, streams: u32, count: usize, is_settled: &AtomicBool) {
        let mut payload = Vec::new();
        for _ in 0..count {
            let numbers = (0..streams).map(|place| self.number + 2 * place);
            let requests: Vec<u8> = numbers.flat_map(|number| frame(1, 5, number, REQUEST)).collect();
            self.number += 2 * streams;
            self.connection.write_all(&requests).unwrap();
            let mut left = streams;
            while left > 0 {
                let (kind, flags, _) = next(&mut self.connection, &mut payload).expect("an answer");
                assert!(kind != 3 && kind != 7, "a stream or the connection has failed");
                match (kind, flags) {
                    (0, flags) => {
                        assert_eq!((&payload[..], flags & 1), (BODY, 1));
                        left -= 1;
                    }
                    (4, 0) => self.connection.write_all(&frame(4, 1, 0, b"")).unwrap(),
                    _ => {}
                }
            }
            let received = Instant::now();
            while !is_settled.load(Ordering::SeqCst) {
                assert!(received.elapsed() < TIMEOUT, "the exchanges do not end");
                thread::yield_now();
            }
        }
    }
}

/// The allocations of a worker's turns while `count` exchanges go through it to the backends of `snapshot`.
fn allocated(snapshot: Snapshot, count: usize) -> AllocationInfo {
    let (mut waker, wake) = UnixStream::pair().unwrap();
    let speaks = Speaks { mode: Mode::Http, tls: None, poller: Poller::Poll };
    let (mut worker, address) = worker_of(snapshot, speaks, wake);
    let [is_warm, is_settled, is_over] = [(); 3].map(|()| Arc::<AtomicBool>::default());
    let client = {
        let [is_warm, is_settled, is_over] = [&is_warm, &is_settled, &is_over].map(Arc::clone);
        thread::spawn(move || {
            let mut client = Client::come(address);
            client.ask(8, 100, &is_settled);
            client.ask(1, 100, &is_settled);
            is_warm.store(true, Ordering::SeqCst);
            // The turn that waits for its request may have begun before, and not be counted.
            client.ask(1, 1, &is_settled);
            client.ask(1, count, &is_settled);
            is_over.store(true, Ordering::SeqCst);
            let _ = waker.write(&[0]);
            (client, waker)
        })
    };
    count_turns(&mut worker, client, [&is_warm, &is_settled, &is_over], count, has_settled)
}

/// The bytes of an idle client on the heap at most, its part of the worker's tables included.
const IDLE_MAX: i64 = 1_500;

/// A request of a client that behaves as a browser: most of its fields are in the table from then on.
const TABLED: &[u8] = b"\x82\x86\x84\x41\x0bexample.org\x7a\x46Mozilla/5.0 (X11; Linux x86_64; rv:140.0) \
    Gecko/20100101 Firefox/140.0\x53\x03*/*\x51\x0een-US,en;q=0.5\x60\x03a=b";

/// Each client makes a request, and stays. The tables of the worker grow by doubling, as for those with TLS.
#[test]
fn idle_clients() {
    // Behind them there is room in the tables for a backend connection and the sessions of streams.
    const HALF: usize = 60;
    let exchange = Exchange {
        request: Vec::new(),
        request_end: b"\r\n\r\n",
        response: [head(&["HTTP/1.1 200 OK", "Content-Length: 5"]), BODY.into()].concat(),
        expected: Vec::new(),
    };
    let (mut waker, wake) = UnixStream::pair().unwrap();
    let speaks = Speaks { mode: Mode::Http, tls: None, poller: Poller::PollAndEpoll };
    let snapshot = snapshot(Mode::Http, backend(&Arc::new(exchange)));
    let (mut worker, address) = worker_of(snapshot, speaks, wake);
    let come = move || {
        let mut client = Client::come(address);
        client.connection.write_all(&frame(1, 5, 1, TABLED)).unwrap();
        let mut payload = Vec::new();
        loop {
            let (kind, ..) = next(&mut client.connection, &mut payload).expect("an answer");
            assert!(kind != 3 && kind != 7, "the stream or the connection has failed");
            if kind == 0 {
                break;
            }
        }
        client.connection.write_all(&frame(4, 1, 0, b"")).unwrap();
        client
    };
    let (first, _) = settle((&mut worker, &mut waker), HALF, come);
    let (second, live) = settle((&mut worker, &mut waker), HALF, come);
    assert_eq!(worker.census().sessions, first.len() + second.len());
    let each = live / HALF as i64;
    assert!(each <= IDLE_MAX, "{each} bytes for each idle client");
}

/// Whether no stream has a session.
fn has_settled(worker: &mut Worker<pollux::os::SysOs>) -> bool {
    let census = worker.census();
    census.sessions <= 1 && census.in_flight == 0
}

#[test]
fn streams_to_a_backend_of_http_1() {
    let exchange = Exchange {
        request: Vec::new(),
        request_end: b"\r\n\r\n",
        response: [head(&["HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 5"]), BODY.into()]
            .concat(),
        expected: Vec::new(),
    };
    expect_none(allocated(snapshot(Mode::Http, backend(&Arc::new(exchange))), 5_000));
}

#[test]
fn streams_to_a_backend_of_http_2() {
    let mut snapshot = snapshot(Mode::Http, backend_of_streams());
    snapshot.pools[0].protocol = BackendProtocol::Http2;
    expect_none(allocated(snapshot, 5_000));
}
