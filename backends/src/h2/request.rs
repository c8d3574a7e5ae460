//! A request as its fields, held to RFC 9113 §8.2 and §8.3 without leniency.

use pollux_core::h2::fields::Fields;

/// A request head.
pub(super) struct RequestFields {
    pub(super) method: String,
    pub(super) path: String,
    authority: Option<Vec<u8>>,
    fields: Vec<(String, Vec<u8>)>,
    /// The length that the request promises.
    pub(super) length: Option<u64>,
}

impl RequestFields {
    /// Reads a field block; `None` if it is no proper request.
    pub(super) fn read(block: &Fields) -> Option<RequestFields> {
        let (mut method, mut path, mut scheme, mut authority) = (None, None, None, None);
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        for field in block.iter() {
            let name = std::str::from_utf8(field.name).ok()?;
            let value = field.value.to_vec();
            if field.value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
                return None;
            }
            let Some(pseudo) = name.strip_prefix(':') else {
                let is_token =
                    |byte: &u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && *byte != b':';
                let is_forbidden = matches!(
                    name,
                    "connection" | "proxy-connection" | "keep-alive" | "transfer-encoding" | "upgrade"
                ) || (name == "te" && value != b"trailers");
                if name.is_empty() || !name.as_bytes().iter().all(is_token) || is_forbidden {
                    return None;
                }
                fields.push((name.to_owned(), value));
                continue;
            };
            let place = match pseudo {
                "method" => &mut method,
                "path" => &mut path,
                "scheme" => &mut scheme,
                "authority" => &mut authority,
                _ => return None,
            };
            if !fields.is_empty() || place.replace(value).is_some() {
                return None;
            }
        }
        scheme?;
        let text = |value: Option<Vec<u8>>| String::from_utf8(value?).ok().filter(|text| !text.is_empty());
        let mut request =
            RequestFields { method: text(method)?, path: text(path)?, authority, fields, length: None };
        request.length = request.promised_length().ok()?;
        Some(request)
    }

    /// The value of Content-Length, which is one number if it is there.
    fn promised_length(&self) -> Result<Option<u64>, ()> {
        let lengths: Vec<&[u8]> = self.values("content-length").collect();
        let [length] = lengths[..] else { return if lengths.is_empty() { Ok(None) } else { Err(()) } };
        let text = std::str::from_utf8(length).map_err(|_| ())?;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number).map(Some).ok_or(())
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| &value[..])
    }

    /// The value of a field.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &value[..])
    }

    /// Whether this is a call of gRPC; gRPC-Web is not.
    pub(super) fn is_grpc(&self) -> bool {
        let kind = self.value("content-type").unwrap_or_default();
        kind.strip_prefix(b"application/grpc")
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    }

    /// The head as HTTP/1.1 has it; a body without a length comes in chunks.
    pub(super) fn text(&self, ends: bool) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        let mut push = |name: &str, value: &[u8]| {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value);
            text.extend_from_slice(b"\r\n");
        };
        if self.value("host").is_none() {
            push("host", self.authority.as_deref().unwrap_or_default());
        }
        for (name, value) in &self.fields {
            push(name, value);
        }
        if self.is_chunked(ends) {
            push("transfer-encoding", b"chunked");
        }
        text.extend_from_slice(b"\r\n");
        text
    }

    /// Whether the body is one in chunks to the code that behaves.
    pub(super) fn is_chunked(&self, ends: bool) -> bool {
        !ends && self.length.is_none()
    }
}
