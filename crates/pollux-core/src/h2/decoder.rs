//! Field blocks to fields (RFC 7541 §3, §6).
//!
//! Every block of a connection goes through its one decoder, also those of streams that are refused or gone: each may change the table.
//! So a block above the bounds is decoded to its end, but its fields are no longer kept. A byte of a block can stand for kilobytes by
//! reference; what such a block may stand for is bounded, too, and the work with it.

use super::fields::Fields;
use super::huffman;
use super::integer;
use super::static_table::STATIC;
use super::table::{DynamicTable, OVERHEAD};

/// The size of each connection's table before settings say otherwise (RFC 9113 §6.5.2).
const FIRST_TABLE: usize = 4096;
/// A list that would be so many times its bound is not decoded to its end.
const EXCESS: usize = 8;

/// The bounds of a field block that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all names and values, and 32 for each field (RFC 9113 §6.5.2).
    pub list: usize,
    /// Fields, each crumb of a cookie counted by itself.
    pub fields: usize,
}

/// The result of decoding a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// All its fields are there.
    Whole,
    /// It is above the bounds, and some of its fields are missing. The table is right nevertheless.
    TooLarge,
}

/// Why a connection cannot go on (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackFault {
    /// The block breaks RFC 7541: COMPRESSION_ERROR.
    Malformed,
    /// The list is far beyond its bound: ENHANCE_YOUR_CALM.
    Excessive,
}

/// The decoder of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The highest bound that a size update may set.
    most: usize,
    /// The bytes that the last block stood for by references to entries of the connection, as RFC 7541 §4.1
    /// counts.
    referenced: usize,
}

/// The treatment of the table by a literal (RFC 7541 §6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Indexing {
    Incremental,
    Without,
    Never,
}

impl Decoder {
    /// Begins with an empty table of at most `most` bytes, as we have announced it.
    #[must_use]
    pub fn new(most: usize) -> Decoder {
        Decoder { table: DynamicTable::new(most), most, referenced: 0 }
    }

    /// The decoder of a connection whose settings announce a table of `announced` bytes. Until the peer has acknowledged them, it may use the
    /// table that each connection begins with.
    #[must_use]
    pub fn of_connection(announced: usize) -> Decoder {
        let table = DynamicTable::new(FIRST_TABLE);
        Decoder { table, most: announced.max(FIRST_TABLE), referenced: 0 }
    }

    /// The peer has acknowledged settings that announce `announced` bytes. If its table was larger, its next block begins with a size update
    /// (RFC 9113 §4.3.1).
    pub fn acknowledged(&mut self, announced: usize) {
        self.most = announced;
    }

    /// The table of the connection.
    #[must_use]
    pub fn table(&self) -> &DynamicTable {
        &self.table
    }

    /// The bytes that the last block stood for by references to entries of the connection, as RFC 7541 §4.1
    /// counts. Above the size of the table it names an entry more than once.
    #[must_use]
    pub fn referenced(&self) -> usize {
        self.referenced
    }

    /// Gives back the memory that the table does not use.
    pub fn rest(&mut self) {
        self.table.rest();
    }

    /// Decodes one whole block to the end of `fields`.
    ///
    /// # Errors
    /// The connection is at its end, and `fields` holds a part of the block.
    pub fn decode(
        &mut self,
        block: &[u8],
        bounds: Bounds,
        fields: &mut Fields,
    ) -> Result<Decoded, HpackFault> {
        self.referenced = 0;
        let rest = self.updates(block)?;
        let mut list = List { bounds, size: 0, count: 0, fields };
        let mut at = 0;
        while at < rest.len() {
            at += self.field(&rest[at..], &mut list)?;
        }
        Ok(if list.fits() { Decoded::Whole } else { Decoded::TooLarge })
    }

    /// Reads the size updates, which stand at the beginning of a block or nowhere (RFC 7541 §4.2).
    fn updates<'a>(&mut self, mut block: &'a [u8]) -> Result<&'a [u8], HpackFault> {
        while let Some(0x20..0x40) = block.first() {
            let (size, length) = integer::read(block, 5).ok_or(HpackFault::Malformed)?;
            if size > self.most {
                return Err(HpackFault::Malformed);
            }
            self.table.resize(size);
            block = &block[length..];
        }
        if self.table.most() > self.most {
            return Err(HpackFault::Malformed);
        }
        Ok(block)
    }

    /// Reads one field; how many bytes it has.
    fn field(&mut self, bytes: &[u8], list: &mut List<'_>) -> Result<usize, HpackFault> {
        match bytes[0] {
            0x80.. => self.indexed(bytes, list),
            0x40.. => self.literal(bytes, 6, Indexing::Incremental, list),
            0x20.. => Err(HpackFault::Malformed),
            0x10.. => self.literal(bytes, 4, Indexing::Never, list),
            0.. => self.literal(bytes, 4, Indexing::Without, list),
        }
    }

    fn indexed(&mut self, bytes: &[u8], list: &mut List<'_>) -> Result<usize, HpackFault> {
        let (index, length) = integer::read(bytes, 7).ok_or(HpackFault::Malformed)?;
        let (name, value) = self.table.get(index).ok_or(HpackFault::Malformed)?;
        if index > STATIC.len() {
            self.referenced += name.len() + value.len() + OVERHEAD;
        }
        if list.admits(name.len() + value.len())? {
            let start = list.fields.arena().len();
            list.fields.arena().extend_from_slice(name);
            list.fields.arena().extend_from_slice(value);
            list.fields.keep(start, name.len(), false);
        }
        Ok(length)
    }

    fn literal(
        &mut self,
        bytes: &[u8],
        prefix: u32,
        indexing: Indexing,
        list: &mut List<'_>,
    ) -> Result<usize, HpackFault> {
        let (index, mut at) = integer::read(bytes, prefix).ok_or(HpackFault::Malformed)?;
        let start = list.fields.arena().len();
        if index == 0 {
            at += string(&bytes[at..], list.fields.arena())?;
        } else {
            let (name, _) = self.table.get(index).ok_or(HpackFault::Malformed)?;
            list.fields.arena().extend_from_slice(name);
        }
        let name = list.fields.arena().len() - start;
        at += string(&bytes[at..], list.fields.arena())?;
        if indexing == Indexing::Incremental {
            let (name, value) = list.fields.appended(start).split_at(name);
            self.table.insert(name, value);
        }
        let size = list.fields.arena().len() - start;
        if list.admits(size)? {
            list.fields.keep(start, name, indexing == Indexing::Never);
        } else {
            list.fields.drop_from(start);
        }
        Ok(at)
    }
}

/// The list that a block becomes, and how large it would be.
struct List<'a> {
    bounds: Bounds,
    size: usize,
    count: usize,
    fields: &'a mut Fields,
}

impl List<'_> {
    fn fits(&self) -> bool {
        self.size <= self.bounds.list && self.count <= self.bounds.fields
    }

    /// Counts a field of `bytes` bytes; whether it is kept.
    fn admits(&mut self, bytes: usize) -> Result<bool, HpackFault> {
        self.size += bytes + OVERHEAD;
        self.count += 1;
        if self.size > self.bounds.list.saturating_mul(EXCESS) {
            return Err(HpackFault::Excessive);
        }
        Ok(self.fits())
    }
}

/// Appends a string literal (RFC 7541 §5.2); how many bytes it has in the block.
fn string(bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, HpackFault> {
    let (length, at) = integer::read(bytes, 7).ok_or(HpackFault::Malformed)?;
    let text = bytes.get(at..at + length).ok_or(HpackFault::Malformed)?;
    if bytes[0] & 0x80 == 0 {
        out.extend_from_slice(text);
    } else if !huffman::decode(text, out) {
        return Err(HpackFault::Malformed);
    }
    Ok(at + length)
}
