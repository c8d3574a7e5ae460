//! `poll(2)`, and with it the passing of time: the world acts only while the worker waits. If nobody can act,
//! the clock jumps to whatever comes first: an actor's alarm, a decision of the network, or the worker's own
//! timeout.

use std::time::Duration;

use pollux::core::interest::{Interest, Ready};
use pollux::core::time::Time;
use pollux::os::{Polled, Watch};

use crate::actors::Progress;
use crate::descriptors::Handle;
use crate::faults::chance;
use crate::kernel::Kernel;
use crate::trace::Event;

/// A run with more polls than this does not end.
const POLLS_MAX: usize = 300_000;

/// Polls in a row that neither wait nor find anything.
const BARREN_MAX: u8 = 3;

impl Kernel {
    pub(crate) fn poll(&mut self, watches: &mut [Watch], timeout: Option<Duration>) -> Polled {
        self.polls += 1;
        assert!(self.polls < POLLS_MAX, "the run does not end");
        self.net.log(Event::Poll { watches: watches.len(), timeout });
        // A worker that has more to do than fits a turn comes back to it behind a poll that does not wait.
        let is_kept_back = !self.ending.is_empty() && timeout != Some(Duration::ZERO);
        assert!(!is_kept_back, "the end does not follow the last bytes to {:?}", self.ending);
        self.descriptors().begin_poll();
        let deadline = timeout.map(|span| self.net.now + span);
        self.look(watches);
        let certain: Vec<bool> = watches.iter().map(|watch| !watch.got.is_empty()).collect();
        self.net.advance(self.net.now + Duration::from_micros(self.rng.u64(1..20)));
        for _ in 0..self.rng.usize(..=self.faults.steps) {
            self.actors.step(&mut self.net);
        }
        if chance(&mut self.rng, self.faults.interrupted) {
            self.net.log(Event::Interrupted);
            self.barren = 0;
            return Polled::Interrupted;
        }
        loop {
            let ready = self.look(watches);
            if ready > 0 {
                return Polled::Ready(self.report(watches, &certain, ready));
            }
            if deadline.is_some_and(|deadline| deadline <= self.net.now) {
                return self.time_out(timeout);
            }
            let Progress::Still(alarm) = self.actors.step(&mut self.net) else { continue };
            if !self.actors.is_awaited() && !self.draining {
                // The signal to drain, which comes when the last client has left.
                self.net.log(Event::Interrupted);
                return Polled::Interrupted;
            }
            self.sleep(alarm, deadline);
        }
    }

    /// Moves the clock to what comes next. If that is only the worker's own timeout although everybody does
    /// their part, the worker has forgotten somebody.
    fn sleep(&mut self, alarm: Option<Time>, deadline: Option<Time>) {
        let world = [alarm, self.net.next_event()].into_iter().flatten().min();
        let is_due = self.faults.is_faultless() && !self.descriptors().awaits_delivery();
        if world.is_none() && is_due && self.actors.is_awaited() {
            panic!("stall: nothing but a timeout of the worker can help");
        }
        match [world, deadline].into_iter().flatten().min() {
            Some(next) => {
                assert!(next > self.net.now, "an actor is waiting for the past");
                self.net.advance(next);
            }
            None => panic!("stall: the worker waits for what nobody will ever do"),
        }
    }

    fn time_out(&mut self, timeout: Option<Duration>) -> Polled {
        self.net.log(Event::TimedOut);
        if timeout == Some(Duration::ZERO) {
            self.barren += 1;
            assert!(
                self.barren <= BARREN_MAX,
                "spin: polls that cannot wait, and nothing is done between them"
            );
        }
        Polled::Ready(0)
    }

    /// Fills in every watch and counts those with news.
    fn look(&mut self, watches: &mut [Watch]) -> usize {
        let mut ready = 0;
        for watch in watches {
            watch.got = mask(watch.want, self.readiness(watch.fd));
            ready += usize::from(!watch.got.is_empty());
        }
        ready
    }

    /// Reports the watches that have news. Those of which there was none when the call began can be kept
    /// back, as if the news had come a moment later, but for one.
    fn report(&mut self, watches: &mut [Watch], certain: &[bool], ready: usize) -> usize {
        let chosen = self.rng.usize(..ready);
        let mut reported = 0;
        let news = watches.iter_mut().zip(certain).filter(|(watch, _)| !watch.got.is_empty());
        for (place, (watch, certain)) in news.enumerate() {
            if place != chosen && !certain && chance(&mut self.rng, self.faults.withheld) {
                watch.got = Ready::NONE;
                continue;
            }
            reported += 1;
            self.net.log(Event::Reported { fd: watch.fd, want: watch.want, got: watch.got });
            let (now, patience) = (self.net.now, self.patience);
            let descriptor = self.descriptors().get(watch.fd, "poll");
            descriptor.report(watch.fd, watch.got, now, patience);
            if descriptor.handle == Handle::Epoll {
                // The descriptors that it reports are judged one by one.
                descriptor.moved();
            }
            if let Handle::End(end) = descriptor.handle {
                self.net.end_mut(end).note_told(watch.got);
            }
        }
        reported
    }

    /// Lets the world act while no worker is left to poll.
    pub(crate) fn play_on(&mut self) {
        if let Progress::Still(alarm) = self.actors.step(&mut self.net) {
            self.sleep(alarm, None);
        }
    }

    /// Whether the clock jumps while the worker computes.
    pub(crate) fn jumps(&mut self) -> bool {
        chance(&mut self.rng, self.faults.jump)
    }
}

/// The report of poll to a caller that asked for `want`: a hangup and an error cannot be masked.
pub(crate) fn mask(want: Interest, state: Ready) -> Ready {
    let maskable =
        [(Interest::READ, Ready::READ), (Interest::WRITE, Ready::WRITE), (Interest::LEAVE, Ready::LEAVE)];
    let asked = maskable
        .into_iter()
        .fold(Ready::HANGUP | Ready::ERROR, |set, (interest, ready)| set.with_if(ready, want.has(interest)));
    [Ready::READ, Ready::WRITE, Ready::LEAVE, Ready::HANGUP, Ready::ERROR]
        .into_iter()
        .fold(Ready::NONE, |set, one| set.with_if(one, asked.any(one) && state.any(one)))
}
