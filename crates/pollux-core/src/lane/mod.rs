//! One direction of a relay: a buffer, a framer, a source that fills it and a sink that drains it.
//!
//! A lane does not know what its source and sink are. The pump asks [`Lane::wants_read`] and
//! [`Lane::unsent`], moves bytes, and reports it to the lane; everything else is derived from the resulting
//! state. Back-pressure is a consequence: without room the lane does not want to read.

pub mod filter;
pub mod framer;

use crate::core::buffer::Buffer;
use crate::core::grpc::GrpcStatus;
use crate::http::body::ChunkFault;
use filter::{Encoding, Filter, Filtering};
use framer::Framer;

/// The memory of a front that is kept for the next one. Heads are shorter; a fixed answer may be far longer.
const FRONT_KEPT: usize = 64 * 1024;

/// The longest body that is copied behind its head.
const JOINED_MAX: usize = 4096;

/// About as many bytes as Pollux adds to a head.
const ADDED: usize = 256;

/// The source of a lane's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// There is none (yet).
    #[default]
    Absent,
    /// More may come.
    Open,
    /// It has announced its end (POLLRDHUP); bytes before the end may still wait to be read.
    Leaving,
    /// Its end was read, after its last byte.
    Ended,
    /// It failed: what it had still to say will never be known.
    Lost,
}

/// The target of a lane's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sink {
    /// There is none (yet).
    #[default]
    Absent,
    /// It takes bytes.
    Open,
    /// It takes bytes, but not now: its last write was short.
    Blocked,
    /// The end was passed on to it.
    Finished,
    /// It failed: it takes nothing more.
    Lost,
}

/// One direction. See the module.
#[derive(Debug)]
pub struct Lane {
    /// Bytes that go out before the buffer's: a rewritten head, an answer of Pollux's own, or the output of
    /// a filter.
    front: Vec<u8>,
    front_sent: u32,
    /// The bytes under way.
    pub buffer: Buffer,
    /// The bound up to which they may pass.
    pub framer: Framer,
    /// Their source.
    pub source: Source,
    /// Their target.
    pub sink: Sink,
    passed: u64,
    /// Changes the data of the message under way. Its bytes then go out from the front alone.
    filtering: Option<Box<Filtering>>,
    /// Bytes that are under way in a pipe, behind those of the buffer.
    piped: u32,
    /// Reads in a row that have taken as much as there was room for.
    streak: u8,
}

/// After so many full reads a stream of unknown length is taken for a long one.
const STREAK_LONG: u8 = 2;

impl Lane {
    /// A lane that lets `framer` decide, without source and sink.
    #[must_use]
    pub fn new(framer: Framer) -> Lane {
        Lane {
            front: Vec::new(),
            front_sent: 0,
            buffer: Buffer::default(),
            framer,
            source: Source::Absent,
            sink: Sink::Absent,
            passed: 0,
            filtering: None,
            piped: 0,
            streak: 0,
        }
    }

    /// Whether a byte from the source would be welcome: there is room for it, it belongs to this message, and
    /// its sink is not lost.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        matches!(self.source, Source::Open | Source::Leaving)
            && self.sink != Sink::Lost
            && self.framer.wants_more()
            && self.piped == 0
            && self.buffer.has_room()
    }

    /// The number of bytes from the source that may go to the sink beside the buffer: all of the rest of a
    /// message of which `least` are left, or a stream that seems to be long, once nothing is before them and
    /// the sink takes them.
    #[must_use]
    pub fn spliceable(&self, least: u64) -> Option<u64> {
        let left = self.framer.blind().filter(|left| *left >= least && self.filtering.is_none())?;
        let is_long = left < u64::MAX || self.streak >= STREAK_LONG;
        let is_clear = self.sink == Sink::Open && self.is_flushed() && self.buffer.unscanned().is_empty();
        (is_long && is_clear && self.wants_read()).then_some(left)
    }

    /// Records that `count` bytes were read into memory, and whether that was all there was room for.
    pub fn fill(&mut self, count: usize, is_full: bool) {
        self.buffer.fill(count);
        self.streak = if is_full { self.streak.saturating_add(1) } else { 0 };
    }

    /// Records that `count` of the [`spliceable`](Self::spliceable) bytes are in the pipe. They cannot be
    /// sent again.
    pub fn pipe_in(&mut self, count: usize, is_full: bool) {
        self.release();
        self.framer.pass(count as u64);
        self.piped += u32::try_from(count).expect("a pipe holds less than 4 GiB");
        self.streak = if is_full { STREAK_LONG } else { self.streak.saturating_sub(1) };
    }

    /// Records that `count` of the bytes in the pipe went out.
    pub fn pipe_out(&mut self, count: usize) {
        self.piped = self.piped.saturating_sub(count as u32);
        self.passed += count as u64;
    }

    /// The number of bytes in the pipe.
    #[must_use]
    pub fn piped(&self) -> usize {
        self.piped as usize
    }

    /// The bytes that may go out now: the front, and then the cleared bytes of the buffer.
    #[must_use]
    pub fn unsent(&self) -> (&[u8], &[u8]) {
        let body = if self.filtering.is_some() { &[] } else { self.buffer.unsent() };
        (&self.front[self.front_sent as usize..], body)
    }

    /// Moves what the buffer has to send behind the front, if both have something and that is little: copying
    /// a few bytes costs less than handing the kernel two pieces.
    pub fn join_pieces(&mut self) {
        let body = self.buffer.unsent();
        if !self.is_front_flushed()
            && self.filtering.is_none()
            && !body.is_empty()
            && body.len() <= JOINED_MAX
            && !self.buffer.is_held()
        {
            self.front.extend_from_slice(body);
            let count = body.len();
            self.buffer.send(count);
        }
    }

    /// Whether nothing waits to go out.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.is_front_flushed() && self.buffer.unsent().is_empty() && self.piped == 0
    }

    /// Whether the front has gone out: the other side knows the whole head.
    #[must_use]
    pub fn is_front_flushed(&self) -> bool {
        self.front_sent as usize == self.front.len()
    }

    /// Whether something waits to go out, to a sink that exists and stands.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        matches!(self.sink, Sink::Open | Sink::Blocked) && !self.is_flushed()
    }

    /// Records that `count` of the [`unsent`](Self::unsent) bytes went out.
    pub fn send(&mut self, count: usize) {
        let front = count.min(self.front.len() - self.front_sent as usize);
        self.front_sent += front as u32;
        self.buffer.send(count - front);
        self.passed += count as u64;
        if self.is_front_flushed() && !self.buffer.is_held() {
            self.clear_front();
        }
        if self.filtering.is_some() {
            self.filter();
        }
    }

    /// Has the data of the message that begins now changed by `filter`, and framed by `encoding`. Its head is
    /// in the front already, and says what the encoding needs.
    pub fn filter_by(&mut self, filter: Box<dyn Filter>, encoding: Encoding) {
        debug_assert!(self.piped == 0 && self.buffer.unsent().is_empty(), "a filter begins before the data");
        if let Framer::Chunked(chunked) = &mut self.framer {
            chunked.strip();
        }
        self.filtering = Some(Box::new(Filtering::new(filter, encoding)));
    }

    /// Moves cleared data through the filter into the front, as much as the bound of what waits there allows.
    fn filter(&mut self) {
        let Some(filtering) = &mut self.filtering else { return };
        if !self.buffer.is_held() && self.front_sent as usize >= FRONT_KEPT {
            self.front.drain(..self.front_sent as usize);
            self.front_sent = 0;
        }
        let is_over =
            filtering.run(&mut self.buffer, &mut self.front, self.front_sent as usize, self.framer.is_done());
        if is_over {
            self.filtering = None;
        }
        // Bytes that are kept for a replay are kept in memory: no more than a buffer would.
        if self.buffer.is_held() && self.front.len() > FRONT_KEPT {
            self.release();
        }
    }

    /// Empties the front, but keeps its memory if that is little.
    fn clear_front(&mut self) {
        self.front.clear();
        self.front.shrink_to(FRONT_KEPT);
        self.front_sent = 0;
    }

    /// Lets the framer look at what has come in.
    ///
    /// # Errors
    /// A malformed chunk.
    pub fn advance(&mut self) -> Result<(), ChunkFault> {
        if self.filtering.is_some() {
            return self.advance_filtered();
        }
        self.framer.advance(&mut self.buffer)?;
        self.note_end();
        Ok(())
    }

    /// Like [`advance`](Self::advance), for the answer to a call of gRPC: its status, if its trailers come with
    /// that.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    #[cold]
    pub fn advance_call(&mut self) -> Result<Option<GrpcStatus>, ChunkFault> {
        let Framer::Chunked(chunked) = &mut self.framer else { return self.advance().map(|()| None) };
        let is_over = match &mut self.filtering {
            Some(filtering) => chunked.split(&mut self.buffer, filtering.trailers()),
            None => chunked.advance(&mut self.buffer),
        };
        let status = chunked.grpc_status();
        if is_over == Ok(true) {
            self.framer = Framer::Done;
        }
        if self.filtering.is_some() {
            self.filter();
        }
        is_over.map(|_| status)
    }

    /// Advances a lane with a filter.
    #[cold]
    fn advance_filtered(&mut self) -> Result<(), ChunkFault> {
        let Some(filtering) = &mut self.filtering else { return Ok(()) };
        let verdict = self.framer.split(&mut self.buffer, filtering.trailers());
        self.note_end();
        self.filter();
        verdict
    }

    /// The end of the source is the end of a message that has no other.
    fn note_end(&mut self) {
        if self.source == Source::Ended && matches!(self.framer, Framer::UntilEof) {
            self.framer = Framer::Done;
        }
    }

    /// Whether the source is over although the message is not.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        matches!(self.source, Source::Ended | Source::Lost)
            && self.framer.wants_more()
            && !matches!(self.framer, Framer::Discard)
    }

    /// Whether the end of the source is now to be passed on: behind the last byte, and once.
    #[must_use]
    pub fn is_end_due(&self) -> bool {
        self.source == Source::Ended
            && matches!(self.sink, Sink::Open | Sink::Blocked)
            && self.is_flushed()
            && self.buffer.unscanned().is_empty()
    }

    /// Whether no byte will pass any more: the end was passed on, or the sink is lost, or the source is and
    /// all that it gave has gone out.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.sink {
            Sink::Finished | Sink::Lost => true,
            Sink::Absent | Sink::Open | Sink::Blocked => self.source == Source::Lost && self.is_flushed(),
        }
    }

    /// Reads the first `end` unscanned bytes as a head that begins at `start` and drops them. `rewrite` is
    /// given the head and what goes out before the buffer's bytes, to append to.
    pub fn rewrite<T>(
        &mut self,
        (start, end): (usize, usize),
        rewrite: impl FnOnce(&[u8], &mut Vec<u8>) -> T,
    ) -> T {
        debug_assert!(self.buffer.unsent().is_empty(), "a head goes before its body");
        // The output is seldom longer by more than that, and growing by and by means copying again and
        // again.
        self.front.reserve(end - start + ADDED);
        let verdict = rewrite(&self.buffer.unscanned()[start..end], &mut self.front);
        self.buffer.skip(end);
        verdict
    }

    /// The bytes that go out before the buffer's. To be extended only while the buffer has none to send.
    pub fn front_mut(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.buffer.unsent().is_empty(), "a head goes before its body");
        &mut self.front
    }

    /// Takes the bytes that were to go out before the buffer's. Nothing may have gone out of them yet.
    pub fn take_front(&mut self) -> Vec<u8> {
        debug_assert!(self.front_sent == 0, "a part of it has gone out");
        std::mem::take(&mut self.front)
    }

    /// Moves the cleared bytes of the buffer to the end of `body`, and says how many there were.
    pub fn collect(&mut self, body: &mut Vec<u8>) -> usize {
        let bytes = self.buffer.unsent();
        let count = bytes.len();
        body.extend_from_slice(bytes);
        self.buffer.send(count);
        count
    }

    /// Puts `body` behind the head that is all of the front.
    pub fn add_body(&mut self, body: &[u8]) {
        self.front.extend_from_slice(body);
    }

    /// Adds `line` to the head that is all of the front, if nothing of it has gone out yet.
    pub fn add_line(&mut self, line: &[u8]) {
        if self.front_sent == 0 && self.front.ends_with(b"\r\n\r\n") {
            self.front.truncate(self.front.len() - 2);
            self.front.extend_from_slice(line);
            self.front.extend_from_slice(b"\r\n");
        }
    }

    /// Puts `bytes` before all that goes out. Nothing may have gone out of it yet.
    pub fn push_ahead(&mut self, bytes: &[u8]) {
        debug_assert!(self.front_sent == 0, "it would go out in the middle of a message");
        self.front.splice(0..0, bytes.iter().copied());
    }

    /// Keeps the message that begins now, so that it can be sent a second time.
    pub fn hold(&mut self) {
        debug_assert!(self.front_sent == 0, "a hold begins before the message");
        self.buffer.hold();
    }

    /// Whether the message since [`hold`](Self::hold) is still here as a whole.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.buffer.is_held()
    }

    /// Makes the message since [`hold`](Self::hold) unsent again.
    pub fn rewind(&mut self) {
        self.front_sent = 0;
        self.buffer.rewind();
    }

    /// Ends a hold.
    pub fn release(&mut self) {
        self.buffer.release();
        if self.is_front_flushed() {
            self.clear_front();
        }
    }

    /// Forgets what was to go out and has not, and any hold. Bytes that no framer has looked at stay.
    pub fn abandon_unsent(&mut self) {
        self.filtering = None;
        self.clear_front();
        self.piped = 0;
        self.buffer.release();
        let unsent = self.buffer.unsent().len();
        self.buffer.send(unsent);
    }

    /// Forgets every byte, and any hold.
    pub fn abandon(&mut self) {
        self.abandon_unsent();
        self.buffer.discard();
    }

    /// Whether it holds no byte, and no storage for any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.front.is_empty()
            && self.piped == 0
            && self.filtering.is_none()
            && !self.buffer.is_attached()
            && !self.buffer.is_held()
    }

    /// Counts on from so many bytes that have gone out before the lane was made.
    pub fn go_on_from(&mut self, passed: u64) {
        self.passed = passed;
    }

    /// Gives back what memory can be spared while nothing happens.
    pub fn rest(&mut self) {
        if self.front.is_empty() {
            self.front = Vec::new();
        }
    }

    /// The number of bytes that have gone out since the lane was made.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(bytes: &[u8]) -> Lane {
        let mut lane = Lane::new(Framer::Opaque);
        (lane.source, lane.sink) = (Source::Open, Sink::Open);
        lane.buffer.attach(vec![0; 8].into());
        lane.buffer.room()[..bytes.len()].copy_from_slice(bytes);
        lane.buffer.fill(bytes.len());
        lane
    }

    #[test]
    fn the_end_waits_for_the_bytes_before_it() {
        let mut lane = lane(b"last");
        lane.source = Source::Ended;
        assert!(!lane.is_end_due(), "bytes that were not looked at are not lost");
        lane.advance().unwrap();
        assert!(!lane.is_end_due());
        lane.send(3);
        assert!(!lane.is_end_due());
        lane.send(1);
        assert!(lane.is_end_due());
        lane.sink = Sink::Finished;
        assert!(!lane.is_end_due() && lane.is_over());
    }

    #[test]
    fn a_full_lane_does_not_want_to_read() {
        let mut lane = lane(b"12345678");
        lane.advance().unwrap();
        assert!(!lane.wants_read() && lane.wants_write());
        lane.send(1);
        assert!(lane.wants_read());
    }

    #[test]
    fn a_lane_whose_sink_is_lost_wants_nothing() {
        let mut lane = lane(b"1");
        lane.sink = Sink::Lost;
        assert!(!lane.wants_read() && !lane.wants_write() && lane.is_over());
    }

    #[test]
    fn the_front_goes_before_the_buffer_and_comes_back_with_it() {
        let mut lane = Lane::new(Framer::of_length(4));
        (lane.source, lane.sink) = (Source::Open, Sink::Open);
        lane.hold();
        lane.front_mut().extend_from_slice(b"head");
        lane.buffer.attach(vec![0; 8].into());
        lane.buffer.room()[..4].copy_from_slice(b"body");
        lane.buffer.fill(4);
        lane.advance().unwrap();
        assert_eq!(lane.unsent(), (&b"head"[..], &b"body"[..]));
        lane.send(6);
        assert_eq!(lane.unsent(), (&b""[..], &b"dy"[..]));
        lane.send(2);
        assert!(lane.is_flushed() && lane.is_held());
        lane.rewind();
        assert_eq!(lane.unsent(), (&b"head"[..], &b"body"[..]));
        lane.send(8);
        lane.release();
        assert!(lane.is_flushed());
    }
}
