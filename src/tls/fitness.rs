//! Why a private key cannot be used for TLS here, although it is one: what it is, in its own words, and how a
//! good one is made.

use std::fmt;

use rustls::pki_types::PrivateKeyDer;
use x509_parser::der_parser::ber::BerObject;
use x509_parser::der_parser::oid::Oid;
use x509_parser::der_parser::parse_der;

/// The sizes of RSA keys that are taken, in bits: what aws-lc-rs takes.
const RSA_MIN: usize = 2048;
const RSA_MAX: usize = 8192;

/// The reason why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// An RSA key that may be used for RSASSA-PSS alone.
    RsaPss,
    /// On a curve that TLS has no signatures for here.
    Curve(&'static str),
    /// On a curve that is described and not named.
    ExplicitCurve,
    /// One for agreeing on keys, which cannot sign.
    Agreement(&'static str),
    /// An algorithm that is not spoken here.
    Algorithm(&'static str),
    /// Something that is no key at all.
    Malformed,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Rsa(bits) if *bits < RSA_MIN => {
                write!(f, "the key is RSA of {bits} bits, and fewer than {RSA_MIN} are not safe")
            }
            Unfit::Rsa(bits) => write!(f, "the key is RSA of {bits} bits, and more than {RSA_MAX} are not taken"),
            Unfit::RsaPss => f.write_str(
                "the key is an RSA-PSS key (RFC 4055 §1.2), which signs by RSASSA-PSS alone; Pollux takes RSA keys without this restriction",
            ),
            Unfit::Curve(name) => write!(f, "the key is on the curve {name}, with which TLS clients sign nothing; they know P-256, P-384 and P-521"),
            Unfit::ExplicitCurve => f.write_str(
                "the key writes out the parameters of its curve, where TLS wants the curve by its name (RFC 5480 §2.1.1)",
            ),
            Unfit::Agreement(name) => write!(f, "the key is {name}, which agrees on keys and cannot sign"),
            Unfit::Algorithm(name) => write!(f, "the key is {name}, which Pollux does not sign with"),
            Unfit::Malformed => f.write_str("the block is no key that can be read"),
        }
    }
}

impl Unfit {
    /// The way to make a good one.
    #[must_use]
    pub(super) const fn help(self) -> &'static str {
        match self {
            Unfit::Rsa(_) | Unfit::RsaPss => {
                "make a new key, and have the certificate issued for it: `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out key.pem`"
            }
            Unfit::ExplicitCurve => {
                "name the curve: `openssl pkey -in FILE -ec_param_enc named_curve -out key.pem`, and have the certificate issued anew"
            }
            Unfit::Curve(_) | Unfit::Agreement(_) | Unfit::Algorithm(_) => {
                "make a new key, and have the certificate issued for it: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem`"
            }
            Unfit::Malformed => {
                "`openssl pkey -in FILE -noout -text` says whether it is one; write it out again, or make a new one"
            }
        }
    }
}

/// The fault of `key`; `None` if there is none to be seen.
pub(super) fn of(key: &PrivateKeyDer<'_>) -> Option<Unfit> {
    match key {
        PrivateKeyDer::Pkcs1(der) => rsa(der.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(der) => sec1(der.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(der) => pkcs8(der.secret_pkcs8_der()),
        _ => None,
    }
}

fn sequence<'a>(der: &'a [u8]) -> Option<Vec<BerObject<'a>>> {
    let (_, object) = parse_der(der).ok()?;
    object.as_sequence().ok().map(|items| items.to_vec())
}

/// RFC 5208 §5.
fn pkcs8(der: &[u8]) -> Option<Unfit> {
    let items = sequence(der)?;
    let algorithm = items.get(1)?.as_sequence().ok()?;
    let oid = algorithm.first()?.as_oid().ok()?.to_id_string();
    match oid.as_str() {
        "1.2.840.113549.1.1.1" => rsa(items.get(2)?.as_slice().ok()?),
        "1.2.840.113549.1.1.10" => Some(Unfit::RsaPss),
        "1.2.840.10045.2.1" => curve(algorithm.get(1)?),
        "1.3.101.110" => Some(Unfit::Agreement("X25519")),
        "1.3.101.111" => Some(Unfit::Agreement("X448")),
        "1.3.101.113" => Some(Unfit::Algorithm("Ed448")),
        "1.2.840.10040.4.1" => Some(Unfit::Algorithm("DSA")),
        "1.2.840.113549.1.3.1" | "1.2.840.10046.2.1" => Some(Unfit::Agreement("a Diffie-Hellman key")),
        // Ed25519, which is taken: so it is damaged.
        "1.3.101.112" => None,
        _ => Some(Unfit::Algorithm("of an algorithm of its own")),
    }
}

/// RFC 5915 §3.
fn sec1(der: &[u8]) -> Option<Unfit> {
    let items = sequence(der)?;
    let parameters = items
        .iter()
        .find(|item| item.tag().0 == 0 && item.class() != x509_parser::der_parser::ber::Class::Universal)?;
    let (_, inner) = parse_der(parameters.as_slice().ok()?).ok()?;
    curve(&inner)
}

fn curve(parameters: &BerObject<'_>) -> Option<Unfit> {
    let Ok(oid) = parameters.as_oid() else { return Some(Unfit::ExplicitCurve) };
    name_of(oid).map(Unfit::Curve)
}

/// The name of a curve that is not taken; `None` of those that are.
fn name_of(oid: &Oid<'_>) -> Option<&'static str> {
    Some(match oid.to_id_string().as_str() {
        "1.2.840.10045.3.1.7" | "1.3.132.0.34" | "1.3.132.0.35" => return None,
        "1.3.132.0.10" => "secp256k1",
        "1.3.132.0.33" => "secp224r1 (P-224)",
        "1.2.840.10045.3.1.1" => "secp192r1 (P-192)",
        "1.3.36.3.3.2.8.1.1.7" => "brainpoolP256r1",
        "1.3.36.3.3.2.8.1.1.11" => "brainpoolP384r1",
        "1.3.36.3.3.2.8.1.1.13" => "brainpoolP512r1",
        "1.2.156.10197.1.301" => "SM2",
        _ => "of another name",
    })
}

/// RFC 8017 §A.1.2; `None` if its size is good.
fn rsa(der: &[u8]) -> Option<Unfit> {
    let items = sequence(der)?;
    let modulus = items.get(1)?.as_slice().ok()?;
    let significant = modulus.iter().position(|byte| *byte != 0)?;
    let first = modulus.get(significant)?;
    let bits = (modulus.len() - significant) * 8 - first.leading_zeros() as usize;
    (!(RSA_MIN..=RSA_MAX).contains(&bits)).then_some(Unfit::Rsa(bits))
}
