//! The steps of a script.
//!
//! | letter | what happens |
//! |---|---|
//! | `n` | a client connects |
//! | `c` | a client says the bytes |
//! | `b` | a backend says the bytes; each `$` becomes the mark of the request that it was sent last |
//! | `e`, `E` | a client, or a backend, says no more |
//! | `r`, `R` | a client, or a backend, resets its connection |
//! | `s`, `S` | a client, or a backend, takes only as many more bytes as go with the step |
//! | `o` | nothing holds the worker up any more |
//! | `p` | a read gives only as many bytes as go with the step; any number again if none do |
//! | `d` | how connects turn out from now on |
//! | `a` | pending connects are decided |
//! | `w` | time passes until the next deadline |
//! | `h` | the next step happens before the worker polls again |
//!
//! Any other letter does nothing.

use super::kernel::{Dialling, Kernel, Other};
use crate::wire;

/// Steps of a script that are looked at.
const STEPS_MAX: usize = 100;

/// Clients that may come.
const CLIENTS_MAX: u8 = 6;

/// The marks: bytes that stand in no protocol element but a field value, a reason and a body.
pub(super) const MARKS: std::ops::RangeInclusive<u8> = 0x80..=0xbf;

/// The mark of what a backend says that was sent nothing.
pub(super) const NOBODYS: u8 = *MARKS.end();

pub(super) struct Step<'a> {
    letter: u8,
    whom: usize,
    bytes: &'a [u8],
}

/// Cuts a script into its steps.
pub(super) fn steps(script: &[u8]) -> impl Iterator<Item = Step<'_>> {
    script.split(|&byte| byte == 0xff).take(STEPS_MAX).filter_map(|step| match step {
        [] => None,
        [letter] => Some(Step { letter: *letter, whom: 0, bytes: &[] }),
        [letter, whom, bytes @ ..] => {
            // `0` to `9` count from 0, so that scripts can be read.
            Some(Step { letter: *letter, whom: usize::from(whom.wrapping_sub(b'0')), bytes })
        }
    })
}

/// Makes `step` happen.
pub(super) fn perform(step: &Step<'_>, kernel: &mut Kernel) {
    kernel.is_still = step.letter == b'h';
    let to_backend = matches!(step.letter, b'b' | b'E' | b'R' | b'S');
    let open = kernel.open(to_backend);
    let whom = open.get(step.whom % open.len().max(1)).copied();
    let count = step.bytes.len();
    match (step.letter, whom) {
        (b'n', _) if kernel.clients < CLIENTS_MAX => kernel.come(),
        (b'c', Some(whom)) => kernel.conns[whom].say(step.bytes),
        (b'b', Some(whom)) => {
            let mark = mark(kernel, whom);
            let marked = |byte: &u8| match byte {
                b'$' => mark,
                byte if MARKS.contains(byte) => b'?',
                byte => *byte,
            };
            let bytes: Vec<u8> = step.bytes.iter().map(marked).collect();
            kernel.conns[whom].say(&bytes);
        }
        (b'e' | b'E', Some(whom)) => kernel.conns[whom].end(),
        (b'r' | b'R', Some(whom)) => kernel.conns[whom].reset(),
        (b's' | b'S', Some(whom)) => kernel.conns[whom].window = count,
        (b'o', _) => kernel.relent(),
        (b'p', _) => kernel.read_max = Some(count).filter(|&count| count > 0),
        (b'd', _) => {
            let ways = [
                Dialling::AtOnce,
                Dialling::Later,
                Dialling::RefusedLater,
                Dialling::Refused,
                Dialling::Busy,
            ];
            kernel.dialling = ways[step.whom % ways.len()];
        }
        (b'a', _) => kernel.decide(),
        (b'w', _) => kernel.waits_once = true,
        _ => {}
    }
}

/// The mark of the request that a backend was sent last on connection `whom`; every request has its own.
fn mark(kernel: &mut Kernel, whom: usize) -> u8 {
    let conn = &kernel.conns[whom];
    debug_assert!(conn.other == Other::Backend);
    let (requests, _) = wire::requests(&conn.out, true);
    // Behind a switch of protocols anything may look like a request: nothing is marked there.
    let says_101 = conn.said.windows(5).any(|window| window == b" 101 ");
    if says_101 && requests.iter().any(|request| request.wants_upgrade) {
        return b'$';
    }
    let Some(client) = requests.last().and_then(|request| number_of(request.client.as_deref()?)) else {
        return NOBODYS;
    };
    let of = (whom, requests.len(), client);
    let place = kernel.marks.iter().position(|other| *other == of).unwrap_or_else(|| {
        kernel.marks.push(of);
        kernel.marks.len() - 1
    });
    u8::try_from(place).ok().map(|place| MARKS.start() + place).filter(|mark| *mark < NOBODYS).unwrap_or(b'$')
}

/// The client whose mark it is.
pub(super) fn owner(kernel: &Kernel, mark: u8) -> Option<u8> {
    kernel.marks.get(usize::from(mark - MARKS.start())).filter(|_| mark != NOBODYS).map(|of| of.2)
}

/// The number of the client whose address X-Forwarded-For gives.
pub(super) fn number_of(address: &[u8]) -> Option<u8> {
    std::str::from_utf8(address).ok()?.strip_prefix("10.0.0.")?.parse().ok()
}
