//! Session tickets (RFC 8446 §4.6.1, RFC 5077): what a client needs to resume is given to it, sealed with a
//! key that only Pollux has.
//!
//! All workers share the keys, a reload keeps them, and an upgrade hands them to the new process; so a ticket
//! that was given out by any of them is good for all. A key seals for [`PERIOD`] and opens for [`KEPT`]
//! periods, then it is forgotten: what was recorded before cannot be opened with what is stolen after. Each
//! listener seals with a key of its own, derived from the common one and from what the listener asks of
//! clients: a ticket is no way around a client certificate.
//!
//! With what a ticket says is sealed when the session began ([`Sitting`]). Each resumption gives a fresh
//! ticket, which carries that moment on: a session lasts [`AGE_MAX`] from its first handshake, however often
//! it is resumed.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use crate::os::{Ambient, random};

/// The time for which a key seals, in seconds.
const PERIOD: u64 = 6 * 60 * 60;

/// The number of keys at most: the one that seals, and those that still open.
const KEPT: usize = 3;

/// The lifetime of a session from its first handshake on, in seconds.
pub(super) const AGE_MAX: u64 = PERIOD * KEPT as u64;

/// The length of the text that is sealed with a ticket, in bytes.
const SITTING_LEN: usize = 16;

/// Which form of ticket a key is for. A process of another version gives out other ones.
const FORM: &[u8] = b"pollux ticket 2\0";

/// The length of the secret of a key, and of its name, in bytes.
const SECRET_LEN: usize = 32;
const NAME_LEN: usize = 8;

/// The length of a key as [`TicketKeys::export`] writes it: the time when it was made, its name and its
/// secret.
const EXPORTED_LEN: usize = 8 + NAME_LEN + SECRET_LEN;

/// A key.
#[derive(Clone)]
struct Key {
    /// When it was made, in seconds since 1970.
    made: u64,
    /// Stands before what it has sealed.
    name: [u8; NAME_LEN],
    secret: Zeroizing<[u8; SECRET_LEN]>,
}

/// The keys of a process, the latest first.
#[derive(Default)]
pub struct TicketKeys {
    keys: Mutex<Vec<Key>>,
}

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKeys")
    }
}

/// The keys of this process. There is one set, because whatever outlives a configuration or a worker has to
/// outlive them too.
#[must_use]
pub fn process_keys() -> &'static TicketKeys {
    static KEYS: LazyLock<TicketKeys> = LazyLock::new(TicketKeys::default);
    &KEYS
}

impl TicketKeys {
    /// The keys as bytes, for another process that takes over.
    #[must_use]
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Bytes that grow would leave a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEPT * EXPORTED_LEN));
        for key in keys.iter().take(KEPT) {
            bytes.extend_from_slice(&key.made.to_be_bytes());
            bytes.extend_from_slice(&key.name);
            bytes.extend_from_slice(&*key.secret);
        }
        bytes
    }

    /// Takes over what [`TicketKeys::export`] gave, in place of what is there. Bytes that are none are no
    /// keys.
    pub fn import(&self, bytes: &[u8]) {
        let read = |chunk: &[u8]| {
            let (made, rest) = chunk.split_first_chunk()?;
            let (name, secret) = rest.split_first_chunk()?;
            Some(Key {
                made: u64::from_be_bytes(*made),
                name: *name,
                secret: Zeroizing::new(secret.try_into().ok()?),
            })
        };
        let keys: Vec<Key> = bytes.chunks(EXPORTED_LEN).take(KEPT).filter_map(read).collect();
        if !keys.is_empty() {
            *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }

    /// The key that seals at `now`; a new one if the last is too old, and those go that are older than they
    /// may be.
    fn sealing(&self, now: u64, ambient: &dyn Ambient) -> Option<Key> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| now.saturating_sub(key.made) < PERIOD * KEPT as u64);
        let is_due = keys.first().is_none_or(|key| now.saturating_sub(key.made) >= PERIOD);
        if is_due {
            keys.insert(
                0,
                Key { made: now, name: random(ambient).ok()?, secret: Zeroizing::new(random(ambient).ok()?) },
            );
            keys.truncate(KEPT);
        }
        keys.first().cloned()
    }

    /// The key called `name`, if it may still open at `now`.
    fn opening(&self, name: &[u8], now: u64) -> Option<Key> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |key: &&Key| key.name == name && now.saturating_sub(key.made) < PERIOD * KEPT as u64;
        keys.iter().find(is_it).cloned()
    }
}

/// The part of a session that rustls does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sitting {
    /// When its first handshake was, in seconds since 1970; `None` until one of its tickets is opened or its
    /// client is verified.
    first: Option<u64>,
    /// Until when the certificates that its client has shown are valid, in seconds since 1970.
    valid_until: u64,
    /// The name that its client has asked for, and the certificate that it was shown.
    greeting: Option<Box<Greeting>>,
}

/// The name in a ClientHello, and the certificate that follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The name that the client has asked for; empty if it asked for none.
    pub name: Box<str>,
    /// The names of the certificate that it was shown; `None` if there was none for it.
    pub covered: Option<Arc<[String]>>,
}

impl Default for Sitting {
    fn default() -> Sitting {
        Sitting::NEW
    }
}

thread_local! {
    /// The sitting of the connection whose records are processed now. rustls asks for tickets and
    /// certificates without naming the connection.
    static SITTING: RefCell<Sitting> = const { RefCell::new(Sitting::NEW) };
}

impl Sitting {
    const NEW: Sitting = Sitting { first: None, valid_until: u64::MAX, greeting: None };

    /// Runs `step`, a step of the handshake of the connection that this belongs to.
    pub fn during<T>(&mut self, step: impl FnOnce() -> T) -> T {
        SITTING.set(std::mem::take(self));
        let done = step();
        *self = SITTING.take();
        done
    }

    /// The client was verified at `now` by certificates that are valid until then.
    pub(super) fn note_verified(now: u64, valid_until: u64) {
        SITTING.with_borrow_mut(|sitting| (sitting.first, sitting.valid_until) = (Some(now), valid_until));
    }

    /// The client has asked for `name`, and is shown a certificate for the names of `covered`, if there is one.
    pub(super) fn note_greeting(name: Option<&str>, covered: Option<Arc<[String]>>) {
        let greeting = Greeting { name: name.unwrap_or_default().into(), covered };
        SITTING.with_borrow_mut(|sitting| sitting.greeting = Some(Box::new(greeting)));
    }

    /// The name that the client has asked for, and the certificate that it was shown.
    pub fn take_greeting(&mut self) -> Greeting {
        self.greeting.take().map(|greeting| *greeting).unwrap_or_default()
    }

    fn lasts(&self, now: u64) -> bool {
        self.first.is_some_and(|first| now.saturating_sub(first) < AGE_MAX) && now <= self.valid_until
    }

    fn bytes(&self, now: u64) -> [u8; SITTING_LEN] {
        let mut bytes = [0; SITTING_LEN];
        let (first, until) = bytes.split_at_mut(8);
        first.copy_from_slice(&self.first.unwrap_or(now).to_be_bytes());
        until.copy_from_slice(&self.valid_until.to_be_bytes());
        bytes
    }

    fn of(bytes: &[u8]) -> Option<(Sitting, &[u8])> {
        let (first, rest) = bytes.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        let sitting = Sitting {
            first: Some(u64::from_be_bytes(*first)),
            valid_until: u64::from_be_bytes(*until),
            greeting: None,
        };
        Some((sitting, rest))
    }
}

/// The tickets of one listener.
#[derive(Debug)]
pub(super) struct Tickets {
    keys: &'static TicketKeys,
    ambient: &'static dyn Ambient,
    /// Until when the lists of revoked certificates say what holds, if it matters, in seconds since 1970.
    lists_until: u64,
    /// The demands of the listener on clients, so that tickets of others are none here.
    context: Vec<u8>,
}

impl Tickets {
    pub(super) fn new(
        keys: &'static TicketKeys,
        ambient: &'static dyn Ambient,
        lists_until: u64,
        context: &[u8],
    ) -> Tickets {
        Tickets { keys, ambient, lists_until, context: [FORM, context].concat() }
    }

    /// Seconds since 1970.
    fn now(&self) -> u64 {
        self.ambient.wall_clock().as_secs()
    }

    fn cipher(&self, key: &Key) -> Option<LessSafeKey> {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*key.secret), &self.context);
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?))
    }

    fn seal(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let key = self.keys.sealing(now, self.ambient)?;
        let nonce: [u8; NONCE_LEN] = random(self.ambient).ok()?;
        let sitting = SITTING.with_borrow(|sitting| sitting.bytes(now));
        let mut sealed = [&key.name[..], &nonce, &sitting, plain].concat();
        let mut body = sealed.split_off(NAME_LEN + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.cipher(&key)?.seal_in_place_append_tag(nonce, Aad::from(&key.name), &mut body).ok()?;
        sealed.append(&mut body);
        Some(sealed)
    }

    fn open(&self, sealed: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = sealed.split_at_checked(NAME_LEN)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.keys.opening(name, now)?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.cipher(&key)?.open_in_place(nonce, Aad::from(&key.name), &mut body).ok()?.len();
        body.truncate(length);
        let (sitting, plain) = Sitting::of(&body)?;
        if !sitting.lasts(now) || now > self.lists_until {
            // The handshake goes on without it, and examines the client anew.
            return None;
        }
        let plain = plain.to_vec();
        SITTING.set(Sitting { greeting: SITTING.take().greeting, ..sitting });
        Some(plain)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // A ticket that is sealed in the last moment of its key is opened for so long at least.
        (PERIOD * (KEPT as u64 - 1)) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, self.now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::ambient;

    fn with(keys: &'static TicketKeys, context: &str) -> Tickets {
        Tickets::new(keys, ambient(), u64::MAX, context.as_bytes())
    }

    fn tickets(context: &str) -> Tickets {
        with(Box::leak(Box::default()), context)
    }

    /// Opens `ticket` as a new connection does.
    fn opened(tickets: &Tickets, ticket: &[u8], now: u64) -> (Option<Vec<u8>>, Sitting) {
        let mut sitting = Sitting::default();
        (sitting.during(|| tickets.open(ticket, now)), sitting)
    }

    #[test]
    fn a_session_ends_by_its_first_handshake_however_often_it_is_resumed() {
        let tickets = tickets("web");
        let mut ticket = Sitting::default().during(|| tickets.seal(b"state", 1000)).unwrap();
        for step in 1..=6 {
            let now = 1000 + step * (AGE_MAX / 6);
            let (plain, mut sitting) = opened(&tickets, &ticket, now);
            assert_eq!(plain.is_some(), step < 6, "{step}");
            // The last step of the handshake, by which the client gets a fresh one.
            ticket = sitting.during(|| tickets.seal(b"state", now)).unwrap();
        }
        assert!(opened(&tickets, &ticket, 1000 + AGE_MAX).0.is_some(), "that session has begun anew");
    }

    #[test]
    fn a_ticket_ends_with_the_certificates_and_with_the_lists() {
        let all = tickets("web");
        let mut sitting = Sitting::default();
        sitting.during(|| Sitting::note_verified(1000, 1500));
        let ticket = sitting.during(|| all.seal(b"state", 1000)).unwrap();
        let fresh = opened(&all, &ticket, 1400).1.during(|| all.seal(b"state", 1400)).unwrap();
        for ticket in [ticket, fresh] {
            let are_open = [1000, 1500, 1501].map(|now| opened(&all, &ticket, now).0.is_some());
            assert_eq!(are_open, [true, true, false]);
        }
        let listed = Tickets { lists_until: 1200, ..tickets("web") };
        let ticket = listed.seal(b"state", 1000).unwrap();
        assert!(listed.open(&ticket, 1200).is_some() && listed.open(&ticket, 1201).is_none());
        assert_eq!(
            Sitting::default().during(|| SITTING.take()),
            Sitting::default(),
            "nothing is left behind"
        );
    }

    #[test]
    fn a_ticket_is_opened_until_its_key_is_too_old() {
        let tickets = tickets("web");
        let sealed = tickets.seal(b"state", 1000).unwrap();
        for (later, is_open) in
            [(0, true), (PERIOD, true), (PERIOD * 3 - 1, true), (PERIOD * 3, false), (PERIOD * 9, false)]
        {
            assert_eq!(tickets.open(&sealed, 1000 + later).is_some(), is_open, "{later} seconds later");
        }
        assert_eq!(tickets.open(&sealed, 1000).unwrap(), b"state");
    }

    #[test]
    fn keys_are_replaced_and_no_more_are_kept_than_open() {
        let tickets = tickets("web");
        let sealed: Vec<_> = (0..6).map(|period| tickets.seal(b"x", period * PERIOD).unwrap()).collect();
        assert_eq!(tickets.keys.keys.lock().unwrap().len(), KEPT);
        let opened: Vec<_> = sealed.iter().map(|sealed| tickets.open(sealed, 5 * PERIOD).is_some()).collect();
        assert_eq!(opened, [false, false, false, true, true, true]);
    }

    #[test]
    fn a_ticket_of_another_listener_or_a_changed_one_is_none() {
        let keys: &'static TicketKeys = Box::leak(Box::default());
        let [web, other] = ["web", "other"].map(|context| with(keys, context));
        let sealed = web.seal(b"state", 5).unwrap();
        assert_eq!(other.open(&sealed, 5), None);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(web.open(&changed, 5), None, "byte {place}");
            assert_eq!(web.open(&sealed[..place], 5), None, "cut at {place}");
        }
    }

    #[test]
    fn another_process_opens_what_it_was_handed() {
        let (old, new) = (tickets("web"), tickets("web"));
        let sealed = old.seal(b"state", 5).unwrap();
        assert_eq!(new.open(&sealed, 6), None);
        new.keys.import(&old.keys.export());
        assert_eq!(new.open(&sealed, 6).unwrap(), b"state");
        new.keys.import(b"nonsense");
        assert!(new.open(&sealed, 6).is_some(), "what is no key replaces none");
    }
}
