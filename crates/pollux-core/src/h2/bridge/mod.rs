//! A stream as the connection of the exchange that it serves.
//!
//! An exchange takes the head of an HTTP/2 client's request as a value ([`request`](super::request)). The body of
//! that request, its answer, and all that passes between it and a backend, it reads and writes as the text of
//! HTTP/1.1. The two halves of the bridge stand between the stream and the exchange:
//!
//! ```text
//!                  heads, Data, Trailers             text: a client's body, a backend's response
//!     Connection ---------------------------> Inward  ---------------------> exchange
//!                <--------------------------- Outward <---------------------
//!                  heads, Data, Trailers             text: the answer to a client, the request to a backend
//! ```
//!
//! Neither half decides anything: [`head`](super::head) has judged what comes, and the exchange what it says. A message that is cut short on one side is cut short on the other, and
//! never looks complete.

mod inward;
mod outward;
mod solo;

pub use inward::{Inward, Unread};
pub use outward::{BrokenText, Outgoing, Outward};
pub use solo::Solo;

#[cfg(test)]
mod tests;
