//! HeaderField blocks: decoded whatever their stream is, then held to the rules of heads.

use super::receive::{Found, Step};
use super::{Connection, Incoming, WhyReset};
use crate::core::time::Time;
use crate::h2::closed::Ending;
use crate::h2::credit::{ReceiveCredit, SendCredit};
use crate::h2::decoder::{Decoded, HpackFault};
use crate::h2::fields::Fields;
use crate::h2::frame::ErrorCode;
use crate::h2::head::{self, HeadFault};
use crate::h2::nuisance::Nuisance;
use crate::h2::priority::Priority;
use crate::h2::queues::{STREAMS_MAX, Slot};
use crate::h2::stream::{Direction, Opening, Promised, Stream};

/// Cookie fields of a head that cost nothing, and how many more are one nuisance.
const CRUMBS_FREE: u32 = 32;

/// A field block is decoded and belongs here.
#[derive(Clone, Copy)]
pub(super) enum Block {
    /// It opens this stream of a client.
    Request(Slot),
    /// It is the head of a response.
    Response(Slot),
    /// Trailers.
    Trailers(Slot),
}

impl Connection {
    /// Decodes a block, whatever its stream is: each may change the table (§4.3).
    fn decode(&mut self, now: Time, fields: &mut Fields) -> Step<Decoded> {
        fields.clear();
        self.budget.charge_times(now, Nuisance::Continuation, u32::from(self.reader.continuations()))?;
        let decoded = match self.decoder.decode(self.reader.block(), self.config.head, fields) {
            Ok(decoded) => decoded,
            Err(HpackFault::Malformed) => return Err(ErrorCode::COMPRESSION_ERROR.into()),
            Err(HpackFault::Excessive) => return Err(Nuisance::References.into()),
        };
        // Each entry once is what a table is for; beyond that a list grows by reference.
        if self.decoder.referenced() > self.config.table as usize {
            self.budget.charge(now, Nuisance::References)?;
        }
        let crumbs = fields.iter().filter(|field| field.name == b"cookie").count() as u32;
        let excess = crumbs.saturating_sub(CRUMBS_FREE) / CRUMBS_FREE;
        self.budget.charge_times(now, Nuisance::Crumbs, excess)?;
        Ok(decoded)
    }

    pub(super) fn block(
        &mut self,
        now: Time,
        stream: u32,
        ends_stream: bool,
        fields: &mut Fields,
    ) -> Step<Option<Found<'static>>> {
        let decoded = self.decode(now, fields)?;
        if let Some(slot) = self.streams.find(stream) {
            let block = match self.streams.get(slot).input {
                Direction::Head => Block::Response(slot),
                Direction::Body => Block::Trailers(slot),
                Direction::Dropped => {
                    if ends_stream {
                        self.streams.get_mut(slot).input = Direction::Ended;
                        self.settle(now, slot);
                    }
                    return Ok(None);
                }
                Direction::Ended => {
                    let incoming = self.provoked(now, slot, ErrorCode::STREAM_CLOSED, WhyReset::Order)?;
                    return Ok(incoming.map(Found::Incoming));
                }
            };
            return Ok(Some(Found::Block { block, ends_stream, decoded }));
        }
        if stream.is_multiple_of(2) || (!self.is_server && stream > self.highest) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        if stream <= self.highest {
            // A number that was passed over can open no stream any more (§5.1.1).
            if !self.is_beyond(stream) && self.closed.ending(stream).is_none() {
                return Err(ErrorCode::PROTOCOL_ERROR.into());
            }
            self.on_closed(now, stream)?;
            return Ok(None);
        }
        self.highest = stream;
        if self.is_beyond(stream) {
            return Ok(None);
        }
        if self.streams.len() as u32 >= self.config.streams.min(STREAMS_MAX) {
            self.budget.charge(now, Nuisance::Refused)?;
            self.write_reply_reset(stream, ErrorCode::REFUSED_STREAM);
            self.closed.note(stream, Ending::ResetByUs);
            return Ok(Some(Found::Incoming(Incoming::Refused { stream })));
        }
        let slot = self.accept(now, stream);
        Ok(Some(Found::Block { block: Block::Request(slot), ends_stream, decoded }))
    }

    /// Opens a stream of a client.
    fn accept(&mut self, now: Time, number: u32) -> Slot {
        let ours = self.config.stream_window;
        let is_early = !self.is_acknowledged && ours < super::FIRST_WINDOW;
        let receive = if is_early {
            ReceiveCredit::new(super::FIRST_WINDOW, super::FIRST_WINDOW)
        } else {
            ReceiveCredit::new(ours, ours)
        };
        let send = SendCredit::new(self.window_applied);
        let (input, output) = (Direction::Body, Direction::Head);
        let mut stream = Stream::new(Opening { number, receive, send, input, output }, now);
        stream.is_early = is_early;
        self.streams.push(stream)
    }

    /// Holds a decoded block to the rules of heads.
    pub(super) fn judge<'a>(
        &mut self,
        now: Time,
        block: Block,
        ends_stream: bool,
        decoded: Decoded,
        fields: &'a Fields,
    ) -> Step<Option<Incoming<'a>>> {
        match block {
            Block::Request(slot) => self.request(now, slot, ends_stream, decoded, fields),
            Block::Response(slot) | Block::Trailers(slot) if decoded == Decoded::TooLarge => {
                let code = if self.is_server { ErrorCode::PROTOCOL_ERROR } else { ErrorCode::CANCEL };
                self.provoked(now, slot, code, WhyReset::TooLarge)
            }
            Block::Response(slot) => self.response(now, slot, ends_stream, fields),
            Block::Trailers(slot) => {
                let state = self.streams.get(slot);
                let (stream, token, length_in) = (state.number, state.token, state.length_in);
                if !ends_stream {
                    return self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Order);
                }
                if let Err(fault) = head::trailers(fields) {
                    return self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Malformed(fault));
                }
                if !length_in.ends_behind(0) {
                    return self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Length);
                }
                self.streams.get_mut(slot).input = Direction::Ended;
                self.settle(now, slot);
                Ok(Some(Incoming::Trailers { stream, token, fields }))
            }
        }
    }

    fn request<'a>(
        &mut self,
        now: Time,
        slot: Slot,
        ends_stream: bool,
        decoded: Decoded,
        fields: &'a Fields,
    ) -> Step<Option<Incoming<'a>>> {
        let stream = self.streams.get(slot).number;
        if decoded == Decoded::TooLarge {
            self.budget.charge(now, Nuisance::References)?;
            let state = self.streams.get_mut(slot);
            state.is_head = fields.iter().any(|field| field.name == b":method" && field.value == b"HEAD");
            if ends_stream {
                state.input = Direction::Ended;
            }
            return Ok(Some(Incoming::TooLarge { stream, ends_stream }));
        }
        let head = match head::request(fields) {
            Ok(head) if head.protocol.is_some() && !self.config.connect => Err(HeadFault::Pseudos),
            Ok(head) if ends_stream && head.protocol.is_none() && head.length.is_some_and(|it| it > 0) => {
                Err(HeadFault::Length)
            }
            head => head,
        };
        let head = match head {
            Ok(head) => head,
            Err(fault) => {
                self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Malformed(fault))?;
                return Ok(Some(Incoming::Malformed { stream, fault }));
            }
        };
        let fields_of = fields.iter().filter(|field| field.name == b"priority");
        let asked = fields_of.last().map_or_else(Priority::default, |field| Priority::read(field.value));
        // A PRIORITY_UPDATE that came before is newer than the field (RFC 9218 §7).
        let priority = self.early.as_ref().and_then(|early| early.of(stream)).unwrap_or(asked);
        let state = self.streams.get_mut(slot);
        state.priority = priority;
        state.is_head = head.method == "HEAD";
        state.is_tunnel = head.method == "CONNECT";
        state.length_in = if state.is_tunnel { Promised::ANY } else { Promised::of(head.length) };
        if ends_stream {
            state.input = Direction::Ended;
        }
        Ok(Some(Incoming::Request { stream, head, fields, priority, ends_stream }))
    }

    fn response<'a>(
        &mut self,
        now: Time,
        slot: Slot,
        ends_stream: bool,
        fields: &'a Fields,
    ) -> Step<Option<Incoming<'a>>> {
        let head = match head::response(fields) {
            Ok(head) => head,
            Err(fault) => {
                return self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Malformed(fault));
            }
        };
        let state = self.streams.get_mut(slot);
        let (stream, token) = (state.number, state.token);
        state.is_processed = true;
        if head.status < 200 {
            if ends_stream {
                return self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Order);
            }
            return Ok(Some(Incoming::Response { stream, token, head, fields, ends_stream }));
        }
        let is_bodiless = state.is_head || matches!(head.status, 204 | 304);
        let is_tunnel = state.is_tunnel && (200..300).contains(&head.status);
        if ends_stream && !is_bodiless && !is_tunnel && head.length.is_some_and(|length| length > 0) {
            return self.provoked(now, slot, ErrorCode::PROTOCOL_ERROR, WhyReset::Length);
        }
        state.length_in = if is_tunnel { Promised::ANY } else { Promised::of(head.length) };
        state.input = match (ends_stream, is_bodiless) {
            (true, _) => Direction::Ended,
            (false, true) => Direction::Dropped,
            (false, false) => Direction::Body,
        };
        self.settle(now, slot);
        Ok(Some(Incoming::Response { stream, token, head, fields, ends_stream: ends_stream || is_bodiless }))
    }
}
