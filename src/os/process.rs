//! Figures of this process for its metrics: proc(5) and getrusage(2).

use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeVal;

/// A process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    /// User and system CPU time.
    pub cpu: Duration,
    /// Bytes in RAM.
    pub resident: u64,
    /// Bytes of address space.
    pub mapped: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// The bound of descriptors.
    pub descriptors_max: u64,
    /// Threads.
    pub threads: usize,
    /// When it was started, since 1970. Left to the caller: the system counts it in ticks since the machine
    /// was started.
    pub started: Duration,
}

impl ProcessUsage {
    /// This process now, without when it was started; `None` where there is no proc(5).
    #[must_use]
    pub fn now() -> Option<ProcessUsage> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let kib = |name| field(&status, name).map(|kib| kib * 1024);
        // One of them reads the directory.
        let descriptors = std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        Some(ProcessUsage {
            cpu: span(usage.user_time()) + span(usage.system_time()),
            resident: kib("VmRSS")?,
            mapped: kib("VmSize")?,
            descriptors,
            descriptors_max: limit,
            threads: usize::try_from(field(&status, "Threads")?).ok()?,
            started: Duration::ZERO,
        })
    }
}

/// Whether the kernel writes core dumps of this process and lets a debugger of its user attach: its memory
/// holds keys (prctl(2), PR_SET_DUMPABLE). It holds until the process becomes another user, or another
/// executable is run.
///
/// # Errors
/// As prctl(2) gives them.
pub fn set_debuggable(is_debuggable: bool) -> io::Result<()> {
    Ok(nix::sys::prctl::set_dumpable(is_debuggable)?)
}

/// The number of a line such as `VmRSS:  1234 kB`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn span(time: TimeVal) -> Duration {
    let micros =
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_more_is_seen_and_memory_is_used() {
        let before = ProcessUsage::now().expect("proc(5)");
        // Other tests open and close some too, but never as many.
        let many: Vec<_> = (0..200).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let after = ProcessUsage::now().expect("proc(5)");
        assert!(after.descriptors >= before.descriptors + 100, "{before:?}, {after:?}");
        assert!(after.resident > 0 && after.mapped >= after.resident && after.threads > 0);
        assert!(after.cpu >= before.cpu && after.descriptors as u64 <= after.descriptors_max);
        drop(many);
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmRSSx:\t1 kB\nVmRSS:\t  42 kB\nThreads:\t3\n";
        assert_eq!(
            (field(status, "VmRSS"), field(status, "Threads"), field(status, "Vm")),
            (Some(42), Some(3), None)
        );
    }
}
