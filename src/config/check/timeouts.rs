//! `[timeouts]`.

use std::time::Duration;

use super::site::Site;
use crate::config::code::Code;
use crate::config::excerpt::Place;
use crate::config::language;
use crate::config::read::Reader;
use crate::config::report::{Diagnostic, Findings, Reported};
use crate::config::settings;
use crate::config::value::show_duration;
use crate::snapshot::Timeouts;

pub(super) fn check(
    root: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Timeouts, Reported> {
    let mut timeouts = Timeouts::default();
    if let Some(table) = root.table("timeouts", &language::TIMEOUTS, findings)? {
        let read = settings::read(&language::TIMEOUTS, table, &mut timeouts, site, findings);
        connect_fires(table, &timeouts, findings);
        read?;
    }
    Ok(timeouts)
}

/// The times of a route, if it has any of its own; the others are those of the whole.
pub(in crate::config) fn of_route(
    route: Reader<'_>,
    site: &mut Site<'_>,
    findings: &mut Findings,
) -> Result<Option<Timeouts>, Reported> {
    let Some(table) = route.table("timeouts", &language::ROUTE_TIMEOUTS, findings)? else { return Ok(None) };
    let mut timeouts = site.timeouts.clone();
    let read = settings::read(&language::ROUTE_TIMEOUTS, table, &mut timeouts, site, findings);
    if table.has("connect") || table.has("queue") {
        connect_fires(table, &timeouts, findings);
    }
    read.map(|()| Some(timeouts))
}

/// Warns if the time for all attempts is over before that for a single one. `table` is where they are
/// written.
pub(super) fn connect_fires(table: Reader<'_>, timeouts: &Timeouts, findings: &mut Findings) {
    if timeouts.connect < timeouts.queue {
        return;
    }
    let place = |key: &str| table.time(key).map(|(_, place)| place);
    let (connect, queue) = (place("connect"), place("queue"));
    let show = |key: &str, time: Duration, place: Option<Place>| {
        let shown = show_duration(time);
        if place.is_some() {
            format!("`{key}` is {shown}")
        } else {
            format!("`{key}` is {shown} if nothing is said")
        }
    };
    let [connect_label, queue_label] =
        [show("connect", timeouts.connect, connect), show("queue", timeouts.queue, queue)];
    let mut found =
        Diagnostic::new(Code::NeverFires, "`connect` can never fire: `queue` ends all attempts before");
    for (place, label) in [(connect, &connect_label), (queue, &queue_label)] {
        if let Some(place) = place {
            found = found.mark(place, label.clone());
        }
    }
    let help = format!("make `connect` shorter than `queue`: {connect_label}, {queue_label}");
    findings.push(found.help(help));
}
