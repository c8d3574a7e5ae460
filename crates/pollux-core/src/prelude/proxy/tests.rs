//! Headers of both versions: what is read, in pieces too, and what is written.

use proptest::prelude::*;

use super::*;

fn pair(client: &str, local: &str) -> Option<(SocketAddr, SocketAddr)> {
    Some((client.parse().unwrap(), local.parse().unwrap()))
}

/// A header of version 2 with that command, family and rest.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [PREFIX_V2, &[command, family], &length, rest].concat()
}

const FOUR: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x10, 0x92, 1, 0xbb];

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// A header with a checksum, right if `flaw` is 0.
fn summed(flaw: u8) -> Vec<u8> {
    let rest = [&FOUR[..], &tlv(AUTHORITY, b"a.example"), &tlv(CHECKSUM, &[0; 4]), &tlv(4, b"xx")].concat();
    let mut header = v2(0x21, 0x11, &rest);
    let sum = CRC32C.checksum(&header).to_be_bytes();
    let at = header.len() - 5 - 4;
    header[at..at + 4].copy_from_slice(&sum);
    header[at] ^= flaw;
    header
}

/// The verdict as soon as there is one, if the bytes come one by one; `None` if more would have to come.
fn dripped(bytes: &[u8]) -> Option<ProxyReading> {
    let verdicts = (1..=bytes.len()).map(|end| read(&bytes[..end]));
    verdicts.into_iter().find(|verdict| *verdict != ProxyReading::Incomplete)
}

#[test]
fn lines_of_version_1() {
    let known = |text: &str, addresses| (text.to_owned(), Some(addresses));
    for (line, expected) in [
        known("PROXY TCP4 192.0.2.1 198.51.100.1 4242 443\r\n", pair("192.0.2.1:4242", "198.51.100.1:443")),
        known("PROXY TCP6 2001:db8::1 ::1 4242 443\r\n", pair("[2001:db8::1]:4242", "[::1]:443")),
        known("PROXY TCP6 ::ffff:192.0.2.1 ::1 4242 443\r\n", pair("192.0.2.1:4242", "[::1]:443")),
        known("PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\n", pair("192.0.2.1:0", "198.51.100.1:65535")),
        known("PROXY UNKNOWN\r\n", None),
        known("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4242 443\n".into(), None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4242 443 \r\n".into(), None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4242\r\n".into(), None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 4242 \r\n".into(), None),
        ("PROXY TCP4  192.0.2.1 198.51.100.1 4242 443\r\n".into(), None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 04242 443\r\n".into(), None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 +4242 443\r\n".into(), None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n".into(), None),
        ("PROXY TCP4 2001:db8::1 ::1 4242 443\r\n".into(), None),
        ("PROXY TCP6 192.0.2.1 198.51.100.1 4242 443\r\n".into(), None),
        ("PROXY TCP4 192.0.2.1\r198.51.100.1 4242 443\r\n".into(), None),
        ("PROXY UDP4 192.0.2.1 198.51.100.1 4242 443\r\n".into(), None),
        ("PROXY \r\n".into(), None),
        (format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)), None),
    ] {
        let reading = read(format!("{line}GET / HTTP/1.1").as_bytes());
        let right = expected.map(|addresses| {
            ProxyReading::Header(line.len(), Announced { addresses, ..Announced::default() })
        });
        assert_eq!(reading, right.unwrap_or(ProxyReading::Malformed), "{line}");
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(read(longest.as_bytes()), ProxyReading::Header(LINE_MAX, Announced::default()));
}

#[test]
fn what_is_no_header_is_found_out_at_the_first_byte_that_differs() {
    for (bytes, expected) in [
        (&b""[..], ProxyReading::Incomplete),
        (b"P", ProxyReading::Incomplete),
        (b"PROXY", ProxyReading::Incomplete),
        (b"POST / HTTP/1.1", ProxyReading::Absent),
        (b"PROPFIND", ProxyReading::Absent),
        (b"PROXY\r\n", ProxyReading::Absent),
        (b"proxy TCP4", ProxyReading::Absent),
        (b"\x16\x03\x01", ProxyReading::Absent),
        (b"\r\n\r\n", ProxyReading::Incomplete),
        (b"\r\nGET", ProxyReading::Absent),
        (b"\r\n\r\n\0\r\nQUIT\n", ProxyReading::Incomplete),
    ] {
        assert_eq!(read(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn headers_of_version_2() {
    let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 15], &[1], &[0x10, 0x92, 1, 0xbb]].concat();
    let plain = |addresses| Some(Announced { addresses, ..Announced::default() });
    let four = pair("192.0.2.1:4242", "198.51.100.1:443");
    let with = |fields: &[u8]| v2(0x21, 0x11, &[&FOUR[..], fields].concat());
    for (what, header, expected) in [
        ("IPv4", v2(0x21, 0x11, &FOUR), plain(four)),
        ("IPv6", v2(0x21, 0x21, &six), plain(pair("[2001:db8::1]:4242", "[::1]:443"))),
        ("LOCAL", v2(0x20, 0x00, &[]), plain(None)),
        ("LOCAL with addresses", v2(0x20, 0x11, &FOUR), plain(None)),
        ("LOCAL with a family", v2(0x20, 0x11, &[]), plain(None)),
        ("LOCAL with a family that is none", v2(0x20, 0x41, &[]), plain(None)),
        ("LOCAL with a protocol that is none", v2(0x20, 0xff, b"whatever"), plain(None)),
        ("LOCAL with short addresses", v2(0x20, 0x21, &FOUR), plain(None)),
        ("LOCAL that is too long", v2(0x20, 0, &vec![0; LENGTH_MAX]), None),
        (
            "empty fields",
            with(&[tlv(ALPN, b""), tlv(AUTHORITY, b""), tlv(UNIQUE_ID, b"")].concat()),
            plain(four),
        ),
        ("UNSPEC", v2(0x21, 0x00, b"whatever"), plain(None)),
        ("datagrams", v2(0x21, 0x12, &FOUR), plain(None)),
        ("AF_UNIX", v2(0x21, 0x31, &[0; 216]), plain(None)),
        ("version 1", v2(0x11, 0x11, &FOUR), None),
        ("command 2", v2(0x22, 0x11, &FOUR), None),
        ("family 4", v2(0x21, 0x41, &FOUR), None),
        ("protocol 3", v2(0x21, 0x13, &FOUR), None),
        ("short addresses", v2(0x21, 0x11, &FOUR[..11]), None),
        ("unknown field", with(&tlv(0xe0, b"x")), plain(four)),
        ("half a field", with(&[1, 0]), None),
        ("a field that is cut", with(&[1, 0, 5, b'x']), None),
        ("a long unique id", with(&tlv(UNIQUE_ID, &[b'x'; 129])), None),
        ("a short SSL", with(&tlv(SSL, &[1, 0, 0, 0])), None),
        ("a short checksum", with(&tlv(CHECKSUM, &[0; 3])), None),
        ("too long", v2(0x21, 0x11, &vec![0; LENGTH_MAX]), None),
        ("a wrong checksum", summed(1), None),
        ("a checksum", summed(0), {
            let authority = Some(b"a.example"[..].into());
            Some(Announced { addresses: four, authority, ..Announced::default() })
        }),
        (
            "all fields",
            with(
                &[
                    tlv(ALPN, b"h2"),
                    tlv(AUTHORITY, b"b"),
                    tlv(UNIQUE_ID, b"id"),
                    tlv(SSL, &[7, 0, 0, 0, 0, 0x21, 0, 1, b'x']),
                ]
                .concat(),
            ),
            Some(Announced {
                addresses: four,
                is_tls: Some(true),
                authority: Some(b"b"[..].into()),
                alpn: Some(b"h2"[..].into()),
                unique_id: Some(b"id"[..].into()),
            }),
        ),
    ] {
        let reading = read(&[&header[..], b"GET /"].concat());
        let right = expected.map(|announced| ProxyReading::Header(header.len(), announced));
        assert_eq!(reading, right.unwrap_or(ProxyReading::Malformed), "{what}");
        assert_eq!(dripped(&header), Some(reading), "{what}");
    }
}

#[test]
fn what_is_written_is_read() {
    let said = ProxyAttributes {
        authority: Some(b"a.example"),
        alpn: Some(b"http/1.1"),
        unique_id: Some(b"42"),
        is_tls: Some(true),
    };
    let announced = |addresses| Announced {
        addresses,
        is_tls: Some(true),
        authority: Some(b"a.example"[..].into()),
        alpn: Some(b"http/1.1"[..].into()),
        unique_id: Some(b"42"[..].into()),
    };
    for (given, told) in [
        (pair("192.0.2.1:1", "198.51.100.1:2"), pair("192.0.2.1:1", "198.51.100.1:2")),
        (pair("[2001:db8::1]:1", "[::1]:2"), pair("[2001:db8::1]:1", "[::1]:2")),
        (pair("[::ffff:192.0.2.1]:1", "198.51.100.1:2"), pair("192.0.2.1:1", "198.51.100.1:2")),
        (pair("192.0.2.1:1", "[2001:db8::1]:2"), pair("192.0.2.1:1", "[2001:db8::1]:2")),
    ] {
        let (client, local) = given.unwrap();
        let behalf = Behalf::Client { client, local };
        let mut out = Vec::new();
        write(&mut out, ProxyVersion::V1, behalf, &said, PASSES_EVERYWHERE);
        let line = ProxyReading::Header(out.len(), Announced { addresses: told, ..Announced::default() });
        assert_eq!(read(&out), line);
        out.clear();
        write(&mut out, ProxyVersion::V2, behalf, &said, PASSES_EVERYWHERE);
        assert_eq!(read(&out), ProxyReading::Header(out.len(), announced(told)));
    }
}

#[test]
fn who_has_no_address_is_told_as_every_receiver_takes_it() {
    let said = ProxyAttributes { unique_id: Some(b"42"), is_tls: Some(false), ..ProxyAttributes::default() };
    for (pair, line) in [
        (pair("192.0.2.1:4242", "198.51.100.1:80"), "PROXY TCP4 192.0.2.1 198.51.100.1 4242 80\r\n"),
        (pair("[2001:db8::1]:4242", "[::1]:80"), "PROXY TCP6 2001:db8::1 ::1 4242 80\r\n"),
        (None, "PROXY UNKNOWN\r\n"),
    ] {
        let mut out = Vec::new();
        write(&mut out, ProxyVersion::V1, Behalf::Own(pair), &said, PASSES_EVERYWHERE);
        assert_eq!(out.escape_ascii().to_string(), line.escape_default().to_string());
        out.clear();
        write(&mut out, ProxyVersion::V2, Behalf::Own(pair), &said, PASSES_EVERYWHERE);
        assert_eq!(out, v2(0x20, 0, b""));
    }
}

#[test]
fn a_field_with_which_the_header_would_be_too_long_is_left_out() {
    let [short, long, longest] = [22, 23, 253].map(|length| vec![b'n'; length]);
    let id = [b'i'; 32];
    let fields = |authority, unique_id, alpn, is_tls| ProxyAttributes { authority, alpn, unique_id, is_tls };
    let all = |name| fields(Some(name), Some(&id[..]), Some(&b"http/1.1"[..]), Some(true));
    let long_id = [b'i'; 77];
    for (said, length_max, left) in [
        (all(&short), 107, (true, true, true, true)),
        (all(&long), 107, (false, true, true, true)),
        (all(&longest), 107, (false, true, true, true)),
        (all(&longest), 28 + 8 + 35 + 11 + 256, (true, true, true, true)),
        (all(&longest), ADDRESSES_MAX, (false, false, false, false)),
        (fields(Some(&short), Some(&long_id), Some(b"h2"), Some(true)), 107, (true, false, true, true)),
    ] {
        let mut out = Vec::new();
        let behalf = Behalf::Client {
            client: "192.0.2.1:1".parse().unwrap(),
            local: "198.51.100.1:2".parse().unwrap(),
        };
        // The longest addresses leave the least room.
        let is_bare = length_max == ADDRESSES_MAX;
        let six = "[2001:db8::1]:2".parse().unwrap();
        let behalf = if is_bare { Behalf::Client { client: six, local: six } } else { behalf };
        write(&mut out, ProxyVersion::V2, behalf, &said, length_max);
        assert!(out.len() <= length_max, "{}", out.len());
        let ProxyReading::Header(_, read) = read(&out) else { panic!("no header") };
        let found =
            (read.authority.is_some(), read.unique_id.is_some(), read.alpn.is_some(), read.is_tls.is_some());
        assert_eq!(found, left, "{length_max}");
    }
}

proptest! {
    #[test]
    fn any_bytes_have_one_verdict_however_they_come(
        prefix in prop::sample::select(vec![&b""[..], PREFIX_V1, PREFIX_V2, b"PROXY TCP4 1.1.1.1 2.2.2.2 "]),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'\r'), Just(b'\n'), Just(0x21), Just(0)], 0..80),
    ) {
        let bytes = [prefix, &rest[..]].concat();
        let whole = read(&bytes);
        prop_assert_eq!(dripped(&bytes).unwrap_or(ProxyReading::Incomplete), whole);
    }

    #[test]
    fn a_header_that_is_damaged_does_no_harm(at in 0..60_usize, to in any::<u8>()) {
        let mut header = summed(0);
        let at = at % header.len();
        header[at] = to;
        if let ProxyReading::Header(length, _) = read(&header) {
            prop_assert!(length <= header.len());
        }
    }
}
