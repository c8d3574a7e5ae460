//! The share of the keys of a split that go to another pool.

use crate::route::Split;
use crate::snapshot::Snapshot;

/// The part of all keys, 0 to 1, that move. Exact: a split divides the line of all points into intervals, and
/// what moves is where two such divisions name different pools.
pub(super) fn moved((old, old_in): (&Split, &Snapshot), (new, new_in): (&Split, &Snapshot)) -> f64 {
    let (old, new) = (ends(old, old_in), ends(new, new_in));
    let (mut i, mut j, mut at, mut moved) = (0, 0, 0.0, 0.0);
    while let (Some((old_end, was)), Some((new_end, is))) = (old.get(i), new.get(j)) {
        let end = old_end.min(*new_end);
        if was != is {
            moved += end - at;
        }
        at = end;
        i += usize::from(*old_end <= end);
        j += usize::from(*new_end <= end);
    }
    moved
}

/// Where each share ends on a line from 0 to 1, and its pool.
fn ends<'a>(split: &Split, snapshot: &'a Snapshot) -> Vec<(f64, &'a str)> {
    let total: f64 = split.shares.iter().map(|share| f64::from(share.weight)).sum();
    let mut sum = 0.0;
    let end = |share: &crate::route::SplitShare| {
        sum += f64::from(share.weight);
        (sum / total, snapshot.pool(share.pool).name.as_str())
    };
    split.shares.iter().map(end).collect()
}
