//! An HTTP/2 connection by operations: the input says what the peer sends and what the owner does, for both roles.
//!
//! For any bytes: no panic; the same events however the peer's bytes are cut; nothing of a stream behind its
//! reset, and no event of a stream that was never opened; no more promised on a stream than its window; DATA
//! of ours only within the windows of the peer; and no more output than the input and the owner explain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pollux::core::time::Time;
use pollux::h2::connection::{Connection, ConnectionConfig, Incoming, NewRequest, NewResponse, Role};
use pollux::h2::decoder::Bounds;
use pollux::h2::encoder::{FieldBlock, Strings};
use pollux::h2::fields::{Fields, HeaderField};
use pollux::h2::frame::{self, ErrorCode, FrameType, HEAD, FrameHead, PREFACE};

const WINDOW: u32 = 70_000;

/// The story of a connection, without the pieces of DATA.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    events: Vec<String>,
    ended: Option<u32>,
}

struct Play {
    connection: Connection,
    is_server: bool,
    now: Time,
    story: Story,
    /// Streams of which an event has come, and whether they are over.
    streams: BTreeMap<u32, bool>,
    /// The window that the peer gives us, as a second set of books has it.
    window: i64,
    came: usize,
    deeds: usize,
    wrote: usize,
}

fn block(lines: &[(&str, &str)]) -> FieldBlock {
    let mut out = FieldBlock::default();
    for (name, value) in lines {
        let field = HeaderField { name: name.as_bytes(), value: value.as_bytes(), is_secret: false };
        out.push(field, Strings::Plain);
    }
    out
}

const REQUEST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "h")];

/// See the module.
pub fn check(data: &[u8]) {
    let Some((role, rest)) = data.split_first() else { return };
    let whole = play(role % 2 == 0, rest, usize::MAX);
    assert_eq!(play(role % 2 == 0, rest, 1), whole, "byte by byte");
    assert_eq!(play(role % 2 == 0, rest, 7), whole, "in pieces of seven");
}

fn play(is_server: bool, mut data: &[u8], piece: usize) -> Story {
    let config = ConnectionConfig {
        streams: 5,
        stream_window: WINDOW,
        head: Bounds { list: 1024, fields: 16 },
        connect: true,
        ..ConnectionConfig::default()
    };
    let role = if is_server { Role::Server } else { Role::Client };
    let connection = Connection::new(role, Arc::new(config), Time::ZERO);
    let (story, streams) = (Story::default(), BTreeMap::new());
    let mut play = Play {
        connection,
        is_server,
        now: Time::ZERO,
        story,
        streams,
        window: 65_535,
        came: 0,
        deeds: 1,
        wrote: 0,
    };
    if is_server {
        play.feed(PREFACE, piece);
    }
    while let Some((kind, rest)) = data.split_first() {
        let (arguments, behind) = rest.split_at(rest.len().min(3));
        let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
        data = behind;
        if kind % 2 == 0 {
            let mut bytes = Vec::new();
            play.frame(kind / 2, argument(0), argument(1), argument(2), &mut data, &mut bytes);
            play.feed(&bytes, piece);
        } else {
            play.act(kind / 2, argument(0), u32::from(argument(1)) * 64, argument(2));
        }
        play.drain();
    }
    play.story
}

impl Play {
    /// A frame of the peer.
    fn frame(&mut self, kind: u8, stream: u8, size: u8, flags: u8, rest: &mut &[u8], out: &mut Vec<u8>) {
        let stream = u32::from(stream % 16);
        let size = u32::from(size);
        match kind % 12 {
            0 => frame::write(FrameType::Settings, flags & 1, 0, &[], out),
            1 => {
                let value = (size * size * size * 200).to_be_bytes();
                let payload = [&[0, flags % 10], &value[..]].concat();
                frame::write(FrameType::Settings, 0, 0, &payload, out);
            }
            2 if self.is_server => frame::write_block(stream, flags % 2 == 0, block(&REQUEST).bytes(), 9, out),
            2 => frame::write_block(stream, flags % 2 == 0, block(&[(":status", "200")]).bytes(), 9, out),
            3 => {
                let length = size.to_string();
                let promised = ("content-length", length.as_str());
                let list = if self.is_server {
                    block(&[&REQUEST[..], &[promised]].concat())
                } else {
                    block(&[(":status", "200"), promised])
                };
                frame::write_block(stream, flags % 2 == 0, list.bytes(), 1 << 14, out);
            }
            4 => frame::write(FrameType::Data, flags % 2, stream, &vec![7; size as usize], out),
            5 => {
                let payload = [&[flags][..], &vec![0; (size + u32::from(flags)) as usize]].concat();
                frame::write(FrameType::Data, 8 | flags % 2, stream, &payload, out);
            }
            6 => frame::write_reset(stream, ErrorCode(size % 14), out),
            7 => {
                let increment = (size * u32::from(flags) * 1000).to_be_bytes();
                frame::write(FrameType::WindowUpdate, 0, stream, &increment, out);
            }
            8 => frame::write_ping(flags % 2 == 1, [size as u8; 8], out),
            9 => frame::write_goaway(stream, ErrorCode(size % 14), out),
            10 => frame::write_block(stream, flags % 2 == 0, block(&[("x", "y")]).bytes(), 1 << 14, out),
            11.. => {
                let (raw, behind) = rest.split_at(rest.len().min(size as usize));
                *rest = behind;
                frame::write(FrameType::of(flags % 12), flags / 12, stream, raw, out);
            }
        }
    }

    fn feed(&mut self, bytes: &[u8], piece: usize) {
        self.came += bytes.len();
        let mut fields = Fields::default();
        for chunk in bytes.chunks(piece) {
            let mut input = chunk;
            loop {
                match self.connection.read(self.now, &mut input, &mut fields) {
                    Ok(Some(incoming)) => self.note(&incoming),
                    Ok(None) => break,
                    Err(error) => {
                        self.story.ended = Some(error.code.0);
                        return;
                    }
                }
            }
        }
        self.books(bytes);
    }

    /// Updates of the window of the connection, and none else, let us send more.
    fn books(&mut self, mut bytes: &[u8]) {
        if let Some(rest) = bytes.strip_prefix(PREFACE) {
            bytes = rest;
        }
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
            let head = FrameHead::read(head);
            let (payload, behind) = rest.split_at(head.length as usize);
            bytes = behind;
            if head.kind == FrameType::WindowUpdate && head.stream == 0 {
                let increment = u32::from_be_bytes(payload.try_into().unwrap()) & frame::MAX_31;
                self.window += i64::from(increment);
            }
        }
    }

    fn note(&mut self, incoming: &Incoming<'_>) {
        let (stream, is_over) = match incoming {
            Incoming::Request { stream, .. } | Incoming::TooLarge { stream, .. } => {
                assert!(self.streams.insert(*stream, false).is_none(), "a stream opens once");
                (*stream, false)
            }
            Incoming::Malformed { stream, .. } | Incoming::Refused { stream } => {
                assert!(self.streams.insert(*stream, false).is_none(), "a stream opens once");
                (*stream, true)
            }
            Incoming::Data { stream, bytes, .. } => {
                assert!(!bytes.is_empty(), "DATA of nothing");
                (*stream, false)
            }
            Incoming::Response { stream, .. } | Incoming::End { stream, .. } => (*stream, false),
            Incoming::Trailers { stream, .. } => (*stream, false),
            Incoming::Reset { stream, .. } => (*stream, true),
            Incoming::GoAway { .. } | Incoming::Settings | Incoming::Pong { .. } => (0, false),
        };
        if stream != 0 {
            let known = self.streams.get_mut(&stream).expect("a stream that was opened");
            assert!(!*known, "an event behind the end of a stream");
            *known = is_over;
        }
        if !matches!(incoming, Incoming::Data { .. }) {
            self.story.events.push(format!("{incoming:?}"));
        }
    }

    /// A deed of the owner.
    fn act(&mut self, kind: u8, stream: u8, count: u32, flags: u8) {
        self.deeds += 1;
        let (now, stream) = (self.now, u32::from(stream % 16));
        let ends_stream = flags % 2 == 0;
        let length = (flags % 4 == 1).then_some(u64::from(count));
        match kind % 12 {
            0 => {
                let status = [200, 204, 304, 103, 404][usize::from(flags) % 5];
                let head = block(&[(":status", &status.to_string())]);
                let response = NewResponse { status, block: &head, length, ends_stream };
                let _ = self.connection.respond(now, stream, response);
            }
            1 => {
                let (is_head, is_connect) = (flags % 3 == 1, flags % 3 == 2);
                let head = block(&REQUEST);
                let request = NewRequest { block: &head, length, ends_stream, is_head, is_connect, token: 1 };
                if let Ok(stream) = self.connection.open(now, request) {
                    assert!(self.streams.insert(stream, false).is_none(), "a stream opens once");
                }
            }
            2 => drop(self.connection.trailers(now, stream, &block(&[("x", "y")]))),
            3 | 4 => drop(self.connection.offer(now, stream, count, ends_stream)),
            5 => self.connection.grant(stream, count, WINDOW),
            6 => {
                self.connection.reset(stream, ErrorCode::CANCEL);
                if let Some(is_over) = self.streams.get_mut(&stream) {
                    *is_over = true;
                }
            }
            7 => self.connection.linger(now, stream, count),
            8 if flags % 4 == 0 => self.connection.leave(),
            8 => self.connection.drain(),
            9 => self.connection.ping(now),
            10 => self.now = self.now + Duration::from_millis(u64::from(count)),
            11.. => match self.connection.expire(now) {
                Ok(Some(incoming)) => self.note(&incoming),
                Ok(None) => {}
                Err(error) => self.story.ended = Some(error.code.0),
            },
        }
    }

    fn drain(&mut self) {
        while let Some(piece) = self.connection.next_piece(self.now, 20_000) {
            self.window -= i64::from(piece.length);
            assert!(self.window >= 0, "DATA beyond the window of the connection");
            assert!(piece.length <= frame::PAYLOAD_MAX && (piece.length > 0 || piece.ends_stream));
        }
        self.wrote += self.connection.output().len();
        self.connection.consume(usize::MAX);
        let most = 200 + 4 * self.came + 200 * self.deeds;
        assert!(
            self.wrote <= most,
            "{} bytes written for {} and {} deeds",
            self.wrote,
            self.came,
            self.deeds
        );
        for stream in self.streams.keys() {
            assert!(self.connection.promised(*stream) <= WINDOW, "more is promised than the window has");
        }
        assert!(self.connection.streams() <= 5 || !self.is_server);
    }
}
