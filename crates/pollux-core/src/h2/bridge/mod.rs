//! A stream as the connection of the exchange that it serves.
//!
//! An exchange takes the head of an HTTP/2 client's request as a value ([`request`](super::request)). The body of
//! that request, its answer, and all that passes between it and a backend, it reads and writes as the text of
//! HTTP/1.1. The two halves of the bridge stand between the stream and the exchange:
//!
//! ```text
//!                  heads, Data, Trailers              text: a client's body, a backend's response
//!     Connection ---------------------------> Downward ---------------------> exchange
//!                <--------------------------- Upward   <---------------------
//!                  heads, Data, Trailers              text: the answer to a client, the request to a backend
//! ```
//!
//! Neither half decides anything: [`head`](super::head) has judged what comes, and the exchange what it says. A message that is cut short on one side is cut short on the other, and
//! never looks complete.

mod downward;
mod solo;
mod upward;

pub use downward::{Downward, Unread};
pub use solo::Solo;
pub use upward::{BrokenText, Outgoing, Upward};

#[cfg(test)]
mod tests;
