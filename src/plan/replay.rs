//! Logged requests, asked of both configurations.
//!
//! An access line has the client and its certificate, the listener, the method, the host and the target, and
//! no other header fields: routes that ask for those see a request without them.

use std::net::IpAddr;

use serde::Serialize;

use crate::balance::RoundRobin;
use crate::config::SourcePlaces;
use crate::explain::{Ask, End, Explanation, Shown, explain};
use crate::snapshot::Snapshot;

/// The most examples that are kept.
const EXAMPLES_MAX: usize = 10;

/// The effect on logged requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Requests that were read and asked.
    pub requests: usize,
    /// Lines that are no requests, or whose listener is not in both configurations.
    pub skipped: usize,
    /// Requests that would take another route or go to another pool.
    pub moved: usize,
    /// Some of those.
    pub examples: Vec<Moved>,
}

/// A request that would go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The method and the target.
    pub request: String,
    /// The client.
    pub client: String,
    /// Its route and where that leads, before.
    pub was: String,
    /// The answer after the change.
    pub is: String,
}

/// The parts of an access line.
struct Line {
    client: IpAddr,
    listener: String,
    method: String,
    /// A URL, or the target alone where the host is not known.
    url: String,
    /// The certificate that the client has shown.
    shown: Shown,
}

impl Replay {
    /// Asks both configurations about the lines of an access log, as text or as JSON.
    #[must_use]
    pub fn of<'a>(lines: impl Iterator<Item = &'a str>, old: &Snapshot, new: &Snapshot) -> Replay {
        let mut replay = Replay::default();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            match read(line) {
                Some(line) => replay.ask(&line, old, new),
                None => replay.skipped += 1,
            }
        }
        replay
    }

    fn ask(&mut self, line: &Line, old: &Snapshot, new: &Snapshot) {
        let ask = Ask {
            request: format!("{} {}", line.method, line.url),
            from: Some(line.client),
            listener: Some(line.listener.clone()),
            client_cert: line.shown.clone(),
            ..Ask::default()
        };
        let [was, is] = [old, new].map(|snapshot| {
            let question = ask.understand(snapshot).ok()?;
            Some(whither(&explain(snapshot, &SourcePlaces::default(), &question, |_| RoundRobin::default())))
        });
        let (Some(was), Some(is)) = (was, is) else {
            self.skipped += 1;
            return;
        };
        self.requests += 1;
        if was != is {
            self.moved += 1;
            if self.examples.len() < EXAMPLES_MAX {
                self.examples.push(Moved { request: ask.request, client: line.client.to_string(), was, is });
            }
        }
    }
}

/// A route and where it leads.
fn whither(told: &Explanation) -> String {
    let route =
        told.routes.iter().find(|route| route.missed.is_none()).map_or("no route", |route| &route.name);
    let asked = told.policies.iter().filter(|it| it.would_ask).map(|it| it.policy.as_str());
    let asked = asked.map(|policy| format!(", if {policy}")).collect::<String>();
    match &told.end {
        End::Forwarded(forwarded) => format!("{route}, pool {}{asked}", forwarded.pool),
        End::Answered { status, .. } => format!("{route}, {status}{asked}"),
        End::Refused { cause, .. } => format!("{route}, {cause}"),
        End::Options => String::from("204"),
    }
}

fn read(line: &str) -> Option<Line> {
    let json: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let field = |key: &str| match &json {
        Some(json) => json.get(key)?.as_str().map(str::to_owned),
        None => text_field(line, key),
    };
    let client = field("client")?;
    let client = client
        .parse::<IpAddr>()
        .or_else(|_| client.parse::<std::net::SocketAddr>().map(|it| it.ip()))
        .ok()?
        .to_canonical();
    let (method, target) = (field("method")?, field("path")?);
    (!method.is_empty() && !target.is_empty()).then_some(())?;
    let host = field("host").filter(|host| !host.is_empty() && target.starts_with('/'));
    let url = host.map_or_else(|| target.clone(), |host| format!("http://{host}{target}"));
    let shown = Shown {
        // Of those that failed it says why.
        state: match field("client_cert").as_deref() {
            Some("yes") => Some(String::from("verified")),
            Some("failed") => field("client_cert_error").or(Some(String::from("failed"))),
            Some(_) | None => None,
        },
        subject: field("client_cert_subject"),
        fingerprint: field("client_cert_fingerprint"),
    };
    Some(Line { client, listener: field("listener")?, method, url, shown })
}

/// The text before the next quote that has no backslash before it.
fn unquoted(text: &str) -> Option<String> {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// The value of `key=value` or `key="value"` in a line of the text log.
fn text_field(line: &str, key: &str) -> Option<String> {
    let begin = format!(" {key}=");
    let rest = &line[line.find(&begin)? + begin.len()..];
    match rest.strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        None => Some(rest.split(' ').next().unwrap_or_default().to_owned()),
    }
}
