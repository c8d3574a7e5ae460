//! `[limits]` and `[recorder]`.

use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Told};
use crate::config::value::show_size;
use crate::snapshot::{Limits, Recording};

pub(super) fn check(root: Reader<'_>, findings: &mut Findings) -> Result<Limits, Told> {
    let before = findings.errors();
    let recorder = recording(root, findings);
    let default = Limits::default();
    let Some(table) = root.table("limits", &language::LIMITS, findings)? else {
        return Ok(Limits { recorder: recorder?, ..default });
    };
    let head = Size::read(table, "head", default.head);
    let request_line = Size::read(table, "request_line", default.request_line);
    let buffer = Size::read(table, "buffer", default.buffer);
    at_most(&request_line, &head, findings);
    at_most(&head, &buffer, findings);
    let count = |key: &str, default| table.count(key).unwrap_or(default);
    findings.since(before)?;
    Ok(Limits {
        fields: count("fields", default.fields),
        sessions: count("sessions", default.sessions),
        buffers: count("buffers", default.buffers),
        per_client: table.count("per_client"),
        handshakes: count("handshakes", default.handshakes),
        accept_budget: count("accept_budget", default.accept_budget),
        idle_per_backend: count("idle_per_backend", default.idle_per_backend),
        route_series: count("route_series", default.route_series),
        backend_series: count("backend_series", default.backend_series),
        idle: count("idle", default.idle),
        body: table.size_or_none("body").map_or(default.body, |(body, _)| body),
        head: head.bytes,
        request_line: request_line.bytes,
        field: Size::read(table, "field", default.field).bytes,
        buffer: buffer.bytes,
        recorder: recorder?,
    })
}

/// `[recorder]`.
fn recording(root: Reader<'_>, findings: &mut Findings) -> Result<Recording, Told> {
    let default = Recording::default();
    let Some(table) = root.table("recorder", &language::RECORDER, findings)? else { return Ok(default) };
    Ok(Recording {
        slow: table.time("slow").map_or(default.slow, |(time, _)| time),
        keep: table.count("keep").unwrap_or(default.keep),
    })
}

/// A size together with where it was written, if it was.
struct Size {
    key: &'static str,
    place: Option<Place>,
    bytes: usize,
    /// Whether it is written, but not as a size.
    is_broken: bool,
}

impl Size {
    fn read(table: Reader<'_>, key: &'static str, default: usize) -> Size {
        let read = table.size(key);
        Size {
            key,
            place: read.map(|(_, place)| place),
            bytes: read.map_or(default, |(bytes, _)| bytes),
            is_broken: table.has(key) && read.is_none(),
        }
    }
}

/// `low` must not exceed `high`.
fn at_most(low: &Size, high: &Size, findings: &mut Findings) {
    if low.bytes <= high.bytes || low.is_broken || high.is_broken {
        return;
    }
    let [low_shown, high_shown] = [low.bytes, high.bytes].map(|bytes| show_size(bytes as u64));
    let message = format!("`{}` is greater than `{}`", low.key, high.key);
    let mut found = Diagnostic::new(Code::Contradiction, message);
    for (size, shown) in [(low, &low_shown), (high, &high_shown)] {
        if let Some(place) = size.place {
            found = found.mark(place, format!("`{}` is {shown}", size.key));
        }
    }
    let other = match (low.place, high.place) {
        (Some(_), None) => format!("; without a line of its own `{}` is {high_shown}", high.key),
        (None, Some(_)) => format!("; without a line of its own `{}` is {low_shown}", low.key),
        (Some(_), Some(_)) | (None, None) => String::new(),
    };
    let help = format!("raise `{}` to {low_shown} or lower `{}` to {high_shown}{other}", high.key, low.key);
    findings.push(found.help(help));
}
