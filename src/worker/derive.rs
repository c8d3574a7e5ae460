//! The interest and the deadline of a connection. Both follow from its state, for every kind in one
//! function. Only the parked set keeps a copy of a deadline, under which it finds the connection.

use super::checks::RunningCheck;
use super::closing::Closing;
use super::conn::{Backend, Conn, World};
use super::conns::IdleClient;
use super::handshakes::Handshake;
use super::idle::{IdleBackend, WATCHED};
use super::multiplexer::Multiplexer;
use crate::core::interest::Interest;
use crate::core::time::Time;
use crate::os::Fd;
use crate::session::{Resting, Side};

/// A look at one connection.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    Client(&'a Conn),
    /// The backend connection that a client holds.
    Backend(&'a Conn, &'a Backend),
    IdleClient(&'a IdleClient),
    Handshake(&'a Handshake),
    IdleBackend(&'a IdleBackend),
    /// A connection that carries streams.
    Carrier(&'a Multiplexer),
    Closing(&'a Closing),
    Check(&'a RunningCheck),
}

/// The interest and the deadline of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// Its descriptor, and what to ask poll about it; `None` if nothing waits on it.
    pub(super) watch: Option<(Fd, Interest)>,
    /// When to look at it although nothing has happened. The backend connection of a client has the deadline of
    /// its client.
    pub(super) until: Option<Time>,
}

impl View<'_> {
    /// Its interest and deadline in `world`. The interest of a session goes through `afford`, which leaves
    /// out what there are no means for.
    #[inline]
    pub(super) fn derive(self, world: World<'_>, afford: impl FnOnce(Interest) -> Option<Interest>) -> Wait {
        match self {
            View::Client(conn) => {
                let want = conn.session.interest(Side::Client, world.now).and_then(afford);
                let watch = conn.client.as_ref().and_then(|wire| Some((wire.fd(), wire.watch(want)?)));
                Wait { watch, until: conn.deadline(world).map(|deadline| deadline.at) }
            }
            View::Backend(conn, backend) => {
                let want = conn.session.interest(Side::Backend, world.now).and_then(afford);
                let watch = backend.watch(want).map(|want| (backend.link.wire.fd(), want));
                Wait { watch, until: None }
            }
            View::IdleClient(idle) => {
                let want = idle.wire.watch(Some(Resting::INTEREST));
                let watch = want.map(|want| (idle.wire.fd(), want));
                let env = world.env(&idle.generation, idle.listener_state);
                Wait { watch, until: Some(idle.session.deadline(&env).at) }
            }
            View::Handshake(handshake) => Wait::new(handshake.waits_for(), handshake.until),
            View::IdleBackend(idle) => Wait::new((idle.link.wire.fd(), WATCHED), idle.until),
            View::Carrier(mux) => {
                Wait { watch: mux.watch(), until: Some(mux.deadline(world.draining_since)) }
            }
            View::Closing(closing) => Wait::new((closing.wire.fd(), Interest::WRITE), closing.until),
            View::Check(check) => Wait::new((check.wire.fd(), check.want()), check.until),
        }
    }
}

impl Wait {
    fn new(watch: (Fd, Interest), until: Time) -> Wait {
        Wait { watch: Some(watch), until: Some(until) }
    }
}
