//! A snapshot as a file that says it: everything, defaults included.

mod listener;
mod pool;
mod process;
pub(super) mod route;
pub(super) mod words;
mod written;

use super::ProcessSettings;
use super::language::{LIMITS, RECORDER, TIMEOUTS};
use super::settings::print_lines;
use crate::snapshot::Snapshot;
use listener::print_listener;
use pool::print_pool;
use process::print_process;
pub use written::Written;

/// `snapshot` as TOML that loads to the same. Files that it includes and variables that it uses have become
/// what they stood for; of a file that a route answers with, the path is named.
#[must_use]
pub fn print(snapshot: &Snapshot, process: &ProcessSettings) -> String {
    let mut out = String::new();
    print_process(&mut out, process);
    for listener in &snapshot.listeners {
        print_listener(&mut out, listener, snapshot);
    }
    for pool in &snapshot.pools {
        print_pool(&mut out, pool);
    }
    out.push_str("[timeouts]\n");
    print_lines(&mut out, &TIMEOUTS, &snapshot.timeouts);
    out.push_str("\n[limits]\n");
    print_lines(&mut out, &LIMITS, &snapshot.limits);
    out.push_str("\n[recorder]\n");
    print_lines(&mut out, &RECORDER, &snapshot.limits.recorder);
    out
}

/// The configuration with environment variables as the file names them. It loads to the same value while the
/// variables have the same values. With `hides`, credentials in the file itself are left out, for readers who
/// may not see them.
#[must_use]
pub fn print_as_written(
    snapshot: &Snapshot,
    process: &ProcessSettings,
    written: &Written,
    hides: bool,
) -> String {
    written::as_written(&print(snapshot, process), written, hides)
}
