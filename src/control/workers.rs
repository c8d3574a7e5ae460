//! The number of workers, and the share of the machine of each.

use super::start_error::StartError;
use crate::os::{DESCRIPTORS_RESERVED, raise_descriptor_limit};
use crate::snapshot::{Limits, Snapshot};
use crate::worker::{Poller, Splicing, WorkerIndex};

/// The workers of a Pollux.
#[derive(Clone, Debug)]
pub struct Workers {
    /// The number of workers, at least 1.
    pub threads: usize,
    /// The way in which they wait for their connections.
    pub poller: Poller,
    /// When bodies go around the memory of the process. There are fewer pipes where there are few
    /// descriptors.
    pub splicing: Splicing,
    /// The cores that they are bound to, in turn; none if it is empty.
    pub cores: Vec<usize>,
}

impl Workers {
    /// So many workers, as a machine with nothing else to do would have them.
    #[must_use]
    pub fn of(threads: usize) -> Workers {
        Workers { threads, poller: Poller::default(), splicing: Splicing::default(), cores: Vec::new() }
    }

    /// The state of all workers that the worker with that number needs.
    pub(super) fn berth(&self, worker: usize) -> Berth {
        let core = self.cores.get(worker % self.cores.len().max(1)).copied();
        let share = WorkerIndex { worker, workers: self.threads };
        Berth { share, poller: self.poller, splicing: self.splicing, core }
    }
}

/// A worker's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Berth {
    pub(super) share: WorkerIndex,
    pub(super) poller: Poller,
    pub(super) splicing: Splicing,
    pub(super) core: Option<usize>,
}

/// Room for fewer sessions than this is worth a word.
const SESSIONS_EXPECTED: usize = 1000;

/// The part of the descriptors that pipes for splice(2) may take: one in so many.
const PIPES_SHARE: usize = 16;

/// Raises the descriptor limit, and lowers the number of sessions to what it can hold: two for each. Returns
/// the number of pipes that a worker may have, each with two ends.
pub(super) fn fit_into_descriptors(snapshot: &mut Snapshot, workers: &Workers) -> Result<usize, StartError> {
    let (limit, threads) = (raise_descriptor_limit(), workers.threads);
    let pipes = workers.splicing.pipes.min(limit / PIPES_SHARE / 2 / threads);
    // Every worker has a listening socket for each listener, a pipe to be woken by, and the lot.
    let fixed = DESCRIPTORS_RESERVED + threads * (snapshot.listeners.len() + 3 + 2 * pipes);
    let room = limit.saturating_sub(fixed) / 2;
    if room < threads {
        return Err(StartError::Descriptors { limit });
    }
    if room < snapshot.limits.sessions {
        // A bound that the operator has not set is not reported, unless it is small.
        if snapshot.limits.sessions != Limits::default().sessions || room < SESSIONS_EXPECTED {
            tracing::warn!(
                sessions = room,
                asked = snapshot.limits.sessions,
                descriptors = limit,
                "limits.sessions lowered to what the limit of open files (ulimit -n) can hold"
            );
        }
        snapshot.limits.sessions = room;
    }
    Ok(pipes)
}
