//! The data of the dashboard, its order, and the action that the user has begun.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use pollux::balance::AdminState;
use ratatui::widgets::TableState;

use super::told::{Backend, Passed, StatusPage};

/// Rates and percentiles are of so long.
const WINDOW: Duration = Duration::from_secs(5);

/// The number of rates that are remembered, one a second.
const RATES_MAX: usize = 300;

/// The time for which a message stays.
const SAID: Duration = Duration::from_secs(8);

/// The column by which rows are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// As configured.
    Place,
    State,
    Name,
    InFlight,
    Rate,
    P50,
    P99,
    Failed,
}

impl Column {
    pub(super) const ALL: [Column; 8] = [
        Column::Place,
        Column::State,
        Column::Name,
        Column::InFlight,
        Column::Rate,
        Column::P50,
        Column::P99,
        Column::Failed,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Column::Place => "configuration",
            Column::State => "state",
            Column::Name => "name",
            Column::InFlight => "in flight",
            Column::Rate => "req/s",
            Column::P50 => "p50",
            Column::P99 => "p99",
            Column::Failed => "failed/s",
        }
    }

    pub(super) fn next(self) -> Column {
        let place = Column::ALL.iter().position(|column| *column == self).unwrap_or(0);
        Column::ALL[(place + 1) % Column::ALL.len()]
    }
}

/// A backend as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its place in the configuration.
    place: usize,
    /// As `pool/backend`.
    pub(super) id: String,
    pub(super) backend: Backend,
    pub(super) rate: f64,
    pub(super) failed: f64,
    pub(super) p50: Option<u64>,
    pub(super) p99: Option<u64>,
}

impl Row {
    /// Its condition in a word, with its urgency: the lowest first.
    pub(super) fn condition(&self) -> (u8, &str) {
        match (self.backend.state.as_str(), self.backend.standing.as_str()) {
            ("down", _) => (2, "taken out"),
            ("drain", _) => (3, "draining"),
            (_, "down") => (0, "down"),
            (_, "ejected") => (1, "ejected"),
            (_, "warming") => (4, "warming"),
            (_, "unchecked") => (5, "unchecked"),
            (_, other) => (6, other),
        }
    }
}

/// All that has passed together.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) rate: f64,
    /// The share of exchanges that failed, in thousandths.
    pub(super) failed: u64,
    pub(super) p50: Option<u64>,
    pub(super) p99: Option<u64>,
}

/// The action that follows once it is confirmed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) admin_state: AdminState,
    /// Whether no other backend of the pool takes new requests.
    pub(super) is_last: bool,
}

/// See the module.
pub(super) struct Watch {
    pub(super) has_colours: bool,
    /// Whether nothing but ASCII can be shown.
    pub(super) is_ascii: bool,
    /// Whether keys are ignored.
    pub(super) is_plain: bool,
    pub(super) told: Option<StatusPage>,
    /// The states within the window, the latest last.
    earlier: VecDeque<(Instant, StatusPage)>,
    pub(super) rows: Vec<Row>,
    pub(super) sums: Sums,
    /// Requests a second, the latest last.
    pub(super) rates: VecDeque<u64>,
    /// Causes since this has begun to look, the most frequent first.
    pub(super) causes: Vec<(String, u64)>,
    causes_before: Option<BTreeMap<String, u64>>,
    pub(super) sort: Column,
    pub(super) is_reversed: bool,
    pub(super) table: TableState,
    selected: Option<String>,
    pub(super) plan: Option<Plan>,
    pub(super) details: Option<String>,
    pub(super) shows_help: bool,
    said: Option<(Instant, String)>,
    /// Since when there has been no answer, and why.
    pub(super) lost: Option<(Instant, String)>,
}

impl Watch {
    pub(super) fn new(has_colours: bool, is_ascii: bool, is_plain: bool) -> Watch {
        Watch {
            has_colours,
            is_ascii,
            is_plain,
            told: None,
            earlier: VecDeque::new(),
            rows: Vec::new(),
            sums: Sums::default(),
            rates: VecDeque::new(),
            causes: Vec::new(),
            causes_before: None,
            sort: Column::Place,
            is_reversed: false,
            table: TableState::default(),
            selected: None,
            plan: None,
            details: None,
            shows_help: false,
            said: None,
            lost: None,
        }
    }

    /// Records what Pollux is at.
    pub(super) fn take(&mut self, told: StatusPage, now: Instant) {
        if self.told.as_ref().is_some_and(|before| before.pid != told.pid) {
            // Another process counts from 0 again.
            self.earlier.clear();
            self.causes_before = None;
        }
        self.lost = None;
        self.earlier.push_back((now, told.clone()));
        while self.earlier.len() > 2 && now.duration_since(self.earlier[1].0) >= WINDOW {
            self.earlier.pop_front();
        }
        self.measure(&told, now);
        self.count_causes(&told);
        self.told = Some(told);
        self.arrange();
    }

    fn measure(&mut self, told: &StatusPage, now: Instant) {
        let Some((since, before)) = self.earlier.front().filter(|(since, _)| *since < now) else {
            self.rows = rows(told, told, 1.0);
            return;
        };
        let seconds = now.duration_since(*since).as_secs_f64();
        self.rows = rows(told, before, seconds);
        let all = |told: &StatusPage| {
            let mut sum = Passed::default();
            told.traffic.pools.values().flat_map(|pool| pool.backends.values()).for_each(|one| sum.add(one));
            sum
        };
        let passed = all(told).since(&all(before));
        let bounds = &told.traffic.bounds_us;
        self.sums = Sums {
            rate: passed.count() as f64 / seconds,
            failed: passed.failed() * 1000 / passed.count().max(1),
            p50: passed.quantile(500, bounds),
            p99: passed.quantile(990, bounds),
        };
        self.rates.push_back(self.sums.rate.round() as u64);
        if self.rates.len() > RATES_MAX {
            self.rates.pop_front();
        }
    }

    fn count_causes(&mut self, told: &StatusPage) {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (cause, count) in told.traffic.pools.values().flat_map(|pool| &pool.causes) {
            *counts.entry(cause.clone()).or_default() += count;
        }
        let before = self.causes_before.get_or_insert_with(|| counts.clone());
        let since = counts.into_iter().map(|(cause, count)| {
            let earlier = before.get(&cause).copied().unwrap_or(0);
            (cause, count.saturating_sub(earlier))
        });
        self.causes = since.filter(|(_, count)| *count > 0).collect();
        self.causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }

    /// Puts the rows in order; the selected one stays selected.
    pub(super) fn arrange(&mut self) {
        let sort = self.sort;
        self.rows.sort_by(|a, b| compare(a, b, sort));
        // Of numbers the greatest come first.
        let is_number = match sort {
            Column::Place | Column::State | Column::Name => false,
            Column::InFlight | Column::Rate | Column::P50 | Column::P99 | Column::Failed => true,
        };
        if is_number != self.is_reversed {
            self.rows.reverse();
        }
        let place = self.rows.iter().position(|row| Some(&row.id) == self.selected.as_ref());
        let place = place.or_else(|| (!self.rows.is_empty()).then_some(0));
        self.table.select(place);
        self.selected = place.map(|place| self.rows[place].id.clone());
    }

    /// Moves the selection by so many rows.
    pub(super) fn step(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        let place = self.table.selected().unwrap_or(0).saturating_add_signed(by).min(last);
        self.selected = self.rows.get(place).map(|row| row.id.clone());
        self.table.select(self.selected.is_some().then_some(place));
    }

    /// The row that is selected.
    pub(super) fn row(&self) -> Option<&Row> {
        self.rows.get(self.table.selected()?)
    }

    /// Plans to change the backend that is selected.
    pub(super) fn plan(&mut self, admin_state: AdminState) {
        let Some(row) = self.row() else { return };
        if row.backend.state == admin_state.as_str() {
            let text = format!("{} is {admin_state} already", row.id);
            return self.say(text);
        }
        let pool = row.id.split_once('/').map_or("", |(pool, _)| pool);
        let is_other = |other: &Row| {
            other.id != row.id && other.id.split_once('/').is_some_and(|(name, _)| name == pool)
        };
        let serves = |other: &Row| other.backend.state == "ready" && other.backend.weight > 0;
        let is_last = admin_state != AdminState::Ready
            && !self.rows.iter().any(|other| is_other(other) && serves(other));
        self.plan = Some(Plan { id: row.id.clone(), admin_state, is_last });
    }

    pub(super) fn say(&mut self, text: String) {
        self.said = Some((Instant::now(), text));
    }

    /// The latest message, if it is recent.
    pub(super) fn said(&self) -> Option<&str> {
        self.said.as_ref().filter(|(since, _)| since.elapsed() < SAID).map(|(_, text)| text.as_str())
    }

    pub(super) fn detail(&mut self, text: String) {
        self.details = Some(text);
    }

    /// Records that there is no answer.
    pub(super) fn lose(&mut self, why: String, now: Instant) {
        let since = self.lost.as_ref().map_or(now, |(since, _)| *since);
        self.lost = Some((since, why));
    }
}

fn rows(told: &StatusPage, before: &StatusPage, seconds: f64) -> Vec<Row> {
    let nothing = Passed::default();
    let passed = |told: &'_ StatusPage, pool: &str, backend: &str| -> Passed {
        let served = told.traffic.pools.get(pool).and_then(|pool| pool.backends.get(backend));
        served.unwrap_or(&nothing).clone()
    };
    let bounds = &told.traffic.bounds_us;
    let row = |pool: &str, backend: &Backend| {
        let span = passed(told, pool, &backend.name).since(&passed(before, pool, &backend.name));
        Row {
            place: 0,
            id: format!("{pool}/{}", backend.name),
            backend: backend.clone(),
            rate: span.count() as f64 / seconds,
            failed: span.failures() as f64 / seconds,
            p50: span.quantile(500, bounds),
            p99: span.quantile(990, bounds),
        }
    };
    let all = told.pools.iter().flat_map(|pool| pool.backends.iter().map(|backend| row(&pool.name, backend)));
    all.enumerate().map(|(place, row)| Row { place, ..row }).collect()
}

fn compare(a: &Row, b: &Row, sort: Column) -> Ordering {
    match sort {
        Column::Place => a.place.cmp(&b.place),
        Column::State => a.condition().0.cmp(&b.condition().0),
        Column::Name => a.id.cmp(&b.id),
        Column::InFlight => a.backend.in_flight.cmp(&b.backend.in_flight),
        Column::Rate => a.rate.total_cmp(&b.rate),
        Column::P50 => a.p50.cmp(&b.p50),
        Column::P99 => a.p99.cmp(&b.p99),
        Column::Failed => a.failed.total_cmp(&b.failed),
    }
}
