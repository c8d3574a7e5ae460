//! Many questions at once, with one bound for all of them.
//!
//! The system's resolver takes as long as it wants and cannot be called off, so each question has a thread,
//! and the caller waits for at most its bound. A thread whose question is answered too late ends by itself,
//! without a word.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most threads that ask at the same time, in the whole process.
const ASKERS_MAX: usize = 64;

/// The number of threads that ask now, with those whose caller has stopped waiting.
static ASKERS: AtomicUsize = AtomicUsize::new(0);

/// One of [`ASKERS_MAX`], for as long as it lives.
struct Asker;

impl Asker {
    fn new() -> Option<Asker> {
        let more = |count| (count < ASKERS_MAX).then_some(count + 1);
        ASKERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Asker)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        ASKERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has `ask` answer all `questions`, and waits for at most `span`. The answers stand in the order of the
/// questions; `None` is a question that was not answered in time, or for which there was no thread.
pub fn at_once<Q, A>(questions: Vec<Q>, span: Duration, ask: fn(&Q) -> A) -> Vec<Option<A>>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    let until = Instant::now() + span;
    let mut answers: Vec<Option<A>> = questions.iter().map(|_| None).collect();
    let waiting: VecDeque<(usize, Q)> = questions.into_iter().enumerate().collect();
    let (threads, waiting) = (answers.len().min(ASKERS_MAX), Arc::new(Mutex::new(waiting)));
    let (sender, receiver) = channel();
    for _ in 0..threads {
        let Some(asker) = Asker::new() else { break };
        let (waiting, sender) = (Arc::clone(&waiting), sender.clone());
        let run = move || {
            let _asker = asker;
            while let Some((place, question)) = next(&waiting)
                && Instant::now() < until
                && sender.send((place, ask(&question))).is_ok()
            {}
        };
        if let Err(error) = thread::Builder::new().name("asker".into()).spawn(run) {
            tracing::error!(%error, "names wait for each other: there can be no more threads");
            break;
        }
    }
    drop(sender);
    // It ends with the last answer, when the threads have closed their ends.
    while let Ok((place, answer)) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
        answers[place] = Some(answer);
    }
    answers
}

fn next<Q>(waiting: &Mutex<VecDeque<(usize, Q)>>) -> Option<(usize, Q)> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// The error for a question that had no answer within `span`.
#[must_use]
pub fn unanswered(span: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", span.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Condvar, MutexGuard};

    const LONG: Duration = Duration::from_secs(60);

    /// The process has one bound for all askers, so the tests take turns.
    fn alone() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn all_are_asked_at_the_same_time() {
        static MET: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
        /// Answers only when all 20 have come.
        fn meet(question: &usize) -> usize {
            let mut met = MET.0.lock().unwrap();
            *met += 1;
            MET.1.notify_all();
            let all = MET.1.wait_timeout_while(met, LONG, |met| *met < 20).unwrap();
            assert!(!all.1.timed_out());
            question * 2
        }
        let _alone = alone();
        let answers = at_once((0..20).collect(), LONG, meet);
        assert_eq!(answers, (0..20).map(|question| Some(question * 2)).collect::<Vec<_>>());
    }

    #[test]
    fn more_than_there_are_threads_take_turns() {
        let _alone = alone();
        let answers = at_once((0..5 * ASKERS_MAX).collect(), LONG, |question| question + 1);
        assert_eq!(answers.len(), 5 * ASKERS_MAX);
        assert!(answers.iter().enumerate().all(|(place, answer)| *answer == Some(place + 1)));
    }

    #[test]
    fn one_that_is_not_answered_keeps_no_other_one_and_no_caller() {
        static OPEN: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
        fn hang(question: &usize) -> usize {
            if *question == 1 {
                drop(OPEN.1.wait_while(OPEN.0.lock().unwrap(), |is_open| !*is_open).unwrap());
            }
            *question
        }
        let _alone = alone();
        let answers = at_once(vec![0, 1, 2], Duration::from_millis(500), hang);
        assert_eq!(answers, [Some(0), None, Some(2)]);
        *OPEN.0.lock().unwrap() = true;
        OPEN.1.notify_all();
    }
}
