//! The way of the lines from the workers to their destination: a bounded queue of bytes and one writing
//! thread.
//!
//! A worker never waits: it copies its line behind those of the others, or drops it and counts that. The
//! thread gathers for a moment before it writes, so that a busy Pollux costs some fifty wake-ups in a second
//! and not one for each request.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::whole::Lost;

/// Bytes that wait for the writer; a line that does not fit is dropped. As many may be on their way beside
/// them.
pub const WAITING_MAX: usize = 4 * 1024 * 1024;

/// The time for which the writer gathers lines.
const GATHER: Duration = Duration::from_millis(20);

/// So many bytes are written at once.
const HURRY: usize = 256 * 1024;

/// The interval at which the log reports lines that were dropped, or could not be written.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The time for which the end waits for the writer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// A receiver of batches of whole lines.
pub trait LineSink: Send + 'static {
    /// Writes them, for as long as that takes: each whole or not at all.
    ///
    /// # Errors
    /// How many could not be written, and why.
    fn write(&mut self, lines: &[u8]) -> Result<(), Lost>;
}

/// The number of lines that were taken, and of those that were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Lines that were taken from workers, to be written.
    pub taken: u64,
    /// Lines that were dropped: there was no room for them, or they could not be written.
    pub dropped: u64,
}

/// The end of the queue that workers have; clones share it.
#[derive(Clone, Debug)]
pub struct Post(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    news: Condvar,
    done: Condvar,
    taken: AtomicU64,
    dropped: AtomicU64,
    told: Mutex<LossReports>,
}

#[derive(Debug)]
struct Queue {
    bytes: Vec<u8>,
    /// Whether the writer sleeps until there is something.
    is_idle: bool,
    is_closed: bool,
    is_done: bool,
}

/// The numbers in the last report of dropped lines, and of those that could not be written.
#[derive(Debug, Default)]
struct LossReports {
    /// Of those that were dropped.
    count: u64,
    at: Option<Instant>,
    /// Lines that could not be written, of which nothing was told yet, and why the last of them could not.
    failed: Option<Lost>,
    /// When such lines were told of.
    failed_at: Option<Instant>,
}

impl Default for Post {
    fn default() -> Post {
        let bytes = Vec::with_capacity(WAITING_MAX);
        Post(Arc::new(Shared {
            queue: Mutex::new(Queue { bytes, is_idle: false, is_closed: false, is_done: true }),
            news: Condvar::new(),
            done: Condvar::new(),
            taken: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            told: Mutex::default(),
        }))
    }
}

impl Post {
    /// Takes a line, its line feed included, or drops it.
    pub fn put(&self, line: &[u8]) {
        let shared = &*self.0;
        let mut queue = shared.lock();
        let before = queue.bytes.len();
        if before + line.len() > WAITING_MAX || queue.is_closed {
            drop(queue);
            shared.drop_lines(1);
            return;
        }
        queue.bytes.extend_from_slice(line);
        let wakes = std::mem::take(&mut queue.is_idle) || (before < HURRY && before + line.len() >= HURRY);
        drop(queue);
        shared.taken.fetch_add(1, Ordering::Relaxed);
        if wakes {
            shared.news.notify_one();
        }
    }

    /// The counts of lines so far.
    #[must_use]
    pub fn counts(&self) -> LineCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LineCounts { taken: count(&self.0.taken), dropped: count(&self.0.dropped) }
    }

    /// Starts the thread that writes what comes to `sink`.
    ///
    /// # Errors
    /// As the system gives them.
    pub fn start(&self, sink: impl LineSink) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        self.0.lock().is_done = false;
        thread::Builder::new().name(String::from("access-log")).spawn(move || shared.write_all(sink))?;
        Ok(())
    }

    /// Takes no more lines, and waits a moment until those that it has are written.
    pub fn close(&self) {
        let shared = &*self.0;
        let mut queue = shared.lock();
        queue.is_closed = true;
        shared.news.notify_one();
        let done = shared.done.wait_timeout_while(queue, FLUSH_TIMEOUT, |queue| !queue.is_done);
        drop(done);
        shared.tell_dropped(true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut sink: impl LineSink) {
        let mut batch = Vec::with_capacity(WAITING_MAX);
        while self.gather(&mut batch) {
            if let Err(lost) = sink.write(&batch) {
                self.note_lost(lost);
            }
            batch.clear();
            self.tell_dropped(false);
        }
        self.tell_dropped(true);
        self.lock().is_done = true;
        self.done.notify_all();
    }

    /// Waits for lines and puts them into `batch`, which is empty; false at the end.
    fn gather(&self, batch: &mut Vec<u8>) -> bool {
        let mut queue = self.lock();
        while queue.bytes.is_empty() && !queue.is_closed {
            queue.is_idle = true;
            queue = self.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_idle = false;
        let is_early = |queue: &mut Queue| queue.bytes.len() < HURRY && !queue.is_closed;
        let waited = self.news.wait_timeout_while(queue, GATHER, is_early);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queue.bytes, batch);
        !batch.is_empty()
    }

    fn note_lost(&self, lost: Lost) {
        self.dropped.fetch_add(lost.lines, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Why these were dropped is told by itself.
        told.count += lost.lines;
        let before = told.failed.as_ref().map_or(0, |failed| failed.lines);
        told.failed = Some(Lost { lines: before + lost.lines, ..lost });
    }

    fn drop_lines(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.tell_dropped(false);
    }

    /// Says in the log that lines were dropped or could not be written, if some were since that was said, and
    /// not more often than it should, or `now`.
    fn tell_dropped(&self, now: bool) {
        // Another thread is about to.
        let Ok(mut told) = self.told.try_lock() else { return };
        let is_due = |at: Option<Instant>| now || at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if is_due(told.failed_at)
            && let Some(Lost { lines, error }) = told.failed.take()
        {
            tracing::error!(lines, %error, "lines of the access log could not be written");
            told.failed_at = Some(Instant::now());
        }
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > told.count && is_due(told.at) {
            let lines = dropped - told.count;
            tracing::warn!(lines, "lines of the access log were dropped: whoever reads it is too slow");
            (told.count, told.at) = (dropped, Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Tells that it was asked, and then waits until it may go on.
    struct Slow {
        asked: Sender<Vec<u8>>,
        go: Receiver<()>,
    }

    impl LineSink for Slow {
        fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
            self.asked.send(lines.to_vec()).unwrap();
            self.go.recv().unwrap();
            Ok(())
        }
    }

    #[test]
    fn whoever_is_slow_costs_lines_and_not_time() {
        let ((asked, was_asked), (go, may_go)) = (channel(), channel());
        let post = Post::default();
        post.start(Slow { asked, go: may_go }).unwrap();
        post.put(b"first\n");
        assert_eq!(was_asked.recv().unwrap(), b"first\n");
        // It is busy with that now, and the queue takes so much and no more.
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..WAITING_MAX / 1024 + 7 {
            post.put(&line);
        }
        assert_eq!(post.counts(), LineCounts { taken: 1 + (WAITING_MAX / 1024) as u64, dropped: 7 });
        go.send(()).unwrap();
        assert_eq!(was_asked.recv().unwrap().len(), WAITING_MAX);
        go.send(()).unwrap();
        post.put(b"last\n");
        assert_eq!(was_asked.recv().unwrap(), b"last\n");
        go.send(()).unwrap();
        post.close();
        post.put(b"too late\n");
        assert_eq!(post.counts().dropped, 8);
        assert!(was_asked.recv().is_err());
    }

    struct Full;

    impl LineSink for Full {
        fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
            let error = io::Error::from_raw_os_error(nix::libc::ENOSPC);
            Err(Lost { lines: memchr::memchr_iter(b'\n', lines).count() as u64, error })
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let post = Post::default();
        post.start(Full).unwrap();
        post.put(b"a\n");
        post.put(b"b\n");
        post.close();
        assert_eq!(post.counts(), LineCounts { taken: 2, dropped: 2 });
    }
}
