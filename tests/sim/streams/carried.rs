//! A backend that speaks HTTP/2, by the machine of Pollux in its other role.

use std::collections::BTreeMap;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::h2::connection::{Connection, Incoming, NewResponse, Role};
use pollux::h2::fields::Fields;
use pollux::h2::frame::ErrorCode;
use pollux::os::IoFault;

use super::board::Board;
use super::speaker::{Speaker, Spoken, block_of};
use super::{bytes, wish_of};
use crate::actor::{Actor, Step};
use crate::end::EndId;
use crate::faults::chance;
use crate::net::Net;

/// A request, and the bytes that have passed.
struct Served {
    number: usize,
    up: usize,
    down: usize,
    came: usize,
    sent: usize,
    /// Bytes of the answer that were offered.
    offered: usize,
    is_whole: bool,
    has_head: bool,
    has_trailers: bool,
}

/// One connection of a backend.
pub(super) struct Carried {
    end: EndId,
    board: Board,
    speaker: Speaker,
    fields: Fields,
    served: BTreeMap<u32, Served>,
    /// So many requests have come.
    requests: usize,
    is_leaving: bool,
}

impl Carried {
    pub(super) fn new(end: EndId, board: Board, mut rng: Rng) -> Carried {
        let streams = rng.u32(1..=8);
        let speaker = Speaker::new(Role::Server, Some(streams), 64, rng);
        let (fields, served) = (Fields::default(), BTreeMap::new());
        Carried { end, board, speaker, fields, served, requests: 0, is_leaving: false }
    }

    fn hear(&mut self, now: Time, mut input: &[u8]) {
        let mut fields = std::mem::take(&mut self.fields);
        while let Some(incoming) =
            self.speaker.machine.read(now, &mut input, &mut fields).expect("frames by the rules")
        {
            match incoming {
                Incoming::Request { stream, head, ends_stream, .. } => {
                    assert_eq!((head.method, head.authority), ("POST", "h"));
                    let wish = wish_of(head.path);
                    self.take(stream, wish, ends_stream);
                }
                Incoming::Data { stream, bytes: data, .. } => {
                    let served = self.served.get_mut(&stream).expect("data of a request");
                    assert!(data.iter().copied().eq(bytes(served.number, served.came, data.len())));
                    served.came += data.len();
                }
                Incoming::End { stream, .. } => {
                    let served = self.served.get_mut(&stream).expect("the end of a request");
                    assert_eq!(served.came, served.up, "a request body is not whole");
                    served.is_whole = true;
                }
                Incoming::Reset { stream, .. } => drop(self.served.remove(&stream)),
                // The bound of streams was not known yet.
                Incoming::Refused { .. } => self.board.note_refused(),
                Incoming::Settings | Incoming::Pong { .. } | Incoming::GoAway { .. } => {}
                Incoming::Trailers { .. }
                | Incoming::Response { .. }
                | Incoming::TooLarge { .. }
                | Incoming::Malformed { .. } => panic!("a request that no client has made: {incoming:?}"),
            }
        }
        self.fields = fields;
    }

    fn take(&mut self, stream: u32, (number, up, down): (usize, usize, usize), is_whole: bool) {
        if self.board.refuses(number, &mut self.speaker.rng) {
            self.speaker.machine.reset(stream, ErrorCode::REFUSED_STREAM);
            return;
        }
        assert!(!is_whole || up == 0, "a request body is not whole");
        self.requests += 1;
        let (came, sent, offered) = (0, 0, 0);
        let (has_head, has_trailers) = (false, self.speaker.rng.bool());
        let served = Served { number, up, down, came, sent, offered, is_whole, has_head, has_trailers };
        self.served.insert(stream, served);
    }

    /// Goes on with one of the answers; false if all have to wait.
    fn answer(&mut self, now: Time) -> bool {
        let mut streams: Vec<u32> = self.served.keys().copied().collect();
        self.speaker.rng.shuffle(&mut streams);
        streams.into_iter().any(|stream| self.go_on_with(stream, now))
    }

    fn go_on_with(&mut self, stream: u32, now: Time) -> bool {
        let served = self.served.get_mut(&stream).expect("one of them");
        if !served.has_head {
            let is_early = !served.is_whole;
            if is_early && !chance(&mut self.speaker.rng, 10) {
                return false;
            }
            served.has_head = true;
            // An answer that is whole by its length ends the upload.
            let has_length = !is_early && !served.has_trailers && self.speaker.rng.bool();
            let length = has_length.then_some(served.down as u64);
            let ends_stream = served.down == 0 && !is_early && !served.has_trailers;
            head(&mut self.speaker.machine, now, stream, length, ends_stream);
            if ends_stream {
                self.served.remove(&stream);
            }
            return true;
        }
        let left = served.down - served.offered;
        if served.offered > served.sent || (left == 0 && !served.is_whole) {
            return false;
        }
        if left == 0 && served.has_trailers {
            self.speaker
                .machine
                .trailers(now, stream, &block_of([("x-sum", "1")]))
                .expect("trailers are due");
            self.served.remove(&stream);
            return true;
        }
        let more = if left == 0 { 0 } else { self.speaker.rng.usize(1..=left) };
        served.offered += more;
        let ends = more == left && served.is_whole && !served.has_trailers;
        self.speaker.machine.offer(now, stream, more as u32, ends).expect("a body is due");
        true
    }

    /// Spoils one of the requests, or all of them; true if that ends the connection.
    fn spoil(&mut self) -> bool {
        let nth = self.speaker.rng.usize(..=self.served.len());
        match self.served.keys().nth(nth).copied() {
            Some(stream) => {
                self.served.remove(&stream);
                self.speaker.machine.reset(stream, ErrorCode::INTERNAL_ERROR);
                false
            }
            None => true,
        }
    }

    fn leave(&mut self, net: &mut Net) -> Step {
        net.close(self.end);
        Step::Over
    }
}

fn head(machine: &mut Connection, now: Time, stream: u32, length: Option<u64>, ends_stream: bool) {
    let digits = length.map(|length| length.to_string());
    let status = Some((":status", "200"));
    let length_field = digits.as_deref().map(|digits| ("content-length", digits));
    let block = block_of(status.into_iter().chain(length_field));
    let response = NewResponse { status: 200, block: &block, length, ends_stream };
    machine.respond(now, stream, response).expect("a head is due");
}

impl Actor for Carried {
    fn step(&mut self, net: &mut Net) -> Step {
        if self.board.cuts(&mut self.speaker.rng) && self.spoil() {
            return self.leave(net);
        }
        if !self.is_leaving && self.board.leaves(self.requests, &mut self.speaker.rng) {
            self.is_leaving = true;
            self.speaker.machine.leave();
        }
        if self.speaker.rng.bool() && self.answer(net.now) {
            return Step::Moved;
        }
        let spoken = self.speaker.speak(net, self.end, |piece, outbox| {
            let served = self.served.get_mut(&piece.stream).expect("a piece of an answer");
            outbox.extend(bytes(served.number, served.sent, piece.length as usize));
            served.sent += piece.length as usize;
            if piece.ends_stream {
                assert_eq!(served.sent, served.down, "an answer ends where it ends");
                self.served.remove(&piece.stream);
            }
        });
        match spoken {
            Spoken::Bytes => return Step::Moved,
            Spoken::Lost => return self.leave(net),
            Spoken::Nothing if self.is_leaving && self.served.is_empty() => return self.leave(net),
            Spoken::Nothing | Spoken::Blocked => {}
        }
        match self.speaker.read(net, self.end) {
            Ok(said) if !said.is_empty() => {
                self.hear(net.now, &said);
                Step::Moved
            }
            Ok(_) | Err(IoFault::Lost) => self.leave(net),
            Err(IoFault::Blocked) if self.answer(net.now) || self.speaker.grant(self.served.keys()) => {
                Step::Moved
            }
            Err(IoFault::Blocked) => Step::Still,
        }
    }

    fn is_awaited(&self) -> bool {
        false
    }
}
