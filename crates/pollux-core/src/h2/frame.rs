//! Frames (RFC 9113 §4, §6): their heads, what each kind must look like, and how ours are written.

/// The length of a frame's head.
pub const HEAD: usize = 9;
/// The first bytes of a client's connection (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest payload that everybody takes, and that we take (SETTINGS_MAX_FRAME_SIZE, RFC 9113 §6.5.2).
pub const PAYLOAD_MAX: u32 = 16_384;
/// The highest stream number and the largest window.
pub const MAX_31: u32 = (1 << 31) - 1;

/// Frame types (RFC 9113 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// §6.1
    Data,
    /// §6.2
    Headers,
    /// §6.3
    Priority,
    /// §6.4
    RstStream,
    /// §6.5
    Settings,
    /// §6.6
    PushPromise,
    /// §6.7
    Ping,
    /// §6.8
    GoAway,
    /// §6.9
    WindowUpdate,
    /// §6.10
    Continuation,
    /// RFC 9218 §7.1
    PriorityUpdate,
    /// Anything else is ignored (§5.5).
    Unknown(u8),
}

impl FrameType {
    /// The type with this number.
    #[must_use]
    pub fn of(number: u8) -> FrameType {
        match number {
            0 => FrameType::Data,
            1 => FrameType::Headers,
            2 => FrameType::Priority,
            3 => FrameType::RstStream,
            4 => FrameType::Settings,
            5 => FrameType::PushPromise,
            6 => FrameType::Ping,
            7 => FrameType::GoAway,
            8 => FrameType::WindowUpdate,
            9 => FrameType::Continuation,
            16 => FrameType::PriorityUpdate,
            other => FrameType::Unknown(other),
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            FrameType::Data => 0,
            FrameType::Headers => 1,
            FrameType::Priority => 2,
            FrameType::RstStream => 3,
            FrameType::Settings => 4,
            FrameType::PushPromise => 5,
            FrameType::Ping => 6,
            FrameType::GoAway => 7,
            FrameType::WindowUpdate => 8,
            FrameType::Continuation => 9,
            FrameType::PriorityUpdate => 16,
            FrameType::Unknown(number) => number,
        }
    }
}

/// Flags; what one means depends on the type.
pub mod flags {
    /// DATA, HEADERS: nothing follows on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an acknowledgement.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the block is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: the first byte counts the padding.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: five bytes of an old priority stand before the block.
    pub const PRIORITY: u8 = 0x20;
}

/// Why a stream or a connection ends (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing is wrong.
    pub const NO_ERROR: ErrorCode = ErrorCode(0);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: ErrorCode = ErrorCode(1);
    /// We failed.
    pub const INTERNAL_ERROR: ErrorCode = ErrorCode(2);
    /// The peer broke flow control.
    pub const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(3);
    /// The peer did not acknowledge our settings in time.
    pub const SETTINGS_TIMEOUT: ErrorCode = ErrorCode(4);
    /// A frame came on a stream whose direction had ended.
    pub const STREAM_CLOSED: ErrorCode = ErrorCode(5);
    /// A frame has a length that it must not have.
    pub const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(6);
    /// The request was not processed.
    pub const REFUSED_STREAM: ErrorCode = ErrorCode(7);
    /// The stream is no longer needed.
    pub const CANCEL: ErrorCode = ErrorCode(8);
    /// A field block cannot be decoded.
    pub const COMPRESSION_ERROR: ErrorCode = ErrorCode(9);
    /// The connection behind a CONNECT failed.
    pub const CONNECT_ERROR: ErrorCode = ErrorCode(10);
    /// The peer is too much of a burden.
    pub const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(11);
    /// TLS is not good enough.
    pub const INADEQUATE_SECURITY: ErrorCode = ErrorCode(12);
    /// HTTP/1.1 is needed.
    pub const HTTP_1_1_REQUIRED: ErrorCode = ErrorCode(13);

    /// The name of RFC 9113 §7, in the form of a log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        NAMES.get(self.0 as usize).copied().unwrap_or("unknown")
    }
}

/// The head of a frame (RFC 9113 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of the payload.
    pub length: u32,
    /// The type.
    pub kind: FrameType,
    /// The flags.
    pub flags: u8,
    /// The stream; zero is the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads the nine bytes. The reserved bit is ignored.
    #[must_use]
    pub fn read(bytes: &[u8; HEAD]) -> FrameHead {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        FrameHead {
            length: u32::from_be_bytes([0, a, b, c]),
            kind: FrameType::of(kind),
            flags,
            stream: u32::from_be_bytes(stream) & MAX_31,
        }
    }

    /// The nine bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; HEAD] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind.number(), self.flags, d, e, f, g]
    }

    /// Whether `flag` is set.
    #[must_use]
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Holds type, length and stream against each other (RFC 9113 §6).
    ///
    /// # Errors
    /// The code that the connection ends with.
    pub fn check(self) -> Result<FrameHead, ErrorCode> {
        if self.length > PAYLOAD_MAX {
            return Err(ErrorCode::FRAME_SIZE_ERROR);
        }
        let on_stream = self.stream != 0;
        let belongs = match self.kind {
            FrameType::Data
            | FrameType::Headers
            | FrameType::Priority
            | FrameType::RstStream
            | FrameType::PushPromise
            | FrameType::Continuation => on_stream,
            FrameType::Settings | FrameType::Ping | FrameType::GoAway | FrameType::PriorityUpdate => {
                !on_stream
            }
            FrameType::WindowUpdate | FrameType::Unknown(_) => true,
        };
        if !belongs {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        let has_size = match self.kind {
            FrameType::RstStream | FrameType::WindowUpdate => self.length == 4,
            FrameType::Ping => self.length == 8,
            FrameType::GoAway => self.length >= 8,
            FrameType::PriorityUpdate => self.length >= 4,
            FrameType::Settings if self.has(flags::ACK) => self.length == 0,
            FrameType::Settings => self.length.is_multiple_of(6),
            // A PRIORITY of another length is an error of its stream, not of the connection (§6.3).
            FrameType::Data
            | FrameType::Headers
            | FrameType::Priority
            | FrameType::PushPromise
            | FrameType::Continuation
            | FrameType::Unknown(_) => true,
        };
        if has_size { Ok(self) } else { Err(ErrorCode::FRAME_SIZE_ERROR) }
    }
}

/// Appends a frame with a payload that is at hand.
pub fn write(kind: FrameType, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    debug_assert!(payload.len() <= PAYLOAD_MAX as usize, "no peer has to take more");
    out.extend_from_slice(&FrameHead { length: payload.len() as u32, kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

/// Appends a field block as HEADERS and as many CONTINUATIONs as it takes, none above `most` bytes.
pub fn write_block(stream: u32, ends_stream: bool, block: &[u8], most: u32, out: &mut Vec<u8>) {
    let most = most.clamp(1, PAYLOAD_MAX) as usize;
    let (first, mut rest) = block.split_at(block.len().min(most));
    let end = |rest: &[u8]| if rest.is_empty() { flags::END_HEADERS } else { 0 };
    write(FrameType::Headers, u8::from(ends_stream) | end(rest), stream, first, out);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(most));
        write(FrameType::Continuation, end(behind), stream, piece, out);
        rest = behind;
    }
}

/// Appends RST_STREAM.
pub fn write_reset(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    write(FrameType::RstStream, 0, stream, &code.0.to_be_bytes(), out);
}

/// Appends WINDOW_UPDATE; `increment` is not zero.
pub fn write_window(stream: u32, increment: u32, out: &mut Vec<u8>) {
    debug_assert!((1..=MAX_31).contains(&increment), "an increment of zero is an error of the stream");
    write(FrameType::WindowUpdate, 0, stream, &increment.to_be_bytes(), out);
}

/// Appends PING or its acknowledgement.
pub fn write_ping(is_ack: bool, payload: [u8; 8], out: &mut Vec<u8>) {
    write(FrameType::Ping, u8::from(is_ack), 0, &payload, out);
}

/// Appends GOAWAY with the last stream that was or may yet be processed, and no words.
pub fn write_goaway(last: u32, code: ErrorCode, out: &mut Vec<u8>) {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&last.to_be_bytes());
    payload[4..].copy_from_slice(&code.0.to_be_bytes());
    write(FrameType::GoAway, 0, 0, &payload, out);
}
