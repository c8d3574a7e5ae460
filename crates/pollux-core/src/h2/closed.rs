//! The memory of streams that have ended, so that frames that were under way are told from errors (RFC 9113
//! §5.1).

use std::collections::VecDeque;

/// Streams that one side reset and that are remembered.
pub const RESETS_MAX: usize = 64;
/// Streams that ended in order and are remembered.
const ENDED: usize = 8;

/// The end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// We reset it: the peer may have sent anything since (§5.1, closed).
    ResetByUs,
    /// The peer reset it: it must send nothing more.
    ResetByPeer,
    /// Both directions ended.
    Whole,
    /// It ended so long ago that nothing is known but its number.
    Forgotten,
}

/// See the module.
#[derive(Debug, Default)]
pub struct ClosedStreams {
    /// The oldest first; allocated by the first reset.
    resets: VecDeque<(u32, Ending)>,
    ended: [u32; ENDED],
    next: u8,
    /// The highest number of a reset that is no longer remembered.
    forgotten: u32,
}

impl ClosedStreams {
    /// Remembers an ending.
    pub fn note(&mut self, stream: u32, ending: Ending) {
        if ending == Ending::Whole {
            self.ended[usize::from(self.next)] = stream;
            self.next = (self.next + 1) % ENDED as u8;
            return;
        }
        if self.resets.len() == RESETS_MAX
            && let Some((oldest, _)) = self.resets.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        self.resets.push_back((stream, ending));
    }

    /// The end of a stream that was opened and is open no longer; `None` if it was never opened, because a
    /// higher one came first.
    #[must_use]
    pub fn ending(&self, stream: u32) -> Option<Ending> {
        if let Some((_, ending)) = self.resets.iter().rev().find(|(known, _)| *known == stream) {
            return Some(*ending);
        }
        if self.ended.contains(&stream) {
            return Some(Ending::Whole);
        }
        (stream <= self.forgotten).then_some(Ending::Forgotten)
    }

    /// The memory that is held beside the struct, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.resets.capacity() * size_of::<(u32, Ending)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_known_and_older_ones_are_forgotten() {
        let mut closed = ClosedStreams::default();
        closed.note(1, Ending::Whole);
        closed.note(3, Ending::ResetByPeer);
        assert_eq!(
            [1, 3, 5].map(|it| closed.ending(it)),
            [Some(Ending::Whole), Some(Ending::ResetByPeer), None]
        );
        for number in 0..RESETS_MAX as u32 {
            closed.note(101 + 2 * number, Ending::ResetByUs);
        }
        assert_eq!(closed.ending(3), Some(Ending::Forgotten));
        assert_eq!(closed.ending(101), Some(Ending::ResetByUs));
        assert_eq!(closed.ending(99), None);
        assert!(closed.capacity() <= RESETS_MAX * 8);
    }
}
