//! The socket of the admin address, and the threads behind it.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Admin;
use super::callers::{Callers, Place, Stage};
use super::reply::Reply;
use super::request::{self, Source};
use super::site::Site;
use crate::operator::{Command, Reply as Answer};
use crate::os::{FileIdentity, bind_unix, listening_on, permit, user_at};
use crate::snapshot::Address;

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: i32 = 128;

/// The time that a caller may take to read the whole answer, and then to close.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_millis(500);

/// The bytes of an answer that one write takes: a Unix socket takes as much in one piece.
const PIECE: usize = 16 * 1024;

/// Whether clients are to be sent here.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says it.
    pub fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Asks the main thread: the caller and its request. `None` if the main thread has ended.
pub(crate) type Ask = Arc<dyn Fn(String, Command) -> Option<Answer> + Send + Sync>;

/// The socket of an admin address, on its way from one process to the next.
#[derive(Debug)]
pub struct Handed {
    /// A copy of it.
    pub socket: OwnedFd,
    /// The file that it was bound as, if it is a Unix socket that has one.
    pub file: Option<FileIdentity>,
}

/// The admin address. It listens from the beginning and answers once [`AdminDoor::serve`] is called. Dropping
/// it closes the address; callers that are being served get their answers.
#[derive(Debug)]
pub struct AdminDoor {
    address: Address,
    /// A copy, for the next process.
    socket: Socket,
    /// The file of a Unix socket.
    file: Option<FileIdentity>,
    /// Whether the file goes with this value: not while another process serves it.
    is_ours: bool,
    /// A byte in it begins the service, its end ends it.
    order: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
    callers: Callers,
}

impl AdminDoor {
    /// The address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Answers those who call; until now they have waited in the queue of the socket.
    pub fn serve(&mut self) {
        self.is_ours = true;
        // The thread reads until its end of the pipe is closed with it.
        let _ = self.order.as_mut().map(|order| order.write_all(b"s"));
    }

    /// The callers that are still to be answered when the acceptor is closed.
    #[must_use]
    pub fn callers(&self) -> Callers {
        self.callers.clone()
    }

    /// A copy of the socket, for the process that takes over.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn hand_out(&self) -> io::Result<Handed> {
        Ok(Handed { socket: self.socket.as_fd().try_clone_to_owned()?, file: self.file })
    }

    /// Closes it without removing the file, which another process serves now.
    pub fn leave(mut self) {
        self.is_ours = false;
    }
}

impl Drop for AdminDoor {
    fn drop(&mut self) {
        self.order = None;
        if let Some(thread) = self.thread.take() {
            // It waits for nothing but the pipe and callers.
            let _ = thread.join();
        }
        if let (true, Some(file), Address::Unix(path)) = (self.is_ours, self.file, &self.address) {
            file.remove(path);
        }
    }
}

/// Opens the admin address, with the socket that another process has `handed` over if there is one.
///
/// # Errors
/// As bind(2) gives them, or if there can be no more threads.
pub(crate) fn open(
    admin: &Admin,
    handed: Option<Handed>,
    readiness: &Readiness,
    ask: &Ask,
) -> io::Result<AdminDoor> {
    let is_ours = handed.is_none();
    let (socket, file) = match handed {
        Some(handed) => take_in(admin, handed)?,
        None => bind(admin)?,
    };
    let address = listening_on(&socket).ok_or_else(|| io::Error::other("it does not listen"))?;
    let listener = socket.try_clone()?;
    let (ordered, order) = io::pipe()?;
    let site = Arc::new(Site::new(admin, readiness.clone(), Arc::clone(ask)));
    let callers = Callers::default();
    let behind = callers.clone();
    let serve = move || serve(&listener, ordered, &behind, &site);
    let thread = thread::Builder::new().name("admin".into()).spawn(serve)?;
    Ok(AdminDoor { address, socket, file, is_ours, order: Some(order), thread: Some(thread), callers })
}

fn bind(admin: &Admin) -> io::Result<(Socket, Option<FileIdentity>)> {
    let (socket, file) = match &admin.bind {
        Address::Unix(path) => {
            let (socket, file) = bind_unix(path, &admin.permissions())?;
            (Socket::from(socket), file)
        }
        Address::Ip(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&SockAddr::from(*address))?;
            socket.listen(BACKLOG)?;
            (socket, None)
        }
    };
    socket.set_nonblocking(true)?;
    Ok((socket, file))
}

/// Takes the socket of another process; where its file is no more, another one is bound.
fn take_in(admin: &Admin, handed: Handed) -> io::Result<(Socket, Option<FileIdentity>)> {
    if let (Address::Unix(path), Some(file)) = (&admin.bind, handed.file) {
        if FileIdentity::of(path) != Some(file) {
            return bind(admin);
        }
        permit(path, file, &admin.permissions())?;
    }
    let socket = Socket::from(handed.socket);
    socket.set_nonblocking(true)?;
    Ok((socket, handed.file))
}

/// Serves from the first byte that is read from `order` until its end.
fn serve(listener: &Socket, mut order: PipeReader, callers: &Callers, site: &Arc<Site>) {
    if order.read_exact(&mut [0]).is_err() {
        return;
    }
    loop {
        let mut waits =
            [PollFd::new(order.as_fd(), PollFlags::POLLIN), PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        let polled = poll(&mut waits, PollTimeout::NONE);
        if polled.is_ok() && waits[0].any().unwrap_or(true) {
            return;
        }
        match listener.accept() {
            Ok((stream, caller)) => greet(stream, &caller, callers, site),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                tracing::warn!(%error, "a caller at the admin address was not served");
                // Without a descriptor accept fails at once, time and again.
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The caller's name, for the log of changes.
fn name_of(stream: &Socket, caller: &SockAddr) -> String {
    match caller.as_socket() {
        Some(address) => address.ip().to_canonical().to_string(),
        None => user_at(stream),
    }
}

/// Serves a caller in a thread of its own, if there is a place or another caller makes room.
fn greet(stream: Socket, caller: &SockAddr, callers: &Callers, site: &Arc<Site>) {
    let place = match callers.seat(&stream) {
        Ok(Some(place)) => place,
        Ok(None) | Err(_) => {
            let _ = stream.set_nonblocking(true);
            let _ = Reply::error(503, "too many callers at the admin address").write(&mut &stream, false);
            return;
        }
    };
    let (site, caller) = (Arc::clone(site), name_of(&stream, caller));
    let serve = move || {
        if let Err(error) = serve_one(stream, &caller, &site, &place) {
            tracing::debug!(caller, %error, "a caller at the admin address has gone");
        }
    };
    if let Err(error) = thread::Builder::new().name("admin-caller".into()).spawn(serve) {
        tracing::warn!(%error, "a caller at the admin address was not served");
    }
}

/// A stream that takes bytes until a point in time, however few it takes at once.
struct Until<'a> {
    stream: &'a Socket,
    end: Instant,
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_write_timeout(Some(left))?;
        let mut stream = self.stream;
        // A Unix socket takes a long text in pieces, and has the whole time for each of them.
        stream.write(&bytes[..bytes.len().min(PIECE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Socket {
    fn allow(&self, span: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(span))
    }
}

fn serve_one(mut stream: Socket, caller: &str, site: &Site, place: &Place) -> io::Result<()> {
    // A Unix socket has no such option.
    let _ = stream.set_tcp_nodelay(true);
    let (reply, is_head) = match request::read(&mut stream) {
        Ok(None) => return Ok(()),
        Ok(Some(request)) => {
            place.reach(Stage::Answering);
            let reply =
                site.check(&request).map_or_else(|refusal| refusal, |()| site.answer(&request, caller));
            (reply.encoded(request.field("accept-encoding")), request.method == "HEAD")
        }
        Err(reply) => (reply, false),
    };
    place.reach(Stage::Answering);
    reply.write(&mut Until { stream: &stream, end: Instant::now() + WRITE_TIMEOUT }, is_head)?;
    place.reach(Stage::Leaving);
    linger(&mut stream)
}

/// Lets the caller close first, so that no reset overtakes the answer.
fn linger(stream: &mut Socket) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LINGER))?;
    let (mut rest, begun) = ([0; 1024], Instant::now());
    // Bytes behind the one request are never read as another one.
    while begun.elapsed() < LINGER && stream.read(&mut rest)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_one_deadline_however_often_a_caller_takes_a_byte() {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let caller = thread::spawn(move || {
            let mut theirs = theirs;
            while theirs.read(&mut [0; 1]).is_ok_and(|count| count > 0) {}
        });
        let end = Instant::now() + Duration::from_millis(200);
        // More than a caller takes byte by byte in that time, and more than the kernel holds for it.
        let told = Until { stream: &ours, end }.write_all(&vec![0; 64 << 20]);
        let kind = told.map_err(|error| error.kind());
        assert!(matches!(kind, Err(io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)), "{kind:?}");
        ours.shutdown(Shutdown::Both).unwrap();
        caller.join().unwrap();
    }
}
