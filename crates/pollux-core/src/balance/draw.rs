//! A draw in proportion to the weights.
//!
//! The sums of the configured weights are known beforehand, so a draw is a binary search; one that hits a
//! backend that is no candidate, or only in part, is made again. That leaves the proportions of the others as
//! they are. After some misses the candidates are counted out, so that a draw ends even when hardly any are
//! left.

use super::dice::Dice;
use super::field::Field;
use super::{PoolView, Rule};

/// Draws before the candidates are counted.
const DRAWS_MAX: usize = 8;

/// A candidate, by its weight.
pub(super) fn draw(field: &Field<'_, impl PoolView>, dice: &mut Dice) -> Option<usize> {
    draw_other(field, dice, None)
}

/// A candidate other than `first`, by its weight.
pub(super) fn draw_other(
    field: &Field<'_, impl PoolView>,
    dice: &mut Dice,
    first: Option<usize>,
) -> Option<usize> {
    let sums = field.pool.derived.sums(field.pool);
    let sum = sums.last().copied().unwrap_or(0);
    for _ in 0..DRAWS_MAX {
        let point = dice.below(sum);
        let place = sums.partition_point(|sum| *sum <= point);
        if place >= field.len() || Some(place) == first {
            continue;
        }
        let (weight, nominal) = (field.weight(place), field.weight_nominal(place));
        if weight > 0 && (weight >= nominal || dice.below(nominal) < weight) {
            return Some(place);
        }
    }
    count_out(field, dice, first)
}

fn count_out(field: &Field<'_, impl PoolView>, dice: &mut Dice, first: Option<usize>) -> Option<usize> {
    let weight = |place: usize| if Some(place) == first { 0 } else { field.weight(place) };
    let sum: u64 = (0..field.len()).map(weight).sum();
    let mut left = dice.below(sum);
    (0..field.len()).find(|place| {
        let weight = weight(*place);
        let is_hit = left < weight;
        left = left.saturating_sub(weight);
        is_hit
    })
}

/// Without a key there is nothing to go by.
pub(super) fn without_key(field: &Field<'_, impl PoolView>, dice: &mut Dice) -> Option<(usize, Rule)> {
    draw(field, dice).map(|place| (place, Rule::DrawnWithoutKey))
}
