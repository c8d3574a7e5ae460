//! The health of the backends, for the status.

use std::time::Duration;

use crate::balance::health::{HealthPhase, Observation, ObservationResult};
use crate::balance::{BackendView, HealthState, PoolView};
use crate::core::time::Time;
use crate::shared::health::health_state_at;
use crate::shared::pools::{LivePool, Pools};
use crate::snapshot::{PoolId, Snapshot};
use crate::status::{BackendStatus, ObservationStatus, PoolStatus};

/// The pools of `snapshot` at `now`.
pub(super) fn pools(snapshot: &Snapshot, states: &Pools, now: Time) -> Vec<PoolStatus> {
    let pool = |number: usize| {
        let (pool, state) = (&snapshot.pools[number], states.pool(PoolId(number)));
        // Idle connections make no difference to the health of a backend.
        let view = LivePool { pool, state, now, is_idle: &|_| false };
        PoolStatus {
            name: pool.name.clone(),
            panics: state.health_registry().panics(),
            backends: (0..pool.backends.len()).map(|place| backend(&view, place)).collect(),
        }
    };
    (0..snapshot.pools.len()).map(pool).collect()
}

fn backend(view: &LivePool<'_>, place: usize) -> BackendStatus {
    let (configured, state) = (&view.pool.backends[place], &view.state.backends()[place]);
    let BackendView { share, weight, .. } = view.backend(place);
    let machine = state.health_record().machine();
    let phase = machine.phase();
    let standing = match (phase, health_state_at(state, view.pool, view.now)) {
        (HealthPhase::Up, HealthState::Warming { .. }) if share < 1000 => "warming",
        _ => phase.as_str(),
    };
    let left = match phase {
        HealthPhase::Ejected { until } => Some(until.since(view.now)),
        HealthPhase::Up | HealthPhase::Awaited | HealthPhase::Down => None,
    };
    BackendStatus {
        name: configured.name.clone(),
        address: configured.address.to_string(),
        standing,
        state: view.backend(place).admin_state.as_str(),
        since_ms: machine.since().map(|since| ms(view.now.since(since))),
        left_ms: left.map(ms),
        share,
        weight,
        in_flight: view.in_flight(place),
        latency_us: view.latency(place).map(|nanos| nanos / 1000),
        history: machine.history().iter().map(|observation| seen(observation, view.now)).collect(),
    }
}

fn seen(observation: &Observation, now: Time) -> ObservationStatus {
    ObservationStatus {
        age_ms: ms(now.since(observation.at)),
        by: observation.by.as_str(),
        phase: observation.found.phase(),
        found: observation.found.to_string(),
        is_well: matches!(observation.found, ObservationResult::Well(_) | ObservationResult::Whole),
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
