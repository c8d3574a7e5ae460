//! How many connections each origin has, where each may have so many.

use std::collections::HashMap;

use super::Origin;

/// See the module. There is an entry for each origin with a connection, so there are never more than
/// connections.
#[derive(Debug, Default)]
pub struct Census {
    counts: HashMap<Origin, usize>,
}

impl Census {
    /// Counts one more connection, if its origin has fewer than `most`. Each that is counted is followed by
    /// one [`Census::leave`].
    #[must_use]
    pub fn enter(&mut self, origin: Origin, most: usize) -> bool {
        let count = self.counts.get(&origin).copied().unwrap_or(0);
        let may_enter = count < most;
        if may_enter {
            self.counts.insert(origin, count + 1);
        }
        may_enter
    }

    /// Counts one out again.
    pub fn leave(&mut self, origin: Origin) {
        match self.counts.get_mut(&origin) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(self.counts.remove(&origin)),
        }
    }

    /// How many origins have a connection.
    #[must_use]
    pub fn origins(&self) -> usize {
        self.counts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::core::net::{IpAddr, Ipv4Addr};
    use proptest::prelude::*;

    fn origin(number: usize) -> Origin {
        Origin::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, u8::try_from(number).unwrap()))).unwrap()
    }

    #[test]
    fn the_bound_holds_for_each_origin_and_places_come_back() {
        let mut census = Census::default();
        assert!(census.enter(origin(1), 2) && census.enter(origin(1), 2) && !census.enter(origin(1), 2));
        assert!(census.enter(origin(2), 2));
        census.leave(origin(1));
        assert!(census.enter(origin(1), 2) && !census.enter(origin(1), 2));
        // A bound that was lowered holds for those who come.
        census.leave(origin(1));
        assert!(!census.enter(origin(1), 1));
        census.leave(origin(1));
        census.leave(origin(2));
        assert_eq!(census.origins(), 0);
    }

    proptest! {
        /// No origin ever has more than its bound, none is refused below it, and nothing is left when all
        /// have gone.
        #[test]
        fn it_counts_exactly(moves in prop::collection::vec((0_usize..4, any::<bool>()), 0..200), most in 1_usize..5) {
            let (mut census, mut counts) = (Census::default(), [0; 4]);
            for (number, comes) in moves {
                if comes {
                    let has_entered = census.enter(origin(number), most);
                    prop_assert_eq!(has_entered, counts[number] < most);
                    counts[number] += usize::from(has_entered);
                } else if counts[number] > 0 {
                    census.leave(origin(number));
                    counts[number] -= 1;
                }
                prop_assert_eq!(census.origins(), counts.iter().filter(|count| **count > 0).count());
            }
        }
    }
}
