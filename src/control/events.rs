//! What the main thread waits for: signals, and callers at the control socket. Each comes through a thread of its own.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::handover::{Heir, Origin, Successor, UpgradeError};
use super::inherited::Inherited;
use super::ledger::Ledger;
use super::lookout::{Discovered, Lookout};
use super::signals::{Asked, Signals, Taken};
use super::socket::{self, Reply, Request, SocketFile};
use crate::admin::{self, Admin, AdminDoor, Readiness};
use crate::discovery::Answers;
use crate::snapshot::Snapshot;

/// Events that wait for the main thread; whoever brings one more waits.
const WAITING_MAX: usize = 16;

/// Something that the main thread has to do with.
#[derive(Debug)]
pub enum Event {
    /// A signal has come.
    Signal(Asked),
    /// Somebody at the control socket wants something.
    Call(Call),
    /// A new process has taken over, or has not.
    Upgraded(Result<Successor, UpgradeError>),
    /// There are other backends than before.
    Discovered(Discovered),
}

/// A caller at the control socket, who waits.
#[derive(Debug)]
pub struct Call {
    /// What is wanted.
    pub request: Request,
    /// Who wants it.
    pub by: String,
    reply: SyncSender<Reply>,
}

impl Call {
    pub(super) fn new(request: Request, by: String, reply: SyncSender<Reply>) -> Call {
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
    sender: SyncSender<Event>,
    receiver: Receiver<Event>,
}

impl Default for Events {
    fn default() -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        Events { sender, receiver }
    }
}

impl Events {
    /// Takes over the signals that `taken` says; from now on they are events.
    ///
    /// # Errors
    /// As sigaction(2) gives them, or if there can be no more threads.
    pub fn take_over_signals(&self, taken: Taken) -> io::Result<()> {
        let (mut signals, sender) = (Signals::take_over(taken)?, self.sender.clone());
        let forward = move || {
            // The main thread listens until the process ends.
            while sender.send(Event::Signal(signals.wait())).is_ok() {}
        };
        thread::Builder::new().name("signals".into()).spawn(forward).map(drop)
    }

    /// Opens a control socket at `path`; its callers are events.
    ///
    /// # Errors
    /// If there is something at `path` that is not the socket of a Pollux that has ended, or as socket(2) and bind(2) give them.
    pub fn open_socket(&self, path: &Path) -> io::Result<SocketFile> {
        self.serve_socket(socket::open(path)?)
    }

    /// Opens a control socket beside `path`, and makes its callers events; [`SocketFile::take_place`] puts it there, whatever
    /// is there now.
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

    /// Opens the admin address; its callers are events too, as far as the main thread has to answer them.
    ///
    /// # Errors
    /// As bind(2) gives them, or if there can be no more threads.
    pub fn open_admin(&self, admin: &Admin, readiness: &Readiness) -> io::Result<AdminDoor> {
        admin::open(admin, readiness, &self.asks())
    }

    /// The same as soon as the process that has the address now gives it up.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn open_admin_when_free(&self, admin: &Admin, readiness: &Readiness) -> io::Result<AdminDoor> {
        admin::open_when_free(admin, readiness, &self.asks())
    }

    /// How others ask the main thread.
    fn asks(&self) -> admin::Ask {
        let events = self.sender.clone();
        Arc::new(move |by, command| {
            let (sender, receiver) = sync_channel(1);
            events.send(Event::Call(Call::new(Request { command }, by, sender))).ok()?;
            receiver.recv().ok()
        })
    }

    /// Starts a new process of the executable, as it is now, and hands it `sockets`. What becomes of it is an event. Gives its
    /// number.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn upgrade(&self, origin: &Origin, sockets: Inherited) -> Result<u32, UpgradeError> {
        let (heir, sender) = (Heir::start(origin)?, self.sender.clone());
        let pid = heir.pid();
        let raise = move || {
            // The main thread listens until the process ends.
            let _ = sender.send(Event::Upgraded(heir.raise(sockets)));
        };
        thread::Builder::new().name("upgrade".into()).spawn(raise).map_err(UpgradeError::of)?;
        Ok(pid)
    }

    /// Begins to ask for the backends of `snapshot` that may change; `answers` are those that are known. Dropping the lookout ends
    /// it. What comes of each question is in `ledger`.
    #[must_use]
    pub fn look_out(&self, snapshot: &Snapshot, answers: &Answers, ledger: &Arc<Ledger>) -> Lookout {
        Lookout::open(&self.sender, snapshot, answers, ledger)
    }

    /// Waits for the next one, for at most `span` if one is given.
    pub fn next(&self, span: Option<Duration>) -> Option<Event> {
        match span {
            None => self.receiver.recv().ok(),
            Some(span) => self.receiver.recv_timeout(span).ok(),
        }
    }
}
