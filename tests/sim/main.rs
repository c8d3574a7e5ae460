//! The whole worker over a fake kernel: seeded clients, backends, network and faults, a virtual clock, and
//! oracles.
//!
//! `README.md` says how to read a failure. One seed is one run; `SIM_SEED=n` replays it with its whole trace,
//! and `SIM_SEEDS=n` runs more of them than usual.

mod actor;
mod actors;
mod ambient;
mod announced;
mod backend_faults;
mod descriptors;
mod end;
mod faults;
mod faulty_pools;
mod harness;
mod http;
mod idler;
mod invariants;
mod kernel;
mod ledger;
mod net;
mod payload;
mod poll;
mod refill;
mod reload;
mod seeds;
mod siege;
mod slot_holders;
mod slow_handshake;
mod streams;
mod tcp;
mod tls;
mod trace;

use std::collections::HashSet;
use std::thread;

use announced::ProxyHeaders;
use faults::Weather;
use harness::Scene;
use refill::Refills;
use reload::Reloads;
use seeds::{bytes_of, each_seed, each_seed_twice, these_seeds};
use tls::Legs;

/// Seeds of the two plain tests of each protocol.
const MANY: u64 = 256;

/// Seeds of the tests with one special thing each.
const SOME: u64 = 128;

/// Seeds of the test in which clients make thousands of requests.
const SIEGES: u64 = 32;

/// Seeds of the test of the simulator itself.
const FEW: u64 = 16;

#[test]
fn a_seed_is_a_run() {
    each_seed_twice(FEW, Weather::Foul, http::run);
    each_seed_twice(FEW, Weather::Foul, tcp::run);
    each_seed_twice(FEW, Weather::Clean, sealed);
    each_seed_twice(FEW, Weather::Foul, sealed_http);
}

/// Handshakes, tickets and records too: in a thread where nothing was before, and behind another run.
#[test]
fn the_bytes_of_a_tls_run_follow_from_its_seed() {
    let kinds = [(Weather::Clean, sealed as fn(&mut Scene)), (Weather::Foul, sealed_http)];
    for (weather, run) in kinds {
        let mut seen = HashSet::new();
        for seed in 0..FEW / 4 {
            let apart = thread::spawn(move || bytes_of(seed, weather, run)).join().expect("a run");
            assert_eq!(bytes_of(seed, weather, run), apart, "seed {seed}");
            assert!(seen.insert(apart), "seed {seed} has the bytes of another");
        }
    }
}

/// Each of them once failed, and is no longer among those that are run as a rule. Pools were plain in the
/// first of them.
#[test]
fn seeds_that_found_something() {
    let plain = |run: fn(&mut Scene)| {
        move |scene: &mut Scene| {
            scene.is_plain = true;
            run(scene);
        }
    };
    these_seeds("http_faults", &[3736, 4085], Weather::Foul, plain(http::run));
    these_seeds("drain_in_flight", &[36149], Weather::Clean, plain(drained));
    these_seeds("drain_faults", &[81165, 92056], Weather::Foul, plain(drained));
    these_seeds("tls_faults", &[876, 1791], Weather::Foul, sealed);
    these_seeds("reload_http_faults", &[1028, 1214, 2790], Weather::Foul, reloaded);
}

#[test]
fn http_clean() {
    each_seed("http_clean", MANY, Weather::Clean, http::run);
}

#[test]
fn http_faults() {
    each_seed("http_faults", MANY, Weather::Foul, http::run);
}

#[test]
fn tcp_clean() {
    each_seed("tcp_clean", MANY, Weather::Clean, tcp::run);
}

#[test]
fn tcp_faults() {
    each_seed("tcp_faults", MANY, Weather::Foul, tcp::run);
}

fn sealed(scene: &mut Scene) {
    scene.legs = Legs::draw(&mut scene.rng);
    tcp::run(scene);
}

fn sealed_http(scene: &mut Scene) {
    scene.legs = Legs::draw(&mut scene.rng);
    http::run(scene);
}

/// Some clients never finish their handshakes, and there may be few under way at once: all others come in.
fn beset(scene: &mut Scene) {
    scene.legs = Legs { clients: true, backends: scene.rng.bool() };
    let few = scene.rng.usize(1..=8);
    scene.faults.handshakes = Some(few).filter(|few| *few <= 4);
    scene.faults.bring_slow_handshakes(&mut scene.rng);
    http::run(scene);
}

/// Streams through TLS on one leg or both, cut into any pieces, and keys that change on the way: at times the
/// worker has to write in order to read.
#[test]
fn tls_clean() {
    each_seed("tls_clean", SOME, Weather::Clean, sealed);
}

/// Requests through TLS, on one leg or both.
#[test]
fn http_tls_clean() {
    each_seed("http_tls_clean", SOME, Weather::Clean, sealed_http);
}

/// Handshakes and records are cut, as well as all that goes wrong without TLS. A cut is no end.
#[test]
fn http_tls_faults() {
    each_seed("http_tls_faults", SOME, Weather::Foul, sealed_http);
}

#[test]
fn http_tls_slow_handshakes() {
    each_seed("http_tls_slow_handshakes", SOME, Weather::Clean, beset);
}

/// Clients hold places and are not served, more of them than there are places: everybody else comes in, and
/// is served as ever. No timeout of theirs helps.
#[test]
fn http_idlers() {
    each_seed("http_idlers", SOME, Weather::Clean, |scene| {
        scene.faults.bring_idlers(&mut scene.rng);
        http::run(scene);
    });
}

fn drained_over_tls(scene: &mut Scene, run: fn(&mut Scene)) {
    scene.drain_after = Some(scene.rng.usize(..2000));
    run(scene);
}

/// A drain ends clients in the middle of their handshakes too.
#[test]
fn drain_tls() {
    each_seed("drain_tls", SOME, Weather::Clean, |scene| drained_over_tls(scene, sealed_http));
}

#[test]
fn drain_tls_slow_handshakes() {
    each_seed("drain_tls_slow_handshakes", SOME, Weather::Clean, |scene| drained_over_tls(scene, beset));
}

#[test]
fn drain_tls_faults() {
    each_seed("drain_tls_faults", SOME, Weather::Foul, |scene| drained_over_tls(scene, sealed_http));
}

#[test]
fn tls_faults() {
    each_seed("tls_faults", SOME, Weather::Foul, sealed);
}

fn announced(scene: &mut Scene) {
    scene.proxy_headers = ProxyHeaders::draw(&mut scene.rng);
    if scene.rng.bool() {
        scene.legs = Legs::draw(&mut scene.rng);
    }
    http::run(scene);
}

/// Clients are announced by the PROXY protocol, to the worker or by it, with TLS behind that or not.
#[test]
fn http_announced() {
    each_seed("http_announced", SOME, Weather::Clean, announced);
}

#[test]
fn http_descriptors() {
    each_seed("http_descriptors", SOME, Weather::Clean, |scene| {
        scene.faults.make_scarce(&mut scene.rng);
        http::run(scene);
    });
}

fn drained(scene: &mut Scene) {
    scene.drain_after = Some(scene.rng.usize(..300));
    http::run(scene);
}

#[test]
fn drain_in_flight() {
    each_seed("drain_in_flight", SOME, Weather::Clean, drained);
}

/// A worker that is full when it is told to stop: those who wait in the queue are let in one after the other.
#[test]
fn drain_full() {
    each_seed("drain_full", SOME, Weather::Clean, |scene| {
        scene.faults.sessions = Some(scene.rng.usize(1..=2));
        drained(scene);
    });
}

#[test]
fn reload_http_clean() {
    each_seed("reload_http_clean", MANY, Weather::Clean, |scene| {
        scene.reloads = Some(Reloads::new(scene.rng.fork(), false));
        http::run(scene);
    });
}

fn reloaded(scene: &mut Scene) {
    scene.reloads = Some(Reloads::new(scene.rng.fork(), false));
    http::run(scene);
}

#[test]
fn reload_http_faults() {
    each_seed("reload_http_faults", MANY, Weather::Foul, reloaded);
}

#[test]
fn reload_tcp_clean() {
    each_seed("reload_tcp_clean", SOME, Weather::Clean, |scene| {
        scene.reloads = Some(Reloads::new(scene.rng.fork(), false));
        tcp::run(scene);
    });
}

#[test]
fn reload_tcp_faults() {
    each_seed("reload_tcp_faults", SOME, Weather::Foul, |scene| {
        scene.reloads = Some(Reloads::new(scene.rng.fork(), false));
        tcp::run(scene);
    });
}

/// The listener is taken away, and the sessions that came in by it finish what they have begun.
#[test]
fn reload_listeners() {
    each_seed("reload_listeners", SOME, Weather::Clean, |scene| {
        scene.reloads = Some(Reloads::new(scene.rng.fork(), true));
        http::run(scene);
    });
}

#[test]
fn drain_faults() {
    each_seed("drain_faults", SOME, Weather::Foul, drained);
}

fn faulty_pools(scene: &mut Scene) {
    scene.faults.make_moody(&mut scene.rng);
    http::run(scene);
}

/// Backends die, hang, vanish, flap and slow down, and every pool does about it what it can.
#[test]
fn backend_faults() {
    each_seed("backend_faults", MANY, Weather::Clean, faulty_pools);
}

/// Backends fail in every way while discovery adds some and takes others away.
#[test]
fn backend_faults_refilled() {
    each_seed("backend_faults_refilled", SOME, Weather::Clean, |scene| {
        scene.refills = Some(Refills::new(scene.rng.fork()));
        faulty_pools(scene);
    });
}

/// A pool behind a TCP listener: its backends do their part, but the port that is asked how they are has
/// faults.
#[test]
fn backend_faults_tcp() {
    each_seed("backend_faults_tcp", SOME, Weather::Clean, |scene| {
        scene.faults.make_moody_apart(&mut scene.rng);
        tcp::run(scene);
    });
}

/// Slow readers, stalled bodies, and clients that have left: a newcomer is served.
#[test]
fn slot_holders() {
    each_seed("slot_holders", SOME, Weather::Clean, slot_holders::run);
}

/// HTTP/2 clients: each byte of each stream arrives, once and in order, in both directions.
#[test]
fn streams() {
    each_seed("streams", SOME, Weather::Clean, streams::run);
}

/// As before, with backends that speak HTTP/2: they refuse streams, and leave.
#[test]
fn streams_carried() {
    each_seed("streams_carried", SOME, Weather::Clean, streams::run_carried);
}

/// As before, with resets and cuts anywhere: no byte is invented, and no request is sent again without proof.
#[test]
fn streams_carried_faults() {
    each_seed("streams_carried_faults", SOME, Weather::Foul, streams::run_carried);
}

/// Clients whose one aim is to have a backend ejected: none succeeds.
#[test]
fn siege() {
    each_seed("siege", SIEGES, Weather::Clean, siege::run);
}
