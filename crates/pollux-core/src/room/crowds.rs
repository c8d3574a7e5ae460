//! The origins that hold so many of a worker's connections that they make room before all others.

use super::ClientOrigin;

/// An origin with more than one of so many connections is a crowd.
const SHARE: usize = 8;

/// With so many connections an origin is none, however few there are in all: a browser opens six.
const FEW: usize = 8;

/// The number of connections of each origin that has more than its share. There are fewer than `SHARE` such
/// origins, so that they are found in two passes over all connections, with a counter for each and no table
/// (the algorithm of Misra and Gries).
#[derive(Clone, Copy, Debug, Default)]
pub struct Crowds {
    counts: [Option<(ClientOrigin, usize)>; SHARE],
}

impl Crowds {
    /// The crowds among connections of these origins.
    pub fn among(all: impl Iterator<Item = ClientOrigin> + Clone) -> Crowds {
        let mut crowds = Crowds::default();
        all.clone().for_each(|origin| crowds.elect(origin));
        crowds.counts.iter_mut().flatten().for_each(|(_, count)| *count = 0);
        let mut of = 0;
        for origin in all {
            of += 1;
            crowds.counts.iter_mut().flatten().filter(|(one, _)| *one == origin).for_each(|it| it.1 += 1);
        }
        let most = FEW.max(of / SHARE);
        for place in &mut crowds.counts {
            *place = place.filter(|(_, count)| *count > most);
        }
        crowds
    }

    /// A vote for one: what has more than one of `SHARE + 1` votes keeps a counter.
    fn elect(&mut self, origin: ClientOrigin) {
        if let Some((_, count)) = self.counts.iter_mut().flatten().find(|(one, _)| *one == origin) {
            *count += 1;
        } else if let Some(free) = self.counts.iter_mut().find(|place| place.is_none()) {
            *free = Some((origin, 1));
        } else {
            for place in &mut self.counts {
                *place = place.map(|(one, count)| (one, count - 1)).filter(|(_, count)| *count > 0);
            }
        }
    }

    /// The number of connections of that origin, if it is a crowd; else 0.
    #[must_use]
    pub fn size(&self, origin: ClientOrigin) -> usize {
        self.counts.iter().flatten().find(|(one, _)| *one == origin).map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::core::net::{IpAddr, Ipv4Addr};
    use proptest::prelude::*;

    fn origin(number: u32) -> ClientOrigin {
        ClientOrigin::of(IpAddr::V4(Ipv4Addr::from_bits(number + 1))).unwrap()
    }

    fn sizes(counts: &[usize]) -> Vec<usize> {
        let each = (0_u32..).zip(counts);
        let all: Vec<_> = each.flat_map(|(number, count)| vec![origin(number); *count]).collect();
        let crowds = Crowds::among(all.iter().copied());
        (0_u32..).take(counts.len()).map(|number| crowds.size(origin(number))).collect()
    }

    #[test]
    fn a_crowd_has_more_than_an_eighth_and_more_than_eight() {
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[8]), [0]);
        assert_eq!(sizes(&[9]), [9]);
        assert_eq!(sizes(&[9, 8, 2]), [9, 0, 0]);
        assert_eq!(sizes(&[20, 70, 90]), [0, 70, 90]);
        assert_eq!(sizes(&[100; 8]), [0; 8]);
        assert_eq!(sizes(&[100; 7]), [100; 7]);
    }

    proptest! {
        /// The result equals that of one counter for each origin, for any order of connections.
        #[test]
        fn crowds_are_what_counting_all_would_find(all in prop::collection::vec(0_u32..12, 0..400)) {
            let skewed: Vec<u32> = all.iter().map(|number| number * number / 12).collect();
            let crowds = Crowds::among(skewed.iter().map(|number| origin(*number)));
            for number in 0..12 {
                let count = skewed.iter().filter(|one| **one == number).count();
                let expected = if count > FEW && count > skewed.len() / SHARE { count } else { 0 };
                prop_assert_eq!(crowds.size(origin(number)), expected);
            }
        }
    }
}
