//! Fields that tell backends and clients about a request, besides those that it needs.

use crate::core::options::{Hsts, Interims};

/// The fields that tell a backend of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// X-Forwarded-For, -Proto and -Host.
    #[default]
    XForwarded,
    /// Forwarded (RFC 7239).
    Forwarded,
}

impl Forwarding {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Forwarding::XForwarded => "x-forwarded",
            Forwarding::Forwarded => "forwarded",
        }
    }
}

/// The facts of a request that a listener discloses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disclosure {
    /// Which sides X-Request-ID is sent to.
    pub request_id: RequestIds,
    /// The treatment of traces.
    pub traces: Traces,
    /// Which responses have Proxy-Status.
    pub proxy_status: ProxyStatus,
    /// The policy for later connections that clients get that have come by TLS, if any.
    pub hsts: Option<Hsts>,
    /// Which interim responses HTTP/1.1 clients get.
    pub interims: Interims,
}

/// Which sides X-Request-ID is sent to. The access line has the identifier in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestIds {
    /// The backend.
    #[default]
    Backend,
    /// The backend and, in the response, the client.
    Both,
    /// Neither: the field passes as the client said it.
    Off,
}

impl RequestIds {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestIds::Backend => "backend",
            RequestIds::Both => "both",
            RequestIds::Off => "off",
        }
    }
}

/// The treatment of traces (W3C Trace Context).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Traces {
    /// They pass as the client said them.
    #[default]
    Pass,
    /// It is passed on, and one is begun where there is none.
    Start,
}

impl Traces {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Traces::Pass => "pass",
            Traces::Start => "start",
        }
    }
}

/// Which responses have Proxy-Status (RFC 9209).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyStatus {
    /// Pollux's own answers, with the cause.
    #[default]
    Own,
    /// All: those of backends say which one it was.
    All,
    /// None.
    Off,
}

impl ProxyStatus {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ProxyStatus::Own => "own",
            ProxyStatus::All => "all",
            ProxyStatus::Off => "off",
        }
    }
}
