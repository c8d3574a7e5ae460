//! A running Pollux: one thread for each worker, and the means to stop them.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::access::Post;
use crate::core::outcome::Journal;
use crate::discovery::{self, Answers};
use crate::explain::Live;
use crate::metrics::{self, Around, Format, Totals};
use crate::os::{
    DESCRIPTORS_RESERVED, FileIdentity, Process, SysOs, bind_to_core, permit, raise_descriptor_limit,
    return_buffers_of,
};
use crate::recorder::Story;
use crate::shared::neighbours::Neighbours;
use crate::shared::pools::{Figures, Registry};
use crate::snapshot::{Address, Limits, Listener, Pool, Snapshot};
use crate::status::{Configuration, Crowd, Drain, Listening, Status, Traffic};
use crate::worker::{Change, Inlet, Poller, Setup, Share, Splicing, Turn, Worker};

use super::binding::{Present, bind_for, check_unique, kept, share_out};
use super::changes::Changes;
use super::inherited::Inherited;
use super::mailbox::{InletGiven, Mailbox, Order};
use super::reload::{ReloadError, Reloaded, hold_to_buffers};

/// Why Pollux did not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener's address could not be bound.
    Bind {
        /// The listener's name.
        listener: String,
        /// Its address.
        address: Address,
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
        address: Address,
    },
    /// A thread or a pipe could not be made.
    System(io::Error),
    /// What was to be done between binding and serving could not be.
    Bound(String),
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
            StartError::Bound(why) => f.write_str(why),
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

/// A question to every worker whether it still turns.
#[derive(Debug)]
pub struct Pulse {
    /// Those that have not answered yet.
    awaited: Vec<(usize, Receiver<()>)>,
}

/// A running Pollux. Dropping it leaves the workers running; [`Server::drain`] and [`Server::join`] stop them.
#[derive(Debug)]
pub struct Server {
    crew: Crew,
    /// What is served, as the workers have it.
    snapshot: Arc<Snapshot>,
    /// The pools as the configuration and what was found for it have them.
    pub(super) filed: Vec<Pool>,
    /// What an operator has laid over them.
    pub(super) changes: Changes,
    addresses: Vec<Address>,
    /// For each listener whether a service manager has its socket too: such a queue is never emptied, and never shut.
    lent: Vec<bool>,
    /// The files of the Unix sockets, which are to go with them.
    files: Files,
    threads: Vec<JoinHandle<()>>,
    mailboxes: Vec<Arc<Mailbox>>,
    neighbours: Arc<Neighbours>,
    registry: Arc<Registry>,
    started: Instant,
    /// When the configuration was loaded, and how many there were before it.
    loaded: Instant,
    reloads: u64,
    /// Where the lines of the access log go, if somebody said so.
    access_lines: Option<Post>,
    draining_since: Option<Instant>,
}

impl Server {
    /// Binds every listener of the snapshot and starts the workers of `crew`. `journal` makes the journal of each.
    ///
    /// Clients can connect when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing stays bound or running after one.
    pub fn start(
        snapshot: Snapshot,
        crew: &Crew,
        journal: impl FnMut() -> Box<dyn Journal + Send>,
    ) -> Result<Server, StartError> {
        let started = Server::start_with(snapshot, crew, Inherited::default(), || Ok(()), journal);
        started.map(|(server, _)| server)
    }

    /// The same with sockets that others have opened, for those listeners that can keep them. Gives the addresses of those
    /// that are of no use, which are closed here. Once everything is bound, and before anybody is served, `bound` is called.
    ///
    /// # Errors
    /// As [`Server::start`], and what `bound` says.
    pub fn start_with(
        mut snapshot: Snapshot,
        crew: &Crew,
        mut inherited: Inherited,
        bound: impl FnOnce() -> Result<(), String>,
        mut journal: impl FnMut() -> Box<dyn Journal + Send>,
    ) -> Result<(Server, Vec<Address>), StartError> {
        let pipes = fit_into_descriptors(&mut snapshot, crew)?;
        return_buffers_of(snapshot.limits.buffer);
        check_unique(&snapshot.listeners)?;
        let present = inherited.present();
        let places = kept(&present, &snapshot.listeners);
        let mut sockets: Vec<Vec<(OwnedFd, usize)>> = (0..crew.threads).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for (index, listener) in snapshot.listeners.iter().enumerate() {
            let handed = places[index].map(|place| (&present[place], inherited.take(place)));
            let (bound, address) = match handed {
                Some((present, handed)) if !handed.is_empty() => {
                    share_out(listener, crew.threads, present, handed)?
                }
                Some(_) | None => bind_for(listener, crew.threads, &present)?,
            };
            for (worker, bound) in sockets.iter_mut().zip(bound) {
                worker.extend(bound.into_iter().map(|socket| (socket, index)));
            }
            addresses.push(address);
        }
        let is_lent = |place: &Option<usize>| place.is_some_and(|place| present[place].is_lent);
        let lent = places.iter().map(is_lent).collect();
        let left: Vec<_> = (0..present.len()).filter(|place| !places.contains(&Some(*place))).collect();
        let left = left.into_iter().map(|place| present[place].address.clone()).collect();
        drop(inherited);
        bound().map_err(StartError::Bound)?;
        let snapshot = Arc::new(snapshot);
        let registry = Arc::new(Registry::default());
        registry.open(&snapshot);
        let mut server = Server {
            crew: crew.clone(),
            snapshot: Arc::clone(&snapshot),
            filed: snapshot.pools.clone(),
            changes: Changes::default(),
            files: files_of(&addresses),
            addresses,
            lent,
            threads: Vec::new(),
            mailboxes: Vec::new(),
            neighbours: Neighbours::new(crew.threads),
            registry,
            started: Instant::now(),
            loaded: Instant::now(),
            reloads: 0,
            access_lines: None,
            draining_since: None,
        };
        for (worker, sockets) in sockets.into_iter().enumerate() {
            let mut berth = crew.berth(worker);
            berth.splicing.pipes = pipes;
            if let Err(error) = server.start_worker(berth, sockets, Arc::clone(&snapshot), journal()) {
                // Sockets that were handed over are still somebody else's, and go on.
                server.drain_but(&[]);
                let _ = server.join();
                return Err(error.into());
            }
        }
        Ok((server, left))
    }

    fn start_worker(
        &mut self,
        berth: Berth,
        sockets: Vec<(OwnedFd, usize)>,
        snapshot: Arc<Snapshot>,
        journal: Box<dyn Journal + Send>,
    ) -> io::Result<()> {
        let (mailbox, wake) = Mailbox::open()?;
        let mailbox = Arc::new(mailbox);
        self.mailboxes.push(Arc::clone(&mailbox));
        let place = self.neighbours.seat(berth.share.worker, mailbox.wake());
        let registry = Arc::clone(&self.registry);
        if berth.share.worker == 0 {
            registry.bell().hang(mailbox.wake());
        }
        let caller = mailbox.wake();
        let identity = random()?;
        let Berth { share, poller, splicing, core } = berth;
        let run = move || {
            if let Some(core) = core
                && let Err(error) = bind_to_core(core)
            {
                tracing::warn!(worker = share.worker, core, %error, "the worker cannot be bound to its core");
            }
            let mut os = SysOs::default();
            let wake = Some(os.adopt(wake.into()));
            let listeners = sockets.into_iter().map(|(fd, listener)| (os.adopt(fd), listener)).collect();
            let seed = share.worker as u64;
            let setup = Setup {
                snapshot,
                listeners,
                wake,
                share,
                poller,
                splicing,
                seed,
                identity,
                journal,
                registry,
            };
            let mut worker = Worker::new(os, setup);
            let mut seen = 0;
            worker.sit(place);
            worker.be_called_by(caller);
            while worker.turn() == Turn::Running {
                for order in mailbox.take(&mut seen) {
                    obey(&mut worker, order);
                }
            }
        };
        self.threads.push(thread::Builder::new().name(format!("worker-{}", share.worker)).spawn(run)?);
        Ok(())
    }

    /// What is served now.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where each listener of the snapshot is bound, in its order; with the port that the kernel chose for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// How many clients each worker has.
    #[must_use]
    pub fn sessions(&self) -> Vec<usize> {
        self.neighbours.sessions()
    }

    /// What each pool is doing.
    #[must_use]
    pub fn pools(&self) -> Vec<Figures> {
        self.registry.figures()
    }

    /// Exchanges the configuration, and returns when every worker runs on the new one. Sockets that stay are kept, new ones
    /// are bound first, and nobody who is connected is disturbed.
    ///
    /// # Errors
    /// See [`ReloadError`]; everything stays as it was after one.
    pub fn reload(&mut self, snapshot: Snapshot) -> Result<Reloaded, ReloadError> {
        let (filed, mut changes) = (snapshot.pools, self.changes.clone());
        let dropped = changes.yield_to(&filed);
        let before = std::mem::replace(&mut self.changes, changes);
        let pools = self.with_changes(filed.clone());
        let mut reloaded =
            self.exchange(Snapshot { pools, ..snapshot }).inspect_err(|_| self.changes = before)?;
        (reloaded.dropped, reloaded.kept) = (dropped, self.changes.lines());
        self.filed = filed;
        (self.loaded, self.reloads) = (Instant::now(), self.reloads + 1);
        Ok(reloaded)
    }

    /// Fills the pools anew from their sources and `answers`, and returns when every worker knows the backends that there are now;
    /// `None` if they are the same as before. It is what a reload does, but the configuration is the same one. Backends that are
    /// gone end what they have in flight.
    ///
    /// # Errors
    /// As [`Server::reload`].
    pub fn refill(&mut self, answers: &Answers) -> Result<Option<Reloaded>, ReloadError> {
        let mut filed = self.filed.clone();
        filed.iter_mut().for_each(|pool| discovery::fill(pool, answers));
        let pools = self.with_changes(filed.clone());
        self.filed = filed;
        if pools == self.snapshot.pools {
            return Ok(None);
        }
        self.exchange(Snapshot { pools, ..Snapshot::clone(&self.snapshot) }).map(Some)
    }

    /// The pools with what an operator has changed.
    pub(super) fn with_changes(&self, mut pools: Vec<Pool>) -> Vec<Pool> {
        self.changes.lay_over(&mut pools);
        pools
    }

    /// The mailbox of that worker, if there is one.
    pub(super) fn mailbox(&self, worker: usize) -> Option<&Mailbox> {
        self.mailboxes.get(worker).map(Arc::as_ref)
    }

    pub(super) fn exchange(&mut self, mut snapshot: Snapshot) -> Result<Reloaded, ReloadError> {
        if self.draining_since.is_some() {
            return Err(ReloadError::Draining);
        }
        let later = hold_to_buffers(&mut snapshot.limits, self.snapshot.limits.buffer);
        fit_into_descriptors(&mut snapshot, &self.crew)?;
        check_unique(&snapshot.listeners)?;
        let mut reloaded = Reloaded { later, ..Reloaded::between(&self.snapshot, &snapshot) };
        let present = self.present();
        let places = kept(&present, &snapshot.listeners);
        let (inlets, addresses) = self.inlets(&snapshot, &present, &places, &mut reloaded)?;
        // What is the manager's is given back as it is.
        let is_given_back = |place: usize| self.lent[place] && !places.contains(&Some(place));
        let gone = (0..present.len()).filter(|place| !places.contains(&Some(*place)) && !self.lent[*place]);
        gone.for_each(|place| self.remove_file(&present[place].address));
        let given_back: Arc<[bool]> = (0..present.len()).map(is_given_back).collect();
        self.lent = places.iter().map(|place| place.is_some_and(|place| present[place].is_lent)).collect();
        self.snapshot = Arc::new(snapshot);
        // The tables of the pools are made here, where nobody waits.
        self.registry.open(&self.snapshot);
        self.files = files_of(&addresses);
        self.addresses = addresses;
        let (done, are_done) = channel();
        for (mailbox, inlets) in self.mailboxes.iter().zip(inlets) {
            let snapshot = Arc::clone(&self.snapshot);
            let given_back = Arc::clone(&given_back);
            mailbox.post(Order::Switch { snapshot, inlets, given_back, done: done.clone() });
        }
        if self.gather(&are_done, self.threads.len()).len() < self.threads.len() {
            tracing::error!("a worker has ended by itself, and takes part in no reload");
        }
        Ok(reloaded)
    }

    /// Binds what is new of the listeners of `snapshot`: gives the inlets of each worker, and the addresses.
    fn inlets(
        &self,
        snapshot: &Snapshot,
        present: &[Present],
        places: &[Option<usize>],
        reloaded: &mut Reloaded,
    ) -> Result<(Vec<Vec<InletGiven>>, Vec<Address>), StartError> {
        let mut inlets: Vec<Vec<InletGiven>> = self.mailboxes.iter().map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for (listener, place) in snapshot.listeners.iter().zip(places) {
            if let Some(place) = *place {
                inlets.iter_mut().for_each(|worker| worker.push(InletGiven::Kept(place)));
                addresses.push(self.addresses[place].clone());
                permit_anew(listener);
                continue;
            }
            let (sockets, address) = bind_for(listener, inlets.len(), present)?;
            for (worker, sockets) in inlets.iter_mut().zip(sockets) {
                worker.extend(sockets.into_iter().map(InletGiven::New));
            }
            reloaded.opened.push(format!("{} on {address}", listener.name));
            addresses.push(address);
        }
        let closed = (0..present.len()).filter(|place| !places.contains(&Some(*place)));
        reloaded.closed =
            closed.map(|at| format!("{} on {}", present[at].name, present[at].address)).collect();
        Ok((inlets, addresses))
    }

    /// What `asked` workers say; without what those would have said that have ended meanwhile.
    fn gather<T>(&self, answers: &Receiver<T>, asked: usize) -> Vec<T> {
        /// How long nothing may come before it is asked who still runs.
        const STEP: Duration = Duration::from_millis(100);
        let mut said = Vec::new();
        while said.len() < asked {
            match answers.recv_timeout(STEP) {
                Ok(answer) => said.push(answer),
                Err(_) if self.threads.iter().any(JoinHandle::is_finished) => break,
                Err(_) => {}
            }
        }
        said
    }

    /// The state of each worker that its next decisions depend on; they all run on [`Server::snapshot`].
    #[must_use]
    pub fn live(&self) -> Vec<Live> {
        let mut live = self.ask(|to| Order::Live { to });
        live.sort_by_key(|live| live.worker);
        live
    }

    /// The exchanges that the workers remember, the last one first.
    #[must_use]
    pub fn stories(&self) -> Vec<Story> {
        let mut stories: Vec<Story> = self.ask(|to| Order::Stories { to }).into_iter().flatten().collect();
        stories.sort_by_key(|story| story.ago_ms);
        stories
    }

    /// Asks every worker that still runs, and waits for what they say.
    pub(super) fn ask<T>(&self, order: impl Fn(Sender<T>) -> Order) -> Vec<T> {
        let (to, answers) = channel();
        let running = self.threads.iter().zip(&self.mailboxes).filter(|(thread, _)| !thread.is_finished());
        let asked = running.map(|(_, mailbox)| mailbox.post(order(to.clone()))).count();
        self.gather(&answers, asked)
    }

    /// Asks every worker whether it still turns, and does not wait; see [`Server::is_back`].
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let ask = |(worker, mailbox): (usize, &Arc<Mailbox>)| {
            let (to, answer) = channel();
            mailbox.post(Order::Ping { to });
            (worker, answer)
        };
        Pulse { awaited: self.mailboxes.iter().enumerate().map(ask).collect() }
    }

    /// Whether every worker has answered to `pulse` by now. In a drain one that has ended needs not.
    #[must_use]
    pub fn is_back(&self, pulse: &mut Pulse) -> bool {
        let has_ended = |worker: usize| self.draining_since.is_some() && self.threads[worker].is_finished();
        pulse.awaited.retain(|(worker, answer)| answer.try_recv().is_err() && !has_ended(*worker));
        pulse.awaited.is_empty()
    }

    /// Since when it runs on its configuration. Which file that was is for the caller to say.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        Configuration { file: None, loaded_ms: ms(self.loaded.elapsed()), reloads: self.reloads }
    }

    /// What it is at: asks every worker that still runs, and waits for the answers, which come between two turns.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut reports = self.ask(|to| Order::Report { to });
        reports.sort_by_key(|report| report.worker.number);
        let mut crowd = Crowd::default();
        let workers = reports.into_iter().map(|report| {
            crowd.join(report.crowd);
            report.worker
        });
        let workers: Vec<_> = workers.collect();
        let listeners = self.snapshot.listeners.iter().zip(&self.addresses);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_ms: ms(self.started.elapsed()),
            configuration: self.configuration(),
            listeners: listeners
                .map(|(listener, address)| Listening {
                    name: listener.name.clone(),
                    address: address.to_string(),
                    mode: listener.mode.to_string(),
                })
                .collect(),
            workers_silent: self.threads.len() - workers.len(),
            workers,
            crowd,
            pools: super::health::pools(
                &self.snapshot,
                &self.registry.open(&self.snapshot),
                crate::os::now(),
            ),
            traffic: Traffic::of(&self.totals()),
            changes: self.changes.tell(),
            log: None,
            // Who asks for backends is not known here.
            sources: Vec::new(),
            drain: self.draining_since.map(|since| Drain {
                since_ms: ms(since.elapsed()),
                left_ms: ms(self.snapshot.timeouts.drain.saturating_sub(since.elapsed())),
            }),
        }
    }

    /// Its metrics, as Prometheus reads them. No worker is asked: they show what they count.
    #[must_use]
    pub fn metrics(&self, format: Format) -> String {
        metrics::page(&self.totals(), &self.around(), format)
    }

    /// What all workers have counted since they began.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.registry.metrics().totals()
    }

    /// Has the page tell what becomes of the lines that go that way.
    pub fn tell_of_lines(&mut self, post: Post) {
        self.access_lines = Some(post);
    }

    fn around(&self) -> Around {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let before = |moment: Instant| since_1970.saturating_sub(moment.elapsed());
        let limits = &self.snapshot.limits;
        let pools = self.registry.open(&self.snapshot);
        Around {
            version: env!("CARGO_PKG_VERSION"),
            workers: self.threads.iter().filter(|thread| !thread.is_finished()).count(),
            is_draining: self.draining_since.is_some(),
            loaded: before(self.loaded),
            reloads: self.reloads,
            access_lines: self.access_lines.as_ref().map(Post::counts).unwrap_or_default(),
            sessions_max: limits.sessions,
            buffers_max: limits.buffers,
            pools: super::scrape::pools(&self.snapshot, &pools),
            backends: super::scrape::backends(&self.snapshot, &pools, crate::os::now()),
            certificates: super::certificates::expiries(&self.snapshot),
            process: Process::now().map(|process| Process { started: before(self.started), ..process }),
        }
    }

    /// Takes away the file of a Unix socket that nobody will listen on any more.
    fn remove_file(&self, address: &Address) {
        if let (Address::Unix(path), Some(file)) = (address, self.files.get(address)) {
            file.remove(path);
        }
    }

    /// What is bound.
    fn present(&self) -> Vec<Present> {
        let listeners = self.snapshot.listeners.iter().zip(&self.addresses).zip(&self.lent);
        let present = |((listener, address), is_lent): ((&Listener, &Address), &bool)| Present {
            name: listener.name.clone(),
            bind: listener.bind.clone(),
            address: address.clone(),
            v6only: listener.socket.v6only,
            interface: listener.socket.interface.clone(),
            is_lent: *is_lent,
        };
        listeners.map(present).collect()
    }

    /// Copies of the sockets by which clients come in, all of them, for another process.
    ///
    /// # Errors
    /// If a worker has ended, or there are no descriptors left.
    pub fn hand_out(&self) -> io::Result<Inherited> {
        let mut inherited = Inherited::of(self.present());
        let given = self.ask(|to| Order::Doors { to });
        if given.len() < self.threads.len() {
            return Err(io::Error::other("a worker has ended"));
        }
        for doors in given {
            doors?.into_iter().for_each(|(socket, listener)| inherited.add(listener, socket));
        }
        Ok(inherited)
    }

    /// Makes the workers stop accepting and finish what is in flight, within `timeouts.drain`.
    pub fn drain(&mut self) {
        let all = self.addresses.clone();
        self.drain_but(&all);
    }

    /// The same where another process has taken all sockets over but those that listen on `left`.
    pub fn drain_but(&mut self, left: &[Address]) {
        self.draining_since.get_or_insert_with(Instant::now);
        for (address, is_lent) in self.addresses.iter().zip(&self.lent) {
            if left.contains(address) && !is_lent {
                self.remove_file(address);
            }
        }
        let addresses = self.addresses.iter().zip(&self.lent);
        let handed = addresses.map(|(address, is_lent)| *is_lent || !left.contains(address));
        let handed: Arc<[bool]> = handed.collect();
        for mailbox in &self.mailboxes {
            mailbox.post(Order::Drain { handed: Arc::clone(&handed) });
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

/// The files of Unix sockets.
type Files = HashMap<Address, FileIdentity>;

fn files_of(addresses: &[Address]) -> Files {
    let file = |address: &Address| match address {
        Address::Unix(path) => Some((address.clone(), FileIdentity::of(path)?)),
        Address::Ip(_) => None,
    };
    addresses.iter().filter_map(file).collect()
}

/// Gives a Unix socket that is kept what is now said of its owner and mode.
fn permit_anew(listener: &Listener) {
    if let Address::Unix(path) = &listener.bind
        && let Err(error) = permit(path, &listener.socket.permissions)
    {
        tracing::warn!(listener = listener.name, %error, "the owner or the mode of its socket stays as it was");
    }
}

/// Does what the control thread asks of a worker.
fn obey(worker: &mut Worker<SysOs>, order: Order) {
    match order {
        Order::Drain { handed } => {
            worker.give_up_doors(|listener| handed.get(listener).is_some_and(|is_handed| *is_handed));
            worker.drain();
        }
        Order::Doors { to } => {
            let doors: Vec<_> = worker.doors().collect();
            let os = worker.os_mut();
            let copy = |(fd, listener)| os.duplicate(fd).map(|socket| (socket, listener));
            let _ = to.send(doors.into_iter().map(copy).collect());
        }
        // Whoever asked may have lost patience.
        Order::Report { to } => drop(to.send(worker.report())),
        Order::List { ask, to } => drop(to.send(worker.list(&ask))),
        Order::Kill { key, to } => drop(to.send(worker.kill(key))),
        Order::Ping { to } => drop(to.send(())),
        Order::Stories { to } => drop(to.send(worker.stories())),
        Order::Live { to } => drop(to.send(worker.live())),
        Order::Switch { snapshot, inlets, given_back, done } => {
            worker.give_up_doors(|listener| given_back.get(listener).is_some_and(|is_given| *is_given));
            let os = worker.os_mut();
            let inlet = |given| match given {
                InletGiven::New(socket) => Inlet::New(os.adopt(socket)),
                InletGiven::Kept(place) => Inlet::Kept(place),
            };
            let inlets = inlets.into_iter().map(inlet).collect();
            worker.switch(Change { snapshot, inlets });
            // Whoever asked may have lost patience.
            let _ = done.send(());
        }
    }
}

/// A number that nobody can guess.
fn random() -> io::Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no random number: {error}")))?;
    Ok(u128::from_ne_bytes(bytes))
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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
