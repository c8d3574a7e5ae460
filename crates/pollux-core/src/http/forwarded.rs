//! Fields in which proxies describe the client: X-Forwarded-For and its kin, and Forwarded (RFC 7239).
//!
//! A client can write any text there. It is believed only from a proxy that the configuration trusts, and
//! only as far as the chain of trusted ones reaches: the list is read from its end, where the nearest proxy
//! has written, and the first address that is not a trusted proxy's is the client.

use std::io::Write;

use ::core::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::disclosure::Forwarding;
use crate::http::lines::push_field;
use crate::message::FieldLine;
use crate::syntax::grammar::{decimal, list, push_decimal, trim};
use crate::syntax::target::is_authority;

/// So many members of a list are looked at, from its end. More trusted proxies in a row there are not, and
/// each is held against all trusted networks.
const HOPS_MAX: usize = 64;

/// The client of a request that came from `peer`. Proxies of the networks `trusted` are believed, in the
/// fields of `forwarding`.
#[must_use]
pub fn client(trusted: &[IpNet], forwarding: Forwarding, peer: IpAddr, fields: &[FieldLine<'_>]) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    if trusted.is_empty() || !trusts(client) {
        return client;
    }
    let hops: Vec<Option<IpAddr>> = match forwarding {
        Forwarding::XForwarded => values(fields, "x-forwarded-for").flat_map(list).map(node).collect(),
        Forwarding::Forwarded => values(fields, "forwarded").flat_map(elements).map(for_of).collect(),
    };
    for hop in hops.into_iter().rev().take(HOPS_MAX) {
        // A value that is not an address (`unknown`, a name) ends the chain: the client behind it is unknown.
        let Some(hop) = hop else { return client };
        client = hop;
        if !trusts(client) {
            return client;
        }
    }
    client
}

fn values<'a>(fields: &'a [FieldLine<'a>], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| trim(field.value))
}

/// An address, with or without a port.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The elements of a Forwarded field; commas between quotes do not divide.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(value, b',')
}

fn split(value: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    value
        .split(move |&byte| {
            let divides = byte == at && !is_quoted;
            if is_escaped {
                is_escaped = false;
            } else if byte == b'"' {
                is_quoted = !is_quoted;
            } else if byte == b'\\' && is_quoted {
                is_escaped = true;
            }
            divides
        })
        .map(trim)
        .filter(|member| !member.is_empty())
}

/// The address that an element says the request is for.
fn for_of(element: &[u8]) -> Option<IpAddr> {
    let (_, value) = split(element, b';').find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        name.eq_ignore_ascii_case(b"for").then_some((name, value))
    })?;
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    node(inner)
}

/// The facts of a request that its backend gets.
#[derive(Clone, Copy, Debug)]
pub struct ForwardedInfo<'a> {
    /// The address that connected.
    pub peer: IpAddr,
    /// Whether it is a proxy whose word is passed on.
    pub is_trusted: bool,
    /// Whether the client has come by TLS.
    pub is_secure: bool,
    /// In which fields.
    pub forwarding: Forwarding,
    /// Whether the port is said too; a route may say another one.
    pub says_port: bool,
    /// The authority that was asked for, if any was.
    pub host: Option<&'a [u8]>,
}

impl ForwardedInfo<'_> {
    /// Appends the fields to `out`; `fields` are those of the request.
    pub(crate) fn write(&self, out: &mut Vec<u8>, fields: &[FieldLine<'_>]) {
        match self.forwarding {
            Forwarding::XForwarded => self.write_x_forwarded(out, fields),
            Forwarding::Forwarded => self.write_forwarded(out, fields),
        }
    }

    fn write_x_forwarded(&self, out: &mut Vec<u8>, fields: &[FieldLine<'_>]) {
        out.extend_from_slice(b"X-Forwarded-For: ");
        self.push_chain(out, fields, "x-forwarded-for");
        if self.peer.is_unspecified() {
            // It has come by a Unix socket: there is nothing to add to what it has said.
            match out.strip_suffix(b", ").map(<[u8]>::len) {
                Some(length) => out.truncate(length),
                None => out.extend_from_slice(b"unknown"),
            }
        } else {
            push_address(out, self.peer.to_canonical());
        }
        out.extend_from_slice(b"\r\n");
        let proto =
            self.single(fields, "x-forwarded-proto").filter(|proto| matches!(*proto, b"http" | b"https"));
        push_field(out, b"X-Forwarded-Proto", proto.unwrap_or(self.scheme()));
        let host = self.single(fields, "x-forwarded-host").filter(|host| is_authority(host)).or(self.host);
        if let Some(host) = host {
            push_field(out, b"X-Forwarded-Host", host);
        }
        if let Some(host) = host.filter(|_| self.says_port) {
            let default = if proto.unwrap_or(self.scheme()) == b"https" { &b"443"[..] } else { b"80" };
            let told = self.single(fields, "x-forwarded-port").filter(|port| is_port(port));
            push_field(out, b"X-Forwarded-Port", told.or(port_of(host)).unwrap_or(default));
        }
    }

    fn write_forwarded(&self, out: &mut Vec<u8>, fields: &[FieldLine<'_>]) {
        out.extend_from_slice(b"Forwarded: ");
        self.push_chain(out, fields, "forwarded");
        let _ = match self.peer.to_canonical() {
            peer if peer.is_unspecified() => write!(out, "for=unknown"),
            IpAddr::V4(peer) => write!(out, "for={peer}"),
            IpAddr::V6(peer) => write!(out, "for=\"[{peer}]\""),
        };
        if let Some(host) = self.host {
            // An authority has no quotes and no backslashes.
            out.extend_from_slice(b";host=\"");
            out.extend_from_slice(host);
            out.push(b'"');
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(self.scheme());
        out.extend_from_slice(b"\r\n");
    }

    fn scheme(&self) -> &'static [u8] {
        if self.is_secure { b"https" } else { b"http" }
    }

    /// Appends what a trusted proxy has said before, as a list that goes on.
    fn push_chain(&self, out: &mut Vec<u8>, fields: &[FieldLine<'_>], name: &'static str) {
        if !self.is_trusted {
            return;
        }
        for value in values(fields, name).filter(|value| !value.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    }

    /// The value of a field that a trusted proxy has written once.
    fn single<'f>(&self, fields: &'f [FieldLine<'f>], name: &'static str) -> Option<&'f [u8]> {
        if !self.is_trusted {
            return None;
        }
        let mut found = values(fields, name);
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether a field of that family passes as it came: one of a trusted proxy's about which Pollux says
    /// nothing itself.
    pub(crate) fn passes(&self, name: &[u8]) -> bool {
        let own = [
            &b"forwarded"[..],
            b"x-forwarded-for",
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-port",
        ];
        self.is_trusted
            && self.forwarding == Forwarding::XForwarded
            && !own.iter().any(|own| name.eq_ignore_ascii_case(own))
    }
}

/// The port of an authority, if it has one.
fn port_of(authority: &[u8]) -> Option<&[u8]> {
    let at = authority.iter().rposition(|byte| matches!(byte, b':' | b']'))?;
    let port = authority[at..].strip_prefix(b":")?;
    is_port(port).then_some(port)
}

/// Whether `text` is the number of a port.
fn is_port(text: &[u8]) -> bool {
    decimal(text).is_some_and(|port| port <= u64::from(u16::MAX))
}

/// Appends an IP address.
fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        // By far the most frequent kind, and formatting costs as much as parsing a field.
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push_decimal(out, first.into());
            for octet in rest {
                out.push(b'.');
                push_decimal(out, octet.into());
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of a request from `peer`, where two networks are trusted.
    fn found(forwarding: Forwarding, peer: &str, fields: &[FieldLine<'_>]) -> IpAddr {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap());
        client(&trusted, forwarding, peer.parse().unwrap(), fields)
    }

    fn header<'a>(name: &'a str, value: &'a str) -> FieldLine<'a> {
        FieldLine::new(name, value.as_bytes())
    }

    #[test]
    fn addresses_look_as_they_always_do() {
        for text in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::1", "2001:db8::a"] {
            let mut out = Vec::new();
            push_address(&mut out, text.parse().unwrap());
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn the_client_is_the_first_from_the_right_who_is_not_trusted() {
        for (peer, chain, expected) in [
            ("192.0.2.1", &["6.6.6.6"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.7, 10.9.9.9"], "192.0.2.7"),
            ("10.0.0.1", &["6.6.6.6", "192.0.2.7", "10.9.9.9"], "192.0.2.7"),
            ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            ("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["6.6.6.6, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.3.3.3"], "10.3.3.3"),
            ("10.0.0.1", &["a, , ,"], "10.0.0.1"),
        ] {
            let fields: Vec<_> = chain.iter().map(|value| header("X-Forwarded-For", value)).collect();
            let found = found(Forwarding::XForwarded, peer, &fields);
            assert_eq!(found.to_string(), expected, "{peer} {chain:?}");
        }
    }

    #[test]
    fn forwarded_is_read_with_its_quotes() {
        for (value, expected) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("For=\"[2001:db8::1]:47\";proto=http", "2001:db8::1"),
            ("for=6.6.6.6, proto=https;for=192.0.2.7;by=x", "192.0.2.7"),
            ("for=192.0.2.7;host=\"a, for=6.6.6.6\"", "192.0.2.7"),
            ("for=_hidden", "10.0.0.1"),
            ("for=unknown, for=10.5.5.5", "10.5.5.5"),
            ("proto=http", "10.0.0.1"),
        ] {
            let fields = [header("Forwarded", value), header("X-Forwarded-For", "7.7.7.7")];
            let found = found(Forwarding::Forwarded, "10.0.0.1", &fields);
            assert_eq!(found.to_string(), expected, "{value}");
        }
    }

    #[test]
    fn the_port_is_that_which_the_client_has_asked_for() {
        for (is_secure, host, is_trusted, fields, port) in [
            (false, "h", false, &[][..], "80"),
            (true, "h", false, &[], "443"),
            (true, "h:8443", false, &[], "8443"),
            (true, "h:", false, &[], "443"),
            (false, "[2001:db8::1]", false, &[], "80"),
            (false, "[2001:db8::1]:81", false, &[], "81"),
            (false, "h", false, &[("X-Forwarded-Port", "1"), ("X-Forwarded-Proto", "https")], "80"),
            (false, "h", true, &[("X-Forwarded-Port", "8443")], "8443"),
            (false, "h", true, &[("X-Forwarded-Port", "65536")], "80"),
            (false, "h", true, &[("X-Forwarded-Port", "1"), ("X-Forwarded-Port", "2")], "80"),
            (false, "h", true, &[("X-Forwarded-Proto", "https")], "443"),
            (false, "h", true, &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "o:4443")], "4443"),
        ] {
            let fields: Vec<_> = fields.iter().map(|(name, value)| header(name, value)).collect();
            let (peer, host, forwarding) =
                ([10, 0, 0, 1].into(), Some(host.as_bytes()), Forwarding::XForwarded);
            let mut out = Vec::new();
            ForwardedInfo { peer, is_trusted, is_secure, forwarding, says_port: true, host }
                .write(&mut out, &fields);
            let said = String::from_utf8(out).unwrap();
            assert!(said.ends_with(&format!("X-Forwarded-Port: {port}\r\n")), "{port}: {said}");
        }
    }

    #[test]
    fn what_is_said_grows_only_behind_trusted_proxies() {
        let fields = [
            header("X-Forwarded-For", "192.0.2.7"),
            header("x-forwarded-proto", "https"),
            header("X-Forwarded-Host", "evil/"),
            header("Forwarded", "for=192.0.2.7"),
        ];
        let say = |is_trusted, forwarding, peer: &str| {
            let peer = peer.parse().unwrap();
            let mut out = Vec::new();
            let is_secure = false;
            let host = Some(&b"h:80"[..]);
            ForwardedInfo { peer, is_trusted, is_secure, forwarding, says_port: true, host }
                .write(&mut out, &fields);
            String::from_utf8(out).unwrap()
        };
        use Forwarding::{Forwarded, XForwarded};
        assert_eq!(
            say(true, XForwarded, "10.0.0.1"),
            "X-Forwarded-For: 192.0.2.7, 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h:80\r\n\
             X-Forwarded-Port: 80\r\n"
        );
        assert_eq!(
            say(false, XForwarded, "10.0.0.1"),
            "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h:80\r\n\
             X-Forwarded-Port: 80\r\n"
        );
        assert_eq!(
            say(true, Forwarded, "fd00::1"),
            "Forwarded: for=192.0.2.7, for=\"[fd00::1]\";host=\"h:80\";proto=http\r\n"
        );
        assert_eq!(say(false, Forwarded, "::"), "Forwarded: for=unknown;host=\"h:80\";proto=http\r\n");
        assert!(say(false, XForwarded, "::").starts_with("X-Forwarded-For: unknown\r\n"));
        assert_eq!(say(false, Forwarded, "10.0.0.1"), "Forwarded: for=10.0.0.1;host=\"h:80\";proto=http\r\n");
    }
}
