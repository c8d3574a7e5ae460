//! The fields of an access line, and the form of their values.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::core::identity::RequestId;
use crate::core::outcome::{Proofs, Record};
use crate::core::tls_info::CertificateInfo;
use crate::core::word::UnknownWord;

/// A value, before it is written in some form.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// One of a few words.
    Word(&'static str),
    /// A name of the configuration.
    Name(&'a str),
    /// Text that a peer has sent.
    Text(&'a [u8]),
    /// A target; its query is not shown if queries are hidden.
    Target(&'a [u8]),
    Number(u64),
    /// In milliseconds.
    Span(Duration),
    Flag(bool),
    /// Without the port if that is 0.
    Address(SocketAddr),
    Id(RequestId<'a>),
    Proofs(Proofs),
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident $word:literal $about:literal |$record:ident| $value:expr,)*) => {
        /// A field of every record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = $about] $name,)*
        }

        impl Field {
            /// All of them, in the order in which lines have them.
            pub const ALL: &'static [Field] = &[$(Field::$name,)*];

            /// The name in lines and templates.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Field::$name => $word,)* }
            }

            /// Its description, for the documentation.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Field::$name => $about,)* }
            }

            /// Its value in `record`, if there is one.
            pub(super) fn of<'a>(self, record: &Record<'a>) -> Option<Value<'a>> {
                match self { $(Field::$name => { let $record = record; $value })* }
            }
        }
    };
}

fields! {
    Client "client" "The client, behind trusted proxies; without a port where that is not known." |r| Some(Value::Address(r.client)),
    Proxy "proxy" "The address that connected, if it was a trusted proxy." |r| r.proxy.map(Value::Address),
    Listener "listener" "The listener." |r| Some(Value::Name(r.listener)),
    Mode "mode" "`http` or `tcp`." |r| Some(Value::Word(r.mode.as_str())),
    RequestId "request_id" "What the request is called; the backend is told the same as `X-Request-ID`." |r| Some(Value::Id(r.request_id)),
    TraceId "trace_id" "The W3C trace that the request is part of." |r| name(r.trace_id),
    Method "method" "The method." |r| text(r.method),
    Path "path" "The target as the client wrote it, at most 2048 bytes." |r| target(r.target),
    Host "host" "The authority that was asked for." |r| text(r.authority),
    Protocol "protocol" "`HTTP/1.1` or `HTTP/1.0`." |r| name(r.protocol),
    Status "status" "The status that was passed to the client; 0 if none was." |r| Some(Value::Number(r.status.into())),
    GrpcStatus "grpc_status" "The status of a call of gRPC by its number, where one was seen: docs/tasks/grpc.md." |r| {
        r.grpc_status.map(|status| Value::Number(status.number().into()))
    },
    Route "route" "The route that was taken." |r| r.route.map(Value::Name),
    Pool "pool" "The pool that was asked." |r| name(r.pool),
    Backend "backend" "The backend that was used last." |r| r.backend.map(Value::Name),
    Attempts "attempts" "How many backend connections were begun or reused." |r| Some(Value::Number(r.attempts.into())),
    Retried "retried" "The proof of each retry, with commas." |r| r.retried.last().map(|_| Value::Proofs(r.retried)),
    Budget "budget" "`spent` if a retry was refused because the pool had no budget left." |r| {
        r.budget_spent.then_some(Value::Word("spent"))
    },
    Reused "reused" "Whether the last backend connection was a reused one." |r| Some(Value::Flag(r.reused)),
    Asked "asked" "The authority that was asked last whether the request may go on." |r| r.asked.map(|it| Value::Name(it.authority)),
    AskedMs "asked_ms" "How long it waited for replies of authorities." |r| span(r.asked.map(|it| it.wait)),
    QueuedMs "queued_ms" "How long it waited until a backend was free, if it had to." |r| span(r.queued.map(|queued| queued.wait)),
    QueuedBehind "queued_behind" "How many waited before it." |r| {
        r.queued.map(|queued| Value::Number(queued.ahead as u64))
    },
    BytesUp "bytes_up" "Bytes handed to the backend, head and framing included." |r| Some(Value::Number(r.bytes_up)),
    BytesDown "bytes_down" "Bytes handed to the client, head and framing included." |r| Some(Value::Number(r.bytes_down)),
    HeadMs "head_ms" "From the beginning until the request head was complete." |r| span(r.spans.head),
    OpenedMs "opened_ms" "From the beginning until a backend connection stood." |r| span(r.spans.opened),
    ResponseMs "response_ms" "From the beginning until the response head was complete." |r| span(r.spans.response),
    WholeMs "whole_ms" "From the beginning to the end." |r| Some(Value::Span(r.spans.whole)),
    ConnectMs "connect_ms" "How long connecting took, retries included; waiting for replies and in the queue not." |r| span(connect(r)),
    AnswerMs "answer_ms" "From the backend connection to the response head: how long the backend took." |r| {
        span(r.spans.response.zip(r.spans.opened).map(|(response, opened)| response.saturating_sub(opened)))
    },
    TlsVersion "tls_version" "`TLSv1.2` or `TLSv1.3`, if the client has come by TLS." |r| r.tls_info.map(|it| Value::Word(it.version)),
    TlsCipher "tls_cipher" "The cipher suite that was agreed on." |r| name(r.tls_info.map_or("", |it| &it.cipher)),
    TlsName "tls_name" "The name that the client asked for by SNI." |r| text(r.tls_info.map_or(b"", |it| it.name.as_bytes())),
    TlsResumed "tls_resumed" "Whether an earlier TLS session was resumed." |r| r.tls_info.map(|it| Value::Flag(it.is_resumed)),
    ClientCert "client_cert" "If the client has shown a certificate: `yes` if it was verified, `failed` if it could not be." |r| {
        shown(r).map(|_| Value::Word(r.tls_info.map_or("no", |it| it.client.answer())))
    },
    ClientCertError "client_cert_error" "Why it could not be verified: docs/tls.md." |r| {
        r.tls_info.and_then(|it| it.client.cert_error()).map(|why| Value::Word(why.as_str()))
    },
    ClientCertSubject "client_cert_subject" "Its subject, also of one that could not be verified: then any client may have written it." |r| {
        text(shown(r).map_or(b"", |it| it.subject.text().as_bytes()))
    },
    ClientCertIssuer "client_cert_issuer" "Its issuer, likewise." |r| text(shown(r).map_or(b"", |it| it.issuer.as_bytes())),
    ClientCertSerial "client_cert_serial" "Its serial number, likewise, in hexadecimal digits." |r| name(shown(r).map_or("", |it| &it.serial)),
    ClientCertFingerprint "client_cert_fingerprint" "Its SHA-256, in hexadecimal digits." |r| {
        name(shown(r).map_or("", |it| &it.fingerprint))
    },
    Cause "cause" "What went wrong, if anything did: docs/causes.md." |r| {
        r.outcome.cause.map(|cause| Value::Name(cause.as_str()))
    },
    Who "who" "Whose fault it was: `client`, `backend`, `pollux`, `operator`." |r| {
        r.outcome.cause.map(|cause| Value::Word(cause.who().as_str()))
    },
    Stage "stage" "How far it had come when it went wrong." |r| {
        r.outcome.cause.map(|_| Value::Word(r.outcome.stage.as_str()))
    },
}

/// The certificate that the client has shown, verified or not.
fn shown<'a>(record: &Record<'a>) -> Option<&'a CertificateInfo> {
    record.tls_info?.client.shown()
}

fn name(name: &str) -> Option<Value<'_>> {
    if name.is_empty() { None } else { Some(Value::Name(name)) }
}

fn text(text: &[u8]) -> Option<Value<'_>> {
    if text.is_empty() { None } else { Some(Value::Text(text)) }
}

fn target(text: &[u8]) -> Option<Value<'_>> {
    if text.is_empty() { None } else { Some(Value::Target(text)) }
}

fn span<'a>(span: Option<Duration>) -> Option<Value<'a>> {
    span.map(Value::Span)
}

fn connect(record: &Record<'_>) -> Option<Duration> {
    let (opened, head) = (record.spans.opened?, record.spans.head.unwrap_or_default());
    let queued = record.queued.map_or(Duration::ZERO, |queued| queued.wait);
    let asked = record.asked.map_or(Duration::ZERO, |asked| asked.wait);
    Some(opened.saturating_sub(head).saturating_sub(queued).saturating_sub(asked))
}

impl FromStr for Field {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Field, UnknownWord> {
        Field::ALL.iter().copied().find(|field| field.as_str() == word).ok_or(UnknownWord)
    }
}

impl Field {
    /// Whether lines of text say so if it is absent: these are what one looks for.
    pub(super) fn is_always_there(self) -> bool {
        matches!(self, Field::Route | Field::Pool | Field::Backend | Field::Cause)
    }
}
