//! One request on a connection of its own, for a caller that speaks HTTP/1.1: a health check.

use std::sync::Arc;

use super::{Inward, Outgoing, Outward, Unread};
use crate::core::time::Time;
use crate::h2::connection::{Connection, ConnectionConfig, Incoming, NewRequest, Role};
use crate::h2::fields::Fields;
use crate::message::BodyLength;

/// Text of the response that may wait to be read, in bytes.
const AHEAD: usize = 64 * 1024;

/// See the module. It has no socket: [`output`](Solo::output) is to be written, and what comes is to be
/// [taken](Solo::take).
#[derive(Debug)]
pub struct Solo {
    machine: Connection,
    outward: Outward,
    inward: Inward,
    /// The stream, once the request has gone out.
    number: u32,
    is_head: bool,
    fields: Fields,
}

impl Solo {
    /// A connection that begins at `now`, over TLS or not.
    #[must_use]
    pub fn new(is_encrypted: bool, config: Arc<ConnectionConfig>, now: Time) -> Solo {
        Solo {
            machine: Connection::new(Role::Client, config, now),
            outward: Outward::of_request(is_encrypted),
            inward: Inward::new(BodyLength::Empty, false),
            number: 0,
            is_head: false,
            fields: Fields::default(),
        }
    }

    /// Takes text of the request, which has no body, and says how much. A text that is no request has no answer.
    pub fn write(&mut self, text: &[u8], now: Time) -> usize {
        let count = self.outward.write(text, &[]);
        match self.outward.next_outgoing() {
            Ok(Some(Outgoing::Request { ends: true, is_head, length, .. })) => {
                let block = self.outward.block();
                let request =
                    NewRequest { block, length, ends_stream: true, is_head, is_connect: false, token: 0 };
                self.is_head = is_head;
                match self.machine.open(now, request) {
                    Ok(number) => self.number = number,
                    Err(_) => self.inward.reset(),
                }
            }
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => self.inward.reset(),
        }
        count
    }

    /// Bytes to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.machine.output()
    }

    /// So many bytes of the output were written.
    pub fn consume(&mut self, count: usize) {
        self.machine.consume(count);
    }

    /// Takes bytes of the peer.
    pub fn take(&mut self, mut bytes: &[u8], now: Time) {
        loop {
            match self.machine.read(now, &mut bytes, &mut self.fields) {
                Ok(Some(incoming)) => match incoming {
                    Incoming::Response { ref head, fields, ends_stream, .. } => {
                        self.inward.head(head, fields, ends_stream, self.is_head);
                    }
                    Incoming::Data { bytes, .. } => self.inward.data(bytes),
                    Incoming::End { .. } => self.inward.end(None),
                    Incoming::Trailers { fields, .. } => self.inward.end(Some(fields)),
                    Incoming::Reset { .. } if !self.inward.is_whole() => self.inward.reset(),
                    Incoming::Reset { .. }
                    | Incoming::GoAway { .. }
                    | Incoming::Settings
                    | Incoming::Pong { .. }
                    | Incoming::Request { .. }
                    | Incoming::TooLarge { .. }
                    | Incoming::Malformed { .. }
                    | Incoming::Refused { .. } => {}
                },
                Ok(None) => return,
                Err(_) => return self.inward.reset(),
            }
        }
    }

    /// Moves text of the response into `room`, and says how much.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn read(&mut self, room: &mut [u8]) -> Result<usize, Unread> {
        let count = self.inward.read(room)?;
        let room = u32::try_from(self.inward.room(AHEAD)).unwrap_or(u32::MAX);
        self.machine.grant(self.number, room, AHEAD as u32);
        Ok(count)
    }
}
