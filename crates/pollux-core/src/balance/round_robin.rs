//! Smooth weighted round robin: in proportion to the weights, and spread out rather than in bursts.
//!
//! Every backend owns a credit. A pick adds to each its weight, takes the one with the most, and makes it pay
//! the sum of all weights. Over any window as long as the sum of the weights each backend is picked exactly
//! as often as its weight says, and credits stay between plus and minus that sum.

/// The state of one pool's round robin in one worker.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    credits: Vec<i64>,
}

impl RoundRobin {
    /// Picks among candidates with these weights; 0 is no candidate. `None` if there is none.
    pub fn pick(&mut self, weights: impl ExactSizeIterator<Item = u64>) -> Option<usize> {
        self.credits.resize(weights.len(), 0);
        let mut best: Option<usize> = None;
        let mut sum = 0;
        for (index, weight) in weights.enumerate() {
            if weight == 0 {
                continue;
            }
            let weight = i64::try_from(weight).unwrap_or(i64::MAX);
            sum += weight;
            self.credits[index] += weight;
            if best.is_none_or(|best| self.credits[index] > self.credits[best]) {
                best = Some(index);
            }
        }
        self.credits[best?] -= sum;
        best
    }

    /// The round of a pool that follows this one's. `kept` has for each of its backends the place that it had
    /// before, if it had one. Credits are held to what they could be under the new weights, so that no
    /// backend waits because of an old debt.
    #[must_use]
    pub fn carried_over(&self, kept: &[Option<usize>], weights: impl Iterator<Item = u64>) -> RoundRobin {
        let sum = i64::try_from(weights.sum::<u64>()).unwrap_or(i64::MAX);
        let credit = |place: &Option<usize>| place.and_then(|place| self.credits.get(place).copied());
        RoundRobin { credits: kept.iter().map(|place| credit(place).unwrap_or(0).clamp(-sum, sum)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picks(weights: &[u64], count: usize) -> Vec<usize> {
        let mut robin = RoundRobin::default();
        (0..count).map(|_| robin.pick(weights.iter().copied()).unwrap()).collect()
    }

    #[test]
    fn heavy_backends_are_spread_out() {
        assert_eq!(picks(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(picks(&[1, 1, 1], 4), [0, 1, 2, 0]);
    }

    #[test]
    fn who_is_no_candidate_is_never_picked() {
        let mut robin = RoundRobin::default();
        assert_eq!(robin.pick([0, 1, 0].into_iter()), Some(1));
        assert_eq!(robin.pick([0, 0, 0].into_iter()), None);
        assert_eq!(robin.pick([].into_iter()), None);
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
        fn proportions_are_exact(weights in prop::collection::vec(1_u64..9, 1..7), start in 0_usize..50) {
            let total = weights.iter().sum::<u64>() as usize;
            let window = &picks(&weights, start + total)[start..];
            for (index, weight) in weights.iter().enumerate() {
                prop_assert_eq!(window.iter().filter(|pick| **pick == index).count(), *weight as usize);
            }
        }
    }
}
