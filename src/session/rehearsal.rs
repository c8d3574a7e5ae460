//! What would become of a request: the code that serves traffic, with nobody at either end.

use ::core::net::{IpAddr, SocketAddr};

use super::exchange::Exchange;
use super::phases::{cause_of_scan, head_limits};
use super::routing::{self, Arrival, Routed};
use super::{Env, Session};
use crate::core::outcome::Cause;
use crate::http::request::{self, field_table};
use crate::http::scan::HeadScan;
use crate::route::View;
use crate::snapshot::PoolId;

/// How a rehearsal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rehearsed {
    /// It goes to a backend of that pool, with this head.
    Forwarded {
        /// The pool.
        pool: PoolId,
        /// The head as the backend gets it.
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

/// What was found out on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// The client, behind the proxies that are trusted; `None` if the head could not be read.
    pub client: Option<IpAddr>,
    /// The route that was taken, by its place in the listener.
    pub route: Option<usize>,
    /// How it ended.
    pub end: Rehearsed,
}

/// Rehearses the request with `head` that comes from `peer` to the listener at `listener` of the snapshot, which speaks HTTP.
/// `look` is shown what the routes saw of it.
pub fn rehearse(
    env: &Env<'_>,
    listener: usize,
    peer: SocketAddr,
    head: &[u8],
    look: &mut dyn FnMut(&View<'_>),
) -> Rehearsal {
    let mut exchange = Exchange::default();
    exchange.begin(env.now, 0, 0);
    let end = run(env, listener, peer, head, &mut exchange, look).unwrap_or_else(Rehearsed::Refused);
    Rehearsal { client: exchange.client, route: exchange.route, end }
}

fn run(
    env: &Env<'_>,
    number: usize,
    peer: SocketAddr,
    head: &[u8],
    exchange: &mut Exchange,
    look: &mut dyn FnMut(&View<'_>),
) -> Result<Rehearsed, Cause> {
    let limits = &env.snapshot.limits;
    let scanned = HeadScan::default().scan(head, &head_limits(limits)).map_err(cause_of_scan)?;
    let (start, end) = scanned.ok_or(Cause::ClientTruncated)?;
    let mut table = field_table();
    let request = request::read(&head[start..end], &mut table, limits)?;
    exchange.take(&request, false);
    if request.ends_here() {
        return Ok(Rehearsed::Options);
    }
    let arrival = Arrival { listener: &env.snapshot.listeners[number], peer, secured: None, env };
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let routed = arrival.route(&request, exchange, &mut up, &mut down);
    if let Some(client) = exchange.client {
        look(&routing::view(&request, client));
    }
    Ok(match routed? {
        Routed::Forwarded { .. } => Rehearsed::Forwarded {
            pool: exchange.pool.unwrap_or(PoolId(0)),
            head: up,
            key: exchange.key,
            bound: exchange.bound,
        },
        Routed::Answered { .. } => Rehearsed::Answered { status: exchange.status, answer: down },
        Routed::Options { .. } => Rehearsed::Options,
        Routed::Unroutable { cause, .. } => Rehearsed::Refused(cause),
    })
}

impl Session {
    /// The route that was taken for the exchange, by its place in the listener.
    #[must_use]
    pub fn route_taken(&self) -> Option<usize> {
        self.exchange.route
    }
}
