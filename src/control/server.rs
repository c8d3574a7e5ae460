//! A running Pollux: one thread for each worker, and the means to stop them.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::binding::{Fresh, Present, bind_for, blame_passed, check_unique, kept, look_at_files, share_out};
use super::changes::Changes;
use super::inherited::Inherited;
use super::mailbox::{InletGiven, Mailbox, Order};
use super::moment::Moment;
use super::reload::{ReloadError, Reloaded, hold_to_buffers};
use super::start_error::StartError;
use super::workers::{Workers, fit_into_descriptors};
use crate::access::Post;
use crate::core::outcome::Journal;
use crate::discovery::{self, Answers};
use crate::os::{FileIdentity, permit, return_buffers_of};
use crate::shared::authority::Authority;
use crate::shared::pools::{Figures, Registry};
use crate::shared::rebalance::WorkerLoads;
use crate::snapshot::{Address, Listener, Pool, Snapshot};
use crate::tls::{Handles, ServedSnapshot};

/// The inlets of each worker; the address and the socket's file of each listener.
struct Inlets {
    inlets: Vec<Vec<InletGiven>>,
    addresses: Vec<Address>,
    files: Vec<Option<FileIdentity>>,
}

/// A running Pollux. Dropping it leaves the workers running; [`Server::drain`] and [`Server::join`] stop
/// them.
#[derive(Debug)]
pub struct Server {
    pub(super) worker_setup: Workers,
    /// The snapshot that the workers serve.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) tls: Arc<Handles>,
    /// The pools as the configuration and what was found for it have them.
    pub(super) filed: Vec<Pool>,
    /// The changes of an operator on top of it.
    pub(super) changes: Changes,
    pub(super) addresses: Vec<Address>,
    /// For each listener whether a service manager has its socket too: such a queue is never emptied, and
    /// never shut.
    pub(super) lent: Vec<bool>,
    /// The files of the Unix sockets, which are to go with them.
    pub(super) files: Vec<Option<FileIdentity>>,
    /// The addresses that this process has bound at its start: no other process has their sockets.
    bound: Vec<Address>,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
    pub(super) worker_loads: Arc<WorkerLoads>,
    pub(super) registry: Arc<Registry>,
    pub(super) started: Moment,
    /// When the configuration was loaded, and how many there were before it.
    pub(super) loaded: Moment,
    pub(super) reloads: u64,
    /// Where the lines of the access log go, if that is configured.
    pub(super) access_lines: Option<Post>,
    pub(super) draining_since: Option<Instant>,
}

/// Each rule for TLS needs what was made of it: nothing goes on without.
fn check_made(snapshot: &Snapshot, tls: &Handles) -> Result<(), StartError> {
    let missing = tls.missing(snapshot);
    missing.map_or(Ok(()), |name| Err(StartError::Tls { name: name.to_owned() }))
}

impl Server {
    /// Binds every listener of the snapshot and starts the workers of `worker_setup`. `journal` makes the journal of
    /// each.
    ///
    /// Clients can connect when this returns.
    ///
    /// # Errors
    /// See [`StartError`]; nothing stays bound or running after one.
    pub fn start(
        served: impl Into<ServedSnapshot>,
        worker_setup: &Workers,
        journal: impl FnMut() -> Box<dyn Journal + Send>,
    ) -> Result<Server, StartError> {
        let started = Server::start_with(served, worker_setup, Inherited::default(), || Ok(()), journal);
        started.map(|(server, _)| server)
    }

    /// Starts with sockets that other processes opened, for the listeners that can keep them. Returns the
    /// addresses of unused sockets, which are closed here. Once everything is bound, and before the first
    /// client is served, `bound` is called.
    ///
    /// # Errors
    /// As [`Server::start`], and what `bound` says.
    pub fn start_with(
        served: impl Into<ServedSnapshot>,
        worker_setup: &Workers,
        mut inherited: Inherited,
        bound: impl FnOnce() -> Result<(), String>,
        mut journal: impl FnMut() -> Box<dyn Journal + Send>,
    ) -> Result<(Server, Vec<Address>), StartError> {
        let ServedSnapshot { mut snapshot, tls } = served.into();
        check_made(&snapshot, &tls)?;
        let pipes = fit_into_descriptors(&mut snapshot, worker_setup)?;
        return_buffers_of(snapshot.limits.buffer);
        check_unique(&snapshot.listeners)?;
        let filed = snapshot.pools.clone();
        let changes = still_valid(std::mem::take(&mut inherited.changes), &filed);
        changes.lay_over(&mut snapshot.pools);
        let mut present = inherited.present();
        look_at_files(&mut present);
        let places = kept(&present, &snapshot.listeners);
        let mut sockets: Vec<Vec<(OwnedFd, usize)>> = (0..worker_setup.threads).map(|_| Vec::new()).collect();
        let (mut addresses, mut files, mut fresh) = (Vec::new(), Vec::new(), Fresh::default());
        for (index, listener) in snapshot.listeners.iter().enumerate() {
            let handed = places[index].map(|place| (&present[place], inherited.take(place)));
            let bound = match handed {
                Some((present, handed)) if !handed.is_empty() => {
                    share_out(listener, worker_setup.threads, present, handed)?
                }
                Some(_) | None => {
                    let bound = bind_for(listener, worker_setup.threads, &present)
                        .map_err(|error| blame_passed(error, &present, &places))?;
                    fresh.note(&bound);
                    bound
                }
            };
            for (worker, bound) in sockets.iter_mut().zip(bound.sockets) {
                worker.extend(bound.into_iter().map(|socket| (socket, index)));
            }
            addresses.push(bound.address);
            files.push(bound.file);
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
            worker_setup: worker_setup.clone(),
            snapshot: Arc::clone(&snapshot),
            tls: Arc::clone(&tls),
            filed,
            changes,
            files,
            bound: unplaced(&places, &addresses),
            addresses,
            lent,
            threads: Vec::new(),
            mailboxes: Vec::new(),
            worker_loads: WorkerLoads::new(worker_setup.threads),
            registry,
            started: Moment::now(),
            loaded: Moment::now(),
            reloads: 0,
            access_lines: None,
            draining_since: None,
        };
        for (worker, sockets) in sockets.into_iter().enumerate() {
            let mut berth = worker_setup.berth(worker);
            berth.splicing.pipes = pipes;
            if let Err(error) =
                server.start_worker(berth, sockets, (Arc::clone(&snapshot), Arc::clone(&tls)), journal())
            {
                server.withdraw();
                return Err(error.into());
            }
        }
        fresh.keep();
        Ok((server, left))
    }

    /// The snapshot that is served now.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where each listener of the snapshot is bound, in its order; with the port that the kernel chose for
    /// port 0.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// From now on `authority` is asked where a policy of a route wants one. The first one stays.
    pub fn rely_on(&self, authority: Arc<dyn Authority>) {
        self.registry.rely_on(authority);
    }

    /// The number of clients of each worker.
    #[must_use]
    pub fn sessions(&self) -> Vec<usize> {
        self.worker_loads.sessions()
    }

    /// The state of each pool.
    #[must_use]
    pub fn pools(&self) -> Vec<Figures> {
        self.registry.figures()
    }

    /// Exchanges the configuration, and returns when every worker runs on the new one. Sockets that stay are
    /// kept, new ones are bound first, and connected clients are not disturbed.
    ///
    /// # Errors
    /// See [`ReloadError`]; everything stays as it was after one.
    pub fn reload(&mut self, served: impl Into<ServedSnapshot>) -> Result<Reloaded, ReloadError> {
        let ServedSnapshot { snapshot, tls } = served.into();
        let (filed, mut changes) = (snapshot.pools, self.changes.clone());
        let dropped = changes.yield_to(&filed);
        let before = std::mem::replace(&mut self.changes, changes);
        let pools = self.with_changes(filed.clone());
        let mut reloaded = self
            .exchange(ServedSnapshot { snapshot: Snapshot { pools, ..snapshot }, tls })
            .inspect_err(|_| self.changes = before)?;
        (reloaded.dropped, reloaded.kept) = (dropped, self.changes.lines());
        self.filed = filed;
        (self.loaded, self.reloads) = (Moment::now(), self.reloads + 1);
        Ok(reloaded)
    }

    /// Fills the pools anew from their sources and `answers`, and returns when every worker knows the
    /// backends that there are now; `None` if they are the same as before. It is what a reload does, but the
    /// configuration is the same one. Backends that are gone end what they have in flight.
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
        let snapshot = Snapshot { pools, ..Snapshot::clone(&self.snapshot) };
        self.exchange(ServedSnapshot { snapshot, tls: Arc::clone(&self.tls) }).map(Some)
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

    pub(super) fn exchange(&mut self, served: ServedSnapshot) -> Result<Reloaded, ReloadError> {
        let ServedSnapshot { mut snapshot, tls } = served;
        if self.draining_since.is_some() {
            return Err(ReloadError::Draining);
        }
        let later = hold_to_buffers(&mut snapshot.limits, self.snapshot.limits.buffer);
        check_made(&snapshot, &tls)?;
        fit_into_descriptors(&mut snapshot, &self.worker_setup)?;
        check_unique(&snapshot.listeners)?;
        let mut reloaded = Reloaded { later, ..Reloaded::between(&self.snapshot, &snapshot) };
        let mut present = self.present();
        look_at_files(&mut present);
        let places = kept(&present, &snapshot.listeners);
        let Inlets { inlets, addresses, files } = self.inlets(&snapshot, &present, &places, &mut reloaded)?;
        // A socket of the manager is given back as it is.
        let is_given_back = |place: usize| self.lent[place] && !places.contains(&Some(place));
        let gone = (0..present.len()).filter(|place| !places.contains(&Some(*place)) && !self.lent[*place]);
        gone.for_each(|place| self.remove_file(place));
        let given_back: Arc<[bool]> = (0..present.len()).map(is_given_back).collect();
        self.lent = places.iter().map(|place| place.is_some_and(|place| present[place].is_lent)).collect();
        (self.snapshot, self.tls) = (Arc::new(snapshot), tls);
        // The tables of the pools are made here, where no client waits.
        self.registry.open(&self.snapshot);
        (self.addresses, self.files) = (addresses, files);
        let (done, are_done) = channel();
        for (mailbox, inlets) in self.mailboxes.iter().zip(inlets) {
            let (snapshot, tls) = (Arc::clone(&self.snapshot), Arc::clone(&self.tls));
            let given_back = Arc::clone(&given_back);
            mailbox.post(Order::Switch { snapshot, tls, inlets, given_back, done: done.clone() });
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
    ) -> Result<Inlets, StartError> {
        let mut inlets: Vec<Vec<InletGiven>> = self.mailboxes.iter().map(|_| Vec::new()).collect();
        let (mut addresses, mut files, mut fresh) = (Vec::new(), Vec::new(), Fresh::default());
        for (listener, place) in snapshot.listeners.iter().zip(places) {
            if let Some(place) = *place {
                inlets.iter_mut().for_each(|worker| worker.push(InletGiven::Kept(place)));
                addresses.push(self.addresses[place].clone());
                files.push(present[place].file);
                continue;
            }
            let bound = bind_for(listener, inlets.len(), present)
                .map_err(|error| blame_passed(error, present, places))?;
            fresh.note(&bound);
            for (worker, sockets) in inlets.iter_mut().zip(bound.sockets) {
                worker.extend(sockets.into_iter().map(InletGiven::New));
            }
            reloaded.opened.push(format!("{} on {}", listener.name, bound.address));
            addresses.push(bound.address);
            files.push(bound.file);
        }
        // When everything else can be had, because it cannot be taken back.
        for (listener, place) in snapshot.listeners.iter().zip(places) {
            if let Some(place) = *place {
                permit_anew(listener, &present[place])?;
            }
        }
        fresh.keep();
        let closed = (0..present.len()).filter(|place| !places.contains(&Some(*place)));
        reloaded.closed =
            closed.map(|at| format!("{} on {}", present[at].name, present[at].address)).collect();
        Ok(Inlets { inlets, addresses, files })
    }

    /// The answers of `asked` workers, without those of workers that have ended meanwhile.
    fn gather<T>(&self, answers: &Receiver<T>, asked: usize) -> Vec<T> {
        /// The time without an answer after which the server looks for workers that have ended.
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

    /// Asks every worker that still runs, and waits for what they say.
    pub(super) fn ask<T>(&self, order: impl Fn(Sender<T>) -> Order) -> Vec<T> {
        let (to, answers) = channel();
        let running = self.threads.iter().zip(&self.mailboxes).filter(|(thread, _)| !thread.is_finished());
        let asked = running.map(|(_, mailbox)| mailbox.post(order(to.clone()))).count();
        self.gather(&answers, asked)
    }

    /// Removes the file of a Unix socket on which no process listens any more.
    fn remove_file(&self, place: usize) {
        if let (Address::Unix(path), Some(file)) = (&self.addresses[place], self.files[place]) {
            file.remove(path);
        }
    }

    /// The files of its Unix sockets.
    #[must_use]
    pub fn socket_files(&self) -> Vec<PathBuf> {
        let path = |address: &Address| match address {
            Address::Unix(path) => Some(path.clone()),
            Address::Ip(_) => None,
        };
        self.addresses.iter().filter_map(path).collect()
    }

    /// The bound addresses.
    fn present(&self) -> Vec<Present> {
        let present = |(place, listener): (usize, &Listener)| Present {
            name: listener.name.clone(),
            bind: listener.bind.clone(),
            address: self.addresses[place].clone(),
            v6only: listener.socket.v6only,
            interface: listener.socket.interface.clone(),
            is_lent: self.lent[place],
            file: self.files[place],
            is_gone: false,
        };
        self.snapshot.listeners.iter().enumerate().map(present).collect()
    }

    /// Copies of the sockets by which clients come in, all of them, for another process.
    ///
    /// # Errors
    /// If a worker has ended, or there are no descriptors left.
    pub fn hand_out(&self) -> io::Result<Inherited> {
        let mut inherited = Inherited::of(self.present(), self.changes.clone());
        let given = self.ask(|to| Order::Doors { to });
        if given.len() < self.threads.len() {
            return Err(io::Error::other("a worker has ended"));
        }
        for acceptors in given {
            acceptors?.into_iter().for_each(|(socket, listener)| inherited.add(listener, socket));
        }
        Ok(inherited)
    }

    /// Makes the workers stop accepting and finish what is in flight, within `timeouts.drain`.
    pub fn drain(&mut self) {
        let all = self.addresses.clone();
        self.drain_but(&all);
    }

    /// Drains when another process has taken over all sockets but those that listen on `left`.
    pub fn drain_but(&mut self, left: &[Address]) {
        self.draining_since.get_or_insert_with(Instant::now);
        for (place, address) in self.addresses.iter().enumerate() {
            if left.contains(address) && !self.lent[place] {
                self.remove_file(place);
            }
        }
        let addresses = self.addresses.iter().zip(&self.lent);
        let handed = addresses.map(|(address, is_lent)| *is_lent || !left.contains(address));
        let handed: Arc<[bool]> = handed.collect();
        for mailbox in &self.mailboxes {
            mailbox.post(Order::Drain { handed: Arc::clone(&handed) });
        }
    }

    /// Ends a process that has not taken over: sockets that were handed to it are still open in this process,
    /// and go on; those that it has bound itself go with their files.
    pub fn withdraw(mut self) {
        let bound = self.bound.clone();
        self.drain_but(&bound);
        let _ = self.join();
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

/// The changes that still apply: the configuration, which has the pools `filed`, says the same as when they
/// were made.
fn still_valid(mut changes: Changes, filed: &[Pool]) -> Changes {
    for told in changes.yield_to(filed) {
        tracing::warn!("no longer changed: {told}");
    }
    for line in changes.lines() {
        tracing::info!("still changed: {line}");
    }
    changes
}

/// The addresses of the listeners for which there was no socket.
fn unplaced(places: &[Option<usize>], addresses: &[Address]) -> Vec<Address> {
    let unplaced = places.iter().zip(addresses).filter(|(place, _)| place.is_none());
    unplaced.map(|(_, address)| address.clone()).collect()
}

/// Gives a Unix socket that is kept what is now said of its owner and mode.
fn permit_anew(listener: &Listener, present: &Present) -> Result<(), StartError> {
    let (Address::Unix(path), Some(file)) = (&listener.bind, present.file) else { return Ok(()) };
    permit(path, file, &listener.socket.permissions).map_err(|error| StartError::Permissions {
        listener: listener.name.clone(),
        address: listener.bind.clone(),
        error,
    })
}
