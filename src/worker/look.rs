//! A look at a client for others, whether it is served or idle.

use std::net::SocketAddr;

use super::conn::{Conn, World};
use super::conns::IdleClient;
use super::generation::Generation;
use crate::core::outcome::Record;
use crate::core::time::Time;
use crate::room::Claim;
use crate::session::Summary;

/// A look at one client.
#[derive(Clone, Copy)]
pub(super) enum Look<'a> {
    Served(&'a Conn),
    Idle(&'a IdleClient),
}

impl<'a> Look<'a> {
    /// Whether it waits in the parked set.
    pub(super) fn is_parked(self) -> bool {
        match self {
            Look::Served(conn) => conn.is_parked(),
            Look::Idle(_) => true,
        }
    }

    /// Its address.
    pub(super) fn address(self) -> SocketAddr {
        match self {
            Look::Served(conn) => conn.session.client(),
            Look::Idle(idle) => idle.session.client(),
        }
    }

    /// The place of its listener in the snapshot of its generation.
    pub(super) fn listener(self) -> usize {
        match self {
            Look::Served(conn) => conn.session.listener(),
            Look::Idle(idle) => idle.session.listener(),
        }
    }

    /// The generation that it is held to.
    pub(super) fn generation(self) -> &'a Generation {
        match self {
            Look::Served(conn) => &conn.generation,
            Look::Idle(idle) => &idle.generation,
        }
    }

    /// On which ground it makes room.
    pub(super) fn claim(self, now: Time) -> Option<Claim> {
        match self {
            Look::Served(conn) => conn.session.claim(now),
            Look::Idle(idle) => Some(idle.session.claim()),
        }
    }

    /// The summary for `pollux status`; `None` if the client is over.
    pub(super) fn summary(self, world: World<'_>) -> Option<Summary> {
        match self {
            Look::Served(conn) => conn.session.summary(&world.env(&conn.generation, conn.listener_state)),
            Look::Idle(idle) => Some(idle.session.summary(&world.env(&idle.generation, idle.listener_state))),
        }
    }

    /// The record that it would make now.
    pub(super) fn record(self, world: World<'a>) -> Record<'a> {
        match self {
            Look::Served(conn) => conn.session.record(&world.env(&conn.generation, conn.listener_state)),
            Look::Idle(idle) => idle.session.record(&world.env(&idle.generation, idle.listener_state)),
        }
    }
}
