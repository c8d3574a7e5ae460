//! RFC 9113 §8.1: lengths of bodies against Content-Length, and trailers; §7: codes of errors.

use super::Expect::Stream;
use super::{BOTH, Case, GET, event, hold, literals, raw};
use crate::h2::connection::Role;

const PROTOCOL: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// END_STREAM on the last DATA, or on HEADERS without DATA.
    WithLast,
    /// An empty DATA behind the others.
    EmptyData,
    Trailers,
    /// None yet.
    Open,
}

/// The promise of Content-Length, the number of frames that come, and the end.
pub(super) fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        for promised in [None, Some(0_usize), Some(1), Some(4)] {
            for came in [0_usize, 1, 3, 4, 5] {
                for frames in [1, 2] {
                    for ending in [Ending::WithLast, Ending::EmptyData, Ending::Trailers, Ending::Open] {
                        for padding in [0, 3] {
                            if came < frames && (frames == 2 || padding > 0) {
                                continue;
                            }
                            cases.push(length(role, promised, came, frames, ending, padding));
                        }
                    }
                }
            }
        }
    }
    cases
}

fn length(
    role: Role,
    promised: Option<usize>,
    came: usize,
    frames: usize,
    ending: Ending,
    padding: u8,
) -> Case {
    let text = promised.map(|promised| promised.to_string());
    let mut fields = if role == Role::Server { GET.to_vec() } else { vec![(&b":status"[..], &b"200"[..])] };
    fields.extend(text.iter().map(|text| (&b"content-length"[..], text.as_bytes())));
    let is_in_head = came == 0 && ending == Ending::WithLast;
    let mut input = raw(1, 4 + u8::from(is_in_head), 1, &literals(&fields));
    let first = if frames == 1 { 0 } else { came / 2 };
    for (number, size) in [first, came - first].into_iter().enumerate().filter(|(_, size)| *size > 0) {
        let is_last = number == 1 && ending == Ending::WithLast;
        let payload =
            [vec![padding; usize::from(padding > 0)], vec![b'd'; size], vec![0; usize::from(padding)]]
                .concat();
        input.extend(raw(0, u8::from(is_last) + 8 * u8::from(padding > 0), 1, &payload));
    }
    match ending {
        Ending::EmptyData => input.extend(raw(0, 1, 1, b"")),
        Ending::Trailers => input.extend(raw(1, 5, 1, &literals(&[(b"x", b"y")]))),
        Ending::WithLast | Ending::Open => {}
    }
    let opened = if role == Role::Server { "Q1" } else { "A1:200" };
    let is_wrong =
        promised.is_some_and(|promised| came > promised || (came < promised && ending != Ending::Open));
    let name = format!("{came} of {promised:?} in {frames}, {ending:?}, {padding} of padding");
    let expect = if is_wrong {
        Stream(1, PROTOCOL)
    } else {
        let mut words = vec![format!("{opened}{}", if is_in_head { "." } else { "" })];
        words.extend((came > 0).then(|| format!("D1:{came}")));
        match ending {
            Ending::WithLast if is_in_head => {}
            Ending::WithLast | Ending::EmptyData => words.push("E1".to_owned()),
            Ending::Trailers => words.push("T1".to_owned()),
            Ending::Open => {}
        }
        event(&words.join(" "))
    };
    let before = if role == Role::Server { "S" } else { "S <O" };
    Case { rule: "§8.1.1", name, role, before, input, expect }
}

/// A code is passed on as it is, also one that nobody knows (§7).
pub(super) fn codes() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in BOTH {
        let before = if role == Role::Server { "S H1" } else { "S <O" };
        for code in (0..=16_u32).chain([255, 1 << 16, 1 << 31, u32::MAX]) {
            let why = if role == Role::Client && code == 7 { "Unprocessed" } else { "Peer" };
            let (rule, name) = ("§7", format!("RST_STREAM with {code}"));
            let (input, expect) = (raw(3, 0, 1, &code.to_be_bytes()), event(&format!("R1={code}:{why}")));
            cases.push(Case { rule, name, role, before, input, expect });
            let name = format!("GOAWAY with {code}");
            for (last, words) in [(1, ""), (MOST, " with words")] {
                let payload = [&last.to_be_bytes()[..], &code.to_be_bytes(), words.as_bytes()].concat();
                let expect = event(&format!("G{}={code}", last & MOST));
                let input = raw(7, 0, 0, &payload);
                cases.push(Case { rule, name: format!("{name}{words}"), role, before, input, expect });
            }
        }
    }
    cases
}

const MOST: u32 = (1 << 31) - 1;

#[test]
fn lengths_and_codes() {
    hold(&lengths());
    hold(&codes());
}
