//! Rules of RFC 9113, RFC 8441 and RFC 9218, one case each: what the peer sends and the owner does, what comes of it, and what is sent.

use super::script::{config, story};
use crate::h2::connection::{ConnectionConfig, Role};

type Case = (&'static str, &'static str, &'static str, &'static str);

fn hold(role: Role, config: &ConnectionConfig, cases: &[Case]) {
    for (why, script, events, sent) in cases {
        let (got, frames) = story(role, config, script);
        assert_eq!((got.as_str(), frames.as_str()), (*events, *sent), "{why}: {script}");
    }
}

fn server(cases: &[Case]) {
    hold(Role::Server, &config(), cases);
}

fn client(cases: &[Case]) {
    hold(Role::Client, &config(), cases);
}

#[test]
fn messages_of_clients() {
    server(&[
        ("a GET", "S H1. <A1.", "S Q1.", "H1."),
        ("a GET with a body behind its answer", "S H1. <A1 <D1:5.", "S Q1.", "H1 D1:5."),
        ("a request with a body", "S H1 D1:5 D1:3.", "S Q1 D1:8 E1", ""),
        ("a body that ends with an empty frame", "S H1 D1:5 D1:0.", "S Q1 D1:5 E1", ""),
        ("a body of nothing", "S H1 D1:0.", "S Q1 E1", ""),
        ("trailers behind a body", "S H1 D1:5 T1.", "S Q1 D1:5 T1", ""),
        ("trailers behind nothing", "S H1 T1.", "S Q1 T1", ""),
        ("our trailers", "S H1. <A1 <D1:2 <T1", "S Q1.", "H1 D1:2 H1."),
        ("trailers only", "S H1. <A1 <T1", "S Q1.", "H1 H1."),
        ("interim responses", "S H1 <A1:100 <A1:103 <A1.", "S Q1", "H1 H1 H1."),
        ("two heads", "S H1. <A1 <A1", "S Q1. Order", "H1"),
        ("DATA before the head", "S H1. <D1:1", "S Q1. Order", ""),
        ("trailers before the head", "S H1. <T1", "S Q1. Order", ""),
        ("DATA behind the end", "S H1 <A1. <D1:1", "S Q1 Order", "H1."),
        ("trailers behind the end", "S H1 <A1. <T1", "S Q1 Order", "H1."),
        ("an answer to what is gone", "S H1. R1=8 <A1", "S Q1. R1=8:Peer Gone", ""),
        ("DATA for what is gone", "S H1. <A1 R1=8 <D1:1", "S Q1. R1=8:Peer Gone", "H1"),
        ("trailers for what is gone", "S H1. <A1 R1=8 <T1", "S Q1. R1=8:Peer Gone", "H1"),
        ("the first stream may have any odd number", "S H13. H15.", "S Q13. Q15.", ""),
        ("numbers rise", "S H5. H3.", "S Q5. !1", "G5=1"),
        ("numbers of clients are odd", "S H2.", "S !1", "G0=1"),
        ("a HEAD", "S H1:head. <A1=5", "S Q1.", "H1."),
        ("no DATA in answer to a HEAD", "S H1:head. <A1=5 <D1:5.", "S Q1. Gone", "H1."),
        ("204 ends its stream", "S H1. <A1:204 <D1:5.", "S Q1. Gone", "H1."),
        ("304 ends its stream", "S H1. <A1:304 <D1:5.", "S Q1. Gone", "H1."),
        ("an early answer, and no more is wanted", "S H1 <A1. <R1=0 D1:9", "S Q1", "H1. R1=0"),
        (
            "a stream error touches no other one",
            "S H1=2 H3 D1:5 D3:1.",
            "S Q1 Q3 R1=1:Length D3:1 E3",
            "R1=1",
        ),
    ]);
}

#[test]
fn lengths_are_held() {
    server(&[
        ("as long as promised", "S H1=5 D1:5.", "S Q1 D1:5 E1", ""),
        ("in two frames", "S H1=5 D1:2 D1:3.", "S Q1 D1:5 E1", ""),
        ("behind an empty frame", "S H1=5 D1:5 D1:0.", "S Q1 D1:5 E1", ""),
        ("before trailers", "S H1=5 D1:5 T1.", "S Q1 D1:5 T1", ""),
        ("zero", "S H1=0.", "S Q1.", ""),
        ("zero, and an empty frame", "S H1=0 D1:0.", "S Q1 E1", ""),
        ("padding is no content", "S H1=5 D1:5/9.", "S Q1 D1:5 E1", ""),
        ("content where none is promised", "S H1=0 D1:1.", "S Q1 R1=1:Length", "R1=1"),
        ("too short at DATA", "S H1=5 D1:4.", "S Q1 D1:4 R1=1:Length", "R1=1"),
        ("too short at an empty frame", "S H1=5 D1:4 D1:0.", "S Q1 D1:4 R1=1:Length", "R1=1"),
        ("too short at trailers", "S H1=5 D1:4 T1.", "S Q1 D1:4 R1=1:Length", "R1=1"),
        ("too short at HEADERS", "S H1=5.", "S M1:Length", "R1=1"),
        ("our body as long as promised", "S H1. <A1=5 <D1:5.", "S Q1.", "H1 D1:5."),
        ("our body in parts", "S H1. <A1=5 <D1:2 <D1:3.", "S Q1.", "H1 D1:2 D1:3."),
        ("our body, then trailers", "S H1. <A1=5 <D1:5 <T1", "S Q1.", "H1 D1:5 H1."),
        ("our body is cut", "S H1. <A1=5 <D1:4.", "S Q1. Length", "H1 R1=2"),
        ("our body is cut behind a part", "S H1. <A1=5 <D1:4 <D1:0.", "S Q1. Length", "H1 D1:4 R1=2"),
        ("our body is cut by trailers", "S H1. <A1=5 <D1:4 <T1", "S Q1. Length", "H1 D1:4 R1=2"),
        ("our body is too long", "S H1. <A1=5 <D1:6.", "S Q1. Length", "H1 R1=2"),
        ("our body never begins", "S H1. <A1=5.", "S Q1. Length", "R1=2"),
        ("a promise in answer to HEAD", "S H1:head. <A1=5.", "S Q1.", "H1."),
    ]);
    client(&[
        ("an answer as long as promised", "S <O. H1=5 D1:5.", "S A1:200 D1:5 E1", "H1."),
        ("too short", "S <O. H1=5 D1:4.", "S A1:200 D1:4 R1=1:Length", "H1. R1=1"),
        ("too long", "S <O. H1=5 D1:6.", "S A1:200 R1=1:Length", "H1. R1=1"),
        ("none of it", "S <O. H1=5.", "S R1=1:Length", "H1. R1=1"),
        ("cut by trailers", "S <O. H1=5 T1.", "S A1:200 R1=1:Length", "H1. R1=1"),
        ("no content in answer to HEAD", "S <O:head. H1=5.", "S A1:200.", "H1."),
        ("our upload is cut", "S <O=5 <D1:4.", "S Length", "H1 R1=8"),
        ("our upload is cut by trailers", "S <O=5 <T1", "S Length", "H1 R1=8"),
        ("our upload is too long", "S <O=5 <D1:6", "S Length", "H1 R1=8"),
        ("our upload is whole", "S <O=5 <D1:3 <D1:2.", "S", "H1 D1:3 D1:2."),
    ]);
}

#[test]
fn heads_that_are_refused() {
    let mut cases = Vec::new();
    for (name, fault) in [
        ("upper", "Name"),
        ("line", "Value"),
        ("nul", "Value"),
        ("te", "ConnectionField"),
        ("connection", "ConnectionField"),
        ("chunked", "ConnectionField"),
        ("late", "LatePseudo"),
        ("twice", "RepeatedPseudo"),
        ("unknown", "UnknownPseudo"),
        ("nomethod", "Pseudos"),
        ("noscheme", "Pseudos"),
        ("nopath", "Pseudos"),
        ("emptypath", "Path"),
        ("host", "Authority"),
        ("pseudo", "UnknownPseudo"),
        ("websocket", "Pseudos"),
    ] {
        for end in ["", "."] {
            cases.push((name, format!("S H1:{name}{end} H3."), format!("S M1:{fault} Q3.")));
        }
    }
    for (why, script, events) in &cases {
        let (got, sent) = story(Role::Server, &config(), script);
        assert_eq!((got, sent.as_str()), (events.clone(), "R1=1"), "{why}");
    }
    server(&[
        ("a block that breaks HPACK", "S H1:broken.", "S !9", "G0=9"),
        ("also in trailers", "S H1 H1:broken.", "S Q1 !9", "G1=9"),
        ("also on a stream that is gone", "S H1 <R1=8 H1:broken.", "S Q1 !9", "R1=8 G1=9"),
        ("trailers with pseudo-fields", "S H1 H1:pseudo.", "S Q1 R1=1:Malformed", "R1=1"),
        ("trailers that do not end", "S H1 T1", "S Q1 R1=1:Order", "R1=1"),
        ("a head above the bound is answered", "S H1:large. <A1:431.", "S B1", "H1."),
        ("a HEAD above the bound has no body", "S H1:largehead. <A1:431 <D1:5.", "S B1 Gone", "H1."),
        ("and its body read", "S H1:large D1:5.  <A1:431.", "S B1 D1:5 E1", "H1."),
        ("a head far above it ends the connection", "S H1:huge.", "S !11", "G0=11"),
        ("trailers above the bound", "S H1 H1:large.", "S Q1 R1=1:TooLarge", "R1=1"),
        ("TE: trailers", "S H1:trailers.", "S Q1.", ""),
        ("a cookie in forty fields", "S H1:crumbs.", "S Q1.", ""),
        ("CONNECT is a tunnel", "S H1:connect <A1 D1:5 <D1:3", "S Q1 D1:5", "H1 D1:3"),
        ("CONNECT that is refused", "S H1:connect <A1:501.", "S Q1", "H1."),
    ]);
    let connect = ConnectionConfig { connect: true, ..config() };
    hold(
        Role::Server,
        &connect,
        &[
            ("an extended CONNECT", "S H1:websocket <A1 D1:5 <D1:3.", "S Q1 D1:5", "H1 D1:3."),
            ("a plain one still", "S H1:connect", "S Q1", ""),
        ],
    );
    let mut cases = Vec::new();
    for (name, fault) in
        [("101", "Malformed"), ("99", "Malformed"), ("600", "Malformed"), ("nomethod", "Malformed")]
    {
        cases.push((format!("S <O. H1:{name}."), format!("S R1=1:{fault}")));
    }
    for (script, events) in &cases {
        let (got, sent) = story(Role::Client, &config(), script);
        assert_eq!((&got, sent.as_str()), (events, "H1. R1=1"), "{script}");
    }
}

#[test]
fn windows() {
    let small = ConnectionConfig { stream_window: 100, window: 65_535, ..config() };
    server(&[
        ("a connection window of zero by update", "S W0+0", "S !1", "G0=1"),
        ("a stream's", "S H1 W1+0", "S Q1 R1=1:Window", "R1=1"),
        ("an overflow of the connection", "S W0+2147483647", "S !3", "G0=3"),
        ("of a stream", "S H1 W1+2147483647", "S Q1 R1=3:Window", "R1=3"),
        ("of a stream by settings", "S H1 W1+1 S4=2147483647", "S Q1 !3", "G1=3"),
        ("up to the bound", "S H1 W1+2147418112", "S Q1", ""),
        ("an initial window above the bound", "S4=2147483648", "!3", "G0=3"),
        ("nothing fits", "S4=0 H1. <A1 <D1:5.", "S Q1.", "H1"),
        ("a window of three", "S4=3 H1. <A1 <D1:5.", "S Q1.", "H1 D1:3"),
        ("it opens", "S4=3 H1. <A1 <D1:5. W1+1 <D1:2. W1+9 <D1:1.", "S Q1.", "H1 D1:3 D1:1 D1:1."),
        ("an end needs no window", "S4=0 H1. <A1 <D1:0.", "S Q1.", "H1 D1:0."),
        ("trailers need no window", "S4=0 H1. <A1 <T1", "S Q1.", "H1 H1."),
        ("a smaller one counts for open streams", "S H1. <A1 S4=4 <D1:9", "S Q1. S", "H1 D1:4"),
        ("below zero", "S4=5 H1. <A1 <D1:5 S4=2 W1+3 <D1:1 W1+1 <D1:1", "S Q1. S", "H1 D1:5 D1:1"),
        ("a larger one opens streams", "S4=2 H1. <A1 <D1:5 S4=4 <D1:3", "S Q1. S", "H1 D1:2 D1:2"),
        (
            "also behind one that stays shut",
            "S4=5 H1. H3. <A1 <A3 <D1:9 <D3:2 S4=3 <D3:9 S4=4 <D1:4",
            "S Q1. Q3. S S",
            "H1 H3 D1:5 D3:2 D3:1 D3:1",
        ),
        ("of one frame the last value counts", "S4=9,4=2 H1. <A1 <D1:5", "S Q1.", "H1 D1:2"),
        ("frames have a bound", "S H1. <A1 <D1:20000.", "S Q1.", "H1 D1:16384 D1:3616."),
        (
            "a larger one of the peer changes nothing",
            "S5=16777215 H1. <A1 <D1:20000.",
            "S Q1.",
            "H1 D1:16384 D1:3616.",
        ),
        (
            "the connection has a window",
            "S4=100000 H1. <A1 <D1:70000",
            "S Q1.",
            "H1 D1:16384 D1:16384 D1:16384 D1:16383",
        ),
        (
            "it opens by its own updates only",
            "S4=100000 H1. <A1 <D1:65535 W1+9 <D1:5 W0+2 <D1:5",
            "S Q1.",
            "H1 D1:16384 D1:16384 D1:16384 D1:16383 D1:2",
        ),
    ]);
    hold(
        Role::Server,
        &small,
        &[
            ("before the acknowledgement 65,535 may come", "S H1 D1:200", "S Q1 D1:200", ""),
            ("afterwards what we said", "S SA H1 D1:100", "S Q1 D1:100", ""),
            ("and no byte more", "S SA H1 D1:101", "S Q1 R1=3:Window", "R1=3"),
            ("padding counts", "S SA H1 D1:90/10", "S Q1 R1=3:Window", "R1=3"),
            ("to the byte", "S SA H1 D1:90/9", "S Q1 D1:90", ""),
            ("in two frames", "S SA H1 D1:60 D1:41", "S Q1 D1:60 R1=3:Window", "R1=3"),
            ("what came before the acknowledgement counts", "S H1 D1:90 SA D1:10", "S Q1 D1:100", ""),
            ("and makes the window negative", "S H1 D1:150 SA D1:1", "S Q1 D1:150 R1=3:Window", "R1=3"),
            ("an empty end needs none", "S H1 D1:150 SA D1:0.", "S Q1 D1:150 E1", ""),
        ],
    );
    let narrow = ConnectionConfig { stream_window: 100_000, window: 65_535, ..config() };
    let half = "S SA H1 D1:16000 D1:16000 D1:767 D1:1";
    hold(
        Role::Server,
        &narrow,
        &[
            ("the connection window comes back on receipt, at half", half, "S Q1 D1:32768", "W0+32767"),
            (
                "also for padding",
                "S SA H1 D1:16000/255 D1:16000/255 D1:1 D1:254",
                "S Q1 D1:32255",
                "W0+32767",
            ),
            (
                "also on streams that are gone",
                "S SA H1 <R1=8 D1:16000 D1:16000 D1:767 D1:1",
                "S Q1",
                "R1=8 W0+32767",
            ),
        ],
    );
}

#[test]
fn settings() {
    server(&[
        ("the first frame is SETTINGS", "H1.", "!1", "G0=1"),
        ("not their acknowledgement", "SA", "!1", "G0=1"),
        ("nor PING", "Z", "!1", "G0=1"),
        ("push is 0 or 1", "S2=2", "!1", "G0=1"),
        ("a client may allow it", "S2=1", "S", ""),
        ("a frame of 16,383", "S5=16383", "!1", "G0=1"),
        ("of 16,384", "S5=16384", "S", ""),
        ("of 2^24-1", "S5=16777215", "S", ""),
        ("of 2^24", "S5=16777216", "!1", "G0=1"),
        ("an unknown one is ignored", "S77=1", "S", ""),
        ("old priorities are 0 or 1", "S9=2", "!1", "G0=1"),
        ("extended CONNECT is 0 or 1", "S8=2", "!1", "G0=1"),
        ("and is not taken back", "S8=1 S8=0", "S !1", "G0=1"),
        ("no streams", "S3=0 H1.", "S Q1.", ""),
        ("the largest table", "S1=4294967295", "S", ""),
        ("acknowledged", "S SA", "S", ""),
        ("twice", "S SA SA", "S", ""),
        ("not acknowledged in time", "S <M5000 <E", "S !4", "G0=4"),
        ("not a moment before", "S <M4999 <E", "S", ""),
        ("acknowledged in time", "S <M4999 SA <M9999 <E", "S", ""),
        ("nothing came at all", "<M5000 <E", "!4", "G0=4"),
        ("nothing is read behind the end", "<M5000 <E S H1.", "!4", "G0=4"),
    ]);
    client(&[
        ("a server that allows push", "S2=1", "!1", "G0=1"),
        ("requests before its settings", "<O. <O.", "", "H1. H3."),
        ("a bound of one", "S3=1 <O. <O.", "S Full", "H1."),
        ("one more when one is over", "S3=1 <O. H1. <O.", "S A1:200.", "H1. H3."),
        ("none", "S3=0 <O.", "S Full", ""),
        ("our own bound", "S3=100 <O. <O. <O. <O. <O.", "S Full", "H1. H3. H5. H7."),
        (
            "a bound that comes late",
            "<O. <O. S3=1 <O. H1. <O. H3. <O.",
            "S Full A1:200. Full A3:200.",
            "H1. H3. H5.",
        ),
        ("it is raised", "S3=1 <O. <O. S3=2 <O.", "S Full S", "H1. H3."),
    ]);
}

#[test]
fn leaving() {
    server(&[
        ("a drain", "S H1. <G <A1.", "S Q1.", "G2147483647=0 H1."),
        ("streams under way are taken", "S <G H1. <A1.", "S Q1.", "G2147483647=0 H1."),
        ("a drain, once", "S <G <G", "S", "G2147483647=0"),
        ("the last one is named", "S H1. H3. <X <A1. <A3.", "S Q1. Q3.", "G3=0 H1. H3."),
        ("both", "S <G H1. <X <A1.", "S Q1.", "G2147483647=0 G1=0 H1."),
        ("never the other way", "S <X <G", "S", "G0=0"),
        ("named once", "S <X <X", "S", "G0=0"),
        ("what opens behind is dropped", "S H1. <X H3 D3:5 T3. <A1.", "S Q1.", "G1=0 H1."),
        ("its fields count, as for all", "S H1. <X H3:broken.", "S Q1. !9", "G1=0 G1=9"),
        ("no open stream is hurt", "S H1 <X H3. D1:5.", "S Q1 D1:5 E1", "G1=0"),
        ("the client leaves", "S H1. G0=0 <A1.", "S Q1. G0=0", "H1."),
        ("and opens a stream nevertheless", "S G0=0 H1.", "S G0=0 Q1.", ""),
    ]);
    client(&[
        (
            "above the last is not processed",
            "S <O. <O. G1=0 H1.",
            "S G1=0 R3=7:Unprocessed A1:200.",
            "H1. H3.",
        ),
        ("all of them", "S <O. <O. G0=0", "S G0=0 R3=7:Unprocessed R1=7:Unprocessed", "H1. H3."),
        ("also with an error", "S <O. G0=11", "S G0=11 R1=7:Unprocessed", "H1."),
        ("also with a body", "S <O <D1:5. G0=0", "S G0=0 R1=7:Unprocessed", "H1 D1:5."),
        ("not if it has answered", "S <O. H1 G0=0", "S A1:200 G0=0 R1=7:Peer", "H1."),
        ("not behind an interim answer", "S <O. H1:103 G0=0", "S A1:103 G0=0 R1=7:Peer", "H1."),
        ("up to 2^31-1 all go on", "S <O. G2147483647=0 H1.", "S G2147483647=0 A1:200.", "H1."),
        (
            "then the last is named",
            "S <O. <O. G2147483647=0 G1=0 H1.",
            "S G2147483647=0 G1=0 R3=7:Unprocessed A1:200.",
            "H1. H3.",
        ),
        ("no new one", "S G2147483647=0 <O.", "S G2147483647=0 Leaving", ""),
        ("it is never raised", "S <O. <O. G1=0 G3=0", "S G1=0 R3=7:Unprocessed G1=0", "H1. H3."),
        ("whose owner has left is not reported", "S <O:head. H1 G0=0", "S A1:200. G0=0", "H1."),
        ("we leave", "S <O. <X H1. <O.", "S A1:200. Leaving", "H1. G0=0"),
        ("we drain", "S <G <O.", "S Leaving", "G0=0"),
        ("REFUSED_STREAM", "S <O. R1=7", "S R1=7:Unprocessed", "H1."),
        ("behind an answer it proves nothing", "S <O. H1 R1=7", "S A1:200 R1=7:Peer", "H1."),
        ("behind an interim one neither", "S <O. H1:100 R1=7", "S A1:100 R1=7:Peer", "H1."),
        ("NO_ERROR without an answer is a failure", "S <O R1=0", "S R1=0:Peer", "H1"),
        (
            "behind a whole answer it is none",
            "S <O H1 D1:5. R1=0",
            "S A1:200 D1:5 E1 R1=0:PeerAfterEnd",
            "H1",
        ),
        ("nor is CANCEL", "S <O H1. R1=8", "S A1:200. R1=8:PeerAfterEnd", "H1"),
        ("a row of them", "S <O H1. R1=0 R1=0 R1=0", "S A1:200. R1=0:PeerAfterEnd", "H1"),
    ]);
}

#[test]
fn bounds_of_streams_and_frames() {
    server(&[
        ("four at once", "S H1 H3 H5 H7 H9.", "S Q1 Q3 Q5 Q7 F9", "R9=7"),
        ("one more when one is over", "S H1. H3 H5 H7 <A1. H9.", "S Q1. Q3 Q5 Q7 Q9.", "H1."),
        ("one that is reset is over", "S H1 H3 H5 H7 R1=8 H9.", "S Q1 Q3 Q5 Q7 R1=8:Peer Q9.", ""),
        ("one that was refused is closed", "S H1 H3 H5 H7 H9 D9:5 T9. D1:1", "S Q1 Q3 Q5 Q7 F9 D1:1", "R9=7"),
        ("its fields count, as for all", "S H1 H3 H5 H7 H9:broken.", "S Q1 Q3 Q5 Q7 !9", "G7=9"),
        ("PING is answered", "S Z Z", "S", "ZA ZA"),
        ("within a stream", "S H1 Z D1:5 Z D1:0.", "S Q1 D1:5 E1", "ZA ZA"),
        ("unknown frames are ignored", "S U0 U1 U9 H1.", "S Q1.", ""),
        ("priorities are ignored", "S Y1 Y3 Y5 Y7 Y9 Y11 H13.", "S Q13.", ""),
        ("push is an error", "S H1 V1", "S Q1 !1", "G1=1"),
        ("CONTINUATION behind nothing", "S N1", "S !1", "G0=1"),
        ("a PING of ours that is not answered", "S SA <Z <M9999 <E <M1 <E", "S !0", "Z G0=0"),
    ]);
    client(&[
        ("a server opens no stream", "S H2.", "S !1", "G0=1"),
        ("a number that we have not used", "S <O. H3.", "S !1", "H1. G0=1"),
        ("DATA before the head", "S <O. D1:5", "S R1=1:Order", "H1. R1=1"),
        ("trailers behind an answer", "S <O. H1 D1:5 T1.", "S A1:200 D1:5 T1", "H1."),
        ("trailers only", "S <O. H1 T1.", "S A1:200 T1", "H1."),
        ("interim answers", "S <O. H1:100 H1:103 H1.", "S A1:100 A1:103 A1:200.", "H1."),
        ("an interim one that ends", "S <O. H1:103.", "S R1=1:Order", "H1. R1=1"),
        ("an interim one behind the final", "S <O. H1 H1:103", "S A1:200 R1=1:Order", "H1. R1=1"),
        ("101 is none", "S <O. H1:101", "S R1=1:Malformed", "H1. R1=1"),
        ("204 has no body", "S <O. H1:204 D1:0.", "S A1:204.", "H1."),
        ("304 that brings one", "S <O. H1:304 D1:5.", "S A1:304.", "H1. R1=8"),
        ("HEAD that brings one", "S <O:head. H1 D1:5 D1:5.", "S A1:200.", "H1. R1=8"),
        ("while we still send", "S <O:head H1 D1:5", "S A1:200. R1=8:Surplus", "H1 R1=8"),
        ("HEAD and trailers", "S <O:head. H1 T1.", "S A1:200.", "H1."),
        ("a HEAD that is never ended", "S SA <O:head. H1 <M5000 <E", "S A1:200.", "H1. R1=8"),
        ("an answer above the bound", "S <O. H1:large", "S R1=8:TooLarge", "H1. R1=8"),
        ("an answer to CONNECT is a tunnel", "S <O:connect H1=5 D1:9 <D1:4.", "S A1:200 D1:9", "H1 D1:4."),
        ("a refused CONNECT is none", "S <O:connect H1:404 D1:9.", "S A1:404 D1:9 E1", "H1"),
    ]);
}

#[test]
fn uploads_that_have_no_reader() {
    server(&[
        ("dropped to its end", "S H1 <A1. <L1:100 D1:5 D1:9.", "S Q1", "H1."),
        ("up to the limit", "S H1 <A1. <L1:10 D1:5 D1:6", "S Q1", "H1. R1=0"),
        ("trailers end it", "S H1 <A1. <L1:10 D1:5 T1.", "S Q1", "H1."),
        ("the client gives up", "S H1 <A1. <L1:10 R1=8", "S Q1", "H1."),
        ("it takes too long", "S SA H1 <A1. <L1:10 <M5000 <E", "S Q1", "H1. R1=0"),
        ("before the answer is whole it is a cut", "S H1 <A1 <L1:10", "S Q1", "H1 R1=2"),
        ("promised lengths do not matter any more", "S H1=5 <A1. <L1:100 D1:9.", "S Q1", "H1."),
    ]);
    let window = "S H1 <A1. <L1:70000 D1:16000 D1:16000 D1:767 D1:16000";
    server(&[("a window comes for it", window, "S Q1", "H1. W1+32767")]);
}

#[test]
fn stalls() {
    let config = ConnectionConfig { stall_timeout: std::time::Duration::from_millis(100), ..config() };
    hold(
        Role::Server,
        &config,
        &[
            ("no window at all", "S4=0 SA H1. <A1 <D1:5. <M100 <E", "S Q1. R1=8:Stalled", "H1 R1=8"),
            ("not a moment before", "S4=0 SA H1. <A1 <D1:5. <M99 <E", "S Q1.", "H1"),
            (
                "a dribble is no movement",
                "S4=0 SA H1. <A1 <D1:9. <M60 W1+1 <D1:9. <M40 <E",
                "S Q1. R1=8:Stalled",
                "H1 D1:1 R1=8",
            ),
            ("PING is none", "S4=0 SA H1. <A1 <D1:9. <M60 Z <M40 <E", "S Q1. R1=8:Stalled", "H1 ZA R1=8"),
            (
                "a whole frame is",
                "S4=0 SA H1. <A1 <D1:20000. <M60 W1+16384 <D1:20000. <M40 <E",
                "S Q1.",
                "H1 D1:16384",
            ),
            ("all that waits is", "S4=0 SA H1. <A1 <D1:2 <M60 W1+2 <D1:2 <D1:2 <M40 <E", "S Q1.", "H1 D1:2"),
            (
                "the connection's window",
                "S4=99999 SA H1. <A1 <D1:70000. <M100 <E",
                "S Q1. R1=8:Stalled",
                "H1 D1:16384 D1:16384 D1:16384 D1:16383 R1=8",
            ),
            (
                "only the stream that stalls",
                "S4=0 SA H1. H3. <A1 <D1:5. <M50 <A3 <D3:5 <M50 <E",
                "S Q1. Q3. R1=8:Stalled",
                "H1 H3 R1=8",
            ),
            (
                "one that waits for its turn, while the connection moves",
                "S4=99999 SA H1:urgent. H3. <A1 <A3 <D1:65535 <D3:5 <M60 W0+16384 <D1:16384 <M60 <E",
                "S Q1. Q3.",
                "H1 H3 D1:16384 D1:16384 D1:16384 D1:16383 D1:16384",
            ),
            ("what waits for us does not stall", "S SA H1. <A1 <M100 <E", "S Q1.", "H1"),
        ],
    );
}
