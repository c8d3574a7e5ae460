//! The PROXY protocol, versions 1 and 2: a proxy that opens a connection announces its client first.
//!
//! The specification is haproxy's `doc/proxy-protocol.txt`; sections are cited by its numbers. The
//! reader holds the output of the crate `ppp` to it where the crate is not strict. A header is given to the crate only when it is
//! there whole.

use ::core::net::{IpAddr, SocketAddr};

use ppp::v2::{Addresses, Builder, Command, Protocol, Version as Two};

use super::LENGTH_MAX;

/// Which version of the protocol is spoken to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text: two addresses, and nothing else.
    V1,
    /// Binary, and may say more.
    V2,
}

impl ProxyVersion {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ProxyVersion::V1 => "v1",
            ProxyVersion::V2 => "v2",
        }
    }
}

/// The contents of a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// The client, and the address that it had connected to; `None` if the proxy speaks for itself, or does
    /// not know.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Whether the client had connected by TLS; `None` if nothing is said of that.
    pub is_tls: Option<bool>,
    /// The name that the client had asked for: its SNI, or what stands for it.
    pub authority: Option<Box<[u8]>>,
    /// The protocol that was agreed upon with the client.
    pub alpn: Option<Box<[u8]>>,
    /// The proxy's name for the connection.
    pub unique_id: Option<Box<[u8]>>,
}

impl Announced {
    /// The client, if it is not the proxy itself.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddr> {
        self.addresses.map(|(client, _)| client)
    }
}

/// The first bytes of a connection, read as a PROXY header.
#[derive(Debug, PartialEq, Eq)]
pub enum ProxyReading {
    /// A header, of so many bytes.
    Header(usize, Announced),
    /// They could become one.
    Incomplete,
    /// They are something else.
    Absent,
    /// They begin like one and are none, or one with a wrong checksum.
    Malformed,
}

/// The beginning of a header of version 1 (2.1).
const PREFIX_V1: &[u8] = b"PROXY ";

/// The longest line of version 1, in bytes, with its end (2.1).
const LINE_MAX: usize = 107;

/// The beginning of a header of version 2 (2.2).
const PREFIX_V2: &[u8] = ppp::v2::PROTOCOL_PREFIX;

/// The bytes before the length of version 2, with the length.
const FIXED_V2: usize = 16;

/// Version 2 and the command LOCAL (2.2).
const LOCAL: u8 = 0x20;

/// The most bytes that the name of a connection has (2.2.5).
const UNIQUE_ID_MAX: usize = 128;

/// CRC-32C, of which a header may have a checksum (2.2.4).
const CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// Reads the header that `bytes` begin with, or finds out that there is none.
#[must_use]
pub fn read(bytes: &[u8]) -> ProxyReading {
    let begins_like = |prefix: &[u8]| {
        let length = prefix.len().min(bytes.len());
        bytes[..length] == prefix[..length]
    };
    match (begins_like(PREFIX_V1), begins_like(PREFIX_V2)) {
        (true, _) if bytes.len() >= PREFIX_V1.len() => read_v1(bytes),
        (_, true) if bytes.len() >= FIXED_V2 => read_v2(bytes),
        (true, _) | (_, true) => ProxyReading::Incomplete,
        (false, false) => ProxyReading::Absent,
    }
}

fn read_v1(bytes: &[u8]) -> ProxyReading {
    let window = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(at) = memchr::memchr(b'\n', window) else {
        return if window.len() == LINE_MAX { ProxyReading::Malformed } else { ProxyReading::Incomplete };
    };
    let line = &window[..=at];
    // The crate takes ports as Rust does, with a sign in front of them.
    let Some(header) = ppp::v1::Header::try_from(line).ok().filter(|_| !line.contains(&b'+')) else {
        return ProxyReading::Malformed;
    };
    let addresses = match header.addresses {
        ppp::v1::Addresses::Tcp4(pair) => Some((
            plain(pair.source_address, pair.source_port),
            plain(pair.destination_address, pair.destination_port),
        )),
        ppp::v1::Addresses::Tcp6(pair) => Some((
            plain(pair.source_address, pair.source_port),
            plain(pair.destination_address, pair.destination_port),
        )),
        ppp::v1::Addresses::Unknown => None,
    };
    if header.header.len() != line.len() {
        return ProxyReading::Malformed;
    }
    ProxyReading::Header(line.len(), Announced { addresses, ..Announced::default() })
}

fn read_v2(bytes: &[u8]) -> ProxyReading {
    let length = FIXED_V2 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if length > LENGTH_MAX {
        return ProxyReading::Malformed;
    }
    // With LOCAL a proxy speaks for itself, such as in a health check: the family and the addresses are
    // ignored (2.2). Some say a family, and no addresses.
    if bytes[12] == LOCAL {
        let is_whole = bytes.len() >= length;
        return if is_whole {
            ProxyReading::Header(length, Announced::default())
        } else {
            ProxyReading::Incomplete
        };
    }
    let header = match ppp::v2::Header::try_from(&bytes[..bytes.len().min(length)]) {
        Ok(header) => header,
        Err(ppp::v2::ParseError::Incomplete(_) | ppp::v2::ParseError::Partial(..)) => {
            return ProxyReading::Incomplete;
        }
        Err(_) => return ProxyReading::Malformed,
    };
    let mut announced = Announced::default();
    let is_sound = read_tlvs(&header, &mut announced);
    if !is_sound {
        return ProxyReading::Malformed;
    }
    // Addresses of datagrams belong to no client of a TCP listener, and those of Unix sockets name no
    // machine.
    announced.addresses = match (header.protocol, header.addresses) {
        (Protocol::Stream, Addresses::IPv4(pair)) => Some((
            plain(pair.source_address, pair.source_port),
            plain(pair.destination_address, pair.destination_port),
        )),
        (Protocol::Stream, Addresses::IPv6(pair)) => Some((
            plain(pair.source_address, pair.source_port),
            plain(pair.destination_address, pair.destination_port),
        )),
        (Protocol::Unspecified | Protocol::Datagram, _)
        | (_, Addresses::Unspecified | Addresses::Unix(_)) => None,
    };
    ProxyReading::Header(length, announced)
}

/// An address with its port. An IPv4 address that is mapped into IPv6 is the IPv4 address, as those of
/// sockets are.
fn plain(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into().to_canonical(), port)
}

/// The kinds of fields that matter (2.2.1 to 2.2.6).
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CHECKSUM: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;

/// Takes what is known of the fields that follow the addresses; false if they are malformed, or not what was
/// sent.
fn read_tlvs(header: &ppp::v2::Header<'_>, announced: &mut Announced) -> bool {
    let whole = header.as_bytes();
    let mut at = whole.len() - header.tlv_bytes().len();
    for field in header.tlvs() {
        let Ok(field) = field else { return false };
        let value = &*field.value;
        let begins = at + 3;
        at = begins + value.len();
        match field.kind {
            // HAProxy sends a unique id of no bytes where it has none. An empty name says nothing either.
            ALPN | AUTHORITY | UNIQUE_ID if value.is_empty() => {}
            ALPN => announced.alpn = Some(value.into()),
            AUTHORITY => announced.authority = Some(value.into()),
            UNIQUE_ID if value.len() > UNIQUE_ID_MAX => return false,
            UNIQUE_ID => announced.unique_id = Some(value.into()),
            // Flags of a byte, of which the lowest says TLS, and a number of four bytes.
            SSL if value.len() < 5 => return false,
            SSL => announced.is_tls = Some(value[0] & 1 == 1),
            CHECKSUM => {
                let Ok(sum) = <[u8; 4]>::try_from(value) else { return false };
                if checksum(&whole[..begins], &whole[at..]) != u32::from_be_bytes(sum) {
                    return false;
                }
            }
            // Unknown fields are ignored (2.2).
            _ => {}
        }
    }
    true
}

/// The checksum of a header of which that of its own, which counts as zero, stands between these two parts.
fn checksum(before: &[u8], behind: &[u8]) -> u32 {
    let mut digest = CRC32C.digest();
    digest.update(before);
    digest.update(&[0; 4]);
    digest.update(behind);
    digest.finalize()
}

/// The facts of a connection that a backend gets besides its addresses, in version 2.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProxyAttributes<'a> {
    /// The name that the client has asked for.
    pub authority: Option<&'a [u8]>,
    /// The protocol that was agreed upon with it.
    pub alpn: Option<&'a [u8]>,
    /// Pollux's name for the connection.
    pub unique_id: Option<&'a [u8]>,
    /// Whether the client has come by TLS, if that is to be said.
    pub is_tls: Option<bool>,
}

/// On whose behalf a connection to a backend is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behalf {
    /// Pollux's own, or a client's that has no address: the source and the destination of the connection
    /// itself, where they are IP addresses.
    Own(Option<(SocketAddr, SocketAddr)>),
    /// A client's, at that address.
    Client {
        /// The client.
        client: SocketAddr,
        /// The address that it had connected to.
        local: SocketAddr,
    },
}

/// The longest header of version 2, in bytes, that all receivers take that are known to limit it: nginx 1.22
/// takes 107 in its stream module and 108 before TLS, Apache 2.4.71 takes 232, Varnish 7.1 takes 404.
pub const PASSES_EVERYWHERE: usize = 107;

/// The longest header of version 2, in bytes, without fields: that with IPv6 addresses.
pub const ADDRESSES_MAX: usize = FIXED_V2 + 36;

/// Appends a header to `out`. Version 1 knows nothing but addresses; of version 2 those fields are left out
/// with which the header would be longer than `length_max`. Two addresses of different families are both
/// written as those of IPv6.
pub fn write(
    out: &mut Vec<u8>,
    version: ProxyVersion,
    behalf: Behalf,
    said: &ProxyAttributes<'_>,
    length_max: usize,
) {
    match version {
        ProxyVersion::V1 => write_v1(out, behalf),
        ProxyVersion::V2 => write_v2(out, behalf, said, length_max),
    }
}

/// Both in the same family, as the protocol has it.
fn alike(client: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    let [client, local] = [client, local].map(|address| plain(address.ip(), address.port()));
    if client.is_ipv4() == local.is_ipv4() { (client, local) } else { (mapped(client), mapped(local)) }
}

fn write_v1(out: &mut Vec<u8>, behalf: Behalf) {
    // Apache and Varnish close for a bare `UNKNOWN`, and HAProxy for one with addresses. All of them take the
    // addresses of the connection, which HAProxy's own checks say too.
    let pair = match behalf {
        Behalf::Own(pair) => pair,
        Behalf::Client { client, local } => Some((client, local)),
    };
    let line = match pair.map(|(from, to)| alike(from, to)) {
        None => String::from("PROXY UNKNOWN\r\n"),
        Some((from, to)) => {
            let family = if from.is_ipv4() { 4 } else { 6 };
            format!("PROXY TCP{family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
        }
    };
    out.extend_from_slice(line.as_bytes());
}

fn write_v2(out: &mut Vec<u8>, behalf: Behalf, said: &ProxyAttributes<'_>, length_max: usize) {
    let Behalf::Client { client, local } = behalf else {
        // LOCAL has every receiver go on with the addresses of the connection (2.2). For PROXY with UNSPEC,
        // HAProxy, Envoy, Traefik, Caddy and Apache close. Behind addresses that are none, no field would be
        // found.
        let own = (Two::Two | Command::Local, Protocol::Unspecified, Addresses::Unspecified);
        out.extend(Builder::with_addresses(own.0, own.1, own.2).build().unwrap_or_default());
        return;
    };
    let (client, local) = alike(client, local);
    let mut builder = Builder::with_addresses(
        Two::Two | Command::Proxy,
        Protocol::Stream,
        Addresses::from((client, local)),
    );
    let mut length = FIXED_V2 + if client.is_ipv4() { 12 } else { 36 };
    // The flag of TLS, and that no certificate of the client was verified (2.2.6).
    let tls = said.is_tls.map(|is_tls| [u8::from(is_tls), 0, 0, 0, 1]);
    // The name is the last, because a client chooses its length: it displaces no other field.
    let fields = [
        (SSL, tls.as_ref().map(<[u8; 5]>::as_slice)),
        (UNIQUE_ID, said.unique_id),
        (ALPN, said.alpn),
        (AUTHORITY, said.authority),
    ];
    for (kind, value) in fields {
        let fits = |value: &&[u8]| length + FIELD_LENGTH + value.len() <= length_max.min(LENGTH_MAX);
        if let Some(value) = value.filter(fits) {
            length += FIELD_LENGTH + value.len();
            // It fails only where the whole is longer than its length can say, which these bounds exclude.
            builder = match builder.write_tlv(kind, value) {
                Ok(builder) => builder,
                Err(_) => return,
            };
        }
    }
    out.extend(builder.build().unwrap_or_default());
}

/// The kind of a field and its length (2.2).
const FIELD_LENGTH: usize = 3;

#[cfg(test)]
mod tests;
