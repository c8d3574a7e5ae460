//! The last so many exchanges, each in the place of the one that was there.

use super::story::Story;
use super::trail::Trail;

/// An exchange that is over.
#[derive(Debug)]
pub(super) enum Slot {
    /// As it was recorded, under the snapshot that is the latest.
    Raw(Box<Trail>),
    /// With names, because its snapshot is not the latest any more.
    RenderedStep(Box<Story>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ring {
    slots: Vec<Slot>,
    /// Where the next one comes, once the ring is full.
    next: usize,
    most: usize,
}

impl Ring {
    pub(super) fn new(most: usize) -> Ring {
        Ring { slots: Vec::with_capacity(most), next: 0, most }
    }

    /// Takes one in; returns back the one that has to go for it, the oldest or the new one itself if none are
    /// kept.
    pub(super) fn push(&mut self, slot: Slot) -> Option<Slot> {
        if self.most == 0 {
            return Some(slot);
        }
        if self.slots.len() < self.most {
            self.slots.push(slot);
            return None;
        }
        let oldest = std::mem::replace(&mut self.slots[self.next], slot);
        self.next = (self.next + 1) % self.most;
        Some(oldest)
    }

    /// From now on holds `most`: the newest.
    pub(super) fn adapt(&mut self, most: usize) {
        if most == self.most {
            return;
        }
        self.slots.rotate_left(self.next);
        let surplus = self.slots.len().saturating_sub(most);
        self.slots.drain(..surplus);
        (self.next, self.most) = (0, most);
    }

    /// All of them, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        let (newer, older) = self.slots.split_at(self.next);
        older.iter().chain(newer)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u64) -> Slot {
        let mut trail = Trail::default();
        trail.begin(number);
        Slot::Raw(Box::new(trail))
    }

    fn number(slot: &Slot) -> u64 {
        match slot {
            Slot::Raw(trail) => trail.number,
            Slot::RenderedStep(story) => story.number,
        }
    }

    fn numbers(ring: &Ring) -> Vec<u64> {
        ring.iter().map(number).collect()
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut ring = Ring::new(3);
        let gone: Vec<_> = (0..5).filter_map(|new| ring.push(slot(new))).map(|slot| number(&slot)).collect();
        assert_eq!((gone, numbers(&ring)), (vec![0, 1], vec![2, 3, 4]));
        ring.adapt(2);
        assert_eq!(numbers(&ring), [3, 4]);
        ring.adapt(3);
        assert!(ring.push(slot(5)).is_none());
        assert_eq!(ring.push(slot(6)).as_ref().map(number), Some(3));
        ring.adapt(0);
        assert_eq!(ring.push(slot(7)).as_ref().map(number), Some(7));
        assert!(numbers(&ring).is_empty());
    }
}
