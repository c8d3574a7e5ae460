//! The worker's descriptor table. The lowest free number is given out first, as a real kernel does, so that a
//! stale descriptor soon names somebody else's connection.

use std::time::Duration;

use pollux::core::interest::{Interest, Ready};
use pollux::core::time::Time;
use pollux::os::Fd;

use crate::end::EndId;

/// 0 to 2 are taken from the start.
const FIRST: usize = 3;

/// The number of times in a row that poll may report a descriptor with which the worker then gets nowhere. A
/// report that the parked set says of a backend is said again by the poll that follows, and a backend that
/// leaves may be told to be writable after that.
pub(crate) const IDLE_REPORTS_MAX: u8 = 4;

/// The same where sessions wait for each other's buffers: whoever is ready may have to let others go first.
pub(crate) const PATIENCE_IN_NEED: u8 = 100;

/// Reports that lie further apart than this do not make a busy loop.
const APART: Duration = Duration::from_millis(5);

/// The meaning of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    Listening(usize),
    End(EndId),
    /// One end of a pipe.
    Pipe(usize),
    Epoll,
}

/// An open descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    pub(crate) handle: Handle,
    /// The last report of poll on it.
    pub(crate) reported: Ready,
    /// The worker has been told of the end of the stream, or of its loss: being told again gets it nowhere.
    pub(crate) told: bool,
    /// The interest with which it waits in the parked set, and its tag; `None` once it was reported, or if it
    /// never was there.
    pub(crate) parked: Option<(Interest, u64)>,
    /// The worker was told that its last bytes are not acknowledged, and asks again after a while.
    pub(crate) undelivered: bool,
    /// Reports since the worker last got anywhere with it, and when the last was.
    unmoved: u8,
    last_report: Time,
}

impl Descriptor {
    /// The worker got somewhere, or cannot be blamed that it did not.
    pub(crate) fn moved(&mut self) {
        self.unmoved = 0;
    }

    /// Poll reports `got`. A descriptor that is reported again and again while nothing is done about it is a
    /// busy loop.
    pub(crate) fn report(&mut self, fd: Fd, got: Ready, now: Time, patience: u8) {
        self.reported = got;
        self.unmoved = if now.since(self.last_report) > APART { 1 } else { self.unmoved + 1 };
        self.last_report = now;
        assert!(self.unmoved <= patience, "spin: fd {} is reported again and again, to no avail", fd.0);
    }
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Descriptors {
    table: Vec<Option<Descriptor>>,
    limit: usize,
}

impl Descriptors {
    /// Room for descriptors with numbers below `limit`.
    pub(crate) fn new(limit: usize) -> Descriptors {
        Descriptors { table: Vec::new(), limit }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.table.len() + FIRST >= self.limit && self.table.iter().all(Option::is_some)
    }

    /// Gives out a number. The caller has made sure that there is one.
    pub(crate) fn open(&mut self, handle: Handle) -> Fd {
        let place = self.table.iter().position(Option::is_none).unwrap_or_else(|| {
            self.table.push(None);
            self.table.len() - 1
        });
        let (reported, last_report) = (Ready::NONE, Time::ZERO);
        let (told, undelivered, parked, unmoved) = (false, false, None, 0);
        let descriptor = Descriptor { handle, reported, told, parked, undelivered, unmoved, last_report };
        self.table[place] = Some(descriptor);
        Fd(i32::try_from(place + FIRST).expect("a table is small"))
    }

    /// The open descriptor `fd`; `call` is what the worker is doing with it.
    pub(crate) fn get(&mut self, fd: Fd, call: &str) -> &mut Descriptor {
        let place = usize::try_from(fd.0).ok().and_then(|number| number.checked_sub(FIRST));
        let entry = place.and_then(|place| self.table.get_mut(place)).and_then(Option::as_mut);
        entry.unwrap_or_else(|| panic!("{call} of fd {}, which is not open", fd.0))
    }

    pub(crate) fn close(&mut self, fd: Fd, call: &str) -> Handle {
        let handle = self.get(fd, call).handle;
        self.table[usize::try_from(fd.0).expect("checked by get") - FIRST] = None;
        handle
    }

    /// Everything that is parked: what it is, what it waits for, and under which tag.
    pub(crate) fn parked(&self) -> Vec<(Fd, Interest, u64)> {
        let parked = |(place, entry): (usize, &Option<Descriptor>)| {
            let (want, tag) = entry.as_ref()?.parked?;
            Some((Fd(i32::try_from(place + FIRST).expect("a table is small")), want, tag))
        };
        self.table.iter().enumerate().filter_map(parked).collect()
    }

    /// Whether the worker has last bytes somewhere that are not acknowledged yet.
    pub(crate) fn awaits_delivery(&self) -> bool {
        self.table.iter().flatten().any(|one| one.undelivered)
    }

    /// Forgets what the last poll said.
    pub(crate) fn begin_poll(&mut self) {
        for descriptor in self.table.iter_mut().flatten() {
            descriptor.reported = Ready::NONE;
        }
    }

    /// The open descriptors.
    pub(crate) fn leaked(&self) -> Vec<(usize, Handle)> {
        let open =
            |(place, entry): (usize, &Option<Descriptor>)| entry.map(|one| (place + FIRST, one.handle));
        let open = self.table.iter().enumerate().filter_map(open);
        // The parked set lives as long as the worker.
        open.filter(|(_, handle)| *handle != Handle::Epoll).collect()
    }
}
