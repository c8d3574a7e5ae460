//! The flight recorder: what happened to each exchange, step by step, always on.
//!
//! While an exchange lasts its steps are written into a [`Trail`], sixteen bytes each, in memory that was
//! there before. When it is over the trail goes into a ring, in the place of the oldest: those that failed or
//! were slow into rings of their own, so that no number of good ones pushes them out; and those that failed
//! by a fault of the client apart from the others. Nothing is looked up, formatted or allocated for it: a
//! trail knows places, and gets its names when it is read, or when the configuration changes. Invariant:
//! every trail that lies in a ring belongs to the latest snapshot; the others are told.

mod ring;
mod step;
mod story;
mod trail;

use std::time::Duration;

use ring::{Ring, Slot};

use crate::core::outcome::{ExchangePlaces, Record, Who};
use crate::core::time::Time;
use crate::snapshot::{Mode, Recording, Snapshot};

pub use step::{RecordedStep, Step};
pub use story::{Kept, Line, Story};
pub use trail::{STEPS_MAX, Trail};

/// So many of the last exchanges of a worker are remembered, whatever they were like.
pub const RECENT_MAX: usize = 128;

/// So many trails that are not in use are kept for the exchanges to come.
const FREE_MAX: usize = RECENT_MAX + 64;

/// The memory of one worker.
#[derive(Debug)]
pub struct Recorder {
    worker: usize,
    /// The number of exchanges that have begun.
    count: u64,
    slow: Duration,
    /// Whether targets are remembered without what stands behind their `?`.
    hides_query: bool,
    recent: Ring,
    /// By the fault of a backend, of Pollux or of the operator, and those that were slow.
    failed: Ring,
    /// By the fault of the client.
    refused: Ring,
    #[allow(
        clippy::vec_box,
        reason = "a trail moves from here to a session and into a ring, and is never copied"
    )]
    free: Vec<Box<Trail>>,
}

impl Recorder {
    /// For the worker of that number, with its part of what is to be kept.
    #[must_use]
    pub fn new(worker: usize, recording: &Recording, keep: usize) -> Recorder {
        // As many as will lie in the ring of the recent ones, so that it fills without an allocation.
        let free = (0..FREE_MAX).map(|_| Box::default()).collect();
        Recorder {
            worker,
            count: 0,
            slow: recording.slow,
            hides_query: false,
            recent: Ring::new(RECENT_MAX),
            failed: Ring::new(keep),
            refused: Ring::new(keep),
            free,
        }
    }

    /// From now on targets are remembered without what stands behind their `?`, or with it.
    pub fn hide_queries(&mut self, hides: bool) {
        self.hides_query = hides;
    }

    /// Begins a trail for an exchange that began, and whose head was complete, then.
    pub fn begin(&mut self, began: Time, is_first: bool, head: Option<Duration>) -> Box<Trail> {
        let mut trail = self.free.pop().unwrap_or_default();
        trail.begin(self.count);
        self.count += 1;
        trail.push(began, if is_first { Step::Accepted } else { Step::Begun });
        if let Some(head) = head {
            trail.push(began + head, Step::HeadComplete);
        }
        trail
    }

    /// Takes the trail of an exchange that has just ended. If `snapshot`, to which it is held, `is_latest`,
    /// its places are kept, else its names.
    pub fn end(
        &mut self,
        mut trail: Box<Trail>,
        record: &Record<'_>,
        places: ExchangePlaces,
        snapshot: &Snapshot,
        is_latest: bool,
    ) {
        trail.close(record, places, self.hides_query);
        let kept = judge(&trail, self.slow);
        let is_refused = record.outcome.cause.is_some_and(|cause| cause.who() == Who::Client);
        let slot = if is_latest {
            Slot::Raw(trail)
        } else {
            let story = Story::of(&trail, kept, self.worker, snapshot);
            self.give_back(trail);
            Slot::RenderedStep(Box::new(story))
        };
        let ring = match kept {
            Kept::Failed if is_refused => &mut self.refused,
            Kept::Failed | Kept::Slow => &mut self.failed,
            Kept::Recent => &mut self.recent,
        };
        if let Some(Slot::Raw(oldest)) = ring.push(slot) {
            self.give_back(oldest);
        }
    }

    fn give_back(&mut self, trail: Box<Trail>) {
        if self.free.len() < FREE_MAX {
            self.free.push(trail);
        }
    }

    /// Takes other rules, and names for all that belongs to `old`, which is the latest snapshot no more.
    pub fn switch(&mut self, old: &Snapshot, recording: &Recording, keep: usize) {
        let worker = self.worker;
        for (ring, keep) in
            [(&mut self.recent, RECENT_MAX), (&mut self.failed, keep), (&mut self.refused, keep)]
        {
            ring.adapt(keep);
        }
        let slow = std::mem::replace(&mut self.slow, recording.slow);
        for ring in [&mut self.recent, &mut self.failed, &mut self.refused] {
            for slot in ring.iter_mut() {
                if let Slot::Raw(trail) = slot {
                    let story = Story::of(trail, judge(trail, slow), worker, old);
                    *slot = Slot::RenderedStep(Box::new(story));
                }
            }
        }
    }

    /// Everything that is remembered, as of `now`; `latest` is the latest snapshot.
    #[must_use]
    pub fn tell(&self, latest: &Snapshot, now: Time) -> Vec<Story> {
        let rings = [&self.failed, &self.refused, &self.recent];
        let story = |slot: &Slot| match slot {
            Slot::Raw(trail) => Story::of(trail, judge(trail, self.slow), self.worker, latest).seen_at(now),
            Slot::RenderedStep(story) => Story::clone(story).seen_at(now),
        };
        rings.into_iter().flat_map(Ring::iter).map(story).collect()
    }
}

/// Why an exchange is to be remembered. An exchange that is long by its nature is slow only if its backend
/// was long in coming.
fn judge(trail: &Trail, slow: Duration) -> Kept {
    let end = &trail.end;
    if end.outcome.cause.is_some() {
        return Kept::Failed;
    }
    let is_stream = end.mode == Mode::Tcp || end.status == 101;
    let span = if is_stream { trail.until_response() } else { Some(end.whole) };
    if span.is_some_and(|span| span > slow) { Kept::Slow } else { Kept::Recent }
}
