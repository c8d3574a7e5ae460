//! Listening Unix sockets (unix(7)): a file that others may connect to, or a name that only the kernel knows.
//!
//! There is no SO_REUSEPORT for them: all workers share one socket. A file that a process has left behind is
//! removed, but never one on which a process listens.
//!
//! Others may be able to write to the folder, and this process may be root. So a file is changed by a
//! descriptor that never follows a link (O_PATH, O_NOFOLLOW), and only if its device and inode are those that
//! were bound.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::libc::{S_IFMT, S_IFSOCK};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat};
use nix::unistd::{Gid, Group, Uid, User, fchownat};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

use super::sys::BACKLOG;
use crate::snapshot::Permissions;

/// Whether `path` is a name that only the kernel knows: it begins with a zero byte.
pub fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().first() == Some(&0)
}

/// A file that is held without being opened: whatever is put at its path afterwards, this is the one that was
/// there.
struct Held {
    descriptor: OwnedFd,
    stat: FileStat,
}

impl Held {
    /// The file at `path`, itself and not the target of a link; `None` if there is nothing.
    fn open(path: &Path) -> io::Result<Option<Held>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let descriptor = match open(path, flags, Mode::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stat = fstat(&descriptor)?;
        Ok(Some(Held { descriptor, stat }))
    }

    fn is_socket(&self) -> bool {
        self.stat.st_mode & S_IFMT == S_IFSOCK
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity { device: self.stat.st_dev, number: self.stat.st_ino }
    }

    /// Gives it its owner and its mode, as far as it has not got them: a process that root started may have
    /// become a user who may not change them.
    fn permit(&self, permissions: &Permissions) -> io::Result<()> {
        let user = number_of(permissions.uid, permissions.user.as_deref(), user_of)?;
        let group = number_of(permissions.gid, permissions.group.as_deref(), group_of)?;
        let mode = match permissions.mode {
            Some(mode) => Some(mode),
            None if *permissions == Permissions::default() => None,
            // The mode before fchmod(2) narrowed it, for the moment before the owner was known.
            None => Some(0o600),
        };
        let user = user.filter(|user| *user != self.stat.st_uid).map(Uid::from_raw);
        let group = group.filter(|group| *group != self.stat.st_gid).map(Gid::from_raw);
        if user.is_some() || group.is_some() {
            fchownat(&self.descriptor, "", user, group, AtFlags::AT_EMPTY_PATH)?;
        }
        match mode.filter(|mode| *mode != self.stat.st_mode & 0o777) {
            // fchmod(2) takes no such descriptor, but its name in proc(5) leads to the very file.
            Some(mode) => {
                let path = format!("/proc/self/fd/{}", self.descriptor.as_raw_fd());
                fs::set_permissions(path, fs::Permissions::from_mode(mode))
            }
            None => Ok(()),
        }
    }
}

/// Opens a socket that listens at `path`, and says which file it has, if it has one. Others may connect to a
/// file only once it has its owner and its mode.
///
/// # Errors
/// AddrInUse if a process listens there; if there is a file that is no socket, or an owner is not known; and
/// as socket(2), bind(2), chown(2) and listen(2) give them.
pub fn bind_unix(path: &Path, permissions: &Permissions) -> io::Result<(OwnedFd, Option<FileIdentity>)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    if is_abstract(path) {
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        return Ok((socket.into(), None));
    }
    remove_left_over(path)?;
    if *permissions != Permissions::default() {
        // The file gets the mode that the socket has when it is bound, less the umask.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(io::Error::from)?;
    }
    socket.bind(&SockAddr::unix(path)?)?;
    let held = Held::open(path)?.filter(Held::is_socket);
    let held = held.ok_or_else(|| io::Error::other("the file has gone as soon as it was made"))?;
    if let Err(error) = held.permit(permissions).and_then(|()| socket.listen(BACKLOG)) {
        held.identity().remove(path);
        return Err(error);
    }
    Ok((socket.into(), Some(held.identity())))
}

/// Gives the file at `path`, which was bound as `file`, its owner and its mode.
///
/// # Errors
/// If there is another file now, or no such user or group, and as chown(2) and chmod(2) give them.
pub fn permit(path: &Path, file: FileIdentity, permissions: &Permissions) -> io::Result<()> {
    match Held::open(path)? {
        Some(held) if held.identity() == file => held.permit(permissions),
        Some(_) => Err(io::Error::other("another file has come in its place")),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Looks up the numbers of the user and the group, if they exist. A directory service may be slow to answer.
pub fn look_up_owners(permissions: &mut Permissions) {
    permissions.uid = permissions.user.as_deref().and_then(|user| user_of(user).ok());
    permissions.gid = permissions.group.as_deref().and_then(|group| group_of(group).ok());
}

/// The time for which the removal of a socket's file may block its caller.
const REMOVE_TIMEOUT: Duration = Duration::from_millis(500);

/// Looks at the file of the socket at `path`, for whose disk a bind would wait too.
pub fn await_disk(path: &Path) {
    if !is_abstract(path) {
        // Whether it is there is for the bind to say.
        let _ = fs::symlink_metadata(path);
    }
}

/// The number that is known, or else the one that `look_up` finds for `name`, if there is a name.
fn number_of(
    known: Option<u32>,
    name: Option<&str>,
    look_up: impl FnOnce(&str) -> io::Result<u32>,
) -> io::Result<Option<u32>> {
    known.map_or_else(|| name.map(look_up).transpose(), |number| Ok(Some(number)))
}

/// The number of the user of this name or number.
fn user_of(text: &str) -> io::Result<u32> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let found = User::from_name(text)?;
    found.map(|user| user.uid.as_raw()).ok_or_else(|| io::Error::other(format!("there is no user `{text}`")))
}

/// The number of the group of this name or number.
fn group_of(text: &str) -> io::Result<u32> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let found = Group::from_name(text)?;
    found
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| io::Error::other(format!("there is no group `{text}`")))
}

/// The user of the process at the other end of a connected Unix socket, for people.
#[must_use]
pub fn user_at(stream: &impl AsFd) -> String {
    match getsockopt(stream, PeerCredentials) {
        Ok(credentials) => {
            let uid = Uid::from_raw(credentials.uid());
            User::from_uid(uid).ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
        }
        Err(_) => String::from("somebody"),
    }
}

/// Removes the socket at `path` if no process listens there any more.
///
/// # Errors
/// AddrInUse if a process does; if there is a file that is no socket; and as lstat(2) and unlink(2) give
/// them.
pub fn remove_left_over(path: &Path) -> io::Result<()> {
    let held = match Held::open(path)? {
        None => return Ok(()),
        Some(held) if !held.is_socket() => {
            return Err(io::Error::other("there is a file that is not a socket"));
        }
        Some(held) => held,
    };
    // A listener whose queue is full would keep a caller that blocks.
    let caller = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match caller.connect(&SockAddr::unix(path)?).map(|()| UnixStream::from(OwnedFd::from(caller))) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            held.identity().remove(path);
            Ok(())
        }
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
    }
}

/// The identity of a socket's file, so that another file in its place is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    device: u64,
    number: u64,
}

impl FileIdentity {
    /// The identity of the socket at `path`; `None` if there is no socket, or it has no file.
    #[must_use]
    pub fn of(path: &Path) -> Option<FileIdentity> {
        Held::open(path).ok().flatten().filter(Held::is_socket).map(|held| held.identity())
    }

    /// Removes the file at `path` if it is still this one. One that may not be removed is left for the next
    /// who binds there. The caller does not wait for the disk of the file for longer than half a second.
    pub fn remove(self, path: &Path) {
        let (path, (is_removing, removed)) = (path.to_owned(), mpsc::channel::<()>());
        let remove = move || {
            if FileIdentity::of(&path) == Some(self) {
                let _ = fs::remove_file(&path);
            }
            drop(is_removing);
        };
        match thread::Builder::new().name("remove".into()).spawn(remove) {
            // Nothing is sent: the channel ends with the closure.
            Ok(_) => drop(removed.recv_timeout(REMOVE_TIMEOUT)),
            Err(error) => tracing::warn!(%error, "there is no thread that could remove the file of a socket"),
        }
    }
}

/// The path of a socket's address; `None` if it is no Unix socket, or has no name.
pub(super) fn path_of(address: &SockAddr) -> Option<PathBuf> {
    if let Some(path) = address.as_pathname() {
        return Some(path.to_owned());
    }
    let name = address.as_abstract_namespace()?;
    let bytes = [&[0], name].concat();
    Some(PathBuf::from(OsStr::from_bytes(&bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    use super::*;

    #[test]
    fn a_file_that_was_left_behind_is_no_hindrance_and_a_listener_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (socket, identity) = bind_unix(&path, &Permissions::default()).unwrap();
        UnixStream::connect(&path).unwrap();
        let again = bind_unix(&path, &Permissions::default()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(identity, FileIdentity::of(&path));
        let identity = identity.unwrap();
        drop(socket);
        identity.remove(&path);
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        assert!(bind_unix(&path, &Permissions::default()).is_err());
        identity.remove(&path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[test]
    fn a_file_has_the_mode_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o660, 0o666] {
            let path = folder.path().join(format!("{mode:o}"));
            let permissions = Permissions { mode: Some(mode), ..Permissions::default() };
            let _socket = bind_unix(&path, &permissions).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
        let path = folder.path().join("numbered");
        let (user, group) = (nix::unistd::geteuid().to_string(), nix::unistd::getegid().to_string());
        let permissions =
            Permissions { mode: Some(0o640), user: Some(user), group: Some(group), ..Permissions::default() };
        let _socket = bind_unix(&path, &permissions).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let path = folder.path().join("owned");
        let mut nobody = Permissions { user: Some("no such user here".into()), ..Permissions::default() };
        look_up_owners(&mut nobody);
        assert_eq!(nobody.uid, None);
        assert!(bind_unix(&path, &nobody).unwrap_err().to_string().contains("`no such user here`"));
        assert!(!path.exists());
        // A name that was looked up is not looked up again.
        let uid = nix::unistd::geteuid().as_raw();
        let known = Permissions { uid: Some(uid), ..nobody };
        let _socket = bind_unix(&path, &known).unwrap();
        let mut own = Permissions { user: Some(uid.to_string()), ..Permissions::default() };
        look_up_owners(&mut own);
        assert_eq!((own.uid, own.gid), (Some(uid), None));
    }

    #[test]
    fn what_has_come_in_the_place_of_the_file_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("a.sock"), folder.path().join("precious"));
        let permissions = Permissions { mode: Some(0o666), ..Permissions::default() };
        let (_socket, file) = bind_unix(&path, &permissions).unwrap();
        let file = file.unwrap();
        permit(&path, file, &Permissions { mode: Some(0o660), ..Permissions::default() }).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        fs::write(&precious, "text").unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(permit(&path, file, &permissions).unwrap_err().kind(), io::ErrorKind::NotFound);
        for link in [true, false] {
            if link {
                std::os::unix::fs::symlink(&precious, &path).unwrap();
            } else {
                fs::hard_link(&precious, &path).unwrap();
            }
            assert!(permit(&path, file, &permissions).unwrap_err().to_string().contains("another file"));
            file.remove(&path);
            assert!(fs::symlink_metadata(&path).is_ok(), "the file of another one was removed");
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::metadata(&precious).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_abstract_name_is_found_again() {
        let name = format!("pollux-test-{}", std::process::id());
        let path = PathBuf::from(format!("\0{name}"));
        let socket = Socket::from(bind_unix(&path, &Permissions::default()).unwrap().0);
        assert_eq!(path_of(&socket.local_addr().unwrap()), Some(path));
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    }
}
