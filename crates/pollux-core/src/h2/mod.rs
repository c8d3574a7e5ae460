//! HTTP/2 (RFC 9113) and its compression of fields (RFC 7541).

pub mod bridge;
pub mod closed;
pub mod connection;
pub mod credit;
pub mod decoder;
pub mod encoder;
pub mod fields;
pub mod frame;
pub mod head;
pub mod huffman;
mod huffman_codes;
pub mod integer;
pub mod nuisance;
pub mod priority;
pub mod queues;
pub mod reader;
pub mod request;
pub mod settings;
mod static_table;
mod stream;
pub mod table;

/// The name of HTTP/2 in ALPN (RFC 9113 §3.2).
pub const ALPN: &str = "h2";

#[cfg(test)]
mod tests;
