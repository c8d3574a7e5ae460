//! The log: on standard error, filtered by RUST_LOG, and never in the way of the traffic.

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::args::LogFormat;

/// Lines that wait for a slow reader; more are dropped rather than waited for.
const LINES_MAX: usize = 16 * 1024;

/// Lines for standard output that a slow reader does not hold up: like the log, they are dropped rather than waited for.
pub(super) fn unhurried_stdout() -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX).finish(std::io::stdout())
}

/// Sets the log up. It is written by a thread of its own, which ends, after the last line, with the guard.
pub(super) fn start(format: LogFormat) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX).finish(std::io::stderr());
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => {
            use std::io::IsTerminal;
            builder.with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).init(),
    }
    guard
}
