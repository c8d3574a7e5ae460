//! The health rules of a pool.

use std::time::Duration;

/// When failures of real requests eject a backend, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passive {
    /// So many failures in a row eject; 0 is never.
    pub failures: u32,
    /// The share of the requests in a window that must fail to eject, in thousandths; `None` is never.
    pub failure_rate: Option<u32>,
    /// The length of that window.
    pub window: Duration,
    /// So many requests there must be in it at least.
    pub window_min: u32,
    /// The errors that count as failures.
    pub errors: Errors,
    /// The time of the first ejection. Each that follows soon lasts twice as long as the one before.
    pub eject: Duration,
    /// The longest ejection.
    pub eject_max: Duration,
    /// So many of the backends are ejected at most, in thousandths of them.
    pub max_ejected: u32,
    /// When fewer than that share of the backends can be used, in thousandths, all are; `None` is never.
    pub panic: Option<u32>,
    /// The time that a backend takes to its full weight when it comes back; `None` is at once.
    pub slow_start: Option<Duration>,
}

impl Default for Passive {
    fn default() -> Self {
        Passive {
            failures: 5,
            failure_rate: None,
            window: Duration::from_secs(10),
            window_min: 20,
            errors: Errors::default(),
            eject: Duration::from_secs(10),
            eject_max: Duration::from_secs(300),
            max_ejected: 500,
            panic: Some(100),
            slow_start: None,
        }
    }
}

/// The errors that count as failures of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// A connect that failed or took too long.
    pub connect: bool,
    /// A connection that was lost, or a response that was none.
    pub reset: bool,
    /// A response that did not come, or stalled.
    pub timeout: bool,
    /// A response with one of these.
    pub statuses: Vec<(u16, u16)>,
}

impl Default for Errors {
    fn default() -> Self {
        Errors { connect: true, reset: true, timeout: true, statuses: Vec::new() }
    }
}

impl Errors {
    /// Whether a response with `status` is one.
    #[must_use]
    pub fn has_status(&self, status: u16) -> bool {
        is_among(&self.statuses, status)
    }
}

/// Whether `status` lies in one of `ranges`, both ends included.
#[must_use]
pub fn is_among(ranges: &[(u16, u16)], status: u16) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&status))
}

/// The check of a pool's backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The kind of check.
    pub kind: CheckKind,
    /// Another port than that of the backend.
    pub port: Option<u16>,
    /// From one check to the next.
    pub interval: Duration,
    /// The pause while a backend is about to change: between its first dissenting check and the last.
    pub fast_interval: Duration,
    /// By so much an interval may be longer or shorter, in thousandths.
    pub jitter: u32,
    /// For one check.
    pub timeout: Duration,
    /// So many in a row must pass to bring a backend up.
    pub rise: u32,
    /// So many in a row must fail to take it down.
    pub fall: u32,
    /// The state until then.
    pub start: Start,
}

impl Default for Check {
    fn default() -> Self {
        Check {
            kind: CheckKind::Tcp,
            port: None,
            interval: Duration::from_secs(2),
            fast_interval: Duration::from_secs(1),
            jitter: 100,
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            start: Start::Up,
        }
    }
}

/// The kind of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A connect.
    Tcp,
    /// A request.
    Http(Http),
    /// A call of `grpc.health.v1.Health/Check`, by HTTP/2.
    Grpc(Grpc),
}

/// The call of a gRPC check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grpc {
    /// The service that is asked about; empty is the server as a whole.
    pub service: String,
}

/// The answer that a check awaits.
#[derive(Clone, Copy, Debug)]
pub enum Expected<'a> {
    /// One that `http` calls good.
    Http(&'a Http),
    /// The status SERVING of gRPC.
    Serving,
}

/// The request of a check, and what it is to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The method.
    pub method: String,
    /// The path, with a query if there is one.
    pub path: String,
    /// The Host; `None` is the address of the backend.
    pub host: Option<String>,
    /// The statuses that are good.
    pub statuses: Vec<(u16, u16)>,
    /// A text in the first 64 KiB of the body.
    pub text: Option<String>,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            method: String::from("GET"),
            path: String::from("/"),
            host: None,
            statuses: vec![(200, 399)],
            text: None,
        }
    }
}

/// The state of a backend before its checks have decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// It is up.
    #[default]
    Up,
    /// It is down until `rise` checks have passed.
    Down,
    /// It is down until the first check, which decides alone.
    CheckFirst,
}

impl Start {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Start::Up => "up",
            Start::Down => "down",
            Start::CheckFirst => "check-first",
        }
    }
}

impl CheckKind {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            CheckKind::Tcp => "tcp",
            CheckKind::Http(_) => "http",
            CheckKind::Grpc(_) => "grpc",
        }
    }

    /// The answer that it awaits, if it makes a request.
    #[must_use]
    pub const fn expected(&self) -> Option<Expected<'_>> {
        match self {
            CheckKind::Tcp => None,
            CheckKind::Http(http) => Some(Expected::Http(http)),
            CheckKind::Grpc(_) => Some(Expected::Serving),
        }
    }
}
