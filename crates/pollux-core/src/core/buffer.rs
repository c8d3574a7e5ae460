//! The bytes of one lane, between the moment they are read and the moment they are written.
//!
//! Four cursors divide the storage, always in this order:
//!
//! ```text
//!   0 ...... sent ...... cleared ....... scanned ...... filled ...... capacity
//!            | may go out |   a gap of    | not yet      | room to
//!            |            |   dropped     | looked at    | read into
//!            |            |   framing     |              |
//! ```
//!
//! A [`Framer`](crate::lane::framer::Framer) looks at what is unscanned and either passes bytes, drops them,
//! or puts shorter ones in the place of those it has dropped. So a message can be cleaned where it lies: what
//! goes out is never longer than what came in, and bytes are copied only behind a gap.
//!
//! The storage itself is lent by a pool: a buffer that holds nothing needs none, and one that holds little
//! for long can do with less.

/// Storage with its cursors. See the module for what they mean.
#[derive(Debug, Default)]
pub struct Buffer {
    storage: Box<[u8]>,
    sent: usize,
    cleared: usize,
    scanned: usize,
    filled: usize,
    /// The first of the bytes that must be kept for a replay although they were sent.
    held: Option<usize>,
    /// Whether the storage is less than what is lent as a rule, and can be exchanged for that once it is
    /// full.
    can_grow: bool,
}

impl Buffer {
    /// Whether there is storage to read into.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !self.storage.is_empty()
    }

    /// The number of bytes that the storage holds; zero without any, and more than can be told while it can
    /// be exchanged for more.
    #[must_use]
    pub fn capacity(&self) -> usize {
        if self.can_grow { usize::MAX } else { self.storage.len() }
    }

    /// The number of bytes that the present storage holds.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.storage.len()
    }

    /// Whether bytes can be read into the storage as it is.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_attached() && !self.is_outgrown()
    }

    /// Whether the storage is full, and can be exchanged for more.
    #[must_use]
    pub fn is_outgrown(&self) -> bool {
        self.can_grow && self.content() == self.storage.len()
    }

    /// Bytes that are not to be lost, those of a hold included.
    fn content(&self) -> usize {
        self.filled - self.scanned + self.cleared - self.held.unwrap_or(self.sent).min(self.sent)
    }

    /// The size of the storage that would do for what the buffer holds, `least` bytes or more, if that is
    /// half of what it has, or less.
    #[must_use]
    pub fn shrinks_to(&self, least: usize) -> Option<usize> {
        let size = self.content().next_power_of_two().max(least);
        (self.is_attached() && size <= self.storage.len() / 2).then_some(size)
    }

    /// Exchanges the storage for another one that has room for what the buffer holds; returns the old one
    /// back. One that `can_grow` is to be exchanged again when it is full.
    pub fn exchange(&mut self, storage: Box<[u8]>, can_grow: bool) -> Box<[u8]> {
        self.settle();
        self.compact();
        debug_assert!(self.filled <= storage.len(), "the bytes have to fit");
        let old = std::mem::replace(&mut self.storage, storage);
        self.storage[..self.filled].copy_from_slice(&old[..self.filled]);
        self.can_grow = can_grow;
        old
    }

    /// Forgets every byte and every hold, and keeps the storage.
    pub fn empty(&mut self) {
        *self = Buffer { storage: std::mem::take(&mut self.storage), ..Buffer::default() };
    }

    /// Lends storage to a buffer that has none.
    pub fn attach(&mut self, storage: Box<[u8]>) {
        debug_assert!(!self.is_attached() && !storage.is_empty(), "storage is lent once, and never empty");
        self.storage = storage;
    }

    /// Gives the storage back if no byte in it matters any more.
    pub fn detach(&mut self) -> Option<Box<[u8]>> {
        let matters = self.sent < self.cleared || self.scanned < self.filled || self.is_holding_bytes();
        if matters || !self.is_attached() {
            return None;
        }
        self.settle();
        (self.sent, self.cleared, self.scanned, self.filled) = (0, 0, 0, 0);
        self.held = self.held.map(|_| 0);
        self.can_grow = false;
        Some(std::mem::take(&mut self.storage))
    }

    fn is_holding_bytes(&self) -> bool {
        self.held.is_some_and(|start| start < self.sent)
    }

    /// Whether [`room`](Self::room) would give at least one byte; true without storage, or with less than
    /// there could be, for then some can be lent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.is_attached()
            || self.can_grow
            || self.filled - self.scanned + self.cleared - self.sent < self.storage.len()
    }

    /// The free space behind the filled bytes. One that is [outgrown](Self::is_outgrown) is to be exchanged
    /// first. Moves the others to the front, and gives up a hold, rather than be empty while space could be
    /// made.
    pub fn room(&mut self) -> &mut [u8] {
        self.settle();
        if self.filled == self.storage.len() {
            self.compact();
        }
        if self.filled == self.storage.len() && self.held.take().is_some() {
            self.settle();
            self.compact();
        }
        &mut self.storage[self.filled..]
    }

    /// Moves the cursors to the start where nothing lies before them that matters.
    fn settle(&mut self) {
        if self.sent == self.cleared && !self.is_holding_bytes() {
            (self.sent, self.cleared) = (self.scanned, self.scanned);
            if self.scanned == self.filled {
                (self.sent, self.cleared, self.scanned, self.filled) = (0, 0, 0, 0);
            }
            self.held = self.held.map(|_| self.sent);
        }
    }

    /// Closes the space before the first byte that matters, and the gap.
    fn compact(&mut self) {
        let base = self.held.unwrap_or(self.sent).min(self.sent);
        self.storage.copy_within(base..self.cleared, 0);
        self.sent -= base;
        self.cleared -= base;
        self.storage.copy_within(self.scanned..self.filled, self.cleared);
        self.filled = self.cleared + (self.filled - self.scanned);
        self.scanned = self.cleared;
        self.held = self.held.map(|_| 0);
    }

    /// Records that `count` bytes were read into [`room`](Self::room).
    pub fn fill(&mut self, count: usize) {
        self.filled += count;
        debug_assert!(self.filled <= self.storage.len(), "more was read than there was room");
    }

    /// Bytes that were read and that no framer has looked at.
    #[must_use]
    pub fn unscanned(&self) -> &[u8] {
        &self.storage[self.scanned..self.filled]
    }

    /// Bytes that may go out now.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.storage[self.sent..self.cleared]
    }

    /// Drops the next `count` unscanned bytes: they never go out.
    pub fn skip(&mut self, count: usize) {
        self.scanned += count;
        debug_assert!(self.scanned <= self.filled, "skipped more than was read");
    }

    /// Drops the unscanned bytes, all of them.
    pub fn discard(&mut self) {
        self.scanned = self.filled;
    }

    /// Passes the next `count` unscanned bytes.
    pub fn clear(&mut self, count: usize) {
        debug_assert!(self.scanned + count <= self.filled, "cleared more than was read");
        if self.cleared != self.scanned {
            self.storage.copy_within(self.scanned..self.scanned + count, self.cleared);
        }
        self.scanned += count;
        self.cleared += count;
    }

    /// Drops the next `count` unscanned bytes and passes `instead`, which is at most as long.
    pub fn replace(&mut self, count: usize, instead: &[u8]) {
        debug_assert!(instead.len() <= count, "a replacement must fit the place of what it replaces");
        self.skip(count);
        self.storage[self.cleared..self.cleared + instead.len()].copy_from_slice(instead);
        self.cleared += instead.len();
    }

    /// Records that `count` of the unsent bytes went out.
    pub fn send(&mut self, count: usize) {
        self.sent += count;
        debug_assert!(self.sent <= self.cleared, "more was sent than was cleared");
    }

    /// Takes `count` of the unsent bytes out: they never go out, and a hold begins behind them.
    pub fn consume(&mut self, count: usize) {
        self.send(count);
        self.held = self.held.map(|_| self.sent);
    }

    /// Keeps what goes out from now on, for [`rewind`](Self::rewind), as long as the room allows.
    pub fn hold(&mut self) {
        debug_assert!(self.sent == self.cleared, "a hold begins between messages");
        self.settle();
        self.held = Some(self.sent);
    }

    /// Whether all that went out since [`hold`](Self::hold) is still here.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Makes everything since [`hold`](Self::hold) unsent again. Without a hold it does nothing.
    pub fn rewind(&mut self) {
        if let Some(start) = self.held {
            self.sent = start;
        }
    }

    /// Ends a hold.
    pub fn release(&mut self) {
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buffer(capacity: usize) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.attach(vec![0; capacity].into());
        buffer
    }

    fn read(buffer: &mut Buffer, bytes: &[u8]) -> usize {
        let room = buffer.room();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        buffer.fill(count);
        count
    }

    #[test]
    fn a_replacement_goes_out_before_what_follows_it() {
        let mut buffer = buffer(16);
        read(&mut buffer, b"005;x\r\nhello");
        buffer.replace(7, b"5\r\n");
        buffer.clear(5);
        assert_eq!(buffer.unsent(), b"5\r\nhello");
        assert_eq!(buffer.unscanned(), b"");
    }

    #[test]
    fn an_empty_buffer_gives_its_storage_back_and_a_full_one_does_not() {
        let mut buffer = buffer(8);
        read(&mut buffer, b"ab");
        assert!(buffer.detach().is_none());
        buffer.clear(1);
        buffer.skip(1);
        assert!(buffer.detach().is_none());
        buffer.send(1);
        assert_eq!(buffer.detach().map(|storage| storage.len()), Some(8));
        assert!(!buffer.is_attached() && buffer.has_room());
    }

    #[test]
    fn a_held_message_can_go_out_twice_until_its_room_is_needed() {
        let mut buffer = buffer(8);
        buffer.hold();
        read(&mut buffer, b"body");
        buffer.clear(4);
        buffer.send(4);
        assert!(buffer.detach().is_none(), "held bytes matter");
        buffer.rewind();
        assert_eq!(buffer.unsent(), b"body");
        buffer.send(4);
        read(&mut buffer, b"more");
        assert!(buffer.is_held());
        assert!(read(&mut buffer, b"!") == 1 && !buffer.is_held());
        buffer.clear(5);
        assert_eq!(buffer.unsent(), b"more!");
    }

    #[test]
    fn storage_is_exchanged_for_less_and_for_more_and_nothing_is_lost() {
        let mut buffer = buffer(64);
        buffer.hold();
        read(&mut buffer, b"headbodyrest");
        buffer.skip(4);
        buffer.clear(4);
        buffer.send(2);
        assert_eq!((buffer.shrinks_to(2), buffer.shrinks_to(33)), (Some(8), None));
        let old = buffer.exchange(vec![0; 8].into(), true);
        assert_eq!((old.len(), buffer.unsent(), buffer.unscanned()), (64, &b"dy"[..], &b"rest"[..]));
        assert!(buffer.is_outgrown() && buffer.has_room() && !buffer.is_ready() && buffer.capacity() > 64);
        assert_eq!(buffer.exchange(vec![0; 64].into(), false).len(), 8);
        assert!(buffer.is_ready() && buffer.is_held() && buffer.capacity() == 64);
        buffer.rewind();
        assert_eq!((buffer.unsent(), buffer.unscanned()), (&b"body"[..], &b"rest"[..]));
        assert_eq!(read(&mut buffer, b"!"), 1);
        assert_eq!(buffer.unscanned(), b"rest!");
    }

    proptest! {
        /// For any sizes of the reads, passes, drops and writes: bytes passed come out once, in order,
        /// and no others.
        #[test]
        fn bytes_are_conserved(capacity in 1_usize..40, steps in prop::collection::vec((0_u8..7, 1_usize..20), 1..200)) {
            let mut buffer = buffer(capacity);
            let (mut next, mut expected, mut got) = (0_u8, Vec::new(), Vec::new());
            for (kind, size) in steps {
                match kind {
                    5 => {
                        if let Some(size) = buffer.shrinks_to(size) {
                            buffer.exchange(vec![0; size].into(), true);
                        }
                    }
                    6 => {
                        if buffer.can_grow {
                            buffer.exchange(vec![0; capacity].into(), false);
                        }
                    }
                    0 => {
                        if buffer.is_outgrown() {
                            buffer.exchange(vec![0; capacity].into(), false);
                        }
                        let input: Vec<u8> = (0..size).map(|i| next.wrapping_add(i as u8)).collect();
                        prop_assert_eq!(buffer.has_room(), !buffer.room().is_empty());
                        next = next.wrapping_add(read(&mut buffer, &input) as u8);
                    }
                    1 => {
                        let count = size.min(buffer.unscanned().len());
                        expected.extend_from_slice(&buffer.unscanned()[..count]);
                        buffer.clear(count);
                    }
                    2 => {
                        let count = size.min(buffer.unscanned().len());
                        buffer.skip(count);
                    }
                    3 => {
                        let count = size.min(buffer.unscanned().len());
                        expected.extend_from_slice(&vec![b'r'; count / 2]);
                        buffer.replace(count, &vec![b'r'; count / 2]);
                    }
                    _ => {
                        let count = size.min(buffer.unsent().len());
                        got.extend_from_slice(&buffer.unsent()[..count]);
                        buffer.send(count);
                    }
                }
            }
            got.extend_from_slice(buffer.unsent());
            prop_assert_eq!(got, expected);
        }
    }
}
