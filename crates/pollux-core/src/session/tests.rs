//! Cases that are hard to bring about from outside: a session gets events one by one.

mod policy;

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

/// A POST on an idle connection that turns out to be dead before one byte of it was taken.
#[test]
fn what_was_never_sent_goes_out_again_on_a_new_connection_to_the_same_backend() {
    let (mut stage, mut session) = Stage::new(Mode::Http);
    receive(&mut session, Side::Client, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(stage.advance(&mut session), [Effect::Open { again: None, is_fresh: false }]);
    stage.connect(&mut session, true);
    session.handle_unwritable(Side::Backend);
    session.handle_lost(Side::Backend);
    let effects = stage.advance(&mut session);
    assert_eq!(effects, [Effect::ResetBackend, Effect::Open { again: None, is_fresh: true }]);
    assert_eq!(session.tried(), [0; 0]);
    assert_eq!(session.record(&stage.env()).retried.last(), None, "it has not been sent again yet");
    stage.connect(&mut session, false);
    let record = session.record(&stage.env());
    assert_eq!((record.retried.last(), record.attempts), (Some(Proof::Unsent), 2));
    // A new connection that breaks is the backend's fault: it is not picked again.
    session.handle_lost(Side::Backend);
    stage.advance(&mut session);
    assert_eq!(session.tried(), [0]);
}

/// The only backend dies with a GET: there is no other to send it to, and it is not sent to the same one
/// again.
#[test]
fn a_backend_that_dies_with_a_request_does_not_get_it_twice() {
    for (method, is_repeated) in [("GET", true), ("POST", false)] {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        receive(&mut session, Side::Client, format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        stage.advance(&mut session);
        stage.connect(&mut session, false);
        let length = session.lane_to(Side::Backend).unsent().0.len();
        session.lane_to(Side::Backend).send(length);
        session.handle_lost(Side::Backend);
        let effects = stage.advance(&mut session);
        assert_eq!(effects.contains(&Effect::Open { again: None, is_fresh: false }), is_repeated, "{method}");
        assert_eq!(session.tried(), if is_repeated { &[0][..] } else { &[] }, "{method}");
    }
}

/// The backend takes nothing, so nothing more is read from a client that has been reset since.
#[test]
fn a_client_that_is_gone_does_not_hold_a_full_tunnel_for_an_hour() {
    let (mut stage, mut session) = Stage::new(Mode::Tcp);
    stage.advance(&mut session);
    stage.connect(&mut session, false);
    receive(&mut session, Side::Client, &[b'x'; 1024]);
    assert_eq!(stage.advance(&mut session), []);
    assert!(!session.wants_read(Side::Client));
    session.handle_hangup(Side::Client);
    assert_eq!(
        session.interest(Side::Client, Time::from_nanos(u64::MAX)),
        None,
        "poll would say so for ever"
    );
    stage.now = Time::ZERO + Duration::from_secs(1);
    let deadline = session.deadline(&stage.env()).unwrap();
    assert_eq!((deadline.timer, deadline.at), (Timer::Tunnel, Time::ZERO + stage.snapshot.timeouts.linger));
}

/// A buffer that has come back a moment before the deadline says nothing yet of what there is to be read.
#[test]
fn a_wait_for_buffers_is_not_the_backends() {
    let limit = Timeouts::default().backend_response;
    let early = Time::ZERO + limit / 2;
    for (looked, at) in [(false, early + limit), (true, Time::ZERO + limit)] {
        let (mut stage, mut session) = Stage::asking();
        let length = session.lane_to(Side::Backend).unsent().0.len();
        session.lane_to(Side::Backend).send(length);
        stage.advance(&mut session);
        session.note_unread(early);
        if looked {
            session.note_silence();
        }
        let mut blamed = None;
        while blamed.is_none() {
            let deadline = session.deadline(&stage.env()).unwrap();
            stage.now = deadline.at;
            let mut effects = Vec::new();
            session.handle_deadline(deadline.timer, &stage.env(), &mut effects);
            let failure = Effect::NoteFailure(Cause::BackendResponseTimeout);
            blamed = effects.contains(&failure).then_some(stage.now);
            if !looked {
                // Of that wait it has been forgiven once.
                session.note_unread(early);
            }
        }
        assert_eq!(blamed, Some(at), "looked: {looked}");
    }
}

/// A caller may wait less than the configuration lets it, and no backend fails by that.
#[test]
fn the_time_of_a_call_shortens_that_of_the_backend_and_blames_no_one() {
    for (ms, at, is_blamed) in [(None, 60_000, true), (Some(100_000), 60_000, true), (Some(250), 250, false)]
    {
        let (mut stage, mut session) = Stage::asking();
        session.exchange.request.is_call = true;
        session.exchange.request.call_ms = ms.and_then(NonZeroU32::new);
        let length = session.lane_to(Side::Backend).unsent().0.len();
        session.lane_to(Side::Backend).send(length);
        stage.advance(&mut session);
        let deadline = session.phase_deadline(&stage.env()).unwrap();
        assert_eq!(
            (deadline.timer, deadline.at),
            (Timer::BackendResponse, Time::ZERO + Duration::from_millis(at))
        );
        stage.now = deadline.at;
        let mut effects = Vec::new();
        session.handle_deadline(deadline.timer, &stage.env(), &mut effects);
        assert_eq!(effects.contains(&Effect::NoteFailure(Cause::BackendResponseTimeout)), is_blamed);
        let answer = String::from_utf8_lossy(session.lane_to(Side::Client).unsent().0).into_owned();
        assert!(answer.contains("grpc-status: 4\r\ngrpc-message: backend-response-timeout\r\n"), "{answer}");
    }
}

/// A failed call is a good exchange to HTTP, and its backend is judged by what it means.
#[test]
fn health_judges_a_call_by_its_status() {
    for (is_call, number, judged) in
        [(true, 14, 503), (true, 13, 500), (true, 12, 200), (true, 0, 200), (false, 14, 200)]
    {
        let (mut stage, mut session) = Stage::asking();
        session.exchange.request.is_call = is_call;
        let length = session.lane_to(Side::Backend).unsent().0.len();
        session.lane_to(Side::Backend).send(length);
        stage.advance(&mut session);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nGrpc-Status: {number}\r\n\r\n");
        receive(&mut session, Side::Backend, answer.as_bytes());
        stage.advance(&mut session);
        assert_eq!((session.status(), session.judged_status()), (Some(200), Some(judged)), "{number}");
    }
}

/// A backend that drips its head keeps within the time for the whole of it.
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

/// Idle clients are closed one after the other over two seconds, in an order of their own; who asks meanwhile
/// is served, and told that it was the last time.
#[test]
fn idle_clients_leave_a_drain_over_a_window() {
    let (stage, _) = Stage::new(Mode::Http);
    let start = Time::ZERO + Duration::from_secs(5);
    let env = Env { now: start, draining_since: Some(start), ..stage.env() };
    let leaves = |port: u16| {
        let session = Session::new(([192, 0, 2, 1], port).into(), 0, &stage.env());
        let deadline = session.deadline(&env).unwrap();
        assert_eq!((deadline, deadline.timer), (session.deadline(&env).unwrap(), Timer::ClientIdle));
        deadline.at.since(start).as_millis()
    };
    let mut tenths = [0; 10];
    for port in 0..10_000 {
        let at = leaves(port);
        assert!((250..2000).contains(&at), "{at}");
        tenths[(at - 250) as usize / 175] += 1;
    }
    assert!(tenths.iter().all(|count| (800..1200).contains(count)), "{tenths:?}");
}

/// The response has begun, and the client does not go on with its body: either may be waited for, and the
/// backend is not blamed.
#[test]
fn a_client_that_leaves_its_body_unfinished_is_no_matter_of_the_backend() {
    let post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbody";
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody";
    for (source, cause) in [
        (Source::Ended, Cause::BackendTruncated),
        (Source::Lost, Cause::BackendTruncated),
        (Source::Open, Cause::ClientBodyTimeout),
    ] {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        receive(&mut session, Side::Client, post);
        stage.advance(&mut session);
        stage.connect(&mut session, false);
        stage.advance(&mut session);
        pass_all(&mut session);
        receive(&mut session, Side::Backend, begun);
        assert_eq!(stage.advance(&mut session), [Effect::NoteAnswer]);
        pass_all(&mut session);
        session.down.source = source;
        let mut effects = stage.advance(&mut session);
        if source == Source::Open {
            stage.now = stage.now + stage.snapshot.timeouts.idle;
            session.handle_deadline(Timer::Idle, &stage.env(), &mut effects);
        }
        assert_eq!(session.record(&stage.env()).outcome.cause, Some(cause));
        assert!(!effects.contains(&Effect::NoteFailure(cause)), "{cause}: {effects:?}");
    }
}

/// A response without a length may be silent for any time; one with a length owes its bytes.
#[test]
fn a_stream_that_is_quiet_is_not_held_against_its_backend() {
    for (framing, is_held) in
        [("Content-Length: 9", true), ("Transfer-Encoding: chunked", false), ("X: until-the-end", false)]
    {
        let (mut stage, mut session) = Stage::asking();
        pass_all(&mut session);
        receive(&mut session, Side::Backend, format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes());
        stage.advance(&mut session);
        pass_all(&mut session);
        stage.now = stage.now + stage.snapshot.timeouts.idle;
        let mut effects = Vec::new();
        session.handle_deadline(Timer::Idle, &stage.env(), &mut effects);
        let cause = Cause::BackendStalled;
        assert_eq!(session.record(&stage.env()).outcome.cause, Some(cause));
        assert_eq!(effects.contains(&Effect::NoteFailure(cause)), is_held, "{framing}");
    }
}

/// Has everything go out that may.
fn pass_all(session: &mut Session) {
    for side in [Side::Client, Side::Backend] {
        let lane = session.lane_to(side);
        let (head, body) = lane.unsent();
        let count = head.len() + body.len();
        lane.send(count);
    }
}

/// A client that ends its direction behind its request has a second to get its answer, counted from the last
/// byte that moved; under `finish` as long as others.
#[test]
fn a_client_that_has_ended_its_direction_is_given_up() {
    let second = ClientClose::GRACE;
    for (rule, timer) in
        [(ClientClose::Abort, Timer::ClientLeft), (ClientClose::Finish, Timer::BackendResponse)]
    {
        let (mut stage, mut session) = Stage::new(Mode::Http);
        stage.snapshot.pools[0].on_client_close = rule;
        receive(&mut session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        stage.advance(&mut session);
        stage.connect(&mut session, false);
        pass_all(&mut session);
        stage.advance(&mut session);
        stage.now = stage.now + 5 * second;
        session.handle_leaving(Side::Client);
        assert_eq!(stage.advance(&mut session), []);
        let deadline = session.deadline(&stage.env()).unwrap();
        assert_eq!(deadline.timer, timer);
        assert!(rule == ClientClose::Finish || deadline.at == stage.now + second);
        // Bytes on their way to it show whether it is there.
        stage.now = stage.now + second / 2;
        session.handle_moved(stage.now);
        let moved = stage.now;
        stage.now = stage.now + second / 2;
        let deadline = session.deadline(&stage.env()).unwrap();
        assert!(rule == ClientClose::Finish || deadline.at == moved + second);
        let mut effects = Vec::new();
        session.handle_deadline(Timer::ClientLeft, &stage.env(), &mut effects);
        // Its end is in order: a RST could take an earlier response along that is on its way to it.
        assert_eq!(effects, [Effect::ResetBackend, Effect::Record, Effect::FinishClient]);
        assert_eq!(session.record(&stage.env()).outcome.cause, Some(Cause::ClientAborted));
    }
}

/// An answer to a client that has ended its direction is recorded when the client's system has said whether it took it.
#[test]
fn the_record_of_a_client_that_has_left_waits_for_its_acknowledgement() {
    let record = [Effect::Record];
    let (closed, reset) = ([Effect::Record, Effect::CloseClient], [Effect::Record, Effect::ResetClient]);
    for (last, expected, cause) in [
        (Delivery::Acknowledged, &closed[..], None),
        (Delivery::Lost, &reset[..], Some(Cause::ClientAborted)),
        // Nothing is heard for `timeouts.linger`.
        (Delivery::Pending, &closed[..], None),
    ] {
        let (mut stage, mut session) = Stage::asking();
        pass_all(&mut session);
        session.handle_leaving(Side::Client);
        stage.advance(&mut session);
        receive(&mut session, Side::Backend, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        stage.advance(&mut session);
        pass_all(&mut session);
        assert_eq!(stage.advance(&mut session), [Effect::KeepBackend]);
        // Another request may have come before the end.
        assert!(session.wants_read(Side::Client) && !session.is_between_exchanges());
        session.handle_end(Side::Client);
        assert_eq!(stage.advance(&mut session), [Effect::FinishClient, Effect::AskDelivery]);
        assert_eq!(session.interest(Side::Client, stage.now), None, "poll reports a hangup for ever");
        let linger = stage.now + stage.snapshot.timeouts.linger;
        let mut asked = 0;
        while stage.now < linger {
            let mut effects = Vec::new();
            session.handle_delivery(Delivery::Pending, &stage.env(), &mut effects);
            assert_eq!(effects, []);
            let Deadline { at, timer } = session.deadline(&stage.env()).unwrap();
            assert!(at > stage.now && at <= linger && timer == Timer::Delivery);
            stage.now = at;
            asked += 1;
            if at == linger || (last != Delivery::Pending && asked == 5) {
                break;
            }
            session.handle_deadline(Timer::Delivery, &stage.env(), &mut effects);
            assert_eq!(effects, [Effect::AskDelivery]);
        }
        assert!(asked <= 12, "asked {asked} times");
        let mut effects = Vec::new();
        match last {
            Delivery::Pending => session.handle_deadline(Timer::Delivery, &stage.env(), &mut effects),
            Delivery::Acknowledged | Delivery::Lost => {
                session.handle_delivery(last, &stage.env(), &mut effects);
            }
        }
        session.advance(&stage.env(), &mut effects);
        assert_eq!(effects, expected, "{last:?}");
        assert!(effects.starts_with(&record));
        let told = session.record(&stage.env());
        assert_eq!((told.status, told.outcome.cause), (200, cause));
    }
}

/// A request that has come behind the one that is answered is served, and the record does not wait.
#[test]
fn a_pipelined_request_of_a_client_that_has_left_is_served() {
    let (mut stage, mut session) = Stage::asking();
    pass_all(&mut session);
    session.handle_leaving(Side::Client);
    receive(&mut session, Side::Backend, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    stage.advance(&mut session);
    pass_all(&mut session);
    assert_eq!(stage.advance(&mut session), [Effect::KeepBackend]);
    receive(&mut session, Side::Client, b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(stage.advance(&mut session), [Effect::Record]);
    assert_eq!(stage.advance(&mut session), [Effect::Open { again: None, is_fresh: false }]);
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

/// For any `retries`, a request of which nothing was sent waits until a backend can be reached, for a
/// while.
#[test]
fn a_backend_that_cannot_be_reached_is_asked_again() {
    let (mut stage, mut session) = Stage::new(Mode::Http);
    stage.snapshot.pools[0].retries.most = 0;
    receive(&mut session, Side::Client, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    let mut pauses = Vec::new();
    assert_eq!(stage.advance(&mut session), [Effect::Open { again: None, is_fresh: false }]);
    for attempt in 1.. {
        let failed = ConnectOutcome::Failed { backend: 0, cause: Cause::BackendRefused };
        let mut effects = Vec::new();
        session.handle_connect(failed, &stage.env(), &mut effects);
        assert_eq!(effects[0], Effect::NoteFailure(Cause::BackendRefused));
        assert_eq!(session.tried(), [0; 0]);
        let record = session.record(&stage.env());
        assert_eq!((record.attempts, record.retried.last()), (attempt, None));
        let Phase::Opening { dial: Dial::Paused { until }, .. } = session.phase else { break };
        pauses.push(until.since(stage.now).as_millis());
        stage.now = until;
        effects.clear();
        session.handle_deadline(Timer::Retry, &stage.env(), &mut effects);
        assert_eq!(effects, [Effect::Open { again: None, is_fresh: false }]);
    }
    assert_eq!(pauses, [100, 200, 400]);
    assert_eq!(session.record(&stage.env()).outcome.cause, Some(Cause::BackendRefused));
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

/// One GET from its head to its record, which the client's connection survives.
fn exchange(stage: &mut Stage, session: &mut Session) {
    receive(session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    stage.advance(session);
    stage.connect(session, false);
    stage.advance(session);
    pass_all(session);
    receive(session, Side::Backend, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    stage.advance(session);
    pass_all(session);
    let effects = stage.advance(session);
    assert!(effects.contains(&Effect::KeepBackend) && effects.contains(&Effect::Record), "{effects:?}");
    stage.advance(session);
    for side in [Side::Client, Side::Backend] {
        session.lane_from(side).buffer.detach();
    }
}

/// A resting client has the deadline, the claim and the summary of its session, and the session made of it
/// goes on counting where that was.
#[test]
fn a_session_that_has_rested_goes_on_as_if_it_had_not() {
    let (mut stage, mut session) = Stage::new(Mode::Http);
    for is_first in [true, false] {
        let env = stage.env();
        let draining = Env { draining_since: Some(stage.now), ..stage.env() };
        assert!(session.is_at_rest());
        let seen = |session: &Session| {
            let deadlines = [&env, &draining].map(|env| session.deadline(env));
            (session.client(), session.listener(), session.claim(stage.now), session.summary(&env), deadlines)
        };
        let before = seen(&session);
        let passed = (session.up.passed(), session.down.passed());
        let resting = session.into_resting();
        let deadlines = [&env, &draining].map(|env| Some(resting.deadline(env)));
        let (client, claim) = (resting.client(), Some(resting.claim()));
        assert_eq!((client, resting.listener(), claim, Some(resting.summary(&env)), deadlines), before);
        session = resting.wake(stage.now);
        assert_eq!(seen(&session), before);
        assert_eq!((session.up.passed(), session.down.passed()), passed);
        assert_eq!(session.beginning().is_first, is_first);
        stage.now = stage.now + Duration::from_secs(1);
        exchange(&mut stage, &mut session);
    }
}

/// A byte of the next request, or the client's end, is more than what rests can hold.
#[test]
fn a_session_with_anything_under_way_does_not_rest() {
    let (_, mut session) = Stage::new(Mode::Http);
    receive(&mut session, Side::Client, b"\r");
    assert!(!session.is_at_rest());
    let (_, mut session) = Stage::new(Mode::Http);
    session.handle_leaving(Side::Client);
    assert!(!session.is_at_rest());
    let (mut stage, mut session) = Stage::new(Mode::Http);
    receive(&mut session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    stage.advance(&mut session);
    assert!(!session.is_at_rest());
    assert!(!Stage::new(Mode::Tcp).1.is_at_rest());
}
