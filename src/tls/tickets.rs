//! Session tickets (RFC 8446 §4.6.1, RFC 5077): what a client needs to resume is given to it, sealed with a key that only Pollux has.
//!
//! All workers share the keys, a reload keeps them, and an upgrade hands them to the new process; so a ticket that was given out by
//! any of them is good for all. A key seals for [`PERIOD`] and opens for [`KEPT`] periods, then it is forgotten: what was recorded
//! before cannot be opened with what is stolen after. Each listener seals with a key of its own, derived from the common one and from what
//! the listener asks of clients: a ticket is no way around a client certificate.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use rustls::server::ProducesTickets;

/// How long a key seals, in seconds.
const PERIOD: u64 = 6 * 60 * 60;

/// How many keys there are at most: the one that seals, and those that still open.
const KEPT: usize = 3;

/// The length of the secret of a key, and of its name, in bytes.
const SECRET_LEN: usize = 32;
const NAME_LEN: usize = 8;

/// How long a key is as [`TicketKeys::export`] writes it: when it was made, its name and its secret.
const EXPORTED_LEN: usize = 8 + NAME_LEN + SECRET_LEN;

/// A key.
#[derive(Clone)]
struct Key {
    /// When it was made, in seconds since 1970.
    made: u64,
    /// Stands before what it has sealed.
    name: [u8; NAME_LEN],
    secret: [u8; SECRET_LEN],
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

/// The keys of this process. There is one set, because whatever outlives a configuration or a worker has to outlive them too.
#[must_use]
pub fn process_keys() -> &'static TicketKeys {
    static KEYS: LazyLock<TicketKeys> = LazyLock::new(TicketKeys::default);
    &KEYS
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn random<const LEN: usize>() -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

impl TicketKeys {
    /// The keys as bytes, for another process that takes over.
    #[must_use]
    pub fn export(&self) -> Vec<u8> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().flat_map(|key| [&key.made.to_be_bytes()[..], &key.name, &key.secret].concat()).collect()
    }

    /// Takes over what [`TicketKeys::export`] gave, in place of what is there. Bytes that are none are no keys.
    pub fn import(&self, bytes: &[u8]) {
        let read = |chunk: &[u8]| {
            let (made, rest) = chunk.split_first_chunk()?;
            let (name, secret) = rest.split_first_chunk()?;
            Some(Key { made: u64::from_be_bytes(*made), name: *name, secret: secret.try_into().ok()? })
        };
        let keys: Vec<Key> = bytes.chunks(EXPORTED_LEN).take(KEPT).filter_map(read).collect();
        if !keys.is_empty() {
            *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }

    /// The key that seals at `now`; a new one if the last is too old, and those go that are older than they may be.
    fn sealing(&self, now: u64) -> Option<Key> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|key| now.saturating_sub(key.made) < PERIOD * KEPT as u64);
        let is_due = keys.first().is_none_or(|key| now.saturating_sub(key.made) >= PERIOD);
        if is_due {
            keys.insert(0, Key { made: now, name: random()?, secret: random()? });
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

/// The tickets of one listener.
#[derive(Debug)]
pub(super) struct Tickets {
    keys: &'static TicketKeys,
    /// What the listener asks of clients, so that tickets of others are none here.
    context: Vec<u8>,
}

impl Tickets {
    pub(super) fn new(keys: &'static TicketKeys, context: Vec<u8>) -> Tickets {
        Tickets { keys, context }
    }

    fn cipher(&self, key: &Key) -> Option<LessSafeKey> {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key.secret), &self.context);
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?))
    }

    fn seal(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let key = self.keys.sealing(now)?;
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = [&key.name[..], &nonce, plain].concat();
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
        Some(body)
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
        self.seal(plain, unix_time())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, unix_time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(context: &str) -> Tickets {
        Tickets::new(Box::leak(Box::default()), context.into())
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
        let [web, other] = ["web", "other"].map(|context| Tickets::new(keys, context.into()));
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
