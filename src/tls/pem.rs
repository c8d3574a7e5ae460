//! The blocks of a PEM text (RFC 7468), with their lines: each is read, or the text is refused. No byte of a
//! text is in what is said of it.
//!
//! The reader of `rustls-pki-types` goes by lines and passes over what it does not know: of two blocks that
//! were joined without a newline it gives one, and its errors quote the line, which may be a key. So the
//! blocks are found here, and it gets them one by one.

use std::fmt;

use rustls::pki_types::pem::{PemObject, SectionKind};

/// The most blocks of a text: a file of 1 MiB has room for no more.
const BLOCKS_MAX: usize = 20_000;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// The kind of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Certificate,
    /// A list of revoked certificates.
    Crl,
    /// A key without a passphrase.
    Key,
    /// A key that takes a passphrase.
    LockedKey,
    /// A key in the form of OpenSSH.
    OpensshKey,
    PublicKey,
    Request,
    /// Parameters of a curve or of Diffie-Hellman, which say nothing that is needed.
    Parameters,
    /// A certificate with what openssl alone knows of it.
    TrustedCertificate,
    /// Something else.
    Other,
}

impl Kind {
    fn of(label: &[u8]) -> Kind {
        match label {
            b"CERTIFICATE" | b"X509 CERTIFICATE" => Kind::Certificate,
            b"X509 CRL" => Kind::Crl,
            b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => Kind::Key,
            b"ENCRYPTED PRIVATE KEY" => Kind::LockedKey,
            b"OPENSSH PRIVATE KEY" => Kind::OpensshKey,
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Kind::PublicKey,
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Kind::Request,
            b"EC PARAMETERS" | b"DH PARAMETERS" | b"X9.42 DH PARAMETERS" => Kind::Parameters,
            b"TRUSTED CERTIFICATE" => Kind::TrustedCertificate,
            _ => Kind::Other,
        }
    }

    /// The way to mend a file that has it where it cannot be used; `None` if there is nothing of its own to
    /// say.
    pub(super) const fn help(self) -> Option<&'static str> {
        match self {
            Kind::LockedKey => Some("write it without a passphrase: `openssl pkey -in FILE -out key.pem`"),
            Kind::OpensshKey => {
                Some("write it in PEM: `ssh-keygen -p -m PEM -f FILE`, with an empty passphrase")
            }
            Kind::Request => {
                Some("a request is what the issuer is given; put the certificate that it gave for it here")
            }
            Kind::TrustedCertificate => {
                Some("write the certificate alone: `openssl x509 -in FILE -out cert.pem`")
            }
            Kind::Crl => Some("put the lists into a file of their own, and name it by `client_crl`"),
            Kind::Certificate | Kind::Key | Kind::PublicKey | Kind::Parameters | Kind::Other => None,
        }
    }

    /// The label in its first line.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Kind::Certificate => "CERTIFICATE",
            Kind::Crl => "X509 CRL",
            Kind::Key => "PRIVATE KEY",
            Kind::LockedKey => "ENCRYPTED PRIVATE KEY",
            Kind::OpensshKey => "OPENSSH PRIVATE KEY",
            Kind::PublicKey => "PUBLIC KEY",
            Kind::Request => "CERTIFICATE REQUEST",
            Kind::Parameters => "EC PARAMETERS",
            Kind::TrustedCertificate => "TRUSTED CERTIFICATE",
            Kind::Other => "…",
        }
    }

    /// In words, for a message.
    pub(super) fn words(self) -> &'static str {
        match self {
            Kind::Certificate => "a certificate",
            Kind::Crl => "a list of revoked certificates",
            Kind::Key => "a private key",
            Kind::LockedKey => "a private key with a passphrase",
            Kind::OpensshKey => "a private key in the form of OpenSSH",
            Kind::PublicKey => "a public key",
            Kind::Request => "a certificate request",
            Kind::Parameters => "parameters",
            Kind::TrustedCertificate => "a certificate in the form TRUSTED CERTIFICATE",
            Kind::Other => "a block of another kind",
        }
    }
}

/// A block.
pub(super) struct Block {
    pub(super) kind: Kind,
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    /// Its contents: DER and the kind of it, if it is one that is read.
    pub(super) der: Option<(SectionKind, Vec<u8>)>,
}

/// The mistake that keeps a text from being read, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    line: usize,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The marks of blocks are there, but damaged.
    Mark,
    /// A block begins and does not end.
    NoEnd,
    /// A block ends that has not begun.
    NoBegin,
    /// The text between the marks is no base64.
    Base64,
    /// It has the characters `\n` where newlines belong.
    Escaped,
    /// There are more than [`BLOCKS_MAX`].
    TooMany,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match self.why {
            Why::Mark => {
                write!(f, "the BEGIN or END on line {line} is damaged: it has five dashes on both sides")
            }
            Why::NoEnd => write!(f, "the block that begins on line {line} has no END of its own"),
            Why::NoBegin => write!(f, "the block that ends on line {line} has no BEGIN"),
            Why::Base64 => write!(f, "the block that begins on line {line} is not base64"),
            Why::Escaped => write!(
                f,
                "the block that begins on line {line} has the two characters `\\n` in the place of newlines; \
                 `printf '%b' \"$(cat FILE)\"` writes it with newlines"
            ),
            Why::TooMany => write!(f, "there are more than {BLOCKS_MAX} blocks, up to line {line}"),
        }
    }
}

/// The blocks of `text`, in their order. Other text may stand before, between and behind them, but nothing
/// that begins or ends as a block does.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block>, Broken> {
    let (mut blocks, mut at, mut line) = (Vec::new(), 0, 1);
    loop {
        let begin = find(&text[at..], BEGIN).map(|found| at + found);
        let gap = &text[at..begin.unwrap_or(text.len())];
        if let Some((mark, why)) = stray_mark(gap) {
            return Err(Broken { line: line + newlines(&gap[..mark]), why });
        }
        let Some(begin) = begin else { return Ok(blocks) };
        line += newlines(gap);
        let broken = |why| Err(Broken { line, why });
        if blocks.len() == BLOCKS_MAX {
            return broken(Why::TooMany);
        }
        let rest = &text[begin + BEGIN.len()..];
        let Some(label_len) = find(rest, DASHES).filter(|len| is_label(&rest[..*len])) else {
            return broken(Why::Mark);
        };
        let (label, body) = (&rest[..label_len], &rest[label_len + DASHES.len()..]);
        if shares_dashes(body) {
            return broken(Why::Mark);
        }
        let Some(body_len) = find(body, DASHES) else { return broken(Why::NoEnd) };
        let end = [END, label, DASHES].concat();
        if !body[body_len..].starts_with(&end) {
            return broken(Why::NoEnd);
        }
        let kind = Kind::of(label);
        let body = &body[..body_len];
        blocks.push(match decode(kind, label, body) {
            Ok((kind, der)) => Block { kind, line, der },
            Err(why) => return broken(why),
        });
        let last = begin + BEGIN.len() + label_len + DASHES.len() + body_len + end.len();
        line += newlines(&text[begin..last]);
        at = last;
        if shares_dashes(&text[at..]) {
            return Err(Broken { line, why: Why::Mark });
        }
    }
}

/// Whether the dashes before `text` are meant for another mark as well: neither can be read then.
fn shares_dashes(text: &[u8]) -> bool {
    let dashes = text.iter().take_while(|byte| **byte == b'-').count();
    let word = &text[dashes..];
    dashes < DASHES.len() && behind(word, b"BEGIN ").or(behind(word, b"END ")).is_some()
}

/// The kind of a block, and its content unless Pollux uses none of that kind.
type Decoded = (Kind, Option<(SectionKind, Vec<u8>)>);

/// Decodes `body` between the marks of `label`.
fn decode(kind: Kind, label: &[u8], body: &[u8]) -> Result<Decoded, Why> {
    // RFC 1421 §4.6.1.1: what openssl writes over a key of the old form with a passphrase.
    if kind == Kind::Key && find(body, b"ENCRYPTED").is_some() {
        return Ok((Kind::LockedKey, None));
    }
    if !matches!(kind, Kind::Certificate | Kind::Crl | Kind::Key) {
        return Ok((kind, None));
    }
    if find(body, b"\\n").is_some() {
        return Err(Why::Escaped);
    }
    let name: &[u8] = if kind == Kind::Certificate { b"CERTIFICATE" } else { label };
    let body: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let block = [BEGIN, name, DASHES, b"\n", &body, b"\n", END, name, DASHES, b"\n"].concat();
    let read = <(SectionKind, Vec<u8>)>::from_pem_slice(&block).map_err(|_| Why::Base64)?;
    if read.1.is_empty() { Err(Why::Base64) } else { Ok((kind, Some(read))) }
}

/// A label (RFC 7468 §3): capitals, digits and blanks, as all that are known have.
fn is_label(label: &[u8]) -> bool {
    let is_part =
        |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'.');
    (1..=64).contains(&label.len()) && label.iter().all(is_part)
}

/// A mark in what stands between blocks: BEGIN or END before a label, on a line with dashes, of which
/// something is missing or wrong.
fn stray_mark(gap: &[u8]) -> Option<(usize, Why)> {
    let mut at = 0;
    for line in gap.split(|byte| matches!(byte, b'\n' | b'\r')) {
        if line.contains(&b'-')
            && let Some(place) = (0..line.len()).find(|place| is_mark(&line[*place..]))
        {
            let is_end = place >= DASHES.len() && line[place - DASHES.len()..].starts_with(END);
            return Some((at + place, if is_end { Why::NoBegin } else { Why::Mark }));
        }
        at += line.len() + 1;
    }
    None
}

/// The words with which labels begin.
const WORDS: [&[u8]; 13] = [
    b"CERTIFICATE",
    b"X509",
    b"TRUSTED",
    b"NEW",
    b"PRIVATE",
    b"RSA",
    b"EC",
    b"DSA",
    b"ENCRYPTED",
    b"OPENSSH",
    b"PUBLIC",
    b"DH",
    b"PKCS",
];

/// Whether `text` begins with BEGIN or END and a label, in any case.
fn is_mark(text: &[u8]) -> bool {
    let rest = [&b"BEGIN"[..], b"END"].into_iter().find_map(|word| behind(text, word));
    let Some(rest) = rest.filter(|rest| rest.first() == Some(&b' ')) else { return false };
    WORDS.iter().any(|word| behind(rest.trim_ascii_start(), word).is_some())
}

/// The text behind `word`, if `text` begins with that in any case.
fn behind<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

fn newlines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAQID\nBAUG\n-----END CERTIFICATE-----";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";

    fn told(text: &str) -> String {
        match blocks(text.as_bytes()) {
            Ok(blocks) => blocks.iter().map(|it| format!("{:?} {} ", it.kind, it.line)).collect(),
            Err(broken) => broken.to_string(),
        }
    }

    #[test]
    fn what_begins_as_a_block_is_read_or_the_text_is_refused() {
        for (text, says) in [
            (String::new(), ""),
            (format!("{ONE}\n{ONE}\n"), "Certificate 1 Certificate 5 "),
            (format!("{ONE}{ONE}"), "Certificate 1 Certificate 4 "),
            (format!("# root\n{ONE} {KEY}"), "Certificate 2 Key 5 "),
            (format!("\u{feff}{ONE}"), "Certificate 1 "),
            (format!("subject=a - b\r\n{}\r\n", ONE.replace('\n', "\r\n")), "Certificate 2 "),
            (ONE.replace('\n', "\n    "), "Certificate 1 "),
            (ONE.replace('\n', ""), "Certificate 1 "),
            (format!("{ONE}\n----BEGIN CERTIFICATE-----\nAQID"), "the BEGIN or END on line 5 is damaged"),
            (format!("{ONE}\n-----BEGIN CERTIFICATE----\nAQID"), "the BEGIN or END on line 5 is damaged"),
            (format!("{ONE}\n-----Begin Certificate-----\nAQID"), "the BEGIN or END on line 5 is damaged"),
            (format!("{ONE}\n-----BEGIN CERTIFICATE-----\nAQID"), "begins on line 5 has no END"),
            (format!("-----BEGIN CERTIFICATE-----\nAQID\n{ONE}"), "begins on line 1 has no END"),
            (format!("AQID\n-----END CERTIFICATE-----\n{ONE}"), "ends on line 2 has no BEGIN"),
            (format!("{ONE}\n-----END CERTIFICATE-----"), "ends on line 5 has no BEGIN"),
            (format!("{ONE}{}", &ONE[5..]), "the BEGIN or END on line 4 is damaged"),
            (format!("{ONE}\n{}", &ONE[5..]), "the BEGIN or END on line 5 is damaged"),
            (format!("# --- end of the first ---\n{ONE}\n# -- begin --\n{ONE}"), "Certificate 2 Certificate 7 "),
            (ONE.replace("AQID", "A*ID"), "begins on line 1 is not base64"),
            (ONE.replace("AQID", "AQI=D"), "begins on line 1 is not base64"),
            (ONE.replace("AQID\nBAUG\n", ""), "begins on line 1 is not base64"),
            (KEY.replace('\n', "\\n"), "begins on line 1 has the two characters `\\n`"),
            (KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), "LockedKey 1 "),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAQID\n-----END RSA PRIVATE KEY-----".into(),
                "LockedKey 1 ",
            ),
        ] {
            let told = told(&text);
            assert!(told == says || (!says.is_empty() && told.contains(says)), "{text}\n{told}\n{says}");
        }
    }

    /// A text of pieces that belong to blocks, whole and damaged, and of pieces that do not.
    fn text() -> impl Strategy<Value = String> {
        let pieces = [
            ONE,
            KEY,
            "-----BEGIN CERTIFICATE-----",
            "-----END CERTIFICATE-----",
            "AQID",
            "\n",
            "\\n",
            "-",
            "-----",
            "BEGIN ",
            "# a comment",
            "\r\n",
            " ",
            "-----BEGIN PRIVATE KEY-----",
            "c2VjcmV0",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_block_is_passed_over_and_no_byte_is_told(text in text()) {
            let begun = text.matches("-----BEGIN ").count();
            match blocks(text.as_bytes()) {
                Ok(blocks) => prop_assert_eq!(blocks.len(), begun, "{}", text),
                Err(broken) => {
                    let told = broken.to_string();
                    prop_assert!(!told.contains("c2Vj") && !told.contains("AQID"), "{}", told);
                    prop_assert!(broken.line <= text.lines().count().max(1));
                }
            }
        }
    }
}
