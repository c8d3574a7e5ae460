//! Every metric there is: its name, its labels, and what it says. The page and the table of `docs/metrics.md`
//! are made of this.

use super::meter::TurnPhase;

/// The kind of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// It only grows, as long as the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Spans of time in buckets.
    Histogram,
}

impl Sort {
    /// The word of the text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Sort::Counter => "counter",
            Sort::Gauge => "gauge",
            Sort::Histogram => "histogram",
        }
    }
}

/// A metric, with all of its series.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricFamily {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub sort: Sort,
    /// The names of its labels, in their order.
    pub labels: &'static [&'static str],
    /// Its description.
    pub help: &'static str,
}

macro_rules! families {
    ($($(#[$doc:meta])* $constant:ident $sort:ident $name:literal [$($label:literal),*] $help:expr;)*) => {
        $($(#[$doc])* pub(super) static $constant: MetricFamily =
            MetricFamily { name: $name, sort: Sort::$sort, labels: &[$($label),*], help: $help };)*

        /// All of them, in the order of the page.
        pub static FAMILIES: &[&MetricFamily] = &[$(&$constant),*];
    };
}

families! {
    BUILD_INFO Gauge "pollux_build_info" ["version"] "Always 1; the version is in the label.";
    WORKERS Gauge "pollux_workers" [] "Worker threads that run.";
    DRAINING Gauge "pollux_draining" [] "1 while it drains, before it ends; else 0.";
    LOADED Gauge "pollux_config_loaded_timestamp_seconds" []
        "When the configuration in force was loaded, in seconds since 1970.";
    RELOADS Counter "pollux_config_reloads_total" [] "How often the configuration was exchanged.";
    ACCESS_LINES Counter "pollux_access_lines_total" ["fate"]
        "Lines of the access log: taken from workers, and dropped because there was no room or they could not be written.";
    CLIENTS Counter "pollux_client_connections_total" ["listener"] "Clients that were taken in.";
    REQUESTS Counter "pollux_requests_total" ["listener", "route", "code"]
        "Ended exchanges: HTTP requests with their responses, refused ones too, and in TCP mode connections. \
         The code is the class of the status that the client got, or none.";
    BYTES_UP Counter "pollux_up_bytes_total" ["listener"]
        "Bytes that were handed to backends, heads and framing included. Counted when an exchange ends.";
    BYTES_DOWN Counter "pollux_down_bytes_total" ["listener"]
        "Bytes that were handed to clients, heads and framing included. Counted when an exchange ends.";
    FAILURES Counter "pollux_failures_total" ["pool", "cause", "who"]
        "Exchanges that did not end well, by cause and by whose fault it was. The pool is empty where none was asked.";
    RETRIES Counter "pollux_retries_total" ["pool", "proof"]
        "Requests that were sent again, by the proof that it did no harm.";
    GRPC Counter "pollux_grpc_calls_total" ["pool", "status"]
        "Calls of gRPC that have ended with a status, by its number. The pool is empty where none was asked.";
    BUDGET_SPENT Counter "pollux_retry_budget_spent_total" ["pool"]
        "Exchanges in which a retry was not made because the budget of the pool was spent.";
    WAITING Gauge "pollux_pool_requests_waiting" ["pool"] "Requests that wait until a backend is free.";
    RETRYING Gauge "pollux_pool_requests_retrying" ["pool"]
        "Requests in flight that take of the budget for retries.";
    PANICS Gauge "pollux_pool_panic" ["pool"]
        "1 while requests go to all backends of the pool because too few are well; else 0.";
    BACKEND_REQUESTS Counter "pollux_backend_requests_total" ["pool", "backend", "code"]
        "Ended exchanges by the backend that was used or tried last; empty where there was none.";
    BACKEND_FAILURES Counter "pollux_backend_failures_total" ["pool", "backend", "cause"]
        "Attempts that a backend has failed, those that were made good by a retry too.";
    OPENED Counter "pollux_backend_connections_opened_total" ["pool", "backend"]
        "Connections to the backend that were made for exchanges, and stood.";
    REUSED Counter "pollux_backend_connections_reused_total" ["pool", "backend"]
        "Exchanges on a connection to the backend that had served one before.";
    EJECTIONS Counter "pollux_backend_ejections_total" ["pool", "backend"]
        "How often the backend was ejected because it failed requests.";
    CHECKS Counter "pollux_backend_checks_total" ["pool", "backend", "result"]
        "Health checks of the backend; the result is passed or failed.";
    UP Gauge "pollux_backend_up" ["pool", "backend"]
        "1 if the health of the backend lets it be asked (up, or warming up); 0 if it is down, ejected or not yet checked.";
    STANDING Gauge "pollux_backend_standing" ["pool", "backend", "standing"]
        "1 for what the backend is of up, warming, unchecked, down and ejected; 0 for the others.";
    STATE Gauge "pollux_backend_state" ["pool", "backend", "state"]
        "1 for what the operator wants of the backend, of ready, drain and down; 0 for the others.";
    IN_FLIGHT Gauge "pollux_backend_requests_in_flight" ["pool", "backend"]
        "Requests that the backend has in flight.";
    CONNECTIONS Gauge "pollux_backend_connections" ["pool", "backend"]
        "Connections to the backend, with those that are idle or being made.";
    HEAD_SECONDS Histogram "pollux_request_head_seconds" ["pool", "backend"]
        "From the first byte of a request (from the accept, for the first one of a connection) until its head was complete.";
    QUEUE_SECONDS Histogram "pollux_queue_seconds" ["pool", "backend"]
        "How long those requests waited in the queue of the pool that had to.";
    OPENING_SECONDS Histogram "pollux_backend_opening_seconds" ["pool", "backend"]
        "From the complete head until a backend connection stood, new or used again, with the queue and failed attempts.";
    CONNECT_SECONDS Histogram "pollux_backend_connect_seconds" ["pool", "backend"]
        "How long one connect to the backend took until the connection stood.";
    RESPONSE_SECONDS Histogram "pollux_backend_response_seconds" ["pool", "backend"]
        "From a backend connection until the head of the response was complete: the time to the first byte.";
    BODY_SECONDS Histogram "pollux_response_body_seconds" ["pool", "backend"]
        "From the head of the response until its last byte was handed to the client.";
    WHOLE_SECONDS Histogram "pollux_request_seconds" ["pool", "backend"]
        "From the first byte of a request until its end; in TCP mode the whole connection.";
    SESSIONS Gauge "pollux_sessions" ["worker"] "Clients that are connected.";
    PARKED Gauge "pollux_sessions_parked" ["worker"] "Those of them that are quiet and wait in the parked set.";
    SESSIONS_MAX Gauge "pollux_sessions_max" [] "How many clients there may be: limits.sessions.";
    ROOM_MADE Counter "pollux_room_made_total" ["worker", "ground"]
        "Clients that were not being served and made room for others at a bound. The ground is what they were doing: \
         lingering after the last answer, resting without a request, left (a FIN was sent while the response was awaited), \
         unfinished (in the head of a request), stalled (in the body of a request, or in a response that is not taken) \
         or slow (there, with fewer than 240 bytes a second).";
    REFUSED Counter "pollux_clients_refused_total" ["worker"]
        "Connections that were closed at once because their client address had limits.per_client of them.";
    SHORT Counter "pollux_buffers_short_turns_total" ["worker", "measure"]
        "Turns of the loop in which buffers were short, by what was done. Ration: half of the bytes were lent, and slow clients had to \
         do with less. Bound: a connection was not read from because of limits.buffers. Client: because of limits.bytes_per_client.";
    IDLE Gauge "pollux_idle_backend_connections" ["worker"] "Connections in the idle set.";
    BUFFERS Gauge "pollux_buffers_in_use" ["worker"] "Buffers that are lent to sessions.";
    BUFFERS_MAX Gauge "pollux_buffers_max" [] "How many there may be: limits.buffers.";
    PIPES Gauge "pollux_pipes_in_use" ["worker"] "Pipes for splice(2) that are lent to sessions.";
    TURNS Counter "pollux_worker_turns_total" ["worker"] "Turns of the poll loop.";
    CERTIFICATE_ENDS Gauge "pollux_tls_certificate_not_after_seconds" ["listener", "certificate"]
        "Until when a certificate of a listener is valid, in seconds since 1970.";
    CERTIFICATE_DAYS Gauge "pollux_tls_certificate_expiry_days" ["listener", "certificate"]
        "How many whole days a certificate of a listener is still valid; below 0 once it has expired.";
    CERTIFICATE_STALE Gauge "pollux_tls_certificate_stale_seconds" ["listener", "certificate"]
        "For how long the files of a certificate could not be taken again, so that a new one would not be; 0 if they can be.";
    CPU Counter "process_cpu_seconds_total" [] "User and system CPU time of the process, in seconds.";
    RESIDENT Gauge "process_resident_memory_bytes" [] "Memory that the process has in RAM.";
    VIRTUAL Gauge "process_virtual_memory_bytes" [] "Address space of the process.";
    OPEN_FDS Gauge "process_open_fds" [] "Open descriptors.";
    MAX_FDS Gauge "process_max_fds" [] "How many there may be.";
    THREADS Gauge "process_threads" [] "Threads of the process.";
    STARTED Gauge "process_start_time_seconds" [] "When the process was started, in seconds since 1970.";
}

impl TurnPhase {
    /// The metric that tells how long it takes.
    pub(super) fn family(self) -> &'static MetricFamily {
        match self {
            TurnPhase::Head => &HEAD_SECONDS,
            TurnPhase::Queue => &QUEUE_SECONDS,
            TurnPhase::Opening => &OPENING_SECONDS,
            TurnPhase::Connect => &CONNECT_SECONDS,
            TurnPhase::Response => &RESPONSE_SECONDS,
            TurnPhase::Body => &BODY_SECONDS,
            TurnPhase::Whole => &WHOLE_SECONDS,
        }
    }
}
