//! Access lines as syslog messages (RFC 5424), a datagram for each.
//!
//! The format is a line of text, and the sockets are those of the standard library: the crates for it bring a
//! logger of their own along, which this is not.

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use super::post::LineSink;
use super::whole::Lost;
use crate::os;

/// Facility local0 and severity informational (RFC 5424 §6.2.1).
const PRIORITY: u8 = 16 * 8 + 6;

/// The longest message, in bytes: what a datagram of UDP over IPv4 holds (RFC 768: 65,535 less two headers).
const MESSAGE_MAX: usize = 65_507;

/// The end of a message with a line that was cut.
const CUT: &[u8] = b"[cut]";

/// The time for which a receiver that takes nothing is waited for, for each message.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// The address of a syslog receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// By UDP (RFC 5426).
    Udp(SocketAddr),
    /// By a datagram socket of this machine, such as `/dev/log`.
    Unix(PathBuf),
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Receiver::Udp(address) => write!(f, "syslog:udp://{address}"),
            Receiver::Unix(path) => write!(f, "syslog:unix:{}", path.display()),
        }
    }
}

/// The sender.
pub(super) struct Syslog {
    socket: Socket,
    host: String,
    process: u32,
    message: Vec<u8>,
}

enum Socket {
    Udp(UdpSocket),
    Unix { path: PathBuf, socket: UnixDatagram, is_connected: bool },
}

impl Syslog {
    /// Opens a socket. Each send finds out anew whether there is a receiver.
    pub(super) fn open(to: &Receiver) -> io::Result<Syslog> {
        let socket = match to {
            Receiver::Udp(address) => {
                let from: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(from)?;
                socket.connect(address)?;
                Socket::Udp(socket)
            }
            Receiver::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(SEND_TIMEOUT))?;
                Socket::Unix { path: path.clone(), socket, is_connected: false }
            }
        };
        Ok(Syslog { socket, host: host(), process: std::process::id(), message: Vec::new() })
    }

    /// Makes the message of a line.
    fn compose(&mut self, line: &[u8], at: Duration) {
        self.message.clear();
        // VERSION, TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID, no STRUCTURED-DATA, MSG. Writing to a Vec
        // cannot fail.
        let (at, host, process) =
            (humantime::format_rfc3339_micros(UNIX_EPOCH + at), &self.host, self.process);
        let _ = write!(self.message, "<{PRIORITY}>1 {at} {host} pollux {process} access - ");
        let room = MESSAGE_MAX.saturating_sub(self.message.len());
        if line.len() <= room {
            return self.message.extend_from_slice(line);
        }
        // Not in the middle of a character.
        let mut end = room.saturating_sub(CUT.len());
        while end > 0 && line[end] & 0b1100_0000 == 0b1000_0000 {
            end -= 1;
        }
        self.message.extend_from_slice(&line[..end]);
        self.message.extend_from_slice(CUT);
    }

    fn send(&mut self) -> io::Result<()> {
        match &mut self.socket {
            // An error of an earlier message is reported here, and this one is not sent then.
            Socket::Udp(socket) => {
                socket.send(&self.message).or_else(|_| socket.send(&self.message)).map(drop)
            }
            Socket::Unix { path, socket, is_connected } => {
                if *is_connected && socket.send(&self.message).is_ok() {
                    return Ok(());
                }
                // The receiver may have been started anew since.
                *is_connected = false;
                socket.connect(&*path)?;
                *is_connected = true;
                socket.send(&self.message).map(drop)
            }
        }
    }
}

impl LineSink for Syslog {
    fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        let (at, mut lost, mut last) = (os::ambient().wall_clock(), 0, None);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.compose(line, at);
            match self.send() {
                Ok(()) => {}
                Err(error) => {
                    lost += 1;
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) => Err(Lost { lines: lost, error }),
            None => Ok(()),
        }
    }
}

/// The name of this machine, as the kernel knows it; `-` (RFC 5424 §6.2.4) if it has none that can be sent.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let is_good = (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good { name.to_owned() } else { String::from("-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], line: &str) {
        let text = std::str::from_utf8(message).unwrap();
        let mut parts = text.splitn(8, ' ');
        let mut part = || parts.next().unwrap();
        assert_eq!(part(), "<134>1");
        humantime::parse_rfc3339(part()).unwrap();
        assert_eq!(part(), host());
        assert_eq!((part(), part()), ("pollux", std::process::id().to_string().as_str()));
        assert_eq!((part(), part(), part()), ("access", "-", line));
    }

    #[test]
    fn each_line_is_a_message_by_udp() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut syslog = Syslog::open(&Receiver::Udp(receiver.local_addr().unwrap())).unwrap();
        syslog.write(b"one 1\ntwo\n").unwrap();
        for line in ["one 1", "two"] {
            let mut room = [0; 1024];
            let length = receiver.recv(&mut room).unwrap();
            check(&room[..length], line);
        }
    }

    #[test]
    fn a_line_is_cut_to_a_datagram() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut syslog = Syslog::open(&Receiver::Udp(receiver.local_addr().unwrap())).unwrap();
        for (line, is_cut) in
            [("x".repeat(100_000), true), ("é".repeat(50_000), true), ("short".into(), false)]
        {
            syslog.write(format!("{line}\n").as_bytes()).unwrap();
            let mut room = vec![0; 70_000];
            let length = receiver.recv(&mut room).unwrap();
            let text = std::str::from_utf8(&room[..length]).unwrap();
            assert_eq!((text.ends_with("[cut]"), length > MESSAGE_MAX - 2), (is_cut, is_cut), "{length}");
        }
    }

    #[test]
    fn a_receiver_that_comes_back_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut syslog = Syslog::open(&Receiver::Unix(path.clone())).unwrap();
        assert!(syslog.write(b"nobody is there\n").is_err());
        for line in ["one", "two"] {
            let receiver = UnixDatagram::bind(&path).unwrap();
            syslog.write(format!("{line}\n").as_bytes()).unwrap();
            let mut room = [0; 1024];
            let length = receiver.recv(&mut room).unwrap();
            check(&room[..length], line);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
