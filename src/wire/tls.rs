//! A connection that is encrypted: rustls over the socket calls of [`Os`], without a thread or a blocking
//! call of its own.
//!
//! A write counts as taken only when the kernel has its ciphertext, but for the last byte of a piece that has
//! gone out in part: so a session that waits until all is flushed has waited for the wire too, and *not one
//! byte was sent* stays true. An end without close_notify (RFC 8446 §6.1) is not an end but a loss: an
//! attacker on the way may have cut the connection.

use std::borrow::Cow;
use std::sync::Arc;
use std::{fmt, mem};

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{Error, HandshakeKind};

use super::Left;
use super::records::{Inbound, Records};
use crate::core::delivery::Delivery;
use crate::core::interest::Interest;
use crate::core::tls_info::{Credential, TlsInfo};
use crate::os::{Fd, IoFault, Os};
use crate::snapshot::Backend;
use crate::tls::client_verifier::{ClientVerifier, credential_of};
use crate::tls::failure;
use crate::tls::{Offer, Origination, Sitting, Termination};

/// Plaintext that is encrypted before the kernel is asked to take it. Four records of the greatest size.
const SEALED_MAX: usize = 64 * 1024;

/// The greatest first record of an answer. A record can be read only when all of it has come, and the
/// greatest are longer than what a new connection may have under way (RFC 6928): the first bytes would wait
/// for a round trip. These come in three segments.
const FIRST_RECORD_MAX: usize = 4096;

/// The most plaintext of a record (RFC 8446 §5.1).
const RECORD_MAX: usize = 16 * 1024;

/// The length of the first read of a socket. A read that fills it is followed by longer ones.
const SHORT_READ: usize = 4096;

/// A longer read.
const LONG_READ: usize = 32 * 1024;

/// Reads that one handshake gets in one go.
const SHAKES_MAX: usize = 16;

/// See the module.
pub struct TlsWire {
    fd: Fd,
    records: Records,
    /// Bytes that are encrypted, and have not been reported as taken.
    owed: usize,
    /// Whether the other side has said anything by now.
    has_heard: bool,
    /// Whether nothing was encrypted since something was heard.
    is_first: bool,
    /// Whether another read would say more than that nothing is there.
    has_more: bool,
    /// Whether close_notify was sent, or is to go out with what is encrypted.
    is_finished: bool,
    /// Whether a FIN is due behind what is encrypted.
    owes_fin: bool,
    /// The number of bytes that `finish` has put behind those of the session, before the FIN.
    farewell: u16,
    /// Whether the socket takes no bytes any more: it has refused some for good, or its FIN is sent. Bytes
    /// encrypted after that are not sent.
    is_unwritable: bool,
    /// Verifies the client's certificate, if the listener asks for one.
    verifier: Option<Arc<ClientVerifier>>,
    /// The session in the tickets of the client.
    sitting: Sitting,
}

/// The progress of a handshake.
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
    /// The bytes that came are not allowed, or could not be agreed to.
    Refused(Error),
}

impl TlsWire {
    /// The wire of a client that has connected to a listener with `rules`.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn of_client(fd: Fd, rules: &Termination) -> Result<TlsWire, Error> {
        let tls = UnbufferedServerConnection::new(Arc::clone(rules.server()))?;
        let records = Records::of_server(tls);
        Ok(TlsWire { verifier: rules.verifier().cloned(), ..TlsWire::new(fd, records) })
    }

    /// A wire to `backend` over `fd`, whose handshake has not begun; `None` if its certificate could be for
    /// no name.
    #[must_use]
    pub fn to_backend(fd: Fd, origination: &Origination, backend: &Backend, offer: Offer) -> Option<TlsWire> {
        let name = origination.name_of(backend)?;
        let tls = UnbufferedClientConnection::new(origination.client(offer), name).ok()?;
        Some(TlsWire::new(fd, Records::of_client(tls)))
    }

    fn new(fd: Fd, records: Records) -> TlsWire {
        TlsWire {
            fd,
            records,
            owed: 0,
            has_heard: false,
            is_first: true,
            has_more: false,
            is_finished: false,
            owes_fin: false,
            farewell: 0,
            is_unwritable: false,
            verifier: None,
            sitting: Sitting::default(),
        }
    }

    /// Takes `early`, bytes that were read from the socket already.
    #[must_use]
    pub fn with_early(mut self, early: &[u8]) -> TlsWire {
        (self.has_heard, self.has_more) = (!early.is_empty(), !early.is_empty());
        self.records.has_come(early);
        self
    }

    /// Sends `ahead` as it is before the handshake.
    #[must_use]
    pub fn behind(mut self, ahead: &[u8]) -> TlsWire {
        self.records.outgoing_mut().push_ahead(ahead);
        self
    }

    /// Whether there are bytes that the socket has not taken.
    fn owes_bytes(&self) -> bool {
        !self.is_unwritable && !self.records.outgoing().is_empty()
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// The events to ask the socket for, so that `want` can be met: encrypted bytes have to go out first,
    /// whatever is waited for.
    pub(super) fn watch(&self, want: Option<Interest>) -> Option<Interest> {
        // A session with decrypted bytes left is driven in any case, and takes those first.
        let want = want
            .map(|want| without_read(want, self.has_more))
            .filter(|want| !self.has_more || *want != Interest::NONE);
        if self.owes_bytes() {
            return Some(want.unwrap_or(Interest::NONE).with_if(Interest::WRITE, true));
        }
        want
    }

    /// The events that a handshake waits for.
    #[must_use]
    pub fn handshake_interest(&self) -> Interest {
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
            // Bytes that were read before the handshake come before those of the socket.
            if !mem::take(&mut self.has_more) {
                match self.take_in(os, SHORT_READ) {
                    Err(IoFault::Blocked) => return Shaken::Waits,
                    Err(IoFault::Lost) | Ok(0) => return Shaken::Failed(Broken::Gone),
                    Ok(_) => {}
                }
            }
            let (_, stepped) = self.sitting.during(|| self.records.process(&mut []));
            if let Err(error) = stepped.and_then(|()| self.admit()) {
                if self.records.is_server() && failure::is_unknown_name(&error) {
                    self.name_the_alert();
                }
                // The alert that says why.
                let _ = self.flush_sealed(os, false);
                return Shaken::Failed(Broken::Refused(error));
            }
            if !self.records.common().is_handshaking() {
                // The first bytes may have come with the last of the handshake. The rest of the handshake
                // goes with the first answer.
                self.has_more = true;
                return Shaken::Done;
            }
        }
        Shaken::Waits
    }

    /// Has the alert of a name that is refused say so (RFC 6066 §3). rustls says `access_denied`, which reads
    /// as if a client certificate were wrong, and has no way to say another. At this point nothing is
    /// encrypted yet.
    fn name_the_alert(&mut self) {
        let out = self.records.outgoing_mut().bytes_mut();
        if out.ends_with(&failure::ACCESS_DENIED)
            && let Some(last) = out.last_mut()
        {
            *last = failure::UNRECOGNIZED_NAME;
        }
    }

    /// Looks at the client of a handshake that is over and has resumed a session: its ticket ends with its
    /// certificates, and what else may have changed since is found out here.
    fn admit(&self) -> Result<(), Error> {
        let common = self.records.common();
        match &self.verifier {
            Some(verifier) if !common.is_handshaking() && self.is_resumed() => {
                verifier.admit(common.peer_certificates().unwrap_or_default())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn is_resumed(&self) -> bool {
        self.records.common().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether the other side has said anything by now.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// The agreed parameters. The name that the client has asked for, and those of its certificate, are told once.
    #[must_use]
    pub fn tls_info(&mut self) -> TlsInfo {
        let greeting = self.sitting.take_greeting();
        let common = self.records.common();
        TlsInfo {
            version: match common.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(_) | None => "TLSv1.3",
            },
            cipher: common
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or_default()
                .to_owned(),
            name: greeting.name.to_ascii_lowercase(),
            covered: greeting.covered,
            protocol: String::from_utf8_lossy(common.alpn_protocol().unwrap_or_default()).into_owned(),
            is_resumed: self.is_resumed(),
            client: self.credential(),
        }
    }

    /// The credential of the other side, if it is a client.
    fn credential(&self) -> Credential {
        let shown = self.records.common().peer_certificates().unwrap_or_default();
        match (&self.verifier, shown.first()) {
            (_, None) => Credential::None,
            (Some(verifier), Some(_)) => verifier.examine(shown),
            (None, Some(own)) => credential_of(own),
        }
    }

    /// Reads plaintext into `room`, as much as there is.
    pub(super) fn read<O: Os>(&mut self, os: &mut O, room: &mut [u8]) -> Result<usize, IoFault> {
        let (mut filled, mut is_dry, mut most) = (self.records.take(room), false, SHORT_READ);
        while filled < room.len() {
            let end = match self.records.inbound() {
                Inbound::Broken => Err(IoFault::Lost),
                Inbound::Closed => Ok(0),
                Inbound::Open if is_dry => Err(IoFault::Blocked),
                Inbound::Open => match self.take_in(os, most) {
                    // Without close_notify.
                    Ok(0) => Err(IoFault::Lost),
                    Ok(count) => {
                        filled += self.decrypt(os, &mut room[filled..]);
                        is_dry = count < most;
                        // There is more, and probably much.
                        most = (room.len() - filled).clamp(SHORT_READ, LONG_READ);
                        continue;
                    }
                    Err(fault) => Err(fault),
                },
            };
            // Bytes that came before the end are reported first.
            self.has_more = filled > 0 && end != Err(IoFault::Blocked);
            return if filled > 0 { Ok(filled) } else { end };
        }
        self.has_more = true;
        Ok(filled)
    }

    /// Reads up to `most` encrypted bytes from the socket.
    fn take_in<O: Os>(&mut self, os: &mut O, most: usize) -> Result<usize, IoFault> {
        let count = self.records.take_in(most, |room| os.recv(self.fd, room))?;
        self.has_heard |= count > 0;
        self.is_first = true;
        Ok(count)
    }

    /// Decrypts what was read into `room`, and keeps what that has no space for.
    fn decrypt<O: Os>(&mut self, os: &mut O, room: &mut [u8]) -> usize {
        let (filled, _) = self.records.process(room);
        if !self.records.outgoing().is_empty() {
            // An alert, or the answer to a change of keys.
            let _ = self.flush_sealed(os, false);
        }
        filled
    }

    /// Writes `head` and then `body`; with `is_last` the end follows, if all of them are taken, and is said
    /// with them.
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
            // Owed bytes may have been encrypted before it was known that the end follows.
            let is_last = is_last && taken + self.owed >= all;
            if is_last {
                self.say_goodbye();
            }
            let before = self.records.outgoing().len();
            match self.flush_sealed(os, is_last) {
                Ok(()) => {
                    taken = (taken + self.owed).min(all);
                    self.owed = 0;
                    if taken == all {
                        return Ok(taken);
                    }
                }
                Err(IoFault::Blocked) => {
                    if self.records.outgoing().len() < before && self.owed > 1 {
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
        if self.records.inbound() == Inbound::Broken {
            return Err(IoFault::Lost);
        }
        let all = (head.len() + body.len() - from).min(SEALED_MAX);
        let mut most = if mem::take(&mut self.is_first) { FIRST_RECORD_MAX } else { RECORD_MAX };
        let mut sealed = 0;
        while sealed < all {
            let record = piece(head, body, from + sealed, most.min(all - sealed));
            self.records.encrypt(&record).map_err(|_| IoFault::Lost)?;
            sealed += record.len();
            most = RECORD_MAX;
        }
        Ok(sealed)
    }

    fn say_goodbye(&mut self) {
        if !self.is_finished {
            self.is_finished = true;
            self.records.close();
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
        loop {
            let count = match self.records.outgoing() {
                [] => return Ok(()),
                bytes if is_last => os.send_last(self.fd, bytes, &[])?,
                bytes => os.send(self.fd, bytes, &[])?,
            };
            self.records.has_gone(count);
        }
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
        let before = self.records.outgoing().len();
        self.say_goodbye();
        self.farewell = u16::try_from(self.records.outgoing().len() - before).unwrap_or(0);
        self.owes_fin = true;
        self.flush(os);
    }

    pub(super) fn delivery<O: Os>(&mut self, os: &mut O) -> Delivery {
        let gone = usize::from(self.farewell).checked_sub(self.records.outgoing().len());
        match (self.owes_fin, self.is_unwritable, gone) {
            (true, true, Some(gone)) if os.delivery(self.fd, gone) == Delivery::Acknowledged => {
                Delivery::Acknowledged
            }
            (true, true, _) => Delivery::Lost,
            (true, false, _) => Delivery::Pending,
            (false, _, gone) => os.delivery(self.fd, gone.unwrap_or(0) + 1),
        }
    }

    /// Sends what is left as far as there is room; true if that was all, or the peer has gone.
    pub fn has_spoken<O: Os>(&mut self, os: &mut O) -> bool {
        self.flush_sealed(os, false) != Err(IoFault::Blocked)
    }

    pub(super) fn leave<O: Os>(mut self: Box<Self>, os: &mut O) -> Left {
        if !self.records.common().is_handshaking() {
            self.say_goodbye();
        }
        if !self.has_spoken(os) {
            return Left::Speaking(self);
        }
        os.close(self.fd);
        Left::Closed
    }

    pub(super) fn close<O: Os>(mut self, os: &mut O) {
        if !self.records.common().is_handshaking() {
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

/// The bytes behind the first `from` bytes of the two, up to `most` bytes.
fn piece<'a>(head: &'a [u8], body: &'a [u8], from: usize, most: usize) -> Cow<'a, [u8]> {
    let body = &body[from.saturating_sub(head.len())..];
    let head = &head[from.min(head.len())..];
    if head.is_empty() {
        return Cow::Borrowed(&body[..body.len().min(most)]);
    }
    match &body[..body.len().min(most.saturating_sub(head.len()))] {
        [] => Cow::Borrowed(&head[..head.len().min(most)]),
        body => Cow::Owned([head, body].concat()),
    }
}
