//! `[[test]]`: a request, and what is expected to become of it.

use serde::Serialize;

use super::{Ask, End, Explanation, explain};
use crate::balance::RoundRobin;
use crate::snapshot::Snapshot;
use crate::snapshot::SourcePlaces;

/// A test that a configuration brings along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Its name.
    pub name: String,
    /// Where it stands, as `file:line`.
    pub place: String,
    /// The request.
    pub ask: Ask,
    /// The expected result.
    pub expect: TestExpectation,
}

/// The expected result; a part that is `None` may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestExpectation {
    /// The route that is taken, by its name.
    pub route: Option<String>,
    /// The pool that is asked.
    pub pool: Option<String>,
    /// The backend that is picked by a round that begins now.
    pub backend: Option<String>,
    /// The status that Pollux answers with.
    pub status: Option<u16>,
    /// The cause that it answers for.
    pub cause: Option<String>,
    /// The Location of its answer.
    pub location: Option<String>,
    /// Fields of what goes on: of the request to the backend, or of the answer. An empty value stands for
    /// none.
    pub header: Vec<(String, String)>,
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestOutcome {
    /// Its name.
    pub name: String,
    /// Its place.
    pub place: String,
    /// The parts that were not as expected; empty if it passed.
    pub failures: Vec<String>,
}

impl Trial {
    /// Runs the test.
    #[must_use]
    pub fn run(&self, snapshot: &Snapshot, places: &SourcePlaces) -> TestOutcome {
        let failures = match self.ask.understand(snapshot) {
            Ok(question) => {
                let told = explain(snapshot, places, &question, |_| RoundRobin::default());
                let mut differences = self.expect.differences(&told);
                if !differences.is_empty() {
                    let asked = told.policies.iter().filter(|it| it.would_ask);
                    differences.extend(asked.map(|it| format!("if {}: {}", it.policy, it.verdict)));
                }
                differences
            }
            Err(error) => vec![error.to_string()],
        };
        TestOutcome { name: self.name.clone(), place: self.place.clone(), failures }
    }
}

impl TestExpectation {
    fn differences(&self, told: &Explanation) -> Vec<String> {
        let taken = told.routes.iter().find(|route| route.missed.is_none()).map(|route| route.name.as_str());
        let (pool, backend, status, cause) = match &told.end {
            End::Forwarded(forwarded) => {
                (Some(forwarded.pool.as_str()), forwarded.picked.as_deref(), None, None)
            }
            End::Answered { status, .. } => (None, None, Some(*status), None),
            End::Refused { status, cause } => (None, None, *status, Some(*cause)),
            End::Options => (None, None, Some(204), None),
        };
        let mut differences = Vec::new();
        let mut compare = |what: &str, expected: &Option<String>, found: Option<&str>| {
            if let Some(expected) = expected
                && Some(expected.as_str()) != found
            {
                differences.push(format!("expected the {what} {expected}, got {}", found.unwrap_or("none")));
            }
        };
        compare("route", &self.route, taken);
        compare("pool", &self.pool, pool);
        compare("backend", &self.backend, backend);
        let status = status.map(|status| status.to_string());
        compare("status", &self.status.map(|status| status.to_string()), status.as_deref());
        compare("cause", &self.cause, cause);
        compare("location", &self.location, fields(told, "location").first().copied());
        for (name, value) in &self.header {
            let found = fields(told, name);
            let is_met =
                if value.is_empty() { found.concat().is_empty() } else { found.contains(&value.as_str()) };
            if !is_met {
                let [expected, found] = [vec![value.as_str()], found]
                    .map(|it| if it.concat().is_empty() { "none".into() } else { it.join(", ") });
                differences.push(format!("expected the field {name} to be {expected}, got {found}"));
            }
        }
        differences
    }
}

/// The values of the fields called `name` in what goes on.
fn fields<'a>(told: &'a Explanation, name: &str) -> Vec<&'a str> {
    let head: &[String] = match &told.end {
        End::Forwarded(forwarded) => &forwarded.head,
        End::Answered { head, .. } => head,
        End::Refused { .. } | End::Options => &[],
    };
    let pairs = head.iter().skip(1).filter_map(|line| line.split_once(": "));
    pairs.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}
