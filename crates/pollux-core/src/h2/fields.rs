//! The fields of one block, as they were decoded: bytes in one arena, which is kept for the next block.

/// The place of a field in the arena.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    name: u32,
    value: u32,
    is_secret: bool,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderField<'a> {
    /// As it came; no letter is changed.
    pub name: &'a [u8],
    /// As it came.
    pub value: &'a [u8],
    /// The next sender must not put it into a table either (RFC 7541 §6.2.3).
    pub is_secret: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Fields {
    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them, in the order of the block.
    pub fn iter(&self) -> impl Iterator<Item = HeaderField<'_>> {
        self.places.iter().map(|place| {
            let start = place.start as usize;
            let bytes = &self.bytes[start..start + (place.name + place.value) as usize];
            let (name, value) = bytes.split_at(place.name as usize);
            HeaderField { name, value, is_secret: place.is_secret }
        })
    }

    /// The arena, to append a name and a value to.
    pub(super) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The bytes that were appended since `start`.
    pub(super) fn appended(&self, start: usize) -> &[u8] {
        &self.bytes[start..]
    }

    /// Makes a field of what was appended since `start`, whose first `name` bytes are the name.
    pub(super) fn keep(&mut self, start: usize, name: usize, is_secret: bool) {
        let value = self.bytes.len() - start - name;
        self.places.push(Place { start: start as u32, name: name as u32, value: value as u32, is_secret });
    }

    /// Drops what was appended since `start`.
    pub(super) fn drop_from(&mut self, start: usize) {
        self.bytes.truncate(start);
    }

    /// The memory that is held, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<Place>()
    }
}
