//! Settings (RFC 9113 §6.5, RFC 8441 §3, RFC 9218 §2.1).

use super::frame::{self, ErrorCode, FrameType, MAX_31, PAYLOAD_MAX, flags};

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const NO_RFC7540_PRIORITIES: u16 = 9;

/// The settings that one side asks of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the decoder's table.
    pub table: u32,
    /// Streams that the receiver may have open at once; `None` is no bound.
    pub streams: Option<u32>,
    /// The window of a stream when it opens, in bytes.
    pub window: u32,
    /// The longest payload of a frame, in bytes.
    pub frame: u32,
    /// The largest field list; `None` is no bound.
    pub list: Option<u32>,
    /// Whether the receiver may send an extended CONNECT.
    pub connect: bool,
}

impl Default for Settings {
    /// The settings until others have come.
    fn default() -> Settings {
        Settings {
            table: 4096,
            streams: None,
            window: 65_535,
            frame: PAYLOAD_MAX,
            list: None,
            connect: false,
        }
    }
}

impl Settings {
    /// Takes one setting of the peer. Unknown ones are ignored. `is_server` says that the peer is one.
    ///
    /// # Errors
    /// The code that the connection ends with, for a value that is not allowed.
    pub fn take(&mut self, number: u16, value: u32, is_server: bool) -> Result<(), ErrorCode> {
        match number {
            HEADER_TABLE_SIZE => self.table = value,
            // A server must not send 1 (RFC 9113 §6.5.2).
            ENABLE_PUSH if value > u32::from(!is_server) => return Err(ErrorCode::PROTOCOL_ERROR),
            MAX_CONCURRENT_STREAMS => self.streams = Some(value),
            INITIAL_WINDOW_SIZE if value > MAX_31 => return Err(ErrorCode::FLOW_CONTROL_ERROR),
            INITIAL_WINDOW_SIZE => self.window = value,
            MAX_FRAME_SIZE if !(PAYLOAD_MAX..1 << 24).contains(&value) => {
                return Err(ErrorCode::PROTOCOL_ERROR);
            }
            MAX_FRAME_SIZE => self.frame = value,
            MAX_HEADER_LIST_SIZE => self.list = Some(value),
            ENABLE_CONNECT_PROTOCOL if value > 1 || (self.connect && value == 0) => {
                return Err(ErrorCode::PROTOCOL_ERROR);
            }
            ENABLE_CONNECT_PROTOCOL => self.connect = value == 1,
            NO_RFC7540_PRIORITIES if value > 1 => return Err(ErrorCode::PROTOCOL_ERROR),
            _ => {}
        }
        Ok(())
    }

    /// Appends a SETTINGS frame that says what differs from the defaults; no push, and no old priorities.
    pub fn write(&self, is_server: bool, out: &mut Vec<u8>) {
        let standard = Settings::default();
        let mut payload = Vec::with_capacity(48);
        let mut say = |number: u16, value: u32| {
            payload.extend_from_slice(&number.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        };
        if self.table != standard.table {
            say(HEADER_TABLE_SIZE, self.table);
        }
        if !is_server {
            say(ENABLE_PUSH, 0);
        }
        if let Some(streams) = self.streams {
            say(MAX_CONCURRENT_STREAMS, streams);
        }
        if self.window != standard.window {
            say(INITIAL_WINDOW_SIZE, self.window);
        }
        if self.frame != standard.frame {
            say(MAX_FRAME_SIZE, self.frame);
        }
        if let Some(list) = self.list {
            say(MAX_HEADER_LIST_SIZE, list);
        }
        if self.connect && is_server {
            say(ENABLE_CONNECT_PROTOCOL, 1);
        }
        if is_server {
            say(NO_RFC7540_PRIORITIES, 1);
        }
        frame::write(FrameType::Settings, 0, 0, &payload, out);
    }

    /// Appends the acknowledgement of the peer's settings.
    pub fn acknowledge(out: &mut Vec<u8>) {
        frame::write(FrameType::Settings, flags::ACK, 0, &[], out);
    }
}
