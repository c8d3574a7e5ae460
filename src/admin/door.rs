//! The socket of the admin address, and the threads behind it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::reply::Reply;
use super::request::{self, Source};
use super::site::Site;
use super::{Admin, guard};
use crate::control::{Command, Reply as Answer};

/// Callers that are served at the same time; one more is told to come back.
const CALLERS_MAX: usize = 32;

/// How long a caller may take to take the answer, and then to close.
const PATIENCE: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_millis(500);

/// How often, and for how long, an address that another process is about to give up is asked for.
const RETRY: Duration = Duration::from_millis(50);
const RETRIED: Duration = Duration::from_secs(60);

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

/// How the main thread is asked: by whom, and what. `None` if nobody is there any more.
pub(crate) type Ask = Arc<dyn Fn(String, Command) -> Option<Answer> + Send + Sync>;

/// The open door. Dropping it closes the address; whoever is being served is served.
#[derive(Debug)]
pub struct AdminDoor {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_closed: AtomicBool,
    /// To wake up who waits in accept(2).
    listener: Mutex<Option<TcpListener>>,
    callers: AtomicUsize,
}

impl AdminDoor {
    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminDoor {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        if let Some(listener) = self.shared.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A socket that listens no more ends the accept(2) of the thread, which closes the other copy.
            let _ = socket2::SockRef::from(&listener).shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// Takes the listener in; gives it back if the door has been closed meanwhile.
    fn hold(&self, listener: &TcpListener) -> io::Result<bool> {
        let mut held = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed.load(Ordering::SeqCst) {
            return Ok(false);
        }
        *held = Some(listener.try_clone()?);
        Ok(true)
    }
}

/// Opens the admin address.
///
/// # Errors
/// As bind(2) gives them, or if there can be no more threads.
pub(crate) fn open(admin: &Admin, readiness: &Readiness, ask: &Ask) -> io::Result<AdminDoor> {
    let listener = TcpListener::bind(admin.bind)?;
    let (address, shared) = (listener.local_addr()?, Arc::new(Shared::default()));
    shared.hold(&listener)?;
    let site = Arc::new(Site::new(admin, readiness.clone(), Arc::clone(ask)));
    let behind = Arc::clone(&shared);
    thread::Builder::new().name("admin".into()).spawn(move || serve(&listener, &behind, &site))?;
    Ok(AdminDoor { address, shared })
}

/// The same, as soon as another process has given the address up.
///
/// # Errors
/// If there can be no more threads.
pub(crate) fn open_when_free(admin: &Admin, readiness: &Readiness, ask: &Ask) -> io::Result<AdminDoor> {
    let shared = Arc::new(Shared::default());
    let site = Arc::new(Site::new(admin, readiness.clone(), Arc::clone(ask)));
    let (address, behind) = (admin.bind, Arc::clone(&shared));
    let wait = move || {
        let begun = Instant::now();
        loop {
            match TcpListener::bind(address) {
                Ok(listener) if behind.hold(&listener).unwrap_or(false) => {
                    return serve(&listener, &behind, &site);
                }
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < RETRIED => {
                    if behind.is_closed.load(Ordering::SeqCst) {
                        return;
                    }
                    thread::sleep(RETRY);
                }
                Err(error) => {
                    tracing::error!(%address, %error, "the admin address cannot be bound; it goes on without");
                    return;
                }
            }
        }
    };
    thread::Builder::new().name("admin".into()).spawn(wait)?;
    Ok(AdminDoor { address, shared })
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>, site: &Arc<Site>) {
    while !shared.is_closed.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, caller)) => greet(stream, caller, shared, site),
            Err(_) if shared.is_closed.load(Ordering::SeqCst) => return,
            Err(error) => {
                tracing::warn!(%error, "a caller at the admin address was not served");
                // Without a descriptor accept fails at once, time and again.
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Serves a caller in a thread of its own, if there are not too many.
fn greet(stream: TcpStream, caller: SocketAddr, shared: &Arc<Shared>, site: &Arc<Site>) {
    if shared.callers.fetch_add(1, Ordering::SeqCst) >= CALLERS_MAX {
        shared.callers.fetch_sub(1, Ordering::SeqCst);
        let _ = stream.set_nonblocking(true);
        let _ = Reply::error(503, "too many callers at the admin address").write(&mut &stream, false);
        return;
    }
    let (behind, site) = (Arc::clone(shared), Arc::clone(site));
    let serve = move || {
        if let Err(error) = serve_one(stream, caller, &site) {
            tracing::debug!(%caller, %error, "a caller at the admin address has gone");
        }
        behind.callers.fetch_sub(1, Ordering::SeqCst);
    };
    if thread::Builder::new().name("admin-caller".into()).spawn(serve).is_err() {
        shared.callers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Source for TcpStream {
    fn allow(&self, span: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(span))
    }
}

fn serve_one(mut stream: TcpStream, caller: SocketAddr, site: &Site) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let (reply, is_head) = match request::read(&mut stream) {
        Ok(None) => return Ok(()),
        Ok(Some(request)) => {
            let reply = guard::check(&request, site.token())
                .map_or_else(|refusal| refusal, |()| site.answer(&request, &caller));
            (reply, request.method == "HEAD")
        }
        Err(reply) => (reply, false),
    };
    reply.write(&mut stream, is_head)?;
    linger(&mut stream)
}

/// Lets the caller close first, so that no reset overtakes the answer.
fn linger(stream: &mut TcpStream) -> io::Result<()> {
    use std::io::Read;
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LINGER))?;
    let (mut rest, begun) = ([0; 1024], Instant::now());
    // What follows the one request is never read as another one.
    while begun.elapsed() < LINGER && stream.read(&mut rest)? > 0 {}
    Ok(())
}
