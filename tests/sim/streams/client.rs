//! A client that speaks HTTP/2.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::h2::connection::{Incoming, NewRequest, Role};
use pollux::h2::fields::Fields;
use pollux::h2::frame::ErrorCode;
use pollux::os::IoFault;

use super::board::Board;
use super::bytes;
use super::speaker::{Speaker, Spoken, block_of};
use crate::actor::{Actor, Step};
use crate::end::EndId;
use crate::faults::{chance, log_uniform};
use crate::harness::{LISTENER, address_of};
use crate::net::{Dialled, Net};

/// The longest body in bytes.
const BODY_MAX: usize = 100_000;

/// A client with smaller windows tries the patience of the proxy, and may be told so.
const TRYING: u32 = 64;

/// A request under way, and the bytes that have passed.
struct Ask {
    number: usize,
    /// The lengths of the request body and of the response body.
    up: usize,
    down: usize,
    sent: usize,
    came: usize,
    has_head: bool,
    /// The answer is one of Pollux's own, about a request that a backend has spoiled.
    is_spoiled: bool,
    /// The client gives the stream up once so many bytes have come.
    gives_up_at: Option<usize>,
}

/// One connection with many requests.
pub(super) struct Client {
    number: usize,
    board: Board,
    end: Option<EndId>,
    speaker: Speaker,
    fields: Fields,
    asks: BTreeMap<u32, Ask>,
    left: usize,
    most: usize,
    /// The proxy has said that it ends the connection.
    is_told: bool,
}

impl Client {
    pub(super) fn new(number: usize, board: Board, rng: Rng) -> Client {
        let mut speaker = Speaker::new(Role::Client, None, 16, rng);
        let (left, most) = (speaker.rng.usize(1..=12), speaker.rng.usize(1..=6));
        let (fields, asks) = (Fields::default(), BTreeMap::new());
        Client { number, board, end: None, speaker, fields, asks, left, most, is_told: false }
    }

    /// Opens a stream; false if none is wanted now.
    fn ask(&mut self, now: Time) -> bool {
        let Speaker { machine, rng, .. } = &mut self.speaker;
        if self.left == 0 || self.asks.len() >= self.most || machine.free_streams() == 0 {
            return false;
        }
        self.left -= 1;
        let number = 1000 * self.number + self.left;
        let mut length = || if rng.bool() { 0 } else { log_uniform(rng, &(1..=BODY_MAX)) };
        let (up, down) = (length(), length());
        let gives_up_at = chance(rng, 10).then(|| rng.usize(..=down));
        let (path, digits) = (format!("/{number}/{up}/{down}"), up.to_string());
        let lines = [(":method", "POST"), (":scheme", "http"), (":path", &path), (":authority", "h")];
        let length = rng.bool().then_some(("content-length", digits.as_str()));
        let block = block_of(lines.into_iter().chain(length));
        let request = NewRequest {
            block: &block,
            length: length.map(|_| up as u64),
            ends_stream: up == 0,
            is_head: false,
            is_connect: false,
            token: 0,
        };
        let stream = machine.open(now, request).expect("a stream is free");
        if up > 0 {
            machine.offer(now, stream, up as u32, true).expect("a body is due");
        }
        let ask = Ask { number, up, down, sent: 0, came: 0, has_head: false, is_spoiled: false, gives_up_at };
        self.asks.insert(stream, ask);
        true
    }

    fn hear(&mut self, now: Time, mut input: &[u8]) {
        let mut fields = std::mem::take(&mut self.fields);
        while let Some(incoming) =
            self.speaker.machine.read(now, &mut input, &mut fields).expect("frames by the rules")
        {
            match incoming {
                Incoming::Response { stream, head, ends_stream, .. } => {
                    let ask = self.asks.get_mut(&stream).expect("a response to a request");
                    ask.is_spoiled = head.status != 200;
                    let is_excused = self.board.is_excused(ask.number, ask.up > 0);
                    assert!(!ask.is_spoiled || is_excused, "{} for {}", head.status, ask.number);
                    ask.has_head = true;
                    if ends_stream {
                        self.end(stream);
                    }
                }
                Incoming::Data { stream, bytes: data, .. } => {
                    let ask = self.asks.get_mut(&stream).expect("data of a request");
                    let is_right = data.iter().copied().eq(bytes(ask.number, ask.came, data.len()));
                    assert!(ask.has_head && (is_right || ask.is_spoiled));
                    ask.came += data.len();
                    if ask.gives_up_at.is_some_and(|most| most <= ask.came) {
                        self.asks.remove(&stream);
                        self.speaker.machine.reset(stream, ErrorCode::CANCEL);
                    }
                }
                Incoming::End { stream, .. } | Incoming::Trailers { stream, .. } => self.end(stream),
                Incoming::Reset { stream, code, why, .. } => {
                    let is_told = self.is_told;
                    let ask = self.asks.remove(&stream).expect("a reset of a request");
                    let is_excused = ask.is_spoiled || self.board.is_excused(ask.number, ask.up > 0);
                    assert!(is_told || is_excused, "stream {stream} was reset: {code:?}, {why:?}");
                }
                Incoming::GoAway { code, .. } => {
                    let is_trying = self.speaker.window < TRYING && code == ErrorCode::ENHANCE_YOUR_CALM;
                    assert!(is_trying, "GOAWAY with {code:?}");
                    self.is_told = true;
                }
                Incoming::Settings | Incoming::Pong { .. } => {}
                Incoming::Request { .. }
                | Incoming::TooLarge { .. }
                | Incoming::Malformed { .. }
                | Incoming::Refused { .. } => panic!("a server sends no requests"),
            }
        }
        self.fields = fields;
    }

    fn end(&mut self, stream: u32) {
        let ask = self.asks.remove(&stream).expect("an end of a request");
        let is_whole = (ask.came, ask.sent) == (ask.down, ask.up);
        assert!(is_whole || ask.is_spoiled, "a body is whole at its end");
        if ask.sent < ask.up {
            self.speaker.machine.reset(stream, ErrorCode::CANCEL);
        }
    }
}

impl Actor for Client {
    fn step(&mut self, net: &mut Net) -> Step {
        let Some(end) = self.end else {
            return match net.dial(LISTENER, address_of(self.number)) {
                Dialled::Connected(end) => {
                    self.end = Some(end);
                    Step::Moved
                }
                Dialled::Full => Step::Until(net.now + Duration::from_millis(1)),
                Dialled::Refused => panic!("the listener refuses a client"),
            };
        };
        if self.is_told {
            net.close(end);
            return Step::Over;
        }
        if self.left == 0 && self.asks.is_empty() && self.speaker.is_silent() {
            net.close(end);
            return Step::Over;
        }
        if self.speaker.rng.bool() && self.ask(net.now) {
            return Step::Moved;
        }
        let spoken = self.speaker.speak(net, end, |piece, outbox| {
            let ask = self.asks.get_mut(&piece.stream).expect("a piece of a request");
            outbox.extend(bytes(ask.number, ask.sent, piece.length as usize));
            ask.sent += piece.length as usize;
            assert!(!piece.ends_stream || ask.sent == ask.up, "a body ends where it ends");
        });
        match spoken {
            Spoken::Bytes => return Step::Moved,
            // The reason may still be read.
            Spoken::Lost => self.speaker.fall_silent(),
            Spoken::Nothing | Spoken::Blocked => {}
        }
        match self.speaker.read(net, end) {
            Ok(said) if !said.is_empty() => {
                self.hear(net.now, &said);
                Step::Moved
            }
            Ok(_) | Err(IoFault::Lost) => panic!("the connection ends with requests under way"),
            Err(IoFault::Blocked) if self.ask(net.now) || self.speaker.grant(self.asks.keys()) => Step::Moved,
            Err(IoFault::Blocked) => Step::Still,
        }
    }

    fn is_awaited(&self) -> bool {
        true
    }
}
