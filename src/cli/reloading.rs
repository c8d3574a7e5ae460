//! A configuration that is read beside the main thread, which goes on meanwhile: names may be slow, and so
//! may a disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use pollux::control::{Call, Discovered, Events, Reply, Server};
use pollux::discovery::{Answers, Entry};
use pollux::os::await_disk;

use super::args::RunArgs;
use super::settings::{self, Settled};
use super::{FAILED, Failure};

/// The time that reading may take in all; names have a shorter bound of their own.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a read, and the caller that waits for it.
pub(super) struct Read {
    pub(super) settled: Result<Box<Settled>, Failure>,
    pub(super) callers: Vec<Call>,
    /// The answers that came meanwhile for backends that may change.
    pub(super) found: Vec<Found>,
}

/// Something that was found while the configuration was read.
pub(super) struct Found {
    pub(super) discovered: Discovered,
    /// The entries that were known when reading began.
    before: Option<Vec<Entry>>,
}

impl Found {
    /// Whether it is newer than what was read with the configuration, where that is the answer of before or
    /// none.
    pub(super) fn is_newer(&self, read: &Answers) -> bool {
        let question = &self.discovered.question;
        match read.to(question) {
            Some(entries) => self.before.as_deref() == Some(entries),
            None => read.failure(question).is_some(),
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Reloading {
    under_way: Option<UnderWay>,
    /// The callers that asked since it began: the files may have changed since they were read. A signal adds
    /// no caller.
    again: Option<Vec<Call>>,
}

struct UnderWay {
    read: Receiver<Result<Box<Settled>, Failure>>,
    since: Instant,
    callers: Vec<Call>,
    found: Vec<Found>,
    /// Whether those who wait were told that it takes too long.
    is_given_up: bool,
}

impl Reloading {
    /// Begins to read, or notes that it is to be read again. `call` waits for what comes of it. A reload looks at the files of the
    /// sockets that `server` has, too.
    pub(super) fn begin(
        &mut self,
        args: &Arc<RunArgs>,
        known: &Answers,
        server: &Server,
        events: &Events,
        call: Option<Call>,
    ) {
        match &self.under_way {
            Some(under_way) if under_way.is_given_up => {
                refuse(
                    call,
                    &format!(
                        "the reload of {} s ago still waits for a file; the configuration stays as it was",
                        under_way.since.elapsed().as_secs()
                    ),
                );
                return;
            }
            Some(_) => {
                self.again.get_or_insert_default().extend(call);
                return;
            }
            None => {}
        }
        let (args, known, files) = (Arc::clone(args), known.clone(), server.socket_files());
        let read = move || {
            files.iter().for_each(|file| await_disk(file));
            settings::settle(&args, false, &known).map(Box::new)
        };
        match events.beside("reload", read) {
            Ok(read) => {
                let (since, callers) = (Instant::now(), call.into_iter().collect());
                let under_way = UnderWay { read, since, callers, found: Vec::new(), is_given_up: false };
                self.under_way = Some(under_way);
            }
            Err(error) => {
                refuse(call, &format!("nothing can be reloaded: there can be no thread: {error}"));
            }
        }
    }

    /// Keeps what is found while the configuration is read; `known` are the answers without it.
    pub(super) fn note(&mut self, discovered: &Discovered, known: &Answers) {
        let Some(under_way) = &mut self.under_way else { return };
        let is_same = |found: &&mut Found| found.discovered.question == discovered.question;
        match under_way.found.iter_mut().find(is_same) {
            Some(found) => found.discovered = discovered.clone(),
            None => {
                let before = known.to(&discovered.question).map(<[Entry]>::to_vec);
                under_way.found.push(Found { discovered: discovered.clone(), before });
            }
        }
    }

    /// Whether something is read, and those who wait have not been told that it takes too long.
    pub(super) fn is_reading(&self) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| !under_way.is_given_up)
    }

    /// The time until something has to be done, if ever.
    pub(super) fn rest(&self) -> Option<Duration> {
        let under_way = self.under_way.as_ref().filter(|under_way| !under_way.is_given_up)?;
        Some(READ_TIMEOUT.saturating_sub(under_way.since.elapsed()))
    }

    /// The result, once.
    pub(super) fn take(&mut self) -> Option<Read> {
        let under_way = self.under_way.as_mut()?;
        let settled = match under_way.read.try_recv() {
            Ok(settled) => settled,
            Err(TryRecvError::Disconnected) => {
                Err(Failure::failed("the configuration could not be read: the log says why"))
            }
            Err(TryRecvError::Empty) if under_way.is_given_up || under_way.since.elapsed() < READ_TIMEOUT => {
                return None;
            }
            Err(TryRecvError::Empty) => {
                under_way.is_given_up = true;
                let text = format!(
                    "the configuration could not be read within {} s: a file of it, or one that it names, lies where nothing answers",
                    READ_TIMEOUT.as_secs()
                );
                let callers = self.again.take().into_iter().flatten();
                let callers = under_way.callers.drain(..).chain(callers).collect();
                return Some(Read { settled: Err(Failure::failed(text)), callers, found: Vec::new() });
            }
        };
        let UnderWay { callers, found, is_given_up, .. } = self.under_way.take()?;
        if is_given_up {
            tracing::info!(
                "what a reload has waited for has come, too late: the configuration stays as it was"
            );
            return None;
        }
        Some(Read { settled, callers, found })
    }

    /// The callers that asked for one more since the last one began; `None` if no request came.
    pub(super) fn take_again(&mut self) -> Option<Vec<Call>> {
        if self.under_way.is_some() { None } else { self.again.take() }
    }

    /// Lets one more wait for what comes of it.
    pub(super) fn join(&mut self, call: Call) {
        match &mut self.under_way {
            Some(under_way) => under_way.callers.push(call),
            None => refuse(Some(call), "nothing is reloaded"),
        }
    }

    /// Tells those who wait that nothing comes of it.
    pub(super) fn abandon(&mut self, why: &str) {
        let callers = self.under_way.take().into_iter().flat_map(|under_way| under_way.callers);
        callers.chain(self.again.take().into_iter().flatten()).for_each(|call| refuse(Some(call), why));
    }
}

fn refuse(call: Option<Call>, why: &str) {
    tracing::error!("{why}");
    if let Some(call) = call {
        call.answer(Reply::text(FAILED, why));
    }
}
