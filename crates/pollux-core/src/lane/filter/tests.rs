//! Toy filters in a lane: through every framing, however the message is cut, to sinks of every appetite.

use proptest::prelude::*;

use super::{Encoding, Filter, ROOM_LEAST, WAITING_MAX};
use crate::http::body::{Chunked, Chunks, TRAILERS_MAX};
use crate::lane::framer::Framer;
use crate::lane::{Lane, Sink, Source};
use crate::message::Nominated;

/// As long as its input.
#[derive(Debug)]
struct UpperCase;

impl Filter for UpperCase {
    fn push(&mut self, input: &[u8], room: usize, out: &mut Vec<u8>) -> usize {
        let count = input.len().min(room);
        out.extend(input[..count].iter().map(u8::to_ascii_uppercase));
        count
    }

    fn finish(&mut self, _: usize, _: &mut Vec<u8>) -> bool {
        true
    }
}

/// Longer than its input.
#[derive(Debug)]
struct Double;

impl Filter for Double {
    fn push(&mut self, input: &[u8], room: usize, out: &mut Vec<u8>) -> usize {
        let count = input.len().min(room / 2);
        out.extend(input[..count].iter().flat_map(|byte| [*byte, *byte]));
        count
    }

    fn finish(&mut self, _: usize, _: &mut Vec<u8>) -> bool {
        true
    }
}

/// Shorter than its input, and with more behind it than there is room for at once: as a compressor is.
#[derive(Debug, Default)]
struct EverySecond {
    kept: Vec<u8>,
    seen: usize,
    given: usize,
}

const TAIL: usize = WAITING_MAX + 100;

impl Filter for EverySecond {
    fn push(&mut self, input: &[u8], _: usize, _: &mut Vec<u8>) -> usize {
        for byte in input {
            if self.seen.is_multiple_of(2) {
                self.kept.push(*byte);
            }
            self.seen += 1;
        }
        input.len()
    }

    fn flush(&mut self, room: usize, out: &mut Vec<u8>) -> bool {
        let count = self.kept.len().min(room);
        out.extend(self.kept.drain(..count));
        self.kept.is_empty()
    }

    fn finish(&mut self, room: usize, out: &mut Vec<u8>) -> bool {
        if !self.kept.is_empty() {
            self.flush(room, out);
            return false;
        }
        let count = (TAIL - self.given).min(room);
        out.extend(std::iter::repeat_n(b'.', count));
        self.given += count;
        self.given == TAIL
    }
}

#[derive(Clone, Copy, Debug)]
enum Toy {
    UpperCase,
    Double,
    EverySecond,
}

impl Toy {
    fn make(self) -> Box<dyn Filter> {
        match self {
            Toy::UpperCase => Box::new(UpperCase),
            Toy::Double => Box::new(Double),
            Toy::EverySecond => Box::new(EverySecond::default()),
        }
    }

    fn of(self, data: &[u8]) -> Vec<u8> {
        match self {
            Toy::UpperCase => data.to_ascii_uppercase(),
            Toy::Double => data.iter().flat_map(|byte| [*byte, *byte]).collect(),
            Toy::EverySecond => {
                data.iter().copied().step_by(2).chain(std::iter::repeat_n(b'.', TAIL)).collect()
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunked,
    UntilEof,
}

impl Framing {
    fn framer(self, length: usize) -> Framer {
        match self {
            Framing::Length => Framer::of_length(length as u64),
            Framing::Chunked => Framer::Chunked(Chunked::new(Chunks::Keep, None, Nominated::default())),
            Framing::UntilEof => Framer::UntilEof,
        }
    }

    /// `data` as it comes from a peer; the next message follows where there can be one.
    fn encode(self, data: &[u8], chunk: usize) -> Vec<u8> {
        match self {
            Framing::Length => [data, NEXT].concat(),
            Framing::UntilEof => data.to_vec(),
            Framing::Chunked => {
                let mut out = Vec::new();
                for piece in data.chunks(chunk) {
                    out.extend_from_slice(format!("{:X};x=y\r\n", piece.len()).as_bytes());
                    out.extend_from_slice(piece);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\nX-Sum: 1\r\nContent-Length: 4\r\n\r\n");
                out.extend_from_slice(NEXT);
                out
            }
        }
    }
}

const NEXT: &[u8] = b"GET /next";
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// Reads what goes out with a chunk reader of its own: the data, and the lines behind the last chunk.
fn decode(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut data = Vec::new();
    loop {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a size line");
        let digits = std::str::from_utf8(&bytes[..end]).unwrap();
        assert!(digits == "0" || !digits.starts_with('0'), "a size with a leading zero: {digits}");
        let size = usize::from_str_radix(digits, 16).unwrap();
        bytes = &bytes[end + 2..];
        if size == 0 {
            return (data, bytes.to_vec());
        }
        data.extend_from_slice(&bytes[..size]);
        assert_eq!(&bytes[size..size + 2], b"\r\n");
        bytes = &bytes[size + 2..];
    }
}

struct Run {
    out: Vec<u8>,
    /// The most bytes that waited at once.
    waited: usize,
    unscanned: Vec<u8>,
}

/// Plays a message through a lane with a buffer of `storage` bytes: reads and writes of the sizes that come
/// in turn.
fn play(mut lane: Lane, input: &[u8], storage: usize, reads: &[usize], writes: &[usize]) -> Run {
    lane.buffer.attach(vec![0; storage].into());
    (lane.source, lane.sink) = (Source::Open, Sink::Open);
    let (mut given, mut out, mut waited) = (0, Vec::new(), 0);
    let (mut reads, mut writes) = (reads.iter().cycle(), writes.iter().cycle());
    for _ in 0..4_000_000 {
        if lane.framer.is_done() && lane.is_flushed() {
            let unscanned = [lane.buffer.unscanned(), &input[given..]].concat();
            return Run { out, waited, unscanned };
        }
        if given == input.len() {
            lane.source = Source::Ended;
        } else if lane.wants_read() {
            let room = lane.buffer.room();
            let count = room.len().min(*reads.next().unwrap()).min(input.len() - given);
            room[..count].copy_from_slice(&input[given..given + count]);
            lane.fill(count, false);
            given += count;
        }
        lane.advance().unwrap();
        waited = waited.max(lane.unsent().0.len());
        lane.join_pieces();
        let (front, body) = lane.unsent();
        let pending = [front, body].concat();
        let count = pending.len().min(*writes.next().unwrap());
        out.extend_from_slice(&pending[..count]);
        lane.send(count);
        waited = waited.max(lane.unsent().0.len());
    }
    panic!("the message does not end");
}

fn lane(framing: Framing, length: usize, toy: Toy, encoding: Encoding) -> Lane {
    let mut lane = Lane::new(framing.framer(length));
    lane.front_mut().extend_from_slice(HEAD);
    lane.filter_by(toy.make(), encoding);
    lane
}

fn check(framing: Framing, toy: Toy, encoding: Encoding, data: &[u8], cut: &Cut) {
    let input = framing.encode(data, cut.chunk);
    let run = play(lane(framing, data.len(), toy, encoding), &input, cut.storage, &cut.reads, &cut.writes);
    let bound = WAITING_MAX + HEAD.len() + SIZE_OF_END;
    assert!(run.waited <= bound, "{} bytes waited", run.waited);
    let body = run.out.strip_prefix(HEAD).expect("the head goes first");
    match encoding {
        Encoding::UntilEof => assert_eq!(body, toy.of(data)),
        Encoding::Chunked => {
            let (decoded, behind) = decode(body);
            assert_eq!(decoded, toy.of(data));
            let trailers = matches!(framing, Framing::Chunked);
            assert_eq!(behind, if trailers { &b"X-Sum: 1\r\n\r\n"[..] } else { b"\r\n" });
        }
    }
    let next: &[u8] = if matches!(framing, Framing::UntilEof) { b"" } else { NEXT };
    assert_eq!(run.unscanned, next, "what follows the message is left alone");
}

/// The end of a chunked message with its trailers.
const SIZE_OF_END: usize = TRAILERS_MAX + 5;

struct Cut {
    chunk: usize,
    storage: usize,
    reads: Vec<usize>,
    writes: Vec<usize>,
}

const FRAMINGS: [Framing; 3] = [Framing::Length, Framing::Chunked, Framing::UntilEof];
const TOYS: [Toy; 3] = [Toy::UpperCase, Toy::Double, Toy::EverySecond];
const ENCODINGS: [Encoding; 2] = [Encoding::Chunked, Encoding::UntilEof];

#[test]
fn every_filter_passes_through_every_framing_in_every_split() {
    let data = b"the quick brown fox jumps over the lazy dog";
    for framing in FRAMINGS {
        for toy in TOYS {
            for encoding in ENCODINGS {
                for first in 1..framing.encode(data, 7).len() {
                    let cut = Cut {
                        chunk: 7,
                        storage: 512,
                        reads: vec![first, 10_000],
                        writes: vec![first, 50_000],
                    };
                    check(framing, toy, encoding, data, &cut);
                }
            }
        }
    }
}

#[test]
fn an_empty_body_ends_too() {
    let cut = Cut { chunk: 1, storage: 64, reads: vec![64], writes: vec![64] };
    for framing in FRAMINGS {
        for encoding in ENCODINGS {
            check(framing, Toy::Double, encoding, b"", &cut);
            check(framing, Toy::EverySecond, encoding, b"", &cut);
        }
    }
}

/// A sink that takes nothing stops the source: output is bounded, and so is what was read for it.
#[test]
fn a_full_sink_stops_the_source() {
    let mut lane = lane(Framing::UntilEof, 0, Toy::Double, Encoding::Chunked);
    lane.buffer.attach(vec![0; 1024].into());
    (lane.source, lane.sink) = (Source::Open, Sink::Blocked);
    let mut read = 0;
    while lane.wants_read() {
        let count = lane.buffer.room().len();
        lane.fill(count, true);
        read += count;
        lane.advance().unwrap();
        assert!(read < 2 * WAITING_MAX, "the source is read on and on");
    }
    assert!(lane.unsent().0.len() <= WAITING_MAX + HEAD.len());
    assert!(lane.spliceable(0).is_none(), "filtered bytes never pass beside the filter");
    lane.sink = Sink::Open;
    lane.send(ROOM_LEAST * 2);
    assert!(lane.wants_read(), "room for the output is room for the input");
}

/// A filter gives what it has kept back when nothing more is at hand: an event reaches its reader before the
/// next one comes.
#[test]
fn what_has_come_goes_out_before_more_comes() {
    let mut lane = lane(Framing::UntilEof, 0, Toy::EverySecond, Encoding::UntilEof);
    lane.buffer.attach(vec![0; 64].into());
    (lane.source, lane.sink) = (Source::Open, Sink::Open);
    lane.buffer.room()[..4].copy_from_slice(b"a.b.");
    lane.fill(4, false);
    lane.advance().unwrap();
    assert_eq!(lane.unsent().0, [HEAD, b"ab"].concat());
}

/// A message that is sent a second time has been filtered once.
#[test]
fn a_replay_sends_the_same_bytes() {
    let mut lane = Lane::new(Framer::of_length(4));
    (lane.source, lane.sink) = (Source::Open, Sink::Open);
    lane.hold();
    lane.front_mut().extend_from_slice(HEAD);
    lane.filter_by(Toy::Double.make(), Encoding::Chunked);
    lane.buffer.attach(vec![0; 8].into());
    lane.buffer.room()[..4].copy_from_slice(b"body");
    lane.fill(4, false);
    lane.advance().unwrap();
    let expected = [HEAD, b"8\r\nbbooddyy\r\n0\r\n\r\n"].concat();
    assert_eq!(lane.unsent(), (&expected[..], &b""[..]));
    lane.send(expected.len());
    assert!(lane.is_flushed() && lane.is_held());
    lane.rewind();
    assert_eq!(lane.unsent(), (&expected[..], &b""[..]));
}

/// A body that is cut short has no last chunk.
#[test]
fn a_cut_body_never_looks_complete() {
    let mut lane = lane(Framing::Length, 10, Toy::UpperCase, Encoding::Chunked);
    lane.buffer.attach(vec![0; 64].into());
    lane.sink = Sink::Open;
    lane.buffer.room()[..4].copy_from_slice(b"half");
    lane.fill(4, false);
    lane.source = Source::Ended;
    lane.advance().unwrap();
    assert!(lane.is_cut_short());
    assert_eq!(lane.unsent().0, [HEAD, b"4\r\nHALF\r\n"].concat());
}

proptest! {
    #[test]
    fn any_split_and_any_appetite_give_the_same(
        data in prop::collection::vec(any::<u8>(), 0..6000),
        (framing, toy, encoding) in (0_usize..3, 0_usize..3, 0_usize..2),
        (chunk, storage) in (1_usize..900, 300_usize..3000),
        reads in prop::collection::vec(1_usize..4000, 1..6),
        writes in prop::collection::vec(0_usize..9000, 1..6),
    ) {
        let mut writes = writes;
        writes.push(1000);
        let cut = Cut { chunk, storage, reads, writes };
        check(FRAMINGS[framing], TOYS[toy], ENCODINGS[encoding], &data, &cut);
    }
}
