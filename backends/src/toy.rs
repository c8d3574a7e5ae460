//! A running toy backend: the listener, the thread that accepts, and the end of it all.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::behaviour::Behaviour;
use crate::peer::Conn;
use crate::serve;
use crate::shared::Shared;

/// The number of clients that may wait to be accepted; the kernel may cap it.
const BACKLOG: i32 = 4096;

/// The time for which the acceptor rests after a failed accept, which is mostly a lack of descriptors that
/// time heals.
const ACCEPT_REST: Duration = Duration::from_millis(10);

/// The stack of a connection's thread: nothing here recurses, and thousands of them must fit.
const STACK_LEN: usize = 256 * 1024;

/// A running toy backend. Dropping it stops it, as [`Toy::stop`] does.
pub struct Toy {
    place: Place,
    listener: Arc<Socket>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Toy {
    /// Starts a backend on a TCP address; port 0 takes a free one. Clients can connect as soon as this
    /// returns. The name appears in every answer, so it must be visible ASCII.
    pub fn start(listen: SocketAddr, name: &str, behaviour: Behaviour) -> io::Result<Toy> {
        let listener = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
        // Otherwise a restart on the same port would fail while old connections are in TIME_WAIT.
        listener.set_reuse_address(true)?;
        listener.bind(&listen.into())?;
        let bound = listener.local_addr()?.as_socket().unwrap_or(listen);
        Toy::run(Place::Tcp(bound), listener, name, behaviour)
    }

    /// Starts a backend on a Unix socket. A socket file that nobody listens on any more is replaced; the file
    /// is removed when the toy stops.
    pub fn start_unix(path: &Path, name: &str, behaviour: Behaviour) -> io::Result<Toy> {
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let address = SockAddr::unix(path)?;
        if let Err(error) = listener.bind(&address) {
            if error.kind() != io::ErrorKind::AddrInUse || !is_stale(path) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            listener.bind(&address)?;
        }
        Toy::run(Place::Unix(path.to_owned()), listener, name, behaviour)
    }

    fn run(place: Place, listener: Socket, name: &str, behaviour: Behaviour) -> io::Result<Toy> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name must be visible ASCII"));
        }
        listener.listen(BACKLOG)?;
        let listener = Arc::new(listener);
        let shared = Arc::new(Shared::new(name, behaviour));
        let acceptor = thread::Builder::new().name(format!("toy {name}")).spawn({
            let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
            move || accept_all(&listener, &shared)
        })?;
        Ok(Toy { place, listener, shared, acceptor: Some(acceptor) })
    }

    /// The TCP address that this backend listens on, with the real port.
    ///
    /// # Panics
    ///
    /// If it listens on a Unix socket; [`Toy::listening_on`] serves both.
    pub fn address(&self) -> SocketAddr {
        match &self.place {
            Place::Tcp(address) => *address,
            Place::Unix(path) => panic!("unix:{} has no TCP address", path.display()),
        }
    }

    /// Where this backend listens, as `--listen` would be given it: `127.0.0.1:9001` or `unix:/path`.
    pub fn listening_on(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// The name that its answers carry.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its behaviour.
    pub fn behaviour(&self) -> &Behaviour {
        &self.shared.behaviour
    }

    /// The number of connections that have been accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted()
    }

    /// The number of complete request heads that have been received so far, malformed ones included.
    pub fn requests(&self) -> u64 {
        self.shared.requests()
    }

    /// The request heads received, byte for byte, oldest first; only the last 1024 are kept.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.shared.seen()
    }

    /// Ends the backend as a killed process would end: the listener is closed, answers stop wherever they
    /// are, and when this returns every connection is closed.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.shared.stop();
        // On Linux this wakes the accept that the acceptor blocks in.
        let _ = self.listener.shutdown(std::net::Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.shared.wait_till_empty();
        if let Place::Unix(path) = &self.place {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn is_stale(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn accept_all(listener: &Socket, shared: &Arc<Shared>) {
    while shared.has_room() {
        match listener.accept() {
            Ok((socket, _)) => admit(socket, shared),
            // The rest is cut short when the toy stops, and then the loop ends.
            Err(_) => drop(shared.pause(ACCEPT_REST)),
        }
    }
}

/// Gives a connection its thread. If there is none to be had, the connection is closed.
fn admit(socket: Socket, shared: &Arc<Shared>) {
    // A Unix socket knows no such option, and needs none.
    let _ = socket.set_tcp_nodelay(true);
    let conn = Conn::new(socket);
    let Some(id) = shared.enter(&conn) else { return };
    let seat = Seat { shared: Arc::clone(shared), id };
    let name = format!("toy {} {id}", shared.name);
    let started = thread::Builder::new().name(name).stack_size(STACK_LEN).spawn(move || {
        // The seat is given up last, panic or not: the table must not say that a connection is over while it
        // is not.
        let seat = seat;
        serve::connection(conn, &seat.shared);
    });
    drop(started);
}

/// A place in the table of open connections; dropping it gives the place up.
struct Seat {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.leave(self.id);
    }
}
