//! The system calls that neither nix nor socket2 offers as the loop needs them. This is the only unsafe code.
//!
//! nix's `poll` knows no POLLRDHUP, and loses the other events of a descriptor that reports it; its `accept4` does not say
//! who was accepted, and getpeername(2) would be one more call per connection.
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;

/// `ppoll(2)` without a signal mask: waits at most `timeout`, for ever if `None`, and returns how many entries have
/// something in `revents`.
///
/// # Errors
/// EINTR, or ENOMEM.
pub(super) fn ppoll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(|span| libc::timespec {
        tv_sec: libc::time_t::try_from(span.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(span.subsec_nanos()),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `fds` is valid for reads and writes of its length for the whole call, `timeout` is null or points to a
    // timespec that outlives the call, and a null mask leaves the signals alone.
    let count =
        unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout, std::ptr::null()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// `accept4(2)` with SOCK_NONBLOCK and SOCK_CLOEXEC, and the address of whoever was accepted.
///
/// # Errors
/// As the call gives them.
pub(super) fn accept4(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut accepted = None;
    // SAFETY: the closure is given storage and a length that fit each other, and accept4 writes an address no longer
    // than that length and sets it, which is what `try_init` asks for.
    let (_, address) = unsafe {
        socket2::SockAddr::try_init(|storage, length| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let fd = libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // accept4 has just returned it, and nobody else owns it.
            accepted = Some(OwnedFd::from_raw_fd(fd));
            Ok(())
        })
    }?;
    let fd = accepted.ok_or(io::ErrorKind::InvalidData)?;
    let address = address.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok((fd, address))
}

/// Has malloc(3) give blocks of `size` bytes or more back to the system when they are freed (mallopt(3),
/// M_MMAP_THRESHOLD), and take them from it untouched: what is not used of one costs no memory. Without it such blocks come
/// out of heaps that shrink only from their ends.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn map_large_blocks(size: usize) {
    // SAFETY: mallopt takes two numbers and changes nothing but how later allocations are served. It can be called at any
    // time.
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
    fn accept4_says_why_it_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(accept4(listener.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
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
