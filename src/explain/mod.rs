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

use crate::balance::{self, Asked, Exclusion, FULL_SHARE, Nobody, Picked, RoundRobin, Rule, Seen, View};
use crate::config::Places;
use crate::core::time::Time;
use crate::http::date::Date;
use crate::route::miss::{Miss, miss};
use crate::route::{self, Action, Decision, Split};
use crate::session::{Env, Rehearsed, rehearse};
use crate::snapshot::{BackendId, Pool, PoolId, Snapshot};

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
    /// Its tier.
    pub tier: u8,
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
        Rehearsed::Forwarded { pool: id, head, key, bound } => {
            let pool = snapshot.pool(id);
            let view = Imagined { pool, id, question };
            let asked = Asked { key, bound, ..Asked::default() };
            let picked = balance::pick(pool, &view, &asked, &mut robin(id));
            let mut candidates = candidates(pool, balance::exclusions(pool, &view, &asked));
            if let Ok(Picked { place, .. }) = picked {
                // Whom a client is bound to is taken whatever keeps it from the others.
                candidates[place].excluded = None;
            }
            End::Forwarded(Forwarded {
                pool: pool.name.clone(),
                split,
                head: lines(&head),
                candidates,
                picked: picked.ok().map(|picked| pool.backends[picked.place].name.clone()),
                rule: tell_rule(pool, picked),
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

/// The lines of a head, without the Date, which is that of nobody.
fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("Date: ")).map(str::to_owned).collect()
}

/// The routes up to the one that the table takes, each with the reason for which it was not taken.
fn tell_routes(snapshot: &Snapshot, places: &Places, number: usize, view: &route::View<'_>) -> Vec<Tried> {
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

fn tell_split(snapshot: &Snapshot, number: usize, view: &route::View<'_>) -> Option<String> {
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

/// A pool in which nothing is in flight, and some backends are imagined to be down or full.
struct Imagined<'a> {
    pool: &'a Pool,
    id: PoolId,
    question: &'a Question,
}

impl View for Imagined<'_> {
    fn backend(&self, place: usize) -> Seen {
        let (backend, id) = (&self.pool.backends[place], BackendId { pool: self.id, index: place });
        let exclusion = if self.question.down.contains(&id) {
            Some(Exclusion::Down)
        } else {
            self.question.full.contains(&id).then_some(Exclusion::Full)
        };
        Seen { weight: backend.weight, share: FULL_SHARE, tier: backend.tier, exclusion }
    }

    fn in_flight(&self, _: usize) -> u32 {
        0
    }

    fn latency(&self, _: usize) -> Option<u64> {
        None
    }
}

fn candidates(pool: &Pool, exclusions: impl Iterator<Item = Option<Exclusion>>) -> Vec<Candidate> {
    let candidate = |(backend, why): (&crate::snapshot::Backend, Option<Exclusion>)| Candidate {
        name: backend.name.clone(),
        address: backend.address.to_string(),
        weight: backend.weight,
        tier: backend.tier,
        excluded: why.map(|why| why.word().to_owned()),
    };
    pool.backends.iter().zip(exclusions).map(candidate).collect()
}

/// The rule that decided, in words.
fn tell_rule(pool: &Pool, picked: Result<Picked, Nobody>) -> String {
    let balance = pool.balance.word();
    let (word, text) = match picked {
        Ok(Picked { rule, .. }) => (
            rule.word(),
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
            },
        ),
        Err(Nobody::Full) => {
            return String::from("every backend that could be asked is full: the request waits");
        }
        Err(Nobody::Tried | Nobody::Down) => return String::from("every backend is out of the question"),
    };
    format!("{balance}, {word}: {text}")
}
