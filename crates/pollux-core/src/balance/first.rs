//! Fill in order: the first candidate with room gets it, so that few backends are busy and the rest can be
//! stopped.

use super::field::Field;
use super::{PoolView, Rule};

/// See the module.
pub(super) fn pick(field: &Field<'_, impl PoolView>) -> Option<(usize, Rule)> {
    (0..field.len()).find(|place| field.weight(*place) > 0).map(|place| (place, Rule::FirstWithRoom))
}
