//! Listening sockets that another process has opened, the Pollux that this one replaces or a service manager;
//! and what the former leaves beside them.

use std::os::fd::OwnedFd;

use super::binding::Present;
use super::changes::Changes;
use crate::admin::Handed;
use crate::os::{listening_on, passed_by_manager};
use crate::snapshot::Address;

/// Sockets by the listener that they were, or are, for.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: Vec<(Present, Vec<OwnedFd>)>,
    /// The socket of the admin address, with what the configuration says of where it is.
    pub(super) admin: Option<(Address, Handed)>,
    /// The changes of an operator there.
    pub(super) changes: Changes,
    /// The names of what a service manager has passed and is of no use.
    useless: Vec<String>,
}

impl Inherited {
    /// None yet, of these listeners, with what an operator has changed.
    pub(super) fn of(listeners: Vec<Present>, changes: Changes) -> Inherited {
        let listeners = listeners.into_iter().map(|present| (present, Vec::new())).collect();
        Inherited { listeners, admin: None, changes, useless: Vec::new() }
    }

    /// Adds the socket of the admin address, whose place the configuration says by `bind`.
    pub fn add_admin(&mut self, bind: Address, socket: Handed) {
        self.admin = Some((bind, socket));
    }

    /// Takes the socket for an admin address at `bind`. One that is bound elsewhere is closed, and its
    /// address is the second value.
    pub fn take_admin(&mut self, bind: Option<&Address>) -> (Option<Handed>, Option<Address>) {
        match self.admin.take() {
            Some((at, socket)) if Some(&at) == bind => (Some(socket), None),
            Some((_, handed)) => (None, listening_on(&handed.socket)),
            None => (None, None),
        }
    }

    /// The sockets that a service manager has passed (sd_listen_fds(3)), by their addresses. Descriptors that
    /// do not listen for connections are closed. Call it before any descriptor is opened.
    #[must_use]
    pub fn from_manager() -> Inherited {
        let mut inherited = Inherited::default();
        for (socket, name) in passed_by_manager() {
            match listening_on(&socket) {
                Some(address) => {
                    let (bind, v6only, interface) = (address.clone(), true, None);
                    let (is_lent, file, is_gone) = (true, None, false);
                    let present = Present { name, bind, address, v6only, interface, is_lent, file, is_gone };
                    inherited.add_bound(present, socket);
                }
                None => inherited.useless.push(name),
            }
        }
        inherited
    }

    /// Says in the log what was passed and is of no use.
    pub fn tell_useless(&self) {
        for name in &self.useless {
            tracing::warn!(
                name,
                "a socket was passed that does not listen for connections: it is of no use here"
            );
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    pub(super) fn add(&mut self, listener: usize, socket: OwnedFd) {
        if let Some((_, sockets)) = self.listeners.get_mut(listener) {
            sockets.push(socket);
        }
    }

    pub(super) fn add_bound(&mut self, present: Present, socket: OwnedFd) {
        match self.listeners.iter_mut().find(|(other, _)| other.address == present.address) {
            Some((_, sockets)) => sockets.push(socket),
            None => self.listeners.push((present, vec![socket])),
        }
    }

    /// The listeners, in an order that stays.
    pub(super) fn present(&self) -> Vec<Present> {
        self.listeners.iter().map(|(present, _)| present.clone()).collect()
    }

    /// Takes the sockets of the listener at `place`.
    pub(super) fn take(&mut self, place: usize) -> Vec<OwnedFd> {
        std::mem::take(&mut self.listeners[place].1)
    }

    /// Every socket, one after the other, with its listener.
    pub(super) fn into_sockets(self) -> impl Iterator<Item = (Present, OwnedFd)> {
        let each = |(present, sockets): (Present, Vec<OwnedFd>)| {
            sockets.into_iter().map(move |socket| (present.clone(), socket))
        };
        self.listeners.into_iter().flat_map(each)
    }

    /// The addresses on which they listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|(present, _)| present.address.clone()).collect()
    }
}
