//! The candidate that costs least for its weight: requests in flight, or latency.
//!
//! Of several that cost the same one is drawn by weight, so that an idle pool is served in proportion too.

use super::dice::Dice;
use super::field::Field;
use super::{PoolView, Rule};

/// The cost of a backend of which nothing is known but that it has been asked: so much for each request in
/// flight, in nanoseconds. One request finds out; the others do not wait for it.
const UNKNOWN: u128 = 10_000_000_000;

/// The one with the fewest requests in flight for its weight.
pub(super) fn in_flight(field: &Field<'_, impl PoolView>, dice: &mut Dice) -> Option<(usize, Rule)> {
    let cost = |place| u128::from(field.view.in_flight(place));
    cheapest(field, dice, cost).map(|place| (place, Rule::FewestInFlight))
}

/// The one whose requests are answered soonest, if each waits for those before it.
pub(super) fn latency(field: &Field<'_, impl PoolView>, dice: &mut Dice) -> Option<(usize, Rule)> {
    let cost = |place| {
        let in_flight = u128::from(field.view.in_flight(place));
        match field.view.latency(place) {
            Some(latency) => u128::from(latency) * (in_flight + 1),
            None => in_flight * UNKNOWN,
        }
    };
    cheapest(field, dice, cost).map(|place| (place, Rule::LowestLatency))
}

fn cheapest(
    field: &Field<'_, impl PoolView>,
    dice: &mut Dice,
    cost: impl Fn(usize) -> u128,
) -> Option<usize> {
    // The cheapest so far: its place, cost and weight, and the weights of all that are as cheap.
    let mut best: Option<(usize, u128, u64, u64)> = None;
    for place in 0..field.len() {
        let weight = field.weight(place);
        if weight == 0 {
            continue;
        }
        let cost = cost(place);
        let Some((_, least, its_weight, tied)) = &mut best else {
            best = Some((place, cost, weight, weight));
            continue;
        };
        let (mine, its) = (cost * u128::from(*its_weight), *least * u128::from(weight));
        if mine == its {
            *tied += weight;
        }
        if mine < its {
            best = Some((place, cost, weight, weight));
        } else if mine == its && dice.below(*tied) < weight {
            best = Some((place, cost, weight, *tied));
        }
    }
    best.map(|(place, ..)| place)
}
