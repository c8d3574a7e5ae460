//! Getting a connection to a backend: every kind of address, and every way in which it can fail.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use pollux::core::outcome::Cause;
use pollux::snapshot::Mode;
use socket2::{Domain, Socket, Type};
use toy_backends::{Behaviour, Toy};

use crate::house::{Pollux, response, snapshot};

fn toy(name: &str) -> Toy {
    Toy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), name, Behaviour::Echo).unwrap()
}

/// An address on which nobody listens, and nobody will while the socket lives.
pub(crate) fn refusing() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    (socket, address)
}

/// A listener whose queue is full: connects to it are neither accepted nor refused.
pub(crate) struct BlackHole {
    pub(crate) address: String,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

pub(crate) fn black_hole() -> BlackHole {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    while let Ok(client) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queue.push(client);
        assert!(queue.len() < 16, "the queue of a backlog of 0 is endless");
    }
    BlackHole { address: address.to_string(), _listener: listener, _queue: queue }
}

#[test]
fn ipv4_ipv6_names_and_unix_sockets() {
    let v6 = Toy::start(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), "v6", Behaviour::Echo).unwrap();
    let v4 = toy("v4");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let unix = Toy::start_unix(&path, "unix", Behaviour::Echo).unwrap();
    let (v4_port, unix_name) = (v4.address().port(), unix.listening_on());
    for address in
        [v6.address().to_string(), v4.address().to_string(), format!("localhost:{v4_port}"), unix_name]
    {
        let pollux = Pollux::http(&[&address]);
        assert!(pollux.get().starts_with("HTTP/1.1 200 "), "{address}");
    }
}

#[test]
fn a_refused_connect_moves_to_the_next_backend() {
    let ((_one, first), (_two, second), good) = (refusing(), refusing(), toy("good"));
    let pollux = Pollux::http(&[&first, &second, &good.address().to_string()]);
    for _ in 0..4 {
        assert!(pollux.get().contains("X-Backend: good"));
        assert_eq!(pollux.told().cause, None);
    }
}

#[test]
fn a_post_moves_on_too_for_nothing_of_it_was_sent() {
    let ((_held, refusing), good) = (refusing(), toy("good"));
    let pollux = Pollux::http(&[&refusing, &good.address().to_string()]);
    for _ in 0..2 {
        let answer =
            pollux.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
        assert!(answer.contains("\"body\":\"body\""), "{answer}");
    }
}

#[test]
fn when_all_refuse_the_answer_says_so() {
    let ((_one, first), (_two, second)) = (refusing(), refusing());
    let mut snapshot = snapshot(Mode::Http, &[&first, &second]);
    snapshot.pools[0].reach_wait = None;
    let pollux = Pollux::start(snapshot);
    let answer = pollux.get();
    assert!(
        answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && answer.ends_with("backend-refused\n"),
        "{answer}"
    );
    let told = pollux.told();
    assert_eq!((told.status, told.cause, told.attempts), (502, Some(Cause::BackendRefused), 3));
}

#[test]
fn a_black_hole_costs_the_connect_timeout_and_no_more() {
    let (hole, good) = (black_hole(), toy("good"));
    let mut snapshot = snapshot(Mode::Http, &[&hole.address, &good.address().to_string()]);
    snapshot.timeouts.connect = Duration::from_millis(50);
    let pollux = Pollux::start(snapshot.clone());
    assert!(pollux.get().contains("X-Backend: good"));
    assert_eq!(pollux.told().attempts, 2);
    snapshot.pools[0].backends.truncate(1);
    let answer = Pollux::start(snapshot).get();
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.ends_with("backend-connect-timeout\n"), "{answer}");
}

#[test]
fn a_full_unix_backlog_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.sock");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    // A backlog of 0 has room for one; a second connect would block, and a non-blocking one gets EAGAIN.
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let pollux = Pollux::http(&[&format!("unix:{}", path.display())]);
    let mut client = pollux.client();
    std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let listener = UnixListener::from(socket);
    let (first, _) = listener.accept().unwrap();
    drop(first);
    // Only now is there room, and Pollux has to find out by itself.
    let (mut backend, _) = listener.accept().unwrap();
    let mut head = [0; 4096];
    let count = std::io::Read::read(&mut backend, &mut head).unwrap();
    assert!(head[..count].starts_with(b"GET / HTTP/1.1\r\n"));
    std::io::Write::write_all(&mut backend, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert!(response(&mut client).starts_with("HTTP/1.1 204 "));
}

#[test]
fn an_unresponsive_backend_is_a_504() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut snapshot = snapshot(Mode::Http, &[&listener.local_addr().unwrap().to_string()]);
    snapshot.timeouts.backend_response = Duration::from_millis(50);
    let pollux = Pollux::start(snapshot);
    let answer = pollux.get();
    assert!(
        answer.starts_with("HTTP/1.1 504 ") && answer.ends_with("backend-response-timeout\n"),
        "{answer}"
    );
}
