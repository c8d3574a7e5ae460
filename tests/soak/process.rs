//! The real command, as a process of its own, so that its descriptors and its memory can be counted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use toy_backends::Toy;

/// The time after the last client within which everything must be given back.
const REST_MAX: Duration = Duration::from_secs(30);
const WORKERS: usize = 2;

pub(crate) struct Process {
    child: Child,
    /// Held open, for Pollux may want to say more.
    _stdout: BufReader<ChildStdout>,
    /// Where good backends are, and where bad ones.
    pub(crate) good: SocketAddr,
    pub(crate) bad: SocketAddr,
}

fn pool(name: &str, toys: &[Toy]) -> String {
    let backends: Vec<_> = toys.iter().map(|toy| format!("\"{}\"", toy.address())).collect();
    format!("[pool.{name}]\nbackends = [{}]\n", backends.join(", "))
}

impl Process {
    pub(crate) fn start(good: &[Toy], bad: &[Toy]) -> Process {
        let text = format!(
            "threads = {WORKERS}\n\
             [[listener]]\nname = \"good\"\nbind = \"127.0.0.1:0\"\npool = \"good\"\n\
             [[listener]]\nname = \"bad\"\nbind = \"127.0.0.1:0\"\npool = \"bad\"\n\
             {}{}\
             [timeouts]\nlinger = \"200ms\"\nbackend_idle = \"500ms\"\nclient_idle = \"20s\"\nclient_head = \"2s\"\n\
             [limits]\nbody = \"1MiB\"\n",
            pool("good", good),
            pool("bad", bad)
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.toml");
        fs::write(&file, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_pollux"))
            .arg("-c")
            .arg(&file)
            .args(["--access-log", "off"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut address = || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            line.split(' ').nth(2).unwrap_or_else(|| panic!("not ready: {line:?}")).parse().unwrap()
        };
        let (good, bad) = (address(), address());
        let process = Process { child, _stdout: stdout, good, bad };
        process.becomes_complete();
        process
    }

    /// Waits until both workers have opened their lots: only then it has all the descriptors that it keeps.
    fn becomes_complete(&self) {
        let begun = Instant::now();
        let is_lot = |path: &Path| path.to_string_lossy().contains("eventpoll");
        let lots = || self.files().filter(|path| is_lot(path)).count();
        while lots() < WORKERS {
            assert!(begun.elapsed() < REST_MAX, "a worker has not begun");
            std::thread::yield_now();
        }
    }

    /// The targets of its descriptors.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until no more descriptors are open than `at_rest`.
    pub(crate) fn comes_to_rest(&self, at_rest: usize) {
        let begun = Instant::now();
        while self.descriptors() > at_rest {
            let open = self.descriptors();
            assert!(begun.elapsed() < REST_MAX, "{open} descriptors are open, {at_rest} were before");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM; it must end well.
    pub(crate) fn end(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    /// A test that has failed leaves no process behind; one that has ended well has none any more.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
