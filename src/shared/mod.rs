//! What the workers of a process share: no lock and no line of cache that a request would touch.

pub mod neighbours;
