//! A backend that costs next to nothing, so that a measurement shows the proxy in front of it.
//!
//! One thread, level-triggered epoll, and a response that is rendered once per size. It reads a request only
//! as far as it must: the target (`/size/N` asks for N bytes, any other for `--body` bytes), where the body
//! ends, and whether the connection stays. A request's body is counted and thrown away, and its response
//! follows the last of its bytes. It is no model of an HTTP server: a chunked request is refused with 501.
//!
//! Invariant: a connection waits either to be read or to be written, never for both. While a response is
//! unsent no further request is read, so a client that does not read cannot make the backend hold more than
//! one read's worth.

mod addresses;

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use clap::Parser;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;

const READ_BYTES: usize = 64 * 1024;
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
const CACHED_SIZES_MAX: usize = 16;
const EVENTS_PER_WAIT: usize = 256;
/// The first listener; the others count down from it, and connections count up from 0.
const LISTENER: u64 = u64::MAX;
const LISTENERS_MAX: u16 = 8192;

/// The command line of `lean-backend`.
#[derive(Parser)]
struct Options {
    /// The address to listen at; port 0 asks the kernel for a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The number of bytes of a response's body.
    #[arg(long, default_value_t = 100)]
    body: usize,
    /// On how many addresses to listen, with the same port: that one and those that follow it. To a proxy
    /// they are as many backends.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(LISTENERS_MAX)))]
    addresses: u16,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let mut server = Server::bind(&options)?;
    let address = server.listeners[0].local_addr()?.as_socket().unwrap_or(options.listen);
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()?;
    server.run()
}

struct Server {
    epoll: Epoll,
    listeners: Vec<Socket>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    responses: Responses,
}

impl Server {
    fn bind(options: &Options) -> io::Result<Server> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let listeners = addresses::listen_on(options.listen, options.addresses)?;
        for (number, listener) in (0..).zip(&listeners) {
            epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER - number))?;
        }
        let responses = Responses { body: options.body.min(BODY_BYTES_MAX), rendered: HashMap::new() };
        Ok(Server { epoll, listeners, connections: Vec::new(), free: Vec::new(), responses })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = vec![EpollEvent::empty(); EVENTS_PER_WAIT];
        let mut scratch = vec![0; READ_BYTES];
        loop {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                outcome => outcome?,
            };
            for event in events.iter().take(ready) {
                let number = usize::try_from(LISTENER - event.data()).unwrap_or(usize::MAX);
                match usize::try_from(event.data()) {
                    Ok(slot) if number >= self.listeners.len() => self.drive(slot, &mut scratch),
                    _ => self.accept(number),
                }
            }
        }
    }

    /// Takes one connection; epoll reports the listener again while more of them wait.
    fn accept(&mut self, listener: usize) {
        let Ok((socket, _)) = self.listeners[listener].accept() else { return };
        if socket.set_nonblocking(true).is_err() || socket.set_tcp_nodelay(true).is_err() {
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let added = self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, slot as u64));
        match (added, self.connections.get_mut(slot)) {
            (Ok(()), Some(place)) => *place = Some(Connection::new(socket)),
            _ => self.free.push(slot),
        }
    }

    fn drive(&mut self, slot: usize, scratch: &mut [u8]) {
        // An event for a connection that ended earlier in this batch finds its slot empty, or finds
        // a newcomer for whom it is one needless read.
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return };
        let waited_for = connection.waits_for();
        let stays = connection.drive(scratch, &mut self.responses);
        let waits_for = connection.waits_for();
        if stays && waits_for != waited_for {
            let mut event = EpollEvent::new(waits_for, slot as u64);
            if self.epoll.modify(&connection.socket, &mut event).is_ok() {
                return;
            }
        } else if stays {
            return;
        }
        // Closing the socket takes it out of the epoll set.
        self.connections[slot] = None;
        self.free.push(slot);
    }
}

/// Rendered responses by body size and by whether the connection ends; each is head and body in one piece.
struct Responses {
    body: usize,
    rendered: HashMap<(usize, bool), Response>,
}

#[derive(Clone)]
struct Response {
    bytes: Rc<[u8]>,
    head_len: usize,
}

impl Responses {
    fn for_request(&mut self, request: &Request<'_>) -> Response {
        let asked = request.target.strip_prefix(b"/size/").and_then(decimal);
        let size = asked.unwrap_or(self.body).min(BODY_BYTES_MAX);
        let key = (size, request.closes);
        if self.rendered.len() >= CACHED_SIZES_MAX && !self.rendered.contains_key(&key) {
            self.rendered.clear();
        }
        self.rendered.entry(key).or_insert_with(|| render(size, request.closes)).clone()
    }
}

/// The end of a connection is announced, for the clients that a blind relay puts right in front of this
/// backend.
fn render(size: usize, closes: bool) -> Response {
    let ending = if closes { "Connection: close\r\n" } else { "" };
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{ending}Content-Length: {size}\r\n\r\n");
    let body = (b'a'..=b'z').cycle().take(size);
    Response { head_len: head.len(), bytes: head.bytes().chain(body).collect() }
}

struct Connection {
    socket: Socket,
    /// Bytes of a request head that has not arrived whole.
    partial: Vec<u8>,
    /// Bytes of a request body still to be read and thrown away.
    body_left: usize,
    /// The response to the request whose body is being read.
    owed: Option<Piece>,
    unsent: VecDeque<Piece>,
    closing: bool,
}

/// The part of a response that is still to be sent.
struct Piece {
    bytes: Rc<[u8]>,
    sent: usize,
    len: usize,
}

impl Connection {
    fn new(socket: Socket) -> Connection {
        Connection {
            socket,
            partial: Vec::new(),
            body_left: 0,
            owed: None,
            unsent: VecDeque::new(),
            closing: false,
        }
    }

    fn waits_for(&self) -> EpollFlags {
        if self.unsent.is_empty() { EpollFlags::EPOLLIN } else { EpollFlags::EPOLLOUT }
    }

    /// Does what can be done now; says whether the connection stays.
    fn drive(&mut self, scratch: &mut [u8], responses: &mut Responses) -> bool {
        if self.unsent.is_empty() {
            let count = match self.socket.read(scratch) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) => return is_passing(&error),
            };
            if !self.take(scratch.get(..count).unwrap_or_default(), responses) {
                return false;
            }
        }
        match self.flush() {
            Ok(()) => !(self.closing && self.owed.is_none() && self.unsent.is_empty()),
            Err(error) => is_passing(&error),
        }
    }

    /// Takes what was read; false when it can be no request that this backend serves.
    fn take(&mut self, bytes: &[u8], responses: &mut Responses) -> bool {
        if self.partial.is_empty() {
            let taken = self.answer_all(bytes, responses);
            self.partial.extend_from_slice(bytes.get(taken..).unwrap_or_default());
        } else {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            let taken = self.answer_all(&joined, responses);
            joined.drain(..taken);
            self.partial = joined;
        }
        self.partial.len() <= HEAD_BYTES_MAX + READ_BYTES
    }

    /// Queues a response per whole request; returns how many bytes are done with.
    fn answer_all(&mut self, bytes: &[u8], responses: &mut Responses) -> usize {
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let skipped = self.body_left.min(rest.len());
            self.body_left -= skipped;
            taken += skipped;
            let rest = rest.get(skipped..).unwrap_or_default();
            if self.body_left > 0 {
                return taken;
            }
            self.unsent.extend(self.owed.take());
            if self.closing {
                return bytes.len();
            }
            let Some(head_len) = head_len(rest) else { return taken };
            self.answer(rest.get(..head_len).unwrap_or_default(), responses);
            taken += head_len;
        }
    }

    fn answer(&mut self, head: &[u8], responses: &mut Responses) {
        let request = Request::of(head);
        self.closing = request.closes || request.chunked;
        if request.chunked {
            let refusal: &[u8] =
                b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            self.owed = Some(Piece { bytes: Rc::from(refusal), sent: 0, len: refusal.len() });
            return;
        }
        self.body_left = request.body_len;
        let Response { bytes, head_len } = responses.for_request(&request);
        let len = if request.is_head { head_len } else { bytes.len() };
        self.owed = Some(Piece { bytes, sent: 0, len });
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(piece) = self.unsent.front_mut() {
            piece.sent += self.socket.write(piece.bytes.get(piece.sent..piece.len).unwrap_or_default())?;
            if piece.sent == piece.len {
                self.unsent.pop_front();
            }
        }
        Ok(())
    }
}

/// The part of a request that the backend needs.
struct Request<'a> {
    target: &'a [u8],
    is_head: bool,
    closes: bool,
    chunked: bool,
    body_len: usize,
}

impl<'a> Request<'a> {
    fn of(head: &'a [u8]) -> Request<'a> {
        let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let mut words = lines.next().unwrap_or_default().split(|&byte| byte == b' ');
        let is_head = words.next() == Some(b"HEAD".as_slice());
        let target = words.next().unwrap_or_default();
        let closes = words.next() == Some(b"HTTP/1.0".as_slice());
        let mut request = Request { target, is_head, closes, chunked: false, body_len: 0 };
        for line in lines {
            request.note(line);
        }
        request
    }

    fn note(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            self.body_len = decimal(value).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.closes |= value.eq_ignore_ascii_case(b"close");
        }
    }
}

fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|start| start + 4)
}

fn decimal(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether a failed read or write only means "not now".
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
