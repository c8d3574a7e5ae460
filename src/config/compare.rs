//! Which keys differ between two configurations: what `plan` tells of.

use super::language::{LIMITS, RECORDER, TIMEOUTS};
use super::settings::differing;
use crate::snapshot::Snapshot;

pub(crate) use super::settings::Difference;

/// The keys of the tables that hold for the whole, each list with the name of its table.
pub(crate) fn whole(before: &Snapshot, after: &Snapshot) -> [(&'static str, Vec<Difference>); 3] {
    let limits = (&before.limits, &after.limits);
    [
        ("timeouts", differing(&TIMEOUTS, &before.timeouts, &after.timeouts)),
        ("limits", differing(&LIMITS, limits.0, limits.1)),
        ("recorder", differing(&RECORDER, &limits.0.recorder, &limits.1.recorder)),
    ]
}
