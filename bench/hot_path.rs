//! The hot path without a kernel, part by part, for a machine that counts instructions
//! (`tests/instructions/run`).
//!
//!     hot-path                 # names the parts
//!     hot-path PART COUNT      # does one of them so many times
//!
//! Invariant: every time costs exactly the same, whatever came before it, so that the difference between two
//! counts is a multiple of what one time costs. Nothing here reads a clock, draws a number, or allocates
//! after the start.

#[path = "hot_path/streams.rs"]
mod streams;

use std::hint::black_box;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pollux::balance::{self, RoundRobin, Rule};
use pollux::core::captured::NO_NOTES;
use pollux::core::identity::RequestId;
use pollux::core::interest::{Interest, Ready};
use pollux::core::outcome::{ExchangePlaces, NoJournal, Outcome, Proofs, Record, Spans, Stage};
use pollux::core::time::Time;
use pollux::http::body::{Chunked, Chunks};
use pollux::http::date::Date;
use pollux::http::request;
use pollux::http::response::{self, RequestFacts, ResponseContext};
use pollux::http::scan::{HeadLimits, HeadScan};
use pollux::lane::framer::Framer;
use pollux::lane::{Lane, Sink, Source};
use pollux::message::Nominated;
use pollux::message::Version;
use pollux::message::field_table;
use pollux::metrics::Hub;
use pollux::os::{AcceptFault, Ambient, ConnectFault, Connecting, Fd, IoFault, Os, Polled, Still, Watch};
use pollux::recorder::{RECENT_MAX, Recorder, Step};
use pollux::route::{Decision, RequestView};
use pollux::shared::pools::{LivePool, Registry};
use pollux::snapshot::{
    Address, Backend, BackendId, BackendProtocol, Limits, Listener, Mode, Pool, PoolId, Snapshot, Timeouts,
};
use pollux::worker::{Poller, Setup, Splicing, Worker, WorkerIndex};

use streams::Peer;

/// Does a part so many times.
type Part = fn(usize);

/// All of them, by name.
const PARTS: [(&str, Part); 14] = [
    ("request-scan", scan_requests),
    ("request-read", read_requests),
    ("request-write", write_requests),
    ("route-and-pick", choose_backends),
    ("response-scan", scan_responses),
    ("response-read", read_responses),
    ("response-write", write_responses),
    ("lane-length", pass_lengths),
    ("lane-chunked", pass_chunks),
    ("count", count_exchanges),
    ("record", record_exchanges),
    ("exchange", make_exchanges),
    ("stream", make_streams),
    ("stream-to-stream", pass_streams),
];

/// The request of a browser, more or less.
const REQUEST: &[u8] = b"GET /articles/2026/11/22/index.html?page=2&sort=date HTTP/1.1\r\n\
    Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.org/articles/\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    \r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: toy\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 5\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: private, max-age=0\r\n\
    ETag: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\n\
    \r\n";

const BODY: &[u8] = b"hello";

/// Four chunks and the end.
const CHUNKS: &[u8] = b"10\r\n0123456789abcdef\r\n\
    20\r\n0123456789abcdef0123456789abcdef\r\n\
    8\r\n01234567\r\n\
    2c\r\n0123456789abcdef0123456789abcdef0123456789ab\r\n\
    0\r\n\r\n";

const ASKED: RequestFacts<'_> = RequestFacts { is_head: false, protocols: b"" };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen = match arguments.as_slice() {
        [] => return list(),
        [name, count] => {
            PARTS.iter().find(|(other, _)| other == name).map(|(_, part)| *part).zip(count.parse().ok())
        }
        _ => None,
    };
    let Some((part, count)) = chosen else {
        let _ = writeln!(io::stderr(), "usage: hot-path [PART COUNT]");
        return ExitCode::from(2);
    };
    part(count);
    ExitCode::SUCCESS
}

fn list() -> ExitCode {
    let text: String = PARTS.iter().flat_map(|(name, _)| [name, "\n"]).collect();
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn scan_requests(count: usize) {
    scan(REQUEST, count);
}

fn scan_responses(count: usize) {
    scan(RESPONSE, count);
}

fn scan(head: &[u8], count: usize) {
    let limits = Limits::default();
    let limits = HeadLimits { head: limits.head, first_line: limits.request_line, empty_lines: 4 };
    for _ in 0..count {
        let found = HeadScan::default().scan(black_box(head), black_box(&limits));
        assert_eq!(found, Ok(Some((0, head.len()))));
    }
}

fn read_requests(count: usize) {
    let limits = Limits::default();
    for _ in 0..count {
        let mut table = field_table();
        let request = request::read(black_box(REQUEST), &mut table, &limits);
        assert!(black_box(&request).is_ok());
    }
}

fn write_requests(count: usize) {
    let mut table = field_table();
    let request = request::read(REQUEST, &mut table, &Limits::default()).expect("a good request");
    let mut out = Vec::with_capacity(2 * REQUEST.len());
    for _ in 0..count {
        out.clear();
        black_box(&request).write(&mut out, black_box(IpAddr::V4(Ipv4Addr::LOCALHOST)), "app");
        black_box(&out);
    }
}

fn choose_backends(count: usize) {
    let snapshot = Arc::new(snapshot(3));
    let pools = Registry::default().open(&snapshot);
    let mut robin = RoundRobin::default();
    let view = RequestView {
        tls_info: None,
        alpn: &[],
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        method: "GET",
        authority: b"www.example.org",
        path: "/articles/2026/11/22/index.html",
        query: Some("page=2&sort=date"),
        fields: &[],
    };
    for _ in 0..count {
        // All three in turn, because which one it is makes a difference.
        for expected in 0..3 {
            let table = &black_box(&snapshot).listeners[0].routes;
            let Decision::Route(place) = table.decide(black_box(&view)) else {
                unreachable!("one route takes all")
            };
            let pool = table.pool(place, &view, RequestId::Own(0)).expect("a route to a pool");
            let live = LivePool {
                pool: snapshot.pool(pool),
                state: pools.pool(pool),
                now: Time::ZERO,
                is_idle: &|_| false,
            };
            let picked =
                balance::pick(live.pool, &live, black_box(&balance::PickRequest::default()), &mut robin);
            assert_eq!(picked.map(|picked| picked.place), Ok(expected));
        }
    }
}

fn read_responses(count: usize) {
    let limits = Limits::default();
    for _ in 0..count {
        let mut table = field_table();
        let response = response::read(black_box(RESPONSE), &mut table, ASKED, &limits);
        assert!(black_box(&response).is_ok());
    }
}

fn write_responses(count: usize) {
    let mut table = field_table();
    let response = response::read(RESPONSE, &mut table, ASKED, &Limits::default()).expect("a good response");
    let (context, date) = (
        ResponseContext {
            version: Version::Http11,
            keep_alive: true,
            is_first: false,
            idle: Some(Duration::from_secs(75)),
            hsts: None,
        },
        Date::new(784_111_777),
    );
    let mut out = Vec::with_capacity(2 * RESPONSE.len());
    for _ in 0..count {
        out.clear();
        black_box(&response).write(&mut out, context, &date);
        black_box(&out);
    }
}

/// A lane between two open ends, with a buffer.
fn lane() -> Lane {
    let mut lane = Lane::new(Framer::Done);
    (lane.source, lane.sink) = (Source::Open, Sink::Open);
    lane.buffer.attach(vec![0; Limits::default().buffer].into());
    lane
}

/// Takes in what the buffer has been filled with, and sends what may go out.
fn pass(lane: &mut Lane, filled: usize) {
    lane.buffer.fill(filled);
    assert_eq!(lane.advance(), Ok(()));
    let (front, body) = black_box(lane.unsent());
    let count = front.len() + body.len();
    lane.send(count);
}

/// A body of 32 KiB that comes in four pieces; what its bytes are does not matter.
fn pass_lengths(count: usize) {
    const PIECE: usize = 8 * 1024;
    let mut lane = lane();
    for _ in 0..count {
        lane.framer = Framer::of_length(black_box(4 * PIECE as u64));
        for _ in 0..4 {
            assert!(lane.wants_read() && lane.buffer.room().len() >= PIECE);
            pass(&mut lane, PIECE);
        }
        assert!(lane.framer.is_done() && lane.is_flushed());
    }
}

/// Chunks that come in one piece.
fn pass_chunks(count: usize) {
    let mut lane = lane();
    for _ in 0..count {
        lane.framer = Framer::Chunked(Chunked::new(Chunks::Keep, None, Nominated::default()));
        assert!(lane.wants_read());
        lane.buffer.room()[..CHUNKS.len()].copy_from_slice(black_box(CHUNKS));
        pass(&mut lane, CHUNKS.len());
        assert!(lane.framer.is_done() && lane.is_flushed());
    }
}

/// The record of an exchange that went well on an idle connection.
fn well() -> (Record<'static>, ExchangePlaces) {
    let us = |count| Some(Duration::from_micros(count));
    let record = Record {
        client: (Ipv4Addr::LOCALHOST, 40_000).into(),
        proxy: None,
        listener: "main",
        mode: Mode::Http,
        method: b"GET",
        target: b"/articles/2026/11/22/index.html?page=2&sort=date",
        authority: b"www.example.org",
        protocol: "HTTP/1.1",
        request_id: RequestId::Own(7),
        trace_id: "",
        status: 200,
        grpc_status: None,
        route: Some("default"),
        pool: "app",
        backend: Some("backend"),
        attempts: 1,
        retried: Proofs::default(),
        budget_spent: false,
        queued: None,
        asked: None,
        reused: true,
        bytes_up: 600,
        bytes_down: 300,
        spans: Spans { head: us(10), opened: us(20), response: us(700), whole: Duration::from_micros(710) },
        outcome: Outcome { cause: None, stage: Stage::Response },
        tls_info: None,
        captured: &NO_NOTES,
    };
    (record, ExchangePlaces { listener: 0, route: Some(0), pool: Some(PoolId(0)), backend: Some(0) })
}

/// The counts of an exchange.
fn count_exchanges(count: usize) {
    let (hub, (record, places)) = (Hub::default(), well());
    let meters = hub.open(&hub.worker_meters(0), &snapshot(1));
    for _ in 0..count {
        meters.note_reused(BackendId { pool: PoolId(0), index: 0 });
        black_box(&meters).note(black_box(&record), places);
    }
}

/// The record of an exchange that the flight recorder writes and keeps.
fn record_exchanges(count: usize) {
    let (snapshot, (record, places)) = (snapshot(1), well());
    let recording = &snapshot.limits.recorder;
    let mut recorder = Recorder::new(0, recording, recording.keep);
    // The rings are full before it counts.
    for _ in 0..count + 2 * RECENT_MAX {
        let (began, head) = black_box((Time::ZERO, record.spans.head));
        let mut trail = recorder.begin(began, false, head);
        trail.push(began, Step::Picked { backend: 0, rule: Rule::Turn });
        trail.push_connection(began, Step::Reused);
        trail.note_sent(Some(began));
        trail.push(began, Step::Responded(200));
        trail.push(began, Step::Kept);
        trail.push(began, Step::Ended);
        recorder.end(trail, black_box(&record), places, &snapshot, true);
    }
}

/// Whole exchanges on two kept connections: all that a worker does for them but the system calls.
fn make_exchanges(count: usize) {
    run(count, snapshot(1), Memory::default());
}

/// The same of a client that speaks HTTP/2, one stream behind another.
fn make_streams(count: usize) {
    run(count, snapshot(1), Memory { client: Some(Peer::client()), ..Memory::default() });
}

/// The same to a backend that speaks HTTP/2, too.
fn pass_streams(count: usize) {
    let mut snapshot = snapshot(1);
    snapshot.pools[0].protocol = BackendProtocol::Http2;
    let (client, backend) = (Some(Peer::client()), Some(Peer::backend(BODY)));
    run(count, snapshot, Memory { client, backend, ..Memory::default() });
}

fn run(count: usize, snapshot: Snapshot, os: Memory) {
    let setup = Setup {
        snapshot: Arc::new(snapshot),
        tls: Arc::default(),
        listeners: vec![(Memory::LISTENER, 0)],
        wake: None,
        share: WorkerIndex { worker: 0, workers: 1 },
        poller: Poller::default(),
        splicing: Splicing::NEVER,
        seed: 0,
        identity: 0,
        journal: Box::new(NoJournal),
        registry: Arc::default(),
    };
    let mut worker = Worker::new(os, setup);
    while worker.os_mut().answered < count {
        worker.turn();
    }
}

fn snapshot(backends: u16) -> Snapshot {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let backend = |port| Backend::new("backend", Address::Ip(address(port)), 1);
    Snapshot {
        listeners: vec![Listener::to_pool("main", address(8080), Mode::Http, PoolId(0))],
        pools: vec![Pool::new("app", (1..=backends).map(backend).collect())],
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    }
}

/// An operating system of one client that asks again as soon as it has its response, and one backend that
/// answers at once. Time stands still.
#[derive(Default)]
struct Memory {
    is_accepted: bool,
    /// The client has its response.
    is_answered: bool,
    /// The backend has its request.
    is_asked: bool,
    /// The number of responses that the client has got.
    answered: usize,
    /// The sides that speak HTTP/2.
    client: Option<Peer>,
    backend: Option<Peer>,
}

impl Memory {
    const LISTENER: Fd = Fd(3);
    const CLIENT: Fd = Fd(4);
    const BACKEND: Fd = Fd(5);

    fn is_readable(&self, fd: Fd) -> bool {
        match fd {
            Memory::LISTENER => !self.is_accepted,
            Memory::CLIENT => self.is_answered,
            Memory::BACKEND => self.is_asked,
            Fd(_) => false,
        }
    }
}

impl Os for Memory {
    fn now(&mut self) -> Time {
        Time::ZERO
    }

    fn ambient(&self) -> &'static dyn Ambient {
        &Still(784_111_777)
    }

    fn poll(&mut self, watches: &mut [Watch], _timeout: Option<Duration>) -> Polled {
        let mut count = 0;
        for watch in watches {
            let is_ready = watch.want.has(Interest::READ) && self.is_readable(watch.fd);
            watch.got = Ready::NONE.with_if(Ready::READ, is_ready);
            count += usize::from(is_ready);
        }
        assert!(count > 0, "nobody will ever do anything again");
        Polled::Ready(count)
    }

    fn accept(&mut self, _listener: Fd) -> Result<(Fd, SocketAddr), AcceptFault> {
        if std::mem::replace(&mut self.is_accepted, true) {
            return Err(AcceptFault::Blocked);
        }
        self.is_answered = true;
        Ok((Memory::CLIENT, (Ipv4Addr::LOCALHOST, 40_000).into()))
    }

    fn connect(&mut self, _to: &Address) -> Result<Connecting, ConnectFault> {
        Ok(Connecting::Done(Memory::BACKEND))
    }

    fn so_error(&mut self, _fd: Fd) -> Result<(), ConnectFault> {
        Ok(())
    }

    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault> {
        if !self.is_readable(fd) {
            return Err(IoFault::Blocked);
        }
        let (peer, head, body) = if fd == Memory::CLIENT {
            self.is_answered = false;
            (&mut self.client, REQUEST, &b""[..])
        } else {
            self.is_asked = false;
            (&mut self.backend, RESPONSE, BODY)
        };
        if let Some(peer) = peer {
            return Ok(peer.say(room));
        }
        room[..head.len()].copy_from_slice(head);
        room[head.len()..head.len() + body.len()].copy_from_slice(body);
        Ok(head.len() + body.len())
    }

    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        if fd == Memory::BACKEND {
            self.is_asked |= self.backend.as_mut().is_none_or(|peer| peer.hears_request(head));
        } else if head.ends_with(BODY) || body.ends_with(BODY) {
            self.is_answered = true;
            self.answered += 1;
        }
        Ok(black_box(head).len() + black_box(body).len())
    }

    fn shutdown_write(&mut self, _fd: Fd) {}

    fn close(&mut self, _fd: Fd) {}

    fn reset(&mut self, _fd: Fd) {}
}
