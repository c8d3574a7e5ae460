//! Pollux: a reverse proxy and load balancer, one `poll(2)` loop per worker thread.
//!
//! This page is the map of the rooms. `ARCHITECTURE.md` has the idea, the invariants and the bounds, and says
//! which file to open for a change. `docs/README.md` is for operators.
//!
//! # The heart
//!
//! | room | subject |
//! |---|---|
//! | [`lane`] | the bytes of one direction: source, buffer, framer, sink |
//! | [`http`] | HTTP/1.1 heads, framing, bodies and Pollux's own answers, as functions over bytes |
//! | [`session`] | one accepted client as a state machine: phases, interest, deadline, effects |
//! | [`worker`] | the poll loop: derives the poll array, polls, drives sessions, moves bytes |
//!
//! # Decisions
//!
//! These rooms are pure: they hold no descriptor, no clock and no randomness. So are [`lane`], [`http`],
//! [`session`] and [`snapshot`]. All of them are in a crate of its own, [`pollux_core`], which is shown here
//! under the old paths.
//!
//! | room | subject |
//! |---|---|
//! | [`message`] | the head of a message as a value, whatever version of HTTP it came by |
//! | [`route`] | which route takes a request |
//! | [`balance`] | which backend serves it; in [`balance::health`], what failures and checks mean |
//! | [`prelude`] | PROXY headers and ClientHellos |
//! | [`room`] | which sessions make room at a bound |
//! | [`recorder`] | the steps of each exchange |
//! | [`h2`] | HTTP/2 as a codec; no listener speaks it yet |
//! | [`syntax`], [`core`] | grammar, targets; time, slab, deadlines, causes |
//!
//! # The world
//!
//! | room | subject |
//! |---|---|
//! | [`os`] | `trait Os`: the one seam to the system calls, behind it Linux or a simulated kernel |
//! | [`wire`], [`tls`] | an open connection as bytes; certificates, tickets, handshakes |
//! | [`shared`] | what workers share: loads, requests in flight, health, queues |
//! | [`control`] | start, reload, drain, upgrade, signals, the control socket |
//! | [`config`], [`snapshot`] | `proxy.toml` from text to one immutable value |
//! | [`discovery`] | backends from the DNS and from files |
//!
//! # What operators see
//!
//! | room | subject |
//! |---|---|
//! | [`explain`], [`plan`], [`why`] | what would become of a request; what a reload would do; what a cause means |
//! | [`status`], [`metrics`], [`access`], [`admin`] | the status, metrics, the access log, the admin address with its dashboard |

pub mod access;
pub mod admin;
pub mod config;
pub mod control;
pub mod discovery;
pub mod explain;
pub mod metrics;
pub mod operator;
pub mod os;
pub mod plan;
pub mod shared;
pub mod status;
pub mod tls;
pub mod value;
pub mod why;
pub mod wire;
pub mod worker;

pub use pollux_core::{
    balance, core, h2, http, lane, message, policy, prelude, recorder, room, route, session, snapshot, syntax,
};
