//! The explanation of a request: each route that was tried, the one that was taken, the request as the
//! backend gets it, the backends that were considered and the one that was picked.
//!
//! Nothing is decided here. Routing is rehearsed by the session's own code, and the backend is picked by
//! `balance`; this room asks them and tells what they say.

mod question;
mod render;
#[cfg(test)]
mod tests;
mod trial;

use serde::Serialize;

use crate::balance::{
    self, BackendView, Exclusion, FULL_SHARE, NoBackend, PickRequest, Picked, PoolView, RoundRobin, Rule,
};
use crate::core::budget::Budget;
use crate::core::identity::{Ids, RequestId};
use crate::core::time::Time;
use crate::http::date::Date;
use crate::policy::Judged;
use crate::route::miss::{Miss, miss};
use crate::route::{self, Action, Decision, Split};
use crate::session::{DryRunEnd, Env, dry_run, dry_run_connection};
use crate::snapshot::SourcePlaces;
use crate::snapshot::{BackendId, Mode, Pool, PoolId, Snapshot};

pub use question::{Ask, ExplainQuestion, QuestionError, Shown, What};
pub use trial::{TestExpectation, TestOutcome, Trial};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The listener's name.
    pub listener: String,
    /// The client, behind the proxies that are trusted.
    pub client: Option<String>,
    /// The routes in their order, up to the one that was taken.
    pub routes: Vec<Tried>,
    /// The verdicts of the route's policies, up to the first one that answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Judged>,
    /// The end, if all authorities agree that would be asked.
    pub end: End,
}

/// A route that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// Where it stands, as `file:line`.
    pub place: String,
    /// Why it does not match; `None` for the one that was taken.
    pub missed: Option<String>,
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A backend is asked.
    Forwarded(Forwarded),
    /// The route answers by itself.
    Answered {
        /// The status.
        status: u16,
        /// The lines of the head.
        head: Vec<String>,
        /// The length of the body.
        body_bytes: usize,
    },
    /// Pollux answers for a cause.
    Refused {
        /// The status, if there is an answer.
        status: Option<u16>,
        /// The cause.
        cause: &'static str,
    },
    /// Pollux tells what it can do.
    Options,
}

/// A request that goes to a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forwarded {
    /// The pool.
    pub pool: String,
    /// The way in which the pool was chosen, if there were several.
    pub split: Option<String>,
    /// The lines of the head that the backend gets; none where bytes are passed.
    pub head: Vec<String>,
    /// The backends of the pool.
    pub candidates: Vec<ConsideredBackend>,
    /// The backend that is picked, if any can be.
    pub picked: Option<String>,
    /// By which rule.
    pub rule: String,
    /// The picks of the workers of a running Pollux, if one was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<AtWorker>,
}

/// The pick of one worker of a running Pollux.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtWorker {
    /// The number of the worker, counted from 0.
    pub worker: usize,
    /// The backend that it would pick now.
    pub picked: Option<String>,
    /// The word of the rule behind that.
    pub rule: Option<&'static str>,
    /// The number of idle connections to each candidate, in their order.
    pub idle: Vec<usize>,
}

/// The state of one worker, as far as a decision depends on it.
#[derive(Clone, Debug, Default)]
pub struct WorkerState {
    /// The number of the worker, counted from 0.
    pub worker: usize,
    /// By pool: the state of its round robin.
    pub robins: Vec<RoundRobin>,
    /// The random number of its next decision.
    pub random: u64,
    /// By pool, then by backend: how many idle connections wait.
    pub idle: Vec<Vec<usize>>,
    /// By pool, then by backend: what all workers know of it.
    pub readings: Vec<Vec<BackendReading>>,
}

/// The state of a backend, as the workers of a running Pollux see it.
#[derive(Clone, Copy, Debug)]
pub struct BackendReading {
    /// See [`BackendView::share`].
    pub share: u32,
    /// Why it cannot be used, if it cannot.
    pub exclusion: Option<Exclusion>,
    /// The requests that it has in flight.
    pub in_flight: u32,
    /// Its latency, in nanoseconds.
    pub latency: Option<u64>,
}

/// A backend that was considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsideredBackend {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// Its tier.
    pub tier: u8,
    /// Why it is not picked, independent of the other backends.
    pub excluded: Option<String>,
}

/// Explains what becomes of `question`. `robin` is the state of the pool's round robin, for a pool that is
/// asked.
#[must_use]
pub fn explain(
    snapshot: &Snapshot,
    places: &SourcePlaces,
    question: &ExplainQuestion,
    robin: impl FnOnce(PoolId) -> RoundRobin,
) -> Explanation {
    explain_with(snapshot, places, question, robin, &[])
}

fn explain_with(
    snapshot: &Snapshot,
    places: &SourcePlaces,
    question: &ExplainQuestion,
    robin: impl FnOnce(PoolId) -> RoundRobin,
    live: &[WorkerState],
) -> Explanation {
    let date = Date::new(0);
    // A dry run may show the same number each time.
    let ids = Ids::new(0);
    let bodies = Budget::new(0);
    let env = Env::new(Time::ZERO, &date, snapshot, &ids, &bodies);
    let listener = &snapshot.listeners[question.listener];
    let (mut tried, mut split) = (Vec::new(), None);
    let mut look = |view: &route::RequestView<'_>| {
        tried = tell_routes(snapshot, places, question.listener, view);
        split = tell_split(snapshot, question.listener, view);
    };
    let (number, peer) = (question.listener, question.peer);
    let dry_run = match &question.what {
        What::Request { head, tls_info } => dry_run(&env, number, peer, head, tls_info.as_deref(), &mut look),
        What::Connection(hello) => dry_run_connection(&env, number, peer, hello, &mut look),
    };
    let end = match dry_run.end {
        DryRunEnd::Forwarded { pool: id, head, key, bound } => {
            let pool = snapshot.pool(id);
            let readings = live.first().and_then(|live| live.readings.get(id.0)).map(Vec::as_slice);
            let view = Imagined { pool, id, question, readings };
            let asked = PickRequest { key, bound, ..PickRequest::default() };
            let picked = balance::pick(pool, &view, &asked, &mut robin(id));
            let mut candidates = candidates(pool, balance::exclusions(pool, &view, &asked));
            if let Ok(Picked { place, .. }) = picked {
                // The backend that the client is bound to is picked whatever excludes it for other clients.
                candidates[place].excluded = None;
            }
            End::Forwarded(Forwarded {
                pool: pool.name.clone(),
                split,
                head: lines(&head),
                candidates,
                picked: picked.ok().map(|picked| pool.backends[picked.place].name.clone()),
                rule: tell_rule(pool, picked),
                workers: live.iter().map(|live| at_worker(pool, id, &view, &asked, live)).collect(),
            })
        }
        DryRunEnd::Answered { status, answer } => {
            let end =
                answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
            End::Answered { status, head: lines(&answer[..end]), body_bytes: answer.len() - end }
        }
        DryRunEnd::Refused(cause) => {
            // A TCP client gets no status.
            let status = cause.status().filter(|_| listener.mode == Mode::Http);
            End::Refused { status, cause: cause.as_str() }
        }
        DryRunEnd::Options => End::Options,
    };
    Explanation {
        listener: listener.name.clone(),
        client: dry_run.client.map(|client| client.to_string()),
        routes: tried,
        policies: dry_run.policies,
        end,
    }
}

/// The decisions of the workers of a running Pollux, each in its present state: `live` has one for each. They
/// run on `snapshot`.
#[must_use]
pub fn explain_live(
    snapshot: &Snapshot,
    places: &SourcePlaces,
    question: &ExplainQuestion,
    live: &[WorkerState],
) -> Explanation {
    let mut explanation = explain_with(snapshot, places, question, |_| RoundRobin::default(), live);
    if let End::Forwarded(forwarded) = &mut explanation.end {
        // A round that begins now belongs to no worker.
        forwarded.picked = None;
        if let Some(rule) = forwarded.workers.iter().find_map(|at| at.rule) {
            let balance = snapshot.pools.iter().find(|pool| pool.name == forwarded.pool);
            let balance = balance.map_or("", |pool| pool.balance.as_str());
            forwarded.rule =
                format!("{balance}, {rule}: each worker picks by itself, with the same knowledge of loads");
        }
    }
    explanation
}

/// The pick that the worker in the state `live` would make now.
fn at_worker(
    pool: &Pool,
    id: PoolId,
    view: &Imagined<'_>,
    asked: &PickRequest<'_>,
    live: &WorkerState,
) -> AtWorker {
    let mut robin = live.robins.get(id.0).cloned().unwrap_or_default();
    let picked = balance::pick(pool, view, &PickRequest { random: live.random, ..*asked }, &mut robin).ok();
    AtWorker {
        worker: live.worker,
        picked: picked.map(|picked| pool.backends[picked.place].name.clone()),
        rule: picked.map(|picked| picked.rule.as_str()),
        idle: live.idle.get(id.0).cloned().unwrap_or_default(),
    }
}

/// The lines of a head, without the Date.
fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("Date: ")).map(str::to_owned).collect()
}

/// The routes up to the one that the table takes, each with the reason for which it was not taken.
fn tell_routes(
    snapshot: &Snapshot,
    places: &SourcePlaces,
    number: usize,
    view: &route::RequestView<'_>,
) -> Vec<Tried> {
    let table = &snapshot.listeners[number].routes;
    let last = match table.decide(view) {
        Decision::Route(place) => place,
        Decision::NoRoute => table.routes().len(),
        Decision::AmbiguousPath => return Vec::new(),
    };
    let told = table.routes().iter().enumerate().take(last + 1);
    told.map(|(place, route)| Tried {
        name: route.name.clone(),
        place: places.route(number, place).to_owned(),
        missed: (place != last).then(|| {
            miss(&route.when, view)
                .as_ref()
                .map_or_else(String::new, |miss: &Miss| miss.tell(&route.when, view))
        }),
    })
    .collect()
}

fn tell_split(snapshot: &Snapshot, number: usize, view: &route::RequestView<'_>) -> Option<String> {
    let table = &snapshot.listeners[number].routes;
    let Decision::Route(place) = table.decide(view) else { return None };
    let route = &table.routes()[place];
    let Action::Split(split) = &route.action else { return None };
    let shares = tell_shares(snapshot, split);
    let Some(sticky) = &split.sticky else { return Some(format!("drawn for each request: {shares}")) };
    let mut key = Vec::new();
    sticky.render(
        &crate::route::Context { view, route, request_id: RequestId::Own(0), trace_id: "" },
        &mut key,
    );
    Some(match key.as_slice() {
        [] => format!("the key {sticky} is empty, so drawn for each request: {shares}"),
        key => format!("by the key {sticky}, which is {}: {shares}", String::from_utf8_lossy(key)),
    })
}

fn tell_shares(snapshot: &Snapshot, split: &Split) -> String {
    let share =
        |share: &crate::route::SplitShare| format!("{} {}", snapshot.pool(share.pool).name, share.weight);
    split.shares.iter().map(share).collect::<Vec<_>>().join(", ")
}

/// A pool as a running Pollux knows it, or one in which nothing is in flight; some backends may be imagined
/// to be down or full.
struct Imagined<'a> {
    pool: &'a Pool,
    id: PoolId,
    question: &'a ExplainQuestion,
    /// By place.
    readings: Option<&'a [BackendReading]>,
}

impl Imagined<'_> {
    fn reading(&self, place: usize) -> Option<&BackendReading> {
        self.readings?.get(place)
    }
}

impl PoolView for Imagined<'_> {
    fn backend(&self, place: usize) -> BackendView {
        let (backend, id) = (&self.pool.backends[place], BackendId { pool: self.id, index: place });
        let reading = self.reading(place);
        let exclusion = if self.question.down.contains(&id) {
            Some(Exclusion::Down)
        } else if self.question.full.contains(&id) {
            Some(Exclusion::Full)
        } else {
            reading.and_then(|reading| reading.exclusion)
        };
        let share = reading.map_or(FULL_SHARE, |reading| reading.share);
        BackendView {
            weight: backend.weight,
            share,
            tier: backend.tier,
            admin_state: backend.admin_state,
            exclusion,
        }
    }

    fn in_flight(&self, place: usize) -> u32 {
        self.reading(place).map_or(0, |reading| reading.in_flight)
    }

    fn latency(&self, place: usize) -> Option<u64> {
        self.reading(place)?.latency
    }
}

fn candidates(pool: &Pool, exclusions: impl Iterator<Item = Option<Exclusion>>) -> Vec<ConsideredBackend> {
    let candidate = |(backend, why): (&crate::snapshot::Backend, Option<Exclusion>)| ConsideredBackend {
        name: backend.name.clone(),
        address: backend.address.to_string(),
        weight: backend.weight,
        tier: backend.tier,
        excluded: why.map(|why| why.as_str().to_owned()),
    };
    pool.backends.iter().zip(exclusions).map(candidate).collect()
}

/// The rule that decided, in words.
fn tell_rule(pool: &Pool, picked: Result<Picked, NoBackend>) -> String {
    let balance = pool.balance.as_str();
    let (word, text) = match picked {
        Ok(Picked { rule, .. }) => (
            rule.as_str(),
            match rule {
                Rule::Bound => "the client is bound to it",
                Rule::Turn => {
                    "of those that are left, the one whose turn comes first in a round that begins now"
                }
                Rule::FewestInFlight => {
                    "the fewest requests in flight for its weight; nothing is in flight here, so all are alike and one is drawn"
                }
                Rule::Drawn => "drawn in proportion to the weights; another request may get another one",
                Rule::LighterOfTwo => {
                    "of two that are drawn the one with fewer requests in flight; another request may get others"
                }
                Rule::LowestLatency => {
                    "the lowest latency for its weight; nothing was measured here, so all are alike and one is drawn"
                }
                Rule::Hashed => "the hash of the key points to it",
                Rule::NextInTable => {
                    "the one that the hash of the key points to is out of the question, and this is the next"
                }
                Rule::DrawnWithoutKey => {
                    "the request has no key, so one is drawn in proportion to the weights"
                }
                Rule::FirstWithRoom => "the first that has room",
                Rule::OwnConnection => "the client has a connection of its own to it, by a login",
            },
        ),
        Err(NoBackend::Full) => {
            return String::from("every backend that could be asked is full: the request waits");
        }
        Err(NoBackend::Tried | NoBackend::Down) => {
            return String::from("every backend is out of the question");
        }
    };
    format!("{balance}, {word}: {text}")
}
