//! The log, on standard error and filtered by RUST_LOG, and the access log: neither is ever in the way of the
//! traffic.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use pollux::access::{AccessLog, AccessLogRules, LineFormat, Post, WholeLines};
use pollux::core::outcome::Journal;
use pollux::status::LogLevel;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use super::args::LogFormat;

/// Lines that wait for a slow reader; more are dropped rather than waited for.
const LINES_MAX: usize = 16 * 1024;

/// A writer that never blocks its caller, with a thread of its own.
fn unhurried(to: &(impl Write + AsFd)) -> (NonBlocking, WorkerGuard) {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX);
    match WholeLines::beside(to) {
        Ok(lines) => builder.finish(lines),
        // No descriptor is left for a copy, so nothing can be reported.
        Err(_) => builder.finish(io::sink()),
    }
}

/// Lines for standard output that a slow reader does not hold up: like the log, they are dropped rather than
/// waited for.
pub(super) fn unhurried_stdout() -> (NonBlocking, WorkerGuard) {
    unhurried(&io::stdout())
}

/// The log of a process. The last lines are written when it goes.
pub(super) struct Logs {
    access: Arc<AccessLog>,
    /// The number of times that the files are still to be opened anew.
    reopenings: Arc<AtomicUsize>,
    stderr: NonBlocking,
    level: Mutex<LogLevel>,
    filter: Handle<EnvFilter, Registry>,
    _guard: WorkerGuard,
}

impl Logs {
    /// Sets the log up. The access log is after `rules`, and has to be [opened](Logs::open) before the first
    /// exchange; RUST_LOG can turn it off, by the target `access`.
    pub(super) fn start(format: LogFormat, rules: &AccessLogRules) -> Logs {
        use std::io::IsTerminal;
        let (writer, guard) = unhurried(&io::stderr());
        let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
        let on_stderr =
            lines(format, writer.clone(), io::stderr().is_terminal() && super::terminal::allows_colours());
        let level = LogLevel { filter: filter.to_string(), changed_from: None };
        let (filter, handle) = reload::Layer::new(filter);
        tracing_subscriber::registry().with(filter).with(on_stderr).init();
        let format = match format {
            LogFormat::Text => LineFormat::Text,
            LogFormat::Json => LineFormat::Json,
        };
        let logs = Logs {
            access: Arc::new(AccessLog::new(rules, format)),
            reopenings: Arc::default(),
            stderr: writer,
            level: Mutex::new(level),
            filter: handle,
            _guard: guard,
        };
        logs.mute();
        logs
    }

    /// Holds the access log to what the filter says of the target `access`.
    fn mute(&self) {
        self.access.mute(!tracing::enabled!(target: "access", tracing::Level::INFO));
    }

    /// The present level of the log.
    pub(super) fn level(&self) -> LogLevel {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is logged, for `by`: to a level for everything, or by directives such as `access=off`
    /// beside those that there are.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn set_level(&self, wanted: &str, by: &str) -> Result<(), String> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = wanted.trim();
        let text = match wanted.parse::<LevelFilter>() {
            Ok(one) => one.to_string(),
            Err(_) => format!("{},{wanted}", level.filter),
        };
        let help = "write a level (error, warn, info, debug, trace, off) or target=level, such as access=off";
        let parsed = EnvFilter::builder().with_regex(false).parse(&text);
        let filter = parsed
            .ok()
            .filter(|_| wanted.split(',').all(is_directive))
            .ok_or_else(|| format!("{} does not say what is to be logged; {help}", wanted.escape_debug()))?;
        let after = filter.to_string();
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        self.mute();
        let first = level.changed_from.take().unwrap_or_else(|| level.filter.clone());
        tracing::warn!(by, from = level.filter, to = after, "the operator has changed what is logged");
        *level = LogLevel { changed_from: (first != after).then_some(first), filter: after };
        Ok(())
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

    /// The way of its lines.
    pub(super) fn lines(&self) -> Post {
        self.access.post().clone()
    }

    /// Opens the file of the access log anew, in a thread of its own: its disk may be slow. The result
    /// goes to the log.
    pub(super) fn reopen(&self) {
        // One that is under way may have opened what is there no more: once more is enough for all who ask
        // meanwhile.
        let more = |count| (count < 2).then_some(count + 1);
        if self.reopenings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) != Ok(0) {
            return;
        }
        let (access, reopenings) = (Arc::clone(&self.access), Arc::clone(&self.reopenings));
        let reopen = move || {
            loop {
                match access.reopen() {
                    Ok(()) => tracing::info!("SIGUSR1: the files of the log were opened anew"),
                    Err(error) => tracing::error!(
                        "SIGUSR1: it goes on in the old file, for the new one cannot be opened: {error}"
                    ),
                }
                if reopenings.fetch_sub(1, Ordering::Relaxed) == 1 {
                    return;
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("reopen".into()).spawn(reopen) {
            self.reopenings.store(0, Ordering::Relaxed);
            tracing::error!("SIGUSR1: it goes on in the old file, for there can be no thread: {error}");
        }
    }

    /// Writes a report to standard error, without waiting for its reader.
    pub(super) fn complain(&self, text: &str) {
        // If it cannot be written, there is nowhere to report that.
        let _ = writeln!(self.stderr.clone(), "{}", text.trim_end());
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.access.close();
    }
}

/// Whether it is `level` or `target=level`. Anything else the filter would take for the name of a target.
fn is_directive(text: &str) -> bool {
    let level = text.split_once('=').map_or(text, |(_, level)| level);
    level.trim().parse::<LevelFilter>().is_ok()
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
