//! The log, on standard error and filtered by RUST_LOG, and the access log: neither is ever in the way of the traffic.

use std::io::{self, Write};

use pollux::access::{AccessLog, Destination, Format, Rules};
use pollux::core::outcome::Journal;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::args::LogFormat;

/// Lines that wait for a slow reader; more are dropped rather than waited for.
const LINES_MAX: usize = 16 * 1024;

/// A writer that waits for nobody, with a thread of its own.
fn unhurried(to: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX).finish(to)
}

/// Lines for standard output that a slow reader does not hold up: like the log, they are dropped rather than waited for.
pub(super) fn unhurried_stdout() -> (NonBlocking, WorkerGuard) {
    unhurried(io::stdout())
}

/// The log of a process. The last lines are written when it goes.
pub(super) struct Logs {
    access: AccessLog,
    _guard: WorkerGuard,
}

impl Logs {
    /// Sets the log up. The access log is after `rules`, and has to be [opened](Logs::open) before the first exchange; RUST_LOG can
    /// turn it off, by the target `access`.
    pub(super) fn start(format: LogFormat, rules: &Rules) -> Logs {
        use std::io::IsTerminal;
        let (writer, guard) = unhurried(io::stderr());
        let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
        let on_stderr = lines(format, writer, io::stderr().is_terminal());
        tracing_subscriber::registry().with(filter).with(on_stderr).init();
        let mut rules = rules.clone();
        if !tracing::enabled!(target: "access", tracing::Level::INFO) {
            rules.to = Some(Destination::Off);
        }
        let format = match format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        };
        Logs { access: AccessLog::new(&rules, format), _guard: guard }
    }

    /// Opens where access lines go.
    ///
    /// # Errors
    /// As the system gives them, with the path.
    pub(super) fn open(&self) -> Result<(), String> {
        self.access.open()
    }

    /// A journal for a worker.
    pub(super) fn journal(&self) -> Box<dyn Journal + Send> {
        self.access.journal()
    }

    /// Opens the file of the access log anew; what comes of it goes to the log.
    pub(super) fn reopen(&self) {
        match self.access.reopen() {
            Ok(()) => tracing::info!("SIGUSR1: the files of the log were opened anew"),
            Err(error) => tracing::error!(
                "SIGUSR1: it goes on in the old file, for the new one cannot be opened: {error}"
            ),
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.access.close();
    }
}

fn lines<S>(format: LogFormat, writer: NonBlocking, has_colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    NonBlocking: for<'a> MakeWriter<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => layer.with_ansi(has_colours).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    }
}
