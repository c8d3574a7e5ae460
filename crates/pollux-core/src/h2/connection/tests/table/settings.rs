//! RFC 9113 §6.5, §6.9; RFC 8441 §3; RFC 9218 §2.1: values of settings, and windows.

use super::Expect::{self, Connection, Nothing, Stream};
use super::{BOTH, Case, event, hold, raw};
use crate::h2::connection::Role;

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const MOST: u64 = (1 << 31) - 1;

const NUMBERS: [u16; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 0x0a0a, 0xffff];
const VALUES: [u32; 14] = [
    0,
    1,
    2,
    100,
    4096,
    16_383,
    16_384,
    65_535,
    (1 << 24) - 1,
    1 << 24,
    (1 << 31) - 2,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX,
];

/// The bounds of each setting; `None` is a value that is allowed.
fn fault(number: u16, value: u32, peer_is_server: bool) -> Option<u32> {
    let is_good = match number {
        2 if peer_is_server => value == 0,
        2 | 8 | 9 => value <= 1,
        4 => u64::from(value) <= MOST,
        5 => (16_384..1 << 24).contains(&value),
        _ => true,
    };
    (!is_good).then_some(if number == 4 { FLOW_CONTROL } else { PROTOCOL })
}

pub(super) fn values() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        for number in NUMBERS {
            for value in VALUES {
                let payload = [&number.to_be_bytes()[..], &value.to_be_bytes()].concat();
                let expect = fault(number, value, role == Role::Client).map_or(event("S"), Connection);
                let (rule, name) = ("§6.5.2", format!("setting {number} is {value}"));
                cases.push(Case { rule, name, role, before: "S", input: raw(4, 0, 0, &payload), expect });
            }
        }
    }
    cases
}

/// Which windows the frame names, and how full they are before it.
pub(super) fn windows() -> Vec<Case> {
    const FIRST: u64 = 65_535;
    let mut cases = Vec::new();
    let increments: [u64; 8] = [0, 1, 1000, MOST - FIRST - 1, MOST - FIRST, MOST - FIRST + 1, MOST - 1, MOST];
    for role in BOTH {
        let (open, zero) = if role == Role::Server { ("S H1", "S4=0 H1") } else { ("S <O", "S4=0 <O") };
        for (before, stream, window) in [(open, 0, FIRST), (open, 1, FIRST), (zero, 1, 0), (zero, 0, FIRST)] {
            for increment in increments {
                for reserved in [0, 1 << 31] {
                    let payload = (increment as u32 | reserved).to_be_bytes();
                    let code = match (increment, window + increment > MOST) {
                        (0, _) => Some(PROTOCOL),
                        (_, true) => Some(FLOW_CONTROL),
                        (_, false) => None,
                    };
                    let fail = |code| if stream == 0 { Connection(code) } else { Stream(stream, code) };
                    let expect = code.map_or(Nothing, fail);
                    let name =
                        format!("{increment} on {stream} behind {before}, reserved bit {}", reserved >> 31);
                    let input = raw(8, 0, stream, &payload);
                    cases.push(Case { rule: "§6.9, §6.9.1", name, role, before, input, expect });
                }
            }
        }
        // A stream with a window of 65,535 and an increment; then another initial window.
        for increment in [1_u64, 1000, MOST - FIRST] {
            for initial in [0, 1, FIRST, FIRST + 1, MOST - 1000, MOST - 1, MOST] {
                let overflows = increment + initial > MOST;
                let expect = if overflows { Connection(FLOW_CONTROL) } else { event("S") };
                let update = raw(8, 0, 1, &(increment as u32).to_be_bytes());
                let settings = raw(4, 0, 0, &[&[0, 4][..], &(initial as u32).to_be_bytes()].concat());
                let (rule, name) =
                    ("§6.9.2", format!("an increment of {increment}, then windows of {initial}"));
                let input = [update, settings].concat();
                cases.push(Case { rule, name, role, before: open, input, expect });
            }
        }
        cases.extend(overruns(role));
    }
    cases
}

/// DATA against a window of 100 bytes that the peer has acknowledged is in `rules.rs`; here it is the one of 65,535: each length of the last
/// frame around the bound, with each form of padding.
fn overruns(role: Role) -> Vec<Case> {
    let before = if role == Role::Server { "S SA H1" } else { "S SA <O. H1" };
    let mut cases = Vec::new();
    for (beyond, padding) in [(0_i32, 0_u8), (1, 0), (-1, 0), (0, 1), (1, 1), (0, 255), (1, 255), (16_384, 0)]
    {
        let mut input = Vec::new();
        (0..3).for_each(|_| input.extend(raw(0, 0, 1, &vec![b'd'; 16_384])));
        let last = (16_383 + beyond.min(1)) as usize;
        let mut payload = vec![0; last];
        if padding > 0 {
            payload[0] = padding;
        }
        input.extend(raw(0, 8 * u8::from(padding > 0), 1, &payload));
        if beyond > 1 {
            input.extend(raw(0, 0, 1, b"more"));
        }
        let data = 3 * 16_384 + last - if padding > 0 { 1 + usize::from(padding) } else { 0 };
        let expect: Expect = if beyond > 0 { Stream(1, FLOW_CONTROL) } else { event(&format!("D1:{data}")) };
        let (rule, name) = ("§6.9.1", format!("{beyond} beyond the window, {padding} of padding"));
        cases.push(Case { rule, name, role, before, input, expect });
    }
    cases
}

#[test]
fn values_of_settings() {
    hold(&values());
}

#[test]
fn increments_and_overruns() {
    hold(&windows());
}
