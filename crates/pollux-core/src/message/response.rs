//! The head of a response.

use std::time::Duration;

use super::field::FieldLine;
use super::head::BodyLength;
use super::nominated::Nominated;
use super::version::Version;
use crate::core::bounds::Timeouts;
use crate::syntax::grammar::trim;

/// The head of a response that may be passed on. The codec that has read it has judged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The version that the backend speaks.
    pub version: Version,
    /// The status code, 100 to 599.
    pub status: u16,
    /// The reason phrase. HTTP/2 has none.
    pub reason: &'a [u8],
    /// The length of the body that follows. It is empty for a response to HEAD, 1xx, 204 and 304.
    pub body: BodyLength,
    /// The value of Content-Length, also where no body follows.
    pub length: Option<u64>,
    /// True if the backend lets its connection be used again (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The time for which it keeps it while nothing comes, if it says so (`Keep-Alive: timeout=`, RFC 2068
    /// §19.7.1.1).
    pub timeout: Option<Duration>,
    /// True if the backend asks for a login that holds for the connection, or has taken one.
    pub is_login: bool,
    /// True if it has a Date that passes.
    pub has_date: bool,
    /// The fields that Connection names.
    pub nominated: Nominated,
    /// The header fields, in their order.
    pub fields: &'a [FieldLine<'a>],
}

impl Response<'_> {
    /// True if a final response is still to come after this one (RFC 9110 §15.2).
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// True if it is a stream: it has no length, and its type is one that streams have everywhere, or one of
    /// `others`.
    #[must_use]
    pub fn is_stream(&self, others: &[String]) -> bool {
        if self.body != BodyLength::Open {
            return false;
        }
        let kind = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-type"));
        let Some(kind) =
            kind.map(|field| trim(field.value.split(|byte| *byte == b';').next().unwrap_or_default()))
        else {
            return false;
        };
        // `application/grpc+proto` is one of `application/grpc`.
        let is = |known: &str| {
            let head = kind.get(..known.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(known.as_bytes()))
                && matches!(kind.get(known.len()), None | Some(b'+'))
        };
        Timeouts::STREAMS.iter().any(|known| is(known)) || others.iter().any(|known| is(known))
    }
}
