//! The memory of a session that is over, for the next one: a connection that carries streams begins a session for
//! each of its requests.

use super::{Exchange, Session};
use crate::core::captured::Captured;
use crate::lane::{Lane, Sink, Source};
use crate::message::Version;

/// The longest text that is kept, in bytes: most heads fit.
const KEPT: usize = 2048;

/// Empty vectors with their memory.
#[derive(Debug, Default)]
pub struct SessionMemory {
    /// The fronts of the lanes up and down.
    fronts: [Vec<u8>; 2],
    request_text: Vec<u8>,
    response_fields: Vec<u8>,
    tried: Vec<usize>,
    request_id: String,
    captured: Captured,
}

impl SessionMemory {
    /// Two lanes with nothing in them.
    pub(super) fn take_lanes(&mut self, up: &mut Lane, down: &mut Lane) {
        let [up_front, down_front] = &mut self.fronts;
        *up.front_mut() = std::mem::take(up_front);
        *down.front_mut() = std::mem::take(down_front);
    }

    /// An exchange that has not begun.
    pub(super) fn into_exchange(self) -> Exchange {
        let SessionMemory { request_text, response_fields, tried, request_id, captured, .. } = self;
        let mut exchange = Exchange { captured, ..Exchange::default() };
        (exchange.request.text, exchange.request.response_fields) = (request_text, response_fields);
        exchange.retries.tried = tried;
        exchange.identity.lend(request_id);
        exchange
    }
}

impl Session {
    /// Its memory, if it was that of a stream and is over.
    #[must_use]
    pub fn into_memory(mut self) -> Option<SessionMemory> {
        if self.exchange.request.version != Some(Version::Http2) {
            return None;
        }
        let front = |lane: &mut Lane| {
            (lane.source, lane.sink) = (Source::Absent, Sink::Absent);
            lane.abandon();
            kept(std::mem::take(lane.front_mut()))
        };
        let fronts = [front(&mut self.up), front(&mut self.down)];
        let Exchange { request, retries, identity, captured, .. } = self.exchange;
        Some(SessionMemory {
            fronts,
            request_text: kept(request.text),
            response_fields: kept(request.response_fields),
            tried: kept(retries.tried),
            request_id: identity.into_memory(),
            captured: captured.into_memory(KEPT),
        })
    }
}

/// It without its content, and without its memory if that is much.
fn kept<T>(mut memory: Vec<T>) -> Vec<T> {
    memory.clear();
    memory.shrink_to(KEPT);
    memory
}
