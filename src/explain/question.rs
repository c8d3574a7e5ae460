//! A request, or a connection, as an operator types it, made into one as a client sends it.

mod credential;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::core::tls_info::TlsInfo;
use crate::prelude::hello::Hello;
use crate::snapshot::{BackendId, Listener, Mode, PoolId, Snapshot};
use crate::syntax::grammar::{is_field_value, is_token};

pub use credential::Shown;

/// The port of a client that is only imagined.
const PORT: u16 = 40_000;

/// The question of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// `GET https://api.example.com/v1/x?y=1`, or `GET /v1/x`; without a method it is GET. Empty for a
    /// connection whose bytes are passed.
    pub request: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// The client's address; 127.0.0.1 if none is given.
    pub from: Option<IpAddr>,
    /// To which listener; the one that fits the URL best if it is not said.
    pub listener: Option<String>,
    /// Backends that are down, as `pool/backend`.
    pub down: Vec<String>,
    /// Backends that take no more, in the same way.
    pub full: Vec<String>,
    /// The name that the client asks for by TLS; the host of the URL if it is not said.
    #[serde(default)]
    pub sni: Option<String>,
    /// The protocols that it offers by TLS, of a connection.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// The certificate that it shows.
    #[serde(default)]
    pub client_cert: Shown,
}

/// A question that was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainQuestion {
    /// The listener, by its place in the snapshot.
    pub listener: usize,
    /// The client's address.
    pub peer: SocketAddr,
    /// Its first bytes.
    pub what: What,
    /// Backends that are down.
    pub down: Vec<BackendId>,
    /// Backends that take no more.
    pub full: Vec<BackendId>,
}

/// The first bytes of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A request.
    Request {
        /// Its head.
        head: Vec<u8>,
        /// The TLS state of its connection, if it is encrypted.
        tls_info: Option<Box<TlsInfo>>,
    },
    /// A connection whose bytes are passed, and what a ClientHello on it says.
    Connection(Hello),
}

/// Why a question cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuestionError {
    /// The mistake in the request, in a sentence without a full stop.
    Request(String),
    /// There is no such listener, or none that speaks HTTP.
    Listener(String),
    /// There is no such backend.
    Backend(String),
    /// No client of the listener can show such a certificate.
    ClientCert(String),
    /// No client of the listener asks for such a name, or for such protocols.
    Tls(String),
}

impl fmt::Display for QuestionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuestionError::Request(text)
            | QuestionError::Listener(text)
            | QuestionError::Backend(text)
            | QuestionError::ClientCert(text)
            | QuestionError::Tls(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for QuestionError {}

/// A URL, taken apart.
struct Url<'a> {
    method: &'a str,
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    target: &'a str,
}

impl Ask {
    /// Understands the question as one about `snapshot`.
    ///
    /// # Errors
    /// See [`QuestionError`].
    pub fn understand(&self, snapshot: &Snapshot) -> Result<ExplainQuestion, QuestionError> {
        let (listener, what) = if self.request.is_empty() {
            let place = self.passing_listener(snapshot)?;
            (place, self.connection(&snapshot.listeners[place])?)
        } else {
            let url = url(&self.request)?;
            let place = self.listener(&url, snapshot)?;
            let (head, tls_info) =
                (self.head(&url)?, self.tls_info(&url, &snapshot.listeners[place])?.map(Box::new));
            (place, What::Request { head, tls_info })
        };
        let from = self.from.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |from| from.to_canonical());
        Ok(ExplainQuestion {
            listener,
            peer: SocketAddr::new(from, PORT),
            what,
            down: self.down.iter().map(|name| backend(name, snapshot)).collect::<Result<_, _>>()?,
            full: self.full.iter().map(|name| backend(name, snapshot)).collect::<Result<_, _>>()?,
        })
    }

    fn head(&self, url: &Url<'_>) -> Result<Vec<u8>, QuestionError> {
        let mut head = format!("{} {} HTTP/1.1\r\n", url.method, url.target);
        let has_host = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        match url.authority {
            Some(_) if has_host => {
                return Err(fail("both the URL and a header say the host: keep one of them"));
            }
            Some(authority) => head.push_str(&format!("Host: {authority}\r\n")),
            None if !has_host => head.push_str("Host: localhost\r\n"),
            None => {}
        }
        for (name, value) in &self.headers {
            if !is_token(name.as_bytes()) || !is_field_value(value.as_bytes()) {
                return Err(fail(&format!(
                    "`{}: {}` is not a header field",
                    name.escape_debug(),
                    value.escape_debug()
                )));
            }
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Ok(head.into_bytes())
    }

    /// The listener of a connection: the one that is named, else the first that passes bytes and looks at
    /// what the client says, else the first that passes bytes.
    fn passing_listener(&self, snapshot: &Snapshot) -> Result<usize, QuestionError> {
        let listeners = &snapshot.listeners;
        let fail_listener = |text: String| Err(QuestionError::Listener(text));
        if let Some(name) = &self.listener {
            return match listeners.iter().position(|listener| listener.name == *name) {
                Some(place) if listeners[place].mode == Mode::Tcp => Ok(place),
                Some(_) => Err(QuestionError::Request(format!(
                    "the listener `{name}` speaks HTTP: write a request such as `GET https://host/path`"
                ))),
                None => fail_listener(format!("there is no listener `{}`", name.escape_debug())),
            };
        }
        if self.sni.is_none() && self.alpn.is_empty() {
            return Err(fail(
                "there is no request: write `GET https://host/path`, or say what a TLS client asks for",
            ));
        }
        let passing = || listeners.iter().enumerate().filter(|(_, listener)| listener.mode == Mode::Tcp);
        match passing().find(|(_, listener)| listener.routes.is_about_hello()).or_else(|| passing().next()) {
            Some((place, _)) => Ok(place),
            None => fail_listener(String::from("no listener passes bytes (`mode = \"tcp\"`)")),
        }
    }

    /// The TLS state of a connection to `listener`, which passes bytes.
    fn connection(&self, listener: &Listener) -> Result<What, QuestionError> {
        if !self.headers.is_empty() {
            return Err(fail("there are header fields and no request"));
        }
        if self.client_cert != Shown::default() {
            let text = format!("the routes of `{}`, which passes bytes, see no certificate", listener.name);
            return Err(QuestionError::ClientCert(text));
        }
        if let Some(name) = self.alpn.iter().find(|name| name.is_empty() || name.len() > 255) {
            let text = format!("`{}` is no protocol: write a name such as `h2`", name.escape_debug());
            return Err(QuestionError::Tls(text));
        }
        let mut alpn = Vec::new();
        let mut push = |name: &str| {
            // The length was looked at.
            alpn.push(name.len() as u8);
            alpn.extend_from_slice(name.as_bytes());
        };
        match &listener.tls {
            // Behind TLS there is the one that was agreed on.
            Some(tls) => {
                let is_offered = |name: &&String| self.alpn.contains(name);
                tls.alpn.iter().find(is_offered).into_iter().for_each(|name| push(name));
            }
            None => self.alpn.iter().for_each(|name| push(name)),
        }
        let server_name = self.sni.as_deref().filter(|name| !name.is_empty());
        let server_name = server_name.map(|name| name.to_ascii_lowercase().into_bytes().into());
        Ok(What::Connection(Hello { server_name, alpn: alpn.into() }))
    }

    fn listener(&self, url: &Url<'_>, snapshot: &Snapshot) -> Result<usize, QuestionError> {
        let listeners = &snapshot.listeners;
        let fail = |text: String| Err(QuestionError::Listener(text));
        if let Some(name) = &self.listener {
            return match listeners.iter().position(|listener| listener.name == *name) {
                Some(place) if listeners[place].mode == Mode::Http => Ok(place),
                Some(_) => fail(format!(
                    "the listener `{name}` passes bytes: ask without a request, by the name and the protocols of a TLS client"
                )),
                None => fail(format!("there is no listener `{}`", name.escape_debug())),
            };
        }
        let http = || listeners.iter().enumerate().filter(|(_, listener)| listener.mode == Mode::Http);
        let port = url.authority.and_then(|authority| authority.rsplit_once(':')?.1.parse().ok()).or(
            match url.scheme {
                Some("https") => Some(443),
                Some(_) => Some(80),
                None => None,
            },
        );
        let by_port =
            http().find(|(_, listener)| port.is_some() && listener.bind.ip().map(|bind| bind.port()) == port);
        match by_port.or_else(|| http().next()) {
            Some((place, _)) => Ok(place),
            None => fail(String::from("no listener speaks HTTP")),
        }
    }
}

fn fail(text: &str) -> QuestionError {
    QuestionError::Request(text.to_owned())
}

fn url(request: &str) -> Result<Url<'_>, QuestionError> {
    let (method, rest) = request.trim().split_once(' ').unwrap_or(("GET", request.trim()));
    if !is_token(method.as_bytes())
        || rest.is_empty()
        || rest.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err(fail(&format!(
            "`{}` is not a request: write `GET https://host/path`",
            request.escape_debug()
        )));
    }
    if rest.starts_with('/') || rest == "*" {
        return Ok(Url { method, scheme: None, authority: None, target: rest });
    }
    let Some((scheme @ ("http" | "https"), rest)) = rest.split_once("://") else {
        return Err(fail(&format!(
            "`{}` is no URL: it begins with `http://`, `https://` or `/`",
            rest.escape_debug()
        )));
    };
    let (authority, target) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    let target = if target.is_empty() { "/" } else { target };
    if target.starts_with('?') {
        return Err(fail("the URL has a query and no path: write `/` in front of it"));
    }
    Ok(Url { method, scheme: Some(scheme), authority: Some(authority), target })
}

/// The backend that is called `name`, as `pool/backend`; a name alone is one of the only pool.
fn backend(name: &str, snapshot: &Snapshot) -> Result<BackendId, QuestionError> {
    let find = |pool: usize, backend: &str| {
        let backends = &snapshot.pools[pool].backends;
        let index = backends.iter().position(|it| it.name == backend || it.address.to_string() == backend)?;
        Some(BackendId { pool: PoolId(pool), index })
    };
    let of_pool = name
        .split_once('/')
        .and_then(|(pool, backend)| find(snapshot.pools.iter().position(|it| it.name == pool)?, backend));
    let alone = || if snapshot.pools.len() == 1 { find(0, name) } else { None };
    of_pool.or_else(alone).ok_or_else(|| {
        QuestionError::Backend(format!("there is no backend `{}`: write `pool/backend`", name.escape_debug()))
    })
}
