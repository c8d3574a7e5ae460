//! The demands of a route on a request before a backend is asked, and the questions of a session to the
//! world.
//!
//! A route has a list of policies. They are judged in order: each lets the request [go](Verdict::Go), answers it,
//! or asks a question first. Between a head that was read and the search for a backend only this room refuses.
//! What this room says is a value: the session acts on it, and `explain` shows it.
//!
//! Invariants: a policy sees the request and its route, never a connection, a backend or a clock, and no version
//! of HTTP. Of the policies
//! of one request those that need no reply of the world and may refuse come first.

mod words;

use crate::balance::Habit;
use crate::core::outcome::Cause;
use crate::message::BodyLength;
use crate::route::{Action, Decision, Inquiry, Route, RouteAnswer};

pub use words::Judged;

/// A question that a session cannot answer by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the pool has a budget for one more retry.
    RetryBudget {
        /// The status of the response that is given up if it has.
        status: u16,
    },
    /// Whether the backend is known for that habit.
    Habit(Habit),
    /// Whether an authority outside of the workers lets the request go on. The reply may come later.
    Authority {
        /// The number of the authority.
        number: u32,
        /// The number of the question in its session: a reply to an earlier question is not taken for this one.
        turn: u32,
    },
}

/// The reply to a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyReply {
    /// It is so, or the request may go on.
    Yes,
    /// It is not so, or the request may not.
    No,
}

impl PolicyReply {
    /// The reply for what is so or not.
    #[must_use]
    pub const fn of(is_so: bool) -> PolicyReply {
        if is_so { PolicyReply::Yes } else { PolicyReply::No }
    }
}

/// The verdict of a policy on a request.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// It says nothing against it: the next policy is asked, and after the last the request goes to a backend.
    Go,
    /// Pollux answers.
    Answer(OwnAnswer<'a>),
    /// The question decides. The request waits for the reply.
    Ask(Question),
}

/// An answer of Pollux's own.
#[derive(Clone, Copy, Debug)]
pub enum OwnAnswer<'a> {
    /// The one that the route has for every request.
    Route(RouteAnswer<'a>),
    /// A refusal.
    Refusal(Cause),
}

/// One policy of a route.
#[derive(Clone, Copy, Debug)]
pub enum Policy<'a> {
    /// A body is no longer than that, as far as its head says.
    Body(Option<u64>),
    /// An authority agrees.
    Inquiry(&'a Inquiry),
    /// The route answers by itself.
    Own(RouteAnswer<'a>),
}

/// A request that is judged.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The route that was found for it.
    pub route: &'a Route,
    /// The length of its body.
    pub body: BodyLength,
    /// The longest body that it may have.
    pub body_max: Option<u64>,
    /// The number of its next question.
    pub turn: u32,
}

impl<'a> Case<'a> {
    /// The policies of the route, in order.
    pub fn policies(self) -> impl Iterator<Item = Policy<'a>> {
        (0..).map_while(move |place| self.policy(place))
    }

    /// The policy at `place`.
    #[must_use]
    pub fn policy(&self, place: usize) -> Option<Policy<'a>> {
        let inquiries = self.route.options.as_deref().map_or(&[][..], |options| &options.inquiries);
        match own_answer(self.route) {
            None if place == 0 => Some(Policy::Body(self.body_max)),
            None => inquiries.get(place - 1).map(Policy::Inquiry),
            Some(own) => {
                let last = (place == inquiries.len()).then_some(Policy::Own(own));
                inquiries.get(place).map(Policy::Inquiry).or(last)
            }
        }
    }

    /// The first verdict of the policies from `place` on that does not just let the request go, with its
    /// place.
    #[must_use]
    pub fn judge(&self, from: usize) -> (usize, Verdict<'a>) {
        let mut place = from;
        while let Some(policy) = self.policy(place) {
            match policy.verdict(self) {
                Verdict::Go => place += 1,
                verdict @ (Verdict::Answer(_) | Verdict::Ask(_)) => return (place, verdict),
            }
        }
        (place, Verdict::Go)
    }
}

impl<'a> Policy<'a> {
    /// The verdict on `case`.
    #[must_use]
    pub fn verdict(self, case: &Case<'_>) -> Verdict<'a> {
        match self {
            Policy::Body(most) => match (case.body, most) {
                (BodyLength::Known(length), Some(most)) if length > most => {
                    Verdict::Answer(OwnAnswer::Refusal(Cause::BodyTooLong))
                }
                (BodyLength::Empty | BodyLength::Known(_) | BodyLength::Open, _) => Verdict::Go,
            },
            Policy::Inquiry(inquiry) => {
                Verdict::Ask(Question::Authority { number: inquiry.authority, turn: case.turn })
            }
            Policy::Own(own) => Verdict::Answer(OwnAnswer::Route(own)),
        }
    }
}

/// The place of the route that takes a request, or why it is refused that none does.
///
/// # Errors
/// If no route takes it.
pub fn taken(decision: Decision) -> Result<usize, Cause> {
    match decision {
        Decision::Route(place) => Ok(place),
        Decision::NoRoute => Err(Cause::NoRoute),
        Decision::AmbiguousPath => Err(Cause::AmbiguousPath),
    }
}

/// The answer of `route`, if it asks no backend.
#[must_use]
pub fn own_answer(route: &Route) -> Option<RouteAnswer<'_>> {
    match &route.action {
        Action::Redirect(redirect) => Some(RouteAnswer::Redirect(redirect)),
        Action::Respond(respond) => Some(RouteAnswer::Respond(respond)),
        Action::Pool(_) | Action::Split(_) => None,
    }
}

#[cfg(test)]
mod tests;
