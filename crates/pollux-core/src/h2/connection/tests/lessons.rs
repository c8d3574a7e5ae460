//! Mistakes of other implementations, one test for each rule. `docs/internals/http2.md` has the table.

use std::sync::Arc;

use super::script::{Play, config, encode, frame_of, story};
use crate::core::time::Time;
use crate::h2::connection::{Connection, ConnectionConfig, Role};
use crate::h2::fields::Fields;
use crate::h2::frame::{self, FrameHead, FrameType, HEAD, PREFACE, flags};

/// Script, events, frames.
type Case = (&'static str, &'static str, &'static str);

fn hold(role: Role, cases: &[Case]) {
    for (script, events, sent) in cases {
        let (got, frames) = story(role, &config(), script);
        assert_eq!((got.as_str(), frames.as_str()), (*events, *sent), "{role:?}: {script}");
    }
}

pub(super) fn server(cases: &[Case]) {
    hold(Role::Server, cases);
}

pub(super) fn client(cases: &[Case]) {
    hold(Role::Client, cases);
}

/// Which block of fields enters the table is not for its stream to say: `recall` names what `insert` brought.
#[test]
fn every_block_changes_the_table() {
    server(&[
        ("S H1:recall.", "S !9", "G0=9"),
        ("S H1:insert. H3:recall.", "S Q1. Q3.", ""),
        ("S H1 H3 H5 H7 H9:insert. R1=8 H11:recall.", "S Q1 Q3 Q5 Q7 F9 R1=8:Peer Q11.", "R9=7"),
        ("S H1 <R1=8 H1:insert. H3:recall.", "S Q1 Q3.", "R1=8"),
        ("S H1 R1=8 H1:insert. H3:recall.", "S Q1 R1=8:Peer Q3.", "R1=5"),
        ("S H1. <G <X H3:insert. H5:recall. <A1.", "S Q1.", "G2147483647=0 G1=0 H1."),
        ("S H1. H1:insert. H3:recall.", "S Q1. R1=5:Order Q3.", "R1=5"),
        ("S H1 <X H3:insert. H1:recall.", "S Q1 R1=1:Malformed", "G1=0 R1=1"),
        ("S H1:insertlarge. H3:recall.", "S B1 Q3.", ""),
        ("S H1 <A1. <L1:9 H1:insert. H3:recall.", "S Q1 Q3.", "H1."),
    ]);
}

/// Between the halves of a block the connection writes heads, windows, resets and GOAWAY.
#[test]
fn assembly_is_no_scratch_for_output() {
    server(&[
        ("S SA H1 H3 I5. <A1:103 <Z <R3=8 <W1:99999 J5 <A5.", "S Q1 Q3 Q5.", "H1 Z R3=8 H5."),
        ("S H1 I3. <A1 <D1:70000 J3 D1:3.", "S Q1 Q3. D1:3 E1", "H1 D1:16384 D1:16384 D1:16384 D1:16383"),
        ("S H1 I3. <X J3 <A1.", "S Q1", "G1=0 H1."),
    ]);
    let mut play = Play::new(Role::Server, config());
    play.play("S H1 I3. <A1:103 <Z", 1);
    play.play("J3", 3);
    let names: Vec<_> = play.fields.iter().map(|field| field.name.to_vec()).collect();
    assert_eq!(names, [&b":method"[..], b":scheme", b":path", b":authority"]);
}

#[test]
fn the_place_within_a_frame_outlives_every_cut() {
    let mut bytes = Vec::new();
    frame::write(FrameType::Settings, 0, 0, &[0, 3, 0, 0, 0, 9, 0, 4, 0, 0, 0, 9], &mut bytes);
    frame::write_block(
        1,
        false,
        encode(&[":method=GET", ":scheme=http", ":path=/", ":authority=h"]).bytes(),
        3,
        &mut bytes,
    );
    frame::write(FrameType::Data, flags::PADDED, 1, b"\x02body\0\0", &mut bytes);
    frame::write_ping(false, [1, 2, 3, 4, 5, 6, 7, 8], &mut bytes);
    frame::write(FrameType::GoAway, 0, 0, b"\0\0\0\0\0\0\0\0words", &mut bytes);
    frame::write(FrameType::Data, flags::END_STREAM, 1, b"end", &mut bytes);
    let run = |cut: usize, second: usize| {
        let mut play = Play::new(Role::Server, config());
        for piece in [&bytes[..cut], &bytes[cut..second], &bytes[second..]] {
            play.read(piece);
        }
        play.story()
    };
    let whole = run(0, 0);
    assert_eq!(whole, ("S Q1 D1:4 G0=0 D1:3 E1".to_owned(), "ZA".to_owned()));
    for cut in 0..=bytes.len() {
        for second in cut..=bytes.len() {
            assert_eq!(run(cut, second), whole, "cut at {cut} and {second}");
        }
    }
}

/// 100 bytes of DATA count 200 with their padding, also where the stream is gone or drops them.
#[test]
fn padding_counts_to_both_windows() {
    let window_behind = |script: &str| {
        let narrow = ConnectionConfig { stream_window: 1 << 20, window: 65_535, ..config() };
        let mut play = Play::new(Role::Server, narrow);
        play.play(script, usize::MAX);
        play.story()
            .1
            .split(' ')
            .filter_map(|word| word.strip_prefix("W0+"))
            .map(|text| text.parse::<u32>().unwrap())
            .sum::<u32>()
    };
    let data = "D1:100/99 ".repeat(164);
    let count = 164 * 200;
    assert_eq!(window_behind(&format!("S SA H1 {data}")), count);
    assert_eq!(window_behind(&format!("S SA H1 <R1=8 {data}")), count);
    assert_eq!(window_behind(&format!("S SA H1 <A1. <L1:99999 {data}")), count);
    let mut play = Play::new(Role::Server, config());
    play.play("S SA H1 D1:100/99", usize::MAX);
    assert_eq!(play.connection.promised(1), 65_535 - 200);
}

#[test]
fn content_length_is_held_wherever_a_body_ends() {
    server(&[
        ("S H1=5 D1:4.", "S Q1 D1:4 R1=1:Length", "R1=1"),
        ("S H1=5.", "S M1:Length", "R1=1"),
        ("S H1=5 D1:4 T1.", "S Q1 D1:4 R1=1:Length", "R1=1"),
        ("S H1=5 D1:6", "S Q1 R1=1:Length", "R1=1"),
        ("S H1. <A1=5 <D1:4.", "S Q1. Length", "H1 R1=2"),
    ]);
    client(&[
        ("S <O. H1=5 D1:4.", "S A1:200 D1:4 R1=1:Length", "H1. R1=1"),
        ("S <O. H1=5.", "S R1=1:Length", "H1. R1=1"),
        ("S <O. H1=5 D1:4 T1.", "S A1:200 D1:4 R1=1:Length", "H1. R1=1"),
        ("S <O=5 <D1:4.", "S Length", "H1 R1=8"),
    ]);
}

/// The idle time is the owner's, which sees each event and each piece. The machine has no deadline of its own while nothing waits, and DATA
/// in one direction never expires a stream whose other direction is still.
#[test]
fn movement_in_one_direction_is_enough() {
    let mut play = Play::new(Role::Server, config());
    play.play("S SA H1", usize::MAX);
    assert_eq!(play.connection.deadline(), None);
    for _ in 0..10 {
        play.play("<M61000 <E D1:5 <E", usize::MAX);
    }
    play.play("<A1", usize::MAX);
    for _ in 0..10 {
        play.play("<M61000 <E <D1:5 <E", usize::MAX);
    }
    assert_eq!(play.connection.streams(), 1);
    assert_eq!(play.connection.deadline(), None);
    // A stall begins with the DATA that waits, however old the stream is.
    server(&[
        ("S4=0 SA H1. <A1 <M70000 <E <D1:5. <M59999 <E", "S Q1.", "H1"),
        ("S4=0 SA H1. <A1 <M70000 <E <D1:5. <M60000 <E", "S Q1. R1=8:Stalled", "H1 R1=8"),
    ]);
}

#[test]
fn settings_that_come_late_hold_at_once() {
    let wide = ConnectionConfig { streams: 1000, ..config() };
    let mut play = Play::new(Role::Client, wide);
    assert_eq!(play.connection.free_streams(), 100, "before the settings");
    play.play("S", usize::MAX);
    assert_eq!(play.connection.free_streams(), 1000, "without a bound");
    client(&[(
        "<O <D1:40000 S4=10000,3=1 <D1:9 W1+30000 <D1:9 W1+5 <D1:9 <O",
        "S Full",
        "H1 D1:16384 D1:16384 D1:7232 D1:5",
    )]);
}

#[test]
fn errors_of_a_stream_stay_there_and_those_of_framing_do_not() {
    for error in ["H3:upper.", "H3=5.", "H3 W3+0", "H3 W3+2147483647", "H3. D3:1", "H3 T3", "H3 R3=1"] {
        let (events, _) = story(Role::Server, &config(), &format!("S H1 {error} D1:5. H5."));
        assert!(events.ends_with("D1:5 E1 Q5."), "{error}: {events}");
    }
    for (error, code) in [("H3:broken.", 9), ("N3", 1), ("D9:1", 1), ("W0+0", 1), ("V1", 1), ("R9=8", 1)] {
        let (events, sent) = story(Role::Server, &config(), &format!("S H1 {error} D1:5. H5."));
        assert!(events.ends_with(&format!("!{code}")), "{error}: {events}");
        assert!(sent.ends_with(&format!("={code}")) && sent.starts_with('G'), "{error}: {sent}");
    }
}

/// As many resets as the peer makes us send as it may send itself; see `each_nuisance_has_an_end` for the rest of the budget.
#[test]
fn resets_that_a_peer_provokes_have_an_end() {
    for provoke in ["H:upper.", "H. D:1", "H W+0", "H W+2147483647", "H=5 D:6", "H T"] {
        let mut play = Play::new(Role::Server, config());
        play.play("S SA", usize::MAX);
        for turn in 0..1000 {
            let stream = 2 * turn + 1;
            let words = provoke.split(' ').map(|word| format!("{}{stream}{} ", &word[..1], &word[1..]));
            play.play(&words.collect::<String>(), usize::MAX);
        }
        let error = play.connection.error().expect(provoke);
        assert_eq!(error.code, frame::ErrorCode::ENHANCE_YOUR_CALM, "{provoke}");
        let resets = play.story().1.split(' ').filter(|word| word.starts_with('R')).count();
        assert!((100..=300).contains(&resets), "{provoke}: {resets}");
    }
}

#[test]
fn a_goaway_proves_what_lies_above_it() {
    client(&[
        ("S <O. <O. G1=0 H1.", "S G1=0 R3=7:Unprocessed A1:200.", "H1. H3."),
        ("S <O <D1:5. G0=0", "S G0=0 R1=7:Unprocessed", "H1 D1:5."),
    ]);
    server(&[("S H1 <X H3. D1:5.", "S Q1 D1:5 E1", "G1=0")]);
}

#[test]
fn there_is_no_push() {
    let mut play = Play::new(Role::Client, config());
    let fresh = Connection::new(Role::Client, Arc::new(config()), play.now);
    let settings = &fresh.output()[PREFACE.len() + HEAD..];
    assert!(
        settings.chunks(6).any(|setting| setting == [0, 2, 0, 0, 0, 0]),
        "ENABLE_PUSH is 0: {settings:?}"
    );
    play.play("S <O. V1", usize::MAX);
    assert_eq!(play.story(), ("S !1".to_owned(), "H1. G0=1".to_owned()));
    server(&[("S H1 V1", "S Q1 !1", "G1=1")]);
}

#[test]
fn priorities_are_those_of_rfc_9218() {
    let fresh = Connection::new(Role::Server, Arc::new(config()), Time::ZERO);
    assert!(
        fresh.output()[HEAD..].chunks(6).any(|setting| setting == [0, 9, 0, 0, 0, 1]),
        "NO_RFC7540_PRIORITIES"
    );
    server(&[
        // An old priority that depends on itself is no error any more, nor is one of an idle stream.
        ("S H1. Y1 Y9", "S Q1.", ""),
        ("S H1:urgent. H3. <A3 <A1 <D3:0. <D1:0.", "S Q1. Q3.", "H3 H1 D3:0. D1:0."),
    ]);
    // Two incremental streams take turns frame by frame, also behind a PRIORITY_UPDATE.
    let turns = |priorities: &str| {
        let mut play = Play::new(Role::Server, config());
        play.play(&format!("S4=99999 SA H1. H3. {priorities} <A1 <A3"), usize::MAX);
        for stream in [1, 3] {
            play.connection.offer(play.now, stream, 3 * 16_384, true).unwrap();
        }
        let next = |_| play.connection.next_piece(play.now, 1 << 20).map(|piece| piece.stream);
        (0..4).map_while(next).collect::<Vec<_>>()
    };
    assert_eq!(turns(""), [1, 1, 1, 3]);
    assert_eq!(turns("P1:i P3:i"), [1, 3, 1, 3]);
    assert_eq!(turns("P3:u=1"), [3, 3, 3, 1]);
    assert_eq!(turns("P3:u=1 P3:u=7"), [1, 1, 1, 3]);
}

/// A connection that begins with other bytes is refused at the first one that differs: a cleartext listener
/// tells the two protocols apart before.
#[test]
fn the_preface_is_the_only_way_in() {
    for text in ["GET / HTTP/1.1\r\nUpgrade: h2c\r\n", "PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", "\x16\x03\x01"] {
        for piece in [1, usize::MAX] {
            let role = Role::Server;
            let mut connection = Connection::new(role, Arc::new(config()), Time::ZERO);
            let mut fields = Fields::default();
            let ended = text
                .as_bytes()
                .chunks(piece)
                .any(|mut chunk| connection.read(Time::ZERO, &mut chunk, &mut fields).is_err());
            assert!(ended, "{text}");
        }
    }
}

#[test]
fn what_could_be_another_message_in_http_1_is_refused() {
    for name in ["upper", "line", "nul", "te", "connection", "chunked", "late", "twice", "emptypath", "host"]
    {
        let (events, sent) = story(Role::Server, &config(), &format!("S H1:{name}. H3."));
        assert!(events.starts_with("S M1:") && events.ends_with(" Q3."), "{name}: {events}");
        assert_eq!(sent, "R1=1", "{name}");
    }
    // The authority is no part of the path, nor the path of the authority.
    for lines in [
        [":path=http://other/", ":authority=h"],
        [":path=//other@h/", ":authority=h/x"],
        [":path=h", ":authority=h"],
        [":path=/", ":authority=h/../x"],
        [":path=/", ":authority=h x"],
        [":path=/", ":authority=u@h"],
        [":path=/ HTTP/1.1", ":authority=h"],
    ] {
        let mut play = Play::new(Role::Server, config());
        play.play("S", usize::MAX);
        let mut bytes = Vec::new();
        let block = encode(&[&[":method=GET", ":scheme=http"][..], &lines].concat());
        frame::write_block(1, true, block.bytes(), 1 << 14, &mut bytes);
        play.read(&bytes);
        assert!(play.story().0.starts_with("S M1:"), "{lines:?}");
    }
}

#[test]
fn a_body_that_is_cut_never_looks_whole() {
    for (role, script) in [
        (Role::Server, "S H1. <A1 <D1:5 <R1=2"),
        (Role::Server, "S H1. <A1=9 <D1:5 <D1:0."),
        (Role::Server, "S H1. <A1=9 <D1:5 <T1"),
        (Role::Server, "S H1 <A1 <D1:5 <L1:9"),
        (Role::Client, "S <O <D1:5 <R1=8"),
        (Role::Client, "S <O=9 <D1:5 <D1:0."),
        (Role::Client, "S <O=9 <D1:5 <T1"),
    ] {
        let (_, sent) = story(role, &config(), script);
        assert!(!sent.contains('.') && sent.contains("R1="), "{script}: {sent}");
    }
    // The peer's cut: its reset, and the end of the connection, are no end of the body.
    for (role, script) in [(Role::Server, "S H1 D1:5"), (Role::Client, "S <O. H1 D1:5")] {
        let mut play = Play::new(role, config());
        play.play(script, usize::MAX);
        assert!(!play.connection.may_end());
        let lost = play.connection.lose().expect("the exchange hears of it");
        assert_eq!((lost.stream, play.connection.lose()), (1, None));
        let (events, _) = story(role, &config(), &format!("{script} R1=8"));
        assert!(events.ends_with("R1=8:Peer") && !events.contains('E'), "{events}");
    }
}

#[test]
fn every_settings_is_acknowledged() {
    for role in [Role::Server, Role::Client] {
        for piece in [1, usize::MAX] {
            let mut play = Play::new(role, config());
            let mut bytes = Vec::new();
            for word in ["S", "S", "S4=9", "S77=1,78=2"] {
                frame_of(word, role == Role::Server, &mut bytes);
            }
            bytes.chunks(piece).for_each(|chunk| play.read(chunk));
            play.flush();
            let mut acknowledged = 0;
            let mut bytes = &play.sent[..];
            while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
                let head = FrameHead::read(head);
                acknowledged += u32::from(head.kind == FrameType::Settings && head.has(flags::ACK));
                bytes = &rest[head.length as usize..];
            }
            assert_eq!(acknowledged, 4);
        }
    }
}

#[test]
fn what_may_have_been_carried_out_is_not_called_unprocessed() {
    client(&[
        ("S <O <D1:5. R1=8", "S R1=8:Peer", "H1 D1:5."),
        ("S <O <D1:5. R1=0", "S R1=0:Peer", "H1 D1:5."),
        ("S <O <D1:5. H1:100 R1=7", "S A1:100 R1=7:Peer", "H1 D1:5."),
        ("S <O <D1:5. H1 G0=0", "S A1:200 G0=0 R1=7:Peer", "H1 D1:5."),
        ("S <O <D1:5. G1=0 R1=8", "S G1=0 R1=8:Peer", "H1 D1:5."),
    ]);
    // The connection ends without GOAWAY: nothing is proved, and the owner is told whether an answer had begun.
    let mut play = Play::new(Role::Client, config());
    play.play("S <O. <O. H1", usize::MAX);
    let lost: Vec<_> =
        std::iter::from_fn(|| play.connection.lose()).map(|it| (it.stream, it.is_unanswered)).collect();
    assert_eq!(lost, [(3, true), (1, false)]);
}

#[test]
fn a_stuck_upload_stops_no_stream_and_no_ping() {
    let narrow = ConnectionConfig { stream_window: 100, window: 65_535, ..config() };
    // The owner of 1 takes nothing: its window stays shut, and 3 goes on beyond the window of the connection.
    let mut script = "S SA H1 D1:100 H3 ".to_owned();
    for _ in 0..1000 {
        script.push_str("D3:100 <W3:100 ");
    }
    let mut play = Play::new(Role::Server, narrow);
    play.play(&format!("{script} Z H5. <A5."), usize::MAX);
    let (events, sent) = play.story();
    assert_eq!(events, "S Q1 D1:100 Q3 D3:100000 Q5.");
    assert!(sent.ends_with("ZA H5."), "{sent}");
    assert_eq!((play.connection.promised(1), play.connection.promised(3)), (0, 100));
}

#[test]
fn a_client_that_does_not_read_stops_nobody_on_a_shared_connection() {
    // To a backend: the answer of 1 fills its lane, those of 3 come in whole, and an upload without a window lets others pass.
    let narrow = ConnectionConfig { stream_window: 100, window: 65_535, ..config() };
    let mut play = Play::new(Role::Client, narrow);
    play.play("S4=50 SA <O. <O. <O H1 D1:100 H3", usize::MAX);
    for _ in 0..1000 {
        play.play("D3:100 <W3:100", usize::MAX);
    }
    play.play("<D5:200 <O <D7:50. Z", usize::MAX);
    let (events, sent) = play.story();
    assert_eq!(events, "S A1:200 D1:100 A3:200 D3:100000");
    assert!(sent.ends_with("D5:50 H7 D7:50. ZA"), "{sent}");
}

/// The output behind the acknowledgement keeps to the acknowledged settings.
#[test]
fn the_bound_of_streams_holds_from_its_acknowledgement() {
    client(&[
        ("S <O. <O. S3=1 <O.", "S S Full", "H1. H3."),
        ("S <O. <O. S3=1 H1. <O. H3. <O.", "S S A1:200. Full A3:200.", "H1. H3. H5."),
    ]);
    let mut play = Play::new(Role::Client, config());
    let mut bytes = Vec::new();
    frame::write(FrameType::Settings, 0, 0, &[0, 3, 0, 0, 0, 0], &mut bytes);
    // The frame without its last byte is no settings yet.
    play.read(&bytes[..bytes.len() - 1]);
    assert!(play.connection.output().is_empty() && play.connection.free_streams() > 0);
    play.read(&bytes[bytes.len() - 1..]);
    assert_eq!(play.connection.free_streams(), 0);
    assert_eq!(play.connection.output(), [0, 0, 0, 4, 1, 0, 0, 0, 0]);
}

#[test]
fn interim_answers_and_trailers_end_no_connection() {
    client(&[
        (
            "S <O <O. H1:100 H1:103 H1:103 <D1:5 <T1 H3. H1.",
            "S A1:100 A1:103 A1:103 A3:200. A1:200.",
            "H1 H3. D1:5 H1.",
        ),
        ("S <O. <O. H1:101 H3.", "S R1=1:Malformed A3:200.", "H1. H3. R1=1"),
    ]);
    server(&[
        ("S H1 D1:5 T1. H3. <A1:103 <A1. <A3.", "S Q1 D1:5 T1 Q3.", "H1 H1. H3."),
        ("S H1 T1. H3 T3.", "S Q1 T1 Q3 T3", ""),
    ]);
}

#[test]
fn no_pseudo_field_comes_behind_a_field() {
    server(&[
        ("S H1:late. H3.", "S M1:LatePseudo Q3.", "R1=1"),
        ("S H1 H1:pseudo. H3.", "S Q1 R1=1:Malformed Q3.", "R1=1"),
    ]);
}
