//! Hosts, as routes name them and as requests do.

use std::fmt;
use std::io::Write;

use ::core::net::Ipv6Addr;

/// The longest host name (RFC 1035 section 2.3.4), in bytes.
pub(crate) const LEN_MAX: usize = 253;

/// A host that a route asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// That name or address.
    Exact(String),
    /// Every name below that one, but not the name itself.
    Below(String),
}

impl Host {
    /// Reads `api.example.com`, `[::1]` or `*.example.com`, in any case; `None` if it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Host> {
        let (name, is_below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let is_plain = crate::syntax::target::is_authority(name.as_bytes());
        let mut room = [0; LEN_MAX];
        let key = key(name.as_bytes(), &mut room).filter(|_| is_plain)?;
        // A port, a trailing dot or capitals would be dropped: the name without them is what was meant.
        let is_canonical = key.len() == name.len() || name.starts_with('[') && name.ends_with(']');
        let name = String::from_utf8(key.to_vec()).ok().filter(|_| is_canonical)?;
        Some(if is_below { Host::Below(name) } else { Host::Exact(name) })
    }

    /// Whether it is the host of a request, given in the one form in which hosts are compared.
    #[must_use]
    pub fn matches(&self, key: &[u8]) -> bool {
        match self {
            Host::Exact(name) => name.as_bytes() == key,
            Host::Below(name) => {
                key.strip_suffix(name.as_bytes()).is_some_and(|rest| rest.len() > 1 && rest.ends_with(b"."))
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Exact(name) => f.write_str(name),
            Host::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// The part of an authority before its port.
#[must_use]
pub(crate) fn without_port(authority: &[u8]) -> &[u8] {
    let from = authority.iter().position(|&byte| byte == b']').unwrap_or(0);
    match authority[from..].iter().position(|&byte| byte == b':') {
        Some(at) => &authority[..from + at],
        None => authority,
    }
}

/// The host of `authority` in the one form in which hosts are compared: without port and trailing dot, in
/// lower case, an IPv6 address in its canonical text. `None` for one that is longer than any name.
#[must_use]
pub(crate) fn key<'a>(authority: &[u8], room: &'a mut [u8; LEN_MAX]) -> Option<&'a [u8]> {
    let host = without_port(authority);
    if let Some(inner) = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        let address: Ipv6Addr = std::str::from_utf8(inner).ok()?.parse().ok()?;
        let mut rest = &mut room[..];
        write!(rest, "[{address}]").ok()?;
        let left = rest.len();
        return Some(&room[..LEN_MAX - left]);
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    let key = room.get_mut(..host.len())?;
    key.copy_from_slice(host);
    key.make_ascii_lowercase();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_in_one_form() {
        let mut room = [0; LEN_MAX];
        for (authority, host) in [
            ("A.Example", "a.example"),
            ("a.example:80", "a.example"),
            ("a.example.", "a.example"),
            ("a.example.:80", "a.example"),
            ("127.0.0.1:", "127.0.0.1"),
            ("[0:0::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(key(authority.as_bytes(), &mut room), Some(host.as_bytes()), "{authority}");
        }
        assert_eq!(key(&[b'a'; 254], &mut room), None);
    }

    #[test]
    fn wildcards_are_for_names_below() {
        let below = Host::parse("*.Example.com").unwrap();
        for (host, is_match) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            ("aexample.com", false),
        ] {
            assert_eq!(below.matches(host.as_bytes()), is_match, "{host}");
        }
        for bad in ["", "*", "*.", "a.example:80", "a.example.", "a b", "*.*.a", "a*.b", "http://a"] {
            assert_eq!(Host::parse(bad), None, "{bad}");
        }
    }
}
