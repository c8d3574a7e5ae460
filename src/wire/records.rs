//! The records of one TLS connection: rustls, between encrypted bytes and plain ones.
//!
//! rustls is driven by its unbuffered API: by the other one each connection keeps a buffer of 4 KiB. Bytes
//! under way lie here, in buffers that are given back when they are empty. An idle connection has none.
//!
//! Invariant: between two calls no whole record lies in `incoming`, and rustls has nothing to hand out. So it
//! is always ready to encrypt.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{CommonState, Error};

use super::store::Store;
use crate::os::IoFault;

/// Encrypted bytes that may be held. rustls refuses a record that is too long by its header. So more than a
/// record is held only of a handshake message in several records.
const INCOMING_MAX: usize = 64 * 1024;

/// See the module.
pub(super) struct Records {
    tls: Tls,
    /// Encrypted bytes that have come, and are no whole record or handshake message yet.
    incoming: Store,
    flow: Flow,
}

/// Which side of the connection this is.
enum Tls {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// The state of the other side's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    Open,
    /// Its close_notify has come.
    Closed,
    /// Something came that is no record of this connection. Nothing of it counts, and what came before does.
    Broken,
}

/// The bytes that rustls has handed out.
struct Flow {
    /// Decrypted bytes for which there was no room.
    plain: Store,
    /// Encrypted bytes that are to go out.
    outgoing: Store,
    inbound: Inbound,
}

/// The result of a step of rustls.
struct Step {
    /// Encrypted bytes that are not needed any more.
    used: usize,
    /// Decrypted bytes that were put into the room.
    filled: usize,
    /// Whether rustls needs more bytes for another step.
    is_last: bool,
}

impl Records {
    pub(super) fn of_server(tls: UnbufferedServerConnection) -> Records {
        Records::new(Tls::Server(tls))
    }

    pub(super) fn of_client(tls: UnbufferedClientConnection) -> Records {
        let mut records = Records::new(Tls::Client(tls));
        // The ClientHello. The next step reports its fault again.
        let _ = records.process(&mut []);
        records
    }

    fn new(tls: Tls) -> Records {
        let flow = Flow { plain: Store::default(), outgoing: Store::default(), inbound: Inbound::Open };
        Records { tls, incoming: Store::default(), flow }
    }

    /// The state of the connection in rustls.
    pub(super) fn common(&self) -> &CommonState {
        match &self.tls {
            Tls::Server(tls) => tls,
            Tls::Client(tls) => tls,
        }
    }

    pub(super) fn is_server(&self) -> bool {
        matches!(self.tls, Tls::Server(_))
    }

    pub(super) fn inbound(&self) -> Inbound {
        self.flow.inbound
    }

    /// Has `bytes` come that were read before.
    pub(super) fn has_come(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
    }

    /// Lets `recv` read up to `most` encrypted bytes, which are to be [processed](Self::process) next.
    pub(super) fn take_in(
        &mut self,
        most: usize,
        recv: impl FnOnce(&mut [u8]) -> Result<usize, IoFault>,
    ) -> Result<usize, IoFault> {
        if self.incoming.len() >= INCOMING_MAX {
            return Err(IoFault::Lost);
        }
        let received = recv(self.incoming.room(most));
        match received {
            // The rest of them when they were processed is known then.
            Ok(count) if count > 0 => self.incoming.fill(count),
            Ok(_) | Err(_) => self.incoming.give_back(),
        }
        received
    }

    /// Goes on with what has come. Decrypted bytes go into `room`, and those that do not fit wait to be
    /// taken; what rustls has to say is outgoing then. Returns how many bytes are in the room.
    pub(super) fn process(&mut self, room: &mut [u8]) -> (usize, Result<(), Error>) {
        let (mut used, mut filled, mut outcome) = (0, 0, Ok(()));
        loop {
            let (incoming, room) = (&mut self.incoming.bytes_mut()[used..], &mut room[filled..]);
            let step = match &mut self.tls {
                Tls::Server(tls) => self.flow.step(tls.process_tls_records(incoming), room),
                Tls::Client(tls) => self.flow.step(tls.process_tls_records(incoming), room),
            };
            match step {
                Ok(step) => {
                    (used, filled) = (used + step.used, filled + step.filled);
                    if step.is_last {
                        break;
                    }
                }
                Err(error) => {
                    self.flow.inbound = Inbound::Broken;
                    outcome = Err(error);
                }
            }
            // Behind an error there is only the alert that says why.
            if outcome.is_err() && !self.common().wants_write() {
                break;
            }
        }
        match self.flow.inbound {
            Inbound::Open => self.incoming.drop_front(used),
            Inbound::Closed | Inbound::Broken => self.incoming.drop_front(self.incoming.len()),
        }
        self.incoming.give_back();
        (filled, outcome)
    }

    /// Puts decrypted bytes that wait into `room`.
    pub(super) fn take(&mut self, room: &mut [u8]) -> usize {
        let plain = &mut self.flow.plain;
        let count = plain.len().min(room.len());
        room[..count].copy_from_slice(&plain.bytes()[..count]);
        plain.drop_front(count);
        plain.give_back();
        count
    }

    /// Encrypts `plain`, which fits into one record.
    pub(super) fn encrypt(&mut self, plain: &[u8]) -> Result<(), Error> {
        let outgoing = &mut self.flow.outgoing;
        match &mut self.tls {
            Tls::Server(tls) => encrypt(tls.process_tls_records(self.incoming.bytes_mut()), plain, outgoing),
            Tls::Client(tls) => encrypt(tls.process_tls_records(self.incoming.bytes_mut()), plain, outgoing),
        }
    }

    /// Has close_notify go out, unless what has come is broken.
    pub(super) fn close(&mut self) {
        if self.flow.inbound == Inbound::Broken {
            return;
        }
        let outgoing = &mut self.flow.outgoing;
        match &mut self.tls {
            Tls::Server(tls) => close(tls.process_tls_records(self.incoming.bytes_mut()), outgoing),
            Tls::Client(tls) => close(tls.process_tls_records(self.incoming.bytes_mut()), outgoing),
        }
    }

    /// The bytes that are to go out.
    pub(super) fn outgoing(&self) -> &[u8] {
        self.flow.outgoing.bytes()
    }

    /// The mutable form.
    pub(super) fn outgoing_mut(&mut self) -> &mut Store {
        &mut self.flow.outgoing
    }

    /// Bytes that its buffers take.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.incoming.held() + self.flow.plain.held() + self.flow.outgoing.held()
    }

    /// So many bytes of that have gone out.
    pub(super) fn has_gone(&mut self, count: usize) {
        self.flow.outgoing.drop_front(count);
        self.flow.outgoing.give_back();
    }
}

impl Flow {
    /// Does what rustls wants done next.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the enums of rustls are open: more may come")]
    fn step<Data>(&mut self, status: UnbufferedStatus<'_, '_, Data>, room: &mut [u8]) -> Result<Step, Error> {
        let mut step = Step { used: status.discard, filled: 0, is_last: false };
        match status.state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    step.used += record.discard;
                    let room = &mut room[step.filled..];
                    let (fits, rest) = record.payload.split_at(record.payload.len().min(room.len()));
                    room[..fits.len()].copy_from_slice(fits);
                    step.filled += fits.len();
                    self.plain.push(rest);
                }
            }
            ConnectionState::EncodeTlsData(mut data) => append(&mut self.outgoing, |room| {
                data.encode(room).map_err(|error| match error {
                    EncodeError::InsufficientSize(size) => Some(size),
                    EncodeError::AlreadyEncoded => None,
                })
            })?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => self.inbound = Inbound::Closed,
            ConnectionState::Closed
            | ConnectionState::BlockedHandshake
            | ConnectionState::WriteTraffic(_) => step.is_last = true,
            // Early data, which no listener takes.
            _ => return Err(Error::HandshakeNotComplete),
        }
        Ok(step)
    }
}

fn encrypt<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &[u8],
    outgoing: &mut Store,
) -> Result<(), Error> {
    let ConnectionState::WriteTraffic(mut traffic) = status.state? else {
        return Err(Error::HandshakeNotComplete);
    };
    append(outgoing, |room| traffic.encrypt(plain, room).map_err(|error| size_needed(&error)))
}

fn close<Data>(status: UnbufferedStatus<'_, '_, Data>, outgoing: &mut Store) {
    if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
        // rustls refuses an alert for its size only.
        let _ =
            append(outgoing, |room| traffic.queue_close_notify(room).map_err(|error| size_needed(&error)));
    }
}

fn size_needed(error: &EncryptError) -> Option<InsufficientSizeError> {
    match error {
        EncryptError::InsufficientSize(size) => Some(*size),
        EncryptError::EncryptExhausted => None,
    }
}

/// Has `put` write behind what is in `outgoing`. Without a large enough room it fails and says how large that
/// is; otherwise it fails for good.
fn append(
    outgoing: &mut Store,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Result<(), Error> {
    let needed = match put(&mut []) {
        Ok(_) => return Ok(()),
        Err(needed) => needed.ok_or(Error::EncryptError)?.required_size,
    };
    let written = put(outgoing.room(needed)).map_err(|_| Error::EncryptError)?;
    outgoing.fill(written);
    Ok(())
}
