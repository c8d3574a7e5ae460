//! Waits for the replies of the world, and does what follows from them.

use ::core::num::NonZeroU8;
use std::time::Duration;

use super::routing::{Asked, body_max};
use super::{Dial, Effect, Env, Phase, Session};
use crate::core::outcome::{Cause, Consulted, Stage};
use crate::lane::Source;
use crate::lane::framer::Framer;
use crate::message::BodyLength;
use crate::policy::{Case, OwnAnswer, Policy, PolicyReply, Question, Verdict};
use crate::route::Inquiry;

impl Session {
    /// Asks the question of a policy, and waits for the reply.
    pub(super) fn ask(&mut self, asked: Asked, env: &Env<'_>, effects: &mut Vec<Effect>) {
        self.exchange.stage = Stage::Routing;
        self.touched = env.now;
        self.phase = Phase::Policy { since: env.now, place: asked.place, turn: self.turn };
        self.turn = self.turn.wrapping_add(1);
        effects.push(Effect::Ask(asked.question));
    }

    /// Takes the reply to a question that it has asked by [`Effect::Ask`]. A reply that it does not wait for, or not
    /// any more, changes nothing.
    pub fn handle_reply(
        &mut self,
        question: Question,
        reply: PolicyReply,
        env: &Env<'_>,
        effects: &mut Vec<Effect>,
    ) {
        match (question, self.phase) {
            (Question::RetryBudget { .. }, Phase::Relay) => {
                self.take_budget(reply == PolicyReply::Yes, env, effects);
            }
            (Question::Habit(habit), _) if reply == PolicyReply::Yes => self.take_habit(habit, env),
            (Question::Authority { turn, .. }, Phase::Policy { place, turn: awaited, .. })
                if turn == awaited =>
            {
                self.settle(place, reply, env, effects);
            }
            (Question::RetryBudget { .. } | Question::Habit(_) | Question::Authority { .. }, _) => {}
        }
    }

    /// Whether it waits for the reply to `question`.
    #[must_use]
    pub fn awaits_reply(&self, question: Question) -> bool {
        match (question, self.phase) {
            (Question::Authority { turn, .. }, Phase::Policy { turn: awaited, .. }) => turn == awaited,
            (Question::RetryBudget { .. } | Question::Habit(_) | Question::Authority { .. }, _) => false,
        }
    }

    /// The place of the policy whose question was asked last, while its reply is awaited.
    #[must_use]
    pub fn asking_policy(&self) -> Option<usize> {
        if let Phase::Policy { place, .. } = self.phase { Some(place) } else { None }
    }

    /// The question of the policy at `place` of the route that was taken.
    pub(super) fn inquiry<'a>(&self, place: usize, env: &Env<'a>) -> Option<&'a Inquiry> {
        match self.case(env)?.policy(place)? {
            Policy::Inquiry(inquiry) => Some(inquiry),
            Policy::Body(_) | Policy::Own(_) => None,
        }
    }

    /// The request, where its head was judged and is not at hand any more.
    fn case<'a>(&self, env: &Env<'a>) -> Option<Case<'a>> {
        let route = self.route(env)?;
        Some(Case { route, body: BodyLength::Empty, body_max: None, turn: self.turn })
    }

    /// Adds to the time that the exchange has waited for replies.
    pub(super) fn note_asked(&mut self, env: &Env<'_>) {
        if let Phase::Policy { since, place, .. } = self.phase {
            let micros = u32::try_from(env.now.since(since).as_micros()).unwrap_or(u32::MAX);
            self.exchange.asked_us = self.exchange.asked_us.saturating_add(micros);
            self.exchange.asked_by = u8::try_from(place + 1).ok().and_then(NonZeroU8::new);
        }
    }

    /// The authorities that were asked, for the record.
    pub(super) fn consulted<'a>(&self, env: &Env<'a>) -> Option<Consulted<'a>> {
        let place = usize::from(self.exchange.asked_by?.get()) - 1;
        let wait = Duration::from_micros(self.exchange.asked_us.into());
        Some(Consulted { authority: &self.inquiry(place, env)?.name, wait })
    }

    /// Waits, until the client leaves.
    pub(super) fn step_policy(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        self.note_leaving(env);
        if self.client_hung || self.up.source == Source::Lost || self.exchange.timing.left_at.is_some() {
            return self.fail(Cause::ClientAborted, env, effects);
        }
        false
    }

    /// No reply has come in time: the policy says what that means.
    pub(super) fn policy_late(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) {
        if let Phase::Policy { place, .. } = self.phase {
            let is_lenient = self.inquiry(place, env).is_some_and(|inquiry| inquiry.is_lenient);
            self.settle(place, PolicyReply::of(is_lenient), env, effects);
        }
    }

    /// The policy at `place` has its reply: the request goes on to the next policy, or is refused.
    fn settle(&mut self, place: usize, reply: PolicyReply, env: &Env<'_>, effects: &mut Vec<Effect>) {
        let refusal = self.inquiry(place, env).map_or(Cause::NoRoute, |inquiry| inquiry.refusal);
        let verdict = self.case(env).map(|case| case.judge(place + 1));
        if reply == PolicyReply::Yes {
            self.note_asked(env);
        }
        match (reply, verdict) {
            (PolicyReply::No, _) => {
                self.fail(refusal, env, effects);
            }
            (PolicyReply::Yes, Some((place, Verdict::Ask(question)))) => {
                self.ask(Asked { place, question }, env, effects);
            }
            (PolicyReply::Yes, Some((_, Verdict::Answer(OwnAnswer::Refusal(cause))))) => {
                self.fail(cause, env, effects);
            }
            (PolicyReply::Yes, Some((_, Verdict::Answer(OwnAnswer::Route(own))))) => {
                let answer = self.up.take_front();
                self.down.front_mut().extend_from_slice(&answer);
                self.exchange.note_own_answer(own.status());
                self.touched = env.now;
                self.phase = Phase::Answer { keep_alive: self.up.framer.is_done() };
            }
            (PolicyReply::Yes, Some((_, Verdict::Go)) | None) => self.pass_on(env),
        }
    }

    /// All policies let the request go: a backend is sought, once the body is here if it is to be collected.
    fn pass_on(&mut self, env: &Env<'_>) {
        let is_chunked = matches!(self.up.framer, Framer::Chunked(_));
        let length = if is_chunked { BodyLength::Open } else { BodyLength::Empty };
        match self.collects(length, env) {
            Some(most) => {
                self.up.release();
                self.begin_collecting(most, body_max(self.options(env), env), env);
            }
            None => self.phase = Phase::Opening { since: env.now, dial: Dial::Wanted { again: None } },
        }
    }
}
