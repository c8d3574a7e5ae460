//! HTTP/2 connections between Pollux and other implementations: our server against their client, our client
//! against their server. Here it is the `h2` crate; `others.rs` has PyPI's h2 and nghttp2.
//!
//! Both are polled by hand, over pipes in memory that cut and delay; there is no runtime and no clock. The
//! bytes that one side sends come back from the other: heads, bodies, trailers and resets, in windows of many
//! sizes, the smallest of which are far smaller than the bodies.

mod hpack;
mod oracle;
mod others;
mod ours;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fastrand::Rng;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use ours::{Ours, Pipe, encode, open};
use pollux::core::time::Time;
use pollux::h2::connection::{Connection, ConnectionConfig, Incoming, NewRequest, NewResponse, Role};
use pollux::h2::encoder::FieldBlock;
use pollux::h2::fields::Fields;
use pollux::h2::frame::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Connections in a run.
const CONNECTIONS: u64 = 40;
/// Turns after which a connection hangs.
const TURNS_MAX: usize = 200_000;

/// The end of two pipes that the other implementation has.
struct Wire {
    from: Pipe,
    to: Pipe,
    /// Bytes that it may write in this turn.
    room: Rc<RefCell<usize>>,
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut from = self.from.borrow_mut();
        if from.is_empty() {
            return Poll::Pending;
        }
        let count = from.len().min(buffer.remaining());
        buffer.put_slice(&from.drain(..count).collect::<Vec<u8>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut room = self.room.borrow_mut();
        let count = bytes.len().min(*room);
        if count == 0 {
            return Poll::Pending;
        }
        *room -= count;
        self.to.borrow_mut().extend(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    trailers
}

/// The bytes that one of its streams sends.
struct Sender {
    stream: SendStream<Bytes>,
    waiting: VecDeque<u8>,
    /// Nothing is added to `waiting` any more.
    is_complete: bool,
    has_trailers: bool,
    is_sent: bool,
}

impl Sender {
    fn poll(&mut self, context: &mut Context<'_>) -> Result<(), h2::Error> {
        while !self.waiting.is_empty() {
            self.stream.reserve_capacity(self.waiting.len());
            let Poll::Ready(Some(capacity)) = self.stream.poll_capacity(context) else { return Ok(()) };
            let count = capacity?.min(self.waiting.len());
            if count == 0 {
                return Ok(());
            }
            let bytes: Vec<u8> = self.waiting.drain(..count).collect();
            self.stream.send_data(bytes.into(), false)?;
        }
        if self.is_complete && !self.is_sent {
            self.is_sent = true;
            if self.has_trailers {
                self.stream.send_trailers(trailers())?;
            } else {
                self.stream.send_data(Bytes::new(), true)?;
            }
        }
        Ok(())
    }
}

/// The bytes that one of its streams receives.
#[derive(Default)]
struct Receiver {
    stream: Option<RecvStream>,
    came: Vec<u8>,
    has_trailers: bool,
    has_ended: bool,
}

impl Receiver {
    fn poll(&mut self, context: &mut Context<'_>) -> Result<(), h2::Error> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while let Poll::Ready(data) = stream.poll_data(context) {
            let Some(data) = data else {
                if let Poll::Ready(trailers) = stream.poll_trailers(context) {
                    self.has_trailers = trailers?.is_some();
                    self.has_ended = true;
                }
                return Ok(());
            };
            let data = data?;
            self.came.extend_from_slice(&data);
            stream.flow_control().release_capacity(data.len())?;
        }
        Ok(())
    }
}

/// A request of its client.
struct Asked {
    response: Pin<Box<ResponseFuture>>,
    sender: Sender,
    receiver: Receiver,
    body: Vec<u8>,
    /// It gives up after so many bytes.
    leaves_at: Option<usize>,
    is_to_be_reset: bool,
    reason: Option<Reason>,
}

impl Asked {
    fn new(client: &mut SendRequest<Bytes>, rng: &mut Rng) -> Asked {
        let is_to_be_reset = rng.u8(0..6) == 0;
        let uri = if is_to_be_reset { "http://h/reset" } else { "http://h/" };
        let request = Request::post(uri).header("x-long", "v".repeat(rng.usize(0..300))).body(()).unwrap();
        let (response, stream) = client.send_request(request, false).unwrap();
        let length = rng.usize(0..150_000) + if is_to_be_reset { 6000 } else { 0 };
        let body: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
        let waiting = body.iter().copied().collect();
        let has_trailers = rng.bool();
        let sender = Sender { stream, waiting, is_complete: true, has_trailers, is_sent: false };
        let leaves_at = (!is_to_be_reset && length > 100 && rng.u8(0..6) == 0).then_some(length / 2);
        let (response, receiver) = (Box::pin(response), Receiver::default());
        Asked { response, sender, receiver, body, leaves_at, is_to_be_reset, reason: None }
    }

    fn is_over(&self) -> bool {
        self.reason.is_some() || (self.receiver.has_ended && self.sender.is_sent)
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if self.is_over() {
            return;
        }
        if self.receiver.stream.is_none()
            && let Poll::Ready(response) = self.response.as_mut().poll(context)
        {
            match response {
                Ok(response) => self.receiver.stream = Some(response.into_body()),
                Err(error) => self.reason = error.reason(),
            }
        }
        let result = self.sender.poll(context).and_then(|()| self.receiver.poll(context));
        if let Err(error) = result {
            self.reason = Some(error.reason().expect("the stream failed, not the connection"));
        } else if self.leaves_at.is_some_and(|at| self.receiver.came.len() >= at) {
            self.sender.stream.send_reset(Reason::CANCEL);
            self.reason = Some(Reason::CANCEL);
        }
    }
}

/// Lets `future` go on as far as it can.
fn step<T>(future: &mut Pin<Box<dyn Future<Output = T>>>, context: &mut Context<'_>) -> Option<T> {
    match future.as_mut().poll(context) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[test]
fn our_server_and_its_client() {
    let (mut whole, mut left, mut reset) = (0, 0, 0);
    for seed in 0..CONNECTIONS {
        let mut rng = Rng::with_seed(seed);
        let (up, down) = (Pipe::default(), Pipe::default());
        let mut ours = Ours::new(Role::Server, &mut rng, &up, &down);
        let room = Rc::new(RefCell::new(1 << 20));
        let wire = Wire { from: Rc::clone(&down), to: Rc::clone(&up), room: Rc::clone(&room) };
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(rng.choice([1000, 20_000, 65_535, 1 << 20]).unwrap());
        builder.initial_connection_window_size(rng.u32(65_535..1 << 20));
        builder.header_table_size(rng.choice([0, 100, 4096, 65_536]).unwrap());
        let mut context = Context::from_waker(Waker::noop());
        let mut handshake: Pin<Box<dyn Future<Output = _>>> = Box::pin(builder.handshake(wire));
        let (mut client, connection) = loop {
            ours.turn(&mut rng);
            if let Some(result) = step(&mut handshake, &mut context) {
                break result.expect("a handshake");
            }
        };
        let mut connection: Pin<Box<dyn Future<Output = _>>> = Box::pin(connection);
        let mut asked: Vec<Asked> =
            (0..rng.usize(1..20)).map(|_| Asked::new(&mut client, &mut rng)).collect();
        let mut turns = 0;
        while !asked.iter().all(Asked::is_over) || ours.connection.streams() > 0 {
            *room.borrow_mut() = rng.usize(0..40_000);
            assert!(step(&mut connection, &mut context).is_none(), "seed {seed}: the connection ended");
            asked.iter_mut().for_each(|asked| asked.poll(&mut context));
            ours.turn(&mut rng);
            turns += 1;
            assert!(turns < TURNS_MAX, "seed {seed} hangs");
        }
        for asked in asked {
            let sent = &asked.receiver.came;
            assert!(asked.body.starts_with(sent), "seed {seed}: other bytes came back");
            match asked.reason {
                None => {
                    assert_eq!(sent.len(), asked.body.len(), "seed {seed}: a body is cut");
                    assert_eq!(asked.receiver.has_trailers, asked.sender.has_trailers);
                    whole += 1;
                }
                Some(Reason::INTERNAL_ERROR) => {
                    assert!(asked.is_to_be_reset);
                    reset += 1;
                }
                Some(reason) => {
                    assert!(asked.leaves_at.is_some() && reason == Reason::CANCEL, "seed {seed}: {reason}");
                    left += 1;
                }
            }
        }
    }
    assert!(whole > 100 && left > 10 && reset > 10, "{whole} whole, {left} left, {reset} reset");
}

/// A request that its server answers.
struct Serving {
    sender: Sender,
    receiver: Receiver,
}

impl Serving {
    fn new(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Serving {
        let response = Response::builder().status(200).header("x-a", "b").body(()).unwrap();
        let stream = respond.send_response(response, false).unwrap();
        let waiting = VecDeque::new();
        let sender = Sender { stream, waiting, is_complete: false, has_trailers: false, is_sent: false };
        let receiver = Receiver { stream: Some(request.into_body()), ..Receiver::default() };
        Serving { sender, receiver }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Result<(), h2::Error> {
        let before = self.receiver.came.len();
        if !self.receiver.has_ended {
            self.receiver.poll(context)?;
        }
        self.sender.waiting.extend(&self.receiver.came[before..]);
        self.sender.is_complete = self.receiver.has_ended;
        self.sender.has_trailers = self.receiver.has_trailers;
        self.sender.poll(context)
    }
}

#[test]
fn our_client_and_its_server() {
    let (mut whole, mut given_up) = (0, 0);
    for seed in 0..CONNECTIONS {
        let mut rng = Rng::with_seed(1000 + seed);
        let (up, down) = (Pipe::default(), Pipe::default());
        let mut ours = Ours::new(Role::Client, &mut rng, &down, &up);
        let room = Rc::new(RefCell::new(1 << 20));
        let wire = Wire { from: Rc::clone(&up), to: Rc::clone(&down), room: Rc::clone(&room) };
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(rng.choice([1000, 20_000, 65_535, 1 << 20]).unwrap());
        builder.initial_connection_window_size(rng.u32(65_535..1 << 20));
        builder.max_concurrent_streams(rng.u32(1..20));
        let mut context = Context::from_waker(Waker::noop());
        let mut handshake: Pin<Box<dyn Future<Output = _>>> = Box::pin(builder.handshake::<_, Bytes>(wire));
        let mut server = loop {
            ours.turn(&mut rng);
            if let Some(result) = step(&mut handshake, &mut context) {
                break result.expect("a handshake");
            }
        };
        let (mut serving, mut bodies) = (Vec::<Serving>::new(), BTreeMap::new());
        let (mut to_open, mut turns) = (rng.usize(1..20), 0);
        while to_open > 0 || ours.connection.streams() > 0 {
            *room.borrow_mut() = rng.usize(0..40_000);
            while let Poll::Ready(accepted) = server.poll_accept(&mut context) {
                let (request, respond) = accepted.expect("it stays open").expect("we keep the rules");
                serving.push(Serving::new(request, respond));
            }
            serving.retain_mut(|it| it.poll(&mut context).is_ok() && !it.sender.is_sent);
            if to_open > 0 && ours.connection.free_streams() > 0 {
                to_open -= 1;
                let (stream, body) = open(&mut ours, &mut rng);
                bodies.insert(stream, body);
            }
            ours.turn(&mut rng);
            if rng.u8(..) == 0
                && let Some((stream, lane)) = ours.lanes.iter_mut().find(|(_, lane)| !lane.has_ended)
            {
                ours.connection.reset(*stream, ErrorCode::CANCEL);
                lane.reset.get_or_insert(ErrorCode::CANCEL.0);
            }
            turns += 1;
            assert!(turns < TURNS_MAX, "seed {seed} hangs");
        }
        for (stream, lane) in &ours.lanes {
            assert!(bodies[stream].starts_with(&lane.came), "seed {seed}: other bytes came back");
            if let Some(code) = lane.reset {
                // It refuses what we opened before we knew its bound.
                let is_refused = code == ErrorCode::REFUSED_STREAM.0 && lane.came.is_empty();
                assert!(is_refused || code == ErrorCode::CANCEL.0, "seed {seed}: {code}");
                given_up += 1;
            } else {
                assert_eq!(lane.came.len(), bodies[stream].len(), "seed {seed}: a body is cut");
                assert_eq!(lane.has_trailers, lane.sends_trailers);
                whole += 1;
            }
        }
    }
    assert!(whole > 100 && given_up > 5, "{whole} whole, {given_up} given up");
}

/// One GET with a body of 100 bytes in answer, between two machines of ours that are warm.
struct Warm {
    client: Connection,
    server: Connection,
    fields: Fields,
    bytes: Vec<u8>,
    request: FieldBlock,
    response: FieldBlock,
}

impl Warm {
    /// Passes the bytes of one side to the other one. Returns the stream that opens with them, if one does.
    fn pass(&mut self, from_client: bool) -> Option<u32> {
        let (from, to) = if from_client {
            (&mut self.client, &mut self.server)
        } else {
            (&mut self.server, &mut self.client)
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(from.output());
        from.consume(usize::MAX);
        while let Some(piece) = from.next_piece(Time::ZERO, 1 << 16) {
            self.bytes.extend_from_slice(&piece.head);
            self.bytes.resize(self.bytes.len() + piece.length as usize, b'x');
        }
        let (mut input, mut opened) = (&self.bytes[..], None);
        while let Some(incoming) = to.read(Time::ZERO, &mut input, &mut self.fields).unwrap() {
            if let Incoming::Request { stream, .. } = incoming {
                opened = Some(stream);
            }
        }
        opened
    }

    fn exchange(&mut self) {
        let request = NewRequest {
            block: &self.request,
            length: None,
            ends_stream: true,
            is_head: false,
            is_connect: false,
            token: 0,
        };
        self.client.open(Time::ZERO, request).unwrap();
        let stream = self.pass(true).expect("a request");
        let response =
            NewResponse { status: 200, block: &self.response, length: Some(100), ends_stream: false };
        self.server.respond(Time::ZERO, stream, response).unwrap();
        self.server.offer(Time::ZERO, stream, 100, true).unwrap();
        self.pass(false);
        self.client.grant(stream, 65_535, 65_535);
        self.pass(true);
    }
}

#[test]
fn requests_allocate_nothing_in_the_steady_state() {
    let config = Arc::new(ConnectionConfig::default());
    let mut warm = Warm {
        client: Connection::new(Role::Client, Arc::clone(&config), Time::ZERO),
        server: Connection::new(Role::Server, config, Time::ZERO),
        fields: Fields::default(),
        bytes: Vec::new(),
        request: encode(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h")]),
        response: encode(&[(":status", "200"), ("content-length", "100")]),
    };
    (0..1000).for_each(|_| warm.exchange());
    let counted = allocation_counter::measure(|| (0..1000).for_each(|_| warm.exchange()));
    assert_eq!(counted.count_total, 0, "allocations in a thousand requests");
    assert_eq!((warm.client.streams(), warm.server.streams()), (0, 0));
}
