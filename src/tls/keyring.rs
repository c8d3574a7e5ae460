//! The choice of a client's certificate, by the name that it asks for (SNI, RFC 6066 §3) and by the
//! signatures that it can verify.
//!
//! The certificates can be replaced while handshakes go on: each handshake takes those in force when it asks.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{Certificate, Facts};
use super::tickets::Sitting;
use crate::snapshot::UnknownNames;

/// The certificates of a listener. See the module.
#[derive(Debug)]
pub struct Keyring {
    unknown: UnknownNames,
    held: RwLock<Arc<Held>>,
}

/// The certificates of one moment.
#[derive(Debug, Default)]
struct Held {
    all: Vec<Certificate>,
    /// By name, in lower case; the places of those that are for it, in their order.
    exact: HashMap<String, Vec<usize>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<String, Vec<usize>>,
}

impl Held {
    fn new(all: Vec<Certificate>) -> Held {
        let mut held = Held::default();
        for (place, certificate) in all.iter().enumerate() {
            for name in certificate.facts.names.iter() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(below) => (&mut held.wildcard, below),
                    None => (&mut held.exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_default().push(place);
            }
        }
        Held { all, ..held }
    }

    /// The places of the certificates that are for `name`: the name itself before a wildcard.
    fn named(&self, name: &str) -> Option<&[usize]> {
        let below = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(below).map(Vec::as_slice)
    }
}

impl Keyring {
    /// A keyring of `certificates`, the first of which is the default.
    #[must_use]
    pub fn new(certificates: Vec<Certificate>, unknown: UnknownNames) -> Keyring {
        Keyring { unknown, held: RwLock::new(Arc::new(Held::new(certificates))) }
    }

    /// Replaces all certificates for the handshakes that begin from now on.
    pub fn replace(&self, certificates: Vec<Certificate>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Held::new(certificates));
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The facts of the certificates, in their order.
    #[must_use]
    pub fn facts(&self) -> Vec<Facts> {
        self.held().all.iter().map(|certificate| certificate.facts.clone()).collect()
    }

    /// Whether both hold the same certificates.
    #[must_use]
    pub fn is_same(&self, other: &Keyring) -> bool {
        let chains = |keyring: &Keyring| -> Vec<_> {
            keyring.held().all.iter().map(|certificate| certificate.key.cert.clone()).collect()
        };
        self.unknown == other.unknown && chains(self) == chains(other)
    }

    /// The certificate for a client that asks for `name`, of those of which `can_verify` says that it can
    /// verify them; if it can verify none of those for the name, the first. The names that it is for, too.
    fn choose(
        &self,
        name: Option<&str>,
        can_verify: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<(Arc<CertifiedKey>, Arc<[String]>)> {
        let held = self.held();
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let named = name.as_deref().and_then(|name| held.named(name));
        let everything: Vec<usize>;
        let places = match (named, self.unknown) {
            (Some(places), _) => places,
            (None, UnknownNames::Refuse) => return None,
            (None, UnknownNames::Default) => {
                // A certificate of another key type for the same names as the first is as good.
                let first = held.all.first()?;
                let is_like_first = |place: &usize| held.all[*place].facts.names == first.facts.names;
                everything = (0..held.all.len()).filter(is_like_first).collect();
                &everything
            }
        };
        let fits = places.iter().find(|place| can_verify(&held.all[**place].key)).or(places.first())?;
        let Certificate { key, facts } = &held.all[*fits];
        Some((Arc::clone(key), Arc::clone(&facts.names)))
    }
}

impl ResolvesServerCert for Keyring {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_verify = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let (key, covered) = self.choose(hello.server_name(), can_verify).unzip();
        Sitting::note_greeting(hello.server_name(), covered);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::{load, tests::made_for};
    use super::*;

    fn ring(names: &[&[&str]], unknown: UnknownNames) -> Keyring {
        let loaded = |names: &&[&str]| {
            let (certificate, key) = made_for(names);
            load(certificate.as_bytes(), key.as_bytes()).unwrap()
        };
        Keyring::new(names.iter().map(loaded).collect(), unknown)
    }

    /// The place of the certificate that a client gets who asks for `name`.
    fn chosen(ring: &Keyring, name: Option<&str>) -> Option<usize> {
        let (key, _) = ring.choose(name, |_| true)?;
        ring.held().all.iter().position(|certificate| Arc::ptr_eq(&certificate.key, &key))
    }

    #[test]
    fn a_name_goes_before_a_wildcard_and_that_before_the_default() {
        let names: [&[&str]; 3] = [&["first.test"], &["*.example.com"], &["www.example.com"]];
        let ring = ring(&names, UnknownNames::Default);
        for (name, place) in [
            (Some("www.example.com"), 2),
            (Some("WWW.Example.com"), 2),
            (Some("www.example.com."), 2),
            (Some("other.example.com"), 1),
            (Some("example.com"), 0),
            (Some("a.b.example.com"), 0),
            (Some("first.test"), 0),
            (None, 0),
        ] {
            assert_eq!(chosen(&ring, name), Some(place), "{name:?}");
        }
    }

    #[test]
    fn unknown_names_can_be_refused() {
        let ring = ring(&[&["first.test"]], UnknownNames::Refuse);
        assert_eq!(chosen(&ring, Some("first.test")), Some(0));
        assert_eq!(chosen(&ring, Some("other.test")), None);
        assert_eq!(chosen(&ring, None), None);
    }

    #[test]
    fn who_cannot_verify_one_gets_another_of_the_same_name() {
        let ring = ring(&[&["a.test"], &["a.test"], &["b.test"]], UnknownNames::Default);
        let second = Arc::clone(&ring.held().all[1].key);
        for name in [Some("a.test"), Some("unknown.test"), None] {
            let (key, _) = ring.choose(name, |key| std::ptr::eq(key, &*second)).unwrap();
            assert!(Arc::ptr_eq(&key, &second), "{name:?}");
        }
    }

    #[test]
    fn what_is_replaced_is_what_the_next_one_gets() {
        let ring = ring(&[&["old.test"]], UnknownNames::Refuse);
        let (certificate, key) = made_for(&["new.test"]);
        ring.replace(vec![load(certificate.as_bytes(), key.as_bytes()).unwrap()]);
        assert_eq!((chosen(&ring, Some("old.test")), chosen(&ring, Some("new.test"))), (None, Some(0)));
    }
}
