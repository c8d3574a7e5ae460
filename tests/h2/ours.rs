//! Our side of a connection: a server that sends back what it receives, or a client, over pipes in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::h2::connection::{Connection, ConnectionConfig, Incoming, NewRequest, NewResponse, Role};
use pollux::h2::encoder::{FieldBlock, Strings};
use pollux::h2::fields::{Fields, HeaderField};
use pollux::h2::frame::ErrorCode;

pub(crate) type Pipe = Rc<RefCell<VecDeque<u8>>>;

pub(crate) fn encode(lines: &[(&str, &str)]) -> FieldBlock {
    let mut out = FieldBlock::default();
    for (name, value) in lines {
        let field = HeaderField { name: name.as_bytes(), value: value.as_bytes(), is_secret: false };
        out.push(field, Strings::Short);
    }
    out
}

/// A stream of our side: what came, and what is to go back.
#[derive(Default)]
pub(crate) struct Lane {
    pub(crate) came: Vec<u8>,
    pub(crate) waiting: VecDeque<u8>,
    pub(crate) has_ended: bool,
    pub(crate) has_trailers: bool,
    pub(crate) is_sent: bool,
    pub(crate) is_answered: bool,
    pub(crate) reset: Option<u32>,
    /// Our client sends trailers behind its body.
    pub(crate) sends_trailers: bool,
    /// The field `x-long` of the request, which the response has as well.
    pub(crate) long: Vec<u8>,
    /// As our server is asked by the path.
    pub(crate) is_to_reset: bool,
}

/// Our side of a connection.
pub(crate) struct Ours {
    pub(crate) connection: Connection,
    pub(crate) is_server: bool,
    pub(crate) window: usize,
    pub(crate) lanes: BTreeMap<u32, Lane>,
    pub(crate) fields: Fields,
    pub(crate) from: Pipe,
    pub(crate) to: Pipe,
}

impl Ours {
    pub(crate) fn new(role: Role, rng: &mut Rng, from: &Pipe, to: &Pipe) -> Ours {
        // Never below the window that a client may use before it has our settings.
        let window = rng.choice([65_535, 70_000, 200_000]).unwrap();
        let config = ConnectionConfig {
            stream_window: window,
            window: rng.u32(65_535..400_000),
            ..ConnectionConfig::default()
        };
        let connection = Connection::new(role, Arc::new(config), Time::ZERO);
        let (from, to) = (Rc::clone(from), Rc::clone(to));
        let (lanes, fields) = (BTreeMap::new(), Fields::default());
        let is_server = role == Role::Server;
        Ours { connection, is_server, window: window as usize, lanes, fields, from, to }
    }

    pub(crate) fn turn(&mut self, rng: &mut Rng) {
        let count = rng.usize(0..=self.from.borrow().len().min(30_000));
        let bytes: Vec<u8> = self.from.borrow_mut().drain(..count).collect();
        let mut input = &bytes[..];
        while let Some(incoming) =
            self.connection.read(Time::ZERO, &mut input, &mut self.fields).expect("it keeps the rules")
        {
            note(&mut self.lanes, &incoming, self.is_server);
        }
        let streams: Vec<u32> = self.lanes.keys().copied().collect();
        for stream in streams {
            self.work(stream);
        }
        let most = rng.usize(1..60_000);
        while self.to.borrow().len() < most {
            if !self.connection.output().is_empty() {
                self.to.borrow_mut().extend(self.connection.output());
                self.connection.consume(usize::MAX);
            }
            let Some(piece) = self.connection.next_piece(Time::ZERO, 20_000) else { break };
            let lane = self.lanes.get_mut(&piece.stream).unwrap();
            self.to.borrow_mut().extend(piece.head);
            self.to.borrow_mut().extend(lane.waiting.drain(..piece.length as usize));
            lane.is_sent |= piece.ends_stream;
        }
        self.to.borrow_mut().extend(self.connection.output());
        self.connection.consume(usize::MAX);
    }

    fn work(&mut self, stream: u32) {
        let lane = self.lanes.get_mut(&stream).unwrap();
        if lane.reset.is_some() {
            return;
        }
        if lane.is_to_reset && lane.came.len() > 5000 {
            self.connection.reset(stream, ErrorCode::INTERNAL_ERROR);
            lane.reset = Some(ErrorCode::INTERNAL_ERROR.0);
            return;
        }
        if self.is_server && !std::mem::replace(&mut lane.is_answered, true) {
            let long = String::from_utf8(lane.long.clone()).unwrap();
            let block = encode(&[(":status", "200"), ("x-stream", &stream.to_string()), ("x-long", &long)]);
            let response = NewResponse { status: 200, block: &block, length: None, ends_stream: false };
            self.connection.respond(Time::ZERO, stream, response).unwrap();
        }
        if !lane.is_sent {
            let is_complete = if self.is_server { lane.has_ended } else { true };
            let trailers = if self.is_server { lane.has_trailers } else { lane.sends_trailers };
            if is_complete && trailers && lane.waiting.is_empty() {
                self.connection.trailers(Time::ZERO, stream, &encode(&[("x-sum", "1")])).unwrap();
                lane.is_sent = true;
            } else {
                let ends = is_complete && !trailers;
                self.connection.offer(Time::ZERO, stream, lane.waiting.len() as u32, ends).unwrap();
            }
        }
        let used = if self.is_server { lane.waiting.len() } else { 0 };
        self.connection.grant(stream, self.window.saturating_sub(used) as u32, self.window as u32);
    }
}

fn long_of(fields: &Fields) -> Option<Vec<u8>> {
    fields.iter().find(|field| field.name == b"x-long").map(|field| field.value.to_vec())
}

fn note(lanes: &mut BTreeMap<u32, Lane>, incoming: &Incoming<'_>, is_server: bool) {
    match *incoming {
        Incoming::Request { stream, head, ends_stream, fields, .. } => {
            let (is_to_reset, long) = (head.path == "/reset", long_of(fields).unwrap_or_default());
            lanes.insert(stream, Lane { has_ended: ends_stream, is_to_reset, long, ..Lane::default() });
        }
        Incoming::Response { stream, head, ends_stream, fields, .. } => {
            assert_eq!(head.status, 200);
            let lane = lanes.get_mut(&stream).unwrap();
            lane.has_ended = ends_stream;
            assert!(long_of(fields).is_none_or(|long| long == lane.long), "another field came back");
        }
        Incoming::Data { stream, bytes, .. } => {
            let lane = lanes.get_mut(&stream).unwrap();
            lane.came.extend_from_slice(bytes);
            if is_server {
                lane.waiting.extend(bytes);
            }
        }
        Incoming::End { stream, .. } => lanes.get_mut(&stream).unwrap().has_ended = true,
        Incoming::Trailers { stream, fields, .. } => {
            assert!(fields.iter().any(|field| field.name == b"x-sum"));
            let lane = lanes.get_mut(&stream).unwrap();
            (lane.has_ended, lane.has_trailers) = (true, true);
        }
        Incoming::Reset { stream, code, .. } => {
            lanes.get_mut(&stream).unwrap().reset = Some(code.0);
        }
        Incoming::Settings | Incoming::Pong { .. } | Incoming::GoAway { .. } => {}
        Incoming::TooLarge { .. } | Incoming::Malformed { .. } | Incoming::Refused { .. } => {
            panic!("{incoming:?}")
        }
    }
}

pub(crate) fn open(ours: &mut Ours, rng: &mut Rng) -> (u32, Vec<u8>) {
    let long = "v".repeat(rng.usize(0..300));
    let block = encode(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "h"),
        ("x-long", &long),
    ]);
    let body: Vec<u8> = (0..rng.usize(0..150_000)).map(|_| rng.u8(..)).collect();
    let sends_trailers = rng.bool();
    let length = (!sends_trailers).then_some(body.len() as u64);
    let request =
        NewRequest { block: &block, length, ends_stream: false, is_head: false, is_connect: false, token: 0 };
    let stream = ours.connection.open(Time::ZERO, request).unwrap();
    let waiting = body.iter().copied().collect();
    let long = long.into_bytes();
    ours.lanes.insert(stream, Lane { waiting, sends_trailers, long, ..Lane::default() });
    (stream, body)
}
