//! Pollux: a reverse proxy and load balancer, one `poll(2)` loop per worker thread.
//!
//! `ARCHITECTURE.md` is the guide to the house; this is the map of its rooms.

pub mod access;
pub mod admin;
pub mod balance;
pub mod config;
pub mod control;
pub mod core;
pub mod discovery;
pub mod explain;
pub mod http;
pub mod lane;
pub mod metrics;
pub mod os;
pub mod plan;
pub mod preface;
pub mod recorder;
pub mod room;
pub mod route;
pub mod session;
pub mod shared;
pub mod snapshot;
pub mod status;
pub mod syntax;
pub mod tls;
pub mod why;
pub mod wire;
pub mod worker;
