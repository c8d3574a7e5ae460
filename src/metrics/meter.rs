//! The counters of one worker for a listener, a route, a pool, a backend, and for itself.

use std::time::Duration;

use super::cell::Cell;
use super::histogram::{Histogram, HistogramCounts};
use crate::core::grpc::GrpcStatus;
use crate::core::outcome::{Cause, Proof, Record};
use crate::room::{Ground, Measure};

/// A part of an exchange whose length is counted. A part that an exchange does not reach is not counted for
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnPhase {
    /// From the first byte of the request, or from the accept for the first one of a connection, until its
    /// head is complete.
    Head,
    /// The time in the queue of a pool, until a backend was free. Only what had to wait.
    Queue,
    /// From the complete head until a backend connection stands, with the queue and the attempts that failed.
    Opening,
    /// One connect, from its begin until the connection stands. Not of connections that are used again.
    Connect,
    /// From then until the head of the response is complete.
    Response,
    /// From then until the end: the body on its way to the client.
    Body,
    /// From the first byte until the end.
    Whole,
}

impl TurnPhase {
    /// All of them, in the order of an exchange.
    pub const ALL: [TurnPhase; 7] = [
        TurnPhase::Head,
        TurnPhase::Queue,
        TurnPhase::Opening,
        TurnPhase::Connect,
        TurnPhase::Response,
        TurnPhase::Body,
        TurnPhase::Whole,
    ];
}

/// The number of classes of statuses, with that of no status.
pub const CLASSES: usize = 6;

/// The names of the classes, by their places.
pub const CLASS_WORDS: [&str; CLASSES] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The class of a status: its hundreds, or 0 for none.
const fn class_of(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => class as usize,
        _ => 0,
    }
}

/// By class of status.
#[derive(Debug, Default)]
pub(super) struct Classes([Cell; CLASSES]);

impl Classes {
    pub(super) fn note(&self, status: u16) {
        self.0[class_of(status)].add(1);
    }

    pub(super) fn add_to(&self, sums: &mut [u64; CLASSES]) {
        sums.iter_mut().zip(&self.0).for_each(|(sum, cell)| *sum += cell.get());
    }
}

/// The number of causes.
pub const CAUSES: usize = Cause::ALL.len();

/// By cause.
#[derive(Debug)]
pub(super) struct Causes([Cell; CAUSES]);

impl Default for Causes {
    fn default() -> Causes {
        Causes(std::array::from_fn(|_| Cell::default()))
    }
}

impl Causes {
    pub(super) fn note(&self, cause: Cause) {
        self.0[cause as usize].add(1);
    }

    pub(super) fn add_to(&self, sums: &mut [u64; CAUSES]) {
        sums.iter_mut().zip(&self.0).for_each(|(sum, cell)| *sum += cell.get());
    }
}

/// Of a listener.
#[derive(Debug, Default)]
pub(super) struct ListenerMeter {
    /// Clients that were taken in.
    pub(super) clients: Cell,
    pub(super) bytes_up: Cell,
    pub(super) bytes_down: Cell,
}

/// Of a route.
#[derive(Debug, Default)]
pub(super) struct RouteMeter {
    pub(super) classes: Classes,
}

/// Of a pool.
#[derive(Debug, Default)]
pub(super) struct PoolMeter {
    /// Why exchanges did not end well.
    pub(super) causes: Causes,
    /// By the place of the proof in [`Proof::ALL`].
    pub(super) retries: [Cell; Proof::ALL.len()],
    /// Calls of gRPC, by the number of their status.
    pub(super) calls: [Cell; GrpcStatus::ALL.len()],
    /// Retries that were refused.
    pub(super) budget_spent: Cell,
}

/// Of a backend; and one more in each pool, of the exchanges that had none.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct BackendMeter {
    pub(super) phases: [Histogram; TurnPhase::ALL.len()],
    pub(super) classes: Classes,
    /// Connections that stood.
    pub(super) opened: Cell,
    /// Exchanges on a connection that had served one before.
    pub(super) reused: Cell,
    /// Attempts that it has failed, by cause.
    pub(super) failures: Causes,
}

impl BackendMeter {
    pub(super) fn note_phase(&self, phase: TurnPhase, span: Duration) {
        self.phases[phase as usize].note(span);
    }

    /// Counts the phases of an exchange that has ended.
    pub(super) fn note(&self, record: &Record<'_>) {
        let spans = &record.spans;
        self.classes.note(record.status);
        self.note_phase(TurnPhase::Whole, spans.whole);
        if let Some(queued) = record.queued {
            self.note_phase(TurnPhase::Queue, queued.wait);
        }
        if let Some(head) = spans.head {
            self.note_phase(TurnPhase::Head, head);
        }
        if let Some(opened) = spans.opened {
            self.note_phase(TurnPhase::Opening, opened.saturating_sub(spans.head.unwrap_or_default()));
        }
        if let (Some(opened), Some(response)) = (spans.opened, spans.response) {
            self.note_phase(TurnPhase::Response, response.saturating_sub(opened));
            self.note_phase(TurnPhase::Body, spans.whole.saturating_sub(response));
        }
    }

    pub(super) fn add_phases_to(&self, sums: &mut [HistogramCounts; TurnPhase::ALL.len()]) {
        sums.iter_mut().zip(&self.phases).for_each(|(sum, phase)| phase.add_to(sum));
    }
}

/// The resources of a worker, as of its last turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The number of the worker.
    pub worker: usize,
    /// Turns of its loop since it began.
    pub turns: u64,
    /// Clients.
    pub sessions: usize,
    /// The number of these that are parked.
    pub parked: usize,
    /// Idle backend connections.
    pub idle: usize,
    /// Buffers that are lent.
    pub buffers: usize,
    /// Pipes that are lent.
    pub pipes: usize,
    /// Clients that have made room since the worker began, by the place of the ground in [`Ground::ALL`].
    pub made_room: [u64; Ground::ALL.len()],
    /// Connections that were refused because of `limits.per_client`.
    pub refused: u64,
    /// Turns in which each measure was taken for want of buffers, by the place in [`Measure::ALL`].
    pub short: [u64; Measure::ALL.len()],
}

/// The gauges as atomic numbers that other threads can read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Gauges {
    worker: Cell,
    turns: Cell,
    sessions: Cell,
    parked: Cell,
    idle: Cell,
    buffers: Cell,
    pipes: Cell,
    made_room: [Cell; Ground::ALL.len()],
    refused: Cell,
    short: [Cell; Measure::ALL.len()],
}

impl Gauges {
    pub(super) fn show(&self, holdings: &Holdings) {
        let Holdings { worker, turns, sessions, parked, idle, buffers, pipes, made_room, refused, short } =
            *holdings;
        self.turns.set(turns);
        self.refused.set(refused);
        self.short.iter().zip(short).for_each(|(cell, count)| cell.set(count));
        self.made_room.iter().zip(made_room).for_each(|(cell, count)| cell.set(count));
        for (cell, value) in [
            (&self.worker, worker),
            (&self.sessions, sessions),
            (&self.parked, parked),
            (&self.idle, idle),
            (&self.buffers, buffers),
            (&self.pipes, pipes),
        ] {
            cell.set(value as u64);
        }
    }

    pub(super) fn read(&self) -> Holdings {
        let count = |cell: &Cell| usize::try_from(cell.get()).unwrap_or(usize::MAX);
        Holdings {
            worker: count(&self.worker),
            turns: self.turns.get(),
            sessions: count(&self.sessions),
            parked: count(&self.parked),
            idle: count(&self.idle),
            buffers: count(&self.buffers),
            pipes: count(&self.pipes),
            made_room: std::array::from_fn(|place| self.made_room[place].get()),
            refused: self.refused.get(),
            short: std::array::from_fn(|place| self.short[place].get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_lists() {
        assert!(Cause::ALL.iter().enumerate().all(|(place, cause)| *cause as usize == place));
        assert!(TurnPhase::ALL.iter().enumerate().all(|(place, phase)| *phase as usize == place));
        assert!(Proof::ALL.iter().enumerate().all(|(place, proof)| *proof as usize == place));
    }

    #[test]
    fn a_status_that_is_none_has_its_class() {
        let classes = [0, 99, 101, 204, 304, 404, 599, 600, 999].map(|status| CLASS_WORDS[class_of(status)]);
        assert_eq!(classes, ["none", "none", "1xx", "2xx", "3xx", "4xx", "5xx", "none", "none"]);
    }
}
