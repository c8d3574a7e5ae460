//! The part that all actors share: their steps, and a port through which they read and write in pieces at
//! their own pace.

use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::os::IoFault;
use pollux::prelude::proxy::ProxyVersion;

use crate::announced::{self, Announced};
use crate::end::EndId;
use crate::faults::{chance, log_uniform};
use crate::net::{Closing, Net};
use crate::tls::{Opened, Seal, Sealed};
use crate::trace::{Deed, Event};

/// The result of one step of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something happened.
    Moved,
    /// Nothing can happen until somebody else moves.
    Still,
    /// Nothing can happen before that time.
    Until(Time),
    /// The actor has left.
    Over,
}

/// A peer of the worker: a client, or one connection of a backend.
pub(crate) trait Actor {
    /// Does one small thing, if it can.
    fn step(&mut self, net: &mut Net) -> Step;

    /// Whether a run goes on for as long as this actor has not left. True of clients.
    fn is_awaited(&self) -> bool;
}

/// Reads what has come at `end` behind what is in `inbox`. A side whose peer has ended or is lost is closed.
pub(crate) fn take_in(net: &mut Net, end: EndId, inbox: &mut Vec<u8>) -> Step {
    let mut room = [0; 8000];
    match net.read(end, &mut room) {
        Ok(0) | Err(IoFault::Lost) => {
            net.close(end);
            Step::Over
        }
        Ok(count) => {
            inbox.extend_from_slice(&room[..count]);
            Step::Moved
        }
        Err(IoFault::Blocked) => Step::Still,
    }
}

/// The pace at which an actor moves its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// The chance of a nap after a step, in percent.
    nap: u8,
    nap_max: Duration,
    /// The most bytes that one step moves.
    piece_max: usize,
}

impl Pace {
    /// Everything at once.
    pub(crate) const BRISK: Pace = Pace { nap: 0, nap_max: Duration::ZERO, piece_max: 65536 };

    /// A pace for messages of up to `bulk` bytes: the longer they are, the larger the pieces.
    pub(crate) fn draw(bulk: usize, rng: &mut Rng) -> Pace {
        Pace {
            nap: [0, 0, 5, 30][rng.usize(..4)],
            nap_max: Duration::from_micros(rng.u64(1..20_000)),
            piece_max: log_uniform(rng, &(1 + bulk / 256..=65536)),
        }
    }
}

/// The bytes from the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    Nothing,
    Bytes,
    End,
    Reset,
}

/// The result of an attempt to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Nothing,
    Bytes,
    Lost,
}

/// The bytes that TLS adds to a short message, or to two of them, at most.
const OVERHEAD: usize = 200;

/// A client must never receive these bytes.
const LOST: &[u8] = b"HTTP/1.1 200 OK\r\nX-Torn: this is never heard\r\n\r\n";

/// An actor's side of a connection, with what it has yet to write and what it has yet to understand.
#[derive(Debug)]
pub(crate) struct Port {
    end: EndId,
    /// The layer between the actor and the network, if the actor speaks TLS.
    sealed: Option<Box<Sealed>>,
    /// The bytes that are written before all that, and before TLS.
    ahead: Vec<u8>,
    /// A header of that version is awaited, before TLS; what has come of it.
    awaits: Option<(ProxyVersion, Vec<u8>)>,
    /// The header that has come.
    pub(crate) announced: Option<Announced>,
    outbox: Vec<u8>,
    pushed: usize,
    /// The number of bytes that the network has carried, TLS and all.
    carried: usize,
    /// The bytes that have come in and have not been consumed.
    pub(crate) inbox: Vec<u8>,
    pace: Pace,
    nap_until: Time,
}

impl Port {
    pub(crate) fn new(end: EndId, pace: Pace) -> Port {
        Port {
            end,
            sealed: None,
            ahead: Vec::new(),
            awaits: None,
            announced: None,
            outbox: Vec::new(),
            pushed: 0,
            carried: 0,
            inbox: Vec::new(),
            pace,
            nap_until: Time::ZERO,
        }
    }

    /// A port that speaks TLS, if `seal` says how.
    pub(crate) fn sealed(self, seal: Option<&Seal>) -> Port {
        Port { sealed: seal.map(|seal| Box::new(seal.open())), ..self }
    }

    /// A port that writes `ahead` before anything else.
    pub(crate) fn behind(self, ahead: Vec<u8>) -> Port {
        Port { ahead, ..self }
    }

    /// A port that reads a PROXY header of that version before anything else, if there is a version.
    pub(crate) fn awaiting(self, version: Option<ProxyVersion>) -> Port {
        Port { awaits: version.map(|version| (version, Vec::new())), ..self }
    }

    pub(crate) fn end(&self) -> EndId {
        self.end
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// The number of bytes that the network has carried for it, in and out, TLS and all.
    pub(crate) fn carried(&self) -> usize {
        self.carried
    }

    /// The number of the bytes posted last that have been handed over, to the network or to TLS.
    pub(crate) fn said(&self) -> usize {
        self.pushed
    }

    /// Whether no byte of an actor can pass yet.
    pub(crate) fn is_greeting(&self) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.is_shaking())
    }

    /// Whether TLS has something to say for itself.
    pub(crate) fn is_shaking(&self) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.is_busy())
    }

    /// Puts bytes behind those that are to be written.
    pub(crate) fn post(&mut self, bytes: &[u8]) {
        if self.pushed == self.outbox.len() {
            self.outbox.clear();
            self.pushed = 0;
        }
        self.outbox.extend_from_slice(bytes);
    }

    /// Takes back what has not been written.
    pub(crate) fn cut(&mut self) {
        self.outbox.truncate(self.pushed);
    }

    /// Bytes that are yet to be written.
    pub(crate) fn unwritten(&self) -> usize {
        let is_busy = self.sealed.as_ref().is_some_and(|sealed| sealed.is_busy());
        (self.outbox.len() - self.pushed).max(usize::from(is_busy)) + self.ahead.len()
    }

    /// The number of bytes that it has still to write, without those that TLS adds.
    pub(crate) fn unsaid(&self) -> usize {
        let is_owed = self.sealed.as_ref().is_some_and(|sealed| sealed.owes_plain());
        (self.outbox.len() - self.pushed).max(usize::from(is_owed))
    }

    /// When the actor goes on, if it is having a nap.
    pub(crate) fn napping(&self, now: Time) -> Option<Time> {
        (self.nap_until > now).then_some(self.nap_until)
    }

    /// Does nothing for `span`.
    pub(crate) fn nap(&mut self, now: Time, span: Duration) {
        self.nap_until = now + span;
    }

    /// Perhaps has a nap, as its pace says.
    pub(crate) fn breathe(&mut self, now: Time, rng: &mut Rng) {
        if self.napping(now).is_none() && chance(rng, self.pace.nap) {
            let most = u64::try_from(self.pace.nap_max.as_micros()).expect("naps are short");
            self.nap(now, Duration::from_micros(rng.u64(..=most)));
        }
    }

    /// Writes a piece.
    pub(crate) fn push(&mut self, net: &mut Net, rng: &mut Rng) -> Pushed {
        if self.unwritten() == 0 {
            return Pushed::Nothing;
        }
        if !self.ahead.is_empty() {
            return self.push_ahead(net, rng);
        }
        if self.sealed.is_some() {
            return self.push_sealed(net, rng);
        }
        let most = self.unwritten().min(self.pace.piece_max);
        let piece = &self.outbox[self.pushed..][..rng.usize(1..=most)];
        match net.write(self.end, piece) {
            Ok(count) => {
                self.pushed += count;
                net.log(Event::Far { end: self.end, deed: Deed::Wrote(count) });
                Pushed::Bytes
            }
            Err(IoFault::Blocked) => Pushed::Nothing,
            Err(IoFault::Lost) => Pushed::Lost,
        }
    }

    fn push_ahead(&mut self, net: &mut Net, rng: &mut Rng) -> Pushed {
        let most = rng.usize(1..=self.ahead.len());
        match net.write(self.end, &self.ahead[..most]) {
            Ok(count) => {
                self.ahead.drain(..count);
                self.carried += count;
                net.log(Event::Far { end: self.end, deed: Deed::Wrote(count) });
                Pushed::Bytes
            }
            Err(IoFault::Blocked) => Pushed::Nothing,
            Err(IoFault::Lost) => Pushed::Lost,
        }
    }

    fn push_sealed(&mut self, net: &mut Net, rng: &mut Rng) -> Pushed {
        let Some(sealed) = &mut self.sealed else { return Pushed::Nothing };
        let plain = &self.outbox[self.pushed..];
        let most = plain.len().min(self.pace.piece_max);
        let plain = if most == 0 { plain } else { &plain[..rng.usize(1..=most)] };
        let (taken, outbox) = sealed.outbox(plain, rng);
        self.pushed += taken;
        if outbox.is_empty() {
            return Pushed::Nothing;
        }
        let most = outbox.len().min(self.pace.piece_max);
        match net.write(self.end, &outbox[..rng.usize(1..=most)]) {
            Ok(count) => {
                sealed.handle_taken(count);
                self.carried += count;
                net.log(Event::Far { end: self.end, deed: Deed::Wrote(count) });
                Pushed::Bytes
            }
            Err(IoFault::Blocked) if taken > 0 => Pushed::Bytes,
            Err(IoFault::Blocked) => Pushed::Nothing,
            Err(IoFault::Lost) => Pushed::Lost,
        }
    }

    /// Whether so many bytes can be written at once.
    pub(crate) fn has_room(&self, count: usize, net: &Net) -> bool {
        let own = if self.is_sealed() { OVERHEAD + count / 100 } else { 0 };
        net.end(self.end.peer()).room() >= count + own
    }

    /// Writes all that there is room for.
    pub(crate) fn push_all(&mut self, net: &mut Net, rng: &mut Rng) {
        if self.is_sealed() {
            let pace = std::mem::replace(&mut self.pace, Pace::BRISK);
            while self.push_sealed(net, rng) == Pushed::Bytes {}
            self.pace = pace;
            return;
        }
        if let Ok(count) = net.write(self.end, &self.outbox[self.pushed..]) {
            self.pushed += count;
            net.log(Event::Far { end: self.end, deed: Deed::Wrote(count) });
        }
    }

    /// The next write comes in just after the last one, so shortly that nothing can happen in
    /// between.
    pub(crate) fn pause(&self, net: &mut Net) {
        net.pause(self.end);
    }

    /// The bytes that have come in and lie unread in the kernel. Nothing can be read after that.
    pub(crate) fn unread(&mut self, net: &Net) -> Vec<u8> {
        let bytes: Vec<u8> = net.end(self.end).inbox.iter().copied().collect();
        match &mut self.sealed {
            Some(sealed) if !bytes.is_empty() && !sealed.ended => {
                let mut plain = Vec::new();
                sealed.open(&bytes, &mut plain);
                plain
            }
            Some(_) => Vec::new(),
            None => bytes,
        }
    }

    /// Reads a piece into `inbox`.
    pub(crate) fn pull(&mut self, net: &mut Net, rng: &mut Rng) -> Pulled {
        if self.sealed.as_ref().is_some_and(|sealed| sealed.ended) {
            return Pulled::End;
        }
        let before = self.inbox.len();
        let most = self.pace.piece_max.min(net.end(self.end).inbox.len()).max(1);
        self.inbox.resize(before + rng.usize(1..=most), 0);
        let result = net.read(self.end, &mut self.inbox[before..]);
        self.inbox.truncate(before + result.unwrap_or(0));
        let (deed, pulled) = match result {
            Ok(0) => (Deed::SawEnd, Pulled::End),
            Ok(count) => (Deed::Read(count), Pulled::Bytes),
            Err(IoFault::Blocked) => return Pulled::Nothing,
            Err(IoFault::Lost) => (Deed::SawReset, Pulled::Reset),
        };
        net.log(Event::Far { end: self.end, deed });
        self.carried += result.unwrap_or(0);
        if let Some((version, bytes)) = &mut self.awaits {
            bytes.extend(self.inbox.drain(before..));
            self.announced = announced::take(*version, bytes);
            if self.announced.is_none() {
                return pulled;
            }
            self.inbox.append(bytes);
            self.awaits = None;
            if self.inbox.len() == before {
                return pulled;
            }
        }
        match &mut self.sealed {
            None => pulled,
            Some(sealed) => match pulled {
                Pulled::Nothing | Pulled::Reset => pulled,
                // Behind close_notify nobody reads.
                Pulled::End => Pulled::Reset,
                Pulled::Bytes => {
                    let bytes = self.inbox.split_off(before);
                    match sealed.open(&bytes, &mut self.inbox) {
                        Opened::End if self.inbox.len() == before => Pulled::End,
                        Opened::End | Opened::Bytes => Pulled::Bytes,
                        Opened::Refused => Pulled::Reset,
                    }
                }
            },
        }
    }

    /// A FIN behind what has been written; false if something has to be written first.
    pub(crate) fn finish(&mut self, net: &mut Net) -> bool {
        if self.sealed.as_mut().is_some_and(|sealed| !sealed.say_goodbye()) {
            return false;
        }
        net.log(Event::Far { end: self.end, deed: Deed::Finished });
        net.finish(self.end);
        true
    }

    /// Says with TLS that nothing more comes, as far as there is room for that now, and closes; true if that
    /// was said whole.
    pub(crate) fn bid_farewell(&mut self, net: &mut Net, rng: &mut Rng) -> bool {
        let is_said = self.sealed.as_mut().is_some_and(|sealed| {
            let is_heard = !sealed.is_shaking();
            sealed.say_goodbye();
            let (_, farewell) = sealed.outbox(&[], rng);
            is_heard && net.write(self.end, farewell) == Ok(farewell.len())
        });
        self.close(net);
        is_said
    }

    /// With TLS: says something that is torn off in the middle of a record, or is none, as far as there is
    /// room for it.
    pub(crate) fn tear(&mut self, net: &mut Net, rng: &mut Rng) {
        let Some(sealed) = &mut self.sealed else { return };
        let torn = if rng.bool() || sealed.is_busy() {
            (0..rng.usize(1..60)).map(|_| rng.u8(..)).collect()
        } else {
            let (_, whole) = sealed.outbox(LOST, rng);
            whole[..rng.usize(..LOST.len())].to_vec()
        };
        let _ = net.write(self.end, &torn);
    }

    /// A FIN, and nothing before it that TLS would have to say.
    pub(crate) fn cut_off(&self, net: &mut Net) {
        net.log(Event::Far { end: self.end, deed: Deed::Finished });
        net.finish(self.end);
    }

    pub(crate) fn close(&self, net: &mut Net) -> Closing {
        net.log(Event::Far { end: self.end, deed: Deed::Closed });
        net.close(self.end)
    }

    pub(crate) fn abort(&self, net: &mut Net) {
        net.log(Event::Far { end: self.end, deed: Deed::Aborted });
        net.abort(self.end);
    }
}
