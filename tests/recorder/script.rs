//! An operating system of one client and a few backends that do what a script says, at the time that it says.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pollux::core::interest::{Interest, Ready};
use pollux::core::time::Time;
use pollux::os::{AcceptFault, Ambient, ConnectFault, Connecting, Fd, IoFault, Os, Polled, Still, Watch};
use pollux::snapshot::Address;

pub(crate) const LISTENER: Fd = Fd(3);
const CLIENT: Fd = Fd(4);
const FIRST_BACKEND: i32 = 10;

/// The behaviour of the backend at a port, the first of them at port 1.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    /// It refuses the connection after so long.
    Refuses { after: Duration },
    /// It accepts, and resets the connection so long after the request.
    Dies { connected: Duration, dies: Duration },
    /// It accepts, and answers so long after the request.
    Answers { connected: Duration, answers: Duration, with: &'static str },
}

/// A connection to a backend.
struct Connection {
    backend: Backend,
    /// When the connect is decided.
    decided: Time,
    /// When it does what it does, once it has a request.
    acts: Option<Time>,
}

/// See the head of this file.
pub(crate) struct Script {
    now: Time,
    backends: Vec<Backend>,
    connections: Vec<Connection>,
    /// The bytes of the client, each so long after the one before.
    says: VecDeque<(Duration, String)>,
    /// When it says the first of it.
    next: Time,
    /// The bytes that it has sent and that were not read.
    said: VecDeque<u8>,
    is_accepted: bool,
    /// Nothing is left to happen but deadlines far off.
    pub(crate) is_over: bool,
}

impl Script {
    pub(crate) fn new(backends: Vec<Backend>) -> Script {
        Script {
            now: Time::ZERO,
            backends,
            connections: Vec::new(),
            says: VecDeque::new(),
            next: Time::ZERO,
            said: VecDeque::new(),
            is_accepted: false,
            is_over: false,
        }
    }

    /// The client says that, so long after what it said before.
    pub(crate) fn says(mut self, after: Duration, text: &str) -> Script {
        if self.says.is_empty() {
            self.next = self.now + after;
        }
        self.says.push_back((after, text.to_owned()));
        self
    }

    /// The client says that now, and the script goes on.
    pub(crate) fn say(&mut self, text: &str) {
        self.said.extend(text.as_bytes());
        self.is_over = false;
    }

    fn connection(&mut self, fd: Fd) -> &mut Connection {
        &mut self.connections[usize::try_from(fd.0 - FIRST_BACKEND).expect("a backend's descriptor")]
    }

    fn readiness(&mut self, watch: Watch) -> Ready {
        let now = self.now;
        let wants = |interest| watch.want.has(interest);
        match watch.fd {
            LISTENER => Ready::NONE.with_if(Ready::READ, !self.is_accepted),
            CLIENT => Ready::NONE
                .with_if(Ready::READ, wants(Interest::READ) && !self.said.is_empty())
                .with_if(Ready::WRITE, wants(Interest::WRITE)),
            fd => {
                let connection = self.connection(fd);
                let is_decided = connection.decided <= now;
                Ready::NONE.with_if(Ready::WRITE, wants(Interest::WRITE) && is_decided).with_if(
                    Ready::READ,
                    wants(Interest::READ) && connection.acts.is_some_and(|at| at <= now),
                )
            }
        }
    }

    /// When something happens next of which poll would tell.
    fn next_event(&self, watches: &[Watch]) -> Option<Time> {
        let client = (!self.says.is_empty()).then_some(self.next);
        let of_watch = |watch: &Watch| {
            let place = usize::try_from(watch.fd.0 - FIRST_BACKEND).ok()?;
            let Connection { decided, acts, .. } = self.connections.get(place)?;
            Some(if *decided > self.now { *decided } else { (*acts)? })
        };
        let backends = watches.iter().filter_map(of_watch);
        backends.chain(client).filter(|at| *at > self.now).min()
    }
}

impl Os for Script {
    fn now(&mut self) -> Time {
        self.now
    }

    fn ambient(&self) -> &'static dyn Ambient {
        &Still(1_767_225_600)
    }

    fn poll(&mut self, watches: &mut [Watch], timeout: Option<Duration>) -> Polled {
        let deadline = timeout.map(|timeout| self.now + timeout);
        loop {
            let mut count = 0;
            for watch in &mut *watches {
                watch.got = self.readiness(*watch);
                count += usize::from(!watch.got.is_empty());
            }
            if count > 0 || deadline.is_some_and(|at| at <= self.now) {
                return Polled::Ready(count);
            }
            let event = self.next_event(watches);
            let patience = self.now + Duration::from_secs(2);
            match event.into_iter().chain(deadline).min() {
                Some(at) if event.is_some() || at <= patience => self.now = at,
                Some(_) | None => {
                    self.is_over = true;
                    return Polled::Ready(0);
                }
            }
            if self.next <= self.now
                && let Some((_, text)) = self.says.pop_front()
            {
                self.said.extend(text.as_bytes());
                if let Some((after, _)) = self.says.front() {
                    self.next = self.now + *after;
                }
            }
        }
    }

    fn accept(&mut self, _listener: Fd) -> Result<(Fd, SocketAddr), AcceptFault> {
        match std::mem::replace(&mut self.is_accepted, true) {
            false => Ok((CLIENT, (Ipv4Addr::new(192, 0, 2, 1), 1024).into())),
            true => Err(AcceptFault::Blocked),
        }
    }

    fn connect(&mut self, to: &Address) -> Result<Connecting, ConnectFault> {
        let Address::Ip(address) = to else { return Err(ConnectFault::Unreachable) };
        let backend = self.backends[usize::from(address.port()) - 1];
        let (Backend::Refuses { after: span }
        | Backend::Dies { connected: span, .. }
        | Backend::Answers { connected: span, .. }) = backend;
        self.connections.push(Connection { backend, decided: self.now + span, acts: None });
        let number = i32::try_from(self.connections.len()).expect("few connections");
        Ok(Connecting::Pending(Fd(FIRST_BACKEND + number - 1)))
    }

    fn so_error(&mut self, fd: Fd) -> Result<(), ConnectFault> {
        match self.connection(fd).backend {
            Backend::Refuses { .. } => Err(ConnectFault::Refused),
            Backend::Dies { .. } | Backend::Answers { .. } => Ok(()),
        }
    }

    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault> {
        if fd == CLIENT {
            let count = self.said.len().min(room.len());
            room.iter_mut().zip(self.said.drain(..count)).for_each(|(place, byte)| *place = byte);
            return if count > 0 { Ok(count) } else { Err(IoFault::Blocked) };
        }
        let now = self.now;
        let connection = self.connection(fd);
        match connection.backend {
            _ if connection.acts.is_none_or(|at| at > now) => Err(IoFault::Blocked),
            Backend::Answers { with, .. } => {
                connection.acts = None;
                room[..with.len()].copy_from_slice(with.as_bytes());
                Ok(with.len())
            }
            Backend::Refuses { .. } | Backend::Dies { .. } => Err(IoFault::Lost),
        }
    }

    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        if fd != CLIENT {
            let now = self.now;
            let connection = self.connection(fd);
            let (Backend::Dies { dies: span, .. } | Backend::Answers { answers: span, .. }) =
                connection.backend
            else {
                return Err(IoFault::Lost);
            };
            connection.acts = Some(now + span);
        }
        Ok(head.len() + body.len())
    }

    fn shutdown_write(&mut self, _fd: Fd) {}

    fn close(&mut self, _fd: Fd) {}

    fn reset(&mut self, _fd: Fd) {}
}
