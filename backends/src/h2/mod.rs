//! HTTP/2 by prior knowledge (RFC 9113), and gRPC on top of it.
//!
//! The frames and the compression of fields are those of `pollux_core`, which the tests hold against three other
//! implementations. The connection is not: its windows and its streams are kept here by a lock and a condition,
//! so that the machine under test is not judged by itself.
//!
//! Each stream is an HTTP/1.1 connection with one request to the code that behaves: [`StreamConn`] translates
//! both ways. So each behaviour is that of HTTP/1.1, and what ends a connection there ends a stream here. Calls
//! of gRPC are answered without this detour.

mod grpc;
mod health;
mod line;
mod reader;
mod request;
mod translate;

pub(crate) use health::{Health, switch};
pub(crate) use reader::serve;
pub(crate) use translate::StreamConn;
