//! A dry run of a request: the code that serves traffic, without a client and without a backend.

use ::core::net::{IpAddr, SocketAddr};

use super::exchange::Exchange;
use super::phases::{cause_of_scan, head_limits};
use super::routing::{self, Arrival, Routed};
use super::{Env, Session};
use crate::core::outcome::Cause;
use crate::core::tls_info::TlsInfo;
use crate::http::request;
use crate::http::scan::HeadScan;
use crate::message::field_table;
use crate::policy::{self, Case, Judged};
use crate::prelude::hello::Hello;
use crate::route::RequestView;
use crate::snapshot::PoolId;

/// The end of a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DryRunEnd {
    /// It goes to a backend of that pool, with this head.
    Forwarded {
        /// The pool.
        pool: PoolId,
        /// The head as the backend gets it.
        /// Empty where bytes are passed.
        head: Vec<u8>,
        /// The hash of the key by which a backend is picked, if the pool goes by one and the request has it.
        key: Option<u64>,
        /// The backend that the client is bound to, by its place in the pool.
        bound: Option<usize>,
    },
    /// The route answers by itself.
    Answered {
        /// The status.
        status: u16,
        /// The answer, head and body.
        answer: Vec<u8>,
    },
    /// It is answered for a cause.
    Refused(Cause),
    /// It asks what Pollux itself can do (OPTIONS with `Max-Forwards: 0`).
    Options,
}

/// The facts that were found on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRun {
    /// The client, behind the proxies that are trusted; `None` if the head could not be read.
    pub client: Option<IpAddr>,
    /// The route that was taken, by its place in the listener.
    pub route: Option<usize>,
    /// The verdicts of the route's policies, up to the first one that answers.
    pub policies: Vec<Judged>,
    /// The end, if every authority that would be asked agrees.
    pub end: DryRunEnd,
}

/// Rehearses the request with `head` that comes from `peer` to the listener at `listener` of the snapshot, which speaks HTTP;
/// by a connection of which `tls_info` is known, if it is encrypted. `look` is shown what the routes saw of it.
pub fn dry_run(
    env: &Env<'_>,
    listener: usize,
    peer: SocketAddr,
    head: &[u8],
    tls_info: Option<&TlsInfo>,
    look: &mut dyn FnMut(&RequestView<'_>),
) -> DryRun {
    let mut exchange = Exchange::default();
    exchange.begin(env.now, 0, 0);
    let mut policies = Vec::new();
    let end = run(env, (listener, peer), head, tls_info, &mut exchange, look, &mut policies);
    let end = end.unwrap_or_else(DryRunEnd::Refused);
    DryRun { client: exchange.request.client, route: exchange.request.route, policies, end }
}

/// Rehearses a connection that comes from `peer` to the listener at `listener` of the snapshot, which passes bytes, and of which
/// `hello` is known.
pub fn dry_run_connection(
    env: &Env<'_>,
    listener: usize,
    peer: SocketAddr,
    hello: &Hello,
    look: &mut dyn FnMut(&RequestView<'_>),
) -> DryRun {
    let mut exchange = Exchange::default();
    exchange.begin(env.now, 0, 0);
    routing::route_connection(&mut exchange, &env.snapshot.listeners[listener], peer, hello, env);
    let view = routing::connection_view(hello, peer);
    look(&view);
    let end = match exchange.request.pool {
        Some(pool) => DryRunEnd::Forwarded { pool, head: Vec::new(), key: exchange.request.key, bound: None },
        None => DryRunEnd::Refused(Cause::NoRoute),
    };
    let policies = Vec::new();
    DryRun { client: Some(view.client), route: exchange.request.route, policies, end }
}

fn run(
    env: &Env<'_>,
    (number, peer): (usize, SocketAddr),
    head: &[u8],
    tls_info: Option<&TlsInfo>,
    exchange: &mut Exchange,
    look: &mut dyn FnMut(&RequestView<'_>),
    policies: &mut Vec<Judged>,
) -> Result<DryRunEnd, Cause> {
    let limits = &env.snapshot.limits;
    let scanned = HeadScan::default().scan(head, &head_limits(limits)).map_err(cause_of_scan)?;
    let (start, end) = scanned.ok_or(Cause::ClientTruncated)?;
    let settled = env.snapshot.listeners[number].targets.settle(&head[start..end], limits.request_line)?;
    let mut table = field_table();
    let mut request = request::read(&settled, &mut table, limits)?;
    request.settle_upgrade(head.get(end).copied());
    exchange.take(&request, false);
    if request.ends_here() {
        return Ok(DryRunEnd::Options);
    }
    let listener = &env.snapshot.listeners[number];
    let arrival = Arrival { listener, peer, tls_info, is_secure: tls_info.is_some(), turn: 0, env };
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let routed = arrival.route(&request, exchange, &mut up, &mut down);
    if let Some(client) = exchange.request.client {
        look(&RequestView { tls_info, ..RequestView::of(&request, client) });
    }
    let route = exchange.request.route.and_then(|place| listener.routes.routes().get(place));
    if let Some(route) = route {
        let body_max = routing::body_max(route.options.as_deref(), env);
        *policies = Judged::all(&Case { route, body: request.body, body_max, turn: 0 });
    }
    Ok(match routed? {
        Routed::Forwarded { .. } => DryRunEnd::Forwarded {
            pool: exchange.request.pool.unwrap_or(PoolId(0)),
            head: up,
            key: exchange.request.key,
            bound: exchange.request.bound,
        },
        Routed::Answered { asked, .. } => DryRunEnd::Answered {
            status: route.and_then(policy::own_answer).map_or(0, |own| own.status()),
            answer: if asked.is_some() { up } else { down },
        },
        Routed::Options { .. } => DryRunEnd::Options,
        Routed::Unroutable { cause, .. } => DryRunEnd::Refused(cause),
    })
}

impl Session {
    /// The route that was taken for the exchange, by its place in the listener.
    #[must_use]
    pub fn route_taken(&self) -> Option<usize> {
        self.exchange.request.route
    }
}
