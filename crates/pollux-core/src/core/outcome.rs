//! The end of an exchange: one cause out of a closed list, and the one record of every ending.
//!
//! The word of a [`Cause`] is the same in the access line, in the body of Pollux's own answer and in its header. Each
//! cause says whose fault it was and which status Pollux answers with, if it can still answer.

use ::core::net::SocketAddr;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::core::captured::{Captured, CapturedNames};
use crate::core::grpc::GrpcStatus;
use crate::core::identity::RequestId;
use crate::core::ids::{Mode, PoolId};
use crate::core::tls_info::TlsInfo;
use crate::core::word::UnknownWord;

/// The side that brought the end about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The client.
    Client,
    /// The backend.
    Backend,
    /// Pollux itself, by one of its limits.
    Pollux,
    /// The operator, by stopping Pollux or by ending the session.
    Operator,
}

impl Who {
    /// The stable word for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Who::Client => "client",
            Who::Backend => "backend",
            Who::Pollux => "pollux",
            Who::Operator => "operator",
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! causes {
    ($(#[doc = $meaning:literal] $name:ident $word:literal $who:ident $status:expr,)*) => {
        /// Why an exchange did not end well. The list is closed: whatever goes wrong is one of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Cause {
            $(#[doc = $meaning] $name,)*
        }

        impl Cause {
            /// Every cause there is.
            pub const ALL: &'static [Cause] = &[$(Cause::$name,)*];

            /// The stable word for logs, headers and bodies.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Cause::$name => $word,)* }
            }

            /// The event, in a sentence or two.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Cause::$name => $meaning.trim_ascii(),)* }
            }

            /// The party at fault.
            #[must_use]
            pub const fn who(self) -> Who {
                match self { $(Cause::$name => Who::$who,)* }
            }

            /// The status that Pollux answers with if no response has begun; `None` if no client is left to
            /// answer.
            #[must_use]
            pub const fn status(self) -> Option<u16> {
                match self { $(Cause::$name => $status,)* }
            }
        }

        impl FromStr for Cause {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Cause, UnknownWord> {
                Cause::ALL.iter().copied().find(|cause| cause.as_str() == word).ok_or(UnknownWord)
            }
        }
    };
}

causes! {
    /// The connection began with a PROXY header, or had to, and did not come from a network of `trusted_proxies`.
    ProxyHeaderRefused "proxy-header-refused" Client None,
    /// The connection had to begin with a PROXY header, and began with something else.
    ProxyHeaderMissing "proxy-header-missing" Client None,
    /// The PROXY header breaks its grammar, is too long, was cut short or has a wrong checksum.
    ProxyHeaderMalformed "proxy-header-malformed" Client None,
    /// The PROXY header did not arrive within `timeouts.prelude`.
    ProxyHeaderTimeout "proxy-header-timeout" Client None,
    /// No route takes the connection as it is, and its first bytes are no TLS, so that there is no name to route it by.
    ClientHelloMissing "client-hello-missing" Client None,
    /// No route takes the connection as it is, and its ClientHello breaks the grammar (RFC 8446 §4.1.2) or was cut short.
    ClientHelloMalformed "client-hello-malformed" Client None,
    /// No route takes the connection as it is, and its ClientHello is longer than 16 KiB, or than `limits.buffer`.
    ClientHelloTooLong "client-hello-too-long" Client None,
    /// No route takes the connection as it is, and its ClientHello did not arrive within `timeouts.prelude`.
    ClientHelloTimeout "client-hello-timeout" Client None,
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    BadRequestLine "bad-request-line" Client Some(400),
    /// A header field breaks the grammar: a bare CR or LF, a control byte, a blank before the colon, a folded line (RFC 9112 §5).
    BadField "bad-field" Client Some(400),
    /// The message's length is ambiguous or malformed (RFC 9112 §6).
    BadFraming "bad-framing" Client Some(400),
    /// Host is missing, repeated or not a valid authority (RFC 9112 §3.2).
    BadHost "bad-host" Client Some(400),
    /// The target has none of the forms of RFC 9112 §3.2 that its method allows.
    BadTarget "bad-target" Client Some(400),
    /// A chunk of the request body is malformed (RFC 9112 §7.1).
    BadChunk "bad-chunk" Client Some(400),
    /// The client connected and left, or was silent for `timeouts.client_head`, without one byte of a request. It is owed no answer.
    NoRequest "no-request" Client None,
    /// The client ended its side in the middle of a request.
    ClientTruncated "client-truncated" Client Some(400),
    /// The request head did not arrive within `timeouts.client_head`.
    ClientHeadTimeout "client-head-timeout" Client Some(408),
    /// The client had not finished its request, or took nothing of its response, when `limits.sessions` was reached and others came.
    MadeRoom "made-room" Client Some(408),
    /// The request body stalled for `timeouts.idle`.
    ClientBodyTimeout "client-body-timeout" Client Some(408),
    /// The request body is longer than `limits.body`.
    BodyTooLong "body-too-long" Client Some(413),
    /// The request line is longer than `limits.request_line`.
    TargetTooLong "target-too-long" Client Some(414),
    /// The request head is longer than `limits.head` or has more than `limits.fields` fields.
    HeadTooLong "head-too-long" Client Some(431),
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    UnknownExpectation "unknown-expectation" Client Some(417),
    /// CONNECT or TRACE, which Pollux does not offer.
    MethodRefused "method-refused" Client Some(501),
    /// Neither HTTP/1.0 nor HTTP/1.1.
    BadVersion "bad-version" Client Some(505),
    /// Readers disagree about which path is meant (dot segments, empty segments, encoded slashes), and routes look at paths.
    AmbiguousPath "ambiguous-path" Client Some(400),
    /// The request came by an HTTP/2 connection whose certificate is not for its authority, and whose client had asked for another name (RFC 9113 §9.1.1).
    Misdirected "misdirected-request" Client Some(421),
    /// No route of the listener matches.
    NoRoute "no-route" Client Some(404),
    /// The client reset or closed its connection before its response was delivered, or ended its direction, which `on_client_close` takes for that.
    ClientAborted "client-aborted" Client None,
    /// The client took nothing of its response for `timeouts.idle`.
    ClientStalled "client-stalled" Client None,
    /// The client's TLS handshake was not over within `timeouts.handshake`, or within a second while `limits.handshakes` were under way.
    TlsHandshakeTimeout "tls-handshake-timeout" Client None,
    /// The client's TLS handshake broke off, or what came in it is not TLS.
    TlsHandshakeFailed "tls-handshake-failed" Client None,
    /// The client offers no version of TLS, cipher suite, key exchange, signature or protocol (ALPN) that the listener takes.
    TlsIncompatible "tls-incompatible" Client None,
    /// The client asked (SNI) for a name that no certificate of the listener is for, or for none, and `unknown_names` is `"refuse"`.
    TlsUnknownName "tls-unknown-name" Client None,
    /// The client ended the TLS handshake with an alert: it does not like the certificate, or something else that was offered.
    TlsRefusedByClient "tls-refused-by-client" Client None,
    /// The client showed no certificate, and `client_auth` is `"require"`.
    TlsCertificateRequired "tls-certificate-required" Client None,
    /// The client showed a certificate that cannot be verified with `client_ca`, is expired, or was revoked (`client_crl`).
    TlsCertificateRefused "tls-certificate-refused" Client None,
    /// Every backend tried refused the connection.
    BackendRefused "backend-refused" Backend Some(502),
    /// No backend tried can be reached over the network.
    BackendUnreachable "backend-unreachable" Backend Some(502),
    /// The last backend tried did not accept within `timeouts.connect`.
    BackendConnectTimeout "backend-connect-timeout" Backend Some(504),
    /// The backend's certificate is expired, or not valid yet.
    BackendTlsExpired "backend-tls-expired" Backend Some(502),
    /// The backend's certificate is for other names than the one that Pollux asks for.
    BackendTlsWrongName "backend-tls-wrong-name" Backend Some(502),
    /// No authority that Pollux trusts has issued the backend's certificate.
    BackendTlsUnknownIssuer "backend-tls-unknown-issuer" Backend Some(502),
    /// The backend's certificate cannot be used for another reason: revoked, malformed, for another purpose.
    BackendTlsBadCertificate "backend-tls-bad-certificate" Backend Some(502),
    /// The backend refused the TLS handshake with an alert.
    BackendTlsRefused "backend-tls-refused" Backend Some(502),
    /// The TLS handshake with the backend broke off, or what it said is not TLS.
    BackendTlsFailed "backend-tls-failed" Backend Some(502),
    /// The TLS handshake with the backend was not over within `timeouts.connect`, which counts from the beginning of the connect.
    BackendTlsTimeout "backend-tls-timeout" Backend Some(504),
    /// The backend reset the connection before it answered.
    BackendReset "backend-reset" Backend Some(502),
    /// The backend closed the connection before it answered.
    BackendClosed "backend-closed" Backend Some(502),
    /// The bytes of the backend are not a response that may be passed on.
    BackendBadResponse "backend-bad-response" Backend Some(502),
    /// The response head is longer than `limits.head` or has more than `limits.fields` fields.
    BackendHeadTooLong "backend-head-too-long" Backend Some(502),
    /// The request would switch to WebSocket, and the backend speaks HTTP/2 without extended CONNECT (RFC 8441 §3).
    BackendNoWebsocket "backend-no-websocket" Backend Some(501),
    /// The request head is larger than the list of fields that the HTTP/2 backend takes (SETTINGS_MAX_HEADER_LIST_SIZE, RFC 9113 §6.5.2).
    HeadTooLongForBackend "head-too-long-for-backend" Client Some(431),
    /// The response head did not arrive within `timeouts.backend_response`.
    BackendResponseTimeout "backend-response-timeout" Backend Some(504),
    /// The response stopped before the end that its framing promised.
    BackendTruncated "backend-truncated" Backend None,
    /// The response body, or the request body's reception, stalled for `timeouts.idle`.
    BackendStalled "backend-stalled" Backend Some(504),
    /// No byte moved either way for `timeouts.tunnel`.
    TunnelIdle "tunnel-idle" Pollux None,
    /// No backend connection was had within `timeouts.queue`.
    QueueTimeout "queue-timeout" Pollux Some(503),
    /// Every backend of the pool had as many requests or connections as it may, and as many requests waited as may.
    QueueFull "queue-full" Pollux Some(503),
    /// Every backend of the pool is down, ejected or of weight 0.
    NoBackend "no-backend" Backend Some(503),
    /// Pollux had no descriptor or local port left for a backend connection.
    OutOfDescriptors "out-of-descriptors" Pollux Some(503),
    /// Something waited to be read, and until the timeout there was no buffer to read it into (`limits.buffers`).
    OutOfBuffers "out-of-buffers" Pollux Some(503),
    /// The drain deadline ended the exchange.
    DrainTimeout "drain-timeout" Operator Some(503),
    /// The operator ended the session.
    OperatorKilled "operator-killed" Operator None,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The stage of an exchange when it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The client's TLS handshake was under way.
    Handshake,
    /// The request head was awaited.
    #[default]
    Head,
    /// The request was read, and a route was sought or answered it.
    Routing,
    /// A backend connection was sought.
    Opening,
    /// The request had been handed on at least in part and no response had begun.
    Awaiting,
    /// The response (or the tunnel) was under way.
    Response,
}

impl Stage {
    /// The stable word for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Handshake => "handshake",
            Stage::Head => "head",
            Stage::Routing => "routing",
            Stage::Opening => "opening",
            Stage::Awaiting => "awaiting",
            Stage::Response => "response",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request may be sent to a backend again (RFC 9110 §9.2.2 and the rules of ARCHITECTURE.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not one byte of it had been handed to the kernel.
    Unsent,
    /// The connection was a reused one, nothing came back, the method is idempotent and the whole body is still in hand.
    StaleReuse,
    /// The connection was a new one, nothing came back, the method is idempotent and the whole body is still in hand: the
    /// backend died with the request. Once in an exchange, and to another backend.
    Idempotent,
    /// The backend has said that it has not processed the request, by GOAWAY or REFUSED_STREAM (RFC 9113 §8.7), and the whole body
    /// is still in hand. Any method.
    Refused,
    /// The backend did not answer in time, the method is idempotent and the whole body is still in hand.
    Timeout,
    /// The backend answered with a status that is to be retried, the method is idempotent and the whole body is still in hand.
    Status,
}

impl Proof {
    /// Every proof there is.
    pub const ALL: [Proof; 6] =
        [Proof::Unsent, Proof::StaleReuse, Proof::Idempotent, Proof::Refused, Proof::Timeout, Proof::Status];

    /// Whether a backend may be at work on the earlier attempt, or was, so that the retry adds to the load of the pool. One that
    /// could not be connected to, or that broke the connection, has none of it.
    #[must_use]
    pub const fn adds_load(self) -> bool {
        match self {
            Proof::Timeout | Proof::Status => true,
            Proof::Unsent | Proof::StaleReuse | Proof::Idempotent | Proof::Refused => false,
        }
    }
}

/// The proofs of the retries of an exchange, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proofs([Option<Proof>; Proofs::MOST]);

impl Proofs {
    /// As many as there can be: the retries that a pool may have, one after a stale connection, and one that was refused.
    const MOST: usize = crate::core::bounds::Retries::MOST as usize + 2;

    /// Adds one.
    pub fn push(&mut self, proof: Proof) {
        if let Some(free) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(proof);
        }
    }

    /// Whether `proof` is among them.
    #[must_use]
    pub fn contains(&self, proof: Proof) -> bool {
        self.0.contains(&Some(proof))
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Proof> {
        self.0.iter().map_while(|proof| *proof)
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<Proof> {
        self.0.iter().rev().find_map(|proof| *proof)
    }
}

impl fmt::Display for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, proof) in self.0.iter().flatten().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            proof.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proof::Unsent => "unsent",
            Proof::StaleReuse => "stale-reuse",
            Proof::Idempotent => "idempotent",
            Proof::Refused => "refused",
            Proof::Timeout => "timeout",
            Proof::Status => "status",
        })
    }
}

/// The end of an exchange, or of a TCP session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The error; `None` if there was none.
    pub cause: Option<Cause>,
    /// The stage at the end.
    pub stage: Stage,
}

/// The phases of an exchange as spans from its beginning, each `None` if it was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Until the request head was complete.
    pub head: Option<Duration>,
    /// Until a backend connection stood.
    pub opened: Option<Duration>,
    /// Until the head of the final response was complete.
    pub response: Option<Duration>,
    /// Until the end.
    pub whole: Duration,
}

/// The wait of an exchange for the replies of authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consulted<'a> {
    /// The name of the one that was asked last.
    pub authority: &'a str,
    /// The time that all replies took.
    pub wait: Duration,
}

/// The wait of an exchange until a backend was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The number of requests that waited before it when it came.
    pub ahead: usize,
    /// The time for which it has waited.
    pub wait: Duration,
}

/// A target, or a field value that is a URI, without what may be secret in it: the query, and the fragment, in which tokens are handed
/// over too (RFC 6749 §4.2.2).
#[must_use]
pub fn without_query(uri: &[u8]) -> &[u8] {
    let end = uri.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(uri.len());
    &uri[..end]
}

/// Everything that is told of one ended exchange (HTTP) or session (TCP).
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The client's address; behind trusted proxies with port 0, which they do not tell.
    pub client: SocketAddr,
    /// The peer, if that was a trusted proxy and not the client.
    pub proxy: Option<SocketAddr>,
    /// The listener's name.
    pub listener: &'a str,
    /// The protocol of the listener.
    pub mode: Mode,
    /// The method; empty in TCP mode and when no head was understood.
    pub method: &'a [u8],
    /// The target as the client wrote it, cut at a bound; empty like the method.
    pub target: &'a [u8],
    /// The authority that was asked for, of the target or Host, cut at a bound; empty if there was none.
    pub authority: &'a [u8],
    /// `HTTP/1.1` or `HTTP/1.0`; empty like the method.
    pub protocol: &'a str,
    /// The number of the request: from Pollux, or from a trusted proxy before it. No other record has a
    /// number of Pollux's again.
    pub request_id: RequestId<'a>,
    /// The trace that the request is part of (W3C Trace Context), as 32 hexadecimal digits; empty if it is part of none.
    pub trace_id: &'a str,
    /// The status that was passed to the client; 0 if none was.
    pub status: u16,
    /// The status of a call of gRPC, where one was seen.
    pub grpc_status: Option<GrpcStatus>,
    /// The name of the route that was taken, if one was.
    pub route: Option<&'a str>,
    /// The pool's name; empty if no pool was asked.
    pub pool: &'a str,
    /// The name of the backend that was used last, if any was.
    pub backend: Option<&'a str>,
    /// The number of backend connections that were begun or reused for it.
    pub attempts: u32,
    /// The proofs of its retries.
    pub retried: Proofs,
    /// Whether one more was refused because the pool had no budget left for it.
    pub budget_spent: bool,
    /// The wait until a backend was free, if there was one.
    pub queued: Option<Queued>,
    /// The authorities that were asked about it, if any was.
    pub asked: Option<Consulted<'a>>,
    /// Whether the last backend connection was a reused one.
    pub reused: bool,
    /// Bytes handed to the backend, head and framing included.
    pub bytes_up: u64,
    /// Bytes handed to the client, head and framing included.
    pub bytes_down: u64,
    /// When each phase was reached.
    pub spans: Spans,
    /// The ending.
    pub outcome: Outcome,
    /// The TLS state of the client's connection, if it is encrypted.
    pub tls_info: Option<&'a TlsInfo>,
    /// The header fields that the journal wants.
    pub captured: &'a Captured,
}

/// Where an exchange was, by places in the snapshot that it is held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangePlaces {
    /// The listener.
    pub listener: usize,
    /// The route, if one was taken.
    pub route: Option<usize>,
    /// The pool, if one was asked.
    pub pool: Option<PoolId>,
    /// The backend that was used or tried last, by its place in the pool.
    pub backend: Option<usize>,
}

/// A receiver of records.
pub trait Journal {
    /// Takes the record of one ending, which came so long after 1970; called exactly once for each.
    fn record(&mut self, record: &Record<'_>, at: Duration);

    /// Whether the method and the target are worth keeping, for the record and for operators who list
    /// sessions.
    fn wants_request(&self) -> bool {
        true
    }

    /// Whether the query of a target is hidden from operators who list sessions or read the recorder. Records
    /// have it all the same.
    fn hides_query(&self) -> bool {
        false
    }

    /// The header fields that records are to have. It is asked once.
    fn captured_names(&self) -> Arc<CapturedNames> {
        Arc::default()
    }
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn record(&mut self, _record: &Record<'_>, _at: Duration) {}

    fn wants_request(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_plain() {
        let mut words: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Cause::ALL.len());
    }

    #[test]
    fn statuses_are_those_that_pollux_answers_with() {
        for cause in Cause::ALL {
            if let Some(status) = cause.status() {
                assert!(
                    [400, 404, 408, 413, 414, 417, 421, 431, 501, 502, 503, 504, 505].contains(&status),
                    "{cause}"
                );
            }
        }
    }
}
