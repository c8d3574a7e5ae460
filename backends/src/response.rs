//! Writes response heads.

use std::fmt::{Display, Write as _};

/// A response head in the making.
pub(crate) struct Response(String);

impl Response {
    /// Begins with the status line and the name of the backend.
    pub(crate) fn new(status: u16, backend: &str) -> Response {
        Response(format!("HTTP/1.1 {status} {}\r\n", reason(status))).field("X-Backend", backend)
    }

    /// Adds a field.
    pub(crate) fn field(mut self, name: &str, value: impl Display) -> Response {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{name}: {value}\r\n");
        self
    }

    /// The whole head, with its empty line.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.0.push_str("\r\n");
        self.0.into_bytes()
    }
}

/// An interim response: a status line and perhaps fields, never a body (RFC 9110 §15.2).
pub(crate) fn interim(status: u16, fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} {}\r\n{fields}\r\n", reason(status)).into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
