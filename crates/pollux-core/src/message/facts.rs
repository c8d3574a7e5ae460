//! The facts that the fields of a request state, and the head that follows. Every codec judges by them.

use super::field::FieldLine;
use super::head::{BodyLength, Head};
use super::login;
use super::method::Method;
use super::name::Name;
use super::nominated::NOMINATED_MAX;
use super::version::Version;
use crate::core::bounds::Limits;
use crate::core::outcome::Cause;
use crate::syntax::grammar::{decimal, is_field_value, is_token, list, trim};
use crate::syntax::target::{self, is_authority};

/// The most protocols that the Upgrade fields of a request may name. Each is held against all that a 101 names.
pub const PROTOCOLS_MAX: usize = 16;

/// The part of a request that a codec has read before its fields.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// The version.
    pub version: Version,
    /// The method.
    pub method: &'a str,
    /// The target.
    pub target: &'a str,
}

/// The facts that the fields of a request state, gathered one by one.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    host: Option<&'a [u8]>,
    hosts: usize,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: Upgrade,
    protocols: usize,
    nominated: usize,
    expects: bool,
    unknown_expectation: bool,
    is_login: bool,
    hops: Option<u64>,
    bad_hops: bool,
    request_id: Once<'a>,
    traceparent: Once<'a>,
}

/// The value of a field that counts only if it is there once.
#[derive(Clone, Copy, Default)]
enum Once<'a> {
    #[default]
    Never,
    Said(&'a [u8]),
    Again,
}

impl<'a> Once<'a> {
    fn take(&mut self, value: &'a [u8]) {
        *self = match self {
            Once::Never => Once::Said(trim(value)),
            Once::Said(_) | Once::Again => Once::Again,
        };
    }

    fn value(self) -> Option<&'a [u8]> {
        match self {
            Once::Said(value) => Some(value),
            Once::Never | Once::Again => None,
        }
    }
}

/// The wish of all Upgrade fields together.
#[derive(Default, PartialEq)]
enum Upgrade {
    #[default]
    Nothing,
    Protocol,
    /// HTTP/2 over cleartext, to which Pollux would be blind (RFC 9113 §3.1 has deprecated it), or no
    /// protocol at all. One of these is enough, and nothing is passed on.
    Unwanted,
}

impl Upgrade {
    fn take(&mut self, value: &[u8]) {
        for protocol in list(value) {
            let is_http2 =
                [&b"h2c"[..], b"h2", b"http/2", b"http/2.0"].iter().any(|h| protocol.eq_ignore_ascii_case(h));
            if is_http2 || !is_protocol(protocol) {
                *self = Upgrade::Unwanted;
            } else if *self == Upgrade::Nothing {
                *self = Upgrade::Protocol;
            }
        }
    }
}

/// `protocol-name [ "/" protocol-version ]` (RFC 9110 §7.8).
fn is_protocol(text: &[u8]) -> bool {
    let mut parts = text.splitn(2, |&byte| byte == b'/');
    parts.all(is_token)
}

impl<'a> Facts<'a> {
    /// Takes a field.
    ///
    /// # Errors
    /// If no field may have that value, or if it is longer than `limits` allow.
    pub(crate) fn take(&mut self, field: &FieldLine<'a>, limits: &Limits) -> Result<(), Cause> {
        let value = field.value;
        if !is_field_value(value) {
            return Err(Cause::BadField);
        }
        if field.name.len() + value.len() > limits.field {
            return Err(Cause::HeadTooLong);
        }
        match field.kind {
            Name::Host => {
                self.hosts += 1;
                self.host = Some(trim(value));
            }
            Name::Connection => list(value).for_each(|option| self.connection_option(option)),
            Name::Upgrade => {
                self.protocols += list(value).count();
                self.upgrade.take(value);
            }
            Name::Expect => {
                self.unknown_expectation |=
                    self.expects || !trim(value).eq_ignore_ascii_case(b"100-continue");
                self.expects = true;
            }
            Name::Login => self.is_login |= login::binds(field.name.as_bytes(), value),
            Name::RequestId => self.request_id.take(value),
            Name::TraceParent => self.traceparent.take(value),
            Name::MaxForwards => {
                let hops = decimal(trim(value));
                self.bad_hops |= hops.is_none() || self.hops.is_some();
                self.hops = hops;
            }
            Name::ContentLength
            | Name::TransferEncoding
            | Name::TraceState
            | Name::Lookalike
            | Name::Forwarding
            | Name::HopByHop
            | Name::Http2Settings
            | Name::Te
            | Name::Date
            | Name::NeverTrailing
            | Name::Other => {}
        }
        Ok(())
    }

    fn connection_option(&mut self, option: &[u8]) {
        if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.connection_upgrade = true;
        } else {
            self.nominated += 1;
        }
    }

    /// Holds the lists among the fields to their bounds. It comes before whatever else may be wrong with them.
    ///
    /// # Errors
    /// If one is longer.
    pub(crate) fn check_bounds(&self) -> Result<(), Cause> {
        let is_good = self.nominated <= NOMINATED_MAX && self.protocols <= PROTOCOLS_MAX;
        if is_good { Ok(()) } else { Err(Cause::HeadTooLong) }
    }

    /// The head that begins with `line` and has the fields that were taken, and a body of that length.
    ///
    /// # Errors
    /// The cause for which it is refused.
    pub(crate) fn head(
        self,
        line: RequestLine<'a>,
        body: BodyLength,
        fields: &'a [FieldLine<'a>],
    ) -> Result<Head<'a>, Cause> {
        let RequestLine { version, method: method_text, target: target_text } = line;
        let is_old = version == Version::Http10;
        let method = Method::of(method_text);
        if method == Method::Refused {
            return Err(Cause::MethodRefused);
        }
        let target = target::parse(target_text, method == Method::Options).ok_or(Cause::BadTarget)?;
        if self.hosts > 1 || (self.hosts == 0 && !is_old) || !self.host.is_none_or(is_authority) {
            return Err(Cause::BadHost);
        }
        let counts_hops = method == Method::Options;
        if counts_hops && self.bad_hops {
            return Err(Cause::BadField);
        }
        if self.unknown_expectation && !is_old {
            return Err(Cause::UnknownExpectation);
        }
        let is_upgrade = !is_old && self.connection_upgrade && self.upgrade == Upgrade::Protocol;
        // No method that is said to have no body switches by one.
        let may_have_body = !matches!(method, Method::Get | Method::Head) && !self.expects;
        Ok(Head {
            version,
            method,
            method_text,
            target_text,
            target,
            body,
            keep_alive: !self.close && (!is_old || self.keep_alive),
            expects_continue: self.expects && !is_old && body != BodyLength::Empty,
            is_login: self.is_login,
            // llhttp reads no chunks behind the head of an upgrade and takes the message for whole.
            wants_upgrade: is_upgrade && body == BodyLength::Empty,
            awaits_body: is_upgrade && may_have_body && matches!(body, BodyLength::Known(_)),
            hops: self.hops.filter(|_| counts_hops),
            host: self.host,
            request_id: self.request_id.value(),
            traceparent: self.traceparent.value(),
            nominates: self.nominated > 0,
            fields,
        })
    }
}
