//! The system calls that neither nix nor socket2 offers as the loop needs them. This is the only unsafe code.
//!
//! nix's `poll` knows no POLLRDHUP, and loses the other events of a descriptor that reports it; its `accept4`
//! does not say who was accepted, and getpeername(2) would be one more call per connection. Descriptors that
//! come from another process are bare numbers everywhere: here they get an owner.
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::snapshot::NO_ADDRESS;

/// `ppoll(2)` without a signal mask: waits at most `timeout`, forever if `None`, and returns how many entries
/// have something in `revents`.
///
/// # Errors
/// EINTR, or ENOMEM.
pub(super) fn ppoll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(|span| libc::timespec {
        tv_sec: libc::time_t::try_from(span.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(span.subsec_nanos()),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `fds` is valid for reads and writes of its length for the whole call, `timeout` is null or
    // points to a timespec that outlives the call, and a null mask leaves the signals alone.
    let count =
        unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout, std::ptr::null()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// `address`; IPv4 where it is an IPv4 address mapped into IPv6, as an IPv6 socket reports it (ipv6(7)).
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, address.port()),
        // A link-local address keeps its interface.
        _ => address,
    }
}

/// `accept4(2)` with SOCK_NONBLOCK and SOCK_CLOEXEC, and the address of the accepted client; [`NO_ADDRESS`]
/// on a Unix socket.
///
/// # Errors
/// As the call gives them.
pub(super) fn accept4(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut accepted = None;
    // SAFETY: the closure is given storage and a length that fit each other, and accept4 writes an address no
    // longer than that length and sets it, which is what `try_init` asks for.
    let (_, address) = unsafe {
        socket2::SockAddr::try_init(|storage, length| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let fd = libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // accept4 has just returned it, and nothing else owns it.
            accepted = Some(OwnedFd::from_raw_fd(fd));
            Ok(())
        })
    }?;
    let fd = accepted.ok_or(io::ErrorKind::InvalidData)?;
    let address = match address.as_socket() {
        Some(address) => canonical(address),
        None if address.is_unix() => NO_ADDRESS,
        None => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok((fd, address))
}

/// The number of bytes that were written to a socket, a FIN among them, and that the other side's system has
/// not acknowledged (SIOCOUTQ, tcp(7)); over a Unix socket, how many the other side has not read (unix(7)).
///
/// # Errors
/// As ioctl(2) gives them.
pub(super) fn unacknowledged(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the request writes one int, to which the pointer points for the whole call.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, std::ptr::from_mut(&mut count)) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(count).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The first descriptor that a service manager passes (sd_listen_fds(3)).
const PASSED_FIRST: RawFd = 3;

/// The most that are looked at, whatever LISTEN_FDS says.
const PASSED_MAX: RawFd = 1024;

/// The descriptors that a service manager has passed to this process, each with its name if it has one
/// (sd_listen_fds(3)): those of LISTEN_FDS and LISTEN_FDNAMES, if LISTEN_PID is this process. A second call
/// gives none.
///
/// To be called before anything else is opened. A descriptor that this process has opened has FD_CLOEXEC,
/// which nothing that outlived execve(2) can have: it is left alone.
#[must_use]
pub fn passed_by_manager() -> Vec<(OwnedFd, String)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) || TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
    let count = RawFd::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(RawFd::MAX).min(PASSED_MAX);
    // SAFETY: the manager has passed these descriptors to this very process, whose number it has named, so
    // what is open there and has outlived execve(2) has no other owner; and the swap above ensures that it is
    // taken over once.
    unsafe { take_over(PASSED_FIRST..PASSED_FIRST + count) }
        .zip(names)
        .filter_map(|(fd, name)| Some((fd?, name)))
        .collect()
}

/// Takes over those of `numbers` that are open and have no FD_CLOEXEC, which they then get; `None` for each
/// other one.
///
/// # Safety
/// No other owner may hold an open descriptor without FD_CLOEXEC that has one of these numbers.
unsafe fn take_over(numbers: std::ops::Range<RawFd>) -> impl Iterator<Item = Option<OwnedFd>> {
    numbers.map(|fd| {
        // SAFETY: fcntl with F_GETFD only looks at the number, whatever it is.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
            return None;
        }
        // SAFETY: it is open, and the caller guarantees that nothing else owns it. F_SETFD changes no memory.
        unsafe {
            libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC);
            Some(OwnedFd::from_raw_fd(fd))
        }
    })
}

/// Receives one message, of at most `room` bytes, from a Unix socket that keeps messages apart, with the
/// sockets that were sent along (SCM_RIGHTS, unix(7)): as many as [`SOCKETS_MAX`]. An empty message is the
/// end.
///
/// # Errors
/// As recvmsg(2) gives them; EMSGSIZE if the message, or what came with it, was cut.
pub fn receive_with_sockets(from: &OwnedFd, room: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; room];
    let mut space = nix::cmsg_space!([RawFd; SOCKETS_MAX]);
    let mut parts = [io::IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let (length, flags) = (message.bytes, message.flags);
    let mut sockets = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = part {
            // SAFETY: the kernel has just made these descriptors for this process (SCM_RIGHTS), and nothing
            // else knows of them.
            sockets.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    bytes.truncate(length);
    Ok((bytes, sockets))
}

/// The most sockets that go along with one message; the kernel's bound is 253.
pub const SOCKETS_MAX: usize = 64;

/// Has malloc(3) give blocks of `size` bytes or more back to the system when they are freed (mallopt(3),
/// M_MMAP_THRESHOLD), and take them from it untouched: what is not used of one costs no memory. Without it
/// such blocks come out of heaps that shrink only from their ends.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn map_large_blocks(size: usize) {
    // SAFETY: mallopt takes two numbers and changes nothing but how later allocations are served. It can be
    // called at any time.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, libc::c_int::try_from(size).unwrap_or(libc::c_int::MAX)) };
}

/// Other allocators do as they do.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn map_large_blocks(_size: usize) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn entry(fd: &impl AsRawFd, events: i16) -> libc::pollfd {
        libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }
    }

    #[test]
    fn accept4_gives_a_non_blocking_socket_and_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (fd, address) = accept4(listener.as_fd()).unwrap();
        assert_eq!(address, client.local_addr().unwrap());
        let mut accepted = TcpStream::from(fd);
        let mut room = [0; 4];
        assert_eq!(accepted.read(&mut room).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"ping").unwrap();
        ppoll(&mut [entry(&accepted, libc::POLLIN)], None).unwrap();
        assert_eq!(accepted.read(&mut room).unwrap(), 4);
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_has_its_ipv4_address() {
        let options = crate::snapshot::SocketOptions { v6only: false, ..Default::default() };
        let (listener, bound) = crate::os::sys::bind_with("[::]:0".parse().unwrap(), &options).unwrap();
        let client = TcpStream::connect(("127.0.0.1", bound.port())).unwrap();
        let (_, address) = accept4(listener.as_fd()).unwrap();
        assert_eq!(address, client.local_addr().unwrap());
        let client = TcpStream::connect(("::1", bound.port())).unwrap();
        let (_, address) = accept4(listener.as_fd()).unwrap();
        assert_eq!(address, client.local_addr().unwrap());
        let linked = "[fe80::1%2]:443".parse().unwrap();
        assert_eq!(canonical(linked), linked);
    }

    #[test]
    fn accept4_says_why_it_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(accept4(listener.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn only_what_has_outlived_execve_is_taken_over() {
        let file = std::fs::File::open("/dev/null").unwrap();
        // Numbers that no other test has come to: of one that was passed, one of this process, and a closed
        // one.
        let first = 700;
        // SAFETY: these numbers are free in this process, and the kernel gives out no number above the lowest
        // free one.
        let (passed, own) = unsafe {
            assert_eq!(libc::dup2(file.as_raw_fd(), first), first);
            (first, OwnedFd::from_raw_fd(libc::dup3(file.as_raw_fd(), first + 1, libc::O_CLOEXEC)))
        };
        // SAFETY: `passed` was made above, and has no owner.
        let taken: Vec<_> = unsafe { take_over(first..first + 3) }.collect();
        let numbers: Vec<_> = taken.iter().map(|fd| fd.as_ref().map(AsRawFd::as_raw_fd)).collect();
        assert_eq!(numbers, [Some(passed), None, None]);
        // SAFETY: fcntl with F_GETFD only looks at the number.
        assert_eq!(unsafe { libc::fcntl(passed, libc::F_GETFD) } & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        drop(own);
    }

    #[test]
    fn ppoll_tells_the_end_apart_and_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let mut fds = [entry(&accepted, libc::POLLRDHUP)];
        assert_eq!(ppoll(&mut fds, Some(Duration::ZERO)).unwrap(), 0);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(ppoll(&mut fds, None).unwrap(), 1);
        assert_eq!(fds[0].revents, libc::POLLRDHUP);
    }
}
