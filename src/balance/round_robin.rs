//! Smooth weighted round robin: in proportion to the weights, and spread out rather than in bursts.
//!
//! Every backend owns a credit. A pick adds to each its weight, takes the one with the most, and makes it pay the sum of
//! all weights. Over any window as long as the sum of the weights each backend is picked exactly as often as its weight
//! says, and credits stay between plus and minus that sum.

/// The state of one pool's round robin in one worker.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    credits: Vec<i64>,
}

impl RoundRobin {
    /// Picks among the backends with these weights one whose place is not in `tried`; `None` if there is none.
    pub fn pick(&mut self, weights: impl ExactSizeIterator<Item = u32>, tried: &[usize]) -> Option<usize> {
        self.credits.resize(weights.len(), 0);
        let mut best: Option<usize> = None;
        let mut sum = 0;
        for (index, weight) in weights.enumerate() {
            if weight == 0 || tried.contains(&index) {
                continue;
            }
            sum += i64::from(weight);
            self.credits[index] += i64::from(weight);
            if best.is_none_or(|best| self.credits[index] > self.credits[best]) {
                best = Some(index);
            }
        }
        self.credits[best?] -= sum;
        best
    }

    /// The round of a pool that follows this one's. `kept` has for each of its backends the place that it had before, if it
    /// had one. Credits are held to what they could be under the new weights, so that nobody waits off an old debt.
    #[must_use]
    pub fn carried_over(&self, kept: &[Option<usize>], weights: impl Iterator<Item = u32>) -> RoundRobin {
        let sum: i64 = weights.map(i64::from).sum();
        let credit = |place: &Option<usize>| place.and_then(|place| self.credits.get(place).copied());
        RoundRobin { credits: kept.iter().map(|place| credit(place).unwrap_or(0).clamp(-sum, sum)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picks(weights: &[u32], count: usize) -> Vec<usize> {
        let mut robin = RoundRobin::default();
        (0..count).map(|_| robin.pick(weights.iter().copied(), &[]).unwrap()).collect()
    }

    #[test]
    fn heavy_backends_are_spread_out() {
        assert_eq!(picks(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picks(&[1, 1, 1], 4), [0, 1, 2, 0]);
    }

    #[test]
    fn a_tried_backend_is_never_picked() {
        let mut robin = RoundRobin::default();
        let weights = [3, 1, 0];
        assert_eq!(robin.pick(weights.into_iter(), &[0]), Some(1));
        assert_eq!(robin.pick(weights.into_iter(), &[0, 1]), None);
        assert_eq!(robin.pick([].into_iter(), &[]), None);
    }

    #[test]
    fn a_round_outlives_its_pool() {
        let mut robin = RoundRobin { credits: vec![900, -900, 3] };
        robin = robin.carried_over(&[Some(1), None, Some(2), Some(9)], [1, 1, 2, 1].into_iter());
        assert_eq!(robin.credits, [-5, 0, 3, 0]);
    }

    proptest! {
        /// Over any window of the total weight each backend is picked exactly as often as its weight.
        #[test]
        fn proportions_are_exact(weights in prop::collection::vec(1_u32..9, 1..7), start in 0_usize..50) {
            let total = weights.iter().sum::<u32>() as usize;
            let window = &picks(&weights, start + total)[start..];
            for (index, weight) in weights.iter().enumerate() {
                prop_assert_eq!(window.iter().filter(|pick| **pick == index).count(), *weight as usize);
            }
        }
    }
}
