//! HTTP/1.1 as pure functions over bytes: heads, framing, bodies, rewriting, Pollux's own answers.
//!
//! Nothing in here knows of connections. The rules are those of RFC 9110 (semantics) and RFC 9112 (HTTP/1.1);
//! where a rule leaves a choice between lenient and strict, the strict reading is taken.

pub mod answer;
pub mod body;
pub mod date;
pub mod dav;
pub mod disclosure;
pub mod forward;
pub mod forwarded;
pub mod framing;
pub mod grpc;
pub(crate) mod lines;
pub mod request;
pub mod response;
pub mod scan;
