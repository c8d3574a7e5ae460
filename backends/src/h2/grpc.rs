//! Calls of gRPC: an echo in all four forms, and `grpc.health.v1`.
//!
//! The form follows from the name of the method: `Collect` answers all messages with one, joined; `Repeat`
//! answers its first message ten times; any other echoes each message as it comes, which serves unary calls and
//! streams both ways.

use std::io;

use super::health;
use super::line::Line;
use super::request::RequestFields;
use crate::behaviour::Behaviour;
use crate::shared::Shared;

/// The longest message, and the longest answer of `Collect`.
const MESSAGE_MAX: usize = 4 * 1024 * 1024;
/// The answers of `Repeat`.
const REPEATS: usize = 10;

/// A status with which a call ends (the numbers of gRPC).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Status(pub(super) u32);

impl Status {
    pub(super) const OK: Status = Status(0);
    pub(super) const INVALID_ARGUMENT: Status = Status(3);
    pub(super) const NOT_FOUND: Status = Status(5);
    pub(super) const RESOURCE_EXHAUSTED: Status = Status(8);
}

/// Why a call ends early.
pub(super) enum Ending {
    /// The stream is gone.
    Gone,
    /// The call is answered with this status.
    Status(Status),
}

impl From<io::Error> for Ending {
    fn from(_: io::Error) -> Ending {
        Ending::Gone
    }
}

/// Whether a behaviour answers calls of gRPC as such; the others answer them as HTTP.
pub(super) fn speaks(behaviour: &Behaviour) -> bool {
    match behaviour {
        Behaviour::Echo
        | Behaviour::SlowFirstByte(_)
        | Behaviour::H2Goaway(_)
        | Behaviour::H2Refuse(_)
        | Behaviour::H2Streams(_)
        | Behaviour::H2Stuck
        | Behaviour::H2NoPing
        | Behaviour::GrpcStatus(_) => true,
        Behaviour::Fixed(_)
        | Behaviour::Chunked { .. }
        | Behaviour::SlowDrip { .. }
        | Behaviour::CloseDelimited(_)
        | Behaviour::EarlyResponse
        | Behaviour::Close
        | Behaviour::Reset
        | Behaviour::Truncated(_)
        | Behaviour::Garbage
        | Behaviour::Extra
        | Behaviour::Interim(_)
        | Behaviour::Websocket
        | Behaviour::Sse { .. }
        | Behaviour::Upload
        | Behaviour::TcpEcho
        | Behaviour::SpeaksFirst(_)
        | Behaviour::TcpClose
        | Behaviour::TcpReset
        | Behaviour::TcpSink
        | Behaviour::Silent
        | Behaviour::H2Short(_) => false,
    }
}

/// Answers a call to its end.
pub(super) fn serve(line: &Line, stream: u32, request: &RequestFields, toy: &Shared) {
    let mut call = Call { line, stream, toy, has_begun: false };
    let ending = if let Behaviour::GrpcStatus(status) = toy.behaviour {
        Err(Ending::Status(Status(status)))
    } else if let Behaviour::SlowFirstByte(wait) = toy.behaviour {
        toy.pause(wait).map_err(Ending::from).and_then(|()| call.answer(request))
    } else {
        call.answer(request)
    };
    let status = match ending {
        Ok(()) => Some(Status::OK),
        Err(Ending::Status(status)) => Some(status),
        Err(Ending::Gone) => None,
    };
    if let Some(status) = status {
        let _ = call.end(status);
    }
    line.close(stream);
}

/// One call.
pub(super) struct Call<'a> {
    line: &'a Line,
    stream: u32,
    pub(super) toy: &'a Shared,
    has_begun: bool,
}

impl Call<'_> {
    fn answer(&mut self, request: &RequestFields) -> Result<(), Ending> {
        match &request.path[..] {
            "/grpc.health.v1.Health/Check" => health::check(self),
            "/grpc.health.v1.Health/Watch" => health::watch(self),
            path if path.ends_with("/Collect") => {
                let mut all = Vec::new();
                while let Some(message) = self.receive()? {
                    all.extend_from_slice(&message);
                    if all.len() > MESSAGE_MAX {
                        return Err(Ending::Status(Status::RESOURCE_EXHAUSTED));
                    }
                }
                self.send(&all)
            }
            path if path.ends_with("/Repeat") => {
                let message = self.receive()?.ok_or(Ending::Status(Status::INVALID_ARGUMENT))?;
                (0..REPEATS).try_for_each(|_| self.send(&message))
            }
            _ => {
                // A client of a stream may wait for the head before it sends a message.
                self.begin()?;
                while let Some(message) = self.receive()? {
                    self.send(&message)?;
                }
                Ok(())
            }
        }
    }

    /// Whether the client has given the call up, or the toy stops.
    pub(super) fn is_lost(&self) -> bool {
        self.line.is_lost(self.stream)
    }

    /// The next message of the client: a byte for compression, four for the length, the bytes.
    pub(super) fn receive(&mut self) -> Result<Option<Vec<u8>>, Ending> {
        let mut head = [0; 5];
        if self.fill(&mut head)? == 0 {
            return Ok(None);
        }
        let [compression, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if compression != 0 {
            return Err(Ending::Status(Status::INVALID_ARGUMENT));
        }
        if length > MESSAGE_MAX {
            return Err(Ending::Status(Status::RESOURCE_EXHAUSTED));
        }
        let mut message = vec![0; length];
        if self.fill(&mut message)? < length {
            return Err(Ending::Status(Status::INVALID_ARGUMENT));
        }
        Ok(Some(message))
    }

    /// Reads until `buffer` is full or the client has ended; 0 is the end before the first byte.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Ending> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.line.read(self.stream, &mut buffer[filled..], None)? {
                0 if filled == 0 => return Ok(0),
                0 => return Err(Ending::Status(Status::INVALID_ARGUMENT)),
                count => filled += count,
            }
        }
        Ok(filled)
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.has_begun {
            return Ok(());
        }
        self.has_begun = true;
        self.line.fields(self.stream, &self.head(), false)
    }

    fn head(&self) -> [(&'static str, &[u8]); 3] {
        [(":status", b"200"), ("content-type", b"application/grpc"), ("x-backend", self.toy.name.as_bytes())]
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: &[u8]) -> Result<(), Ending> {
        self.begin()?;
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
        let bytes = [&[0][..], &length, message].concat();
        Ok(self.line.data(self.stream, &bytes, false)?)
    }

    /// Ends the call: with trailers, or with trailers only if nothing was sent.
    fn end(&self, status: Status) -> io::Result<()> {
        let number = status.0.to_string();
        let trailer = ("grpc-status", number.as_bytes());
        if self.has_begun {
            return self.line.fields(self.stream, &[trailer], true);
        }
        let [status, kind, backend] = self.head();
        self.line.fields(self.stream, &[status, kind, backend, trailer], true)
    }
}
