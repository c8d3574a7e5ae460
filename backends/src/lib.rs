//! Toy backends: they behave well, badly, slowly and wrongly, to try a proxy with.
//!
//! A [`Toy`] listens on a TCP address or a Unix socket, behaves as its [`Behaviour`] says, counts what it
//! sees, and is gone when it is dropped. It is blocking code with a thread per connection, because a backend
//! that others are judged by must be simple enough to be believed. Two things are strict on purpose: requests
//! are parsed without leniency, so that a proxy that forwards something ambiguous is found out, and what is
//! sent is a pure function of the behaviour and the request, so that a test can compare bytes.
//!
//! A behaviour above TCP answers HTTP/2 by prior knowledge and gRPC, too; the module `h2` says how.
//!
//! ```
//! use std::io::{Read, Write};
//! use toy_backends::{Behaviour, Toy};
//!
//! let toy = Toy::start("127.0.0.1:0".parse()?, "a", Behaviour::Fixed(5))?;
//! let mut client = std::net::TcpStream::connect(toy.address())?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK\r\nX-Backend: a\r\n"));
//! assert_eq!(toy.requests(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answers;
mod behaviour;
mod body;
mod exchange;
mod h2;
mod pattern;
mod peer;
mod raw;
mod request;
mod response;
mod serve;
mod shared;
mod span;
mod toy;
mod websocket;

pub use behaviour::{Behaviour, CATALOGUE, Entry, ParseBehaviourError};
pub use pattern::{fnv1a, pattern};
pub use toy::Toy;
