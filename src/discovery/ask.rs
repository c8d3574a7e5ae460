//! Asks a source: the only blocking code of this room.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::ToSocketAddrs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::dns::{Client, system_servers};
use super::file::{ENTRIES_MAX, LEN_MAX, parse};
use super::{DiscoveryQuestion, Entry, IpFamily};
use crate::snapshot::Address;

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The backends.
    pub entries: Vec<Entry>,
    /// The time for which it holds, where the answer has one.
    pub ttl: Option<Duration>,
    /// The family of which nothing is known now, where there was an answer for the other one. Its last
    /// addresses stay.
    pub lacks: Option<IpFamily>,
}

impl Answer {
    /// The backends, with those of `before` that this answer knows nothing of: a family that a server does
    /// not answer for is not one that is gone.
    #[must_use]
    pub fn after(self, before: Option<&[Entry]>) -> Vec<Entry> {
        let Some(lacks) = self.lacks else { return self.entries };
        let is_lacking = |entry: &&Entry| entry.address.ip().is_some_and(|address| lacks.has(address.ip()));
        let kept = before.unwrap_or_default().iter().filter(is_lacking).cloned();
        sorted(self.entries.into_iter().chain(kept).collect())
    }
}

/// Asks, and waits for the answer. The order of what the DNS says means nothing, so it is sorted; that of a
/// file is kept.
///
/// # Errors
/// Why there is no answer, in words: the name is not known or has no address, the resolver does not answer,
/// the file cannot be read or is no list of backends.
pub fn ask(question: &DiscoveryQuestion) -> Result<Answer, String> {
    let mut answer = ask_whole(question)?;
    cut(question, &mut answer.entries);
    Ok(answer)
}

/// An answer that lists more than a file may is cut: each entry costs memory and connections, and not all who
/// answer are friends.
fn cut(question: &DiscoveryQuestion, entries: &mut Vec<Entry>) {
    if entries.len() > ENTRIES_MAX {
        tracing::warn!(source = %question, found = entries.len(), "too many backends: the first {ENTRIES_MAX} are taken");
        entries.truncate(ENTRIES_MAX);
    }
}

fn ask_whole(question: &DiscoveryQuestion) -> Result<Answer, String> {
    match question {
        DiscoveryQuestion::Host { host, port, servers, family } if servers.is_empty() => {
            let found = (host.as_str(), *port).to_socket_addrs().map_err(|error| error.to_string())?;
            let found = found.filter(|address| family.has(address.ip()));
            let entries: Vec<_> = found.map(|address| Entry::at(Address::Ip(address))).collect();
            if entries.is_empty() {
                return Err(match family {
                    IpFamily::Any => String::from("it has no address"),
                    IpFamily::V4 | IpFamily::V6 => format!("it has no address of {}", family.as_str()),
                });
            }
            Ok(Answer { entries: sorted(entries), ttl: None, lacks: None })
        }
        DiscoveryQuestion::Host { host, port, servers, family } => {
            let found = Client::new(servers, *family).addresses(host).map_err(|error| error.to_string())?;
            let entry = |ip| Entry::at(Address::Ip((ip, *port).into()));
            let entries = sorted(found.what.into_iter().map(entry).collect());
            Ok(Answer { entries, ttl: Some(found.ttl), lacks: found.lacks })
        }
        DiscoveryQuestion::Service { name, servers, family } => {
            let systems = if servers.is_empty() { system_servers() } else { Vec::new() };
            let servers = if servers.is_empty() { &systems } else { servers };
            let found = Client::new(servers, *family).service(name).map_err(|error| error.to_string())?;
            Ok(Answer { entries: found.what, ttl: Some(found.ttl), lacks: found.lacks })
        }
        DiscoveryQuestion::File(path) => {
            let entries = parse(&read(path).map_err(|error| error.to_string())?)?;
            Ok(Answer { entries, ttl: None, lacks: None })
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

/// The state of a file as stat(2) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    len: u64,
    modified: SystemTime,
}

impl Stamp {
    /// The stamp of the file at `path`; `None` if there is no file, or if it was written so lately that a
    /// second write might not show.
    #[must_use]
    pub fn of(path: &Path) -> Option<Stamp> {
        let meta = fs::metadata(path).ok()?;
        let modified = meta.modified().ok()?;
        let is_fresh = modified.elapsed().is_ok_and(|age| age < 2 * super::LOOK);
        (!is_fresh).then_some(Stamp { inode: meta.ino(), len: meta.len(), modified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(addresses: &[&str]) -> Vec<Entry> {
        addresses.iter().map(|address| Entry::at(Address::Ip(address.parse().unwrap()))).collect()
    }

    #[test]
    fn a_family_of_which_nothing_is_known_keeps_its_last_addresses() {
        let before = entries(&["10.0.0.1:80", "10.0.0.2:80", "[::1]:80"]);
        for (lacks, found, after) in [
            (None, &["10.0.0.3:80"][..], &["10.0.0.3:80"][..]),
            (Some(IpFamily::V6), &["10.0.0.3:80"], &["10.0.0.3:80", "[::1]:80"]),
            (Some(IpFamily::V4), &["[::2]:80"], &["10.0.0.1:80", "10.0.0.2:80", "[::2]:80"]),
        ] {
            let answer = Answer { entries: entries(found), ttl: None, lacks };
            assert_eq!(answer.clone().after(Some(&before)), entries(after), "{lacks:?}");
            assert_eq!(answer.after(None), entries(found));
        }
    }

    #[test]
    fn an_answer_is_cut() {
        let question = DiscoveryQuestion::Host {
            host: "many.example".into(),
            port: 80,
            servers: Vec::new(),
            family: IpFamily::default(),
        };
        let entry = |number: u32| Entry::at(Address::Ip((std::net::Ipv4Addr::from_bits(number), 80).into()));
        for (count, kept) in [(ENTRIES_MAX, ENTRIES_MAX), (ENTRIES_MAX + 1, ENTRIES_MAX)] {
            let mut entries: Vec<Entry> = (0..count as u32).map(entry).collect();
            cut(&question, &mut entries);
            assert_eq!((entries.len(), &entries[0]), (kept, &entry(0)));
        }
    }
}
