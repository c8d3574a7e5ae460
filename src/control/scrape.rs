//! The state of the pools at one moment, for the metrics.

use std::collections::BTreeMap;

use crate::balance::health::HealthPhase;
use crate::balance::{HealthState, PoolView};
use crate::core::time::Time;
use crate::metrics::{BackendFigures, PoolNow, labels_of};
use crate::shared::health::{HealthCounters, health_state_at};
use crate::shared::pools::{LivePool, Pools};
use crate::snapshot::{BackendId, PoolId, Snapshot};

/// The pools of `snapshot`, by what they are called in labels.
pub(super) fn pools(snapshot: &Snapshot, states: &Pools) -> BTreeMap<String, PoolNow> {
    let mut pools: BTreeMap<String, PoolNow> = BTreeMap::new();
    for (number, (name, _)) in labels_of(snapshot).into_iter().enumerate() {
        let state = states.pool(PoolId(number));
        let now = pools.entry(name.to_owned()).or_default();
        now.waiting += state.queue().waiting();
        now.retrying += state.retrying();
        now.panics |= state.health_registry().panics();
    }
    pools
}

/// The backends of `snapshot`, by what they and their pools are called in labels.
pub(super) fn backends(
    snapshot: &Snapshot,
    states: &Pools,
    now: Time,
) -> BTreeMap<(String, String), BackendFigures> {
    let mut backends: BTreeMap<_, BackendFigures> = BTreeMap::new();
    for (number, (pool, names)) in labels_of(snapshot).into_iter().enumerate() {
        for (index, name) in names.into_iter().enumerate() {
            let id = BackendId { pool: PoolId(number), index };
            let seen = standing(snapshot, states, id, now);
            backends.entry((pool.to_owned(), name.to_owned())).or_default().join(&seen);
        }
    }
    backends
}

fn standing(snapshot: &Snapshot, states: &Pools, id: BackendId, now: Time) -> BackendFigures {
    let state = states.backend(id);
    let phase = state.health_record().machine().phase();
    let word = match (phase, health_state_at(state, snapshot.pool(id.pool), now)) {
        (HealthPhase::Up, HealthState::Warming { .. }) => "warming",
        (HealthPhase::Up | HealthPhase::Awaited | HealthPhase::Down | HealthPhase::Ejected { .. }, _) => {
            phase.as_str()
        }
    };
    let HealthCounters { ejections, passed, failed } = state.health_record().counters();
    let view =
        LivePool { pool: snapshot.pool(id.pool), state: states.pool(id.pool), now, is_idle: &|_| false };
    BackendFigures {
        word,
        state: view.backend(id.index).admin_state.as_str(),
        in_flight: state.in_flight().into(),
        connections: state.connections().into(),
        ejections,
        passed,
        failed,
    }
}
