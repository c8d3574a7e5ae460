//! State that workers share: the clients of each, the clients of each address, a queue into each, and the
//! load and health of each backend.

pub mod authority;
pub mod clients;
pub mod health;
pub mod pools;
pub mod queue;
pub mod rebalance;
pub mod waker;
