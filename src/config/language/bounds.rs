//! `[timeouts]` and `[limits]`.

use super::{COUNT_MAX, DAY, HALF_DAY, HOUR, Kind, MONTH, NONE, Setting, TEN_MINUTES, Table, key};
use crate::config::settings::field;
use crate::snapshot::{Limits, Timeouts};

pub(super) const CONNECT: Setting<Timeouts> = key(
    "connect",
    Kind::Time(TEN_MINUTES),
    r#""2s""#,
    r#""2s""#,
    "To connect to a backend, for each one tried.",
)
.at(field!(connect));

pub(super) const BACKEND_RESPONSE: Setting<Timeouts> = key(
    "backend_response",
    Kind::Time(DAY),
    r#""60s""#,
    r#""60s""#,
    "From the end of the request to the head of the response.",
)
.at(field!(backend_response));

pub(super) const IDLE: Setting<Timeouts> = key(
    "idle",
    Kind::Time(DAY),
    r#""60s""#,
    r#""60s""#,
    "Without a byte moving while a message is under way.",
)
.at(field!(idle));

pub(super) const STREAM: Setting<Timeouts> = key(
    "stream",
    Kind::Time(MONTH),
    r#""1h""#,
    r#""1h""#,
    "The same while a stream is under way: a response without a length whose type is `text/event-stream`, `application/grpc` (with any \
     suffix) or one of `streams` of its route.",
)
.at(field!(stream));

pub(super) const TUNNEL: Setting<Timeouts> = key(
    "tunnel",
    Kind::Time(MONTH),
    r#""1h""#,
    r#""1h""#,
    "The same in TCP mode, and after an upgrade such as WebSocket.",
)
.at(field!(tunnel));

pub(super) const QUEUE: Setting<Timeouts> = key(
    "queue",
    Kind::Time(HOUR),
    r#""10s""#,
    r#""10s""#,
    "For a free backend connection, all attempts together.",
)
.at(field!(queue));

/// The most routes, and backends, with metrics of their own.
const SERIES_MAX: u64 = 10_000;

/// `[timeouts]`.
pub(in crate::config) static TIMEOUTS: Table<Timeouts> = Table {
    title: "[timeouts]",
    about: "How long each phase may take: text such as `500ms`, `2s`, `1h 30m`; above zero. The units are `ms`, `s`, `m`, `h` and `d`.",
    keys: &[
        key(
            "handshake",
            Kind::Time(TEN_MINUTES),
            r#""10s""#,
            r#""5s""#,
            "For a client's TLS handshake, from its connect on.",
        )
        .at(field!(handshake)),
        CONNECT,
        key(
            "prelude",
            Kind::Time(TEN_MINUTES),
            r#""5s""#,
            r#""5s""#,
            "For a client to send what comes before the conversation: a PROXY header, a ClientHello by which it is routed.",
        )
        .at(field!(prelude)),
        key(
            "client_head",
            Kind::Time(HOUR),
            r#""10s""#,
            r#""10s""#,
            "For a client to send a whole request head.",
        )
        .at(field!(client_head)),
        key(
            "client_idle",
            Kind::Time(HALF_DAY),
            r#""60s""#,
            r#""60s""#,
            "Between two requests on a kept-alive connection.",
        )
        .at(field!(client_idle)),
        BACKEND_RESPONSE,
        IDLE,
        STREAM,
        TUNNEL,
        QUEUE,
        key(
            "linger",
            Kind::Time(TEN_MINUTES),
            r#""2s""#,
            r#""2s""#,
            "For a client to close after Pollux has.",
        )
        .at(field!(linger)),
        key(
            "backend_idle",
            Kind::Time(HALF_DAY),
            r#""30s""#,
            r#""30s""#,
            "For a kept-alive backend connection to wait for its next use.",
        )
        .at(field!(backend_idle)),
        key(
            "drain",
            Kind::Time(DAY),
            r#""30s""#,
            r#""30s""#,
            "From SIGTERM, or the end of `drain_delay`, to the end.",
        )
        .at(field!(drain)),
        key(
            "drain_delay",
            Kind::Time(TEN_MINUTES),
            NONE,
            r#""5s""#,
            "From SIGTERM, when `/ready` says 503, to the drain: new connections are served meanwhile.",
        )
        .at(field!(drain_delay)),
    ],
};

/// The bounds of `limits.head`, in bytes.
pub(super) const HEAD: (u64, u64) = (1024, 1024 * 1024);

/// The greatest `limits.buffer`, in bytes. A session holds up to two.
const BUFFER_MAX: u64 = 4 * 1024 * 1024;

/// The most bytes that the clients of an address may have.
const BYTES_MAX: u64 = 1 << 40;

/// `[limits]`.
pub(in crate::config) static LIMITS: Table<Limits> = Table {
    title: "[limits]",
    about: "What clients and backends can make Pollux hold. Sizes are bytes, or text: `32KiB`, `1MiB`, `10MB`, `1GiB`.",
    keys: &[
        key("head", Kind::Size(HEAD.0, HEAD.1), r#""32KiB""#, r#""32KiB""#, "A request or response head.").at(field!(head)),
        // `GET / HTTP/1.1` with its line ending fits the least.
        key(
            "request_line",
            Kind::Size(16, HEAD.1),
            r#""16KiB""#,
            r#""16KiB""#,
            "Its first line; at most `head`.",
        )
        .at(field!(request_line)),
        // A Host and what a browser says of itself fit the least.
        key(
            "field",
            Kind::Size(256, HEAD.1),
            r#""16KiB""#,
            r#""16KiB""#,
            "One header field, its name and value together.",
        )
        .at(field!(field)),
        key(
            "fields",
            Kind::Number(1, Limits::FIELDS_MAX as u64),
            "100",
            "100",
            "Header fields of a message.",
        )
        .at(field!(fields)),
        key("body", Kind::SizeOrNone, r#""none""#, r#""10MB""#, "A request body; `none` is no bound.").at(field!(body)),
        key(
            "buffer",
            Kind::Size(HEAD.0, BUFFER_MAX),
            r#""64KiB""#,
            r#""64KiB""#,
            "The buffer of one direction; at least `head`.",
        )
        .at(field!(buffer)),
        key(
            "buffers",
            Kind::Number(1, COUNT_MAX),
            "8192",
            "8192",
            "How many buffers' bytes are lent at once, over all workers; when all are, no session reads. One that holds half a head, or little while nothing comes, shrinks to as little as 2 KiB. A worker has 4 at least.",
        )
        .at(field!(buffers)),
        key(
            "sessions",
            Kind::Number(1, COUNT_MAX),
            "10000",
            "10000",
            "Client connections at once, over all workers. At the bound those that are not being served make room for newcomers.",
        )
        .at(field!(sessions)),
        key(
            "per_client",
            Kind::Number(1, COUNT_MAX),
            NONE,
            "200",
            "Client connections of one IPv4 address or IPv6 /64 at once, over all workers; more are closed at once. Without it an address may have half of `sessions`, and, unless `bytes_per_client` is set, loopback addresses are exempt. `trusted_proxies` are always exempt; name the proxies before Pollux there, and leave room for the clients behind one NAT.",
        )
        .at(field!(per_client)),
        key(
            "bytes_per_client",
            Kind::Size(HEAD.0, BYTES_MAX),
            NONE,
            r#""16MiB""#,
            "Bytes of buffers and of collected bodies for the clients of one IPv4 address or IPv6 /64 at once, over all workers; beyond them nothing is read from or for these clients. Without it a quarter of `buffers` × `buffer`. Four buffers at least. The same addresses are exempt as with `per_client`.",
        )
        .at(field!(bytes_per_client)),
        key(
            "handshakes",
            Kind::Number(1, COUNT_MAX),
            "1000",
            "200",
            "Clients whose TLS handshakes are under way at once, over all workers. At the bound, listeners with TLS accept no client until one ends; those that have taken more than a second make room.",
        )
        .at(field!(handshakes)),
        key(
            "accept_budget",
            Kind::Number(1, COUNT_MAX),
            "64",
            "64",
            "Clients that a listener takes in one turn of the loop.",
        )
        .at(field!(accept_budget)),
        key(
            "route_series",
            Kind::Number(0, SERIES_MAX),
            "256",
            "50",
            "Routes that have metrics of their own; the rest of them count together, as `other`.",
        )
        .at(field!(route_series)),
        key(
            "backend_series",
            Kind::Number(0, SERIES_MAX),
            "256",
            "50",
            "The same of backends. Each has about a hundred series.",
        )
        .at(field!(backend_series)),
        key(
            "idle_per_backend",
            Kind::Number(0, COUNT_MAX),
            "1024",
            "256",
            "Idle connections kept to each backend, over all workers.",
        )
        .at(field!(idle_per_backend)),
        key(
            "idle",
            Kind::Number(0, COUNT_MAX),
            "4096",
            "4096",
            "Idle connections kept to all backends together, over all workers.",
        )
        .at(field!(idle)),
    ],
};
