//! The name of a certificate's owner (RFC 5280 §4.1.2.6): attributes in their order, and as one text.
//!
//! The text is unambiguous: what separates attributes is escaped inside of their values (RFC 4514 §2.4), so
//! that an owner who was named `alice, O=Admins` by its issuer is not taken for one of the admins. Control
//! characters are hexadecimal digits behind a backslash: what stands in a header field or in a line of a log
//! is never less than the whole.

use std::fmt;

/// A name. Two of the same attributes are equal. The default is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    attributes: Vec<Attribute>,
    text: String,
}

/// A part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// `CN`, `O`, or the object identifier where there is no short name.
    pub kind: String,
    /// Its value.
    pub value: String,
}

/// A byte of a text, and whether it stands for itself whatever it is.
pub(crate) type Quoted = (u8, bool);

impl Subject {
    /// The name of these attributes.
    #[must_use]
    pub fn new(attributes: Vec<Attribute>) -> Subject {
        let mut text = String::new();
        for Attribute { kind, value } in &attributes {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(kind);
            text.push('=');
            push_escaped(&mut text, value);
        }
        Subject { attributes, text }
    }

    /// Reads a text such as [`Subject::text`] gives, also without blanks behind the commas and with `+` for
    /// them; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Subject> {
        let read = |part: &[Quoted]| {
            let (kind, value) = split_attribute(part)?;
            let value = String::from_utf8(value.iter().map(|(byte, _)| *byte).collect()).ok()?;
            Some(Attribute { kind, value })
        };
        let parts = quoted(text)?;
        let attributes: Option<Vec<Attribute>> = split_name(&parts).into_iter().map(read).collect();
        attributes.map(Subject::new)
    }

    /// The attributes, in the order of the certificate.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The values of its common names.
    pub fn common_names(&self) -> impl Iterator<Item = &str> {
        let is_it = |attribute: &&Attribute| attribute.kind.eq_ignore_ascii_case("CN");
        self.attributes.iter().filter(is_it).map(|attribute| attribute.value.as_str())
    }

    /// It as one text, such as `CN=alice, O=Example`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (place, c) in value.chars().enumerate() {
        let is_edge = (c == ' ' && (place == 0 || place == last)) || (c == '#' && place == 0);
        if c.is_control() {
            let mut room = [0; 4];
            for byte in c.encode_utf8(&mut room).bytes() {
                text.push_str(&format!("\\{byte:02X}"));
            }
            continue;
        }
        if is_edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(c);
    }
}

/// The bytes of `text`; a backslash makes the next character, or the byte of two hexadecimal digits, one that
/// stands for itself. `None` if nothing follows a backslash.
pub(crate) fn quoted(text: &str) -> Option<Vec<Quoted>> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            bytes.push((byte, false));
            continue;
        }
        let digits = rest.first_chunk::<2>().filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let hexadecimal = digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        let (byte, length) = match hexadecimal {
            Some(byte) => (byte, 2),
            None => (*rest.first()?, 1),
        };
        bytes.push((byte, true));
        rest = &rest[length..];
    }
    Some(bytes)
}

/// The parts between commas, or pluses, without the blanks around them.
pub(crate) fn split_name(bytes: &[Quoted]) -> Vec<&[Quoted]> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let is_blank = |it: &Quoted| *it == (b' ', false);
    let trim = |part: &'_ [Quoted]| {
        let from = part.iter().take_while(|it| is_blank(it)).count();
        let to = part.len() - part[from..].iter().rev().take_while(|it| is_blank(it)).count();
        (from, to)
    };
    let parts = bytes.split(|it| matches!(it, (b',' | b'+', false)));
    parts
        .map(|part| {
            let (from, to) = trim(part);
            &part[from..to]
        })
        .collect()
}

/// The text before the first `=` of a part, and the text behind it; `None` if that is no attribute.
pub(crate) fn split_attribute(part: &[Quoted]) -> Option<(String, &[Quoted])> {
    let at = part.iter().position(|it| *it == (b'=', false))?;
    let kind: String = part[..at].iter().map(|(byte, _)| char::from(*byte)).collect();
    let is_kind = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    (!kind.is_empty() && kind.chars().all(is_kind)).then_some((kind, &part[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subject(pairs: &[(&str, &str)]) -> Subject {
        let attribute =
            |(kind, value): &(&str, &str)| Attribute { kind: (*kind).into(), value: (*value).into() };
        Subject::new(pairs.iter().map(attribute).collect())
    }

    #[test]
    fn nobody_writes_another_attribute_into_a_value() {
        for (pairs, text) in [
            (&[("O", "Example"), ("CN", "alice")][..], "O=Example, CN=alice"),
            (&[("CN", "alice, O=Admins")], r"CN=alice\, O=Admins"),
            (&[("CN", "a+b\\"), ("O", " x ")], r"CN=a\+b\\, O=\ x\ "),
            (&[("CN", "ad\x01min\n")], r"CN=ad\01min\0A"),
            (&[("CN", "Käthe"), ("1.2.3.4", "#x")], r"CN=Käthe, 1.2.3.4=\#x"),
            (&[("CN", "")], "CN="),
            (&[], ""),
        ] {
            assert_eq!(subject(pairs).text(), text);
            assert_eq!(Subject::parse(text), Some(subject(pairs)), "{text}");
        }
    }

    #[test]
    fn other_spellings_are_read() {
        let alice = subject(&[("CN", "alice"), ("O", "Example")]);
        for text in ["CN=alice,O=Example", "CN=alice + O=Example", "  CN=alice  ,O=Example "] {
            assert_eq!(Subject::parse(text), Some(alice.clone()), "{text}");
        }
        for bad in ["alice", "CN=a,", "=a", "C N=a", "CN=a\\", "/CN=alice", ","] {
            assert_eq!(Subject::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(("[A-Z]{1,3}", "\\PC{0,8}|[ ,+=\\\\#\u{0}-\u{1f}]{0,6}"), 0..5)) {
            let pairs: Vec<(&str, &str)> = values.iter().map(|(kind, value)| (kind.as_str(), value.as_str())).collect();
            let made = subject(&pairs);
            prop_assert_eq!(Subject::parse(made.text()), Some(made));
        }
    }
}
