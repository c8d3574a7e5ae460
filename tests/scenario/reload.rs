//! Reload: nobody who is connected is disturbed, and what begins afterwards is held to the new configuration.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use pollux::control::{ReloadError, StartError};
use pollux::snapshot::{Listener, Mode, PoolId, Snapshot, Timeouts};

use crate::house::{Pollux, TIMEOUT, response, rest, snapshot};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A backend that a test plays itself.
struct Played(TcpListener);

impl Played {
    fn new() -> Played {
        Played(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }
}

/// Reads the head of a request.
fn read_head(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
}

fn answer(stream: &mut TcpStream, body: &str) {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
}

fn http(backends: &[&Played]) -> Snapshot {
    let addresses: Vec<_> = backends.iter().map(|played| played.address()).collect();
    snapshot(Mode::Http, &addresses.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn what_is_under_way_ends_where_it_began_and_what_follows_goes_elsewhere() {
    let (old, new) = (Played::new(), Played::new());
    let mut pollux = Pollux::start(http(&[&old]));
    let address = pollux.address;
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let mut backend = old.accept();
    read_head(&mut backend);
    let reloaded = pollux.reload(http(&[&new])).unwrap();
    assert_eq!(reloaded.removed, [format!("app/{}", old.address())]);
    assert_eq!(reloaded.added, [format!("app/{}", new.address())]);
    assert_eq!((reloaded.opened.len(), reloaded.closed.len(), pollux.address), (0, 0, address));
    answer(&mut backend, "old");
    assert!(response(&mut client).ends_with("old"));
    // Nothing will be asked of it any more, so its connection is not kept.
    assert_eq!(rest(&mut backend), "");
    client.write_all(GET).unwrap();
    let mut backend = new.accept();
    read_head(&mut backend);
    answer(&mut backend, "new");
    assert!(response(&mut client).ends_with("new"));
}

#[test]
fn idle_connections_stay_with_a_backend_that_stays() {
    let (stays, goes) = (Played::new(), Played::new());
    let mut pollux = Pollux::start(http(&[&stays, &goes]));
    let mut client = pollux.client();
    let mut backends = Vec::new();
    for played in [&stays, &goes] {
        client.write_all(GET).unwrap();
        let mut backend = played.accept();
        read_head(&mut backend);
        answer(&mut backend, "ok");
        response(&mut client);
        backends.push(backend);
    }
    pollux.reload(http(&[&stays])).unwrap();
    assert_eq!(rest(&mut backends[1]), "");
    client.write_all(GET).unwrap();
    read_head(&mut backends[0]);
    answer(&mut backends[0], "again");
    assert!(response(&mut client).ends_with("again"));
    let reused: Vec<bool> = (0..3).map(|_| pollux.told().reused).collect();
    assert_eq!(reused, [false, false, true]);
}

#[test]
fn a_listener_that_goes_lets_its_exchanges_end() {
    let backend = Played::new();
    let mut pollux = Pollux::start(http(&[&backend]));
    let before = pollux.address;
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let mut stream = backend.accept();
    read_head(&mut stream);
    let mut idle = pollux.client();
    let mut changed = http(&[&backend]);
    // Another address of the loopback, so that the sockets cannot be kept.
    changed.listeners = vec![Listener::to_pool("test", ([127, 0, 0, 2], 0).into(), Mode::Http, PoolId(0))];
    let reloaded = pollux.reload(changed).unwrap();
    assert_eq!((reloaded.opened.len(), reloaded.closed.len()), (1, 1));
    assert!(TcpStream::connect(before).is_err(), "the old address still takes clients");
    assert_eq!(rest(&mut idle), "");
    answer(&mut stream, "last");
    let last = rest(&mut client);
    assert!(last.contains("Connection: close\r\n") && last.ends_with("last"), "{last}");
    pollux.client();
}

#[test]
fn a_tunnel_outlives_its_listener_and_its_backend() {
    let (old, new) = (Played::new(), Played::new());
    let to = |played: &Played| snapshot(Mode::Tcp, &[&played.address()]);
    let mut pollux = Pollux::start(to(&old));
    let mut client = pollux.client();
    let mut backend = old.accept();
    let mut changed = to(&new);
    changed.listeners = vec![Listener::to_pool("test", ([127, 0, 0, 2], 0).into(), Mode::Tcp, PoolId(0))];
    pollux.reload(changed).unwrap();
    client.write_all(b"ping").unwrap();
    let mut bytes = [0; 4];
    backend.read_exact(&mut bytes).unwrap();
    backend.write_all(b"pong").unwrap();
    client.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"pong");
}

#[test]
fn without_its_address_a_reload_changes_nothing() {
    let (old, new) = (Played::new(), Played::new());
    let mut pollux = Pollux::start(http(&[&old]));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut changed = http(&[&new]);
    let bind = taken.local_addr().unwrap();
    changed.listeners.push(Listener::to_pool("second", bind, Mode::Http, PoolId(0)));
    let error = pollux.reload(changed).unwrap_err();
    assert!(matches!(error, ReloadError::Start(StartError::Bind { .. })), "{error}");
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let mut backend = old.accept();
    read_head(&mut backend);
    answer(&mut backend, "old");
    assert!(response(&mut client).ends_with("old"));
}

#[test]
fn a_pollux_that_drains_is_not_reloaded() {
    let backend = Played::new();
    let mut pollux = Pollux::start(http(&[&backend]));
    pollux.drain();
    assert!(matches!(pollux.reload(http(&[&backend])), Err(ReloadError::Draining)));
    pollux.end();
}

/// The deadline of an idle client in the parked set follows from the configuration, too.
#[test]
fn a_shorter_idle_timeout_closes_clients_that_are_parked() {
    let played = Played::new();
    let mut pollux = Pollux::start(http(&[&played]));
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let mut backend = played.accept();
    read_head(&mut backend);
    answer(&mut backend, "ok");
    assert!(response(&mut client).ends_with("ok"));
    // It is parked in a turn that comes for another one.
    let (begun, is) = (Instant::now(), |line: &str| pollux.metrics().lines().any(|found| found == line));
    while !(is("pollux_sessions{worker=\"0\"} 1") && is("pollux_sessions_parked{worker=\"0\"} 1")) {
        assert!(begun.elapsed() < TIMEOUT, "the client is never parked");
        drop(pollux.client());
    }
    let mut shorter = http(&[&played]);
    shorter.timeouts.client_idle = Duration::from_millis(1);
    assert!(shorter.timeouts.client_idle < TIMEOUT && TIMEOUT < Timeouts::default().client_idle);
    pollux.reload(shorter).unwrap();
    assert_eq!(rest(&mut client), "");
}
