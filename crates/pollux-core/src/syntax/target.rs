//! Request targets (RFC 9112 §3.2) and the authority in them or in Host (RFC 9110 §4.2, §7.2).
//!
//! A target is never decoded or normalised. It must have the form that its method allows, of characters that
//! no reader takes for anything else; those that browsers leave bare although RFC 3986 would have them
//! encoded (the WHATWG URL standard's path and query sets) pass.

use std::borrow::Cow;
use std::io::Write;

use memchr::{memchr, memrchr};

use crate::core::outcome::Cause;

/// A target that has one of the forms a reverse proxy serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// From an absolute-form target; it stands in for Host (RFC 9112 §3.2.2).
    pub authority: Option<&'a str>,
    /// The target for the backend: a path with or without a query, or `*`. Empty means `/`.
    pub path: &'a str,
}

/// Whether the first bytes of `text` are `prefix`, in any case; returns the rest.
fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Reads `text` as the target of a request whose method is OPTIONS or another one, but not CONNECT.
#[must_use]
pub fn parse(text: &str, is_options: bool) -> Option<Target<'_>> {
    if text == "*" {
        return is_options.then_some(Target { authority: None, path: text });
    }
    if text.starts_with('/') {
        return is_path_and_query(text.as_bytes()).then_some(Target { authority: None, path: text });
    }
    let rest = strip_scheme(text, "http://").or_else(|| strip_scheme(text, "https://"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_authority(authority.as_bytes()) || !is_path_and_query(path.as_bytes()) {
        return None;
    }
    // RFC 9112 §3.2.4: OPTIONS for an absolute target without a path asks about the server.
    let path = if path.is_empty() && is_options { "*" } else { path };
    Some(Target { authority: Some(authority), path })
}

/// The treatment of characters in targets that have to be percent-encoded and were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// The request is refused.
    #[default]
    Strict,
    /// They are encoded on the way.
    Lenient,
}

impl Targets {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Targets::Strict => "strict",
            Targets::Lenient => "lenient",
        }
    }

    /// The head as it is to be read: with `" < > { }`, backticks and UTF-8 in the target of its first line
    /// encoded, if that is what is done with them. Its other faults stay.
    ///
    /// # Errors
    /// If its first line is then longer than `line_most`.
    pub fn settle(self, head: &[u8], line_most: usize) -> Result<Cow<'_, [u8]>, Cause> {
        if self == Targets::Strict {
            return Ok(head.into());
        }
        let end = memchr(b'\r', head).unwrap_or(head.len());
        let (line, rest) = head.split_at(end);
        let is_plain = !line.iter().any(|byte| is_encoded(*byte));
        let (Some(from), Some(to)) = (memchr(b' ', line), memrchr(b' ', line)) else {
            return Ok(head.into());
        };
        if is_plain || from == to || std::str::from_utf8(&line[from..to]).is_err() {
            return Ok(head.into());
        }
        let mut settled = line[..from].to_vec();
        for &byte in &line[from..to] {
            if is_encoded(byte) {
                // Writing to a Vec cannot fail.
                let _ = write!(settled, "%{byte:02X}");
            } else {
                settled.push(byte);
            }
        }
        settled.extend_from_slice(&line[to..]);
        if settled.len() > line_most {
            return Err(Cause::TargetTooLong);
        }
        settled.extend_from_slice(rest);
        Ok(settled.into())
    }
}

/// Whether a lenient reader encodes the byte.
fn is_encoded(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'{' | b'}' | b'`' | 0x80..)
}

fn is_path_and_query(bytes: &[u8]) -> bool {
    let query = bytes.iter().position(|&byte| byte == b'?').unwrap_or(bytes.len());
    let is_bare = |byte: &u8| (0x21..=0x7e).contains(byte) && !matches!(byte, b'"' | b'#' | b'<' | b'>');
    bytes.iter().all(is_bare) && !bytes[..query].iter().any(|byte| matches!(byte, b'\\' | b'`' | b'{' | b'}'))
}

/// Whether `bytes` are a host with or without a port: a name of letters, digits, `-`, `.`, `_` and `~`, an
/// IPv4 address, or an IPv6 address in brackets. Userinfo, percent-encoding and sub-delimiters, which RFC
/// 3986 would allow in a name and DNS does not, are refused; so is an empty host (RFC 9110 §4.2.1).
#[must_use]
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host_is_good, rest) = match bytes.strip_prefix(b"[") {
        Some(inner) => {
            let Some(end) = inner.iter().position(|&byte| byte == b']') else { return false };
            let address = std::str::from_utf8(&inner[..end]).ok();
            (address.is_some_and(|text| text.parse::<::core::net::Ipv6Addr>().is_ok()), &inner[end + 1..])
        }
        None => {
            let end = bytes.iter().position(|&byte| byte == b':').unwrap_or(bytes.len());
            let is_name_byte =
                |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            (end > 0 && bytes[..end].iter().all(is_name_byte), &bytes[end..])
        }
    };
    host_is_good && is_port(rest)
}

/// `[ ":" *DIGIT ]`, at most 65535.
fn is_port(bytes: &[u8]) -> bool {
    match bytes.strip_prefix(b":") {
        None => bytes.is_empty(),
        Some(digits) => {
            digits.is_empty() || crate::syntax::grammar::decimal(digits).is_some_and(|port| port <= 65_535)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_of_target() {
        for (text, is_options, target) in [
            ("/", false, Some((None, "/"))),
            ("/a/../b?c=d/e?f", false, Some((None, "/a/../b?c=d/e?f"))),
            ("/%2e%2E/%00", false, Some((None, "/%2e%2E/%00"))),
            ("//host/path", false, Some((None, "//host/path"))),
            ("/q?a[]=1|2{3}^`\\", false, Some((None, "/q?a[]=1|2{3}^`\\"))),
            ("/a^b|c", false, Some((None, "/a^b|c"))),
            ("*", true, Some((None, "*"))),
            ("*", false, None),
            ("http://a.example", false, Some((Some("a.example"), ""))),
            ("http://a.example", true, Some((Some("a.example"), "*"))),
            ("HTTPS://a.example:8080/x?y", false, Some((Some("a.example:8080"), "/x?y"))),
            ("http://a.example?y", false, Some((Some("a.example"), "?y"))),
            ("http://[::1]:80/", false, Some((Some("[::1]:80"), "/"))),
            ("http://user@a.example/", false, None),
            ("http:///path", false, None),
            ("http://a.example:99999/", false, None),
            ("ftp://a.example/", false, None),
            ("a.example:443", false, None),
            ("path", false, None),
            ("", false, None),
            ("?a=b", false, None),
            ("/a#b", false, None),
            ("/a b", false, None),
            ("/a\tb", false, None),
            ("/a\\b", false, None),
            ("/<a>", false, None),
            ("/\u{e9}", false, None),
            ("/a\u{7f}", false, None),
        ] {
            let verdict = parse(text, is_options).map(|target| (target.authority, target.path));
            assert_eq!(verdict, target, "{text:?}");
        }
    }

    #[test]
    fn lenient_targets_are_encoded_and_nothing_else_is() {
        for (line, settled) in [
            (
                "GET /a<b>\"{c}`\u{e9}?q={\u{20ac}} HTTP/1.1",
                Ok("GET /a%3Cb%3E%22%7Bc%7D%60%C3%A9?q=%7B%E2%82%AC%7D HTTP/1.1"),
            ),
            ("GET /a^|[]\\#b c HTTP/1.1", Ok("GET /a^|[]\\#b c HTTP/1.1")),
            ("GET /%zz%3c HTTP/1.1", Ok("GET /%zz%3c HTTP/1.1")),
            ("G<T / HTTP/1.1", Ok("G<T / HTTP/1.1")),
            ("GET /<", Ok("GET /<")),
            ("GET /<<<<<<<<<<<<<<<<<<<<<<<<< HTTP/1.1", Err(Cause::TargetTooLong)),
        ] {
            let head = format!("{line}\r\nHost: \"h\"\r\n\r\n");
            let found = Targets::Lenient
                .settle(head.as_bytes(), 80)
                .map(|head| String::from_utf8(head.into()).unwrap());
            assert_eq!(found, settled.map(|line| format!("{line}\r\nHost: \"h\"\r\n\r\n")), "{line}");
            assert_eq!(Targets::Strict.settle(head.as_bytes(), 80).as_deref(), Ok(head.as_bytes()));
        }
        let latin = b"GET /\xe9< HTTP/1.1\r\n\r\n";
        assert_eq!(Targets::Lenient.settle(latin, 80).as_deref(), Ok(&latin[..]));
    }

    proptest! {
        /// Any output has none of the characters that are refused for being bare, and says the same
        /// once it is decoded.
        #[test]
        fn what_was_settled_is_what_was_meant(target in "/[ -~\u{80}-\u{7ff}]{0,20}") {
            let head = format!("GET {target} HTTP/1.1\r\n\r\n");
            let settled = Targets::Lenient.settle(head.as_bytes(), 1000).unwrap().into_owned();
            prop_assert!(!settled.iter().any(|byte| is_encoded(*byte)));
            let mut decoded = Vec::new();
            let mut at = 0;
            while at < settled.len() {
                let code = settled.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
                match code.filter(|code| settled[at] == b'%' && is_encoded(*code) && !target.contains('%')) {
                    Some(code) => { decoded.push(code); at += 3; }
                    None => { decoded.push(settled[at]); at += 1; }
                }
            }
            prop_assert!(target.contains('%') || decoded == head.as_bytes());
        }
    }

    #[test]
    fn hosts() {
        for good in [
            "a",
            "a.example",
            "a_b-c.example:80",
            "127.0.0.1:65535",
            "[::1]",
            "[2001:db8::1]:443",
            "a:",
            "A.EXAMPLE",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "a:b",
            "a:65536",
            "a:-1",
            "a:80:80",
            "[::1",
            "::1",
            "[::1]x",
            "[a]",
            "[]",
            "a\t",
            "a%20b",
            "a\u{e9}",
            "a?b",
            "a#b",
            "a\\b",
            "[::1%25eth0]",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
