//! Counts of connections by origin, with a bound for each.

use std::collections::HashMap;

use super::ClientOrigin;

/// See the module. There is an entry for each origin with a connection, so there are never more than
/// connections. Each entry has a `T`, which is made with the first connection and dropped with the last.
#[derive(Debug, Default)]
pub struct OriginCounts<T = ()> {
    counts: HashMap<ClientOrigin, (usize, T)>,
}

impl<T: Default> OriginCounts<T> {
    /// Counts one more connection, if its origin has fewer than `most`; what its entry has. Each that is
    /// counted is followed by one [`OriginCounts::leave`].
    #[must_use]
    pub fn enter(&mut self, origin: ClientOrigin, most: usize) -> Option<&T> {
        if most == 0 {
            return None;
        }
        let (count, shared) = self.counts.entry(origin).or_default();
        (*count < most).then(|| {
            *count += 1;
            &*shared
        })
    }

    /// Counts one out again.
    pub fn leave(&mut self, origin: ClientOrigin) {
        match self.counts.get_mut(&origin) {
            Some((count, _)) if *count > 1 => *count -= 1,
            Some(_) | None => drop(self.counts.remove(&origin)),
        }
    }

    /// The number of origins with a connection.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no origin has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::core::net::{IpAddr, Ipv4Addr};
    use proptest::prelude::*;

    fn origin(number: usize) -> ClientOrigin {
        ClientOrigin::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, u8::try_from(number).unwrap()))).unwrap()
    }

    #[test]
    fn the_bound_holds_for_each_origin_and_places_come_back() {
        let mut origins = OriginCounts::<()>::default();
        assert!(
            origins.enter(origin(1), 2).is_some()
                && origins.enter(origin(1), 2).is_some()
                && origins.enter(origin(1), 2).is_none()
        );
        assert!(origins.enter(origin(2), 2).is_some());
        origins.leave(origin(1));
        assert!(origins.enter(origin(1), 2).is_some() && origins.enter(origin(1), 2).is_none());
        // A bound that was lowered holds for those who come.
        origins.leave(origin(1));
        assert!(origins.enter(origin(1), 1).is_none());
        origins.leave(origin(1));
        origins.leave(origin(2));
        assert_eq!(origins.len(), 0);
    }

    proptest! {
        /// No origin ever has more than its bound, none is refused below it, and nothing is left when all
        /// have gone.
        #[test]
        fn it_counts_exactly(moves in prop::collection::vec((0_usize..4, any::<bool>()), 0..200), most in 1_usize..5) {
            let (mut origins, mut counts) = (OriginCounts::<()>::default(), [0; 4]);
            for (number, comes) in moves {
                if comes {
                    let has_entered = origins.enter(origin(number), most).is_some();
                    prop_assert_eq!(has_entered, counts[number] < most);
                    counts[number] += usize::from(has_entered);
                } else if counts[number] > 0 {
                    origins.leave(origin(number));
                    counts[number] -= 1;
                }
                prop_assert_eq!(origins.len(), counts.iter().filter(|count| **count > 0).count());
            }
        }
    }
}
