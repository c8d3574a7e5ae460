//! A machine, its owner, and a hostile peer: frames that are right and wrong, windows of zero, resets and floods, as a seed says.
//!
//! The rules of each step, by a second set of books that reads the wire: each byte of a stream comes once and
//! in its order; what one side may send is never below zero nor above what was promised; nothing goes out
//! behind a reset or an end, and no event comes behind one; what may go out does; both tables of fields are
//! equal; memory is bounded. A peer that becomes good in the end finds every stream alive.
//!
//! `SIM_SEEDS=100000` runs so many seeds, `SIM_SEED=7` the one.

mod coder;
mod ledger;
mod peer;

use std::sync::Arc;
use std::time::Duration;

use self::coder::Coder;
use self::ledger::Ledger;
use super::pair::Dice;
use super::script::encode;
use crate::core::time::Time;
use crate::h2::connection::{
    Connection, ConnectionConfig, Incoming, NewRequest, NewResponse, REPLIES_MAX, Role,
};
use crate::h2::decoder::Bounds;
use crate::h2::fields::Fields;
use crate::h2::frame::{ErrorCode, PREFACE};

/// Seeds of a usual run, for each role.
const SEEDS: u64 = 100;
const STREAMS: u32 = 8;

fn byte_of(stream: u32, place: usize) -> u8 {
    (stream as usize * 13 + place * 5) as u8
}

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

struct Siege {
    dice: Dice,
    connection: Connection,
    ledger: Ledger,
    coder: Coder,
    fields: Fields,
    is_server: bool,
    now: Time,
    /// The next number that the peer opens.
    next: u32,
    /// Deeds of the owner and bytes of the peer since the output was last taken.
    deeds: usize,
    fed: usize,
    /// Bytes that went each way, to say that something was tried.
    came: usize,
    went: usize,
    is_good: bool,
}

impl Siege {
    fn new(seed: u64, role: Role) -> Siege {
        let mut dice = Dice(seed);
        let windows = [65_535, 65_535, 70_000, 200_000];
        let window = windows[dice.below(windows.len())];
        let config = ConnectionConfig {
            streams: STREAMS,
            stream_window: window,
            window: 65_535 + dice.below(300_000) as u32,
            head: Bounds { list: 2048, fields: 40 },
            ..ConnectionConfig::default()
        };
        let is_server = role == Role::Server;
        let connection = Connection::new(role, Arc::new(config), Time::ZERO);
        let mut siege = Siege {
            dice,
            connection,
            ledger: Ledger::new(i64::from(window)),
            coder: Coder::new(),
            fields: Fields::default(),
            is_server,
            now: Time::ZERO,
            next: 1,
            deeds: 4,
            fed: 0,
            came: 0,
            went: 0,
            is_good: false,
        };
        let begin = siege.connection.output().to_vec();
        siege.connection.consume(usize::MAX);
        let begin = begin.strip_prefix(PREFACE).unwrap_or(&begin);
        // Our SETTINGS are no acknowledgement; the window of the connection may follow them.
        siege.ledger.book(begin);
        let preface: &[u8] = if is_server { PREFACE } else { b"" };
        siege.feed(&[preface, &raw(4, 0, 0, b""), &raw(4, 1, 0, b"")].concat());
        siege.ledger.settings += 1;
        siege
    }

    /// Bytes of the peer, cut anywhere.
    fn feed(&mut self, bytes: &[u8]) {
        self.fed += bytes.len();
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = if self.dice.one_in(2) { rest.len() } else { 1 + self.dice.below(rest.len()) };
            let (mut input, behind) = rest.split_at(count);
            rest = behind;
            loop {
                match self.connection.read(self.now, &mut input, &mut self.fields) {
                    Ok(Some(incoming)) => {
                        self.came += note(&mut self.ledger, self.is_server, &incoming);
                    }
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    }

    /// Takes what the machine has to say, or leaves it.
    fn take(&mut self) {
        let most = 64 * usize::from(REPLIES_MAX) + 80 * self.deeds + self.fed / 50 + 200;
        let length = self.connection.output().len();
        assert!(length <= most, "{length} bytes of output for {} deeds and {} bytes", self.deeds, self.fed);
        if !self.is_good && self.connection.wants_read() && self.dice.one_in(4) {
            return;
        }
        (self.deeds, self.fed) = (0, 0);
        let before = self.went;
        self.flush();
        while let Some(piece) = self.connection.next_piece(self.now, 9 + 20_000) {
            let bytes = [&piece.head[..], &vec![0; piece.length as usize]].concat();
            self.went += piece.length as usize;
            self.ledger.book(&bytes);
            self.flush();
        }
        assert!(self.connection.next_piece(self.now, 1 << 20).is_none() || before <= self.went);
        self.ledger.is_left |= self.connection.error().is_some();
        self.ledger.compare(&self.connection);
        self.check_that_nothing_starves();
    }

    fn flush(&mut self) {
        self.ledger.book(self.connection.output());
        self.connection.consume(usize::MAX);
    }

    /// All pieces were taken: no stream has both bytes that wait and a window for them.
    fn check_that_nothing_starves(&self) {
        if self.connection.error().is_some() {
            return;
        }
        for (stream, account) in &self.ledger.streams {
            let is_open = !account.is_over
                && !account.is_refused
                && !account.is_reset
                && !account.has_ended
                && account.has_head;
            let waits = account.offered > account.went;
            assert!(
                !is_open || !waits || self.connection.sendable(*stream) == 0,
                "{stream} starves: {account:?}"
            );
        }
    }

    fn check_memory(&self) {
        let most = STREAMS as usize * 400 + 3 * 4096 + 8 * 2048 + 4096 + 2 * self.connection.output().len();
        let held = self.connection.capacity();
        assert!(held <= most + 40_000, "{held} bytes are held");
        assert!(self.connection.streams() <= STREAMS as usize);
    }

    /// Something of the owner.
    fn owner(&mut self) {
        self.deeds += 1;
        if !self.is_server && !self.is_good && self.dice.one_in(3) {
            self.open();
        }
        let live: Vec<u32> = self.live().collect();
        if live.is_empty() {
            return;
        }
        let stream = live[self.dice.below(live.len())];
        self.work(stream);
        if self.is_good {
            return;
        }
        match self.dice.below(60) {
            0 => {
                self.connection.reset(stream, ErrorCode::CANCEL);
                self.account(stream).is_over = true;
            }
            1 if self.account(stream).has_ended => {
                self.connection.linger(self.now, stream, 5000);
                let account = self.account(stream);
                (account.is_over, account.is_left) = (true, true);
            }
            2 if self.dice.one_in(20) => self.connection.drain(),
            3 if self.dice.one_in(40) => self.connection.leave(),
            _ => {}
        }
    }

    fn account(&mut self, stream: u32) -> &mut ledger::Account {
        self.ledger.streams.get_mut(&stream).unwrap()
    }

    fn live(&self) -> impl Iterator<Item = u32> {
        self.ledger.streams.iter().filter(|(_, account)| !account.is_over).map(|(stream, _)| *stream)
    }

    fn open(&mut self) {
        let block = encode(&[":method=POST", ":scheme=http", ":path=/", ":authority=h"]);
        let (is_head, is_connect) = (self.dice.one_in(6), false);
        let ends_stream = self.dice.one_in(3);
        let request = NewRequest { block: &block, length: None, ends_stream, is_head, is_connect, token: 0 };
        if let Ok(stream) = self.connection.open(self.now, request) {
            self.ledger.open(stream);
        }
    }

    fn work(&mut self, stream: u32) {
        let ends = self.is_good || self.dice.one_in(5);
        let more = self.dice.below(30_000);
        let room = self.dice.below(self.ledger.window as usize + 1) as u32;
        let window = self.ledger.window as u32;
        self.connection.grant(stream, if self.is_good { window } else { room }, window);
        self.flush();
        let now = self.now;
        let account = self.ledger.streams.get_mut(&stream).unwrap();
        if self.is_server && !account.has_head {
            let block = encode(&[":status=200"]);
            let response = NewResponse { status: 200, block: &block, length: None, ends_stream: false };
            let _ = self.connection.respond(now, stream, response);
            self.flush();
            return;
        }
        if account.has_ended || !account.has_head {
            return;
        }
        let waiting = account.offered - account.went;
        if waiting == 0 && ends && self.dice.one_in(3) {
            let _ = self.connection.trailers(now, stream, &encode(&["x=y"]));
            self.flush();
            return;
        }
        let waiting = waiting + if self.is_good { 0 } else { more };
        if self.connection.offer(now, stream, waiting as u32, ends).is_ok() {
            account.offered = account.went + waiting;
        }
    }

    fn step(&mut self) {
        if self.connection.wants_read() && self.connection.error().is_none() {
            self.peer();
        }
        if self.connection.error().is_none() {
            self.owner();
        }
        self.now = self.now + Duration::from_millis(self.dice.below(30) as u64);
        while let Ok(Some(incoming)) = self.connection.expire(self.now) {
            note(&mut self.ledger, self.is_server, &incoming);
        }
        self.take();
        self.check_memory();
    }

    /// The peer opens its windows, takes all, and ends what it has begun: every stream comes to its end.
    fn make_peace(&mut self) {
        self.is_good = true;
        for turn in 0..10_000 {
            if self.connection.error().is_some() || self.connection.streams() == 0 {
                return;
            }
            self.take();
            let live: Vec<u32> = self.ledger.streams.keys().copied().collect();
            for stream in live {
                let account = self.account(stream);
                if account.is_reset || account.peer_reset || (account.has_ended && account.peer_ended) {
                    continue;
                }
                if !account.is_over {
                    self.work(stream);
                }
                let account = self.account(stream);
                if account.credit <= 0 && !account.has_ended {
                    account.credit += 100_000;
                    self.feed(&raw(8, 0, stream, &100_000_u32.to_be_bytes()));
                }
                self.end_of_peer(stream);
            }
            if self.ledger.credit < 50_000 {
                self.ledger.credit += 100_000;
                self.feed(&raw(8, 0, 0, &100_000_u32.to_be_bytes()));
            }
            self.now = self.now + Duration::from_millis(if turn % 10 == 0 { 20 } else { 0 });
            while let Ok(Some(incoming)) = self.connection.expire(self.now) {
                note(&mut self.ledger, self.is_server, &incoming);
            }
        }
        panic!("streams that never end: {:?}", self.ledger);
    }

    /// The peer ends its direction. What its head promised it may not have sent: then the stream is reset, which is an end as well.
    fn end_of_peer(&mut self, stream: u32) {
        let account = self.account(stream);
        if !account.peer_ended && !account.is_reset {
            account.peer_ended = true;
            if self.is_server {
                self.feed(&raw(0, 1, stream, b""));
            } else {
                let block = self.coder.encode(&[(b":status", b"200")], &mut self.dice);
                self.send_block(stream, true, &block);
            }
        }
        self.flush();
    }
}

/// Books an event; bytes of DATA that came with it.
fn note(ledger: &mut Ledger, is_server: bool, incoming: &Incoming<'_>) -> usize {
    let (stream, is_over) = match *incoming {
        Incoming::Request { stream, ends_stream, .. } | Incoming::TooLarge { stream, ends_stream } => {
            assert!(is_server);
            ledger.open(stream);
            ledger.streams.get_mut(&stream).unwrap().peer_ended |= ends_stream;
            (stream, false)
        }
        Incoming::Malformed { stream, .. } | Incoming::Refused { stream } => {
            ledger.open(stream);
            (stream, true)
        }
        Incoming::Data { stream, bytes, .. } => {
            let account = ledger.streams.get_mut(&stream).expect("DATA of a stream that is open");
            assert!(!account.is_over, "DATA behind the end of {stream}");
            for byte in bytes {
                assert_eq!(*byte, byte_of(stream, account.came), "{stream} at {}", account.came);
                account.came += 1;
            }
            assert!(account.came <= account.sent);
            return bytes.len();
        }
        Incoming::End { stream, .. } | Incoming::Trailers { stream, .. } => {
            let account = ledger.streams.get(&stream).expect("an end of a stream that is open");
            assert_eq!(account.came, account.sent, "{stream} ends behind all of its bytes");
            (stream, false)
        }
        Incoming::Response { stream, .. } => (stream, false),
        Incoming::Reset { stream, .. } => (stream, true),
        Incoming::GoAway { last, .. } => {
            // A stream above the peer's GOAWAY is over without a frame.
            if !is_server {
                ledger.streams.range_mut(last + 1..).for_each(|(_, account)| account.is_refused = true);
            }
            return 0;
        }
        Incoming::Settings | Incoming::Pong { .. } => return 0,
    };
    let account = ledger.streams.get_mut(&stream).expect("an event of a stream that is open");
    assert!(!account.is_over, "an event behind the end of {stream}: {incoming:?}");
    account.is_over |= is_over;
    0
}

/// Whether the connection outlived the seed, and what went each way.
fn run(seed: u64, role: Role) -> (bool, usize, usize) {
    let mut siege = Siege::new(seed, role);
    for _ in 0..50 + seed % 400 {
        siege.step();
        if siege.connection.error().is_some() {
            break;
        }
    }
    siege.make_peace();
    while siege.connection.lose().is_some() {}
    let survives = siege.connection.error().is_none();
    assert_eq!(siege.connection.streams(), 0);
    siege.connection.rest();
    assert!(siege.connection.capacity() <= 12_000, "{} bytes are left", siege.connection.capacity());
    (survives, siege.came, siege.went)
}

#[expect(clippy::disallowed_methods, reason = "the environment asks a test for more seeds")]
fn number_of(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn besiege(role: Role) {
    if let Some(seed) = number_of("SIM_SEED") {
        run(seed, role);
        return;
    }
    let seeds = number_of("SIM_SEEDS").unwrap_or(SEEDS);
    let (mut survived, mut came, mut went) = (0, 0, 0);
    for seed in 0..seeds {
        let result = std::panic::catch_unwind(|| run(seed, role));
        let (survives, data_in, data_out) =
            result.unwrap_or_else(|_| panic!("{role:?}: see above; SIM_SEED={seed} replays it"));
        (survived, came, went) = (survived + u64::from(survives), came + data_in, went + data_out);
    }
    let enough = |count: u64, most: u64| count * 20 >= seeds && most > 0;
    assert!(enough(survived, 1) && enough(seeds - survived, 1), "{survived} of {seeds} survive");
    assert!(came as u64 > seeds * 1000 && went as u64 > seeds * 1000, "{came} bytes came, {went} went");
}

#[test]
fn a_server_among_hostile_clients() {
    besiege(Role::Server);
}

#[test]
fn a_client_of_hostile_backends() {
    besiege(Role::Client);
}
