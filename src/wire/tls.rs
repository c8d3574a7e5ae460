//! A connection that is encrypted: rustls over the socket calls of [`Os`], without a thread or a blocking call of its own.
//!
//! What is written counts as taken only when the kernel has its ciphertext, but for the last byte of what has gone out in part: so
//! that whoever waits until all is flushed has waited for the wire too, and *not one byte was sent* stays true. An end without
//! close_notify (RFC 8446 §6.1) is not an end but a loss: somebody on the way may have cut the connection.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::{ClientConnection, Connection, Error, ServerConnection};

use super::Left;
use crate::core::interest::Interest;
use crate::core::tls_info::{Credential, TlsInfo};
use crate::os::{Fd, IoFault, Os};
use crate::snapshot::Backend;
use crate::tls::client_verifier::{ClientVerifier, believed};
use crate::tls::failure;
use crate::tls::{Origination, Sitting, Termination};

/// Plaintext that is encrypted before the kernel is asked to take it. Four records of the greatest size.
const SEALED_MAX: usize = 64 * 1024;

/// The greatest first record of an answer. A record can be read only when all of it has come, and the greatest are longer than what a
/// new connection may have under way (RFC 6928): the first bytes would wait for a round trip. These come in three segments.
const FIRST_RECORD_MAX: usize = 4096;

/// What rustls asks of the socket at once (it reads into a buffer of its own). A read that fills it is followed by longer ones.
const SHORT_READ: usize = 4096;

/// A longer read.
const LONG_READ: usize = 32 * 1024;

/// Reads that one handshake gets in one go.
const SHAKES_MAX: usize = 16;

/// See the module.
pub struct TlsWire {
    fd: Fd,
    tls: Connection,
    /// Bytes that are encrypted, and have not been reported as taken.
    owed: usize,
    /// How many encrypted bytes the kernel has taken.
    sealed_out: u64,
    /// How many it has given.
    heard: u64,
    /// Whether nothing was encrypted since something was heard.
    is_first: bool,
    /// Whether another read would say more than that nothing is there.
    has_more: bool,
    /// Whether something came that is no record of this connection. Nothing of it counts, and what came before does.
    is_broken: bool,
    /// Whether close_notify was sent, or is to go out with what is encrypted.
    is_finished: bool,
    /// Whether a FIN is due behind what is encrypted.
    owes_fin: bool,
    /// Whether the socket takes no bytes any more: it has refused some for good, or its FIN is sent. What is encrypted then is owed to
    /// nobody.
    is_unwritable: bool,
    /// Bytes of the other side that were read before the wire was made.
    early: Vec<u8>,
    /// Bytes that go out as they are, before all that is encrypted.
    ahead: Vec<u8>,
    /// Verifies the client's certificate, if the listener asks for one.
    verifier: Option<Arc<ClientVerifier>>,
    /// What the tickets of the client say of its session.
    sitting: Sitting,
}

/// What a read from the socket came to.
struct More {
    /// How many bytes were decrypted into the room.
    decrypted: usize,
    /// Whether the socket has no more now.
    is_all: bool,
}

/// How far a handshake is.
#[derive(Debug)]
pub enum Shaken {
    /// It is over, and bytes can pass.
    Done,
    /// It waits for the other side; what its socket is asked for follows from that.
    Waits,
    /// It failed; the other side has been told why, as far as that was possible.
    Failed(Broken),
}

/// Why a handshake failed.
#[derive(Debug)]
pub enum Broken {
    /// The other side has closed or reset the connection.
    Gone,
    /// What came is not what may come, or could not be agreed to.
    Refused(Error),
}

impl TlsWire {
    /// The wire of a client that has connected to a listener with `rules`.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn of_client(fd: Fd, rules: &Termination) -> Result<TlsWire, Error> {
        let tls = ServerConnection::new(Arc::clone(rules.server()))?;
        Ok(TlsWire { verifier: rules.verifier().cloned(), ..TlsWire::new(fd, tls.into()) })
    }

    /// A wire to `backend` over `fd`, whose handshake has not begun; `None` if its certificate could be for no name.
    #[must_use]
    pub fn to_backend(fd: Fd, origination: &Origination, backend: &Backend) -> Option<TlsWire> {
        let name = origination.name_of(backend)?;
        let tls = ClientConnection::new(origination.client(), name).ok()?;
        Some(TlsWire::new(fd, tls.into()))
    }

    fn new(fd: Fd, tls: Connection) -> TlsWire {
        TlsWire {
            fd,
            tls,
            owed: 0,
            sealed_out: 0,
            heard: 0,
            is_first: true,
            has_more: false,
            is_broken: false,
            is_finished: false,
            owes_fin: false,
            is_unwritable: false,
            early: Vec::new(),
            ahead: Vec::new(),
            verifier: None,
            sitting: Sitting::default(),
        }
    }

    /// The same, of which `early` was read from the socket already.
    #[must_use]
    pub fn with_early(self, early: Vec<u8>) -> TlsWire {
        TlsWire { early, ..self }
    }

    /// The same, with `ahead` to go out as it is before the handshake.
    #[must_use]
    pub fn behind(self, ahead: Vec<u8>) -> TlsWire {
        TlsWire { ahead, ..self }
    }

    /// Whether there are bytes that the socket has not taken.
    fn owes_bytes(&self) -> bool {
        !self.is_unwritable && (!self.ahead.is_empty() || self.tls.wants_write())
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// What the socket must be asked for, so that it can be done what `want` asks for: what is encrypted has to go out first, whatever
    /// is waited for.
    pub(super) fn watch(&self, want: Option<Interest>) -> Option<Interest> {
        // Who has decrypted bytes left is driven in any case, and takes those first.
        let want = want
            .map(|want| without_read(want, self.has_more))
            .filter(|want| !self.has_more || *want != Interest::NONE);
        if self.owes_bytes() {
            return Some(want.unwrap_or(Interest::NONE).with_if(Interest::WRITE, true));
        }
        want
    }

    /// What a handshake waits for.
    #[must_use]
    pub fn shakes_for(&self) -> Interest {
        if self.owes_bytes() { Interest::WRITE } else { Interest::READ }
    }

    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Lets the handshake go on as far as it can.
    pub fn shake<O: Os>(&mut self, os: &mut O) -> Shaken {
        for _ in 0..SHAKES_MAX {
            match self.flush_sealed(os, false) {
                Err(IoFault::Blocked) => return Shaken::Waits,
                Err(IoFault::Lost) => return Shaken::Failed(Broken::Gone),
                Ok(()) => {}
            }
            match self.take_in(os) {
                Err(IoFault::Blocked) => return Shaken::Waits,
                Err(IoFault::Lost) | Ok(0) => return Shaken::Failed(Broken::Gone),
                Ok(_) => {}
            }
            let stepped = self.sitting.during(|| self.tls.process_new_packets());
            if let Err(error) = stepped.and_then(|_| self.admit()) {
                if matches!(self.tls, Connection::Server(_)) && failure::is_unknown_name(&error) {
                    self.name_the_alert();
                }
                // The alert that says why.
                let _ = self.flush_sealed(os, false);
                return Shaken::Failed(Broken::Refused(error));
            }
            if !self.tls.is_handshaking() {
                // The first bytes may have come with the last of the handshake. What is left to be said goes with the first answer.
                self.has_more = true;
                return Shaken::Done;
            }
        }
        Shaken::Waits
    }

    /// Has the alert of a name that is refused say so (RFC 6066 §3). rustls says `access_denied`, which reads as if a client
    /// certificate were wrong, and has no way to say another. At this point nothing is encrypted yet.
    fn name_the_alert(&mut self) {
        let mut out = std::mem::take(&mut self.ahead);
        while self.tls.wants_write() {
            // Writing to a Vec cannot fail.
            let _ = self.tls.write_tls(&mut out);
        }
        if out.ends_with(&failure::ACCESS_DENIED)
            && let Some(last) = out.last_mut()
        {
            *last = failure::UNRECOGNIZED_NAME;
        }
        self.ahead = out;
    }

    /// Looks at the client of a handshake that is over and has resumed a session: its ticket ends with its certificates, and what else
    /// may have changed since is found out here.
    fn admit(&self) -> Result<(), Error> {
        match (&self.tls, &self.verifier) {
            (Connection::Server(server), Some(verifier))
                if !self.tls.is_handshaking()
                    && self.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed) =>
            {
                verifier.admit(server.peer_certificates().unwrap_or_default())
            }
            (Connection::Server(_) | Connection::Client(_), _) => Ok(()),
        }
    }

    /// Whether the other side has said anything by now.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.heard > 0
    }

    /// What was agreed on.
    #[must_use]
    pub fn secured(&self) -> TlsInfo {
        let protocol = self.tls.alpn_protocol().unwrap_or_default();
        TlsInfo {
            version: match self.tls.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(_) | None => "TLSv1.3",
            },
            cipher: self
                .tls
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or_default()
                .to_owned(),
            name: self.asked_for().unwrap_or_default().to_ascii_lowercase(),
            protocol: String::from_utf8_lossy(protocol).into_owned(),
            is_resumed: self.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            client: self.credential(),
        }
    }

    /// What the other side has shown of itself, if it is a client.
    fn credential(&self) -> Credential {
        let shown = match &self.tls {
            Connection::Server(server) => server.peer_certificates().unwrap_or_default(),
            Connection::Client(_) => &[],
        };
        match (&self.verifier, shown.first()) {
            (_, None) => Credential::None,
            (Some(verifier), Some(_)) => verifier.examine(shown),
            (None, Some(own)) => believed(own),
        }
    }

    /// The name that the client has asked for.
    #[must_use]
    pub fn asked_for(&self) -> Option<&str> {
        match &self.tls {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    /// Reads plaintext into `room`, as much as there is.
    pub(super) fn read<O: Os>(&mut self, os: &mut O, room: &mut [u8]) -> Result<usize, IoFault> {
        let (mut filled, mut is_dry) = (0, false);
        self.has_more = false;
        loop {
            let end = match self.tls.reader().read(&mut room[filled..]) {
                // Behind close_notify.
                Ok(0) => Ok(0),
                Ok(count) => {
                    filled += count;
                    if filled == room.len() {
                        self.has_more = true;
                        return Ok(filled);
                    }
                    continue;
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(IoFault::Lost),
                Err(_) if self.is_broken => Err(IoFault::Lost),
                Err(_) if is_dry => return if filled > 0 { Ok(filled) } else { Err(IoFault::Blocked) },
                Err(_) => match self.take_more(os, &mut room[filled..]) {
                    Ok(more) => {
                        filled += more.decrypted;
                        is_dry = more.is_all;
                        continue;
                    }
                    Err(IoFault::Blocked) => {
                        is_dry = true;
                        continue;
                    }
                    Err(IoFault::Lost) => Err(IoFault::Lost),
                },
            };
            // What came before the end is told of first.
            self.has_more = filled > 0;
            return if filled > 0 { Ok(filled) } else { end };
        }
    }

    /// Reads from the socket and decrypts, partly into `room`.
    fn take_more<O: Os>(&mut self, os: &mut O, room: &mut [u8]) -> Result<More, IoFault> {
        let count = self.take_in(os)?;
        self.decrypt(os);
        if count < SHORT_READ {
            // 0 is the end of the stream, of which the reader is told next.
            return Ok(More { decrypted: 0, is_all: count > 0 });
        }
        let most = room.len().saturating_sub(SHORT_READ).min(LONG_READ);
        if most < SHORT_READ || !self.early.is_empty() || !self.tls.wants_read() {
            return Ok(More { decrypted: 0, is_all: false });
        }
        self.take_long(os, room, most)
    }

    /// Reads `most` bytes at once: there is more, and probably much. It is not more than there is room for, because rustls keeps no
    /// more than one record.
    fn take_long<O: Os>(&mut self, os: &mut O, room: &mut [u8], most: usize) -> Result<More, IoFault> {
        let mut scratch = [0; LONG_READ];
        let count = match os.recv(self.fd, &mut scratch[..most]) {
            Ok(0) | Err(IoFault::Blocked) => return Ok(More { decrypted: 0, is_all: false }),
            other => other?,
        };
        let (mut rest, mut decrypted) = (&scratch[..count], 0);
        while !rest.is_empty() && !self.is_broken {
            if self.tls.read_tls(&mut rest).map_err(|_| IoFault::Lost)? == 0 {
                return Err(IoFault::Lost);
            }
            self.decrypt(os);
            while decrypted < room.len() {
                match self.tls.reader().read(&mut room[decrypted..]) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => decrypted += count,
                }
            }
        }
        Ok(More { decrypted, is_all: count < most })
    }

    /// Reads once from the socket into what rustls decrypts from.
    fn take_in<O: Os>(&mut self, os: &mut O) -> Result<usize, IoFault> {
        let mut inlet = Inlet { os, fd: self.fd, early: &mut self.early };
        let count = self.tls.read_tls(&mut inlet).map_err(|error| fault_of(&error))?;
        self.heard += count as u64;
        self.is_first = true;
        Ok(count)
    }

    fn decrypt<O: Os>(&mut self, os: &mut O) {
        self.is_broken |= self.tls.process_new_packets().is_err();
        if self.tls.wants_write() {
            // An alert, or the answer to a change of keys.
            let _ = self.flush_sealed(os, false);
        }
    }

    /// Writes `head` and then `body`; with `is_last` the end follows, if all of them are taken, and is said with them.
    pub(super) fn write<O: Os>(
        &mut self,
        os: &mut O,
        head: &[u8],
        body: &[u8],
        is_last: bool,
    ) -> Result<usize, IoFault> {
        let all = head.len() + body.len();
        let mut taken = 0;
        loop {
            if self.owed == 0 {
                self.owed = self.seal(head, body, taken)?;
            }
            // What is owed may have been encrypted before it was known that the end follows.
            let is_last = is_last && taken + self.owed >= all;
            if is_last {
                self.say_goodbye();
            }
            let before = self.sealed_out;
            match self.flush_sealed(os, is_last) {
                Ok(()) => {
                    taken = (taken + self.owed).min(all);
                    self.owed = 0;
                    if taken == all {
                        return Ok(taken);
                    }
                }
                Err(IoFault::Blocked) => {
                    if self.sealed_out > before && self.owed > 1 {
                        taken += self.owed - 1;
                        self.owed = 1;
                    }
                    return if taken > 0 { Ok(taken.min(all)) } else { Err(IoFault::Blocked) };
                }
                Err(IoFault::Lost) => return Err(IoFault::Lost),
            }
        }
    }

    /// Encrypts what comes behind the first `from` bytes of the two, up to a bound.
    fn seal(&mut self, head: &[u8], body: &[u8], from: usize) -> Result<usize, IoFault> {
        let mut sealed = 0;
        if std::mem::take(&mut self.is_first) && head.len() + body.len() - from > FIRST_RECORD_MAX {
            sealed = self.seal_most(head, body, from, FIRST_RECORD_MAX)?;
        }
        Ok(sealed + self.seal_most(head, body, from + sealed, SEALED_MAX - sealed)?)
    }

    /// The same up to `most` bytes; one record where it fits into one.
    fn seal_most(&mut self, head: &[u8], body: &[u8], from: usize, most: usize) -> Result<usize, IoFault> {
        let body = &body[from.saturating_sub(head.len())..];
        let head = &head[from.min(head.len())..];
        let head = &head[..head.len().min(most)];
        let body = &body[..body.len().min(most - head.len())];
        let written = match (head.is_empty(), body.is_empty()) {
            (false, false) => self.tls.writer().write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
            (true, _) => self.tls.writer().write(body),
            (false, true) => self.tls.writer().write(head),
        };
        written.map_err(|_| IoFault::Lost)
    }

    fn say_goodbye(&mut self) {
        if !self.is_finished {
            self.is_finished = true;
            self.tls.send_close_notify();
        }
    }

    /// Hands what is encrypted to the kernel.
    fn flush_sealed<O: Os>(&mut self, os: &mut O, is_last: bool) -> Result<(), IoFault> {
        if self.is_unwritable {
            return Err(IoFault::Lost);
        }
        let flushed = self.hand_over(os, is_last);
        self.is_unwritable = flushed == Err(IoFault::Lost);
        flushed
    }

    fn hand_over<O: Os>(&mut self, os: &mut O, is_last: bool) -> Result<(), IoFault> {
        while !self.ahead.is_empty() {
            let count = os.send(self.fd, &self.ahead, &[])?;
            self.ahead.drain(..count);
        }
        while self.tls.wants_write() {
            let mut outlet = Outlet { os, fd: self.fd, is_last };
            self.sealed_out += self.tls.write_tls(&mut outlet).map_err(|error| fault_of(&error))? as u64;
        }
        Ok(())
    }

    /// Hands over what is left over from before, now that the socket takes bytes again.
    pub(super) fn flush<O: Os>(&mut self, os: &mut O) {
        if self.flush_sealed(os, false).is_ok() && self.owes_fin {
            self.owes_fin = false;
            // An alert that rustls has for what still comes would be too late.
            self.is_unwritable = true;
            os.shutdown_write(self.fd);
        }
    }

    pub(super) fn finish<O: Os>(&mut self, os: &mut O) {
        self.say_goodbye();
        self.owes_fin = true;
        self.flush(os);
    }

    /// Says what is left to be said as far as there is room; true if that was all, or nobody is there to hear it.
    pub fn has_spoken<O: Os>(&mut self, os: &mut O) -> bool {
        self.flush_sealed(os, false) != Err(IoFault::Blocked)
    }

    pub(super) fn leave<O: Os>(mut self: Box<Self>, os: &mut O) -> Left {
        if !self.tls.is_handshaking() {
            self.say_goodbye();
        }
        if !self.has_spoken(os) {
            return Left::Speaking(self);
        }
        os.close(self.fd);
        Left::Closed
    }

    pub(super) fn close<O: Os>(mut self, os: &mut O) {
        if !self.tls.is_handshaking() {
            self.say_goodbye();
            let _ = self.flush_sealed(os, false);
        }
        os.close(self.fd);
    }
}

impl fmt::Debug for TlsWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsWire").field("fd", &self.fd).field("owed", &self.owed).finish_non_exhaustive()
    }
}

fn without_read(want: Interest, is_left_out: bool) -> Interest {
    if !is_left_out {
        return want;
    }
    let keep = |interest| want.has(interest);
    Interest::NONE
        .with_if(Interest::WRITE, keep(Interest::WRITE))
        .with_if(Interest::LEAVE, keep(Interest::LEAVE))
}

/// The socket, as rustls reads from it.
struct Inlet<'a, O> {
    os: &'a mut O,
    fd: Fd,
    /// What comes before that.
    early: &'a mut Vec<u8>,
}

impl<O: Os> Read for Inlet<'_, O> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if !self.early.is_empty() {
            let count = self.early.len().min(room.len());
            room[..count].copy_from_slice(&self.early[..count]);
            self.early.drain(..count);
            return Ok(count);
        }
        self.os.recv(self.fd, room).map_err(error_of)
    }
}

/// The socket, as rustls writes to it.
struct Outlet<'a, O> {
    os: &'a mut O,
    fd: Fd,
    is_last: bool,
}

impl<O: Os> Write for Outlet<'_, O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.os.send_pieces(self.fd, pieces, self.is_last).map_err(error_of)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn error_of(fault: IoFault) -> io::Error {
    match fault {
        IoFault::Blocked => io::ErrorKind::WouldBlock.into(),
        IoFault::Lost => io::ErrorKind::ConnectionReset.into(),
    }
}

fn fault_of(error: &io::Error) -> IoFault {
    if error.kind() == io::ErrorKind::WouldBlock { IoFault::Blocked } else { IoFault::Lost }
}
