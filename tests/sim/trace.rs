//! The last events of a run, for the report of a failure. An event is small and is put into words only if it
//! is asked for.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use pollux::core::delivery::Delivery;
use pollux::core::interest::{Interest, Ready};
use pollux::core::time::Time;
use pollux::os::{AcceptFault, ConnectFault, Fd, IoFault};

use crate::end::EndId;

/// The number of events that a report shows, unless the whole trace was asked for.
const RING: usize = 80;

/// An event, as the kernel sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Poll { watches: usize, timeout: Option<Duration> },
    Reported { fd: Fd, want: Interest, got: Ready },
    TimedOut,
    Park { fd: Fd, want: Interest, works: bool },
    Woke { fd: Fd, got: Ready },
    Interrupted,
    Accept { listener: Fd, result: Result<(Fd, EndId), AcceptFault> },
    Connect { host: usize, result: Result<(Fd, EndId), ConnectFault> },
    SoError { fd: Fd, result: Result<(), ConnectFault> },
    Delivery { fd: Fd, result: Delivery },
    Recv { fd: Fd, room: usize, result: Result<usize, IoFault> },
    Send { fd: Fd, head: usize, body: usize, result: Result<usize, IoFault> },
    ShutdownWrite { fd: Fd },
    Close { fd: Fd },
    Reset { fd: Fd },
    Far { end: EndId, deed: Deed },
    Drain,
    Reload,
}

/// An action of an actor, or a change of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Dialled,
    Arrived { host: usize },
    Wrote(usize),
    Read(usize),
    SawEnd,
    SawReset,
    Finished,
    Closed,
    Aborted,
}

/// A ring of events.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    events: VecDeque<(Time, Event)>,
    whole: bool,
    /// Of every byte that was written or read, with the end and the direction; only with the whole trace.
    bytes: DefaultHasher,
}

impl Trace {
    /// Keeps everything if `whole`, else the last few dozen.
    pub(crate) fn new(whole: bool) -> Trace {
        Trace { events: VecDeque::with_capacity(RING + 1), whole, bytes: DefaultHasher::new() }
    }

    pub(crate) fn log(&mut self, now: Time, event: Event) {
        if !self.whole && self.events.len() == RING {
            self.events.pop_front();
        }
        self.events.push_back((now, event));
    }

    /// Bytes pass at an end, which has written them if so it says.
    pub(crate) fn log_bytes(&mut self, passes: (EndId, bool), bytes: &[u8]) {
        if self.whole {
            (passes, bytes).hash(&mut self.bytes);
        }
    }

    /// The digest of every byte on the wire so far, if this is the whole trace.
    pub(crate) fn digest(&self) -> Option<u64> {
        self.whole.then(|| self.bytes.finish())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (time, event) in &self.events {
            let micros = time.as_nanos() / 1000;
            writeln!(f, "{:>6}.{:06}  {event}", micros / 1_000_000, micros % 1_000_000)?;
        }
        self.digest().map_or(Ok(()), |digest| writeln!(f, "bytes on the wire: {digest:016x}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Poll { watches, timeout } => match timeout {
                Some(span) => write!(f, "poll of {watches} for at most {span:?}"),
                None => write!(f, "poll of {watches}"),
            },
            Event::Reported { fd, want, got } => {
                write!(f, "    fd {} wants {}, got {}", fd.0, words_of_interest(*want), words_of_ready(*got))
            }
            Event::Park { fd, want, works } => write!(f, "    park({}, {want:?}) = {works}", fd.0),
            Event::Woke { fd, got } => write!(f, "    fd {} woke: {got:?}", fd.0),
            Event::TimedOut => f.write_str("    timed out"),
            Event::Interrupted => f.write_str("    interrupted"),
            Event::Accept { listener, result } => match result {
                Ok((fd, end)) => write!(f, "accept({}) = fd {}, {end}", listener.0, fd.0),
                Err(fault) => write!(f, "accept({}) = {fault:?}", listener.0),
            },
            Event::Connect { host, result } => match result {
                Ok((fd, end)) => write!(f, "connect(backend {host}) = fd {}, {end}", fd.0),
                Err(fault) => write!(f, "connect(backend {host}) = {fault:?}"),
            },
            Event::Delivery { fd, result } => write!(f, "delivery({}) = {result:?}", fd.0),
            Event::SoError { fd, result } => write!(f, "so_error({}) = {result:?}", fd.0),
            Event::Recv { fd, room, result } => write!(f, "recv({}, room {room}) = {result:?}", fd.0),
            Event::Send { fd, head, body, result } => write!(f, "send({}, {head}+{body}) = {result:?}", fd.0),
            Event::ShutdownWrite { fd } => write!(f, "shutdown_write({})", fd.0),
            Event::Close { fd } => write!(f, "close({})", fd.0),
            Event::Reset { fd } => write!(f, "reset({})", fd.0),
            Event::Far { end, deed } => write!(f, "        {end}: {deed}"),
            Event::Drain => f.write_str("drain"),
            Event::Reload => f.write_str("reload"),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Dialled => f.write_str("a client dials"),
            Deed::Arrived { host } => write!(f, "arrives at backend {host}"),
            Deed::Wrote(count) => write!(f, "wrote {count}"),
            Deed::Read(count) => write!(f, "read {count}"),
            Deed::SawEnd => f.write_str("saw the end"),
            Deed::SawReset => f.write_str("saw a reset"),
            Deed::Finished => f.write_str("finished writing"),
            Deed::Closed => f.write_str("closed"),
            Deed::Aborted => f.write_str("aborted"),
        }
    }
}

fn words_of_interest(set: Interest) -> String {
    let members =
        [(Interest::READ, "read"), (Interest::WRITE, "write"), (Interest::LEAVE, "leave")].into_iter();
    join(members.filter(|(member, _)| set.has(*member)).map(|(_, word)| word))
}

fn words_of_ready(set: Ready) -> String {
    let members = [
        (Ready::READ, "read"),
        (Ready::WRITE, "write"),
        (Ready::LEAVE, "leave"),
        (Ready::HANGUP, "hangup"),
        (Ready::ERROR, "error"),
    ];
    join(members.into_iter().filter(|(member, _)| set.any(*member)).map(|(_, word)| word))
}

fn join<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join("|") }
}
