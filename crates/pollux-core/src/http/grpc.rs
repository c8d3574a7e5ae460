//! Which requests are calls of gRPC.

use crate::core::grpc::GrpcStatus;
use crate::message::{FieldLine, Head, Version};
use crate::syntax::grammar::trim;

/// The field that says how a call has ended: a trailer, or a header field where there are trailers only.
pub const GRPC_STATUS: &[u8] = b"grpc-status";

/// The status of the call in the head of its answer, where there are trailers only.
#[must_use]
pub fn status_of(fields: &[FieldLine<'_>]) -> Option<GrpcStatus> {
    let is_status = |field: &&FieldLine<'_>| field.name.as_bytes().eq_ignore_ascii_case(GRPC_STATUS);
    fields.iter().find(is_status).map(|field| GrpcStatus::read(trim(field.value)))
}

/// Whether a request is a call: POST by HTTP/2, of the type `application/grpc`. gRPC-Web is not gRPC here: its
/// clients run in browsers, read the HTTP status, and cannot see trailers.
#[must_use]
pub fn is_call(head: &Head<'_>) -> bool {
    const KIND: &[u8] = b"application/grpc";
    if head.version != Version::Http2 || head.method_text != "POST" {
        return false;
    }
    let kind = head.fields.iter().find(|field| field.name == "content-type").map_or(&b""[..], |it| it.value);
    let begins = kind.get(..KIND.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(KIND));
    begins && matches!(kind.get(KIND.len()), None | Some(b'+' | b';' | b' '))
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
}
