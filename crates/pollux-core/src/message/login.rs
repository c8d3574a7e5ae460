//! Logins that hold for a connection and not for a request: NTLM, and Negotiate where it ends in NTLM or
//! where the server says `Persistent-Auth` (RFC 4559 §6, MS-N2HT).
//!
//! A backend that was logged in to like that takes every later request on the connection for that user. So a
//! backend connection on which such a scheme was offered or asked for serves one client's connection alone.

use crate::syntax::grammar::{list, trim};

/// The schemes that authenticate a connection.
const SCHEMES: [&[u8]; 2] = [b"NTLM", b"Negotiate"];

/// Whether the value of an authentication field, in either direction, offers or asks for a login of the
/// connection. What stands in a quoted string counts too: a connection that is bound without need costs
/// little.
#[must_use]
pub fn binds(name: &[u8], value: &[u8]) -> bool {
    if name.eq_ignore_ascii_case(b"persistent-auth") {
        return !trim(value).eq_ignore_ascii_case(b"false");
    }
    list(value).any(|member| {
        let end = member.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(member.len());
        SCHEMES.iter().any(|scheme| member[..end].eq_ignore_ascii_case(scheme))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_of_connections_are_told_from_those_of_requests() {
        for (name, value, verdict) in [
            ("Authorization", "NTLM TlRMTVNTUAABAAAA", true),
            ("proxy-authorization", "ntlm TlRMTVNTUAABAAAA", true),
            ("WWW-Authenticate", "NTLM", true),
            ("WWW-Authenticate", " Negotiate ", true),
            ("WWW-Authenticate", "Basic realm=\"x\", Negotiate", true),
            ("WWW-Authenticate", "Negotiate oYG2MIGzoAMKAQ==", true),
            ("Proxy-Authenticate", "NEGOTIATE\tabc", true),
            ("Persistent-Auth", "true", true),
            ("Persistent-Auth", "false", false),
            ("Authorization", "Basic TlRMTQ==", false),
            ("Authorization", "Bearer NTLM", false),
            ("WWW-Authenticate", "Basic realm=\"NTLM\"", false),
            ("WWW-Authenticate", "NTLMv3", false),
            ("WWW-Authenticate", "", false),
        ] {
            assert_eq!(binds(name.as_bytes(), value.as_bytes()), verdict, "{name}: {value}");
        }
    }
}
