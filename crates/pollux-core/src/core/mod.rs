//! The pure core: no descriptor, no clock, no randomness. Time and seeds are arguments.

pub mod admin_state;
pub mod bounds;
pub mod budget;
pub mod buffer;
pub mod captured;
pub mod deadline;
pub mod delivery;
pub mod endpoint;
pub mod grpc;
pub mod identity;
pub mod ids;
pub mod interest;
pub mod options;
pub mod outcome;
mod remedy;
pub mod slab;
pub mod subject;
pub mod time;
pub mod tls_info;
pub mod word;
