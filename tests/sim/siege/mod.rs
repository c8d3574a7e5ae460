//! Clients whose one aim is to have a backend ejected, beside clients that want to be served. The backends do
//! what servers do: they answer good requests at once, and everything else badly, because that is what the
//! request asks for. None may be ejected.
//!
//! The hostile clients begin when each backend has answered a good request, which is the premise of the rule:
//! a backend that has never answered has no credit, and a hostile client may be the first who asks it.

mod backend;
mod client;
mod premise;
mod trick;

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use pollux::balance::health::{Errors, Passive};
use pollux::core::time::Time;
use pollux::snapshot::{Balance, Mode, Pool, Retries, Timeouts};

use crate::actor::Actor;
use crate::harness::{Peers, Scene};
use backend::Backend;
use client::{Good, Hostile};
pub(crate) use premise::Premise;

/// When the last client leaves.
const END: Time = Time::from_nanos(1_700_000_000);

/// The hostile clients come no earlier.
const BEGIN: Time = Time::from_nanos(200_000_000);

/// The longest rest of a good client between two requests.
const GOOD_REST: Duration = Duration::from_millis(60);

/// The rules of a pool under siege: as strict as may be, with policies by which good requests reach every
/// backend.
pub(crate) fn rules(pool: &mut Pool, timeouts: &mut Timeouts, rng: &mut Rng) {
    pool.balance = if rng.bool() { Balance::RoundRobin } else { Balance::Random };
    let statuses = if rng.bool() { vec![(500, 599)] } else { Vec::new() };
    pool.health = Passive {
        failures: rng.u32(1..=5),
        failure_rate: rng.bool().then(|| rng.u32(1..=500)),
        window: Duration::from_millis(rng.u64(50..=2000)),
        window_min: rng.u32(1..=10),
        errors: Errors { statuses, ..Errors::default() },
        max_ejected: 1000,
        ..Passive::default()
    };
    let statuses = if rng.bool() { vec![500] } else { Vec::new() };
    pool.retries = Retries {
        most: rng.u32(0..=3),
        timeout: rng.bool(),
        statuses,
        budget: 0,
        budget_min: rng.u32(0..=2),
        ..Retries::default()
    };
    let millis = |rng: &mut Rng| Duration::from_millis(rng.u64(20..=900));
    (timeouts.backend_response, timeouts.idle) = (millis(rng), millis(rng));
    timeouts.queue = Duration::from_secs(100);
}

/// One run.
pub(crate) fn run(scene: &mut Scene) {
    let premise = Rc::default();
    scene.faults.besiege(&premise);
    let mut clients: Vec<Box<dyn Actor>> = Vec::new();
    for number in 0..3 {
        clients.push(Box::new(Good::new(number, scene.rng.fork())));
    }
    for number in 3..3 + scene.rng.usize(1..=5) {
        clients.push(Box::new(Hostile::new(number, Rc::clone(&premise), scene.rng.fork())));
    }
    let mut rng = scene.rng.fork();
    let spawn = Box::new(move |host, end| -> Box<dyn Actor> {
        Box::new(Backend::new(host, end, Rc::clone(&premise), rng.fork()))
    });
    scene.perform(Mode::Http, Peers { clients, spawn });
    assert_eq!(scene.ejections(), 0, "a backend was ejected that has answered every good request");
}
