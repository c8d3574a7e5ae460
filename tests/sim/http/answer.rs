//! The answers of a backend, drawn from the seed: a response as the request deserves it, or some mischief.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use super::board::{Answer, Ask, Field};
use super::body::{Framing, chunks};
use super::request::head;
use super::script::pair;
use crate::faults::{Faults, Weather, chance, log_uniform};
use crate::payload::Payload;

/// When the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// When all of the request has come.
    Behind,
    /// It begins with the head of the request and ends behind its body.
    Along,
    /// At once, whatever is still to come.
    Early,
}

/// The way in which a connection is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Close,
    Abort,
}

/// The mischief of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Leaves without an answer, once all of the request has come or already before.
    Silence { early: bool, leave: Leave },
    /// Leaves after that many bytes of the answer.
    Cut { keep: usize, leave: Leave },
    /// Says something that is no response.
    Garbage,
    /// Sends another response right behind the answer, which nobody asked for.
    Extra,
    /// Sends bytes a while after the answer.
    LateExtra(Duration),
    /// Does nothing for that long, after that many bytes of the answer.
    Hang { after: usize, span: Duration },
}

/// Everything about one answer.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) status: u16,
    /// Interim responses before it.
    pub(crate) interim: Vec<u16>,
    pub(crate) framing: Framing,
    pub(crate) payload: Payload,
    pub(crate) start: Start,
    /// Closes the connection behind it.
    closes: bool,
    /// As HTTP/1.0.
    minor: u8,
    trailer: bool,
    pub(crate) mischief: Option<Mischief>,
    pub(crate) thinks: Duration,
}

/// One thing after the other, each when what was written before is on its way.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Write(Vec<u8>),
    /// In one piece with something that does not belong to it, if there is room for both.
    WriteWithExtra(Vec<u8>),
    Nap(Duration),
    /// The rest of the request.
    AwaitBody,
    Leave(Leave),
    Tunnel,
}

/// Bytes in place of a response, or behind one.
pub(crate) const GARBAGE: &[u8] = b"I am not a response\r\n\r\n";

/// A response that nobody asked for.
pub(crate) const EXTRA: &[u8] = b"HTTP/1.1 200 OK\r\nX-Stray: 1\r\nContent-Length: 5\r\n\r\nstray";

impl Plan {
    /// An answer to `ask`, the `number`th of the run.
    pub(crate) fn draw(ask: &Ask, number: usize, faults: &Faults, rng: &mut Rng) -> Plan {
        let foul = faults.weather == Weather::Foul;
        let status = if ask.upgrade.is_some() && chance(rng, 75) {
            101
        } else {
            [200, 200, 200, 201, 204, 304, 404, 500][rng.usize(..8)]
        };
        let bodiless = matches!(status, 101 | 204 | 304);
        let payload = Payload::new(number + 13, if bodiless { 0 } else { faults.length(rng) });
        let minor = u8::from(status == 101 || !chance(rng, 5));
        let framing = match rng.u8(..5) {
            _ if bodiless => Framing::None,
            0 | 1 if minor == 1 => Framing::Chunked,
            // Only the last request of a connection: its client cannot be told the end in another way either.
            2 if ask.last => Framing::UntilEnd,
            _ => Framing::Length(payload.len),
        };
        let closes = status != 101 && (framing == Framing::UntilEnd || minor == 0 || chance(rng, 10));
        let start = match rng.u8(..10) {
            _ if status == 101 => Start::Behind,
            // Pollux closes a connection behind a response that overtakes its request.
            0 if ask.last && !ask.expects => Start::Along,
            1 if foul => Start::Early,
            _ => Start::Behind,
        };
        let think_max = [1, 1, 1000, 20_000][rng.usize(..4)];
        Plan {
            status,
            interim: (0..rng.u8(..12).saturating_sub(9))
                .map(|_| if rng.bool() { 103 } else { 102 })
                .collect(),
            framing,
            payload,
            start,
            closes,
            minor,
            trailer: rng.bool(),
            mischief: (foul && chance(rng, 30)).then(|| Mischief::draw(payload.len, rng)),
            thinks: Duration::from_micros(rng.u64(..think_max)),
        }
    }

    /// Whether it is what the request deserves, when it deserves it.
    pub(crate) fn is_fair(&self) -> bool {
        self.mischief.is_none() && self.start != Start::Early
    }

    /// The part of it that the board keeps.
    pub(crate) fn answer(&self, ask: usize, number: usize, rng: &mut Rng) -> Answer {
        let mut fields = vec![pair("x-answer", &number.to_string()), pair("x-id", &ask.to_string())];
        for (name, value) in
            [("server", "toy"), ("etag", "\"a, b\""), ("set-cookie", "a=b"), ("set-cookie", "c=d")]
        {
            if chance(rng, 20) {
                fields.push(pair(name, value));
            }
        }
        Answer { ask, status: self.status, fields, payload: self.payload, endless: false }
    }

    /// The answer as bytes, its head and its body.
    pub(crate) fn render(&self, answer: &Answer, ask: &Ask, rng: &mut Rng) -> (Vec<u8>, Vec<u8>) {
        let mut fields = [answer.fields.clone(), self.connection_fields(rng)].concat();
        let bodiless = ask.method == "HEAD" || matches!(self.status, 101 | 204 | 304);
        let body = match self.framing {
            Framing::Length(len) => {
                fields.push(pair("content-length", &len.to_string()));
                self.payload.whole()
            }
            Framing::Chunked => {
                fields.push(pair("transfer-encoding", "chunked"));
                let trailer = answer.ask.to_string();
                chunks(self.payload, self.trailer.then_some(&trailer), rng)
            }
            Framing::None | Framing::UntilEnd => self.payload.whole(),
        };
        let reason = ["", "OK", "Anything Else"][rng.usize(..3)];
        let start = format!("HTTP/1.{} {} {reason}", self.minor, self.status);
        (head(&start, fields, rng), if bodiless { Vec::new() } else { body })
    }

    /// The deeds that the answer consists of, and how many bytes of its body they write.
    pub(crate) fn deeds(&self, head: &[u8], body: &[u8], expects: bool, rng: &mut Rng) -> VecDeque<Deed> {
        let whole = [head, body].concat();
        let mut deeds = VecDeque::new();
        if expects && self.start == Start::Behind {
            deeds.push_back(Deed::Write(interim(100)));
        }
        if let Some(Mischief::Silence { early: true, leave }) = self.mischief {
            return VecDeque::from([Deed::Leave(leave)]);
        }
        if self.start == Start::Behind {
            deeds.extend([Deed::AwaitBody, Deed::Nap(self.thinks)]);
        }
        deeds.extend(self.interim.iter().map(|status| Deed::Write(interim(*status))));
        match self.mischief {
            Some(Mischief::Silence { leave, .. }) => deeds.push_back(Deed::Leave(leave)),
            Some(Mischief::Cut { keep, leave }) => {
                let keep = keep.min(whole.len());
                deeds.extend([Deed::Write(whole[..keep].to_vec()), Deed::Leave(leave)]);
            }
            Some(Mischief::Garbage) => {
                deeds.extend([Deed::Write(GARBAGE.to_vec()), Deed::Leave(Leave::Close)]);
            }
            // Behind a response without an end, or in a tunnel, nothing is extra.
            Some(Mischief::Extra) if self.status != 101 && self.framing != Framing::UntilEnd => {
                deeds.push_back(Deed::WriteWithExtra(whole));
            }
            Some(Mischief::Hang { after, span }) => {
                let (now, later) = whole.split_at(after.min(whole.len() - 1));
                deeds.extend([Deed::Write(now.to_vec()), Deed::Nap(span), Deed::Write(later.to_vec())]);
            }
            Some(Mischief::Extra | Mischief::LateExtra(_)) | None if self.start == Start::Along => {
                let (now, later) = whole.split_at(rng.usize(..whole.len()));
                deeds.extend([Deed::Write(now.to_vec()), Deed::AwaitBody, Deed::Write(later.to_vec())]);
            }
            Some(Mischief::Extra | Mischief::LateExtra(_)) | None => deeds.push_back(Deed::Write(whole)),
        }
        deeds.push_back(match self.status {
            101 => Deed::Tunnel,
            _ if self.closes => Deed::Leave(Leave::Close),
            _ => Deed::AwaitBody,
        });
        deeds
    }

    fn connection_fields(&self, rng: &mut Rng) -> Vec<Field> {
        let mut options = Vec::new();
        let mut fields = Vec::new();
        if self.status == 101 {
            options.push("upgrade");
            fields.push(pair("upgrade", "echo"));
        } else if self.closes && self.minor == 1 {
            options.push("close");
        } else if !self.closes && chance(rng, 10) {
            options.push("keep-alive");
            fields.push(pair("keep-alive", "timeout=9"));
        }
        if chance(rng, 10) {
            options.push("x-hop");
            fields.push(pair("x-hop", "1"));
        }
        if !options.is_empty() {
            fields.push(pair("connection", &options.join(", ")));
        }
        fields
    }
}

impl Mischief {
    fn draw(len: usize, rng: &mut Rng) -> Mischief {
        let leave = if rng.bool() { Leave::Close } else { Leave::Abort };
        let place = log_uniform(rng, &(0..=300 + len));
        match rng.u8(..6) {
            0 => Mischief::Silence { early: rng.bool(), leave },
            1 => Mischief::Cut { keep: place, leave },
            2 => Mischief::Garbage,
            3 => Mischief::Extra,
            4 => Mischief::LateExtra(Duration::from_micros(rng.u64(..20_000))),
            _ => Mischief::Hang { after: place, span: Duration::from_secs(rng.u64(1..150)) },
        }
    }
}

/// An interim response.
pub(crate) fn interim(status: u16) -> Vec<u8> {
    let fields = if status == 103 { "Link: </style.css>; rel=preload\r\n" } else { "" };
    format!("HTTP/1.1 {status} \r\n{fields}\r\n").into_bytes()
}
