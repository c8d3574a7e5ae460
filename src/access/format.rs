//! The forms that an access line can have.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::escape::{push_json, push_milliseconds, push_quoted, push_word};
use super::field::{Field, Value};
use super::layout::{Layout, Piece};
use crate::core::captured::CapturedNames;
use crate::core::outcome::{Cause, Record, without_query};
use crate::http::date::Date;
use crate::snapshot::NO_ADDRESS;
use crate::syntax::grammar::push_decimal;

/// Stands in the place of a hidden text.
const HIDDEN: &str = "[hidden]";

/// The header fields, of either message, in which URIs stand.
const URIS: [&str; 12] = [
    "content-location",
    "destination",
    "link",
    "location",
    "referer",
    "refresh",
    "x-accel-redirect",
    "x-forwarded-uri",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-url",
];

/// The form of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// `name=value`, like the log.
    Text,
    /// An object for each line (RFC 8259).
    Json,
    /// The Common Log Format of Apache httpd.
    Common,
    /// The Common Log Format with Referer and User-Agent.
    Combined,
    /// As a template says.
    Layout(Layout),
}

/// The texts that are hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// The text behind the `?` of a target, and of header fields that are URIs.
    pub query: bool,
    /// The values of these header fields, in lower case.
    pub headers: Vec<String>,
}

/// All that a line is written from.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) record: &'a Record<'a>,
    /// When it ended, since 1970.
    pub(super) at: Duration,
    pub(super) captured_names: &'a CapturedNames,
    pub(super) redaction: &'a Redaction,
}

/// A header field, of either message.
#[derive(Clone, Copy)]
enum Said<'a> {
    Plain(&'a [u8]),
    Hidden,
}

impl LineFormat {
    /// The word of the configuration, or the text of the template.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            LineFormat::Text => "text",
            LineFormat::Json => "json",
            LineFormat::Common => "common",
            LineFormat::Combined => "combined",
            LineFormat::Layout(layout) => layout.text(),
        }
    }

    /// The fields of requests that it cannot do without, in lower case.
    pub(super) fn needs(&self) -> CapturedNames {
        match self {
            LineFormat::Text | LineFormat::Json | LineFormat::Common => CapturedNames::default(),
            LineFormat::Combined => CapturedNames {
                request: ["referer", "user-agent"].map(String::from).into(),
                ..CapturedNames::default()
            },
            LineFormat::Layout(layout) => layout.needs(),
        }
    }

    /// Appends a line, its line feed included. `date` is kept from line to line.
    pub(super) fn write(&self, line: &Line<'_>, date: &mut Date, out: &mut Vec<u8>) {
        match self {
            LineFormat::Text => line.write_text(out),
            LineFormat::Json => line.write_json(out),
            LineFormat::Common => line.write_common(date, out),
            LineFormat::Combined => {
                line.write_common(date, out);
                for name in ["referer", "user-agent"] {
                    out.extend_from_slice(b" \"");
                    line.push_header_quoted(name, out);
                    out.push(b'"');
                }
            }
            LineFormat::Layout(layout) => {
                for piece in layout.pieces() {
                    line.write_piece(piece, date, out);
                }
            }
        }
        out.push(b'\n');
    }
}

impl<'a> Line<'a> {
    fn value(&self, field: Field) -> Option<Value<'a>> {
        let value = field.of(self.record)?;
        Some(if let Value::Target(target) = value { Value::Text(self.shown(target)) } else { value })
    }

    /// A target as it may be shown: without its query, if queries are not.
    fn shown<'t>(&self, target: &'t [u8]) -> &'t [u8] {
        if self.redaction.query { without_query(target) } else { target }
    }

    /// The header fields of the request that the line is to have, by name; of those that are there.
    fn headers(&self, of_response: bool) -> impl Iterator<Item = (&'a str, Said<'a>)> + use<'a> {
        let line = *self;
        let names = if of_response { &line.captured_names.response } else { &line.captured_names.request };
        names.iter().enumerate().filter_map(move |(place, name)| {
            let notes = line.record.captured;
            let value = if of_response { notes.response(place) } else { notes.request(place) }?;
            Some((name.as_str(), line.said(name, value)))
        })
    }

    fn said<'v>(&self, name: &str, value: &'v [u8]) -> Said<'v> {
        if self.redaction.headers.iter().any(|hidden| hidden == name) {
            Said::Hidden
        } else if URIS.contains(&name) {
            Said::Plain(self.shown(value))
        } else {
            Said::Plain(value)
        }
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        push_time(out, self.at);
        out.extend_from_slice(b"  INFO access:");
        for field in Field::ALL {
            let stand_in = field.is_always_there().then_some(Value::Name("-"));
            let Some(value) = self.value(*field).or(stand_in) else { continue };
            out.push(b' ');
            out.extend_from_slice(field.as_str().as_bytes());
            out.push(b'=');
            push_text_value(out, value);
        }
        for (of_response, prefix) in [(false, "request."), (true, "response.")] {
            for (name, said) in self.headers(of_response) {
                for part in [" ", prefix, name, "="] {
                    out.extend_from_slice(part.as_bytes());
                }
                match said {
                    Said::Plain(value) => push_word(out, value),
                    Said::Hidden => out.extend_from_slice(HIDDEN.as_bytes()),
                }
            }
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"timestamp\":\"");
        push_time(out, self.at);
        out.extend_from_slice(b"\",\"target\":\"access\"");
        for field in Field::ALL {
            let Some(value) = self.value(*field) else { continue };
            out.extend_from_slice(b",\"");
            out.extend_from_slice(field.as_str().as_bytes());
            out.extend_from_slice(b"\":");
            push_json_value(out, value);
        }
        for (of_response, name) in [(false, "request_headers"), (true, "response_headers")] {
            self.write_json_headers(of_response, name, out);
        }
        out.push(b'}');
    }

    fn write_json_headers(&self, of_response: bool, object: &str, out: &mut Vec<u8>) {
        let mut is_first = true;
        for (name, said) in self.headers(of_response) {
            if is_first {
                for part in [",\"", object, "\":{"] {
                    out.extend_from_slice(part.as_bytes());
                }
            } else {
                out.push(b',');
            }
            is_first = false;
            push_json(out, name.as_bytes());
            out.push(b':');
            match said {
                Said::Plain(value) => push_json(out, value),
                Said::Hidden => push_json(out, HIDDEN.as_bytes()),
            }
        }
        if !is_first {
            out.push(b'}');
        }
    }

    /// `host ident user [time] "request" status bytes`.
    fn write_common(&self, date: &mut Date, out: &mut Vec<u8>) {
        let record = self.record;
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{} - - [", record.client.ip().to_canonical());
        push_apache_time(out, self.at, date);
        out.extend_from_slice(b"] \"");
        if record.method.is_empty() {
            out.push(b'-');
        } else {
            push_quoted(out, record.method);
            out.push(b' ');
            push_quoted(out, self.shown(record.target));
            if !record.protocol.is_empty() {
                out.push(b' ');
                out.extend_from_slice(record.protocol.as_bytes());
            }
        }
        out.extend_from_slice(b"\" ");
        let _ = write!(out, "{:03} ", status(record));
        push_decimal(out, record.bytes_down);
    }

    /// The header field `name` of the request, between quotes that are there already; `-` if there is none.
    fn push_header_quoted(&self, name: &str, out: &mut Vec<u8>) {
        self.push_said(self.headers(false).find(|(known, _)| *known == name).map(|(_, said)| said), out);
    }

    fn push_said(&self, said: Option<Said<'_>>, out: &mut Vec<u8>) {
        match said {
            None => out.push(b'-'),
            Some(Said::Plain(value)) => push_quoted(out, value),
            Some(Said::Hidden) => out.extend_from_slice(HIDDEN.as_bytes()),
        }
    }

    fn write_piece(&self, piece: &Piece, date: &mut Date, out: &mut Vec<u8>) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Time => push_time(out, self.at),
            Piece::ApacheTime => push_apache_time(out, self.at, date),
            Piece::Request(name) => self.push_header_quoted(name, out),
            Piece::Response(name) => {
                self.push_said(
                    self.headers(true).find(|(known, _)| known == name).map(|(_, said)| said),
                    out,
                );
            }
            Piece::Field(field) => match self.value(*field) {
                None => out.push(b'-'),
                Some(Value::Name(name)) => push_quoted(out, name.as_bytes()),
                Some(Value::Text(text) | Value::Target(text)) => push_quoted(out, text),
                Some(
                    value @ (Value::Word(_)
                    | Value::Number(_)
                    | Value::Span(_)
                    | Value::Flag(_)
                    | Value::Address(_)
                    | Value::Id(_)
                    | Value::Proofs(_)),
                ) => push_text_value(out, value),
            },
        }
    }
}

/// The status as others log it: 499 where a client has left before it was given one.
pub(super) fn status(record: &Record<'_>) -> u16 {
    match (record.status, record.outcome.cause) {
        (0, Some(Cause::ClientAborted)) => 499,
        (status, _) => status,
    }
}

fn push_text_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Word(word) => out.extend_from_slice(word.as_bytes()),
        Value::Name(name) => {
            out.push(b'"');
            push_quoted(out, name.as_bytes());
            out.push(b'"');
        }
        Value::Text(text) | Value::Target(text) => push_word(out, text),
        Value::Number(number) => push_decimal(out, number),
        Value::Span(span) => push_milliseconds(out, span),
        Value::Flag(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        Value::Address(address) => push_address(out, address),
        Value::Id(id) => id.push(out),
        Value::Proofs(proofs) => drop(write!(out, "{proofs}")),
    }
}

fn push_json_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Name(name) => push_json(out, name.as_bytes()),
        Value::Text(text) | Value::Target(text) => push_json(out, text),
        Value::Number(_) | Value::Span(_) | Value::Flag(_) => push_text_value(out, value),
        // Nothing in these needs an escape.
        Value::Word(_) | Value::Address(_) | Value::Id(_) | Value::Proofs(_) => {
            out.push(b'"');
            push_text_value(out, value);
            out.push(b'"');
        }
    }
}

fn push_address(out: &mut Vec<u8>, address: std::net::SocketAddr) {
    let _ = if address == NO_ADDRESS {
        write!(out, "unix")
    } else if address.port() == 0 {
        write!(out, "{}", address.ip())
    } else {
        write!(out, "{address}")
    };
}

/// RFC 3339, UTC, with microseconds.
fn push_time(out: &mut Vec<u8>, at: Duration) {
    drop(write!(out, "{}", humantime::format_rfc3339_micros(UNIX_EPOCH + at)));
}

/// `10/Oct/2000:13:55:36 +0000`.
fn push_apache_time(out: &mut Vec<u8>, at: Duration, date: &mut Date) {
    date.set(at.as_secs());
    // From `Tue, 10 Oct 2000 13:55:36 GMT`.
    let text = date.as_bytes();
    for part in [&text[5..7], b"/", &text[8..11], b"/", &text[12..16], b":", &text[17..25], b" +0000"] {
        out.extend_from_slice(part);
    }
}
