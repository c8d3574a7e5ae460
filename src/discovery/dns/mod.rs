//! A small client of the DNS (RFC 1035): addresses and services (RFC 2782), asked of a recursive server.
//!
//! It sends a datagram to one server after the other, and asks over TCP where the answer did not fit. Each
//! answer is taken for what it says and no more: addresses that a server adds to an SRV answer may be some of
//! many (RFC 2181 section 9), so targets are asked for. The system's resolver knows no SRV records and cannot
//! be pointed at a server; what it knows besides the DNS (`/etc/hosts`, search domains) holds for plain names
//! without a `resolver`, and not here. Every loop has a bound, and every question ends by a deadline.

mod exchange;
mod lookup;
mod message;
mod resolv;
mod service;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(super) use resolv::system_servers;

use super::IpFamily;
use message::Kind;

/// The most servers that may be named.
pub const SERVERS_MAX: usize = 8;

/// The time that a question may take in all.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that a server has for an answer, the first time and the second.
const ROUNDS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// A caller, and the time by which it needs an answer.
#[derive(Clone, Debug)]
pub(super) struct Client<'a> {
    servers: &'a [SocketAddr],
    family: IpFamily,
    rounds: [Duration; 2],
    deadline: Instant,
}

impl<'a> Client<'a> {
    /// One that asks `servers` for addresses of `family`, in their order, beginning now.
    pub(super) fn new(servers: &'a [SocketAddr], family: IpFamily) -> Client<'a> {
        Client { servers, family, rounds: ROUNDS, deadline: Instant::now() + QUERY_TIMEOUT }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The name cannot be asked for.
    BadName,
    /// There is no such name (NXDOMAIN).
    NoName,
    /// There is the name, but no record of that kind.
    NoRecord(Kind),
    /// A chain of aliases that is too long, or goes in a circle.
    Chain,
    /// The servers were there, but had no answer: what the last of them said.
    Refused(String),
    /// No server said anything that could be used: what the last attempt came to.
    Silent(String),
}

impl Failure {
    /// Whether it is known that there is nothing.
    fn is_certain(&self) -> bool {
        match self {
            Failure::BadName | Failure::NoName | Failure::NoRecord(_) => true,
            Failure::Chain | Failure::Refused(_) | Failure::Silent(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::BadName => f.write_str("this cannot be a name in the DNS"),
            Failure::NoName => f.write_str("there is no such name (NXDOMAIN)"),
            Failure::NoRecord(kind) => write!(f, "the name has no {kind} record"),
            Failure::Chain => {
                write!(f, "more than {} aliases (CNAME), one behind the other", lookup::CHAIN_MAX)
            }
            Failure::Refused(why) | Failure::Silent(why) => f.write_str(why),
        }
    }
}

/// The result, and the time for which it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found<T> {
    pub(super) what: T,
    pub(super) ttl: Duration,
    /// The family of which nothing is known now, where there was an answer for the other one.
    pub(super) lacks: Option<IpFamily>,
}
