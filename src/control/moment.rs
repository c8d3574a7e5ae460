//! When something happened, by both clocks: how long ago that is goes by the one that never steps, and what
//! the calendar said then is remembered, so that it stays when the calendar is set.

use std::time::{Duration, Instant};

use crate::os::ambient;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    at: Instant,
    since_1970: Duration,
}

impl Moment {
    pub(super) fn now() -> Moment {
        Moment { at: Instant::now(), since_1970: ambient().wall_clock() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }

    /// By the calendar of then.
    pub(super) fn since_1970(&self) -> Duration {
        self.since_1970
    }
}
