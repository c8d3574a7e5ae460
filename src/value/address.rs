//! Addresses to connect to and to listen on.

use std::io;
use std::net::{SocketAddr, SocketAddrV6, ToSocketAddrs};

use super::ValueError;
use super::endpoint::{self, Endpoint};
use super::quote::quote;
use crate::snapshot::Address;

/// Looks a host name up: every address that it stands for, with the port.
pub type Resolve<'a> = dyn FnMut(&str, u16) -> io::Result<Vec<SocketAddr>> + 'a;

/// The longest path of a Unix socket, in bytes: `sun_path` less its final zero (unix(7)).
const UNIX_LEN_MAX: usize = 107;

/// Asks the system's resolver, and waits for it.
///
/// # Errors
///
/// When the name is not known or the resolver does not answer.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

/// The addresses of a backend written `127.0.0.1:9001`, `[::1]:9001`, `host:9001` or `unix:/run/app.sock`. A
/// host name gives one for each address that it stands for, never none and each once.
///
/// # Errors
///
/// When the text has none of these forms, the port is 0, or the name is not known.
pub fn parse_backend_text(text: &str) -> Result<Vec<Address>, ValueError> {
    backend_addresses(text, &mut resolve)
}

/// The address of a listener written `127.0.0.1:8080`, `[::1]:8080`, `host:8080`, `unix:/path` or
/// `unix:@name`. Port 0 lets the kernel choose. Of a host name with several addresses the first counts.
///
/// # Errors
///
/// When the text has none of these forms or the name is not known.
pub fn parse_bind(text: &str) -> Result<Address, ValueError> {
    bind_address(text, &mut resolve)
}

/// The address of a backend that has to be `127.0.0.1:9001`, `[::1]:9001` or `unix:/run/app.sock`, and no
/// host name.
///
/// # Errors
///
/// When it is none of these, or the port is 0.
pub fn parse_backend_literal(text: &str) -> Result<Address, ValueError> {
    if let Some((host, _)) = host_and_port(text)? {
        let help = "write the IP address of the backend";
        return Err(error(&format!("{} is a host name", quote(host)), help));
    }
    let mut addresses = backend_addresses(text, &mut |_, _| Ok(Vec::new()))?;
    addresses.pop().ok_or_else(|| no_address(text))
}

/// The host name and the port of a backend that is not an IP address or a Unix socket.
pub(crate) fn host_and_port(text: &str) -> Result<Option<(&str, u16)>, ValueError> {
    if text.starts_with("unix:") {
        return Ok(None);
    }
    match endpoint::parse(text)? {
        Endpoint::Named { port: 0, .. } => Err(port_zero()),
        Endpoint::Named { host, port } => Ok(Some((host, port))),
        Endpoint::Literal(_) | Endpoint::Scoped { .. } => Ok(None),
    }
}

fn port_zero() -> ValueError {
    error("nothing can connect to port 0", "write the port that the backend listens on")
}

pub(crate) fn backend_addresses(text: &str, resolve: &mut Resolve<'_>) -> Result<Vec<Address>, ValueError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(|address| vec![address]);
    }
    let addresses = addresses(text, resolve)?;
    if addresses.iter().any(|address| address.port() == 0) {
        return Err(port_zero());
    }
    Ok(addresses.into_iter().map(Address::Ip).collect())
}

pub(crate) fn bind_address(text: &str, resolve: &mut Resolve<'_>) -> Result<Address, ValueError> {
    if let Some(name) = text.strip_prefix("unix:") {
        return unix(name);
    }
    tcp_address(text, resolve).map(Address::Ip)
}

/// The first address behind `host:port`.
pub(crate) fn tcp_address(text: &str, resolve: &mut Resolve<'_>) -> Result<SocketAddr, ValueError> {
    let addresses = addresses(text, resolve)?;
    addresses.first().copied().ok_or_else(|| no_address(text))
}

/// The addresses behind `host:port`, each once.
fn addresses(text: &str, resolve: &mut Resolve<'_>) -> Result<Vec<SocketAddr>, ValueError> {
    let (host, port) = match endpoint::parse(text)? {
        Endpoint::Literal(address) => return Ok(vec![address]),
        Endpoint::Scoped { host, port } => return scoped(host, port).map(|address| vec![address]),
        Endpoint::Named { host, port } => (host, port),
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in resolve(host, port).map_err(|error| unknown_host(host, &error))? {
        // A resolver gives an address once for each entry that it finds, and `/etc/hosts` often has two.
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(no_address(host)) } else { Ok(addresses) }
}

/// The address of `host`, such as `fe80::1%eth0`: no DNS knows of it, the kernel does (if_nametoindex(3)).
fn scoped(host: &str, port: u16) -> Result<SocketAddr, ValueError> {
    let (address, interface) = host.split_once('%').unwrap_or((host, ""));
    let number = nix::net::if_::if_nametoindex(interface);
    match (address.parse(), number) {
        (Ok(ip), Ok(number)) => Ok(SocketAddrV6::new(ip, port, 0, number).into()),
        (Err(_), _) => Err(no_address(host)),
        (_, Err(errno)) => Err(ValueError::new(
            format!("there is no network device {}: {errno}", quote(interface)),
            "expected a device of this machine",
            "`ip link` shows their names",
        )),
    }
}

/// A path from the root, or `@` and a name that only the kernel knows.
fn unix(path: &str) -> Result<Address, ValueError> {
    let fail = |message, help: String| Err(ValueError::new(message, "expected unix:/path", help));
    if path == "@" {
        return fail(
            "the name of the Unix socket is empty",
            String::from("write a name behind the `@`: `unix:@app`"),
        );
    }
    if !path.starts_with(['/', '@']) {
        let help = format!("write the whole path, from `/`: {}", quote(&format!("unix:/run/{path}")));
        return fail("the path of a Unix socket must be absolute", help);
    }
    if path.len() > UNIX_LEN_MAX {
        let help = format!("the kernel takes at most {UNIX_LEN_MAX} bytes: use a shorter path");
        return fail("the path of the Unix socket is too long", help);
    }
    if path.chars().any(char::is_control) {
        return fail("the path of a Unix socket has a control character", String::from("take it out"));
    }
    Ok(Address::unix(path))
}

fn unknown_host(host: &str, error: &io::Error) -> ValueError {
    let message = format!("cannot resolve {}: {error}", quote(host));
    ValueError::new(message, "expected a known host", "check the name, or write the IP address")
}

fn no_address(host: &str) -> ValueError {
    let message = format!("{} has no address", quote(host));
    ValueError::new(message, "expected a known host", "check the name, or write the IP address")
}

fn error(message: &str, help: &str) -> ValueError {
    ValueError::new(message, "expected host:port or unix:/path", help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(_: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![([127, 0, 0, 1], port).into(), ([127, 0, 0, 2], port).into(), ([127, 0, 0, 1], port).into()])
    }

    #[test]
    fn a_name_gives_each_of_its_addresses_once() {
        let found = backend_addresses("app:9001", &mut two).unwrap();
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:9001", "127.0.0.2:9001"]);
        assert_eq!(bind_address("app:9001", &mut two).unwrap().to_string(), "127.0.0.1:9001");
    }

    #[test]
    fn a_name_without_an_address_is_an_error() {
        let mut none = |_: &str, _: u16| Ok(Vec::new());
        assert_eq!(backend_addresses("app:1", &mut none).unwrap_err().message(), "`app` has no address");
        let mut fails = |_: &str, _: u16| Err(io::Error::other("no such name"));
        assert_eq!(
            bind_address("app:1", &mut fails).unwrap_err().message(),
            "cannot resolve `app`: no such name"
        );
    }

    #[test]
    fn a_unix_path_is_absolute_short_and_printable() {
        assert_eq!(parse_backend_text("unix:/run/app.sock"), Ok(vec![Address::Unix("/run/app.sock".into())]));
        assert!(
            parse_backend_text("unix:run/app.sock").unwrap_err().help().contains("`unix:/run/run/app.sock`")
        );
        assert!(parse_backend_text("unix:/a\0b").is_err());
        assert!(parse_backend_text(&format!("unix:/{}", "x".repeat(107))).is_err());
        assert!(parse_backend_text(&format!("unix:/{}", "x".repeat(106))).is_ok());
        assert_eq!(parse_bind("unix:/run/app.sock"), Ok(Address::Unix("/run/app.sock".into())));
        assert_eq!(parse_bind("unix:@app"), Ok(Address::Unix("\0app".into())));
        assert_eq!(parse_bind("unix:@app").unwrap().to_string(), "unix:@app");
        assert!(parse_bind("unix:@").is_err() && parse_bind("unix:").is_err());
    }

    #[test]
    fn port_zero_is_for_listeners_only() {
        assert!(parse_bind("127.0.0.1:0").is_ok());
        assert_eq!(parse_backend_text("127.0.0.1:0").unwrap_err().message(), "nothing can connect to port 0");
    }
}
