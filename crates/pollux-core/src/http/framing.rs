//! The length of a message: RFC 9112 §6.3 as two short tables, without any of its tolerated exceptions.
//!
//! | request | framing |
//! |---|---|
//! | Transfer-Encoding and Content-Length both | refused |
//! | Transfer-Encoding in HTTP/1.0, or anything but one `chunked` | refused |
//! | Transfer-Encoding: chunked | chunked |
//! | Content-Length more than once, a list, or not digits only | refused |
//! | Content-Length | that many bytes |
//! | neither | no body |
//!
//! | response | framing |
//! |---|---|
//! | to HEAD; 1xx, 204 or 304 | no body, whatever the fields say |
//! | Transfer-Encoding and Content-Length as above | as above |
//! | neither | until the end of the connection |

use crate::message::{BodyLength, Name, Version};
use crate::syntax::grammar::{LENGTH_MAX, decimal, trim};

/// The framing of a body in HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All that comes until the connection ends. Only a response can have it.
    UntilEof,
}

impl From<Framing> for BodyLength {
    fn from(framing: Framing) -> BodyLength {
        match framing {
            Framing::Empty => BodyLength::Empty,
            Framing::Length(length) => BodyLength::Known(length),
            Framing::Chunked | Framing::UntilEof => BodyLength::Open,
        }
    }
}

/// The fields that say how long a message is, gathered one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct FramingFields {
    length: Option<u64>,
    coding: Option<()>,
    is_refused: bool,
}

impl FramingFields {
    /// Takes a field of the message; those that do not matter here may be given too.
    pub fn take(&mut self, name: Name, value: &[u8]) {
        if name == Name::ContentLength {
            let length = decimal(trim(value)).filter(|length| *length <= LENGTH_MAX);
            self.is_refused |= self.length.is_some() || length.is_none();
            self.length = length;
        } else if name == Name::TransferEncoding {
            self.is_refused |= self.coding.is_some() || !trim(value).eq_ignore_ascii_case(b"chunked");
            self.coding = Some(());
        }
    }

    fn explicit(self, version: Version) -> Result<Option<Framing>, Ambiguous> {
        match (self.coding, self.length) {
            _ if self.is_refused => Err(Ambiguous),
            (Some(()), Some(_)) => Err(Ambiguous),
            (Some(()), None) if version == Version::Http10 => Err(Ambiguous),
            (Some(()), None) => Ok(Some(Framing::Chunked)),
            (None, Some(0)) => Ok(Some(Framing::Empty)),
            (None, Some(length)) => Ok(Some(Framing::Length(length))),
            (None, None) => Ok(None),
        }
    }

    /// Whether Content-Length was there, and what it said.
    #[must_use]
    pub fn length(self) -> Option<u64> {
        self.length
    }

    /// The framing of a request.
    ///
    /// # Errors
    /// If two readers could disagree.
    pub fn request(self, version: Version) -> Result<Framing, Ambiguous> {
        Ok(self.explicit(version)?.unwrap_or(Framing::Empty))
    }

    /// The framing of a response with `status`, to a HEAD request or not.
    ///
    /// # Errors
    /// If two readers could disagree.
    pub fn response(self, version: Version, status: u16, is_to_head: bool) -> Result<Framing, Ambiguous> {
        let explicit = self.explicit(version)?;
        if is_to_head || has_no_body(status) {
            return Ok(Framing::Empty);
        }
        Ok(explicit.unwrap_or(Framing::UntilEof))
    }
}

/// Whether a response with `status` never has a body (RFC 9110 §6.4.1).
#[must_use]
pub fn has_no_body(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

/// A message whose length two readers could read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(Name, &str)]) -> FramingFields {
        let mut framing = FramingFields::default();
        for (name, value) in fields {
            framing.take(*name, value.as_bytes());
        }
        framing
    }

    const CL: Name = Name::ContentLength;
    const TE: Name = Name::TransferEncoding;

    #[test]
    fn requests_by_the_table() {
        use Framing::{Chunked, Empty, Length};
        use Version::{Http10, Http11};
        for (version, given, verdict) in [
            (Http11, vec![], Ok(Empty)),
            (Http11, vec![(CL, "0")], Ok(Empty)),
            (Http11, vec![(CL, "12")], Ok(Length(12))),
            (Http11, vec![(CL, " 12\t")], Ok(Length(12))),
            (Http10, vec![(CL, "12")], Ok(Length(12))),
            (Http11, vec![(TE, "chunked")], Ok(Chunked)),
            (Http11, vec![(TE, " Chunked ")], Ok(Chunked)),
            (Http10, vec![(TE, "chunked")], Err(Ambiguous)),
            (Http11, vec![(TE, "chunked"), (CL, "12")], Err(Ambiguous)),
            (Http11, vec![(CL, "12"), (TE, "chunked")], Err(Ambiguous)),
            (Http11, vec![(CL, "0"), (TE, "chunked")], Err(Ambiguous)),
            (Http11, vec![(TE, "gzip, chunked")], Err(Ambiguous)),
            (Http11, vec![(TE, "chunked, chunked")], Err(Ambiguous)),
            (Http11, vec![(TE, "chunked"), (TE, "chunked")], Err(Ambiguous)),
            (Http11, vec![(TE, "chunked"), (TE, "identity")], Err(Ambiguous)),
            (Http11, vec![(TE, "identity")], Err(Ambiguous)),
            (Http11, vec![(TE, "xchunked")], Err(Ambiguous)),
            (Http11, vec![(TE, "chunked;a=b")], Err(Ambiguous)),
            (Http11, vec![(TE, "\x0bchunked")], Err(Ambiguous)),
            (Http11, vec![(TE, "")], Err(Ambiguous)),
            (Http11, vec![(CL, "12"), (CL, "12")], Err(Ambiguous)),
            (Http11, vec![(CL, "12"), (CL, "13")], Err(Ambiguous)),
            (Http11, vec![(CL, "12, 12")], Err(Ambiguous)),
            (Http11, vec![(CL, "")], Err(Ambiguous)),
            (Http11, vec![(CL, "+12")], Err(Ambiguous)),
            (Http11, vec![(CL, "-12")], Err(Ambiguous)),
            (Http11, vec![(CL, "1 2")], Err(Ambiguous)),
            (Http11, vec![(CL, "0x12")], Err(Ambiguous)),
            (Http11, vec![(CL, "12.0")], Err(Ambiguous)),
            (Http11, vec![(CL, "x"), (CL, "12")], Err(Ambiguous)),
            (Http11, vec![(CL, "18446744073709551616")], Err(Ambiguous)),
            (Http11, vec![(CL, "9223372036854775808")], Err(Ambiguous)),
            (Http11, vec![(CL, "9223372036854775807")], Ok(Length(9_223_372_036_854_775_807))),
        ] {
            assert_eq!(fields(&given).request(version), verdict, "{version:?} {given:?}");
        }
    }

    #[test]
    fn responses_by_the_table() {
        use Framing::{Chunked, Empty, Length, UntilEof};
        let v = Version::Http11;
        for (given, status, head, verdict) in [
            (vec![], 200, false, Ok(UntilEof)),
            (vec![(CL, "3")], 200, false, Ok(Length(3))),
            (vec![(TE, "chunked")], 200, false, Ok(Chunked)),
            (vec![(CL, "3")], 200, true, Ok(Empty)),
            (vec![(TE, "chunked")], 200, true, Ok(Empty)),
            (vec![(CL, "3")], 204, false, Ok(Empty)),
            (vec![(CL, "3")], 304, false, Ok(Empty)),
            (vec![], 304, false, Ok(Empty)),
            (vec![(CL, "3"), (TE, "chunked")], 200, false, Err(Ambiguous)),
            (vec![(CL, "3"), (CL, "4")], 304, false, Err(Ambiguous)),
            (vec![(CL, "x")], 200, true, Err(Ambiguous)),
        ] {
            assert_eq!(fields(&given).response(v, status, head), verdict, "{given:?} {status} {head}");
        }
        assert_eq!(fields(&[(TE, "chunked")]).response(Version::Http10, 200, false), Err(Ambiguous));
    }
}
