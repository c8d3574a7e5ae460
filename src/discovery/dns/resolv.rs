//! The servers that the system asks: `nameserver` in resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::snapshot::DNS_PORT;

/// The most that are asked (MAXNS of resolv.conf(5)).
const SERVERS_MAX: usize = 3;

/// The servers of this machine, as the file names them now.
pub(in crate::discovery) fn system_servers() -> Vec<SocketAddr> {
    parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

/// The servers that `text` names; this machine itself if it names none.
fn parse(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        Some(SocketAddr::from((address.parse::<IpAddr>().ok()?, DNS_PORT)))
    };
    let servers: Vec<_> = text.lines().filter_map(server).take(SERVERS_MAX).collect();
    if servers.is_empty() { vec![(Ipv4Addr::LOCALHOST, DNS_PORT).into()] } else { servers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_count_and_nothing_else() {
        let text = "# nameserver 10.0.0.9\nsearch example\nnameserver 10.0.0.1\nnameserver\t::1 # local\n\
                    nameserver nonsense\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        let servers: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[::1]:53", "10.0.0.3:53"]);
        assert_eq!(parse(""), ["127.0.0.1:53".parse().unwrap()]);
    }
}
