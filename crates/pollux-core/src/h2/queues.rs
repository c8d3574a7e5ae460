//! The streams of a connection: found by number, and lined up for what they wait for.
//!
//! A slot is used again after its stream has ended, so a connection that has had its most streams allocates nothing. A stream stands in at
//! most one queue. The queues are lists through the slots, so that joining and leaving take constant time.

use super::priority::Priority;
use super::stream::Stream;

/// The end of a list.
const NONE: u16 = u16::MAX;
/// The number of streams that a connection may have open at once, at most.
pub const STREAMS_MAX: u32 = 4096;

/// The reason for which a stream waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Its DATA may go out, by urgency.
    Ready(u8),
    /// An end without DATA may go out.
    End,
    /// The peer's window of the stream is used up.
    Window,
    /// The rest of its input is dropped.
    Linger,
}

const QUEUES: usize = Priority::URGENCIES + 3;

impl Waiting {
    fn place(self) -> usize {
        match self {
            Waiting::Ready(urgency) => usize::from(urgency) % Priority::URGENCIES,
            Waiting::End => Priority::URGENCIES,
            Waiting::Window => Priority::URGENCIES + 1,
            Waiting::Linger => Priority::URGENCIES + 2,
        }
    }
}

/// The place of a stream in a queue, or of a free slot among the free ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    before: u16,
    behind: u16,
    waiting: Option<Waiting>,
}

impl Default for Link {
    fn default() -> Link {
        Link { before: NONE, behind: NONE, waiting: None }
    }
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u16,
    last: u16,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    /// The slots without a stream.
    free: Vec<u16>,
    /// Numbers and slots, in the order of the numbers.
    order: Vec<(u32, u16)>,
    queues: [Ends; QUEUES],
}

impl Default for Streams {
    fn default() -> Streams {
        let queues = [Ends { first: NONE, last: NONE }; QUEUES];
        Streams { slots: Vec::new(), free: Vec::new(), order: Vec::new(), queues }
    }
}

/// A slot; valid until its stream is removed.
pub(super) type Slot = u16;

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Adds a stream whose number is the highest.
    pub(super) fn push(&mut self, stream: Stream) -> Slot {
        debug_assert!(self.order.last().is_none_or(|(last, _)| *last < stream.number), "numbers rise");
        let number = stream.number;
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[usize::from(slot)] = stream;
            slot
        } else {
            self.slots.push(stream);
            (self.slots.len() - 1) as u16
        };
        self.order.push((number, slot));
        slot
    }

    pub(super) fn find(&self, number: u32) -> Option<Slot> {
        let place = self.order.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.order[place].1)
    }

    pub(super) fn get(&self, slot: Slot) -> &Stream {
        &self.slots[usize::from(slot)]
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Stream {
        &mut self.slots[usize::from(slot)]
    }

    /// The open stream with the highest number.
    pub(super) fn highest(&self) -> Option<Slot> {
        self.order.last().map(|(_, slot)| *slot)
    }

    /// Every open stream.
    pub(super) fn each_mut(&mut self, mut each: impl FnMut(&mut Stream)) {
        for (_, slot) in &self.order {
            each(&mut self.slots[usize::from(*slot)]);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        self.leave(slot);
        let number = self.get(slot).number;
        if let Ok(place) = self.order.binary_search_by_key(&number, |(number, _)| *number) {
            self.order.remove(place);
            self.free.push(slot);
        }
    }

    /// The reason for which the stream waits.
    pub(super) fn waiting(&self, slot: Slot) -> Option<Waiting> {
        self.get(slot).link.waiting
    }

    /// The first of a queue.
    pub(super) fn first(&self, waiting: Waiting) -> Option<Slot> {
        let first = self.queues[waiting.place()].first;
        (first != NONE).then_some(first)
    }

    /// Every stream of a queue, the first one first.
    pub(super) fn queue(&self, waiting: Waiting) -> impl Iterator<Item = &Stream> {
        let mut next = self.queues[waiting.place()].first;
        std::iter::from_fn(move || {
            let stream = self.slots.get(usize::from(next))?;
            next = stream.link.behind;
            Some(stream)
        })
    }

    /// Takes a stream out of its queue and puts it at the end of another one.
    pub(super) fn join(&mut self, slot: Slot, waiting: Waiting) {
        self.leave(slot);
        let last = self.queues[waiting.place()].last;
        self.get_mut(slot).link = Link { before: last, behind: NONE, waiting: Some(waiting) };
        if last == NONE {
            self.queues[waiting.place()].first = slot;
        } else {
            self.get_mut(last).link.behind = slot;
        }
        self.queues[waiting.place()].last = slot;
    }

    /// Takes a stream out of its queue.
    pub(super) fn leave(&mut self, slot: Slot) {
        let Link { before, behind, waiting } = std::mem::take(&mut self.get_mut(slot).link);
        let Some(waiting) = waiting else { return };
        if before == NONE {
            self.queues[waiting.place()].first = behind;
        } else {
            self.get_mut(before).link.behind = behind;
        }
        if behind == NONE {
            self.queues[waiting.place()].last = before;
        } else {
            self.get_mut(behind).link.before = before;
        }
    }

    /// Gives the memory back while no stream is open.
    pub(super) fn rest(&mut self) {
        if self.order.is_empty() {
            *self = Streams::default();
        }
    }

    /// The memory that is held beside the struct, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.slots.capacity() * size_of::<Stream>()
            + self.free.capacity() * size_of::<u16>()
            + self.order.capacity() * size_of::<(u32, u16)>()
    }
}
