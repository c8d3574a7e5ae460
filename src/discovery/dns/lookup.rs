//! From a name to its records, along its aliases.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use super::message::{Data, Kind, Record};
use super::{Client, Failure, Found};
use crate::discovery::IpFamily;

/// The most aliases on the way to a record.
pub(super) const CHAIN_MAX: usize = 8;

/// Records of the kind that was asked for.
pub(super) struct Chased {
    pub(super) records: Vec<Data>,
    /// The shortest time to live on the way, in seconds.
    pub(super) ttl: u32,
}

impl Client<'_> {
    /// The addresses of `host`, IPv4 and IPv6, at least one.
    ///
    /// # Errors
    /// Why there is none. Where one family is there, that one is the answer, whatever comes of the other one:
    /// some servers deny the name, refuse or are silent for AAAA. An answer that is not certain is reported,
    /// so that it is not taken for gone.
    pub(in crate::discovery) fn addresses(&self, host: &str) -> Result<Found<Vec<IpAddr>>, Failure> {
        let (first, second) = match self.family {
            IpFamily::V4 => return self.chase(host, Kind::A).map(|chased| found(&chased)),
            IpFamily::V6 => return self.chase(host, Kind::Aaaa).map(|chased| found(&chased)),
            IpFamily::Any => self.both(host),
        };
        match (first, second) {
            (Ok(first), Ok(second)) => {
                let (mut all, more) = (found(&first), found(&second));
                all.what.extend(more.what);
                Ok(Found { ttl: all.ttl.min(more.ttl), ..all })
            }
            (Ok(first), Err(error)) => Ok(Found { lacks: lacking(&error, IpFamily::V6), ..found(&first) }),
            (Err(error), Ok(second)) => Ok(Found { lacks: lacking(&error, IpFamily::V4), ..found(&second) }),
            // An unknown answer weighs more than a family without addresses.
            (Err(first), Err(second)) if first.is_certain() && !second.is_certain() => Err(second),
            (Err(Failure::NoRecord(_)), Err(Failure::NoName)) => Err(Failure::NoName),
            (Err(first), Err(_)) => Err(first),
        }
    }

    /// Asks for both families at the same time, so that a silent server takes no longer for two than for one.
    fn both(&self, host: &str) -> (Result<Chased, Failure>, Result<Chased, Failure>) {
        thread::scope(|scope| {
            let asking = thread::Builder::new().spawn_scoped(scope, || self.chase(host, Kind::Aaaa));
            let first = self.chase(host, Kind::A);
            let second = match asking {
                Ok(asking) => asking
                    .join()
                    .unwrap_or_else(|_| Err(Failure::Silent(String::from("the question for AAAA was lost")))),
                // There can be no more threads: one after the other.
                Err(_) => self.chase(host, Kind::Aaaa),
            };
            (first, second)
        })
    }

    /// The records of `kind` of `name`, or of the name that it is an alias of; at least one.
    pub(super) fn chase(&self, name: &str, kind: Kind) -> Result<Chased, Failure> {
        let (mut name, mut ttl, mut aliases) = (plain(name), u32::MAX, 0);
        loop {
            let reply = self.ask(&name, kind)?;
            let asked = name.clone();
            loop {
                let here: Vec<_> = reply.answers.iter().filter(|record| record.name == name).collect();
                let records: Vec<_> = here.iter().filter(|record| is_of(record, kind)).collect();
                if !records.is_empty() {
                    let ttl = records.iter().map(|record| record.ttl).fold(ttl, u32::min);
                    let records = records.into_iter().map(|record| record.data.clone()).collect();
                    return Ok(Chased { records, ttl });
                }
                let Some((alias, lives)) = here.iter().find_map(|record| alias(record)) else { break };
                aliases += 1;
                if aliases > CHAIN_MAX {
                    return Err(Failure::Chain);
                }
                (name, ttl) = (alias, ttl.min(lives));
            }
            // A server that follows aliases by itself has said all; another one is asked for the rest.
            if name == asked {
                return Err(Failure::NoRecord(kind));
            }
        }
    }
}

fn found(chased: &Chased) -> Found<Vec<IpAddr>> {
    let what = chased.records.iter().filter_map(address).collect();
    Found { what, ttl: Duration::from_secs(chased.ttl.into()), lacks: None }
}

/// `family`, if it may have addresses all the same.
fn lacking(error: &Failure, family: IpFamily) -> Option<IpFamily> {
    (!error.is_certain()).then_some(family)
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn address(data: &Data) -> Option<IpAddr> {
    match data {
        Data::Address(address) => Some(*address),
        Data::Alias(_) | Data::Service(_) => None,
    }
}

fn alias(record: &Record) -> Option<(String, u32)> {
    match &record.data {
        Data::Alias(name) => Some((name.clone(), record.ttl)),
        Data::Address(_) | Data::Service(_) => None,
    }
}

fn is_of(record: &Record, kind: Kind) -> bool {
    match (&record.data, kind) {
        (Data::Address(IpAddr::V4(_)), Kind::A)
        | (Data::Address(IpAddr::V6(_)), Kind::Aaaa)
        | (Data::Service(_), Kind::Srv) => true,
        (Data::Address(_) | Data::Service(_) | Data::Alias(_), Kind::A | Kind::Aaaa | Kind::Srv) => false,
    }
}
