//! Pollux on real sockets, for what a fake kernel cannot show. Backends are toys or plain sockets; every port
//! is the kernel's choice, and nothing waits for a time to pass.

mod causes;
mod connecting;
mod health;
mod house;
mod http;
mod leaving;
mod logins;
mod metrics;
mod operate;
mod policy;
mod queueing;
mod rebalance;
mod reload;
mod retries;
mod reuse;
mod room;
mod routes;
mod sticky;
mod stopping;
mod tcp;
