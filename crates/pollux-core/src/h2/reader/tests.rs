//! Frames in every split; each rule of RFC 9113 §4 to §6 that a reader can hold.

use proptest::prelude::*;

use super::{CONTINUATIONS_MAX, FrameEvent, PRIORITY_VALUE_MAX, Reader};
use crate::h2::frame::{self, ErrorCode, FrameType, PAYLOAD_MAX, PREFACE, flags};

const BLOCK_MAX: usize = 20_000;

/// An event that owns its bytes; pieces of one DATA frame are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Data { stream: u32, bytes: Vec<u8>, counted: u32 },
    Block { stream: u32, ends_stream: bool, block: Vec<u8> },
    Other(FrameEvent<'static>),
}

fn read(mut reader: Reader, bytes: &[u8], sizes: &[usize]) -> Result<(Vec<Seen>, bool), ErrorCode> {
    let (mut seen, mut sizes, mut at) = (Vec::new(), sizes.iter().cycle(), 0);
    while at < bytes.len() {
        let end = (at + sizes.next().unwrap()).min(bytes.len());
        let mut input = &bytes[at..end];
        while let Some(event) = reader.read(&mut input)? {
            note(event, &reader, &mut seen);
        }
        assert!(input.is_empty(), "it reads all that has come");
        at = end;
    }
    Ok((seen, reader.is_between_frames()))
}

fn note(event: FrameEvent<'_>, reader: &Reader, seen: &mut Vec<Seen>) {
    match event {
        FrameEvent::Data { stream, bytes, counted } => {
            if let Some(Seen::Data { stream: before, bytes: so_far, counted: sum }) = seen.last_mut()
                && *before == stream
            {
                so_far.extend_from_slice(bytes);
                *sum += counted;
            } else {
                seen.push(Seen::Data { stream, bytes: bytes.to_vec(), counted });
            }
        }
        FrameEvent::Block { stream, ends_stream } => {
            seen.push(Seen::Block { stream, ends_stream, block: reader.block().to_vec() });
        }
        FrameEvent::DataEnd { stream, ends_stream, is_empty } => {
            seen.push(Seen::Other(FrameEvent::DataEnd { stream, ends_stream, is_empty }));
        }
        FrameEvent::Reset { stream, code } => seen.push(Seen::Other(FrameEvent::Reset { stream, code })),
        FrameEvent::Setting { number, value } => {
            seen.push(Seen::Other(FrameEvent::Setting { number, value }));
        }
        FrameEvent::SettingsEnd => seen.push(Seen::Other(FrameEvent::SettingsEnd)),
        FrameEvent::SettingsAck => seen.push(Seen::Other(FrameEvent::SettingsAck)),
        FrameEvent::Ping { is_ack, payload } => seen.push(Seen::Other(FrameEvent::Ping { is_ack, payload })),
        FrameEvent::GoAway { last, code } => seen.push(Seen::Other(FrameEvent::GoAway { last, code })),
        FrameEvent::Window { stream, increment } => {
            seen.push(Seen::Other(FrameEvent::Window { stream, increment }));
        }
        FrameEvent::PriorityUpdate { stream, is_cut } => {
            seen.push(Seen::Block { stream, ends_stream: is_cut, block: reader.priority_value().to_vec() });
        }
        FrameEvent::WrongSize { stream } => seen.push(Seen::Other(FrameEvent::WrongSize { stream })),
        FrameEvent::Ignored { kind } => seen.push(Seen::Other(FrameEvent::Ignored { kind })),
    }
}

fn frame_of(kind: FrameType, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(kind, flags, stream, payload, &mut out);
    out
}

/// Behind an empty SETTINGS, as a server sends it.
fn verdict(frames: &[Vec<u8>]) -> Result<(Vec<Seen>, bool), ErrorCode> {
    let bytes = [frame_of(FrameType::Settings, 0, 0, &[]), frames.concat()].concat();
    let whole = read(Reader::of_server(BLOCK_MAX), &bytes, &[usize::MAX >> 1]);
    for size in [1, 2, 3, 5, 8, 13] {
        assert_eq!(read(Reader::of_server(BLOCK_MAX), &bytes, &[size]), whole, "in pieces of {size}");
    }
    whole.map(|(seen, is_between)| (seen[1..].to_vec(), is_between))
}

#[test]
fn rules_of_each_frame() {
    use ErrorCode as C;
    use FrameType as K;
    let long = vec![0; 100];
    for (why, frames, code) in [
        ("DATA on the connection", vec![frame_of(K::Data, 0, 0, b"x")], C::PROTOCOL_ERROR),
        ("HEADERS on the connection", vec![frame_of(K::Headers, 4, 0, b"x")], C::PROTOCOL_ERROR),
        ("PRIORITY on the connection", vec![frame_of(K::Priority, 0, 0, &[0; 5])], C::PROTOCOL_ERROR),
        ("RST_STREAM on the connection", vec![frame_of(K::RstStream, 0, 0, &[0; 4])], C::PROTOCOL_ERROR),
        ("RST_STREAM of three bytes", vec![frame_of(K::RstStream, 0, 1, &[0; 3])], C::FRAME_SIZE_ERROR),
        ("SETTINGS on a stream", vec![frame_of(K::Settings, 0, 1, &[0; 6])], C::PROTOCOL_ERROR),
        ("SETTINGS of seven bytes", vec![frame_of(K::Settings, 0, 0, &[0; 7])], C::FRAME_SIZE_ERROR),
        ("an acknowledgement with settings", vec![frame_of(K::Settings, 1, 0, &[0; 6])], C::FRAME_SIZE_ERROR),
        (
            "PUSH_PROMISE, which nobody may send us",
            vec![frame_of(K::PushPromise, 4, 1, &long)],
            C::PROTOCOL_ERROR,
        ),
        ("PING on a stream", vec![frame_of(K::Ping, 0, 1, &[0; 8])], C::PROTOCOL_ERROR),
        ("PING of nine bytes", vec![frame_of(K::Ping, 0, 0, &[0; 9])], C::FRAME_SIZE_ERROR),
        ("GOAWAY on a stream", vec![frame_of(K::GoAway, 0, 1, &[0; 8])], C::PROTOCOL_ERROR),
        ("GOAWAY of seven bytes", vec![frame_of(K::GoAway, 0, 0, &[0; 7])], C::FRAME_SIZE_ERROR),
        ("WINDOW_UPDATE of five bytes", vec![frame_of(K::WindowUpdate, 0, 0, &[0; 5])], C::FRAME_SIZE_ERROR),
        ("CONTINUATION behind nothing", vec![frame_of(K::Continuation, 4, 1, b"x")], C::PROTOCOL_ERROR),
        (
            "CONTINUATION behind a whole block",
            vec![frame_of(K::Headers, 4, 1, b"x"), frame_of(K::Continuation, 4, 1, b"x")],
            C::PROTOCOL_ERROR,
        ),
        (
            "CONTINUATION of another stream",
            vec![frame_of(K::Headers, 0, 1, b"x"), frame_of(K::Continuation, 4, 3, b"x")],
            C::PROTOCOL_ERROR,
        ),
        (
            "a frame within a block",
            vec![frame_of(K::Headers, 0, 1, b"x"), frame_of(K::Ping, 0, 0, &[0; 8])],
            C::PROTOCOL_ERROR,
        ),
        (
            "an unknown frame within a block",
            vec![frame_of(K::Headers, 0, 1, b"x"), frame_of(K::Unknown(99), 0, 0, b"")],
            C::PROTOCOL_ERROR,
        ),
        (
            "more continuations than anybody needs",
            [
                vec![frame_of(K::Headers, 0, 1, b"x")],
                vec![frame_of(K::Continuation, 0, 1, b""); usize::from(CONTINUATIONS_MAX) + 1],
            ]
            .concat(),
            C::ENHANCE_YOUR_CALM,
        ),
        (
            "a block above the bound",
            vec![
                frame_of(K::Headers, 0, 1, &[0; PAYLOAD_MAX as usize]),
                frame_of(K::Continuation, 4, 1, &[0; PAYLOAD_MAX as usize]),
            ],
            C::ENHANCE_YOUR_CALM,
        ),
        (
            "padding as long as the frame",
            vec![frame_of(K::Data, flags::PADDED, 1, &[2, 0])],
            C::PROTOCOL_ERROR,
        ),
        ("padding without its length", vec![frame_of(K::Data, flags::PADDED, 1, &[])], C::FRAME_SIZE_ERROR),
        ("padding beyond the block", vec![frame_of(K::Headers, 12, 1, &[9, 1])], C::PROTOCOL_ERROR),
        (
            "half a priority before the block",
            vec![frame_of(K::Headers, 0x24, 1, &[0; 4])],
            C::FRAME_SIZE_ERROR,
        ),
        ("a frame above the bound", vec![vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1]], C::FRAME_SIZE_ERROR),
    ] {
        assert_eq!(verdict(&frames), Err(code), "{why}");
    }
}

#[test]
fn what_is_legal_passes() {
    let padded = frame_of(FrameType::Data, flags::PADDED | flags::END_STREAM, 5, &[3, b'h', b'i', 0, 0, 0]);
    assert_eq!(
        verdict(&[padded]).unwrap().0,
        [
            Seen::Data { stream: 5, bytes: b"hi".to_vec(), counted: 6 },
            Seen::Other(FrameEvent::DataEnd { stream: 5, ends_stream: true, is_empty: false }),
        ]
    );
    let only_padding = frame_of(FrameType::Data, flags::PADDED, 5, &[2, 0, 0]);
    assert_eq!(
        verdict(&[only_padding]).unwrap().0,
        [
            Seen::Data { stream: 5, bytes: vec![], counted: 3 },
            Seen::Other(FrameEvent::DataEnd { stream: 5, ends_stream: false, is_empty: true }),
        ]
    );
    let headers = frame_of(FrameType::Headers, 0x29, 1, &[1, 0, 0, 0, 0, 7, b'a', b'b', 0]);
    let more = frame_of(FrameType::Continuation, flags::END_HEADERS, 1, b"c");
    assert_eq!(
        verdict(&[headers, more]).unwrap().0,
        [Seen::Block { stream: 1, ends_stream: true, block: b"abc".to_vec() }]
    );
    let goaway = frame_of(FrameType::GoAway, 0, 0, &[0x80, 0, 0, 3, 0, 0, 0, 11, b'b', b'y', b'e']);
    assert_eq!(
        verdict(&[goaway.clone(), goaway]).unwrap(),
        (vec![Seen::Other(FrameEvent::GoAway { last: 3, code: ErrorCode::ENHANCE_YOUR_CALM }); 2], true)
    );
    // A priority of another length is no error of the connection, and an unknown frame none at all.
    let odd = frame_of(FrameType::Priority, 0, 1, &[0; 4]);
    assert_eq!(verdict(&[odd]).unwrap().0, [Seen::Other(FrameEvent::WrongSize { stream: 1 })]);
    let old = frame_of(FrameType::Priority, 0, 1, &[0; 5]);
    let unknown = frame_of(FrameType::Unknown(0x42), 0xff, 7, b"whatever");
    assert_eq!(
        verdict(&[old, unknown]).unwrap().0,
        [FrameType::Priority, FrameType::Unknown(0x42)].map(|kind| Seen::Other(FrameEvent::Ignored { kind }))
    );
    let update = frame_of(FrameType::PriorityUpdate, 0, 0, b"\x80\0\0\x07u=1, i");
    assert_eq!(
        verdict(&[update]).unwrap().0,
        [Seen::Block { stream: 7, ends_stream: false, block: b"u=1, i".to_vec() }]
    );
    let long = frame_of(FrameType::PriorityUpdate, 0, 0, &vec![b' '; 4 + PRIORITY_VALUE_MAX + 1]);
    assert_eq!(
        verdict(&[long]).unwrap().0,
        [Seen::Block { stream: 0x2020_2020, ends_stream: true, block: vec![b' '; PRIORITY_VALUE_MAX] }]
    );
    let window = frame_of(FrameType::WindowUpdate, 0, 9, &[0x80, 0, 0, 1]);
    assert_eq!(verdict(&[window]).unwrap().0, [Seen::Other(FrameEvent::Window { stream: 9, increment: 1 })]);
}

#[test]
fn a_connection_begins_with_its_preface_and_with_settings() {
    let settings = frame_of(FrameType::Settings, 0, 0, &[0, 4, 0, 1, 0, 0]);
    let good = [&PREFACE[..], &settings].concat();
    for size in 1..good.len() {
        let (seen, is_between) = read(Reader::of_client(BLOCK_MAX), &good, &[size]).unwrap();
        let setting = FrameEvent::Setting { number: 4, value: 65_536 };
        assert_eq!(seen, [Seen::Other(setting), Seen::Other(FrameEvent::SettingsEnd)]);
        assert!(is_between);
    }
    let late = [&PREFACE[..], &frame_of(FrameType::Ping, 0, 0, &[0; 8])].concat();
    assert_eq!(read(Reader::of_client(BLOCK_MAX), &late, &[7]), Err(ErrorCode::PROTOCOL_ERROR));
    let acknowledged = [&PREFACE[..], &frame_of(FrameType::Settings, flags::ACK, 0, &[])].concat();
    assert_eq!(read(Reader::of_client(BLOCK_MAX), &acknowledged, &[7]), Err(ErrorCode::PROTOCOL_ERROR));
    assert_eq!(
        read(Reader::of_client(BLOCK_MAX), b"GET / HTTP/1.1\r\n", &[5]),
        Err(ErrorCode::PROTOCOL_ERROR)
    );
}

#[test]
fn half_a_frame_is_not_between_frames() {
    let bytes =
        [frame_of(FrameType::Settings, 0, 0, &[]), frame_of(FrameType::Headers, 0, 1, b"half")].concat();
    for end in 1..bytes.len() {
        let (_, is_between) = read(Reader::of_server(BLOCK_MAX), &bytes[..end], &[64]).unwrap();
        assert_eq!(is_between, end == frame::HEAD, "after {end} bytes");
    }
    assert!(!read(Reader::of_server(BLOCK_MAX), &bytes, &[64]).unwrap().1, "the block is not whole");
}

/// Frames that a peer may send, and what the reader has to make of them.
fn frames() -> impl Strategy<Value = (Vec<u8>, Vec<Seen>)> {
    let data =
        (1_u32..9, prop::collection::vec(any::<u8>(), 0..60), prop::option::of(0_u8..20), any::<bool>())
            .prop_map(|(stream, bytes, padding, ends_stream)| {
                let mut payload = Vec::new();
                payload.extend(padding);
                payload.extend_from_slice(&bytes);
                payload.resize(payload.len() + usize::from(padding.unwrap_or(0)), 0);
                let pads = if padding.is_some() { flags::PADDED } else { 0 };
                let out = frame_of(FrameType::Data, u8::from(ends_stream) | pads, stream, &payload);
                let end =
                    Seen::Other(FrameEvent::DataEnd { stream, ends_stream, is_empty: bytes.is_empty() });
                let counted = payload.len() as u32;
                let piece = (counted > 0).then_some(Seen::Data { stream, bytes, counted });
                (out, piece.into_iter().chain([end]).collect())
            });
    let block = (1_u32..9, prop::collection::vec(any::<u8>(), 0..80), 10_u32..90, any::<bool>()).prop_map(
        |(stream, block, most, ends_stream)| {
            let mut out = Vec::new();
            frame::write_block(stream, ends_stream, &block, most, &mut out);
            (out, vec![Seen::Block { stream, ends_stream, block }])
        },
    );
    let other =
        (0_u8..4, 1_u32..9, 1_u32..1000, any::<[u8; 8]>()).prop_map(|(which, stream, number, payload)| {
            let mut out = Vec::new();
            let event = match which {
                0 => {
                    frame::write_reset(stream, ErrorCode(number), &mut out);
                    FrameEvent::Reset { stream, code: ErrorCode(number) }
                }
                1 => {
                    frame::write_window(stream, number, &mut out);
                    FrameEvent::Window { stream, increment: number }
                }
                2 => {
                    frame::write_ping(true, payload, &mut out);
                    FrameEvent::Ping { is_ack: true, payload }
                }
                _ => {
                    frame::write_goaway(stream, ErrorCode(number), &mut out);
                    FrameEvent::GoAway { last: stream, code: ErrorCode(number) }
                }
            };
            (out, vec![Seen::Other(event)])
        });
    prop_oneof![data, block, other]
}

proptest! {
    #[test]
    fn frames_come_back_however_they_are_cut(
        parts in prop::collection::vec(frames(), 0..20),
        sizes in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let mut bytes = frame_of(FrameType::Settings, 0, 0, &[]);
        let mut expected = vec![Seen::Other(FrameEvent::SettingsEnd)];
        for (out, seen) in parts {
            bytes.extend(out);
            expected.extend(seen);
        }
        prop_assert_eq!(read(Reader::of_server(BLOCK_MAX), &bytes, &sizes), Ok((expected, true)));
    }

    /// For any bytes: no panic, and the same verdict in every split.
    #[test]
    fn any_bytes_have_one_verdict(
        bytes in prop::collection::vec(prop_oneof![4 => 0_u8..10, 1 => any::<u8>()], 0..200),
        sizes in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let bytes = [frame_of(FrameType::Settings, 0, 0, &[]), bytes].concat();
        let whole = read(Reader::of_server(40), &bytes, &[1000]);
        prop_assert_eq!(read(Reader::of_server(40), &bytes, &sizes), whole);
    }
}
