//! Bytes of a peer to events, however they are cut.
//!
//! The place within a frame is state of the reader, never an offset into memory that moves. DATA is not assembled: each piece is an
//! event of its own, and lies where it was read. Only field blocks are assembled, in memory that serves nothing else, within a bound.
//!
//! ```text
//!   Preface ──> Head ──> Prefix ──> Body ──> Padding ──> Head ...
//!   (of a        9 bytes  of padded  what the  dropped,
//!    client)              frames and frame is  but DATA's
//!                         priorities for       is counted
//! ```

use super::frame::{ErrorCode, FrameHead, FrameType, HEAD, PREFACE, flags};

/// So many CONTINUATIONs may follow one HEADERS.
pub const CONTINUATIONS_MAX: u8 = 8;
/// A PRIORITY_UPDATE with a longer value, in bytes, is ignored.
pub const PRIORITY_VALUE_MAX: usize = 256;
/// A PRIORITY_UPDATE begins with the number of its stream.
const PRIORITIZED: usize = 4;

/// The part that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameEvent<'a> {
    /// A piece of DATA.
    Data {
        /// On this stream.
        stream: u32,
        /// The data; empty if padding has come.
        bytes: &'a [u8],
        /// So many bytes count in flow control: the data, the padding, and the byte that says how much padding there is (RFC 9113 §6.1).
        counted: u32,
    },
    /// A DATA frame is whole.
    DataEnd {
        /// On this stream.
        stream: u32,
        /// The direction ends with it.
        ends_stream: bool,
        /// Whether there was no data in it.
        is_empty: bool,
    },
    /// A field block is whole; [`Reader::block`] has it until the next call.
    Block {
        /// On this stream.
        stream: u32,
        /// The direction ends with it.
        ends_stream: bool,
    },
    /// `RST_STREAM`
    Reset {
        /// On this stream.
        stream: u32,
        /// Why.
        code: ErrorCode,
    },
    /// One setting; [`SettingsEnd`](Self::SettingsEnd) follows behind the last one.
    Setting {
        /// The number of the setting.
        number: u16,
        /// Its value.
        value: u32,
    },
    /// A SETTINGS frame is whole; it is to be acknowledged.
    SettingsEnd,
    /// Our settings are acknowledged.
    SettingsAck,
    /// `PING`
    Ping {
        /// Whether it answers ours.
        is_ack: bool,
        /// To be sent back.
        payload: [u8; 8],
    },
    /// `GOAWAY`
    GoAway {
        /// Streams above it were not processed.
        last: u32,
        /// Why.
        code: ErrorCode,
    },
    /// `WINDOW_UPDATE`
    Window {
        /// On this stream; zero is the connection.
        stream: u32,
        /// By so many bytes; zero is an error.
        increment: u32,
    },
    /// `PRIORITY_UPDATE`; [`Reader::priority_value`] has the value until the next call.
    PriorityUpdate {
        /// Of this stream.
        stream: u32,
        /// The value is beyond [`PRIORITY_VALUE_MAX`], and only its beginning is there.
        is_cut: bool,
    },
    /// A PRIORITY frame that has not five bytes (§6.3).
    WrongSize {
        /// On this stream.
        stream: u32,
    },
    /// A frame that means nothing here: an old priority, or an unknown type (RFC 9113 §5.5).
    Ignored {
        /// Its type.
        kind: FrameType,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes of the client's preface have come.
    Preface(usize),
    Head,
    /// Bytes before the body are awaited: the length of the padding, and an old priority.
    Prefix(FrameHead),
    /// So much of the body and the padding is left.
    Body {
        head: FrameHead,
        left: u32,
        padding: u32,
    },
}

/// A field block that is not whole yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    stream: u32,
    ends_stream: bool,
    continuations: u8,
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// Bytes of a head, or of a part of a frame that is looked at as a whole.
    gathered: [u8; HEAD],
    count: u8,
    /// Whether the peer's first frame has come, which is SETTINGS (RFC 9113 §3.4).
    has_begun: bool,
    open: Option<Open>,
    /// Those of the last block that is whole.
    continuations: u8,
    block: Vec<u8>,
    /// The longest block, in bytes.
    block_max: usize,
    /// Whether the block was given out, and its memory is free.
    is_block_out: bool,
    /// No piece of this DATA frame was given out yet.
    is_first: bool,
    /// No data has come in this DATA frame.
    is_empty: bool,
}

impl Reader {
    /// Reads what a client sends, its preface first. Field blocks have at most `block_max` bytes.
    #[must_use]
    pub fn of_client(block_max: usize) -> Reader {
        Reader::new(State::Preface(0), block_max)
    }

    /// Reads what a server sends.
    #[must_use]
    pub fn of_server(block_max: usize) -> Reader {
        Reader::new(State::Head, block_max)
    }

    fn new(state: State, block_max: usize) -> Reader {
        Reader {
            state,
            gathered: [0; HEAD],
            count: 0,
            has_begun: false,
            open: None,
            continuations: 0,
            block: Vec::new(),
            block_max,
            is_block_out: false,
            is_first: true,
            is_empty: true,
        }
    }

    /// The field block of the last event.
    #[must_use]
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// The value of the last PRIORITY_UPDATE, if that was the last event.
    #[must_use]
    pub fn priority_value(&self) -> &[u8] {
        self.block.get(PRIORITIZED..).unwrap_or(&[])
    }

    /// The number of CONTINUATIONs of the last field block.
    #[must_use]
    pub fn continuations(&self) -> u8 {
        self.continuations
    }

    /// The memory that is held beside the struct, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block.capacity()
    }

    /// Whether the input may end here: between frames, and not within a field block.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Head) && self.count == 0 && self.open.is_none()
    }

    /// Gives back the memory of field blocks while nothing happens.
    pub fn rest(&mut self) {
        if self.open.is_none() {
            self.block = Vec::new();
        }
    }

    /// Reads from the front of `input` up to the next event; `None` once all of it is read.
    ///
    /// # Errors
    /// The code that the connection ends with.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<FrameEvent<'a>>, ErrorCode> {
        if std::mem::take(&mut self.is_block_out) {
            self.block.clear();
        }
        loop {
            match self.state {
                State::Preface(matched) => {
                    let count = input.len().min(PREFACE.len() - matched);
                    if take(input, count) != &PREFACE[matched..matched + count] {
                        return Err(ErrorCode::PROTOCOL_ERROR);
                    }
                    self.state = State::Preface(matched + count);
                    if matched + count < PREFACE.len() {
                        return Ok(None);
                    }
                    self.state = State::Head;
                }
                State::Head => {
                    let Some(bytes) = self.gather::<HEAD>(input) else { return Ok(None) };
                    let head = FrameHead::read(&bytes).check()?;
                    self.sequence(head)?;
                    self.state = State::Prefix(head);
                }
                State::Prefix(head) => {
                    if !self.prefix(head, input)? {
                        return Ok(None);
                    }
                }
                State::Body { head, left, padding } => {
                    let event = self.body(head, left, padding, input)?;
                    // Without an event the frame is whole, or all of the input is read.
                    if event.is_some() || matches!(self.state, State::Body { .. }) {
                        return Ok(event);
                    }
                }
            }
        }
    }

    /// Holds a frame against those before it.
    fn sequence(&mut self, head: FrameHead) -> Result<(), ErrorCode> {
        let is_settings = head.kind == FrameType::Settings && !head.has(flags::ACK);
        if !std::mem::replace(&mut self.has_begun, true) && !is_settings {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        match (&mut self.open, head.kind) {
            (Some(open), FrameType::Continuation) if open.stream == head.stream => {
                open.continuations += 1;
                if open.continuations > CONTINUATIONS_MAX {
                    return Err(ErrorCode::ENHANCE_YOUR_CALM);
                }
            }
            (Some(_), _) | (None, FrameType::Continuation | FrameType::PushPromise) => {
                return Err(ErrorCode::PROTOCOL_ERROR);
            }
            (None, FrameType::Headers) => {
                let ends_stream = head.has(flags::END_STREAM);
                self.open = Some(Open { stream: head.stream, ends_stream, continuations: 0 });
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Reads what stands before the body; false if more must come.
    fn prefix(&mut self, head: FrameHead, input: &mut &[u8]) -> Result<bool, ErrorCode> {
        (self.is_first, self.is_empty) = (true, true);
        let may_pad = matches!(head.kind, FrameType::Data | FrameType::Headers);
        let pads = u32::from(may_pad && head.has(flags::PADDED));
        let has_priority = head.kind == FrameType::Headers && head.has(flags::PRIORITY);
        let length = pads + if has_priority { 5 } else { 0 };
        if length > head.length {
            return Err(ErrorCode::FRAME_SIZE_ERROR);
        }
        while u32::from(self.count) < length {
            let Some((first, rest)) = input.split_first() else { return Ok(false) };
            self.gathered[usize::from(self.count)] = *first;
            self.count += 1;
            *input = rest;
        }
        self.count = 0;
        let padding = if pads == 1 { u32::from(self.gathered[0]) } else { 0 };
        let left = head.length - length;
        if padding > left {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        self.state = State::Body { head, left, padding };
        Ok(true)
    }

    fn body<'a>(
        &mut self,
        head: FrameHead,
        left: u32,
        padding: u32,
        input: &mut &'a [u8],
    ) -> Result<Option<FrameEvent<'a>>, ErrorCode> {
        let stream = head.stream;
        match head.kind {
            FrameType::Data => Ok(self.data(head, left, padding, input)),
            FrameType::Headers | FrameType::Continuation => self.fragment(head, left, padding, input),
            FrameType::Settings => Ok(self.settings(head, left, input)),
            FrameType::Ping => Ok(self.gather(input).map(|payload| {
                self.state = State::Head;
                FrameEvent::Ping { is_ack: head.has(flags::ACK), payload }
            })),
            FrameType::RstStream => Ok(self.gather(input).map(|code| {
                self.state = State::Head;
                FrameEvent::Reset { stream, code: ErrorCode(u32::from_be_bytes(code)) }
            })),
            FrameType::WindowUpdate => Ok(self.gather(input).map(|increment| {
                self.state = State::Head;
                FrameEvent::Window { stream, increment: u32::from_be_bytes(increment) & super::frame::MAX_31 }
            })),
            // The debug data behind the eight bytes is dropped as an unknown frame would be, and reported as nothing.
            FrameType::GoAway if left == head.length => Ok(self.gather::<8>(input).map(|bytes| {
                let [a, b, c, d, code @ ..] = bytes;
                self.state = State::Body { head, left: left - 8, padding };
                let last = u32::from_be_bytes([a, b, c, d]) & super::frame::MAX_31;
                FrameEvent::GoAway { last, code: ErrorCode(u32::from_be_bytes(code)) }
            })),
            FrameType::GoAway => {
                self.skip(head, left, input);
                Ok(None)
            }
            FrameType::PriorityUpdate => Ok(self.priority_update(head, left, input)),
            FrameType::Priority | FrameType::PushPromise | FrameType::Unknown(_) => {
                let is_whole = self.skip(head, left, input);
                let has_size = head.kind != FrameType::Priority || head.length == 5;
                let ignored = FrameEvent::Ignored { kind: head.kind };
                Ok(is_whole.then_some(if has_size { ignored } else { FrameEvent::WrongSize { stream } }))
            }
        }
    }

    fn data<'a>(
        &mut self,
        head: FrameHead,
        left: u32,
        padding: u32,
        input: &mut &'a [u8],
    ) -> Option<FrameEvent<'a>> {
        let stream = head.stream;
        // The byte that says how much padding there is counts with the first piece.
        let extra = u32::from(self.is_first && head.has(flags::PADDED));
        if left == 0 && extra == 0 {
            self.state = State::Head;
            let ends_stream = head.has(flags::END_STREAM);
            return Some(FrameEvent::DataEnd { stream, ends_stream, is_empty: self.is_empty });
        }
        let bytes = take(input, (left - padding) as usize);
        let dropped =
            if bytes.len() as u32 == left - padding { take(input, padding as usize).len() } else { 0 };
        let count = bytes.len() as u32 + dropped as u32;
        if count + extra == 0 {
            return None;
        }
        self.is_first = false;
        self.is_empty &= bytes.is_empty();
        let left = left - count;
        self.state = State::Body { head, left, padding: padding.min(left) };
        Some(FrameEvent::Data { stream, bytes, counted: count + extra })
    }

    fn fragment<'a>(
        &mut self,
        head: FrameHead,
        left: u32,
        padding: u32,
        input: &mut &'a [u8],
    ) -> Result<Option<FrameEvent<'a>>, ErrorCode> {
        let bytes = take(input, (left - padding) as usize);
        if self.block.len() + bytes.len() > self.block_max {
            return Err(ErrorCode::ENHANCE_YOUR_CALM);
        }
        self.block.extend_from_slice(bytes);
        let left = left - bytes.len() as u32;
        let left = if left <= padding { left - take(input, left as usize).len() as u32 } else { left };
        self.state = State::Body { head, left, padding: padding.min(left) };
        if left > 0 {
            return Ok(None);
        }
        self.state = State::Head;
        if !head.has(flags::END_HEADERS) {
            return Ok(None);
        }
        let Some(Open { stream, ends_stream, continuations }) = self.open.take() else {
            return Err(ErrorCode::INTERNAL_ERROR);
        };
        self.continuations = continuations;
        self.is_block_out = true;
        Ok(Some(FrameEvent::Block { stream, ends_stream }))
    }

    fn settings<'a>(&mut self, head: FrameHead, left: u32, input: &mut &'a [u8]) -> Option<FrameEvent<'a>> {
        if left == 0 {
            self.state = State::Head;
            let is_ack = head.has(flags::ACK);
            return Some(if is_ack { FrameEvent::SettingsAck } else { FrameEvent::SettingsEnd });
        }
        let [number @ .., a, b, c, d] = self.gather::<6>(input)?;
        self.state = State::Body { head, left: left - 6, padding: 0 };
        let value = u32::from_be_bytes([a, b, c, d]);
        Some(FrameEvent::Setting { number: u16::from_be_bytes(number), value })
    }

    /// Assembles the number and the value where field blocks are assembled: no block is under way between frames.
    fn priority_update<'a>(
        &mut self,
        head: FrameHead,
        left: u32,
        input: &mut &'a [u8],
    ) -> Option<FrameEvent<'a>> {
        let bytes = take(input, left as usize);
        let room = PRIORITIZED + PRIORITY_VALUE_MAX - self.block.len();
        self.block.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let left = left - bytes.len() as u32;
        self.state = if left == 0 { State::Head } else { State::Body { head, left, padding: 0 } };
        if left > 0 {
            return None;
        }
        self.is_block_out = true;
        let stream = u32::from_be_bytes(*self.block.first_chunk()?) & super::frame::MAX_31;
        let is_cut = head.length as usize > PRIORITIZED + PRIORITY_VALUE_MAX;
        Some(FrameEvent::PriorityUpdate { stream, is_cut })
    }

    /// Drops what is left of a frame, as far as it has come; whether that was all.
    fn skip(&mut self, head: FrameHead, left: u32, input: &mut &[u8]) -> bool {
        let left = left - take(input, left as usize).len() as u32;
        self.state = if left == 0 { State::Head } else { State::Body { head, left, padding: 0 } };
        left == 0
    }

    /// The next `N` bytes, once they have all come.
    fn gather<const N: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        let bytes = take(input, N - usize::from(self.count));
        let start = usize::from(self.count);
        self.gathered[start..start + bytes.len()].copy_from_slice(bytes);
        self.count += bytes.len() as u8;
        if usize::from(self.count) < N {
            return None;
        }
        self.count = 0;
        self.gathered.first_chunk().copied()
    }
}

/// Takes at most `count` bytes from the front of `input`.
fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests;
