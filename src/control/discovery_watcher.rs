//! Asks again and again for the backends that may change, beside the data plane. A change is an event
//! for the main thread.
//!
//! Names and files have a thread each, so that a resolver that does not answer keeps no file waiting, and
//! names that are due together are asked for at once, so that one keeps no other one. Files are looked at
//! once a second: that needs no inotify(7) and its limits, and works on every file system.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::certificates;
use super::discovery_status::DiscoveryStatus;
use super::events::ControlEvent;
use crate::discovery::{
    self, Answer, Answers, DiscoveryQuestion, Entry, LOOK, Schedule, Stamp, at_once, unanswered,
};
use crate::shared::pools::Registry;
use crate::snapshot::{Address, Snapshot};
use crate::tls::Handles;

/// The time that names that are asked for together may take. The system's resolver gives up by itself before.
const LOOKUPS_TIMEOUT: Duration = Duration::from_secs(30);

/// Another answer than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The question.
    pub question: DiscoveryQuestion,
    /// The answer.
    pub entries: Vec<Entry>,
}

/// The threads that ask; they end when this is dropped.
#[derive(Debug, Default)]
pub struct DiscoveryWatcher {
    /// A thread that finds its end closed ends. Nothing is sent.
    _alive: Vec<Sender<()>>,
}

impl DiscoveryWatcher {
    /// Begins to ask the questions of `snapshot`; `answers` are those that are known. Changes go to `events`,
    /// and the state of each question into `discovery_status`. A snapshot without questions has no thread.
    pub(super) fn open(
        events: &SyncSender<ControlEvent>,
        (snapshot, tls): (&Snapshot, &Handles),
        registry: &Arc<Registry>,
        answers: &Answers,
        discovery_status: &Arc<DiscoveryStatus>,
    ) -> DiscoveryWatcher {
        let questions = discovery::questions(snapshot);
        discovery_status.open(questions.keys(), answers);
        let (names, files): (BTreeMap<_, _>, BTreeMap<_, _>) =
            questions.into_iter().partition(|(question, _)| question.is_name());
        let mut alive = Vec::new();
        for (thread, questions) in [("names", names), ("files", files)] {
            if questions.is_empty() {
                continue;
            }
            let (sender, end) = channel();
            let asker = Asker::new(
                questions,
                answers,
                events.clone(),
                Arc::clone(discovery_status),
                Arc::clone(registry),
            );
            let started = thread::Builder::new().name(thread.into()).spawn(move || asker.run(&end));
            match started {
                Ok(_) => alive.push(sender),
                Err(error) => tracing::error!(%error, "backends are not looked for: there can be no thread"),
            }
        }
        alive.extend(certificates::look_after(snapshot, tls));
        DiscoveryWatcher { _alive: alive }
    }
}

/// A question with what is known of it.
struct Watched {
    question: DiscoveryQuestion,
    schedule: Schedule,
    answer: Option<Vec<Entry>>,
    /// The last failure.
    failure: Option<String>,
    /// The stamp of the file when it was read.
    stamp: Option<Stamp>,
    /// The failed connects to its addresses that it was last asked again for.
    unreached: u64,
}

struct Asker {
    watched: Vec<Watched>,
    started: Instant,
    events: SyncSender<ControlEvent>,
    discovery_status: Arc<DiscoveryStatus>,
    registry: Arc<Registry>,
}

impl Asker {
    fn new(
        questions: BTreeMap<DiscoveryQuestion, Duration>,
        answers: &Answers,
        events: SyncSender<ControlEvent>,
        discovery_status: Arc<DiscoveryStatus>,
        registry: Arc<Registry>,
    ) -> Asker {
        let watched = |(index, (question, interval)): (usize, (DiscoveryQuestion, Duration))| {
            let answer = answers.to(&question).map(<[Entry]>::to_vec);
            let seed = u64::from(std::process::id()) << 32 | index as u64;
            let mut schedule = Schedule::new(interval, seed, Duration::ZERO, answer.is_some());
            if question.has_ttl() {
                // The second answer replaces the lifetime of the first.
                schedule.note_ttl(Duration::ZERO, Duration::ZERO);
            }
            // The user who started Pollux was told of that one.
            let failure = answers.failure(&question).map(str::to_owned);
            Watched { question, schedule, answer, failure, stamp: None, unreached: 0 }
        };
        let watched = questions.into_iter().enumerate().map(watched).collect();
        Asker { watched, started: Instant::now(), events, discovery_status, registry }
    }

    fn run(mut self, end: &Receiver<()>) {
        while let Some(due) = self.watched.iter().map(|watched| watched.schedule.due()).min() {
            let pause = due.saturating_sub(self.started.elapsed()).min(LOOK);
            if end.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let now = self.started.elapsed();
            let unreached = self.registry.unreached();
            self.watched.iter_mut().for_each(|watched| watched.hasten(now, &unreached));
            let due: Vec<_> = self.watched.iter_mut().filter(|it| it.schedule.due() <= now).collect();
            let names = due.iter().filter(|it| it.question.is_name()).map(|it| it.question.clone()).collect();
            let mut answers = at_once(names, LOOKUPS_TIMEOUT, discovery::ask).into_iter();
            for watched in due {
                let change = if watched.question.is_name() {
                    let answer = answers.next().flatten();
                    let answer = answer.unwrap_or_else(|| Err(unanswered(LOOKUPS_TIMEOUT).to_string()));
                    watched.take(answer, self.started, &self.discovery_status)
                } else {
                    watched.look_again(self.started, &self.discovery_status)
                };
                // Another configuration may have come while the resolver was thinking.
                if end.try_recv() == Err(TryRecvError::Disconnected) {
                    return;
                }
                if let Some(entries) = change {
                    let question = watched.question.clone();
                    // The main thread listens until the process ends.
                    let _ = self.events.send(ControlEvent::Discovered(Discovered { question, entries }));
                }
            }
        }
    }
}

impl Watched {
    /// Has a name asked for now if no address of its last answer can be connected to, and connects have
    /// failed since it was last asked for that reason: what was there may have come back with another
    /// address. The asker looks once in [`LOOK`], so a name is asked for no more often than that.
    fn hasten(&mut self, now: Duration, unreached: &BTreeMap<Address, u64>) {
        let entries = self.answer.as_deref().filter(|entries| !entries.is_empty());
        let Some(entries) = entries.filter(|_| self.question.is_name()) else { return };
        let failed: Option<u64> = entries.iter().map(|entry| unreached.get(&entry.address).copied()).sum();
        if let Some(failed) = failed.filter(|failed| *failed != self.unreached) {
            self.unreached = failed;
            self.schedule.hasten(now);
        }
    }

    /// Reads a file, if it looks otherwise than the last time; returns the answer if it is another one.
    fn look_again(&mut self, started: Instant, discovery_status: &DiscoveryStatus) -> Option<Vec<Entry>> {
        let stamp = match &self.question {
            DiscoveryQuestion::Host { .. } | DiscoveryQuestion::Service { .. } => None,
            DiscoveryQuestion::File(path) => Stamp::of(path),
        };
        if stamp.is_some() && stamp == self.stamp {
            self.schedule.note(started.elapsed(), true);
            return None;
        }
        self.stamp = stamp;
        self.take(discovery::ask(&self.question), started, discovery_status)
    }

    /// Records what came of the question; returns the answer if it is another one.
    fn take(
        &mut self,
        asked: Result<Answer, String>,
        started: Instant,
        discovery_status: &DiscoveryStatus,
    ) -> Option<Vec<Entry>> {
        // A file is looked at in any case, and is as likely to be mended as a good one to be changed.
        self.schedule.note(started.elapsed(), asked.is_ok() || !self.question.is_name());
        if let Ok(Answer { ttl: Some(ttl), .. }) = &asked {
            self.schedule.note_ttl(started.elapsed(), *ttl);
        }
        let asked = asked.map(|answer| answer.after(self.answer.as_deref()));
        discovery_status.note(&self.question, asked.as_deref().map_err(String::as_str));
        match asked {
            Ok(entries) => {
                if self.failure.take().is_some() {
                    tracing::info!(source = %self.question, "there is an answer again");
                }
                let is_new = self.answer.as_ref() != Some(&entries);
                is_new.then(|| self.answer.insert(entries).clone())
            }
            Err(why) => {
                if self.failure.as_ref() != Some(&why) {
                    let kept = self.answer.as_ref().map_or(0, Vec::len);
                    tracing::warn!(source = %self.question, kept, "no backends from there, the last ones stay: {why}");
                }
                self.failure = Some(why);
                None
            }
        }
    }
}
