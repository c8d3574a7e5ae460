//! Asks: the one place of this room that waits for somebody.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::ToSocketAddrs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::dns::{Client, system_servers};
use super::file::{LEN_MAX, parse};
use super::{Entry, Question};
use crate::snapshot::Address;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The backends.
    pub entries: Vec<Entry>,
    /// How long it holds, where that was said too.
    pub ttl: Option<Duration>,
}

/// Asks, and waits for the answer. The order of what the DNS says means nothing, so it is sorted; that of a file is kept.
///
/// # Errors
/// Why there is no answer, in words: the name is not known or has no address, the resolver does not answer, the file cannot be
/// read or is no list of backends.
pub fn ask(question: &Question) -> Result<Answer, String> {
    match question {
        Question::Host { host, port, servers } if servers.is_empty() => {
            let found = (host.as_str(), *port).to_socket_addrs().map_err(|error| error.to_string())?;
            let entries: Vec<_> = found.map(|address| Entry::at(Address::Ip(address))).collect();
            if entries.is_empty() {
                return Err(String::from("it has no address"));
            }
            Ok(Answer { entries: sorted(entries), ttl: None })
        }
        Question::Host { host, port, servers } => {
            let found = Client::new(servers).addresses(host).map_err(|error| error.to_string())?;
            let entry = |ip| Entry::at(Address::Ip((ip, *port).into()));
            Ok(Answer { entries: sorted(found.what.into_iter().map(entry).collect()), ttl: Some(found.ttl) })
        }
        Question::Service { name, servers } => {
            let systems = if servers.is_empty() { system_servers() } else { Vec::new() };
            let servers = if servers.is_empty() { &systems } else { servers };
            let found = Client::new(servers).service(name).map_err(|error| error.to_string())?;
            Ok(Answer { entries: found.what, ttl: Some(found.ttl) })
        }
        Question::File(path) => {
            let entries = parse(&read(path).map_err(|error| error.to_string())?)?;
            Ok(Answer { entries, ttl: None })
        }
    }
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort();
    entries.dedup();
    entries
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to know that the file is too long.
    File::open(path)?.take(LEN_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How a file looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    len: u64,
    modified: SystemTime,
}

impl Stamp {
    /// That of the file at `path`; `None` if there is none, or if it was written so lately that a second write might not show.
    #[must_use]
    pub fn of(path: &Path) -> Option<Stamp> {
        let meta = fs::metadata(path).ok()?;
        let modified = meta.modified().ok()?;
        let is_fresh = modified.elapsed().is_ok_and(|age| age < 2 * super::LOOK);
        (!is_fresh).then_some(Stamp { inode: meta.ino(), len: meta.len(), modified })
    }
}
