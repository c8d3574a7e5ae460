//! The number of an exchange, and the trace that it is part of.

use crate::core::identity::{Ids, RequestId, TraceId, is_request_id};
use crate::http::forward::Traceparent;
use crate::message::Head;
use crate::snapshot::Traces;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// The number that Pollux has given it; 0 if none was needed.
    own: u128,
    /// The number that a trusted proxy has given it; empty if none has.
    kept: String,
    trace: Option<TraceId>,
    /// The parent of what the backend does, in a trace that began here.
    parent: Option<u64>,
}

impl Identity {
    /// Forgets what it knows, but not the memory it took.
    pub(crate) fn renewed(mut self) -> Identity {
        self.kept.clear();
        Identity { kept: self.kept, ..Identity::default() }
    }

    /// Lets it keep names in `memory`, which is empty.
    pub(crate) fn lend(&mut self, memory: String) {
        self.kept = memory;
    }

    /// The memory in which it keeps names, empty.
    pub(crate) fn into_memory(self) -> String {
        self.renewed().kept
    }

    /// Takes the identity that the head of a request states, if its sender is trusted, and makes the rest.
    pub(crate) fn take(&mut self, request: &Head<'_>, is_trusted: bool, traces: Traces, ids: &Ids) {
        match request.request_id.filter(|_| is_trusted).and_then(is_request_id) {
            Some(id) => self.kept.push_str(id),
            None => drop(self.make(ids)),
        }
        self.trace = request.traceparent.and_then(TraceId::read);
        if self.trace.is_none() && traces == Traces::Start {
            self.trace = Some(TraceId::of(ids.next()));
            // A parent of 0 is none.
            self.parent = Some((ids.next() as u64).max(1));
        }
    }

    /// Gives it a number, if it has no name yet, and tells its name.
    pub(crate) fn make(&mut self, ids: &Ids) -> RequestId<'_> {
        if self.kept.is_empty() && self.own == 0 {
            self.own = ids.next();
        }
        self.name()
    }

    /// Its name; that of 0 if it has none yet.
    pub(crate) fn name(&self) -> RequestId<'_> {
        if self.kept.is_empty() { RequestId::Own(self.own) } else { RequestId::Kept(&self.kept) }
    }

    /// Whether it has a name.
    pub(crate) fn is_made(&self) -> bool {
        !self.kept.is_empty() || self.own != 0
    }

    /// The trace that it is part of; empty if it is part of none.
    pub(crate) fn trace_id(&self) -> &str {
        self.trace.as_ref().map_or("", TraceId::as_str)
    }

    /// The field by which a trace that began here is told to the backend.
    pub(crate) fn traceparent(&self) -> Option<Traceparent> {
        Some(Traceparent { trace: self.trace?, parent: self.parent? })
    }
}
