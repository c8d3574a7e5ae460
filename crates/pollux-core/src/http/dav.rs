//! WebDAV's fields that hold URIs of the client's world (RFC 4918 §10.3 and §10.4): Destination, and the
//! tagged lists of If.
//!
//! A client writes the public URI there. The backend compares scheme and authority with its own and answers
//! 502, so that they are rewritten as the target of the request is: to what the backend is asked by.

use crate::route::{Destinations, PrefixEdit};
use crate::syntax::grammar::trim;

/// The rewriting of the URIs.
#[derive(Clone, Copy, Debug)]
pub struct Dav<'a> {
    /// The URIs that are rewritten.
    pub which: Destinations,
    /// Whether the backend is spoken to by TLS.
    pub is_secure: bool,
    /// The change of the path.
    pub prefix: Option<&'a PrefixEdit>,
}

/// Whether a field called `name` holds such URIs.
pub(crate) fn is_about(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"destination") || name.eq_ignore_ascii_case(b"if")
}

/// Appends the `value` of such a field; `authority` is what the request asks for.
pub(crate) fn push_value(out: &mut Vec<u8>, name: &[u8], value: &[u8], authority: &[u8], dav: &Dav<'_>) {
    if name.len() == b"if".len() {
        return push_if(out, value, authority, dav);
    }
    push_uri(out, trim(value), authority, dav);
}

/// Appends an If field: resource tags are URIs, and what stands in parentheses is tokens and entity tags.
fn push_if(out: &mut Vec<u8>, value: &[u8], authority: &[u8], dav: &Dav<'_>) {
    let (mut rest, mut depth, mut is_quoted) = (value, 0_u32, false);
    while let Some((&byte, after)) = rest.split_first() {
        let tag = (byte == b'<' && depth == 0 && !is_quoted)
            .then(|| after.iter().position(|&byte| byte == b'>'))
            .flatten();
        out.push(byte);
        rest = after;
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'(' if !is_quoted => depth = depth.saturating_add(1),
            b')' if !is_quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(end) = tag {
            push_uri(out, &after[..end], authority, dav);
            rest = &after[end..];
        }
    }
}

/// Appends `uri`, rewritten if it is one of those that are.
fn push_uri(out: &mut Vec<u8>, uri: &[u8], authority: &[u8], dav: &Dav<'_>) {
    let start = out.len();
    if rewrite(out, uri, authority, dav).is_none() {
        out.truncate(start);
        out.extend_from_slice(uri);
    }
}

fn rewrite(out: &mut Vec<u8>, uri: &[u8], authority: &[u8], dav: &Dav<'_>) -> Option<()> {
    let uri = std::str::from_utf8(uri).ok()?;
    let target = match split(uri) {
        None => uri.starts_with('/').then_some(uri)?,
        Some((port, theirs, target)) => {
            let is_own =
                || without_port(theirs.as_bytes(), port).eq_ignore_ascii_case(without_port(authority, port));
            if authority.is_empty() || (dav.which == Destinations::Own && !is_own()) {
                return None;
            }
            out.extend_from_slice(if dav.is_secure { b"https://" } else { b"http://" });
            out.extend_from_slice(authority);
            target
        }
    };
    let path = target.find(['?', '#']).map_or(target, |end| &target[..end]);
    let Some(prefix) = dav.prefix else {
        out.extend_from_slice(target.as_bytes());
        return Some(());
    };
    let (to, rest) = prefix.apply(path)?;
    for part in [to, rest, &target[path.len()..]] {
        out.extend_from_slice(part.as_bytes());
    }
    Some(())
}

/// The default port of an absolute URI's scheme, its authority, and what follows.
fn split(uri: &str) -> Option<(&'static [u8], &str, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let port: &[u8] = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => b":80",
        _ if scheme.eq_ignore_ascii_case("https") => b":443",
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((port, &rest[..end], if rest[end..].starts_with('/') { &rest[end..] } else { "/" }))
}

/// An authority without `port`, if that is its port.
fn without_port<'a>(authority: &'a [u8], port: &[u8]) -> &'a [u8] {
    authority.strip_suffix(port).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::path::Path;

    fn written(name: &str, value: &str, authority: &str, dav: &Dav<'_>) -> String {
        let mut out = Vec::new();
        push_value(&mut out, name.as_bytes(), value.as_bytes(), authority.as_bytes(), dav);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_destination_of_the_requests_own_authority_is_rewritten() {
        let own = Dav { which: Destinations::Own, is_secure: false, prefix: None };
        for (value, authority, new) in [
            ("https://dav.test/a%20b?q", "dav.test", "http://dav.test/a%20b?q"),
            ("HTTPS://DAV.test/a", "dav.test", "http://dav.test/a"),
            ("https://dav.test:443/a", "dav.test", "http://dav.test/a"),
            ("https://dav.test/a", "dav.test:443", "http://dav.test:443/a"),
            ("https://dav.test:8443/a", "dav.test:8443", "http://dav.test:8443/a"),
            ("http://[2001:db8::1]:81/a", "[2001:db8::1]:81", "http://[2001:db8::1]:81/a"),
            (" https://dav.test/a ", "dav.test", "http://dav.test/a"),
            ("https://dav.test", "dav.test", "http://dav.test/"),
            ("/a/b", "dav.test", "/a/b"),
            // Not its own, or nothing that can be read.
            ("https://dav.test:8443/a", "dav.test", "https://dav.test:8443/a"),
            ("https://other.test/a", "dav.test", "https://other.test/a"),
            ("https://dav.test@other.test/a", "dav.test", "https://dav.test@other.test/a"),
            ("ftp://dav.test/a", "dav.test", "ftp://dav.test/a"),
            ("a/b", "dav.test", "a/b"),
            ("https://dav.test/a", "", "https://dav.test/a"),
        ] {
            assert_eq!(written("Destination", value, authority, &own), new, "{value} {authority}");
        }
        let always = Dav { which: Destinations::Always, is_secure: true, ..own };
        assert_eq!(written("destination", "http://other.test/a", "dav.test", &always), "https://dav.test/a");
    }

    #[test]
    fn a_prefix_is_taken_off_as_that_of_the_target_is() {
        let prefix = PrefixEdit { from: Path::parse("/dav/*").unwrap(), to: String::from("/v2") };
        let dav = Dav { which: Destinations::Own, is_secure: false, prefix: Some(&prefix) };
        for (name, value, new) in [
            ("Destination", "https://h/dav/a?b", "http://h/v2/a?b"),
            ("Destination", "/dav/a", "/v2/a"),
            ("Destination", "https://h/else/a", "https://h/else/a"),
            (
                "If",
                "<https://h/dav/a> (<urn:x> [\"<https://h/dav/b>\"])",
                "<http://h/v2/a> (<urn:x> [\"<https://h/dav/b>\"])",
            ),
            ("If", "(<https://h/dav/a>) (Not <DAV:no-lock>)", "(<https://h/dav/a>) (Not <DAV:no-lock>)"),
            ("If", "<https://o/dav/a> (<x>) </dav/c> (<y>)", "<https://o/dav/a> (<x>) </v2/c> (<y>)"),
            ("If", "<https://h/dav", "<https://h/dav"),
        ] {
            assert_eq!(written(name, value, "h", &dav), new, "{value}");
        }
    }
}
