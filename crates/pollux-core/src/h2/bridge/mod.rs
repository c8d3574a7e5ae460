//! A stream of an HTTP/2 client as the connection of the exchange that serves it.
//!
//! An exchange takes the head of its request as a value ([`request`](super::request)). The body, and all of its
//! answer, it reads and writes as the text of HTTP/1.1. The two halves of the bridge stand between the stream
//! and the exchange:
//!
//! ```text
//!                  Data, Trailers                           text of a body
//!     Connection ---------------------------> Downward ---------------------> exchange
//!                <--------------------------- Upward   <---------------------
//!                  heads, Data, Trailers                    text of a response
//! ```
//!
//! Neither half decides anything: [`head::request`](super::head::request) has judged the request, and the
//! exchange has judged the response. A message that is cut short on one side is cut short on the other, and
//! never looks complete.

mod downward;
mod upward;

pub use downward::{Downward, Unread};
pub use upward::{BrokenText, Outgoing, Upward};

#[cfg(test)]
mod tests;
