//! The cases of a table: as the file writes them, and as they are played.

use std::path::PathBuf;

use pollux::os::ConnectFault;
use pollux::snapshot::Limits;
use serde::Deserialize;

use crate::bytes::unescape;

/// The way in which one side leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// Says that nothing more will come, and goes on reading.
    HalfClose,
    /// Closes.
    Close,
    /// Resets.
    Reset,
}

/// The state of the client's connection, on Pollux's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ends {
    Open,
    Fin,
    Reset,
}

/// Whether the client's next bytes or the backend's come first when both could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Order {
    #[serde(rename = "client first")]
    ClientFirst,
    #[serde(rename = "backend first")]
    BackendFirst,
}

/// The answer of the backend to one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) at_head: Vec<u8>,
    pub(crate) says: Vec<u8>,
    pub(crate) end: Option<End>,
    pub(crate) then: Vec<u8>,
    pub(crate) then_end: Option<End>,
    /// The place of its first byte among all the bytes of the script.
    pub(crate) place: usize,
}

impl Answer {
    /// The number of its bytes.
    pub(crate) fn len(&self) -> usize {
        self.at_head.len() + self.says.len() + self.then.len()
    }

    /// Whether what follows is no HTTP any more.
    pub(crate) fn is_switch(&self) -> bool {
        self.says.starts_with(b"HTTP/1.1 101")
    }
}

/// Everything that Pollux is to make of a case.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) to_client: Vec<u8>,
    pub(crate) to_backend: Vec<u8>,
    /// The bytes that a backend may have seen behind that, or a part of them.
    pub(crate) to_backend_at_most: Vec<u8>,
    pub(crate) connections: Option<usize>,
    pub(crate) client_ends: Ends,
    pub(crate) backend_kept: bool,
    pub(crate) cause: Option<String>,
    pub(crate) retried: Option<String>,
    /// Whether `Connection: keep-alive` and `Keep-Alive` are written in what is expected.
    pub(crate) shows_keep_alive: bool,
    /// Whether the client begins with HTTP/1.0, where `Connection: keep-alive` decides.
    pub(crate) is_old: bool,
}

/// A case, ready to be played.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) rfc: String,
    /// The client says each part when nothing else happens any more.
    pub(crate) client: Vec<Vec<u8>>,
    pub(crate) client_end: Option<End>,
    pub(crate) answers: Vec<Answer>,
    /// The number of bytes of the answers that are worth cutting.
    pub(crate) backend_length: usize,
    /// The fault of connects, if they fail.
    pub(crate) connect: Option<ConnectFault>,
    pub(crate) limits: Limits,
    /// The configuration of the listener, if it is more than a pool.
    pub(crate) routes: Option<String>,
    pub(crate) patience_secs: u64,
    pub(crate) orders: Vec<Order>,
    pub(crate) expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Raw>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Text {
    One(String),
    Many(Vec<String>),
}

impl Text {
    fn parts(&self) -> Vec<Vec<u8>> {
        match self {
            Text::One(text) => vec![unescape(text)],
            Text::Many(texts) => texts.iter().map(|text| unescape(text)).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawAnswer {
    Says(String),
    Script(RawScript),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawScript {
    at_head: String,
    says: String,
    end: Option<End>,
    then: String,
    then_end: Option<End>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    body: Option<u64>,
    head: Option<usize>,
    request_line: Option<usize>,
    field: Option<usize>,
    fields: Option<usize>,
    buffer: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    rfc: String,
    client: Option<Text>,
    client_end: Option<End>,
    backend: Option<Vec<RawAnswer>>,
    backend_end: Option<End>,
    connect: Option<String>,
    #[serde(default)]
    limits: RawLimits,
    /// As in proxy.toml, behind the first lines of a listener.
    routes: Option<String>,
    #[serde(default)]
    patience_secs: u64,
    order: Option<Order>,
    refused: Option<u16>,
    answered: Option<u16>,
    cause: Option<String>,
    retried: Option<String>,
    to_backend: Option<Text>,
    to_backend_at_most: Option<String>,
    connections: Option<usize>,
    to_client: Option<Text>,
    client_ends: Option<Ends>,
    backend_kept: Option<bool>,
    #[serde(default)]
    shows_keep_alive: bool,
}

/// The fault that `connect` names.
fn fault(word: &str) -> ConnectFault {
    match word {
        "refused" => ConnectFault::Refused,
        "unreachable" => ConnectFault::Unreachable,
        "exhausted" => ConnectFault::Exhausted,
        other => panic!("connect = {other:?}: refused, unreachable or exhausted"),
    }
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/http")
}

/// The names of all tables, without `.toml`.
pub(crate) fn tables() -> Vec<String> {
    let entries = std::fs::read_dir(directory()).expect("the directory of the tables");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut tables: Vec<_> = names.filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned())).collect();
    tables.sort_unstable();
    tables
}

/// The cases of `file`.
pub(crate) fn load(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(directory().join(file)).expect("a table");
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    file.case.iter().map(Raw::case).collect()
}

impl Raw {
    fn case(&self) -> Case {
        let (answers, backend_length) = self.answers();
        Case {
            name: self.name.clone(),
            rfc: self.rfc.clone(),
            client: self.client.as_ref().map_or_else(|| vec![unescape("\\{get}")], Text::parts),
            client_end: self.client_end,
            answers,
            backend_length,
            connect: self.connect.as_deref().map(fault),
            limits: self.limits(),
            routes: self.routes.clone(),
            patience_secs: self.patience_secs,
            orders: self
                .order
                .map_or_else(|| vec![Order::ClientFirst, Order::BackendFirst], |order| vec![order]),
            expected: self.expected(),
        }
    }

    /// Small ones, so that what goes beyond them is short too.
    fn limits(&self) -> Limits {
        Limits {
            body: self.limits.body,
            head: self.limits.head.unwrap_or(2048),
            request_line: self.limits.request_line.unwrap_or(1024),
            field: self.limits.field.unwrap_or(2048),
            fields: self.limits.fields.unwrap_or(20),
            buffer: self.limits.buffer.unwrap_or(16 * 1024),
            ..Limits::default()
        }
    }

    /// Without a script every request gets the same answer, of which one is worth cutting.
    fn answers(&self) -> (Vec<Answer>, usize) {
        let Some(scripts) = &self.backend else {
            let answer = Answer { says: unescape("\\{ok}"), ..Answer::default() };
            let length = answer.len();
            return (vec![answer; 16], length);
        };
        let mut place = 0;
        let mut answers: Vec<Answer> = Vec::new();
        for script in scripts {
            let mut answer = script.answer();
            answer.place = place;
            place += answer.len();
            answers.push(answer);
        }
        if let (Some(end), Some(last)) = (self.backend_end, answers.last_mut()) {
            last.end = Some(end);
        }
        (answers, place)
    }

    fn expected(&self) -> Expected {
        let all = |text: &Option<Text>| text.as_ref().map(|text| text.parts().concat());
        let own = self.refused.or(self.answered);
        let mut to_client = all(&self.to_client)
            .unwrap_or_else(|| if own.is_some() { Vec::new() } else { unescape("\\{ok relayed}") });
        if let Some(status) = own {
            let cause = self.cause.as_deref().expect("a refusal has a cause");
            let close =
                if self.refused.is_some() || self.client_ends == Some(Ends::Fin) { " close" } else { "" };
            to_client.extend_from_slice(&unescape(&format!("\\{{answer {status} {cause}{close}}}")));
        }
        let is_relayed_by_default = self.refused.is_none() && self.client.is_none() && self.connect.is_none();
        let to_backend = all(&self.to_backend)
            .unwrap_or_else(|| if is_relayed_by_default { unescape("\\{get relayed}") } else { Vec::new() });
        let is_said = is_relayed_by_default
            || own.is_some()
            || self.to_backend.is_some()
            || self.to_backend_at_most.is_some();
        assert!(is_said, "{}: what is to reach the backend?", self.name);
        let to_backend_at_most = self.to_backend_at_most.as_deref().map(unescape).unwrap_or_default();
        let client_ends = self.client_ends.unwrap_or(if self.refused.is_some() {
            Ends::Fin
        } else {
            last_ends(&to_client)
        });
        let is_untouched = to_backend.is_empty() && to_backend_at_most.is_empty();
        let connections = self.connections.or(is_untouched.then_some(0));
        Expected {
            to_client,
            to_backend,
            to_backend_at_most,
            connections,
            client_ends,
            backend_kept: self.backend_kept.unwrap_or(own.is_none()),
            cause: self.cause.clone(),
            retried: self.retried.clone(),
            shows_keep_alive: self.shows_keep_alive,
            is_old: all(&self.client).is_some_and(|said| {
                let line = said.split(|byte| *byte == b'\n').find(|line| line.len() > 1);
                line.is_some_and(|line| line.ends_with(b"HTTP/1.0\r"))
            }),
        }
    }
}

impl RawAnswer {
    fn answer(&self) -> Answer {
        match self {
            RawAnswer::Says(text) => Answer { says: unescape(text), ..Answer::default() },
            RawAnswer::Script(script) => Answer {
                at_head: unescape(&script.at_head),
                says: unescape(&script.says),
                end: script.end,
                then: unescape(&script.then),
                then_end: script.then_end,
                place: 0,
            },
        }
    }
}

/// A response that says `Connection: close` is followed by a FIN.
fn last_ends(to_client: &[u8]) -> Ends {
    let says_close = to_client.windows(19).any(|window| window == b"Connection: close\r\n");
    if says_close { Ends::Fin } else { Ends::Open }
}
