//! Strings in the code of RFC 7541 §5.2.
//!
//! A table that is made at compile time drives the decoder, four bits at a time. A state is an inner node of the code's tree, of which
//! there are 256; the shortest code has five bits, so a step ends at most one symbol.

use super::huffman_codes::{CODES, SYMBOLS};

/// Inner nodes of the tree, the root included: one less than there are symbols.
const NODES: usize = SYMBOLS - 1;
/// Where a node has no child yet, while the tree is built.
const NONE: u16 = u16::MAX;
/// Children from here on are leaves: the symbol is the rest.
const LEAF: u16 = 1024;

/// The step of four bits in a state.
#[derive(Clone, Copy)]
struct Step {
    next: u8,
    symbol: u8,
    effect: Effect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing is complete yet.
    Walk,
    /// A symbol is complete.
    Emit,
    /// The bits hold the end of the string, which no encoder may send (RFC 7541 §5.2).
    Fail,
}

static STEPS: [[Step; 16]; NODES] = steps();
/// In which states a string may end: fewer than eight bits of padding, all of them ones.
static ENDS: [bool; NODES] = ends();

const fn tree() -> [[u16; 2]; NODES] {
    let mut tree = [[NONE; 2]; NODES];
    let mut made = 1;
    let mut symbol = 0;
    while symbol < SYMBOLS {
        let (bits, length) = CODES[symbol];
        let mut node = 0;
        let mut left = length;
        while left > 1 {
            left -= 1;
            let bit = (bits >> left & 1) as usize;
            if tree[node][bit] == NONE {
                tree[node][bit] = made;
                made += 1;
            }
            node = tree[node][bit] as usize;
        }
        tree[node][(bits & 1) as usize] = LEAF + symbol as u16;
        symbol += 1;
    }
    assert!(made as usize == NODES, "the code is complete");
    tree
}

const fn steps() -> [[Step; 16]; NODES] {
    let tree = tree();
    let mut steps = [[Step { next: 0, symbol: 0, effect: Effect::Walk }; 16]; NODES];
    let mut node = 0;
    while node < NODES {
        let mut nibble = 0;
        while nibble < 16 {
            let mut step = Step { next: 0, symbol: 0, effect: Effect::Walk };
            let mut at = node as u16;
            let mut bit = 4;
            while bit > 0 {
                bit -= 1;
                at = tree[at as usize][nibble >> bit & 1];
                if at >= LEAF {
                    let symbol = at - LEAF;
                    if symbol as usize == SYMBOLS - 1 {
                        step.effect = Effect::Fail;
                        bit = 0;
                    } else {
                        step.effect = Effect::Emit;
                        step.symbol = symbol as u8;
                    }
                    at = 0;
                }
            }
            step.next = at as u8;
            steps[node][nibble] = step;
            nibble += 1;
        }
        node += 1;
    }
    steps
}

const fn ends() -> [bool; NODES] {
    let tree = tree();
    let mut ends = [false; NODES];
    let (mut node, mut depth) = (0, 0);
    while depth < 8 {
        ends[node] = true;
        node = tree[node][1] as usize;
        depth += 1;
    }
    ends
}

/// Appends the bytes that `code` stands for: at most 8 for each 5 bytes of it. False if it is no string of this code.
pub fn decode(code: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(code.len() * 8 / 5);
    let mut state = 0_u8;
    for byte in code {
        for nibble in [byte >> 4, byte & 15] {
            let step = STEPS[usize::from(state)][usize::from(nibble)];
            match step.effect {
                Effect::Walk => {}
                Effect::Emit => out.push(step.symbol),
                Effect::Fail => return false,
            }
            state = step.next;
        }
    }
    ENDS[usize::from(state)]
}

/// The number of bytes that [`encode`] appends for `text`.
#[must_use]
pub fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(CODES[usize::from(*byte)].1)).sum();
    bits.div_ceil(8)
}

/// Appends the code of `text`, padded with ones.
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut pending, mut count) = (0_u64, 0_u32);
    for byte in text {
        let (bits, length) = CODES[usize::from(*byte)];
        pending = pending << length | u64::from(bits);
        count += u32::from(length);
        while count >= 8 {
            count -= 8;
            out.push((pending >> count) as u8);
        }
    }
    if count > 0 {
        out.push((pending << (8 - count)) as u8 | (0xff >> count));
    }
}
