//! Services (RFC 2782): priorities become tiers, weights weights, and each target all of its addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::message::{Data, Kind, Service};
use super::{Client, Failure, Found};
use crate::discovery::{ENTRIES_MAX, Entry};
use crate::snapshot::{Address, Backend};

/// The most records that a service may have.
const RECORDS_MAX: usize = 1000;

/// So many targets are asked for at the same time.
const TARGETS_AT_ONCE: usize = 8;

/// A record with an address of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Located {
    priority: u16,
    weight: u16,
    address: SocketAddr,
}

/// A target of an SRV record, and what the question for its addresses came to.
type Answered<'t> = (&'t str, Result<Found<Vec<IpAddr>>, Failure>);

impl Client<'_> {
    /// The backends of the service `name`. There are none where the DNS says that there is decidedly no
    /// service.
    ///
    /// # Errors
    /// Why nothing is known of it. A target that has no address is left out; one whose addresses cannot be
    /// found out now is an error, as its backends may well be there.
    pub(in crate::discovery) fn service(&self, name: &str) -> Result<Found<Vec<Entry>>, Failure> {
        let chased = self.chase(name, Kind::Srv)?;
        let records: Vec<Service> = chased.records.iter().filter_map(service).collect();
        if records.len() > RECORDS_MAX {
            let why = format!("the service has {} records, more than {RECORDS_MAX}", records.len());
            return Err(Failure::Refused(why));
        }
        let records: Vec<_> = records.into_iter().filter(|record| !record.target.is_empty()).collect();
        let mut ttl = Duration::from_secs(chased.ttl.into());
        if records.is_empty() {
            return Ok(Found { what: Vec::new(), ttl, lacks: None });
        }
        let targets: BTreeSet<&str> = records.iter().map(|record| record.target.as_str()).collect();
        let (mut known, mut nothing, mut lacks) = (BTreeMap::new(), None, None);
        for (target, answer) in self.addresses_of(&targets.into_iter().collect::<Vec<_>>()) {
            match answer {
                Ok(found) => {
                    ttl = ttl.min(found.ttl);
                    lacks = lacks.or(found.lacks);
                    known.insert(target, found.what);
                }
                Err(error) if error.is_certain() => nothing = Some((target, error)),
                Err(error) => return Err(Failure::Refused(format!("its target {target}: {error}"))),
            }
        }
        let locate = |record: &Service| {
            let Service { priority, weight, port, .. } = *record;
            let addresses = known.get(record.target.as_str()).into_iter().flatten();
            let located = move |ip: &IpAddr| Located { priority, weight, address: (*ip, port).into() };
            addresses.map(located).collect::<Vec<_>>()
        };
        // Nothing can connect to port 0.
        let located = records.iter().filter(|record| record.port != 0).flat_map(locate);
        // One more than is taken, so that it is seen that there are too many.
        let located = located.take(ENTRIES_MAX + 1).collect();
        match (entries(located), nothing) {
            (what, Some((target, error))) if what.is_empty() => {
                Err(Failure::Refused(format!("its target {target}: {error}")))
            }
            (what, _) if what.is_empty() => Err(Failure::Refused(String::from("its records name port 0"))),
            (what, _) => Ok(Found { what, ttl, lacks }),
        }
    }

    /// The addresses of each of `targets`. The server may have added some of them to the records,
    /// another time others (RFC 2181 section 9), so each is asked for.
    fn addresses_of<'t>(&self, targets: &[&'t str]) -> Vec<Answered<'t>> {
        let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(targets.len())));
        let ask = || {
            while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = self.addresses(target);
                answers.lock().unwrap_or_else(PoisonError::into_inner).push((*target, answer));
            }
        };
        thread::scope(|scope| {
            for _ in 1..TARGETS_AT_ONCE.min(targets.len()) {
                // Without another thread those that there are ask for more.
                let _ = thread::Builder::new().spawn_scoped(scope, ask);
            }
            ask();
        });
        answers.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn service(data: &Data) -> Option<Service> {
    match data {
        Data::Service(service) => Some(service.clone()),
        Data::Address(_) | Data::Alias(_) => None,
    }
}

/// The lowest priority is tier 1, the next tier 2, and so on; an address that several records name is in the
/// lowest of its tiers.
///
/// Weights count within a tier. They are taken as they are, or in proportion where one is above 1000. Where
/// all are 0, which says that there is nothing to choose by, they are left open; beside others a 0 has "a
/// very small chance", which is what 1 comes to.
fn entries(mut located: Vec<Located>) -> Vec<Entry> {
    located.sort_by_key(|it| (it.priority, it.address, std::cmp::Reverse(it.weight)));
    let mut seen = BTreeSet::new();
    located.retain(|it| seen.insert(it.address));
    let tiers = located.chunk_by(|one, other| one.priority == other.priority);
    let tiered = tiers.enumerate().flat_map(|(index, tier)| {
        let number = u8::try_from(index + 1).unwrap_or(u8::MAX).min(Backend::TIER_MAX);
        let most = tier.iter().map(|it| u32::from(it.weight)).max().unwrap_or(0);
        tier.iter().map(move |it| Entry {
            weight: scaled(it.weight.into(), most),
            tier: Some(number),
            ..Entry::at(Address::Ip(it.address))
        })
    });
    tiered.collect()
}

fn scaled(weight: u32, most: u32) -> Option<u32> {
    match most {
        0 => None,
        1..=Backend::WEIGHT_MAX => Some(weight.max(1)),
        _ => Some((weight * Backend::WEIGHT_MAX / most).max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(located: &[(u16, u16, u8)]) -> Vec<(u8, Option<u32>, Option<u8>)> {
        let located = located.iter().map(|(priority, weight, host)| Located {
            priority: *priority,
            weight: *weight,
            address: ([10, 0, 0, *host], 80).into(),
        });
        let show = |entry: Entry| {
            let Address::Ip(SocketAddr::V4(address)) = entry.address else { unreachable!("only these") };
            (address.ip().octets()[3], entry.weight, entry.tier)
        };
        entries(located.collect()).into_iter().map(show).collect()
    }

    #[test]
    fn priorities_are_tiers_in_their_order() {
        let found = shown(&[(20, 1, 3), (10, 2, 1), (10, 1, 2), (65535, 1, 4)]);
        assert_eq!(
            found,
            [(1, Some(2), Some(1)), (2, Some(1), Some(1)), (3, Some(1), Some(2)), (4, Some(1), Some(3))]
        );
        let many: Vec<_> = (0..20).map(|index| (index, 1, index as u8)).collect();
        assert_eq!(shown(&many).last(), Some(&(19, Some(1), Some(Backend::TIER_MAX))));
    }

    #[test]
    fn weights_keep_their_proportion_and_nobody_is_left_without_a_chance() {
        assert_eq!(shown(&[(0, 0, 1), (0, 100, 2)]), [(1, Some(1), Some(1)), (2, Some(100), Some(1))]);
        assert_eq!(shown(&[(0, 0, 1), (0, 0, 2)]), [(1, None, Some(1)), (2, None, Some(1))]);
        let large = shown(&[(0, 65535, 1), (0, 32768, 2), (0, 1, 3), (1, 5, 4)]);
        assert_eq!(
            large.iter().map(|it| it.1).collect::<Vec<_>>(),
            [Some(1000), Some(500), Some(1), Some(5)]
        );
    }

    #[test]
    fn an_address_of_several_records_is_one_backend_in_the_lowest_tier() {
        assert_eq!(shown(&[(9, 7, 1), (2, 3, 1), (2, 5, 1)]), [(1, Some(5), Some(1))]);
    }
}
