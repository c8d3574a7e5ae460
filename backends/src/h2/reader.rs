//! Reads the frames of a connection and begins its streams.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use pollux_core::h2::decoder::{Bounds, Decoded, Decoder};
use pollux_core::h2::fields::Fields;
use pollux_core::h2::frame::{self, ErrorCode, FrameHead, FrameType, HEAD, MAX_31, PREFACE, flags};
use pollux_core::h2::settings::Settings;

use super::grpc;
use super::line::Line;
use super::request::RequestFields;
use super::translate::StreamConn;
use crate::behaviour::Behaviour;
use crate::peer::{Conn, Peer, Trouble};
use crate::serve;
use crate::shared::Shared;

/// The streams that a connection may have at once, unless the behaviour names fewer.
const STREAMS_MAX: u32 = 100;
/// The bytes of a field block.
const BLOCK_MAX: usize = 256 * 1024;
/// The bounds of a head.
const BOUNDS: Bounds = Bounds { list: 64 * 1024, fields: 128 };
/// The table of fields that the client may use.
const TABLE: u32 = 4096;
/// The stack of a stream's thread.
const STACK_LEN: usize = 256 * 1024;

/// Serves a connection that begins with the preface to its end.
pub(crate) fn serve(mut peer: Peer, toy: &Shared) {
    let line = Arc::new(Line::new(peer.conn(), toy.behaviour != Behaviour::H2Stuck));
    std::thread::scope(|scope| {
        let mut reader = Reader {
            toy,
            line: Arc::clone(&line),
            decoder: Decoder::of_connection(TABLE as usize),
            block: None,
            highest: 0,
            requests: 0,
            is_leaving: false,
            bodies: HashMap::new(),
        };
        if let Err(Failure::Protocol(code)) = reader.run(&mut peer, scope) {
            let mut frames = Vec::new();
            frame::write_goaway(reader.highest, code, &mut frames);
            let _ = line.send(&frames);
        }
        line.fail();
        toy.health.wake();
    });
    peer.close();
}

enum Failure {
    /// The client left, or the toy stops.
    Gone,
    /// The client breaks the protocol.
    Protocol(ErrorCode),
}

impl From<Trouble> for Failure {
    fn from(_: Trouble) -> Failure {
        Failure::Gone
    }
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Failure {
        Failure::Gone
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Failure {
        Failure::Protocol(code)
    }
}

/// A field block in the making.
struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
}

/// The body of a request, as the client may still send it.
#[derive(Clone, Copy)]
struct Body {
    /// The bytes that it must still have, if its head says so.
    left: Option<u64>,
    is_chunked: bool,
}

struct Reader<'a> {
    toy: &'a Shared,
    line: Arc<Line>,
    decoder: Decoder,
    block: Option<Block>,
    highest: u32,
    /// The requests of this connection.
    requests: u32,
    is_leaving: bool,
    bodies: HashMap<u32, Body>,
}

impl<'a> Reader<'a> {
    fn run<'s>(&mut self, peer: &mut Peer, scope: &'s Scope<'s, 'a>) -> Result<(), Failure> {
        peer.pass(PREFACE.len() as u64, &mut |_| {})?;
        self.line.send(&self.settings())?;
        loop {
            let mut head = Vec::new();
            peer.pass(HEAD as u64, &mut |bytes| head.extend_from_slice(bytes))?;
            let head = head.first_chunk::<HEAD>().map(FrameHead::read).ok_or(ErrorCode::INTERNAL_ERROR)?;
            let head = head.check()?;
            let mut payload = Vec::new();
            peer.pass(u64::from(head.length), &mut |bytes| payload.extend_from_slice(bytes))?;
            self.frame(head, &payload, scope)?;
        }
    }

    /// The streams that are taken at once.
    fn most(&self) -> u32 {
        if let Behaviour::H2Streams(most) = self.toy.behaviour { most } else { STREAMS_MAX }
    }

    fn settings(&self) -> Vec<u8> {
        let settings = Settings { table: TABLE, streams: Some(self.most()), ..Settings::default() };
        let mut frames = Vec::new();
        settings.write(true, &mut frames);
        frames
    }

    fn frame<'s>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        scope: &'s Scope<'s, 'a>,
    ) -> Result<(), Failure> {
        let continues = head.kind == FrameType::Continuation;
        if self.block.as_ref().is_some_and(|block| !continues || block.stream != head.stream)
            || (continues && self.block.is_none())
        {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        match head.kind {
            FrameType::Data => self.data(head, payload),
            FrameType::Headers => {
                let mut bytes = unpad(head, payload)?;
                if head.has(flags::PRIORITY) {
                    bytes = bytes.get(5..).ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
                }
                let ends = head.has(flags::END_STREAM);
                self.block = Some(Block { stream: head.stream, ends, bytes: bytes.to_vec() });
                self.end_block(head, scope)
            }
            FrameType::Continuation => {
                let block = self.block.as_mut().ok_or(ErrorCode::PROTOCOL_ERROR)?;
                block.bytes.extend_from_slice(payload);
                if block.bytes.len() > BLOCK_MAX {
                    return Err(ErrorCode::ENHANCE_YOUR_CALM.into());
                }
                self.end_block(head, scope)
            }
            FrameType::RstStream => {
                self.bodies.remove(&head.stream);
                self.line.lose(head.stream);
                self.toy.health.wake();
                Ok(())
            }
            FrameType::Settings if !head.has(flags::ACK) => self.take_settings(payload),
            FrameType::Ping if !head.has(flags::ACK) && self.toy.behaviour != Behaviour::H2NoPing => {
                let mut frames = Vec::new();
                let payload = *payload.first_chunk().ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
                frame::write_ping(true, payload, &mut frames);
                Ok(self.line.send(&frames)?)
            }
            FrameType::WindowUpdate => {
                let bytes = *payload.first_chunk().ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
                Ok(self.line.widen(head.stream, u32::from_be_bytes(bytes) & MAX_31)?)
            }
            FrameType::PushPromise => Err(ErrorCode::PROTOCOL_ERROR.into()),
            FrameType::Settings
            | FrameType::Ping
            | FrameType::GoAway
            | FrameType::Priority
            | FrameType::PriorityUpdate
            | FrameType::Unknown(_) => Ok(()),
        }
    }

    fn take_settings(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let mut settings = Settings::default();
        for entry in payload.chunks_exact(6) {
            let [a, b, value @ ..] = *entry.first_chunk::<6>().ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
            let (number, value) = (u16::from_be_bytes([a, b]), u32::from_be_bytes(value));
            settings.take(number, value, false)?;
            if number == 4 {
                self.line.set_initial(settings.window);
            }
        }
        let mut frames = Vec::new();
        Settings::acknowledge(&mut frames);
        Ok(self.line.send(&frames)?)
    }

    fn data(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Failure> {
        let bytes = unpad(head, payload)?;
        if head.stream > self.highest {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        if head.length > 0 {
            let mut frames = Vec::new();
            frame::write_window(0, head.length, &mut frames);
            self.line.send(&frames)?;
        }
        let ends = head.has(flags::END_STREAM);
        let Some(body) = self.bodies.get_mut(&head.stream) else { return Ok(()) };
        let count = bytes.len() as u64;
        if body.left.is_some_and(|left| left < count || (ends && left > count)) {
            self.bodies.remove(&head.stream);
            self.line.reset(head.stream, ErrorCode::PROTOCOL_ERROR);
            return Ok(());
        }
        body.left = body.left.map(|left| left - count);
        let mut text = Vec::new();
        if body.is_chunked && !bytes.is_empty() {
            text.extend_from_slice(format!("{count:x}\r\n").as_bytes());
            text.extend_from_slice(bytes);
            text.extend_from_slice(b"\r\n");
        } else {
            text.extend_from_slice(bytes);
        }
        if body.is_chunked && ends {
            text.extend_from_slice(b"0\r\n\r\n");
        }
        self.line.push(head.stream, &text, head.length, ends);
        if ends {
            self.bodies.remove(&head.stream);
        }
        Ok(())
    }

    fn end_block<'s>(&mut self, head: FrameHead, scope: &'s Scope<'s, 'a>) -> Result<(), Failure> {
        if !head.has(flags::END_HEADERS) {
            return Ok(());
        }
        let Block { stream, ends, bytes } = self.block.take().ok_or(ErrorCode::INTERNAL_ERROR)?;
        let mut fields = Fields::default();
        let decoded =
            self.decoder.decode(&bytes, BOUNDS, &mut fields).map_err(|_| ErrorCode::COMPRESSION_ERROR)?;
        if stream <= self.highest {
            return self.trailers(stream, ends);
        }
        if stream.is_multiple_of(2) {
            return Err(ErrorCode::PROTOCOL_ERROR.into());
        }
        let before = std::mem::replace(&mut self.highest, stream);
        if self.is_leaving {
            return Ok(());
        }
        self.requests += 1;
        let open = self.line.open(stream);
        let request = RequestFields::read(&fields).filter(|_| decoded == Decoded::Whole);
        let Some(request) = request else {
            self.line.reset(stream, ErrorCode::PROTOCOL_ERROR);
            return Ok(());
        };
        if self.toy.behaviour == Behaviour::H2Goaway(self.requests) {
            self.is_leaving = true;
            self.line.lose(stream);
            self.line.close(stream);
            return Ok(self.line.leave(before)?);
        }
        let is_refused = matches!(self.toy.behaviour, Behaviour::H2Refuse(most) if self.toy.refuses(most));
        if is_refused || open > self.most() as usize {
            self.line.reset(stream, ErrorCode::REFUSED_STREAM);
        } else {
            self.begin(stream, request, ends, scope);
        }
        Ok(())
    }

    /// Trailers of a request end it.
    fn trailers(&mut self, stream: u32, ends: bool) -> Result<(), Failure> {
        let Some(body) = self.bodies.remove(&stream).filter(|_| self.line.has(stream)) else { return Ok(()) };
        if !ends || body.left.is_some_and(|left| left > 0) {
            self.line.reset(stream, ErrorCode::PROTOCOL_ERROR);
            return Ok(());
        }
        self.line.push(stream, if body.is_chunked { b"0\r\n\r\n" } else { b"" }, 0, true);
        Ok(())
    }

    /// Gives a request its thread. If there is none to be had, the stream is refused.
    fn begin<'s>(&mut self, stream: u32, request: RequestFields, ends: bool, scope: &'s Scope<'s, 'a>) {
        let (toy, line) = (self.toy, Arc::clone(&self.line));
        let is_grpc = request.is_grpc() && grpc::speaks(&toy.behaviour);
        let text = request.text(ends);
        if !ends {
            let body = Body { left: request.length, is_chunked: !is_grpc && request.is_chunked(ends) };
            self.bodies.insert(stream, body);
        }
        let builder = Builder::new().name(format!("toy {} stream {stream}", toy.name)).stack_size(STACK_LEN);
        let started = if is_grpc {
            toy.note(&text);
            line.push(stream, b"", 0, ends);
            builder.spawn_scoped(scope, move || grpc::serve(&line, stream, &request, toy))
        } else {
            line.push(stream, &text, 0, ends);
            builder.spawn_scoped(scope, move || {
                if let Behaviour::H2Short(length) = toy.behaviour {
                    toy.note(&text);
                    return end_early(&line, stream, length);
                }
                let conn = StreamConn::new(line, stream, request.method == "HEAD");
                serve::connection(Conn::Stream(Arc::new(conn)), toy);
            })
        };
        if started.is_err() {
            self.line.reset(stream, ErrorCode::REFUSED_STREAM);
        }
    }
}

/// Promises `length` bytes and ends the stream behind half of them.
fn end_early(line: &Line, stream: u32, length: u64) {
    let text = length.to_string();
    let head = [(":status", &b"200"[..]), ("content-length", text.as_bytes())];
    if line.fields(stream, &head, false).is_ok() {
        let half = usize::try_from(length / 2).unwrap_or(usize::MAX).min(1 << 20);
        let _ = line.data(stream, &crate::pattern::pattern(half), true);
    }
    line.close(stream);
}

/// The payload without its padding (RFC 9113 §6.1).
fn unpad(head: FrameHead, payload: &[u8]) -> Result<&[u8], ErrorCode> {
    if !head.has(flags::PADDED) {
        return Ok(payload);
    }
    let (pad, rest) = payload.split_first().ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
    let length = rest.len().checked_sub(usize::from(*pad)).ok_or(ErrorCode::PROTOCOL_ERROR)?;
    Ok(&rest[..length])
}
