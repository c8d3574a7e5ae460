//! Timeouts and limits of the configuration.

use std::time::Duration;

/// The time that each phase may take. `proxy.toml` has a key of the same name for each, under `[timeouts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the start of a connect to its success, for each backend tried.
    pub connect: Duration,
    /// For what comes before the conversation: a PROXY header, a ClientHello by which it is routed.
    pub prelude: Duration,
    /// From the first byte of a request head (or from the accept) to its last.
    pub client_head: Duration,
    /// Between two requests on a kept-alive connection.
    pub client_idle: Duration,
    /// From the last byte of the request, or an interim response, to the head of the response.
    pub backend_response: Duration,
    /// Without one byte moving in either direction while a message is under way.
    pub idle: Duration,
    /// The idle time while a stream is under way: a response of one of the types of [`Timeouts::STREAMS`], or
    /// of one that its route names.
    pub stream: Duration,
    /// The idle time in TCP mode, and of a connection that was upgraded.
    pub tunnel: Duration,
    /// For a free backend connection, all attempts together.
    pub queue: Duration,
    /// For a client to close after Pollux has, while what it still sends is thrown away.
    pub linger: Duration,
    /// The time for which a kept-alive backend connection may wait to be reused.
    pub backend_idle: Duration,
    /// From SIGTERM to the end, or from the end of the delay.
    pub drain: Duration,
    /// From SIGTERM, when the readiness ends, to the drain; zero is none.
    pub drain_delay: Duration,
}

impl Timeouts {
    /// The types of responses that are streams wherever they come from.
    pub const STREAMS: [&str; 2] = ["text/event-stream", "application/grpc"];
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Timeouts {
            handshake: secs(10),
            connect: secs(2),
            prelude: secs(5),
            client_head: secs(10),
            client_idle: secs(60),
            backend_response: secs(60),
            idle: secs(60),
            stream: secs(3600),
            tunnel: secs(3600),
            queue: secs(10),
            linger: secs(2),
            backend_idle: secs(30),
            drain: secs(30),
            drain_delay: Duration::ZERO,
        }
    }
}

/// Bounds on what is held for clients and backends. `proxy.toml` has a key of the same name for each, under
/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request or response head, its request or status line included.
    pub head: usize,
    /// Bytes of a request line.
    pub request_line: usize,
    /// Bytes of one header field, its name and its value together.
    pub field: usize,
    /// Header fields of a message; at most [`Limits::FIELDS_MAX`].
    pub fields: usize,
    /// Bytes of a request body; `None` is unlimited.
    pub body: Option<u64>,
    /// Bytes of a lane's buffer; at least `head`.
    pub buffer: usize,
    /// Buffers in use at once, over all workers; a worker has 4 at least. At the bound no session reads until
    /// one is free.
    pub buffers: usize,
    /// Client connections held at once, over all workers.
    pub sessions: usize,
    /// Client connections of one IPv4 address or IPv6 /64 at once, over all workers. Trusted proxies are
    /// exempt. `None` is a half of `sessions`. Loopback addresses are exempt too where neither this nor
    /// `bytes_per_client` is set.
    pub per_client: Option<usize>,
    /// Bytes of the buffers and collected bodies of the connections that `per_client` counts together; `None`
    /// is a quarter of all buffers. A few buffers at least.
    pub bytes_per_client: Option<usize>,
    /// Clients whose TLS handshakes are under way at once, over all workers. They count as clients too. At
    /// the bound those that have taken more than a second make room, the oldest first.
    pub handshakes: usize,
    /// Clients that one listener takes in one turn of the loop.
    pub accept_budget: usize,
    /// Idle connections kept to each backend, over all workers.
    pub idle_per_backend: usize,
    /// Routes that have series of metrics of their own; the rest share some.
    pub route_series: usize,
    /// The number of backends with series of their own.
    pub backend_series: usize,
    /// Idle connections kept to all backends together, over all workers.
    pub idle: usize,
    /// The memory of exchanges.
    pub recorder: Recording,
}

/// The exchanges that the flight recorder keeps aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// An exchange that took longer is slow.
    pub slow: Duration,
    /// So many exchanges that were slow, or that failed, are remembered over all workers; and as many again
    /// of those that failed by a fault of the client.
    pub keep: usize,
}

impl Default for Recording {
    fn default() -> Recording {
        Recording { slow: Duration::from_secs(1), keep: 128 }
    }
}

impl Limits {
    /// The most header fields that `fields` may allow: their table lies on the stack.
    pub const FIELDS_MAX: usize = 256;

    /// The number of connections that an address may have.
    #[must_use]
    pub fn per_client(&self) -> usize {
        self.per_client.unwrap_or(self.sessions.div_ceil(2))
    }

    /// The number of bytes that an address may have.
    #[must_use]
    pub fn bytes_per_client(&self) -> usize {
        self.bytes_per_client.unwrap_or(self.buffers.saturating_mul(self.buffer) / 4)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: 32 * 1024,
            request_line: 16 * 1024,
            field: 16 * 1024,
            fields: 100,
            body: None,
            buffer: 64 * 1024,
            buffers: 8192,
            sessions: 10_000,
            per_client: None,
            bytes_per_client: None,
            handshakes: 1000,
            accept_budget: 64,
            idle_per_backend: 1024,
            route_series: 256,
            backend_series: 256,
            idle: 4096,
            recorder: Recording::default(),
        }
    }
}

/// When a request is sent again. Each time that needs a [proof](super::outcome::Proof) that it does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// The number of retries, at most [`Retries::MOST`]. One because an idle connection had gone stale does
    /// not count.
    pub most: u32,
    /// After a connect that failed.
    pub connect: bool,
    /// After a connection that was lost before it had answered.
    pub reset: bool,
    /// After `timeouts.backend_response`.
    pub timeout: bool,
    /// After a response with one of these.
    pub statuses: Vec<u16>,
    /// The share of the requests in flight in the pool that may be retries, in thousandths.
    pub budget: u32,
    /// So many may be retries in any case.
    pub budget_min: u32,
}

impl Retries {
    /// The most that there can be.
    pub const MOST: u64 = 10;
}

impl Default for Retries {
    fn default() -> Self {
        let statuses = Vec::new();
        Retries { most: 2, connect: true, reset: true, timeout: false, statuses, budget: 200, budget_min: 3 }
    }
}
