//! Messages to a service manager (sd_notify(3)): one datagram of `NAME=value` lines to the socket that
//! NOTIFY_SOCKET names.
//!
//! A service manager is optional: without the variable nothing is sent, and failed sends are ignored.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The way to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Manager {
    way: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that has started this process, as the environment tells.
    #[must_use]
    pub fn from_environment() -> Manager {
        let way = env::var("NOTIFY_SOCKET").ok().and_then(|name| match way_to(&name) {
            Ok(way) => Some(way),
            Err(error) => {
                tracing::warn!(name, %error, "NOTIFY_SOCKET names no socket; the service manager is told nothing");
                None
            }
        });
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        // Without WATCHDOG_PID every process is meant; so is the one whose place this one has taken.
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()))
            || env::var(super::handover::VARIABLE).is_ok();
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_meant).map(Duration::from_micros);
        Manager { way, watchdog: watchdog.filter(|span| !span.is_zero()) }
    }

    /// The interval at which it wants a sign of life; half of the time after which it would give the process
    /// up.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.way.as_ref().and(self.watchdog).map(|span| span / 2)
    }

    /// Everything is up. `status` is for people.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The configuration is being read again; [`Manager::ready`] says when that is over.
    pub fn reloading(&self) {
        // systemd holds the time against that of its signal (Type=notify-reload).
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let now = now.map_or(0, |now| now.as_micros());
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// The end has begun.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// The state of the process, for people.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// All is well.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Another process is the one to be watched from now on.
    pub fn main_is(&self, pid: u32, status: &str) {
        self.send(&format!("MAINPID={pid}\nREADY=1\nSTATUS={}", one_line(status)));
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.way {
            // A manager that does not listen misses something; that is no reason not to serve.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

fn way_to(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// A status is one line; what comes behind its first would be taken for other names.
fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_a_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let manager = Manager {
            way: Some(way_to(path.to_str().unwrap()).unwrap()),
            watchdog: Some(Duration::from_secs(4)),
        };
        assert_eq!(manager.watchdog(), Some(Duration::from_secs(2)));
        manager.ready("serves\nMAINPID=1");
        manager.main_is(7, "moved");
        let hear = || {
            let mut bytes = [0; 256];
            let length = listener.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        assert_eq!(hear(), "READY=1\nSTATUS=serves");
        assert_eq!(hear(), "MAINPID=7\nREADY=1\nSTATUS=moved");
        manager.reloading();
        assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }

    #[test]
    fn without_a_manager_nothing_is_sent() {
        let manager = Manager::default();
        manager.alive();
        assert_eq!(manager.watchdog(), None);
    }
}
