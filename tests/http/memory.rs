//! An operating system in memory: one listener, one client, any number of backend connections, no faults, and
//! a clock that moves only when it is told to.
//!
//! Readiness is level-triggered and true. The world moves only while the worker is in `poll` with nothing to
//! do, one event at a time, so that a case is played the same way each time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pollux::core::interest::{Interest, Ready};
use pollux::core::time::Time;
use pollux::os::{AcceptFault, Ambient, ConnectFault, Connecting, Fd, IoFault, Os, Polled, Still, Watch};
use pollux::snapshot::Address;

use crate::backend::{Backends, Saying};
use crate::case::{Case, End, Ends, Order};

/// 1 January 2026, 00:00:00 UTC.
const UNIX_TIME: u64 = 1_767_225_600;

pub(crate) const LISTENER: Fd = Fd(3);
const CLIENT: Fd = Fd(4);
const FIRST_BACKEND: i32 = 10;

/// Into which pieces the bytes of one side are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Whole,
    /// Before that byte.
    At(usize),
    /// Between all of them.
    Everywhere,
}

impl Cut {
    /// Cuts off the first piece of `bytes`, which begin at `place`.
    fn first(self, place: usize, bytes: usize) -> usize {
        match self {
            Cut::At(at) if place < at && at < place + bytes => at - place,
            Cut::Everywhere => bytes.min(1),
            Cut::Whole | Cut::At(_) => bytes,
        }
    }
}

/// The worker's side of a connection, as the kernel keeps it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The bytes that the worker has yet to read.
    inbox: VecDeque<u8>,
    has_ended: bool,
    is_reset: bool,
    /// The other side no longer reads.
    is_deserted: bool,
    /// The bytes that the worker has written, up to the moment when the other side left.
    pub(crate) received: Vec<u8>,
    pub(crate) ends: Ends,
    /// Whether the worker has closed its descriptor.
    pub(crate) is_closed: bool,
}

impl Connection {
    fn new() -> Connection {
        Connection {
            inbox: VecDeque::new(),
            has_ended: false,
            is_reset: false,
            is_deserted: false,
            received: Vec::new(),
            ends: Ends::Open,
            is_closed: false,
        }
    }

    fn leave(&mut self, end: End) {
        match end {
            End::HalfClose => self.has_ended = true,
            End::Close => (self.has_ended, self.is_deserted) = (true, true),
            End::Reset => (self.is_reset, self.is_deserted) = (true, true),
        }
    }

    fn readiness(&self, want: Interest) -> Ready {
        let has_news = !self.inbox.is_empty() || self.has_ended || self.is_reset;
        let is_over = self.is_reset || (self.has_ended && self.ends != Ends::Open);
        Ready::NONE
            .with_if(Ready::READ, want.has(Interest::READ) && has_news)
            .with_if(Ready::WRITE, want.has(Interest::WRITE))
            .with_if(Ready::LEAVE, want.has(Interest::LEAVE) && (self.has_ended || self.is_reset))
            .with_if(Ready::HANGUP, is_over)
            .with_if(Ready::ERROR, self.is_reset)
    }

    fn read(&mut self, room: &mut [u8]) -> Result<usize, IoFault> {
        let count = self.inbox.len().min(room.len());
        for (place, byte) in room.iter_mut().zip(self.inbox.drain(..count)) {
            *place = byte;
        }
        match count {
            0 if self.is_reset => Err(IoFault::Lost),
            0 if !self.has_ended => Err(IoFault::Blocked),
            _ => Ok(count),
        }
    }

    /// A write to a peer that has left is answered with a RST.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, IoFault> {
        if self.is_reset {
            return Err(IoFault::Lost);
        }
        assert!(self.ends == Ends::Open, "a write behind a FIN");
        if self.is_deserted {
            self.is_reset = true;
        } else {
            self.received.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }
}

/// See the head of this file.
pub(crate) struct Memory {
    now: Time,
    /// The time for which nothing may happen before the play is over.
    pub(crate) patience: Duration,
    /// Nothing happens any more.
    pub(crate) is_quiet: bool,
    /// The first thing about the worker's calls that cannot be right.
    pub(crate) complaint: Option<String>,
    order: Order,
    cuts: (Cut, Cut),
    connect: Option<ConnectFault>,
    /// The bytes that the client has yet to send, part by part, with their places among all its bytes.
    script: VecDeque<Vec<u8>>,
    place: usize,
    script_end: Option<End>,
    is_accepted: bool,
    pub(crate) client: Connection,
    backends: Backends,
    pub(crate) connections: Vec<Connection>,
    /// The bytes that the backends have read, in the order in which they came.
    pub(crate) to_backends: Vec<u8>,
}

impl Memory {
    /// The world of `case`, with the client's and the backends' bytes cut that way.
    pub(crate) fn new(case: &Case, order: Order, cuts: (Cut, Cut)) -> Memory {
        Memory {
            now: Time::ZERO,
            patience: Duration::from_secs(case.patience_secs),
            is_quiet: false,
            complaint: None,
            order,
            cuts,
            connect: case.connect,
            script: case.client.iter().cloned().collect(),
            place: 0,
            script_end: case.client_end,
            is_accepted: false,
            client: Connection::new(),
            backends: Backends::new(case.answers.clone()),
            connections: Vec::new(),
            to_backends: Vec::new(),
        }
    }

    /// The client leaves, and from now on time passes whenever nothing else happens.
    pub(crate) fn wind_up(&mut self) {
        self.client.leave(End::Close);
        self.script.clear();
        self.script_end = None;
        self.patience = Duration::from_secs(86_400);
    }

    /// Lets one thing happen; false if nothing can.
    fn happen(&mut self) -> bool {
        let mut turns = [Memory::client_speaks, Memory::backend_speaks];
        if self.order == Order::BackendFirst {
            turns.reverse();
        }
        turns.iter().any(|turn| turn(self)) || self.backend_goes_on() || self.client_goes_on()
    }

    /// The next piece of the part that the client is at, and the end behind the last. A client that speaks
    /// byte by byte leaves in a step of its own.
    fn client_speaks(&mut self) -> bool {
        let is_last = self.script.len() <= 1;
        let Some(part) = self.script.front_mut() else { return self.client_leaves() };
        if part.is_empty() {
            return is_last && self.client_leaves();
        }
        let count = self.cuts.0.first(self.place, part.len());
        self.client.inbox.extend(part.drain(..count));
        self.place += count;
        if is_last && part.is_empty() && self.cuts.0 != Cut::Everywhere {
            self.client_leaves();
        }
        true
    }

    fn client_leaves(&mut self) -> bool {
        self.script_end.take().map(|end| self.client.leave(end)).is_some()
    }

    fn client_goes_on(&mut self) -> bool {
        self.script.pop_front();
        !self.script.is_empty()
    }

    fn backend_speaks(&mut self) -> bool {
        let Some(mut saying) = self.backends.prompt.pop_front() else { return false };
        let count = self.cuts.1.first(saying.place, saying.bytes.len());
        let rest = saying.bytes.split_off(count);
        let is_last = rest.is_empty() && (self.cuts.1 != Cut::Everywhere || count == 0);
        let Saying { connection, bytes, place, end } = saying;
        let to = &mut self.connections[connection];
        to.inbox.extend(bytes);
        if is_last {
            end.into_iter().for_each(|end| to.leave(end));
        } else if !rest.is_empty() || end.is_some() {
            let next = Saying { connection, bytes: rest, place: place + count, end };
            self.backends.prompt.push_front(next);
        }
        true
    }

    fn backend_goes_on(&mut self) -> bool {
        self.backends.later.pop_front().map(|saying| self.backends.prompt.push_back(saying)).is_some()
    }

    fn connection(&mut self, fd: Fd) -> &mut Connection {
        match fd {
            CLIENT => &mut self.client,
            _ => {
                let index = usize::try_from(fd.0 - FIRST_BACKEND).expect("a descriptor of a backend");
                &mut self.connections[index]
            }
        }
    }

    fn close_as(&mut self, fd: Fd, ends: Ends) {
        if fd == LISTENER {
            return;
        }
        let connection = self.connection(fd);
        let was_closed = std::mem::replace(&mut connection.is_closed, true);
        if connection.ends == Ends::Open || ends == Ends::Reset {
            connection.ends = ends;
        }
        if was_closed {
            self.complain(format!("fd {} was closed twice", fd.0));
        }
    }

    fn complain(&mut self, complaint: String) {
        self.complaint.get_or_insert(complaint);
    }

    /// Fills in what poll has to say, and counts the descriptors that it says something of.
    fn report(&mut self, watches: &mut [Watch]) -> usize {
        for watch in &mut *watches {
            watch.got = match watch.fd {
                LISTENER => Ready::NONE.with_if(Ready::READ, !self.is_accepted),
                fd if self.connection(fd).is_closed => Ready::INVALID,
                fd => self.connection(fd).readiness(watch.want),
            };
            if watch.got.any(Ready::INVALID) {
                self.complain(format!("fd {} was polled after it had been closed", watch.fd.0));
            }
        }
        watches.iter().filter(|watch| !watch.got.is_empty()).count()
    }
}

impl Os for Memory {
    fn now(&mut self) -> Time {
        self.now
    }

    fn ambient(&self) -> &'static dyn Ambient {
        &Still(UNIX_TIME)
    }

    fn poll(&mut self, watches: &mut [Watch], timeout: Option<Duration>) -> Polled {
        loop {
            let count = self.report(watches);
            if count > 0 || timeout == Some(Duration::ZERO) {
                return Polled::Ready(count);
            }
            if !self.happen() {
                break;
            }
        }
        match timeout {
            Some(timeout) if timeout <= self.patience => {
                self.patience -= timeout;
                self.now = self.now + timeout;
            }
            Some(_) | None => self.is_quiet = true,
        }
        Polled::Ready(0)
    }

    fn accept(&mut self, _listener: Fd) -> Result<(Fd, SocketAddr), AcceptFault> {
        match std::mem::replace(&mut self.is_accepted, true) {
            false => Ok((CLIENT, (Ipv4Addr::new(192, 0, 2, 1), 1024).into())),
            true => Err(AcceptFault::Blocked),
        }
    }

    fn local_address(&mut self, _fd: Fd) -> Option<SocketAddr> {
        Some((Ipv4Addr::new(198, 51, 100, 1), 80).into())
    }

    fn connect(&mut self, _to: &Address) -> Result<Connecting, ConnectFault> {
        if let Some(fault) = self.connect {
            return Err(fault);
        }
        let number = i32::try_from(self.connections.len()).expect("few connections");
        self.connections.push(Connection::new());
        self.backends.open();
        Ok(Connecting::Pending(Fd(FIRST_BACKEND + number)))
    }

    fn so_error(&mut self, _fd: Fd) -> Result<(), ConnectFault> {
        Ok(())
    }

    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault> {
        self.connection(fd).read(room)
    }

    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        let connection = self.connection(fd);
        let before = connection.received.len();
        let count = connection.write(&[head, body].concat())?;
        if fd != CLIENT {
            let index = usize::try_from(fd.0 - FIRST_BACKEND).expect("a descriptor of a backend");
            self.to_backends.extend_from_slice(&self.connections[index].received[before..]);
            if let Err(complaint) = self.backends.listen(index, &self.connections[index].received) {
                self.complain(complaint);
            }
        }
        Ok(count)
    }

    fn shutdown_write(&mut self, fd: Fd) {
        self.connection(fd).ends = Ends::Fin;
    }

    fn close(&mut self, fd: Fd) {
        self.close_as(fd, Ends::Fin);
    }

    fn reset(&mut self, fd: Fd) {
        self.close_as(fd, Ends::Reset);
    }
}
