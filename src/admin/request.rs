//! One request, read from a connection within bounds of size and time.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::reply::Reply;

/// The longest head and the longest body, in bytes.
const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 16 * 1024;

/// The most header fields.
const FIELDS_MAX: usize = 64;

/// The time that a whole request may take to arrive.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query; not decoded.
    pub(super) path: String,
    /// Empty if there is none.
    pub(super) query: String,
    /// Names in lower case.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The value of the only field of that name; `None` if there is none, or several.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// The value of a query parameter, decoded; empty if it has none.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| decode(value))
    }

    /// The segments of the path, decoded.
    pub(super) fn segments(&self) -> Vec<String> {
        self.path.split('/').skip(1).map(decode).collect()
    }
}

/// Puts bytes in the place of `%XX`; what is no such thing stays, and so does what would not be UTF-8.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .filter(|two| bytes[at] == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let value = hex.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        decoded.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// Something that is read from with a limit of time for each read.
pub(super) trait Source: Read {
    /// From now on a read may take so long.
    fn allow(&self, span: Duration) -> io::Result<()>;
}

/// Reads a request from `source`. `None` is a caller who has said nothing.
///
/// # Errors
/// The answer to one that cannot be understood, or is too long or too late.
pub(super) fn read(source: &mut impl Source) -> Result<Option<Request>, Reply> {
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let mut bytes = Vec::new();
    let mut looked = 0;
    let (mut request, body_at) = loop {
        if may_end_head(&bytes, looked)
            && let Some(parsed) = parse_head(&bytes)?
        {
            break parsed;
        }
        looked = bytes.len();
        if bytes.len() >= HEAD_MAX {
            return Err(Reply::error(431, "the head of the request is too long"));
        }
        if !read_some(source, &mut bytes, deadline)? {
            return if bytes.is_empty() { Ok(None) } else { Err(cut_short()) };
        }
    };
    let length = length(&request)?;
    while bytes.len() < body_at + length {
        if !read_some(source, &mut bytes, deadline)? {
            return Err(cut_short());
        }
    }
    request.body = bytes[body_at..body_at + length].to_vec();
    Ok(Some(request))
}

fn cut_short() -> Reply {
    Reply::error(400, "the request stops before its end")
}

/// Whether an empty line ends in the bytes from `looked` on. Parsing at every read costs quadratic time when
/// a caller sends byte by byte.
fn may_end_head(bytes: &[u8], looked: usize) -> bool {
    let news = &bytes[looked.saturating_sub(2)..];
    news.windows(2).any(|pair| pair == b"\n\n") || news.windows(3).any(|three| three == b"\n\r\n")
}

/// Reads what there is; false at the end.
fn read_some(source: &mut impl Source, bytes: &mut Vec<u8>, deadline: Instant) -> Result<bool, Reply> {
    let late = || Reply::error(408, "the request takes too long");
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(late());
    }
    let mut some = [0; 4096];
    let read = source.allow(left).and_then(|()| source.read(&mut some));
    match read {
        Ok(count) => {
            bytes.extend_from_slice(&some[..count]);
            Ok(count > 0)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(late())
        }
        // The caller is gone, and no answer could reach it.
        Err(_) => Ok(false),
    }
}

/// The head, and where the body begins; `None` if there is more to come.
fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, Reply> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let body_at = match parsed.parse(bytes) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(body_at)) => body_at,
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Reply::error(431, "the request has too many header fields"));
        }
        Err(error) => return Err(Reply::error(400, &format!("this is not a request: {error}"))),
    };
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let field = |field: &httparse::Header<'_>| {
        let value = String::from_utf8_lossy(field.value).trim().to_owned();
        (field.name.to_ascii_lowercase(), value)
    };
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        fields: parsed.headers.iter().map(field).collect(),
        body: Vec::new(),
    };
    Ok(Some((request, body_at)))
}

/// The length of the body. There is one request on a connection, so nothing can be smuggled behind it.
fn length(request: &Request) -> Result<usize, Reply> {
    if request.has("transfer-encoding") {
        return Err(Reply::error(411, "the request has no Content-Length"));
    }
    if !request.has("content-length") {
        return Ok(0);
    }
    let text = request.field("content-length").filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match text.and_then(|text| text.parse().ok()) {
        Some(length) if length <= BODY_MAX => Ok(length),
        Some(_) => Err(Reply::error(413, "the body of the request is too long")),
        None => Err(Reply::error(400, "Content-Length is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that come in pieces of that size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(room.len());
            room[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    impl Source for Pieces<'_> {
        fn allow(&self, _: Duration) -> io::Result<()> {
            Ok(())
        }
    }

    fn read_whole(text: &str) -> Result<Option<Request>, u16> {
        let whole = read(&mut Pieces(text.as_bytes(), usize::MAX)).map_err(|reply| reply.status);
        let dripped = read(&mut Pieces(text.as_bytes(), 1)).map_err(|reply| reply.status);
        assert_eq!(whole, dripped);
        whole
    }

    #[test]
    fn a_request_is_read_however_it_comes() {
        let text =
            "POST /backends/app/b%201?x=%2F&y=2 HTTP/1.1\r\nHOST: a\r\nContent-Length: 3\r\n\r\nabcdef";
        let request = read_whole(text).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", &b"abc"[..]));
        assert_eq!(request.segments(), ["backends", "app", "b 1"]);
        assert_eq!((request.parameter("x").as_deref(), request.parameter("z")), (Some("/"), None));
        assert_eq!(request.field("host"), Some("a"));
        assert_eq!(read_whole("").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(HEAD_MAX));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(FIELDS_MAX + 1));
        for (text, status) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n", 400),
            ("\u{1}\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc", 400),
            ("POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
            (&long, 431),
            (&many, 431),
        ] {
            assert_eq!(read_whole(text), Err(status), "{text:.60}");
        }
    }

    #[test]
    fn a_path_is_decoded_once() {
        for (coded, plain) in
            [("a%2Fb", "a/b"), ("a%252F", "a%2F"), ("%", "%"), ("%zz", "%zz"), ("%ff", "%ff"), ("é", "é")]
        {
            assert_eq!(decode(coded), plain);
        }
    }
}
