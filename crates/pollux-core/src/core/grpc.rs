//! The statuses of gRPC, and those of Pollux's own failures.
//!
//! A gRPC client takes no notice of an HTTP status that comes with a body. So a call that Pollux fails is
//! answered by trailers only: HTTP 200, and `grpc-status` with the cause in `grpc-message`.

use super::outcome::Cause;

/// A status code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GrpcStatus {
    /// The call went well.
    Ok = 0,
    /// The caller gave it up.
    Cancelled,
    /// It failed, and no more is known.
    Unknown,
    /// The caller said something that is never valid.
    InvalidArgument,
    /// It may have been carried out, but not in time.
    DeadlineExceeded,
    /// Something that it names is not there.
    NotFound,
    /// Something that it would make is there.
    AlreadyExists,
    /// The caller may not do that.
    PermissionDenied,
    /// A limit is reached.
    ResourceExhausted,
    /// The system is not in the state for it.
    FailedPrecondition,
    /// It was broken off, as by a conflict.
    Aborted,
    /// It goes past a range.
    OutOfRange,
    /// There is no such method.
    Unimplemented,
    /// An invariant is broken.
    Internal,
    /// The service is away; the call may be made again.
    Unavailable,
    /// Data is lost.
    DataLoss,
    /// It is not known who calls.
    Unauthenticated,
}

impl GrpcStatus {
    /// Every status, in the order of their numbers.
    pub const ALL: [GrpcStatus; 17] = [
        GrpcStatus::Ok,
        GrpcStatus::Cancelled,
        GrpcStatus::Unknown,
        GrpcStatus::InvalidArgument,
        GrpcStatus::DeadlineExceeded,
        GrpcStatus::NotFound,
        GrpcStatus::AlreadyExists,
        GrpcStatus::PermissionDenied,
        GrpcStatus::ResourceExhausted,
        GrpcStatus::FailedPrecondition,
        GrpcStatus::Aborted,
        GrpcStatus::OutOfRange,
        GrpcStatus::Unimplemented,
        GrpcStatus::Internal,
        GrpcStatus::Unavailable,
        GrpcStatus::DataLoss,
        GrpcStatus::Unauthenticated,
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Reads a value of `grpc-status`. Numbers that gRPC has no name for are UNKNOWN, as its clients take them.
    #[must_use]
    pub fn read(value: &[u8]) -> GrpcStatus {
        let number = match value {
            [one] if one.is_ascii_digit() => one - b'0',
            [b'1', one] if one.is_ascii_digit() => 10 + one - b'0',
            _ => GrpcStatus::Unknown.number(),
        };
        GrpcStatus::ALL.get(usize::from(number)).copied().unwrap_or(GrpcStatus::Unknown)
    }

    /// The status for an HTTP status that a caller gets in the place of an answer, by the rules that gRPC's
    /// clients have for it. 429 alone differs: a client that is told UNAVAILABLE may call again at once.
    #[must_use]
    pub const fn of_http(status: u16) -> GrpcStatus {
        match status {
            400 => GrpcStatus::Internal,
            401 => GrpcStatus::Unauthenticated,
            403 => GrpcStatus::PermissionDenied,
            404 => GrpcStatus::Unimplemented,
            429 => GrpcStatus::ResourceExhausted,
            502..=504 => GrpcStatus::Unavailable,
            _ => GrpcStatus::Unknown,
        }
    }

    /// The HTTP status by which the health of a backend is judged that answers a call with this one: only of
    /// statuses that say the server is at fault. UNIMPLEMENTED is none of them: it is the caller who names a method.
    #[must_use]
    pub const fn as_http(self) -> Option<u16> {
        match self {
            GrpcStatus::Unknown | GrpcStatus::Internal | GrpcStatus::DataLoss => Some(500),
            GrpcStatus::Unavailable => Some(503),
            GrpcStatus::DeadlineExceeded => Some(504),
            GrpcStatus::Ok
            | GrpcStatus::Cancelled
            | GrpcStatus::InvalidArgument
            | GrpcStatus::NotFound
            | GrpcStatus::AlreadyExists
            | GrpcStatus::PermissionDenied
            | GrpcStatus::ResourceExhausted
            | GrpcStatus::FailedPrecondition
            | GrpcStatus::Aborted
            | GrpcStatus::OutOfRange
            | GrpcStatus::Unimplemented
            | GrpcStatus::Unauthenticated => None,
        }
    }

    /// The status for a failure of Pollux's own, which has `status` in HTTP.
    ///
    /// UNAVAILABLE invites a client to call again, so it is said only where no backend can be at work on the
    /// call, or its connection broke, as a client without a proxy would see it.
    #[must_use]
    pub const fn of_cause(cause: Cause, status: u16) -> GrpcStatus {
        if matches!(
            cause,
            Cause::BackendResponseTimeout
                | Cause::BackendStalled
                | Cause::ClientHeadTimeout
                | Cause::ClientBodyTimeout
        ) {
            return GrpcStatus::DeadlineExceeded;
        }
        // More calls would make an overload worse, and a message that is too long stays so.
        if matches!(
            cause,
            Cause::QueueFull
                | Cause::QueueTimeout
                | Cause::OutOfBuffers
                | Cause::OutOfDescriptors
                | Cause::MadeRoom
                | Cause::BodyTooLong
                | Cause::HeadTooLong
                | Cause::HeadTooLongForBackend
                | Cause::TargetTooLong
        ) {
            return GrpcStatus::ResourceExhausted;
        }
        if matches!(cause, Cause::BackendBadResponse | Cause::BackendHeadTooLong) {
            return GrpcStatus::Internal;
        }
        GrpcStatus::of_http(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_others_are_unknown() {
        for (number, status) in GrpcStatus::ALL.iter().enumerate() {
            assert_eq!(usize::from(status.number()), number);
            assert_eq!(GrpcStatus::read(number.to_string().as_bytes()), *status);
        }
        for other in [&b""[..], b"17", b"19", b"99", b"-1", b"1a", b"OK", b"007"] {
            assert_eq!(GrpcStatus::read(other), GrpcStatus::Unknown);
        }
    }

    #[test]
    fn no_failure_is_ok_and_only_those_that_may_be_repeated_are_unavailable() {
        for cause in Cause::ALL.iter().copied() {
            let Some(http) = cause.status() else { continue };
            let status = GrpcStatus::of_cause(cause, http);
            assert_ne!(status, GrpcStatus::Ok, "{cause}");
            assert!(status != GrpcStatus::Unavailable || (502..=504).contains(&http), "{cause}");
            // grpc-message is percent-encoded where it has other bytes than these.
            assert!(
                cause.as_str().bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'),
                "{cause}"
            );
        }
        assert_eq!(GrpcStatus::of_cause(Cause::BackendResponseTimeout, 504), GrpcStatus::DeadlineExceeded);
        assert_eq!(GrpcStatus::of_cause(Cause::BackendConnectTimeout, 504), GrpcStatus::Unavailable);
        assert_eq!(GrpcStatus::of_cause(Cause::QueueFull, 503), GrpcStatus::ResourceExhausted);
        assert_eq!(GrpcStatus::of_cause(Cause::NoRoute, 404), GrpcStatus::Unimplemented);
    }
}
