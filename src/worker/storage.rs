//! The pool that lends lanes their buffers: a session that holds no bytes holds no memory for them.
//!
//! There is a bound in bytes, and at the bound no session reads. The last quarter is lent to backends only:
//! otherwise requests that wait for their responses could hold every buffer, and no response would ever be
//! read.

use std::time::Duration;

use crate::core::buffer::Buffer;
use crate::core::time::Time;
use crate::room::Measure;
use crate::session::Side;

/// The fewest buffers a worker can do with: one for a backend, and a few to be used at the same time.
pub(super) const BUFFERS_MIN: usize = 4;

/// So many free buffers are kept in any case: a worker that has a moment's rest does not begin anew.
const KEPT_MIN: usize = 4;

/// The time for which any other free buffer is kept without being needed.
const KEPT: Duration = Duration::from_secs(1);

/// The least that a buffer is given while it waits with little in it: most request heads fit.
const SMALL: usize = 2048;

/// So much does a buffer hold at most that waits for its reader, or is given as storage that does not grow,
/// while half of the bytes are lent. A session that is not behind has whole buffers all the same. A trailer
/// section fits.
const RATION: usize = 16 * 1024;

/// The share that the address of the client may be lent.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientShare {
    /// The number of bytes that it has.
    pub(super) held: usize,
    /// The number of bytes that it may have. A quarter is for bytes of backends, as of all bytes.
    pub(super) most: usize,
}

impl ClientShare {
    /// Of a client whose bytes are not counted.
    pub(super) const OPEN: ClientShare = ClientShare { held: 0, most: usize::MAX };

    fn can_take(self, side: Side, size: usize) -> bool {
        match side {
            Side::Client => self.held + size <= self.most - self.most / 4,
            Side::Backend => self.held + size <= self.most,
        }
    }
}

/// Buffers of one size, lent and returned, last returned first.
#[derive(Debug)]
pub(super) struct Storage {
    size: usize,
    most: usize,
    free: Vec<Box<[u8]>>,
    out: usize,
    /// The number of bytes that are lent: less than `out` whole buffers, because some have shrunk.
    bytes: usize,
    /// The fewest free ones since the last look: so many were not needed.
    spare: usize,
    looked: Time,
    has_refused: bool,
    /// Of the client that is being seen to.
    client_share: ClientShare,
    /// The measures that ran short since the last time that was asked, by the place in [`Measure::ALL`].
    short: [bool; Measure::ALL.len()],
}

impl Storage {
    /// A pool of at most `most` buffers of `size` bytes; it makes them as they are needed.
    #[must_use]
    pub(super) fn new(size: usize, most: usize) -> Storage {
        let most = most.max(BUFFERS_MIN);
        Storage {
            size,
            most,
            free: Vec::new(),
            out: 0,
            bytes: 0,
            spare: 0,
            looked: Time::ZERO,
            has_refused: false,
            client_share: ClientShare::OPEN,
            short: [false; Measure::ALL.len()],
        }
    }

    /// The next loans are for a client whose address may have so much.
    pub(super) fn open(&mut self, client_share: ClientShare) {
        self.client_share = client_share;
    }

    /// The bound on the bytes of an address, where `most` is configured: with less than a few buffers nothing
    /// could be served.
    pub(super) fn of_client(&self, most: usize) -> usize {
        most.max(BUFFERS_MIN * self.size)
    }

    /// Records that there is no buffer for what comes from `side`; true if that is only for want of what the
    /// client's address may have.
    pub(super) fn note_lack(&mut self, side: Side) -> bool {
        let is_client = !self.client_share.can_take(side, self.size);
        self.note_short(if is_client { Measure::Client } else { Measure::Bound });
        is_client
    }

    /// The measures that ran short since the last time this was asked.
    pub(super) fn take_short(&mut self) -> [bool; Measure::ALL.len()] {
        std::mem::take(&mut self.short)
    }

    fn note_short(&mut self, measure: Measure) {
        self.short[measure as usize] = true;
    }

    /// From now on at most `most` are lent; more may be out until they come back.
    pub(super) fn adapt(&mut self, most: usize) {
        self.most = most.max(BUFFERS_MIN);
    }

    /// Whether there is a buffer for what comes from `side`.
    #[must_use]
    pub(super) fn can_lend(&self, side: Side) -> bool {
        let can_lend = match side {
            Side::Client => self.bytes + self.size <= (self.most - self.most / 4) * self.size,
            Side::Backend => self.bytes + self.size <= self.most * self.size,
        };
        can_lend && self.client_share.can_take(side, self.size)
    }

    /// Whether half of the bytes are lent, so that slow sessions get smaller buffers.
    #[must_use]
    pub(super) fn is_crowded(&self) -> bool {
        2 * self.bytes >= self.most * self.size
    }

    /// A buffer that waits for its reader may hold so many bytes; `None` if as many as there is room for.
    #[must_use]
    pub(super) fn ration(&self) -> Option<usize> {
        (self.is_crowded() && RATION <= self.size / 2).then_some(RATION)
    }

    /// Takes back what a buffer can do without that will wait for a while. If it `can_grow` it gets that
    /// again when it is full.
    pub(super) fn shrink(&mut self, buffer: &mut Buffer, can_grow: bool) {
        let least = if can_grow { SMALL } else { RATION };
        if let Some(size) = buffer.shrinks_to(least) {
            if !can_grow {
                self.note_short(Measure::Ration);
            }
            (self.out, self.bytes) = (self.out + 1, self.bytes + size);
            self.client_share.held = self.client_share.held.saturating_add(size);
            let old = buffer.exchange(vec![0; size].into(), can_grow);
            self.give(old);
        }
    }

    /// Gives a buffer that is outgrown a whole one, unless too many bytes are lent.
    pub(super) fn grow(&mut self, side: Side, buffer: &mut Buffer) -> bool {
        let storage = self.take(side);
        if let Some(storage) = storage {
            let old = buffer.exchange(storage, false);
            self.give(old);
        }
        buffer.is_ready()
    }

    /// Lends a buffer for what comes from `side`, unless too many are lent.
    pub(super) fn take(&mut self, side: Side) -> Option<Box<[u8]>> {
        if !self.can_lend(side) {
            self.has_refused = true;
            self.note_lack(side);
            return None;
        }
        Some(self.take_beyond())
    }

    /// Lends a buffer regardless of the bound, to be returned before another session is driven.
    pub(super) fn take_beyond(&mut self) -> Box<[u8]> {
        (self.out, self.bytes) = (self.out + 1, self.bytes + self.size);
        self.client_share.held = self.client_share.held.saturating_add(self.size);
        let buffer = self.free.pop().unwrap_or_else(|| vec![0; self.size].into_boxed_slice());
        self.spare = self.spare.min(self.free.len());
        buffer
    }

    /// Whether a session was refused a buffer since the last time this was asked.
    pub(super) fn has_refused(&mut self) -> bool {
        std::mem::take(&mut self.has_refused)
    }

    /// Takes a buffer back.
    pub(super) fn give(&mut self, buffer: Box<[u8]>) {
        (self.out, self.bytes) = (self.out - 1, self.bytes - buffer.len());
        self.client_share.held = self.client_share.held.saturating_sub(buffer.len());
        if buffer.len() == self.size {
            self.free.push(buffer);
        }
    }

    /// The number of buffers that are lent.
    #[must_use]
    pub(super) fn out(&self) -> usize {
        self.out
    }

    /// Whether more buffers are free than are kept in any case.
    #[must_use]
    pub(super) fn has_surplus(&self) -> bool {
        self.free.len() > KEPT_MIN
    }

    /// When to look again for unneeded buffers.
    #[must_use]
    pub(super) fn tidies_at(&self) -> Time {
        self.looked + KEPT
    }

    /// Gives those back to the system that have not been needed since the last look, if it is time; whether it was.
    pub(super) fn tidy(&mut self, now: Time) -> bool {
        if now < self.looked + KEPT {
            return false;
        }
        // The ones used last lie at the end.
        let unneeded = self.spare.min(self.free.len().saturating_sub(KEPT_MIN));
        self.free.drain(..unneeded);
        (self.spare, self.looked) = (self.free.len(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_is_for_backends() {
        let mut storage = Storage::new(1, 8);
        let lent: Vec<_> = std::iter::from_fn(|| storage.take(Side::Client)).collect();
        assert_eq!(lent.len(), 6);
        let more: Vec<_> = std::iter::from_fn(|| storage.take(Side::Backend)).collect();
        assert_eq!((more.len(), storage.out()), (2, 8));
        lent.into_iter().chain(more).for_each(|buffer| storage.give(buffer));
        assert!(storage.out() == 0 && storage.can_lend(Side::Client));
    }

    #[test]
    fn buffers_with_little_in_them_leave_room_for_many_others() {
        let mut storage = Storage::new(64 * 1024, 8);
        let mut waiting: Vec<Buffer> = Vec::new();
        while let Some(lent) = storage.take(Side::Client) {
            let mut buffer = Buffer::default();
            buffer.attach(lent);
            buffer.room()[..100].fill(b'x');
            buffer.fill(100);
            storage.shrink(&mut buffer, true);
            assert_eq!(buffer.unscanned(), [b'x'; 100]);
            waiting.push(buffer);
        }
        // Six whole ones are for clients, and the last has to be lent whole.
        assert_eq!((waiting.len(), storage.out()), (5 * 32 + 1, 5 * 32 + 1));
        waiting.truncate(1);
        let mut last = waiting.remove(0);
        last.room().fill(b'y');
        last.fill(2048 - 100);
        assert!(last.is_outgrown() && !storage.grow(Side::Client, &mut last) && storage.has_refused());
        assert!(storage.grow(Side::Backend, &mut last) && last.unscanned().len() == 2048);
        last.discard();
        storage.give(last.detach().unwrap());
        assert_eq!(storage.bytes, 5 * 32 * 2048);
    }

    #[test]
    fn at_half_of_the_bytes_who_is_behind_has_to_do_with_less() {
        let mut storage = Storage::new(64 * 1024, 8);
        let lent: Vec<_> = (0..3).map_while(|_| storage.take(Side::Backend)).collect();
        assert_eq!((storage.ration(), lent.len()), (None, 3));
        let mut buffer = Buffer::default();
        buffer.attach(storage.take(Side::Backend).unwrap());
        assert_eq!(storage.ration(), Some(RATION));
        buffer.fill(100);
        buffer.clear(100);
        storage.shrink(&mut buffer, false);
        assert_eq!((buffer.capacity(), storage.ration()), (RATION, None));
        buffer.fill(RATION - 100);
        assert!(!buffer.has_room());
    }

    #[test]
    fn an_address_is_lent_what_it_may_have_and_others_are_lent_all_the_same() {
        let mut storage = Storage::new(1, 100);
        storage.open(ClientShare { held: 0, most: 8 });
        let lent: Vec<_> = std::iter::from_fn(|| storage.take(Side::Client)).collect();
        let more: Vec<_> = std::iter::from_fn(|| storage.take(Side::Backend)).collect();
        assert_eq!((lent.len(), more.len()), (6, 2));
        assert_eq!(storage.take_short(), [false, false, true]);
        storage.give(more.into_iter().next().unwrap());
        assert!(storage.can_lend(Side::Backend) && !storage.can_lend(Side::Client));
        storage.open(ClientShare::OPEN);
        assert!(storage.can_lend(Side::Client));
        while storage.take(Side::Backend).is_some() {}
        assert_eq!((storage.out(), storage.take_short()), (100, [false, true, false]));
    }

    #[test]
    fn what_a_peak_needed_is_given_back_and_the_rest_stays() {
        let (mut storage, mut now) = (Storage::new(1, 100), Time::ZERO);
        let lent: Vec<_> = (0..50).map_while(|_| storage.take(Side::Backend)).collect();
        lent.into_iter().for_each(|buffer| storage.give(buffer));
        for _ in 0..3 {
            let in_use: Vec<_> = (0..6).map_while(|_| storage.take(Side::Backend)).collect();
            in_use.into_iter().for_each(|buffer| storage.give(buffer));
            now = now + KEPT;
            assert!(storage.has_surplus() && storage.tidies_at() <= now);
            assert!(storage.tidy(now));
        }
        assert_eq!(storage.free.len(), 6);
        storage.tidy(now + KEPT);
        storage.tidy(now + KEPT + KEPT);
        assert_eq!((storage.free.len(), storage.has_surplus()), (KEPT_MIN, false));
    }
}
