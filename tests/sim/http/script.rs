//! The requests of the clients of a run, drawn from the seed.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;

use super::board::{Ask, Board, Field};
use crate::actor::Pace;
use crate::announced::Introduction;
use crate::faults::{Faults, Weather, chance, log_uniform};
use crate::payload::Payload;

/// Extra requests' worth of bytes must fit into the head limit of the configuration.
const LONG_VALUE: usize = 1500;

/// The way in which a client ends a visit badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    Abort,
    Close,
    /// Ends its direction there and then, in the middle of a request as it may be, and goes on reading.
    Truncate,
    /// Neither reads nor writes for that long.
    Hang(Duration),
}

/// One connection of a client, with the requests that it makes on it.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) from: SocketAddr,
    /// The bytes before its first request.
    pub(crate) introduction: Introduction,
    /// Numbers on the board.
    pub(crate) asks: Vec<usize>,
    /// Writes its requests without waiting for responses.
    pub(crate) pipelines: bool,
    /// Ends its direction behind the last request.
    pub(crate) half_closes: bool,
    /// The time for which it waits for a `100 Continue`.
    pub(crate) patience: Duration,
    /// The time for which it stays when it has got everything.
    pub(crate) stays: Duration,
    /// After that many bytes, in and out together.
    pub(crate) mischief: Option<(usize, Mischief)>,
    pub(crate) pace: Pace,
}

/// The visits of one client, whose requests are entered on `board`. `from` numbers connections.
pub(crate) fn visits(faults: &Faults, board: &mut Board, from: &mut usize, rng: &mut Rng) -> Vec<Visit> {
    let mut left = rng.usize(1..=8);
    let mut visits = Vec::new();
    while left > 0 {
        let count = rng.usize(1..=left);
        left -= count;
        visits.push(visit(faults, board, crate::harness::address_of(*from), count, rng));
        *from += 1;
    }
    visits
}

fn visit(faults: &Faults, board: &mut Board, from: SocketAddr, count: usize, rng: &mut Rng) -> Visit {
    let mischief = (faults.weather == Weather::Foul && chance(rng, 25)).then(|| mischief(faults, rng));
    let pipelines = chance(rng, 30);
    let first = board.asks.len();
    for place in 0..count {
        let ask = ask(faults, board.asks.len(), from, place + 1 == count, rng);
        board.asks.push(Ask { honest: mischief.is_none(), pipelined: pipelines && !ask.last, ..ask });
    }
    let upgrades = board.asks.last().is_some_and(|ask| ask.upgrade.is_some());
    Visit {
        from,
        introduction: Introduction::default(),
        asks: (first..first + count).collect(),
        pipelines,
        half_closes: !upgrades && chance(rng, 25),
        patience: Duration::from_micros(rng.u64(1..50_000)),
        stays: if rng.bool() { Duration::ZERO } else { Duration::from_micros(rng.u64(1..50_000)) },
        mischief,
        pace: Pace::draw(faults.bulk, rng),
    }
}

fn mischief(faults: &Faults, rng: &mut Rng) -> (usize, Mischief) {
    let deed = match rng.u8(..4) {
        0 => Mischief::Abort,
        1 => Mischief::Close,
        2 => Mischief::Truncate,
        _ => Mischief::Hang(Duration::from_secs(rng.u64(1..150))),
    };
    (log_uniform(rng, &(0..=2000 + faults.bulk)), deed)
}

fn ask(faults: &Faults, number: usize, from: SocketAddr, last: bool, rng: &mut Rng) -> Ask {
    let minor = u8::from(!last || !chance(rng, 15));
    let upgrade =
        (last && minor == 1 && chance(rng, 10)).then(|| Payload::new(number + 7, faults.length(rng)));
    let method = if upgrade.is_some() {
        "GET"
    } else {
        ["GET", "GET", "HEAD", "POST", "PUT", "DELETE"][rng.usize(..6)]
    };
    let has_body = match method {
        "POST" | "PUT" => true,
        _ => upgrade.is_none() && chance(rng, 10),
    };
    let body = has_body.then(|| Payload::new(number, faults.length(rng)));
    let chunked = minor == 1 && body.is_some() && chance(rng, 40);
    let (fields, hop_fields) = (fields(number, faults, rng), hop_fields(minor, last, upgrade.is_some(), rng));
    Ask {
        from,
        method,
        minor,
        target: format!("/x/{number}{}", ["", "?", "?q=a%20b&c", "/../y//z;p"][rng.usize(..4)]),
        host: (minor == 1 || rng.bool())
            .then(|| ["pollux.test", "pollux.test:8080"][rng.usize(..2)].to_owned()),
        fields,
        hop_fields,
        body,
        chunked,
        trailer: chunked && rng.bool(),
        expects: minor == 1 && body.is_some_and(|body| body.len > 0) && chance(rng, 20),
        upgrade,
        last,
        pipelined: false,
        honest: true,
        seen: 0,
        wronged: false,
        truncated: false,
        closed: None,
        written: false,
        ending: None,
    }
}

fn fields(number: usize, faults: &Faults, rng: &mut Rng) -> Vec<Field> {
    let mut fields = vec![pair("x-id", &number.to_string())];
    let mut perhaps = |percent, name, value: &str| {
        if chance(rng, percent) {
            fields.push(pair(name, value));
        }
    };
    perhaps(20, "accept", "*/*");
    perhaps(20, "user-agent", "sim (a; \"b\", c)");
    perhaps(20, "x-multi", "one, two");
    perhaps(20, "cookie", "a=b; c=\"d\"");
    perhaps(20, "x-multi", "three");
    perhaps(20, "x-empty", "");
    perhaps(if faults.bulk > LONG_VALUE { 5 } else { 0 }, "x-long", "long ".repeat(LONG_VALUE / 5).trim());
    fields
}

/// The fields that concern only the connection to Pollux, and those that a client may not send.
fn hop_fields(minor: u8, last: bool, upgrades: bool, rng: &mut Rng) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut options = Vec::new();
    if upgrades {
        options.push("Upgrade");
        fields.push(pair("upgrade", "echo"));
    } else if last && minor == 1 && chance(rng, 30) {
        options.push("close");
    } else if chance(rng, 15) {
        options.push("keep-alive");
    }
    if chance(rng, 15) {
        options.push("X-Hop");
        fields.push(pair("x-hop", "1"));
    }
    if chance(rng, 10) {
        options.push("te");
        fields.push(pair("te", "trailers"));
    }
    if !options.is_empty() {
        fields.push(pair("connection", &options.join([",", ", "][rng.usize(..2)])));
    }
    let mut perhaps = |name, value| {
        if chance(rng, 10) {
            fields.push(pair(name, value));
        }
    };
    perhaps("keep-alive", "timeout=5");
    perhaps("proxy-connection", "keep-alive");
    perhaps("x-forwarded-for", "6.6.6.6");
    perhaps("x-forwarded-for", "7.7.7.7, 8.8.8.8");
    perhaps("x-forwarded-proto", "gopher");
    perhaps("x-forwarded-host", "elsewhere.test");
    perhaps("x-forwarded-port", "1");
    fields
}

pub(crate) fn pair(name: &str, value: &str) -> Field {
    (name.to_owned(), value.to_owned())
}
