//! Values about the DNS: servers, and services.

use std::net::{IpAddr, SocketAddr};

use super::ValueError;
use super::quote::quote;
use crate::snapshot::DNS_PORT;

/// The longest name (RFC 1035 section 2.3.4), and the longest of its parts, in bytes.
const NAME_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: usize = 63;

/// A server of the DNS, written `10.0.0.53`, `10.0.0.53:5353`, `fd00::53` or `[fd00::53]:5353`.
///
/// # Errors
/// When the text has none of these forms, or the port is 0.
pub(crate) fn parse_server(text: &str) -> Result<SocketAddr, ValueError> {
    const EXPECTED: &str = "expected the address of a DNS server";
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, DNS_PORT).into());
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) => {
            let help = format!("leave the port out where it is {DNS_PORT}");
            Err(ValueError::new("no server listens on port 0", EXPECTED, help))
        }
        Err(_) => {
            let help = "write an IP address, and a port if it is not 53: `10.0.0.53` or `127.0.0.1:5353`; a name would need a \
                        server to be found";
            Err(ValueError::new(format!("{} is not an IP address", quote(text)), EXPECTED, help))
        }
    }
}

/// The name of a service that is written `srv:_http._tcp.app.example`, in small letters; `None` if `text` is
/// something else.
///
/// # Errors
/// When what follows `srv:` is no name, or has a port.
pub(crate) fn service_name(text: &str) -> Result<Option<String>, ValueError> {
    let fail = |message: String, help: &str| Err(ValueError::new(message, "expected srv:name", help));
    let Some(written) = text.strip_prefix("srv:") else { return Ok(None) };
    if written.contains(':') {
        return fail(
            format!("{} has a port", quote(text)),
            "leave it out: each record of the service says its port",
        );
    }
    let name = written.strip_suffix('.').unwrap_or(written);
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=LABEL_LEN_MAX).contains(&label.len()) && label.bytes().all(allowed)
    };
    if name.len() > NAME_LEN_MAX || !name.split('.').all(is_label) {
        return fail(
            format!("{} is not the name of a service", quote(written)),
            "write for example `srv:_http._tcp.app.example`: letters, digits, `-` and `_`, with dots between",
        );
    }
    Ok(Some(name.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_and_perhaps_a_port() {
        for (text, server) in [
            ("10.0.0.53", "10.0.0.53:53"),
            ("10.0.0.53:5353", "10.0.0.53:5353"),
            ("fd00::53", "[fd00::53]:53"),
            ("[fd00::53]:5353", "[fd00::53]:5353"),
        ] {
            assert_eq!(parse_server(text).map(|server| server.to_string()).as_deref(), Ok(server));
        }
        for text in ["", "dns.example", "dns.example:53", "10.0.0.53:0", "10.0.0.53:", "10.0.0", "[::1]"] {
            assert!(parse_server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_is_a_name_without_a_port() {
        let name = |text: &str| service_name(text).map_err(|error| error.message().to_owned());
        assert_eq!(name("srv:_HTTP._tcp.app.example."), Ok(Some(String::from("_http._tcp.app.example"))));
        assert_eq!(name("app.example:80"), Ok(None));
        assert_eq!(name("srv:app.example:80"), Err(String::from("`srv:app.example:80` has a port")));
        for text in ["srv:", "srv:.", "srv:a..b", "srv:.a", "srv:a b", "srv:bücher"] {
            assert!(name(text).is_err_and(|error| error.contains("is not the name of a service")), "{text}");
        }
        assert!(name(&format!("srv:{}", "x".repeat(64))).is_err());
        assert!(name(&format!("srv:{}", "x.".repeat(130))).is_err());
    }
}
