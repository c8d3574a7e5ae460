//! A table whose keys go stale: a slot that was freed and taken again does not answer to the old key.
//!
//! The events of one `poll(2)` are handled one after the other, and handling one may end the session of the
//! next. With a generation in every key such an event finds nothing, instead of a stranger.

/// The name of an entry: its slot, and which tenant of the slot it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    slot: u32,
    generation: u32,
}

impl Key {
    /// The key as one number: the slot in its lower half, the generation in its upper one.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The key that [`Key::to_bits`] gave as `bits`.
    #[must_use]
    pub fn from_bits(bits: u64) -> Key {
        Key { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    entry: Option<T>,
}

/// Entries under generational keys. Slots are reused, last freed first.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Stores `entry` under a new key.
    ///
    /// # Panics
    /// With 2^32 entries; the number of descriptors ends long before.
    pub fn insert(&mut self, entry: T) -> Key {
        if let Some(slot) = self.free.pop() {
            let place = &mut self.slots[slot as usize];
            place.entry = Some(entry);
            return Key { slot, generation: place.generation };
        }
        let slot = u32::try_from(self.slots.len()).expect("fewer entries than 2^32");
        self.slots.push(Slot { generation: 0, entry: Some(entry) });
        Key { slot, generation: 0 }
    }

    /// The entry of `key`, unless it has been removed.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        let place = self.slots.get(key.slot as usize)?;
        if place.generation == key.generation { place.entry.as_ref() } else { None }
    }

    /// The mutable form.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation == key.generation { place.entry.as_mut() } else { None }
    }

    /// Takes the entry of `key` out; its key, and every copy of it, is stale from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let entry = place.entry.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(entry)
    }

    /// Every entry with its key.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> + Clone {
        self.slots.iter().enumerate().filter_map(|(slot, place)| {
            let key = Key { slot: slot as u32, generation: place.generation };
            place.entry.as_ref().map(|entry| (key, entry))
        })
    }

    /// The mutable form.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, place)| {
            let key = Key { slot: slot as u32, generation: place.generation };
            place.entry.as_mut().map(|entry| (key, entry))
        })
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_taken_again_does_not_answer_to_the_old_key() {
        let mut slab = Slab::default();
        let old = slab.insert("old");
        assert_eq!(slab.remove(old), Some("old"));
        let new = slab.insert("new");
        assert_eq!((old.slot, new.slot), (0, 0));
        assert_eq!(slab.get_mut(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get_mut(new), Some(&mut "new"));
    }

    #[test]
    fn it_counts_and_lists_what_is_there() {
        let mut slab = Slab::default();
        let keys: Vec<_> = (0..3).map(|n| slab.insert(n)).collect();
        slab.remove(keys[1]);
        assert_eq!(slab.len(), 2);
        assert_eq!(
            slab.iter().map(|(key, entry)| (key == keys[*entry], *entry)).collect::<Vec<_>>(),
            [(true, 0), (true, 2)]
        );
        slab.remove(keys[0]);
        slab.remove(keys[2]);
        assert!(slab.is_empty());
    }
}
