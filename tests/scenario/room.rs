//! A worker that has as many clients as it may: those that are not being served make room for a newcomer.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use pollux::core::outcome::Cause;
use pollux::room::Ground;
use pollux::snapshot::{Limits, Mode, Snapshot, Timeouts};
use socket2::{Domain, Socket, Type};
use toy_backends::{Behaviour, Toy};

use crate::house::{Pollux, TIMEOUT, response, rest, snapshot};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const TRACE: &[u8] = b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n";
const SESSIONS: usize = 4;
/// The interval between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(200);

fn toy() -> Toy {
    Toy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "toy", Behaviour::Echo).unwrap()
}

fn pollux(backend: &str) -> Pollux {
    let limits = Limits { sessions: SESSIONS, ..Limits::default() };
    // The rest of a test is cut off.
    let timeouts = Timeouts { drain: Duration::from_millis(50), ..Timeouts::default() };
    Pollux::start(Snapshot { limits, timeouts, ..snapshot(Mode::Http, &[backend]) })
}

/// Clients that have sent `bytes`, as many as there may be, in their order.
fn crowd(pollux: &Pollux, bytes: &[u8]) -> Vec<TcpStream> {
    let begin = |_| {
        let mut client = pollux.client();
        client.write_all(bytes).unwrap();
        client
    };
    (0..SESSIONS).map(begin).collect()
}

/// The places of the clients whose connections have ended, in the order of the list.
fn ended(clients: &mut [TcpStream]) -> Vec<usize> {
    let ends = |client: &mut TcpStream| {
        client.set_nonblocking(true).unwrap();
        client.read(&mut [0; 1]).is_ok_and(|count| count == 0)
    };
    clients.iter_mut().enumerate().filter_map(|(place, client)| ends(client).then_some(place)).collect()
}

#[test]
fn clients_that_never_speak_make_room() {
    let toy = toy();
    let pollux = pollux(&toy.listening_on());
    let mut silent = crowd(&pollux, b"");
    for _ in 0..3 {
        assert!(pollux.get().starts_with("HTTP/1.1 200 "));
    }
    assert!(!ended(&mut silent).is_empty());
    assert!(pollux.metrics().contains("pollux_room_made_total{worker=\"0\",ground=\"resting\"} "));
}

#[test]
fn the_longest_resting_goes_first() {
    let toy = toy();
    let pollux = pollux(&toy.listening_on());
    let mut resting: Vec<TcpStream> = (0..SESSIONS)
        .map(|_| {
            let mut client = pollux.client();
            client.write_all(GET).unwrap();
            response(&mut client);
            client
        })
        .collect();
    let mut newcomer = pollux.client();
    newcomer.write_all(GET).unwrap();
    assert!(response(&mut newcomer).starts_with("HTTP/1.1 200 "));
    assert_eq!(ended(&mut resting), [0]);
}

#[test]
fn the_oldest_unfinished_head_is_answered_408() {
    let toy = toy();
    let pollux = pollux(&toy.listening_on());
    let mut unfinished = crowd(&pollux, b"GET / HTTP/1.1\r\nHost:");
    let mut newcomer = pollux.client();
    newcomer.write_all(GET).unwrap();
    assert!(response(&mut newcomer).starts_with("HTTP/1.1 200 "));
    assert!(rest(&mut unfinished[0]).starts_with("HTTP/1.1 408 "));
    assert_eq!(pollux.told().cause, Some(Cause::MadeRoom));
    // The others still have their time.
    unfinished[3].write_all(b" h\r\n\r\n").unwrap();
    assert!(response(&mut unfinished[3]).starts_with("HTTP/1.1 200 "));
}

#[test]
fn clients_that_have_left_make_room_and_those_that_wait_do_not() {
    // It takes requests and never answers.
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let pollux = pollux(&backend.local_addr().unwrap().to_string());
    let mut clients = crowd(&pollux, GET);
    while pollux.in_flight() < SESSIONS {
        std::thread::yield_now();
    }
    drop(clients.remove(1));
    let mut newcomer = pollux.client();
    newcomer.write_all(b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert!(response(&mut newcomer).starts_with("HTTP/1.1 501 "));
    // Whether the newcomer finds room made, or the second over that a client has which has left, is a matter
    // of the moment.
    let causes = HashSet::from([pollux.told().cause, pollux.told().cause]);
    assert_eq!(causes, HashSet::from([Some(Cause::MethodRefused), Some(Cause::ClientAborted)]));
    assert_eq!((ended(&mut clients), pollux.in_flight()), (Vec::new(), SESSIONS - 1));
}

#[test]
fn bodies_that_stall_make_room() {
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let pollux = pollux(&backend.local_addr().unwrap().to_string());
    let mut clients = crowd(&pollux, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    while pollux.in_flight() < SESSIONS {
        std::thread::yield_now();
    }
    let mut newcomer = pollux.client();
    newcomer.write_all(b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert!(response(&mut newcomer).starts_with("HTTP/1.1 501 "));
    assert!(rest(&mut clients[0]).starts_with("HTTP/1.1 408 "));
    assert_eq!((ended(&mut clients[1..]), pollux.in_flight()), (Vec::new(), SESSIONS - 1));
}

/// A client that comes from that address of the loopback, and has sent `bytes`.
fn client_from(pollux: &Pollux, from: [u8; 4], bytes: &[u8]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&pollux.address.into()).unwrap();
    let mut client = TcpStream::from(socket);
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client.write_all(bytes).unwrap();
    client
}

#[test]
fn the_address_with_most_connections_makes_room_first() {
    let toy = toy();
    let limits = Limits { sessions: 14, ..Limits::default() };
    let pollux = Pollux::start(Snapshot { limits, ..snapshot(Mode::Http, &[&toy.listening_on()]) });
    let mut many: Vec<_> = (0..10).map(|_| client_from(&pollux, [127, 0, 0, 3], b"GET")).collect();
    // One whose first bytes were not read yet would be one that rests.
    eventually(|| pollux.metrics().contains("pollux_buffers_in_use{worker=\"0\"} 10\n"));
    // They rest, on which ground they would go first, and are fewer.
    let mut few: Vec<_> = (0..4).map(|_| client_from(&pollux, [127, 0, 0, 2], GET)).collect();
    few.iter_mut().for_each(|client| drop(response(client)));
    // All have had their time then, and the order decides.
    std::thread::sleep(Ground::Resting.grace());
    for _ in 0..2 {
        let mut newcomer = client_from(&pollux, [127, 0, 0, 4], GET);
        assert!(response(&mut newcomer).starts_with("HTTP/1.1 200 "));
        drop(newcomer);
    }
    assert!(rest(&mut many[0]).starts_with("HTTP/1.1 408 "));
    assert!(ended(&mut few).is_empty());
}

#[test]
fn an_address_has_no_more_connections_than_it_may() {
    let toy = toy();
    let limits = Limits { per_client: Some(2), ..Limits::default() };
    let mut served = snapshot(Mode::Http, &[&toy.listening_on()]);
    served.listeners[0].trusted_proxies = vec!["127.0.0.9/32".parse().unwrap()];
    let pollux = Pollux::start(Snapshot { limits, ..served });
    let ask = |from| {
        let mut client = client_from(&pollux, from, GET);
        (response(&mut client), client)
    };
    let first = ask([127, 0, 0, 2]);
    let second = ask([127, 0, 0, 2]);
    assert!(first.0.starts_with("HTTP/1.1 200 ") && second.0.starts_with("HTTP/1.1 200 "));
    // The third is closed, whether it is told so by a FIN or, because its request was not read, by a RST.
    let mut third = client_from(&pollux, [127, 0, 0, 2], b"");
    assert!(third.read(&mut [0; 1]).is_ok_and(|count| count == 0));
    eventually(|| pollux.metrics().contains("pollux_clients_refused_total{worker=\"0\"} 1\n"));
    // Others, and proxies that are trusted, are not concerned.
    let others: Vec<_> = [[127, 0, 0, 3], [127, 0, 0, 9], [127, 0, 0, 9], [127, 0, 0, 9]].map(ask).into();
    assert!(others.iter().all(|(answer, _)| answer.starts_with("HTTP/1.1 200 ")));
    // One that has ended has given its place back.
    let (_, mut first) = first;
    first.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    rest(&mut first);
    assert_eq!(pollux.told().cause, None);
    drop(first);
    eventually(|| regains(&pollux));
}

fn eventually(is_so: impl Fn() -> bool) {
    let until = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < until, "it does not become so");
        std::thread::yield_now();
    }
}

/// Whether a client of the address that had two connections gets an answer.
fn regains(pollux: &Pollux) -> bool {
    let mut client = client_from(pollux, [127, 0, 0, 2], b"");
    client.write_all(GET).is_ok() && client.read(&mut [0; 1]).is_ok_and(|count| count == 1)
}

#[test]
fn bodies_that_come_a_byte_at_a_time_make_room() {
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let pollux = pollux(&backend.local_addr().unwrap().to_string());
    let mut clients = crowd(&pollux, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n");
    while pollux.in_flight() < SESSIONS {
        std::thread::yield_now();
    }
    let mut newcomer = pollux.client();
    newcomer.write_all(TRACE).unwrap();
    drip_until_answered(&mut newcomer, &mut clients, b"x");
    eventually(|| pollux.metrics().contains("pollux_room_made_total{worker=\"0\",ground=\"slow\"} 1\n"));
    assert_eq!(pollux.in_flight(), SESSIONS - 1);
}

#[test]
fn bodies_that_are_collected_a_byte_at_a_time_make_room() {
    let toy = toy();
    let limits = Limits { sessions: SESSIONS, ..Limits::default() };
    let timeouts = Timeouts { drain: Duration::from_millis(50), ..Timeouts::default() };
    let mut served = snapshot(Mode::Http, &[&toy.listening_on()]);
    served.pools[0].collect = Some(1 << 20);
    let pollux = Pollux::start(Snapshot { limits, timeouts, ..served });
    let mut clients = crowd(&pollux, b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut newcomer = pollux.client();
    newcomer.write_all(TRACE).unwrap();
    drip_until_answered(&mut newcomer, &mut clients, b"1\r\nx\r\n");
    assert!(ended(&mut clients[1..]).is_empty());
    assert!(rest(&mut clients[0]).starts_with("HTTP/1.1 408 "));
}

/// Gives a bit for each of `clients` again and again, so that none of them ever stalls, until the newcomer
/// has its answer.
fn drip_until_answered(newcomer: &mut TcpStream, clients: &mut [TcpStream], bit: &[u8]) {
    newcomer.set_read_timeout(Some(DRIP)).unwrap();
    let mut drips = 0;
    while newcomer.peek(&mut [0; 1]).is_err() {
        drips += 1;
        assert!(drips < 200, "nobody makes room");
        clients.iter_mut().for_each(|client| drop(client.write_all(bit)));
    }
    newcomer.set_read_timeout(Some(TIMEOUT)).unwrap();
    assert!(response(newcomer).starts_with("HTTP/1.1 501 "));
}

#[test]
fn tunnels_whose_clients_take_nothing_make_room_and_those_that_rest_do_not() {
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let limits = Limits { sessions: SESSIONS, ..Limits::default() };
    let timeouts = Timeouts { drain: Duration::from_millis(50), ..Timeouts::default() };
    let served = snapshot(Mode::Tcp, &[&backend.local_addr().unwrap().to_string()]);
    let pollux = Pollux::start(Snapshot { limits, timeouts, ..served });
    let begin = |_| {
        let client = pollux.client();
        let (server, _) = backend.accept().unwrap();
        (client, server)
    };
    let mut pairs: Vec<_> = (0..SESSIONS).map(begin).collect();
    // More than the kernels' buffers take.
    let flood = pairs[2].1.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut flood = flood;
        while flood.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let mut newcomer = pollux.client();
    newcomer.write_all(b"hello").unwrap();
    let (mut served, _) = backend.accept().unwrap();
    let mut heard = [0; 5];
    served.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    assert_eq!(pollux.told().cause, Some(Cause::MadeRoom));
    pairs.remove(2);
    let (mut clients, _servers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    assert!(ended(&mut clients).is_empty());
}

#[test]
fn an_address_holds_no_more_bytes_than_it_may() {
    let toy = toy();
    let limits = Limits { head: 4096, buffer: 4096, bytes_per_client: Some(4 * 4096), ..Limits::default() };
    let timeouts = Timeouts { drain: Duration::from_millis(50), ..Timeouts::default() };
    let served = snapshot(Mode::Http, &[&toy.listening_on()]);
    let pollux = Pollux::start(Snapshot { limits, timeouts, ..served });
    // Half a head holds 2 KiB, and a whole buffer is needed before that is known.
    let half = b"GET / HTTP/1.1\r\nHost:";
    let _greedy: Vec<_> = (0..12).map(|_| client_from(&pollux, [127, 0, 0, 2], half)).collect();
    eventually(|| {
        let page = pollux.metrics();
        page.contains("pollux_sessions{worker=\"0\"} 12\n")
            && !page.contains("pollux_buffers_short_turns_total{worker=\"0\",measure=\"client\"} 0\n")
    });
    let mut other = client_from(&pollux, [127, 0, 0, 3], TRACE);
    assert!(response(&mut other).starts_with("HTTP/1.1 501 "));
    drop(other);
    // Three quarters are for what clients send.
    let lent = |most: usize| {
        (0..=most)
            .any(|it| pollux.metrics().contains(&format!("pollux_buffers_in_use{{worker=\"0\"}} {it}\n")))
    };
    eventually(|| lent(5));
}

#[test]
fn by_default_an_address_of_another_host_has_half_of_the_places() {
    assert_eq!((Limits::default().per_client(), Limits::default().sessions), (5000, 10_000));
    assert_eq!(Limits::default().bytes_per_client(), 128 << 20);
    let toy = toy();
    let pollux = pollux(&toy.listening_on());
    // A proxy on this host stands for many.
    let mut local: Vec<_> = (0..SESSIONS).map(|_| client_from(&pollux, [127, 0, 0, 2], GET)).collect();
    assert!(local.iter_mut().all(|client| response(client).starts_with("HTTP/1.1 200 ")));
    assert!(pollux.metrics().contains("pollux_clients_refused_total{worker=\"0\"} 0\n"));
}
