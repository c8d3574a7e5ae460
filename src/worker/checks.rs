//! Looks at backends: now and then where the pool has a check, and at the end of each ejection.
//!
//! The first worker does it for all, in its own loop: what runs stands in the poll array, what is due in the
//! nearest deadline. A worker that drains has no more use for it. The connections lie in the slab of [`Conns`].
//! Invariant: the key of one that is open is in `running`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use super::conn::Reach;
use super::conns::Conns;
use super::generation::Generation;
use super::health::{is_unreached, tell};
use crate::balance::health::{
    BackendFault, By, Check, CheckKind, Expected, HealthPhase, Observation, ObservationResult, Probe,
};
use crate::core::interest::{Interest, Ready};
use crate::core::outcome::Cause;
use crate::core::slab::Key;
use crate::core::time::Time;
use crate::h2::ALPN;
use crate::h2::bridge::{Solo, Unread};
use crate::os::{ConnectFault, Connecting, Fd, IoFault, Os};
use crate::prelude::proxy::{self, Behalf, ProxyAttributes};
use crate::route::hash;
use crate::snapshot::{Address, BackendId, BackendProtocol, Pool, PoolId};
use crate::tls::{Offer, failure};
use crate::wire::{Broken, Shaken, TlsWire, Wire};

/// So many checks run at once.
const RUNNING_MAX: usize = 64;

/// Reads that a check gets in one go.
const READS_MAX: usize = 4;

/// Reads of a check in one go while more bytes are known to be there.
const READS_ENCRYPTED_MAX: usize = 256;

/// Bytes of frames that a check reads at once.
const FRAMES: usize = 4 * 1024;

/// The checks of all backends.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// The generation of the slots; `None` before the first turn.
    generation: Option<Rc<Generation>>,
    slots: Vec<Slot>,
    /// The keys of those that are under way.
    running: Vec<Key>,
    /// Counts checks, so that no two intervals are alike.
    count: u64,
    rung: u64,
    /// When the first slot is due; kept, because there may be many.
    due: Option<Time>,
}

/// When a backend is looked at next.
#[derive(Clone, Copy, Debug)]
struct Slot {
    id: BackendId,
    /// `None` while a check runs, and if the backend is not checked.
    due: Option<Time>,
}

/// A check that is under way.
#[derive(Debug)]
pub(super) struct RunningCheck {
    slot: usize,
    pub(super) wire: Wire,
    began: Time,
    pub(super) until: Time,
    reach: Reach,
    /// The PROXY header that comes first, where nothing else is said.
    header: Vec<u8>,
    /// The request, in a check that makes one.
    probe: Option<Probe>,
    /// The way of the request through HTTP/2, in a pool that speaks it.
    solo: Option<Box<Solo>>,
}

impl RunningCheck {
    pub(super) fn want(&self) -> Interest {
        let has_more = match &self.solo {
            Some(solo) => !solo.output().is_empty(),
            None => self.probe.as_ref().is_some_and(|probe| !probe.unsent().is_empty()),
        };
        match (&self.wire, self.reach) {
            (_, Reach::Connecting) => Interest::WRITE,
            (Wire::Tls(tls), Reach::Handshaking) => tls.handshake_interest(),
            (Wire::Plain(_) | Wire::Tls(_) | Wire::Stream(_), _) => {
                if has_more {
                    Interest::WRITE
                } else {
                    Interest::READ
                }
            }
        }
    }
}

impl Checks {
    /// The keys of those that are under way.
    pub(super) fn running(&self) -> &[Key] {
        &self.running
    }

    /// Those that are under way.
    fn all<'a>(&'a self, conns: &'a Conns) -> impl Iterator<Item = (Key, &'a RunningCheck)> {
        self.running.iter().filter_map(|key| Some((*key, conns.check(*key)?)))
    }

    /// When the next one begins.
    pub(super) fn nearest(&self) -> Option<Time> {
        // Where no more can run at once, the end of one is awaited.
        self.due.filter(|_| self.running.len() < RUNNING_MAX)
    }

    fn find_due(&mut self) {
        self.due = self.slots.iter().filter_map(|slot| slot.due).min();
    }
}

/// The check of a backend that is only looked at because it was ejected.
fn plain() -> Check {
    Check { kind: CheckKind::Tcp, ..Check::default() }
}

/// The address that a check connects to.
fn target(address: &Address, port: Option<u16>) -> Address {
    match (address, port) {
        (Address::Ip(address), Some(port)) => Address::Ip((address.ip(), port).into()),
        (Address::Ip(_), None) | (Address::Unix(_), _) => address.clone(),
    }
}

/// The Host where none is named.
fn host(pool: &Pool, address: &Address) -> String {
    match address {
        Address::Ip(address) => address.to_string(),
        Address::Unix(_) => pool.name.clone(),
    }
}

/// `interval`, longer or shorter by at most that many thousandths, by chance.
fn jittered(interval: Duration, jitter: u32, random: u64) -> Duration {
    let spread = u64::from(jitter) * 2 + 1;
    let thousandths = 1000 - u64::from(jitter) + random % spread;
    Duration::from_nanos(
        (interval.as_nanos() * u128::from(thousandths) / 1000).try_into().unwrap_or(u64::MAX),
    )
}

impl<O: Os> Worker<O> {
    /// Begins the checks that are due, and gives up those that have taken too long.
    pub(super) fn run_checks(&mut self) {
        if self.share.worker != 0 || self.common.draining_since.is_some() {
            return self.stop_checks();
        }
        self.prepare_checks();
        while let Some((key, reach)) = self.late_check() {
            let late = match reach {
                Reach::Connecting => Cause::BackendConnectTimeout,
                Reach::Handshaking => Cause::BackendTlsTimeout,
                Reach::Stands => Cause::BackendResponseTimeout,
            };
            self.end_check(key, ObservationResult::Ill(BackendFault::Cause(late)));
        }
        if self.checks.due.is_none_or(|due| due > self.now) {
            return;
        }
        for slot in 0..self.checks.slots.len() {
            let is_due = self.checks.slots[slot].due.is_some_and(|due| due <= self.now);
            if is_due && self.checks.running.len() < RUNNING_MAX {
                self.begin_check(slot);
            }
        }
        self.checks.find_due();
    }

    /// A check that has taken too long, and how far its connection is.
    fn late_check(&self) -> Option<(Key, Reach)> {
        let late = self.checks.all(&self.conns).find(|(_, check)| check.until <= self.now);
        late.map(|(key, check)| (key, check.reach))
    }

    /// Closes what is under way.
    fn stop_checks(&mut self) {
        for key in std::mem::take(&mut self.checks.running) {
            if let Some(check) = self.conns.remove_check(key) {
                check.wire.close(&mut self.os);
            }
        }
        self.checks.due = None;
    }

    /// Makes the slots anew for another generation, and takes note of new ejections.
    fn prepare_checks(&mut self) {
        if self.checks.generation.as_ref().is_none_or(|generation| !Rc::ptr_eq(generation, &self.generation))
        {
            self.remake_slots();
        }
        let rung = self.generation.pools.waker().rung();
        if rung != self.checks.rung {
            self.checks.rung = rung;
            for slot in 0..self.checks.slots.len() {
                let Slot { id, due } = self.checks.slots[slot];
                let is_running = self.checks.all(&self.conns).any(|(_, check)| check.slot == slot);
                if due.is_none() && !is_running {
                    self.checks.slots[slot].due = self.due_by_ejection(id);
                }
            }
            self.checks.find_due();
        }
    }

    fn remake_slots(&mut self) {
        self.stop_checks();
        let old = self.checks.generation.replace(Rc::clone(&self.generation));
        let before = std::mem::take(&mut self.checks.slots);
        let kept = |id: BackendId, pool: &Pool| {
            let (old, state) = (old.as_ref()?, self.generation.pools.shared(id));
            let same = before.iter().find(|slot| Arc::ptr_eq(&old.pools.shared(slot.id), &state))?;
            (old.snapshot.pool(same.id.pool).check == pool.check).then_some(same.due)?
        };
        let mut slots = Vec::new();
        for (number, pool) in self.generation.snapshot.pools.iter().enumerate() {
            for index in 0..pool.backends.len() {
                let id = BackendId { pool: PoolId(number), index };
                let due = match &pool.check {
                    Some(_) => kept(id, pool).or(Some(self.now)),
                    None => self.due_by_ejection(id),
                };
                slots.push(Slot { id, due });
            }
        }
        self.checks.slots = slots;
        self.checks.find_due();
    }

    /// When the ejection of a backend is over, if there is one.
    fn due_by_ejection(&self, id: BackendId) -> Option<Time> {
        match self.generation.pools.backend(id).health_record().machine().phase() {
            HealthPhase::Ejected { until } => Some(until),
            HealthPhase::Up | HealthPhase::Awaited | HealthPhase::Down => None,
        }
    }

    fn begin_check(&mut self, slot: usize) {
        let id = self.checks.slots[slot].id;
        let generation = Rc::clone(&self.generation);
        let pool = generation.snapshot.pool(id.pool);
        let check = pool.check.clone().unwrap_or_else(plain);
        let address = &pool.backends[id.index].address;
        // A check that makes no request asks whether the backend accepts, and no more.
        let tls = generation.origination(id.pool).filter(|_| check.kind != CheckKind::Tcp);
        self.checks.count += 1;
        let target = target(address, check.port);
        let (fd, reach) = match self.os.connect(&target) {
            Ok(Connecting::Done(fd)) => (fd, Reach::Stands),
            Ok(Connecting::Pending(fd)) => (fd, Reach::Connecting),
            // That says nothing about the backend.
            Err(ConnectFault::Exhausted) => {
                self.checks.slots[slot].due = Some(self.now + check.fast_interval);
                return;
            }
            Err(fault) => return self.note_check(slot, self.now, ObservationResult::Ill(fault_of(fault))),
        };
        let header = self.check_header(pool, &target, fd);
        let probe = match &check.kind {
            CheckKind::Tcp => None,
            CheckKind::Http(http) => {
                let inner = if tls.is_some() { &[] } else { header.as_slice() };
                Some(Probe::new(http, &host(pool, address)).behind(inner))
            }
            CheckKind::Grpc(grpc) => Some(Probe::of_grpc(grpc, &host(pool, address))),
        };
        let (wire, reach) =
            match tls.and_then(|tls| TlsWire::to_backend(fd, tls, &pool.backends[id.index], Offer::OfPool)) {
                Some(tls) => (Wire::Tls(Box::new(tls.behind(&header))), reach.before_tls()),
                None => (Wire::Plain(fd), reach),
            };
        let is_http2 = pool.spoken() == BackendProtocol::Http2 && probe.is_some();
        let config = &generation.http2_backend;
        let solo = is_http2.then(|| Box::new(Solo::new(tls.is_some(), Arc::clone(config), self.now)));
        self.checks.slots[slot].due = None;
        let (began, until) = (self.now, self.now + check.timeout);
        let check = RunningCheck { slot, wire, began, until, reach, header, probe, solo };
        let key = self.conns.insert_check(check);
        self.checks.running.push(key);
        if reach != Reach::Connecting {
            self.go_on(key, false);
        }
    }

    /// The PROXY header that a check of `target` over `fd` begins with; empty where the pool has none.
    fn check_header(&mut self, pool: &Pool, target: &Address, fd: Fd) -> Vec<u8> {
        let mut header = Vec::new();
        if let Some(announce) = pool.announce {
            let pair = target.ip().and_then(|to| Some((self.os.local_address(fd)?, to)));
            let said = ProxyAttributes::default();
            proxy::write(&mut header, announce.version, Behalf::Own(pair), &said, announce.length_max);
        }
        header
    }

    /// Handles what poll says of a check.
    pub(super) fn handle_check(&mut self, key: Key, ready: Ready) {
        let Some(check) = self.conns.check_mut(key) else { return };
        if check.reach == Reach::Connecting {
            if let Err(fault) = self.os.so_error(check.wire.fd()) {
                return self.end_check(key, ObservationResult::Ill(fault_of(fault)));
            }
            check.reach = if check.wire.is_plain() { Reach::Stands } else { Reach::Handshaking };
            return self.go_on(key, false);
        }
        self.go_on(key, ready.any(Ready::READ | Ready::LEAVE | Ready::HANGUP | Ready::ERROR));
    }

    /// Lets a check whose connection stands go on as far as it can.
    fn go_on(&mut self, key: Key, is_readable: bool) {
        let Some(running) = self.conns.check_mut(key) else { return };
        let RunningCheck { wire, probe, header, slot, reach, solo, .. } = running;
        let generation = Rc::clone(&self.generation);
        let pool = generation.snapshot.pool(self.checks.slots[*slot].id.pool);
        let check = pool.check.as_ref();
        let expected = check.and_then(|check| check.kind.expected());
        let (Some(probe), Some(expected)) = (probe, expected) else {
            // So little is always taken. Without it the backend would take the check for a broken client.
            if !header.is_empty() {
                let _ = wire.write(&mut self.os, header, &[]);
            }
            return self.end_check(key, ObservationResult::Well(None));
        };
        if let (Wire::Tls(tls), Reach::Handshaking) = (&mut *wire, *reach) {
            match tls.shake(&mut self.os) {
                Shaken::Waits => return,
                Shaken::Done if solo.is_some() && tls.tls_info().protocol != ALPN => {
                    let cause = Cause::BackendTlsFailed;
                    return self.end_check(key, ObservationResult::Ill(BackendFault::Cause(cause)));
                }
                Shaken::Done => {
                    *reach = Reach::Stands;
                    let is_http2 = tls.tls_info().protocol == ALPN;
                    if !is_http2 && matches!(expected, Expected::Serving) {
                        let cause = Cause::BackendTlsFailed;
                        return self.end_check(key, ObservationResult::Ill(BackendFault::Cause(cause)));
                    }
                    if is_http2 && pool.spoken() == BackendProtocol::Auto {
                        let config = Arc::clone(&generation.http2_backend);
                        *solo = Some(Box::new(Solo::new(true, config, self.now)));
                    }
                }
                Shaken::Failed(why) => {
                    let cause = match why {
                        Broken::Gone => Cause::BackendTlsFailed,
                        Broken::Refused(error) => failure::of_backend(&error),
                    };
                    return self.end_check(key, ObservationResult::Ill(BackendFault::Cause(cause)));
                }
            }
        }
        let reset = ObservationResult::Ill(BackendFault::Cause(Cause::BackendReset));
        if write(&mut self.os, wire, probe, solo.as_deref_mut(), self.now) == Err(IoFault::Lost) {
            return self.end_check(key, reset);
        }
        if !is_readable && !wire.has_more() {
            return;
        }
        let mut found = None;
        for count in 0..READS_ENCRYPTED_MAX {
            // Poll knows nothing of what is decrypted already.
            if count >= READS_MAX && !wire.has_more() {
                break;
            }
            let read = match solo {
                Some(solo) => read_through(&mut self.os, wire, solo, probe.room(), self.now),
                None => wire.read(&mut self.os, probe.room()),
            };
            found = match read {
                Ok(0) => Some(probe.handle_end(expected)),
                Ok(count) => probe.handle_filled(count, expected),
                Err(IoFault::Blocked) => break,
                Err(IoFault::Lost) => Some(reset),
            };
            if found.is_some() {
                break;
            }
        }
        if let Some(found) = found {
            self.end_check(key, found);
        }
    }

    fn end_check(&mut self, key: Key, found: ObservationResult) {
        let Some(check) = self.conns.remove_check(key) else { return };
        let RunningCheck { slot, wire, began, .. } = *check;
        self.checks.running.retain(|other| *other != key);
        wire.close(&mut self.os);
        self.note_check(slot, began, found);
        self.checks.find_due();
    }

    /// Records what a check that began then has found, and of when the next one is due.
    fn note_check(&mut self, slot: usize, began: Time, found: ObservationResult) {
        let id = self.checks.slots[slot].id;
        let pool = self.generation.snapshot.pool(id.pool);
        let is_reached =
            !matches!(found, ObservationResult::Ill(BackendFault::Cause(cause)) if is_unreached(cause));
        self.generation.pools.backend(id).note_connect(is_reached);
        let observation = Observation { at: self.now, by: By::Check, found };
        let state = self.generation.pools.pool(id.pool);
        let news = state.observe(pool, id.index, observation);
        tell(pool, id.index, news);
        if news.change.is_some() {
            // Requests that wait for a backend look again.
            state.queue().release();
        }
        let random = hash::mix(self.checks.count ^ hash::stable(pool.backends[id.index].name.as_bytes()));
        let due = match &pool.check {
            Some(check) => {
                let is_changing = self.generation.pools.backend(id).health_record().machine().is_changing();
                let interval = if is_changing { check.fast_interval } else { check.interval };
                Some((began + jittered(interval, check.jitter, random)).max(self.now))
            }
            None => self.due_by_ejection(id),
        };
        self.checks.slots[slot].due = due;
    }
}

/// Writes what a check has to say, as far as the socket takes it.
fn write<O: Os>(
    os: &mut O,
    wire: &mut Wire,
    probe: &mut Probe,
    solo: Option<&mut Solo>,
    now: Time,
) -> Result<(), IoFault> {
    let Some(solo) = solo else {
        if !probe.unsent().is_empty() {
            let count = wire.write(os, probe.unsent(), &[])?;
            probe.handle_sent(count);
        }
        return Ok(());
    };
    if !probe.unsent().is_empty() {
        let count = solo.write(probe.unsent(), now);
        probe.handle_sent(count);
    }
    if !solo.output().is_empty() {
        let count = wire.write(os, solo.output(), &[])?;
        solo.consume(count);
    }
    Ok(())
}

/// Reads text of the response to a check that goes by HTTP/2. Acknowledgements go out at once, or with the next
/// event: the backend needs none for its answer.
fn read_through<O: Os>(
    os: &mut O,
    wire: &mut Wire,
    solo: &mut Solo,
    room: &mut [u8],
    now: Time,
) -> Result<usize, IoFault> {
    let mut bytes = [0; FRAMES];
    for _ in 0..READS_MAX {
        match solo.read(room) {
            Ok(count) => return Ok(count),
            Err(Unread::Lost) => return Err(IoFault::Lost),
            Err(Unread::Blocked) => {}
        }
        match wire.read(os, &mut bytes)? {
            0 => return Ok(0),
            count => solo.take(&bytes[..count], now),
        }
        if !solo.output().is_empty() {
            let count = wire.write(os, solo.output(), &[])?;
            solo.consume(count);
        }
    }
    Err(IoFault::Blocked)
}

fn fault_of(fault: ConnectFault) -> BackendFault {
    BackendFault::Cause(match fault {
        ConnectFault::Refused => Cause::BackendRefused,
        ConnectFault::TimedOut | ConnectFault::Busy => Cause::BackendConnectTimeout,
        ConnectFault::Exhausted => Cause::OutOfDescriptors,
        ConnectFault::Unreachable => Cause::BackendUnreachable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_keeps_within_its_bounds() {
        let all: Vec<_> =
            (0..1000).map(|random| jittered(Duration::from_secs(1), 100, hash::mix(random))).collect();
        assert!(all.iter().all(|span| (900..=1100).contains(&span.as_millis())));
        assert!(
            all.iter().any(|span| span.as_millis() < 920) && all.iter().any(|span| span.as_millis() > 1080)
        );
        assert_eq!(jittered(Duration::from_secs(3), 0, 7), Duration::from_secs(3));
    }
}
