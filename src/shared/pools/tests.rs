use std::sync::Arc;
use std::time::Duration;

use super::{BackendState, LivePool, Registry};
use crate::balance::{self, AdminState, FULL_SHARE, HealthState, PickRequest, PoolView, RoundRobin};
use crate::core::time::Time;
use crate::snapshot::{Address, Backend, Balance, Limits, Pool, PoolId, Snapshot, Timeouts};

fn snapshot(pools: &[(&str, &[u16])]) -> Arc<Snapshot> {
    let backend = |port: &u16| Backend::new(port.to_string(), Address::Ip(([127, 0, 0, 1], *port).into()), 1);
    let pools =
        pools.iter().map(|(name, ports)| Pool::new(*name, ports.iter().map(backend).collect())).collect();
    Arc::new(Snapshot { listeners: vec![], pools, timeouts: Timeouts::default(), limits: Limits::default() })
}

#[test]
fn duty_and_standing_change_apart() {
    let state = BackendState::default();
    assert!(state.is_plain());
    state.set_health_state(HealthState::Warming { share: FULL_SHARE });
    state.set_admin_state(AdminState::Down);
    assert_eq!(
        (state.health_state(), state.admin_state()),
        (HealthState::Warming { share: FULL_SHARE }, AdminState::Down)
    );
    state.set_health_state(HealthState::Up);
    assert_eq!((state.health_state(), state.admin_state()), (HealthState::Up, AdminState::Down));
    state.set_admin_state(AdminState::Ready);
    assert!(state.is_plain());
}

/// A request that began under an old configuration is held to the state that the operator wants now.
#[test]
fn a_duty_holds_for_every_snapshot() {
    let registry = Registry::default();
    let before = snapshot(&[("a", &[1, 2])]);
    let pools = registry.open(&before);
    let mut after = Snapshot::clone(&before);
    after.pools[0].backends[1].admin_state = AdminState::Down;
    registry.open(&Arc::new(after));
    let (pool, state) = (&before.pools[0], pools.pool(PoolId(0)));
    let view = LivePool { pool, state, now: Time::ZERO, is_idle: &|_| false };
    assert_eq!([0, 1].map(|place| view.backend(place).admin_state), [AdminState::Ready, AdminState::Down]);
}

#[test]
fn a_backend_outlives_its_snapshot() {
    let registry = Registry::default();
    let first = snapshot(&[("a", &[1, 2]), ("b", &[1])]);
    let before = registry.open(&first);
    assert!(Arc::ptr_eq(&before, &registry.open(&first)));
    assert!(before.pools[0].backends[1].begin(Time::ZERO));
    before.pools[0].backends[1].set_health_state(HealthState::Down);

    let after = registry.open(&snapshot(&[("b", &[1]), ("a", &[2, 3])]));
    let kept = &after.pools[1].backends[0];
    assert_eq!((kept.in_flight(), kept.health_state()), (1, HealthState::Down));
    assert!(!Arc::ptr_eq(&after.pools[0].backends[0], &before.pools[0].backends[0]));
    assert_eq!(after.pool(PoolId(1)).in_flight(), 1);

    // A backend that is removed and comes back keeps its state while any reference to that state is left.
    let empty = snapshot(&[]);
    registry.open(&empty);
    drop(after);
    assert_eq!(registry.open(&snapshot(&[("a", &[2])])).pools[0].in_flight(), 1);
    drop(before);
    registry.open(&empty);
    assert_eq!(registry.open(&snapshot(&[("a", &[2])])).pools[0].in_flight(), 0);
    assert_eq!(registry.known.lock().unwrap().backends.len(), 1);
}

/// After a pause nothing that was measured counts for much. The first request finds out which backend is
/// still slow, and only that.
#[test]
fn a_pause_makes_nobody_run_to_the_slow_one() {
    let mut snapshot = snapshot(&[("a", &[1, 2, 3])]);
    Arc::get_mut(&mut snapshot).unwrap().pools[0].balance = Balance::Latency;
    let pools = Registry::default().open(&snapshot);
    let (pool, state) = (&snapshot.pools[0], &pools.pools[0]);
    let millis = |count: u64| Time::ZERO + Duration::from_millis(count);
    for (backend, took) in state.backends.iter().zip([4, 4, 40]) {
        backend.note_latency(Duration::from_millis(took), millis(1000));
    }
    let mut asked_slow = 0;
    for now in (121_000..121_040).map(millis) {
        let live = LivePool { pool, state, now, is_idle: &|_| false };
        let asked = PickRequest { random: now.as_nanos(), ..PickRequest::default() };
        let picked = balance::pick(pool, &live, &asked, &mut RoundRobin::default()).unwrap();
        assert!(state.backends[picked.place].begin(now));
        if picked.place == 2 {
            asked_slow += 1;
        } else {
            state.backends[picked.place].note_latency(Duration::from_millis(4), now);
            state.backends[picked.place].end();
        }
    }
    assert_eq!(asked_slow, 1);
}
