//! The table of a decoder: the static entries, and behind them those of the connection, the newest first (RFC 7541 §2.3).

use std::collections::VecDeque;

use super::static_table::STATIC;

/// The bytes that an entry counts beside its own (RFC 7541 §4.1).
pub const OVERHEAD: usize = 32;

/// Where an entry begins in the stream of all bytes that were ever inserted (it wraps), and the bytes of name and value.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u32,
    name: u32,
    value: u32,
}

impl Entry {
    fn bytes(self) -> usize {
        (self.name + self.value) as usize
    }
}

/// See the module. Memory is allocated by the first insertion, at most twice `most` bytes and 8 for each 32 of it.
#[derive(Debug)]
pub struct DynamicTable {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// The bytes of the entries, the oldest first, from `start` on.
    bytes: Vec<u8>,
    start: usize,
    /// The place of `bytes` in the stream of all bytes that were ever inserted; it wraps.
    base: u32,
    /// As RFC 7541 §4.1 counts.
    size: usize,
    most: usize,
}

impl DynamicTable {
    /// An empty table of at most `most` bytes, as RFC 7541 §4.1 counts them.
    #[must_use]
    pub fn new(most: usize) -> DynamicTable {
        DynamicTable { entries: VecDeque::new(), bytes: Vec::new(), start: 0, base: 0, size: 0, most }
    }

    /// Name and value of the entry with this index; `None` for zero, and behind the last one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let place = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(place) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = *self.entries.get(place - STATIC.len())?;
        let start = entry.at.wrapping_sub(self.base) as usize;
        let bytes = &self.bytes[start..start + entry.bytes()];
        Some(bytes.split_at(entry.name as usize))
    }

    /// Bounds the table anew and evicts what is too much (RFC 7541 §4.3).
    pub fn resize(&mut self, most: usize) {
        self.most = most;
        self.evict(most);
    }

    /// Inserts an entry, and evicts older ones for it; one above the bound empties the table (RFC 7541 §4.4).
    pub fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        self.evict(self.most.saturating_sub(size));
        if size > self.most {
            return;
        }
        if self.start > self.most {
            self.compact();
        }
        let at = self.base.wrapping_add(self.bytes.len() as u32);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size += size;
        self.entries.push_front(Entry { at, name: name.len() as u32, value: value.len() as u32 });
    }

    fn evict(&mut self, most: usize) {
        while self.size > most {
            let Some(entry) = self.entries.pop_back() else { return };
            self.start += entry.bytes();
            self.size -= entry.bytes() + OVERHEAD;
        }
        if self.entries.is_empty() {
            self.base = self.base.wrapping_add(self.bytes.len() as u32);
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Gives back the memory that the entries do not need.
    pub fn rest(&mut self) {
        self.compact();
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// Drops the bytes of entries that are gone.
    fn compact(&mut self) {
        self.bytes.drain(..self.start);
        self.base = self.base.wrapping_add(self.start as u32);
        self.start = 0;
    }

    /// The memory that is held beside the struct, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// The size that the table may have now, as RFC 7541 §4.1 counts.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// As RFC 7541 §4.1 counts.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The number of entries of the connection.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the connection has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
