//! Fields to field blocks (RFC 7541 §3, §6).
//!
//! The encoder uses the static table and no table of the connection. So a block belongs to no connection: it can be made before one is
//! chosen, kept, and sent again on another one. The first block of a connection says so to the peer, by a size update to zero, which fits
//! whatever size the peer allows. The same update begins the block behind each SETTINGS that lower the peer's table (RFC 9113 §4.3.1).

use super::fields::HeaderField;
use super::huffman;
use super::integer;
use super::static_table::STATIC;
use super::table::OVERHEAD;

/// The size update to a table of no entries (RFC 7541 §6.3).
pub const NO_TABLE: u8 = 0x20;

/// The form of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// As they are: the cheapest for both sides.
    Plain,
    /// In the Huffman code where that is shorter.
    Short,
}

/// A field block, and the size of the list that it stands for.
#[derive(Clone, Debug, Default)]
pub struct FieldBlock {
    bytes: Vec<u8>,
    list: usize,
}

impl FieldBlock {
    /// Appends `field`.
    pub fn push(&mut self, field: HeaderField<'_>, strings: Strings) {
        encode(field, strings, &mut self.bytes);
        self.list += field.name.len() + field.value.len() + OVERHEAD;
    }

    /// Drops all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list = 0;
    }

    /// The memory that is held beside the struct, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The block.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of all names and values, and 32 for each field (RFC 9113 §6.5.2).
    #[must_use]
    pub fn list_size(&self) -> usize {
        self.list
    }
}

/// Appends `field` to a block.
pub fn encode(field: HeaderField<'_>, strings: Strings, out: &mut Vec<u8>) {
    let found = find(field.name, field.value);
    if let Found::Both(index) = found
        && !field.is_secret
    {
        integer::write(0x80, 7, index, out);
        return;
    }
    let first = if field.is_secret { 0x10 } else { 0 };
    match found {
        Found::Both(index) | Found::Name(index) => integer::write(first, 4, index, out),
        Found::Neither => {
            out.push(first);
            string(field.name, strings, out);
        }
    }
    string(field.value, strings, out);
}

fn string(text: &[u8], strings: Strings, out: &mut Vec<u8>) {
    let short = match strings {
        Strings::Plain => text.len(),
        Strings::Short => huffman::encoded_len(text),
    };
    if short < text.len() {
        integer::write(0x80, 7, short, out);
        huffman::encode(text, out);
    } else {
        integer::write(0, 7, text.len(), out);
        out.extend_from_slice(text);
    }
}

/// The entry of the static table for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Both(usize),
    Name(usize),
    Neither,
}

/// The longest name of the static table.
const NAME_MAX: usize = 27;

/// The entries, ordered by the length of their names: places in [`STATIC`].
static BY_LENGTH: [u8; STATIC.len()] = by_length();
/// The places in [`BY_LENGTH`] at which the names of each length begin.
static STARTS: [u8; NAME_MAX + 2] = starts();

const fn by_length() -> [u8; STATIC.len()] {
    let mut ordered = [0; STATIC.len()];
    let (mut length, mut next) = (0, 0);
    while length <= NAME_MAX {
        let mut place = 0;
        while place < STATIC.len() {
            if STATIC[place].0.len() == length {
                ordered[next] = place as u8;
                next += 1;
            }
            place += 1;
        }
        length += 1;
    }
    assert!(next == STATIC.len(), "no name is longer");
    ordered
}

const fn starts() -> [u8; NAME_MAX + 2] {
    let mut starts = [0; NAME_MAX + 2];
    let mut length = 0;
    while length <= NAME_MAX {
        let mut count = 0;
        let mut place = 0;
        while place < STATIC.len() {
            if STATIC[place].0.len() == length {
                count += 1;
            }
            place += 1;
        }
        starts[length + 1] = starts[length] + count;
        length += 1;
    }
    starts
}

fn find(name: &[u8], value: &[u8]) -> Found {
    if name.len() > NAME_MAX {
        return Found::Neither;
    }
    let (from, to) = (usize::from(STARTS[name.len()]), usize::from(STARTS[name.len() + 1]));
    let mut found = Found::Neither;
    for place in &BY_LENGTH[from..to] {
        let index = usize::from(*place) + 1;
        let (known, known_value) = STATIC[index - 1];
        if known.as_bytes() == name {
            if known_value.as_bytes() == value {
                return Found::Both(index);
            }
            if found == Found::Neither {
                found = Found::Name(index);
            }
        }
    }
    found
}
