//! The effects of the peer's settings and its PRIORITY_UPDATE on our output.

use super::lessons::{client, server};
use super::script::{Play, config, encode, frame_of, story};
use crate::h2::connection::{ConnectionConfig, Incoming, Role};
use crate::h2::fields::Fields;
use crate::h2::frame::{self, FrameHead, FrameType, HEAD};
use crate::h2::priority::Priority;

/// A list beyond SETTINGS_MAX_HEADER_LIST_SIZE is not sent, and nothing else changes. `:status=200` counts 42, a GET 165, `x=y` 34.
#[test]
fn a_list_that_the_peer_does_not_take_is_not_sent() {
    server(&[
        ("S6=42 H1. <A1.", "S Q1.", "H1."),
        ("S6=41 H1. <A1.", "S Q1. TooLarge", ""),
        ("S6=41 H1. <A1. S6=42 <A1.", "S Q1. TooLarge S", "H1."),
        ("S6=41 H1. <A1:103 S6=42 <A1:103 <A1.", "S Q1. TooLarge S", "H1 H1."),
        ("S H1. <A1 <D1:5 S6=33 <T1 <D1:0.", "S Q1. S TooLarge", "H1 D1:5 D1:0."),
        ("S6=0 H1. <A1 <R1=2", "S Q1. TooLarge", "R1=2"),
    ]);
    let size = encode(&[":method=GET", ":scheme=http", ":path=/", ":authority=h"]).list_size();
    assert_eq!(size, 7 + 3 + 7 + 4 + 5 + 1 + 10 + 1 + 4 * 32);
    let (just, short) = (format!("S6={size} <O. H1."), format!("S6={} <O. S6={size} <O.", size - 1));
    assert_eq!(story(Role::Client, &config(), &just), ("S A1:200.".to_owned(), "H1.".to_owned()));
    assert_eq!(story(Role::Client, &config(), &short), ("S TooLarge S".to_owned(), "H1.".to_owned()));
}

/// RFC 9113 §4.3.1: the first block says that no table is used, and so does the one behind each SETTINGS that lower the table.
#[test]
fn a_table_that_is_lowered_is_acknowledged_by_a_size_update() {
    let firsts = |script: &str| {
        let mut play = Play::new(Role::Client, config());
        play.play(script, usize::MAX);
        play.flush();
        let mut bytes = &play.sent[..];
        let mut firsts = String::new();
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
            let head = FrameHead::read(head);
            if head.kind == FrameType::Headers {
                firsts.push(if rest[0] == 0x20 { 'u' } else { '-' });
            }
            bytes = &rest[head.length as usize..];
        }
        firsts
    };
    assert_eq!(firsts("S <O. <O. <O."), "u--");
    assert_eq!(firsts("<O. S <O. <O."), "u--");
    assert_eq!(firsts("S <O. S1=4096 <O. S1=100 <O. <O."), "u-u-");
    assert_eq!(firsts("S <O. S1=9999 <O. S1=4096 <O."), "u-u");
    assert_eq!(firsts("S <O. S1=0,1=4096 <O. <O."), "uu-");
}

/// Our own table: until its acknowledgement the peer may use the one that each connection begins with; then it has to shrink it.
#[test]
fn our_smaller_table_holds_from_its_acknowledgement() {
    let small = ConnectionConfig { table: 0, ..config() };
    for (script, events) in [
        ("S H1:insert. H3:recall.", "S Q1. Q3."),
        ("S H1:insert. SA H3:recall.", "S Q1. !9"),
        ("S H1:insert. SA H3.", "S Q1. !9"),
        ("S H1:shrink. SA H3. H5:recall.", "S Q1. Q3. !9"),
        ("S SA H1:shrink. H3.", "S Q1. Q3."),
        ("S SA H1:insert.", "S !9"),
    ] {
        assert_eq!(story(Role::Server, &small, script).0, events, "{script}");
    }
}

/// A PRIORITY that has not five bytes is an error of its stream, if that is open (RFC 9113 §6.3).
#[test]
fn a_priority_has_five_bytes() {
    for length in [0, 4, 6] {
        let mut play = Play::new(Role::Server, config());
        play.play("S H1 H3", usize::MAX);
        let mut bytes = Vec::new();
        for stream in [1, 7] {
            frame::write(FrameType::Priority, 0, stream, &vec![0; length], &mut bytes);
        }
        play.read(&bytes);
        assert_eq!(play.story(), ("S Q1 Q3 R1=6:FrameSize".to_owned(), "R1=6".to_owned()));
    }
}

#[test]
fn a_priority_update_may_come_before_its_stream() {
    let priority_of = |script: &str, frame: &str| {
        let mut play = Play::new(Role::Server, config());
        play.play(script, usize::MAX);
        let mut bytes = Vec::new();
        frame_of(frame, true, &mut bytes);
        let (mut input, mut fields) = (&bytes[..], Fields::default());
        match play.connection.read(play.now, &mut input, &mut fields) {
            Ok(Some(Incoming::Request { priority, .. })) => priority,
            other => panic!("{script}: {other:?}"),
        }
    };
    let is = |urgency, is_incremental| Priority { urgency, is_incremental };
    assert_eq!(priority_of("S", "H1:urgent."), is(0, true));
    assert_eq!(priority_of("S P1:u=5", "H1:urgent."), is(5, false));
    assert_eq!(priority_of("S P1:u=5 P1:i", "H1."), is(3, true));
    assert_eq!(priority_of("S P3:u=5", "H1."), is(3, false));
    assert_eq!(priority_of("S P3:u=5 H1.", "H3."), is(5, false));
    server(&[
        ("S P0:u=1", "S !1", "G0=1"),
        ("S P2:u=1", "S !1", "G0=1"),
        ("S H1. P1:nonsense", "S Q1.", ""),
        ("S H1. <A1. P1:u=1", "S Q1.", "H1."),
        ("S SA H1 P3:u=1 P5:u=1 P7:u=1", "S Q1", ""),
        ("S SA H1 P3:u=1 P5:u=1 P7:u=1 P9:u=1", "S Q1 !1", "G1=1"),
        ("S SA H1 P3:u=1 P5:u=1 P7:u=1 H7 P9:u=1 P11:u=1", "S Q1 Q7", ""),
        ("S H1 P3:u=1 P5:u=1 P7:u=1 P9:u=1", "S Q1", ""),
        ("S <X P3:u=1", "S", "G0=0"),
    ]);
    client(&[("S <O. P1:u=1", "S !1", "H1. G0=1")]);
    let mut play = Play::new(Role::Server, config());
    play.play("S SA P1:u=1", usize::MAX);
    let before = play.connection.capacity();
    play.play("H3. <A3.", usize::MAX);
    play.play("P5:u=1 H7. <A7.", usize::MAX);
    play.play("P9:u=1 H9. <A9. P11:u=1", usize::MAX);
    play.connection.rest();
    assert!(play.connection.capacity() < before, "one entry is left, and no stream");
}
