//! Every cause can be brought about, and it is known how: by a case of `tests/http`, which plays them all in
//! every split, or on real sockets here.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use pollux::core::outcome::Cause;
use pollux::snapshot::{Limits, Mode, Pool, Retries, Snapshot, Timeouts};
use pollux::status::{SessionId, SessionsAsk};

use crate::connecting::black_hole;
use crate::house::{Pollux, snapshot};

const REAL: &str = concat!(
    include_str!("../real/test_http2.py"),
    include_str!("../real/test_http2_backend_sockets.py"),
    include_str!("../real/test_tls.py"),
    include_str!("../real/test_tls_clients.py"),
    include_str!("../real/test_tls_backends.py")
);

/// As short as a timeout can be that is to pass.
const SOON: Duration = Duration::from_millis(50);

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// The way in which a cause is brought about.
enum How {
    /// By a case of `tests/http` that expects it.
    Table,
    /// By this scene.
    Scene(fn()),
    /// By a test of `tests/real/test_tls*.py` or `test_http2.py`, which have certificates and those who use them, and expect the
    /// word.
    Real,
}

/// A new cause needs a line here before anything compiles.
fn how(cause: Cause) -> How {
    match cause {
        Cause::ProxyHeaderRefused
        | Cause::ProxyHeaderMissing
        | Cause::ProxyHeaderMalformed
        | Cause::ProxyHeaderTimeout
        | Cause::ClientHelloMissing
        | Cause::ClientHelloMalformed
        | Cause::ClientHelloTooLong
        | Cause::ClientHelloTimeout
        | Cause::BadRequestLine
        | Cause::BadField
        | Cause::BadFraming
        | Cause::BadHost
        | Cause::BadTarget
        | Cause::BadChunk
        | Cause::NoRequest
        | Cause::ClientTruncated
        | Cause::ClientHeadTimeout
        | Cause::ClientBodyTimeout
        | Cause::BodyTooLong
        | Cause::TargetTooLong
        | Cause::HeadTooLong
        | Cause::UnknownExpectation
        | Cause::MethodRefused
        | Cause::BadVersion
        | Cause::AmbiguousPath
        | Cause::NoRoute
        | Cause::ClientAborted
        | Cause::BackendRefused
        | Cause::BackendUnreachable
        | Cause::BackendReset
        | Cause::BackendClosed
        | Cause::BackendBadResponse
        | Cause::BackendHeadTooLong
        | Cause::BackendResponseTimeout
        | Cause::BackendTruncated
        | Cause::BackendStalled
        | Cause::OutOfDescriptors => How::Table,
        Cause::TlsHandshakeTimeout
        | Cause::TlsHandshakeFailed
        | Cause::TlsIncompatible
        | Cause::TlsUnknownName
        | Cause::TlsRefusedByClient
        | Cause::TlsCertificateRequired
        | Cause::TlsCertificateRefused
        | Cause::Misdirected
        | Cause::BackendNoWebsocket
        | Cause::HeadTooLongForBackend
        | Cause::BackendTlsExpired
        | Cause::BackendTlsWrongName
        | Cause::BackendTlsUnknownIssuer
        | Cause::BackendTlsBadCertificate
        | Cause::BackendTlsRefused
        | Cause::BackendTlsFailed
        | Cause::BackendTlsTimeout => How::Real,
        Cause::ClientStalled => How::Scene(client_stalled),
        Cause::MadeRoom => How::Scene(made_room),
        Cause::BackendConnectTimeout => How::Scene(backend_connect_timeout),
        Cause::TunnelIdle => How::Scene(tunnel_idle),
        Cause::QueueTimeout => How::Scene(queue_timeout),
        Cause::QueueFull => How::Scene(queue_full),
        Cause::NoBackend => How::Scene(no_backend),
        Cause::OutOfBuffers => How::Scene(out_of_buffers),
        Cause::DrainTimeout => How::Scene(drain_timeout),
        Cause::OperatorKilled => How::Scene(operator_killed),
    }
}

#[test]
fn every_cause_can_be_brought_about() {
    let expected = expected_by_tables();
    for cause in Cause::ALL {
        match how(*cause) {
            How::Table => assert!(expected.contains(cause.as_str()), "no case of tests/http expects {cause}"),
            How::Scene(scene) => scene(),
            How::Real => assert!(REAL.contains(&format!("\"{cause}\"")), "no test expects {cause}"),
        }
    }
}

/// The causes that the tables of `tests/http` expect; that test fails if one of them does not come about.
fn expected_by_tables() -> HashSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http");
    let mut words = HashSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(path).unwrap();
            let causes = text.lines().filter_map(|line| line.strip_prefix("cause = \"")?.strip_suffix('"'));
            words.extend(causes.map(str::to_owned));
        }
    }
    words
}

/// A configuration with one backend, no second attempts, and these times.
fn with(mode: Mode, backend: &str, timeouts: &Timeouts) -> Snapshot {
    let mut snapshot = snapshot(mode, &[backend]);
    snapshot.pools[0].retries = Retries { most: 0, ..Retries::default() };
    // The rest of a scene is cut off.
    snapshot.timeouts = Timeouts { drain: SOON, ..timeouts.clone() };
    snapshot
}

/// A backend that takes requests and never says anything.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn send(pollux: &Pollux, bytes: &[u8]) -> TcpStream {
    let mut client = pollux.client();
    client.write_all(bytes).unwrap();
    client
}

/// The next record has that cause, and the client is answered by its status if it has one.
#[track_caller]
fn expect(pollux: &Pollux, cause: Cause, client: Option<TcpStream>) {
    if let Some(mut client) = client {
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(Some(String::from_utf8_lossy(&answer)[9..].parse().unwrap()), cause.status());
    }
    assert_eq!(pollux.told().cause, Some(cause));
}

fn client_stalled() {
    let (listener, address) = silent();
    // It never stops, so whatever is between the two is full some time.
    let backend = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while connection.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let pollux = Pollux::start(with(Mode::Http, &address, &Timeouts { idle: SOON, ..Timeouts::default() }));
    let client = send(&pollux, GET);
    expect(&pollux, Cause::ClientStalled, None);
    backend.join().unwrap();
    drop(client);
}

fn made_room() {
    let (_listener, address) = silent();
    let limits = Limits { sessions: 1, ..Limits::default() };
    let pollux = Pollux::start(Snapshot { limits, ..with(Mode::Http, &address, &Timeouts::default()) });
    let client = send(&pollux, b"GET / HTTP/1.1\r\n");
    let newcomer = send(&pollux, GET);
    expect(&pollux, Cause::MadeRoom, Some(client));
    drop(newcomer);
}

fn backend_connect_timeout() {
    let hole = black_hole();
    let timeouts = Timeouts { connect: SOON, ..Timeouts::default() };
    let pollux = Pollux::start(with(Mode::Http, &hole.address, &timeouts));
    expect(&pollux, Cause::BackendConnectTimeout, Some(send(&pollux, GET)));
}

fn tunnel_idle() {
    let (_listener, address) = silent();
    let timeouts = Timeouts { tunnel: SOON, ..Timeouts::default() };
    let pollux = Pollux::start(with(Mode::Tcp, &address, &timeouts));
    let client = send(&pollux, b"and then nothing");
    expect(&pollux, Cause::TunnelIdle, None);
    drop(client);
}

/// One request is in flight at a backend that takes one, and another comes.
fn second_of_one(timeouts: &Timeouts, max_pending: usize, cause: Cause) {
    let (_listener, address) = silent();
    let mut snapshot = with(Mode::Http, &address, timeouts);
    snapshot.pools[0].backends[0].max_requests = Some(1);
    snapshot.pools[0].max_pending = max_pending;
    let pollux = Pollux::start(snapshot);
    let first = send(&pollux, GET);
    while pollux.in_flight() == 0 {
        thread::yield_now();
    }
    expect(&pollux, cause, Some(send(&pollux, GET)));
    drop(first);
}

fn queue_timeout() {
    second_of_one(&Timeouts { queue: SOON, ..Timeouts::default() }, 1, Cause::QueueTimeout);
}

fn queue_full() {
    second_of_one(&Timeouts::default(), 0, Cause::QueueFull);
}

fn no_backend() {
    let mut snapshot = with(Mode::Http, "127.0.0.1:1", &Timeouts::default());
    snapshot.pools[0] = Pool::new("app", Vec::new());
    let pollux = Pollux::start(snapshot);
    expect(&pollux, Cause::NoBackend, Some(send(&pollux, GET)));
}

fn out_of_buffers() {
    let (_listener, address) = silent();
    let timeouts = Timeouts { client_head: SOON, ..Timeouts::default() };
    let limits = Limits { buffers: 4, buffer: 4096, head: 4096, request_line: 1024, ..Limits::default() };
    let pollux = Pollux::start(Snapshot { limits, ..with(Mode::Http, &address, &timeouts) });
    // Bodies that are not complete hold all buffers that clients may have, and too much in each of them to do
    // with less.
    let mut post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n".to_vec();
    post.resize(4000, b'x');
    let holders: Vec<TcpStream> = (0..3).map(|_| send(&pollux, &post)).collect();
    while pollux.in_flight() < holders.len() {
        thread::yield_now();
    }
    expect(&pollux, Cause::OutOfBuffers, Some(send(&pollux, GET)));
    drop(holders);
}

fn drain_timeout() {
    let (_listener, address) = silent();
    let timeouts = Timeouts { drain: SOON, ..Timeouts::default() };
    let mut pollux = Pollux::start(with(Mode::Http, &address, &timeouts));
    let client = send(&pollux, GET);
    while pollux.in_flight() == 0 {
        thread::yield_now();
    }
    pollux.drain();
    expect(&pollux, Cause::DrainTimeout, Some(client));
    pollux.end();
}

fn operator_killed() {
    let (_listener, address) = silent();
    let mut pollux = Pollux::start(with(Mode::Http, &address, &Timeouts::default()));
    let client = send(&pollux, GET);
    while pollux.in_flight() == 0 {
        thread::yield_now();
    }
    let sessions = pollux.server().list_sessions(SessionsAsk::default());
    assert!(pollux.server().kill(SessionId::parse(&sessions[0].id).unwrap()));
    expect(&pollux, Cause::OperatorKilled, None);
    drop(client);
}
