//! A small language for what a peer sends, what the owner does, and what comes of it.
//!
//! Of the peer: `S` SETTINGS (`S4=100,3=1`), `SA` their acknowledgement, `H1` HEADERS of a GET (`H1=5` a POST with Content-Length 5, `H1:head`
//! another of [`block`]), `I1` and `J1` the two halves of a GET, `T1` trailers, `D1:5` DATA (`D1:5/3` with three bytes of padding), `R1=8` RST_STREAM, `W1+9` WINDOW_UPDATE,
//! `Z` PING, `G7=0` GOAWAY, `Y1` PRIORITY, `P1:u=0` PRIORITY_UPDATE, `U1` an unknown frame, `N1` CONTINUATION, `V1` PUSH_PROMISE. A full stop ends the stream.
//!
//! Of the owner: `<A1` a response of status 200 (`<A1=5` with Content-Length, `<A1:204`), `<D1:5` DATA offered and taken, `<T1` trailers, `<O` a
//! request (`<O:head`, `<O=5`), `<R1=8`, `<L1:9` linger, `<W1:9` room for DATA, `<G` drain, `<X` leave, `<Z` a PING, `<M100` time, `<E` expire.
//!
//! The words for events: `Q1` a request, `A1:200` a response, `D1:5`, `E1`, `T1`, `R1=8:Peer`, `M1:Length`
//! malformed, `B1` too large, `F1` refused, `G7=0`, `S`, `P` a pong, `!1` the end of the connection.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::core::time::Time;
use crate::h2::connection::{Connection, ConnectionConfig, Incoming, NewRequest, NewResponse, Role};
use crate::h2::decoder::Bounds;
use crate::h2::encoder::{FieldBlock, Strings};
use crate::h2::fields::{Fields, HeaderField};
use crate::h2::frame::{self, ErrorCode, FrameHead, FrameType, HEAD, PREFACE, flags};

/// Encodes `name=value` lines. The first `=` behind the first byte parts them.
pub(super) fn encode(lines: &[&str]) -> FieldBlock {
    let mut out = FieldBlock::default();
    for line in lines {
        let cut = 1 + line[1..].find('=').unwrap();
        let (name, value) = (&line.as_bytes()[..cut], &line.as_bytes()[cut + 1..]);
        out.push(HeaderField { name, value, is_secret: false }, Strings::Plain);
    }
    out
}

/// The block of a head with this name.
fn block(name: &str, is_server: bool) -> FieldBlock {
    let get = [":method=GET", ":scheme=http", ":path=/", ":authority=h"];
    let with = |more: &[&str]| encode(&[&get[..], more].concat());
    match name {
        "" if is_server => with(&[]),
        "" => encode(&[":status=200"]),
        "head" => encode(&[":method=HEAD", ":scheme=http", ":path=/", ":authority=h"]),
        "connect" => encode(&[":method=CONNECT", ":authority=h"]),
        "websocket" => {
            encode(&[":method=CONNECT", ":protocol=websocket", ":scheme=http", ":path=/", ":authority=h"])
        }
        "upper" => with(&["A=b"]),
        "line" => with(&["a=b\r\nc: d"]),
        "nul" => with(&["a=b\0"]),
        "te" => with(&["te=gzip"]),
        "trailers" => with(&["te=trailers"]),
        "connection" => with(&["connection=close"]),
        "chunked" => with(&["transfer-encoding=chunked"]),
        "late" => encode(&[":method=GET", ":scheme=http", "a=b", ":path=/", ":authority=h"]),
        "twice" => with(&[":path=/"]),
        "unknown" => with(&[":x=y"]),
        "nomethod" => encode(&[":scheme=http", ":path=/", ":authority=h"]),
        "noscheme" => encode(&[":method=GET", ":path=/", ":authority=h"]),
        "nopath" => encode(&[":method=GET", ":scheme=http", ":authority=h"]),
        "emptypath" => encode(&[":method=GET", ":scheme=http", ":path=", ":authority=h"]),
        "host" => with(&["host=other"]),
        "urgent" => with(&["priority=u=0, i"]),
        "long" => encode(&[&format!("a={}", "x".repeat(3000))]),
        "large" => with(&[&format!("a={}", "x".repeat(3000))]),
        "largehead" => {
            let long = format!("a={}", "x".repeat(3000));
            encode(&[":method=HEAD", ":scheme=http", ":path=/", ":authority=h", &long])
        }
        "huge" => with(&[&format!("a={}", "x".repeat(9000))]),
        "crumbs" => with(&["cookie=a"; 40]),
        "pseudo" => encode(&[":status=200"]),
        status if status.parse::<u16>().is_ok() => encode(&[&format!(":status={status}")]),
        other => panic!("no block {other}"),
    }
}

fn length_block(length: &str, is_server: bool) -> FieldBlock {
    let length = format!("content-length={length}");
    if is_server {
        encode(&[":method=POST", ":scheme=http", ":path=/", ":authority=h", &length])
    } else {
        encode(&[":status=200", &length])
    }
}

/// The frame that a word of the peer stands for.
pub(super) fn frame_of(word: &str, is_server: bool, out: &mut Vec<u8>) {
    let (word, end) = match word.strip_suffix('.') {
        Some(word) => (word, flags::END_STREAM),
        None => (word, 0),
    };
    let (kind, rest) = word.split_at(1);
    let cut = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (number, detail) = rest.split_at(cut);
    let stream = number.parse().unwrap_or(0);
    let value = || detail[1..].parse::<u32>().unwrap();
    match kind {
        "S" if rest == "A" => frame::write(FrameType::Settings, flags::ACK, 0, &[], out),
        "S" => {
            let mut payload = Vec::new();
            for pair in rest.split(',').filter(|pair| !pair.is_empty()) {
                let (number, value) = pair.split_once('=').unwrap();
                payload.extend_from_slice(&number.parse::<u16>().unwrap().to_be_bytes());
                payload.extend_from_slice(&value.parse::<u32>().unwrap().to_be_bytes());
            }
            frame::write(FrameType::Settings, 0, 0, &payload, out);
        }
        "H" => {
            let get = || block("", true).bytes().to_vec();
            let block = match (detail, detail.strip_prefix('=')) {
                (":broken", _) => vec![0x80],
                // A literal that enters the table, and a reference to it; 62 is the first dynamic index.
                (":insert", _) => [&get()[..], b"\x40\x03x-a\x01v"].concat(),
                (":shrink", _) => [&[0x20][..], &get()].concat(),
                (":recall", _) => [&get()[..], &[0x80 | 62]].concat(),
                (":insertlarge", _) => {
                    [&get()[..], b"\x40\x03x-a\x01v", block("long", true).bytes()].concat()
                }
                (_, Some(length)) => length_block(length, is_server).bytes().to_vec(),
                (_, None) => block(detail.trim_start_matches(':'), is_server).bytes().to_vec(),
            };
            frame::write_block(stream, end != 0, &block, 1 << 14, out);
        }
        // The first half of a GET, and what is left of it.
        "I" => {
            let get = block("", true);
            let half = &get.bytes()[..2];
            frame::write(FrameType::Headers, end, stream, half, out);
        }
        "J" => {
            let get = block("", true);
            frame::write(FrameType::Continuation, flags::END_HEADERS, stream, &get.bytes()[2..], out);
        }
        "T" => frame::write_block(stream, end != 0, encode(&["x=y"]).bytes(), 1 << 14, out),
        "D" => {
            let (length, padding) = detail[1..].split_once('/').unwrap_or((&detail[1..], ""));
            let length: usize = length.parse().unwrap();
            if padding.is_empty() {
                frame::write(FrameType::Data, end, stream, &vec![b'd'; length], out);
            } else {
                let padding: u8 = padding.parse().unwrap();
                let bytes = [vec![padding], vec![b'd'; length], vec![0; usize::from(padding)]].concat();
                frame::write(FrameType::Data, end | flags::PADDED, stream, &bytes, out);
            }
        }
        "R" => frame::write_reset(stream, ErrorCode(value()), out),
        "W" => frame::write(FrameType::WindowUpdate, 0, stream, &value().to_be_bytes(), out),
        "Z" => frame::write_ping(false, [7; 8], out),
        "G" => frame::write_goaway(stream, ErrorCode(value()), out),
        "Y" => frame::write(FrameType::Priority, 0, stream, &[0, 0, 0, 0, 9], out),
        "P" => {
            let payload = [&stream.to_be_bytes(), &detail.as_bytes()[1..]].concat();
            frame::write(FrameType::PriorityUpdate, 0, 0, &payload, out);
        }
        "U" => frame::write(FrameType::Unknown(77), 0xff, stream, b"what", out),
        "N" => frame::write(FrameType::Continuation, flags::END_HEADERS, stream, &[], out),
        "V" => frame::write(FrameType::PushPromise, flags::END_HEADERS, stream, &[0, 0, 0, 2, 0x88], out),
        other => panic!("no frame {other}"),
    }
}

/// One connection that is played.
pub(super) struct Play {
    pub(super) connection: Connection,
    pub(super) now: Time,
    is_server: bool,
    events: String,
    pub(super) sent: Vec<u8>,
    pub(super) fields: Fields,
}

/// Small bounds, so that short scripts reach them.
pub(super) fn config() -> ConnectionConfig {
    ConnectionConfig { streams: 4, head: Bounds { list: 2048, fields: 50 }, ..ConnectionConfig::default() }
}

impl Play {
    pub(super) fn new(role: Role, config: ConnectionConfig) -> Play {
        let mut play = Play::bare(role, config);
        if play.is_server {
            play.read(PREFACE);
        }
        play
    }

    /// Without the preface of the client.
    pub(super) fn bare(role: Role, config: ConnectionConfig) -> Play {
        let mut connection = Connection::new(role, Arc::new(config), Time::ZERO);
        connection.consume(usize::MAX);
        let is_server = role == Role::Server;
        let (events, sent, fields) = (String::new(), Vec::new(), Fields::default());
        Play { connection, now: Time::ZERO, is_server, events, sent, fields }
    }

    pub(super) fn flush(&mut self) {
        self.sent.extend_from_slice(self.connection.output());
        self.connection.consume(usize::MAX);
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        let mut input = bytes;
        loop {
            match self.connection.read(self.now, &mut input, &mut self.fields) {
                Ok(Some(incoming)) => tell(&incoming, &mut self.events),
                Ok(None) => return,
                Err(error) => {
                    let end = format!("!{} ", error.code.0);
                    if !self.events.ends_with(&end) {
                        self.events.push_str(&end);
                    }
                    return;
                }
            }
        }
    }

    /// Plays a script; the peer's bytes in pieces of `piece`.
    pub(super) fn play(&mut self, script: &str, piece: usize) {
        for word in script.split_whitespace() {
            if let Some(deed) = word.strip_prefix('<') {
                self.act(deed);
            } else {
                let mut bytes = Vec::new();
                frame_of(word, self.is_server, &mut bytes);
                bytes.chunks(piece).for_each(|chunk| self.read(chunk));
            }
            self.flush();
        }
    }

    fn act(&mut self, deed: &str) {
        let (deed, ends_stream) = match deed.strip_suffix('.') {
            Some(deed) => (deed, true),
            None => (deed, false),
        };
        let (kind, rest) = deed.split_at(1);
        let cut = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (number, detail) = rest.split_at(cut);
        let stream: u32 = number.parse().unwrap_or(0);
        let length = detail.strip_prefix('=').map(|text| text.parse().unwrap());
        let name = detail.strip_prefix(':').unwrap_or("");
        let now = self.now;
        let result = match kind {
            "A" => {
                let status = if name.is_empty() { 200 } else { name.parse().unwrap() };
                let block = block(if name.is_empty() { "200" } else { name }, false);
                self.connection.respond(
                    now,
                    stream,
                    NewResponse { status, block: &block, length, ends_stream },
                )
            }
            "D" => {
                let count = name.parse().unwrap();
                let result = self.connection.offer(now, stream, count, ends_stream);
                self.flush();
                self.pieces();
                result
            }
            "T" => self.connection.trailers(now, stream, &encode(&["x=y"])),
            "O" => {
                let (is_head, is_connect) = (name == "head", name == "connect");
                let block = block(name, true);
                let request =
                    NewRequest { block: &block, length, ends_stream, is_head, is_connect, token: 7 };
                if let Err(why) = self.connection.open(now, request) {
                    write!(self.events, "{why:?} ").unwrap();
                }
                Ok(())
            }
            _ => {
                self.act_plainly(kind, stream, detail);
                Ok(())
            }
        };
        if let Err(why) = result {
            write!(self.events, "{why:?} ").unwrap();
        }
    }

    fn act_plainly(&mut self, kind: &str, stream: u32, detail: &str) {
        let value = || detail[1..].parse::<u32>().unwrap();
        match kind {
            "R" => self.connection.reset(stream, ErrorCode(value())),
            "W" => self.connection.grant(stream, value(), value()),
            "L" => self.connection.linger(self.now, stream, value()),
            "G" => self.connection.drain(),
            "X" => self.connection.leave(),
            "Z" => self.connection.ping(self.now),
            "M" => self.now = self.now + Duration::from_millis(u64::from(stream)),
            "E" => loop {
                match self.connection.expire(self.now) {
                    Ok(Some(incoming)) => tell(&incoming, &mut self.events),
                    Ok(None) => break,
                    Err(error) => {
                        write!(self.events, "!{} ", error.code.0).unwrap();
                        break;
                    }
                }
            },
            other => panic!("no deed {other}"),
        }
    }

    fn pieces(&mut self) {
        while let Some(piece) = self.connection.next_piece(self.now, 1 << 20) {
            self.sent.extend_from_slice(&piece.head);
            self.sent.resize(self.sent.len() + piece.length as usize, b'd');
        }
    }

    /// The events that have come, and our output but for the acknowledgement of settings.
    pub(super) fn story(&mut self) -> (String, String) {
        self.flush();
        (self.events.trim_end().to_owned(), frames(&self.sent))
    }
}

fn tell(incoming: &Incoming<'_>, out: &mut String) {
    match incoming {
        Incoming::Request { stream, ends_stream, .. } => {
            write!(out, "Q{stream}{}", if *ends_stream { "." } else { "" })
        }
        Incoming::Response { stream, head, ends_stream, .. } => {
            write!(out, "A{stream}:{}{}", head.status, if *ends_stream { "." } else { "" })
        }
        Incoming::TooLarge { stream, .. } => write!(out, "B{stream}"),
        Incoming::Malformed { stream, fault } => write!(out, "M{stream}:{fault:?}"),
        Incoming::Refused { stream } => write!(out, "F{stream}"),
        Incoming::Data { stream, bytes, .. } => {
            join_data(*stream, bytes.len(), out);
            return;
        }
        Incoming::End { stream, .. } => write!(out, "E{stream}"),
        Incoming::Trailers { stream, .. } => write!(out, "T{stream}"),
        Incoming::Reset { stream, code, why, .. } => write!(out, "R{stream}={}:{}", code.0, short(why)),
        Incoming::GoAway { last, code } => write!(out, "G{last}={}", code.0),
        Incoming::Settings => write!(out, "S"),
        Incoming::Pong { .. } => write!(out, "P"),
    }
    .unwrap();
    out.push(' ');
}

fn short(why: &crate::h2::connection::WhyReset) -> String {
    format!("{why:?}").split('(').next().unwrap().to_owned()
}

/// Pieces of one frame are one word, however it was cut.
fn join_data(stream: u32, count: usize, out: &mut String) {
    let before = out.trim_end().rsplit(' ').next().unwrap_or("").to_owned();
    if let Some(known) = before.strip_prefix(&format!("D{stream}:")) {
        let sum = known.parse::<usize>().unwrap() + count;
        out.truncate(out.len() - before.len() - 1);
        write!(out, "D{stream}:{sum} ").unwrap();
    } else {
        write!(out, "D{stream}:{count} ").unwrap();
    }
}

/// Frames that we wrote, in the words of the peer's.
pub(super) fn frames(mut bytes: &[u8]) -> String {
    let mut words = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
        let head = FrameHead::read(head);
        let (payload, behind) = rest.split_at(head.length as usize);
        bytes = behind;
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        let end = if head.flags & flags::END_STREAM != 0 { "." } else { "" };
        let stream = head.stream;
        words.push(match head.kind {
            FrameType::Data => format!("D{stream}:{}{end}", head.length),
            FrameType::Headers => format!("H{stream}{end}"),
            FrameType::Continuation => format!("N{stream}"),
            FrameType::RstStream => format!("R{stream}={}", number(0)),
            FrameType::WindowUpdate => format!("W{stream}+{}", number(0)),
            FrameType::Ping => if head.flags & flags::ACK != 0 { "ZA" } else { "Z" }.to_owned(),
            FrameType::GoAway => format!("G{}={}", number(0), number(4)),
            FrameType::Settings if head.flags & flags::ACK != 0 => continue,
            FrameType::Settings => "S".to_owned(),
            FrameType::Priority
            | FrameType::PushPromise
            | FrameType::PriorityUpdate
            | FrameType::Unknown(_) => {
                panic!("we send no such frame: {head:?}")
            }
        });
    }
    assert!(bytes.is_empty(), "half a frame");
    words.join(" ")
}

/// Plays a script in every split; the story is the same in each.
pub(super) fn story(role: Role, config: &ConnectionConfig, script: &str) -> (String, String) {
    let run = |piece: usize| {
        let mut play = Play::new(role, config.clone());
        play.play(script, piece);
        play.story()
    };
    let whole = run(usize::MAX);
    for piece in [1, 2, 3, 5, 8, 11, 13] {
        let (events, sent) = run(piece);
        assert_eq!((settled(&events), &sent), (settled(&whole.0), &whole.1), "{script} in pieces of {piece}");
    }
    whole
}

/// Of a frame that goes beyond its bound, the pieces before the bound may have been passed on.
fn settled(events: &str) -> String {
    let words: Vec<&str> = events.split(' ').collect();
    let is_broken = |word: &&str, behind: Option<&&str>| {
        let stream = word.split(':').next().unwrap_or("");
        let behind = behind.and_then(|word| word.split('=').next()).unwrap_or("");
        stream.starts_with('D') && stream[1..] == behind[1.min(behind.len())..] && behind.starts_with('R')
    };
    let kept = words.iter().enumerate().filter(|(at, word)| !is_broken(word, words.get(at + 1)));
    kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}
