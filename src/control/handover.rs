//! From one executable to the next: the listening sockets go to a new process, which says when it is ready.
//!
//! The new process is a child of the old one, with its arguments, its environment and its standard output and
//! error. Its standard input is one end of a pair of Unix sockets that keep messages apart. By it come the
//! listening sockets (SCM_RIGHTS), up to an empty list; back goes one [`Word`]. A child that ends without a
//! word has failed. Both processes have the same sockets then, so there is always a process that listens, and
//! none of the queues is ever closed.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, send, sendmsg, socketpair,
};
use nix::unistd::dup2_stdin;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use zeroize::{Zeroize, Zeroizing};

use super::binding::Present;
use super::changes::Changes;
use super::inherited::Inherited;
use super::origin::{Origin, VERSION};
use crate::admin::Handed;
use crate::os::{FileIdentity, SOCKETS_MAX, receive_with_sockets};
use crate::snapshot::Address;
use crate::tls::process_keys;

/// Says in the environment of a child whose place it is to take: the number of the process that has started it.
pub(super) const VARIABLE: &str = "POLLUX_TAKES_OVER_FROM";

/// The time that a new process may take until it is ready, or the old one to hand its sockets over.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest message, in bytes: [`SOCKETS_MAX`] listeners, [`CHANGES_MAX`] changes, or a report.
const MESSAGE_MAX: usize = 128 * 1024;

/// The number of changes in one message.
const CHANGES_MAX: usize = 100;

/// The messages of the new process to the old one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    /// It serves, but not on these addresses, whose sockets it has closed.
    Ready {
        left: Vec<Address>,
        /// Its version. Older ones do not say it.
        #[serde(default)]
        version: Option<String>,
    },
    /// It does not, and ends.
    Failed { why: String },
}

/// A new process that has taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Its number.
    pub pid: u32,
    /// The addresses at which it does not listen.
    pub left: Vec<Address>,
    /// The executable of the new process.
    pub executable: PathBuf,
    /// Its version, if it has said it.
    pub version: Option<String>,
}

/// The state that the new process gets beside the sockets.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Legacy {
    /// The keys that seal session tickets, so that clients need no full handshake because of a new process.
    TicketKeys(Vec<u8>),
    /// Some of what an operator has changed.
    Changes(Changes),
    /// The socket of the admin address, which comes along; and where the configuration of the old process says that it is.
    Admin { bind: Address, file: Option<FileIdentity> },
}

impl Legacy {
    /// Leaves no key in memory that is given up.
    fn wipe(self) {
        if let Legacy::TicketKeys(mut keys) = self {
            keys.zeroize();
        }
    }
}

/// Why there is no new process, and the old one goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeError(String);

impl UpgradeError {
    #[allow(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
    pub(super) fn of(error: io::Error) -> UpgradeError {
        UpgradeError(error.to_string())
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UpgradeError {}

/// A new process that was started, and has not said anything yet.
#[derive(Debug)]
pub(super) struct Heir {
    child: Child,
    channel: OwnedFd,
    executable: PathBuf,
}

impl Heir {
    /// Starts it.
    pub(super) fn start(origin: &Origin) -> Result<Heir, UpgradeError> {
        let executable = origin.executable.clone();
        let fail = |error: io::Error| UpgradeError(format!("cannot start {}: {error}", executable.display()));
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(|errno| fail(errno.into()))?;
        for end in [&ours, &theirs] {
            let end = SockRef::from(end);
            end.set_read_timeout(Some(HANDOVER_TIMEOUT)).map_err(fail)?;
            end.set_write_timeout(Some(HANDOVER_TIMEOUT)).map_err(fail)?;
        }
        let mut command = Command::new(&origin.executable);
        command.args(&origin.arguments).env(VARIABLE, std::process::id().to_string()).stdin(theirs);
        // Variables that a manager has passed were for this process.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        let child = command.spawn().map_err(fail)?;
        tracing::info!(pid = child.id(), "a new process was started, to take over");
        // The command holds its end open, which would keep the end of the child from being seen.
        drop(command);
        Ok(Heir { child, channel: ours, executable })
    }

    /// Its number.
    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Hands it the sockets and waits until it has taken over; otherwise it is ended.
    pub(super) fn raise(mut self, sockets: Inherited) -> Result<Successor, UpgradeError> {
        let said = send_all(&self.channel, sockets).and_then(|()| hear(&self.channel));
        let why = match said {
            Ok(Some(Word::Ready { left, version })) => {
                return Ok(Successor { pid: self.pid(), left, executable: self.executable, version });
            }
            Ok(Some(Word::Failed { why })) => why,
            Ok(None) => String::from("it ended without a word"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                format!("it was not ready within {} s", HANDOVER_TIMEOUT.as_secs())
            }
            Err(error) => format!("it is not heard of any more: {error}"),
        };
        // It may have ended by itself; who has not is not waited for.
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Err(UpgradeError(format!(
            "the new {} did not take over ({status}): {why}",
            self.executable.display()
        )))
    }
}

fn send_all(channel: &OwnedFd, mut sockets: Inherited) -> io::Result<()> {
    // A new process that does not know of one of them does not understand it, and the old one goes on.
    let changes = sockets.changes.pieces(CHANGES_MAX).map(Legacy::Changes);
    for legacy in changes.chain([Legacy::TicketKeys(process_keys().export().to_vec())]) {
        say(channel, &Zeroizing::new(serde_json::to_vec(&legacy)?))?;
        legacy.wipe();
    }
    if let Some((bind, Handed { socket, file })) = sockets.admin.take() {
        say_with(channel, &serde_json::to_vec(&Legacy::Admin { bind, file })?, &[socket.as_raw_fd()])?;
    }
    let sockets: Vec<(Present, OwnedFd)> = sockets.into_sockets().collect();
    for some in sockets.chunks(SOCKETS_MAX) {
        let listeners: Vec<&Present> = some.iter().map(|(present, _)| present).collect();
        let fds: Vec<_> = some.iter().map(|(_, socket)| socket.as_raw_fd()).collect();
        say_with(channel, &serde_json::to_vec(&listeners)?, &fds)?;
    }
    say(channel, b"[]")
}

/// Says `text`, and hands over `fds` with it.
fn say_with(channel: &OwnedFd, text: &[u8], fds: &[RawFd]) -> io::Result<()> {
    let (parts, along) = ([io::IoSlice::new(text)], [ControlMessage::ScmRights(fds)]);
    sendmsg::<()>(channel.as_raw_fd(), &parts, &along, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

fn say(channel: &OwnedFd, text: &[u8]) -> io::Result<()> {
    send(channel.as_raw_fd(), text, MsgFlags::MSG_NOSIGNAL).map(drop).map_err(io::Error::from)
}

/// `None` at the end.
fn hear(channel: &OwnedFd) -> io::Result<Option<Word>> {
    let (text, _) = receive_with_sockets(channel, MESSAGE_MAX)?;
    if text.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&text)?)) }
}

/// The way back to the process whose place this one takes.
#[derive(Debug)]
pub struct Predecessor {
    channel: OwnedFd,
}

impl Predecessor {
    /// The process whose place this one is to take, if there is one, with its listening sockets.
    ///
    /// # Errors
    /// If it goes away, or what it says cannot be understood.
    pub fn find() -> io::Result<Option<(Predecessor, Inherited)>> {
        let parent = std::os::unix::process::parent_id().to_string();
        if std::env::var(VARIABLE).ok().as_ref() != Some(&parent) {
            return Ok(None);
        }
        let channel = std::io::stdin().as_fd().try_clone_to_owned()?;
        dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let inherited = receive_all(&channel)?;
        Ok(Some((Predecessor { channel }, inherited)))
    }

    /// Says that this process serves, on all the sockets but those on `left`, which are closed.
    ///
    /// # Errors
    /// If it has gone, which it does not do unless it is told to.
    pub fn succeed(self, left: Vec<Address>) -> io::Result<()> {
        say(&self.channel, &serde_json::to_vec(&Word::Ready { left, version: Some(VERSION.to_owned()) })?)
    }

    /// Says why this process does not take over.
    pub fn give_back(self, why: &str) {
        // In JSON a character takes six bytes at most for each of its own.
        let word = Word::Failed { why: why.chars().take(MESSAGE_MAX / 24).collect() };
        // If it has gone, there is no process to tell.
        let _ = serde_json::to_vec(&word).map(|text| say(&self.channel, &text));
    }
}

fn receive_all(channel: &OwnedFd) -> io::Result<Inherited> {
    let mut inherited = Inherited::default();
    loop {
        let (text, mut sockets) = receive_with_sockets(channel, MESSAGE_MAX)?;
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Err(io::Error::other("the old process has gone"));
        }
        if text.starts_with(b"{") {
            match serde_json::from_slice(&text)? {
                Legacy::TicketKeys(keys) => process_keys().import(&Zeroizing::new(keys)),
                Legacy::Changes(changes) => inherited.changes.join(changes),
                Legacy::Admin { bind, file } => {
                    let lost = || io::Error::other("the socket of the admin address was lost on the way");
                    let socket = sockets.pop().ok_or_else(lost)?;
                    inherited.add_admin(bind, Handed { socket, file });
                }
            }
            continue;
        }
        let listeners: Vec<Present> = serde_json::from_slice(&text)?;
        if listeners.len() != sockets.len() {
            return Err(io::Error::other("sockets were lost on the way"));
        }
        if listeners.is_empty() {
            return Ok(inherited);
        }
        listeners.into_iter().zip(sockets).for_each(|(present, socket)| inherited.add_bound(present, socket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::AdminState;
    use crate::operator::WantedState;
    use crate::os::{bind, listening_on};
    use crate::snapshot::{Backend, Pool};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    #[test]
    fn sockets_arrive_with_their_listeners() {
        let (ours, theirs) = pair();
        let mut sent = Inherited::default();
        let mut addresses = Vec::new();
        // More than one message takes.
        for number in 0..SOCKETS_MAX / 2 + 5 {
            let bind_to = ([127, 0, 0, 1], 0).into();
            let (socket, address) = bind(bind_to).unwrap();
            let present = Present {
                name: format!("l{number}"),
                bind: Address::Ip(bind_to),
                address: Address::Ip(address),
                v6only: true,
                interface: None,
                is_lent: false,
                file: None,
                is_gone: false,
            };
            sent.add_bound(present.clone(), bind(address).unwrap().0);
            sent.add_bound(present, socket);
            addresses.push(Address::Ip(address));
        }
        let sending = std::thread::spawn(move || send_all(&ours, sent).unwrap());
        let mut received = receive_all(&theirs).unwrap();
        sending.join().unwrap();
        assert_eq!(received.addresses(), addresses);
        assert_eq!(received.present()[3].name, "l3");
        for (place, address) in addresses.iter().enumerate() {
            let sockets = received.take(place);
            assert_eq!(sockets.len(), 2);
            assert!(sockets.iter().all(|socket| listening_on(socket).as_ref() == Some(address)));
        }
    }

    #[test]
    fn what_an_operator_has_changed_arrives() {
        let backend = |number: u16| {
            let name = format!("b{number}");
            Backend::new(name, Address::Ip(([127, 0, 0, 1], 1 + number).into()), 1)
        };
        // More than one message takes.
        let pools = [Pool::new("app", (0..3 * CHANGES_MAX as u16 / 2).map(backend).collect())];
        let mut sent = Inherited::default();
        for backend in &pools[0].backends {
            let name = format!("app/{}", backend.name);
            sent.changes.note(&pools, &name, WantedState::State(AdminState::Drain), "root").unwrap();
        }
        let lines = sent.changes.lines();
        let (ours, theirs) = pair();
        let sending = std::thread::spawn(move || send_all(&ours, sent).unwrap());
        assert_eq!(receive_all(&theirs).unwrap().changes.lines(), lines);
        sending.join().unwrap();
    }

    #[test]
    fn a_word_goes_back() {
        let (ours, theirs) = pair();
        Predecessor { channel: theirs }.succeed(vec![]).unwrap();
        let Some(Word::Ready { version, .. }) = hear(&ours).unwrap() else { panic!("it is not ready") };
        assert_eq!(version.as_deref(), Some(VERSION));
        let old: Word = serde_json::from_str(r#"{"ready":{"left":[]}}"#).unwrap();
        assert!(matches!(old, Word::Ready { version: None, .. }));
        let (ours, theirs) = pair();
        Predecessor { channel: theirs }.give_back("no such pool");
        assert!(matches!(hear(&ours).unwrap(), Some(Word::Failed { why }) if why == "no such pool"));
        assert!(hear(&ours).unwrap().is_none());
        assert!(receive_all(&ours).is_err());
    }
}
