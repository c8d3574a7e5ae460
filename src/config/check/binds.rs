//! `bind`, and whether two listeners would take the same connections.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::names::Seen;
use super::site::Site;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::quote::quote;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::shape;
use crate::config::value::bind_address;
use crate::snapshot::Address;

/// `bind` of a listener or of the admin address.
pub(in crate::config) fn address(
    table: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Address, Reported> {
    let Some(entry) = table.entry("bind") else { return Err(findings.given_up(table.place())) };
    let Some(text) = entry.node.text() else { return Err(findings.given_up(entry.node.place)) };
    let read = bind_address(text, &mut |host, port| site.world.resolve(host, port));
    read.map_err(|error| findings.refuse(shape::refused("bind", &entry.node, &error)))
}

/// A port, for IPv6 or for IPv4.
type Port = (u16, bool);

/// The addresses of the listeners so far.
#[derive(Debug, Default)]
pub(super) struct Binds {
    exact: Seen<Address>,
    wild: HashMap<Port, (SocketAddr, Place)>,
    any: HashMap<Port, (SocketAddr, Place)>,
}

impl Binds {
    /// Takes the address of one more listener. `[::]` takes IPv4 connections too if it `is_dual`; else its
    /// sockets are IPV6_V6ONLY.
    pub(super) fn take(&mut self, bind: &Address, is_dual: bool, place: Place, findings: &mut Findings) {
        // With port 0 each listener gets a port of its own.
        if bind.is_any_port() {
            return;
        }
        if let Some(first) = self.exact.first(bind.clone(), place) {
            let message = format!("two listeners bind {}", quote(&bind.to_string()));
            findings.push(overlap(message, (place, "again here"), (first, "first here")));
            return;
        }
        let Some(address) = bind.ip() else { return };
        if !self.take_family(address, address.is_ipv6(), place, findings) && is_dual {
            self.take_family(address, false, place, findings);
        }
    }

    /// Takes the port for one address family; true if there is a finding.
    fn take_family(
        &mut self,
        address: SocketAddr,
        is_six: bool,
        place: Place,
        findings: &mut Findings,
    ) -> bool {
        let port = (address.port(), is_six);
        let (is_wild, shown) = (address.ip().is_unspecified(), quote(&address.to_string()));
        let found = if let Some((wild, first)) = self.wild.get(&port) {
            let message = format!("the address {} contains {shown}", quote(&wild.to_string()));
            Some(overlap(message, (place, "is contained"), (*first, "contains it")))
        } else if let Some((other, first)) = self.any.get(&port).filter(|_| is_wild) {
            let message = format!("the address {shown} contains {}", quote(&other.to_string()));
            Some(overlap(message, (place, "contains the other"), (*first, "is contained")))
        } else {
            None
        };
        self.any.entry(port).or_insert((address, place));
        if is_wild {
            self.wild.entry(port).or_insert((address, place));
        }
        let is_found = found.is_some();
        found.into_iter().for_each(|found| findings.push(found));
        is_found
    }
}

fn overlap(message: String, second: (Place, &str), first: (Place, &str)) -> Diagnostic {
    Diagnostic::new(Code::OverlappingBinds, message)
        .mark(second.0, second.1)
        .mark(first.0, first.1)
        .help("give one of the two another port, or remove it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_overlap_what_they_contain() {
        for (a, b, is_overlap) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("127.0.0.1:80", "[::]:80", false),
            ("0.0.0.0:80", "[::]:80", false),
            ("0.0.0.0:80", "+[::]:80", true),
            ("+[::]:80", "127.0.0.1:80", true),
            ("+[::]:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (mut binds, mut findings) = (Binds::default(), Findings::default());
            // A text that begins with `+` takes the other family too.
            for text in [a, b] {
                let address = Address::Ip(text.trim_start_matches('+').parse().unwrap());
                binds.take(&address, text.starts_with('+'), Place::default(), &mut findings);
            }
            assert_eq!(findings.errors() == 1, is_overlap, "{a} {b}");
        }
    }
}
