//! The bytes before the conversation of a connection: a header of the PROXY protocol (`proxy`), and the
//! ClientHello of a TLS client that is passed on as it is (`hello`).
//!
//! Both are read where they lie, at most once for each piece that comes in, and have bounds. The
//! result does not depend on how bytes are split on their way.

pub mod hello;
pub mod proxy;

/// The longest prelude of either kind, in bytes.
pub const LENGTH_MAX: usize = 16 * 1024;
