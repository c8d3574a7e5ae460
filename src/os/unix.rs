//! Listening Unix sockets (unix(7)): a file that others may connect to, or a name that only the kernel knows.
//!
//! There is no SO_REUSEPORT for them: all workers share one socket. A file that a process has left behind is taken away, but never
//! one on which somebody listens.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Group, User};
use socket2::{Domain, SockAddr, Socket, Type};

use super::sys::BACKLOG;
use crate::snapshot::Permissions;

/// Whether `path` is a name that only the kernel knows: it begins with a zero byte.
fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().first() == Some(&0)
}

/// Opens a socket that listens at `path`. Others may connect to a file only once it has its owner and its mode.
///
/// # Errors
/// AddrInUse if somebody listens there; if there is a file that is no socket, or an owner is not known; and as socket(2), bind(2),
/// chown(2) and listen(2) give them.
pub fn bind_unix(path: &Path, permissions: &Permissions) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    if is_abstract(path) {
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        return Ok(socket.into());
    }
    remove_left_over(path)?;
    if *permissions != Permissions::default() {
        // The file gets the mode that the socket has when it is bound, less the umask.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(io::Error::from)?;
    }
    socket.bind(&SockAddr::unix(path)?)?;
    if let Err(error) = permit(path, permissions).and_then(|()| socket.listen(BACKLOG)) {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(socket.into())
}

/// Gives the socket at `path` its owner and its mode. Abstract ones have none.
///
/// # Errors
/// If there is no such user or group, and as chown(2) and chmod(2) give them.
pub fn permit(path: &Path, permissions: &Permissions) -> io::Result<()> {
    if is_abstract(path) {
        return Ok(());
    }
    let user = permissions.user.as_deref().map(user_of).transpose()?;
    let group = permissions.group.as_deref().map(group_of).transpose()?;
    let mode = match permissions.mode {
        Some(mode) => Some(mode),
        None if *permissions == Permissions::default() => None,
        // What fchmod(2) has narrowed for the moment before the owner was known.
        None => Some(0o600),
    };
    // Only what is not so yet: a process that root has started may have become somebody who may change nothing.
    let file = fs::symlink_metadata(path)?;
    let user = user.filter(|user| *user != file.uid());
    let group = group.filter(|group| *group != file.gid());
    if user.is_some() || group.is_some() {
        chown(path, user, group)?;
    }
    match mode.filter(|mode| *mode != file.mode() & 0o777) {
        Some(mode) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        None => Ok(()),
    }
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

/// Removes the socket at `path` if nobody listens there any more.
///
/// # Errors
/// AddrInUse if somebody does; if there is a file that is no socket; and as lstat(2) and unlink(2) give them.
pub fn remove_left_over(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::other("there is a file that is not a socket"));
        }
        Ok(_) => {}
    }
    // A listener whose queue is full would keep a caller that blocks.
    let caller = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match caller.connect(&SockAddr::unix(path)?).map(|()| UnixStream::from(OwnedFd::from(caller))) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
    }
}

/// Which file a socket is, so that one that has come in its place is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    number: u64,
}

impl FileIdentity {
    /// That of the socket at `path`; `None` if there is none, or it has no file.
    #[must_use]
    pub fn of(path: &Path) -> Option<FileIdentity> {
        let file = fs::symlink_metadata(path).ok().filter(|file| file.file_type().is_socket())?;
        Some(FileIdentity { device: file.dev(), number: file.ino() })
    }

    /// Removes the file at `path` if it is still this one. One that may not be removed is left for the next who binds there.
    pub fn remove(self, path: &Path) {
        if FileIdentity::of(path) == Some(self) {
            let _ = fs::remove_file(path);
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
        let socket = bind_unix(&path, &Permissions::default()).unwrap();
        UnixStream::connect(&path).unwrap();
        let again = bind_unix(&path, &Permissions::default()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let identity = FileIdentity::of(&path).unwrap();
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
        let permissions = Permissions { mode: Some(0o640), user: Some(user), group: Some(group) };
        let _socket = bind_unix(&path, &permissions).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let path = folder.path().join("owned");
        let nobody = Permissions { user: Some("no such user here".into()), ..Permissions::default() };
        assert!(bind_unix(&path, &nobody).unwrap_err().to_string().contains("`no such user here`"));
        assert!(!path.exists());
    }

    #[test]
    fn an_abstract_name_is_found_again() {
        let name = format!("pollux-test-{}", std::process::id());
        let path = PathBuf::from(format!("\0{name}"));
        let socket = Socket::from(bind_unix(&path, &Permissions::default()).unwrap());
        assert_eq!(path_of(&socket.local_addr().unwrap()), Some(path));
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    }
}
