//! The steady state allocates nothing: once a worker has seen what it serves, the memory it has is enough.
//!
//! The worker's turns run in the test's own thread, over real sockets, with a client and a backend in threads
//! of their own. The allocator counts for each thread by itself, so only what the turns ask for is counted.

#[path = "allocations/http2.rs"]
mod http2;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use allocation_counter::{AllocationInfo, measure};
use pollux::access::{AccessLog, AccessLogRules, Destination, LineFormat};
use pollux::balance::{self, PickRequest, RoundRobin};
use pollux::core::captured::CapturedNames;
use pollux::core::outcome::Journal;
use pollux::core::time::Time;
use pollux::http::date::Date;
use pollux::os::{SysOs, bind};
use pollux::shared::pools::{LivePool, Registry};
use pollux::snapshot::{
    Address, Backend, Balance, Hashing, Limits, Listener, Mode, Pool, PoolId, Snapshot, Timeouts,
};
use pollux::tls::{Files, Handles, Termination, TerminationRules, provider};
use pollux::worker::{Poller, Setup, Splicing, Worker, WorkerIndex};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Nothing here takes so long; a test that hangs fails by it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The exchange that one connection repeats.
struct Exchange {
    /// The bytes of the client.
    request: Vec<u8>,
    /// The bytes by which the backend knows the end of a request.
    request_end: &'static [u8],
    /// The bytes of the backend.
    response: Vec<u8>,
    /// The bytes that the client has to receive.
    expected: Vec<u8>,
}

fn snapshot(mode: Mode, backend: SocketAddr) -> Snapshot {
    let backend = Backend::new("a", Address::Ip(backend), 1);
    Snapshot {
        listeners: vec![Listener::to_pool("test", (Ipv4Addr::LOCALHOST, 0).into(), mode, PoolId(0))],
        pools: vec![Pool::new("app", vec![backend])],
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    }
}

/// Answers every request on one connection.
fn serve(mut connection: TcpStream, exchange: &Exchange) {
    connection.set_nodelay(true).unwrap();
    let (mut request, mut room) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match connection.read(&mut room).unwrap() {
            0 => return,
            count => request.extend_from_slice(&room[..count]),
        }
        if request.ends_with(exchange.request_end) {
            request.clear();
            connection.write_all(&exchange.response).unwrap();
        }
    }
}

impl Exchange {
    /// The same as the first one of a connection.
    fn as_first(&self) -> Exchange {
        let (mut expected, told) = (self.expected.clone(), TOLD.as_bytes());
        if let Some(at) = expected.windows(told.len()).position(|window| window == told) {
            expected.splice(at..at, FIRST.bytes());
        }
        let Exchange { request, request_end, response, .. } = self;
        Exchange { request: request.clone(), request_end, response: response.clone(), expected }
    }
}

/// Starts a backend that lives for as long as the process.
fn backend(exchange: &Arc<Exchange>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let exchange = Arc::clone(exchange);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let exchange = Arc::clone(&exchange);
            thread::spawn(move || serve(connection.unwrap(), &exchange));
        }
    });
    address
}

/// Makes `count` exchanges, and looks at every byte that comes back. Each begins when the worker has settled
/// after the one before: a faster client is served too, but sometimes over one more backend connection, which
/// is not the steady state.
fn ask(connection: &mut TcpStream, exchange: &Exchange, count: usize, is_settled: &AtomicBool) {
    let mut response = vec![0; exchange.expected.len()];
    for _ in 0..count {
        connection.write_all(&exchange.request).unwrap();
        connection.read_exact(&mut response).unwrap();
        assert!(response == exchange.expected, "{}", String::from_utf8_lossy(&response));
        let received = Instant::now();
        while !is_settled.load(Ordering::SeqCst) {
            assert!(received.elapsed() < TIMEOUT, "the exchange does not end");
            thread::yield_now();
        }
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(to).unwrap();
    connection.set_nodelay(true).unwrap();
    connection.set_read_timeout(Some(TIMEOUT)).unwrap();
    connection.set_write_timeout(Some(TIMEOUT)).unwrap();
    connection
}

/// Clients who say the beginning of something and no more.
fn crowd(to: SocketAddr) -> Vec<TcpStream> {
    let hesitate = |_| {
        let mut connection = connect(to);
        connection.write_all(b"GET /").unwrap();
        connection
    };
    (0..8).map(hesitate).collect()
}

/// A journal that writes a line of JSON for each exchange, with header fields, and hands it to the writer.
fn journal() -> Box<dyn Journal> {
    let names = |names: [&str; 2]| names.map(String::from).into();
    let headers = CapturedNames {
        request: names(["user-agent", "cookie"]),
        response: names(["content-type", "transfer-encoding"]),
    };
    let to = Some(Destination::File("/dev/null".into()));
    let log = AccessLog::new(&AccessLogRules { to, headers, ..AccessLogRules::default() }, LineFormat::Json);
    log.open().unwrap();
    log.journal()
}

/// The protocol of a worker's listener, and the way in which it polls.
struct Speaks {
    mode: Mode,
    tls: Option<Termination>,
    poller: Poller,
}

/// A worker with one listener, and where that is.
fn worker(speaks: Speaks, backend: SocketAddr, wake: UnixStream) -> (Worker<SysOs>, SocketAddr) {
    worker_of(snapshot(speaks.mode, backend), speaks, wake)
}

fn worker_of(mut snapshot: Snapshot, speaks: Speaks, wake: UnixStream) -> (Worker<SysOs>, SocketAddr) {
    let Speaks { tls, poller, .. } = speaks;
    let (door, address) = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut os = SysOs::default();
    let mut handles = Handles::default();
    if let Some(termination) = tls {
        snapshot.listeners[0].tls = Some(Arc::clone(termination.rules()));
        handles.add_termination(Arc::new(termination));
    }
    let setup = Setup {
        snapshot: Arc::new(snapshot),
        tls: Arc::new(handles),
        listeners: vec![(os.adopt(door), 0)],
        wake: Some(os.adopt(wake.into())),
        share: WorkerIndex { worker: 0, workers: 1 },
        poller,
        splicing: Splicing::NEVER,
        seed: 0,
        identity: 0,
        journal: journal(),
        registry: Arc::default(),
    };
    (Worker::new(os, setup), address)
}

/// The allocations of a worker's turns while `count` exchanges go through it. Those of the warm-up come
/// before: they make tables and buffers grow to their size.
fn allocated(mode: Mode, exchange: Exchange, warm_up: usize, count: usize) -> AllocationInfo {
    let exchange = Arc::new(exchange);
    let (mut waker, wake) = UnixStream::pair().unwrap();
    // A session that is parked gives memory back on purpose. On a busy machine any session may be parked.
    let speaks = Speaks { mode, tls: None, poller: Poller::Poll };
    let (mut worker, address) = worker(speaks, backend(&exchange), wake);
    let [is_warm, is_settled, is_over] = [(); 3].map(|()| Arc::<AtomicBool>::default());
    let client = {
        let [is_warm, is_settled, is_over] = [&is_warm, &is_settled, &is_over].map(Arc::clone);
        thread::spawn(move || {
            let mut connection = connect(address);
            ask(&mut connection, &exchange.as_first(), 1, &is_settled);
            // Beside a crowd the tables, the arrays and the stock of buffers grow beyond what one client
            // needs.
            let crowd = crowd(address);
            ask(&mut connection, &exchange, warm_up, &is_settled);
            drop(crowd);
            ask(&mut connection, &exchange, warm_up, &is_settled);
            is_warm.store(true, Ordering::SeqCst);
            // The turn that waits for its request may have begun before, and not be counted.
            ask(&mut connection, &exchange, 1, &is_settled);
            ask(&mut connection, &exchange, count, &is_settled);
            is_over.store(true, Ordering::SeqCst);
            let _ = waker.write(&[0]);
            // Handed over, so that their ends are in none of the counted turns.
            (connection, waker)
        })
    };
    // Between two HTTP exchanges the backend connection rests; that of a TCP session never does.
    let has_settled = |worker: &mut Worker<SysOs>| mode == Mode::Tcp || worker.census().idle > 0;
    count_turns(&mut worker, client, [&is_warm, &is_settled, &is_over], count, has_settled)
}

/// The allocations of the turns of `worker` from when `client` is warm until it is over: more than `count`
/// turns. After each turn `client` learns whether the worker has settled.
fn count_turns<T>(
    worker: &mut Worker<SysOs>,
    client: JoinHandle<T>,
    [is_warm, is_settled, is_over]: [&AtomicBool; 3],
    count: usize,
    has_settled: impl Fn(&mut Worker<SysOs>) -> bool,
) -> AllocationInfo {
    let (mut total, mut turns) = (AllocationInfo::default(), 0);
    while !(is_over.load(Ordering::SeqCst) || client.is_finished()) {
        let is_counted = is_warm.load(Ordering::SeqCst);
        let turn = measure(|| {
            worker.turn();
        });
        if is_counted {
            total += turn;
            turns += 1;
        }
        is_settled.store(has_settled(worker), Ordering::SeqCst);
    }
    client.join().unwrap();
    assert!(turns > count, "{turns} turns cannot have been all");
    total
}

#[track_caller]
fn expect_none(info: AllocationInfo) {
    assert_eq!((info.count_total, info.bytes_total), (0, 0), "allocations, and their bytes");
}

fn head(lines: &[&str]) -> Vec<u8> {
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// The line about its connection that a client gets. The first response on it has one line more.
const TOLD: &str = "Keep-Alive: timeout=59";
const FIRST: &str = "Connection: keep-alive\r\n";

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn small_gets() {
    let ok = "HTTP/1.1 200 OK";
    let get = head(&[
        "GET /some/path?query=1 HTTP/1.1",
        "Host: example.org",
        "User-Agent: test",
        "Accept: */*",
        "Accept-Encoding: gzip",
        "Cookie: a=1; b=2",
    ]);
    let exchange = Exchange {
        request: get,
        request_end: b"\r\n\r\n",
        response: [head(&[ok, DATE, "Content-Type: text/plain", "Content-Length: 5"]), b"hello".into()]
            .concat(),
        expected: [
            head(&[ok, DATE, "Content-Type: text/plain", "Content-Length: 5", "Via: 1.1 pollux", TOLD]),
            b"hello".into(),
        ]
        .concat(),
    };
    expect_none(allocated(Mode::Http, exchange, 500, 10_000));
}

#[test]
fn posts_with_a_body_and_chunked_responses() {
    let ok = "HTTP/1.1 200 OK";
    let post = head(&["POST /form HTTP/1.1", "Host: example.org", "Content-Length: 3003"]);
    let chunks = b"4\r\nwiki\r\n10;a=b\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n";
    let exchange = Exchange {
        request: [post, vec![b'x'; 3000], b"end".into()].concat(),
        request_end: b"end",
        response: [head(&[ok, DATE, "Transfer-Encoding: chunked"]), chunks.into()].concat(),
        expected: [
            head(&[ok, DATE, "Transfer-Encoding: chunked", "Via: 1.1 pollux", TOLD]),
            b"4\r\nwiki\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n".into(),
        ]
        .concat(),
    };
    expect_none(allocated(Mode::Http, exchange, 500, 10_000));
}

/// Buffers that a single client and its backend have under way: one for each direction, before and behind a turn.
const LONG_BUFFERS_MAX: u64 = 4;

/// So long that a turn ends before the response does, for the sake of the others.
#[test]
fn long_responses() {
    let ok = "HTTP/1.1 200 OK";
    let body = vec![b'x'; 4 << 20];
    let length = format!("Content-Length: {}", body.len());
    let exchange = Exchange {
        request: head(&["GET / HTTP/1.1", "Host: example.org"]),
        request_end: b"\r\n\r\n",
        response: [head(&[ok, DATE, &length]), body.clone()].concat(),
        expected: [head(&[ok, DATE, &length, "Via: 1.1 pollux", TOLD]), body].concat(),
    };
    // The number of buffers under way at once hangs on the kernel. Each is made once, so there is not one for
    // each exchange.
    let made = allocated(Mode::Http, exchange, 20, 200);
    assert!(made.count_total <= LONG_BUFFERS_MAX, "{} allocations", made.count_total);
}

#[test]
fn lines_through_tcp() {
    let line = b"a line that comes back\n";
    let exchange =
        Exchange { request: line.into(), request_end: b"\n", response: line.into(), expected: line.into() };
    expect_none(allocated(Mode::Tcp, exchange, 500, 10_000));
}

/// The TLS objects of a listener and of a client of it.
fn tls() -> (Termination, Arc<ClientConfig>) {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (pem, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let files =
        Files { pairs: vec![(pem.into_bytes(), key.into_bytes())], client_ca: None, client_crl: None };
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider());
    let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let termination = Termination::new("web", TerminationRules::default(), &files).unwrap();
    (termination, Arc::new(client.with_no_client_auth()))
}

/// The bytes of an idle TLS connection on the heap of Rust at most, its part of the worker's tables included.
/// docs/internals/memory.md says what is in it.
const IDLE_TLS_MAX: i64 = 3_200;

/// Lets `count` clients connect to a worker, of which each makes a request and stays. Returns them when all are
/// parked, and how many bytes the worker holds more than before.
fn settle<C: Send + 'static>(
    (worker, waker): (&mut Worker<SysOs>, &mut UnixStream),
    count: usize,
    come: impl Fn() -> C + Send + 'static,
) -> (Vec<C>, i64) {
    let is_over = Arc::<AtomicBool>::default();
    let (over, mut nudge) = (Arc::clone(&is_over), waker.try_clone().unwrap());
    let clients = thread::spawn(move || {
        let all: Vec<C> = (0..count).map(|_| come()).collect();
        over.store(true, Ordering::SeqCst);
        nudge.write_all(&[0]).unwrap();
        all
    });
    let mut live = 0;
    let mut turn = |worker: &mut Worker<SysOs>| {
        live += measure(|| {
            worker.turn();
        })
        .bytes_current;
    };
    // The last exchange has ended when its backend connection rests.
    while !(clients.is_finished() || is_over.load(Ordering::SeqCst) && worker.census().idle > 0) {
        turn(worker);
    }
    // A session of which so many polls say nothing is parked.
    for _ in 0..16 {
        waker.write_all(&[0]).unwrap();
        turn(worker);
    }
    (clients.join().unwrap(), live)
}

/// The tables grow by doubling. The first half of the clients makes them so large that they then grow by what the
/// second half takes.
#[test]
fn idle_tls_connections() {
    const HALF: usize = 64;
    let ok = "HTTP/1.1 200 OK";
    let exchange = Arc::new(Exchange {
        request: head(&["GET / HTTP/1.1", "Host: localhost"]),
        request_end: b"\r\n\r\n",
        response: [head(&[ok, DATE, "Content-Length: 5"]), b"hello".into()].concat(),
        expected: [head(&[ok, DATE, "Content-Length: 5", "Via: 1.1 pollux", TOLD]), b"hello".into()].concat(),
    });
    let (mut waker, wake) = UnixStream::pair().unwrap();
    let (termination, config) = tls();
    let speaks = Speaks { mode: Mode::Http, tls: Some(termination), poller: Poller::PollAndEpoll };
    let (mut worker, address) = worker(speaks, backend(&exchange), wake);
    let come = move || {
        let tls = ClientConnection::new(Arc::clone(&config), "localhost".try_into().unwrap()).unwrap();
        let mut connection = StreamOwned::new(tls, connect(address));
        connection.write_all(&exchange.request).unwrap();
        let expected = exchange.as_first().expected;
        let mut response = vec![0; expected.len()];
        connection.read_exact(&mut response).unwrap();
        assert!(response == expected, "{}", String::from_utf8_lossy(&response));
        connection
    };
    let (first, _) = settle((&mut worker, &mut waker), HALF, come.clone());
    let (second, live) = settle((&mut worker, &mut waker), HALF, come);
    assert_eq!(worker.census().sessions, first.len() + second.len());
    let each = live / HALF as i64;
    assert!(each <= IDLE_TLS_MAX, "{each} bytes for each idle TLS connection");
}

/// A second is long for an exchange, so the tests above see few of them pass.
/// A pick, whatever the policy, and with bounds and a client that is bound to nobody in the way.
#[test]
fn picks_by_any_policy() {
    let policies = [
        Balance::RoundRobin,
        Balance::LeastConnections,
        Balance::Random,
        Balance::TwoChoices,
        Balance::Latency,
        Balance::Hash(Hashing { max_load: Some(1250), ..Hashing::default() }),
        Balance::First,
    ];
    for balance in policies {
        let backend = |number: u16| {
            let address = Address::Ip((Ipv4Addr::LOCALHOST, number).into());
            Backend { max_requests: Some(9), ..Backend::new(format!("b{number}"), address, number.into()) }
        };
        let pool = Pool { balance, ..Pool::new("app", (1..=5).map(backend).collect()) };
        let listeners = Vec::new();
        let (timeouts, limits) = (Timeouts::default(), Limits::default());
        let snapshot = Arc::new(Snapshot { listeners, pools: vec![pool], timeouts, limits });
        let pools = Registry::default().open(&snapshot);
        let (pool, state) = (&snapshot.pools[0], pools.pool(PoolId(0)));
        let view = LivePool { pool, state, now: Time::ZERO, is_idle: &|_| false };
        let mut round = RoundRobin::default();
        let mut pick = |random: u64| {
            let asked = PickRequest { tried: &[1], key: Some(random), bound: None, random };
            balance::pick(pool, &view, &asked, &mut round).expect("a backend")
        };
        pick(0);
        expect_none(measure(|| (1..500).for_each(|random| assert_ne!(pick(random).place, 1))));
    }
}

#[test]
fn a_second_that_passes() {
    let mut date = Date::new(784_111_777);
    expect_none(measure(|| date.set(784_111_778)));
    assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:38 GMT");
}
