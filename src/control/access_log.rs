//! One line for each exchange, as a tracing event of the target `access` at the level info.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::core::outcome::{Journal, Record};

/// Writes every record as an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessLog;

impl AccessLog {
    /// The target of the events, for filters such as `RUST_LOG=access=info`.
    pub const TARGET: &str = "access";
}

impl Journal for AccessLog {
    fn record(&mut self, record: &Record<'_>) {
        let text = |bytes| String::from_utf8_lossy(bytes);
        let or_dash = |text: Option<&'static str>| text.unwrap_or("-");
        let cause = record.outcome.cause;
        tracing::info!(
            target: AccessLog::TARGET,
            client = %ClientShown(record.client),
            proxy = record.proxy.map(tracing::field::display),
            listener = record.listener,
            mode = %record.mode,
            request_id = %record.request_id,
            trace_id = Some(record.trace_id).filter(|id| !id.is_empty()),
            method = %text(record.method),
            path = %text(record.target),
            host = %text(record.authority),
            status = record.status,
            route = record.route.unwrap_or("-"),
            pool = if record.pool.is_empty() { "-" } else { record.pool },
            backend = record.backend.unwrap_or("-"),
            attempts = record.attempts,
            retried = record.retried.last().map(|_| tracing::field::display(record.retried)),
            budget = record.budget_spent.then_some("spent"),
            reused = record.reused,
            queued_ms = record.queued.map(|queued| milliseconds(queued.wait)),
            queued_behind = record.queued.map(|queued| queued.ahead),
            bytes_up = record.bytes_up,
            bytes_down = record.bytes_down,
            head_ms = record.spans.head.map(milliseconds),
            opened_ms = record.spans.opened.map(milliseconds),
            response_ms = record.spans.response.map(milliseconds),
            whole_ms = milliseconds(record.spans.whole),
            cause = or_dash(cause.map(|cause| cause.word())),
            who = cause.map(|cause| tracing::field::display(cause.who())),
            stage = cause.map(|_| tracing::field::display(record.outcome.stage)),
        );
    }
}

/// Writes nothing, but has what there is to know of a session kept for those who ask what it is at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlogged;

impl Journal for Unlogged {
    fn record(&mut self, _record: &Record<'_>) {}
}

/// A client, without its port where that is not known.
struct ClientShown(SocketAddr);

impl fmt::Display for ClientShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == 0 { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Milliseconds, to the microsecond.
fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}
