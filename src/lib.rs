//! Pollux: a reverse proxy and load balancer, one `poll(2)` loop per worker thread.
//!
//! `ARCHITECTURE.md` is the guide to the house; this is the map of its rooms.
