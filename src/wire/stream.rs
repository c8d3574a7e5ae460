//! A stream of an HTTP/2 connection as a wire: its exchange reads and writes the text of HTTP/1.1.
//!
//! The exchange holds a [`StreamWire`], and the connection that carries the stream holds a [`StreamHandle`]
//! of the same ends. Each read, write or close of the exchange is noted at the [`Carrier`], and the worker
//! serves that before the next poll.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::core::outcome::Cause;
use crate::core::slab::Key;
use crate::h2::bridge::{Inward, Outward, Unread};
use crate::os::{Fd, IoFault};

/// The keys of connections whose streams their exchanges have touched.
pub type Touched = Rc<RefCell<Vec<Key>>>;

/// A connection that carries streams, as they know it.
#[derive(Debug)]
pub struct Carrier {
    fd: Fd,
    key: Key,
    streams: RefCell<Vec<u32>>,
    touched: Touched,
    /// It is being served, and looks for touched streams itself.
    is_served: Cell<bool>,
}

impl Carrier {
    /// The connection of `key`, over the socket `fd`, to be named in `touched`.
    #[must_use]
    pub fn new(fd: Fd, key: Key, touched: Touched) -> Carrier {
        Carrier { fd, key, streams: RefCell::default(), touched, is_served: Cell::new(false) }
    }

    /// The key of the connection.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// The streams that were touched since the last call are appended to `streams`.
    pub fn take(&self, streams: &mut Vec<u32>) {
        streams.append(&mut self.streams.borrow_mut());
    }

    /// Whether a stream was touched.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        !self.streams.borrow().is_empty()
    }

    /// Takes note that the connection is being served, or no more. If streams were touched that it has not looked
    /// at, it is served again before the next poll.
    pub fn serve(&self, is_served: bool) {
        self.is_served.set(is_served);
        if self.is_touched() {
            self.call();
        }
    }

    /// Gives memory back while nothing happens.
    pub fn rest(&self) {
        self.streams.borrow_mut().shrink_to_fit();
    }

    fn call(&self) {
        if !self.is_served.get() {
            self.touched.borrow_mut().push(self.key);
        }
    }
}

/// The state of the end that the exchange holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The exchange is under way.
    Held,
    /// It was closed: the response is whole.
    Closed,
    /// It was reset: the response is not whole.
    Reset,
}

/// The progress of the connection to a backend that carries a stream, as the exchange sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is being made.
    Awaited,
    /// Bytes can pass.
    Stands,
    /// It speaks HTTP/1.1, and carries no streams.
    Http1,
    /// It could not be made.
    Failed(Cause),
}

/// Both directions of a stream.
#[derive(Debug)]
struct Ends {
    number: u32,
    carrier: Rc<Carrier>,
    inward: RefCell<Inward>,
    outward: RefCell<Outward>,
    hold: Cell<Hold>,
    /// The exchange was told that there is no room.
    is_blocked: Cell<bool>,
    /// The carrier knows that it was touched.
    is_noted: Cell<bool>,
    standing: Cell<Standing>,
    /// The peer has proved that it has not processed the request.
    is_refused: Cell<bool>,
    /// Why the backend can be asked no such request.
    unaskable: Cell<Option<Cause>>,
}

impl Ends {
    fn new(number: u32, carrier: &Rc<Carrier>, inward: Inward, outward: Outward) -> Ends {
        Ends {
            number,
            carrier: Rc::clone(carrier),
            inward: RefCell::new(inward),
            outward: RefCell::new(outward),
            hold: Cell::new(Hold::Held),
            is_blocked: Cell::new(false),
            is_noted: Cell::new(false),
            standing: Cell::new(Standing::Stands),
            is_refused: Cell::new(false),
            unaskable: Cell::new(None),
        }
    }

    /// Its memory, in bytes.
    fn cost(&self) -> usize {
        size_of::<Ends>() + self.inward.borrow().capacity() + self.outward.borrow().capacity()
    }

    fn touch(&self) {
        if !self.is_noted.replace(true) {
            let mut streams = self.carrier.streams.borrow_mut();
            if streams.is_empty() {
                self.carrier.call();
            }
            streams.push(self.number);
        }
    }
}

/// The end of the exchange.
#[derive(Debug)]
pub struct StreamWire(Rc<Ends>);

/// The end of the connection.
#[derive(Clone, Debug)]
pub struct StreamHandle(Rc<Ends>);

fn both_ends(ends: Rc<Ends>) -> (StreamWire, StreamHandle) {
    (StreamWire(Rc::clone(&ends)), StreamHandle(ends))
}

/// The memory of streams that are over, for the next ones of a worker.
#[derive(Debug, Default)]
pub struct SpareStreams {
    ends: Vec<Rc<Ends>>,
    /// The bytes that all of them hold.
    held: usize,
    /// The fewest since the last look: so many were not needed.
    fewest: usize,
}

impl SpareStreams {
    /// So many bytes are kept at most.
    pub const HELD_MAX: usize = 2 * 1024 * 1024;

    /// A stream that begins: its two ends.
    #[must_use]
    pub fn begin(
        &mut self,
        number: u32,
        carrier: &Rc<Carrier>,
        mut inward: Inward,
        mut outward: Outward,
    ) -> (StreamWire, StreamHandle) {
        let spare = self.ends.pop();
        self.fewest = self.fewest.min(self.ends.len());
        if let Some(mut spare) = spare {
            self.held -= spare.cost();
            // No other one refers to what is kept.
            if let Some(last) = Rc::get_mut(&mut spare) {
                inward.take_memory(last.inward.get_mut());
                outward.take_memory(last.outward.get_mut());
                *last = Ends::new(number, carrier, inward, outward);
                return both_ends(spare);
            }
        }
        both_ends(Rc::new(Ends::new(number, carrier, inward, outward)))
    }

    /// Keeps the memory of a stream that is over, unless its exchange still has the other end, or enough is kept.
    pub fn keep(&mut self, handle: StreamHandle) {
        let StreamHandle(mut ends) = handle;
        let cost = ends.cost();
        if Rc::get_mut(&mut ends).is_some() && self.held + cost <= SpareStreams::HELD_MAX {
            self.held += cost;
            self.ends.push(ends);
        }
    }

    /// Whether memory is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Gives back what was not needed since the last call.
    pub fn tidy(&mut self) {
        let unneeded = self.ends.drain(..self.fewest.min(self.ends.len()));
        self.held -= unneeded.map(|ends| ends.cost()).sum::<usize>();
        self.fewest = self.ends.len();
    }
}

impl StreamWire {
    /// The socket of the connection that carries the stream. It is not the exchange's to poll or to close.
    pub(super) fn fd(&self) -> Fd {
        self.0.carrier.fd
    }

    /// Whether the connection of that key carries it.
    #[must_use]
    pub fn is_of(&self, carrier: Key) -> bool {
        self.0.carrier.key == carrier
    }

    /// The progress of the connection that carries it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.standing.get()
    }

    /// Whether the backend has proved that it has not processed the request (RFC 9113 §8.7).
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.0.is_refused.get()
    }

    /// Why the backend can be asked no such request, of which nothing has gone out, if so.
    #[must_use]
    pub fn unaskable(&self) -> Option<Cause> {
        self.0.unaskable.get()
    }

    /// Whether the peer has given the stream up, or the connection is lost.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.0.inward.borrow().is_reset()
    }

    pub(super) fn has_more(&self) -> bool {
        self.0.inward.borrow().has_more()
    }

    pub(super) fn read(&self, room: &mut [u8]) -> Result<usize, IoFault> {
        let read = self.0.inward.borrow_mut().read(room).map_err(|unread| match unread {
            Unread::Blocked => IoFault::Blocked,
            Unread::Lost => IoFault::Lost,
        });
        if read.is_ok() {
            self.0.touch();
        }
        read
    }

    pub(super) fn write(&self, head: &[u8], body: &[u8]) -> Result<usize, IoFault> {
        if self.0.inward.borrow().is_reset() {
            return Err(IoFault::Lost);
        }
        let count = self.0.outward.borrow_mut().write(head, body);
        if count < head.len() + body.len() {
            self.0.is_blocked.set(true);
        }
        if count == 0 && !(head.is_empty() && body.is_empty()) {
            return Err(IoFault::Blocked);
        }
        self.0.touch();
        Ok(count)
    }

    pub(super) fn finish(&self) {
        self.0.outward.borrow_mut().finish();
        self.0.touch();
    }

    pub(super) fn let_go(self, hold: Hold) {
        if hold == Hold::Closed {
            self.0.outward.borrow_mut().finish();
        }
        self.0.hold.set(hold);
        self.0.touch();
    }
}

impl StreamHandle {
    /// Does something with the words of the peer.
    pub fn inward<T>(&self, act: impl FnOnce(&mut Inward) -> T) -> T {
        act(&mut self.0.inward.borrow_mut())
    }

    /// Does something with the words of the exchange.
    pub fn outward<T>(&self, act: impl FnOnce(&mut Outward) -> T) -> T {
        act(&mut self.0.outward.borrow_mut())
    }

    /// The memory of what waits in both directions, in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.inward.borrow().capacity() + self.0.outward.borrow().capacity()
    }

    /// The state of the exchange's end. The next touch is noted again.
    #[must_use]
    pub fn look(&self) -> Hold {
        self.0.is_noted.set(false);
        self.0.hold.get()
    }

    /// Tells the exchange the progress of the connection.
    pub fn stand(&self, standing: Standing) {
        self.0.standing.set(standing);
    }

    /// Tells the exchange that the backend has not processed the request.
    pub fn refuse(&self) {
        self.0.is_refused.set(true);
        self.inward(Inward::reset);
    }

    /// Tells the exchange that the backend can be asked no such request.
    pub fn turn_down(&self, cause: Cause) {
        self.0.unaskable.set(Some(cause));
        self.inward(Inward::reset);
    }

    /// Whether the exchange waits for room that there is now.
    #[must_use]
    pub fn take_blocked(&self) -> bool {
        self.0.is_blocked.replace(false)
    }
}
