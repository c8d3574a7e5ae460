//! A request that came by HTTP/2 as the value that routing, policy and edits see.
//!
//! [`head::request`](super::head::request) has judged its fields: no byte of a method, path, authority, name
//! or value can end a line of text. [`read`] makes the same [`Head`] of them that the reader of HTTP/1.1 makes
//! of the same request. So a writer of HTTP/1.1 makes one head of it, and no other rule is needed.

use std::str::from_utf8;

use super::fields::{Fields, HeaderField};
use super::head::{RequestHead, join_cookies};
use crate::core::bounds::Limits;
use crate::core::outcome::Cause;
use crate::message::{BodyLength, Facts, FieldLine, FieldTable, Head, Name, RequestLine, Version};

/// The `:protocol` of a WebSocket.
pub const WEBSOCKET: &str = "websocket";

const SOCKET_KEY: &str = "sec-websocket-key";

/// The head of the request that was judged as `judged` and came with `fields`, of which the last one has the
/// end of the stream if `ends_stream`. Cookies that came in several fields are joined in `cookies` (RFC 9113
/// §8.2.3). The fields are put into `table`.
///
/// Host stands first, and has what `:authority` says (RFC 9113 §8.3.1). An extended CONNECT (RFC 8441) becomes
/// the GET with Upgrade that it stands for; one for `websocket` gets `socket_key` as its Sec-WebSocket-Key, which
/// HTTP/2 does not have (§5).
///
/// # Errors
/// The cause for which the request is refused.
pub fn read<'a, 'h: 'a>(
    judged: &RequestHead<'h>,
    fields: &'h Fields,
    ends_stream: bool,
    cookies: &'h mut Vec<u8>,
    table: &'a mut FieldTable<'h>,
    socket_key: &'h str,
    limits: &Limits,
) -> Result<Head<'a>, Cause> {
    table.clear();
    cookies.clear();
    join_cookies(fields, cookies);
    let cookies: &'h [u8] = cookies;
    let mut taken = Taken { facts: Facts::default(), table, limits };
    taken.add(FieldLine { name: "host", value: judged.authority.as_bytes(), kind: Name::Host })?;
    if let Some(protocol) = judged.protocol {
        taken.add(FieldLine { name: "connection", value: b"upgrade", kind: Name::Connection })?;
        taken.add(FieldLine { name: "upgrade", value: protocol.as_bytes(), kind: Name::Upgrade })?;
    }
    let is_socket = judged.protocol == Some(WEBSOCKET);
    if is_socket {
        taken.add(FieldLine::new(SOCKET_KEY, socket_key.as_bytes()))?;
    }
    let mut has_cookies = false;
    for HeaderField { name, value, .. } in fields.iter() {
        let value = match name {
            b"host" => continue,
            b"cookie" if std::mem::replace(&mut has_cookies, true) => continue,
            b"cookie" => cookies,
            _ if name.starts_with(b":") => continue,
            _ if is_socket && name == SOCKET_KEY.as_bytes() => continue,
            _ => value,
        };
        taken.add(FieldLine::new(from_utf8(name).map_err(|_| Cause::BadField)?, value))?;
    }
    let body = match judged.length {
        _ if ends_stream || judged.protocol.is_some() => BodyLength::Empty,
        Some(0) => BodyLength::Empty,
        Some(length) => BodyLength::Known(length),
        None => BodyLength::Open,
    };
    let method = if judged.protocol.is_some() { "GET" } else { judged.method };
    let line = RequestLine { version: Version::Http2, method, target: judged.path };
    let Taken { facts, table, .. } = taken;
    facts.check_bounds()?;
    facts.head(line, body, table)
}

/// The fields that were taken so far.
struct Taken<'a, 'h, 'l> {
    facts: Facts<'h>,
    table: &'a mut FieldTable<'h>,
    limits: &'l Limits,
}

impl<'h> Taken<'_, 'h, '_> {
    fn add(&mut self, field: FieldLine<'h>) -> Result<(), Cause> {
        if self.table.len() == self.limits.fields {
            return Err(Cause::HeadTooLong);
        }
        self.facts.take(&field, self.limits)?;
        self.table.try_push(field).map_err(|_| Cause::HeadTooLong)
    }
}

#[cfg(test)]
mod tests;
