//! The pure half of Pollux, a reverse proxy and load balancer: what decides, and knows nothing of the world.
//!
//! Nothing in this crate opens a socket or a file, reads a clock or draws a random number, starts a thread,
//! or looks at the environment. Time and seeds are arguments, bytes come in and go out through buffers, and
//! what is to be done outside is a value that is returned. So the same code serves traffic, answers
//! `explain`, `[[test]]` and `plan`, runs in the simulator, and is fuzzed.
//!
//! # The rooms
//!
//! Each room names only rooms above it in this table.
//!
//! | room | what it has |
//! |---|---|
//! | [`core`] | time, interest, buffer, deadline, slab, the causes of endings, and the values that all rooms share |
//! | [`syntax`] | the grammar of header fields and request targets |
//! | [`prelude`] | what a connection begins with before its conversation: a PROXY header, a ClientHello that is passed on |
//! | [`message`] | the head of a message as a value, whatever version of HTTP it came by |
//! | [`route`] | which route takes a request; templates; paths in their normal form |
//! | [`http`] | HTTP/1.1 as a codec: heads, framing, chunks, rewriting, and Pollux's own answers |
//! | [`h2`] | HTTP/2: frames, field compression, settings, windows, and heads held to RFC 9113; no listener speaks it yet |
//! | [`lane`] | one direction of a relay, and the framer that says how far its bytes may pass |
//! | [`room`] | which sessions make room where a bound is reached |
//! | [`snapshot`] | the checked configuration as one immutable value |
//! | [`balance`] | which backend of a pool serves, and what checks and failures make of a backend |
//! | [`policy`] | which requests go on, are answered or wait for a reply; the questions of sessions |
//! | [`recorder`] | the steps of each exchange, and which are kept aside |
//! | [`session`] | one accepted client: phases, opening, relay, exchange, and what it waits for until when |
//!
//! # Invariants
//!
//! - A route is found, a backend is picked and a request is judged from values alone: the same arguments give
//!   the same result.
//! - A session knows no descriptor. It asks for effects, and it is told what came of them.
//! - What a session waits for, and until when, is derived from its state at each turn. Nothing is armed or
//!   cancelled.
//! - A lane moves no byte itself. A full sink leaves no room, so its source is not read.
//! - Bytes of a peer never make this crate panic, take memory without a bound, or take more than linear time.
//!
//! The manifest and `clippy.toml` of this crate are the wall that holds this. `pollux` is the other half.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod balance;
pub mod core;
pub mod h2;
pub mod http;
pub mod lane;
pub mod message;
pub mod policy;
pub mod prelude;
pub mod recorder;
pub mod room;
pub mod route;
pub mod session;
pub mod snapshot;
pub mod syntax;
