//! Which backend of a pool serves an exchange: pure functions of a view of the backends.

mod round_robin;

pub use round_robin::RoundRobin;
