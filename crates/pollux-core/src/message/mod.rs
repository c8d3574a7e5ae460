//! Heads of messages as values, whatever version of HTTP they came by.
//!
//! A codec reads a [`Head`] or a [`Response`], and a codec writes it. Routing, policy, edits, templates and the
//! record of an exchange see only these values. They are borrowed from the buffer of the codec: nothing of a
//! head is copied. Its fields lie in a [`FieldTable`] on the stack of the reader.
//!
//! Invariants: the same request by two versions of HTTP makes equal heads. A name is classified once, by the
//! codec. Every value of a field, and the authority, has passed the strict grammar before a head exists.

mod facts;
mod field;
mod head;
pub mod login;
mod method;
mod name;
mod nominated;
mod response;
mod version;

pub(crate) use facts::Facts;
pub use facts::{PROTOCOLS_MAX, RequestLine};
pub use field::{FieldLine, FieldTable, field_table, join};
pub use head::{BodyLength, Head};
pub use method::Method;
pub use name::Name;
pub use nominated::{NOMINATED_MAX, Nominated};
pub use response::Response;
pub use version::Version;
