//! A request body that comes in chunks, collected in memory and sent with its length, where the pool wants that: there are servers
//! that do not know chunks.

use super::{Dial, Effect, Env, Phase, Session};
use crate::core::budget::BudgetShare;
use crate::core::outcome::{Cause, Stage};
use crate::http::body::{ChunkFault, Chunked, Chunks};
use crate::lane::Source;
use crate::lane::framer::Framer;
use crate::message::{BodyLength, Nominated};
use crate::syntax::grammar::push_decimal;

/// A body that is collected, as far as it has come.
#[derive(Debug)]
pub(crate) struct Collected {
    body: Vec<u8>,
    share: BudgetShare,
    /// The length of the head that goes before it, in bytes.
    head: usize,
}

impl Session {
    /// The most bytes of a body of that `length` that are collected, if it is collected.
    pub(super) fn collects(&self, length: BodyLength, env: &Env<'_>) -> Option<u64> {
        let most = env.snapshot.pool(self.pool()).collect?;
        (length == BodyLength::Open).then_some(most)
    }

    /// Begins to collect a body of at most `most` bytes, or of `limit` if that is less.
    pub(super) fn begin_collecting(&mut self, most: u64, limit: Option<u64>, env: &Env<'_>) {
        let most = limit.map_or(most, |limit| limit.min(most));
        self.exchange.stage = Stage::Routing;
        self.up.framer = Framer::Chunked(Chunked::new(Chunks::Strip, Some(most), Nominated::default()));
        self.exchange.request.collected =
            Some(Box::new(Collected { body: Vec::new(), share: env.bodies.share(), head: 0 }));
        if self.exchange.request.expects {
            // No backend has been asked yet, and none is before the body is here.
            self.say_continue();
        }
        self.touched = env.now;
        self.phase = Phase::Collecting;
    }

    pub(super) fn step_collecting(&mut self, env: &Env<'_>, effects: &mut Vec<Effect>) -> bool {
        if self.client_hung {
            return self.fail(Cause::ClientAborted, env, effects);
        }
        match self.up.advance() {
            Err(ChunkFault::Malformed) => return self.fail(Cause::BadChunk, env, effects),
            Err(ChunkFault::TooLong) => return self.fail(Cause::BodyTooLong, env, effects),
            Ok(()) => {}
        }
        let Some(mut collected) = self.exchange.request.collected.take() else { return false };
        let count = self.up.collect(&mut collected.body);
        if !collected.share.take(count) {
            return self.fail(Cause::OutOfBuffers, env, effects);
        }
        if self.up.framer.is_done() {
            self.seal(collected, env);
            return true;
        }
        self.exchange.request.collected = Some(collected);
        match self.up.source {
            Source::Ended => self.fail(Cause::ClientTruncated, env, effects),
            Source::Lost => self.fail(Cause::ClientAborted, env, effects),
            Source::Absent | Source::Open | Source::Leaving => false,
        }
    }

    /// The body is whole: it goes behind the head, which gets its length.
    fn seal(&mut self, mut collected: Box<Collected>, env: &Env<'_>) {
        let body = std::mem::take(&mut collected.body);
        let mut line = b"Content-Length: ".to_vec();
        push_decimal(&mut line, body.len() as u64);
        line.extend_from_slice(b"\r\n");
        self.up.add_line(&line);
        collected.head = self.up.unsent().0.len();
        self.up.add_body(&body);
        self.exchange.request.collected = Some(collected);
        self.up.hold();
        self.phase = Phase::Opening { since: env.now, dial: Dial::Wanted { again: None } };
    }

    /// The number of body bytes that have been collected.
    pub(super) fn collected(&self) -> usize {
        self.exchange.request.collected.as_deref().map_or(0, |collected| collected.body.len())
    }

    /// Whether the backend has got the head of the request.
    pub(super) fn is_head_sent(&self) -> bool {
        let has_got = |collected: &Collected| {
            self.up.passed() - self.exchange.attempt.up_before >= collected.head as u64
        };
        self.up.is_front_flushed() || self.exchange.request.collected.as_deref().is_some_and(has_got)
    }
}
