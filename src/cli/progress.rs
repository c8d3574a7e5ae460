//! Long work shows on a terminal how far it is. Where standard error is no terminal, nothing is written.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::terminal;

/// The interval at which the line is drawn.
const EVERY: Duration = Duration::from_millis(100);

/// Work that ends within so many periods of [`EVERY`] shows nothing.
const SILENT: u32 = 4;

/// A line on the terminal that says what is being done. It goes when this is dropped.
pub(super) struct Progress {
    done: Arc<AtomicU64>,
    shown: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins to show `what`: as a share of `whole` where that is known, else with the seconds that it takes.
    pub(super) fn start(what: String, whole: Option<u64>) -> Progress {
        let done = Arc::new(AtomicU64::new(0));
        let is_shown = io::stderr().is_terminal() && !terminal::is_dumb();
        let shown = is_shown.then(|| {
            let (over, ended) = channel();
            let (line, name) = (Line { what, whole, done: Arc::clone(&done) }, String::from("progress"));
            // Work without the line is still done.
            Builder::new().name(name).spawn(move || line.show(&ended)).ok().map(|thread| (over, thread))
        });
        Progress { done, shown: shown.flatten() }
    }

    /// So much more of the whole is done.
    pub(super) fn advance(&self, by: u64) {
        self.done.fetch_add(by, Ordering::Relaxed);
    }

    /// A reader whose bytes are what is done.
    pub(super) fn of<R: Read>(&self, from: R) -> impl Read {
        Counted { from, progress: self }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.shown.take() {
            drop(over);
            // It cannot panic; if it did, there would be nothing to clear.
            let _ = thread.join();
        }
    }
}

struct Counted<'a, R> {
    from: R,
    progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}

struct Line {
    what: String,
    whole: Option<u64>,
    done: Arc<AtomicU64>,
}

impl Line {
    /// Draws the line again and again until the other end of `ended` is dropped, and clears it then.
    fn show(&self, ended: &Receiver<()>) {
        let mut periods = 0;
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(EVERY) {
            periods += 1;
            if periods > SILENT {
                write(&format!("\r{}\u{1b}[K", self.text(periods)));
            }
        }
        if periods > SILENT {
            write("\r\u{1b}[K");
        }
    }

    fn text(&self, periods: u32) -> String {
        match self.whole {
            Some(whole) => {
                let done = u128::from(self.done.load(Ordering::Relaxed).min(whole));
                format!("{}: {} %", self.what, done * 100 / u128::from(whole.max(1)))
            }
            None => format!("{}: {} s", self.what, (EVERY * periods).as_secs()),
        }
    }
}

fn write(text: &str) {
    let mut out = io::stderr().lock();
    // A terminal that has gone needs no line.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(whole: Option<u64>, done: u64) -> Line {
        Line { what: String::from("reading a.log"), whole, done: Arc::new(AtomicU64::new(done)) }
    }

    #[test]
    fn a_share_or_the_time_is_shown() {
        assert_eq!(line(Some(3), 1).text(7), "reading a.log: 33 %");
        assert_eq!(line(Some(3), 9).text(7), "reading a.log: 100 %");
        assert_eq!(line(Some(0), 0).text(7), "reading a.log: 0 %");
        assert_eq!(line(Some(u64::MAX), u64::MAX).text(7), "reading a.log: 100 %");
        assert_eq!(line(None, 9).text(27), "reading a.log: 2 s");
    }

    #[test]
    fn bytes_that_are_read_are_done() {
        let progress = Progress::start(String::new(), None);
        let mut read = Vec::new();
        progress.of(&b"hello"[..]).read_to_end(&mut read).expect("bytes");
        assert_eq!((read.as_slice(), progress.done.load(Ordering::Relaxed)), (&b"hello"[..], 5));
    }
}
