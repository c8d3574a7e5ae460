//! Lines that go out whole or not at all, also where a disk fills up in the middle of one.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

/// Lines that could not be written.
#[derive(Debug)]
pub struct Lost {
    /// The number of lines.
    pub lines: u64,
    /// Why the last of them could not.
    pub error: io::Error,
}

/// A descriptor to which lines are written. A write that stops in the middle of a line is taken back where
/// that is possible; elsewhere the rest of the line goes out before anything else does.
#[derive(Debug)]
pub struct WholeLines {
    to: File,
    /// The rest of a line whose beginning has gone out.
    rest: Vec<u8>,
}

impl WholeLines {
    /// Writes to `to`.
    #[must_use]
    pub fn new(to: File) -> WholeLines {
        WholeLines { to, rest: Vec::new() }
    }

    /// Writes to what `stream` is open to.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn beside(stream: &impl AsFd) -> io::Result<WholeLines> {
        let copy: OwnedFd = stream.as_fd().try_clone_to_owned()?;
        Ok(WholeLines::new(File::from(copy)))
    }

    /// Writes `lines`, each with its line feed.
    ///
    /// # Errors
    /// If lines could not be written. The others have gone out.
    pub fn put(&mut self, lines: &[u8]) -> Result<(), Lost> {
        let count = |lines: &[u8]| memchr::memchr_iter(b'\n', lines).count() as u64;
        while !self.rest.is_empty() {
            match write_some(&mut self.to, &self.rest) {
                Ok(sent) => drop(self.rest.drain(..sent)),
                Err(error) => return Err(Lost { lines: count(lines), error }),
            }
        }
        let mut sent = 0;
        while sent < lines.len() {
            match write_some(&mut self.to, &lines[sent..]) {
                Ok(more) => sent += more,
                Err(error) => {
                    let whole = self.end_well(lines, sent);
                    return Err(Lost { lines: count(&lines[whole..]), error });
                }
            }
        }
        Ok(())
    }

    /// Sees to it that after `sent` bytes no part of a line stands alone; returns where the lines end that
    /// have gone out, or will.
    fn end_well(&mut self, lines: &[u8], sent: usize) -> usize {
        let whole = memchr::memrchr(b'\n', &lines[..sent]).map_or(0, |at| at + 1);
        if whole == sent || take_back(&mut self.to, (sent - whole) as u64) {
            return whole;
        }
        let end = memchr::memchr(b'\n', &lines[sent..]).map_or(lines.len(), |at| sent + at + 1);
        self.rest.extend_from_slice(&lines[sent..end]);
        end
    }
}

/// For a log whose lines come one by one.
impl Write for WholeLines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.put(lines).map(|()| lines.len()).map_err(|lost| lost.error)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_some(to: &mut File, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Cuts the last `torn` bytes off a regular file, if no other process has written behind them.
fn take_back(to: &mut File, torn: u64) -> bool {
    let cut = || {
        let file = to.metadata()?;
        let end = to.stream_position()?;
        if !file.is_file() || file.len() != end || end < torn {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        to.set_len(end - torn)?;
        to.seek(SeekFrom::Start(end - torn))
    };
    let mut cut = cut;
    cut().is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_torn_line_is_taken_back_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let open = || std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let mut lines = WholeLines::new(open());
        lines.put(b"one\n").unwrap();
        lines.to.write_all(b"two\nthr").unwrap();
        assert_eq!(lines.end_well(b"two\nthree\n", 7), 4);
        lines.put(b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nfour\n");
        // Another process has written behind it: the line is ended as soon as possible.
        lines.to.write_all(b"fi").unwrap();
        open().write_all(b"other\n").unwrap();
        assert_eq!(lines.end_well(b"five\n", 2), 5);
        lines.put(b"six\n").unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("fiother\nve\nsix\n"));
    }

    #[test]
    fn a_torn_line_is_ended_in_a_pipe() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut lines = WholeLines::beside(&writer).unwrap();
        lines.to.write_all(b"o").unwrap();
        assert_eq!(lines.end_well(b"one\ntwo\n", 1), 4);
        lines.put(b"three\n").unwrap();
        drop((lines, writer));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\nthree\n");
    }

    #[test]
    fn lines_that_do_not_go_out_are_counted() {
        let mut lines = WholeLines::new(File::options().write(true).open("/dev/full").unwrap());
        let lost = lines.put(b"one\ntwo\n").unwrap_err();
        assert_eq!((lost.lines, lost.error.raw_os_error()), (2, Some(nix::libc::ENOSPC)));
    }
}
