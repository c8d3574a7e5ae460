//! An HTTP/2 client whose bytes are the input: its frames are read, its field blocks decoded, its heads
//! judged.
//!
//! For any bytes: no panic; the same events and the same verdict however they are cut; no more
//! fields and bytes than the bounds allow; flow control counts each byte of DATA once; and no head that
//! passes holds a byte that ends a line of HTTP/1.1.

use pollux::h2::decoder::{Bounds, Decoded, Decoder};
use pollux::h2::fields::Fields;
use pollux::h2::frame::{ErrorCode, PREFACE};
use pollux::h2::head;
use pollux::h2::reader::{FrameEvent, Reader};

use crate::cuts::Cuts;

/// Small, so that short inputs reach them.
const BOUNDS: Bounds = Bounds { list: 1024, fields: 16 };
const BLOCK_MAX: usize = 2048;
const TABLE: usize = 512;

/// The result of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    /// The words for each event; pieces of DATA are joined.
    events: Vec<String>,
    data: Vec<u8>,
    counted: u64,
    ended: Option<ErrorCode>,
    /// A block that the decoder refuses ends the connection.
    is_broken: bool,
}

/// See the module.
pub fn check(data: &[u8]) {
    let whole = play(data, || usize::MAX);
    assert!(whole.counted <= data.len() as u64, "more counts in flow control than has come");
    assert!(whole.data.len() as u64 <= whole.counted, "data that does not count");
    let mut cuts = Cuts::of(data, 0);
    assert_eq!(play(data, || 1), whole, "byte by byte");
    assert_eq!(play(data, || cuts.piece()), whole, "in pieces");
}

fn play(data: &[u8], mut piece: impl FnMut() -> usize) -> Story {
    let mut reader = Reader::of_client(BLOCK_MAX);
    let mut decoder = Decoder::new(TABLE);
    let mut story = Story::default();
    let mut preface: &[u8] = PREFACE;
    assert_eq!(reader.read(&mut preface), Ok(None));
    let mut rest = data;
    while !rest.is_empty() && story.ended.is_none() && !story.is_broken {
        let (mut input, behind) = rest.split_at(piece().min(rest.len()));
        rest = behind;
        read(&mut reader, &mut decoder, &mut input, &mut story);
    }
    story
}

fn read(reader: &mut Reader, decoder: &mut Decoder, input: &mut &[u8], story: &mut Story) {
    loop {
        match reader.read(input) {
            Err(code) => {
                story.ended = Some(code);
                return;
            }
            Ok(None) => {
                assert!(input.is_empty(), "it reads all that has come");
                return;
            }
            Ok(Some(FrameEvent::Data { bytes, counted, .. })) => {
                story.data.extend_from_slice(bytes);
                story.counted += u64::from(counted);
            }
            Ok(Some(event @ FrameEvent::Block { .. })) => {
                story.events.push(format!("{event:?}"));
                if !decode(decoder, reader.block(), story) {
                    story.is_broken = true;
                    return;
                }
            }
            Ok(Some(event)) => story.events.push(format!("{event:?}")),
        }
    }
}

fn decode(decoder: &mut Decoder, block: &[u8], story: &mut Story) -> bool {
    let mut fields = Fields::default();
    let verdict = decoder.decode(block, BOUNDS, &mut fields);
    assert!(decoder.table().size() <= TABLE, "the table is above its bound");
    assert!(fields.len() <= BOUNDS.fields, "more fields than the bound allows");
    let size: usize = fields.iter().map(|field| field.name.len() + field.value.len() + 32).sum();
    assert!(size <= BOUNDS.list, "a list above the bound");
    if verdict == Ok(Decoded::Whole) {
        judge(&fields);
    }
    story.events.push(format!("{verdict:?}"));
    verdict.is_ok()
}

fn judge(fields: &Fields) {
    let is_one_line = |bytes: &[u8]| !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if let Ok(request) = head::request(fields) {
        for part in [request.method, request.authority, request.path, request.protocol.unwrap_or_default()] {
            assert!(is_one_line(part.as_bytes()) && !part.contains(' '), "{part:?} could end its line");
        }
        assert!(request.path.is_empty() || request.path.starts_with(['/', '*']));
        assert!(!request.authority.contains(['/', '@', '?', '#']), "an authority that reaches into the path");
    }
    if head::request(fields).is_ok() || head::response(fields).is_ok() || head::trailers(fields).is_ok() {
        for field in fields.iter() {
            assert!(is_one_line(field.name) && is_one_line(field.value));
            assert!(!field.name[1..].contains(&b':') && !field.name.iter().any(u8::is_ascii_uppercase));
        }
    }
}
