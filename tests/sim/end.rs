//! One side of a connection, as a kernel keeps it: a bounded receive queue, and what has become of the two
//! directions.
//!
//! It does what Linux does where that is a trap: queued bytes stay readable after a RST, the error is told
//! once to whoever asks first (recv, send or SO_ERROR), and a recv after that reads as a clean end.

use std::collections::VecDeque;
use std::fmt;
use std::io::Read as _;

use pollux::core::interest::Ready;
use pollux::core::time::Time;
use pollux::os::ConnectFault;

/// Names one side of a connection: even is the worker's, odd the actor's. Never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EndId(pub(crate) usize);

impl EndId {
    /// The other side of the same connection.
    pub(crate) fn peer(self) -> EndId {
        EndId(self.0 ^ 1)
    }
}

/// Both sides of a connection show the same number.
impl fmt::Display for EndId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0 / 2)
    }
}

/// The state of a connect of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connect {
    /// The network has not answered yet.
    Undecided,
    /// It stands or has failed, and poll has not said so yet.
    Decided,
    /// Poll or the parked set has said so; also every connection that never was in doubt.
    Known,
}

/// The trace of a RST, or of a connect that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    None,
    /// The error still waits for somebody to read it.
    Untold(ConnectFault),
    Told,
}

/// One side of a connection.
#[derive(Debug)]
pub(crate) struct End {
    /// The bytes of the peer that are unread here.
    pub(crate) inbox: VecDeque<u8>,
    /// A place in `inbox` where segments met: the one behind it came only just now.
    pub(crate) seam: Option<usize>,
    /// The capacity of `inbox`.
    pub(crate) capacity: usize,
    pub(crate) connect: Connect,
    /// The peer's FIN has come in, behind `inbox`.
    pub(crate) ended: bool,
    /// The owner has been told of the FIN, so that everything before it must have come in too.
    pub(crate) end_known: bool,
    /// Our FIN has gone out.
    pub(crate) finished: bool,
    pub(crate) breach: Breach,
    /// The number of bytes that the other side's kernel has answered with a RST.
    pub(crate) unacknowledged: usize,
    /// Its owner has closed this side.
    pub(crate) closed: bool,
    /// When the client has come, if it is one.
    pub(crate) dialled: Option<Time>,
    /// When the worker has accepted it, if it has.
    pub(crate) let_in: Option<Time>,
}

impl End {
    pub(crate) fn new(capacity: usize, connect: Connect) -> End {
        End {
            inbox: VecDeque::new(),
            seam: None,
            capacity,
            connect,
            ended: false,
            end_known: false,
            finished: false,
            breach: Breach::None,
            unacknowledged: 0,
            closed: false,
            dialled: None,
            let_in: None,
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.breach != Breach::None
    }

    /// The owner has been told so by poll, or by the parked set.
    pub(crate) fn note_told(&mut self, got: Ready) {
        self.connect = Connect::Known;
        self.end_known |= self.ended && got.any(Ready::LEAVE | Ready::HANGUP);
    }

    /// The number of bytes that the peer may still write.
    pub(crate) fn room(&self) -> usize {
        self.capacity - self.inbox.len()
    }

    /// Whether a sender to this side is told of room: like Linux, only once a third of it is free.
    pub(crate) fn invites(&self) -> bool {
        self.room() > 0 && self.room() * 2 >= self.inbox.len()
    }

    /// The error, if nobody has been told of it; it reads only once.
    pub(crate) fn take_error(&mut self) -> Option<ConnectFault> {
        match self.breach {
            Breach::Untold(fault) => {
                self.breach = Breach::Told;
                Some(fault)
            }
            Breach::None | Breach::Told => None,
        }
    }

    /// Moves queued bytes into `room`, up to the seam at most.
    pub(crate) fn take(&mut self, room: &mut [u8]) -> usize {
        let most = self.seam.map_or(room.len(), |seam| seam.min(room.len()));
        let count = self.inbox.read(&mut room[..most]).expect("a queue in memory never fails");
        self.seam = self.seam.map(|seam| seam - count).filter(|seam| *seam > 0);
        count
    }

    /// The report that `poll(2)` would give if it were asked for everything.
    pub(crate) fn readiness(&self, peer: &End) -> Ready {
        if self.connect == Connect::Undecided {
            return Ready::NONE;
        }
        let broken = self.is_broken();
        Ready::NONE
            .with_if(Ready::READ, !self.inbox.is_empty() || self.ended || broken)
            .with_if(Ready::WRITE, self.finished || broken || peer.closed || peer.invites())
            .with_if(Ready::LEAVE, self.ended || broken)
            .with_if(Ready::HANGUP, broken || (self.ended && self.finished))
            .with_if(Ready::ERROR, matches!(self.breach, Breach::Untold(_)))
    }
}
