//! One request on a connection of its own, for a caller that speaks HTTP/1.1: a health check.

use std::sync::Arc;

use super::{Inward, Outgoing, Outward, Unread};
use crate::core::time::Time;
use crate::h2::connection::{Connection, ConnectionConfig, Incoming, NewRequest, Role};
use crate::h2::fields::Fields;
use crate::message::BodyLength;

/// Text of the response that may wait to be read, in bytes.
const AHEAD: usize = 64 * 1024;

/// Bytes of the request's body that are taken at once.
const PIECE: u32 = 16 * 1024;

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
    /// Bytes to be written.
    out: Vec<u8>,
}

impl Solo {
    /// A connection that begins at `now`, over TLS or not.
    #[must_use]
    pub fn new(is_encrypted: bool, config: Arc<ConnectionConfig>, now: Time) -> Solo {
        let mut solo = Solo {
            machine: Connection::new(Role::Client, config, now),
            outward: Outward::of_request(is_encrypted),
            inward: Inward::new(BodyLength::Empty, false),
            number: 0,
            is_head: false,
            fields: Fields::default(),
            out: Vec::new(),
        };
        solo.collect();
        solo
    }

    /// Takes text of the request, whose body is short, and says how much. A text that is no request has no answer.
    pub fn write(&mut self, text: &[u8], now: Time) -> usize {
        let count = self.outward.write(text, &[]);
        if self.speak(now).is_err() {
            self.inward.reset();
        }
        self.gather(now);
        count
    }

    fn speak(&mut self, now: Time) -> Result<(), ()> {
        while let Some(outgoing) = self.outward.next_outgoing().map_err(drop)? {
            match outgoing {
                Outgoing::Request { ends, is_head, length, is_connect: false } if self.number == 0 => {
                    let block = self.outward.block();
                    let request =
                        NewRequest { block, length, ends_stream: ends, is_head, is_connect: false, token: 0 };
                    self.is_head = is_head;
                    self.number = self.machine.open(now, request).map_err(drop)?;
                }
                Outgoing::Data { ends } => {
                    let waiting = u32::try_from(self.outward.body().len()).unwrap_or(u32::MAX);
                    return self.machine.offer(now, self.number, waiting, ends).map_err(drop);
                }
                Outgoing::Request { .. } | Outgoing::Head { .. } | Outgoing::Trailers => return Err(()),
            }
        }
        Ok(())
    }

    /// Appends what can go out now to the output.
    fn gather(&mut self, now: Time) {
        loop {
            self.collect();
            let Some(piece) = self.machine.next_piece(now, PIECE) else { return };
            let length = piece.length as usize;
            self.out.extend_from_slice(&piece.head);
            self.out.extend_from_slice(&self.outward.body()[..length]);
            self.outward.send(length, piece.ends_stream);
        }
    }

    fn collect(&mut self) {
        let count = self.machine.output().len();
        self.out.extend_from_slice(self.machine.output());
        self.machine.consume(count);
    }

    /// Bytes to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.out
    }

    /// So many bytes of the output were written.
    pub fn consume(&mut self, count: usize) {
        self.out.drain(..count);
    }

    /// Takes bytes of the peer.
    pub fn take(&mut self, bytes: &[u8], now: Time) {
        self.take_frames(bytes, now);
        self.gather(now);
    }

    fn take_frames(&mut self, mut bytes: &[u8], now: Time) {
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
        self.collect();
        Ok(count)
    }
}
