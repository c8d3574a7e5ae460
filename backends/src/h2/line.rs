//! The state of an HTTP/2 connection that its reader and its streams share.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pollux_core::h2::encoder::{FieldBlock, NO_TABLE, Strings};
use pollux_core::h2::fields::HeaderField;
use pollux_core::h2::frame::{self, ErrorCode, FrameType, MAX_31, PAYLOAD_MAX, flags};

use crate::peer::Conn;

/// The window of RFC 9113 §6.9.2.
pub(super) const WINDOW: u32 = 65_535;

/// A field of an answer.
pub(super) type Field<'a> = (&'a str, &'a [u8]);

/// See the module.
pub(super) struct Line {
    state: Mutex<State>,
    /// Told at each change that a stream may wait for.
    moved: Condvar,
    /// Streams get back the window that they have used.
    widens: bool,
}

struct State {
    conn: Conn,
    /// The window of the connection, and the one that streams begin with.
    window: i64,
    initial: i64,
    streams: HashMap<u32, Stream>,
    /// The connection has failed, or the toy stops.
    is_dead: bool,
    /// It ends with its last stream.
    is_leaving: bool,
}

struct Stream {
    /// Bytes that came and are not read yet. The window bounds them.
    inbox: VecDeque<u8>,
    has_ended: bool,
    is_reset: bool,
    /// An answer has ended.
    is_answered: bool,
    window: i64,
    /// Bytes of DATA for which the peer has no window back yet.
    owed: u32,
}

impl Line {
    pub(super) fn new(conn: Conn, widens: bool) -> Line {
        let state = State {
            conn,
            window: i64::from(WINDOW),
            initial: i64::from(WINDOW),
            streams: HashMap::new(),
            is_dead: false,
            is_leaving: false,
        };
        Line { state: Mutex::new(state), moved: Condvar::new(), widens }
    }

    /// Writes frames of the connection.
    pub(super) fn send(&self, frames: &[u8]) -> io::Result<()> {
        self.lock().conn.write_all(frames)
    }

    /// Opens a stream. The number of open streams, this one included.
    pub(super) fn open(&self, stream: u32) -> usize {
        let mut state = self.lock();
        let window = state.initial;
        let new = Stream {
            inbox: VecDeque::new(),
            has_ended: false,
            is_reset: false,
            is_answered: false,
            window,
            owed: 0,
        };
        state.streams.insert(stream, new);
        state.streams.len()
    }

    pub(super) fn has(&self, stream: u32) -> bool {
        self.lock().streams.contains_key(&stream)
    }

    /// Gives a stream what came on it: `bytes` to read, which `used` bytes of its window brought.
    pub(super) fn push(&self, stream: u32, bytes: &[u8], used: u32, ends: bool) {
        let mut state = self.lock();
        if let Some(stream) = state.streams.get_mut(&stream) {
            stream.inbox.extend(bytes);
            stream.owed += used;
            stream.has_ended |= ends;
        }
        self.moved.notify_all();
    }

    /// The peer has reset a stream.
    pub(super) fn lose(&self, stream: u32) {
        if let Some(stream) = self.lock().streams.get_mut(&stream) {
            stream.is_reset = true;
        }
        self.moved.notify_all();
    }

    /// Whether the peer has reset the stream, or it is gone.
    pub(super) fn is_lost(&self, stream: u32) -> bool {
        let state = self.lock();
        state.is_dead || state.streams.get(&stream).is_none_or(|stream| stream.is_reset)
    }

    /// Takes a WINDOW_UPDATE.
    pub(super) fn widen(&self, stream: u32, increment: u32) -> Result<(), ErrorCode> {
        let mut state = self.lock();
        let window = match stream {
            0 => &mut state.window,
            _ => match state.streams.get_mut(&stream) {
                Some(stream) => &mut stream.window,
                None => return Ok(()),
            },
        };
        *window += i64::from(increment);
        if increment == 0 || *window > i64::from(MAX_31) {
            return Err(ErrorCode::FLOW_CONTROL_ERROR);
        }
        self.moved.notify_all();
        Ok(())
    }

    /// Takes SETTINGS_INITIAL_WINDOW_SIZE, which moves the windows of all open streams (RFC 9113 §6.9.2).
    pub(super) fn set_initial(&self, window: u32) {
        let mut state = self.lock();
        let change = i64::from(window) - state.initial;
        state.initial += change;
        state.streams.values_mut().for_each(|stream| stream.window += change);
        self.moved.notify_all();
    }

    /// The connection is over for all of its streams.
    pub(super) fn fail(&self) {
        self.lock().is_dead = true;
        self.moved.notify_all();
    }

    /// Says which stream was the last one. The connection ends when those that are open have ended.
    pub(super) fn leave(&self, last: u32) -> io::Result<()> {
        let mut frames = Vec::new();
        frame::write_goaway(last, ErrorCode::NO_ERROR, &mut frames);
        let mut state = self.lock();
        state.is_leaving = true;
        state.conn.write_all(&frames)?;
        state.end_if_empty();
        Ok(())
    }

    /// Reads what came on a stream; 0 is its end. The window is given back when all has been read.
    pub(super) fn read(&self, number: u32, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut state = self.lock();
        loop {
            let is_dead = state.is_dead;
            let stream = state.streams.get_mut(&number).filter(|stream| !stream.is_reset && !is_dead);
            let stream = stream.ok_or(io::ErrorKind::ConnectionReset)?;
            if !stream.inbox.is_empty() {
                let count = io::Read::read(&mut stream.inbox, buffer)?;
                let owed = if stream.inbox.is_empty() { std::mem::take(&mut stream.owed) } else { 0 };
                if owed > 0 && !stream.has_ended && self.widens {
                    let mut frames = Vec::new();
                    frame::write_window(number, owed, &mut frames);
                    state.conn.write_all(&frames)?;
                }
                return Ok(count);
            }
            if stream.has_ended {
                return Ok(0);
            }
            state = match until {
                None => self.moved.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Sends fields: a head, an interim one, or trailers.
    pub(super) fn fields(&self, number: u32, fields: &[Field<'_>], ends: bool) -> io::Result<()> {
        let mut block = FieldBlock::default();
        for (name, value) in fields {
            block.push(HeaderField { name: name.as_bytes(), value, is_secret: false }, Strings::Short);
        }
        // A size update fits at the beginning of each block, and then no SETTINGS of the peer matter.
        let bytes = [&[NO_TABLE], block.bytes()].concat();
        let mut frames = Vec::new();
        frame::write_block(number, ends, &bytes, PAYLOAD_MAX, &mut frames);
        let mut state = self.lock();
        state.stream(number)?.is_answered |= ends;
        state.conn.write_all(&frames)
    }

    /// Sends DATA as far as the windows allow, and waits until they allow all of it.
    pub(super) fn data(&self, number: u32, mut bytes: &[u8], ends: bool) -> io::Result<()> {
        let mut state = self.lock();
        loop {
            let room = state.stream(number)?.window.min(state.window).min(i64::from(PAYLOAD_MAX));
            if room <= 0 && !bytes.is_empty() {
                state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let count = bytes.len().min(usize::try_from(room).unwrap_or(0));
            let (piece, rest) = bytes.split_at(count);
            let is_last = rest.is_empty();
            let mut frames = Vec::new();
            let flag = if ends && is_last { flags::END_STREAM } else { 0 };
            frame::write(FrameType::Data, flag, number, piece, &mut frames);
            let stream = state.stream(number)?;
            stream.window -= count as i64;
            stream.is_answered |= ends && is_last;
            state.window -= count as i64;
            state.conn.write_all(&frames)?;
            if is_last {
                return Ok(());
            }
            bytes = rest;
        }
    }

    /// Resets a stream.
    pub(super) fn reset(&self, number: u32, code: ErrorCode) {
        let mut frames = Vec::new();
        frame::write_reset(number, code, &mut frames);
        let mut state = self.lock();
        if state.stream(number).is_ok() {
            let _ = state.conn.write_all(&frames);
        }
        state.streams.remove(&number);
        state.end_if_empty();
        self.moved.notify_all();
    }

    /// The exchange of a stream is over: what is not whole by now is reset.
    pub(super) fn close(&self, number: u32) {
        let mut state = self.lock();
        let code = match state.stream(number) {
            Ok(stream) if !stream.is_answered => Some(ErrorCode::INTERNAL_ERROR),
            // RFC 9113 §8.1: the answer is complete and the rest of the request is not needed.
            Ok(stream) if !stream.has_ended => Some(ErrorCode::NO_ERROR),
            Ok(_) | Err(_) => None,
        };
        drop(state);
        if let Some(code) = code {
            return self.reset(number, code);
        }
        state = self.lock();
        state.streams.remove(&number);
        state.end_if_empty();
    }

    /// Locks even after a panic elsewhere: the state is whole between any two statements that touch it. The
    /// lock is held while frames are written, so frames never mix.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A stream that may still be used.
    fn stream(&mut self, number: u32) -> io::Result<&mut Stream> {
        let is_dead = self.is_dead;
        let stream = self.streams.get_mut(&number).filter(|stream| !stream.is_reset && !is_dead);
        stream.ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    fn end_if_empty(&self) {
        if self.is_leaving && self.streams.is_empty() {
            self.conn.finish_writing();
        }
    }
}
