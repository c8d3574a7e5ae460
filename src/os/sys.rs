//! Linux behind [`Os`]: nix and socket2, and a table that owns every descriptor.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv, send, sendmsg};
use nix::unistd::{Pid, pipe2};
use socket2::{Domain, SockAddr, SockFilter, SockRef, Socket, Type};

use super::raw;
use super::unix::path_of;
use super::{AcceptFault, Ambient, ConnectFault, Connecting, Fd, IoFault, Os, Pipe, Polled, Watch, ambient};
use crate::core::delivery::Delivery;
use crate::core::interest::{Interest, Ready};
use crate::core::time::Time;
use crate::snapshot::{Address, SocketOptions};

/// The beginning of time, for all workers: what one notes the others can compare with their own.
static EPOCH: OnceLock<Instant> = OnceLock::new();

/// The longest queue of clients that the kernel is asked to keep for a listener; net.core.somaxconn caps it.
pub(super) const BACKLOG: i32 = 4096;

/// The capacity of a pipe, in bytes.
const PIPE_SIZE: libc::c_int = 256 * 1024;

/// A poll with so many events was a busy one.
const BUSY: usize = 4;

/// The most events that one epoll_wait(2) returns.
const NEWS_MAX: usize = 256;

/// The descriptors that must be left over for everything but connections: logs, listeners, pipes.
pub const DESCRIPTORS_RESERVED: usize = 16;

/// The real operating system. One for each worker: a descriptor has one owner, and may be given away.
#[derive(Debug)]
pub struct SysOs {
    epoch: Instant,
    /// By number; each is closed when it is taken out, or with the table.
    owned: Vec<Slot>,
    epoll: Option<Epoll>,
    /// The array that ppoll(2) is given, kept for its memory.
    pollfds: Vec<libc::pollfd>,
    /// Whether the last poll had so much to say that the next one is likely not to wait.
    is_busy: bool,
}

/// A place in the table.
#[derive(Debug, Default)]
struct Slot {
    fd: Option<OwnedFd>,
    /// Whether it is registered with the epoll instance, armed or not. Closing it ends that.
    is_enrolled: bool,
}

/// The clock of every worker, now.
#[must_use]
pub fn now() -> Time {
    Time::ZERO + EPOCH.get_or_init(Instant::now).elapsed()
}

impl Default for SysOs {
    fn default() -> Self {
        SysOs {
            epoch: *EPOCH.get_or_init(Instant::now),
            owned: Vec::new(),
            epoll: None,
            pollfds: Vec::new(),
            is_busy: false,
        }
    }
}

impl SysOs {
    /// Takes a descriptor over.
    pub fn adopt(&mut self, fd: OwnedFd) -> Fd {
        let number = fd.as_raw_fd();
        let slot = usize::try_from(number).unwrap_or(0);
        if self.owned.len() <= slot {
            self.owned.resize_with(slot + 1, Slot::default);
        }
        self.owned[slot] = Slot { fd: Some(fd), is_enrolled: false };
        Fd(number)
    }

    /// Another descriptor of the same socket, for another owner.
    ///
    /// # Errors
    /// As fcntl(2) gives them; EBADF if `fd` is not owned here.
    pub fn duplicate(&self, fd: Fd) -> io::Result<OwnedFd> {
        self.get(fd).ok_or(io::Error::from(Errno::EBADF))?.try_clone_to_owned()
    }

    /// A poll that may wait puts the caller into the queue of every descriptor first, which is most of what
    /// it costs. One that may not is worth a try while there is much to do.
    fn ppoll(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        if self.is_busy && timeout != Some(Duration::ZERO) {
            let count = raw::ppoll(&mut self.pollfds, Some(Duration::ZERO))?;
            if count > 0 {
                return Ok(count);
            }
        }
        raw::ppoll(&mut self.pollfds, timeout)
    }

    /// A peer that is gone raises SIGPIPE here, as splice(2) has no MSG_NOSIGNAL; Rust's start-up code has it
    /// ignored.
    fn splice(&mut self, from: Fd, to: Fd, most: usize) -> Result<usize, IoFault> {
        let (Some(from), Some(to)) = (self.get(from), self.get(to)) else { return Err(IoFault::Lost) };
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        splice(from, None, to, None, most, flags).map_err(io_fault)
    }

    fn slot(&mut self, fd: Fd) -> Option<&mut Slot> {
        usize::try_from(fd.0).ok().and_then(|slot| self.owned.get_mut(slot))
    }

    fn get(&self, fd: Fd) -> Option<BorrowedFd<'_>> {
        let slot = usize::try_from(fd.0).ok()?;
        self.owned.get(slot)?.fd.as_ref().map(OwnedFd::as_fd)
    }
}

/// Finds out whether `address` can be bound without sharing it.
///
/// # Errors
/// As socket(2) and bind(2) give them.
pub fn probe(address: SocketAddr, options: &SocketOptions) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), None)?;
    socket.set_reuse_address(true)?;
    set_options(&socket, address, options)?;
    socket.bind(&address.into())
}

/// Opens a socket that listens on `address`, for one worker of several: they all bind the same one, and the
/// kernel spreads the clients over them (SO_REUSEPORT, socket(7)).
///
/// # Errors
/// As socket(2), bind(2) and listen(2) give them.
pub fn bind(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    bind_with(address, &SocketOptions::default())
}

/// Binds with options.
///
/// # Errors
/// As [`bind`]; ENODEV if there is no such device.
pub fn bind_with(address: SocketAddr, options: &SocketOptions) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    set_options(&socket, address, options)?;
    // Accepted sockets inherit it (Linux): no call per connection is needed to switch Nagle's delay off.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket.into(), bound))
}

fn set_options(socket: &Socket, address: SocketAddr, options: &SocketOptions) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(options.v6only)?;
    }
    match address {
        SocketAddr::V4(_) if options.freebind => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) if options.freebind => socket.set_freebind_v6(true)?,
        SocketAddr::V4(_) | SocketAddr::V6(_) => {}
    }
    let Some(name) = &options.interface else { return Ok(()) };
    // The kernel does not say which one it has not found.
    let named = |error: io::Error| io::Error::new(error.kind(), format!("network device `{name}`: {error}"));
    socket.bind_device(Some(name.as_bytes())).map_err(named)
}

/// A classic BPF program for a listening socket: drops what would begin a connection, a segment with SYN and
/// without ACK, and lets all else pass. A filter sees the TCP header first; its flags are byte 13.
const NO_NEWCOMERS: [SockFilter; 5] = {
    const SYN_ACK: u32 = 0x12;
    const SYN: u32 = 0x02;
    [
        SockFilter::new((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, 13),
        SockFilter::new((libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, 0, 0, SYN_ACK),
        SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, SYN),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
    ]
};

/// Makes the kernel drop the SYN of every new connection to `listener`, on every descriptor of that socket.
/// The client's kernel sends the SYN again, and finds the socket closed or another one in its place. Without
/// it a client that comes between the last accept(2) and the close(2) would be reset.
fn refuse_newcomers(listener: impl AsFd) {
    // Without the filter there is that moment, which is short.
    let _ = SockRef::from(&listener).attach_filter(&NO_NEWCOMERS);
}

/// Makes a listening socket that another process opened into one as [`bind`] returns them.
///
/// # Errors
/// As fcntl(2) and setsockopt(2) give them.
pub fn prepare(listener: &OwnedFd) -> io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    if socket.domain()? == Domain::UNIX { Ok(()) } else { socket.set_tcp_nodelay(true) }
}

/// The address that a socket listens on; `None` if it is not one that listens for connections by TCP or a
/// Unix socket.
#[must_use]
pub fn listening_on(socket: &impl AsFd) -> Option<Address> {
    let socket = SockRef::from(socket);
    let listens = socket.is_listener().ok()? && socket.r#type().ok()? == Type::STREAM;
    let address = socket.local_addr().ok().filter(|_| listens)?;
    address.as_socket().map(Address::Ip).or_else(|| path_of(&address).map(Address::Unix))
}

/// Raises the soft limit of descriptors to the hard one (setrlimit(2)) and returns it.
#[must_use]
pub fn raise_descriptor_limit() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let reached = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    usize::try_from(reached).unwrap_or(usize::MAX)
}

/// Prepares the allocator for buffers of `size` bytes: what is freed of them after a peak goes back to the
/// system.
pub fn return_buffers_of(size: usize) {
    raw::map_large_blocks(size);
}

/// Makes the calling thread run on the core with that number only (sched_setaffinity(2)).
///
/// # Errors
/// EINVAL if there is no such core, or this process may not use it.
pub fn bind_to_core(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// The cores that this process may use, lowest number first.
///
/// # Errors
/// As sched_getaffinity(2) gives them.
pub fn usable_cores() -> io::Result<Vec<usize>> {
    let cores = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|core| cores.is_set(*core).unwrap_or(false)).collect())
}

fn io_fault(errno: Errno) -> IoFault {
    if errno == Errno::EAGAIN || errno == Errno::EINTR { IoFault::Blocked } else { IoFault::Lost }
}

fn is_exhaustion(errno: i32) -> bool {
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM].contains(&errno)
}

fn connect_fault(error: &io::Error) -> ConnectFault {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => ConnectFault::Busy,
        Some(libc::ECONNREFUSED | libc::ECONNRESET | libc::ENOENT) => ConnectFault::Refused,
        Some(libc::ETIMEDOUT) => ConnectFault::TimedOut,
        Some(errno) if is_exhaustion(errno) || errno == libc::EADDRNOTAVAIL => ConnectFault::Exhausted,
        _ => ConnectFault::Unreachable,
    }
}

fn events(want: Interest) -> libc::c_short {
    let mut events = 0;
    for (interest, event) in
        [(Interest::READ, libc::POLLIN), (Interest::WRITE, libc::POLLOUT), (Interest::LEAVE, libc::POLLRDHUP)]
    {
        if want.has(interest) {
            events |= event;
        }
    }
    events
}

fn ready(revents: libc::c_short) -> Ready {
    let mut got = Ready::NONE;
    for (event, ready) in [
        (libc::POLLIN, Ready::READ),
        (libc::POLLOUT, Ready::WRITE),
        (libc::POLLRDHUP, Ready::LEAVE),
        (libc::POLLHUP, Ready::HANGUP),
        (libc::POLLERR, Ready::ERROR),
        (libc::POLLNVAL, Ready::INVALID),
    ] {
        got = got.with_if(ready, revents & event != 0);
    }
    got
}

fn send_with(fd: Fd, head: &[u8], body: &[u8], flags: MsgFlags) -> Result<usize, IoFault> {
    if head.is_empty() || body.is_empty() {
        let bytes = if head.is_empty() { body } else { head };
        return send(fd.0, bytes, flags).map_err(io_fault);
    }
    let parts = [io::IoSlice::new(head), io::IoSlice::new(body)];
    sendmsg::<()>(fd.0, &parts, &[], flags, None).map_err(io_fault)
}

impl Os for SysOs {
    fn now(&mut self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    fn ambient(&self) -> &'static dyn Ambient {
        ambient()
    }

    fn poll(&mut self, watches: &mut [Watch], timeout: Option<Duration>) -> Polled {
        self.pollfds.clear();
        self.pollfds.extend(watches.iter().map(|watch| libc::pollfd {
            fd: watch.fd.0,
            events: events(watch.want),
            revents: 0,
        }));
        let Ok(count) = self.ppoll(timeout) else { return Polled::Interrupted };
        self.is_busy = count >= BUSY;
        for (watch, pollfd) in watches.iter_mut().zip(&self.pollfds) {
            watch.got = ready(pollfd.revents);
        }
        Polled::Ready(count)
    }

    fn is_quiet(&mut self, fd: Fd) -> bool {
        let mut entry = [libc::pollfd { fd: fd.0, events: libc::POLLIN, revents: 0 }];
        raw::ppoll(&mut entry, Some(Duration::ZERO)).is_ok_and(|count| count == 0)
    }

    fn accept(&mut self, listener: Fd) -> Result<(Fd, SocketAddr), AcceptFault> {
        let listener = self.get(listener).ok_or(AcceptFault::Blocked)?;
        match raw::accept4(listener) {
            Ok((fd, address)) => Ok((self.adopt(fd), address)),
            Err(error) => Err(match error.raw_os_error() {
                // A Unix socket that has stopped listening, and whose queue is empty, says EINVAL.
                Some(libc::EAGAIN | libc::EINVAL) => AcceptFault::Blocked,
                Some(errno) if is_exhaustion(errno) => AcceptFault::Exhausted,
                _ => AcceptFault::Gone,
            }),
        }
    }

    fn local_address(&mut self, fd: Fd) -> Option<SocketAddr> {
        SockRef::from(&self.get(fd)?).local_addr().ok()?.as_socket().map(raw::canonical)
    }

    fn stop_listening(&mut self, listener: Fd) {
        let Some(fd) = self.get(listener) else { return };
        let socket = SockRef::from(&fd);
        if socket.domain().is_ok_and(|domain| domain == Domain::UNIX) {
            // New connections are refused from now on; those in the queue are still accepted.
            let _ = socket.shutdown(std::net::Shutdown::Read);
        } else {
            refuse_newcomers(fd);
        }
    }

    fn connect(&mut self, to: &Address) -> Result<Connecting, ConnectFault> {
        let (domain, address) = match to {
            Address::Ip(address) => (Domain::for_address(*address), SockAddr::from(*address)),
            Address::Unix(path) => {
                (Domain::UNIX, SockAddr::unix(path).map_err(|_| ConnectFault::Unreachable)?)
            }
        };
        let fault = |error: io::Error| connect_fault(&error);
        let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None).map_err(fault)?;
        if domain != Domain::UNIX {
            socket.set_tcp_nodelay(true).map_err(fault)?;
        }
        match socket.connect(&address) {
            Ok(()) => Ok(Connecting::Done(self.adopt(socket.into()))),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                Ok(Connecting::Pending(self.adopt(socket.into())))
            }
            Err(error) => Err(connect_fault(&error)),
        }
    }

    fn so_error(&mut self, fd: Fd) -> Result<(), ConnectFault> {
        let fd = self.get(fd).ok_or(ConnectFault::Unreachable)?;
        match SockRef::from(&fd).take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(connect_fault(&error)),
        }
    }

    fn delivery(&mut self, fd: Fd, behind: usize) -> Delivery {
        let Some(socket) = self.get(fd) else { return Delivery::Lost };
        let socket = SockRef::from(&socket);
        let is_reset = !matches!(socket.take_error(), Ok(None));
        // A Unix socket that is reset has thrown away what was not read.
        let is_unix = socket.domain().is_ok_and(|domain| domain == Domain::UNIX);
        match raw::unacknowledged(socket.as_fd()) {
            Ok(count) if count <= behind && !(is_unix && is_reset) => Delivery::Acknowledged,
            Ok(_) if !is_reset => Delivery::Pending,
            Ok(_) | Err(_) => Delivery::Lost,
        }
    }

    fn recv(&mut self, fd: Fd, room: &mut [u8]) -> Result<usize, IoFault> {
        recv(fd.0, room, MsgFlags::empty()).map_err(io_fault)
    }

    fn send(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        send_with(fd, head, body, MsgFlags::MSG_NOSIGNAL)
    }

    fn send_last(&mut self, fd: Fd, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        send_with(fd, head, body, MsgFlags::MSG_NOSIGNAL | MsgFlags::from_bits_retain(libc::MSG_MORE))
    }

    fn open_pipe(&mut self) -> Option<Pipe> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        // A user with too many large pipes gets one as the system makes them (pipe(7), pipe-user-pages-soft).
        let enlarged = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
        let size = enlarged.or_else(|_| fcntl(&write, FcntlArg::F_GETPIPE_SZ)).ok()?;
        let capacity = usize::try_from(size).ok()?;
        Some(Pipe { read: self.adopt(read), write: self.adopt(write), capacity })
    }

    fn splice_in(&mut self, from: Fd, pipe: &Pipe, most: usize) -> Result<usize, IoFault> {
        self.splice(from, pipe.write, most)
    }

    fn splice_out(&mut self, pipe: &Pipe, to: Fd, most: usize) -> Result<usize, IoFault> {
        self.splice(pipe.read, to, most)
    }

    fn shutdown_write(&mut self, fd: Fd) {
        if let Some(fd) = self.get(fd) {
            // ENOTCONN, the only failure, means that the connection is gone: the next read says so.
            let _ = SockRef::from(&fd).shutdown(std::net::Shutdown::Write);
        }
    }

    fn open_lot(&mut self) -> Option<Fd> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok()?;
        let fd = Fd(epoll.0.as_raw_fd());
        self.epoll = Some(epoll);
        Some(fd)
    }

    fn park(&mut self, fd: Fd, want: Interest, tag: u64) -> bool {
        let Some(number) = usize::try_from(fd.0).ok() else { return false };
        let (Some(epoll), Some(slot)) = (&self.epoll, self.owned.get_mut(number)) else { return false };
        let Some(owned) = &slot.fd else { return false };
        // The bits of epoll(7) are those of poll(2).
        let want = EpollFlags::from_bits_truncate(events(want).into()) | EpollFlags::EPOLLONESHOT;
        let mut event = EpollEvent::new(want, tag);
        if slot.is_enrolled {
            return epoll.modify(owned, &mut event).is_ok();
        }
        slot.is_enrolled = epoll.add(owned, event).is_ok();
        slot.is_enrolled
    }

    fn read_lot(&mut self, news: &mut Vec<(u64, Ready)>) -> bool {
        let Some(epoll) = &self.epoll else { return true };
        let mut events = [EpollEvent::empty(); NEWS_MAX];
        let count = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        news.extend(events[..count].iter().map(|event| {
            let bits = libc::c_short::try_from(event.events().bits() & 0xffff);
            (event.data(), bits.map_or(Ready::NONE, ready))
        }));
        count < NEWS_MAX
    }

    fn give_away(&mut self, fd: Fd) -> Option<OwnedFd> {
        std::mem::take(self.slot(fd)?).fd
    }

    fn take_in(&mut self, fd: OwnedFd) -> Option<Fd> {
        Some(self.adopt(fd))
    }

    fn close(&mut self, fd: Fd) {
        if let Some(slot) = self.slot(fd) {
            *slot = Slot::default();
        }
    }

    fn reset(&mut self, fd: Fd) {
        if let Some(fd) = self.get(fd) {
            // Without the option the close below is an orderly one: worse, but no reason to keep the descriptor.
            let _ = SockRef::from(&fd).set_linger(Some(Duration::ZERO));
        }
        self.close(fd);
    }
}
