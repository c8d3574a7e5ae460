//! From one configuration to the next, between two turns.
//!
//! Most keys change at once: listeners, pools, backends, timeouts, and every limit but the size of the
//! buffers, which are made once. No connected client is disturbed: an exchange under way keeps its
//! generation, and all other sessions take the new one.

use std::rc::Rc;
use std::sync::Arc;

use super::acceptor::Acceptor;
use super::conn::ListenerState;
use super::driver::Fate;
use super::events::Waiting;
use super::idle::Most;
use super::{Generation, Worker};
use crate::balance::AdminState;
use crate::os::{Fd, Os};
use crate::snapshot::{BackendId, PoolId, Snapshot};
use crate::tls::Handles;

/// The generation that a worker is to run on from now on.
pub struct GenerationChange {
    /// The configuration. Its buffers are as large as they were.
    pub snapshot: Arc<Snapshot>,
    /// The TLS objects that its rules need.
    pub tls: Arc<Handles>,
    /// For each of its listeners, in their order, where its clients come in.
    pub inlets: Vec<Inlet>,
}

/// The source of a listener's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inlet {
    /// By a new socket.
    New(Fd),
    /// By the socket of the listener that was at that place until now.
    Kept(usize),
}

impl<O: Os> Worker<O> {
    /// Takes another configuration for everything that begins from now on.
    pub fn switch(&mut self, change: GenerationChange) {
        let GenerationChange { snapshot, tls, inlets } = change;
        self.now = self.os.now();
        let gone = ListenerState::Gone { since: self.now };
        self.begin_to_close_acceptors(|listener| (!inlets.contains(&Inlet::Kept(listener))).then_some(gone));
        // After the acceptors: a client that they accepted may still go to another worker of this generation.
        self.begin_all_handed_over();
        let old = Rc::clone(&self.generation);
        let pools = self.registry.open(&snapshot);
        let meters = self.registry.metrics().open(&self.meters, &snapshot);
        let (generation, homeless) = old.next((snapshot, &tls), pools, meters, &mut self.idle);
        self.generation = Rc::new(generation);
        self.switch_recorder(&old);
        for home in homeless {
            self.idle.close_home(&mut self.os, home, &mut self.conns, &mut self.parked);
            self.part_with_carriers(home);
        }
        self.close_idle_of_undutiful();
        self.adapt();
        self.move_acceptors(&inlets);
        self.move_sessions(&old, &inlets);
    }

    /// Closes the idle connections to backends that the operator drains or has taken out.
    fn close_idle_of_undutiful(&mut self) {
        let generation = Rc::clone(&self.generation);
        for (number, pool) in generation.snapshot.pools.iter().enumerate() {
            for (index, backend) in pool.backends.iter().enumerate() {
                if backend.admin_state != AdminState::Ready {
                    let home = generation.home(BackendId { pool: PoolId(number), index });
                    self.idle.clear_home(&mut self.os, home, &mut self.conns, &mut self.parked);
                    self.part_with_carriers(home);
                }
            }
        }
    }

    /// Closes the acceptors of some listeners, once the clients in their queues are admitted;
    /// `listener_state` says which, and how these clients stand. A worker that has no room for all of them at
    /// once closes an acceptor when it has let in the last.
    pub(super) fn begin_to_close_acceptors(
        &mut self,
        listener_state: impl Fn(usize) -> Option<ListenerState>,
    ) {
        for acceptor in self.acceptors.iter_mut().filter(|acceptor| !acceptor.is_leaving()) {
            if let Some(listener_state) = listener_state(acceptor.listener) {
                self.os.stop_listening(acceptor.fd);
                acceptor.leave(Rc::clone(&self.generation), listener_state);
            }
        }
        self.admit_from_leaving_acceptors();
    }

    /// Admits the clients in the queues of listeners that are to be closed, as far as there is room, and
    /// closes those with an empty queue.
    pub(super) fn admit_from_leaving_acceptors(&mut self) {
        let mut acceptor = 0;
        while acceptor < self.acceptors.len() {
            let is_tried = self.acceptors[acceptor].is_leaving()
                && self.acceptors[acceptor].is_open(self.now, self.ended);
            if is_tried && self.accept(acceptor, usize::MAX) == Waiting::Empty {
                let Acceptor { fd, .. } = self.acceptors.remove(acceptor);
                self.os.close(fd);
            } else {
                acceptor += 1;
            }
        }
    }

    /// The sockets by which clients come in, each with the place of its listener.
    pub fn acceptors(&self) -> impl Iterator<Item = (Fd, usize)> {
        self.acceptors
            .iter()
            .filter(|acceptor| !acceptor.is_leaving())
            .map(|acceptor| (acceptor.fd, acceptor.listener))
    }

    /// Closes the acceptors of the listeners whose sockets another process holds too, as `is_handed` says.
    /// That process accepts the clients that wait there.
    pub fn give_up_acceptors(&mut self, is_handed: impl Fn(usize) -> bool) {
        let is_given_up = |acceptor: &Acceptor| !acceptor.is_leaving() && is_handed(acceptor.listener);
        let (given_up, kept) = std::mem::take(&mut self.acceptors).into_iter().partition(is_given_up);
        self.acceptors = kept;
        for Acceptor { fd, .. } in given_up {
            self.os.close(fd);
        }
    }

    /// Closes all listeners at once, also those with clients in their queues.
    pub(super) fn close_acceptors(&mut self) {
        for Acceptor { fd, .. } in self.acceptors.drain(..) {
            self.os.close(fd);
        }
    }

    /// Holds the worker to the bounds of its generation.
    fn adapt(&mut self) {
        let Snapshot { limits, timeouts, .. } = &*self.generation.snapshot;
        self.sessions_max = self.share.of(limits.sessions);
        self.storage.adapt(self.share.of(limits.buffers));
        self.client_bytes = self.storage.of_client(limits.bytes_per_client());
        let most = Most::of(limits, self.share.workers);
        self.idle.adapt(&mut self.os, timeouts, most, &mut self.conns, &mut self.parked);
        self.handshakes.adapt(self.share.of(limits.handshakes));
    }

    fn move_acceptors(&mut self, inlets: &[Inlet]) {
        for acceptor in self.acceptors.iter_mut().filter(|acceptor| !acceptor.is_leaving()) {
            if let Some(place) = inlets.iter().position(|inlet| *inlet == Inlet::Kept(acceptor.listener)) {
                acceptor.listener = place;
            }
        }
        for (place, inlet) in inlets.iter().enumerate() {
            if let Inlet::New(fd) = *inlet {
                self.acceptors.push(Acceptor::new(fd, place));
            }
        }
    }

    /// Tells every session what has become of its listener, and gives the new generation to those that are
    /// between two exchanges. Their deadlines follow from it, so those in the parked set are derived anew.
    fn move_sessions(&mut self, old: &Generation, inlets: &[Inlet]) {
        let (new, now) = (&self.generation.snapshot.listeners, self.now);
        let place_of = |before: usize| {
            let place = inlets.iter().position(|inlet| *inlet == Inlet::Kept(before))?;
            // A client that came to speak one protocol cannot be served another one.
            (new[place].mode == old.snapshot.listeners[before].mode).then_some(place)
        };
        let places: Vec<_> = (0..old.snapshot.listeners.len()).map(place_of).collect();
        let listener_state = |before| match before {
            ListenerState::At(before) => {
                places[before].map_or(ListenerState::Gone { since: now }, ListenerState::At)
            }
            ListenerState::Gone { .. } => before,
        };
        let woken = self.conns.move_to(&self.generation, listener_state);
        self.conns.derive_idle(self.common.world(now, false), &mut self.parked);
        for key in woken {
            self.with(key, |_, _| Fate::Waits);
        }
    }
}
