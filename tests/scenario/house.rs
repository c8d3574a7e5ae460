//! A Pollux to try things on, and clients for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use pollux::config::value::parse_backend_flag;
use pollux::control::{ReloadError, Reloaded, Server, Workers};
use pollux::core::outcome::{Cause, Journal, Record};
use pollux::discovery::{self, Answers, BackendSource};
use pollux::metrics::{MetricsFormat, Totals};
use pollux::snapshot::{Limits, Listener, Mode, Pool, PoolId, Snapshot, Timeouts};

/// Nothing here takes so long; a test that hangs fails by it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The parts of a record that a test needs.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) cause: Option<Cause>,
    pub(crate) attempts: u32,
    pub(crate) reused: bool,
    pub(crate) retried: String,
    pub(crate) budget_spent: bool,
    pub(crate) queued_behind: Option<usize>,
    pub(crate) asked: Option<String>,
}

struct Teller(Sender<Told>);

impl Journal for Teller {
    fn record(&mut self, record: &Record<'_>, _at: Duration) {
        // A test that has seen enough does not listen any more.
        let _ = self.0.send(Told {
            status: record.status,
            cause: record.outcome.cause,
            attempts: record.attempts,
            reused: record.reused,
            retried: record.retried.to_string(),
            budget_spent: record.budget_spent,
            queued_behind: record.queued.map(|queued| queued.ahead),
            asked: record.asked.map(|asked| asked.authority.to_owned()),
        });
    }
}

/// A running Pollux, with one worker unless asked otherwise. It is drained, and has to end well, when it
/// goes.
pub(crate) struct Pollux {
    server: Option<Server>,
    pub(crate) address: SocketAddr,
    records: Receiver<Told>,
}

/// A configuration with one listener and one pool over backends as `--backend` takes them.
pub(crate) fn snapshot(mode: Mode, backends: &[&str]) -> Snapshot {
    let mut answers = Answers::default();
    let mut pool = Pool::new("app", Vec::new());
    pool.sources = backends.iter().map(|text| parse_backend_flag(text).unwrap().source).collect();
    for source in &pool.sources {
        if let BackendSource::Asked { question, .. } = source {
            answers.note(question.clone(), discovery::ask(question).unwrap().entries);
        }
    }
    discovery::fill(&mut pool, &answers);
    Snapshot {
        listeners: vec![Listener::to_pool("test", ([127, 0, 0, 1], 0).into(), mode, PoolId(0))],
        pools: vec![pool],
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    }
}

impl Pollux {
    pub(crate) fn start(snapshot: Snapshot) -> Pollux {
        Pollux::with_crew(snapshot, &Workers::of(1))
    }

    pub(crate) fn with_crew(snapshot: Snapshot, workers: &Workers) -> Pollux {
        let (teller, records) = channel();
        let server = Server::start(snapshot, workers, || Box::new(Teller(teller.clone()))).unwrap();
        Pollux { address: server.addresses()[0].ip().unwrap(), server: Some(server), records }
    }

    pub(crate) fn http(backends: &[&str]) -> Pollux {
        Pollux::start(snapshot(Mode::Http, backends))
    }

    pub(crate) fn tcp(backends: &[&str]) -> Pollux {
        Pollux::start(snapshot(Mode::Tcp, backends))
    }

    /// A client that has just connected.
    pub(crate) fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        client
    }

    /// Sends a request on a connection of its own and gives the whole answer.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut client = self.client();
        client.write_all(request.as_bytes()).unwrap();
        rest(&mut client)
    }

    /// A GET that ends its connection.
    pub(crate) fn get(&self) -> String {
        self.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    }

    /// The record of the next exchange that ends.
    pub(crate) fn told(&self) -> Told {
        self.records.recv_timeout(TIMEOUT).expect("a record of an exchange that has ended")
    }

    /// The number of clients of each worker.
    pub(crate) fn sessions(&self) -> Vec<usize> {
        self.server.as_ref().unwrap().sessions()
    }

    /// The counts.
    pub(crate) fn totals(&self) -> Totals {
        self.server.as_ref().unwrap().totals()
    }

    /// The page for Prometheus.
    pub(crate) fn metrics(&self) -> String {
        self.server.as_ref().unwrap().metrics(MetricsFormat::Text)
    }

    /// The number of requests that wait until a backend is free.
    pub(crate) fn waiting(&self) -> usize {
        self.server.as_ref().unwrap().pools().iter().map(|pool| pool.waiting).sum()
    }

    /// The number of requests that backends have in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.server.as_ref().unwrap().pools().iter().map(|pool| pool.in_flight).sum()
    }

    /// The server, for what an operator does to it.
    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }

    pub(crate) fn drain(&mut self) {
        self.server.as_mut().unwrap().drain();
    }

    /// Exchanges the configuration; the address is that of its first listener.
    pub(crate) fn reload(&mut self, snapshot: Snapshot) -> Result<Reloaded, ReloadError> {
        let server = self.server.as_mut().unwrap();
        let outcome = server.reload(snapshot);
        self.address = server.addresses()[0].ip().unwrap();
        outcome
    }

    /// Waits until it has ended.
    pub(crate) fn end(&mut self) {
        let server = self.server.take().unwrap();
        assert!(server.join(), "a worker panicked");
    }
}

impl Drop for Pollux {
    fn drop(&mut self) {
        if self.server.is_some() && !std::thread::panicking() {
            self.drain();
            self.end();
        }
    }
}

/// Everything until the end.
pub(crate) fn rest(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// One response with Content-Length (or none), head and body.
pub(crate) fn response(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    client.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}
