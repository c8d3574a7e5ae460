//! The thread of a worker: turns, and what it is asked for between them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use super::mailbox::{InletGiven, Mailbox, Order};
use super::privileges;
use super::server::Server;
use super::workers::Berth;
use crate::core::outcome::Journal;
use crate::os::{self, SysOs, bind_to_core};
use crate::snapshot::Snapshot;
use crate::tls::Handles;
use crate::worker::{GenerationChange, Inlet, Setup, Turn, Worker};

impl Server {
    pub(super) fn start_worker(
        &mut self,
        berth: Berth,
        sockets: Vec<(OwnedFd, usize)>,
        (snapshot, tls): (Arc<Snapshot>, Arc<Handles>),
        journal: Box<dyn Journal + Send>,
    ) -> io::Result<()> {
        let (mailbox, wake) = Mailbox::open()?;
        let mailbox = Arc::new(mailbox);
        self.mailboxes.push(Arc::clone(&mailbox));
        let place = self.worker_loads.open_slot(berth.share.worker, mailbox.wake());
        let registry = Arc::clone(&self.registry);
        if berth.share.worker == 0 {
            registry.waker().hang(mailbox.wake());
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
            if let Err(error) = privileges::renounce() {
                tracing::warn!(worker = share.worker, %error, "the worker keeps capabilities that it has no use for");
            }
            let mut os = SysOs::default();
            let wake = Some(os.adopt(wake.into()));
            let listeners = sockets.into_iter().map(|(fd, listener)| (os.adopt(fd), listener)).collect();
            let seed = share.worker as u64;
            let setup = Setup {
                snapshot,
                tls,
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
            worker.set_load_slot(place);
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
}

/// Does what the control thread asks of a worker.
fn obey(worker: &mut Worker<SysOs>, order: Order) {
    match order {
        Order::Drain { handed } => {
            worker.give_up_acceptors(|listener| handed.get(listener).is_some_and(|is_handed| *is_handed));
            worker.drain();
        }
        Order::Doors { to } => {
            let acceptors: Vec<_> = worker.acceptors().collect();
            let os = worker.os_mut();
            let copy = |(fd, listener)| os.duplicate(fd).map(|socket| (socket, listener));
            let _ = to.send(acceptors.into_iter().map(copy).collect());
        }
        // The caller may have gone.
        Order::Report { to } => drop(to.send(worker.report())),
        Order::List { ask, to } => drop(to.send(worker.list(&ask))),
        Order::Kill { key, to } => drop(to.send(worker.kill(key))),
        Order::Ping { to } => drop(to.send(())),
        Order::Stories { to } => drop(to.send(worker.stories())),
        Order::Live { to } => drop(to.send(worker.live())),
        Order::Switch { snapshot, tls, inlets, given_back, done } => {
            worker.give_up_acceptors(|listener| given_back.get(listener).is_some_and(|is_given| *is_given));
            let os = worker.os_mut();
            let inlet = |given| match given {
                InletGiven::New(socket) => Inlet::New(os.adopt(socket)),
                InletGiven::Kept(place) => Inlet::Kept(place),
            };
            let inlets = inlets.into_iter().map(inlet).collect();
            worker.switch(GenerationChange { snapshot, tls, inlets });
            // The caller may have gone.
            let _ = done.send(());
        }
    }
}

/// A number that cannot be guessed.
fn random() -> io::Result<u128> {
    os::random(os::ambient()).map(u128::from_ne_bytes).map_err(io::Error::other)
}
