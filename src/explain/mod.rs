//! What becomes of a request, and why: each route that was tried, the one that was taken, the request as the backend gets it,
//! the backends that were considered and the one that was picked.
//!
//! Nothing is decided here. Routing is rehearsed by the session's own code, and the backend is picked by `balance`; this
//! room asks them and tells what they say.

mod question;
mod tell;
#[cfg(test)]
mod tests;
mod trial;

use serde::Serialize;

use crate::balance::RoundRobin;
use crate::config::Places;
use crate::core::time::Time;
use crate::http::date::Date;
use crate::route::miss::{Miss, miss};
use crate::route::{Action, Decision, Split, View};
use crate::session::{Env, Rehearsed, rehearse};
use crate::snapshot::{BackendId, Balance, Pool, PoolId, Snapshot};

pub use question::{Ask, Question, QuestionError};
pub use trial::{Expect, Outcome, Trial};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The listener's name.
    pub listener: String,
    /// The client, behind the proxies that are trusted.
    pub client: Option<String>,
    /// The routes in their order, up to the one that was taken.
    pub routes: Vec<Tried>,
    /// How it ends.
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

/// How it ends.
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
        /// How long the body is.
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
    /// How the pool was chosen, if there were several.
    pub split: Option<String>,
    /// The lines of the head that the backend gets.
    pub head: Vec<String>,
    /// The backends of the pool.
    pub candidates: Vec<Candidate>,
    /// The backend that is picked, if any can be.
    pub picked: Option<String>,
    /// By which rule.
    pub rule: String,
    /// What each worker of a running Pollux would do, if one was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<AtWorker>,
}

/// What one worker of a running Pollux would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtWorker {
    /// Which one, counted from 0.
    pub worker: usize,
    /// The backend that it would pick now.
    pub picked: Option<String>,
    /// How many idle connections it has to each candidate, in their order.
    pub idle: Vec<usize>,
}

/// What the state of one worker is, as far as a decision depends on it.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Which one, counted from 0.
    pub worker: usize,
    /// By pool: the state of its round robin.
    pub robins: Vec<RoundRobin>,
    /// By pool, then by backend: how many idle connections wait.
    pub idle: Vec<Vec<usize>>,
}

/// A backend that was considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// Why it is not picked, whoever else is there.
    pub excluded: Option<String>,
}

/// Explains what becomes of `question`. `robin` is the state of the pool's round robin, for a pool that is asked.
#[must_use]
pub fn explain(
    snapshot: &Snapshot,
    places: &Places,
    question: &Question,
    robin: impl FnOnce(PoolId) -> RoundRobin,
) -> Explanation {
    let date = Date::new(0);
    let env = Env { now: Time::ZERO, date: &date, snapshot, draining_since: None, keeps_request: false };
    let listener = &snapshot.listeners[question.listener];
    let (mut tried, mut split) = (Vec::new(), None);
    let rehearsal = rehearse(&env, question.listener, question.peer, &question.head, &mut |view| {
        tried = tell_routes(snapshot, places, question.listener, view);
        split = tell_split(snapshot, question.listener, view);
    });
    let end = match rehearsal.end {
        Rehearsed::Forwarded { pool, head } => {
            let (candidates, excluded) = candidates(snapshot.pool(pool), pool, question);
            let picked = pick(snapshot.pool(pool), &excluded, robin(pool));
            End::Forwarded(Forwarded {
                pool: snapshot.pool(pool).name.clone(),
                split,
                head: lines(&head),
                picked: picked.map(|index| candidates[index].name.clone()),
                rule: rule(snapshot.pool(pool), picked.is_some()),
                candidates,
                workers: Vec::new(),
            })
        }
        Rehearsed::Answered { status, answer } => {
            let end =
                answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
            End::Answered { status, head: lines(&answer[..end]), body_bytes: answer.len() - end }
        }
        Rehearsed::Refused(cause) => End::Refused { status: cause.status(), cause: cause.word() },
        Rehearsed::Options => End::Options,
    };
    Explanation {
        listener: listener.name.clone(),
        client: rehearsal.client.map(|client| client.to_string()),
        routes: tried,
        end,
    }
}

/// The same, as the workers of a running Pollux would decide it, each in the state in which it is: `live` has one for each.
/// They run on `snapshot`.
#[must_use]
pub fn explain_live(snapshot: &Snapshot, places: &Places, question: &Question, live: &[Live]) -> Explanation {
    let mut explanation = explain(snapshot, places, question, |_| RoundRobin::default());
    if let End::Forwarded(forwarded) = &mut explanation.end
        && let Some(pool) = snapshot.pools.iter().position(|pool| pool.name == forwarded.pool)
    {
        let (candidates, excluded) = candidates(&snapshot.pools[pool], PoolId(pool), question);
        let at_worker = |live: &Live| {
            let robin = live.robins.get(pool).cloned().unwrap_or_default();
            let picked = pick(&snapshot.pools[pool], &excluded, robin);
            let idle = live.idle.get(pool).cloned().unwrap_or_default();
            AtWorker { worker: live.worker, picked: picked.map(|at| candidates[at].name.clone()), idle }
        };
        forwarded.workers = live.iter().map(at_worker).collect();
        // A round that begins now is nobody's.
        forwarded.picked = None;
        forwarded.rule = rule_live(&snapshot.pools[pool], excluded.len() < candidates.len());
    }
    explanation
}

/// The lines of a head, without the Date, which is that of nobody.
fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("Date: ")).map(str::to_owned).collect()
}

/// The routes up to the one that the table takes, each with the reason for which it was not taken.
fn tell_routes(snapshot: &Snapshot, places: &Places, number: usize, view: &View<'_>) -> Vec<Tried> {
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

fn tell_split(snapshot: &Snapshot, number: usize, view: &View<'_>) -> Option<String> {
    let table = &snapshot.listeners[number].routes;
    let Decision::Route(place) = table.decide(view) else { return None };
    let route = &table.routes()[place];
    let Action::Split(split) = &route.action else { return None };
    let shares = tell_shares(snapshot, split);
    let Some(sticky) = &split.sticky else { return Some(format!("drawn for each request: {shares}")) };
    let mut key = Vec::new();
    sticky.render(&crate::route::Context { view, route, request_id: 0 }, &mut key);
    Some(match key.as_slice() {
        [] => format!("the key {sticky} is empty, so drawn for each request: {shares}"),
        key => format!("by the key {sticky}, which is {}: {shares}", String::from_utf8_lossy(key)),
    })
}

fn tell_shares(snapshot: &Snapshot, split: &Split) -> String {
    let share = |share: &crate::route::Share| format!("{} {}", snapshot.pool(share.pool).name, share.weight);
    split.shares.iter().map(share).collect::<Vec<_>>().join(", ")
}

/// The backends of a pool, and the places of those that are out of the question.
fn candidates(pool: &Pool, id: PoolId, question: &Question) -> (Vec<Candidate>, Vec<usize>) {
    let why = |index: usize, weight: u32| {
        let id = BackendId { pool: id, index };
        if question.down.contains(&id) {
            Some("down")
        } else if question.full.contains(&id) {
            Some("full")
        } else {
            (weight == 0).then_some("its weight is 0")
        }
    };
    let all: Vec<Candidate> = pool
        .backends
        .iter()
        .enumerate()
        .map(|(index, backend)| Candidate {
            name: backend.name.clone(),
            address: backend.address.to_string(),
            weight: backend.weight,
            excluded: why(index, backend.weight).map(str::to_owned),
        })
        .collect();
    let excluded =
        all.iter().enumerate().filter(|(_, it)| it.excluded.is_some()).map(|(index, _)| index).collect();
    (all, excluded)
}

fn pick(pool: &Pool, excluded: &[usize], mut robin: RoundRobin) -> Option<usize> {
    match pool.balance {
        Balance::RoundRobin => robin.pick(pool.backends.iter().map(|backend| backend.weight), excluded),
    }
}

fn rule_live(pool: &Pool, is_picked: bool) -> String {
    match (pool.balance, is_picked) {
        (Balance::RoundRobin, true) => {
            String::from("round-robin: each worker has a round of its own, and picks whose turn it is there")
        }
        (_, false) => String::from("every backend is out of the question"),
    }
}

fn rule(pool: &Pool, is_picked: bool) -> String {
    match (pool.balance, is_picked) {
        (Balance::RoundRobin, true) => String::from(
            "round-robin: of those that are left, the one whose turn comes first in a round that begins now",
        ),
        (_, false) => String::from("every backend is out of the question"),
    }
}
