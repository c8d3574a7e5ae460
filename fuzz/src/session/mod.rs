//! A whole worker over a kernel in memory, driven by a script.
//!
//! The first byte of the input says how many backends there are, one or two. Steps follow, each begun by
//! 0xFF: a letter for what happens, a byte for whom it happens to, and bytes that go with it. See [`script`].
//!
//! For any steps: no panic, no call on a closed descriptor, no spin; once all peers have left, a
//! drained worker holds nothing; the backends have seen no request that its client had not sent, as a strict
//! reader reads what it sent; and no client has seen a byte that a backend said to somebody else, or more
//! answers than it has asked questions.

mod judge;
mod kernel;
mod script;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use pollux::core::outcome::NoJournal;
use pollux::snapshot::{Address, Backend, Limits, Listener, Mode, Pool, PoolId, Snapshot, Timeouts};
use pollux::worker::{Census, Poller, Setup, Splicing, Turn, Worker, WorkerIndex};

use kernel::{DOOR, Kernel, MemoryOs};

/// Turns that may follow one another while poll always has something to say. Each byte of an input moves a
/// few times at most, one at a time at worst.
const BUSY_TURNS_MAX: usize = 100_000;

/// Turns that a worker may take to finish once everybody has left.
const LAST_TURNS_MAX: usize = 1000;

/// See the module.
pub fn check(data: &[u8]) {
    let Some((&first, script)) = data.split_first() else { return };
    let kernel = Rc::new(RefCell::new(Kernel::default()));
    let mut worker = Worker::new(
        MemoryOs(Rc::clone(&kernel)),
        Setup {
            snapshot: Arc::new(snapshot(1 + u16::from(first & 1))),
            tls: Arc::default(),
            listeners: vec![(DOOR, 0)],
            wake: None,
            share: WorkerIndex { worker: 0, workers: 1 },
            poller: Poller::Poll,
            splicing: Splicing::NEVER,
            seed: 0,
            identity: 0,
            journal: Box::new(NoJournal),
            registry: Arc::default(),
        },
    );
    for step in script::steps(script) {
        script::perform(&step, &mut kernel.borrow_mut());
        if !kernel.borrow().is_still {
            turn_until_quiet(&mut worker, &kernel);
        }
    }
    finish(&mut worker, &kernel);
    assert_eq!(worker.census(), Census::default(), "something is left in the worker");
    let kernel = kernel.borrow();
    assert!(kernel.conns.iter().all(|conn| conn.is_closed || !conn.is_taken), "a descriptor is left open");
    judge::judge(&kernel);
}

fn turn_until_quiet(worker: &mut Worker<MemoryOs>, kernel: &Rc<RefCell<Kernel>>) {
    for _ in 0..BUSY_TURNS_MAX {
        worker.turn();
        if kernel.borrow().is_quiet {
            return;
        }
    }
    panic!("the worker spins: {:?}", kernel.borrow());
}

/// Lets everybody take what is there for them, leave, and the worker end.
fn finish(worker: &mut Worker<MemoryOs>, kernel: &Rc<RefCell<Kernel>>) {
    kernel.borrow_mut().is_still = false;
    kernel.borrow_mut().relent();
    turn_until_quiet(worker, kernel);
    kernel.borrow_mut().everybody_leaves();
    turn_until_quiet(worker, kernel);
    worker.drain();
    kernel.borrow_mut().has_time = true;
    let finishes = (0..LAST_TURNS_MAX).any(|_| worker.turn() == Turn::Finished);
    assert!(finishes, "a drained worker does not finish: {:?}", kernel.borrow());
}

fn snapshot(backends: u16) -> Snapshot {
    let backend = |number: u16| {
        let address = Address::Ip(SocketAddr::from(([10, 1, 0, 1], 8000 + number)));
        Backend::new(format!("b{number}"), address, 1)
    };
    let backends = (0..backends).map(backend).collect();
    let limits = Limits {
        head: 1024,
        request_line: 256,
        fields: 16,
        body: Some(2048),
        buffer: 1024,
        sessions: 4,
        accept_budget: 4,
        idle_per_backend: 2,
        ..Limits::default()
    };
    let bind = SocketAddr::from(([127, 0, 0, 1], 80));
    Snapshot {
        listeners: vec![Listener::to_pool("main", bind, Mode::Http, PoolId(0))],
        pools: vec![Pool::new("pool", backends)],
        timeouts: Timeouts::default(),
        limits,
    }
}
