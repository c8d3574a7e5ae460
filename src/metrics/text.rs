//! The text that Prometheus reads: its own format (0.0.4), or OpenMetrics 1.0.
//!
//! Three kinds of lines are all there is to it. The crates for it bring registries of their own, which would
//! count beside the workers' meters, so the lines are written here; the tests have other people's parsers
//! read them.

use std::fmt::{Display, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::families::{MetricFamily, Sort};
use super::histogram::{BOUNDED, HistogramCounts, Shown, bound};

/// The format of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsFormat {
    /// The text format of Prometheus, version 0.0.4.
    #[default]
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// The Content-Type to serve it with.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            MetricsFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
            MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A text that grows. Writing to a String cannot fail.
#[derive(Debug)]
pub(super) struct Writer {
    text: String,
    format: MetricsFormat,
}

impl Writer {
    pub(super) fn new(format: MetricsFormat) -> Writer {
        Writer { text: String::with_capacity(64 * 1024), format }
    }

    /// Begins a metric; all of its samples follow.
    pub(super) fn begin(&mut self, family: &'static MetricFamily) -> Samples<'_> {
        // OpenMetrics names a counter without what its samples end with.
        let name = match self.format {
            MetricsFormat::Text => family.name,
            MetricsFormat::OpenMetrics => family.name.strip_suffix("_total").unwrap_or(family.name),
        };
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        let _ = writeln!(self.text, "# HELP {name} {help}");
        let _ = writeln!(self.text, "# TYPE {name} {}", family.sort.as_str());
        Samples { text: &mut self.text, family }
    }

    pub(super) fn end(mut self) -> String {
        if self.format == MetricsFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// The samples of a metric.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    text: &'a mut String,
    family: &'static MetricFamily,
}

impl Samples<'_> {
    /// A sample, with the values of the metric's labels in their order.
    pub(super) fn add(&mut self, labels: &[&str], value: impl Display) {
        debug_assert_ne!(self.family.sort, Sort::Histogram);
        self.sample("", labels, None, value);
    }

    /// The samples of a histogram: its buckets that are `shown`. Where nothing was counted all of them would
    /// be 0, which is what they add to others where they are missing.
    pub(super) fn add_histogram(&mut self, labels: &[&str], counts: &HistogramCounts, shown: &Shown) {
        let (mut count, is_empty) = (0, counts.count() == 0);
        for (place, bucket) in counts.buckets.iter().enumerate() {
            count += bucket;
            if !shown.has(place) || (is_empty && place < BOUNDED) {
                continue;
            }
            let le = if place < BOUNDED { seconds(bound(place)) } else { String::from("+Inf") };
            self.sample("_bucket", labels, Some(&le), count);
        }
        self.sample("_sum", labels, None, seconds(Duration::from_nanos(counts.sum_ns)));
        self.sample("_count", labels, None, count);
    }

    fn sample(&mut self, suffix: &str, labels: &[&str], le: Option<&str>, value: impl Display) {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "{}", self.family.name);
        let _ = write!(self.text, "{}{suffix}", self.family.name);
        let named = self.family.labels.iter().copied().zip(labels.iter().copied());
        let mut separator = '{';
        for (name, value) in named.chain(le.map(|le| ("le", le))) {
            let _ = write!(self.text, "{separator}{name}=\"");
            escape(self.text, value);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str(r"\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str(r"\n"),
            c => text.push(c),
        }
    }
}

/// A span in seconds, exactly.
pub(super) fn seconds(span: Duration) -> String {
    let text = format!("{}.{:09}", span.as_secs(), span.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::families::{CONNECT_SECONDS, UP, WORKERS};
    use super::*;

    fn written(write: impl FnOnce(&mut Writer)) -> String {
        let mut writer = Writer::new(MetricsFormat::Text);
        write(&mut writer);
        let is_sample = |line: &&str| !line.starts_with('#');
        writer.end().lines().filter(is_sample).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn labels_are_escaped() {
        let text = written(|writer| writer.begin(&UP).add(&["a\"b\\c\nd", "é{}"], 1));
        assert_eq!(text, "pollux_backend_up{pool=\"a\\\"b\\\\c\\nd\",backend=\"é{}\"} 1\n");
        assert_eq!(written(|writer| writer.begin(&WORKERS).add(&[], 2)), "pollux_workers 2\n");
    }

    #[test]
    fn buckets_add_up_and_those_far_from_any_span_are_left_out() {
        let mut counts = HistogramCounts { sum_ns: 1_500_000_000, ..HistogramCounts::default() };
        (counts.buckets[0], counts.buckets[2], counts.buckets[BOUNDED]) = (1, 2, 4);
        let text = written(|writer| {
            let shown = Shown::of([&counts, &HistogramCounts::default()].into_iter());
            let mut samples = writer.begin(&CONNECT_SECONDS);
            samples.add_histogram(&["p", "b"], &counts, &shown);
            samples.add_histogram(&["p", "c"], &HistogramCounts::default(), &shown);
        });
        let name = "pollux_backend_connect_seconds";
        let bounds =
            ["0.00005", "0.0001", "0.0002", "0.0004", "0.0008", "0.0128", "0.2048", "3.2768", "52.4288"];
        let counts = [1, 1, 3, 3, 3, 3, 3, 3, 3];
        let bucket = |(le, count)| format!("{name}_bucket{{pool=\"p\",backend=\"b\",le=\"{le}\"}} {count}");
        let mut expected: Vec<String> = bounds.into_iter().zip(counts).map(bucket).collect();
        expected.push(bucket(("+Inf", 7)));
        expected.push(format!("{name}_sum{{pool=\"p\",backend=\"b\"}} 1.5"));
        expected.push(format!("{name}_count{{pool=\"p\",backend=\"b\"}} 7"));
        expected.push(format!("{name}_bucket{{pool=\"p\",backend=\"c\",le=\"+Inf\"}} 0"));
        expected.push(format!("{name}_sum{{pool=\"p\",backend=\"c\"}} 0"));
        expected.push(format!("{name}_count{{pool=\"p\",backend=\"c\"}} 0"));
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn seconds_are_exact() {
        let told = [0, 1, 50_000, 1_000_000_000, 12_500_000_000].map(Duration::from_nanos).map(seconds);
        assert_eq!(told, ["0", "0.000000001", "0.00005", "1", "12.5"]);
    }

    #[test]
    fn openmetrics_names_counters_without_their_ending() {
        let mut writer = Writer::new(MetricsFormat::OpenMetrics);
        writer.begin(&super::super::families::RELOADS).add(&[], 3);
        let text = writer.end();
        assert!(text.contains("# TYPE pollux_config_reloads counter\npollux_config_reloads_total 3\n"));
        assert!(text.ends_with("\n# EOF\n"));
    }
}
