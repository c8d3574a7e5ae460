//! A stream of an HTTP/2 client as an HTTP/1.1 connection with one request, for the exchange that serves it.
//!
//! An exchange reads and writes the text of HTTP/1.1, and only its backend may see that text. For a client that
//! speaks HTTP/2 the two halves of the bridge stand between the stream and the exchange:
//!
//! ```text
//!                  RequestHead, Data, Trailers                 text of a request
//!     Connection ------------------------------> Downward --------------------> exchange
//!                <------------------------------ Upward   <--------------------
//!                  ResponseHead, Data, Trailers                text of a response
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
