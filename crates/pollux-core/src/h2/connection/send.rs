//! The output of the owner: heads at once, DATA by priority and window, and the frames that end streams and
//! the connection.

use super::{CannotOpen, CannotSend, Connection, NewRequest, NewResponse, Piece};
use crate::core::time::Time;
use crate::h2::closed::Ending;
use crate::h2::credit::{ReceiveCredit, SendCredit};
use crate::h2::encoder::{FieldBlock, NO_TABLE};
use crate::h2::frame::{self, ErrorCode, FrameHead, FrameType, HEAD, MAX_31, PAYLOAD_MAX, flags};
use crate::h2::priority::Priority;
use crate::h2::queues::{Slot, Waiting};
use crate::h2::stream::{Direction, Opening, Promised, Stream};

/// Frames of DATA of one stream before another one of the same urgency has its turn. An incremental response has one.
const TURN: u8 = 4;
/// Streams whose input is dropped at once.
pub(super) const LINGERING_MAX: usize = 16;

impl Connection {
    /// Opens a stream to a backend. Its number.
    ///
    /// # Errors
    /// [`free_streams`](Self::free_streams) is zero, or the peer takes no such list.
    pub fn open(&mut self, now: Time, request: NewRequest<'_>) -> Result<u32, CannotOpen> {
        if self.is_leaving() || self.is_server {
            return Err(CannotOpen::Leaving);
        }
        if !self.peer_takes(request.block) {
            return Err(CannotOpen::TooLarge);
        }
        if self.free_streams() == 0 {
            return Err(CannotOpen::Full);
        }
        // Clients have the odd numbers (RFC 9113 §5.1.1).
        let number = if self.highest == 0 { 1 } else { self.highest + 2 };
        self.highest = number;
        let ours = self.config.stream_window;
        let receive = ReceiveCredit::new(ours, ours);
        let send = SendCredit::new(self.window_applied);
        let opening = Opening { number, receive, send, input: Direction::Head, output: Direction::Body };
        let mut stream = Stream::new(opening, now);
        (stream.token, stream.is_head, stream.is_tunnel) =
            (request.token, request.is_head, request.is_connect);
        stream.length_out = if request.is_connect { Promised::ANY } else { Promised::of(request.length) };
        if request.ends_stream {
            stream.output = Direction::Ended;
        }
        self.streams.push(stream);
        self.write_block(number, request.ends_stream, request.block);
        Ok(number)
    }

    /// Writes the head of a response. The answer to a HEAD, a 204 and a 304 end their stream in any case.
    ///
    /// # Errors
    /// Nothing is written, unless the stream had to be reset.
    pub fn respond(&mut self, now: Time, stream: u32, response: NewResponse<'_>) -> Result<(), CannotSend> {
        let slot = self.streams.find(stream).ok_or(CannotSend::Gone)?;
        let state = self.streams.get(slot);
        if !self.is_server || state.output != Direction::Head {
            return Err(CannotSend::Order);
        }
        if !self.peer_takes(response.block) {
            return Err(CannotSend::TooLarge);
        }
        let state = self.streams.get_mut(slot);
        if response.status < 200 {
            self.write_block(stream, false, response.block);
            return Ok(());
        }
        let is_tunnel = state.is_tunnel && response.status < 300;
        let is_bodiless = state.is_head || matches!(response.status, 204 | 304);
        let ends_stream = response.ends_stream || is_bodiless;
        let length_out = if is_tunnel || is_bodiless { Promised::ANY } else { Promised::of(response.length) };
        if ends_stream && !length_out.ends_behind(0) {
            self.reset_slot(slot, ErrorCode::INTERNAL_ERROR);
            return Err(CannotSend::Length);
        }
        state.length_out = length_out;
        state.output = if ends_stream { Direction::Ended } else { Direction::Body };
        self.write_block(stream, ends_stream, response.block);
        self.settle(now, slot);
        Ok(())
    }

    /// Ends what we send on a stream with trailers. All that was offered before them has gone out.
    ///
    /// # Errors
    /// Nothing is written, unless the stream had to be reset.
    pub fn trailers(&mut self, now: Time, stream: u32, block: &FieldBlock) -> Result<(), CannotSend> {
        let slot = self.streams.find(stream).ok_or(CannotSend::Gone)?;
        let state = self.streams.get(slot);
        if state.output != Direction::Body || state.waiting > 0 {
            return Err(CannotSend::Order);
        }
        if !state.length_out.ends_behind(0) {
            self.reset_slot(slot, self.cut_code());
            return Err(CannotSend::Length);
        }
        if !self.peer_takes(block) {
            return Err(CannotSend::TooLarge);
        }
        self.streams.get_mut(slot).output = Direction::Ended;
        self.streams.leave(slot);
        self.write_block(stream, true, block);
        self.settle(now, slot);
        Ok(())
    }

    /// So many bytes of DATA wait for being sent, in all; `ends` says that the direction ends behind them.
    ///
    /// # Errors
    /// A message that would not be as long as its head says is reset at once.
    pub fn offer(&mut self, now: Time, stream: u32, waiting: u32, ends: bool) -> Result<(), CannotSend> {
        let slot = self.streams.find(stream).ok_or(CannotSend::Gone)?;
        let state = self.streams.get_mut(slot);
        if state.output != Direction::Body {
            return Err(CannotSend::Order);
        }
        let count = u64::from(waiting);
        if !state.length_out.admits(count) || (ends && !state.length_out.ends_behind(count)) {
            self.reset_slot(slot, self.cut_code());
            return Err(CannotSend::Length);
        }
        if state.waiting == 0 {
            (state.moved, state.progress, state.turn) = (now, 0, 0);
        }
        (state.waiting, state.ends_behind) = (waiting, ends);
        self.requeue(slot);
        Ok(())
    }

    /// A message of ours that is cut short: a backend is told that the request is given up, a client that we failed.
    fn cut_code(&self) -> ErrorCode {
        if self.is_server { ErrorCode::INTERNAL_ERROR } else { ErrorCode::CANCEL }
    }

    /// Lines a stream up for what it waits for now. It keeps its place if that has not changed.
    pub(super) fn requeue(&mut self, slot: Slot) {
        let state = self.streams.get(slot);
        let wanted = if state.output != Direction::Body {
            return;
        } else if state.waiting == 0 {
            state.ends_behind.then_some(Waiting::End)
        } else if state.send.available() == 0 {
            Some(Waiting::Window)
        } else {
            Some(Waiting::Ready(state.priority.urgency))
        };
        match wanted {
            Some(wanted) if self.streams.waiting(slot) != Some(wanted) => self.streams.join(slot, wanted),
            Some(_) => {}
            None => self.streams.leave(slot),
        }
    }

    /// The next DATA to be written, if frames of `room` bytes in all fit: the most urgent stream first, and those of one urgency in turn.
    pub fn next_piece(&mut self, now: Time, room: u32) -> Option<Piece> {
        let room = room.checked_sub(HEAD as u32)?;
        if self.error.is_some() {
            return None;
        }
        if let Some(slot) = self.streams.first(Waiting::End) {
            return Some(self.piece(now, slot, 0));
        }
        let most = self.send.available().min(PAYLOAD_MAX).min(room);
        if most == 0 {
            return None;
        }
        for urgency in 0..Priority::URGENCIES as u8 {
            while let Some(slot) = self.streams.first(Waiting::Ready(urgency)) {
                let state = self.streams.get(slot);
                let length = state.waiting.min(most).min(state.send.available());
                if length > 0 {
                    return Some(self.piece(now, slot, length));
                }
                self.streams.join(slot, Waiting::Window);
            }
        }
        None
    }

    fn piece(&mut self, now: Time, slot: Slot, length: u32) -> Piece {
        let connection_left = self.send.available() - length;
        let state = self.streams.get_mut(slot);
        let is_cut = length < state.waiting && (length == state.send.available() || connection_left == 0);
        state.send.spend(length);
        state.length_out.take(u64::from(length));
        state.waiting -= length;
        state.progress += length;
        let ends_stream = state.waiting == 0 && state.ends_behind;
        let (stream, token) = (state.number, state.token);
        if ends_stream {
            state.output = Direction::Ended;
        }
        self.send.spend(length);
        if length > 0 {
            self.budget.data_sent(length, is_cut);
        }
        self.note_movement(slot, now);
        self.after_piece(now, slot);
        let flags = if ends_stream { flags::END_STREAM } else { 0 };
        let head = FrameHead { length, kind: FrameType::Data, flags, stream }.bytes();
        Piece { stream, token, length, ends_stream, head }
    }

    /// Lines a stream up again behind its piece.
    fn after_piece(&mut self, now: Time, slot: Slot) {
        let state = self.streams.get_mut(slot);
        if state.output == Direction::Ended {
            self.streams.leave(slot);
            self.settle(now, slot);
            return;
        }
        state.turn = state.turn.saturating_add(1);
        let most = if state.priority.is_incremental { 1 } else { TURN };
        if state.turn >= most && state.waiting > 0 && state.send.available() > 0 {
            state.turn = 0;
            let ready = Waiting::Ready(state.priority.urgency);
            self.streams.join(slot, ready);
        } else {
            self.requeue(slot);
        }
    }

    /// There is so much room in the lane that takes what comes on a stream, of `capacity` bytes; more may be promised to the peer then.
    pub fn grant(&mut self, stream: u32, room: u32, capacity: u32) {
        let Some(slot) = self.streams.find(stream) else { return };
        let state = self.streams.get_mut(slot);
        if !matches!(state.input, Direction::Head | Direction::Body) {
            return;
        }
        if let Some(increment) = state.receive.grant(room, capacity) {
            frame::write_window(stream, increment, &mut self.out);
        }
    }

    /// Changes the priority of what we send on a stream.
    pub fn set_priority(&mut self, stream: u32, priority: Priority) {
        if let Some(slot) = self.streams.find(stream) {
            self.streams.get_mut(slot).priority = priority;
            self.requeue(slot);
        }
    }

    /// Ends a stream at once, for a reason of our own: a body that is cut, an exchange that is given up, an upload that is not needed.
    pub fn reset(&mut self, stream: u32, code: ErrorCode) {
        if let Some(slot) = self.streams.find(stream) {
            self.reset_slot(slot, code);
        }
    }

    /// The response is complete, and the rest of the request has no reader: `limit` bytes of it are dropped, then the stream is reset.
    /// Clients that wait for a window before they read the response get one.
    pub fn linger(&mut self, now: Time, stream: u32, limit: u32) {
        let Some(slot) = self.streams.find(stream) else { return };
        let state = self.streams.get_mut(slot);
        if state.output != Direction::Ended {
            self.reset_slot(slot, self.cut_code());
            return;
        }
        state.input = Direction::Dropped;
        self.linger_slot(now, slot, limit);
    }

    fn linger_slot(&mut self, now: Time, slot: Slot, limit: u32) {
        let state = self.streams.get_mut(slot);
        (state.moved, state.waiting) = (now, limit);
        if let Some(increment) = state.receive.grant(self.config.stream_window.min(limit), 0) {
            let stream = state.number;
            frame::write_window(stream, increment, &mut self.out);
        }
        self.streams.join(slot, Waiting::Linger);
        if self.streams.queue(Waiting::Linger).count() > LINGERING_MAX
            && let Some(oldest) = self.streams.first(Waiting::Linger)
        {
            self.reset_slot(oldest, self.unread_code());
        }
    }

    /// The peer sends what has no reader.
    pub(super) fn unread_code(&self) -> ErrorCode {
        if self.is_server { ErrorCode::NO_ERROR } else { ErrorCode::CANCEL }
    }

    /// A direction has ended; the stream is over if both have.
    pub(super) fn settle(&mut self, now: Time, slot: Slot) {
        let state = self.streams.get(slot);
        if state.is_closed() {
            self.budget.response_whole();
            self.remove(slot, Ending::Whole);
        } else if state.is_lingering() && self.streams.waiting(slot) != Some(Waiting::Linger) {
            self.linger_slot(now, slot, 0);
        }
    }

    /// Asks the peer whether it is there.
    pub fn ping(&mut self, now: Time) {
        if self.ping.is_none() && self.error.is_none() {
            self.pings += 1;
            self.ping = Some(now);
            frame::write_ping(false, u64::from(self.pings).to_be_bytes(), &mut self.out);
        }
    }

    /// Whether a PING is out that the peer has not answered.
    #[must_use]
    pub fn awaits_pong(&self) -> bool {
        self.ping.is_some()
    }

    /// Says that the connection is going to end; streams that the peer has under way are still taken (RFC 9113 §6.8).
    pub fn drain(&mut self) {
        if self.admitted.is_none() && self.error.is_none() {
            self.admitted = Some(MAX_31);
            frame::write_goaway(if self.is_server { MAX_31 } else { 0 }, ErrorCode::NO_ERROR, &mut self.out);
        }
    }

    /// Says which stream was the last one. Those that are open go on; what opens behind it is not processed, and the peer knows.
    pub fn leave(&mut self) {
        if self.admitted.is_none_or(|last| last == MAX_31) && self.error.is_none() {
            let last = if self.is_server { self.highest } else { 0 };
            self.admitted = Some(last);
            frame::write_goaway(last, ErrorCode::NO_ERROR, &mut self.out);
        }
    }

    /// Whether the peer's SETTINGS_MAX_HEADER_LIST_SIZE admits a list.
    fn peer_takes(&self, block: &FieldBlock) -> bool {
        self.peer.list.is_none_or(|most| block.list_size() <= most as usize)
    }

    fn write_block(&mut self, stream: u32, ends_stream: bool, block: &FieldBlock) {
        let block = block.bytes();
        if std::mem::take(&mut self.owes_table) {
            let first = [&[NO_TABLE], block].concat();
            frame::write_block(stream, ends_stream, &first, PAYLOAD_MAX, &mut self.out);
        } else {
            frame::write_block(stream, ends_stream, block, PAYLOAD_MAX, &mut self.out);
        }
    }
}
