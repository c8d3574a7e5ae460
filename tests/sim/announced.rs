//! The PROXY protocol for actors: what the proxies before the worker say of their clients, and a reader of
//! what the worker says to backends. It shares no code with Pollux.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fastrand::Rng;
use ipnet::IpNet;
use pollux::core::outcome::Cause;
use pollux::prelude::proxy::ProxyVersion;
use pollux::snapshot::{Announce, Announcing};

/// The first bytes of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1.
const LINE_MAX: usize = 107;

/// Addresses of proxies that may be believed.
const PROXIES: usize = 256;

/// The peers that announce clients in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProxyHeaders {
    /// The setting of the listener; no client is announced to it if that is nothing.
    pub(crate) listener: Announcing,
    /// The setting of the pool.
    pub(crate) pool: Option<Announce>,
}

/// The bytes of a client before its conversation, and their expected effect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Introduction {
    pub(crate) bytes: Vec<u8>,
    /// The client that the header names.
    pub(crate) client: Option<SocketAddr>,
    /// The connection is to be closed for that.
    pub(crate) refused: Option<Cause>,
}

/// Whether connection `number` comes from a proxy that is believed.
fn is_trusted(number: usize) -> bool {
    !number.is_multiple_of(4)
}

/// The proxies that the listener believes.
pub(crate) fn trusted() -> Vec<IpNet> {
    let trusted = (0..PROXIES).filter(|number| is_trusted(*number));
    trusted.map(|number| IpNet::from(crate::harness::address_of(number).ip())).collect()
}

impl ProxyHeaders {
    /// On one side at least.
    pub(crate) fn draw(rng: &mut Rng) -> ProxyHeaders {
        let announce = Announce {
            version: if rng.bool() { ProxyVersion::V1 } else { ProxyVersion::V2 },
            authority: rng.bool(),
            alpn: rng.bool(),
            unique_id: rng.bool(),
            ssl: rng.bool(),
            length_max: rng.usize(52..200),
        };
        let listener = [Announcing::Never, Announcing::Optional, Announcing::Required][rng.usize(..3)];
        let pool = (listener == Announcing::Never || rng.bool()).then_some(announce);
        ProxyHeaders { listener, pool }
    }

    /// The first bytes of connection `number`.
    pub(crate) fn introduce(self, number: usize, rng: &mut Rng) -> Introduction {
        assert!(number < PROXIES, "more connections than there are addresses");
        let client = SocketAddr::from(([192, 0, 2, rng.u8(1..)], rng.u16(1..)));
        match (self.listener, is_trusted(number)) {
            (Announcing::Never, _) | (Announcing::Optional, false) => Introduction::default(),
            (Announcing::Required, false) => {
                let bytes = if rng.bool() { header(client, rng) } else { Vec::new() };
                Introduction { bytes, client: None, refused: Some(Cause::ProxyHeaderRefused) }
            }
            (listener, true) => match rng.u8(..8) {
                0 if listener == Announcing::Required => {
                    Introduction { refused: Some(Cause::ProxyHeaderMissing), ..Introduction::default() }
                }
                0 => Introduction::default(),
                1 => Introduction { bytes: nobody(rng), client: None, refused: None },
                2 => Introduction {
                    bytes: nonsense(rng),
                    client: None,
                    refused: Some(Cause::ProxyHeaderMalformed),
                },
                _ => Introduction { bytes: header(client, rng), client: Some(client), refused: None },
            },
        }
    }
}

/// A header that says that a client is `client`.
fn header(client: SocketAddr, rng: &mut Rng) -> Vec<u8> {
    if rng.bool() {
        return format!("PROXY TCP4 {} 198.51.100.7 {} 443\r\n", client.ip(), client.port()).into_bytes();
    }
    let IpAddr::V4(ip) = client.ip() else { unreachable!("all of them are of IPv4") };
    let mut rest = [&ip.octets()[..], &[198, 51, 100, 7], &client.port().to_be_bytes(), &[1, 187]].concat();
    if rng.bool() {
        // Something that is to be skipped (PP2_TYPE_NOOP).
        let filling = rng.u8(..);
        rest.extend([4, 0, filling]);
        rest.resize(rest.len() + usize::from(filling), b'!');
    }
    binary(0x21, 0x11, &rest)
}

/// A header that says nothing of a client: the proxy speaks for itself, or does not know.
fn nobody(rng: &mut Rng) -> Vec<u8> {
    if rng.bool() { b"PROXY UNKNOWN\r\n".to_vec() } else { binary(0x20, 0, &[]) }
}

/// Bytes that begin like a header and are none.
fn nonsense(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..4) {
        0 => b"PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n".to_vec(),
        1 => b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
        2 => binary(0x31, 0x11, &[0; 12]),
        _ => binary(0x21, 0x11, &[0; 5]),
    }
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("it is short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// A header as a backend has read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// The client that it names; `None` if the worker speaks for itself.
    pub(crate) client: Option<SocketAddr>,
}

/// Takes a header of that version off `bytes`; `None` if it has not come whole. Nothing else may come.
pub(crate) fn take(version: ProxyVersion, bytes: &mut Vec<u8>) -> Option<Announced> {
    match version {
        ProxyVersion::V1 => take_line(bytes),
        ProxyVersion::V2 => take_binary(bytes),
    }
}

fn take_line(bytes: &mut Vec<u8>) -> Option<Announced> {
    let begins = b"PROXY ".iter().zip(bytes.iter()).all(|(want, got)| want == got);
    assert!(begins, "a connection that begins with {bytes:?} and not with a header");
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
        assert!(bytes.len() < LINE_MAX, "a header without an end");
        return None;
    };
    let line = String::from_utf8(bytes.drain(..end + 2).take(end).collect()).expect("a line of ASCII");
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words.as_slice() {
        ["PROXY", "UNKNOWN"] => None,
        ["PROXY", "TCP4", from, to, port, to_port] => {
            let _: (Ipv4Addr, u16) = (to.parse().expect("an address"), to_port.parse().expect("a port"));
            let ip: Ipv4Addr = from.parse().expect("an address");
            Some(SocketAddr::new(ip.into(), port.parse().expect("a port")))
        }
        _ => panic!("a header that says {line:?}"),
    };
    Some(Announced { client })
}

fn take_binary(bytes: &mut Vec<u8>) -> Option<Announced> {
    let begins = SIGNATURE.iter().zip(bytes.iter()).all(|(want, got)| want == got);
    assert!(begins, "a connection that begins with {bytes:?} and not with a header");
    let [.., command, family, high, low] = *bytes.first_chunk::<16>()?;
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if bytes.len() < length {
        return None;
    }
    let header: Vec<u8> = bytes.drain(..length).collect();
    let client = match (command, family) {
        (0x20, _) => None,
        (0x21, 0x11) => {
            let part = |from: usize| <[u8; 4]>::try_from(&header[from..from + 4]).expect("four bytes");
            let [high, low, ..] = part(24);
            Some(SocketAddr::from((part(16), u16::from_be_bytes([high, low]))))
        }
        _ => panic!("a header of command {command:#x} and family {family:#x}"),
    };
    Some(Announced { client })
}
