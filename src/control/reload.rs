//! The effect of a reload, or the reason why it was not done.

use std::fmt;

use super::start_error::StartError;
use crate::snapshot::{Limits, Snapshot};

/// Why the old configuration stays.
#[derive(Debug)]
pub enum ReloadError {
    /// Pollux is about to end.
    Draining,
    /// The new configuration needs something that cannot be had.
    Start(StartError),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::Draining => f.write_str("Pollux is draining: nothing is reloaded any more"),
            ReloadError::Start(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReloadError {}

impl From<StartError> for ReloadError {
    fn from(error: StartError) -> Self {
        ReloadError::Start(error)
    }
}

/// The effect of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Listeners whose sockets are new, each as `name on address`.
    pub opened: Vec<String>,
    /// Listeners whose sockets were closed.
    pub closed: Vec<String>,
    /// Backends that clients may be sent to from now on, as `pool/backend`.
    pub added: Vec<String>,
    /// Backends to which nothing new is sent.
    pub removed: Vec<String>,
    /// Settings that cannot change while Pollux runs.
    pub later: Vec<String>,
    /// Changes of an operator that the configuration now overrides.
    pub dropped: Vec<String>,
    /// Changes of an operator that still hold.
    pub kept: Vec<String>,
}

impl Reloaded {
    /// The difference between the backends of two configurations.
    pub(super) fn between(old: &Snapshot, new: &Snapshot) -> Reloaded {
        Reloaded { added: missing(old, new), removed: missing(new, old), ..Reloaded::default() }
    }

    /// The effects, one a line.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let all = [
            ("opened listener", &self.opened),
            ("closed listener", &self.closed),
            ("added backend", &self.added),
            ("removed backend", &self.removed),
            ("takes effect at the next start:", &self.later),
            ("does not hold any more:", &self.dropped),
            ("still holds, changed while running:", &self.kept),
        ];
        all.into_iter().flat_map(|(what, names)| names.iter().map(move |name| format!("{what} {name}")))
    }
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reloaded")?;
        self.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// The backends of `other` whose pool and address are not in `one`.
fn missing(one: &Snapshot, other: &Snapshot) -> Vec<String> {
    let mut names = Vec::new();
    for pool in &other.pools {
        let same = one.pools.iter().find(|same| same.name == pool.name);
        for backend in &pool.backends {
            let is_there = |other: &crate::snapshot::Backend| other.address == backend.address;
            if !same.is_some_and(|same| same.backends.iter().any(is_there)) {
                names.push(format!("{}/{}", pool.name, backend.name));
            }
        }
    }
    names
}

/// Holds `limits` to what the buffers that are in use can do; says what has to wait for the next start.
pub(super) fn hold_to_buffers(limits: &mut Limits, buffer: usize) -> Vec<String> {
    let mut later = Vec::new();
    if limits.buffer != buffer {
        later.push(format!("limits.buffer = {} (it is {buffer})", limits.buffer));
        limits.buffer = buffer;
    }
    if limits.head > buffer {
        later.push(format!("limits.head = {} (a buffer holds {buffer})", limits.head));
        limits.head = buffer;
    }
    later
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_never_longer_than_a_buffer() {
        let mut limits = Limits { head: 5000, buffer: 8192, ..Limits::default() };
        assert_eq!(
            hold_to_buffers(&mut limits, 4096),
            ["limits.buffer = 8192 (it is 4096)", "limits.head = 5000 (a buffer holds 4096)"]
        );
        assert_eq!((limits.head, limits.buffer), (4096, 4096));
        assert!(hold_to_buffers(&mut limits, 4096).is_empty());
    }
}
