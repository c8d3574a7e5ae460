//! A request on its way: how a client writes it, and what a backend demands of it once it has passed through
//! Pollux.

use fastrand::Rng;

use super::board::{Ask, Board, Field};
use super::body::{Body, Framing, chunks};
use super::head::Head;
use super::script::pair;

/// The fields that Pollux may add to a request, or change in it; each is checked by name.
const POLLUX_FIELDS: &[&str] = &[
    "host",
    "via",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "connection",
    "upgrade",
    "expect",
    "content-length",
    "transfer-encoding",
    "trailer",
    "te",
];

/// The head of request `number` and its body, as they go on the wire.
pub(crate) fn render(number: usize, ask: &Ask, rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    let mut fields = [ask.fields.clone(), ask.hop_fields.clone()].concat();
    fields.extend(ask.host.as_ref().map(|host| pair("host", host)));
    if ask.expects {
        fields.push(pair("expect", "100-continue"));
    }
    let body = match ask.body {
        None => Vec::new(),
        Some(payload) if ask.chunked => {
            fields.push(pair("transfer-encoding", "chunked"));
            let trailer = number.to_string();
            chunks(payload, ask.trailer.then_some(&trailer), rng)
        }
        Some(payload) => {
            fields.push(pair("content-length", &payload.len.to_string()));
            payload.whole()
        }
    };
    let start = format!("{} {} HTTP/1.{}", ask.method, ask.target, ask.minor);
    (head(&start, fields, rng), body)
}

/// A head with the freedom that RFC 9112 §5 gives: any order of names, any case, blanks around values.
pub(crate) fn head(start: &str, mut fields: Vec<Field>, rng: &mut Rng) -> Vec<u8> {
    // Equal names keep their order, which has a meaning.
    let order = rng.u64(..);
    fields.sort_by_key(|(name, _)| Rng::with_seed(order ^ name.len() as u64).u8(..));
    let mut text = format!("{start}\r\n");
    for (name, value) in fields {
        let name = match rng.u8(..4) {
            0 => name.to_ascii_uppercase(),
            1 => name.clone(),
            _ => name.split('-').map(capital).collect::<Vec<_>>().join("-"),
        };
        let (before, after) = [("", ""), (" ", ""), (" ", ""), (" \t ", " ")][rng.usize(..4)];
        text.push_str(&format!("{name}:{before}{value}{after}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}

/// Checks a head that has come to a backend, and says whose it is and how its body will come.
pub(crate) fn examine(head: &Head, board: &mut Board) -> (usize, Body) {
    let number = head.number("x-id").expect("every request says its number");
    let ask = board.asks.get(number).unwrap_or_else(|| panic!("nobody asked for {number}"));
    assert_eq!(head.start, format!("{} {} HTTP/1.1", ask.method, ask.target), "the request line");
    head.must_be(&ask.fields, POLLUX_FIELDS);
    check_origin(head, ask, board.is_secure);
    check_connection(head, ask);
    let framing = Framing::of(head, Framing::None);
    match (ask.body, ask.chunked) {
        (None, _) => assert!(matches!(framing, Framing::None | Framing::Length(0)), "a body from nowhere"),
        (Some(payload), false) => assert_eq!(framing, Framing::Length(payload.len), "the framing of a body"),
        (Some(_), true) => assert_eq!(framing, Framing::Chunked, "the framing of a body"),
    }
    let body = Body::new(framing, ask.body, number.to_string());
    let id = head.value("x-request-id").expect("every request has an x-request-id");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "x-request-id: {id}");
    board.name(number, id.to_owned());
    board.see(number);
    (number, body)
}

/// Checks what Pollux says of the client and of itself.
fn check_origin(head: &Head, ask: &Ask, is_secure: bool) {
    let via = head.values("via").join(", ");
    let received = format!("1.{} pollux", ask.minor);
    assert!(via == received || via == "1.1 pollux", "via: {via:?}");
    assert_eq!(head.value("x-forwarded-for"), Some(ask.from.ip().to_string().as_str()), "x-forwarded-for");
    let scheme = if is_secure { "https" } else { "http" };
    assert_eq!(head.value("x-forwarded-proto"), Some(scheme), "x-forwarded-proto");
    assert_eq!(head.value("x-forwarded-host"), ask.host.as_deref(), "x-forwarded-host");
    let port = ask.host.as_deref().map(|host| match host.rsplit_once(':') {
        Some((_, port)) => port,
        None if is_secure => "443",
        None => "80",
    });
    assert_eq!(head.value("x-forwarded-port"), port, "x-forwarded-port");
    let host = head.value("host").expect("every request of HTTP/1.1 has a host");
    assert!(ask.host.as_deref().is_none_or(|asked| asked == host), "host: {host:?}");
}

/// The fields that concern only this connection.
fn check_connection(head: &Head, ask: &Ask) {
    for option in head.values("connection").iter().flat_map(|list| list.split(',')) {
        let option = option.trim().to_ascii_lowercase();
        assert!(["close", "keep-alive", "upgrade", "te"].contains(&option.as_str()), "connection: {option}");
    }
    assert_eq!(head.lists("connection", "upgrade"), ask.upgrade.is_some(), "connection: upgrade");
    assert_eq!(head.value("upgrade").is_some(), ask.upgrade.is_some(), "upgrade");
    assert_eq!(head.value("te").is_some(), head.lists("connection", "te"), "te");
    assert_eq!(head.value("expect").is_some(), ask.expects, "expect");
}
