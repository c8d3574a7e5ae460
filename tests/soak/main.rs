//! A mixed crowd for a while: good, bad, slow, aborting, half-closing and pipelining clients at once, before
//! backends that behave well and badly. Every valid exchange must be exact and its own, and afterwards the
//! descriptors and the memory of the process must be back where they were.
//!
//! `SOAK_SECONDS=3600 cargo test --release --test soak` soaks for an hour; without the variable it is a few
//! seconds.

mod clients;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use toy_backends::{Behaviour, Toy};

use clients::{Crowd, Kind};
use process::Process;

const SECONDS: u64 = 5;
/// Threads for each kind of client.
const CROWD: usize = 2;
/// Resident memory that may come on top between the first third and the end: what the allocator keeps, no
/// more.
const GROWTH_MAX_KIB: u64 = 8 * 1024;

fn seconds() -> Duration {
    let text = std::env::var("SOAK_SECONDS").ok();
    Duration::from_secs(
        text.map_or(SECONDS, |text| text.parse().expect("SOAK_SECONDS is a number of seconds")),
    )
}

fn toy(name: &str, behaviour: Behaviour) -> Toy {
    Toy::start(([127, 0, 0, 1], 0).into(), name, behaviour).unwrap()
}

#[test]
fn a_mixed_crowd_leaves_nothing_behind() {
    let good = [toy("a", Behaviour::Echo), toy("b", Behaviour::Echo), toy("c", Behaviour::Echo)];
    let bad =
        [toy("close", Behaviour::Close), toy("reset", Behaviour::Reset), toy("garbage", Behaviour::Garbage)];
    let pollux = Process::start(&good, &bad);
    let at_rest = pollux.descriptors();
    let crowd = Arc::new(Crowd {
        good: pollux.good,
        bad: pollux.bad,
        is_over: AtomicBool::new(false),
        exact: AtomicU64::new(0),
    });
    let span = seconds();
    let threads: Vec<_> = Kind::ALL
        .iter()
        .flat_map(|kind| (0..CROWD).map(move |number| (*kind, number)))
        .map(|(kind, number)| {
            let crowd = Arc::clone(&crowd);
            thread::spawn(move || crowd.run(kind, number))
        })
        .collect();
    let begun = Instant::now();
    thread::sleep(span / 3);
    let warm_kib = pollux.resident_kib();
    while begun.elapsed() < span && threads.iter().all(|thread| !thread.is_finished()) {
        thread::sleep(Duration::from_millis(50));
    }
    crowd.is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    let exact = crowd.exact.load(Ordering::Relaxed);
    assert!(exact > 100, "only {exact} exchanges were exact");
    pollux.comes_to_rest(at_rest);
    let grown_kib = pollux.resident_kib().saturating_sub(warm_kib);
    assert!(grown_kib < GROWTH_MAX_KIB, "{grown_kib} KiB more than after the first third");
    pollux.end();
}
