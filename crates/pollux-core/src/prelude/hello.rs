//! The ClientHello that a TLS client begins with: which name it asks for, and which protocols it speaks.
//! Nothing is decrypted, and nothing is changed: the bytes go on as they came.
//!
//! The parser is one of its own, because it takes so little of what a TLS library reads: two extensions. It
//! follows RFC 8446 §4.1.2 and §5.1, RFC 6066 §3 and RFC 7301 §3.1, and takes the message out of as many
//! records as it was divided among.

use super::LENGTH_MAX;

/// The contents of a ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The name of the server that is asked for (SNI), if one is.
    pub server_name: Option<Box<[u8]>>,
    /// The protocols that the client speaks, each behind a byte that has its length (ALPN); empty if it does
    /// not say.
    pub alpn: Box<[u8]>,
}

impl Hello {
    /// The protocols, one by one.
    pub fn protocols(&self) -> impl Iterator<Item = &[u8]> {
        protocols(&self.alpn)
    }
}

/// The protocols of such a list.
pub fn protocols(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Bytes(list);
    std::iter::from_fn(move || rest.vector(1))
}

/// The first bytes of a connection, read as a ClientHello.
#[derive(Debug, PartialEq, Eq)]
pub enum HelloReading {
    /// A whole ClientHello.
    Hello(Hello),
    /// They could become one.
    Incomplete,
    /// They are something else than TLS.
    Absent,
    /// They begin like TLS, and are no ClientHello.
    Malformed,
    /// It is longer than [`LENGTH_MAX`].
    TooLong,
}

/// The type of a record that carries a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// The type of the message (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;

/// The longest fragment of a record (RFC 8446 §5.1).
const FRAGMENT_MAX: usize = 1 << 14;

/// Type, version and length of a record.
const RECORD_HEAD: usize = 5;

/// Type and length of a message.
const MESSAGE_HEAD: usize = 4;

/// The longest host name (RFC 1035 §2.3.4), in bytes.
const NAME_MAX: usize = 255;

const SERVER_NAME: usize = 0;
const ALPN: usize = 16;

/// Reads the ClientHello that `bytes` begin with, or finds out that there is none.
#[must_use]
pub fn read(bytes: &[u8]) -> HelloReading {
    let window = &bytes[..bytes.len().min(LENGTH_MAX)];
    let is_all_there_may_be = window.len() == LENGTH_MAX;
    match gather(window) {
        Ok(Some(message)) => parse(&message).map_or(HelloReading::Malformed, HelloReading::Hello),
        Ok(None) if is_all_there_may_be => HelloReading::TooLong,
        Ok(None) => HelloReading::Incomplete,
        Err(reading) => reading,
    }
}

/// The message in the records at the beginning of `bytes`, without its head; `None` if it is not there whole.
fn gather(bytes: &[u8]) -> Result<Option<Vec<u8>>, HelloReading> {
    let (mut message, mut rest) = (Vec::new(), bytes);
    loop {
        let is_first = rest.len() == bytes.len();
        let wrong = || if is_first { HelloReading::Absent } else { HelloReading::Malformed };
        // The reader looks at the head's bytes that are there, whether or not the rest has come.
        if rest.first().is_some_and(|kind| *kind != HANDSHAKE) || rest.get(1).is_some_and(|major| *major != 3)
        {
            return Err(wrong());
        }
        if rest.len() < RECORD_HEAD {
            return Ok(None);
        }
        let length = usize::from(u16::from_be_bytes([rest[3], rest[4]]));
        if length == 0 || length > FRAGMENT_MAX {
            return Err(wrong());
        }
        let behind = &rest[RECORD_HEAD..];
        message.extend_from_slice(&behind[..length.min(behind.len())]);
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(HelloReading::Malformed);
        }
        if message.len() >= MESSAGE_HEAD {
            let whole = MESSAGE_HEAD + number(&message[1..MESSAGE_HEAD]);
            if whole > LENGTH_MAX {
                return Err(HelloReading::TooLong);
            }
            if message.len() >= whole {
                message.truncate(whole);
                message.drain(..MESSAGE_HEAD);
                return Ok(Some(message));
            }
        }
        match behind.get(length..) {
            Some(next) => rest = next,
            None => return Ok(None),
        }
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, size: usize) -> Option<usize> {
        self.take(size).map(number)
    }

    /// As many bytes as the first `size` of them say.
    fn vector(&mut self, size: usize) -> Option<&'a [u8]> {
        let count = self.number(size)?;
        self.take(count)
    }
}

/// The message without its head; `None` if it is malformed.
fn parse(message: &[u8]) -> Option<Hello> {
    let mut bytes = Bytes(message);
    let (_version, _random) = (bytes.take(2)?, bytes.take(32)?);
    let session = bytes.vector(1)?;
    let suites = bytes.vector(2)?;
    let compressions = bytes.vector(1)?;
    if session.len() > 32 || suites.is_empty() || suites.len() % 2 == 1 || compressions.is_empty() {
        return None;
    }
    let mut hello = Hello::default();
    if bytes.0.is_empty() {
        // A client of old, that knows no extensions.
        return Some(hello);
    }
    let mut extensions = Bytes(bytes.vector(2)?);
    let (mut has_name, mut has_alpn) = (false, false);
    while !extensions.0.is_empty() {
        let (kind, value) = (extensions.number(2)?, extensions.vector(2)?);
        match kind {
            // None may stand twice (RFC 8446 §4.2): readers would disagree about which one counts.
            SERVER_NAME if std::mem::replace(&mut has_name, true) => return None,
            ALPN if std::mem::replace(&mut has_alpn, true) => return None,
            SERVER_NAME => hello.server_name = Some(server_name(value)?.into()),
            ALPN => hello.alpn = alpn(value)?.into(),
            _ => {}
        }
    }
    bytes.0.is_empty().then_some(hello)
}

/// The one host name of the list (RFC 6066 §3).
fn server_name(value: &[u8]) -> Option<&[u8]> {
    let mut value = Bytes(value);
    let mut list = Bytes(value.vector(2)?);
    let (kind, name) = (list.number(1)?, list.vector(2)?);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_sound = kind == 0 && (1..=NAME_MAX).contains(&name.len()) && name.iter().all(is_name);
    (is_sound && list.0.is_empty() && value.0.is_empty()).then_some(name)
}

/// The list of protocols, none of which is empty (RFC 7301 §3.1).
fn alpn(value: &[u8]) -> Option<&[u8]> {
    let mut value = Bytes(value);
    let list = value.vector(2)?;
    let mut names = Bytes(list);
    while !names.0.is_empty() {
        names.vector(1).filter(|name| !name.is_empty())?;
    }
    (!list.is_empty() && value.0.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(size: usize, bytes: &[u8]) -> Vec<u8> {
        [&bytes.len().to_be_bytes()[8 - size..], bytes].concat()
    }

    fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(2, value)].concat()
    }

    fn name(name: &[u8]) -> Vec<u8> {
        extension(0, &vector(2, &[&[0][..], &vector(2, name)].concat()))
    }

    /// A message with these extensions.
    fn message(extensions: &[u8]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[9; 32]),
            &vector(2, &[0x13, 1, 0x13, 2]),
            &vector(1, &[0]),
            &vector(2, extensions),
        ]
        .concat();
        [&[CLIENT_HELLO][..], &vector(3, &body)].concat()
    }

    /// The message in records of `size` bytes each.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |part: &[u8]| [&[HANDSHAKE, 3, 1][..], &vector(2, part)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn hello(server_name: Option<&[u8]>, alpn: &[u8]) -> HelloReading {
        HelloReading::Hello(Hello { server_name: server_name.map(Into::into), alpn: alpn.into() })
    }

    /// The verdict as soon as there is one, if the bytes come one by one; `None` if more would have to come.
    fn dripped(bytes: &[u8]) -> Option<HelloReading> {
        (1..=bytes.len()).map(|end| read(&bytes[..end])).find(|verdict| *verdict != HelloReading::Incomplete)
    }

    #[test]
    fn names_and_protocols() {
        let both =
            [extension(43, &[2, 3, 4]), name(b"a.example"), extension(16, b"\0\x0c\x02h2\x08http/1.1")]
                .concat();
        for (what, extensions, expected) in [
            ("nothing", vec![], hello(None, b"")),
            ("both", both.clone(), hello(Some(b"a.example"), b"\x02h2\x08http/1.1")),
            ("any case", name(b"A.Example"), hello(Some(b"A.Example"), b"")),
            ("two names", [name(b"a"), name(b"b")].concat(), HelloReading::Malformed),
            ("an empty name", name(b""), HelloReading::Malformed),
            ("a name with a zero", name(b"a\0b"), HelloReading::Malformed),
            ("a long name", name(&[b'a'; 256]), HelloReading::Malformed),
            ("bytes behind the name", extension(0, b"\0\x04\0\0\x01ax"), HelloReading::Malformed),
            ("another kind of name", extension(0, b"\0\x04\x01\0\x01a"), HelloReading::Malformed),
            ("an empty protocol", extension(16, b"\0\x01\0"), HelloReading::Malformed),
            ("no protocol", extension(16, b"\0\0"), HelloReading::Malformed),
            ("a cut extension", vec![0, 0, 0, 9, 1], HelloReading::Malformed),
        ] {
            for size in [1, 3, 100, FRAGMENT_MAX] {
                let bytes = records(&message(&extensions), size);
                assert_eq!(read(&bytes), expected, "{what} in records of {size}");
                assert_eq!(dripped(&bytes).as_ref(), Some(&expected), "{what} in records of {size}");
                // Later bytes of the client make no difference.
                assert_eq!(read(&[&bytes[..], b"\x14\x03\x03\0\x01\x01"].concat()), expected, "{what}");
            }
        }
        let HelloReading::Hello(hello) = read(&records(&message(&both), 9)) else { panic!("no hello") };
        assert_eq!(hello.protocols().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    }

    #[test]
    fn what_is_not_tls_is_found_out_at_once() {
        for (bytes, expected) in [
            (&b""[..], HelloReading::Incomplete),
            (b"G", HelloReading::Absent),
            (b"\x16", HelloReading::Incomplete),
            (b"\x16\x02", HelloReading::Absent),
            (b"\x16\x03\x01\0\0", HelloReading::Absent),
            (b"\x16\x03\x01\x40\x01", HelloReading::Absent),
            // SSL 2.0.
            (b"\x80\x2e\x01\x03\x01", HelloReading::Absent),
            // A ServerHello.
            (b"\x16\x03\x01\0\x05\x02", HelloReading::Malformed),
            // An alert in the middle.
            (b"\x16\x03\x01\0\x01\x01\x15", HelloReading::Malformed),
            (b"\x16\x03\x01\0\x04\x01\0\x40\x00", HelloReading::TooLong),
            (b"\x16\x03\x01\0\x04\x01\0\x3f\xfc", HelloReading::Incomplete),
        ] {
            assert_eq!(read(bytes), expected, "{}", bytes.escape_ascii());
        }
        let crumbs = records(&message(&extension(21, &[0; 8000])), 1);
        assert_eq!((read(&crumbs), dripped(&crumbs)), (HelloReading::TooLong, Some(HelloReading::TooLong)));
    }

    proptest! {
        #[test]
        fn any_bytes_have_one_verdict_however_they_come(
            mut bytes in prop::sample::select(vec![
                records(&message(&name(b"a.example")), 20),
                records(&message(&extension(16, b"\0\x03\x02h2")), FRAGMENT_MAX),
            ]),
            damage in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
            end in any::<usize>(),
        ) {
            for (at, to) in damage {
                let at = at % bytes.len();
                bytes[at] = to;
            }
            bytes.truncate(end % (bytes.len() + 1));
            prop_assert_eq!(dripped(&bytes).unwrap_or(HelloReading::Incomplete), read(&bytes));
        }
    }
}
