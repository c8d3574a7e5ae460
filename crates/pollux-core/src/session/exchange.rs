//! One HTTP request with its response (or one TCP session): what has to be remembered of it until its end.

use ::core::net::SocketAddr;
use ::core::num::NonZeroU8;
use std::time::Duration;

use super::identity::Identity;
use super::parts::{
    Afterwards, Attempt, Budgeted, Continued, Requested, Responded, Retrying, Timing, Upgrade,
};
use crate::core::captured::Captured;
use crate::core::grpc::GrpcStatus;
use crate::core::identity::RequestId;
use crate::core::outcome::{Cause, Consulted, Outcome, Record, Spans, Stage};
use crate::core::time::Time;
use crate::core::tls_info::TlsInfo;
use crate::http::grpc;
use crate::http::request::first_line;
use crate::http::response::{RequestFacts, ResponseContext};
use crate::message::{BodyLength, FieldLine, Head, Method, Version};
use crate::route::{Back, Options};
use crate::snapshot::{Hsts, Interims, Mode};

/// The longest method and the longest target that a record keeps, in bytes.
const TEXT_MAX: usize = 2048;

/// One exchange, as far as it is known.
#[derive(Debug, Default)]
pub struct Exchange {
    pub(crate) stage: Stage,
    pub(crate) cause: Option<Cause>,
    pub(crate) request: Requested,
    pub(crate) attempt: Attempt,
    pub(crate) retries: Retrying,
    pub(crate) response: Responded,
    pub(crate) afterwards: Afterwards,
    /// The place of the policy that asked last, counted from 1. It stands here in what would be padding.
    pub(crate) asked_by: Option<NonZeroU8>,
    /// The time that all replies of authorities took, in microseconds.
    pub(crate) asked_us: u32,
    pub(crate) timing: Timing,
    pub(crate) identity: Identity,
    /// Header fields for the record.
    pub(crate) captured: Captured,
}

/// The parts of a record from outside of the exchange.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Time,
    pub(crate) client: SocketAddr,
    /// The peer of the connection.
    pub(crate) peer: SocketAddr,
    pub(crate) listener: &'a str,
    pub(crate) mode: Mode,
    pub(crate) route: Option<&'a str>,
    pub(crate) asked: Option<Consulted<'a>>,
    pub(crate) pool: &'a str,
    pub(crate) backend: Option<&'a str>,
    /// The bytes that the lanes have passed up and down.
    pub(crate) bytes: (u64, u64),
    pub(crate) request_id: RequestId<'a>,
    /// The TLS facts of the client's connection, if it is encrypted.
    pub(crate) tls_info: Option<&'a TlsInfo>,
}

impl Exchange {
    /// Forgets the last exchange, but not the memory it took.
    pub(crate) fn begin(&mut self, now: Time, up_before: u64, down_before: u64) {
        let identity = std::mem::take(&mut self.identity).renewed();
        let mut captured = std::mem::take(&mut self.captured);
        captured.clear();
        let (request, retries) = (self.request.renewed(), self.retries.renewed());
        let timing = Timing { began: now, up_before, down_before, ..Timing::default() };
        *self = Exchange { request, retries, timing, identity, captured, ..Exchange::default() };
    }

    /// Gives back what memory can be spared while nothing happens.
    pub(crate) fn rest(&mut self) {
        self.retries.tried.shrink_to_fit();
        self.request.text.shrink_to_fit();
        if let Some(upgrade) = &mut self.request.upgrade {
            upgrade.protocols.shrink_to_fit();
        }
    }

    /// Takes what matters of a request head.
    pub(crate) fn take(&mut self, request: &Head<'_>, keeps_text: bool) {
        self.request.method = request.method;
        self.request.version = Some(request.version);
        self.afterwards = if request.keep_alive { Afterwards::GoesOn } else { Afterwards::IsLast };
        self.request.is_login = request.is_login;
        self.request.is_call = grpc::is_call(request);
        self.request.call_ms = if self.request.is_call { grpc::timeout_ms(request) } else { None };
        self.request.expects = request.expects_continue;
        if request.wants_upgrade {
            let is_behind_body = request.body != BodyLength::Empty;
            let protocols = request.protocols();
            self.request.upgrade = Some(Box::new(Upgrade { protocols, is_behind_body, accept: None }));
        }
        if keeps_text {
            self.take_text(request.method_text, request.target_text, request.authority().unwrap_or_default());
        }
    }

    /// Takes what a record and an answer have to know of a request head that was refused.
    pub(crate) fn take_refused(&mut self, head: &[u8], keeps_text: bool) {
        if let Some((method, target)) = first_line(head) {
            self.request.method = Method::of(method);
            if keeps_text {
                self.take_text(method, target, b"");
            }
        }
    }

    /// When the time that the caller gives a call of gRPC is over.
    pub(crate) fn call_due(&self) -> Option<Time> {
        self.request.call_ms.map(|ms| self.timing.began + Duration::from_millis(ms.get().into()))
    }

    /// The status that a call of gRPC gets in the place of an answer with `status` that a route gives. A success
    /// passes, so that a route can answer a call whole.
    pub(crate) fn grpc_of(&self, status: u16) -> Option<GrpcStatus> {
        (self.request.is_call && status >= 300).then(|| GrpcStatus::of_http(status))
    }

    /// A route answers by itself, with `status`.
    pub(crate) fn note_own_answer(&mut self, status: u16) {
        self.response.grpc = self.grpc_of(status);
        self.response.status = if self.response.grpc.is_some() { 200 } else { status };
    }

    /// Takes the name that a raw connection has asked for.
    pub(crate) fn take_name(&mut self, name: &[u8]) {
        self.take_text("", "", name);
    }

    fn take_text(&mut self, method: &str, target: &str, authority: &[u8]) {
        let cut = |text: &[u8]| text.len().min(TEXT_MAX);
        (self.request.method_length, self.request.target_length) =
            (cut(method.as_bytes()), cut(target.as_bytes()));
        self.request.text.extend_from_slice(&method.as_bytes()[..self.request.method_length]);
        self.request.text.extend_from_slice(&target.as_bytes()[..self.request.target_length]);
        self.request.text.extend_from_slice(&authority[..cut(authority)]);
    }

    /// The facts that a reader of the response needs.
    pub(crate) fn asked(&self) -> RequestFacts<'_> {
        RequestFacts { is_head: self.request.method == Method::Head, protocols: self.request.protocols() }
    }

    /// Whether a final response of that status may pass as what it is. To an extended CONNECT (RFC 8441) a 2xx
    /// would say that the tunnel is open.
    pub(crate) fn may_pass(&self, status: u16) -> bool {
        let is_connect = self.request.version == Some(Version::Http2) && self.request.upgrade.is_some();
        !(is_connect && (200..300).contains(&status))
    }

    /// Whether a 101 with `fields` is for the key that Pollux has made (RFC 6455 §4.1); true if it has made none.
    pub(crate) fn is_accepted(&self, fields: &[FieldLine<'_>]) -> bool {
        let Some(accept) = self.request.upgrade.as_ref().and_then(|upgrade| upgrade.accept.as_deref()) else {
            return true;
        };
        let mut values =
            fields.iter().filter(|field| field.name.eq_ignore_ascii_case("sec-websocket-accept"));
        values.next().is_some_and(|field| field.value == accept.as_bytes()) && values.next().is_none()
    }

    /// The context of an answer to a client whose connection is kept for `idle` while nothing comes.
    pub(crate) fn response_context(
        &self,
        keep_alive: bool,
        idle: Duration,
        hsts: Option<Hsts>,
    ) -> ResponseContext {
        let version = self.request.version.unwrap_or(Version::Http11);
        ResponseContext { version, keep_alive, is_first: self.is_first(), idle: Some(idle), hsts }
    }

    /// Whether the client gets an interim response with `status`, where it is to get those that `interims` says. HTTP/1.0 has none
    /// (RFC 9110 §15.2), and there are clients that take a second 100 for the final response.
    pub(crate) fn takes_interim(&self, status: u16, interims: Interims) -> bool {
        !self.is_old()
            && match status {
                100 => self.response.continued == Continued::No,
                _ => interims == Interims::All,
            }
    }

    /// The client has got a 100.
    pub(crate) fn note_continued(&mut self) {
        if self.response.continued == Continued::No {
            self.response.continued = Continued::Said;
        }
    }

    /// The way back from the names of the backend to those of the client.
    pub(crate) fn back<'a>(&'a self, options: &'a Options) -> Option<Back<'a>> {
        let (authority, is_changed) = self.request.back.as_ref()?;
        Some(Back {
            prefix: options.prefix.as_ref().filter(|_| *is_changed && options.back.paths),
            domains: options.back.domains.as_ref(),
            authority,
        })
    }

    /// Whether the client speaks HTTP/1.0.
    pub(crate) fn is_old(&self) -> bool {
        self.request.version == Some(Version::Http10)
    }

    /// The client's address: that of the connection, unless it is a trusted proxy's.
    fn client_of(&self, peer: SocketAddr) -> SocketAddr {
        match self.request.client {
            Some(client) if client != peer.ip().to_canonical() => SocketAddr::new(client, 0),
            Some(_) | None => peer,
        }
    }

    /// Whether it is the first one of its connection.
    pub(crate) fn is_first(&self) -> bool {
        (self.timing.up_before, self.timing.down_before) == (0, 0)
    }

    /// The bytes of this exchange, where the lanes have passed so many up and down.
    pub(crate) fn bytes(&self, up: u64, down: u64) -> (u64, u64) {
        (up - self.timing.up_before, down - self.timing.down_before)
    }

    pub(crate) fn record<'a>(&'a self, around: Surroundings<'a>) -> Record<'a> {
        let (method, rest) = self.request.text.split_at(self.request.method_length);
        let (bytes_up, bytes_down) = self.bytes(around.bytes.0, around.bytes.1);
        let (target, authority) = rest.split_at(self.request.target_length);
        Record {
            client: self.client_of(around.client),
            proxy: (self.client_of(around.client) != around.peer).then_some(around.peer),
            listener: around.listener,
            mode: around.mode,
            method,
            target,
            authority,
            protocol: self.request.version.map_or("", Version::as_str),
            request_id: around.request_id,
            trace_id: self.identity.trace_id(),
            status: self.response.status,
            grpc_status: self.response.grpc,
            route: around.route,
            pool: around.pool,
            backend: around.backend,
            attempts: self.retries.attempts,
            retried: self.retries.retried,
            budget_spent: self.retries.budget != Budgeted::Enough,
            queued: self.retries.queued,
            asked: around.asked,
            reused: self.attempt.is_reused,
            bytes_up,
            bytes_down,
            spans: Spans { whole: around.now.since(self.timing.began), ..self.timing.spans },
            outcome: Outcome { cause: self.cause, stage: self.stage },
            tls_info: around.tls_info,
            captured: &self.captured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A busy session has one: it is most of what a session costs beside its buffers.
    #[test]
    fn its_parts_make_an_exchange_no_larger() {
        assert!(size_of::<Exchange>() <= 656, "{} bytes", size_of::<Exchange>());
    }
}
