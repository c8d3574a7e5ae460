//! Changes of an operator to a running Pollux: backends that are drained, taken out and weighted, and
//! sessions that are ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use pollux::balance::AdminState;
use pollux::control::{OperateError, WantedState};
use pollux::core::outcome::Cause;
use pollux::snapshot::{Mode, Snapshot, Sticky};
use pollux::status::{Order, SessionId, SessionsAsk};
use toy_backends::{Behaviour, Toy};

use crate::house::{Pollux, TIMEOUT, response, rest, snapshot};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn toys() -> [Toy; 2] {
    ["a", "b"].map(|name| Toy::start(([127, 0, 0, 1], 0).into(), name, Behaviour::Echo).unwrap())
}

fn over(toys: &[Toy]) -> Snapshot {
    let texts: Vec<_> = toys.iter().map(|toy| toy.address().to_string()).collect();
    let mut snapshot = snapshot(Mode::Http, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    for (backend, toy) in snapshot.pools[0].backends.iter_mut().zip(toys) {
        backend.name = toy.name().to_owned();
    }
    snapshot
}

/// The names of the backends that answer so many requests.
fn served_by(pollux: &Pollux, count: usize) -> String {
    let one = |_| {
        let answer = pollux.get();
        answer.lines().find_map(|line| line.strip_prefix("X-Backend: ")).unwrap_or(&answer).to_owned()
    };
    let mut names: Vec<String> = (0..count).map(one).collect();
    names.sort();
    names.concat()
}

#[test]
fn a_backend_is_drained_taken_out_and_comes_back() {
    let toys = toys();
    let mut pollux = Pollux::start(over(&toys));
    assert_eq!(served_by(&pollux, 4), "aabb");
    for admin_state in [AdminState::Drain, AdminState::Down] {
        pollux.server().operate("app/b", WantedState::State(admin_state), "a test").unwrap();
        assert_eq!(served_by(&pollux, 4), "aaaa", "{admin_state}");
        let status = pollux.server().status();
        assert_eq!(status.pools[0].backends[1].state, admin_state.as_str());
        assert_eq!(
            (status.changes[0].value.as_str(), status.changes[0].by.as_str()),
            (admin_state.as_str(), "a test")
        );
        // Nothing is left idle with it.
        assert_eq!(status.workers[0].backends_idle, 1);
    }
    pollux.server().operate("app/b", WantedState::State(AdminState::Ready), "a test").unwrap();
    assert_eq!(served_by(&pollux, 4), "aabb");
    assert!(pollux.server().changes().is_empty());
}

#[test]
fn who_is_bound_stays_with_a_backend_that_is_drained_but_not_with_one_that_is_down() {
    let toys = toys();
    let mut sticky = over(&toys);
    sticky.pools[0].sticky = Some(Sticky::named("srv"));
    let mut pollux = Pollux::start(sticky);
    let answer = pollux.get();
    let name = answer.lines().find_map(|line| line.strip_prefix("X-Backend: ")).unwrap().to_owned();
    let cookie = answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let ask = format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
    let bound = format!("X-Backend: {name}\r\n");
    let backend = format!("app/{name}");
    pollux.server().operate(&backend, WantedState::State(AdminState::Drain), "a test").unwrap();
    assert!(pollux.ask(&ask).contains(&bound));
    pollux.server().operate(&backend, WantedState::State(AdminState::Down), "a test").unwrap();
    let elsewhere = pollux.ask(&ask);
    assert!(elsewhere.starts_with("HTTP/1.1 200 ") && !elsewhere.contains(&bound), "{elsewhere}");
}

#[test]
fn what_is_under_way_goes_on_when_its_backend_is_taken_out() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backend.local_addr().unwrap().to_string();
    let mut pollux = Pollux::http(&[&address]);
    let mut client = pollux.client();
    client.write_all(GET).unwrap();
    let mut stream = accept_request(&backend);
    pollux
        .server()
        .operate(&format!("app/{address}"), WantedState::State(AdminState::Down), "a test")
        .unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast").unwrap();
    assert!(response(&mut client).ends_with("last"));
    // The connection is not kept for another request, and there is nobody for that one.
    assert_eq!(rest(&mut stream), "");
    client.write_all(GET).unwrap();
    let refused = response(&mut client);
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("no-backend"), "{refused}");
}

#[test]
fn a_weight_changes_the_shares() {
    let toys = toys();
    let mut pollux = Pollux::start(over(&toys));
    pollux.server().operate("app/a", WantedState::Weight(Some(3)), "a test").unwrap();
    assert_eq!(served_by(&pollux, 8), "aaaaaabb");
    let error = pollux.server().operate("app/a", WantedState::Weight(Some(1001)), "a test").unwrap_err();
    assert!(matches!(error, OperateError::Change(_)), "{error}");
    pollux.server().operate("app/a", WantedState::Weight(None), "a test").unwrap();
    assert_eq!(served_by(&pollux, 8), "aaaabbbb");
}

#[test]
fn a_reload_keeps_what_was_changed_unless_it_says_otherwise() {
    let toys = toys();
    let mut pollux = Pollux::start(over(&toys));
    pollux.server().operate("app/b", WantedState::State(AdminState::Down), "a test").unwrap();
    pollux.server().operate("app/a", WantedState::Weight(Some(3)), "a test").unwrap();
    let reloaded = pollux.reload(over(&toys)).unwrap();
    assert_eq!((reloaded.kept.len(), reloaded.dropped.len()), (2, 0));
    assert_eq!(served_by(&pollux, 3), "aaa");
    let mut changed = over(&toys);
    changed.pools[0].backends[0].weight = 2;
    let reloaded = pollux.reload(changed).unwrap();
    assert_eq!(reloaded.dropped, ["app/a: weight 3 by a test: the configuration says 2 now"]);
    assert_eq!(reloaded.kept, ["app/b: state down by a test"]);
    assert_eq!(served_by(&pollux, 3), "aaa");
}

fn accept_request(backend: &TcpListener) -> TcpStream {
    let (mut stream, _) = backend.accept().unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    stream
}

#[test]
fn a_session_is_listed_and_ended() {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pollux = Pollux::http(&[&backend.local_addr().unwrap().to_string()]);
    let mut client = pollux.client();
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut stream = accept_request(&backend);
    let sessions =
        pollux.server().list_sessions(SessionsAsk { order: Order::Biggest, ..SessionsAsk::default() });
    assert_eq!((sessions.len(), sessions[0].request.as_str()), (1, "GET /slow"));
    let id = SessionId::parse(&sessions[0].id).unwrap();
    assert!(pollux.server().kill(id));
    let mut byte = [0];
    assert_eq!(client.read(&mut byte).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(stream.read(&mut byte).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let told = pollux.told();
    assert_eq!((told.cause, told.status), (Some(Cause::OperatorKilled), 0));
    assert!(!pollux.server().kill(id), "it was ended twice");
    assert!(pollux.server().list_sessions(SessionsAsk::default()).is_empty());
}

#[test]
fn a_client_that_has_asked_for_nothing_is_ended_without_a_record() {
    let toys = toys();
    let mut pollux = Pollux::start(over(&toys));
    let mut idle = pollux.client();
    idle.write_all(GET).unwrap();
    response(&mut idle);
    assert_eq!(pollux.told().cause, None);
    let sessions = pollux.server().list_sessions(SessionsAsk::default());
    assert!(pollux.server().kill(SessionId::parse(&sessions[0].id).unwrap()));
    assert_eq!(idle.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // The next record is that of the next client.
    pollux.get();
    assert_eq!(pollux.told().status, 200);
}
