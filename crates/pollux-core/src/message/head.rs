//! The head of a request.

use super::field::{FieldLine, join};
use super::method::Method;
use super::name::Name;
use super::nominated::Nominated;
use super::version::Version;
use crate::syntax::grammar::is_token;
use crate::syntax::target::Target;

/// The length of a body, as far as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    Empty,
    /// So many bytes, at least one.
    Known(u64),
    /// Its end is announced behind it: by the last chunk, by the end of the stream or of the connection.
    Open,
}

/// The head of a request that may be passed on. The codec that has read it has judged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The version that the client speaks.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// The method as the client wrote it.
    pub method_text: &'a str,
    /// The target as the client wrote it.
    pub target_text: &'a str,
    /// Its parts.
    pub target: Target<'a>,
    /// The length of the body.
    pub body: BodyLength,
    /// True if the client wants to go on after this exchange (RFC 9112 §9.3). A stream of HTTP/2 always does.
    pub keep_alive: bool,
    /// True if the client sends the body only after a 100 (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// True if the client offers a login that holds for the connection.
    pub is_login: bool,
    /// True if the client asks to switch protocols, and the backend may be asked too.
    pub wants_upgrade: bool,
    /// True if that depends on the body; see [`Head::settle_upgrade`].
    pub awaits_body: bool,
    /// The number of proxies that an OPTIONS request may still pass (RFC 9110 §7.6.2).
    pub hops: Option<u64>,
    /// The value of Host.
    pub host: Option<&'a [u8]>,
    /// The name that the client, or a proxy before it, has given the request; `None` also if it was said twice.
    pub request_id: Option<&'a [u8]>,
    /// The trace that it is part of, as it was said; `None` also if it was said twice.
    pub traceparent: Option<&'a [u8]>,
    /// True if Connection names fields that would otherwise pass.
    pub nominates: bool,
    /// The header fields, in their order.
    pub fields: &'a [FieldLine<'a>],
}

impl<'a> Head<'a> {
    /// True if the receiver must answer the request itself instead of passing it on.
    #[must_use]
    pub fn ends_here(&self) -> bool {
        self.hops == Some(0)
    }

    /// Says what the body begins with, as far as that is known.
    ///
    /// There are servers that read no body behind the head of an upgrade, whatever its length says, and take
    /// what follows for another request (uvicorn with httptools). So one is passed on only if its body begins
    /// with a byte with which no request does, as that of `docker exec` does, which is JSON.
    pub fn settle_upgrade(&mut self, first: Option<u8>) {
        self.wants_upgrade |= self.awaits_body && first.is_some_and(begins_no_request);
    }

    /// The protocols that the client would switch to, as one list.
    #[must_use]
    pub fn protocols(&self) -> Vec<u8> {
        join(self.fields, Name::Upgrade)
    }

    /// The fields that Connection names, if any would pass otherwise.
    #[must_use]
    pub fn nominated(&self) -> Nominated {
        if self.nominates { Nominated::by(self.fields) } else { Nominated::default() }
    }

    /// The authority that is asked for: of the target, or Host; `None` if an HTTP/1.0 client names none.
    #[must_use]
    pub fn authority(&self) -> Option<&'a [u8]> {
        self.target.authority.map(str::as_bytes).or(self.host)
    }

    /// The path without the query, and the query if there is one.
    #[must_use]
    pub fn path_and_query(&self) -> (&'a str, Option<&'a str>) {
        let (path, query) = match self.target.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.path, None),
        };
        (if path.is_empty() { "/" } else { path }, query)
    }
}

/// True if nothing that begins with `byte` is read as a request: it belongs to no method, and no receiver
/// skips it before one.
fn begins_no_request(byte: u8) -> bool {
    !is_token(&[byte]) && !byte.is_ascii_control() && byte != b' '
}
