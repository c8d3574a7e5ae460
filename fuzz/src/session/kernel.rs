//! The kernel in memory: connections as queues, readiness that is level-triggered and true, a clock that
//! stands still unless a step lets it run.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use pollux::core::interest::{Interest, Ready};
use pollux::core::time::Time;
use pollux::os::{AcceptFault, Ambient, ConnectFault, Connecting, Fd, IoFault, Os, Polled, Still, Watch};
use pollux::snapshot::Address;

/// The listening socket. Connection `n` has descriptor `n + 1`.
pub(super) const DOOR: Fd = Fd(0);

/// Connects that a run may ask for; a worker that asks for more does so in a loop.
const CONNECTS_MAX: usize = 2000;

/// The peer at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// The client of that number; its address tells it.
    Client(u8),
    Backend,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Stands,
    Undecided,
    Refused,
}

/// The results of the next connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dialling {
    #[default]
    AtOnce,
    Later,
    RefusedLater,
    Refused,
    Busy,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) other: Other,
    pub(super) standing: Standing,
    refuses: bool,
    /// Whether the worker has the descriptor.
    pub(super) is_taken: bool,
    /// The bytes of the other side that the worker has not read.
    pub(super) inbox: VecDeque<u8>,
    /// All that the other side has said.
    pub(super) said: Vec<u8>,
    /// The other side will say no more.
    pub(super) ended: bool,
    /// The other side has reset the connection.
    broken: bool,
    /// The reset has been reported.
    told: bool,
    /// All that the worker has written.
    pub(super) out: Vec<u8>,
    /// The number of bytes that it may still write.
    pub(super) window: usize,
    finished: bool,
    pub(super) is_closed: bool,
    /// Whether the worker ended it by a reset.
    pub(super) is_reset: bool,
}

impl Conn {
    fn new(other: Other, standing: Standing) -> Conn {
        Conn {
            other,
            standing,
            refuses: false,
            is_taken: false,
            inbox: VecDeque::new(),
            said: Vec::new(),
            ended: false,
            broken: false,
            told: false,
            out: Vec::new(),
            window: usize::MAX,
            finished: false,
            is_closed: false,
            is_reset: false,
        }
    }

    fn readiness(&self) -> Ready {
        match self.standing {
            Standing::Undecided => Ready::NONE,
            Standing::Refused => Ready::WRITE | Ready::ERROR | Ready::HANGUP,
            Standing::Stands => Ready::NONE
                .with_if(Ready::READ, !self.inbox.is_empty() || self.ended || self.broken)
                .with_if(Ready::LEAVE, self.ended || self.broken)
                .with_if(Ready::WRITE, self.window > 0 || self.broken)
                .with_if(Ready::HANGUP, self.broken || (self.ended && self.finished))
                .with_if(Ready::ERROR, self.broken && !self.told),
        }
    }

    /// The other side says something, unless it has left.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        if !self.ended && !self.broken && !self.is_closed {
            self.inbox.extend(bytes);
            self.said.extend_from_slice(bytes);
        }
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn reset(&mut self) {
        self.broken = true;
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    pub(super) conns: Vec<Conn>,
    pub(super) clients: u8,
    waiting: VecDeque<usize>,
    door_is_closed: bool,
    pub(super) dialling: Dialling,
    connects: usize,
    /// For each mark in use: the connection, which request on it, and the client whose request it is.
    pub(super) marks: Vec<(usize, usize, u8)>,
    /// The most that one read gives, if that is bounded.
    pub(super) read_max: Option<usize>,
    /// Nothing happens until the step after the next.
    pub(super) is_still: bool,
    /// Whether a poll that finds nothing waits for its timeout, once or always.
    pub(super) waits_once: bool,
    pub(super) has_time: bool,
    /// Whether the last poll found nothing.
    pub(super) is_quiet: bool,
    now: Duration,
}

impl Kernel {
    /// A client connects.
    pub(super) fn come(&mut self) {
        if !self.door_is_closed {
            self.waiting.push_back(self.conns.len());
            self.conns.push(Conn::new(Other::Client(self.clients), Standing::Stands));
            self.clients += 1;
        }
    }

    /// The connections that the worker has, or that wait, to clients or to backends.
    pub(super) fn open(&mut self, to_backend: bool) -> Vec<usize> {
        let is_one = |(_, conn): &(usize, &Conn)| {
            (conn.other == Other::Backend) == to_backend
                && !conn.is_closed
                && conn.standing == Standing::Stands
        };
        self.conns.iter().enumerate().filter(is_one).map(|(index, _)| index).collect()
    }

    pub(super) fn decide(&mut self) {
        for conn in &mut self.conns {
            if conn.standing == Standing::Undecided {
                conn.standing = if conn.refuses { Standing::Refused } else { Standing::Stands };
            }
        }
    }

    /// Nothing holds the worker up any more.
    pub(super) fn relent(&mut self) {
        self.decide();
        self.dialling = Dialling::AtOnce;
        self.read_max = None;
        for conn in &mut self.conns {
            conn.window = usize::MAX;
        }
    }

    pub(super) fn everybody_leaves(&mut self) {
        self.dialling = Dialling::Refused;
        for conn in &mut self.conns {
            conn.end();
        }
    }

    fn conn(&mut self, fd: Fd) -> &mut Conn {
        let index = usize::try_from(fd.0 - 1).expect("a call on the listener");
        let conn = &mut self.conns[index];
        assert!(!conn.is_closed, "a call on a closed descriptor");
        conn
    }

    fn standing(&mut self, fd: Fd) -> &mut Conn {
        let conn = self.conn(fd);
        assert!(conn.standing == Standing::Stands, "a call on a connection that does not stand");
        conn
    }

    fn poll(&mut self, watches: &mut [Watch], timeout: Option<Duration>) -> Polled {
        let mut count = 0;
        for watch in watches.iter_mut() {
            let ready = if watch.fd == DOOR {
                Ready::NONE.with_if(Ready::READ, !self.waiting.is_empty())
            } else {
                self.conn(watch.fd).readiness()
            };
            watch.got = masked(ready, watch.want);
            count += usize::from(!watch.got.is_empty());
        }
        self.is_quiet = count == 0 && timeout != Some(Duration::ZERO);
        if self.is_quiet && (self.has_time || std::mem::take(&mut self.waits_once)) {
            self.now += timeout.unwrap_or_default();
            self.is_quiet = false;
        }
        Polled::Ready(count)
    }

    fn accept(&mut self) -> Result<(Fd, SocketAddr), AcceptFault> {
        let index = self.waiting.pop_front().ok_or(AcceptFault::Blocked)?;
        self.conns[index].is_taken = true;
        let Other::Client(number) = self.conns[index].other else { panic!("a backend came in") };
        Ok((fd_of(index), SocketAddr::from(([10, 0, 0, number], 40_000))))
    }

    fn connect(&mut self) -> Result<Connecting, ConnectFault> {
        self.connects += 1;
        assert!(self.connects <= CONNECTS_MAX, "the worker connects and connects");
        let standing = match self.dialling {
            Dialling::AtOnce => Standing::Stands,
            Dialling::Later | Dialling::RefusedLater => Standing::Undecided,
            Dialling::Refused => return Err(ConnectFault::Refused),
            Dialling::Busy => return Err(ConnectFault::Busy),
        };
        let mut conn = Conn::new(Other::Backend, standing);
        conn.refuses = self.dialling == Dialling::RefusedLater;
        conn.is_taken = true;
        let fd = fd_of(self.conns.len());
        self.conns.push(conn);
        Ok(if standing == Standing::Stands { Connecting::Done(fd) } else { Connecting::Pending(fd) })
    }

    fn so_error(&mut self, fd: Fd) -> Result<(), ConnectFault> {
        match self.conn(fd).standing {
            Standing::Undecided => panic!("SO_ERROR was asked too early"),
            Standing::Refused => Err(ConnectFault::Refused),
            Standing::Stands => Ok(()),
        }
    }

    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault> {
        assert!(!room.is_empty(), "a read into no room");
        let most = self.read_max.unwrap_or(usize::MAX);
        let conn = self.standing(fd);
        if conn.inbox.is_empty() {
            return match (conn.broken, conn.told, conn.ended) {
                (true, false, _) => {
                    conn.told = true;
                    Err(IoFault::Lost)
                }
                (true, true, _) | (false, _, true) => Ok(0),
                (false, _, false) => Err(IoFault::Blocked),
            };
        }
        let count = conn.inbox.len().min(room.len()).min(most);
        for (place, byte) in room.iter_mut().zip(conn.inbox.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        assert!(head.len() + body.len() > 0, "a write of nothing");
        let conn = self.standing(fd);
        assert!(!conn.finished, "a write behind the end");
        if conn.broken {
            conn.told = true;
            return Err(IoFault::Lost);
        }
        let count = conn.window.min(head.len() + body.len());
        if count == 0 {
            return Err(IoFault::Blocked);
        }
        conn.out.extend(head.iter().chain(body).take(count));
        conn.window -= count;
        Ok(count)
    }
}

fn fd_of(index: usize) -> Fd {
    Fd(i32::try_from(index + 1).expect("few connections"))
}

/// The report of poll on `ready` to a caller that wants `want`.
fn masked(ready: Ready, want: Interest) -> Ready {
    let wanted = |bit: Ready, interest: Interest| ready.any(bit) && want.has(interest);
    Ready::NONE
        .with_if(Ready::READ, wanted(Ready::READ, Interest::READ))
        .with_if(Ready::WRITE, wanted(Ready::WRITE, Interest::WRITE))
        .with_if(Ready::LEAVE, wanted(Ready::LEAVE, Interest::LEAVE))
        .with_if(Ready::HANGUP, ready.any(Ready::HANGUP))
        .with_if(Ready::ERROR, ready.any(Ready::ERROR))
}

/// The kernel as the worker holds it.
pub(super) struct MemoryOs(pub(super) Rc<RefCell<Kernel>>);

impl Os for MemoryOs {
    fn now(&mut self) -> Time {
        Time::ZERO + self.0.borrow().now
    }

    fn ambient(&self) -> &'static dyn Ambient {
        &Still(0)
    }

    fn poll(&mut self, watches: &mut [Watch], timeout: Option<Duration>) -> Polled {
        self.0.borrow_mut().poll(watches, timeout)
    }

    fn accept(&mut self, _listener: Fd) -> Result<(Fd, SocketAddr), AcceptFault> {
        self.0.borrow_mut().accept()
    }

    fn connect(&mut self, _to: &Address) -> Result<Connecting, ConnectFault> {
        self.0.borrow_mut().connect()
    }

    fn so_error(&mut self, fd: Fd) -> Result<(), ConnectFault> {
        self.0.borrow_mut().so_error(fd)
    }

    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault> {
        self.0.borrow_mut().recv(fd, room)
    }

    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        self.0.borrow_mut().send(fd, head, body)
    }

    fn shutdown_write(&mut self, fd: Fd) {
        self.0.borrow_mut().standing(fd).finished = true;
    }

    fn close(&mut self, fd: Fd) {
        let mut kernel = self.0.borrow_mut();
        if fd == DOOR {
            kernel.door_is_closed = true;
        } else {
            kernel.conn(fd).is_closed = true;
        }
    }

    fn reset(&mut self, fd: Fd) {
        let mut kernel = self.0.borrow_mut();
        let conn = kernel.conn(fd);
        (conn.is_closed, conn.is_reset) = (true, true);
    }
}
