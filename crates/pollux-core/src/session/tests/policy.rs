//! Requests about which an authority is asked, and its replies: at once, later, too late, or never.

use std::time::Duration;

use super::{Stage, receive};
use crate::core::budget::Budget;
use crate::core::deadline::Timer;
use crate::core::interest::Interest;
use crate::core::outcome::{Cause, Stage as Reached};
use crate::core::time::Time;
use crate::policy::{PolicyReply, Question};
use crate::route::{Action, Body, Inquiry, Options, Respond, Route, RouteTable};
use crate::session::{Effect, Phase, Session, Side};
use crate::snapshot::{Mode, PoolId};

const OPEN: Effect = Effect::Open { again: None, is_fresh: false };
const POST: &[u8] = b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n";
const WAIT: Duration = Duration::from_secs(3);

/// A session whose route asks those authorities before it takes `action`.
fn asking(action: Action, authorities: &[(u32, bool)]) -> (Stage, Session) {
    let (mut stage, _) = Stage::new(Mode::Http);
    let inquiry = |&(authority, is_lenient): &(u32, bool)| Inquiry {
        name: format!("authority {authority}"),
        authority,
        wait: WAIT,
        is_lenient,
        refusal: Cause::MethodRefused,
    };
    let inquiries = authorities.iter().map(inquiry).collect();
    let options = Some(Box::new(Options { inquiries, ..Options::default() }));
    let route = Route { name: "r".into(), when: Default::default(), action, options };
    stage.snapshot.listeners[0].routes = RouteTable::new(vec![route], Default::default());
    let session = Session::new(([192, 0, 2, 1], 1).into(), 0, &stage.env());
    (stage, session)
}

fn to_pool(authorities: &[(u32, bool)]) -> (Stage, Session) {
    asking(Action::Pool(PoolId(0)), authorities)
}

/// The only effect, which asks.
fn question(effects: &[Effect]) -> Question {
    match effects {
        [Effect::Ask(question)] => *question,
        other => panic!("no question alone: {other:?}"),
    }
}

fn reply(stage: &Stage, session: &mut Session, question: Question, reply: PolicyReply) -> Vec<Effect> {
    let mut effects = Vec::new();
    session.handle_reply(question, reply, &stage.env(), &mut effects);
    session.advance(&stage.env(), &mut effects);
    effects
}

fn said(session: &Session) -> String {
    String::from_utf8_lossy(session.down.unsent().0).into_owned()
}

#[test]
fn a_request_waits_for_each_authority_in_turn_and_its_body_is_not_read() {
    let (mut stage, mut session) = to_pool(&[(3, false), (9, false)]);
    receive(&mut session, Side::Client, POST);
    let mut asked = question(&stage.advance(&mut session));
    for number in [3, 9] {
        assert!(matches!(asked, Question::Authority { number: asked, .. } if asked == number));
        assert!(session.awaits_reply(asked));
        for _ in 0..5 {
            stage.now = stage.now + Duration::from_millis(100);
            assert_eq!(stage.advance(&mut session), []);
        }
        assert!(!session.wants_read(Side::Client), "what comes behind the head waits");
        // It is watched for its end and for nothing else: a body that lies there does not spin the loop.
        assert_eq!(session.interest(Side::Client, stage.now), Some(Interest::LEAVE));
        assert_eq!(session.interest(Side::Backend, stage.now), None);
        assert!(!session.is_between_exchanges(), "the request is held to the snapshot that routed it");
        let effects = reply(&stage, &mut session, asked, PolicyReply::Yes);
        if number == 3 {
            asked = question(&effects);
        } else {
            assert_eq!(effects, [OPEN]);
        }
    }
    let asked = session.record(&stage.env()).asked.unwrap();
    assert_eq!((asked.authority, asked.wait), ("authority 9", Duration::from_secs(1)));
    assert!(session.up.unsent().0.starts_with(b"POST /1 HTTP/1.1\r\n"));
}

#[test]
fn a_refused_request_leaves_the_next_one_of_its_connection_alone() {
    let (mut stage, mut session) = to_pool(&[(3, false)]);
    receive(
        &mut session,
        Side::Client,
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    let first = question(&stage.advance(&mut session));
    assert_eq!(reply(&stage, &mut session, first, PolicyReply::No), []);
    assert!(said(&session).starts_with("HTTP/1.1 501 "), "{}", said(&session));
    let record = session.record(&stage.env());
    assert_eq!(record.outcome.cause, Some(Cause::MethodRefused));
    assert_eq!(record.outcome.stage, Reached::Routing);
    let length = session.down.unsent().0.len();
    session.down.send(length);
    assert_eq!(stage.advance(&mut session), [Effect::Record]);
    let second = question(&stage.advance(&mut session));
    assert_ne!(first, second, "each question has a number of its own");
    // A reply to the first one is nothing to the second.
    assert_eq!(reply(&stage, &mut session, first, PolicyReply::No), []);
    assert!(session.awaits_reply(second) && said(&session).is_empty());
    assert_eq!(reply(&stage, &mut session, second, PolicyReply::Yes), [OPEN]);
    assert!(session.up.unsent().0.starts_with(b"GET /2 HTTP/1.1\r\n"));
}

#[test]
fn a_body_of_a_refused_request_is_never_read_as_the_next_one() {
    let (mut stage, mut session) = to_pool(&[(3, false)]);
    receive(&mut session, Side::Client, POST);
    let asked = question(&stage.advance(&mut session));
    receive(&mut session, Side::Client, b"GET ");
    reply(&stage, &mut session, asked, PolicyReply::No);
    assert!(said(&session).contains("Connection: close\r\n"), "{}", said(&session));
}

#[test]
fn a_question_ends_at_its_deadline_as_its_policy_says() {
    for (is_lenient, expected) in [(true, &[OPEN][..]), (false, &[])] {
        let (mut stage, mut session) = to_pool(&[(3, is_lenient)]);
        receive(&mut session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let asked = question(&stage.advance(&mut session));
        stage.now = stage.now + Duration::from_secs(1);
        let deadline = session.deadline(&stage.env()).unwrap();
        assert_eq!((deadline.at, deadline.timer), (Time::ZERO + WAIT, Timer::Policy));
        stage.now = deadline.at;
        let mut effects = Vec::new();
        session.handle_deadline(Timer::Policy, &stage.env(), &mut effects);
        assert_eq!(effects, expected);
        assert_eq!(said(&session).starts_with("HTTP/1.1 501 "), !is_lenient);
        let before = (session.phase, said(&session));
        assert_eq!(reply(&stage, &mut session, asked, PolicyReply::No), [], "the reply is too late");
        assert_eq!((session.phase, said(&session)), before);
    }
}

#[test]
fn a_client_that_leaves_while_its_request_waits_is_let_go() {
    for is_half in [true, false] {
        let (mut stage, mut session) = to_pool(&[(3, true)]);
        receive(&mut session, Side::Client, POST);
        let asked = question(&stage.advance(&mut session));
        if is_half {
            session.handle_leaving(Side::Client);
        } else {
            session.handle_hangup(Side::Client);
        }
        let effects = stage.advance(&mut session);
        assert_eq!(effects[0], Effect::Record, "{effects:?}");
        assert_eq!(session.record(&stage.env()).outcome.cause, Some(Cause::ClientAborted));
        assert_eq!(reply(&stage, &mut session, asked, PolicyReply::Yes).iter().find(|it| **it == OPEN), None);
    }
}

#[test]
fn a_kill_and_the_end_of_a_drain_end_the_wait() {
    type End = fn(&mut Session, &Stage, &mut Vec<Effect>);
    let ends: [(End, Cause); 2] = [
        (|session, stage, effects| session.kill(&stage.env(), effects), Cause::OperatorKilled),
        (|session, stage, effects| session.force(&stage.env(), effects), Cause::DrainTimeout),
    ];
    for (end, cause) in ends {
        let (mut stage, mut session) = to_pool(&[(3, true)]);
        receive(&mut session, Side::Client, POST);
        stage.advance(&mut session);
        let mut effects = Vec::new();
        end(&mut session, &stage, &mut effects);
        assert_eq!(session.record(&stage.env()).outcome.cause, Some(cause));
        assert_eq!(said(&session).starts_with("HTTP/1.1 503 "), cause == Cause::DrainTimeout);
        assert_eq!(effects.contains(&Effect::ResetClient), cause == Cause::OperatorKilled, "{effects:?}");
    }
}

#[test]
fn an_answer_of_the_route_waits_too() {
    let body = Body { bytes: b"here".as_slice().into(), file: None };
    let respond = Respond { status: 403, headers: Vec::new(), body };
    let (mut stage, mut session) = asking(Action::Respond(respond), &[(3, false)]);
    receive(&mut session, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let asked = question(&stage.advance(&mut session));
    assert_eq!((said(&session), session.status()), (String::new(), None), "nothing goes out before");
    assert_eq!(reply(&stage, &mut session, asked, PolicyReply::Yes), []);
    assert!(said(&session).starts_with("HTTP/1.1 403 ") && said(&session).ends_with("here"));
    assert!(session.up.unsent().0.is_empty());
    assert_eq!((session.status(), session.phase), (Some(403), Phase::Answer { keep_alive: true }));
}

#[test]
fn a_body_that_is_collected_is_collected_behind_the_reply() {
    let (mut stage, mut session) = to_pool(&[(3, false)]);
    stage.snapshot.pools[0].collect = Some(1000);
    stage.bodies = Budget::new(1000);
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    receive(&mut session, Side::Client, head);
    let asked = question(&stage.advance(&mut session));
    assert_eq!(reply(&stage, &mut session, asked, PolicyReply::Yes), [OPEN]);
    assert!(session.up.unsent().0.ends_with(b"\r\nContent-Length: 4\r\n\r\nbody"));
}
