//! The network: every connection with its two ends, the sockets at which Pollux listens, the hosts at which
//! backends do, and the clock. The kernel uses it for the worker, the actors use it directly.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::interest::Ready;
use pollux::core::time::Time;
use pollux::os::{ConnectFault, IoFault};
use pollux::snapshot::Address;

use crate::ambient;
use crate::backend_faults::{BackendFaults, Condition};
use crate::end::{Breach, Connect, End, EndId};
use crate::faults::{Fate, Fates, Faults, log_uniform};
use crate::idler;
use crate::trace::{Deed, Event, Trace};

/// Clients that may wait at a listening socket.
const BACKLOG: usize = 8;

/// The error of a RST in SO_ERROR: not one of the faults that have a name of their own.
const RESET: ConnectFault = ConnectFault::Unreachable;

/// A listening socket of the worker.
#[derive(Debug, Default)]
struct ListeningSocket {
    backlog: VecDeque<(EndId, SocketAddr)>,
    closed: bool,
    /// The queue takes no new connection.
    shut: bool,
}

/// The decision of the network about a pending connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Stands,
    StandsThenReset,
    Refused,
}

/// A connect whose verdict is due later.
#[derive(Clone, Copy, Debug)]
struct Undecided {
    at: Time,
    end: EndId,
    host: usize,
    verdict: Verdict,
}

/// The result of a client's attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialled {
    Connected(EndId),
    /// The backlog is full: try again later.
    Full,
    /// The listening socket is closed.
    Refused,
}

/// The effect of a close on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    Fin,
    /// Bytes lay unread, so the kernel sends a RST.
    Rst,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) trace: Trace,
    rng: Rng,
    capacity: RangeInclusive<usize>,
    fates: Fates,
    backend_faults: Option<Rc<BackendFaults>>,
    /// Whether no client may wait long in a queue, because other clients can make room.
    has_idlers: bool,
    ends: Vec<End>,
    sockets: Vec<ListeningSocket>,
    hosts: Vec<Address>,
    undecided: Vec<Undecided>,
    arrivals: Vec<(usize, EndId)>,
    /// Ends of the worker that have got a RST for bytes that were written behind the other side's FIN, of
    /// which the worker had been told.
    pub(crate) in_vain: Vec<EndId>,
}

impl Net {
    pub(crate) fn new(faults: &Faults, hosts: Vec<Address>, rng: Rng, trace: Trace) -> Net {
        Net {
            now: Time::ZERO,
            trace,
            rng,
            capacity: faults.capacity.clone(),
            fates: faults.fates.clone(),
            backend_faults: faults.backend_faults.clone(),
            has_idlers: faults.idlers > 0,
            ends: Vec::new(),
            sockets: Vec::new(),
            hosts,
            undecided: Vec::new(),
            arrivals: Vec::new(),
            in_vain: Vec::new(),
        }
    }

    pub(crate) fn log(&mut self, event: Event) {
        self.trace.log(self.now, event);
    }

    pub(crate) fn end(&self, id: EndId) -> &End {
        &self.ends[id.0]
    }

    pub(crate) fn end_mut(&mut self, id: EndId) -> &mut End {
        &mut self.ends[id.0]
    }

    pub(crate) fn readiness(&self, id: EndId) -> Ready {
        self.end(id).readiness(self.end(id.peer()))
    }

    /// A new connection; the id is that of the worker's side.
    fn pair(&mut self, connect: Connect) -> EndId {
        let near = EndId(self.ends.len());
        for connect in [connect, Connect::Known] {
            let capacity = log_uniform(&mut self.rng, &self.capacity);
            self.ends.push(End::new(capacity, connect));
        }
        near
    }
}

/// The clock and what it brings about.
impl Net {
    /// When the network itself will do something next.
    pub(crate) fn next_event(&self) -> Option<Time> {
        self.undecided.iter().map(|one| one.at).min()
    }

    /// Moves the clock and decides the connects that are due.
    pub(crate) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        ambient::advance(self.now);
        while let Some(place) = self.undecided.iter().position(|one| one.at <= self.now) {
            let due = self.undecided.swap_remove(place);
            self.decide(due);
        }
    }

    fn decide(&mut self, mut due: Undecided) {
        match self.mood_of(due.host) {
            Condition::Dead => due.verdict = Verdict::Refused,
            Condition::Hole => return,
            Condition::Well | Condition::Hung | Condition::Slow(_) => {}
        }
        self.end_mut(due.end).connect = Connect::Decided;
        match due.verdict {
            Verdict::Stands => self.arrive(due.host, due.end),
            Verdict::StandsThenReset => self.end_mut(due.end).breach = Breach::Untold(RESET),
            Verdict::Refused => self.end_mut(due.end).breach = Breach::Untold(ConnectFault::Refused),
        }
    }

    fn arrive(&mut self, host: usize, near: EndId) {
        self.log(Event::Far { end: near, deed: Deed::Arrived { host } });
        self.arrivals.push((host, near.peer()));
    }

    /// The next connection that a backend has to take, with the host at which it came in.
    pub(crate) fn next_arrival(&mut self) -> Option<(usize, EndId)> {
        self.arrivals.pop()
    }
}

/// Doors: where clients come in.
impl Net {
    pub(crate) fn open_socket(&mut self) -> usize {
        self.sockets.push(ListeningSocket::default());
        self.sockets.len() - 1
    }

    pub(crate) fn shut_socket(&mut self, socket: usize) {
        self.sockets[socket].shut = true;
    }

    pub(crate) fn close_socket(&mut self, socket: usize) {
        let socket = &mut self.sockets[socket];
        socket.closed = true;
        for (near, _) in std::mem::take(&mut socket.backlog) {
            self.abort(near);
        }
    }

    pub(crate) fn someone_waits(&self, socket: usize) -> bool {
        !self.sockets[socket].backlog.is_empty()
    }

    pub(crate) fn let_in(&mut self, socket: usize) -> Option<(EndId, SocketAddr)> {
        let (end, from) = self.sockets[socket].backlog.pop_front()?;
        let now = self.now;
        let near = self.end_mut(end);
        near.let_in = Some(now);
        let waited = near.dialled.map_or(Duration::ZERO, |dialled| now.since(dialled));
        assert!(!self.has_idlers || waited <= idler::WAIT_MAX, "a newcomer waited for {waited:?}");
        Some((end, from))
    }

    /// A client connects.
    pub(crate) fn dial(&mut self, socket: usize, from: SocketAddr) -> Dialled {
        // A dropped client tries again later, and finds the socket closed: the result is the same.
        if self.sockets[socket].closed || self.sockets[socket].shut {
            return Dialled::Refused;
        }
        if self.sockets[socket].backlog.len() == BACKLOG {
            return Dialled::Full;
        }
        let near = self.pair(Connect::Known);
        self.sockets[socket].backlog.push_back((near, from));
        self.end_mut(near).dialled = Some(self.now);
        self.log(Event::Far { end: near, deed: Deed::Dialled });
        Dialled::Connected(near.peer())
    }
}

/// Connects of the worker.
impl Net {
    pub(crate) fn host_at(&self, address: &Address) -> usize {
        let place = self.hosts.iter().position(|host| host == address);
        place.unwrap_or_else(|| panic!("the worker connects to {address}, which is nobody's"))
    }

    /// Begins a connection to `host`; the end's [`Connect`] says whether it stands already.
    pub(crate) fn connect(&mut self, host: usize) -> Result<EndId, ConnectFault> {
        let unix = matches!(self.hosts[host], Address::Unix(_));
        let fate = match self.mood_of(host) {
            Condition::Dead if self.rng.bool() => Fate::RefusedAtOnce,
            Condition::Dead => Fate::Refused,
            Condition::Hole => Fate::Unanswered,
            Condition::Well | Condition::Hung | Condition::Slow(_) => self.fates.draw(unix, &mut self.rng),
        };
        match fate {
            Fate::StandsAtOnce => {
                let near = self.pair(Connect::Known);
                self.arrive(host, near);
                Ok(near)
            }
            Fate::Stands => Ok(self.pend(host, Verdict::Stands)),
            Fate::StandsThenReset => Ok(self.pend(host, Verdict::StandsThenReset)),
            Fate::Refused => Ok(self.pend(host, Verdict::Refused)),
            Fate::Unanswered => Ok(self.pair(Connect::Undecided)),
            Fate::RefusedAtOnce => Err(ConnectFault::Refused),
            Fate::Unreachable => Err(ConnectFault::Unreachable),
            Fate::Busy => Err(ConnectFault::Busy),
        }
    }

    fn mood_of(&self, host: usize) -> Condition {
        self.backend_faults
            .as_ref()
            .map_or(Condition::Well, |backend_faults| backend_faults.at(host, self.now).1)
    }

    fn pend(&mut self, host: usize, verdict: Verdict) -> EndId {
        let end = self.pair(Connect::Undecided);
        let at = self.now + Duration::from_micros(self.rng.u64(1..20_000));
        self.undecided.push(Undecided { at, end, host, verdict });
        end
    }
}

/// The system calls that either owner of an end can make.
impl Net {
    pub(crate) fn read(&mut self, id: EndId, room: &mut [u8]) -> Result<usize, IoFault> {
        let end = self.end_mut(id);
        if !end.inbox.is_empty() {
            let count = end.take(room);
            self.trace.log_bytes((id, false), &room[..count]);
            return Ok(count);
        }
        if end.ended {
            end.end_known = true;
            return Ok(0);
        }
        if end.take_error().is_some() {
            return Err(IoFault::Lost);
        }
        if end.is_broken() { Ok(0) } else { Err(IoFault::Blocked) }
    }

    pub(crate) fn write(&mut self, id: EndId, bytes: &[u8]) -> Result<usize, IoFault> {
        let end = self.end_mut(id);
        if end.is_broken() || end.finished {
            end.take_error();
            return Err(IoFault::Lost);
        }
        let peer = self.end_mut(id.peer());
        if peer.closed {
            // The send buffer takes the bytes; the other kernel answers them with a RST.
            let end = self.end_mut(id);
            end.breach = Breach::Untold(RESET);
            end.unacknowledged = bytes.len();
            if end.end_known {
                self.in_vain.push(id);
            }
            self.trace.log_bytes((id, true), bytes);
            return Ok(bytes.len());
        }
        let taken = bytes.len().min(peer.room());
        peer.inbox.extend(&bytes[..taken]);
        self.trace.log_bytes((id, true), &bytes[..taken]);
        if taken == 0 && !bytes.is_empty() { Err(IoFault::Blocked) } else { Ok(taken) }
    }

    /// The bytes that `id` writes next come only just after those that it has written.
    pub(crate) fn pause(&mut self, id: EndId) {
        let peer = self.end_mut(id.peer());
        peer.seam = Some(peer.inbox.len()).filter(|seam| *seam > 0);
    }

    /// A FIN behind the bytes already written.
    pub(crate) fn finish(&mut self, id: EndId) {
        let end = self.end_mut(id);
        end.finished = true;
        if !end.is_broken() {
            self.end_mut(id.peer()).ended = true;
        }
    }

    pub(crate) fn close(&mut self, id: EndId) -> Closing {
        if !self.end(id).inbox.is_empty() {
            self.abort(id);
            return Closing::Rst;
        }
        self.finish(id);
        self.end_mut(id).closed = true;
        self.undecided.retain(|one| one.end != id);
        Closing::Fin
    }

    /// Closes with a RST. Bytes on their way to the peer can be lost, and with it a FIN of which
    /// nobody knows yet.
    pub(crate) fn abort(&mut self, id: EndId) {
        self.undecided.retain(|one| one.end != id);
        let end = self.end_mut(id);
        end.inbox.clear();
        end.closed = true;
        if end.is_broken() {
            return;
        }
        let loses = self.rng.bool();
        let peer = &mut self.ends[id.peer().0];
        let arrived = self.rng.usize(..=peer.inbox.len());
        if loses && arrived < peer.inbox.len() && !peer.end_known {
            peer.inbox.truncate(arrived);
            peer.ended = false;
        }
        if !peer.is_broken() && !peer.closed {
            peer.breach = Breach::Untold(RESET);
        }
    }
}
