//! What workers share with each other: how many clients each has, a queue into each, and what each backend has to do.

pub mod neighbours;
pub mod pools;
pub mod queue;
