//! The fake kernel: every system call of the worker, over descriptors that stand for the ends of simulated
//! connections.
//!
//! Readiness is level-triggered and true. A behaviour that POSIX does not guarantee is not given either:
//! reads and writes are cut short, poll misses some of what comes in while it waits, or is interrupted, or is
//! wrong. A call that no worker may make (on a closed descriptor, on a connect that nobody has decided) ends
//! the run.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::delivery::Delivery;
use pollux::core::interest::{Interest, Ready};
use pollux::core::time::Time;
use pollux::os::{AcceptFault, Ambient, ConnectFault, Connecting, Fd, IoFault, Os, Pipe, Polled, Watch};
use pollux::snapshot::Address;

use crate::actors::Actors;
use crate::ambient::Simulated;
use crate::descriptors::{Descriptors, Handle, IDLE_REPORTS_MAX, PATIENCE_IN_NEED};
use crate::end::{Connect, EndId};
use crate::faults::{Faults, chance};
use crate::net::Net;
use crate::poll::mask;
use crate::trace::Event;

/// A kernel as the worker holds it; the test keeps another handle to look inside.
#[derive(Clone)]
pub(crate) struct SimOs(pub(crate) Rc<RefCell<Kernel>>);

/// The most that the parked set tells at once.
const NEWS_MAX: usize = 3;

/// See the head of this file.
pub(crate) struct Kernel {
    pub(crate) net: Net,
    pub(crate) actors: Actors,
    pub(crate) faults: Faults,
    pub(crate) rng: Rng,
    descriptors: Descriptors,
    /// The bytes in each pipe.
    pipes: Vec<Vec<u8>>,
    /// The connections whose last bytes have been taken, so that the end must follow. A real kernel keeps the
    /// bytes back until it does.
    pub(crate) ending: Vec<Fd>,
    /// The number of times in a row that poll may report a descriptor with which the worker then gets
    /// nowhere.
    pub(crate) patience: u8,
    /// The number of polls of the worker.
    pub(crate) polls: usize,
    /// Polls in a row that could not wait and found nothing, while nothing was done between them.
    pub(crate) barren: u8,
    /// The worker has been told to drain.
    pub(crate) draining: bool,
    /// Since when it does, and for how long it may.
    pub(crate) drain_ends: Option<(Time, Duration)>,
}

impl Kernel {
    pub(crate) fn new(net: Net, actors: Actors, faults: Faults, rng: Rng) -> Kernel {
        let descriptors = Descriptors::new(faults.descriptors);
        let patience = if faults.buffers.is_some() { PATIENCE_IN_NEED } else { IDLE_REPORTS_MAX };
        Kernel {
            net,
            actors,
            faults,
            rng,
            descriptors,
            pipes: Vec::new(),
            ending: Vec::new(),
            patience,
            polls: 0,
            barren: 0,
            draining: false,
            drain_ends: None,
        }
    }

    /// Opens a listening socket for the worker.
    pub(crate) fn listen(&mut self) -> Fd {
        let socket = self.net.open_socket();
        self.descriptors.open(Handle::Listening(socket))
    }

    /// Descriptors that nobody has closed.
    pub(crate) fn leaked(&self) -> Vec<(usize, Handle)> {
        self.descriptors.leaked()
    }

    pub(crate) fn descriptors(&mut self) -> &mut Descriptors {
        &mut self.descriptors
    }

    /// The events that poll would report of `fd` if it were asked for everything.
    pub(crate) fn readiness(&mut self, fd: Fd) -> Ready {
        match self.descriptors.get(fd, "poll").handle {
            Handle::Listening(socket) => Ready::NONE.with_if(Ready::READ, self.net.someone_waits(socket)),
            Handle::End(end) => self.net.readiness(end),
            Handle::Pipe(_) => panic!("poll of fd {}, which is a pipe", fd.0),
            Handle::Epoll => Ready::NONE.with_if(Ready::READ, !self.parked_news().is_empty()),
        }
    }

    /// Those in the parked set of whom there is news.
    fn parked_news(&mut self) -> Vec<(Fd, u64, Ready)> {
        let mut news = Vec::new();
        for (fd, want, tag) in self.descriptors.parked() {
            let got = mask(want, self.readiness(fd));
            if !got.is_empty() {
                news.push((fd, tag, got));
            }
        }
        news
    }

    fn park(&mut self, fd: Fd, want: Interest, tag: u64) -> bool {
        let works = !chance(&mut self.rng, self.faults.blocked);
        if works {
            self.descriptors.get(fd, "park").parked = Some((want, tag));
        }
        self.net.log(Event::Park { fd, want, works });
        works
    }

    /// Tells at most [`NEWS_MAX`] of the news; what is told is not parked any more.
    fn read_lot(&mut self, told: &mut Vec<(u64, Ready)>) -> bool {
        self.barren = 0;
        let (news, now) = (self.parked_news(), self.net.now);
        let is_all = news.len() <= NEWS_MAX;
        for (fd, tag, got) in news.into_iter().take(NEWS_MAX) {
            self.net.log(Event::Woke { fd, got });
            let descriptor = self.descriptors.get(fd, "read_lot");
            descriptor.parked = None;
            descriptor.report(fd, got, now, self.patience);
            if let Handle::End(end) = descriptor.handle {
                self.net.end_mut(end).note_told(got);
            }
            told.push((tag, got));
        }
        is_all
    }

    /// The connection behind `fd`, on which `call` may be made.
    fn connection(&mut self, fd: Fd, call: &str) -> EndId {
        match self.descriptors.get(fd, call).handle {
            Handle::End(end) => end,
            Handle::Listening(_) => panic!("{call} of fd {}, which is a listener", fd.0),
            Handle::Pipe(_) => panic!("{call} of fd {}, which is a pipe", fd.0),
            Handle::Epoll => panic!("{call} of fd {}, which is the parked set", fd.0),
        }
    }

    /// The connection behind `fd`, on which `call` may move bytes.
    fn standing(&mut self, fd: Fd, call: &str) -> EndId {
        let end = self.connection(fd, call);
        assert!(
            self.net.end(end).connect == Connect::Known,
            "{call} of fd {} before poll decided on it",
            fd.0
        );
        end
    }

    fn moved(&mut self, fd: Fd) {
        self.barren = 0;
        self.descriptors.get(fd, "a call").moved();
    }

    /// The same for a read or write: an end or a loss counts as news only once.
    fn moved_bytes(&mut self, fd: Fd, result: Result<usize, IoFault>) {
        let descriptor = self.descriptors.get(fd, "a call");
        match result {
            Err(IoFault::Blocked) => {}
            Ok(0) | Err(IoFault::Lost) if descriptor.told => {}
            Ok(0) | Err(IoFault::Lost) => {
                descriptor.told = true;
                self.moved(fd);
            }
            Ok(_) => self.moved(fd),
        }
    }

    /// Says `Blocked` of a descriptor that poll reported, now and then.
    fn whim(&mut self, fd: Fd, of: Ready) -> bool {
        let descriptor = self.descriptors.get(fd, "a call");
        let blocked = descriptor.reported.any(of) && chance(&mut self.rng, self.faults.blocked);
        if blocked {
            self.moved(fd);
        }
        blocked
    }

    /// The number of `count` bytes that a call moves at most.
    fn portion(&mut self, count: usize) -> usize {
        if count > 1 && chance(&mut self.rng, self.faults.partial) { self.rng.usize(1..count) } else { count }
    }

    fn accept(&mut self, listener: Fd) -> Result<(Fd, SocketAddr), AcceptFault> {
        let Handle::Listening(socket) = self.descriptors.get(listener, "accept").handle else {
            panic!("accept of fd {}, which is a connection", listener.0)
        };
        let result = if self.descriptors.is_full() {
            Err(AcceptFault::Exhausted)
        } else if self.net.someone_waits(socket) && chance(&mut self.rng, self.faults.gone) {
            self.moved(listener);
            Err(AcceptFault::Gone)
        } else {
            self.net.let_in(socket).ok_or(AcceptFault::Blocked)
        };
        let result = result.map(|(end, from)| {
            self.moved(listener);
            (self.descriptors.open(Handle::End(end)), end, from)
        });
        self.net.log(Event::Accept { listener, result: result.map(|(fd, end, _)| (fd, end)) });
        result.map(|(fd, _, from)| (fd, from))
    }

    fn connect(&mut self, to: &Address) -> Result<Connecting, ConnectFault> {
        self.barren = 0;
        let host = self.net.host_at(to);
        let result = if self.descriptors.is_full() {
            Err(ConnectFault::Exhausted)
        } else {
            self.net.connect(host).map(|end| (self.descriptors.open(Handle::End(end)), end))
        };
        self.net.log(Event::Connect { host, result });
        result.map(|(fd, end)| match self.net.end(end).connect {
            Connect::Known => Connecting::Done(fd),
            Connect::Undecided | Connect::Decided => Connecting::Pending(fd),
        })
    }

    fn so_error(&mut self, fd: Fd) -> Result<(), ConnectFault> {
        let end = self.connection(fd, "so_error");
        assert!(self.net.end(end).connect == Connect::Known, "SO_ERROR of fd {} asked too early", fd.0);
        self.moved(fd);
        let result = self.net.end_mut(end).take_error().map_or(Ok(()), Err);
        self.net.log(Event::SoError { fd, result });
        result
    }

    /// A write is in the other side's queue at once; the news of its acknowledgement may come later.
    fn delivery(&mut self, fd: Fd, behind: usize) -> Delivery {
        let end = self.standing(fd, "delivery");
        self.moved(fd);
        let side = self.net.end_mut(end);
        side.take_error();
        assert!(side.finished || side.is_broken(), "delivery on fd {} before its FIN", fd.0);
        let unacknowledged = side.unacknowledged + usize::from(side.finished);
        let result = if side.is_broken() && unacknowledged > behind {
            Delivery::Lost
        } else if side.is_broken() {
            Delivery::Acknowledged
        } else if chance(&mut self.rng, self.faults.blocked) {
            Delivery::Pending
        } else {
            Delivery::Acknowledged
        };
        self.descriptors.get(fd, "delivery").undelivered = result == Delivery::Pending;
        self.net.log(Event::Delivery { fd, result });
        result
    }

    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault> {
        assert!(!room.is_empty(), "recv of fd {} into no room", fd.0);
        let end = self.standing(fd, "recv");
        let result = if self.whim(fd, Ready::READ) {
            Err(IoFault::Blocked)
        } else {
            // Only what poll has announced can turn out to be nothing.
            self.descriptors.get(fd, "recv").reported = Ready::NONE;
            let portion = self.portion(room.len());
            self.net.read(end, &mut room[..portion])
        };
        self.moved_bytes(fd, result);
        self.net.log(Event::Recv { fd, room: room.len(), result });
        result
    }

    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        assert!(head.len() + body.len() > 0, "send of nothing to fd {}", fd.0);
        assert!(!self.ending.contains(&fd), "send to fd {} behind its last bytes", fd.0);
        let end = self.standing(fd, "send");
        assert!(!self.net.end(end).finished, "send to fd {} after its FIN", fd.0);
        let result = if self.whim(fd, Ready::WRITE) {
            Err(IoFault::Blocked)
        } else {
            let portion = self.portion(head.len() + body.len());
            self.gather(end, &head[..head.len().min(portion)], &body[..portion.saturating_sub(head.len())])
        };
        self.moved_bytes(fd, result);
        self.net.log(Event::Send { fd, head: head.len(), body: body.len(), result });
        result
    }

    /// Writes `head`, and `body` behind it if there is room for all of `head`.
    fn gather(&mut self, end: EndId, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        if head.is_empty() {
            return self.net.write(end, body);
        }
        let first = self.net.write(end, head)?;
        if first < head.len() || body.is_empty() {
            return Ok(first);
        }
        Ok(first + self.net.write(end, body).unwrap_or(0))
    }

    fn open_pipe(&mut self) -> Option<Pipe> {
        self.pipes.push(Vec::new());
        let handle = Handle::Pipe(self.pipes.len() - 1);
        let (read, write) = (self.descriptors.open(handle), self.descriptors.open(handle));
        Some(Pipe { read, write, capacity: self.rng.usize(1..=10_000) })
    }

    fn pipe(&mut self, fd: Fd) -> usize {
        match self.descriptors.get(fd, "splice").handle {
            Handle::Pipe(pipe) => pipe,
            Handle::Listening(_) | Handle::End(_) | Handle::Epoll => panic!("fd {} is no pipe", fd.0),
        }
    }

    fn splice_in(&mut self, from: Fd, pipe: &Pipe, most: usize) -> Result<usize, IoFault> {
        let index = self.pipe(pipe.write);
        assert!(self.pipes[index].is_empty(), "a pipe is filled again before it is empty");
        assert!(most <= pipe.capacity, "more is asked for than a pipe can hold");
        let mut room = vec![0; most];
        let count = self.recv(from, &mut room)?;
        self.pipes[index].extend_from_slice(&room[..count]);
        Ok(count)
    }

    fn splice_out(&mut self, pipe: &Pipe, to: Fd, most: usize) -> Result<usize, IoFault> {
        let index = self.pipe(pipe.read);
        assert!(most <= self.pipes[index].len(), "more is asked for than lies in the pipe");
        let bytes = self.pipes[index][..most].to_vec();
        let count = self.send(to, &bytes, &[])?;
        self.pipes[index].drain(..count);
        Ok(count)
    }

    fn close(&mut self, fd: Fd) {
        self.barren = 0;
        self.ending.retain(|other| *other != fd);
        self.net.log(Event::Close { fd });
        match self.descriptors.close(fd, "close") {
            Handle::Listening(socket) => {
                let is_cut_off = self.drain_ends.is_some_and(|(since, span)| self.net.now >= since + span);
                assert!(is_cut_off || !self.net.someone_waits(socket), "a client in the queue is reset");
                self.net.close_socket(socket);
            }
            Handle::Epoll | Handle::Pipe(_) => {}
            Handle::End(end) => {
                self.net.close(end);
            }
        }
    }

    fn reset(&mut self, fd: Fd) {
        self.barren = 0;
        self.ending.retain(|other| *other != fd);
        let end = self.connection(fd, "reset");
        self.net.log(Event::Reset { fd });
        self.descriptors.close(fd, "reset");
        self.net.abort(end);
    }
}

impl Os for SimOs {
    fn now(&mut self) -> Time {
        let mut kernel = self.0.borrow_mut();
        if kernel.jumps() {
            let jump = Duration::from_micros(kernel.rng.u64(..1000));
            let now = kernel.net.now + jump;
            kernel.net.advance(now);
        }
        kernel.net.now
    }

    fn ambient(&self) -> &'static dyn Ambient {
        &Simulated
    }

    fn poll(&mut self, watches: &mut [Watch], timeout: Option<Duration>) -> Polled {
        self.0.borrow_mut().poll(watches, timeout)
    }

    fn is_quiet(&mut self, fd: Fd) -> bool {
        let mut kernel = self.0.borrow_mut();
        mask(Interest::READ, kernel.readiness(fd)).is_empty()
    }

    fn accept(&mut self, listener: Fd) -> Result<(Fd, SocketAddr), AcceptFault> {
        self.0.borrow_mut().accept(listener)
    }

    fn stop_listening(&mut self, listener: Fd) {
        let mut kernel = self.0.borrow_mut();
        if let Handle::Listening(socket) = kernel.descriptors.get(listener, "stop_listening").handle {
            kernel.net.shut_socket(socket);
        }
    }

    fn connect(&mut self, to: &Address) -> Result<Connecting, ConnectFault> {
        self.0.borrow_mut().connect(to)
    }

    fn so_error(&mut self, fd: Fd) -> Result<(), ConnectFault> {
        self.0.borrow_mut().so_error(fd)
    }

    fn delivery(&mut self, fd: Fd, behind: usize) -> Delivery {
        self.0.borrow_mut().delivery(fd, behind)
    }

    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault> {
        self.0.borrow_mut().recv(fd, room)
    }

    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        self.0.borrow_mut().send(fd, head, body)
    }

    fn send_last(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        let mut kernel = self.0.borrow_mut();
        let result = kernel.send(fd, head, body);
        if result == Ok(head.len() + body.len()) {
            kernel.ending.push(fd);
        }
        result
    }

    fn shutdown_write(&mut self, fd: Fd) {
        let mut kernel = self.0.borrow_mut();
        let end = kernel.standing(fd, "shutdown_write");
        kernel.ending.retain(|other| *other != fd);
        kernel.moved(fd);
        kernel.net.log(Event::ShutdownWrite { fd });
        kernel.net.finish(end);
    }

    fn open_pipe(&mut self) -> Option<Pipe> {
        self.0.borrow_mut().open_pipe()
    }

    fn splice_in(&mut self, from: Fd, pipe: &Pipe, most: usize) -> Result<usize, IoFault> {
        self.0.borrow_mut().splice_in(from, pipe, most)
    }

    fn splice_out(&mut self, pipe: &Pipe, to: Fd, most: usize) -> Result<usize, IoFault> {
        self.0.borrow_mut().splice_out(pipe, to, most)
    }

    fn open_lot(&mut self) -> Option<Fd> {
        Some(self.0.borrow_mut().descriptors.open(Handle::Epoll))
    }

    fn park(&mut self, fd: Fd, want: Interest, tag: u64) -> bool {
        self.0.borrow_mut().park(fd, want, tag)
    }

    fn read_lot(&mut self, news: &mut Vec<(u64, Ready)>) -> bool {
        self.0.borrow_mut().read_lot(news)
    }

    fn close(&mut self, fd: Fd) {
        self.0.borrow_mut().close(fd);
    }

    fn reset(&mut self, fd: Fd) {
        self.0.borrow_mut().reset(fd);
    }
}
