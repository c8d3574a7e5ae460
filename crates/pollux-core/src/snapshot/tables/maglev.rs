//! A table from hashes to backends (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
//! Balancer", §3.4).
//!
//! Every backend has an order of its own over the places of the table, which follows from its name alone. In
//! turn, as often as their weights say, they take the next place of theirs that is still free. So the table
//! is the same wherever the names and weights are, whatever the order in which they are listed; and when one
//! leaves, hardly any place changes hands but its own.

use crate::route::hash;
use crate::snapshot::Backend;

/// The places of the table: a prime, so that every stride visits all of them.
const SIZE: usize = 65_537;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maglev {
    /// The backend of each place.
    table: Box<[u32]>,
    /// The hash of each backend's name.
    identities: Box<[u64]>,
}

/// A backend on its way through the table.
struct Walk {
    place: u32,
    weight: u64,
    next: usize,
    stride: usize,
    /// Weight that was saved up for its next turn.
    saved: u64,
}

impl Maglev {
    /// The table of `backends`, in which those of weight 0 have no place. It takes some milliseconds.
    #[must_use]
    pub fn new(backends: &[Backend]) -> Maglev {
        let identities: Box<[u64]> =
            backends.iter().map(|backend| hash::stable(backend.name.as_bytes())).collect();
        let weighty = backends.iter().enumerate().filter(|(_, backend)| backend.weight > 0);
        let mut walks: Vec<Walk> = weighty
            .map(|(place, backend)| {
                let identity = identities[place];
                Walk {
                    place: place as u32,
                    weight: u64::from(backend.weight),
                    next: (identity % SIZE as u64) as usize,
                    stride: (hash::mix(!identity) % (SIZE as u64 - 1)) as usize + 1,
                    saved: 0,
                }
            })
            .collect();
        // The order of the file must not matter.
        walks.sort_by(|a, b| backends[a.place as usize].name.cmp(&backends[b.place as usize].name));
        Maglev { table: fill(&mut walks), identities }
    }

    /// The backend that `hash` leads to after so many steps; `None` if all weights are 0. A step leads
    /// anywhere: neighbours in the table are not independent of each other, and the keys of one would not
    /// spread evenly over the others.
    #[must_use]
    pub fn at(&self, hash: u64, step: u64) -> Option<usize> {
        let point = if step == 0 { hash } else { hash::mix(hash.wrapping_add(step)) };
        let size = self.table.len().max(1) as u64;
        self.table.get((point % size) as usize).map(|place| *place as usize)
    }

    /// The hash of the name of the backend at `place`.
    pub(crate) fn identity(&self, place: usize) -> u64 {
        self.identities[place]
    }
}

fn fill(walks: &mut [Walk]) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    let Some(heaviest) = walks.iter().map(|walk| walk.weight).max() else { return Box::default() };
    let (mut table, mut left) = (vec![FREE; SIZE], SIZE);
    loop {
        for walk in walks.iter_mut() {
            walk.saved += walk.weight;
            if walk.saved < heaviest {
                continue;
            }
            walk.saved -= heaviest;
            while table[walk.next] != FREE {
                walk.next = (walk.next + walk.stride) % SIZE;
            }
            table[walk.next] = walk.place;
            left -= 1;
            if left == 0 {
                return table.into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Address;

    fn backends(names: impl Iterator<Item = usize>, weight: impl Fn(usize) -> u32) -> Vec<Backend> {
        let address = || Address::Ip(([127, 0, 0, 1], 1).into());
        names.map(|number| Backend::new(format!("10.0.0.{number}:80"), address(), weight(number))).collect()
    }

    fn share(table: &Maglev, place: usize) -> f64 {
        let count = table.table.iter().filter(|other| **other as usize == place).count();
        count as f64 / SIZE as f64
    }

    /// The names of the backends of all places.
    fn owners<'a>(table: &'a Maglev, backends: &'a [Backend]) -> impl Iterator<Item = &'a str> {
        table.table.iter().map(|place| backends[*place as usize].name.as_str())
    }

    #[test]
    fn shares_are_as_the_weights_are() {
        let all = backends(0..7, |number| [1, 1, 2, 5, 0, 100, 1000][number]);
        let table = Maglev::new(&all);
        for (place, backend) in all.iter().enumerate() {
            let expected = f64::from(backend.weight) / 1109.0;
            assert!((share(&table, place) - expected).abs() < 0.001, "{place}");
        }
        assert_eq!(Maglev::new(&backends(0..3, |_| 0)).at(7, 0), None);
    }

    /// The table depends on names and weights, not on places.
    #[test]
    fn the_order_of_the_file_does_not_matter() {
        let all = backends(0..9, |number| number as u32);
        let turned: Vec<_> = all.iter().rev().cloned().collect();
        let (one, other) = (Maglev::new(&all), Maglev::new(&turned));
        assert!(owners(&one, &all).eq(owners(&other, &turned)));
    }

    /// Other processes, other machines and later versions must come to the same table.
    #[test]
    fn the_table_never_changes() {
        let table = Maglev::new(&backends(0..5, |number| number as u32 + 1));
        let bytes: Vec<u8> = table.table.iter().map(|place| *place as u8).collect();
        assert_eq!(hash::stable(&bytes), 0xbfdb_4f68_6c61_27cb);
    }

    /// When one of N backends leaves, at most 1/N and two hundredths of the keys move, for any backend and
    /// any weights.
    #[test]
    fn few_keys_move_when_one_leaves() {
        for count in [2, 3, 5, 10, 20, 50] {
            for gone in [0, count / 2, count - 1] {
                for weight in [|_| 1, |number| number as u32 % 3 + 1] {
                    let (all, left) =
                        (backends(0..count, weight), backends((0..count).filter(|n| *n != gone), weight));
                    let (before, after) = (Maglev::new(&all), Maglev::new(&left));
                    let pairs = owners(&before, &all).zip(owners(&after, &left));
                    let moved = pairs.filter(|(before, after)| before != after).count() as f64 / SIZE as f64;
                    let sum: u32 = (0..count).map(weight).sum();
                    let own = f64::from(weight(gone)) / f64::from(sum);
                    assert!(moved <= own + 0.02, "{moved} of the keys moved when {gone} of {count} left");
                }
            }
        }
    }
}
