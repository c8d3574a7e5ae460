//! Backends out of an address and a weight.

use std::borrow::Cow;
use std::path::Path;

use super::quote::quote;
use super::suggest::closest;
use super::{ValueError, host_and_port, parse_backend_literal, service_name};
use crate::balance::AdminState;
use crate::snapshot::{Address, Backend};
use crate::snapshot::{BackendSource, DiscoveryQuestion, IpFamily, Like};

const EXPECTED: &str = "expected ADDRESS[,weight=N]";

const HTTPS: &str = "https://";

const H2C: &str = "h2c://";

/// A backend as a flag names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendFlag {
    /// The backend, or who is asked for it.
    pub source: BackendSource,
    /// Whether it was written with `https://`.
    pub is_https: bool,
    /// Whether it was written with `h2c://`.
    pub is_h2c: bool,
}

/// The meaning of a flag such as `127.0.0.1:9001`, `host:9001,weight=3`, `https://host`,
/// `unix:/run/app.sock`, `srv:_http._tcp.app.example` or `file:list.json` stands for. Nothing is looked up
/// yet. The weight is 1 unless given, and applies to each backend. A path with a comma has no place in a
/// flag.
///
/// # Errors
///
/// When the address is bad, the weight is out of 1 to [`Backend::WEIGHT_MAX`] or given twice, or anything
/// else follows.
pub fn parse_backend_flag(text: &str) -> Result<BackendFlag, ValueError> {
    let (written, options) = text.split_once(',').map_or((text, None), |(head, tail)| (head, Some(tail)));
    let mut weight = None;
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        if key != "weight" {
            let help = match closest(key, ["weight"].into_iter()) {
                Some(_) => "did you mean `weight`? write `,weight=3`",
                None => "after the address comes nothing, or `,weight=3`",
            };
            return Err(ValueError::new(format!("unknown option {}", quote(key)), EXPECTED, help));
        }
        if weight.replace(parse_weight(value)?).is_some() {
            return Err(ValueError::new("the weight is given twice", EXPECTED, "remove one of the two"));
        }
    }
    let weight = weight.unwrap_or(1);
    let address = &*without_scheme(written)?;
    let source = match question(address)? {
        Some(question) => {
            let like = Like {
                name: None,
                weight,
                tier: 1,
                max_requests: None,
                max_connections: None,
                admin_state: AdminState::Ready,
                tls_name: None,
            };
            BackendSource::Asked { question, like }
        }
        None => BackendSource::Given(Backend::new(written, parse_backend_literal(address)?, weight)),
    };
    Ok(BackendFlag { source, is_https: is_https(written), is_h2c: is_h2c(written) })
}

/// Whether an address says that it is spoken to with TLS.
pub(crate) fn is_https(text: &str) -> bool {
    text.starts_with(HTTPS)
}

/// Whether an address says that it is spoken to by HTTP/2 without TLS.
pub(crate) fn is_h2c(text: &str) -> bool {
    text.starts_with(H2C)
}

/// An address without `https://` or `h2c://`, which say how it is spoken to; such an address has a port where none
/// is named.
///
/// # Errors
///
/// When there is a path behind it.
pub(crate) fn without_scheme(text: &str) -> Result<Cow<'_, str>, ValueError> {
    let schemes = [(HTTPS, 443, "expected https://host:port"), (H2C, 80, "expected h2c://host:port")];
    let found = schemes
        .iter()
        .find_map(|(scheme, port, expected)| Some((scheme, port, expected, text.strip_prefix(scheme)?)));
    let Some((scheme, port, expected, rest)) = found else { return Ok(Cow::Borrowed(text)) };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if let Some((authority, _)) = rest.split_once('/') {
        let help = format!("write {}", quote(&format!("{scheme}{authority}")));
        return Err(ValueError::new("the address of a backend has no path", expected, help));
    }
    let has_port =
        rest.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    Ok(if has_port { Cow::Borrowed(rest) } else { Cow::Owned(format!("{rest}:{port}")) })
}

/// The question that `text` asks, of the system, with the path of a file as it is written; `None` if it is an
/// address itself.
///
/// # Errors
///
/// When it is none of the forms of a backend.
pub(crate) fn question(text: &str) -> Result<Option<DiscoveryQuestion>, ValueError> {
    if let Some(path) = text.strip_prefix("file:") {
        if path.is_empty() || path.contains('\0') || path.ends_with('/') {
            let help = "write for example `file:backends.json`, relative to this file";
            return Err(ValueError::new("this is not the path of a file", "expected file:path", help));
        }
        return Ok(Some(DiscoveryQuestion::File(Path::new(path).to_owned())));
    }
    if let Some(name) = service_name(text)? {
        return Ok(Some(DiscoveryQuestion::Service { name, servers: Vec::new(), family: IpFamily::Any }));
    }
    let host = |(host, port): (&str, u16)| DiscoveryQuestion::Host {
        host: host.to_owned(),
        port,
        servers: Vec::new(),
        family: IpFamily::Any,
    };
    Ok(host_and_port(text)?.map(host))
}

fn parse_weight(text: &str) -> Result<u32, ValueError> {
    text.parse().ok().filter(|weight| (1..=Backend::WEIGHT_MAX).contains(weight)).ok_or_else(|| {
        let help = format!("write a whole number from 1 to {}", Backend::WEIGHT_MAX);
        ValueError::new(format!("{} is not a weight", quote(text)), EXPECTED, help)
    })
}

/// One backend for each address, named as it was written; when there are several, the address tells them
/// apart.
pub(crate) fn named(written: &str, weight: u32, addresses: Vec<Address>) -> Vec<Backend> {
    let several = addresses.len() > 1;
    let name = |address: &Address| {
        if several { format!("{written} ({address})") } else { written.to_owned() }
    };
    addresses.into_iter().map(|address| Backend::new(name(&address), address, weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_an_address_and_perhaps_a_weight() {
        let shown = |text: &str| match parse_backend_flag(text).unwrap().source {
            BackendSource::Given(backend) => (backend.name, backend.weight, false),
            BackendSource::Asked { question, like } => (question.to_string(), like.weight, true),
        };
        for (text, name, weight, is_asked) in [
            ("127.0.0.1:9001", "127.0.0.1:9001", 1, false),
            ("unix:/run/app.sock,weight=2", "unix:/run/app.sock", 2, false),
            ("app:9001,weight=3", "app:9001", 3, true),
            ("srv:_http._tcp.app.example", "srv:_http._tcp.app.example", 1, true),
            ("file:list.json", "file:list.json", 1, true),
        ] {
            assert_eq!(shown(text), (name.to_owned(), weight, is_asked));
        }
    }

    #[test]
    fn https_says_how_a_backend_is_spoken_to() {
        for (text, address) in [
            ("https://127.0.0.1:9443", "127.0.0.1:9443"),
            ("https://127.0.0.1/,weight=2", "127.0.0.1:443"),
            ("https://[::1]:9443", "[::1]:9443"),
            ("https://app.example", "app.example:443"),
        ] {
            let flag = parse_backend_flag(text).unwrap();
            let found = match flag.source {
                BackendSource::Given(backend) => backend.address.to_string(),
                BackendSource::Asked { question, .. } => question.to_string(),
            };
            assert_eq!((found.as_str(), flag.is_https, flag.is_h2c), (address, true, false));
        }
        for (text, address) in
            [("h2c://127.0.0.1:9001,weight=2", "127.0.0.1:9001"), ("h2c://[::1]", "[::1]:80")]
        {
            let flag = parse_backend_flag(text).unwrap();
            let BackendSource::Given(backend) = flag.source else { panic!("{text} is an address") };
            assert_eq!(
                (backend.address.to_string().as_str(), flag.is_https, flag.is_h2c),
                (address, false, true)
            );
        }
        assert!(!parse_backend_flag("127.0.0.1:9443").unwrap().is_https);
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("127.0.0.1:1,weight=0", "`0` is not a weight"),
            ("127.0.0.1:1,weight=1001", "`1001` is not a weight"),
            ("127.0.0.1:1,weight", "`` is not a weight"),
            ("127.0.0.1:1,weight=1,weight=2", "the weight is given twice"),
            ("127.0.0.1:1,wieght=3", "unknown option `wieght`"),
            ("127.0.0.1:1,", "unknown option ``"),
            (",weight=1", "the address is empty"),
            ("https://app/path", "the address of a backend has no path"),
            ("h2c://app/path", "the address of a backend has no path"),
            ("https://:443", "the address has a port but no host"),
            ("app:0", "nothing can connect to port 0"),
            ("srv:app:80", "`srv:app:80` has a port"),
            ("file:", "this is not the path of a file"),
        ] {
            let error = parse_backend_flag(text).unwrap_err();
            assert_eq!(error.message(), message, "{text}");
        }
    }
}
