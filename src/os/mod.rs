//! The one seam to the world: every system call that the data plane makes goes through [`Os`].
//!
//! [`SysOs`] is Linux; the simulator under `tests/sim` is a fake kernel with a virtual clock and seeded
//! faults. Faults are small enums that say what the caller can do about them, not errno values.

mod ambient;
mod process;
mod raw;
mod sys;
mod unix;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::core::delivery::Delivery;
use crate::core::interest::{Interest, Ready};
use crate::core::time::Time;
use crate::snapshot::Address;

pub use ambient::{Ambient, NoRandom, Still, ambient, ambient_of_tls, random, unix_time};
pub use process::{ProcessUsage, set_debuggable};
pub use raw::{SOCKETS_MAX, passed_by_manager, receive_with_sockets};
pub use sys::{
    DESCRIPTORS_RESERVED, SysOs, bind, bind_to_core, bind_with, listening_on, now, prepare, probe,
    raise_descriptor_limit, return_buffers_of, usable_cores,
};

pub use unix::{
    FileIdentity, await_disk, bind_unix, is_abstract, look_up_owners, permit, remove_left_over, user_at,
};

/// A descriptor, as the worker names it. Owned by the [`Os`] that gave it out, until [`Os::close`],
/// [`Os::reset`] or [`Os::give_away`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fd(pub i32);

/// One entry of the poll array: filled in by the worker but for `got`, which [`Os::poll`] writes.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The descriptor.
    pub fd: Fd,
    /// The events that the worker waits for.
    pub want: Interest,
    /// The events that the kernel reported.
    pub got: Ready,
}

/// A pipe(7), open at both ends.
#[derive(Debug)]
pub struct Pipe {
    /// The end for reading.
    pub read: Fd,
    /// The end for writing.
    pub write: Fd,
    /// The number of bytes that it holds about at most.
    pub capacity: usize,
}

/// Why bytes could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoFault {
    /// EAGAIN or EINTR: nothing moved, ask `poll(2)` again.
    Blocked,
    /// ECONNRESET, EPIPE, ETIMEDOUT and whatever else ends a connection.
    Lost,
}

/// Why no client could be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFault {
    /// EAGAIN: no client waits.
    Blocked,
    /// ECONNABORTED, EINTR and the network errors that accept(2) says to treat like EAGAIN: this one is gone,
    /// try again.
    Gone,
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM: accepting again is useless until something is freed.
    Exhausted,
}

/// Why a backend could not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// EAGAIN on a Unix socket: its backlog is full. Try again later; poll(2) cannot tell when.
    Busy,
    /// ECONNREFUSED, or ENOENT on a Unix socket.
    Refused,
    /// ETIMEDOUT, as the kernel counts it.
    TimedOut,
    /// No route, network down, not permitted, or anything else that is not worth a second try now.
    Unreachable,
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL: no descriptor or no local port is left.
    Exhausted,
}

/// A connect that has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// The connection stands already.
    Done(Fd),
    /// EINPROGRESS: POLLOUT, POLLERR or POLLHUP will announce the decision, [`Os::so_error`] tells it.
    Pending(Fd),
}

/// The result of a `poll(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// That many watches have something in `got`; zero after a timeout.
    Ready(usize),
    /// EINTR: an empty turn. `got` means nothing.
    Interrupted,
}

/// The operating system, as far as a worker needs it. None of these calls blocks, but for [`Os::poll`].
pub trait Os {
    /// The monotonic clock, now.
    fn now(&mut self) -> Time;

    /// The wall clock and the random numbers.
    fn ambient(&self) -> &'static dyn Ambient;

    /// `poll(2)` over `watches`, writing each one's `got`. Waits at most `timeout` (rounded up to what the
    /// kernel can count), forever if `None`.
    fn poll(&mut self, watches: &mut [Watch], timeout: Option<Duration>) -> Polled;

    /// Whether a poll for [`Interest::READ`] that does not wait has nothing to say of `fd`.
    fn is_quiet(&mut self, fd: Fd) -> bool {
        let mut watches = [Watch { fd, want: Interest::READ, got: Ready::NONE }];
        self.poll(&mut watches, Some(Duration::ZERO)) == Polled::Ready(0)
    }

    /// Takes one client from the queue of `listener`, non-blocking and close-on-exec, without Nagle's delay.
    /// A client by a Unix socket has the address [`NO_ADDRESS`](crate::snapshot::NO_ADDRESS). An IPv4 client
    /// of an IPv6 socket has its IPv4 address, so that it has one form in routes, logs and status.
    ///
    /// # Errors
    /// See [`AcceptFault`].
    fn accept(&mut self, listener: Fd) -> Result<(Fd, SocketAddr), AcceptFault>;

    /// The address of this side of the connection on `fd`, IPv4 in IPv6 as IPv4; `None` if that is no IP
    /// address. It is known while a connect is under way.
    fn local_address(&mut self, fd: Fd) -> Option<SocketAddr> {
        let _ = fd;
        None
    }

    /// Lets no more clients into the queue of `listener`; those whose connections stand, or are about to,
    /// still come out of it. Where that cannot be had, clients may be lost that come in the moment before it
    /// is closed.
    fn stop_listening(&mut self, listener: Fd) {
        let _ = listener;
    }

    /// Begins a connection to `to`.
    ///
    /// # Errors
    /// See [`ConnectFault`]; nothing stays open after one.
    fn connect(&mut self, to: &Address) -> Result<Connecting, ConnectFault>;

    /// SO_ERROR of a pending connect: `Ok` if the connection stands. Valid only once poll has reported on it:
    /// before the decision SO_ERROR reads as 0 too.
    ///
    /// # Errors
    /// Why the connection failed. The descriptor is still to be closed.
    fn so_error(&mut self, fd: Fd) -> Result<(), ConnectFault>;

    /// Reads into `room` (never empty); `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// See [`IoFault`].
    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault>;

    /// Writes `head` and then `body` in one call, either of which may be empty, and says how many bytes of
    /// the two together were taken. Never raises SIGPIPE.
    ///
    /// # Errors
    /// See [`IoFault`].
    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault>;

    /// Sends bytes that the caller lets the end follow, by [`Os::shutdown_write`] or [`Os::close`] and
    /// without a poll between, if all of them are taken: they may wait for it, to go out in one segment.
    ///
    /// # Errors
    /// See [`IoFault`].
    fn send_last(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        self.send(fd, head, body)
    }

    /// Opens a pipe for [`Os::splice_in`] and [`Os::splice_out`]; `None` if the system has no such calls, or
    /// no descriptors left.
    fn open_pipe(&mut self) -> Option<Pipe> {
        None
    }

    /// Moves at most `most` bytes from a connection into `pipe`, which is empty (`splice(2)`); `Ok(0)` is the
    /// end of the stream.
    ///
    /// # Errors
    /// See [`IoFault`].
    fn splice_in(&mut self, from: Fd, pipe: &Pipe, most: usize) -> Result<usize, IoFault> {
        let _ = (from, pipe, most);
        Err(IoFault::Lost)
    }

    /// Moves at most `most` bytes, which lie in `pipe`, to a connection.
    ///
    /// # Errors
    /// See [`IoFault`].
    fn splice_out(&mut self, pipe: &Pipe, to: Fd, most: usize) -> Result<usize, IoFault> {
        let _ = (pipe, to, most);
        Err(IoFault::Lost)
    }

    /// Closes both ends of a pipe, with whatever lies in it.
    fn close_pipe(&mut self, pipe: Pipe) {
        self.close(pipe.read);
        self.close(pipe.write);
    }

    /// The delivery of the bytes that were written to the connection on `fd`, but for the last `behind`, the
    /// FIN among them. A reset is told once.
    fn delivery(&mut self, fd: Fd, behind: usize) -> Delivery {
        let _ = (fd, behind);
        Delivery::Acknowledged
    }

    /// `shutdown(SHUT_WR)`: a FIN behind the bytes already written.
    fn shutdown_write(&mut self, fd: Fd);

    /// Opens the lot: a descriptor that poll reports as readable as long as one that was [parked](Os::park)
    /// in it has news (`epoll(7)`). A worker has one at most; `None` if the system has no such thing, or no
    /// descriptor left.
    fn open_lot(&mut self) -> Option<Fd> {
        None
    }

    /// Parks `fd` in the lot until it has news of what `want` asks for, a hangup or an error, which are told
    /// once, under `tag` (EPOLLONESHOT). Parking it again replaces both, closing it takes it out. False if it
    /// could not be parked.
    fn park(&mut self, fd: Fd, want: Interest, tag: u64) -> bool {
        let _ = (fd, want, tag);
        false
    }

    /// Appends the tag and the news of everything in the lot that has any, up to a bound; true if that was
    /// all.
    fn read_lot(&mut self, news: &mut Vec<(u64, Ready)>) -> bool {
        let _ = news;
        true
    }

    /// Gives a descriptor away that is in no lot, for another worker's [`Os`] to [take in](Os::take_in);
    /// `None` if they cannot be moved, and then it stays.
    fn give_away(&mut self, fd: Fd) -> Option<OwnedFd> {
        let _ = fd;
        None
    }

    /// Takes over a descriptor that another worker's [`Os`] has given away; one that gives none away gets
    /// none.
    fn take_in(&mut self, fd: OwnedFd) -> Option<Fd> {
        let _ = fd;
        None
    }

    /// Closes `fd`. Bytes already written are still delivered.
    fn close(&mut self, fd: Fd);

    /// Closes `fd` with a RST (SO_LINGER 0), so that the other side cannot take what it has for the whole.
    fn reset(&mut self, fd: Fd);
}
