//! The pure core: no descriptor, no clock, no randomness. Time and seeds are arguments.

pub mod buffer;
pub mod deadline;
pub mod framer;
pub mod identity;
pub mod interest;
pub mod lane;
pub mod noted;
pub mod outcome;
mod remedy;
pub mod secured;
pub mod slab;
pub mod subject;
pub mod time;
