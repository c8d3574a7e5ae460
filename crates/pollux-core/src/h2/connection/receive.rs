//! The effects of the peer's frames.

use super::heads::Block;
use super::{Connection, ConnectionError, Incoming, WhyReset};
use crate::core::time::Time;
use crate::h2::closed::Ending;
use crate::h2::decoder::Decoded;
use crate::h2::fields::Fields;
use crate::h2::frame::{self, ErrorCode};
use crate::h2::nuisance::Nuisance;
use crate::h2::priority::Priority;
use crate::h2::queues::{STREAMS_MAX, Slot, Waiting};
use crate::h2::reader::FrameEvent;
use crate::h2::settings::Settings;
use crate::h2::stream::{Direction, Stream};

/// Entries of a SETTINGS frame that cost nothing by themselves.
const ENTRIES_FREE: u16 = 32;
pub(super) type Step<T> = Result<T, ConnectionError>;

/// The finding of the loop over the frames.
pub(super) enum Found<'a> {
    Block { block: Block, ends_stream: bool, decoded: Decoded },
    Incoming(Incoming<'a>),
}

impl Connection {
    /// Reads from the front of `input` up to the next event; `None` once all of it is read. HeaderField blocks are decoded into `fields`, which
    /// need not be this connection's own.
    ///
    /// # Errors
    /// What ends the connection. What is left of the input is not read.
    pub fn read<'i: 'f, 'f>(
        &mut self,
        now: Time,
        input: &mut &'i [u8],
        fields: &'f mut Fields,
    ) -> Result<Option<Incoming<'f>>, ConnectionError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let found = match self.find(now, input, fields) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.fail(error)),
        };
        match found {
            Found::Incoming(incoming) => Ok(Some(incoming)),
            Found::Block { block, ends_stream, decoded } => {
                let incoming = self.judge(now, block, ends_stream, decoded, fields);
                incoming.map_err(|error| self.fail(error))
            }
        }
    }

    /// Reads frames until one of them is an event for the owner.
    fn find<'a>(&mut self, now: Time, input: &mut &'a [u8], fields: &mut Fields) -> Step<Option<Found<'a>>> {
        loop {
            if self.has_refused
                && let Some(refused) = self.next_refused()
            {
                return Ok(Some(Found::Incoming(refused)));
            }
            let Some(event) = self.reader.read(input)? else { return Ok(None) };
            let incoming = match event {
                FrameEvent::Data { stream, bytes, counted } => self.data(now, stream, bytes, counted)?,
                FrameEvent::DataEnd { stream, ends_stream, is_empty } => {
                    self.data_end(now, stream, ends_stream, is_empty)?
                }
                FrameEvent::Block { stream, ends_stream } => {
                    if let Some(found) = self.block(now, stream, ends_stream, fields)? {
                        return Ok(Some(found));
                    }
                    None
                }
                FrameEvent::Reset { stream, code } => self.peer_resets(now, stream, code)?,
                FrameEvent::Setting { number, value } => {
                    self.setting(now, number, value)?;
                    None
                }
                FrameEvent::SettingsEnd => self.settings_end(now)?,
                FrameEvent::SettingsAck => {
                    self.acknowledged(now)?;
                    None
                }
                FrameEvent::Ping { is_ack, payload } => self.ping_comes(now, is_ack, payload)?,
                FrameEvent::GoAway { last, code } => Some(self.peer_leaves(last, code)),
                FrameEvent::Window { stream, increment } => self.window(now, stream, increment)?,
                FrameEvent::PriorityUpdate { stream, is_cut } => {
                    self.priority_update(now, stream, is_cut)?;
                    None
                }
                FrameEvent::WrongSize { stream } => self.wrong_size(now, stream)?,
                FrameEvent::Ignored { .. } => {
                    self.budget.charge(now, Nuisance::Ignored)?;
                    None
                }
            };
            if let Some(incoming) = incoming {
                return Ok(Some(Found::Incoming(incoming)));
            }
        }
    }

    /// Whether a stream was never opened, by either side.
    pub(super) fn is_idle(&self, stream: u32) -> bool {
        stream.is_multiple_of(2) || stream > self.highest
    }

    /// Above the last stream that our GOAWAY admits: what comes on it is dropped (§6.8).
    pub(super) fn is_beyond(&self, stream: u32) -> bool {
        self.is_server && self.admitted.is_some_and(|last| stream > last)
    }

    /// A frame came on a stream that is not open; whether that is an error of the stream.
    pub(super) fn on_closed(&mut self, now: Time, stream: u32) -> Step<()> {
        if self.is_idle(stream) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        self.budget.charge(now, Nuisance::ClosedStream)?;
        if self.is_beyond(stream) {
            return Ok(());
        }
        match self.closed.ending(stream) {
            Some(Ending::ResetByUs | Ending::Forgotten) => Ok(()),
            Some(Ending::Whole) => Err(ErrorCode::STREAM_CLOSED.into()),
            Some(Ending::ResetByPeer) | None => {
                self.write_reply_reset(stream, ErrorCode::STREAM_CLOSED);
                Ok(())
            }
        }
    }

    pub(super) fn write_reply_reset(&mut self, stream: u32, code: ErrorCode) {
        frame::write_reset(stream, code, &mut self.out);
        self.replies = self.replies.saturating_add(1);
    }

    /// Resets a stream because of what the peer did.
    pub(super) fn provoked(
        &mut self,
        now: Time,
        slot: Slot,
        code: ErrorCode,
        why: WhyReset,
    ) -> Step<Option<Incoming<'static>>> {
        self.budget.charge(now, Nuisance::Provoked)?;
        self.replies = self.replies.saturating_add(1);
        let stream = self.streams.get(slot).number;
        let has_owner = !self.streams.get(slot).is_lingering();
        let token = self.reset_slot(slot, code);
        Ok(has_owner.then_some(Incoming::Reset { stream, token, code, why }))
    }

    fn data<'a>(
        &mut self,
        now: Time,
        stream: u32,
        bytes: &'a [u8],
        counted: u32,
    ) -> Step<Option<Incoming<'a>>> {
        // Every byte counts for the connection, also of streams that are gone and bytes that are padding.
        self.receive.take(counted)?;
        if let Some(increment) = self.receive.grant(self.config.window, self.config.window) {
            frame::write_window(0, increment, &mut self.out);
        }
        let Some(slot) = self.streams.find(stream) else {
            if self.is_idle(stream) {
                return Err(ErrorCode::PROTOCOL_ERROR.into());
            }
            return Ok(None);
        };
        let state = self.streams.get_mut(slot);
        if state.receive.take(counted).is_err() {
            return self.provoked(now, slot, ErrorCode::FLOW_CONTROL_ERROR, WhyReset::Window);
        }
        match state.input {
            Direction::Head => self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Order),
            Direction::Ended => self.provoked(now, slot, ErrorCode::STREAM_CLOSED, WhyReset::Order),
            Direction::Dropped => Ok(self.drop_data(slot, bytes.len() as u32, counted)),
            Direction::Body if !state.length_in.take(bytes.len() as u64) => {
                self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Length)
            }
            Direction::Body if bytes.is_empty() => Ok(None),
            Direction::Body => Ok(Some(Incoming::Data { stream, token: state.token, bytes })),
        }
    }

    /// DATA that has no reader: within the limit the window opens again, above it the stream is reset.
    fn drop_data(&mut self, slot: Slot, length: u32, counted: u32) -> Option<Incoming<'static>> {
        let code = self.unread_code();
        let window = self.config.stream_window;
        let state = self.streams.get_mut(slot);
        let stream = state.number;
        if !state.is_lingering() {
            // Our own direction is still under way, and the owner has to be told.
            if length == 0 {
                return None;
            }
            let token = self.reset_slot(slot, code);
            return Some(Incoming::Reset { stream, token, code, why: WhyReset::Surplus });
        }
        if length > state.waiting {
            self.reset_slot(slot, code);
            return None;
        }
        state.waiting -= counted.min(state.waiting);
        if let Some(increment) = state.receive.grant(window, window) {
            frame::write_window(stream, increment, &mut self.out);
        }
        None
    }

    fn data_end(
        &mut self,
        now: Time,
        stream: u32,
        ends_stream: bool,
        is_empty: bool,
    ) -> Step<Option<Incoming<'static>>> {
        if !is_empty {
            self.budget.data_received();
        } else if !ends_stream {
            self.budget.charge(now, Nuisance::EmptyData)?;
        }
        let Some(slot) = self.streams.find(stream) else {
            self.on_closed(now, stream)?;
            return Ok(None);
        };
        let state = self.streams.get_mut(slot);
        match state.input {
            Direction::Head => self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Order),
            Direction::Ended => self.provoked(now, slot, ErrorCode::STREAM_CLOSED, WhyReset::Order),
            Direction::Dropped => {
                if ends_stream {
                    state.input = Direction::Ended;
                    self.settle(now, slot);
                }
                Ok(None)
            }
            Direction::Body if !ends_stream => Ok(None),
            Direction::Body if !state.length_in.ends_behind(0) => {
                self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Length)
            }
            Direction::Body => {
                state.input = Direction::Ended;
                let token = state.token;
                self.settle(now, slot);
                Ok(Some(Incoming::End { stream, token }))
            }
        }
    }

    fn peer_resets(&mut self, now: Time, stream: u32, code: ErrorCode) -> Step<Option<Incoming<'static>>> {
        let Some(slot) = self.streams.find(stream) else {
            if self.is_idle(stream) {
                return Err(ErrorCode::PROTOCOL_ERROR.into());
            }
            // It may cross with an end of ours (§5.1).
            self.budget.charge(now, Nuisance::ClosedStream)?;
            return Ok(None);
        };
        let state = self.streams.get(slot);
        let (token, is_lingering) = (state.token, state.is_lingering());
        let is_after_end = matches!(state.input, Direction::Ended | Direction::Dropped);
        let why = if !self.is_server && code == ErrorCode::REFUSED_STREAM && !state.is_processed {
            WhyReset::Unprocessed
        } else if is_after_end && !self.is_server {
            WhyReset::PeerAfterEnd
        } else {
            WhyReset::Peer
        };
        if self.is_server && state.output == Direction::Head {
            self.budget.charge(now, Nuisance::Reset)?;
        }
        self.remove(slot, Ending::ResetByPeer);
        Ok((!is_lingering).then_some(Incoming::Reset { stream, token, code, why }))
    }

    fn setting(&mut self, now: Time, number: u16, value: u32) -> Step<()> {
        self.entries = self.entries.saturating_add(1);
        if self.entries > ENTRIES_FREE {
            self.budget.charge(now, Nuisance::Ignored)?;
        }
        let (is_server, before) = (!self.is_server, self.peer.table);
        self.peer.take(number, value, is_server)?;
        self.lowers_table |= self.peer.table < before;
        Ok(())
    }

    fn settings_end(&mut self, now: Time) -> Step<Option<Incoming<'static>>> {
        self.entries = 0;
        if std::mem::replace(&mut self.has_settings, true) {
            self.budget.charge(now, Nuisance::Settings)?;
        }
        let (before, after) = (self.window_applied, self.peer.window);
        if before != after {
            self.window_applied = after;
            let mut has_overflown = false;
            self.streams.each_mut(|stream| has_overflown |= stream.send.rebase(before, after).is_err());
            if has_overflown {
                return Err(ErrorCode::FLOW_CONTROL_ERROR.into());
            }
            self.release_waiting();
        }
        self.owes_table |= std::mem::take(&mut self.lowers_table);
        Settings::acknowledge(&mut self.out);
        self.replies = self.replies.saturating_add(1);
        Ok(Some(Incoming::Settings))
    }

    /// Streams that waited for the window and have one now may send. One that still has none goes behind the others.
    fn release_waiting(&mut self) {
        for _ in 0..self.streams.queue(Waiting::Window).count() {
            let Some(slot) = self.streams.first(Waiting::Window) else { return };
            self.streams.join(slot, Waiting::Window);
            self.requeue(slot);
        }
    }

    fn acknowledged(&mut self, now: Time) -> Step<()> {
        if std::mem::replace(&mut self.is_acknowledged, true) {
            self.budget.charge(now, Nuisance::Settings)?;
            return Ok(());
        }
        self.decoder.acknowledged(self.config.table as usize);
        let window = self.config.stream_window;
        self.streams.each_mut(|stream| {
            if std::mem::take(&mut stream.is_early) {
                stream.receive.rebase(super::FIRST_WINDOW, window);
            }
        });
        Ok(())
    }

    /// Takes a PRIORITY_UPDATE (RFC 9218 §7.1), of a stream that is open or may yet open. Even numbers would be pushed streams.
    fn priority_update(&mut self, now: Time, stream: u32, is_cut: bool) -> Step<()> {
        if !self.is_server || stream.is_multiple_of(2) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        self.budget.charge(now, Nuisance::Ignored)?;
        if is_cut {
            return Ok(());
        }
        let priority = Priority::read(self.reader.priority_value());
        if self.streams.find(stream).is_some() {
            self.set_priority(stream, priority);
            return Ok(());
        }
        if stream <= self.highest || self.is_beyond(stream) {
            return Ok(());
        }
        let most = self.config.streams.min(STREAMS_MAX) as usize;
        let room = most.saturating_sub(self.streams.len());
        let early = self.early.get_or_insert_default();
        early.forget_up_to(self.highest);
        // Before its acknowledgement the client does not know our bound.
        if !early.note(stream, priority, room) && self.is_acknowledged {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        Ok(())
    }

    /// A PRIORITY frame of another length is an error of its stream (RFC 9113 §6.3). A stream that is not open cannot be reset.
    fn wrong_size(&mut self, now: Time, stream: u32) -> Step<Option<Incoming<'static>>> {
        let Some(slot) = self.streams.find(stream) else {
            self.budget.charge(now, Nuisance::Ignored)?;
            return Ok(None);
        };
        self.provoked(now, slot, ErrorCode::FRAME_SIZE_ERROR, WhyReset::FrameSize)
    }

    fn ping_comes(&mut self, now: Time, is_ack: bool, payload: [u8; 8]) -> Step<Option<Incoming<'static>>> {
        if !is_ack {
            self.budget.charge(now, Nuisance::Ping)?;
            frame::write_ping(true, payload, &mut self.out);
            self.replies = self.replies.saturating_add(1);
            return Ok(None);
        }
        if payload == u64::from(self.pings).to_be_bytes()
            && let Some(sent) = self.ping.take()
        {
            return Ok(Some(Incoming::Pong { after: now.since(sent) }));
        }
        self.budget.charge(now, Nuisance::Ping)?;
        Ok(None)
    }

    fn peer_leaves(&mut self, last: u32, code: ErrorCode) -> Incoming<'static> {
        // A later GOAWAY may only lower it (§6.8).
        let last = self.peer_admits.map_or(last, |before| before.min(last));
        self.peer_admits = Some(last);
        self.has_refused = !self.is_server;
        Incoming::GoAway { last, code }
    }

    /// The next stream that the peer's GOAWAY does not admit.
    fn next_refused(&mut self) -> Option<Incoming<'static>> {
        let last = self.peer_admits.unwrap_or(u32::MAX);
        let slot = loop {
            let slot = self.streams.highest().filter(|slot| self.streams.get(*slot).number > last);
            let Some(slot) = slot else {
                self.has_refused = false;
                return None;
            };
            if !self.streams.get(slot).is_lingering() {
                break slot;
            }
            self.remove(slot, Ending::ResetByUs);
        };
        let Stream { number: stream, token, is_processed, .. } = *self.streams.get(slot);
        // A peer that answers what it does not admit has processed it.
        let why = if is_processed { WhyReset::Peer } else { WhyReset::Unprocessed };
        self.remove(slot, Ending::ResetByUs);
        Some(Incoming::Reset { stream, token, code: ErrorCode::REFUSED_STREAM, why })
    }

    fn window(&mut self, now: Time, stream: u32, increment: u32) -> Step<Option<Incoming<'static>>> {
        self.budget.charge_update(now)?;
        if stream == 0 {
            self.send.open(increment)?;
            return Ok(None);
        }
        let Some(slot) = self.streams.find(stream) else {
            if self.is_idle(stream) {
                return Err(ErrorCode::PROTOCOL_ERROR.into());
            }
            return Ok(None);
        };
        if let Err(code) = self.streams.get_mut(slot).send.open(increment) {
            return self.provoked(now, slot, code, WhyReset::Window);
        }
        if self.streams.waiting(slot) == Some(Waiting::Window) {
            self.requeue(slot);
        }
        Ok(None)
    }
}
