//! The reply to a request.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

/// A body that is shorter, in bytes, goes out as it is.
const WORTH_IT: usize = 1024;

/// The type of a body.
pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    /// The body as gzip, if that is sent in its place.
    pub(super) gzip: Option<Vec<u8>>,
    /// Fields that not every reply has.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn text(status: u16, body: impl Into<String>) -> Reply {
        Reply { status, content_type: TEXT, body: body.into(), gzip: None, fields: Vec::new() }
    }

    pub(super) fn json(body: &serde_json::Value) -> Reply {
        Reply { content_type: JSON, ..Reply::text(200, body.to_string()) }
    }

    /// An error in words, as `{"error": …}`.
    pub(super) fn error(status: u16, why: &str) -> Reply {
        Reply { status, ..Reply::json(&json!({ "error": why.trim_end() })) }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.fields.push((name, value.into()));
        self
    }

    /// Sends it as gzip where `accepted`, the Accept-Encoding of the request, takes that and it is worth it.
    pub(super) fn encoded(mut self, accepted: Option<&str>) -> Reply {
        if self.body.len() < WORTH_IT || !accepted.is_some_and(accepts_gzip) {
            return self;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to a Vec cannot fail; if it did the reply would go out as it is.
        self.gzip = encoder.write_all(self.body.as_bytes()).and_then(|()| encoder.finish()).ok();
        self
    }

    /// Writes it, without the body if it `is_head`. No reply may be kept, framed, or taken for something else
    /// than it is.
    pub(super) fn write(&self, to: &mut impl Write, is_head: bool) -> io::Result<()> {
        let mut text = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.gzip.as_ref().map_or(self.body.len(), Vec::len)
        );
        if self.gzip.is_some() {
            text.push_str("Content-Encoding: gzip\r\n");
        }
        // Nothing may be kept, so this is for those that do so all the same.
        text.push_str("Vary: Accept-Encoding\r\n");
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let body = match &self.gzip {
            _ if is_head => &[],
            Some(gzip) => gzip.as_slice(),
            None => self.body.as_bytes(),
        };
        to.write_all(&[text.as_bytes(), body].concat())
    }
}

/// Whether an Accept-Encoding takes gzip (RFC 9110 §12.5.3): it names it, or all, and not with a weight of 0.
fn accepts_gzip(field: &str) -> bool {
    let weight = |name: &str| {
        field.split(',').find_map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let is_it = coding.trim().eq_ignore_ascii_case(name);
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.parse().ok());
            is_it.then_some(weight.unwrap_or(0.0))
        })
    };
    weight("gzip").or_else(|| weight("x-gzip")).or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for (field, is_taken) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br, *", true),
            ("x-gzip", true),
            ("gzip;q=0, *", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("gzipped", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(field), is_taken, "{field}");
        }
    }

    #[test]
    fn what_is_encoded_is_the_same() {
        let long = "pollux_backend_up 1\n".repeat(100);
        let written = |reply: Reply| {
            let mut out = Vec::new();
            reply.write(&mut out, false).unwrap();
            let head_len = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            (String::from_utf8(out[..head_len].to_vec()).unwrap(), out[head_len..].to_vec())
        };
        let (head, body) = written(Reply::text(200, long.as_str()).encoded(Some("gzip")));
        assert!(head.contains("Content-Encoding: gzip\r\n") && body.len() < 200, "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        let mut text = String::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, long);
        for reply in
            [Reply::text(200, long.as_str()).encoded(None), Reply::text(200, "short").encoded(Some("gzip"))]
        {
            let (head, body) = written(reply.clone());
            assert!(!head.contains("Content-Encoding") && body == reply.body.as_bytes());
        }
    }
}
