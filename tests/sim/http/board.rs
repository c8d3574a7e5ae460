//! The knowledge that the actors of an HTTP run share: every request that a client will make, every answer
//! that a backend has made up, and how each exchange ended. The actors check what comes in against it.

use std::collections::HashMap;
use std::net::SocketAddr;

use pollux::core::outcome::Cause;

use crate::end::EndId;
use crate::payload::Payload;

/// A field, as its sender wrote it.
pub(crate) type Field = (String, String);

/// The end of an exchange for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With the very response that a backend gave to this request.
    Exact,
    /// With a response of Pollux's own, which says why.
    Own(Cause),
    /// In the middle of a response, and the client can see that.
    Visible,
    /// Without a byte of a response.
    Unanswered,
    /// By the client, who did not wait for it.
    Left,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) from: SocketAddr,
    pub(crate) method: &'static str,
    /// HTTP/1.`minor`.
    pub(crate) minor: u8,
    pub(crate) target: String,
    pub(crate) host: Option<String>,
    /// Fields that must reach the backend as they are.
    pub(crate) fields: Vec<Field>,
    /// Fields that must not.
    pub(crate) hop_fields: Vec<Field>,
    pub(crate) body: Option<Payload>,
    pub(crate) chunked: bool,
    pub(crate) trailer: bool,
    pub(crate) expects: bool,
    /// The bytes that the client will send through the tunnel if the backend takes the upgrade.
    pub(crate) upgrade: Option<Payload>,
    /// The last on its connection.
    pub(crate) last: bool,
    /// Others come behind it before it is answered.
    pub(crate) pipelined: bool,
    /// Its client stays until it has been answered.
    pub(crate) honest: bool,
    /// The number of times that its head has come to a backend.
    pub(crate) seen: u32,
    /// A backend that has seen it has not done its part.
    pub(crate) wronged: bool,
    /// Its client has ended its direction in the middle of it.
    pub(crate) truncated: bool,
    /// Its client has closed by that end before it had got the whole response, and asked for nothing more.
    pub(crate) closed: Option<EndId>,
    /// All of it has been written by the client.
    pub(crate) written: bool,
    pub(crate) ending: Option<Ending>,
}

/// The answer that a backend has made up for a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) ask: usize,
    pub(crate) status: u16,
    /// Fields that must reach the client as they are.
    pub(crate) fields: Vec<Field>,
    pub(crate) payload: Payload,
    /// Only the end of the connection would have told its end, and the backend has reset it.
    pub(crate) endless: bool,
}

/// All requests by number, and all answers by theirs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    pub(crate) asks: Vec<Ask>,
    pub(crate) answers: Vec<Answer>,
    /// Pollux's name of each request.
    pub(crate) names: HashMap<String, usize>,
    /// Whether clients speak TLS.
    pub(crate) is_secure: bool,
}

impl Ask {
    /// RFC 9110 §9.2.2.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method != "POST"
    }
}

impl Board {
    /// The request `number` has come to a backend.
    pub(crate) fn see(&mut self, number: usize) {
        let ask = &mut self.asks[number];
        ask.seen += 1;
        let allowed = ask.seen == 1 || ask.is_idempotent();
        assert!(allowed, "{} {} came to a backend twice", ask.method, ask.target);
    }

    /// Pollux has called the request `number` so: the same at each attempt, and no other request.
    pub(crate) fn name(&mut self, number: usize, name: String) {
        let known = self.names.iter().find(|(_, of)| **of == number).map(|(known, _)| known.clone());
        assert!(known.is_none_or(|known| known == name), "request {number} has a second name");
        let whose = *self.names.entry(name).or_insert(number);
        assert_eq!(whose, number, "two requests have one name");
    }

    pub(crate) fn end(&mut self, number: usize, ending: Ending) {
        let before = self.asks[number].ending.replace(ending);
        assert_eq!(before, None, "request {number} ended twice, now as {ending:?}");
    }
}
