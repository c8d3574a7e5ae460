//! What workers share with each other: how many clients each has, how many come from one address, a queue
//! into each, what each backend has to do, and how it is.

pub mod clients;
pub mod health;
pub mod pools;
pub mod queue;
pub mod rebalance;
pub mod waker;
