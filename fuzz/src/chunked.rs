//! Chunked bodies, cut anywhere, through a [`Buffer`] of any size.
//!
//! The verdict and the output do not depend on the cuts or on the buffer. The output is canonical, no
//! longer than what came in, with the same data in the same chunks, as a second reader finds them; without
//! chunks, it is the data.

use pollux::core::buffer::Buffer;
use pollux::http::body::{ChunkFault, Chunked, Chunks};
use pollux::message::Nominated;

use crate::cuts::Cuts;
use crate::wire;

/// More data than that is refused; inputs are shorter, but the sizes that they claim are not.
const BUDGET: u64 = 1 << 20;

/// The result of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    out: Vec<u8>,
    /// Whether the body has ended, or why not.
    verdict: Result<bool, ChunkFault>,
    /// The number of bytes of the input that belong to the body.
    used: usize,
}

/// Passes `input` through a buffer of `capacity` bytes in pieces whose sizes `piece` gives.
fn pass(input: &[u8], chunks: Chunks, capacity: usize, mut piece: impl FnMut() -> usize) -> Outcome {
    let mut buffer = Buffer::default();
    buffer.attach(vec![0; capacity].into());
    let mut nominated = Nominated::default();
    nominated.add([&b"X-Hop"[..], b"close"].into_iter());
    let mut chunked = Chunked::new(chunks, Some(BUDGET), nominated);
    let mut outcome = Outcome { out: Vec::new(), verdict: Ok(false), used: 0 };
    while outcome.used < input.len() && outcome.verdict == Ok(false) {
        let room = buffer.room();
        let count = piece().min(input.len() - outcome.used).min(room.len());
        assert!(count > 0, "the buffer is full although everything in it was taken");
        room[..count].copy_from_slice(&input[outcome.used..outcome.used + count]);
        buffer.fill(count);
        outcome.used += count;
        outcome.verdict = chunked.advance(&mut buffer);
        // A sink that takes only some of it moves the cursors more than one that takes all.
        let unsent = buffer.unsent();
        let taken = if outcome.verdict == Ok(false) { unsent.len().div_ceil(2) } else { unsent.len() };
        outcome.out.extend_from_slice(&unsent[..taken]);
        buffer.send(taken);
    }
    outcome.out.extend_from_slice(buffer.unsent());
    if outcome.verdict == Ok(true) {
        outcome.used -= buffer.unscanned().len();
    }
    outcome
}

/// See the module.
pub fn check(data: &[u8]) {
    // Room for the longest trailer section: a line that does not fit the buffer is refused.
    let large = data.len().max(1) + 16 * 1024;
    let whole = pass(data, Chunks::Keep, large, || usize::MAX);
    let bare = pass(data, Chunks::Strip, large, || usize::MAX);
    let mut cuts = Cuts::of(data, 1);
    for (cut, verdict) in [
        (pass(data, Chunks::Keep, large, || 1), &whole),
        (pass(data, Chunks::Keep, large, || cuts.piece()), &whole),
        (pass(data, Chunks::Keep, 9 * 1024, || cuts.piece()), &whole),
        (pass(data, Chunks::Strip, large, || cuts.piece()), &bare),
    ] {
        assert_eq!((&cut.out, cut.verdict), (&verdict.out, verdict.verdict), "a cut changes the outcome");
        assert!(cut.verdict != Ok(true) || cut.used == verdict.used, "a cut moves the end");
    }
    assert_eq!(bare.verdict, whole.verdict, "the client's version changes the verdict");
    check_canonical(data, &whole, &bare);
}

fn check_canonical(data: &[u8], whole: &Outcome, bare: &Outcome) {
    assert!(whole.out.len() <= data.len(), "more goes out than came in");
    let sent = wire::chunks(&whole.out, true).expect("a broken body goes out");
    assert_eq!(
        sent.is_whole,
        whole.verdict == Ok(true),
        "the end is there without having come, or the reverse"
    );
    assert_eq!(bare.out, sent.data, "other data goes to an old client");
    assert!(sent.data.len() as u64 <= BUDGET);
    if whole.verdict != Ok(true) {
        return;
    }
    let received = wire::chunks(data, false).expect("a broken body was accepted");
    assert!(received.is_whole, "half a body was taken for a whole one");
    assert_eq!((&sent.data, &sent.sizes), (&received.data, &received.sizes), "data or chunks have changed");
    assert_eq!((sent.used, received.used), (whole.out.len(), whole.used), "the end has moved");
    for name in
        ["content-length", "transfer-encoding", "host", "connection", "trailer", "x-forwarded-for", "x-hop"]
    {
        let is_named = |line: &Vec<u8>| line.to_ascii_lowercase().starts_with(format!("{name}:").as_bytes());
        assert!(!sent.trailers.iter().any(is_named), "{name} passes as a trailer");
    }
    let again = pass(&whole.out, Chunks::Keep, data.len() + 16 * 1024, || usize::MAX);
    assert_eq!((&again.out, again.verdict), (&whole.out, Ok(true)), "a second pass changes the body");
}
