//! The log, on standard error and filtered by RUST_LOG, and the access log, with it or in a file of its own: neither is ever in
//! the way of the traffic.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pollux::control::AccessLog;
use pollux::status::LogLevel;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload::{self, Handle};
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
    access: Option<LogFile>,
    level: Mutex<LogLevel>,
    filter: Handle<EnvFilter, Registry>,
    _guards: Vec<WorkerGuard>,
}

impl Logs {
    /// Sets the log up. Where `access` names a file, that has to be [opened](Logs::open) before the first exchange.
    pub(super) fn start(format: LogFormat, access: Option<&Path>) -> Logs {
        use std::io::IsTerminal;
        let (writer, guard) = unhurried(io::stderr());
        let mut guards = vec![guard];
        let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
        let access = access.map(LogFile::new);
        let in_file = access.clone().map(|file| {
            let (writer, guard) = unhurried(file);
            guards.push(guard);
            lines(format, writer, false).with_filter(filter_fn(|meta| meta.target() == AccessLog::TARGET))
        });
        let is_apart = access.is_some();
        let on_stderr = lines(format, writer, io::stderr().is_terminal())
            .with_filter(filter_fn(move |meta| !is_apart || meta.target() != AccessLog::TARGET));
        let level = LogLevel { filter: filter.to_string(), changed_from: None };
        let (filter, handle) = reload::Layer::new(filter);
        tracing_subscriber::registry().with(filter).with(on_stderr).with(in_file).init();
        Logs { access, level: Mutex::new(level), filter: handle, _guards: guards }
    }

    /// What is logged now.
    pub(super) fn level(&self) -> LogLevel {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is logged, for `by`: to a level for everything, or by directives such as `access=off` beside those that there are.
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
        let first = level.changed_from.take().unwrap_or_else(|| level.filter.clone());
        tracing::warn!(by, from = level.filter, to = after, "the operator has changed what is logged");
        *level = LogLevel { changed_from: (first != after).then_some(first), filter: after };
        Ok(())
    }

    /// Opens the file of the access log, or opens it anew: what is at its path then is written to from now on.
    ///
    /// # Errors
    /// As open(2) gives them, with the path; the file that was open stays.
    pub(super) fn open(&self) -> Result<(), String> {
        match &self.access {
            None => Ok(()),
            Some(file) => {
                file.open().map_err(|error| format!("the access log {}: {error}", file.path.display()))
            }
        }
    }

    /// Opens the file anew; what comes of it goes to the log.
    pub(super) fn reopen(&self) {
        match self.open() {
            Ok(()) => tracing::info!("SIGUSR1: the files of the log were opened anew"),
            Err(error) => tracing::error!(
                "SIGUSR1: it goes on in the old file, for the new one cannot be opened: {error}"
            ),
        }
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

/// A file that is appended to, and may be exchanged while it is.
#[derive(Clone)]
struct LogFile {
    path: PathBuf,
    file: Arc<Mutex<Option<File>>>,
}

impl LogFile {
    fn new(path: &Path) -> LogFile {
        LogFile { path: path.to_owned(), file: Arc::default() }
    }

    fn open(&self) -> io::Result<()> {
        let opened = OpenOptions::new().append(true).create(true).open(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.file.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
        let mut log = LogFile::new(&path);
        log.open().unwrap();
        log.write_all(b"one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        log.write_all(b"two\n").unwrap();
        log.open().unwrap();
        log.write_all(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        // What cannot be opened leaves what is open.
        let unopenable = LogFile { path: directory.path().to_owned(), ..log.clone() };
        assert!(unopenable.open().is_err());
        log.write_all(b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\nfour\n");
    }
}
