//! The destinations of access lines: a stream, a file that can be opened anew, or syslog.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::post::LineSink;
use super::whole::{Lost, WholeLines};

impl LineSink for WholeLines {
    fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        self.put(lines)
    }
}

/// A file that is appended to.
pub(super) struct Appended {
    path: AppendedTo,
    file: Option<WholeLines>,
}

/// The path of a file that is appended to; clones have the same one opened anew.
#[derive(Clone, Debug)]
pub(super) struct AppendedTo {
    path: PathBuf,
    /// The file that was opened last and is not written to yet.
    opened: Arc<Mutex<Option<File>>>,
}

impl AppendedTo {
    pub(super) fn new(path: &Path) -> AppendedTo {
        AppendedTo { path: path.to_owned(), opened: Arc::default() }
    }

    /// Opens what is at the path now: lines go there from the next batch on.
    pub(super) fn open(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sink(&self) -> Appended {
        Appended { path: self.clone(), file: None }
    }
}

/// The mode of a log that is made here: it has paths, addresses and names of clients.
const MODE: u32 = 0o640;

/// Opens a file to append to. A FIFO that has no reader is an error, since waiting for one would stop
/// the thread. Once the FIFO is open, a write to it does wait.
fn open(path: &Path) -> io::Result<File> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_symlink());
    let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    if is_link {
        trust_links(path)?;
    } else {
        // One that comes in this very moment is not followed.
        flags |= OFlag::O_NOFOLLOW;
    }
    let file =
        OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags.bits()).open(path)?;
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(file)
}

/// The most links, one behind the other, that lead to a file (path_resolution(7) allows as many).
const LINKS_MAX: usize = 40;

/// Follows the links at `path` as far as they are this user's or root's. Otherwise another user who may write
/// to the folder of a log could make root append to any file.
fn trust_links(path: &Path) -> io::Result<()> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let file = match std::fs::symlink_metadata(&path) {
            Ok(file) if file.file_type().is_symlink() => file,
            Ok(_) | Err(_) => return Ok(()),
        };
        if file.uid() != 0 && file.uid() != nix::unistd::geteuid().as_raw() {
            let why = format!("{} is a link of another user, and is not followed", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let target = std::fs::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(io::Error::from_raw_os_error(nix::libc::ELOOP))
}

impl LineSink for Appended {
    fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        // The lock is not held during a write to a slow disk, so reopening the file does not wait for it.
        let opened = self.path.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = opened {
            self.file = Some(WholeLines::new(file));
        }
        match &mut self.file {
            Some(file) => file.put(lines),
            None => {
                let error = io::Error::new(io::ErrorKind::NotFound, "the file is not open");
                Err(Lost { lines: memchr::memchr_iter(b'\n', lines).count() as u64, error })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
        let log = AppendedTo::new(&path);
        let mut sink = log.sink();
        assert!(sink.write(b"none\n").is_err());
        log.open().unwrap();
        sink.write(b"one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        sink.write(b"two\n").unwrap();
        log.open().unwrap();
        sink.write(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        // A file that cannot be opened leaves the open one in place.
        let unopenable = AppendedTo { path: directory.path().to_owned(), ..log };
        assert!(unopenable.open().is_err());
        sink.write(b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\nfour\n");
    }

    #[test]
    fn a_log_is_made_for_its_user_and_group() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "{mode:o}");
        // A file that is already there keeps its mode.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn a_link_is_followed_if_it_is_ones_own() {
        let directory = tempfile::tempdir().unwrap();
        let (log, link) = (directory.path().join("a.log"), directory.path().join("link"));
        std::os::unix::fs::symlink("a.log", &link).unwrap();
        open(&link).unwrap().write_all(b"one\n").unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\n");
        // Only root can make a link that belongs to another user.
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(65534), Some(65534)).unwrap();
            assert_eq!(open(&link).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            let second = directory.path().join("second");
            std::os::unix::fs::symlink("link", &second).unwrap();
            assert_eq!(open(&second).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn a_fifo_that_nobody_reads_is_an_error_and_no_stand_still() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(open(&path).unwrap_err().raw_os_error(), Some(nix::libc::ENXIO));
    }
}
