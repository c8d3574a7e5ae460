//! The pool that lends lanes their buffers: a session that holds no bytes holds no memory for them.

/// The most buffers that are kept for the next lane; above that they go back to the system.
const KEPT_MAX: usize = 256;

/// Buffers of one size, lent and returned, last returned first.
#[derive(Debug)]
pub(super) struct Storage {
    size: usize,
    free: Vec<Box<[u8]>>,
    out: usize,
}

impl Storage {
    /// A pool of buffers of `size` bytes; it makes them as they are needed.
    #[must_use]
    pub(super) fn new(size: usize) -> Storage {
        Storage { size, free: Vec::new(), out: 0 }
    }

    /// Lends a buffer.
    pub(super) fn take(&mut self) -> Box<[u8]> {
        self.out += 1;
        self.free.pop().unwrap_or_else(|| vec![0; self.size].into_boxed_slice())
    }

    /// Takes a buffer back.
    pub(super) fn give(&mut self, buffer: Box<[u8]>) {
        self.out -= 1;
        if self.free.len() < KEPT_MAX {
            self.free.push(buffer);
        }
    }

    /// How many buffers are lent.
    #[must_use]
    pub(super) fn out(&self) -> usize {
        self.out
    }
}
