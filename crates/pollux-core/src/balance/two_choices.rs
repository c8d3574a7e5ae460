//! The power of two choices: two are drawn, and the one with fewer requests in flight for its weight is
//! taken.
//!
//! That is nearly as even as looking at all of them, costs two looks whatever their number, and does not send
//! all requests to the same one when many look at once (Mitzenmacher, "The Power of Two Choices in Randomized
//! Load Balancing").

use super::dice::Dice;
use super::draw::{draw, draw_other};
use super::field::Field;
use super::{PoolView, Rule};

/// See the module. Of two with the same load the one that was drawn first.
pub(super) fn pick(field: &Field<'_, impl PoolView>, dice: &mut Dice) -> Option<(usize, Rule)> {
    let first = draw(field, dice)?;
    let Some(second) = draw_other(field, dice, Some(first)) else { return Some((first, Rule::LighterOfTwo)) };
    let load = |place: usize, other: usize| {
        u128::from(field.view.in_flight(place)) * u128::from(field.weight(other))
    };
    let is_lighter = load(second, first) < load(first, second);
    Some((if is_lighter { second } else { first }, Rule::LighterOfTwo))
}
