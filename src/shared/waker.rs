//! Tells the worker that checks backends that one was ejected by another worker.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub struct Waker {
    rung: AtomicU64,
    wake: Mutex<Option<Arc<UnixStream>>>,
}

impl Waker {
    /// Has a byte written to `wake` whenever the waker is rung.
    pub fn hang(&self, wake: Arc<UnixStream>) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    /// Rings it.
    pub fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Release);
        if let Some(wake) = &*self.wake.lock().unwrap_or_else(PoisonError::into_inner) {
            // A full socket wakes as well, and one that is closed has no worker behind it.
            let _ = (&**wake).write(&[1]);
        }
    }

    /// The number of wake-ups.
    #[must_use]
    pub fn rung(&self) -> u64 {
        self.rung.load(Ordering::Acquire)
    }
}
