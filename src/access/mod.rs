//! The access log: one line for each exchange.
//!
//! A worker chooses ([`Choice`]), writes a line into memory that it keeps ([`LineFormat`]), and puts it into
//! a bounded queue; a thread of its own writes what comes out there ([`Post`], [`Destination`]). A slow
//! reader does not hold up a worker: lines that do not fit are dropped, counted and logged.

mod choice;
mod escape;
mod field;
mod format;
mod layout;
mod post;
mod sink;
mod syslog;
mod whole;

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::core::captured::CapturedNames;
use crate::core::outcome::{Journal, Record};
use crate::http::date::Date;

pub use choice::{Choice, Statuses};
pub use field::Field;
pub use format::{LineFormat, Redaction};
pub use layout::{Layout, variables};
pub use post::{LineCounts, LineSink, Post, WAITING_MAX};
pub use syslog::Receiver;
pub use whole::{Lost, WholeLines};

/// The rules for the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLogRules {
    /// The destination; `None` where that is left open.
    pub to: Option<Destination>,
    /// Their form; `None` is that of the log.
    pub format: Option<LineFormat>,
    /// Which exchanges have one.
    pub choice: Choice,
    /// The texts that are hidden.
    pub redaction: Redaction,
    /// The header fields that they have, in lower case.
    pub headers: CapturedNames,
}

/// The destination of the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// To standard error, beside the log.
    #[default]
    Stderr,
    /// To standard output.
    Stdout,
    /// Nowhere: there are none.
    Off,
    /// To a file, which can be opened anew.
    File(PathBuf),
    /// To a syslog.
    Syslog(Receiver),
}

impl Destination {
    /// The destination that `text` means: `on` (or `stderr`), `stdout`, `off`, `syslog:udp://HOST:PORT`,
    /// `syslog:unix:PATH`, or the path of a file. `whole` makes a path of what is written.
    ///
    /// # Errors
    /// Why it is none of these, without a full stop.
    pub fn parse(text: &str, whole: impl FnOnce(&str) -> PathBuf) -> Result<Destination, String> {
        let is_path = |path: &str| !path.is_empty() && !path.contains('\0') && !path.ends_with('/');
        let receiver = |receiver| Ok(Destination::Syslog(receiver));
        match text {
            "on" | "stderr" => Ok(Destination::Stderr),
            // Their files belong to the user who started the process, and cannot be opened once it has
            // changed its user.
            "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Ok(Destination::Stderr),
            "stdout" | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Ok(Destination::Stdout),
            "off" => Ok(Destination::Off),
            _ => match text.strip_prefix("syslog:") {
                Some(to) => match (to.strip_prefix("udp://"), to.strip_prefix("unix:")) {
                    (Some(address), _) => match address.parse() {
                        Ok(address) => receiver(Receiver::Udp(address)),
                        Err(_) => Err(format!("`{address}` is not an IP address with a port")),
                    },
                    (None, Some(path)) if is_path(path) => receiver(Receiver::Unix(whole(path))),
                    (None, _) => Err(String::from(
                        "a syslog is `syslog:udp://127.0.0.1:514` or `syslog:unix:/dev/log`",
                    )),
                },
                None if is_path(text) => Ok(Destination::File(whole(text))),
                None => Err(String::from("it is not the path of a file")),
            },
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Stderr => f.write_str("on"),
            Destination::Stdout => f.write_str("stdout"),
            Destination::Off => f.write_str("off"),
            Destination::File(path) => path.display().fmt(f),
            Destination::Syslog(receiver) => receiver.fmt(f),
        }
    }
}

/// The control side of the log: it opens and reopens the destination, and makes a journal for each worker.
#[derive(Debug)]
pub struct AccessLog {
    to: Destination,
    file: Option<sink::AppendedTo>,
    post: Post,
    pen: Pen,
    is_muted: Arc<AtomicBool>,
}

impl AccessLog {
    /// A log after `rules`, of which nothing is opened yet. `format` is theirs if they do not say.
    #[must_use]
    pub fn new(rules: &AccessLogRules, format: LineFormat) -> AccessLog {
        let to = rules.to.clone().unwrap_or_default();
        let file = match &to {
            Destination::File(path) => Some(sink::AppendedTo::new(path)),
            Destination::Stderr | Destination::Stdout | Destination::Off | Destination::Syslog(_) => None,
        };
        AccessLog { to, file, post: Post::default(), pen: Pen::new(rules, format), is_muted: Arc::default() }
    }

    /// Opens where the lines go, and starts who writes them.
    ///
    /// # Errors
    /// As the system gives them, with the path.
    pub fn open(&self) -> Result<(), String> {
        let told = |error: io::Error| format!("the access log {}: {error}", self.to);
        match &self.to {
            Destination::Off => Ok(()),
            Destination::Stderr => self.start_beside(&io::stderr()).map_err(told),
            Destination::Stdout => self.start_beside(&io::stdout()).map_err(told),
            Destination::Syslog(to) => {
                syslog::Syslog::open(to).and_then(|syslog| self.post.start(syslog)).map_err(told)
            }
            Destination::File(_) => {
                self.reopen()?;
                self.file.as_ref().map_or(Ok(()), |file| self.post.start(file.sink())).map_err(told)
            }
        }
    }

    fn start_beside(&self, stream: &impl AsFd) -> io::Result<()> {
        WholeLines::beside(stream).and_then(|lines| self.post.start(lines))
    }

    /// Opens the file anew, if it is one.
    ///
    /// # Errors
    /// As open(2) gives them, with the path; then lines go on into the old one.
    pub fn reopen(&self) -> Result<(), String> {
        self.file.as_ref().map_or(Ok(()), |file| {
            file.open().map_err(|error| format!("the access log {}: {error}", file.path().display()))
        })
    }

    /// A journal for a worker.
    #[must_use]
    pub fn journal(&self) -> Box<dyn Journal + Send> {
        match self.to {
            Destination::Off => Box::new(Unlogged { hides_query: self.pen.redaction.query }),
            Destination::Stderr | Destination::Stdout | Destination::File(_) | Destination::Syslog(_) => {
                Box::new(Writer {
                    pen: self.pen.clone(),
                    post: self.post.clone(),
                    line: Vec::new(),
                    date: Date::new(0),
                    is_muted: Arc::clone(&self.is_muted),
                })
            }
        }
    }

    /// The counts of lines; a clone of it counts on.
    #[must_use]
    pub fn post(&self) -> &Post {
        &self.post
    }

    /// Has no more lines made, or has them made again.
    pub fn mute(&self, is_muted: bool) {
        self.is_muted.store(is_muted, Ordering::Relaxed);
    }

    /// Takes no more lines, and waits a moment until those that it has are written.
    pub fn close(&self) {
        self.post.close();
    }
}

/// Chooses and writes lines.
#[derive(Clone, Debug)]
pub struct Pen {
    format: LineFormat,
    choice: Choice,
    redaction: Redaction,
    captured_names: Arc<CapturedNames>,
}

impl Pen {
    /// One that goes by `rules`. `format` is theirs if they do not say.
    #[must_use]
    pub fn new(rules: &AccessLogRules, format: LineFormat) -> Pen {
        let format = rules.format.clone().unwrap_or(format);
        let (mut wanted, needs) = (rules.headers.clone(), format.needs());
        for (known, more) in [(&mut wanted.request, needs.request), (&mut wanted.response, needs.response)] {
            for name in more {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
        }
        let (choice, redaction) = (rules.choice.clone(), rules.redaction.clone());
        Pen { format, choice, redaction, captured_names: Arc::new(wanted) }
    }

    /// The header fields that a record has to have for it.
    #[must_use]
    pub fn captured_names(&self) -> &Arc<CapturedNames> {
        &self.captured_names
    }

    /// Appends the line of `record`, which ended so long after 1970, to `out`; nothing if it is to have none.
    /// `date` is kept from line to line.
    pub fn write(&self, record: &Record<'_>, at: Duration, date: &mut Date, out: &mut Vec<u8>) {
        if self.choice.takes(record) {
            let line =
                format::Line { record, at, captured_names: &self.captured_names, redaction: &self.redaction };
            self.format.write(&line, date, out);
        }
    }
}

/// The journal of a worker whose exchanges have lines.
struct Writer {
    pen: Pen,
    post: Post,
    /// Kept for its memory.
    line: Vec<u8>,
    date: Date,
    is_muted: Arc<AtomicBool>,
}

impl Journal for Writer {
    fn record(&mut self, record: &Record<'_>, at: Duration) {
        if self.is_muted.load(Ordering::Relaxed) {
            return;
        }
        self.line.clear();
        self.pen.write(record, at, &mut self.date, &mut self.line);
        if !self.line.is_empty() {
            self.post.put(&self.line);
        }
    }

    fn hides_query(&self) -> bool {
        self.pen.redaction.query
    }

    fn captured_names(&self) -> Arc<CapturedNames> {
        Arc::clone(&self.pen.captured_names)
    }
}

/// Writes nothing, but has what there is to know of a session kept for those who ask what it is at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlogged {
    /// Whether queries are not shown there.
    pub hides_query: bool,
}

impl Journal for Unlogged {
    fn record(&mut self, _record: &Record<'_>, _at: Duration) {}

    fn hides_query(&self) -> bool {
        self.hides_query
    }
}

#[cfg(test)]
mod tests;
