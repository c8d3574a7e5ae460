//! The meters by name: each worker writes meters of its own, which are found by name, so counts outlive the
//! configuration.
//!
//! A worker looks its meters up once for each configuration, behind a lock, and then counts by places. A
//! reader adds up the meters of all workers. Meters of a name that is in no configuration in use are removed
//! when the next configuration comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::meter::{BackendMeter, Gauges, Holdings, ListenerMeter, PoolMeter, RouteMeter, TurnPhase};
use super::totals::{BackendTotals, PoolTotals, Totals};
use crate::core::outcome::{Cause, ExchangePlaces, Record};
use crate::snapshot::{BackendId, Snapshot};

/// So many listeners and pools of a configuration have series of their own; the rest of them share those
/// called [`OTHER`]. The numbers of routes and backends that have are `limits.route_series` and
/// `limits.backend_series`.
pub const LISTENERS_MAX: usize = 64;
/// See [`LISTENERS_MAX`].
pub const POOLS_MAX: usize = 64;

/// The name for those beyond the bounds.
pub const OTHER: &str = "other";

/// The name of nothing: of the route of a request that no route has matched, the pool of one that went to
/// none, the backend of one that had none.
const NO_NAME: &str = "";

/// All meters of a process.
#[derive(Debug, Default)]
pub struct Hub {
    known: Mutex<Known>,
}

/// By worker.
type ByWorker<T> = Vec<Arc<T>>;

#[derive(Debug, Default)]
struct Known {
    workers: Vec<Arc<Gauges>>,
    /// By name.
    listeners: BTreeMap<String, ByWorker<ListenerMeter>>,
    /// By listener and name.
    routes: BTreeMap<(String, String), ByWorker<RouteMeter>>,
    /// By name.
    pools: BTreeMap<String, ByWorker<PoolMeter>>,
    /// By pool and name.
    backends: BTreeMap<(String, String), ByWorker<BackendMeter>>,
}

/// The part of one worker. Only the thread of that worker counts.
#[derive(Debug)]
pub struct WorkerMeters {
    number: usize,
    gauges: Arc<Gauges>,
}

impl WorkerMeters {
    /// Shows what the worker holds.
    pub fn show(&self, holdings: &Holdings) {
        self.gauges.show(holdings);
    }
}

/// The meters of one worker for one snapshot, by place.
#[derive(Debug)]
pub struct Meters {
    listeners: Box<[ListenerMeters]>,
    pools: Box<[PoolMeters]>,
    /// Of the exchanges that went to no pool.
    nowhere: PoolMeters,
}

#[derive(Debug)]
struct ListenerMeters {
    meter: Arc<ListenerMeter>,
    routes: Box<[Arc<RouteMeter>]>,
    no_route: Arc<RouteMeter>,
}

#[derive(Debug)]
struct PoolMeters {
    meter: Arc<PoolMeter>,
    backends: Box<[Arc<BackendMeter>]>,
    no_backend: Arc<BackendMeter>,
}

impl Hub {
    /// The meters of one more worker, with the number `worker`.
    pub fn worker_meters(&self, worker: usize) -> WorkerMeters {
        let mut known = self.lock();
        let (number, gauges) = (known.workers.len(), Arc::<Gauges>::default());
        gauges.show(&Holdings { worker, ..Holdings::default() });
        known.workers.push(Arc::clone(&gauges));
        WorkerMeters { number, gauges }
    }

    /// The meters of the worker at `meters` for `snapshot`. A name that was in an earlier snapshot goes on
    /// counting from there.
    pub fn open(&self, meters: &WorkerMeters, snapshot: &Snapshot) -> Meters {
        let mut known = self.lock();
        let meters = known.meters(meters.number, snapshot);
        known.prune();
        meters
    }

    /// The counts of all workers.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let known = self.lock();
        let mut totals = Totals::default();
        for (name, meters) in &known.listeners {
            let sums = totals.listeners.entry(name.clone()).or_default();
            meters.iter().for_each(|meter| sums.take(meter));
        }
        for (name, meters) in &known.routes {
            let sums = totals.routes.entry(name.clone()).or_default();
            meters.iter().for_each(|meter| meter.classes.add_to(sums));
        }
        for (name, meters) in &known.pools {
            let mut sums = PoolTotals::default();
            meters.iter().for_each(|meter| sums.take(meter));
            totals.pools.insert(name.clone(), sums);
        }
        for (name, meters) in &known.backends {
            let mut sums = BackendTotals::default();
            meters.iter().for_each(|meter| sums.take(meter));
            totals.backends.insert(name.clone(), sums);
        }
        totals.workers = known.workers.iter().map(|gauges| gauges.read()).collect();
        totals.workers.sort_by_key(|holdings| holdings.worker);
        totals
    }

    /// A thread that panics with the lock may leave entries missing in the maps; they are made anew.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn meters(&mut self, worker: usize, snapshot: &Snapshot) -> Meters {
        let names = Names::of(snapshot);
        let listener = |(name, routes): &(&str, Vec<&str>)| {
            let route = |route: &&str| {
                let slots = self.routes.entry((String::from(*name), String::from(*route))).or_default();
                of_worker(slots, worker)
            };
            ListenerMeters {
                routes: routes.iter().map(route).collect(),
                no_route: of_worker(
                    self.routes.entry((String::from(*name), NO_NAME.into())).or_default(),
                    worker,
                ),
                meter: of_worker(self.listeners.entry(String::from(*name)).or_default(), worker),
            }
        };
        let listeners = names.listeners.iter().map(listener).collect();
        let pools = names.pools.iter().map(|(name, backends)| self.pool(worker, name, backends)).collect();
        Meters { listeners, pools, nowhere: self.pool(worker, NO_NAME, &[]) }
    }

    fn pool(&mut self, worker: usize, name: &str, backends: &[&str]) -> PoolMeters {
        let backend = |backend: &str| {
            let slots = self.backends.entry((name.to_owned(), backend.to_owned())).or_default();
            of_worker(slots, worker)
        };
        let mut backend = backend;
        PoolMeters {
            backends: backends.iter().map(|name| backend(name)).collect(),
            no_backend: backend(NO_NAME),
            meter: of_worker(self.pools.entry(name.to_owned()).or_default(), worker),
        }
    }

    /// Removes the meters that no configuration in use has.
    fn prune(&mut self) {
        fn is_used<T>(meters: &mut ByWorker<T>) -> bool {
            meters.iter().any(|meter| Arc::strong_count(meter) > 1)
        }
        self.listeners.retain(|_, meters| is_used(meters));
        self.routes.retain(|_, meters| is_used(meters));
        self.pools.retain(|_, meters| is_used(meters));
        self.backends.retain(|_, meters| is_used(meters));
    }
}

/// The one of that worker.
fn of_worker<T: Default>(slots: &mut ByWorker<T>, worker: usize) -> Arc<T> {
    if slots.len() <= worker {
        slots.resize_with(worker + 1, Arc::default);
    }
    Arc::clone(&slots[worker])
}

/// The names in a snapshot as labels, with the bounds in force.
struct Names<'a> {
    /// Each with its routes.
    listeners: Vec<(&'a str, Vec<&'a str>)>,
    /// Each with its backends.
    pools: Vec<(&'a str, Vec<&'a str>)>,
}

impl<'a> Names<'a> {
    fn of(snapshot: &'a Snapshot) -> Names<'a> {
        fn bounded(is_within: bool, name: &str) -> &str {
            if is_within { name } else { OTHER }
        }
        let (mut routes_seen, mut backends_seen) = (0, 0);
        let mut listeners = Vec::new();
        for (number, listener) in snapshot.listeners.iter().enumerate() {
            let mut routes = Vec::new();
            for route in listener.routes.routes() {
                routes.push(bounded(routes_seen < snapshot.limits.route_series, &route.name));
                routes_seen += 1;
            }
            listeners.push((bounded(number < LISTENERS_MAX, &listener.name), routes));
        }
        let mut pools = Vec::new();
        for (number, pool) in snapshot.pools.iter().enumerate() {
            let mut backends = Vec::new();
            for backend in &pool.backends {
                backends.push(bounded(
                    number < POOLS_MAX && backends_seen < snapshot.limits.backend_series,
                    &backend.name,
                ));
                backends_seen += 1;
            }
            pools.push((bounded(number < POOLS_MAX, &pool.name), backends));
        }
        Names { listeners, pools }
    }
}

/// The names of the pools of a snapshot in labels, each with those of its backends.
#[must_use]
pub fn labels_of(snapshot: &Snapshot) -> Vec<(&str, Vec<&str>)> {
    Names::of(snapshot).pools
}

impl Meters {
    /// Counts a client that was taken in by the listener at `listener`.
    pub fn note_client(&self, listener: usize) {
        self.listeners[listener].meter.clients.add(1);
    }

    /// Counts an exchange that has ended.
    pub fn note(&self, record: &Record<'_>, places: ExchangePlaces) {
        let listener = &self.listeners[places.listener];
        listener.meter.bytes_up.add(record.bytes_up);
        listener.meter.bytes_down.add(record.bytes_down);
        let route = places.route.and_then(|route| listener.routes.get(route)).unwrap_or(&listener.no_route);
        route.classes.note(record.status);
        let pool = places.pool.map_or(&self.nowhere, |pool| &self.pools[pool.0]);
        let backend = places.backend.and_then(|backend| pool.backends.get(backend));
        backend.unwrap_or(&pool.no_backend).note(record);
        if let Some(cause) = record.outcome.cause {
            pool.meter.causes.note(cause);
        }
        if let Some(status) = record.grpc_status {
            pool.meter.calls[usize::from(status.number())].add(1);
        }
        for proof in record.retried.iter() {
            pool.meter.retries[proof as usize].add(1);
        }
        if record.budget_spent {
            pool.meter.budget_spent.add(1);
        }
    }

    /// Counts a connection to a backend that stands; `span` is how long it took, where that is known.
    pub fn note_connected(&self, id: BackendId, span: Duration) {
        let backend = self.backend(id);
        backend.opened.add(1);
        backend.note_phase(TurnPhase::Connect, span);
    }

    /// Counts an exchange on a connection that has served one before.
    pub fn note_reused(&self, id: BackendId) {
        self.backend(id).reused.add(1);
    }

    /// Counts an attempt that a backend has failed.
    pub fn note_failure(&self, id: BackendId, cause: Cause) {
        self.backend(id).failures.note(cause);
    }

    fn backend(&self, id: BackendId) -> &BackendMeter {
        &self.pools[id.pool.0].backends[id.index]
    }
}

impl PoolTotals {
    fn take(&mut self, meter: &PoolMeter) {
        meter.causes.add_to(&mut self.causes);
        for (sum, retries) in self.retries.iter_mut().zip(&meter.retries) {
            *sum += retries.get();
        }
        for (sum, calls) in self.calls.iter_mut().zip(&meter.calls) {
            *sum += calls.get();
        }
        self.budget_spent += meter.budget_spent.get();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::page::{Around, page};
    use super::super::text::MetricsFormat;
    use super::*;
    use crate::core::captured::NO_NOTES;
    use crate::core::grpc::GrpcStatus;
    use crate::core::identity::RequestId;
    use crate::core::outcome::{Outcome, Proof, Proofs, Spans, Stage};
    use crate::snapshot::{Address, Backend, Limits, Listener, Mode, Pool, PoolId, Timeouts};

    fn snapshot(pools: &[(&str, &[&str])]) -> Snapshot {
        let address = |port| (Ipv4Addr::LOCALHOST, port).into();
        let backend = |name: &&str| Backend::new(*name, Address::Ip(address(1)), 1);
        let pool =
            |(name, backends): &(&str, &[&str])| Pool::new(*name, backends.iter().map(backend).collect());
        Snapshot {
            listeners: vec![Listener::to_pool("web", address(0), Mode::Http, PoolId(0))],
            pools: pools.iter().map(pool).collect(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        }
    }

    fn record(status: u16, cause: Option<Cause>) -> Record<'static> {
        let mut retried = Proofs::default();
        retried.push(Proof::Unsent);
        Record {
            client: (Ipv4Addr::LOCALHOST, 1).into(),
            proxy: None,
            listener: "",
            mode: Mode::Http,
            method: b"",
            target: b"",
            authority: b"",
            protocol: "",
            request_id: RequestId::Own(1),
            trace_id: "",
            status,
            grpc_status: None,
            route: None,
            pool: "",
            backend: None,
            attempts: 2,
            retried,
            budget_spent: false,
            queued: None,
            asked: None,
            reused: false,
            bytes_up: 10,
            bytes_down: 20,
            spans: Spans {
                head: Some(Duration::from_millis(1)),
                opened: Some(Duration::from_millis(3)),
                response: Some(Duration::from_millis(7)),
                whole: Duration::from_millis(15),
            },
            outcome: Outcome { cause, stage: Stage::Response },
            tls_info: None,
            captured: &NO_NOTES,
        }
    }

    fn at(pool: usize, backend: Option<usize>) -> ExchangePlaces {
        ExchangePlaces { listener: 0, route: Some(0), pool: Some(PoolId(pool)), backend }
    }

    fn of(totals: &Totals, pool: &str, backend: &str) -> BackendTotals {
        totals.backends[&(pool.to_owned(), backend.to_owned())]
    }

    #[test]
    fn an_exchange_is_counted_where_it_was() {
        let (hub, snapshot) = (Hub::default(), snapshot(&[("app", &["a", "b"])]));
        let meters = hub.open(&hub.worker_meters(0), &snapshot);
        meters.note(&record(200, None), at(0, Some(1)));
        let failed =
            Record { grpc_status: Some(GrpcStatus::Unavailable), ..record(503, Some(Cause::NoBackend)) };
        meters.note(&failed, at(0, None));
        meters.note(&record(400, Some(Cause::BadHost)), ExchangePlaces::default());
        let totals = hub.totals();
        let seen = of(&totals, "app", "b");
        let ms = |phase: TurnPhase| (seen.phase(phase).count(), seen.phase(phase).sum_ns / 1_000_000);
        assert_eq!(
            TurnPhase::ALL.map(ms),
            [(1, 1), (0, 0), (1, 2), (0, 0), (1, 4), (1, 8), (1, 15)],
            "count and sum of each phase"
        );
        assert_eq!((seen.classes, seen.exchanges()), ([0, 0, 1, 0, 0, 0], 1));
        assert_eq!(of(&totals, "app", "").classes, [0, 0, 0, 0, 0, 1]);
        assert_eq!(of(&totals, "", "").classes, [0, 0, 0, 0, 1, 0]);
        assert_eq!(totals.pools["app"].causes[Cause::NoBackend as usize], 1);
        assert_eq!(totals.pools[""].causes[Cause::BadHost as usize], 1);
        assert_eq!(totals.pools["app"].retries, [2, 0, 0, 0, 0, 0]);
        let calls = totals.pools["app"].calls;
        assert_eq!((calls[14], calls.iter().sum::<u64>()), (1, 1));
        assert_eq!((totals.listeners["web"].bytes_up, totals.listeners["web"].bytes_down), (30, 60));
        assert_eq!(totals.pool("app").exchanges(), 2);
        assert_eq!(totals.since(&totals).pool("app"), BackendTotals::default());
    }

    #[test]
    fn workers_add_up_and_a_reload_takes_nothing_back() {
        let hub = Hub::default();
        let (first, second) = (hub.worker_meters(0), hub.worker_meters(1));
        let old = snapshot(&[("app", &["a", "gone"])]);
        let old = [hub.open(&first, &old), hub.open(&second, &old)];
        old.iter().for_each(|meters| meters.note(&record(200, None), at(0, Some(0))));
        // The first worker goes on to another configuration, and the second is still about to.
        let new = snapshot(&[("other", &["x"]), ("app", &["a"])]);
        let meters = hub.open(&first, &new);
        meters.note(&record(200, None), at(1, Some(0)));
        old[1].note(&record(200, None), at(0, Some(1)));
        assert_eq!(of(&hub.totals(), "app", "a").exchanges(), 3);
        assert_eq!(of(&hub.totals(), "app", "gone").exchanges(), 1);
        let _latest = [meters, hub.open(&second, &new)];
        drop(old);
        // A backend that has gone is shown until its place is needed.
        assert_eq!(of(&hub.totals(), "app", "gone").exchanges(), 1);
        let _meters = hub.open(&first, &new);
        assert!(!hub.totals().backends.contains_key(&("app".into(), "gone".into())));
        assert_eq!(of(&hub.totals(), "app", "a").exchanges(), 3);
    }

    #[test]
    fn series_are_bounded() {
        let hub = Hub::default();
        let meters = hub.worker_meters(0);
        let most = Limits::default().backend_series;
        let names: Vec<String> = (0..2 * most).map(|number| format!("b{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all: Vec<_> = names.iter().map(|name| (*name, &["x"][..])).chain([("app", &names[..])]).collect();
        let meters = hub.open(&meters, &snapshot(&all));
        meters.note(&record(200, None), at(2 * most, Some(2 * most - 1)));
        meters.note(&record(200, None), at(2 * most - 1, Some(0)));
        let totals = hub.totals();
        assert_eq!(of(&totals, OTHER, OTHER).exchanges(), 2);
        assert_eq!(totals.pools.len(), POOLS_MAX + 2, "with `other`, and the one of no name");
        assert!(totals.backends.len() <= most + 2 * POOLS_MAX + 3, "{}", totals.backends.len());
        let many = snapshot(&[("app", &names)]);
        let totals = {
            let hub = Hub::default();
            let meters = hub.open(&hub.worker_meters(0), &many);
            meters.note(&record(200, None), at(0, Some(most)));
            hub.totals()
        };
        assert_eq!(totals.backends.len(), most + 3);
        assert_eq!(of(&totals, "app", OTHER).exchanges(), 1);
    }

    #[test]
    fn hostile_names_stay_in_their_quotes() {
        let name = "a\"} 1\npollux_evil 1 \\";
        let (hub, snapshot) = (Hub::default(), snapshot(&[(name, &[name])]));
        let meters = hub.open(&hub.worker_meters(0), &snapshot);
        meters.note(&record(200, None), at(0, Some(0)));
        let text = page(&hub.totals(), &Around::default(), MetricsFormat::Text);
        assert!(text.lines().all(|line| line.starts_with("# ") || line.starts_with("pollux_")), "{text}");
        assert!(!text.contains("\npollux_evil"), "{text}");
        assert!(text.contains(r#"pool="a\"} 1\npollux_evil 1 \\",backend="#), "{text}");
    }
}
