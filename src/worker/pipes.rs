//! The pipes through which splice(2) moves bodies from one socket to another without a copy into this
//! process.
//!
//! A lane has a pipe only while it moves bytes through it, and only one at a time: it is filled when it is
//! empty, and emptied before it is filled again, so that EAGAIN never has two meanings (an empty socket, or a
//! full pipe).

use crate::os::{IoFault, Os, Pipe};
use crate::wire::Wire;

/// Empty pipes that are kept for the next body.
const FREE_MAX: usize = 8;

/// When to splice.
#[derive(Clone, Copy, Debug)]
pub struct Splicing {
    /// Pipes at once; 0 for never. Each takes two descriptors.
    pub pipes: usize,
    /// The number of bytes of a message that must be left.
    pub least: u64,
}

/// With 64 KiB left splice(2) costs a little more than a read and a write, with 256 KiB a quarter less, with
/// 1 MiB half (bench/README.md says how that was measured).
const LEAST: u64 = 128 * 1024;

impl Default for Splicing {
    fn default() -> Splicing {
        Splicing { pipes: 64, least: LEAST }
    }
}

impl Splicing {
    /// No pipes.
    pub const NEVER: Splicing = Splicing { pipes: 0, least: u64::MAX };
}

/// A pipe on loan.
#[derive(Debug)]
pub(super) struct Loan {
    pipe: Pipe,
    /// The number of bytes in it.
    held: usize,
}

impl Loan {
    /// Moves at most `most` bytes from `wire` into the pipe, which is empty; 0 is the end.
    pub(super) fn fill<O: Os>(&mut self, os: &mut O, wire: &Wire, most: u64) -> Result<usize, IoFault> {
        debug_assert!(self.held == 0, "a pipe is emptied before it is filled again");
        let most = usize::try_from(most).map_or(self.pipe.capacity, |most| most.min(self.pipe.capacity));
        let count = os.splice_in(wire.fd(), &self.pipe, most)?;
        self.held += count;
        Ok(count)
    }

    /// Moves what lies in the pipe to `wire`.
    pub(super) fn drain<O: Os>(&mut self, os: &mut O, wire: &Wire) -> Result<usize, IoFault> {
        let count = os.splice_out(&self.pipe, wire.fd(), self.held)?;
        self.held -= count;
        Ok(count)
    }

    /// The number of bytes that a pipe holds about at most.
    pub(super) fn capacity(&self) -> usize {
        self.pipe.capacity
    }
}

/// The pipes of a worker.
#[derive(Debug)]
pub(super) struct Pipes {
    free: Vec<Pipe>,
    out: usize,
    most: usize,
}

impl Pipes {
    /// At most `most`, opened as they are needed.
    pub(super) fn new(most: usize) -> Pipes {
        Pipes { free: Vec::new(), out: 0, most }
    }

    /// Lends an empty pipe, unless too many are lent or there is no descriptor for it: then bodies go through
    /// memory.
    pub(super) fn take<O: Os>(&mut self, os: &mut O) -> Option<Loan> {
        if self.out >= self.most {
            return None;
        }
        let pipe = self.free.pop().or_else(|| os.open_pipe())?;
        self.out += 1;
        Some(Loan { pipe, held: 0 })
    }

    /// Takes a pipe back. One that still holds bytes is closed.
    pub(super) fn give<O: Os>(&mut self, os: &mut O, loan: Loan) {
        self.out -= 1;
        if loan.held == 0 && self.free.len() < FREE_MAX {
            self.free.push(loan.pipe);
        } else {
            os.close_pipe(loan.pipe);
        }
    }

    /// Closes the unused ones.
    pub(super) fn close_free<O: Os>(&mut self, os: &mut O) {
        self.free.drain(..).for_each(|pipe| os.close_pipe(pipe));
    }

    /// The number of pipes that are lent.
    pub(super) fn out(&self) -> usize {
        self.out
    }
}
