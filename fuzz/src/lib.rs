//! The checks of each fuzz target. A target is one line around one of these functions: bytes in, a panic if
//! an oracle is broken.
//!
//! The oracles are written a second time, from the RFCs and as plainly as possible, instead of calling what
//! they judge.

pub mod chunked;
pub mod config;
pub mod connection;
pub mod cuts;
pub mod framing;
pub mod h2;
pub mod head;
pub mod prelude;
pub mod response;
pub mod session;
pub mod wire;
