//! Counters and histograms of a running Pollux, and their text format for Prometheus.
//!
//! Each worker counts in memory of its own, with plain loads and stores, where the record of an exchange is
//! made; it never waits. A reader ([`Hub::totals`]) adds up the counts of all workers while they go on. The
//! numbers of a listener, a route, a pool and a backend are found by their names, so a reload takes nothing
//! back. The number of series is bounded (`hub.rs`).

mod cell;
mod families;
mod histogram;
mod hub;
mod meter;
mod page;
mod text;
mod totals;

pub use families::{FAMILIES, MetricFamily, Sort};
pub use histogram::{BOUNDED, HistogramCounts, bound};
pub use hub::{Hub, LISTENERS_MAX, Meters, OTHER, POOLS_MAX, WorkerMeters, labels_of};
pub use meter::{CAUSES, CLASS_WORDS, CLASSES, Holdings, TurnPhase};
pub use page::{Around, BACKEND_STATES, BackendFigures, Expiry, PoolNow, STATES, page};
pub use text::MetricsFormat;
pub use totals::{BackendTotals, ListenerTotals, PoolTotals, Totals};
