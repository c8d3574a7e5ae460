//! RFC 9113 §5.1: every state of a stream against every frame on it.

use super::Expect::{self, Connection, Nothing, Sent, Stream};
use super::{Case, event, hold, literals, raw};
use crate::h2::connection::Role::{self, Client, Server};

const PROTOCOL: u32 = 1;
const STREAM_CLOSED: u32 = 5;

/// The effect of a kind of frame in a state.
#[derive(Clone, Copy)]
enum Rule {
    /// It belongs here: the events of the frame.
    Takes,
    /// It is dropped.
    Drops,
    /// An error of the stream, with its code.
    Stream(u32),
    /// The stream is closed, and is told again that it is.
    Again,
    /// An error of the connection, with its code.
    Connection(u32),
}
use Rule::{Again, Drops, Takes};

/// A state, the script that leads to it, and what DATA, HEADERS, RST_STREAM and WINDOW_UPDATE do there.
type Row = (Role, &'static str, &'static str, [Rule; 4]);

const IDLE: [Rule; 4] = [Rule::Connection(PROTOCOL); 4];
const RESET_BY_US: [Rule; 4] = [Drops; 4];
const RESET_BY_PEER: [Rule; 4] = [Again, Again, Drops, Drops];
const ENDED: [Rule; 4] = [Rule::Connection(STREAM_CLOSED), Rule::Connection(STREAM_CLOSED), Drops, Drops];
const HALF_CLOSED: [Rule; 4] = [Rule::Stream(STREAM_CLOSED), Rule::Stream(STREAM_CLOSED), Takes, Drops];
const OPEN: [Rule; 4] = [Takes, Takes, Takes, Drops];

const ROWS: [Row; 21] = [
    (Server, "idle, of the server", "S <G", IDLE),
    (Server, "open", "S H1", OPEN),
    (Server, "open, interim answered", "S H1 <A1:103", OPEN),
    (Server, "open, answered", "S H1 <A1", OPEN),
    (Server, "open, DATA behind it", "S H1 D1:0", OPEN),
    (Server, "half-closed (local)", "S H1 <A1.", OPEN),
    (Server, "half-closed (remote)", "S H1.", HALF_CLOSED),
    (Server, "half-closed (remote) by DATA", "S H1 D1:0.", HALF_CLOSED),
    (Server, "half-closed (remote) by trailers", "S H1 T1.", HALF_CLOSED),
    (Server, "closed by both ends", "S H1. <A1.", ENDED),
    (Server, "closed by both ends, the client's last", "S H1 <A1. D1:0.", ENDED),
    (Server, "reset by us", "S H1 <R1=8", RESET_BY_US),
    (Server, "reset by us for a fault", "S H1:upper.", RESET_BY_US),
    (Server, "reset by the client", "S H1 R1=8", RESET_BY_PEER),
    (Server, "passed over", "S H3.", [Again, Rule::Connection(PROTOCOL), Drops, Drops]),
    (Client, "idle", "S", IDLE),
    (Client, "half-closed (local), answered", "S <O. H1", OPEN),
    (Client, "half-closed (remote)", "S <O H1.", HALF_CLOSED),
    (Client, "closed by both ends", "S <O. H1.", ENDED),
    (Client, "reset by us", "S <O. <R1=8", RESET_BY_US),
    (Client, "reset by the backend", "S <O. R1=8", RESET_BY_PEER),
];

/// Type, flags, payload, the column of the table, and the events where the frame belongs.
fn frames() -> Vec<(&'static str, Vec<u8>, Option<usize>, &'static str)> {
    let trailers = literals(&[(b"x", b"y")]);
    let padded = [&[2][..], &trailers, &[0, 0]].concat();
    let with_priority = [&[0, 0, 0, 3, 9][..], &trailers].concat();
    vec![
        ("DATA", raw(0, 0, 1, b"body"), Some(0), "D1:4"),
        ("DATA that ends", raw(0, 1, 1, b"body"), Some(0), "D1:4 E1"),
        ("empty DATA that ends", raw(0, 1, 1, b""), Some(0), "E1"),
        ("padded DATA", raw(0, 8, 1, b"\x02body\0\0"), Some(0), "D1:4"),
        ("padded DATA that ends", raw(0, 9, 1, b"\x02body\0\0"), Some(0), "D1:4 E1"),
        ("trailers", raw(1, 5, 1, &trailers), Some(1), "T1"),
        ("padded trailers", raw(1, 13, 1, &padded), Some(1), "T1"),
        ("trailers with a priority", raw(1, 0x25, 1, &with_priority), Some(1), "T1"),
        (
            "trailers in two frames",
            [raw(1, 1, 1, &trailers[..2]), raw(9, 4, 1, &trailers[2..])].concat(),
            Some(1),
            "T1",
        ),
        ("RST_STREAM", raw(3, 0, 1, b"\0\0\0\x08"), Some(2), ""),
        ("RST_STREAM of no error", raw(3, 0, 1, b"\0\0\0\0"), Some(2), ""),
        ("RST_STREAM of an unknown error", raw(3, 0, 1, b"\0\0\x01\0"), Some(2), ""),
        ("WINDOW_UPDATE", raw(8, 0, 1, b"\0\0\0\x09"), Some(3), ""),
        ("WINDOW_UPDATE with the reserved bit", raw(8, 0, 1, b"\x80\0\0\x09"), Some(3), ""),
        ("PRIORITY", raw(2, 0, 1, b"\0\0\0\0\x09"), None, ""),
        ("PRIORITY on itself", raw(2, 0, 1, b"\x80\0\0\x01\x09"), None, ""),
        ("an unknown frame", raw(0x42, 0xff, 1, b"what"), None, ""),
        ("CONTINUATION", raw(9, 4, 1, &trailers), None, "!"),
        ("PUSH_PROMISE", raw(5, 4, 1, b"\0\0\0\x02"), None, "!"),
    ]
}

pub(super) fn of_streams() -> Vec<Case> {
    let mut cases = Vec::new();
    for (role, state, before, row) in ROWS {
        for (frame, mut input, column, events) in frames() {
            if state == "idle, of the server" {
                // Even numbers are never opened.
                input[8] = 2;
                if input.len() > 25 && frame == "trailers in two frames" {
                    input[9 + 2 + 8] = 2;
                }
            }
            let expect = match column.map(|column| row[column]) {
                None if events == "!" => Connection(PROTOCOL),
                None | Some(Drops) => Nothing,
                Some(Rule::Connection(code)) => Connection(code),
                Some(Rule::Stream(code)) => Stream(1, code),
                Some(Again) => Sent(format!("R1={STREAM_CLOSED}")),
                Some(Takes) if column == Some(2) => reset(role, state, &input),
                Some(Takes) => event(events),
            };
            let (rule, name) = ("§5.1", format!("{state}: {frame}"));
            cases.push(Case { rule, name, role, before, input, expect });
        }
    }
    cases
}

/// The message of a RST_STREAM on an open stream to the exchange.
fn reset(role: Role, state: &str, input: &[u8]) -> Expect {
    let code = u32::from_be_bytes(*input.last_chunk().unwrap());
    // A backend that has answered whole wants no more of the request, and the exchange is none the worse (§8.1).
    let is_late = role == Client && state == "half-closed (remote)";
    event(&format!("R1={code}:{}", if is_late { "PeerAfterEnd" } else { "Peer" }))
}

#[test]
fn every_state_of_a_stream() {
    hold(&of_streams());
}
