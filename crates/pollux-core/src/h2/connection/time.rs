//! The deadlines. Each is derived from the state of the connection and its streams; none is armed.

use super::{Connection, ConnectionError, Incoming, WhyReset};
use crate::core::time::Time;
use crate::h2::frame::{ErrorCode, PAYLOAD_MAX};
use crate::h2::priority::Priority;
use crate::h2::queues::{Slot, Waiting};

/// The timeout that has run out.
#[derive(Clone, Copy)]
enum Due {
    /// The peer has not acknowledged our settings.
    Settings,
    /// The peer has not answered our PING.
    Ping,
    /// The DATA of a stream waits for the window.
    Stall(u32),
    /// A stream without an owner is still open.
    Linger(Slot),
}

impl Connection {
    /// When [`expire`](Self::expire) is to be called, if nothing comes before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.due().map(|(at, _)| at)
    }

    fn due(&self) -> Option<(Time, Due)> {
        if self.error.is_some() {
            return None;
        }
        let settings =
            (!self.is_acknowledged).then(|| (self.began + self.config.settings_timeout, Due::Settings));
        let ping = self.ping.map(|sent| (sent + self.config.ping_timeout, Due::Ping));
        let linger = self
            .streams
            .first(Waiting::Linger)
            .map(|slot| (self.streams.get(slot).moved + self.config.linger_timeout, Due::Linger(slot)));
        let stalled = self.stalled().min_by_key(|(since, _)| *since);
        let stall = stalled.map(|(since, number)| (since + self.config.stall_timeout, Due::Stall(number)));
        [settings, ping, linger, stall].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Streams whose DATA could go out but for a window of the peer, and since when. One that waits for the window of the connection may
    /// have others before it, so it has not stalled while these move.
    fn stalled(&self) -> impl Iterator<Item = (Time, u32)> {
        let urgencies = if self.send.available() == 0 { Priority::URGENCIES as u8 } else { 0 };
        let by_connection = (0..urgencies).flat_map(|urgency| self.streams.queue(Waiting::Ready(urgency)));
        let by_connection = by_connection.map(|stream| (stream.moved.max(self.moved), stream.number));
        let by_stream = self.streams.queue(Waiting::Window).map(|stream| (stream.moved, stream.number));
        by_stream.chain(by_connection)
    }

    /// Ends what is over its time; `None` once nothing more is due.
    ///
    /// # Errors
    /// What ends the connection.
    pub fn expire(&mut self, now: Time) -> Result<Option<Incoming<'static>>, ConnectionError> {
        loop {
            let Some((at, due)) = self.due() else { return Ok(None) };
            if now < at {
                return Ok(None);
            }
            match due {
                Due::Settings => return Err(self.fail(ErrorCode::SETTINGS_TIMEOUT.into())),
                Due::Ping => return Err(self.fail(ErrorCode::NO_ERROR.into())),
                Due::Linger(slot) => {
                    self.reset_slot(slot, self.unread_code());
                }
                Due::Stall(stream) => {
                    let Some(slot) = self.streams.find(stream) else { return Ok(None) };
                    let code = ErrorCode::CANCEL;
                    let token = self.reset_slot(slot, code);
                    return Ok(Some(Incoming::Reset { stream, token, code, why: WhyReset::Stalled }));
                }
            }
        }
    }

    /// A piece goes out at `now`. A whole frame is movement, and all that waited; less is a dribble, which holds up no deadline.
    pub(super) fn note_movement(&mut self, slot: Slot, now: Time) {
        let stream = self.streams.get_mut(slot);
        if stream.waiting == 0 || stream.progress >= PAYLOAD_MAX {
            (stream.moved, stream.progress) = (now, 0);
            self.moved = now;
        }
    }
}
