//! The configuration for backends with faults: everything that a pool can do about them, drawn from the seed.

use std::time::Duration;

use fastrand::Rng;
use pollux::balance::health::{Check, CheckKind, Http, Passive, Start};
use pollux::snapshot::{Balance, Pool, Retries, Timeouts};

/// Timeouts that are noticed, but longer than anybody takes who is well.
pub(crate) fn timeouts(timeouts: &mut Timeouts, rng: &mut Rng) {
    timeouts.connect = millis(rng, 50, 200);
    timeouts.backend_response = millis(rng, 150, 400);
    timeouts.idle = millis(rng, 150, 400);
    timeouts.queue = Duration::from_secs(100);
}

/// The rules of a pool, but for its policy.
pub(crate) fn rules(pool: &mut Pool, rng: &mut Rng) {
    pool.health = health(rng);
    pool.check = check(rng);
    pool.retries = retries(rng);
    if matches!(pool.balance, Balance::First) || rng.u8(..4) > 0 {
        bound(pool, rng);
    }
}

/// Few requests at once, and a queue that may be short, or not waited in for long.
fn bound(pool: &mut Pool, rng: &mut Rng) {
    let (most, is_by_connections) = (rng.u32(1..=2), rng.u8(..3) == 0);
    for backend in &mut pool.backends {
        let bound = if is_by_connections { &mut backend.max_connections } else { &mut backend.max_requests };
        *bound = Some(most);
    }
    pool.max_pending = [1, 3, 1000][rng.usize(..3)];
    pool.queue = rng.bool().then(|| millis(rng, 20, 1000));
}

fn health(rng: &mut Rng) -> Passive {
    Passive {
        failures: rng.u32(0..=4),
        failure_rate: rng.bool().then(|| rng.u32(200..=900)),
        window: millis(rng, 100, 2000),
        window_min: rng.u32(1..=6),
        eject: millis(rng, 20, 200),
        eject_max: Duration::from_millis(400),
        max_ejected: [300, 500, 1000][rng.usize(..3)],
        panic: [None, None, Some(100), Some(500)][rng.usize(..4)],
        slow_start: rng.bool().then(|| millis(rng, 50, 1000)),
        ..Passive::default()
    }
}

fn check(rng: &mut Rng) -> Option<Check> {
    let http = Http { path: String::from("/alive"), text: Some(String::from("ready")), ..Http::default() };
    let interval = millis(rng, 20, 100);
    let check = Check {
        kind: if rng.bool() { CheckKind::Tcp } else { CheckKind::Http(http) },
        interval,
        fast_interval: interval / 2,
        timeout: millis(rng, 50, 100),
        rise: rng.u32(1..=3),
        fall: rng.u32(1..=3),
        start: [Start::Up, Start::Down, Start::CheckFirst][rng.usize(..3)],
        ..Check::default()
    };
    (rng.u8(..3) > 0).then_some(check)
}

fn retries(rng: &mut Rng) -> Retries {
    Retries {
        most: rng.u32(0..6).saturating_sub(2),
        timeout: rng.bool(),
        budget: [0, 200, 500][rng.usize(..3)],
        budget_min: rng.u32(..=2),
        ..Retries::default()
    }
}

fn millis(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(rng.u64(least..=most))
}
