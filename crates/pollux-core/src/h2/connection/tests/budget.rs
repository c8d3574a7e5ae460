//! The budget of nuisance: what exceeds it, and what never does.

use std::time::Duration;

use super::script::{Play, config, encode};
use crate::core::time::Time;
use crate::h2::connection::{Connection, ConnectionConfig, Incoming, NewResponse, Role};
use crate::h2::decoder::Bounds;
use crate::h2::fields::Fields;
use crate::h2::frame::{self, FrameType, PREFACE, flags};
use crate::h2::integer;
use crate::h2::nuisance::Nuisance;

/// The number of times that `again` is taken behind `begin` before the connection ends; at most 5,000 times.
fn endures(role: Role, begin: &str, again: impl Fn(u32) -> String) -> (u32, Option<Nuisance>) {
    let mut play = Play::new(role, config());
    play.play(begin, usize::MAX);
    for turn in 0..5_000 {
        play.play(&again(turn), usize::MAX);
        if let Some(error) = play.connection.error() {
            return (turn, error.nuisance);
        }
    }
    (5_000, None)
}

#[test]
fn each_nuisance_has_an_end() {
    use Nuisance as N;
    let next = |turn: u32| 2 * turn + 3;
    let server = |begin: &str, again: &dyn Fn(u32) -> String| endures(Role::Server, begin, again);
    let once = |word: &'static str| move |_| word.to_owned();
    assert_eq!(server("S SA", &once("Z")), (200, Some(N::Ping)));
    assert_eq!(server("S SA", &once("S")), (200, Some(N::Settings)));
    assert_eq!(server("S SA", &once("SA")), (200, Some(N::Settings)));
    assert_eq!(server("S SA H1", &once("D1:0")), (200, Some(N::EmptyData)));
    assert_eq!(server("S SA H1", &once("D1:0/200")), (200, Some(N::EmptyData)));
    assert_eq!(server("S SA H1", &once("W1+1")), (800, Some(N::Window)));
    assert_eq!(server("S SA H1", &once("W0+1")), (800, Some(N::Window)));
    assert_eq!(server("S SA H1", &once("Y1")), (800, Some(N::Ignored)));
    assert_eq!(server("S SA H1", &once("U1")), (800, Some(N::Ignored)));
    assert_eq!(server("S SA H1 <R1=8", &once("D1:0.")), (800, Some(N::ClosedStream)));
    assert_eq!(server("S SA H1 <R1=8", &once("R1=8")), (800, Some(N::ClosedStream)));
    // Rapid reset, and streams that we are made to reset.
    assert_eq!(server("S SA", &|turn| format!("H{0} R{0}=8", next(turn))), (200, Some(N::Reset)));
    let malformed = |turn| format!("H{}:upper.", next(turn));
    assert_eq!(server("S SA", &malformed), (200, Some(N::Provoked)));
    let overflow = |turn| format!("H{0} W{0}+2147483647", next(turn));
    assert!(matches!(server("S SA", &overflow), (150..200, Some(N::Provoked | N::Window))));
    let half_closed = |turn| format!("H{0}. D{0}:1", next(turn));
    let (turns, nuisance) = server("S SA", &half_closed);
    assert!(turns < 300 && nuisance == Some(N::Provoked), "{turns} {nuisance:?}");
    let refused = |turn| format!("H{}", next(turn) + 8);
    assert_eq!(server("S SA H1 H3 H5 H7", &refused), (800, Some(N::Refused)));
    let large = |turn| format!("H{0}:large. <R{0}=8", next(turn));
    assert_eq!(server("S SA", &large), (200, Some(N::References)));
    assert_eq!(endures(Role::Client, "S SA <O.", once("Z")), (200, Some(N::Ping)));
}

/// Nothing of what is useful has an end.
#[test]
fn what_is_useful_has_no_end() {
    let next = |turn: u32| 2 * turn + 3;
    for again in [
        &|turn: u32| format!("H{0}. <A{0}.", next(turn)) as String,
        &|turn: u32| format!("H{0}:crumbs. <A{0}.", next(turn)),
        &|turn: u32| format!("H{0} D{0}:1. <A{0} <D{0}:1.", next(turn)),
        // A client that is answered and changes its mind each time.
        &|turn: u32| format!("H{0} <A{0} R{0}=8", next(turn)),
        // A PING with each answer.
        &|turn: u32| format!("H{0}. <A{0}. Z", next(turn)),
    ] as [&dyn Fn(u32) -> String; 5]
    {
        assert_eq!(endures(Role::Server, "S SA", again), (5_000, None), "{}", again(0));
    }
}

/// An entry that is named again and again, each time within the bound of a list.
#[test]
fn lists_that_grow_by_reference_end() {
    let wide = ConnectionConfig { head: Bounds { list: 32 * 1024, fields: 100 }, ..config() };
    let mut play = Play::new(Role::Server, wide);
    play.play("S SA", usize::MAX);
    let get = encode(&[":method=GET", ":scheme=http", ":path=/", ":authority=h"]);
    let mut block = get.bytes().to_vec();
    block.extend_from_slice(&[0x40, 1, b'n']);
    integer::write(0, 7, 3000, &mut block);
    block.resize(block.len() + 3000, b'v');
    let mut turns = 0;
    while play.connection.error().is_none() && turns < 1000 {
        let mut bytes = Vec::new();
        frame::write_block(2 * turns + 1, true, &block, 1 << 14, &mut bytes);
        play.read(&bytes);
        play.connection.reset(2 * turns + 1, frame::ErrorCode::CANCEL);
        play.flush();
        block = get.bytes().to_vec();
        block.extend_from_slice(&[0xbe; 9]);
        turns += 1;
    }
    let error = play.connection.error();
    assert_eq!((turns, error.and_then(|error| error.nuisance)), (202, Some(Nuisance::References)));
}

/// gRPC and server-sent events: a million messages of one byte each way, over minutes, with a window update for each byte, and a PING now
/// and then as gRPC does.
#[test]
fn a_million_tiny_messages_are_no_nuisance() {
    let config = std::sync::Arc::new(ConnectionConfig::default());
    let mut connection = Connection::new(Role::Server, config, Time::ZERO);
    let mut fields = Fields::default();
    let mut begin = PREFACE.to_vec();
    frame::write(FrameType::Settings, 0, 0, &[], &mut begin);
    frame::write(FrameType::Settings, flags::ACK, 0, &[], &mut begin);
    let post = encode(&[":method=POST", ":scheme=http", ":path=/", ":authority=h"]);
    frame::write_block(1, false, post.bytes(), 1 << 14, &mut begin);
    let mut one = Vec::new();
    frame::write(FrameType::Data, 0, 1, b"x", &mut one);
    frame::write_window(1, 1, &mut one);
    frame::write_window(0, 1, &mut one);
    let mut with_ping = one.clone();
    frame::write_ping(false, [1; 8], &mut with_ping);
    let (mut now, mut came, mut went) = (Time::ZERO, 0, 0);
    let mut feed = |connection: &mut Connection, now: Time, mut bytes: &[u8]| {
        while let Some(incoming) = connection.read(now, &mut bytes, &mut fields).expect("no nuisance") {
            if let Incoming::Data { bytes, .. } = incoming {
                came += bytes.len();
            }
        }
    };
    feed(&mut connection, now, &begin);
    let block = encode(&[":status=200"]);
    let response = NewResponse { status: 200, block: &block, length: None, ends_stream: false };
    connection.respond(now, 1, response).unwrap();
    for message in 0..1_000_000 {
        now = now + Duration::from_micros(200);
        feed(&mut connection, now, if message % 50 == 0 { &with_ping } else { &one });
        connection.grant(1, 65_535, 65_535);
        connection.offer(now, 1, 1, false).unwrap();
        while let Some(piece) = connection.next_piece(now, 100) {
            went += piece.length as usize;
        }
        connection.consume(usize::MAX);
        assert!(connection.expire(now).unwrap().is_none());
    }
    assert_eq!((came, went), (1_000_000, 1_000_000));
}

/// A client whose windows are small downloads a megabyte, with an update of the stream and one of the
/// connection for each half of its window.
#[test]
fn a_small_window_is_no_nuisance() {
    for window in [128_u32, 200, 511, 1000, 2000] {
        let mut connection =
            Connection::new(Role::Server, std::sync::Arc::new(ConnectionConfig::default()), Time::ZERO);
        let mut fields = Fields::default();
        let mut input = PREFACE.to_vec();
        let setting = [&[0, 4], &window.to_be_bytes()[..]].concat();
        frame::write(FrameType::Settings, 0, 0, &setting, &mut input);
        frame::write(FrameType::Settings, flags::ACK, 0, &[], &mut input);
        let get = encode(&[":method=GET", ":scheme=http", ":path=/", ":authority=h"]);
        frame::write_block(1, true, get.bytes(), 1 << 14, &mut input);
        let mut begin = &input[..];
        while connection.read(Time::ZERO, &mut begin, &mut fields).expect("no nuisance").is_some() {}
        let block = encode(&[":status=200"]);
        let response = NewResponse { status: 200, block: &block, length: None, ends_stream: false };
        connection.respond(Time::ZERO, 1, response).unwrap();
        let (mut left, mut unread) = (1_u32 << 20, 0);
        while left > 0 {
            connection.offer(Time::ZERO, 1, left, true).unwrap();
            let mut updates = Vec::new();
            while let Some(piece) = connection.next_piece(Time::ZERO, 1 << 16) {
                (left, unread) = (left - piece.length, unread + piece.length);
                while unread >= window / 2 {
                    frame::write_window(1, window / 2, &mut updates);
                    frame::write_window(0, window / 2, &mut updates);
                    unread -= window / 2;
                }
            }
            assert!(!updates.is_empty() || left == 0, "nothing moves with {window}");
            connection.consume(usize::MAX);
            let mut updates = &updates[..];
            let more = connection.read(Time::ZERO, &mut updates, &mut fields).expect("no nuisance");
            assert!(more.is_none(), "{more:?}");
        }
    }
}

/// Each side that says it leaves is finished once its streams are.
#[test]
fn a_connection_that_leaves_is_finished_with_its_streams() {
    for (role, script, is_finished) in [
        (Role::Server, "S <G", false),
        (Role::Server, "S <X", true),
        (Role::Server, "S H1. <X", false),
        (Role::Server, "S H1. <X <A1.", true),
        (Role::Server, "S G0=0", true),
        (Role::Server, "S <M5000 <E", true),
        (Role::Client, "S", false),
        (Role::Client, "S <G", true),
        (Role::Client, "S <O. <G", false),
        (Role::Client, "S <O. <G H1.", true),
        (Role::Client, "S <O. G2147483647=0", false),
        (Role::Client, "S <O. G2147483647=0 H1.", true),
    ] {
        let mut play = Play::new(role, config());
        play.play(script, usize::MAX);
        assert_eq!(play.connection.is_finished(), is_finished, "{role:?}: {script}");
    }
}
