//! A request head, parsed without leniency: what a proxy must not forward is refused here with a reason.

use crate::peer::Trouble;

/// The number of fields that a request may have.
const FIELDS_MAX: usize = 128;

/// A parsed request head.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The minor version: 0 or 1.
    pub(crate) minor: u8,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) framing: Framing,
}

/// The end of a request's body (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

impl Request {
    pub(crate) fn parse(raw: &[u8]) -> Result<Request, Trouble> {
        let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut slots);
        match parsed.parse(raw) {
            Ok(httparse::Status::Complete(len)) if len == raw.len() => {}
            Ok(_) => return Err(Trouble::Bad("the request head is malformed")),
            Err(httparse::Error::TooManyHeaders) => return Err(Trouble::Bad("too many fields")),
            Err(_) => return Err(Trouble::Bad("the request head is malformed")),
        }
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Trouble::Bad("the request line is incomplete"));
        };
        let fields =
            parsed.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
        let mut request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            minor,
            fields,
            framing: Framing::Length(0),
        };
        let hosts = request.values("host").count();
        // RFC 9112 §3.2: exactly one Host in HTTP/1.1, never more than one.
        if hosts > 1 || (hosts == 0 && minor == 1) {
            return Err(Trouble::Bad("exactly one Host field is needed"));
        }
        request.framing = request.find_framing()?;
        Ok(request)
    }

    /// The values of a field, one per line of it.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    /// Whether a field that is a comma-separated list of tokens has this one, in whatever case.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether the connection may carry another request after this one (RFC 9112 §9.3).
    pub(crate) fn is_persistent(&self) -> bool {
        !self.has_token("connection", "close")
            && (self.minor == 1 || self.has_token("connection", "keep-alive"))
    }

    /// Whether the client waits for 100 (Continue) before it sends the body. An HTTP/1.0 client cannot mean
    /// it (RFC 9110 §10.1.1).
    pub(crate) fn expects_continue(&self) -> bool {
        self.minor == 1 && self.framing != Framing::Length(0) && self.has_token("expect", "100-continue")
    }

    /// Whether the answer has a head only.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The status that a target `/status/NNN` asks for.
    pub(crate) fn wanted_status(&self) -> Option<u16> {
        let status: u16 = self.target.strip_prefix("/status/")?.parse().ok()?;
        (200..=599).contains(&status).then_some(status)
    }

    fn find_framing(&self) -> Result<Framing, Trouble> {
        let mut codings = self.values("transfer-encoding");
        let mut lengths = self.values("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Framing::Length(0)),
            (None, Some(length)) => {
                if lengths.next().is_some() {
                    return Err(Trouble::Bad("more than one Content-Length field"));
                }
                parse_length(length)
                    .map(Framing::Length)
                    .ok_or(Trouble::Bad("the Content-Length is no number"))
            }
            // RFC 9112 §6.1: nobody should send both, and it ought to be handled as an error.
            (Some(_), Some(_)) => Err(Trouble::Bad("both Transfer-Encoding and Content-Length")),
            (Some(coding), None) => {
                let only_chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
                if self.minor == 0 || !only_chunked {
                    return Err(Trouble::Bad("a transfer coding other than chunked, or one in HTTP/1.0"));
                }
                Ok(Framing::Chunked)
            }
        }
    }
}

/// Digits only: `u64::from_str` would also take a plus sign.
fn parse_length(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(fields: &str) -> Option<Framing> {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        Request::parse(head.as_bytes()).ok().map(|request| request.framing)
    }

    #[test]
    fn framing_is_taken_only_from_fields_that_cannot_be_misread() {
        assert_eq!(framing(""), Some(Framing::Length(0)));
        assert_eq!(framing("Content-Length: 7\r\n"), Some(Framing::Length(7)));
        assert_eq!(framing("transfer-encoding: Chunked\r\n"), Some(Framing::Chunked));
        for bad in [
            "Content-Length: +7\r\n",
            "Content-Length: \r\n",
            "Content-Length: 7, 7\r\n",
            "Content-Length: 7\r\nContent-Length: 7\r\n",
            "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length : 7\r\n",
            "Host: b\r\n",
        ] {
            assert_eq!(framing(bad), None, "{bad}");
        }
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        let persistent = |head: &str| Request::parse(head.as_bytes()).unwrap().is_persistent();
        assert!(persistent("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!persistent("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"));
        assert!(!persistent("GET / HTTP/1.0\r\n\r\n"));
        assert!(persistent("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    }
}
