//! Every state of a stream against every frame (RFC 9113 §5.1), for both roles.
//!
//! A verdict is what comes of the frame: events in the words of the script, `>` and what we send; `-` is nothing at all.

use super::script::{config, story};
use crate::h2::connection::Role;

const FRAMES: [&str; 10] = ["D1:1", "D1:1.", "H1", "T1.", "Y1", "R1=8", "W1+9", "N1", "U1", "V1"];

fn holds(role: Role, state: &str, before: &str, verdicts: [&str; FRAMES.len()]) {
    let (known, sent_before) = story(role, &config(), before);
    for (frame, verdict) in FRAMES.iter().zip(verdicts) {
        let (events, sent) = story(role, &config(), &format!("{before} {frame}"));
        let events = events.strip_prefix(&known).unwrap().trim();
        let sent = sent.strip_prefix(&sent_before).unwrap().trim();
        let got = match (events, sent) {
            ("", "") => "-".to_owned(),
            (events, "") => events.to_owned(),
            (events, sent) => format!("{events}>{sent}"),
        };
        assert_eq!(got, verdict, "{role:?}, {state}: {frame}");
    }
}

#[test]
fn streams_of_clients() {
    let go = |code: u32| format!("!{code}>G1={code}");
    let [wrong, closed] = [1, 5].map(go);
    let (wrong, closed) = (wrong.as_str(), closed.as_str());
    let idle = "!1>G0=1";
    holds(Role::Server, "idle", "S", [idle, idle, "Q1", "M1:Pseudos>R1=1", "-", idle, idle, idle, "-", idle]);
    holds(
        Role::Server,
        "open",
        "S H1",
        ["D1:1", "D1:1 E1", "R1=1:Order>R1=1", "T1", "-", "R1=8:Peer", "-", wrong, "-", wrong],
    );
    holds(
        Role::Server,
        "half-closed (remote)",
        "S H1.",
        [
            "R1=5:Order>R1=5",
            "R1=5:Order>R1=5",
            "R1=5:Order>R1=5",
            "R1=5:Order>R1=5",
            "-",
            "R1=8:Peer",
            "-",
            wrong,
            "-",
            wrong,
        ],
    );
    holds(
        Role::Server,
        "half-closed (local)",
        "S H1 <A1.",
        ["D1:1", "D1:1 E1", "R1=1:Order>R1=1", "T1", "-", "R1=8:Peer", "-", wrong, "-", wrong],
    );
    holds(
        Role::Server,
        "closed by both ends",
        "S H1. <A1.",
        [closed, closed, closed, closed, "-", "-", "-", wrong, "-", wrong],
    );
    holds(Role::Server, "reset by us", "S H1 <R1=8", ["-", "-", "-", "-", "-", "-", "-", wrong, "-", wrong]);
    holds(
        Role::Server,
        "reset by the peer",
        "S H1 R1=8",
        [">R1=5", ">R1=5", ">R1=5", ">R1=5", "-", "-", "-", wrong, "-", wrong],
    );
    holds(
        Role::Server,
        "passed over",
        "S H3.",
        [">R1=5", ">R1=5", "!1>G3=1", "!1>G3=1", "-", "-", "-", "!1>G3=1", "-", "!1>G3=1"],
    );
    holds(
        Role::Server,
        "behind our GOAWAY",
        "S <X",
        [idle, idle, "-", "-", "-", idle, idle, idle, "-", idle],
    );
    holds(
        Role::Server,
        "lingering",
        "S H1 <A1. <L1:9",
        ["-", "-", "-", "-", "-", "-", "-", wrong, "-", wrong],
    );
}

#[test]
fn streams_to_backends() {
    let (wrong, closed) = ("!1>G0=1", "!5>G0=5");
    let order = "R1=1:Order>R1=1";
    holds(Role::Client, "idle", "S", [wrong, wrong, wrong, wrong, "-", wrong, wrong, wrong, "-", wrong]);
    holds(
        Role::Client,
        "no response yet",
        "S <O.",
        [order, order, "A1:200", "R1=1:Malformed>R1=1", "-", "R1=8:Peer", "-", wrong, "-", wrong],
    );
    holds(
        Role::Client,
        "response begun",
        "S <O. H1",
        ["D1:1", "D1:1 E1", order, "T1", "-", "R1=8:Peer", "-", wrong, "-", wrong],
    );
    holds(
        Role::Client,
        "response whole, request under way",
        "S <O H1.",
        [
            "R1=5:Order>R1=5",
            "R1=5:Order>R1=5",
            "R1=5:Order>R1=5",
            "R1=5:Order>R1=5",
            "-",
            "R1=8:PeerAfterEnd",
            "-",
            wrong,
            "-",
            wrong,
        ],
    );
    holds(
        Role::Client,
        "closed by both ends",
        "S <O. H1.",
        [closed, closed, closed, closed, "-", "-", "-", wrong, "-", wrong],
    );
    holds(Role::Client, "given up", "S <O. <R1=8", ["-", "-", "-", "-", "-", "-", "-", wrong, "-", wrong]);
    holds(
        Role::Client,
        "reset by the peer",
        "S <O. R1=8",
        [">R1=5", ">R1=5", ">R1=5", ">R1=5", "-", "-", "-", wrong, "-", wrong],
    );
    holds(
        Role::Client,
        "behind the peer's GOAWAY",
        "S <O. G0=0",
        ["-", "-", "-", "-", "-", "-", "-", wrong, "-", wrong],
    );
    holds(
        Role::Client,
        "HEAD, answered",
        "S <O:head. H1",
        [">R1=8", ">R1=8", "-", "-", "-", "-", "-", wrong, "-", wrong],
    );
}
