//! Observations of a backend, and the latest of them.

use std::collections::VecDeque;
use std::fmt;

use crate::core::grpc::GrpcStatus;
use crate::core::outcome::Cause;
use crate::core::time::Time;

/// So many observations are kept of each backend.
pub const HISTORY_MAX: usize = 32;

/// One look at a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When.
    pub at: Time,
    /// By what.
    pub by: By,
    /// The result.
    pub found: ObservationResult,
}

/// The kind of observation of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A check.
    Check,
    /// A real request.
    Request,
}

impl By {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            By::Check => "check",
            By::Request => "request",
        }
    }
}

/// The result of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservationResult {
    /// It is well; with the status that it answered, if it was asked for one.
    Well(Option<u16>),
    /// A response that it had begun has come to its end.
    Whole,
    /// It is not.
    Ill(BackendFault),
}

/// The fault of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendFault {
    /// For this cause a real request failed, or would have.
    Cause(Cause),
    /// For this cause a response ended that had begun.
    Broken(Cause),
    /// It answered with a status that is not wanted.
    Status(u16),
    /// It answered without the text that is wanted.
    NoText,
    /// A call of gRPC ended with that status.
    Grpc(GrpcStatus),
    /// Its health service does not say that it serves.
    NotServing,
}

impl BackendFault {
    /// Whether a client can bring it about by the request that it chooses: a method, a field or a trailer
    /// that the backend closes the connection for, a slow answer, a status, or more requests at once than the
    /// backend takes. That a backend refuses connections, cannot be reached or shows a bad certificate is no
    /// matter of the request.
    #[must_use]
    pub fn may_be_chosen(self) -> bool {
        !matches!(
            self,
            BackendFault::Cause(
                Cause::BackendRefused
                    | Cause::BackendUnreachable
                    | Cause::BackendTlsExpired
                    | Cause::BackendTlsWrongName
                    | Cause::BackendTlsUnknownIssuer
                    | Cause::BackendTlsBadCertificate
                    | Cause::BackendTlsRefused
            )
        )
    }

    /// The phase that the attempt had reached.
    #[must_use]
    pub fn phase(self) -> &'static str {
        match self {
            BackendFault::Cause(
                Cause::BackendRefused
                | Cause::BackendUnreachable
                | Cause::BackendConnectTimeout
                | Cause::OutOfDescriptors,
            ) => "connect",
            BackendFault::Cause(
                Cause::BackendTlsExpired
                | Cause::BackendTlsWrongName
                | Cause::BackendTlsUnknownIssuer
                | Cause::BackendTlsBadCertificate
                | Cause::BackendTlsRefused
                | Cause::BackendTlsFailed
                | Cause::BackendTlsTimeout,
            ) => "tls",
            BackendFault::Cause(_) | BackendFault::Status(_) | BackendFault::Grpc(_) => "response",
            BackendFault::Broken(_) | BackendFault::NoText | BackendFault::NotServing => "body",
        }
    }
}

impl fmt::Display for BackendFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendFault::Cause(cause) | BackendFault::Broken(cause) => f.write_str(cause.as_str()),
            BackendFault::Status(status) => write!(f, "status {status}"),
            BackendFault::NoText => f.write_str("text not found"),
            BackendFault::Grpc(status) => write!(f, "grpc status {}", status.number()),
            BackendFault::NotServing => f.write_str("not serving"),
        }
    }
}

impl ObservationResult {
    /// The phase that the attempt had reached.
    #[must_use]
    pub fn phase(self) -> &'static str {
        match self {
            ObservationResult::Well(Some(_)) => "response",
            ObservationResult::Well(None) => "connect",
            ObservationResult::Whole => "body",
            ObservationResult::Ill(fault) => fault.phase(),
        }
    }
}

impl fmt::Display for ObservationResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObservationResult::Well(Some(status)) => write!(f, "status {status}"),
            ObservationResult::Well(None) => f.write_str("connected"),
            ObservationResult::Whole => f.write_str("complete"),
            ObservationResult::Ill(fault) => fault.fmt(f),
        }
    }
}

/// The last [`HISTORY_MAX`] observations.
#[derive(Clone, Debug, Default)]
pub struct History(VecDeque<Observation>);

impl History {
    pub(super) fn push(&mut self, observation: Observation) {
        if self.0.len() == HISTORY_MAX {
            self.0.pop_front();
        }
        self.0.push_back(observation);
    }

    /// The oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Observation> {
        self.0.iter()
    }
}
