//! An encoder with a table, and the table by itself as RFC 7541 §4 has it: plain, slow, and written without a look at the decoder's.

use super::super::pair::Dice;
use crate::h2::decoder::Decoder;

/// The newest first.
#[derive(Debug)]
pub(super) struct Coder {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    most: usize,
}

impl Coder {
    pub(super) fn new() -> Coder {
        Coder { entries: Vec::new(), most: 4096 }
    }

    fn size(&self) -> usize {
        self.entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    fn shrink(&mut self, most: usize) {
        while self.size() > most {
            self.entries.pop();
        }
    }

    fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + 32;
        self.shrink(self.most.saturating_sub(size));
        if size <= self.most {
            self.entries.insert(0, (name.to_vec(), value.to_vec()));
        }
    }

    /// RFC 7541 §5.1.
    fn integer(first: u8, prefix: u32, value: usize, out: &mut Vec<u8>) {
        let most = (1 << prefix) - 1;
        if value < most {
            out.push(first | value as u8);
            return;
        }
        out.push(first | most as u8);
        let mut rest = value - most;
        while rest > 127 {
            out.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        out.push(rest as u8);
    }

    fn string(text: &[u8], out: &mut Vec<u8>) {
        Coder::integer(0, 7, text.len(), out);
        out.extend_from_slice(text);
    }

    /// A block of `fields`, each by reference, with an entry, without one, or as a secret, as the dice fall.
    pub(super) fn encode(&mut self, fields: &[(&[u8], &[u8])], dice: &mut Dice) -> Vec<u8> {
        let mut out = Vec::new();
        if dice.one_in(10) {
            for _ in 0..=dice.below(2) {
                self.most = [0, 40, 100, 500, 4096][dice.below(5)];
                self.shrink(self.most);
                Coder::integer(0x20, 5, self.most, &mut out);
            }
        }
        for (name, value) in fields {
            let is_known = |(known, its): &(Vec<u8>, Vec<u8>)| known == name && its == value;
            if let Some(place) = self.entries.iter().position(is_known)
                && !dice.one_in(4)
            {
                Coder::integer(0x80, 7, 62 + place, &mut out);
                continue;
            }
            let (first, prefix) = [(0x40, 6), (0x40, 6), (0, 4), (0x10, 4)][dice.below(4)];
            match self.entries.iter().position(|(known, _)| known == name) {
                Some(place) if dice.one_in(2) => Coder::integer(first, prefix, 62 + place, &mut out),
                _ => {
                    out.push(first);
                    Coder::string(name, &mut out);
                }
            }
            Coder::string(value, &mut out);
            if first == 0x40 {
                self.insert(name, value);
            }
        }
        out
    }

    /// Both tables have the same entries in the same order.
    pub(super) fn compare(&self, decoder: &Decoder) {
        let table = decoder.table();
        assert_eq!((table.len(), table.size()), (self.entries.len(), self.size()), "entries and size");
        for (place, (name, value)) in self.entries.iter().enumerate() {
            assert_eq!(table.get(62 + place), Some((&name[..], &value[..])), "entry {place}");
        }
        assert_eq!(table.get(62 + self.entries.len()), None);
    }
}
