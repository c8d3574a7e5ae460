//! The rules that must hold of every run, judged from the bytes that each side has sent and received.

use std::collections::HashMap;

use super::kernel::{Conn, Kernel, Other};
use super::script::{MARKS, number_of, owner};
use crate::wire::{self, Length, Request};

pub(super) fn judge(kernel: &Kernel) {
    let mut forwarded: HashMap<u8, Vec<Request>> = HashMap::new();
    for conn in kernel.conns.iter().filter(|conn| conn.other == Other::Backend) {
        judge_backend(conn, &mut forwarded);
    }
    for conn in &kernel.conns {
        if let Other::Client(number) = conn.other {
            let (asked, _) = wire::requests(&conn.said, false);
            judge_forwarded(&asked, forwarded.get(&number).map_or(&[], Vec::as_slice));
            judge_owners(kernel, conn, number);
            judge_answers(conn, number, &asked);
        }
    }
}

/// The bytes to a backend are one good request behind the other; the last one may be cut short.
fn judge_backend(conn: &Conn, forwarded: &mut HashMap<u8, Vec<Request>>) {
    let (requests, verdict) = wire::requests(&conn.out, true);
    // Behind a switch of protocols anything may come.
    let switch = requests.iter().position(|request| request.wants_upgrade);
    if switch.is_none() {
        verdict.unwrap_or_else(|broken| panic!("a backend is sent {broken:?}"));
    }
    let count = switch.map_or(requests.len(), |last| last + 1);
    for request in requests.into_iter().take(count) {
        let client = request.client.as_deref().and_then(number_of);
        let client = client.expect("a request that is nobody's");
        forwarded.entry(client).or_default().push(request);
    }
}

/// Each request that a backend has seen is one that the client has sent, though some may have been sent
/// twice.
fn judge_forwarded(asked: &[Request], forwarded: &[Request]) {
    for request in forwarded {
        let is_it = |asked: &&Request| {
            let is_origin = asked.target.starts_with(b"/") || asked.target == b"*";
            asked.method == request.method
                && (if is_origin { asked.target == request.target } else { is_tail(asked, request) })
                && asked.body.starts_with(&request.body)
                && (!request.is_whole || (asked.is_whole && asked.body == request.body))
        };
        assert!(asked.iter().any(|one| is_it(&one)), "{request:?} is none of {asked:?}");
    }
}

fn is_tail(asked: &Request, request: &Request) -> bool {
    let path = request.target.strip_prefix(b"/").unwrap_or(&request.target);
    asked.target.ends_with(path) || request.target == b"*"
}

/// No byte that a client hears was meant for somebody else.
fn judge_owners(kernel: &Kernel, conn: &Conn, number: u8) {
    for mark in conn.out.iter().filter(|byte| MARKS.contains(byte)) {
        assert_eq!(owner(kernel, *mark), Some(number), "client {number} hears what was said to another");
    }
}

/// The bytes to a client are one good answer behind the other, no more than it has asked for and one for a
/// bad head; the last may be cut short. The answer to one request is one message.
fn judge_answers(conn: &Conn, number: u8, asked: &[Request]) {
    let mut heard = Vec::new();
    let (mut rest, mut answers) = (&conn.out[..], 0);
    while !rest.is_empty() {
        let head = wire::head(rest).unwrap_or_else(|broken| panic!("client {number} hears {broken:?}"));
        let Some(head) = head else { break };
        let status = status_of(&head);
        rest = &rest[head.length..];
        if status == 101 {
            assert!(asked.iter().any(|request| request.wants_upgrade), "nobody wanted to switch");
            return;
        }
        if status < 200 {
            continue;
        }
        let method = asked.get(answers).map(|request| &request.method[..]);
        answers += 1;
        let body = body(&head, rest, status, method == Some(b"HEAD"));
        judge_marks(&rest[..body.unwrap_or(rest.len())], &mut heard);
        let Some(used) = body else { break };
        rest = &rest[used..];
    }
    assert!(answers <= asked.len() + 1, "{answers} answers to {} requests", asked.len());
}

fn status_of(head: &wire::Head<'_>) -> u16 {
    let line = std::str::from_utf8(&head.first[..12]).expect("a broken status line");
    let code = line.strip_prefix("HTTP/1.1 ").expect("another version than 1.1");
    code.parse().expect("a status that is no number")
}

/// The number of bytes of `rest` that are the body; `None` if it takes them all and may want more.
fn body(head: &wire::Head<'_>, rest: &[u8], status: u16, is_to_head: bool) -> Option<usize> {
    let length = head.length().expect("ambiguous framing goes to a client");
    if is_to_head || status == 204 || status == 304 {
        return Some(0);
    }
    match length {
        Length::Unsaid => {
            assert_eq!(head.one("connection"), Some(&b"close"[..]), "a body without an end");
            None
        }
        Length::Bytes(length) => usize::try_from(length).ok().filter(|length| *length <= rest.len()),
        Length::Chunks => {
            let read = wire::chunks(rest, true).unwrap_or_else(|broken| panic!("a client hears {broken:?}"));
            read.is_whole.then_some(read.used)
        }
    }
}

/// All marks in one body are of one request, and of another one than those in the bodies before.
fn judge_marks(body: &[u8], heard: &mut Vec<u8>) {
    let mut marks: Vec<u8> = body.iter().copied().filter(|byte| MARKS.contains(byte)).collect();
    marks.dedup();
    assert!(marks.len() <= 1, "an answer is made of two: {marks:x?}");
    assert!(!marks.iter().any(|mark| heard.contains(mark)), "two answers are made of one: {marks:x?}");
    heard.extend(marks);
}
