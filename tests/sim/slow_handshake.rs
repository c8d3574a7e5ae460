//! A client that stops in the middle of its TLS handshake. Its time is over when `timeouts.handshake` is: not
//! later, and not before either, unless there are so many handshakes that the oldest have to make room for
//! others.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use pollux::core::time::Time;
use pollux::os::IoFault;

use crate::actor::{Actor, Step};
use crate::end::EndId;
use crate::harness::LISTENER;
use crate::net::{Dialled, Net};
use crate::tls::Seal;

/// The time that every handshake has where some never finish. The others need less.
pub(crate) const TIME: Duration = Duration::from_secs(60);

/// The time that a handshake has in any case, however many there are.
const TIME_MIN: Duration = Duration::from_secs(1);

/// The delay of a worker at most: the clock jumps, and a poll may be interrupted.
const SLACK: Duration = Duration::from_millis(100);

/// The latest that one comes.
const LATEST: Duration = Duration::from_secs(2);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct SlowHandshake {
    from: SocketAddr,
    /// Its bytes before it stops: some of a ClientHello, or nothing.
    says: Vec<u8>,
    comes_at: Time,
    /// Whether the worker may have had enough of everybody before that.
    is_drained: bool,
    /// Whether there is a bound on handshakes that may be reached.
    is_crowded: bool,
    end: Option<EndId>,
}

impl SlowHandshake {
    pub(crate) fn new(
        from: SocketAddr,
        seal: &Seal,
        (is_drained, is_crowded): (bool, bool),
        rng: &mut Rng,
    ) -> SlowHandshake {
        let mut hello = seal.open().outbox(&[], rng).1.to_vec();
        hello.truncate(rng.usize(..hello.len()));
        let comes_at = Time::ZERO + LATEST.mul_f64(rng.f64());
        SlowHandshake { from, says: hello, comes_at, is_drained, is_crowded, end: None }
    }

    fn dial(&mut self, net: &mut Net) -> Step {
        if net.now < self.comes_at {
            return Step::Until(self.comes_at);
        }
        match net.dial(LISTENER, self.from) {
            Dialled::Connected(end) => {
                self.end = Some(end);
                Step::Moved
            }
            Dialled::Full => Step::Until(net.now + Duration::from_millis(10)),
            Dialled::Refused => Step::Over,
        }
    }

    fn sent_away(&self, end: EndId, net: &mut Net) -> Step {
        let since = net.end(end.peer()).let_in.expect("only who was let in can be sent away");
        let span = net.now.since(since);
        let least = if self.is_crowded { TIME_MIN } else { TIME };
        assert!(span >= least || self.is_drained, "a handshake was given {span:?} only");
        assert!(span <= TIME + SLACK, "a handshake was given {span:?}");
        net.close(end);
        Step::Over
    }
}

impl Actor for SlowHandshake {
    fn step(&mut self, net: &mut Net) -> Step {
        let Some(end) = self.end else { return self.dial(net) };
        if !self.says.is_empty()
            && let Ok(count) = net.write(end, &self.says)
        {
            self.says.drain(..count);
            return Step::Moved;
        }
        match net.read(end, &mut [0; 64]) {
            Ok(0) | Err(IoFault::Lost) => self.sent_away(end, net),
            Ok(_) => panic!("an answer to half a ClientHello"),
            Err(IoFault::Blocked) => Step::Still,
        }
    }

    fn is_awaited(&self) -> bool {
        true
    }
}
