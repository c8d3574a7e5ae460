//! RFC 9113 §4, §6: sizes, streams, flags, padding and the order of frames; §3.4: how a connection begins.

use super::Expect::{self, Connection, Nothing, Stream};
use super::{BOTH, Case, event, head_for, hold, raw};
use crate::h2::connection::Role;
use crate::h2::frame::PREFACE;

const PROTOCOL: u32 = 1;
const FRAME_SIZE: u32 = 6;

/// The types with a meaning, and four without one.
const KINDS: [(u8, &str); 15] = [
    (0, "DATA"),
    (1, "HEADERS"),
    (2, "PRIORITY"),
    (3, "RST_STREAM"),
    (4, "SETTINGS"),
    (5, "PUSH_PROMISE"),
    (6, "PING"),
    (7, "GOAWAY"),
    (8, "WINDOW_UPDATE"),
    (9, "CONTINUATION"),
    (10, "ALTSVC"),
    (12, "ORIGIN"),
    (16, "PRIORITY_UPDATE"),
    (11, "type 11"),
    (255, "type 255"),
];

/// The owner of each frame type: a stream, the connection, or either (§6, RFC 9218 §7.1).
fn is_of_stream(kind: u8) -> Option<bool> {
    match kind {
        0..=3 | 5 | 9 => Some(true),
        4 | 6 | 7 | 16 => Some(false),
        _ => None,
    }
}

/// With stream 1 open.
fn open(role: Role) -> &'static str {
    if role == Role::Server { "S H1" } else { "S <O H1" }
}

/// Every length from 0 to 12, and those around the bound of 16,384. The payload is of ones.
pub(super) fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        for (kind, kind_name) in KINDS.iter().copied().filter(|(kind, _)| ![1, 5, 9].contains(kind)) {
            for length in (0..=12).chain([16_383, 16_384, 16_385, 40_000]) {
                let stream = u32::from(is_of_stream(kind).unwrap_or(true) || kind == 8);
                let input = raw(kind, 0, stream, &vec![1; length]);
                let expect = size(role, kind, length);
                let (rule, name) = ("§4.2, §6", format!("{kind_name} of {length} bytes"));
                cases.push(Case { rule, name, role, before: open(role), input, expect });
            }
        }
    }
    cases
}

fn size(role: Role, kind: u8, length: usize) -> Expect {
    if length > 16_384 {
        return Connection(FRAME_SIZE);
    }
    match (kind, length) {
        (0, 0) => Nothing,
        (0, length) => event(&format!("D1:{length}")),
        (2, 5) => Nothing,
        (2, _) => Stream(1, FRAME_SIZE),
        (3, 4) => event("R1=16843009:Peer"),
        (4, length) if length % 6 == 0 => event("S"),
        (6, 8) => Expect::Sent("ZA".to_owned()),
        (7, 8..) => event("G16843009=16843009"),
        (8, 4) => Nothing,
        (3 | 4 | 6 | 7 | 8, _) | (16, 0..4) => Connection(FRAME_SIZE),
        (16, _) if role == Role::Client => Connection(PROTOCOL),
        _ => Nothing,
    }
}

/// Each type on the connection, on a stream that is open, on one that is idle, and on one of the other parity.
pub(super) fn streams() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        for (kind, kind_name) in KINDS {
            for stream in [0, 1, 99, 2, 0x8000_0000, 0x8000_0001] {
                let payload: &[u8] = match kind {
                    0 => b"x",
                    2 => b"\0\0\0\0\x09",
                    3 | 8 => b"\0\0\0\x08",
                    6 => b"12345678",
                    7 => b"\0\0\0\x01\0\0\0\0",
                    16 => b"\0\0\0\x01u=1",
                    _ => b"",
                };
                let block = [head_for(role), head_for(role)].concat();
                let payload = if kind == 1 { &block[..head_for(role).len()] } else { payload };
                let input = raw(kind, 4 * u8::from(kind == 1), stream, payload);
                let expect = on_stream(role, kind, stream & 0x7fff_ffff);
                let (rule, name) = ("§4.1, §5.1.1, §6", format!("{kind_name} on {stream:#x}"));
                cases.push(Case { rule, name, role, before: open(role), input, expect });
            }
        }
    }
    cases
}

fn on_stream(role: Role, kind: u8, stream: u32) -> Expect {
    let is_wrong = is_of_stream(kind).is_some_and(|of_stream| of_stream != (stream != 0));
    if is_wrong || kind == 5 || kind == 9 {
        return Connection(PROTOCOL);
    }
    match (kind, stream) {
        (0, 1) => event("D1:1"),
        // Trailers that do not end the stream, and a final head behind the final head (§8.1).
        (1, 1) => Stream(1, PROTOCOL),
        (1, 99) if role == Role::Server => event("Q99"),
        (3, 1) => event("R1=8:Peer"),
        (0 | 1 | 3, _) | (8, 2 | 99) => Connection(PROTOCOL),
        (4, _) => event("S"),
        (6, _) => Expect::Sent("ZA".to_owned()),
        (7, _) => event("G1=0"),
        (16, _) if role == Role::Client => Connection(PROTOCOL),
        _ => Nothing,
    }
}

/// Each bit of the flags on each type: one that has no meaning there is ignored (§4.1).
pub(super) fn flags() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        for (kind, kind_name) in KINDS.iter().copied().filter(|(kind, _)| ![1, 5, 9].contains(kind)) {
            for bit in 0..8 {
                let flags = 1_u8 << bit;
                let payload: &[u8] = match kind {
                    0 => b"\x01xy",
                    2 => b"\0\0\0\0\x09",
                    3 | 8 => b"\0\0\0\x08",
                    6 => b"12345678",
                    7 => b"\0\0\0\x01\0\0\0\0",
                    16 => b"\0\0\0\x01u=1",
                    _ => b"",
                };
                let stream = u32::from(is_of_stream(kind).unwrap_or(true));
                let expect = match (kind, flags) {
                    (0, 1) => event("D1:3 E1"),
                    (0, 8) => event("D1:1"),
                    (0, _) => event("D1:3"),
                    // An acknowledgement; a PING that answers nothing of ours is ignored.
                    (4 | 6, 1) => Nothing,
                    _ => on_stream(role, kind, stream),
                };
                let input = raw(kind, flags, stream, payload);
                let (rule, name) = ("§4.1", format!("{kind_name} with flag {flags:#x}"));
                cases.push(Case { rule, name, role, before: open(role), input, expect });
            }
        }
    }
    cases
}

/// Each length of the padding against each length of the payload (§6.1, §6.2).
pub(super) fn padding() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        for length in 0..7_usize {
            for padding in 0..8_u8 {
                let mut payload = vec![0; length];
                if let Some(first) = payload.first_mut() {
                    *first = padding;
                } else if padding > 0 {
                    continue;
                }
                let expect = match length.checked_sub(1).map(|rest| rest.checked_sub(usize::from(padding))) {
                    None => Connection(FRAME_SIZE),
                    Some(None) => Connection(PROTOCOL),
                    Some(Some(0)) => Nothing,
                    Some(Some(data)) => event(&format!("D1:{data}")),
                };
                let (rule, name) = ("§6.1", format!("{padding} of padding in {length} bytes of DATA"));
                let input = raw(0, 8, 1, &payload);
                cases.push(Case { rule, name, role, before: open(role), input, expect });
            }
        }
        let (before, opened) = if role == Role::Server { ("S", "Q1") } else { ("S <O", "A1:200") };
        for (flags, extra) in [(0x0c, 1_usize), (0x2c, 6), (0x24, 5)] {
            for padding in [0_u8, 1, 7, 200, 255] {
                for missing in [0, 1] {
                    let pads = if flags & 8 == 0 { 0 } else { usize::from(padding) };
                    if flags & 8 == 0 && (padding > 0 || missing > 0) || pads < missing {
                        continue;
                    }
                    let head = head_for(role);
                    // The bytes that the padding lacks are cut from the block, so that the block is broken or
                    // all is refused.
                    let prefix = [
                        vec![padding; usize::from(flags & 8 != 0)],
                        vec![0; extra - usize::from(flags & 8 != 0)],
                    ];
                    let expect = if missing == 0 { event(opened) } else { Connection(9) };
                    let payload = [prefix.concat(), head, vec![0; pads - missing]].concat();
                    let (rule, name) =
                        ("§6.2", format!("flags {flags:#x}, {padding} of padding, {missing} missing"));
                    cases.push(Case { rule, name, role, before, input: raw(1, flags, 1, &payload), expect });
                }
            }
        }
        for (flags, payload, code, why) in [
            (0x0c, &b""[..], FRAME_SIZE, "no length of the padding"),
            (0x0c, b"\x01", PROTOCOL, "padding beyond the frame"),
            (0x0c, b"\xff\0\0\0", PROTOCOL, "much padding beyond the frame"),
            (0x24, b"\0\0\0\0", FRAME_SIZE, "four bytes of a priority"),
            (0x2c, b"\0\0\0\0\0", FRAME_SIZE, "a priority and padding in five bytes"),
            (0x2c, b"\x01\0\0\0\0\0", PROTOCOL, "a priority, and padding beyond the frame"),
        ] {
            let name = format!("HEADERS with {why}");
            let (rule, expect, input) = ("§6.2", Connection(code), raw(1, flags, 1, payload));
            cases.push(Case { rule, name, role, before, input, expect });
        }
    }
    cases
}

/// Nothing stands between the frames of a block (§6.2, §6.10).
pub(super) fn sequences() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        let (before, opened) = if role == Role::Server { ("S", "Q1") } else { ("S <O", "A1:200") };
        let block = head_for(role);
        let first = raw(1, 0, 1, &block[..3]);
        for (kind, kind_name) in KINDS {
            for stream in [1, 3] {
                let stream = if is_of_stream(kind) == Some(false) { 0 } else { stream };
                if stream == 0
                    && cases.iter().any(|case: &Case| {
                        case.role == role && case.name == format!("{kind_name} in a block on 0")
                    })
                {
                    continue;
                }
                let payload: &[u8] = match kind {
                    2 => &[0; 5],
                    3 | 8 | 16 => &[0, 0, 0, 1],
                    6 | 7 => &[0; 8],
                    9 => &block[3..],
                    _ => b"",
                };
                let is_next = kind == 9 && stream == 1;
                let expect = if is_next { event(opened) } else { Connection(PROTOCOL) };
                let input = [first.clone(), raw(kind, 4 * u8::from(kind == 9), stream, payload)].concat();
                let (rule, name) = ("§6.10", format!("{kind_name} in a block on {stream}"));
                cases.push(Case { rule, name, role, before, input, expect });
            }
        }
        // A block in so many frames, some of them empty; more than eight CONTINUATIONs are too many for us.
        for count in 0..12_usize {
            for is_empty in [false, true] {
                let mut input = raw(
                    1,
                    4 * u8::from(count == 0),
                    1,
                    if is_empty || count == 0 { &block } else { &block[..1] },
                );
                for number in 1..=count {
                    let from = if is_empty { block.len() } else { number };
                    let to = if is_empty || number == count { block.len() } else { number + 1 };
                    input.extend(raw(9, 4 * u8::from(number == count), 1, &block[from.min(to)..to]));
                }
                let expect = if count > 8 { Connection(11) } else { event(opened) };
                let (rule, name) = ("§6.10", format!("{count} CONTINUATIONs, empty: {is_empty}"));
                if !(count == 0 && is_empty) {
                    cases.push(Case { rule, name, role, before, input, expect });
                }
            }
        }
    }
    cases
}

/// The first frame is SETTINGS, behind the preface of a client (§3.4).
pub(super) fn beginnings() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        let preface: &[u8] = if role == Role::Server { PREFACE } else { b"" };
        for (kind, kind_name) in KINDS {
            for flags in [0, 1] {
                let stream = u32::from(is_of_stream(kind).unwrap_or(false));
                let length = [1, 1, 5, 4, 0, 4, 8, 8, 4, 1].get(usize::from(kind)).copied().unwrap_or(4);
                let input = [preface, &raw(kind, flags, stream, &vec![1; length])].concat();
                let expect = if (kind, flags) == (4, 0) { event("S") } else { Connection(PROTOCOL) };
                let (rule, name) = ("§3.4", format!("{kind_name} first, flags {flags}"));
                cases.push(Case { rule, name, role, before: "", input, expect });
            }
        }
    }
    for place in 0..PREFACE.len() {
        for change in [0x20, 0x01] {
            let mut input = PREFACE.to_vec();
            input[place] ^= change;
            let (rule, name) = ("§3.4", format!("byte {place} of the preface, xor {change}"));
            cases.push(Case {
                rule,
                name,
                role: Role::Server,
                before: "",
                input,
                expect: Connection(PROTOCOL),
            });
        }
    }
    cases
}

#[test]
fn sizes_and_streams() {
    hold(&sizes());
    hold(&streams());
}

#[test]
fn flags_and_padding() {
    hold(&flags());
    hold(&padding());
}

#[test]
fn sequences_and_beginnings() {
    hold(&sequences());
    hold(&beginnings());
}
