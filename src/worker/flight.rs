//! The steps that the worker adds to the flight recorder, as it sees them.

use super::Worker;
use super::conn::Conn;
use super::driver::Driver;
use super::generation::Generation;
use crate::core::time::Time;
use crate::os::Os;
use crate::recorder::{Recorder, Step, Story, Trail};
use crate::session::ConnectOutcome;

impl Conn {
    /// Adds a step to the trail of the exchange, which begins with the first.
    pub(super) fn note_step(&mut self, recorder: &mut Recorder, now: Time, step: Step) {
        self.begin_trail(recorder).push(now, step);
    }

    fn begin_trail(&mut self, recorder: &mut Recorder) -> &mut Trail {
        let session = &self.session;
        self.trail.get_or_insert_with(|| {
            let beginning = session.beginning();
            recorder.begin(beginning.at, beginning.is_first, beginning.head)
        })
    }

    /// Adds a step that parts with the backend connection, or says what it has come to: until then the
    /// request had gone out, or had not.
    pub(super) fn note_after_sent(&mut self, recorder: &mut Recorder, now: Time, step: Step) {
        let asked_at = self.session.asked_at();
        let trail = self.begin_trail(recorder);
        trail.note_sent(asked_at);
        if trail.last() != Some(step) {
            trail.push(now, step);
        }
    }
}

impl<O: Os> Driver<'_, O> {
    /// Adds that the request is to be sent again, if it is.
    pub(super) fn note_retry(&mut self, conn: &mut Conn) {
        if let Some(proof) = conn.session.pending_proof() {
            let trail = conn.begin_trail(self.recorder);
            if trail.is_between_attempts() {
                trail.push(self.env.now, Step::Retry(proof));
            }
        }
    }

    /// Adds what has come of looking for a backend connection. What is found again and again is told once.
    pub(super) fn note_outcome(&mut self, conn: &mut Conn, outcome: ConnectOutcome) {
        let (trail, now) = (conn.begin_trail(self.recorder), self.env.now);
        let is_told = |is: fn(Step) -> bool| trail.last().is_some_and(is);
        match outcome {
            ConnectOutcome::NoneLeft(nobody) => trail.push(now, Step::NoBackend(nobody)),
            ConnectOutcome::Queued { ahead } => {
                if !is_told(|step| matches!(step, Step::Queued { .. })) {
                    trail.push(now, Step::Queued { ahead: u32::try_from(ahead).unwrap_or(u32::MAX) });
                }
            }
            ConnectOutcome::BudgetSpent => trail.push(now, Step::BudgetSpent),
            ConnectOutcome::Ready { is_reused: true, .. } => trail.push_connection(now, Step::Reused),
            ConnectOutcome::Ready { is_reused: false, .. } | ConnectOutcome::Connected => {
                trail.push_connection(now, Step::Connected);
            }
            ConnectOutcome::Pending { .. } => trail.push(now, Step::Connecting),
            ConnectOutcome::Busy { cause, .. } => {
                if !is_told(|step| matches!(step, Step::Busy(_))) {
                    trail.push(now, Step::Busy(cause));
                }
            }
            ConnectOutcome::Failed { cause, .. } => trail.push(now, Step::Failed(cause)),
        }
    }

    /// Counts an exchange that has ended, and makes its record.
    pub(super) fn record(&mut self, conn: &mut Conn) {
        conn.note_after_sent(self.recorder, self.env.now, Step::Ended);
        let (record, places) = (conn.session.record(&self.env), conn.session.places());
        self.generation.meters.note(&record, places);
        if let Some(trail) = conn.trail.take() {
            let is_latest = std::ptr::eq(self.generation, &raw const **self.latest);
            self.recorder.end(trail, &record, places, &self.generation.snapshot, is_latest);
        }
        self.journal.record(&record, self.wall);
    }
}

impl<O: Os> Worker<O> {
    /// The exchanges that are remembered.
    pub fn stories(&mut self) -> Vec<Story> {
        self.now = self.os.now();
        self.recorder.tell(&self.generation.snapshot, self.now)
    }

    /// Holds what is remembered to the latest generation, which comes behind `old`.
    pub(super) fn switch_recorder(&mut self, old: &Generation) {
        let recording = &self.generation.snapshot.limits.recorder;
        let keep = recording.keep.div_ceil(self.share.workers);
        self.recorder.switch(&old.snapshot, recording, keep);
    }
}
