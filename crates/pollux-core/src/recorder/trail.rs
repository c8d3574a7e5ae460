//! The steps of one exchange, as they come.

use ::core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::step::{RecordedStep, Step};
use crate::core::identity::{REQUEST_ID_MAX, RequestId};
use crate::core::outcome::{ExchangePlaces, Outcome, Record, without_query};
use crate::core::time::Time;
use crate::snapshot::Mode;

/// So many steps are kept of one exchange. Of more the last of all is, and how many were left out.
pub const STEPS_MAX: usize = 32;

/// So many bytes are kept of method and target.
const TEXT_MAX: usize = 96;

/// See the module. It knows places, not names: they hold in the snapshot of the exchange. Each begins a line
/// of cache, so that all cost the same.
#[derive(Debug)]
#[repr(align(64))]
pub struct Trail {
    /// The number of the exchange; no other one of the worker has it.
    pub(super) number: u64,
    events: [RecordedStep; STEPS_MAX],
    count: u8,
    pub(super) left_out: u32,
    /// Whether it is known when the request of the present attempt went out.
    is_sent: bool,
    pub(super) end: End,
}

/// The facts that are known at the end.
#[derive(Debug)]
pub(super) struct End {
    pub(super) client: SocketAddr,
    pub(super) places: ExchangePlaces,
    pub(super) mode: Mode,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    pub(super) whole: Duration,
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
    text: [u8; TEXT_MAX],
    method_length: u8,
    text_length: u8,
    name: Name,
}

/// The number of the request.
#[derive(Debug)]
enum Name {
    Own(u128),
    Kept([u8; REQUEST_ID_MAX], u8),
}

impl Default for End {
    fn default() -> End {
        End {
            client: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            places: ExchangePlaces::default(),
            mode: Mode::Http,
            status: 0,
            outcome: Outcome { cause: None, stage: Default::default() },
            whole: Duration::ZERO,
            bytes_up: 0,
            bytes_down: 0,
            text: [0; TEXT_MAX],
            method_length: 0,
            text_length: 0,
            name: Name::Own(0),
        }
    }
}

impl Default for Trail {
    fn default() -> Trail {
        let nothing = RecordedStep { at: Time::ZERO, step: Step::Ended };
        let end = End::default();
        Trail { number: 0, events: [nothing; STEPS_MAX], count: 0, left_out: 0, is_sent: false, end }
    }
}

impl Trail {
    /// Forgets everything, for the exchange of that number.
    pub(super) fn begin(&mut self, number: u64) {
        (self.number, self.count, self.left_out, self.is_sent) = (number, 0, 0, false);
    }

    /// Adds a step.
    pub fn push(&mut self, at: Time, step: Step) {
        let place = usize::from(self.count);
        if let Some(slot) = self.events.get_mut(place) {
            *slot = RecordedStep { at, step };
            self.count += 1;
        } else {
            self.events[STEPS_MAX - 1] = RecordedStep { at, step };
            self.left_out += 1;
        }
    }

    /// Adds that a connection stands, on which the request has not gone out.
    pub fn push_connection(&mut self, at: Time, step: Step) {
        self.is_sent = false;
        self.push(at, step);
    }

    /// Adds that the request has gone out at `at`, if that is known and was not added before.
    pub fn note_sent(&mut self, at: Option<Time>) {
        if let Some(at) = at.filter(|_| !self.is_sent) {
            self.is_sent = true;
            self.push(at, Step::Sent);
        }
    }

    /// The last step.
    #[must_use]
    pub fn last(&self) -> Option<Step> {
        self.events().last().map(|event| event.step)
    }

    /// Whether the attempt before is over, and another one has not begun.
    #[must_use]
    pub fn is_between_attempts(&self) -> bool {
        match self.last() {
            Some(Step::Failed(_) | Step::Reset | Step::Closed | Step::AnotherWanted) => true,
            Some(
                Step::Accepted
                | Step::Begun
                | Step::HeadComplete
                | Step::Asked { .. }
                | Step::Allowed
                | Step::Denied
                | Step::Unanswered
                | Step::Picked { .. }
                | Step::Queued { .. }
                | Step::NoBackend(_)
                | Step::Reused
                | Step::Connecting
                | Step::Connected
                | Step::Busy(_)
                | Step::Sent
                | Step::Responded(_)
                | Step::Retry(_)
                | Step::BudgetSpent
                | Step::Kept
                | Step::Ended,
            )
            | None => false,
        }
    }

    /// The steps.
    #[must_use]
    pub fn events(&self) -> &[RecordedStep] {
        &self.events[..usize::from(self.count)]
    }

    /// The time until a backend answered.
    pub(super) fn until_response(&self) -> Option<Duration> {
        let response = self.events().iter().find(|event| matches!(event.step, Step::Responded(_)))?;
        Some(response.at.since(self.events().first()?.at))
    }

    /// Takes what is known at the end.
    pub(super) fn close(&mut self, record: &Record<'_>, places: ExchangePlaces, hides_query: bool) {
        let end = &mut self.end;
        end.client = record.proxy.unwrap_or(record.client);
        (end.places, end.mode, end.status, end.outcome) =
            (places, record.mode, record.status, record.outcome);
        (end.whole, end.bytes_up, end.bytes_down) = (record.spans.whole, record.bytes_up, record.bytes_down);
        let method = record.method.len().min(TEXT_MAX / 2);
        let shown = if hides_query { without_query(record.target) } else { record.target };
        let target = shown.len().min(TEXT_MAX - method);
        end.text[..method].copy_from_slice(&record.method[..method]);
        end.text[method..method + target].copy_from_slice(&shown[..target]);
        match record.request_id {
            RequestId::Own(number) => end.name = Name::Own(number),
            RequestId::Kept(text) => {
                let mut name = [0; REQUEST_ID_MAX];
                let length = text.len().min(REQUEST_ID_MAX);
                name[..length].copy_from_slice(&text.as_bytes()[..length]);
                end.name = Name::Kept(name, length as u8);
            }
        }
        // Both are at most TEXT_MAX.
        (end.method_length, end.text_length) = (method as u8, (method + target) as u8);
    }
}

impl End {
    /// The number of the request.
    pub(super) fn request_id(&self) -> String {
        match &self.name {
            Name::Own(number) => RequestId::Own(*number).to_string(),
            Name::Kept(name, length) => String::from_utf8_lossy(&name[..usize::from(*length)]).into_owned(),
        }
    }

    /// Method and target, perhaps cut; empty if there were none.
    pub(super) fn request(&self) -> String {
        let text = &self.text[..usize::from(self.text_length)];
        let (method, target) = text.split_at(usize::from(self.method_length));
        let (method, target) = (String::from_utf8_lossy(method), String::from_utf8_lossy(target));
        if text.is_empty() { String::new() } else { format!("{method} {target}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_steps_the_last_is_kept() {
        let mut trail = Trail::default();
        trail.begin(7);
        let at = Time::from_nanos;
        (0..STEPS_MAX as u64 + 5).for_each(|time| trail.push(at(time), Step::Connecting));
        trail.push(at(99), Step::Ended);
        assert_eq!((trail.events().len(), trail.left_out), (STEPS_MAX, 6));
        assert_eq!(trail.events().last(), Some(&RecordedStep { at: at(99), step: Step::Ended }));
        assert_eq!(trail.events()[STEPS_MAX - 2].at, at(STEPS_MAX as u64 - 2));
    }

    #[test]
    fn a_request_goes_out_once_for_each_connection() {
        let mut trail = Trail::default();
        let at = Time::from_nanos;
        trail.push_connection(at(1), Step::Connected);
        trail.note_sent(None);
        trail.note_sent(Some(at(2)));
        trail.note_sent(Some(at(3)));
        trail.push_connection(at(4), Step::Reused);
        trail.note_sent(Some(at(5)));
        let times: Vec<_> = trail.events().iter().map(|event| event.at.as_nanos()).collect();
        assert_eq!(times, [1, 2, 4, 5]);
    }
}
