//! From a request head to what becomes of it: which route, which pool, and the head or the answer that follows from it.

use ::core::net::SocketAddr;

use super::exchange::Exchange;
use super::identity::Identity;
use super::{Env, Session};
use crate::core::outcome::Cause;
use crate::core::tls_info::TlsInfo;
use crate::http::answer::{self, AnswerDetails, reason};
use crate::http::dav::Dav;
use crate::http::forward::{ForwardContext, Traceparent};
use crate::http::forwarded;
use crate::http::lines::push_edits;
use crate::message::{BodyLength, FieldLine, Head, Method, Nominated};
use crate::policy::{self, Case, OwnAnswer, Question, Verdict};
use crate::prelude::hello::Hello;
use crate::route::host;
use crate::route::{
    Context, Decision, Destinations, Options, RequestView, Retry, RewriteBack, Route, RouteAnswer, hash,
};
use crate::snapshot::{Balance, Hashing, Limits, Listener, Pool, PoolId, RequestIds, SameSite, Sticky};

/// The decision for a request head.
pub(super) enum Routed {
    /// It goes to a backend; its new head was written.
    Forwarded {
        length: BodyLength,
        /// Fields that its trailers may not have; `None` if no trailer passes.
        trailers: Option<Nominated>,
        /// The bound of its body.
        body: Option<u64>,
        /// The question that comes before.
        asked: Option<Asked>,
    },
    /// Its route answers by itself. The answer was written, to where requests are if a question comes before.
    Answered { keep_alive: bool, asked: Option<Asked> },
    /// It asks what Pollux can do, and not a backend.
    Options { is_read: bool },
    /// It is answered for that cause.
    Unroutable { cause: Cause, length: BodyLength },
}

/// A question, and the place of the policy that has it.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) place: usize,
    pub(super) question: Question,
}

/// A request, and where it came in.
pub(super) struct Arrival<'a> {
    pub(super) listener: &'a Listener,
    pub(super) peer: SocketAddr,
    /// The TLS facts of the client's connection, if it is encrypted.
    pub(super) tls_info: Option<&'a TlsInfo>,
    /// Whether the client has come by TLS, as far as is known without its head.
    pub(super) is_secure: bool,
    /// The number of the next question.
    pub(super) turn: u32,
    pub(super) env: &'a Env<'a>,
}

impl Arrival<'_> {
    /// Takes `request` into its exchange, and decides on it. A head for the backend is appended to `up`, an answer to `down`.
    pub(super) fn take(
        &self,
        request: &Head<'_>,
        exchange: &mut Exchange,
        up: &mut Vec<u8>,
        down: &mut Vec<u8>,
    ) -> Result<Routed, Cause> {
        exchange.take(request, self.env.keeps_request);
        let fields = request.fields.iter().map(FieldLine::pair);
        exchange.captured.take_request(&fields, self.env.captured_names);
        if request.ends_here() {
            return Ok(Routed::Options { is_read: request.body == BodyLength::Empty });
        }
        self.route(request, exchange, up, down)
    }

    /// Decides on `request`. A head for the backend is appended to `up`, an answer to `down`.
    pub(super) fn route(
        &self,
        request: &Head<'_>,
        exchange: &mut Exchange,
        up: &mut Vec<u8>,
        down: &mut Vec<u8>,
    ) -> Result<Routed, Cause> {
        // Templates are shown what it is called while all else of the exchange changes.
        let mut identity = std::mem::take(&mut exchange.identity);
        identity.take(request, self.is_trusted(), self.listener.disclosure.traces, self.env.ids);
        let routed = self.decide(request, &identity, exchange, up, down);
        exchange.identity = identity;
        routed
    }

    /// Whether it came from a proxy that is believed.
    fn is_trusted(&self) -> bool {
        self.listener.trusts(self.peer.ip().to_canonical())
    }

    /// Whether a request for `authority` has to come by another connection. HTTP/1.1 clients share a connection
    /// between no hosts, but proxies in front do, and those that are trusted may by HTTP/2 as well.
    fn is_misdirected(&self, authority: &[u8]) -> bool {
        let Some(tls_info) = self.tls_info.filter(|info| info.protocol == "h2") else { return false };
        let mut room = [0; host::LEN_MAX];
        let host = host::key(authority, &mut room).and_then(|host| std::str::from_utf8(host).ok());
        host.is_some_and(|host| tls_info.is_misdirected(host)) && !self.is_trusted()
    }

    fn decide(
        &self,
        request: &Head<'_>,
        identity: &Identity,
        exchange: &mut Exchange,
        up: &mut Vec<u8>,
        down: &mut Vec<u8>,
    ) -> Result<Routed, Cause> {
        let client = {
            let Listener { trusted_proxies, forwarding, .. } = self.listener;
            forwarded::client(trusted_proxies, *forwarding, self.peer.ip(), request.fields)
        };
        exchange.request.client = Some(client);
        let view = RequestView { tls_info: self.tls_info, ..RequestView::of(request, client) };
        let table = &self.listener.routes;
        if self.is_misdirected(view.authority) {
            return Ok(Routed::Unroutable { cause: Cause::Misdirected, length: request.body });
        }
        let place = match policy::taken(table.decide(&view)) {
            Ok(place) => place,
            // The path is understood, so that what follows the request is as well.
            Err(cause @ Cause::NoRoute) => {
                return Ok(Routed::Unroutable { cause, length: request.body });
            }
            Err(cause) => return Err(cause),
        };
        let route = &table.routes()[place];
        exchange.request.route = Some(place);
        exchange.request.pool = table.pool(place, &view, identity.name());
        let context =
            Context { view: &view, route, request_id: identity.name(), trace_id: identity.trace_id() };
        let case = Case {
            route,
            body: request.body,
            body_max: body_max(route.options.as_deref(), self.env),
            turn: self.turn,
        };
        let asked = match case.judge(0) {
            (_, Verdict::Go) => None,
            (_, Verdict::Answer(OwnAnswer::Refusal(cause))) => return Err(cause),
            (_, Verdict::Answer(OwnAnswer::Route(own))) => {
                return Ok(self.answer(request, own, &context, exchange, (None, down)));
            }
            (place, Verdict::Ask(question)) => Some(Asked { place, question }),
        };
        match policy::own_answer(route) {
            // An answer that may not be given yet lies where nothing is sent from.
            Some(own) => Ok(self.answer(request, own, &context, exchange, (asked, up))),
            None => self.forward(request, &context, identity.traceparent(), exchange, (asked, up)),
        }
    }

    fn answer(
        &self,
        request: &Head<'_>,
        answer: RouteAnswer<'_>,
        context: &Context<'_>,
        exchange: &mut Exchange,
        (asked, out): (Option<Asked>, &mut Vec<u8>),
    ) -> Routed {
        // A body that may follow is not worth reading.
        let keep_alive =
            exchange.afterwards.goes_on() && request.body == BodyLength::Empty && !self.env.is_draining();
        let grpc = exchange.grpc_of(answer.status());
        if asked.is_none() {
            exchange.note_own_answer(answer.status());
        }
        exchange.afterwards = exchange.afterwards.limited(keep_alive);
        let is_head = exchange.request.method == crate::message::Method::Head;
        let disclosure = &self.listener.disclosure;
        let own = context.route.options.as_deref().and_then(|options| options.hsts);
        let hsts = own.unwrap_or(disclosure.hsts).filter(|_| self.is_secure);
        let response = exchange.response_context(keep_alive, self.env.snapshot.timeouts.client_idle, hsts);
        match grpc {
            Some(grpc) => {
                let told = AnswerDetails { disclosure: *disclosure, request_id: context.request_id };
                answer::write_of_call(
                    out,
                    grpc,
                    reason(answer.status()),
                    None,
                    response,
                    &told,
                    self.env.date,
                );
            }
            None => {
                answer::write_of_route(out, &answer, context, response, is_head, disclosure, self.env.date);
            }
        }
        Routed::Answered { keep_alive, asked }
    }

    fn forward(
        &self,
        request: &Head<'_>,
        context: &Context<'_>,
        traceparent: Option<Traceparent>,
        exchange: &mut Exchange,
        (asked, up): (Option<Asked>, &mut Vec<u8>),
    ) -> Result<Routed, Cause> {
        let options = context.route.options.as_deref();
        let body = body_max(options, self.env);
        let pool = exchange.request.pool.unwrap_or(PoolId(0));
        let rules = self.env.snapshot.pool(pool);
        exchange.request.key = key(&rules.balance, context, up);
        exchange.request.bound = rules.sticky.as_ref().and_then(|sticky| bound(rules, sticky, context.view));
        let hidden = rules.sticky.as_ref().filter(|sticky| sticky.is_hidden);
        let forward = ForwardContext {
            is_trusted: self.is_trusted(),
            is_secure: self.is_secure,
            forwarding: self.listener.forwarding,
            passes_trailers: rules.passes_trailers,
            hidden_cookie: hidden.map(|sticky| sticky.cookie.as_str()),
            request_id: (self.listener.disclosure.request_id != RequestIds::Off)
                .then_some(context.request_id),
            traceparent,
            is_collected: rules.collect.is_some() && request.body == BodyLength::Open,
            dav: dav(options, exchange.request.method, rules),
            ..ForwardContext::plain(self.peer.ip(), &rules.name)
        };
        match options {
            None => request.write_forwarded(up, &forward),
            Some(options) => {
                write_edited(request, options, forward, context, &self.env.snapshot.limits, up)?;
                note_options(options, context, exchange);
            }
        }
        let passes = request.body == BodyLength::Open && rules.passes_trailers;
        let trailers = passes.then(|| {
            let mut nominated = request.nominated();
            // A field that a route takes out of the head is not to come back behind the body.
            nominated.add(options.iter().flat_map(|options| options.request.taken_out()));
            nominated
        });
        Ok(Routed::Forwarded { length: request.body, trailers, body, asked })
    }
}

/// The longest body that a request to a route with `options` may have.
pub(super) fn body_max(options: Option<&Options>, env: &Env<'_>) -> Option<u64> {
    options.and_then(|options| options.body).unwrap_or(env.snapshot.limits.body)
}

/// The facts of a connection that routes can know.
pub(super) fn connection_view(hello: &Hello, peer: SocketAddr) -> RequestView<'_> {
    let authority = hello.server_name.as_deref().unwrap_or_default();
    RequestView { authority, alpn: &hello.alpn, ..RequestView::connection(peer.ip().to_canonical()) }
}

/// Finds the pool for a connection of which nothing is known but its client, and what `hello` says. Without a route there is none.
pub(super) fn route_connection(
    exchange: &mut Exchange,
    listener: &Listener,
    peer: SocketAddr,
    hello: &Hello,
    env: &Env<'_>,
) {
    let id = exchange.identity.make(env.ids);
    let view = connection_view(hello, peer);
    let table = &listener.routes;
    let (Decision::Route(place), routes) = (table.decide(&view), table.routes()) else { return };
    let Some(route) = routes.get(place) else { return };
    exchange.request.route = Some(place);
    exchange.request.pool = table.pool(place, &view, id);
    if let Some(pool) = exchange.request.pool {
        let context = Context { view: &view, route, request_id: id, trace_id: "" };
        exchange.request.key = key(&env.snapshot.pool(pool).balance, &context, &mut Vec::new());
    }
}

/// The hash of the key by which the backends of a pool are picked, if the pool goes by one and the request has it. `scratch`
/// is left as it was.
fn key(balance: &Balance, context: &Context<'_>, scratch: &mut Vec<u8>) -> Option<u64> {
    match balance {
        Balance::Hash(Hashing { key, .. }) => {
            let start = scratch.len();
            key.render(context, scratch);
            let hash = (scratch.len() > start).then(|| hash::stable(&scratch[start..]));
            scratch.truncate(start);
            hash
        }
        Balance::RoundRobin
        | Balance::LeastConnections
        | Balance::Random
        | Balance::TwoChoices
        | Balance::Latency
        | Balance::First => None,
    }
}

/// The backend that a cookie of the request is for.
fn bound(pool: &Pool, sticky: &Sticky, view: &RequestView<'_>) -> Option<usize> {
    let tokens = pool.derived.tokens(pool);
    view.cookie(&sticky.cookie).find_map(|value| tokens.find(value))
}

/// The line that binds a client to the backend at `place`.
fn cookie_line(pool: &Pool, sticky: &Sticky, place: usize) -> Vec<u8> {
    let mut line = format!("Set-Cookie: {}=", sticky.cookie).into_bytes();
    line.extend_from_slice(&pool.derived.tokens(pool).value(place));
    line.extend_from_slice(format!("; Path={}", sticky.path).as_bytes());
    if let Some(domain) = &sticky.domain {
        line.extend_from_slice(format!("; Domain={domain}").as_bytes());
    }
    if let Some(age) = sticky.max_age {
        line.extend_from_slice(format!("; Max-Age={}", age.as_secs().max(1)).as_bytes());
    }
    if sticky.is_secure {
        line.extend_from_slice(b"; Secure");
    }
    if sticky.is_http_only {
        line.extend_from_slice(b"; HttpOnly");
    }
    line.extend_from_slice(match sticky.same_site {
        SameSite::Lax => b"; SameSite=Lax\r\n",
        SameSite::Strict => b"; SameSite=Strict\r\n",
        SameSite::None => b"; SameSite=None\r\n",
    });
    line
}

/// The rewriting of URIs that WebDAV has in fields: its methods have some, and others may where the path is
/// changed.
fn dav<'a>(options: Option<&'a Options>, method: Method, pool: &Pool) -> Option<Dav<'a>> {
    let which = options.map_or(Destinations::Own, |options| options.destinations);
    let prefix = options.and_then(|options| options.prefix.as_ref());
    let is_needed = which != Destinations::Pass && (method == Method::Other || prefix.is_some());
    is_needed.then_some(Dav { which, is_secure: pool.tls.is_some(), prefix })
}

/// Writes a head as the route wants it. What comes out is held to the bound of what comes in.
fn write_edited(
    request: &Head<'_>,
    options: &Options,
    forward: ForwardContext<'_>,
    context: &Context<'_>,
    limits: &Limits,
    up: &mut Vec<u8>,
) -> Result<(), Cause> {
    let path = options.prefix.as_ref().and_then(|prefix| prefix.apply(context.view.path));
    let edits = Some((&options.request, *context));
    let start = up.len();
    request.write_forwarded(up, &ForwardContext { path, edits, ..forward });
    // A template can repeat what the client said, but not without end.
    if up.len() - start > 2 * limits.head {
        up.truncate(start);
        return Err(Cause::HeadTooLong);
    }
    Ok(())
}

/// Keeps what is needed of the options when the response comes.
fn note_options(options: &Options, context: &Context<'_>, exchange: &mut Exchange) {
    exchange.request.retry = options.retry;
    if options.back != RewriteBack::default() {
        let is_changed =
            options.prefix.as_ref().is_some_and(|prefix| prefix.apply(context.view.path).is_some());
        exchange.request.back = Some((context.view.authority.into(), is_changed));
    }
    exchange.retries.only_fresh = options.retry == Retry::Off;
    push_edits(&mut exchange.request.response_fields, &options.response, context);
}

impl Session {
    /// The line that binds the client to the backend that has answered; empty if there is none, or if it is bound already.
    pub(super) fn cookie_line(&self, env: &Env<'_>) -> Vec<u8> {
        let pool = env.snapshot.pool(self.pool());
        match (&pool.sticky, self.exchange.attempt.backend) {
            (Some(sticky), Some(place)) if self.exchange.request.bound != Some(place) => {
                cookie_line(pool, sticky, place)
            }
            (Some(_) | None, _) => Vec::new(),
        }
    }

    /// The route that was taken, if one was.
    pub(super) fn route<'a>(&self, env: &Env<'a>) -> Option<&'a Route> {
        env.snapshot.listeners[self.listener].routes.routes().get(self.exchange.request.route?)
    }

    /// The options of the route that was taken.
    pub(super) fn options<'a>(&self, env: &Env<'a>) -> Option<&'a Options> {
        self.route(env)?.options.as_deref()
    }

    /// The times that hold for the exchange.
    pub(super) fn timeouts<'a>(&self, env: &Env<'a>) -> &'a crate::snapshot::Timeouts {
        self.options(env).and_then(|options| options.timeouts.as_ref()).unwrap_or(&env.snapshot.timeouts)
    }
}
