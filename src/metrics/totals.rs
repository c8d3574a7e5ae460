//! The sums over all workers, and the differences since an earlier moment.

use std::collections::BTreeMap;

use super::histogram::HistogramCounts;
use super::meter::{BackendMeter, CAUSES, CLASSES, Holdings, ListenerMeter, TurnPhase};
use crate::core::grpc::GrpcStatus;
use crate::core::outcome::Proof;

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// By name.
    pub listeners: BTreeMap<String, ListenerTotals>,
    /// By listener and name: ended exchanges by class of status. The route "" is none.
    pub routes: BTreeMap<(String, String), [u64; CLASSES]>,
    /// By name; "" is none.
    pub pools: BTreeMap<String, PoolTotals>,
    /// By pool and name; the backend "" is none.
    pub backends: BTreeMap<(String, String), BackendTotals>,
    /// The resources of each worker.
    pub workers: Vec<Holdings>,
}

/// Of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerTotals {
    /// Clients that were taken in.
    pub clients: u64,
    /// Bytes that were handed to backends.
    pub bytes_up: u64,
    /// Bytes that were handed to clients.
    pub bytes_down: u64,
}

/// Of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolTotals {
    /// Exchanges that did not end well, by the place of the cause in
    /// [`Cause::ALL`](crate::core::outcome::Cause::ALL).
    pub causes: [u64; CAUSES],
    /// Retries, by the place of the proof in [`Proof::ALL`].
    pub retries: [u64; Proof::ALL.len()],
    /// Calls of gRPC, by the number of their status.
    pub calls: [u64; GrpcStatus::ALL.len()],
    /// Retries that the budget did not allow.
    pub budget_spent: u64,
}

impl Default for PoolTotals {
    fn default() -> PoolTotals {
        PoolTotals {
            causes: [0; CAUSES],
            retries: [0; Proof::ALL.len()],
            calls: [0; GrpcStatus::ALL.len()],
            budget_spent: 0,
        }
    }
}

/// Of a backend, or of the exchanges of a pool that had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendTotals {
    /// The durations of each phase, by its place in [`TurnPhase::ALL`].
    pub phases: [HistogramCounts; TurnPhase::ALL.len()],
    /// Ended exchanges by class of status.
    pub classes: [u64; CLASSES],
    /// Connections that stood.
    pub opened: u64,
    /// Exchanges on a connection that had served one before.
    pub reused: u64,
    /// Attempts that it has failed, by the place of the cause.
    pub failures: [u64; CAUSES],
}

impl Default for BackendTotals {
    fn default() -> BackendTotals {
        BackendTotals {
            phases: [HistogramCounts::default(); TurnPhase::ALL.len()],
            classes: [0; CLASSES],
            opened: 0,
            reused: 0,
            failures: [0; CAUSES],
        }
    }
}

impl ListenerTotals {
    pub(super) fn take(&mut self, meter: &ListenerMeter) {
        self.clients += meter.clients.get();
        self.bytes_up += meter.bytes_up.get();
        self.bytes_down += meter.bytes_down.get();
    }
}

impl BackendTotals {
    pub(super) fn take(&mut self, meter: &BackendMeter) {
        meter.add_phases_to(&mut self.phases);
        meter.classes.add_to(&mut self.classes);
        meter.failures.add_to(&mut self.failures);
        self.opened += meter.opened.get();
        self.reused += meter.reused.get();
    }

    /// The durations of that phase.
    #[must_use]
    pub fn phase(&self, phase: TurnPhase) -> &HistogramCounts {
        &self.phases[phase as usize]
    }

    /// The number of exchanges that have ended.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// The counts since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &BackendTotals) -> BackendTotals {
        let mut rest = *self;
        for (phase, before) in rest.phases.iter_mut().zip(&earlier.phases) {
            *phase = phase.since(before);
        }
        subtract(&mut rest.classes, &earlier.classes);
        subtract(&mut rest.failures, &earlier.failures);
        rest.opened = rest.opened.saturating_sub(earlier.opened);
        rest.reused = rest.reused.saturating_sub(earlier.reused);
        rest
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: &BackendTotals) {
        self.phases.iter_mut().zip(&other.phases).for_each(|(sum, phase)| *sum += phase);
        self.classes.iter_mut().zip(&other.classes).for_each(|(sum, count)| *sum += count);
        self.failures.iter_mut().zip(&other.failures).for_each(|(sum, count)| *sum += count);
        self.opened += other.opened;
        self.reused += other.reused;
    }
}

fn subtract(counts: &mut [u64], earlier: &[u64]) {
    counts.iter_mut().zip(earlier).for_each(|(count, before)| *count = count.saturating_sub(*before));
}

impl Totals {
    /// The counts since `earlier`, of which there may be more or fewer than now. The resources of workers are
    /// as of now.
    #[must_use]
    pub fn since(&self, earlier: &Totals) -> Totals {
        let mut rest = self.clone();
        for (name, sums) in &mut rest.listeners {
            if let Some(before) = earlier.listeners.get(name) {
                sums.clients = sums.clients.saturating_sub(before.clients);
                sums.bytes_up = sums.bytes_up.saturating_sub(before.bytes_up);
                sums.bytes_down = sums.bytes_down.saturating_sub(before.bytes_down);
            }
        }
        for (name, classes) in &mut rest.routes {
            earlier.routes.get(name).iter().for_each(|before| subtract(classes, *before));
        }
        for (name, sums) in &mut rest.pools {
            if let Some(before) = earlier.pools.get(name) {
                subtract(&mut sums.causes, &before.causes);
                subtract(&mut sums.retries, &before.retries);
                subtract(&mut sums.calls, &before.calls);
                sums.budget_spent = sums.budget_spent.saturating_sub(before.budget_spent);
            }
        }
        for (name, sums) in &mut rest.backends {
            if let Some(before) = earlier.backends.get(name) {
                *sums = sums.since(before);
            }
        }
        rest
    }

    /// All that the backends of a pool have counted together, with what had no backend.
    #[must_use]
    pub fn pool(&self, name: &str) -> BackendTotals {
        let mut sums = BackendTotals::default();
        let of_pool = self.backends.iter().filter(|((pool, _), _)| pool == name);
        of_pool.for_each(|(_, backend)| sums.add(backend));
        sums
    }
}
