//! `host:port`, taken apart without a look-up of the host.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::ValueError;
use super::quote::quote;

/// The longest host name (RFC 1035 section 2.3.4), in bytes.
const HOST_LEN_MAX: usize = 253;

pub(super) const EXPECTED: &str = "expected host:port";

/// A `host:port` that is well formed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    /// An IP address.
    Literal(SocketAddr),
    /// A link-local IPv6 address with the name of its network device, such as `fe80::1%eth0`, yet to be
    /// looked up.
    Scoped { host: &'a str, port: u16 },
    /// A host name, yet to be resolved.
    Named { host: &'a str, port: u16 },
}

pub(super) fn parse(text: &str) -> Result<Endpoint<'_>, ValueError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        check_scope(address)?;
        return Ok(Endpoint::Literal(address));
    }
    if let Some((host, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]:"))
        && let Some((address, interface)) = host.split_once('%')
    {
        return scoped(host, address, interface, parse_port(port)?);
    }
    if let Some((_, rest)) = text.split_once("://") {
        let authority = rest.split('/').next().unwrap_or(rest);
        return Err(error("an address has no scheme and no path", format!("write {}", quote(authority))));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err(bare(text, address));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(without_port(text));
    };
    let port = parse_port(port)?;
    check_host(host, port)?;
    Ok(Endpoint::Named { host, port })
}

/// The longest name of a network device, in bytes (IFNAMSIZ less its final zero, netdevice(7)).
const INTERFACE_LEN_MAX: usize = 15;

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// A link-local address is one of its link alone, and there may be several links (RFC 4007).
fn check_scope(address: SocketAddr) -> Result<(), ValueError> {
    match address {
        SocketAddr::V6(address) if is_link_local(*address.ip()) && address.scope_id() == 0 => {
            let with_scope = format!("[{}%eth0]:{}", address.ip(), address.port());
            Err(error(
                format!("{} does not say by which network device", quote(&address.ip().to_string())),
                format!("name the device: {}", quote(&with_scope)),
            ))
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => Ok(()),
    }
}

fn scoped<'a>(host: &'a str, address: &str, interface: &str, port: u16) -> Result<Endpoint<'a>, ValueError> {
    let is_name = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'%' | b'[' | b']');
    if interface.is_empty() || interface.len() > INTERFACE_LEN_MAX || !interface.bytes().all(is_name) {
        let help = "write a name that `ip link` shows: `[fe80::1%eth0]:8080`";
        return Err(error(format!("{} is not a network device", quote(interface)), help));
    }
    match address.parse() {
        Ok(ip) if is_link_local(ip) => Ok(Endpoint::Scoped { host, port }),
        Ok(_) => Err(error(
            "only a link-local address (`fe80::…`) goes with a network device",
            format!("leave it out: {}", quote(&format!("[{address}]:{port}"))),
        )),
        Err(_) => {
            Err(error(format!("{} is not an IPv6 address", quote(address)), "write `[fe80::1%eth0]:8080`"))
        }
    }
}

/// An IP address alone.
fn bare(text: &str, address: IpAddr) -> ValueError {
    if address.is_ipv4() {
        return error(
            format!("{} has no port", quote(text)),
            format!("add a port: {}", quote(&format!("{text}:8080"))),
        );
    }
    // `::1:8080` is an address of its own, but its author most likely meant a port.
    let with_port = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.parse::<Ipv6Addr>().ok()?, port.parse::<u16>().ok()?)))
        .map_or_else(|| format!("[{text}]:8080"), |(host, port)| format!("[{host}]:{port}"));
    error(
        format!("{} is an IPv6 address without brackets", quote(text)),
        format!("put the address in brackets, then the port: {}", quote(&with_port)),
    )
}

fn without_port(text: &str) -> ValueError {
    if text.is_empty() {
        error("the address is empty", "write an address and a port, such as `127.0.0.1:8080`")
    } else if text.parse::<u16>().is_ok() {
        error(
            format!("{} is a port without an address", quote(text)),
            format!("add an address: {}", quote(&format!("127.0.0.1:{text}"))),
        )
    } else {
        error(
            format!("{} has no port", quote(text)),
            format!("add a port: {}", quote(&format!("{text}:8080"))),
        )
    }
}

fn parse_port(port: &str) -> Result<u16, ValueError> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| port.parse().ok())
        .flatten()
        .ok_or_else(|| error(format!("{} is not a port", quote(port)), "a port is a number from 1 to 65535"))
}

fn check_host(host: &str, port: u16) -> Result<(), ValueError> {
    if host.is_empty() || host == "*" {
        let help = format!(
            "write `127.0.0.1:{port}` for this machine alone, `0.0.0.0:{port}` for every IPv4 address, \
             `[::]:{port}` for IPv6"
        );
        return Err(error("the address has a port but no host", help));
    }
    if host.starts_with('[') || host.contains(':') {
        let help = "an IPv6 address stands in brackets: `[::1]:8080`";
        return Err(error(format!("{} is not an IPv6 address", quote(host)), help));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if let Some(bad) = host.chars().find(|c| !allowed(*c)) {
        let help = "a host name has ASCII letters, digits, `.`, `-` and `_`";
        return Err(error(format!("a host name cannot hold {}", quote(bad.encode_utf8(&mut [0; 4]))), help));
    }
    if host.len() > HOST_LEN_MAX {
        let help = format!("a host name has at most {HOST_LEN_MAX} letters");
        return Err(error("the host name is too long", help));
    }
    // The resolver would read `1.2.3` as 1.2.0.3 and `010.0.0.1` as 8.0.0.1: surprises, not names.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or(host);
    if last.is_empty() || last.starts_with(|c: char| c.is_ascii_digit()) {
        let help = "an IPv4 address has four numbers from 0 to 255, without leading zeros";
        return Err(error(format!("{} is neither an IPv4 address nor a host name", quote(host)), help));
    }
    Ok(())
}

fn error(message: impl Into<String>, help: impl Into<String>) -> ValueError {
    ValueError::new(message, EXPECTED, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_told_apart() {
        assert_eq!(parse("127.0.0.1:80"), Ok(Endpoint::Literal(([127, 0, 0, 1], 80).into())));
        assert_eq!(parse("[::1]:80"), Ok(Endpoint::Literal((Ipv6Addr::LOCALHOST, 80).into())));
        assert_eq!(parse("localhost:80"), Ok(Endpoint::Named { host: "localhost", port: 80 }));
        assert_eq!(parse("app_1.internal.:80"), Ok(Endpoint::Named { host: "app_1.internal.", port: 80 }));
    }

    #[test]
    fn a_link_local_address_has_its_device() {
        assert_eq!(parse("[fe80::1%lo]:80"), Ok(Endpoint::Scoped { host: "fe80::1%lo", port: 80 }));
        let numbered = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, 1);
        assert_eq!(parse("[fe80::1%1]:80"), Ok(Endpoint::Literal(numbered.into())));
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("[fe80::1]:80", "`fe80::1` does not say by which network device"),
            ("[::1%lo]:80", "only a link-local address (`fe80::…`) goes with a network device"),
            ("[fe80::1%]:80", "`` is not a network device"),
            ("[fe80::1%a/b]:80", "`a/b` is not a network device"),
            ("[fe80:1%lo]:80", "`fe80:1` is not an IPv6 address"),
            ("", "the address is empty"),
            ("8080", "`8080` is a port without an address"),
            ("localhost", "`localhost` has no port"),
            ("127.0.0.1", "`127.0.0.1` has no port"),
            ("::1", "`::1` is an IPv6 address without brackets"),
            ("[::1]", "`1]` is not a port"),
            ("[::1:80", "`[::1` is not an IPv6 address"),
            ("::zz:80", "`::zz` is not an IPv6 address"),
            (":80", "the address has a port but no host"),
            ("*:80", "the address has a port but no host"),
            ("localhost:", "`` is not a port"),
            ("localhost:+80", "`+80` is not a port"),
            ("localhost:65536", "`65536` is not a port"),
            ("http://localhost:80/", "an address has no scheme and no path"),
            ("a b:80", "a host name cannot hold ` `"),
            ("bücher:80", "a host name cannot hold `ü`"),
            ("256.0.0.1:80", "`256.0.0.1` is neither an IPv4 address nor a host name"),
            ("1.2.3:80", "`1.2.3` is neither an IPv4 address nor a host name"),
            ("0x7f.0x1:80", "`0x7f.0x1` is neither an IPv4 address nor a host name"),
            (".:80", "`.` is neither an IPv4 address nor a host name"),
        ] {
            assert_eq!(
                parse(text).map_err(|error| error.message().to_owned()),
                Err(message.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn the_mend_of_an_address_without_brackets_is_what_was_meant() {
        let help = |text| parse(text).unwrap_err().help().to_owned();
        assert!(help("::1:8080").ends_with("`[::1]:8080`"));
        assert!(help("fe80::1").contains("]:"));
    }
}
