//! The condition of a route on the client's certificate.

use super::wildcard::{self, Item};
use crate::core::subject::{Attribute, Quoted, quoted, split_attribute, split_name};
use crate::core::tls_info::{CertificateInfo, ClientCertStatus, Credential};

/// The demands on a client's certificate: all of these hold, and of each list one. An empty list asks for
/// nothing, but for `statuses`, of which one has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRule {
    /// Its status.
    pub statuses: Vec<ClientCertStatus>,
    /// Its subject.
    pub subjects: Vec<SubjectPattern>,
    /// Its common name. Of one that has several all have to be like that.
    pub common_names: Vec<TextPattern>,
    /// Its SHA-256, in hexadecimal digits in lower case.
    pub fingerprints: Vec<String>,
}

/// The demand that a certificate does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Its status.
    ClientCertStatus,
    /// Its subject.
    Subject,
    /// Its common name.
    CommonName,
    /// Its fingerprint.
    Fingerprint,
}

impl Default for CredentialRule {
    /// Any certificate that was verified.
    fn default() -> CredentialRule {
        CredentialRule {
            statuses: vec![ClientCertStatus::Verified],
            subjects: Vec::new(),
            common_names: Vec::new(),
            fingerprints: Vec::new(),
        }
    }
}

impl CredentialRule {
    /// Whether it asks for more than how the certificate was found.
    #[must_use]
    pub fn is_about_identity(&self) -> bool {
        !(self.subjects.is_empty() && self.common_names.is_empty() && self.fingerprints.is_empty())
    }

    /// The first thing that `credential` lacks; `None` if it is as asked for.
    #[must_use]
    pub fn lack(&self, credential: &Credential) -> Option<Lack> {
        if !self.statuses.contains(&credential.status()) {
            return Some(Lack::ClientCertStatus);
        }
        let met = |asks: bool, is_met: &dyn Fn(&CertificateInfo) -> bool| {
            !asks || credential.shown().is_some_and(is_met)
        };
        let subject =
            |it: &CertificateInfo| self.subjects.iter().any(|one| one.fits(it.subject.attributes()));
        if !met(!self.subjects.is_empty(), &subject) {
            return Some(Lack::Subject);
        }
        let common_name = |it: &CertificateInfo| {
            let fits = |name: &str| self.common_names.iter().any(|one| one.fits(name));
            it.subject.common_names().next().is_some() && it.subject.common_names().all(fits)
        };
        if !met(!self.common_names.is_empty(), &common_name) {
            return Some(Lack::CommonName);
        }
        let fingerprint = |it: &CertificateInfo| self.fingerprints.contains(&it.fingerprint);
        if !met(!self.fingerprints.is_empty(), &fingerprint) {
            return Some(Lack::Fingerprint);
        }
        None
    }

    /// Whether every certificate that is as `narrow` asks is as this one asks, as far as can be seen from the
    /// two alone.
    #[must_use]
    pub fn contains(&self, narrow: &CredentialRule) -> bool {
        holds(&self.subjects, &narrow.subjects)
            && holds(&self.common_names, &narrow.common_names)
            && holds(&self.fingerprints, &narrow.fingerprints)
            && narrow.statuses.iter().all(|status| self.statuses.contains(status))
    }
}

fn holds<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|one| wide.contains(one)))
}

/// A text in which `*` stands for any characters, also none, and a backslash makes the next character stand
/// for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern {
    text: String,
    items: Vec<Item<u8>>,
}

impl TextPattern {
    /// Reads it; `None` if it is empty or nothing follows a backslash.
    #[must_use]
    pub fn parse(text: &str) -> Option<TextPattern> {
        let items = items(&quoted(text).filter(|bytes| !bytes.is_empty())?);
        Some(TextPattern { text: text.to_owned(), items })
    }

    /// Whether `text` is like that, in the same case.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        wildcard::fits(&self.items, text.as_bytes(), |wanted, byte| wanted == byte)
    }

    /// It as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn items(bytes: &[Quoted]) -> Vec<Item<u8>> {
    let item = |it: &Quoted| if *it == (b'*', false) { Item::Any } else { Item::One(it.0) };
    bytes.iter().map(item).collect()
}

/// A subject such as `CN=*.clients.example, O=Example`: attributes in the order of the certificate. In a
/// value `*` stands for any characters of that value; in the place of an attribute it stands for any
/// attributes, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern {
    text: String,
    items: Vec<Item<AttributePattern>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct AttributePattern {
    kind: String,
    value: Vec<Item<u8>>,
}

impl SubjectPattern {
    /// Reads it; `None` if it is empty or a part of it is no attribute.
    #[must_use]
    pub fn parse(text: &str) -> Option<SubjectPattern> {
        let bytes = quoted(text).filter(|bytes| !bytes.is_empty())?;
        let item = |part: &[Quoted]| {
            if part == [(b'*', false)] {
                return Some(Item::Any);
            }
            let (kind, value) = split_attribute(part)?;
            Some(Item::One(AttributePattern { kind, value: items(value) }))
        };
        let items = split_name(&bytes).into_iter().map(item).collect::<Option<_>>()?;
        Some(SubjectPattern { text: text.to_owned(), items })
    }

    /// Whether a subject with these attributes is like that.
    #[must_use]
    pub fn fits(&self, attributes: &[Attribute]) -> bool {
        wildcard::fits(&self.items, attributes, |wanted, found| {
            wanted.kind.eq_ignore_ascii_case(&found.kind)
                && wildcard::fits(&wanted.value, found.value.as_bytes(), |wanted, byte| wanted == byte)
        })
    }

    /// It as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Reads a SHA-256 in hexadecimal digits, of any case, with colons between the bytes or without; `None` if it
/// is none.
#[must_use]
pub fn fingerprint(text: &str) -> Option<String> {
    let is_plain = text.len() == 64;
    let is_spread = text.len() == 95 && text.bytes().skip(2).step_by(3).all(|byte| byte == b':');
    let digits: String = if is_spread { text.split(':').collect() } else { text.to_owned() };
    let is_good = (is_plain || is_spread) && digits.len() == 64;
    (is_good && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::subject::Subject;
    use crate::core::tls_info::CertError;

    fn identity(subject: &str) -> CertificateInfo {
        CertificateInfo {
            subject: Subject::parse(subject).unwrap(),
            fingerprint: "ab".repeat(32),
            ..CertificateInfo::default()
        }
    }

    #[test]
    fn subjects_are_compared_attribute_by_attribute() {
        for (pattern, subject, fits) in [
            ("CN=alice, O=Example", "CN=alice, O=Example", true),
            ("cn=alice,o=Example", "CN=alice, O=Example", true),
            ("CN=alice, O=Example", "O=Example, CN=alice", false),
            ("CN=alice, O=Example", "CN=alice, O=Example, OU=guests", false),
            ("CN=alice, O=Example", "CN=Alice, O=Example", false),
            ("CN=alice, O=Example", r"CN=alice\, O=Example", false),
            ("CN=*, O=Example", r"CN=mallory\, O=x, O=Example", true),
            ("CN=*, O=Example", "CN=mallory, OU=x, O=Example", false),
            ("CN=alice*", "CN=alice, O=Example", false),
            ("CN=alice, *", "CN=alice, O=Example, OU=guests", true),
            ("CN=alice, *", "CN=alice", true),
            ("*, O=Example", "C=AT, CN=bob, O=Example", true),
            ("*, OU=ops, *", "C=AT, OU=ops, CN=bob", true),
            ("*, OU=ops, *", "C=AT, OU=dev, CN=bob", false),
            ("*", "", true),
            (r"CN=\*", "CN=alice", false),
            (r"CN=\*", "CN=*", true),
            ("CN=*.ops.example", "CN=a.b.ops.example", true),
            ("CN=*.ops.example", "CN=ops.example", false),
        ] {
            let fitted = SubjectPattern::parse(pattern).unwrap().fits(identity(subject).subject.attributes());
            assert_eq!(fitted, fits, "{pattern} {subject}");
        }
        for bad in ["", "alice", "CN=a,", "CN=a\\", "**", "/CN=a"] {
            assert_eq!(SubjectPattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn fingerprints_are_written_in_many_ways() {
        let plain = "0123456789abcdef".repeat(4);
        let pairs: Vec<&str> = (0..32).map(|at| &plain[2 * at..2 * at + 2]).collect();
        for text in [plain.clone(), plain.to_uppercase(), pairs.join(":"), pairs.join(":").to_uppercase()] {
            assert_eq!(fingerprint(&text), Some(plain.clone()), "{text}");
        }
        let colons = format!("{}:{}", &plain[..63], &plain[..31]);
        for bad in
            ["", &plain[..40], &plain[..63], &format!("{plain}0"), &pairs.join(" "), &"g".repeat(64), &colons]
        {
            assert_eq!(fingerprint(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_first_lack_is_told() {
        let verified = Credential::Verified(identity("CN=alice, O=Example"));
        let failed = Credential::Failed(identity("CN=alice, O=Example"), CertError::Expired);
        let several = Credential::Verified(identity("CN=alice, CN=root"));
        let rule = |statuses: &[ClientCertStatus], subject: &str, name: &str, print: &str| CredentialRule {
            statuses: statuses.to_vec(),
            subjects: SubjectPattern::parse(subject).into_iter().collect(),
            common_names: TextPattern::parse(name).into_iter().collect(),
            fingerprints: fingerprint(print).into_iter().collect(),
        };
        use ClientCertStatus::{Failed, None as Nothing, Verified};
        let (all, own, other) = ([Nothing, Verified, Failed], "AB".repeat(32), "00".repeat(32));
        for (rule, credential, lack) in [
            (CredentialRule::default(), &verified, None),
            (CredentialRule::default(), &failed, Some(Lack::ClientCertStatus)),
            (CredentialRule::default(), &Credential::None, Some(Lack::ClientCertStatus)),
            (rule(&[Nothing], "", "", ""), &Credential::None, None),
            (rule(&[Failed], "", "", ""), &failed, None),
            (rule(&all, "CN=alice, *", "", ""), &Credential::None, Some(Lack::Subject)),
            (rule(&[Verified], "CN=bob", "", ""), &verified, Some(Lack::Subject)),
            (rule(&[Verified], "CN=alice, *", "al*", &own), &verified, None),
            (rule(&[Verified], "", "bob", ""), &verified, Some(Lack::CommonName)),
            (rule(&[Verified], "", "root", ""), &several, Some(Lack::CommonName)),
            (rule(&[Verified], "", "*", ""), &Credential::Verified(identity("O=x")), Some(Lack::CommonName)),
            (rule(&[Verified], "", "", &other), &verified, Some(Lack::Fingerprint)),
            (rule(&[Verified, Failed], "", "", &own), &failed, None),
        ] {
            assert_eq!(rule.lack(credential), lack, "{rule:?} {credential:?}");
        }
    }

    #[test]
    fn a_wider_rule_contains_a_narrower_one() {
        let any = CredentialRule::default();
        let alice = CredentialRule {
            common_names: TextPattern::parse("alice").into_iter().collect(),
            ..CredentialRule::default()
        };
        let all = CredentialRule { statuses: ClientCertStatus::ALL.to_vec(), ..CredentialRule::default() };
        for (wide, narrow, contains) in
            [(&any, &alice, true), (&alice, &any, false), (&all, &any, true), (&any, &all, false)]
        {
            assert_eq!(wide.contains(narrow), contains, "{wide:?} {narrow:?}");
        }
    }
}
