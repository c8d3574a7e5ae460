//! Which requests are calls of gRPC.

use ::core::num::NonZeroU32;

use crate::core::grpc::GrpcStatus;
use crate::message::{FieldLine, Head, Version};
use crate::syntax::grammar::{decimal, trim};

/// The field that says how a call has ended: a trailer, or a header field where there are trailers only.
pub const GRPC_STATUS: &[u8] = b"grpc-status";

/// The status of the call in the head of its answer, where there are trailers only.
#[must_use]
pub fn status_of(fields: &[FieldLine<'_>]) -> Option<GrpcStatus> {
    let is_status = |field: &&FieldLine<'_>| field.name.as_bytes().eq_ignore_ascii_case(GRPC_STATUS);
    fields.iter().find(is_status).map(|field| GrpcStatus::read(trim(field.value)))
}

/// Whether a value of Content-Type is that of gRPC: `application/grpc`. gRPC-Web is not gRPC here: its clients run
/// in browsers, read the HTTP status, and cannot see trailers.
#[must_use]
pub fn is_type(kind: &[u8]) -> bool {
    const KIND: &[u8] = b"application/grpc";
    let begins = kind.get(..KIND.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(KIND));
    begins && matches!(kind.get(KIND.len()), None | Some(b'+' | b';' | b' '))
}

/// Whether a request is a call: POST by HTTP/2, of [that type](is_type).
#[must_use]
pub fn is_call(head: &Head<'_>) -> bool {
    if head.version != Version::Http2 || head.method_text != "POST" {
        return false;
    }
    head.fields.iter().find(|field| field.name == "content-type").is_some_and(|field| is_type(field.value))
}

/// The milliseconds that the caller gives a call (`grpc-timeout`), counted up; more than a u32 holds are as many
/// as it holds. A value that breaks the grammar is none: it passes, and the server is the one to judge it.
#[must_use]
pub fn timeout_ms(head: &Head<'_>) -> Option<NonZeroU32> {
    /// `TimeoutValue`: a positive number of so many digits at most.
    const DIGITS_MAX: usize = 8;
    let field = head.fields.iter().find(|field| field.name == "grpc-timeout")?;
    let (unit, digits) = field.value.split_last()?;
    let nanos: u64 = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    let count = decimal(digits).filter(|_| digits.len() <= DIGITS_MAX)?;
    let ms = count.saturating_mul(nanos).div_ceil(1_000_000);
    NonZeroU32::new(u32::try_from(ms).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::bounds::Limits;
    use crate::http::request;
    use crate::message::field_table;

    #[test]
    fn a_call_is_known_by_version_method_and_type() {
        let is = |method: &str, kind: &str, version: Version| {
            let text = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\n\r\n");
            let mut table = field_table();
            let head = request::read(text.as_bytes(), &mut table, &Limits::default()).unwrap();
            is_call(&Head { version, ..head })
        };
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC;a=b"] {
            assert!(is("POST", kind, Version::Http2), "{kind}");
            assert!(!is("GET", kind, Version::Http2) && !is("POST", kind, Version::Http11), "{kind}");
        }
        for kind in
            ["application/grpc-web", "application/grpc-web-text+proto", "application/grpcs", "text/plain"]
        {
            assert!(!is("POST", kind, Version::Http2), "{kind}");
        }
    }

    #[test]
    fn the_time_of_a_call_has_eight_digits_and_a_unit() {
        let read = |value: &str| {
            let text = format!("POST / HTTP/1.1\r\nhost: a\r\ngrpc-timeout: {value}\r\n\r\n");
            let mut table = field_table();
            timeout_ms(&request::read(text.as_bytes(), &mut table, &Limits::default()).unwrap())
                .map(NonZeroU32::get)
        };
        for (value, ms) in [
            ("1H", 3_600_000),
            ("2M", 120_000),
            ("3S", 3000),
            ("100m", 100),
            ("1001u", 2),
            ("1n", 1),
            ("00000001S", 1000),
            ("99999999H", u32::MAX),
        ] {
            assert_eq!(read(value), Some(ms), "{value}");
        }
        for bad in ["", "S", "1", "0m", "-1S", "+1S", "1.5S", "1 S", "1s", "1Sx", "100000000n"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
