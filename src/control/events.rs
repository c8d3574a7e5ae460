//! The events of the main thread: signals, and callers at the control socket. Each comes through a thread of
//! its own.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::discovery_status::DiscoveryStatus;
use super::discovery_watcher::{Discovered, DiscoveryWatcher};
use super::handover::{Heir, Successor, UpgradeError};
use super::inherited::Inherited;
use super::origin::Origin;
use super::server::Server;
use super::signals::{SignalAction, Signals, Taken};
use super::socket::{self, SocketFile};
use crate::admin::{self, Admin, AdminDoor, Handed, Readiness};
use crate::discovery::Answers;
use crate::operator::{OperatorRequest, Reply};

/// Events that wait for the main thread; a thread that brings one more waits.
const WAITING_MAX: usize = 16;

/// The time for which a signal that ends the process waits for a main thread that still starts.
const GRACE: Duration = Duration::from_millis(500);

/// Something that the main thread has to do with.
#[derive(Debug)]
pub enum ControlEvent {
    /// A signal has come.
    Signal(SignalAction),
    /// A caller at the control socket has a request.
    Call(Call),
    /// A new process has taken over, or has not.
    Upgraded(Result<Successor, UpgradeError>),
    /// There are other backends than before.
    Discovered(Discovered),
    /// Work that was begun with [`Events::beside`] is done, or has failed.
    Done,
}

/// A caller at the control socket, who waits.
#[derive(Debug)]
pub struct Call {
    /// The request.
    pub request: OperatorRequest,
    /// The caller that wants it.
    pub by: String,
    reply: SyncSender<Reply>,
}

impl Call {
    pub(super) fn new(request: OperatorRequest, by: String, reply: SyncSender<Reply>) -> Call {
        Call { request, by, reply }
    }

    /// Answers.
    pub fn answer(self, reply: Reply) {
        // A caller that has gone needs no answer.
        let _ = self.reply.send(reply);
    }
}

/// The way by which events come.
#[derive(Debug)]
pub struct Events {
    sender: SyncSender<ControlEvent>,
    receiver: Receiver<ControlEvent>,
    heard: Arc<Heard>,
}

/// Whether the main thread has begun to take events.
#[derive(Debug, Default)]
struct Heard {
    has_begun: Mutex<bool>,
    begins: Condvar,
}

impl Heard {
    fn begin(&self) {
        let mut has_begun = self.has_begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !*has_begun {
            *has_begun = true;
            self.begins.notify_all();
        }
    }

    /// Waits until the main thread takes events, for at most `span`; false if it does not.
    fn wait(&self, span: Duration) -> bool {
        let has_begun = self.has_begun.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.begins.wait_timeout_while(has_begun, span, |has_begun| !*has_begun);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Default for Events {
    fn default() -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        Events { sender, receiver, heard: Arc::default() }
    }
}

impl Events {
    /// Takes over the signals that `taken` says; from now on they are events. One that is to stop a process
    /// whose main thread has not called [`Events::next`] yet, and does not do so within half a second, ends
    /// the process: it still starts, and something that it needs is slow.
    ///
    /// # Errors
    /// As sigaction(2) gives them, or if there can be no more threads.
    pub fn take_over_signals(&self, taken: Taken) -> io::Result<()> {
        let (mut signals, sender) = (Signals::take_over(taken)?, self.sender.clone());
        let heard = Arc::clone(&self.heard);
        let forward = move || {
            loop {
                let asked = signals.wait();
                // Before the main thread listens, more than the queue takes say nothing new.
                let is_sent = if heard.wait(Duration::ZERO) {
                    sender.send(ControlEvent::Signal(asked)).is_ok()
                } else {
                    let _ = sender.try_send(ControlEvent::Signal(asked));
                    true
                };
                if matches!(asked, SignalAction::Stop(_)) && !heard.wait(GRACE) {
                    std::process::exit(0);
                }
                // The main thread listens until the process ends.
                if !is_sent {
                    return;
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(forward).map(drop)
    }

    /// Opens a control socket at `path`; its callers are events.
    ///
    /// # Errors
    /// If there is something at `path` that is not the socket of a Pollux that has ended, or as socket(2) and
    /// bind(2) give them.
    pub fn open_socket(&self, path: &Path) -> io::Result<SocketFile> {
        self.serve_socket(socket::open(path)?)
    }

    /// Opens a control socket beside `path`, and makes its callers events; [`SocketFile::take_place`] puts it
    /// there, whatever is there now.
    ///
    /// # Errors
    /// As socket(2) and bind(2) give them.
    pub fn open_socket_beside(&self, path: &Path) -> io::Result<SocketFile> {
        self.serve_socket(socket::open_beside(path)?)
    }

    fn serve_socket(&self, (listener, file): (UnixListener, SocketFile)) -> io::Result<SocketFile> {
        let sender = self.sender.clone();
        let serve = move || socket::serve(&listener, &sender);
        thread::Builder::new().name("control".into()).spawn(serve)?;
        Ok(file)
    }

    /// Opens the admin address, with the socket that another process has `handed` over if there is one; its
    /// callers are events too, as far as the main thread has to answer them.
    ///
    /// # Errors
    /// As bind(2) gives them, or if there can be no more threads.
    pub fn open_admin(
        &self,
        admin: &Admin,
        handed: Option<Handed>,
        readiness: &Readiness,
    ) -> io::Result<AdminDoor> {
        admin::open(admin, handed, readiness, &self.asks())
    }

    /// The way for other threads to ask the main thread.
    fn asks(&self) -> admin::Ask {
        let events = self.sender.clone();
        Arc::new(move |by, command| {
            let (sender, receiver) = sync_channel(1);
            events.send(ControlEvent::Call(Call::new(OperatorRequest { command }, by, sender))).ok()?;
            receiver.recv().ok()
        })
    }

    /// Starts a new process of the executable, as it is now, and hands it `sockets`. Its end is an event: it
    /// may lie on a disk that is slow.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn upgrade(&self, origin: &Origin, sockets: Inherited) -> Result<(), UpgradeError> {
        let (origin, sender) = (origin.clone(), self.sender.clone());
        let raise = move || {
            let outcome = Heir::start(&origin).and_then(|heir| heir.raise(sockets));
            // The main thread listens until the process ends.
            let _ = sender.send(ControlEvent::Upgraded(outcome));
        };
        thread::Builder::new().name("upgrade".into()).spawn(raise).map_err(UpgradeError::of)?;
        Ok(())
    }

    /// Has `job` done beside the main thread, for as long as that takes: [`ControlEvent::Done`] says when
    /// what it gives can be received.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn beside<T: Send + 'static>(
        &self,
        name: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Receiver<T>> {
        let (events, (sender, receiver)) = (self.sender.clone(), sync_channel(1));
        let run = move || {
            // If the job fails its end of the channel is closed, which is told too.
            let _done = Announcement(events);
            // The caller may have gone.
            let _ = sender.send(job());
        };
        thread::Builder::new().name(name.into()).spawn(run)?;
        Ok(receiver)
    }

    /// Begins to ask for the backends of what `server` serves that may change; `answers` are those that are
    /// known. Dropping the watcher ends it. The state of each question is in `discovery_status`.
    #[must_use]
    pub fn watch_discovery(
        &self,
        server: &Server,
        answers: &Answers,
        discovery_status: &Arc<DiscoveryStatus>,
    ) -> DiscoveryWatcher {
        DiscoveryWatcher::open(
            &self.sender,
            (&server.snapshot, &server.tls),
            &server.registry,
            answers,
            discovery_status,
        )
    }

    /// Waits for the next one, for at most `span` if one is given.
    pub fn next(&self, span: Option<Duration>) -> Option<ControlEvent> {
        self.heard.begin();
        match span {
            None => self.receiver.recv().ok(),
            Some(span) => self.receiver.recv_timeout(span).ok(),
        }
    }
}

/// Says that something is done, when it goes.
struct Announcement(SyncSender<ControlEvent>);

impl Drop for Announcement {
    fn drop(&mut self) {
        // The main thread listens until the process ends.
        let _ = self.0.send(ControlEvent::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_beside_is_an_event_even_if_it_fails() {
        let events = Events::default();
        let done = events.beside("test", || 7).unwrap();
        assert!(matches!(events.next(None), Some(ControlEvent::Done)));
        assert_eq!(done.try_recv(), Ok(7));
        let failed = events.beside("test", || -> u8 { panic!("as it is meant to") }).unwrap();
        assert!(matches!(events.next(None), Some(ControlEvent::Done)));
        assert!(failed.recv().is_err());
    }

    #[test]
    fn it_is_known_when_the_main_thread_begins_to_listen() {
        let events = Events::default();
        assert!(!events.heard.wait(Duration::ZERO));
        assert!(events.next(Some(Duration::ZERO)).is_none());
        assert!(events.heard.wait(Duration::ZERO));
    }
}
