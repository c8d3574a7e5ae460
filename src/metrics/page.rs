//! The whole page: what was counted, and what can be seen at this moment.

use std::collections::BTreeMap;
use std::time::Duration;

use super::families::{self as family, MetricFamily};
use super::histogram::Shown;
use super::meter::{CLASS_WORDS, CLASSES, Holdings, TurnPhase};
use super::text::{MetricsFormat, Writer, seconds};
use super::totals::{BackendTotals, ListenerTotals, Totals};
use crate::access::LineCounts;
use crate::core::outcome::{Cause, Proof, Who};
use crate::os::ProcessUsage;
use crate::room::{Ground, Measure};

/// The state that is shown beside the counts.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The version of Pollux.
    pub version: &'static str,
    /// Workers that run.
    pub workers: usize,
    /// Whether it drains.
    pub is_draining: bool,
    /// When the configuration was loaded, since 1970.
    pub loaded: Duration,
    /// The number of reloads.
    pub reloads: u64,
    /// The counts of lines of the access log.
    pub access_lines: LineCounts,
    /// `limits.sessions` and `limits.buffers`.
    pub sessions_max: usize,
    /// See `sessions_max`.
    pub buffers_max: usize,
    /// By name.
    pub pools: BTreeMap<String, PoolNow>,
    /// By pool and name.
    pub backends: BTreeMap<(String, String), BackendFigures>,
    /// The certificates of the listeners.
    pub certificates: Vec<Expiry>,
    /// The process; `None` where the system does not tell.
    pub process: Option<ProcessUsage>,
}

/// The validity of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// The name of its listener.
    pub listener: String,
    /// Its file.
    pub certificate: String,
    /// Until then, in seconds since 1970.
    pub not_after: i64,
    /// In whole days from now; below 0 once it has expired.
    pub days: i64,
    /// For how many seconds a new one could not be taken; 0 if it can be.
    pub stale_s: i64,
}

/// The state of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolNow {
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that are being sent again.
    pub retrying: u32,
    /// Whether all backends are used because too few are well.
    pub panics: bool,
}

/// The state of a backend, or of several that have one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendFigures {
    /// A word of [`BACKEND_STATES`].
    pub word: &'static str,
    /// The state that the operator wants, a word of [`STATES`].
    pub state: &'static str,
    /// Requests in flight.
    pub in_flight: u64,
    /// Connections.
    pub connections: u64,
    /// The number of ejections.
    pub ejections: u64,
    /// Checks that it has passed.
    pub passed: u64,
    /// Checks that it has failed.
    pub failed: u64,
}

/// The states of a backend.
pub const BACKEND_STATES: [&str; 5] = ["up", "warming", "unchecked", "down", "ejected"];

/// The states of a backend that an operator can want.
pub const STATES: [&str; 3] = ["ready", "drain", "down"];

impl BackendFigures {
    /// Takes in another one of the same name. Their common state is that of the first one that is not up.
    pub fn join(&mut self, other: &BackendFigures) {
        if self.word.is_empty() || (self.is_up() && !other.is_up()) {
            self.word = other.word;
        }
        if self.state.is_empty() || self.state == "ready" {
            self.state = other.state;
        }
        self.in_flight += other.in_flight;
        self.connections += other.connections;
        self.ejections += other.ejections;
        self.passed += other.passed;
        self.failed += other.failed;
    }

    fn is_up(&self) -> bool {
        matches!(self.word, "up" | "warming")
    }
}

/// Writes all metrics.
#[must_use]
pub fn page(totals: &Totals, around: &Around, format: MetricsFormat) -> String {
    let mut writer = Writer::new(format);
    write_process_wide(&mut writer, around);
    write_listeners(&mut writer, totals);
    write_pools(&mut writer, totals, around);
    write_backends(&mut writer, totals, around);
    for phase in TurnPhase::ALL {
        write_phase(&mut writer, phase, totals);
    }
    write_workers(&mut writer, totals, around);
    write_certificates(&mut writer, around);
    if let Some(process) = &around.process {
        write_process(&mut writer, process);
    }
    writer.end()
}

fn write_process_wide(writer: &mut Writer, around: &Around) {
    writer.begin(&family::BUILD_INFO).add(&[around.version], 1);
    writer.begin(&family::WORKERS).add(&[], around.workers);
    writer.begin(&family::DRAINING).add(&[], u8::from(around.is_draining));
    writer.begin(&family::LOADED).add(&[], seconds(around.loaded));
    writer.begin(&family::RELOADS).add(&[], around.reloads);
    let lines = around.access_lines;
    let mut family = writer.begin(&family::ACCESS_LINES);
    family.add(&["taken"], lines.taken);
    family.add(&["dropped"], lines.dropped);
}

fn write_listeners(writer: &mut Writer, totals: &Totals) {
    let of = |writer: &mut Writer, family: &'static MetricFamily, value: fn(&ListenerTotals) -> u64| {
        let mut samples = writer.begin(family);
        totals.listeners.iter().for_each(|(name, sums)| samples.add(&[name], value(sums)));
    };
    of(writer, &family::CLIENTS, |sums| sums.clients);
    let mut samples = writer.begin(&family::REQUESTS);
    for ((listener, route), classes) in &totals.routes {
        for (word, count) in told_classes(classes, !route.is_empty()) {
            samples.add(&[listener, route, word], count);
        }
    }
    of(writer, &family::BYTES_UP, |sums| sums.bytes_up);
    of(writer, &family::BYTES_DOWN, |sums| sums.bytes_down);
}

/// The classes that are shown: those with a count; and for a backend that exists those that are likely to
/// come, so that the first one shows as an increase.
fn told_classes(classes: &[u64; CLASSES], exists: bool) -> impl Iterator<Item = (&'static str, u64)> {
    let is_likely = move |word: &str| exists && matches!(word, "2xx" | "3xx" | "4xx" | "5xx");
    let named = CLASS_WORDS.into_iter().zip(*classes);
    named.filter(move |(word, count)| *count > 0 || is_likely(word))
}

fn write_pools(writer: &mut Writer, totals: &Totals, around: &Around) {
    let mut samples = writer.begin(&family::FAILURES);
    for (pool, sums) in &totals.pools {
        for (cause, count) in Cause::ALL.iter().zip(sums.causes) {
            samples.add(&[pool, cause.as_str(), &cause.who().to_string()], count);
        }
    }
    // A request that no pool serves is never retried.
    let named = || totals.pools.iter().filter(|(pool, _)| !pool.is_empty());
    let mut samples = writer.begin(&family::RETRIES);
    for (pool, sums) in named() {
        for (proof, count) in Proof::ALL.iter().zip(sums.retries) {
            samples.add(&[pool, &proof.to_string()], count);
        }
    }
    let mut samples = writer.begin(&family::GRPC);
    for (pool, sums) in &totals.pools {
        // Most pools have no calls.
        for (number, count) in sums.calls.iter().enumerate().filter(|(_, count)| **count > 0) {
            samples.add(&[pool, &number.to_string()], *count);
        }
    }
    let mut samples = writer.begin(&family::BUDGET_SPENT);
    named().for_each(|(pool, sums)| samples.add(&[pool], sums.budget_spent));
    let now = |writer: &mut Writer, family: &'static MetricFamily, value: fn(&PoolNow) -> usize| {
        let mut samples = writer.begin(family);
        around.pools.iter().for_each(|(pool, now)| samples.add(&[pool], value(now)));
    };
    now(writer, &family::WAITING, |now| now.waiting);
    now(writer, &family::RETRYING, |now| now.retrying as usize);
    now(writer, &family::PANICS, |now| usize::from(now.panics));
}

fn write_backends(writer: &mut Writer, totals: &Totals, around: &Around) {
    let mut samples = writer.begin(&family::BACKEND_REQUESTS);
    for ((pool, backend), sums) in &totals.backends {
        for (word, count) in told_classes(&sums.classes, !backend.is_empty()) {
            samples.add(&[pool, backend, word], count);
        }
    }
    let named = || totals.backends.iter().filter(|((_, backend), _)| !backend.is_empty());
    let mut samples = writer.begin(&family::BACKEND_FAILURES);
    for ((pool, backend), sums) in named() {
        for (cause, count) in Cause::ALL.iter().zip(sums.failures) {
            // Only what can be a backend's fault.
            if cause.who() == Who::Backend || count > 0 {
                samples.add(&[pool, backend, cause.as_str()], count);
            }
        }
    }
    let of = |writer: &mut Writer, family: &'static MetricFamily, value: fn(&BackendTotals) -> u64| {
        let mut samples = writer.begin(family);
        named().for_each(|((pool, backend), sums)| samples.add(&[pool, backend], value(sums)));
    };
    of(writer, &family::OPENED, |sums| sums.opened);
    of(writer, &family::REUSED, |sums| sums.reused);
    write_standings(writer, around);
}

fn write_standings(writer: &mut Writer, around: &Around) {
    let now = |writer: &mut Writer, family: &'static MetricFamily, value: fn(&BackendFigures) -> u64| {
        let mut samples = writer.begin(family);
        around
            .backends
            .iter()
            .for_each(|((pool, backend), health)| samples.add(&[pool, backend], value(health)));
    };
    now(writer, &family::EJECTIONS, |health| health.ejections);
    let mut samples = writer.begin(&family::CHECKS);
    for ((pool, backend), health) in &around.backends {
        samples.add(&[pool, backend, "passed"], health.passed);
        samples.add(&[pool, backend, "failed"], health.failed);
    }
    now(writer, &family::UP, |health| u64::from(health.is_up()));
    let mut samples = writer.begin(&family::STANDING);
    for ((pool, backend), health) in &around.backends {
        for word in BACKEND_STATES {
            samples.add(&[pool, backend, word], u8::from(word == health.word));
        }
    }
    let mut samples = writer.begin(&family::STATE);
    for ((pool, backend), health) in &around.backends {
        for state in STATES {
            samples.add(&[pool, backend, state], u8::from(state == health.state));
        }
    }
    now(writer, &family::IN_FLIGHT, |health| health.in_flight);
    now(writer, &family::CONNECTIONS, |health| health.connections);
}

fn write_phase(writer: &mut Writer, phase: TurnPhase, totals: &Totals) {
    let shown = Shown::of(totals.backends.values().map(|sums| sums.phase(phase)));
    let mut samples = writer.begin(phase.family());
    for ((pool, backend), sums) in &totals.backends {
        let counts = sums.phase(phase);
        // In most pools no request ever waits, and most exchanges without a backend reach no phase.
        let is_likely = !backend.is_empty() && phase != TurnPhase::Queue;
        if is_likely || counts.count() > 0 {
            samples.add_histogram(&[pool, backend], counts, &shown);
        }
    }
}

fn write_workers(writer: &mut Writer, totals: &Totals, around: &Around) {
    let of = |writer: &mut Writer, family: &'static MetricFamily, value: fn(&Holdings) -> u64| {
        let mut samples = writer.begin(family);
        for holdings in &totals.workers {
            samples.add(&[&holdings.worker.to_string()], value(holdings));
        }
    };
    of(writer, &family::SESSIONS, |holdings| holdings.sessions as u64);
    of(writer, &family::PARKED, |holdings| holdings.parked as u64);
    writer.begin(&family::SESSIONS_MAX).add(&[], around.sessions_max);
    let mut samples = writer.begin(&family::ROOM_MADE);
    for holdings in &totals.workers {
        for (ground, count) in Ground::ALL.iter().zip(holdings.made_room) {
            samples.add(&[&holdings.worker.to_string(), ground.as_str()], count);
        }
    }
    of(writer, &family::REFUSED, |holdings| holdings.refused);
    let mut samples = writer.begin(&family::SHORT);
    for holdings in &totals.workers {
        for (measure, count) in Measure::ALL.iter().zip(holdings.short) {
            samples.add(&[&holdings.worker.to_string(), measure.as_str()], count);
        }
    }
    of(writer, &family::IDLE, |holdings| holdings.idle as u64);
    of(writer, &family::BUFFERS, |holdings| holdings.buffers as u64);
    writer.begin(&family::BUFFERS_MAX).add(&[], around.buffers_max);
    of(writer, &family::PIPES, |holdings| holdings.pipes as u64);
    of(writer, &family::TURNS, |holdings| holdings.turns);
}

fn write_certificates(writer: &mut Writer, around: &Around) {
    let of = |writer: &mut Writer, family: &'static MetricFamily, value: fn(&Expiry) -> i64| {
        let mut samples = writer.begin(family);
        for expiry in &around.certificates {
            samples.add(&[&expiry.listener, &expiry.certificate], value(expiry));
        }
    };
    of(writer, &family::CERTIFICATE_ENDS, |expiry| expiry.not_after);
    of(writer, &family::CERTIFICATE_DAYS, |expiry| expiry.days);
    of(writer, &family::CERTIFICATE_STALE, |expiry| expiry.stale_s);
}

fn write_process(writer: &mut Writer, process: &ProcessUsage) {
    writer.begin(&family::CPU).add(&[], seconds(process.cpu));
    writer.begin(&family::RESIDENT).add(&[], process.resident);
    writer.begin(&family::VIRTUAL).add(&[], process.mapped);
    writer.begin(&family::OPEN_FDS).add(&[], process.descriptors);
    writer.begin(&family::MAX_FDS).add(&[], process.descriptors_max);
    writer.begin(&family::THREADS).add(&[], process.threads);
    writer.begin(&family::STARTED).add(&[], seconds(process.started));
}

#[cfg(test)]
mod tests {
    use super::super::families::FAMILIES;
    use super::*;

    fn around() -> Around {
        let health =
            BackendFigures { word: "ejected", in_flight: 3, ejections: 1, ..BackendFigures::default() };
        Around {
            version: "1.2.3",
            pools: [(String::from("app"), PoolNow { waiting: 7, ..PoolNow::default() })].into(),
            backends: [((String::from("app"), String::from("b1")), health)].into(),
            process: Some(ProcessUsage::default()),
            ..Around::default()
        }
    }

    #[test]
    fn every_metric_is_written_once_and_in_order() {
        let text = page(&Totals::default(), &around(), MetricsFormat::Text);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let expected = FAMILIES.iter().map(|family| format!("{} {}", family.name, family.sort.as_str()));
        assert_eq!(types.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_standing_is_one_of_those_there_are() {
        let text = page(&Totals::default(), &around(), MetricsFormat::Text);
        let one = "{pool=\"app\",backend=\"b1\"";
        for line in [
            &format!("pollux_backend_up{one}}} 0"),
            &format!("pollux_backend_standing{one},standing=\"ejected\"}} 1"),
            &format!("pollux_backend_standing{one},standing=\"up\"}} 0"),
            &format!("pollux_backend_requests_in_flight{one}}} 3"),
            &format!("pollux_backend_ejections_total{one}}} 1"),
            "pollux_pool_requests_waiting{pool=\"app\"} 7",
            "pollux_build_info{version=\"1.2.3\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn backends_of_one_name_are_told_as_one() {
        let of = |word, in_flight| BackendFigures { word, in_flight, ..BackendFigures::default() };
        let mut all = BackendFigures::default();
        for one in [of("up", 1), of("down", 2), of("warming", 4)] {
            all.join(&one);
        }
        assert_eq!(all, of("down", 7));
    }
}
