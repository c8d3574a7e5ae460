//! Two machines against each other, through a transport that cuts and delays, with owners that read and write as they please.
//!
//! The rules of each step: every byte of a stream arrives once and in its order; nothing comes behind a
//! reset; a lane is never offered more than it has room for; what is promised to a peer is never more than
//! that room; and a request that is called unprocessed was never seen by the other side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::script::encode;
use crate::core::time::Time;
use crate::h2::connection::{
    Connection, ConnectionConfig, Incoming, NewRequest, NewResponse, Role, WhyReset,
};
use crate::h2::fields::Fields;
use crate::h2::frame::{self, ErrorCode, FrameType};
use crate::h2::priority::Priority;

/// A generator of numbers that is its seed (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// The byte at a place of a message: both sides know it.
fn byte_of(stream: u32, place: usize, is_request: bool) -> u8 {
    (stream as usize * 31 + place * 7 + usize::from(is_request)) as u8
}

/// One direction of a stream, at its sender and at its receiver.
#[derive(Default)]
struct Message {
    total: usize,
    /// Bytes that the sender's lane has had so far, and how many of them went out.
    ready: usize,
    sent: usize,
    /// Bytes that came, and how many of them the receiver's owner took out of its lane.
    came: usize,
    taken: usize,
    has_head: bool,
    has_trailers: bool,
    is_sent: bool,
    is_whole: bool,
}

fn message(messages: &mut BTreeMap<u32, [Message; 2]>, stream: u32, from: usize) -> &mut Message {
    &mut messages.get_mut(&stream).unwrap()[from]
}

struct Side {
    connection: Connection,
    role: Role,
    window: usize,
    /// Bytes that are written and not delivered.
    outbox: Vec<u8>,
    /// Streams that this side knows to be over by a reset.
    dead: BTreeSet<u32>,
    seen: BTreeSet<u32>,
    unprocessed: BTreeSet<u32>,
    fields: Fields,
}

struct Pair {
    dice: Dice,
    sides: [Side; 2],
    /// By stream: the request, the response.
    messages: BTreeMap<u32, [Message; 2]>,
    now: Time,
    left: usize,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

impl Pair {
    fn new(seed: u64) -> Pair {
        let mut dice = Dice(seed);
        let mut side = |role: Role| {
            let windows = [500, 3000, 16_384, 30_000, 65_535, 65_536, 200_000];
            let window = windows[dice.below(windows.len())];
            let config = ConnectionConfig {
                streams: 1 + dice.below(12) as u32,
                stream_window: window as u32,
                window: 65_535 + dice.below(100_000) as u32,
                ..ConnectionConfig::default()
            };
            let connection = Connection::new(role, Arc::new(config), Time::ZERO);
            let (outbox, dead, seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
            let (unprocessed, fields) = (BTreeSet::new(), Fields::default());
            Side { connection, role, window, outbox, dead, seen, unprocessed, fields }
        };
        let sides = [side(Role::Client), side(Role::Server)];
        let left = 10 + dice.below(30);
        Pair { dice, sides, messages: BTreeMap::new(), now: Time::ZERO, left }
    }

    /// Opens a stream, with a body of any length.
    fn open(&mut self) {
        let total = if self.dice.one_in(3) { 0 } else { self.dice.below(60_000) };
        let block = encode(&[":method=POST", ":scheme=http", ":path=/", ":authority=h"]);
        let length = self.dice.one_in(2).then_some(total as u64);
        let request = NewRequest {
            block: &block,
            length,
            ends_stream: total == 0,
            is_head: false,
            is_connect: false,
            token: 0,
        };
        let Ok(stream) = self.sides[CLIENT].connection.open(self.now, request) else { return };
        self.left = self.left.saturating_sub(1);
        let has_trailers = length.is_none() && total > 0 && self.dice.one_in(3);
        let request =
            Message { total, has_head: true, has_trailers, is_sent: total == 0, ..Message::default() };
        let total = if self.dice.one_in(4) { 0 } else { self.dice.below(60_000) };
        let response = Message { total, has_trailers: self.dice.one_in(3), ..Message::default() };
        self.messages.insert(stream, [request, response]);
    }

    /// The owner of a side works on one of its streams.
    fn work(&mut self, at: usize, stream: u32) {
        let grows = self.dice.below(20_000);
        let Some(messages) = self.messages.get_mut(&stream) else { return };
        let side = &mut self.sides[at];
        if side.dead.contains(&stream) || (at == SERVER && !side.seen.contains(&stream)) {
            return;
        }
        let message = &mut messages[at];
        if !message.has_head {
            message.has_head = true;
            let block = encode(&[":status=200"]);
            let ends_stream = message.total == 0 && !message.has_trailers;
            message.is_sent = ends_stream;
            let response = NewResponse { status: 200, block: &block, length: None, ends_stream };
            side.connection.respond(self.now, stream, response).unwrap();
        } else if !message.is_sent {
            message.ready = (message.ready + grows).min(message.total);
            if message.has_trailers && message.sent == message.total {
                message.is_sent = true;
                side.connection.trailers(self.now, stream, &encode(&["x=y"])).unwrap();
            } else {
                let is_all = message.ready == message.total && !message.has_trailers;
                let waiting = (message.ready - message.sent) as u32;
                side.connection.offer(self.now, stream, waiting, is_all).unwrap();
            }
        }
        let message = &mut messages[1 - at];
        message.taken += self.dice.below(message.came - message.taken + 1);
        let room = side.window.saturating_sub(message.came - message.taken);
        side.connection.grant(stream, room as u32, side.window as u32);
    }

    /// Fills the outbox of a side with what it has to say.
    fn gather(&mut self, at: usize) {
        let side = &mut self.sides[at];
        let count = 1 + self.dice.below(side.connection.output().len() + 1);
        let count = count.min(side.connection.output().len());
        side.outbox.extend_from_slice(&side.connection.output()[..count]);
        side.connection.consume(count);
        while side.connection.output().is_empty()
            && let Some(piece) = side.connection.next_piece(self.now, 9 + self.dice.below(30_000) as u32)
        {
            let message = &mut self.messages.get_mut(&piece.stream).unwrap()[at];
            side.outbox.extend_from_slice(&piece.head);
            let range = message.sent..message.sent + piece.length as usize;
            side.outbox.extend(range.map(|place| byte_of(piece.stream, place, at == CLIENT)));
            message.sent += piece.length as usize;
            message.is_sent |= piece.ends_stream;
            assert!(message.sent <= message.ready, "more goes out than was offered");
            if self.dice.one_in(3) {
                break;
            }
        }
    }

    /// Delivers some bytes of `from` to the other side.
    fn deliver(&mut self, from: usize) {
        let count = self.dice.below(self.sides[from].outbox.len().min(40_000) + 1);
        let bytes: Vec<u8> = self.sides[from].outbox.drain(..count).collect();
        let side = &mut self.sides[1 - from];
        let mut input = &bytes[..];
        while let Some(incoming) =
            side.connection.read(self.now, &mut input, &mut side.fields).expect("both keep the rules")
        {
            let (stream, is_reset) = Pair::take(&mut self.messages, from, side.role, &incoming);
            if let Some((stream, why)) = is_reset {
                side.dead.insert(stream);
                if why == WhyReset::Unprocessed {
                    side.unprocessed.insert(stream);
                }
            } else if let Some(stream) = stream {
                assert!(!side.dead.contains(&stream), "an event behind the reset of {stream}");
                side.seen.insert(stream);
            }
        }
    }

    /// Books an event; its stream, and how it was reset.
    fn take(
        messages: &mut BTreeMap<u32, [Message; 2]>,
        from: usize,
        role: Role,
        incoming: &Incoming<'_>,
    ) -> (Option<u32>, Option<(u32, WhyReset)>) {
        let stream = match *incoming {
            Incoming::Request { stream, ends_stream, .. }
            | Incoming::Response { stream, ends_stream, .. } => {
                message(messages, stream, from).is_whole |= ends_stream;
                stream
            }
            Incoming::Data { stream, bytes, .. } => {
                let message = message(messages, stream, from);
                for byte in bytes {
                    assert_eq!(*byte, byte_of(stream, message.came, from == CLIENT), "{role:?} {stream}");
                    message.came += 1;
                }
                stream
            }
            Incoming::End { stream, .. } | Incoming::Trailers { stream, .. } => {
                assert!(!std::mem::replace(&mut message(messages, stream, from).is_whole, true), "two ends");
                stream
            }
            Incoming::Reset { stream, why, .. } => return (None, Some((stream, why))),
            Incoming::Refused { stream } => return (None, Some((stream, WhyReset::Peer))),
            Incoming::GoAway { .. } | Incoming::Settings | Incoming::Pong { .. } => return (None, None),
            Incoming::TooLarge { .. } | Incoming::Malformed { .. } => panic!("no such request was sent"),
        };
        (Some(stream), None)
    }

    fn check(&self) {
        for (at, side) in self.sides.iter().enumerate() {
            let most = if side.role == Role::Server { side.window.max(65_535) } else { side.window };
            for (stream, messages) in &self.messages {
                let used = messages[1 - at].came - messages[1 - at].taken;
                if side.dead.contains(stream) {
                    continue;
                }
                assert!(used <= most, "{:?}: no room for {stream}: {used} of {most}", side.role);
                let promised = side.connection.promised(*stream) as usize;
                assert!(promised + used <= most, "{promised} promised beside {used} of {most}");
            }
            assert!(side.connection.decoder().table().is_empty(), "our encoder uses no table");
        }
        let unprocessed = &self.sides[CLIENT].unprocessed;
        let both: Vec<_> = unprocessed.intersection(&self.sides[SERVER].seen).collect();
        assert!(both.is_empty(), "called unprocessed, and seen: {both:?}");
    }

    fn step(&mut self) {
        if self.left > 0 && self.dice.one_in(4) {
            self.open();
        }
        let at = self.dice.below(2);
        let known: Vec<u32> = self.messages.keys().copied().collect();
        for stream in known {
            if self.dice.one_in(2) {
                self.work(at, stream);
            }
            if self.dice.one_in(3000) && (at == CLIENT || self.sides[SERVER].seen.contains(&stream)) {
                self.sides[at].connection.reset(stream, ErrorCode::CANCEL);
                self.sides[at].dead.insert(stream);
            }
        }
        if self.dice.one_in(1000) {
            self.sides[SERVER].connection.drain();
        }
        if self.dice.one_in(2000) {
            self.sides[SERVER].connection.leave();
            self.left = 0;
        }
        if self.dice.one_in(50) {
            self.sides[at].connection.ping(self.now);
        }
        self.gather(at);
        self.deliver(at);
        self.now = self.now + std::time::Duration::from_millis(1);
        self.check();
    }

    fn is_over(&self) -> bool {
        self.left == 0
            && self.sides.iter().all(|side| {
                side.connection.streams() == 0
                    && side.outbox.is_empty()
                    && side.connection.output().is_empty()
            })
    }
}

#[test]
fn two_machines_conserve_every_byte() {
    let (mut whole, mut refused) = (0, 0);
    for seed in 0..60 {
        let mut pair = Pair::new(seed);
        let mut steps = 0;
        while !pair.is_over() {
            pair.step();
            steps += 1;
            if pair.sides[CLIENT].connection.is_leaving() {
                pair.left = 0;
            }
            assert!(steps < 200_000, "seed {seed}: streams that never end");
        }
        let dead = |stream: &u32| pair.sides.iter().any(|side| side.dead.contains(stream));
        for (stream, messages) in pair.messages.iter().filter(|(stream, _)| !dead(stream)) {
            for message in messages {
                assert!(message.is_whole && message.came == message.total, "seed {seed}: {stream} is cut");
            }
            whole += 1;
        }
        refused += pair.sides[CLIENT].unprocessed.len();
    }
    assert!(whole > 500 && refused > 0, "{whole} whole, {refused} refused: too little was tried");
}

/// Streams of one urgency get their turns, a more urgent one goes first, and one without a window holds up no other.
#[test]
fn no_stream_starves() {
    let config = Arc::new(ConnectionConfig::default());
    let mut client = Connection::new(Role::Client, config, Time::ZERO);
    let mut fields = Fields::default();
    let mut begin = Vec::new();
    frame::write(FrameType::Settings, 0, 0, &[], &mut begin);
    frame::write_window(0, 1 << 30, &mut begin);
    let mut input = &begin[..];
    while client.read(Time::ZERO, &mut input, &mut fields).unwrap().is_some() {}
    let block = encode(&[":method=POST", ":scheme=http", ":path=/", ":authority=h"]);
    let request = NewRequest {
        block: &block,
        length: None,
        ends_stream: false,
        is_head: false,
        is_connect: false,
        token: 0,
    };
    let mut opened = Vec::new();
    for number in 0..9 {
        let stream = client.open(Time::ZERO, request).unwrap();
        let mut window = Vec::new();
        if number != 8 {
            frame::write_window(stream, 1 << 30, &mut window);
        }
        assert!(client.read(Time::ZERO, &mut &window[..], &mut fields).unwrap().is_none());
        let priority = Priority { urgency: 3, is_incremental: number % 2 == 0 };
        client.set_priority(stream, priority);
        client.offer(Time::ZERO, stream, 100 << 20, false).unwrap();
        opened.push(stream);
    }
    let mut sent: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..2000 {
        let piece = client.next_piece(Time::ZERO, 1 << 20).expect("there is much to send");
        *sent.entry(piece.stream).or_default() += 1;
    }
    assert_eq!(sent[&opened[8]], 4, "its window of 65,535 bytes is used up");
    let incremental: Vec<u32> = [0, 2, 4, 6].map(|at| sent[&opened[at]]).to_vec();
    let others: Vec<u32> = [1, 3, 5, 7].map(|at| sent[&opened[at]]).to_vec();
    for counts in [&incremental, &others] {
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 4, "{counts:?}");
    }
    assert!(incremental[0] >= 95, "each has its turn: {incremental:?} {others:?}");
    let urgent = Priority { urgency: 0, is_incremental: false };
    client.set_priority(opened[3], urgent);
    for _ in 0..100 {
        assert_eq!(client.next_piece(Time::ZERO, 1 << 20).unwrap().stream, opened[3]);
    }
}
