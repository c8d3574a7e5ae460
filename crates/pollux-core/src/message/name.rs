//! The header fields that Pollux itself understands, told from the rest by length first.

use crate::syntax::grammar::alike;

/// A field by its name. Whatever is not listed passes untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Connection (RFC 9110 §7.6.1).
    Connection,
    /// Content-Length (RFC 9110 §8.6).
    ContentLength,
    /// Date (RFC 9110 §6.6.1).
    Date,
    /// Expect (RFC 9110 §10.1.1).
    Expect,
    /// Forwarded and X-Forwarded-*: what proxies say of the client (RFC 7239 and its predecessors).
    Forwarding,
    /// Host (RFC 9110 §7.2).
    Host,
    /// Keep-Alive and Proxy-Connection: for this connection only.
    HopByHop,
    /// HTTP2-Settings (RFC 7540 §3.2.1): only of use to an upgrade that Pollux does not pass on.
    Http2Settings,
    /// Authorization and WWW-Authenticate with their forms for proxies (RFC 9110 §11), and Persistent-Auth.
    Login,
    /// Max-Forwards (RFC 9110 §7.6.2).
    MaxForwards,
    /// X-Request-ID: what a request is called.
    RequestId,
    /// TE (RFC 9110 §10.1.4).
    Te,
    /// traceparent (W3C Trace Context §3.2).
    TraceParent,
    /// tracestate (W3C Trace Context §3.3): worth nothing without the other.
    TraceState,
    /// Transfer-Encoding (RFC 9112 §6.1).
    TransferEncoding,
    /// Upgrade (RFC 9110 §7.8).
    Upgrade,
    /// A framing, forwarding or hop-by-hop field, spelt with `_` for `-`: many an application cannot tell the
    /// two apart (RFC 3875 §4.1.18 has both become the same variable), so it would take the client's word for
    /// Pollux's.
    Lookalike,
    /// A field that would change what the head before it said, were it to come after the body (RFC 9110
    /// §6.5.1).
    NeverTrailing,
    /// Anything else.
    Other,
}

/// So much of a name is looked at for other spellings of the known ones.
const LONGEST: usize = 32;

impl Name {
    /// Finds the name, in any case.
    #[must_use]
    pub fn of(name: &[u8]) -> Name {
        let found = Name::exactly(name);
        if found != Name::Other || !name.contains(&b'_') {
            return found;
        }
        let meant = Name::meant(name);
        let is_weighty = matches!(
            meant,
            Name::ContentLength
                | Name::TransferEncoding
                | Name::Forwarding
                | Name::HopByHop
                | Name::RequestId
        );
        if is_weighty { Name::Lookalike } else { Name::Other }
    }

    /// The name that an application may take it for that cannot tell `_` from `-`.
    fn meant(name: &[u8]) -> Name {
        if !name.contains(&b'_') {
            return Name::exactly(name);
        }
        // No known name is so long, but beginnings are known.
        let mut spelt = [0; LONGEST];
        for (to, from) in spelt.iter_mut().zip(name) {
            *to = alike(*from);
        }
        Name::exactly(&spelt[..name.len().min(LONGEST)])
    }

    fn exactly(name: &[u8]) -> Name {
        // Most names are none of these, and a length with a first letter tells all but a few of them at once.
        let Some(first) = name.first().map(u8::to_ascii_lowercase) else { return Name::Other };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match (name.len(), first) {
            (2, b't') if is("te") => Name::Te,
            (3, b'a') if is("age") => Name::NeverTrailing,
            (4, b'h') if is("host") => Name::Host,
            (4, b'd') if is("date") => Name::Date,
            (4, b'v') if is("vary") => Name::NeverTrailing,
            (5, b'r') if is("range") => Name::NeverTrailing,
            (6, b'e') if is("expect") => Name::Expect,
            (6, b'c') if is("cookie") => Name::NeverTrailing,
            (6, b'p') if is("pragma") => Name::NeverTrailing,
            (7, b'u') if is("upgrade") => Name::Upgrade,
            (7, b't') if is("trailer") => Name::NeverTrailing,
            (7, b'e') if is("expires") => Name::NeverTrailing,
            (8, b'l') if is("location") => Name::NeverTrailing,
            (8, b'i') if is("if-match") => Name::NeverTrailing,
            (8, b'i') if is("if-range") => Name::NeverTrailing,
            (9, b'f') if is("forwarded") => Name::Forwarding,
            (10, b'c') if is("connection") => Name::Connection,
            (10, b'k') if is("keep-alive") => Name::HopByHop,
            (10, b's') if is("set-cookie") => Name::NeverTrailing,
            (10, b't') if is("tracestate") => Name::TraceState,
            (11, b't') if is("traceparent") => Name::TraceParent,
            (11, b'r') if is("retry-after") => Name::NeverTrailing,
            (12, b'x') if is("x-request-id") => Name::RequestId,
            (12, b'm') if is("max-forwards") => Name::MaxForwards,
            (12, b'c') if is("content-type") => Name::NeverTrailing,
            (13, b'a') if is("authorization") => Name::Login,
            (13, b'c') if is("cache-control") => Name::NeverTrailing,
            (13, b'c') if is("content-range") => Name::NeverTrailing,
            (13, b'i') if is("if-none-match") => Name::NeverTrailing,
            (14, b'c') if is("content-length") => Name::ContentLength,
            (14, b'h') if is("http2-settings") => Name::Http2Settings,
            (16, b'p') if is("proxy-connection") => Name::HopByHop,
            (16, b'c') if is("content-encoding") => Name::NeverTrailing,
            (15, b'p') if is("persistent-auth") => Name::Login,
            (16, b'w') if is("www-authenticate") => Name::Login,
            (17, b't') if is("transfer-encoding") => Name::TransferEncoding,
            (17, b'i') if is("if-modified-since") => Name::NeverTrailing,
            (18, b'p') if is("proxy-authenticate") => Name::Login,
            (19, b'p') if is("proxy-authorization") => Name::Login,
            (19, b'i') if is("if-unmodified-since") => Name::NeverTrailing,
            (12.., b'x') if name[..12].eq_ignore_ascii_case(b"x-forwarded-") => Name::Forwarding,
            _ => Name::Other,
        }
    }
    /// Whether a field of this name may pass in a trailer section: not if it concerns framing, routing, the
    /// connection, authentication or how the message is to be handled (RFC 9110 §6.5.1), and not if it says
    /// who the client is, however its dashes are spelt.
    #[must_use]
    pub fn may_trail(name: &[u8]) -> bool {
        let begins = |origin: &&[u8]| {
            name.len() >= origin.len() && name.iter().zip(*origin).all(|(byte, known)| alike(*byte) == *known)
        };
        Name::meant(name) == Name::Other && !ORIGINS.iter().any(begins)
    }
}

/// Beginnings of names by which servers and applications are told who the client is, or by which way it has
/// come, in lower case.
const ORIGINS: [&[u8]; 16] = [
    b"via",
    b"x-forwarded",
    b"x-original-",
    b"x-real-",
    b"x-client-",
    b"x-cluster-client-",
    b"true-client-",
    b"cf-connecting-",
    b"fastly-client-",
    b"client-cert",
    b"x-ssl-",
    b"ssl-client-",
    b"x-remote-",
    b"remote-",
    b"x-auth",
    b"x-user",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_only_whole() {
        for (text, name) in [
            ("Host", Name::Host),
            ("CONTENT-LENGTH", Name::ContentLength),
            ("transfer-Encoding", Name::TransferEncoding),
            ("X-Forwarded-For", Name::Forwarding),
            ("x-forwarded-anything", Name::Forwarding),
            ("x-forwarded", Name::Other),
            ("Proxy-Connection", Name::HopByHop),
            ("content-length2", Name::Other),
            ("Content_Length", Name::Lookalike),
            ("x_forwarded-for", Name::Lookalike),
            ("if_match", Name::Other),
            ("X-Request-ID", Name::RequestId),
            ("X_Request_Id", Name::Lookalike),
            ("TraceParent", Name::TraceParent),
            ("trace_state", Name::Other),
            ("my_own_field", Name::Other),
            ("X_Forwarded_And-A-Name-That-Is-Longer-Than-All-Known-Ones", Name::Lookalike),
            ("", Name::Other),
        ] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
        }
    }
}
