//! Field lines as they are appended to a head.

use crate::core::identity::RequestId;
use crate::message::Version;
use crate::route::{Context, FieldEdits, Template};
use crate::syntax::grammar::push_decimal;

/// The field that says what a request is called.
pub(crate) const REQUEST_ID: &[u8] = b"X-Request-ID";

/// Appends a field line.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends Content-Length.
pub(crate) fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends Via; a line of its own behind those that are there is the same as a further member of their list.
pub(crate) fn push_via(out: &mut Vec<u8>, version: Version) {
    let value = match version {
        Version::Http10 => b"1.0 pollux",
        Version::Http11 => b"1.1 pollux",
        Version::Http2 => b"2.0 pollux",
    };
    push_field(out, b"Via", value);
}

/// Appends it.
pub(crate) fn push_request_id(out: &mut Vec<u8>, id: RequestId<'_>) {
    out.extend_from_slice(REQUEST_ID);
    out.extend_from_slice(b": ");
    id.push(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that a route writes.
pub(crate) fn push_edits(out: &mut Vec<u8>, edits: &FieldEdits, context: &Context<'_>) {
    for (name, value) in edits.written() {
        push_template(out, name, value, context);
    }
}

/// Appends a field line whose value is a template.
pub(crate) fn push_template(out: &mut Vec<u8>, name: &str, value: &Template, context: &Context<'_>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value.render(context, out);
    out.extend_from_slice(b"\r\n");
}
