//! Cases that are hard to bring about from outside: a session gets events one by one.

mod again;
mod blame;
mod leaving;
mod policy;
mod resting;

use ::core::num::NonZeroU32;
use std::time::Duration;

use super::{ConnectOutcome, Dial, Effect, Env, Phase, Session, Side};
use crate::balance::Habit;
use crate::core::budget::Budget;
use crate::core::deadline::{Deadline, Timer};
use crate::core::delivery::Delivery;
use crate::core::identity::Ids;
use crate::core::outcome::{Cause, Proof};
use crate::core::time::Time;
use crate::http::date::Date;
use crate::lane::Source;
use crate::policy::{PolicyReply, Question};
use crate::snapshot::{
    Address, Backend, ClientClose, ExpectContinue, Limits, Listener, Mode, Pool, PoolId, Snapshot, Timeouts,
};

fn snapshot(mode: Mode) -> Snapshot {
    let address = Address::Ip(([127, 0, 0, 1], 9001).into());
    let backend = Backend::new("a", address, 1);
    Snapshot {
        listeners: vec![Listener::to_pool("l", ([127, 0, 0, 1], 0).into(), mode, PoolId(0))],
        pools: vec![Pool::new("p", vec![backend])],
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    }
}

struct Stage {
    snapshot: Snapshot,
    date: Date,
    ids: Ids,
    bodies: Budget,
    now: Time,
    effects: Vec<Effect>,
}

impl Stage {
    fn new(mode: Mode) -> (Stage, Session) {
        let stage = Stage {
            snapshot: snapshot(mode),
            date: Date::new(0),
            ids: Ids::new(0),
            bodies: Budget::new(1000),
            now: Time::ZERO,
            effects: Vec::new(),
        };
        let session = Session::new(([192, 0, 2, 1], 1).into(), 0, &stage.env());
        (stage, session)
    }

    /// A session whose GET is about to go to its backend, and its stage.
    fn asking() -> (Stage, Session) {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        receive(&mut session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        stage.advance(&mut session);
        stage.connect(&mut session, false);
        (stage, session)
    }

    fn env(&self) -> Env<'_> {
        let env = Env::new(self.now, &self.date, &self.snapshot, &self.ids, &self.bodies);
        Env { keeps_request: true, ..env }
    }

    /// Lets the session move on, and gives what it asks for.
    fn advance(&mut self, session: &mut Session) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.effects);
        session.advance(&self.env(), &mut effects);
        effects
    }

    fn connect(&mut self, session: &mut Session, is_reused: bool) {
        let mut effects = Vec::new();
        session.handle_connect(ConnectOutcome::Ready { backend: 0, is_reused }, &self.env(), &mut effects);
        let notes: &[Effect] = if session.phase == Phase::Tunnel { &[Effect::NoteAnswer] } else { &[] };
        assert_eq!(effects, notes);
    }
}

fn receive(session: &mut Session, side: Side, bytes: &[u8]) {
    let buffer = &mut session.lane_from(side).buffer;
    if !buffer.is_attached() {
        buffer.attach(vec![0; 1024].into());
    }
    buffer.room()[..bytes.len()].copy_from_slice(bytes);
    buffer.fill(bytes.len());
}

/// A backend that drips its head keeps within the time for the whole of it.
/// Has everything go out that may.
fn pass_all(session: &mut Session) {
    for side in [Side::Client, Side::Backend] {
        let lane = session.lane_to(side);
        let (head, body) = lane.unsent();
        let count = head.len() + body.len();
        lane.send(count);
    }
}

#[test]
fn a_dripped_response_head_does_not_win_time() {
    let (mut stage, mut session) = Stage::asking();
    let length = session.lane_to(Side::Backend).unsent().0.len();
    session.lane_to(Side::Backend).send(length);
    stage.advance(&mut session);
    stage.now = Time::ZERO + Duration::from_secs(59);
    receive(&mut session, Side::Backend, b"HTTP/1.1 2");
    session.handle_moved(stage.now);
    stage.advance(&mut session);
    stage.now = Time::ZERO + Duration::from_millis(59_100);
    let deadline = session.deadline(&stage.env()).unwrap();
    assert_eq!((deadline.timer, deadline.at), (Timer::BackendResponse, Time::ZERO + Duration::from_secs(60)));
}

#[test]
fn a_stream_has_a_time_of_its_own() {
    for (head, is_stream) in [
        ("Transfer-Encoding: chunked\r\nContent-Type: text/event-stream; charset=utf-8", true),
        ("Content-Type: TEXT/Event-Stream", true),
        ("Transfer-Encoding: chunked\r\ncontent-type: application/grpc+proto", true),
        ("Transfer-Encoding: chunked\r\ncontent-type: application/grpc-web", false),
        ("Transfer-Encoding: chunked\r\nContent-Type: application/json", false),
        ("Transfer-Encoding: chunked", false),
        ("Content-Length: 9\r\nContent-Type: text/event-stream", false),
    ] {
        let (mut stage, mut session) = Stage::asking();
        pass_all(&mut session);
        receive(&mut session, Side::Backend, format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes());
        stage.advance(&mut session);
        let Timeouts { idle, stream, .. } = stage.snapshot.timeouts;
        // The head waits for the client.
        let until = |session: &Session, stage: &Stage| session.phase_deadline(&stage.env()).unwrap().at;
        assert_eq!(until(&session, &stage), session.touched() + idle, "{head}");
        pass_all(&mut session);
        let expected = if is_stream { stream } else { idle };
        assert_eq!(until(&session, &stage), session.touched() + expected, "{head}");
    }
}

/// A client that waits for a 100, and a backend that is asked for one.
#[test]
fn pollux_says_100_once_in_the_place_of_a_backend_that_is_known_not_to() {
    for (is_known, says_itself, noted) in [
        (true, false, Some(Effect::NoteHabit(Habit::NoContinue, true))),
        (true, true, Some(Effect::NoteHabit(Habit::NoContinue, false))),
        (false, true, None),
    ] {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        stage.snapshot.pools[0].expect = ExpectContinue::Answer;
        let head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        receive(&mut session, Side::Client, head);
        stage.advance(&mut session);
        let (ready, mut effects) = (ConnectOutcome::Ready { backend: 0, is_reused: false }, Vec::new());
        session.handle_connect(ready, &stage.env(), &mut effects);
        assert_eq!(effects, [Effect::Ask(Question::Habit(Habit::NoContinue))]);
        if is_known {
            session.handle_reply(
                Question::Habit(Habit::NoContinue),
                PolicyReply::Yes,
                &stage.env(),
                &mut effects,
            );
        }
        let sent = session.up.unsent().0.len();
        session.up.send(sent);
        if says_itself {
            receive(&mut session, Side::Backend, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let mut effects = stage.advance(&mut session);
        let said = String::from_utf8_lossy(session.down.unsent().0).into_owned();
        assert_eq!(said.matches(" 100 ").count(), 1, "{said}");
        receive(&mut session, Side::Client, b"body");
        stage.advance(&mut session);
        session.up.send(4);
        receive(&mut session, Side::Backend, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        effects.extend(stage.advance(&mut session));
        let habits: Vec<_> =
            effects.iter().filter(|effect| matches!(effect, Effect::NoteHabit(..))).copied().collect();
        assert_eq!(habits.last().copied(), noted, "{is_known} {says_itself}: {habits:?}");
    }
}

/// Bodies that are collected share the memory of the worker, and give it back.
#[test]
fn a_body_that_is_collected_takes_its_part_of_the_memory() {
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (left, is_refused) in [(4, false), (3, true)] {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        stage.snapshot.pools[0].collect = Some(1000);
        stage.bodies = Budget::new(left);
        receive(&mut session, Side::Client, head);
        assert_eq!(stage.advance(&mut session), []);
        receive(&mut session, Side::Client, b"4\r\nbody\r\n");
        assert_eq!(stage.advance(&mut session), []);
        assert_eq!(session.record(&stage.env()).outcome.cause, is_refused.then_some(Cause::OutOfBuffers));
        assert_eq!(stage.bodies.share().take(left), is_refused, "what was taken is there again, or not yet");
        if !is_refused {
            receive(&mut session, Side::Client, b"0\r\n\r\n");
            assert_eq!(stage.advance(&mut session), [Effect::Open { again: None, is_fresh: false }]);
            assert!(session.up.unsent().0.ends_with(b"\r\nContent-Length: 4\r\n\r\nbody"));
        }
    }
}
