//! A running Pollux: one thread for each worker, and the means to stop them.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::core::outcome::Journal;
use crate::os::{
    DESCRIPTORS_RESERVED, SysOs, bind, bind_to_core, probe, raise_descriptor_limit, return_buffers_of,
};
use crate::shared::neighbours::Neighbours;
use crate::snapshot::{Limits, Listener, Snapshot};
use crate::worker::{Poller, Setup, Share, Splicing, Turn, Worker};

/// Why Pollux did not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener's address could not be bound.
    Bind {
        /// The listener's name.
        listener: String,
        /// Its address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Two listeners have the same address.
    Taken {
        /// The second listener's name.
        listener: String,
        /// The first one's.
        other: String,
        /// The address of both.
        address: SocketAddr,
    },
    /// A thread or a pipe could not be made.
    System(io::Error),
    /// The descriptor limit leaves no room for a single session.
    Descriptors {
        /// The limit.
        limit: usize,
    },
}

/// The way out of what bind(2) complains about most.
const BIND_HELP: [(io::ErrorKind, &str); 3] = [
    (io::ErrorKind::AddrInUse, "; something listens there already: stop it, or choose another port"),
    (io::ErrorKind::PermissionDenied, "; ports below 1024 need privileges: choose a higher one"),
    (io::ErrorKind::AddrNotAvailable, "; this machine has no such address"),
];

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Taken { listener, other, address } => {
                write!(
                    f,
                    "the listeners `{other}` and `{listener}` both bind {address}; give one of them another port"
                )
            }
            StartError::Bind { listener, address, error } => {
                let help =
                    BIND_HELP.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, help)| help);
                write!(f, "listener `{listener}` cannot bind {address}: {error}{help}")
            }
            StartError::System(error) => write!(f, "cannot start the workers: {error}"),
            StartError::Descriptors { limit } => {
                write!(f, "a limit of {limit} open files leaves no room for clients; raise it (ulimit -n)")
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::System(error)
    }
}

/// The workers of a Pollux.
#[derive(Clone, Debug)]
pub struct Crew {
    /// How many there are, at least 1.
    pub threads: usize,
    /// How they wait for their connections.
    pub poller: Poller,
    /// When bodies go around the memory of the process. There are fewer pipes where there are few descriptors.
    pub splicing: Splicing,
    /// The cores that they are bound to, in turn; none if it is empty.
    pub cores: Vec<usize>,
}

impl Crew {
    /// So many workers, as a machine with nothing else to do would have them.
    #[must_use]
    pub fn of(threads: usize) -> Crew {
        Crew { threads, poller: Poller::default(), splicing: Splicing::default(), cores: Vec::new() }
    }

    /// What the worker with that number has to know of the crew.
    fn berth(&self, worker: usize) -> Berth {
        let core = self.cores.get(worker % self.cores.len().max(1)).copied();
        let share = Share { worker, workers: self.threads };
        Berth { share, poller: self.poller, splicing: self.splicing, core }
    }
}

/// A worker's place.
#[derive(Clone, Copy, Debug)]
struct Berth {
    share: Share,
    poller: Poller,
    splicing: Splicing,
    core: Option<usize>,
}

/// A running Pollux. Dropping it leaves the workers running; [`Server::drain`] and [`Server::join`] stop them.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    wakes: Vec<Arc<UnixStream>>,
    neighbours: Arc<Neighbours>,
    is_draining: Arc<AtomicBool>,
}

impl Server {
    /// Binds every listener of the snapshot and starts the workers of `crew`. `journal` makes the journal of each.
    ///
    /// Clients can connect when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing stays bound or running after one.
    pub fn start(
        mut snapshot: Snapshot,
        crew: &Crew,
        mut journal: impl FnMut() -> Box<dyn Journal + Send>,
    ) -> Result<Server, StartError> {
        let pipes = fit_into_descriptors(&mut snapshot, crew)?;
        return_buffers_of(snapshot.limits.buffer);
        let snapshot = Arc::new(snapshot);
        let (sockets, addresses) = bind_all(&snapshot, crew.threads)?;
        let mut server = Server {
            addresses,
            threads: Vec::new(),
            wakes: Vec::new(),
            neighbours: Neighbours::new(crew.threads),
            is_draining: Arc::default(),
        };
        for (worker, sockets) in sockets.into_iter().enumerate() {
            let mut berth = crew.berth(worker);
            berth.splicing.pipes = pipes;
            if let Err(error) = server.start_worker(berth, sockets, Arc::clone(&snapshot), journal()) {
                server.drain();
                let _ = server.join();
                return Err(error.into());
            }
        }
        Ok(server)
    }

    fn start_worker(
        &mut self,
        berth: Berth,
        sockets: Vec<OwnedFd>,
        snapshot: Arc<Snapshot>,
        journal: Box<dyn Journal + Send>,
    ) -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let ours = Arc::new(ours);
        let seat = self.neighbours.seat(berth.share.worker, Arc::clone(&ours));
        let is_draining = Arc::clone(&self.is_draining);
        let Berth { share, poller, splicing, core } = berth;
        let run = move || {
            if let Some(core) = core
                && let Err(error) = bind_to_core(core)
            {
                tracing::warn!(worker = share.worker, core, %error, "the worker cannot be bound to its core");
            }
            let mut os = SysOs::default();
            let wake = Some(os.adopt(theirs.into()));
            let listeners =
                sockets.into_iter().enumerate().map(|(index, fd)| (os.adopt(fd), index)).collect();
            let seed = share.worker as u64;
            let setup = Setup { snapshot, listeners, wake, share, poller, splicing, seed, journal };
            let mut worker = Worker::new(os, setup);
            worker.sit(seat);
            while worker.turn() == Turn::Running {
                if is_draining.load(Ordering::Relaxed) {
                    worker.drain();
                }
            }
        };
        self.threads.push(thread::Builder::new().name(format!("worker-{}", share.worker)).spawn(run)?);
        self.wakes.push(ours);
        Ok(())
    }

    /// Where each listener of the snapshot is bound, in its order; with the port that the kernel chose for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How many clients each worker has.
    #[must_use]
    pub fn sessions(&self) -> Vec<usize> {
        self.neighbours.sessions()
    }

    /// Makes the workers stop accepting and finish what is in flight, within `timeouts.drain`.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        for wake in &self.wakes {
            // A full pipe has woken the worker already, and a closed one has no worker.
            let _ = (&**wake).write(&[1]);
        }
    }

    /// Waits until every worker has ended; false if one of them panicked.
    #[must_use]
    pub fn join(self) -> bool {
        let joined: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        joined.iter().all(Result::is_ok)
    }

    /// Whether every worker has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// Room for fewer sessions than this is worth a word.
const SESSIONS_EXPECTED: usize = 1000;

/// The part of the descriptors that pipes for splice(2) may take: one in so many.
const PIPES_SHARE: usize = 16;

/// Raises the descriptor limit, and lowers the number of sessions to what it can hold: two for each. Gives the number of
/// pipes that a worker may have, each with two ends.
fn fit_into_descriptors(snapshot: &mut Snapshot, crew: &Crew) -> Result<usize, StartError> {
    let (limit, threads) = (raise_descriptor_limit(), crew.threads);
    let pipes = crew.splicing.pipes.min(limit / PIPES_SHARE / 2 / threads);
    // Every worker has a listening socket for each listener, a pipe to be woken by, and the lot.
    let fixed = DESCRIPTORS_RESERVED + threads * (snapshot.listeners.len() + 3 + 2 * pipes);
    let room = limit.saturating_sub(fixed) / 2;
    if room < threads {
        return Err(StartError::Descriptors { limit });
    }
    if room < snapshot.limits.sessions {
        // Whoever has not asked for a number of sessions need not be told of it, unless it is a small one.
        if snapshot.limits.sessions != Limits::default().sessions || room < SESSIONS_EXPECTED {
            tracing::warn!(
                sessions = room,
                asked = snapshot.limits.sessions,
                descriptors = limit,
                "limits.sessions lowered to what the limit of open files (ulimit -n) can hold"
            );
        }
        snapshot.limits.sessions = room;
    }
    Ok(pipes)
}

/// Binds each listener once for each worker.
fn bind_all(snapshot: &Snapshot, threads: usize) -> Result<(Vec<Vec<OwnedFd>>, Vec<SocketAddr>), StartError> {
    let mut sockets: Vec<Vec<OwnedFd>> = (0..threads).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for (index, listener) in snapshot.listeners.iter().enumerate() {
        let is_same = |other: &&Listener| other.bind == listener.bind && listener.bind.port() != 0;
        if let Some(other) = snapshot.listeners[..index].iter().find(is_same) {
            let (listener, other) = (listener.name.clone(), other.name.clone());
            return Err(StartError::Taken { listener, other, address: snapshot.listeners[index].bind });
        }
        let fail =
            |error| StartError::Bind { listener: listener.name.clone(), address: listener.bind, error };
        // SO_REUSEPORT would let a second Pollux share the port unnoticed.
        probe(listener.bind).map_err(fail)?;
        let mut address = listener.bind;
        for worker in &mut sockets {
            let (socket, bound) = bind(address).map_err(fail)?;
            address = bound;
            worker.push(socket);
        }
        addresses.push(address);
    }
    Ok((sockets, addresses))
}
