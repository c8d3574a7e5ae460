//! The pure core: no descriptor, no clock, no randomness. Time and seeds are arguments.

pub mod bounds;
pub mod budget;
pub mod buffer;
pub mod deadline;
pub mod duty;
pub mod endpoint;
pub mod identity;
pub mod ids;
pub mod interest;
pub mod noted;
pub mod options;
pub mod outcome;
mod remedy;
pub mod secured;
pub mod slab;
pub mod subject;
pub mod time;
