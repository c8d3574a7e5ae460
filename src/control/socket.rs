//! The control socket: a Unix stream socket that only its owner can use. A caller writes one line of JSON, an [`OperatorRequest`], and
//! reads one, a [`Reply`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::events::{Call, ControlEvent};
use crate::operator::{OperatorRequest, Reply};
use crate::os::{FileIdentity, remove_left_over, user_at};

/// The longest request, and the longest reply, in bytes.
const REQUEST_MAX: u64 = 64 * 1024;
const REPLY_MAX: u64 = 16 * 1024 * 1024;

/// Callers that wait.
const BACKLOG: i32 = 16;

/// Callers that are served at the same time. One more ends the one that has kept Pollux waiting for longest.
const CALLERS_MAX: usize = 16;

/// The time that a caller may take for its request, or for a piece of the answer.
const CALLER_TIMEOUT: Duration = Duration::from_secs(2);

/// The name of the socket in the file system, which goes with this value.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    file: FileIdentity,
    /// Keeps the inode from being given to another file.
    _listener: UnixListener,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another Pollux may have put its own there since.
        self.file.remove(&self.path);
    }
}

impl SocketFile {
    /// Puts the socket at `path` in one step, in the place of the one that is there.
    ///
    /// # Errors
    /// If there is something else than a socket, and as rename(2) gives them; the socket stays where it is.
    pub fn take_place(&mut self, path: &Path) -> io::Result<()> {
        if FileIdentity::of(path).is_none() && path.symlink_metadata().is_ok() {
            return Err(io::Error::other("there is a file that is not a socket"));
        }
        std::fs::rename(&self.path, path)?;
        self.path = path.to_owned();
        Ok(())
    }
}

/// Listens at `path`, in the place of a socket that a Pollux has left behind.
pub(super) fn open(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_left_over(path).map_err(|error| {
        let is_taken = error.kind() == io::ErrorKind::AddrInUse;
        if is_taken { io::Error::other("another Pollux listens there") } else { error }
    })?;
    open_at(path)
}

/// Listens beside `path`, under a name of this process.
pub(super) fn open_beside(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let beside = path.with_file_name(format!(".pollux-{}", std::process::id()));
    remove_left_over(&beside)?;
    open_at(&beside)
}

fn open_at(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    // The file gets the mode that the socket has when it is bound, so there is no moment at which others could connect.
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::sys::stat::fchmod(&socket, mode).map_err(io::Error::from)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from(OwnedFd::from(socket));
    let file =
        FileIdentity::of(path).ok_or_else(|| io::Error::other("the file has gone as soon as it was made"))?;
    let pin = listener.try_clone().inspect_err(|_| file.remove(path))?;
    Ok((listener, SocketFile { path: path.to_owned(), file, _listener: pin }))
}

/// A caller that is served.
#[derive(Debug)]
struct Caller {
    stream: UnixStream,
    /// Whether the main thread has its request: then it is not the caller who is waited for.
    is_asking: AtomicBool,
}

/// The callers that are served, the oldest first.
#[derive(Clone, Debug, Default)]
struct Callers(Arc<Mutex<Vec<Arc<Caller>>>>);

impl Callers {
    /// Takes in one more, if there is room or one that can be given up for it.
    fn admit(&self, stream: UnixStream) -> Option<Arc<Caller>> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= CALLERS_MAX {
            let idle = callers.iter().position(|caller| !caller.is_asking.load(Ordering::Relaxed))?;
            // It is read from and written to no more, so its thread ends.
            let _ = callers.remove(idle).stream.shutdown(Shutdown::Both);
        }
        callers.push(Arc::new(Caller { stream, is_asking: AtomicBool::new(false) }));
        callers.last().cloned()
    }

    fn dismiss(&self, caller: &Arc<Caller>) {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|other| !Arc::ptr_eq(other, caller));
    }
}

/// Serves callers, each in a thread of its own, so that a caller that neither writes nor reads delays no
/// other. Ends when the main thread takes no more events.
pub(super) fn serve(listener: &UnixListener, events: &SyncSender<ControlEvent>) {
    let (callers, is_over) = (Callers::default(), Arc::new(AtomicBool::new(false)));
    while !is_over.load(Ordering::Relaxed) {
        let greeted = listener.accept().and_then(|(stream, _)| {
            let Some(caller) = callers.admit(stream) else {
                return Err(io::Error::other("all that can be served wait for their answers"));
            };
            let (callers, events, is_over) = (callers.clone(), events.clone(), Arc::clone(&is_over));
            let serve = move || {
                match serve_one(&caller, &events) {
                    Ok(true) => {}
                    Ok(false) => is_over.store(true, Ordering::Relaxed),
                    Err(error) => tracing::warn!(%error, "a caller at the control socket was not served"),
                }
                callers.dismiss(&caller);
            };
            thread::Builder::new().name("control-caller".into()).spawn(serve).map(drop)
        });
        if let Err(error) = greeted {
            tracing::warn!(%error, "a caller at the control socket was not served");
            // Without a descriptor accept fails at once, time and again.
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// False if the main thread takes no more events.
fn serve_one(who: &Caller, events: &SyncSender<ControlEvent>) -> io::Result<bool> {
    let stream = &who.stream;
    stream.set_read_timeout(Some(CALLER_TIMEOUT))?;
    stream.set_write_timeout(Some(CALLER_TIMEOUT))?;
    let mut line = String::new();
    if BufReader::new(stream.take(REQUEST_MAX)).read_line(&mut line)? == 0 {
        // The caller only tested whether the socket answers.
        return Ok(true);
    }
    let reply = match serde_json::from_str(&line) {
        Ok(request) => {
            let (sender, receiver) = sync_channel(1);
            let by = format!("{} at the control socket", user_at(stream));
            who.is_asking.store(true, Ordering::Relaxed);
            if events.send(ControlEvent::Call(Call::new(request, by, sender))).is_err() {
                return Ok(false);
            }
            let Ok(reply) = receiver.recv() else { return Ok(true) };
            who.is_asking.store(false, Ordering::Relaxed);
            reply
        }
        Err(error) => Reply::text(1, format!("this Pollux does not understand what is asked of it: {error}")),
    };
    let mut text = serde_json::to_string(&reply)?;
    text.push('\n');
    (&*stream).write_all(text.as_bytes())?;
    Ok(true)
}

/// Asks the Pollux at `path`, and waits for the answer for as long as that takes.
///
/// # Errors
/// If no process listens there, or it goes away without an answer.
pub fn ask(path: &Path, request: &OperatorRequest) -> io::Result<Reply> {
    let stream = UnixStream::connect(path)?;
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    (&stream).write_all(text.as_bytes())?;
    let mut line = String::new();
    if BufReader::new(stream.take(REPLY_MAX)).read_line(&mut line)? == 0 {
        return Err(io::Error::other("Pollux has gone without an answer"));
    }
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Command;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_socket_is_its_owners_and_goes_with_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let (listener, file) = open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(open(&path).is_err(), "two can listen at one path");
        std::fs::remove_file(&path).unwrap();
        let (other_listener, other) = open(&path).unwrap();
        drop((listener, file));
        assert!(path.exists(), "the file of another one was removed");
        drop((other_listener, other));
        assert!(!path.exists());
        drop(UnixListener::bind(&path).unwrap());
        assert!(open(&path).is_ok(), "what was left behind is in the way");
    }

    #[test]
    fn a_socket_takes_the_place_of_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let (old_listener, old) = open(&path).unwrap();
        let (listener, mut file) = open_beside(&path).unwrap();
        file.take_place(&path).unwrap();
        drop((old_listener, old));
        let precious = directory.path().join("precious");
        std::fs::write(&precious, "text").unwrap();
        assert!(file.take_place(&precious).is_err());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "text");
        std::fs::remove_file(&precious).unwrap();
        let _caller = UnixStream::connect(&path).unwrap();
        assert!(listener.accept().is_ok());
        drop(file);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_not_taken_for_a_socket() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(open(file.path()).is_err() && file.path().exists());
    }

    #[test]
    fn callers_that_say_and_read_nothing_keep_nobody_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let (listener, _file) = open(&path).unwrap();
        let (sender, events) = sync_channel(1);
        thread::spawn(move || serve(&listener, &sender));
        let long = "x".repeat(4 * 1024 * 1024);
        let answering = thread::spawn(move || {
            for _ in 0..2 {
                let Ok(ControlEvent::Call(call)) = events.recv() else { panic!("no call") };
                call.answer(Reply::text(0, long.clone()));
            }
        });
        // One that does not read its answer, and more silent ones than can be served.
        let request = OperatorRequest { command: Command::Status };
        let mut deaf = UnixStream::connect(&path).unwrap();
        deaf.write_all(format!("{}\n", serde_json::to_string(&request).unwrap()).as_bytes()).unwrap();
        let silent: Vec<_> = (0..2 * CALLERS_MAX).map(|_| UnixStream::connect(&path).unwrap()).collect();
        assert_eq!(ask(&path, &request).unwrap().text.len(), 4 * 1024 * 1024);
        answering.join().unwrap();
        drop(silent);
    }

    #[test]
    fn who_asks_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let (listener, _file) = open(&path).unwrap();
        let (sender, events) = sync_channel(1);
        let answering = std::thread::spawn(move || {
            let Ok(ControlEvent::Call(call)) = events.recv() else { panic!("no call") };
            assert_eq!(call.request.command, Command::Reload);
            call.answer(Reply::text(2, "no\n"));
        });
        let serving = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            serve_one(&Caller { stream, is_asking: AtomicBool::new(false) }, &sender).unwrap()
        });
        let reply = ask(&path, &OperatorRequest { command: Command::Reload }).unwrap();
        assert_eq!((reply.exit, reply.text.as_str()), (2, "no\n"));
        answering.join().unwrap();
        assert!(serving.join().unwrap());
    }
}
