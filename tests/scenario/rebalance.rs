//! Several workers behind one port: a few long connections are spread over them, and none is lost on its way.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use pollux::control::Workers;
use pollux::core::outcome::NoJournal;
use pollux::os::{SysOs, bind};
use pollux::shared::rebalance::WorkerLoads;
use pollux::snapshot::{Mode, Snapshot};
use pollux::worker::{Poller, Setup, Splicing, Turn, Worker, WorkerIndex};
use toy_backends::{Behaviour, Toy};

use crate::house::{Pollux, TIMEOUT, response, rest, snapshot};

fn toy() -> Toy {
    Toy::start("127.0.0.1:0".parse().unwrap(), "a", Behaviour::Fixed(5)).unwrap()
}

fn snapshot_of(toy: &Toy) -> Snapshot {
    snapshot(Mode::Http, &[&toy.address().to_string()])
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
}

#[test]
fn a_few_long_connections_are_spread_over_all_workers() {
    let toy = toy();
    let pollux = Pollux::with_crew(snapshot_of(&toy), &Workers::of(4));
    let mut clients: Vec<TcpStream> = Vec::new();
    for _ in 0..32 {
        let mut client = pollux.client();
        ask(&mut client);
        // An answer means that a worker has it.
        assert!(response(&mut client).starts_with("HTTP/1.1 200 "));
        clients.push(client);
    }
    let sessions = pollux.sessions();
    let (least, most) = (sessions.iter().min().unwrap(), sessions.iter().max().unwrap());
    assert!(*most <= least + 1 + least / 8 && sessions.iter().sum::<usize>() == 32, "{sessions:?}");
    for client in &mut clients {
        ask(client);
        assert!(response(client).starts_with("HTTP/1.1 200 "));
    }
}

/// The worker with that number of two, and the port that it listens on if it has one.
fn worker(
    neighbours: &Arc<WorkerLoads>,
    number: usize,
    snapshot: &Arc<Snapshot>,
    is_listening: bool,
) -> (Worker<SysOs>, Option<SocketAddr>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut os = SysOs::default();
    let bound = is_listening.then(|| bind(([127, 0, 0, 1], 0).into()).unwrap());
    let address = bound.as_ref().map(|(_, address)| *address);
    let setup = Setup {
        snapshot: Arc::clone(snapshot),
        tls: Arc::default(),
        listeners: bound.into_iter().map(|(socket, _)| (os.adopt(socket), 0)).collect(),
        wake: Some(os.adopt(theirs.into())),
        share: WorkerIndex { worker: number, workers: 2 },
        poller: Poller::default(),
        splicing: Splicing::NEVER,
        seed: 0,
        identity: 0,
        journal: Box::new(NoJournal),
        registry: Arc::default(),
    };
    let mut worker = Worker::new(os, setup);
    worker.set_load_slot(neighbours.open_slot(number, Arc::new(ours)));
    (worker, address)
}

/// A client that has asked, and reads until the end.
fn client(address: SocketAddr) -> JoinHandle<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    ask(&mut stream);
    thread::spawn(move || rest(&mut stream))
}

/// Only one worker listens, so all clients come to it, and the test turns both by hand.
#[test]
fn who_was_handed_to_a_worker_that_stops_is_served_and_the_next_one_stays() {
    let toy = toy();
    let (neighbours, snapshot) = (WorkerLoads::new(2), Arc::new(snapshot_of(&toy)));
    let (mut first, address) = worker(&neighbours, 0, &snapshot, true);
    let (mut second, _) = worker(&neighbours, 1, &snapshot, false);
    let address = address.unwrap();

    let mut clients: Vec<_> = (0..4).map(|_| client(address)).collect();
    while neighbours.sessions().iter().sum::<usize>() < 4 {
        first.turn();
    }
    assert_eq!((neighbours.sessions(), second.census().sessions), (vec![2, 2], 0));
    second.drain();
    assert_eq!(second.census().sessions, 2);
    while second.turn() == Turn::Running {}

    clients.extend((0..2).map(|_| client(address)));
    while first.census().sessions < 4 {
        first.turn();
    }
    assert_eq!(neighbours.sessions(), [4, 0]);
    first.drain();
    while first.turn() == Turn::Running {}
    for client in clients {
        let answer = client.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    }
}

/// The second worker has room for one client, and gets two: the other one waits until the first leaves.
#[test]
fn a_worker_takes_in_no_more_than_it_has_room_for() {
    let toy = toy();
    let mut small = snapshot_of(&toy);
    small.limits.sessions = 2;
    let neighbours = WorkerLoads::new(2);
    let (mut first, address) = worker(&neighbours, 0, &Arc::new(snapshot_of(&toy)), true);
    let (mut second, _) = worker(&neighbours, 1, &Arc::new(small), false);
    let address = address.unwrap();

    // The second and the last of them are handed over, and the second leaves once it has its answer.
    let mut staying = vec![client(address)];
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    ask(&mut stream);
    let leaving = thread::spawn(move || response(&mut stream));
    staying.extend((0..2).map(|_| client(address)));
    while neighbours.sessions().iter().sum::<usize>() < 4 {
        first.turn();
    }
    assert_eq!(neighbours.sessions(), [2, 2]);
    second.turn();
    assert_eq!((second.census().sessions, neighbours.sessions()), (1, vec![2, 2]));
    while neighbours.sessions() == [2, 2] {
        second.turn();
    }
    assert!(leaving.join().unwrap().starts_with("HTTP/1.1 200 "));
    second.turn();
    assert_eq!(second.census().sessions, 1);
    for worker in [&mut first, &mut second] {
        worker.drain();
        while worker.turn() == Turn::Running {}
    }
    for client in staying {
        assert!(client.join().unwrap().starts_with("HTTP/1.1 200 "));
    }
}
