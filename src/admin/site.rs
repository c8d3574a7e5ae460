//! The resources at the admin address.

use serde::Deserialize;
use serde_json::Value;

use super::Admin;
use super::acceptor::{Ask, Readiness};
use super::guard;
use super::page;
use super::reply::Reply;
use super::request::Request;
use crate::balance::AdminState;
use crate::core::word::UnknownWord;
use crate::metrics::MetricsFormat;
use crate::operator::{Command, Reply as Answer, WantedState};
use crate::session::SessionActivity;
use crate::snapshot::Secret;
use crate::status::{Order, SessionsAsk};

/// See the module.
pub(super) struct Site {
    token: Option<Secret>,
    is_writable: bool,
    readiness: Readiness,
    ask: Ask,
    page: page::Page,
}

/// The order that changes a backend: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum BackendOrder {
    State(AdminState),
    /// `null` is the weight of the configuration.
    Weight(Option<u32>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelOrder {
    level: String,
}

impl Site {
    pub(super) fn new(admin: &Admin, readiness: Readiness, ask: Ask) -> Site {
        let token = admin.token.as_ref().map(|token| token.secret.clone());
        let is_writable = admin.is_writable();
        Site { token, is_writable, readiness, ask, page: page::Page::new(is_writable) }
    }

    /// Why the request is not to be answered, if it is not.
    pub(super) fn check(&self, request: &Request) -> Result<(), Reply> {
        guard::check(request, self.token.as_ref(), self.is_writable)
    }

    /// The answer to a request that is allowed.
    pub(super) fn answer(&self, request: &Request, caller: &str) -> Reply {
        let by = format!("{caller} at the admin address");
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match request.method.as_str() {
            "GET" | "HEAD" => self.get(&segments, request, &by),
            "POST" => self.post(&segments, request, &by),
            _ => Reply::error(405, "there are GET, HEAD and POST").with("Allow", "GET, HEAD, POST"),
        }
    }

    fn get(&self, segments: &[&str], request: &Request, by: &str) -> Reply {
        let data =
            |command| self.told(by, command).map_or_else(|error| error, |answer| Reply::json(&answer.data));
        let text = |command| self.told(by, command).map(|answer| answer.text);
        match segments {
            [""] => self.page.reply(),
            ["healthz"] => Reply::text(200, "ok\n"),
            ["ready"] if self.readiness.get() => Reply::text(200, "ready\n"),
            ["ready"] => Reply::text(503, "draining\n"),
            ["metrics"] => self.metrics(request, by),
            ["status"] => self.status(request, by),
            ["config"] => text(Command::Config).map_or_else(|error| error, |text| Reply::text(200, text)),
            ["sessions"] => match sessions(request) {
                Ok(ask) => data(Command::Sessions(ask)),
                Err(why) => Reply::error(400, &why),
            },
            ["recorder"] => self.recorder(request, by),
            ["recorder", id] => data(Command::Recorder { id: Some((*id).to_owned()), all: true }),
            ["backends", pool, backend] => data(Command::Backend(format!("{pool}/{backend}"))),
            ["log-level"] => data(Command::LogLevel(None)),
            ["sessions", _, "kill"] => must_post(),
            _ => nothing_there(),
        }
    }

    /// With `history=marks` what was observed of the backends is told by one letter each: a page that looks
    /// every second needs no more.
    fn status(&self, request: &Request, by: &str) -> Reply {
        match self.told(by, Command::Status) {
            Ok(mut answer) => {
                if request.parameter("history").as_deref() == Some("marks") {
                    abridge(&mut answer.data);
                }
                Reply::json(&answer.data)
            }
            Err(error) => error,
        }
    }

    /// The latest exchanges that are remembered: those that failed or were slow, with `all` the others too;
    /// `count` of them at most.
    fn recorder(&self, request: &Request, by: &str) -> Reply {
        let count = match request.parameter("count").map(|count| count.parse()) {
            None => usize::MAX,
            Some(Ok(count)) => count,
            Some(Err(_)) => return Reply::error(400, "`count` is a number"),
        };
        match self.told(by, Command::Recorder { id: None, all: request.parameter("all").is_some() }) {
            Ok(mut answer) => {
                if let Some(stories) = answer.data.as_array_mut() {
                    stories.truncate(count);
                }
                Reply::json(&answer.data)
            }
            Err(error) => error,
        }
    }

    /// In the format that the scraper prefers.
    fn metrics(&self, request: &Request, by: &str) -> Reply {
        let accept = request.field("accept").unwrap_or_default();
        let is_open = accept.contains("application/openmetrics-text");
        let format = if is_open { MetricsFormat::OpenMetrics } else { MetricsFormat::Text };
        match self.told(by, Command::Metrics(format)) {
            Ok(answer) => Reply { content_type: format.content_type(), ..Reply::text(200, answer.text) },
            Err(error) => error,
        }
    }

    fn post(&self, segments: &[&str], request: &Request, by: &str) -> Reply {
        let command = match segments {
            ["backends", pool, backend] => parse(&request.body).map(|order| Command::Operate {
                backend: format!("{pool}/{backend}"),
                wanted: match order {
                    BackendOrder::State(admin_state) => WantedState::State(admin_state),
                    BackendOrder::Weight(weight) => WantedState::Weight(weight),
                },
            }),
            ["sessions", session, "kill"] => Ok(Command::Kill((*session).to_owned())),
            ["log-level"] => parse(&request.body).map(|LevelOrder { level }| Command::LogLevel(Some(level))),
            [""] | ["healthz" | "ready" | "metrics" | "status" | "config" | "sessions" | "recorder"] => {
                return Reply::error(405, "nothing is changed there").with("Allow", "GET, HEAD");
            }
            _ => return nothing_there(),
        };
        match command.map(|command| self.told(by, command)) {
            Ok(Ok(answer)) => Reply::json(&serde_json::json!({ "done": answer.text.trim_end() })),
            Ok(Err(error)) => error,
            Err(why) => Reply::error(400, &why),
        }
    }

    /// The reply of the main thread, if it carries out the command.
    fn told(&self, by: &str, command: Command) -> Result<Answer, Reply> {
        match (self.ask)(by.to_owned(), command) {
            None => Err(Reply::error(503, "Pollux is about to end")),
            Some(answer) => match answer.exit {
                0 => Ok(answer),
                2 => Err(Reply::error(400, &answer.text)),
                _ => Err(Reply::error(409, &answer.text)),
            },
        }
    }
}

/// Puts `marks`, of `w` for well and `i` for ill, in the place of each `history`.
fn abridge(status: &mut Value) {
    let pools = status["pools"].as_array_mut().into_iter().flatten();
    for backend in pools.flat_map(|pool| pool["backends"].as_array_mut().into_iter().flatten()) {
        let seen = backend["history"].as_array().map_or(&[][..], Vec::as_slice);
        let marks: String = seen.iter().map(|seen| if seen["is_well"] == true { 'w' } else { 'i' }).collect();
        if let Some(backend) = backend.as_object_mut() {
            backend.remove("history");
            backend.insert(String::from("marks"), Value::String(marks));
        }
    }
}

fn must_post() -> Reply {
    Reply::error(405, "this is done by POST").with("Allow", "POST")
}

fn nothing_there() -> Reply {
    let there = "there are /healthz, /ready, /metrics, /status, /config, /sessions, /recorder, /backends/POOL/BACKEND and /log-level";
    Reply::error(404, &format!("nothing is there; {there}"))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body does not say what is to be done: {error}"))
}

/// The sessions that a query asks for.
fn sessions(request: &Request) -> Result<SessionsAsk, String> {
    let mut ask = SessionsAsk::default();
    if let Some(word) = request.parameter("state") {
        let words = SessionActivity::ALL.map(SessionActivity::as_str).join(", ");
        ask.kind = Some(word.parse().map_err(|UnknownWord| format!("`state` is one of {words}"))?);
    }
    if let Some(word) = request.parameter("order") {
        ask.order = serde_json::from_value::<Order>(Value::String(word))
            .map_err(|_| String::from("`order` is `oldest` or `biggest`"))?;
    }
    if let Some(count) = request.parameter("count") {
        ask.count = count.parse().map_err(|_| String::from("`count` is a number"))?;
    }
    Ok(ask)
}

impl page::Page {
    fn reply(&self) -> Reply {
        Reply { content_type: "text/html; charset=utf-8", ..Reply::text(200, self.html.clone()) }
            .with("Content-Security-Policy", self.policy.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Address;
    use std::sync::{Arc, Mutex};

    /// A site whose main thread writes down what it is asked, and a request to it.
    fn asked(method: &str, target: &str, body: &str) -> (u16, Option<Command>) {
        let seen = Arc::new(Mutex::new(None));
        let note = Arc::clone(&seen);
        let ask: Ask = Arc::new(move |by, command| {
            assert_eq!(by, "127.0.0.1 at the admin address");
            *note.lock().unwrap() = Some(command);
            Some(Answer::text(0, "done\n"))
        });
        let site = Site::new(&Admin::at(Address::Ip(([127, 0, 0, 1], 0).into())), Readiness::default(), ask);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            body: body.into(),
            ..Request::default()
        };
        let status = site.answer(&request, "127.0.0.1").status;
        let seen = seen.lock().unwrap().take();
        (status, seen)
    }

    #[test]
    fn verbs_become_commands() {
        let operate = |wanted| (200, Some(Command::Operate { backend: "app/b 1".into(), wanted }));
        let path = "/backends/app/b%201";
        assert_eq!(
            asked("POST", path, r#"{"state":"drain"}"#),
            operate(WantedState::State(AdminState::Drain))
        );
        assert_eq!(asked("POST", path, r#"{"weight":5}"#), operate(WantedState::Weight(Some(5))));
        assert_eq!(asked("POST", path, r#"{"weight":null}"#), operate(WantedState::Weight(None)));
        assert_eq!(asked("POST", "/sessions/0.1.2/kill", ""), (200, Some(Command::Kill("0.1.2".into()))));
        assert_eq!(
            asked("POST", "/log-level", r#"{"level":"warn"}"#),
            (200, Some(Command::LogLevel(Some("warn".into()))))
        );
        let recorder =
            |id: Option<&str>, all| (200, Some(Command::Recorder { id: id.map(str::to_owned), all }));
        assert_eq!(asked("GET", "/recorder", ""), recorder(None, false));
        assert_eq!(asked("GET", "/recorder?all&count=3", ""), recorder(None, true));
        assert_eq!(asked("GET", "/recorder/0-17", ""), recorder(Some("0-17"), true));
        let ask = SessionsAsk { kind: Some(SessionActivity::Tunnel), order: Order::Biggest, count: 3 };
        assert_eq!(
            asked("GET", "/sessions?state=tunnel&order=biggest&count=3", ""),
            (200, Some(Command::Sessions(ask)))
        );
    }

    #[test]
    fn what_is_not_understood_asks_for_nothing() {
        for (method, target, body, status) in [
            ("POST", "/backends/app/b1", r#"{"state":"up"}"#, 400),
            ("POST", "/backends/app/b1", r#"{"state":"drain","weight":1}"#, 400),
            ("POST", "/backends/app/b1", r#"{"weight":-1}"#, 400),
            ("POST", "/backends/app/b1", "", 400),
            ("POST", "/backends/app", "{}", 404),
            ("POST", "/status", "{}", 405),
            ("GET", "/sessions?state=asleep", "", 400),
            ("GET", "/sessions?order=tallest", "", 400),
            ("GET", "/sessions?count=-1", "", 400),
            ("GET", "/recorder?count=few", "", 400),
            ("POST", "/recorder", "{}", 405),
            ("GET", "/sessions/0.1.2/kill", "", 405),
            ("GET", "/nothing", "", 404),
            ("DELETE", "/status", "", 405),
        ] {
            assert_eq!(asked(method, target, body), (status, None), "{method} {target} {body}");
        }
    }
}
