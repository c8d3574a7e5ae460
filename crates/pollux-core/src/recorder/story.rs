//! The recorded steps of an exchange, with names, for operators.

use std::fmt;

use serde::Serialize;

use super::step::{RenderedStep, Step};
use super::trail::{End, Trail};
use crate::core::time::{Time, show_span};
use crate::message::BodyLength;
use crate::policy::{Case, Policy};
use crate::snapshot::Snapshot;

/// An exchange that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Story {
    /// Its name in a list: the worker's number and the exchange's.
    pub id: String,
    /// The number of the request, in the access line and for the backend.
    pub request_id: String,
    /// Why it was kept.
    pub kept: Kept,
    /// The time since it ended.
    pub ago_ms: u64,
    /// The address of the connection that asked.
    pub client: String,
    /// The listener's name.
    pub listener: String,
    /// Method and target, perhaps cut; empty in TCP mode, and if neither the log nor the recorder keeps them.
    pub request: String,
    /// The route's name, if one was taken.
    pub route: Option<String>,
    /// The pool's name, if one was asked.
    pub pool: Option<String>,
    /// The name of the backend that was used or tried last.
    pub backend: Option<String>,
    /// The status that the client got; 0 if none.
    pub status: u16,
    /// Why it did not end well, if it did not.
    pub cause: Option<&'static str>,
    /// Its stage at the end.
    pub stage: String,
    /// Its duration.
    pub took_us: u64,
    /// Bytes that were handed to the backend.
    pub bytes_up: u64,
    /// Bytes that were handed to the client.
    pub bytes_down: u64,
    /// The steps, in order.
    pub steps: Vec<Line>,
    /// The number of steps before the last that are left out.
    pub left_out: u32,
    /// When it ended.
    #[serde(skip)]
    pub(super) ended: Time,
    #[serde(skip)]
    pub(super) number: u64,
}

/// Why an exchange is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// It failed.
    Failed,
    /// It took longer than `recorder.slow`.
    Slow,
    /// It is one of the last.
    Recent,
}

impl Kept {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kept::Failed => "failed",
            Kept::Slow => "slow",
            Kept::Recent => "recent",
        }
    }
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Since the exchange began.
    pub at_us: u64,
    /// The step in words.
    pub text: String,
}

impl Story {
    /// Tells `trail`, of that worker and with the names of `snapshot`.
    pub(super) fn of(trail: &Trail, kept: Kept, worker: usize, snapshot: &Snapshot) -> Story {
        let End { places, status, outcome, whole, bytes_up, bytes_down, client, .. } = &trail.end;
        let listener = &snapshot.listeners[places.listener];
        let route = places.route.and_then(|route| listener.routes.routes().get(route));
        let pool = places.pool.map(|pool| snapshot.pool(pool));
        let name_of = |backend: usize| pool.and_then(|pool| Some(pool.backends.get(backend)?.name.as_str()));
        let began = trail.events().first().map_or(Time::ZERO, |event| event.at);
        let authority_of = |policy: usize| {
            let case = Case { route: route?, body: BodyLength::Empty, body_max: None, turn: 0 };
            match case.policy(policy)? {
                Policy::Inquiry(inquiry) => Some(inquiry.name.as_str()),
                Policy::Body(_) | Policy::Own(_) => None,
            }
        };
        let (mut picked, mut asked) = (None, None);
        let line = |event: &super::RecordedStep| {
            if let Step::Picked { backend, .. } = event.step {
                picked = Some(backend as usize);
            }
            if let Step::Asked { policy } = event.step {
                asked = Some(policy as usize);
            }
            let told = RenderedStep {
                step: event.step,
                backend: picked.and_then(name_of).unwrap_or("the backend"),
                route: route.map_or("", |route| &route.name),
                pool: pool.map_or("", |pool| &pool.name),
                authority: asked.and_then(authority_of).unwrap_or("the authority"),
            };
            Line { at_us: us(event.at.since(began)), text: told.to_string() }
        };
        Story {
            id: format!("{worker}-{}", trail.number),
            request_id: trail.end.request_id(),
            kept,
            ago_ms: 0,
            client: client.to_string(),
            listener: listener.name.clone(),
            request: trail.end.request(),
            route: route.map(|route| route.name.clone()),
            pool: pool.map(|pool| pool.name.clone()),
            backend: places.backend.and_then(name_of).map(str::to_owned),
            status: *status,
            cause: outcome.cause.map(|cause| cause.as_str()),
            stage: outcome.stage.to_string(),
            took_us: us(*whole),
            bytes_up: *bytes_up,
            bytes_down: *bytes_down,
            steps: trail.events().iter().map(line).collect(),
            left_out: trail.left_out,
            ended: trail.events().last().map_or(Time::ZERO, |event| event.at),
            number: trail.number,
        }
    }

    /// The story as of `now`.
    pub(super) fn seen_at(mut self, now: Time) -> Story {
        self.ago_ms = u64::try_from(now.since(self.ended).as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Whether `id` names it.
    #[must_use]
    pub fn is_called(&self, id: &str) -> bool {
        self.id == id || self.request_id == id
    }

    /// Its end, in a few words.
    fn ending(&self) -> String {
        match (self.status, self.cause) {
            (0, None) => String::from("ended well"),
            (0, Some(cause)) => String::from(cause),
            (status, None) => status.to_string(),
            (status, Some(cause)) => format!("{status} {cause}"),
        }
    }

    fn subject(&self) -> &str {
        if self.request.is_empty() { "(connection)" } else { &self.request }
    }

    /// One line for a list.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:<8}  {}  {:>9} ago  {:<6}  {:>10}  {}  {}{}",
            self.id,
            self.request_id,
            show_span(self.ago_ms),
            self.kept.as_str(),
            show_us(self.took_us),
            self.ending(),
            self.subject(),
            self.pool.as_ref().map_or_else(String::new, |pool| {
                format!("  {pool}/{}", self.backend.as_deref().unwrap_or("-"))
            }),
        )
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ({})  {} from {} at {}, {} ago",
            self.request_id,
            self.id,
            self.subject(),
            self.client,
            self.listener,
            show_span(self.ago_ms)
        )?;
        writeln!(
            f,
            "{} in {}, at the stage {}; {} bytes up, {} bytes down\n",
            self.ending(),
            show_us(self.took_us),
            self.stage,
            self.bytes_up,
            self.bytes_down
        )?;
        for (place, line) in self.steps.iter().enumerate() {
            if self.left_out > 0 && place + 1 == self.steps.len() {
                writeln!(f, "{:>14}  {} steps are left out", "", self.left_out)?;
            }
            writeln!(f, "{:>14}  {}", format!("+{}", show_us(line.at_us)), line.text)?;
        }
        Ok(())
    }
}

/// A short span: `12 us`, `3.4 ms`, `1.25 s`.
fn show_us(us: u64) -> String {
    match us {
        0..1000 => format!("{us} us"),
        1000..1_000_000 => format!("{}.{:03} ms", us / 1000, us % 1000),
        1_000_000.. => format!("{}.{:03} s", us / 1_000_000, us % 1_000_000 / 1000),
    }
}

fn us(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
