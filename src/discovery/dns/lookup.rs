//! From a name to its records, along its aliases.

use std::net::IpAddr;
use std::time::Duration;

use super::message::{Data, Kind, Record};
use super::{Client, Failure, Found};

/// The most aliases on the way to a record.
pub(super) const CHAIN_MAX: usize = 8;

/// Records of the kind that was asked for, and what the server added to them.
pub(super) struct Chased {
    pub(super) records: Vec<Data>,
    pub(super) added: Vec<Record>,
    /// The shortest time to live on the way, in seconds.
    pub(super) ttl: u32,
}

impl Client<'_> {
    /// The addresses of `host`, IPv4 and IPv6, at least one.
    ///
    /// # Errors
    /// Why there is none. Where one family is there and the server has no answer for the other, that one is all: some servers
    /// never have one. Where the server is not heard, nothing is known.
    pub(in crate::discovery) fn addresses(&self, host: &str) -> Result<Found<Vec<IpAddr>>, Failure> {
        let (mut what, mut ttl, mut refused) = (Vec::new(), u32::MAX, None);
        for kind in [Kind::A, Kind::Aaaa] {
            match self.chase(host, kind) {
                Ok(chased) => {
                    what.extend(chased.records.iter().filter_map(address));
                    ttl = ttl.min(chased.ttl);
                }
                Err(Failure::NoRecord(_)) => {}
                Err(error @ Failure::Refused(_)) => refused = Some(error),
                Err(error @ (Failure::BadName | Failure::NoName | Failure::Chain | Failure::Silent(_))) => {
                    return Err(error);
                }
            }
        }
        match refused {
            _ if !what.is_empty() => Ok(Found { what, ttl: Duration::from_secs(ttl.into()) }),
            Some(error) => Err(error),
            None => Err(Failure::NoRecord(Kind::A)),
        }
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
                    return Ok(Chased { records, added: reply.added, ttl });
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

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

pub(super) fn address(data: &Data) -> Option<IpAddr> {
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
