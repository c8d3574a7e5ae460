//! A second reader of HTTP/1.1, as strict and as plain as RFC 9112 can be read. It is slow, and it trusts
//! nothing of Pollux's: it says what a careful receiver makes of some bytes.

/// A head: its first line and its fields, values without the blanks around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The request or status line.
    pub first: &'a [u8],
    /// Names and values in their order.
    pub fields: Vec<(&'a [u8], &'a [u8])>,
    /// The number of bytes of the head, the empty line included.
    pub length: usize,
}

/// The length of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No field says it.
    Unsaid,
    /// So many bytes.
    Bytes(u64),
    /// Chunks.
    Chunks,
}

/// A broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

fn ensure(holds: bool, rule: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(rule)) }
}

/// Whether a byte may stand in a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

/// The bytes without spaces and tabs at their ends.
#[must_use]
pub fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Reads the head that `bytes` begin with; `None` if it is not complete.
pub fn head(bytes: &[u8]) -> Result<Option<Head<'_>>, Broken> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = Vec::new();
    let mut rest = &bytes[..end + 2];
    while !rest.is_empty() {
        let at = find(rest, b"\r\n").ok_or(Broken("a line without its end"))?;
        ensure(is_text(&rest[..at]), "a control byte in a line")?;
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    let first = lines.remove(0);
    let fields = lines.into_iter().map(field).collect::<Result<_, _>>()?;
    Ok(Some(Head { first, fields, length: end + 4 }))
}

fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Broken> {
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Broken("a field without a colon"))?;
    let name = &line[..colon];
    ensure(!name.is_empty() && name.iter().all(|&byte| is_tchar(byte)), "a name that is no token")?;
    Ok((name, trimmed(&line[colon + 1..])))
}

impl<'a> Head<'a> {
    /// The values of the fields called `name`.
    pub fn all(&self, name: &str) -> Vec<&'a [u8]> {
        let is_named = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(|field| field.1).collect()
    }

    /// The one value of the field called `name`, if there is exactly one.
    pub fn one(&self, name: &str) -> Option<&'a [u8]> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// The length in the framing fields, if only one thing can be read from them (RFC 9112 §6).
    pub fn length(&self) -> Result<Length, Broken> {
        let (lengths, codings) = (self.all("content-length"), self.all("transfer-encoding"));
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(Length::Unsaid),
            ([], [coding]) => {
                ensure(coding.eq_ignore_ascii_case(b"chunked"), "a coding that is not chunked")?;
                Ok(Length::Chunks)
            }
            ([length], []) => {
                let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                ensure(is_number, "a length that is not of digits")?;
                let text = std::str::from_utf8(length).unwrap_or_default();
                text.parse().map(Length::Bytes).map_err(|_| Broken("a length that overflows"))
            }
            _ => Err(Broken("more than one field that says the length")),
        }
    }
}

/// The part of a chunked body that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// The data.
    pub data: Vec<u8>,
    /// The size of each chunk, the last one included.
    pub sizes: Vec<u64>,
    /// The trailer lines.
    pub trailers: Vec<Vec<u8>>,
    /// The number of bytes that were read.
    pub used: usize,
    /// Whether the end was read.
    pub is_whole: bool,
}

/// Reads a chunked body (RFC 9112 §7.1) as far as it goes. Only a `canonical` one may have no extensions and
/// no digits that it does not need.
pub fn chunks(bytes: &[u8], canonical: bool) -> Result<Chunks, Broken> {
    let mut read = Chunks::default();
    loop {
        let rest = &bytes[read.used..];
        let Some(end) = find(rest, b"\r\n") else {
            return Ok(read);
        };
        let size = size_of(&rest[..end], canonical)?;
        let rest = &rest[end + 2..];
        read.sizes.push(size);
        read.used += end + 2;
        if size == 0 {
            break;
        }
        let count = usize::try_from(size).map_or(rest.len(), |size| size.min(rest.len()));
        read.data.extend_from_slice(&rest[..count]);
        read.used += count;
        let behind = &rest[count..];
        if (count as u64) < size || behind.is_empty() || behind == b"\r" {
            return Ok(read);
        }
        ensure(behind.starts_with(b"\r\n"), "no line end behind a chunk")?;
        read.used += 2;
    }
    loop {
        let rest = &bytes[read.used..];
        let Some(end) = find(rest, b"\r\n") else {
            return Ok(read);
        };
        read.used += end + 2;
        if end == 0 {
            read.is_whole = true;
            return Ok(read);
        }
        ensure(is_text(&rest[..end]), "a control byte in a trailer")?;
        field(&rest[..end])?;
        read.trailers.push(rest[..end].to_vec());
    }
}

fn size_of(line: &[u8], canonical: bool) -> Result<u64, Broken> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    ensure(digits > 0 && digits <= 16, "a chunk size of no digits, or of too many")?;
    ensure(is_text(extension), "a control byte in an extension")?;
    let follows = trimmed(extension);
    ensure(extension.is_empty() || follows.starts_with(b";"), "something else behind a chunk size")?;
    if canonical {
        ensure(extension.is_empty(), "an extension")?;
        ensure(digits == 1 || size[0] != b'0', "a leading zero")?;
        ensure(!size.iter().any(u8::is_ascii_uppercase), "an upper-case digit")?;
    }
    let text = std::str::from_utf8(size).unwrap_or_default();
    u64::from_str_radix(text, 16).map_err(|_| Broken("a chunk size that overflows"))
}

/// A request as it was read from a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Vec<u8>,
    /// The target.
    pub target: Vec<u8>,
    /// The value of X-Forwarded-For, if there is one.
    pub client: Option<Vec<u8>>,
    /// Whether it asks to switch protocols.
    pub wants_upgrade: bool,
    /// Its body, without chunks, as far as it was there.
    pub body: Vec<u8>,
    /// Whether the body was there to its end.
    pub is_whole: bool,
}

/// Reads the requests that stand one behind the other in `bytes`, up to the first broken one, and says what
/// was broken.
pub fn requests(mut bytes: &[u8], canonical: bool) -> (Vec<Request>, Result<(), Broken>) {
    let mut read = Vec::new();
    loop {
        if !canonical {
            while let Some(rest) = bytes.strip_prefix(b"\r\n") {
                bytes = rest;
            }
        }
        match request(bytes, canonical) {
            Ok(Some((request, used))) => {
                let is_last = !request.is_whole;
                read.push(request);
                if is_last {
                    return (read, Ok(()));
                }
                bytes = &bytes[used..];
            }
            Ok(None) => return (read, Ok(())),
            Err((request, broken)) => {
                read.extend(request);
                return (read, Err(broken));
            }
        }
    }
}

type Failed = (Option<Request>, Broken);

fn request(bytes: &[u8], canonical: bool) -> Result<Option<(Request, usize)>, Failed> {
    let bare = |broken| (None, broken);
    let Some(head) = head(bytes).map_err(bare)? else {
        return Ok(None);
    };
    let parts: Vec<_> = head.first.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(bare(Broken("a request line that is not of three parts")));
    };
    let is_known = version == b"HTTP/1.1" || (version == b"HTTP/1.0" && !canonical);
    ensure(is_known, "an unknown version").map_err(bare)?;
    ensure(!method.is_empty() && method.iter().all(|&byte| is_tchar(byte)), "a method that is no token")
        .map_err(bare)?;
    ensure(!target.is_empty() && target.iter().all(u8::is_ascii_graphic), "a byte that no target has")
        .map_err(bare)?;
    let hosts = head.all("host").len();
    ensure(hosts == 1 || (hosts == 0 && version == b"HTTP/1.0"), "not exactly one host").map_err(bare)?;
    let length = head.length().map_err(bare)?;
    ensure(version == b"HTTP/1.1" || length != Length::Chunks, "chunks in HTTP/1.0").map_err(bare)?;
    let mut request = Request {
        method: method.to_vec(),
        target: target.to_vec(),
        client: head.one("x-forwarded-for").map(<[u8]>::to_vec),
        wants_upgrade: !head.all("upgrade").is_empty(),
        body: Vec::new(),
        is_whole: true,
    };
    let rest = &bytes[head.length..];
    let used = match length {
        Length::Unsaid => 0,
        Length::Bytes(length) => {
            let count = usize::try_from(length).map_or(rest.len(), |length| length.min(rest.len()));
            request.body = rest[..count].to_vec();
            request.is_whole = count as u64 == length;
            count
        }
        Length::Chunks => {
            // The bytes before the broken chunk have been passed on by then, so they count.
            let (read, broken) = match chunks(rest, canonical) {
                Ok(read) => (read, None),
                Err(broken) => (good_chunks(rest, canonical), Some(broken)),
            };
            request.body = read.data;
            request.is_whole = read.is_whole;
            if let Some(broken) = broken {
                request.is_whole = false;
                return Err((Some(request), broken));
            }
            read.used
        }
    };
    Ok(Some((request, head.length + used)))
}

/// The longest part of a broken chunked body that is not broken.
fn good_chunks(bytes: &[u8], canonical: bool) -> Chunks {
    let good = |&end: &usize| chunks(&bytes[..end], canonical).is_ok();
    let end = (0..bytes.len()).rev().find(good).unwrap_or(0);
    chunks(&bytes[..end], canonical).unwrap_or_default()
}
