//! By the hash of a key, through the table of [`Maglev`](super::Maglev): the same key finds the same backend,
//! in every process and on every machine that has the same backends.
//!
//! Where the table's backend is no candidate, further places of the table are tried that follow from the key
//! too, so that the keys of a backend that is down spread over all others. With a bound on the load (Mirrokni
//! et al., "Consistent Hashing with Bounded Loads") a backend that has more than so many times its share is
//! passed over in the same way.

use super::dice::Dice;
use super::draw::without_key;
use super::field::Field;
use super::{PoolView, Rule};
use crate::route::hash;
use crate::snapshot::Hashing;

/// Places of the table that are tried before the candidates are ranked one by one.
const STEPS_MAX: u64 = 64;

/// See the module.
pub(super) fn pick(
    field: &Field<'_, impl PoolView>,
    hashing: &Hashing,
    dice: &mut Dice,
) -> Option<(usize, Rule)> {
    let Some(key) = field.asked.key else { return without_key(field, dice) };
    let bound = Bound::of(field, hashing);
    let table = field.pool.derived.maglev(field.pool);
    let is_taken = |place: usize| field.weight(place) > 0 && bound.has_room(field, place);
    for step in 0..STEPS_MAX {
        let place = table.at(key, step)?;
        if is_taken(place) {
            return Some((place, if step == 0 { Rule::Hashed } else { Rule::NextInTable }));
        }
    }
    let ranked = |place: &usize| hash::mix(key ^ table.identity(*place));
    let best = (0..field.len()).filter(|place| is_taken(*place)).max_by_key(ranked);
    // Rounding may leave no backend below the bound; then the bound does not apply.
    let best = best.or_else(|| (0..field.len()).filter(|place| field.weight(*place) > 0).max_by_key(ranked));
    best.map(|place| (place, Rule::NextInTable))
}

/// The bound of a backend's load.
struct Bound {
    /// In thousandths of the average; `None` is any.
    max_load: Option<u32>,
    /// The requests in flight of all candidates, with this one.
    in_flight: u64,
    /// Their weights.
    weights: u64,
}

impl Bound {
    fn of(field: &Field<'_, impl PoolView>, hashing: &Hashing) -> Bound {
        let mut bound = Bound { max_load: hashing.max_load, in_flight: 1, weights: 0 };
        if bound.max_load.is_some() {
            for place in 0..field.len() {
                let weight = field.weight(place);
                if weight > 0 {
                    bound.weights += weight;
                    bound.in_flight += u64::from(field.view.in_flight(place));
                }
            }
        }
        bound
    }

    /// Whether the backend would have at most ⌈`max_load` × its share⌉ requests with this one.
    fn has_room(&self, field: &Field<'_, impl PoolView>, place: usize) -> bool {
        let Some(max_load) = self.max_load else { return true };
        let most = u128::from(max_load) * u128::from(self.in_flight) * u128::from(field.weight(place));
        let most = most.div_ceil(u128::from(self.weights.max(1)) * 1000);
        u128::from(field.view.in_flight(place)) < most
    }
}
