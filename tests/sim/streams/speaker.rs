//! One side of an HTTP/2 connection, by the machine of Pollux: the frames that it writes, at its own pace.

use std::sync::Arc;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::h2::connection::{Connection, ConnectionConfig, Piece, Role};
use pollux::h2::encoder::{FieldBlock, Strings};
use pollux::h2::fields::HeaderField;
use pollux::os::IoFault;

use crate::end::EndId;
use crate::faults::{chance, log_uniform};
use crate::net::Net;

/// The result of an attempt to write.
pub(super) enum Spoken {
    Bytes,
    /// There is nothing to be written.
    Nothing,
    Blocked,
    Lost,
}

/// See the module.
pub(super) struct Speaker {
    pub(super) machine: Connection,
    /// Bytes that may come on a stream.
    pub(super) window: u32,
    outbox: Vec<u8>,
    pub(super) rng: Rng,
}

impl Speaker {
    /// One with at most `streams` at once, if it bounds them, and windows of at least so many bytes.
    pub(super) fn new(role: Role, streams: Option<u32>, window_min: usize, mut rng: Rng) -> Speaker {
        let window = log_uniform(&mut rng, &(window_min..=200_000)) as u32;
        let usual = ConnectionConfig::default();
        let config = ConnectionConfig {
            streams: streams.unwrap_or(usual.streams),
            stream_window: window,
            window: 65_535 + rng.u32(..100_000),
            ..usual
        };
        let machine = Connection::new(role, Arc::new(config), Time::ZERO);
        Speaker { machine, window, outbox: Vec::new(), rng }
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_silent(&self) -> bool {
        self.outbox.is_empty() && self.machine.output().is_empty()
    }

    /// Forgets the bytes that the peer will not read.
    pub(super) fn fall_silent(&mut self) {
        self.outbox.clear();
    }

    /// Writes some of the frames. `say` appends the bytes of a piece.
    pub(super) fn speak(
        &mut self,
        net: &mut Net,
        end: EndId,
        say: impl FnMut(&Piece, &mut Vec<u8>),
    ) -> Spoken {
        if self.outbox.is_empty() {
            self.gather(net.now, say);
        }
        if self.outbox.is_empty() {
            return Spoken::Nothing;
        }
        let most = if chance(&mut self.rng, 20) { 1 } else { self.outbox.len() };
        match net.write(end, &self.outbox[..self.rng.usize(1..=most)]) {
            Ok(count) => {
                self.outbox.drain(..count);
                Spoken::Bytes
            }
            Err(IoFault::Blocked) => Spoken::Blocked,
            Err(IoFault::Lost) => Spoken::Lost,
        }
    }

    fn gather(&mut self, now: Time, mut say: impl FnMut(&Piece, &mut Vec<u8>)) {
        self.outbox.extend_from_slice(self.machine.output());
        self.machine.consume(self.machine.output().len());
        while self.outbox.len() < 20_000
            && let Some(piece) = self.machine.next_piece(now, 9 + self.rng.u32(1..30_000))
        {
            self.outbox.extend_from_slice(&piece.head);
            say(&piece, &mut self.outbox);
        }
    }

    /// Reads what has come, or a few bytes of it. It is empty at the end of the connection.
    ///
    /// # Errors
    /// As [`Net::read`].
    pub(super) fn read(&mut self, net: &mut Net, end: EndId) -> Result<Vec<u8>, IoFault> {
        let mut room = vec![0; if chance(&mut self.rng, 20) { 3 } else { 5000 }];
        let count = net.read(end, &mut room)?;
        room.truncate(count);
        Ok(room)
    }

    /// Lets more come on `streams`; true if that is to be told.
    pub(super) fn grant<'a>(&mut self, streams: impl Iterator<Item = &'a u32>) -> bool {
        for stream in streams {
            self.machine.grant(*stream, self.window, self.window);
        }
        !self.machine.output().is_empty()
    }
}

/// A block of these fields.
pub(super) fn block_of<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> FieldBlock {
    let mut block = FieldBlock::default();
    for (name, value) in lines {
        let field = HeaderField { name: name.as_bytes(), value: value.as_bytes(), is_secret: false };
        block.push(field, Strings::Short);
    }
    block
}
