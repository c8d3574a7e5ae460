//! A response as a client sees it, held against what the backend gave and what the client may be told.

use pollux::core::outcome::Cause;

use super::board::{Answer, Ask, Board};
use super::body::{Body, Framing};
use super::head::Head;

/// The fields that Pollux may add to a response, or change in it; each is checked by name.
const POLLUX_FIELDS: &[&str] =
    &["via", "connection", "upgrade", "content-length", "transfer-encoding", "trailer", "date", "keep-alive"];

/// The head of a response, understood.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Another one follows.
    Interim(u16),
    /// The protocol is switched; `answer` is the number of the answer on the board.
    Tunnel,
    Final(Final),
}

/// The origin of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A backend: the number of the answer on the board.
    Backend(usize),
    /// Pollux, because of that.
    Pollux(Cause),
}

/// A final response, whose body is coming in.
#[derive(Clone, Debug)]
pub(crate) struct Final {
    pub(crate) origin: Origin,
    pub(crate) body: Body,
    /// The connection ends behind it.
    pub(crate) closes: bool,
}

/// Checks the head of a response to request `number`.
pub(crate) fn examine(head: &Head, number: usize, board: &Board) -> Reply {
    let ask = &board.asks[number];
    let status = status_of(head);
    if status == 100 || status == 102 || status == 103 {
        assert!(ask.minor > 0, "an interim response to a request of HTTP/1.0");
        return Reply::Interim(status);
    }
    let origin = match head.number("x-answer") {
        Some(answer) => {
            check_answer(head, number, status, &board.answers[answer]);
            Origin::Backend(answer)
        }
        None => Origin::Pollux(cause_of(head, status)),
    };
    check_connection(head, ask, status);
    if status == 101 {
        let asked = ask.upgrade.is_some() && matches!(origin, Origin::Backend(_));
        assert!(asked, "an upgrade that nobody asked for");
        return Reply::Tunnel;
    }
    Reply::Final(examine_final(head, number, status, origin, board))
}

/// Why Pollux has answered by itself (RFC 9209).
fn cause_of(head: &Head, status: u16) -> Cause {
    let told = head.value("proxy-status").expect("a response that is neither a backend's nor Pollux's own");
    let word = told.split('"').nth(1).unwrap_or_else(|| panic!("proxy-status: {told}"));
    let cause = Cause::ALL.iter().find(|cause| cause.as_str() == word);
    let cause = *cause.unwrap_or_else(|| panic!("proxy-status: {told}"));
    assert_eq!(cause.status(), Some(status), "the status of an answer because of {cause}");
    cause
}

fn status_of(head: &Head) -> u16 {
    let rest = head.start.strip_prefix("HTTP/1.1 ");
    let rest = rest.unwrap_or_else(|| panic!("the status line: {:?}", head.start));
    let (status, reason) = rest.split_at_checked(3).expect("a status of three digits");
    assert!(reason.starts_with(' '), "the status line: {:?}", head.start);
    status.parse().expect("a status of three digits")
}

fn check_answer(head: &Head, number: usize, status: u16, answer: &Answer) {
    assert_eq!(answer.ask, number, "the response to another request");
    assert_eq!(answer.status, status, "the status of a response");
    head.must_be(&answer.fields, POLLUX_FIELDS);
    let via = head.values("via").join(", ");
    assert!(via == "1.1 pollux" || via == "1.0 pollux", "via: {via:?}");
}

/// The fields that concern only this connection.
fn check_connection(head: &Head, ask: &Ask, status: u16) {
    for option in head.values("connection").iter().flat_map(|list| list.split(',')) {
        let option = option.trim().to_ascii_lowercase();
        assert!(["close", "keep-alive", "upgrade"].contains(&option.as_str()), "connection: {option}");
    }
    assert_eq!(head.lists("connection", "upgrade"), status == 101, "connection: upgrade");
    assert_eq!(head.value("upgrade"), (status == 101).then_some("echo"), "upgrade");
    let asked = ask.hop_fields.iter().any(|(name, value)| name == "connection" && value.contains("close"));
    assert!(!asked || head.lists("connection", "close"), "Pollux does not say that it will close");
}

fn examine_final(head: &Head, number: usize, status: u16, origin: Origin, board: &Board) -> Final {
    let ask = &board.asks[number];
    // Pollux has not seen the whole head, and does not know that it is a HEAD.
    let is_head = ask.method == "HEAD" && origin != Origin::Pollux(Cause::ClientHeadTimeout);
    let framing = if is_head || matches!(status, 204 | 304) {
        Framing::None
    } else {
        Framing::of(head, Framing::UntilEnd)
    };
    assert!(framing != Framing::Chunked || ask.minor > 0, "a chunked response to a request of HTTP/1.0");
    let keeps = match ask.minor {
        0 => head.lists("connection", "keep-alive"),
        _ => !head.lists("connection", "close"),
    };
    let payload = match origin {
        Origin::Backend(answer) if framing != Framing::None => Some(board.answers[answer].payload),
        Origin::Backend(_) | Origin::Pollux(_) => None,
    };
    Final {
        origin,
        body: Body::new(framing, payload, number.to_string()),
        closes: !keeps || framing == Framing::UntilEnd,
    }
}
