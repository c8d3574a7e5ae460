//! `[limits]` and `[recorder]`.

use super::site::Site;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::config::value::show_size;
use crate::snapshot::{Limits, Recording};

pub(super) fn check(
    root: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Limits, Reported> {
    let recorder = recording(root, site, findings);
    let mut limits = Limits::default();
    if let Some(table) = root.table("limits", &language::LIMITS, findings)? {
        let before = findings.errors();
        let read = settings::read(&language::LIMITS, table, &mut limits, site, findings);
        let size = |key, bytes| Size::new(table, key, bytes);
        let head = size("head", limits.head);
        at_most(&size("request_line", limits.request_line), &head, findings);
        at_most(&head, &size("buffer", limits.buffer), findings);
        findings.since(before)?;
        read?;
    }
    Ok(Limits { recorder: recorder?, ..limits })
}

/// `[recorder]`.
fn recording(root: Reader<'_>, site: &mut Site<'_>, findings: &mut Findings) -> Result<Recording, Reported> {
    let mut recording = Recording::default();
    if let Some(table) = root.table("recorder", &language::RECORDER, findings)? {
        settings::read(&language::RECORDER, table, &mut recording, site, findings)?;
    }
    Ok(recording)
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
    fn new(table: Reader<'_>, key: &'static str, bytes: usize) -> Size {
        let read = table.size::<usize>(key);
        let is_broken = table.has(key) && read.is_none();
        Size { key, place: read.map(|(_, place)| place), bytes, is_broken }
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
