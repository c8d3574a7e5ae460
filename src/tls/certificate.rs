//! A certificate chain with its key, read from PEM (RFC 7468), and what there is to know of it: names, dates,
//! order.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{CertificateRevocationList, FromDer, GeneralName, X509Certificate, X509Version};

use super::fitness::{self, Unfit};
use super::pem::{self, Block, Kind};
use crate::core::tls_info;

/// The longest file of certificates or keys, in bytes.
pub const FILE_LEN_MAX: usize = 1024 * 1024;

/// From how many days before its end on a certificate expires soon.
pub const DAYS_LEFT_MIN: i64 = 14;

/// The validity of a certificate, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// For long enough.
    Valid,
    /// For less than [`DAYS_LEFT_MIN`] days.
    ExpiresSoon,
    /// No more.
    Expired,
}

impl Term {
    /// The term of a certificate that is valid for so many whole days.
    #[must_use]
    pub const fn of(days_left: i64) -> Term {
        match days_left {
            DAYS_LEFT_MIN.. => Term::Valid,
            0..DAYS_LEFT_MIN => Term::ExpiresSoon,
            _ => Term::Expired,
        }
    }

    /// The word of the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Term::Valid => "valid",
            Term::ExpiresSoon => "expires-soon",
            Term::Expired => "expired",
        }
    }
}

/// A chain with the key of its first certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// As a handshake needs it.
    pub key: Arc<CertifiedKey>,
    /// Its facts.
    pub facts: Facts,
}

/// The facts of the first certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The names that it is for, in lower case; `*.example.com` is a wildcard. Addresses in their usual text.
    pub names: Arc<[String]>,
    /// Not before then, in seconds since 1970.
    pub not_before: i64,
    /// Not after then, in seconds since 1970.
    pub not_after: i64,
    /// Whether each certificate of the chain was issued by the one behind it.
    pub is_ordered: bool,
}

impl Facts {
    /// The number of whole days for which it is still valid as of `unix_time`; below 0 once it has expired.
    #[must_use]
    pub fn days_left(&self, unix_time: i64) -> i64 {
        (self.not_after - unix_time).div_euclid(24 * 60 * 60)
    }

    /// Whether it is for `host`: by its name, or by a wildcard for the first label (RFC 6125 §6.4.3).
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        tls_info::covers(&self.names, host)
    }
}

/// The mistake in a file, in words, and the way to mend it. No byte of a key is in either, whatever a
/// library says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A sentence.
    pub says: String,
    /// Another one.
    pub help: &'static str,
}

impl Trouble {
    pub(super) fn new(says: impl Into<String>, help: &'static str) -> Trouble {
        Trouble { says: says.into(), help }
    }

    fn of_certificates(says: impl Into<String>) -> Trouble {
        Trouble::new(says, "expected certificates in PEM, such as `openssl x509 -in FILE -text` shows")
    }

    fn of_lists(says: impl Into<String>) -> Trouble {
        Trouble::new(says, "expected lists in PEM, such as `openssl crl -in FILE -text` shows")
    }

    fn of_key(says: impl Into<String>) -> Trouble {
        Trouble::new(says, "expected one key in PEM, such as `openssl pkey -in FILE -noout -text` takes")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

/// Why a file, or a pair of them, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// The file of certificates cannot be used.
    Certificates(Trouble),
    /// The file of the key cannot be used.
    Key(Trouble),
    /// The key is not that of the first certificate. The number says of which one in the file it is, counted
    /// from 1.
    Mismatch {
        /// Its place, if it is in the file.
        belongs_to: Option<usize>,
    },
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateFault::Certificates(why) => write!(f, "the certificate cannot be used: {why}"),
            CertificateFault::Key(why) => write!(f, "the key cannot be used: {why}"),
            CertificateFault::Mismatch { belongs_to: None } => {
                f.write_str("the key is not that of the certificate")
            }
            CertificateFault::Mismatch { belongs_to: Some(place) } => {
                write!(
                    f,
                    "the key is that of certificate {place} of the file, and has to be that of the first"
                )
            }
        }
    }
}

/// The contents of the blocks of `wanted` in a PEM text, with the lines on which they begin. Blocks of
/// `beside` may be there too.
fn read(
    text: &[u8],
    wanted: Kind,
    beside: &[Kind],
    trouble: fn(String) -> Trouble,
) -> Result<Vec<(usize, SectionKind, Vec<u8>)>, Trouble> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for Block { kind, line, der } in pem::blocks(text).map_err(|broken| trouble(broken.to_string()))? {
        match der {
            Some((section, der)) if kind == wanted => found.push((line, section, der)),
            Some(_) | None => others.push((kind, line)),
        }
    }
    let stray = others.iter().find(|(kind, _)| !beside.contains(kind));
    if let Some((kind, line)) = stray.or(others.first().filter(|_| found.is_empty())) {
        let (is, help) = (kind.words(), kind.help());
        let says = format!("on line {line} stands {is}, where {} belongs", wanted.words());
        return Err(help.map_or_else(|| trouble(says.clone()), |help| Trouble::new(says.clone(), help)));
    }
    if found.is_empty() {
        return Err(trouble(format!("there is no block `BEGIN {}`", wanted.label())));
    }
    Ok(found)
}

/// The certificates of a PEM text, in their order; at least one. Their key may stand in the same file.
///
/// # Errors
/// In words, what is wrong.
pub fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let beside = [Kind::Key, Kind::LockedKey, Kind::PublicKey, Kind::Parameters];
    let found = read(pem, Kind::Certificate, &beside, Trouble::of_certificates)?;
    for (place, (line, _, der)) in found.iter().enumerate() {
        if !X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty()) {
            let says = format!("certificate {} of the file, on line {line}, is malformed", place + 1);
            return Err(Trouble::of_certificates(says));
        }
    }
    Ok(found.into_iter().map(|(.., der)| der.into()).collect())
}

/// The lists of revoked certificates of a PEM text (RFC 5280 §5); at least one.
///
/// # Errors
/// In words, what is wrong.
pub fn revocations(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Trouble> {
    let found = read(pem, Kind::Crl, &[], Trouble::of_lists)?;
    for (place, (line, _, der)) in found.iter().enumerate() {
        let Ok((_, list)) = CertificateRevocationList::from_der(der) else {
            return Err(Trouble::of_lists(format!(
                "list {} of the file, on line {line}, is malformed",
                place + 1
            )));
        };
        if list.version() != Some(X509Version::V2) {
            return Err(Trouble::new(
                format!(
                    "list {} of the file, on line {line}, is of version 1, and TLS takes version 2 (RFC 5280 §5.1.2.1)",
                    place + 1
                ),
                "have the issuer write it with a number: `crlnumber` and `crl_extensions` in the section of `openssl ca -gencrl`",
            ));
        }
    }
    Ok(found.into_iter().map(|(.., der)| der.into()).collect())
}

/// Until when all of `lists` say what holds, in seconds since 1970; `None` if one of them does not say so.
#[must_use]
pub fn next_update(lists: &[CertificateRevocationListDer<'_>]) -> Option<i64> {
    let next = |der: &CertificateRevocationListDer<'_>| {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        list.next_update().map(|at| at.timestamp())
    };
    lists.iter().map(next).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// Until when all of `chain` are valid, in seconds since 1970; 0 if one of them is malformed.
pub(super) fn valid_until<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>) -> u64 {
    let until = |der: &CertificateDer<'_>| {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        u64::try_from(parsed.validity().not_after.timestamp()).ok()
    };
    chain.map(|der| until(der).unwrap_or(0)).min().unwrap_or(0)
}

/// The key of a PEM text: PKCS #8, PKCS #1 or SEC1. Its certificates may stand in the same file.
///
/// # Errors
/// In words, what is wrong.
pub fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Trouble> {
    let beside = [Kind::Certificate, Kind::PublicKey, Kind::Parameters];
    let found = read(pem, Kind::Key, &beside, Trouble::of_key)?;
    if let [(first, ..), (second, ..), ..] = found.as_slice() {
        return Err(Trouble::of_key(format!("there are two keys, on lines {first} and {second}")));
    }
    let key = found.into_iter().next().and_then(|(_, section, der)| PrivateKeyDer::from_pem(section, der));
    key.ok_or_else(|| Trouble::of_key("there is no key"))
}

/// Reads a chain and its key.
///
/// # Errors
/// See [`CertificateFault`].
pub fn load(certificates: &[u8], key_text: &[u8]) -> Result<Certificate, CertificateFault> {
    let chain = chain(certificates).map_err(CertificateFault::Certificates)?;
    let key = key(key_text).map_err(CertificateFault::Key)?;
    let malformed = || CertificateFault::Certificates(Trouble::of_certificates("the first one is malformed"));
    let facts = facts(&chain).ok_or_else(malformed)?;
    if let Some(version) = first_version(&chain).filter(|version| *version != X509Version::V3) {
        return Err(CertificateFault::Certificates(Trouble::new(
            format!(
                "it is an X.509 certificate of version {}, which names no hosts; TLS clients take version 3",
                version.0 + 1
            ),
            "have it issued with its names: `openssl x509 -req … -extfile FILE`, where FILE says `subjectAltName=DNS:www.example.com`",
        )));
    }
    let provider = super::provider();
    if provider.key_provider.load_private_key(key.clone_key()).is_err() {
        let unfit = fitness::of(&key).unwrap_or(Unfit::Malformed);
        return Err(CertificateFault::Key(Trouble::new(unfit.to_string(), unfit.help())));
    }
    match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider) {
        Ok(key) => Ok(Certificate { key: Arc::new(key), facts }),
        Err(rustls::Error::InconsistentKeys(_)) => {
            // Such a key is taken, and never that of its own certificate, which writes the curve out too.
            if let Some(Unfit::ExplicitCurve) = fitness::of(&key) {
                let unfit = Unfit::ExplicitCurve;
                return Err(CertificateFault::Key(Trouble::new(unfit.to_string(), unfit.help())));
            }
            let fits = |der: &CertificateDer<'static>| {
                CertifiedKey::from_der(vec![der.clone()], key.clone_key(), &provider).is_ok()
            };
            Err(CertificateFault::Mismatch { belongs_to: chain.iter().position(fits).map(|place| place + 1) })
        }
        // The key was taken above, so it is the certificate.
        Err(_) => Err(CertificateFault::Certificates(Trouble::of_certificates(
            "it does not follow the rules for certificates of the web (RFC 5280)",
        ))),
    }
}

fn first_version(chain: &[CertificateDer<'_>]) -> Option<X509Version> {
    let (_, first) = X509Certificate::from_der(chain.first()?).ok()?;
    Some(first.version())
}

/// The facts of the first of `chain`; `None` if one of them is malformed.
pub(super) fn facts(chain: &[CertificateDer<'_>]) -> Option<Facts> {
    let parsed: Option<Vec<_>> =
        chain.iter().map(|der| X509Certificate::from_der(der).ok().map(|(_, parsed)| parsed)).collect();
    let parsed = parsed?;
    let first = parsed.first()?;
    let names = first.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(name_of).collect();
    let is_issued = |pair: &[X509Certificate<'_>]| pair[0].issuer().as_raw() == pair[1].subject().as_raw();
    Some(Facts {
        names,
        not_before: first.validity().not_before.timestamp(),
        not_after: first.validity().not_after.timestamp(),
        is_ordered: parsed.windows(2).all(is_issued),
    })
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some(name.to_ascii_lowercase());
    }
    let GeneralName::IPAddress(bytes) = name else { return None };
    if let Ok(four) = <[u8; 4]>::try_from(*bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(*bytes).ok().map(|sixteen| std::net::Ipv6Addr::from(sixteen).to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    /// A certificate for `names` that has signed itself, and its key, as PEM.
    pub(crate) fn made_for(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, &names[0]);
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_is_read_with_its_names() {
        let (certificate, key) = made_for(&["WWW.example.com", "*.api.example.com", "127.0.0.1"]);
        let loaded = load(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(*loaded.facts.names, ["www.example.com", "*.api.example.com", "127.0.0.1"]);
        for (host, is_covered) in [
            ("www.example.com", true),
            ("a.api.example.com", true),
            ("api.example.com", false),
            ("a.b.api.example.com", false),
            ("127.0.0.1", true),
            ("example.com", false),
        ] {
            assert_eq!(loaded.facts.covers(host), is_covered, "{host}");
        }
    }

    #[test]
    fn days_are_whole_and_go_below_zero() {
        let facts = Facts { names: Arc::new([]), not_before: 0, not_after: 86_400 * 3, is_ordered: true };
        let days = [0, 1, 86_400 * 3, 86_400 * 3 + 1].map(|now| facts.days_left(now));
        assert_eq!(days, [3, 2, 0, -1]);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let ((certificate, key), (other, other_key)) = (made_for(&["a"]), made_for(&["b"]));
        let fault = |certificate: &str, key: &str| load(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(fault(&certificate, &other_key), CertificateFault::Mismatch { belongs_to: None });
        let turned = format!("{other}{certificate}");
        assert_eq!(fault(&turned, &key), CertificateFault::Mismatch { belongs_to: Some(2) });
        assert!(matches!(fault("", &key), CertificateFault::Certificates(_)));
        assert!(matches!(fault(&key, &key), CertificateFault::Certificates(_)));
        assert!(matches!(fault(&certificate, &certificate), CertificateFault::Key(_)));
        let unordered = format!("{certificate}{other}");
        assert!(!load(unordered.as_bytes(), key.as_bytes()).unwrap().facts.is_ordered);
    }
}
